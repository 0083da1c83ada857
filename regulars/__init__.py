"""The command: what an operator and an analyst type."""
