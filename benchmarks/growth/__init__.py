"""How cost grows with sockets, members, nodes, groups, routes, what waits, and processes."""
