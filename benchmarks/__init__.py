"""The benchmarks that come with mlbench: named sets of tasks."""
