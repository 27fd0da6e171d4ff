"""Evaluation of corpora that are read part by part, in memory that does not grow with them."""
