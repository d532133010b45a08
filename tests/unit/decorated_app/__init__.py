"""An installed app whose consumers register themselves."""
