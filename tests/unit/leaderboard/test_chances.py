"""What random orders have in each column: against random orders, and what a result says of its AP."""

import numpy as np
import pytest
from unit.leaderboard.boards import honest
from unit.leaderboard.sites import MEASURES, SPARSE
from unit.statistics.cases import random_orders, ranks_of

from mlbench.leaderboard.columns import measured
from mlbench.leaderboard.evidence import gather
from mlbench.statistics.settings import SettingSums


def test_is_the_mean_of_random_orders() -> None:
    found = []
    for seed in range(12):
        ranks = ranks_of(SPARSE, random_orders(SPARSE, seed))
        result = honest(ranks, SPARSE, measures=MEASURES, bias_scores=())
        evidence = gather(result, ranks)
        found.append({column: measured(result, column) for column in evidence.chance})
    assert len(evidence.chance) == len(MEASURES) * 3
    for column, chance in evidence.chance.items():
        values = [number.value for each in found if (number := each[column]) is not None]
        assert np.mean(values) == pytest.approx(chance, abs=4 * np.std(values) / np.sqrt(len(values)))


def test_of_very_many_settings_that_of_average_precision_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    ranks = ranks_of(SPARSE, random_orders(SPARSE, 0))
    result = honest(ranks, SPARSE, measures=MEASURES, bias_scores=())
    few = gather(result, ranks).chance
    monkeypatch.setattr(SettingSums, "has_single_cells", False)
    many = gather(result, ranks).chance
    assert {column.name for column in many} == {"AP"}
    assert many == pytest.approx({column: few[column] for column in many})
