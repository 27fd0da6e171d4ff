"""What each document says, as a report: one module for each document."""
