"""Bias scores of simulated retrievers: chance where they are blind to language, and in order where bias is planted.

`tests/bench/calibration.py` does the same with a thousand retrievers of each kind.
"""

from importlib import import_module

import numpy as np
import pytest

from mlbench.measures.bias import BIAS_SCORES

calibration = import_module("tests.bench.calibration")
RARE = {"complete@m", "complete@20", "complete@100", "language_preference_rate", "PEER@20"}


@pytest.mark.parametrize("kind", ["random", "short lists", "random, native", "ties, native"])
def test_blind_retrievers_are_at_chance(kind: str) -> None:
    simulated = calibration.KINDS[kind]
    found: dict[str, list[float]] = {}
    for seed in range(12):
        for each in calibration.bias_of(simulated, seed, resamples=2).scores:
            if each.value is not None and not (simulated.skill and each.name in calibration.OF_RANDOM_ORDERS):
                found.setdefault(each.name, []).append(each.value - (each.references["chance"] or 0.0))
    assert len(found) >= 4
    for name, differences in found.items():
        if name not in RARE and BIAS_SCORES[name].is_mean:
            error = np.std(differences) / np.sqrt(len(differences))
            assert abs(np.mean(differences)) < 4.5 * error + 1e-9, name


@pytest.mark.parametrize(
    ("what", "translated", "scores"),
    [
        ("own", True, ("own_language_preference", "same_language_first", "removal_gap", "language_preference_rate")),
        ("own", False, ("own_language_preference", "own_language_exposure")),
        ("favoured", True, ("language_prior",)),
        ("favoured", False, ("language_exposure", "PEER", "AWRF")),
    ],
)
def test_planted_biases_come_out_in_order(
    what: str, translated: bool, scores: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibration, "PLANTED", (0.0, 0.5, 1.5))
    found = calibration.planted(calibration.Kind(translated=translated, skill=2.0), what, range(2))
    for name in scores:
        none, some, much = found[name]
        fair_is_high = name in ("PEER", "AWRF")
        assert (none > some > much) if fair_is_high else (none < some < much), (name, found[name])
