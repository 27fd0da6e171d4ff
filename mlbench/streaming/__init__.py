"""Corpora that are larger than memory: read shard by shard, encoded, counted and dropped."""
