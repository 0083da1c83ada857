"""The owners' pages."""
