"""Test collections: languages, queries, documents, judgments, images."""
