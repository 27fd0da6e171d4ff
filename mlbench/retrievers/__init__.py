"""Retrievers: one module for each kind that `--model` can name."""
