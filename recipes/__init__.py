"""The recipes that come with mlbench."""
