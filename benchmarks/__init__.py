"""What it costs: scripts that measure ratios within one run, on one server. See README.md."""
