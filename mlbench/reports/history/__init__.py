"""Histories of checkpoints, in every format."""
