"""Measures how well retrievers find answers across languages, and how fair they are between them."""

from mlbench.version import __version__

__all__ = ["__version__"]
