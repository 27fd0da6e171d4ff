"""Systems made of other retrievers: fusion of several, re-ranking of what one found, approximate indexes."""
