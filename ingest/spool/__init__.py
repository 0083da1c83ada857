"""What the database did not take: kept on this machine's disk, and replayed once the database answers."""
