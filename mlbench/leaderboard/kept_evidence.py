"""The evidence of an entry, kept in the cache folder under the digests of its files, so that ranks are read once."""

from collections.abc import Callable, Iterable
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlbench.collection.languages import KINDS
from mlbench.leaderboard.columns import BoardColumn
from mlbench.leaderboard.kept import Arrays, kept_arrays
from mlbench.leaderboard.standings import Evidence

_BY_COLUMN = tuple(field.name for field in fields(Evidence) if field.name not in ("data", "settings", "confidence"))


def kept_evidence(task: str, parts: Iterable[bytes], find: Callable[[], Evidence]) -> Evidence:
    """Return the evidence that `find` gathers of the files whose digests are `parts`, or what was gathered before."""
    return _of_arrays(kept_arrays(task, parts, lambda: _to_arrays(find())))


def _to_arrays(evidence: Evidence) -> dict[str, NDArray[Any]]:
    arrays: dict[str, NDArray[Any]] = {
        "data": np.array(sorted(evidence.data.items()), dtype=np.str_).reshape(-1, 2),
        "settings": evidence.settings,
        "confidence": np.array(evidence.confidence),
    }
    for name in _BY_COLUMN:
        held = getattr(evidence, name)
        arrays |= {f"{name}_of": np.array([column.key for column in held], dtype=np.str_)}
        arrays |= {name: np.array(list(held.values()), dtype=np.float64)}
    return arrays


def _of_arrays(arrays: Arrays) -> Evidence:
    by_column = {
        name: dict(zip(map(_column, arrays[f"{name}_of"].tolist()), arrays[name], strict=True)) for name in _BY_COLUMN
    }
    return Evidence(
        data=dict(arrays["data"].tolist()),
        settings=arrays["settings"],
        confidence=float(arrays["confidence"]),
        **by_column,
    )


def _column(key: str) -> BoardColumn:
    name, _, kind = key.rpartition(".")
    return next((BoardColumn(name, each) for each in KINDS if each == kind), BoardColumn(key))
