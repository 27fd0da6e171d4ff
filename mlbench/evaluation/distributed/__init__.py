"""Engines: workers on this machine or on a cluster, which know nothing of retrieval."""
