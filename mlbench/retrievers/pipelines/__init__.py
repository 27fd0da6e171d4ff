"""Systems made of other retrievers: fusion, re-ranking, approximate search."""
