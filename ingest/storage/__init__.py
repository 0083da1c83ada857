"""The database: settings, connections, the embedded server, and the schema with its migrations."""
