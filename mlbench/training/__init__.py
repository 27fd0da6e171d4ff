"""Hybrid batch training: from parallel text to a checkpoint that mlbench measures (arXiv 2408.10536)."""
