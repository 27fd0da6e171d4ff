"""Results, in every format."""
