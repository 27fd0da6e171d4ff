"""Embeddings: each distinct text is encoded once, its vector is kept, and similarities are exact."""
