"""Evaluates one retriever on one task, in memory or streaming, in one process or many."""
