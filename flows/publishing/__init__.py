"""Publishing: brings what readers see up to what was built, after comparing the sums."""
