"""Ranking: from vectors or ranked lists to the ranks of the relevant documents."""

from mlbench.ranking.ranks import Ranks, SettingRanks, can_answer, setting_ranks
from mlbench.ranking.ranks_file import read_ranks

__all__ = ["Ranks", "SettingRanks", "can_answer", "read_ranks", "setting_ranks"]
