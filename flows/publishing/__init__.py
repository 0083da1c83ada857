"""Publishing: what readers see is brought to what was built, after the sums have been compared."""
