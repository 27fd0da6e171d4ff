"""Submissions recomputed from their ranks, numbers reported in papers beside them, and the static site of both."""
