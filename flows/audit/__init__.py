"""The drift audit: shops drawn by chance are computed from their raw rows, and what is published is held against it."""
