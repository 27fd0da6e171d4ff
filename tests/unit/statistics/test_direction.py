"""Which values are better: as declared, and only there."""

import numpy as np
import pytest

from mlbench.measures.bias import BIAS_SCORES, TESTED_BIAS_SCORES
from mlbench.statistics.direction import constant_ideal, direction_of, loss, loss_contributions


@pytest.mark.parametrize(
    ("name", "better", "worse"),
    [
        ("AP", 0.6, 0.5),
        ("r_mean", 0.6, 0.5),
        ("max_rank_norm", 60.0, 50.0),
        ("complete@20", 0.6, 0.5),
        ("rank_distance", 300.0, 4000.0),
        ("rank_distance_median", 30.0, 400.0),
        ("max_rank", 30.0, 400.0),
        ("language_prior", 0.1, 0.2),
        ("own_language_preference", 0.6, 0.9),
        ("own_language_preference", 0.45, 0.6),
        ("own_language_preference", 0.5, 0.4),
        ("own_language_preference", 0.9, 0.0),
        ("removal_gap", -0.1, 0.2),
        ("language_share@10", 1.2, 0.5),
        ("transfer_gap", 0.0, -0.1),
        ("worst_language", 0.4, 0.3),
    ],
)
def test_less_is_lost_by_what_is_better(name: str, better: float, worse: float) -> None:
    assert loss(name, better) < loss(name, worse)


@pytest.mark.parametrize("name", ["rank_distance_log2", "rank_spread", "clip_score", "ref_clip_score"])
def test_a_score_without_a_direction_has_no_better_values(name: str) -> None:
    assert direction_of(name) is loss(name, 0.5) is loss_contributions(name, np.ones(2), np.ones(2) / 2) is None


def test_an_ideal_that_depends_on_topics_must_be_given() -> None:
    assert constant_ideal("same_language_first") is loss("same_language_first", 0.4) is None
    assert loss("same_language_first", 0.2, 0.25) < loss("same_language_first", 0.4, 0.25)


@pytest.mark.parametrize(("name", "value"), [("AP", 0.4), ("rank_distance", 0.4), ("own_language_preference", 0.8)])
def test_contributions_sum_to_the_loss(name: str, value: float) -> None:
    shares = np.array([0.5, 0.3, 0.2])
    added = value * shares + [0.1, -0.2, 0.1]
    found = loss_contributions(name, added, shares)
    assert found.sum() == pytest.approx(loss(name, value))
    if name == "own_language_preference":
        assert loss_contributions(name, shares - added, shares) == pytest.approx(found)


def test_what_is_tested_everywhere_has_a_direction_and_an_ideal() -> None:
    for name in TESTED_BIAS_SCORES:
        assert direction_of(name)
        assert BIAS_SCORES[name].is_mean
