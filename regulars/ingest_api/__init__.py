"""The HTTP door: `ingest`, for checkouts that are not in Python."""
