"""`regulars serve`: the processes that it keeps up, and whether they are."""
