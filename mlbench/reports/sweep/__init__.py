"""Sweeps, in every format."""
