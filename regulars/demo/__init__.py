"""The demo: sample data, and the show that is made of it."""
