"""Index costs, in every format."""
