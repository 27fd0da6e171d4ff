"""Systems made of other retrievers, declared in TOML: fusion of several, and re-ranking of what one found."""
