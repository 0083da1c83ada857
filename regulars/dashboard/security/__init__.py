"""Who an owner is: tokens and sessions."""
