"""What an operator sees: an address for probes and Prometheus in each process, and the state of all of them."""
