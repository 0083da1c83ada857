"""What it costs: scripts that measure ratios within one run, on one server. Run one with `python -m benchmarks.load`."""
