"""Alarms: what is wrong with the refresh or its numbers, since when, in which shops, what to do, and who was told."""
