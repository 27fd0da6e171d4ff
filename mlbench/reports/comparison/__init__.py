"""Comparisons with a base, in every format."""
