"""Built-in systems under test; each enters by the entry-point group `mlbench.retrievers`."""
