"""Files: atomic writes, files of unknown origin, TOML, the cache folder; nothing here knows of retrieval."""
