"""The interface process: holds sockets, turns their events into channel messages, runs no consumer, route or view."""
