"""Comparisons: a candidate against its base, gates, index costs, the arms of a sweep."""
