"""What is asked of the database, inside one owner's transaction."""
