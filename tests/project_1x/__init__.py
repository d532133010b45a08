"""A project as Channels 1.x had them: a list of routes, session decorators, class-based consumers."""
