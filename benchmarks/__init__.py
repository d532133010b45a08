"""The figures: `make bench` (or `python -m benchmarks.run`) measures real processes and prints tables."""
