"""Single topics with their texts, in every format."""
