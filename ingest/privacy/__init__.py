"""A person's rights: what is held about them, and their erasure."""
