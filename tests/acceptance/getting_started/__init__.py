"""The examples of the getting-started text of Channels 1.x, one a module: only the package's name is another one."""
