"""The floor: the least that the flow of a message can cost."""
