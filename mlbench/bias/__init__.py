"""Language-bias scores."""

from mlbench.bias.formulas import PoolRanks
from mlbench.bias.scores import BIAS_SCORES, BiasScore, summarise, topicwise

__all__ = ["BIAS_SCORES", "BiasScore", "PoolRanks", "summarise", "topicwise"]
