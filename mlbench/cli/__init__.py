"""The command line: one module per command; a user's error becomes one line and an exit code."""
