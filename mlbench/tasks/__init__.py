"""Tasks: their files, how they are read into collections, and how they are downloaded."""
