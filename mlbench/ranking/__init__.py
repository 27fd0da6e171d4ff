"""Ranking: from vectors or ranked lists to the ranks of the relevant documents."""
