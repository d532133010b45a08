"""What reliable channels promise, shown by killing, restarting and flooding: `make chaos` runs the whole of it."""
