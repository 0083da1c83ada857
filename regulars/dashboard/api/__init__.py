"""The owners' Bearer API."""
