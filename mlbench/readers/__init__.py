"""Readers turn verified files into collections; each enters by the entry-point group `mlbench.readers`."""
