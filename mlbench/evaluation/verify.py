"""Recomputes every number of a result document from its ranks file."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel

from mlbench.errors import InvalidResult
from mlbench.ranking.ranks import Ranks
from mlbench.ranking.ranks_file import read_ranks
from mlbench.results import Result, ranks_file, read_result
from mlbench.statistics.cluster_scores import ScoreRequest
from mlbench.statistics.score import score

_TOLERANCE = 1e-9
_MOST_CELLS = 2**30


@dataclass(frozen=True, slots=True)
class Verification:
    """What was recomputed: how many numbers, and in words those that differ (none, if all is well).

    The numbers of the result's `listed_measures` are not among them: they do not follow from ranks.
    """

    result: Result
    n_numbers: int
    differences: tuple[str, ...]


def verify(path: Path) -> Verification:
    """Recompute the result document at `path` from the ranks file beside it.

    Numbers may differ by 1e-9 of their size, since processors sum in different orders; counts may not. Raises
    `InvalidResult` when either file cannot be read, or the ranks file is not the one that the document names.
    """
    return recompute(*read_pair(path))


def recompute(result: Result, ranks: Ranks) -> Verification:
    """Recompute a document from its ranks, as `verify` does; raises `UserError` for settings they cannot answer."""
    scores = score(ranks, ScoreRequest.of_result(result))
    numbers, differences = 0, []
    parts = ("settings", "aggregates", "bias", "image_text", "statistics")
    for part in parts:
        stated, computed = _plain(getattr(result, part)), _plain(getattr(scores, part))
        if part in ("settings", "aggregates"):
            stated = _without(result.listed_measures, stated)
        numbers += _count(computed)
        differences += _differences(part, stated, computed)
    return Verification(result, numbers, tuple(differences))


def read_pair(path: Path) -> tuple[Result, Ranks]:
    """Read a result document and its ranks file; raises `InvalidResult` when they do not belong together."""
    result = read_result(path)
    return result, read_ranks_of(path, result)


def read_ranks_of(path: Path, result: Result) -> Ranks:
    """Read the ranks file of a `result` that was read from `path`; raises `InvalidResult` as `read_pair` does."""
    beside = ranks_file(path, result)
    if beside is None:
        missing = path.parent / result.ranks.name
        raise InvalidResult(f"cannot read {missing}: No such file or directory; it belongs to {path.name}")
    ranks = read_ranks(beside)
    if ranks.spoken_languages != result.task.languages:
        raise InvalidResult(f"{path} and {beside.name} have different languages")
    _check_effort(path, result, ranks)
    return ranks


def _check_effort(path: Path, result: Result, ranks: Ranks) -> None:
    """Refuse what would take more memory to recompute than any run that could have made it."""
    asked = [(s.query_language, s.document_languages) for s in result.settings]
    for what, names in (("setting", asked), ("measure", result.task.measures), ("score", result.task.bias_scores)):
        if len(set(names)) < len(names):
            raise InvalidResult(f"{path} has one {what} twice")
    rows = max(result.statistics.resamples, len(ranks.topic_ids))
    cells = max(rows * len(asked) * len(result.task.measures), len(ranks.topic_ids) * len(ranks.languages) ** 2)
    if cells > _MOST_CELLS:
        raise InvalidResult(f"{path} asks for {cells:,} numbers at once: at most {_MOST_CELLS:,} are recomputed")


def _without(measures: Sequence[str], part: object) -> object:
    """Return a part without the values of some measures, wherever there are values by measure."""
    if isinstance(part, list):
        return [_without(measures, item) for item in part]
    if isinstance(part, dict):
        return {key: _without(measures, value) for key, value in part.items() if key not in measures}
    return part


def _plain(part: object) -> object:
    if isinstance(part, BaseModel):
        return part.model_dump(mode="json")
    if isinstance(part, tuple):
        return [_plain(item) for item in part]
    return part


def _count(value: object) -> int:
    if isinstance(value, dict):
        return sum(_count(item) for item in value.values())
    if isinstance(value, list):
        return sum(_count(item) for item in value)
    return int(isinstance(value, int | float) and not isinstance(value, bool))


def _differences(place: str, stated: object, computed: object) -> list[str]:
    if isinstance(stated, dict) and isinstance(computed, dict) and stated.keys() == computed.keys():
        return [found for key in computed for found in _differences(f"{place}.{key}", stated[key], computed[key])]
    if isinstance(stated, list) and isinstance(computed, list) and len(stated) == len(computed):
        pairs = enumerate(zip(stated, computed, strict=True))
        return [found for index, (one, two) in pairs for found in _differences(f"{place}[{index}]", one, two)]
    if isinstance(stated, float) and isinstance(computed, float):
        same = abs(stated - computed) <= _TOLERANCE * max(1.0, abs(computed))
    else:
        same = stated == computed
    return [] if same else [f"{place} is {_short(stated)}, recomputed {_short(computed)}"]


def _short(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."
