"""Which values of a measure or score are better, as its declaration says."""

import re

import numpy as np
from numpy.typing import NDArray

from mlbench.measures.bias import BIAS_SCORES, Direction
from mlbench.measures.ranked import FAMILIES
from mlbench.statistics.captions import EXPLANATIONS as CAPTIONS

Floats = NDArray[np.float64]


def direction_of(name: str) -> Direction | None:
    """Return which values of a measure, bias score or caption score are better; None where none are.

    Anything that no score or measure is called is better when higher.
    """
    if name in BIAS_SCORES:
        return BIAS_SCORES[name].direction
    if name in CAPTIONS:
        return CAPTIONS[name].direction
    family = FAMILIES.get(re.split("[(@]", name)[0])
    return family.explanation.direction if family else "higher"


def constant_ideal(name: str) -> float | None:
    """Return the ideal of a bias score that is the same for all topics; None for any other name."""
    ideal = BIAS_SCORES[name].ideal if name in BIAS_SCORES else None
    return ideal if isinstance(ideal, float) else None


def loss(name: str, value: float, ideal: float | None = None) -> float | None:
    """Return how far a value is from the best there is, up to a constant; None where nothing says.

    `ideal` is what a result gives beside the value, for scores whose ideal depends on the topics.
    """
    found = loss_contributions(name, np.array([value]), np.ones(1), ideal)
    return None if found is None else float(found[0])


def describe(name: str) -> str:
    """Return in a few words which values of a bias score are better, and what a perfect and a random order have."""
    score = BIAS_SCORES[name]
    given = ((score.ideal, score.ideal_text), (score.chance, score.chance_text))
    ideal, chance = (f"{value:g}" if isinstance(value, float) else text for value, text in given)
    better = {
        "lower": "better when lower",
        "higher": "better when higher",
        "nearer": "better nearer to its ideal",
        None: "no direction: shown, never tested",
    }[score.direction]
    return f"{better}; ideal {ideal}; chance {chance}"


def loss_contributions(name: str, added: Floats, shares: Floats, ideal: float | None = None) -> Floats | None:
    """Return what each cluster adds to the loss of a mean, float64 (clusters,); None where nothing says.

    `added` (clusters,) sums to the mean, `shares` (clusters,) to 1. A distance from an ideal is taken on the side where
    the mean is.
    """
    match direction_of(name):
        case "higher":
            return -added
        case "lower":
            return added
        case "nearer":
            target = constant_ideal(name) if ideal is None else ideal
            if target is None:
                return None
            beyond = added - target * shares
            return beyond if beyond.sum() >= 0 else -beyond
        case None:
            return None
