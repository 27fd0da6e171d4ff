"""Measures of ranked lists and language-bias scores: formula, source, arithmetic."""

from mlbench.measures.bias import BIAS_SCORES
from mlbench.measures.formulas import UNRETRIEVED, RelevantRanks
from mlbench.measures.ranked import EXPLANATIONS, Measure, parse

__all__ = ["BIAS_SCORES", "EXPLANATIONS", "UNRETRIEVED", "Measure", "RelevantRanks", "parse"]
