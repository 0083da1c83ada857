"""What owners read: a Bearer API and pages, each request with the rights of one owner."""
