"""Whether two sides were measured on the same thing, and the counts of both where they were."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mlbench.errors import UserError
from mlbench.languages import IMAGE, Setting, settings_of
from mlbench.ranks import Ranks, can_answer, pool_counts
from mlbench.regression.sharing import restrict
from mlbench.regression.sources import Measured
from mlbench.results import Result, TaskInfo

OF_DEPTH = frozenset(
    {"rank_distance", "rank_distance_median", "rank_distance_log2", "max_rank", "max_rank_norm", "rank_spread"}
)
"""The bias scores that depend on where lists end, and are compared only where both sides' lists are equally long."""


@dataclass(frozen=True, eq=False)
class Pair:
    """The counts of both sides on one task, one `Ranks` for each training seed, and what they can be asked.

    `shared_only` says that languages were left out.
    """

    task: TaskInfo
    languages: tuple[str, ...]
    shared_only: bool
    settings: tuple[Setting, ...]
    bias_scores: tuple[str, ...]
    base: tuple[Ranks, ...]
    candidate: tuple[Ranks, ...]


def pair_up(base: Sequence[Measured], candidate: Sequence[Measured], *, shared_languages: bool = False) -> Pair:
    """Set what was measured on one task side by side; with `shared_languages`, in those that all of it has.

    Raises `UserError` in one line with the first reason why it cannot be compared.
    """
    each, first = (*base, *candidate), base[0]
    task, wanted = first.result.task, frozenset(first.result.task.languages)
    if shared_languages:
        wanted = wanted.intersection(*(one.result.task.languages for one in each))
    for one in each[1:]:
        reason = why_incomparable(task, one.result.task, wanted, shared_languages=shared_languages)
        if reason := reason or _settings_differ(first, one, wanted):
            raise UserError(f"{task.name}: {first.path} and {one.path} cannot be compared: {reason}")
    counts = [_share(one, wanted) for one in each]
    settings = _settings(first.result, wanted)
    shared_only = any(frozenset(one.result.task.languages) != wanted for one in each)
    if shared_only:
        # The pool of fewer languages is not known of every ranker.
        settings = tuple(each for each in settings if all(can_answer(one, each.document_languages) for one in counts))
    common = [name for name in task.bias_scores if all(name in one.result.task.bias_scores for one in each)]
    if not _equally_deep(counts):
        common = [name for name in common if name not in OF_DEPTH]
    return Pair(
        task=task,
        languages=tuple(sorted(wanted)),
        shared_only=shared_only,
        settings=settings,
        bias_scores=tuple(common),
        base=tuple(counts[: len(base)]),
        candidate=tuple(counts[len(base) :]),
    )


def why_incomparable(
    one: TaskInfo, other: TaskInfo, languages: frozenset[str], *, shared_languages: bool = False
) -> str:
    """Say why two results of a task cannot be compared in these languages; the empty text where they can."""
    if one.version != other.version:
        return f"they are of versions {one.version} and {other.version} of the task"
    if one.limit != other.limit:
        return f"their limits are {one.limit or 'none'} and {other.limit or 'none'}"
    if one.languages != other.languages and not shared_languages:
        have = " and ".join(", ".join(each.languages) for each in (one, other))
        return f"their languages are {have}; --shared-languages compares those of both"
    if not languages:
        return "they share no language"
    tags = [*sorted(languages), IMAGE]
    differing = [tag for tag in tags if one.fingerprints.get(tag) != other.fingerprints.get(tag)]
    if differing or (one.languages == other.languages and one.fingerprint != other.fingerprint):
        if differing == [IMAGE] and one.languages != other.languages:
            return "their images differ, or images have more captions in the languages that are left out"
        return f"their data differs{' in ' if differing else ''}{', '.join(differing)}"
    if set(one.measures) != set(other.measures) or one.primary_measure != other.primary_measure:
        named = " and ".join(f"{', '.join(each.measures)} (primary {each.primary_measure})" for each in (one, other))
        return f"their measures are {named}"
    return "one has parallel topics, the other not" if one.parallel != other.parallel else ""


def _settings_differ(one: Measured, other: Measured, languages: frozenset[str]) -> str:
    same = set(_settings(one.result, languages)) == set(_settings(other.result, languages))
    return "" if same else "they have different settings"


def _settings(result: Result, languages: frozenset[str]) -> tuple[Setting, ...]:
    """Return the settings of a result, or those of the same kinds in fewer languages."""
    if languages == frozenset(result.task.languages):
        return tuple(Setting(each.query_language, each.document_languages) for each in result.settings)
    return settings_of(sorted(languages), {each.kind for each in result.settings})


def _equally_deep(counts: Sequence[Ranks]) -> bool:
    """Say whether the lists over the pool of all languages, and of all images, end at the same depth for each query."""
    wholes = [counts[0].spoken_languages, *([(IMAGE,)] if counts[0].has_images else [])]
    for whole in wholes:
        pools = [pool_counts(one, whole).listed for one in counts if can_answer(one, whole)]
        if not all(np.array_equal(pools[0], listed) for listed in pools[1:]):
            return False
    return True


def _share(measured: Measured, languages: frozenset[str]) -> Ranks:
    whole = languages == frozenset(measured.result.task.languages)
    return measured.ranks if whole else restrict(measured.ranks, languages)
