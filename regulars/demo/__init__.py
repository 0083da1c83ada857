"""The demo: a year of made-up shops, sent through ingest and refreshes, and shown."""
