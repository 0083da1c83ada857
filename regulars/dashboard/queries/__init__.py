"""Queries on the `dashboard` views, in one transaction a request as the owner who is signed in."""
