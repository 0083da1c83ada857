"""Moving house: the whole database, to another server, in one transaction there."""
