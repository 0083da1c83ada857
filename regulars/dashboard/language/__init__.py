"""The languages of the owners' pages. The API, the command line and the logs are in English."""
