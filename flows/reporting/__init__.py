"""Reports: what a refresh changed, which orders it left, and how long it took, in figures and in words."""
