"""A project whose sockets want order: strict, slight, as classes, and with a connect that says nothing about it."""
