"""When a refresh is due, and the process and the Prefect server that run it."""
