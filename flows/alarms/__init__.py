"""Alarms: what is wrong, since when, in which shops, what to do, and which addresses were notified."""
