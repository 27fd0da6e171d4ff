"""A result for people: console tables, and whatever else a reader of results wants to see."""
