"""The ingest API: `ingest` over HTTP, for checkouts that are not in Python."""
