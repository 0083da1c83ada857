"""Authentication: tokens and sessions."""
