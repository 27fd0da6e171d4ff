"""Pairs the results of two sides: finds their files, checks that they measured the same, takes the common languages."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from mlbench.collection.languages import IMAGE, Setting, settings_of
from mlbench.compare.document import ComparedSystem
from mlbench.errors import UserError, suggest
from mlbench.evaluation.verify import read_ranks_of
from mlbench.provenance import Provenance
from mlbench.ranking.ranks import Ranks, can_answer
from mlbench.results import Result, TaskInfo, ranks_file, read_result, results_in

ENTRIES = Path("leaderboard") / "entries"
"""Where entries of a leaderboard lie, below the current folder."""


@dataclass(frozen=True, eq=False)
class ResultWithRanks:
    """A result, where it was read, and the counts beside it.

    Counts that are not `held` are read each time, so that those of one result at a time need be in memory.
    """

    path: Path
    result: Result
    held: Ranks | None = None

    @property
    def ranks(self) -> Ranks:
        """The counts; raises `InvalidResult` where they cannot be read."""
        return read_ranks_of(self.path, self.result) if self.held is None else self.held


@dataclass(frozen=True, eq=False)
class Side:
    """What one side was measured on: for each task one result, or one for each seed of a recipe."""

    name: str
    by_task: Mapping[str, tuple[ResultWithRanks, ...]]


@dataclass(frozen=True, eq=False)
class PairedRanks:
    """Both sides on one task, each with a result for each training seed, and what their counts can be asked.

    `shared_only` says that languages were left out.
    """

    task: TaskInfo
    languages: tuple[str, ...]
    shared_only: bool
    settings: tuple[Setting, ...]
    bias_scores: tuple[str, ...]
    base: tuple[ResultWithRanks, ...]
    candidate: tuple[ResultWithRanks, ...]

    def ranks_of(self, one: ResultWithRanks) -> Ranks:
        """Return the counts of a result in the languages that are compared."""
        whole = frozenset(self.languages) == frozenset(one.result.task.languages)
        return one.ranks if whole else restrict(one.ranks, self.languages)


def find_side(name: str) -> Side:
    """Read a result file, a folder of results, or else the entry of the leaderboard called `name`.

    Raises `UserError` where there is nothing such, or a folder has several results of one task that are not seeds of
    one recipe, and `InvalidResult` for what cannot be read.
    """
    path, entry = Path(name), ENTRIES / name
    if path.is_file():
        return read_side(name, [path])
    folder = path if path.is_dir() else entry
    if not folder.is_dir():
        entries = [each.name for each in ENTRIES.iterdir() if each.is_dir()] if ENTRIES.is_dir() else []
        hint = f"; of its entries, {suggest(name, entries)}" if entries else ""
        raise UserError(f"there is no result file, folder of results or leaderboard entry {name!r}{hint}")
    found = results_in(folder)
    if not found:
        raise UserError(f"no result document in {folder}: make one with mlbench run --out {folder}")
    return read_side(name, found)


def read_side(name: str, paths: Sequence[Path]) -> Side:
    """Read results, whose ranks files are read when they are asked for; raises as `find_side` does."""
    by_task: dict[str, list[ResultWithRanks]] = {}
    for path in paths:
        result = read_result(path)
        # A file that is missing, or of another result, is told at once.
        ranks_file(path, result)
        by_task.setdefault(result.task.name, []).append(ResultWithRanks(path, result))
    for task, found in by_task.items():
        _check_seeds(name, task, found)
    return Side(name, {task: tuple(sorted(found, key=_seed)) for task, found in sorted(by_task.items())})


def describe_system(system: Sequence[ResultWithRanks]) -> ComparedSystem:
    """Return what the document says of one side on one task."""
    return ComparedSystem(
        spec=system[0].result.retriever.label,
        fingerprints=tuple(each.result.retriever.fingerprint for each in system),
        files=tuple(each.path.name for each in system),
    )


def _check_seeds(name: str, task: str, found: Sequence[ResultWithRanks]) -> None:
    if len(found) == 1:
        return
    recipes = [each.result.retriever.training for each in found]
    known = [recipe for recipe in recipes if recipe is not None]
    alike = len(known) == len(found) and all(_recipe(each) == _recipe(known[0]) for each in known)
    if not alike or len({each.seed for each in known}) < len(found):
        raise UserError(
            f"{name} has {len(found)} results of {task} that are not training seeds of one recipe: name one file"
        )


def _recipe(training: Provenance) -> dict[str, JsonValue]:
    return {key: value for key, value in training.recipe.items() if key != "seed"}


def _seed(measured: ResultWithRanks) -> int:
    training = measured.result.retriever.training
    return training.seed if training is not None and training.seed is not None else 0


def pair_up(
    base: Sequence[ResultWithRanks], candidate: Sequence[ResultWithRanks], *, shared_languages: bool = False
) -> PairedRanks:
    """Set what was measured on one task side by side; with `shared_languages`, in those that all of it has.

    Raises `UserError` in one line with the first reason why it cannot be compared.
    """
    each, first = (*base, *candidate), base[0]
    task, wanted = first.result.task, frozenset(first.result.task.languages)
    if shared_languages:
        wanted = wanted.intersection(*(one.result.task.languages for one in each))
    for one in each[1:]:
        reason = why_incomparable(task, one.result.task, wanted, shared_languages=shared_languages)
        if reason := reason or _settings_differ(first, one, wanted) or judges_differ(first.result, one.result):
            raise UserError(f"{task.name}: {first.path} and {one.path} cannot be compared: {reason}")
    settings = _settings(first.result, wanted)
    shared_only = any(frozenset(one.result.task.languages) != wanted for one in each)
    common = [name for name in task.bias_scores if all(name in one.result.task.bias_scores for one in each)]
    pair = PairedRanks(
        task=task,
        languages=tuple(sorted(wanted)),
        shared_only=shared_only,
        settings=settings,
        bias_scores=tuple(common),
        base=tuple(base),
        candidate=tuple(candidate),
    )
    pools = {each.document_languages for each in settings}
    for one in each if shared_only else ():
        # The pool of fewer languages is not known of every ranker.
        ranks = pair.ranks_of(one)
        pools = {pool for pool in pools if can_answer(ranks, pool)}
    return replace(pair, settings=tuple(each for each in settings if each.document_languages in pools))


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
    if one.primary_measure != other.primary_measure:
        return f"their primary measures are {one.primary_measure} and {other.primary_measure}"
    if one.documents != other.documents:
        return f"the documents of one are {one.documents}, those of the other {other.documents}"
    return "one has parallel topics, the other not" if one.parallel != other.parallel else ""


def _settings_differ(one: ResultWithRanks, other: ResultWithRanks, languages: frozenset[str]) -> str:
    same = set(_settings(one.result, languages)) == set(_settings(other.result, languages))
    return "" if same else "they have different settings"


def judges_differ(one: Result, other: Result) -> str:
    """Say that the CLIPScores of two results are by different judges; the empty text where they are not."""
    if one.judge is None or other.judge is None or one.judge.fingerprint == other.judge.fingerprint:
        return ""
    judges = " and ".join(each.judge.label for each in (one, other) if each.judge)
    return f"their CLIPScores are by different judges, {judges}: measure both with one --clipscore-model"


def _settings(result: Result, languages: frozenset[str]) -> tuple[Setting, ...]:
    """Return the settings of a result, or those of the same kinds in fewer languages."""
    if languages == frozenset(result.task.languages):
        return tuple(Setting(each.query_language, each.document_languages) for each in result.settings)
    return settings_of(sorted(languages), {each.kind for each in result.settings})


def restrict(ranks: Ranks, languages: Collection[str]) -> Ranks:
    """Return the counts of queries and documents in some of the languages; the top of the lists is left out.

    Topics, clusters and queries are numbered as in a run with these languages alone. A ranker's pools that hold another
    language are left out: what stands ahead in them is not known. Images stay with their captions, whose closest other
    caption is not known among fewer.
    """
    kept = np.flatnonzero(np.isin(ranks.languages, [*languages, IMAGE]))
    names = set(ranks.languages[kept].tolist())
    columns = [index for index, column in enumerate(ranks.columns) if names.issuperset(column.split("+"))]
    queries = np.flatnonzero(np.isin(ranks.query_languages, kept))
    is_kept = np.isin(np.arange(len(ranks.languages)), kept)
    rows = np.flatnonzero(is_kept[ranks.query_languages][ranks.row_queries] & is_kept[ranks.row_languages])
    places = _places(ranks, columns)
    topics, query_topics = np.unique(ranks.query_topics[queries], return_inverse=True)
    clusters = np.unique(ranks.topic_clusters[topics], return_inverse=True)[1]
    row_documents = ranks.row_documents[rows]
    documents = np.flatnonzero(np.bincount(row_documents, minlength=len(ranks.document_ids)))
    # One row that stands for all queries goes on doing so.
    listed = ranks.listed[:1] if not ranks.listed.strides[0] else ranks.listed[queries]
    return replace(
        ranks,
        languages=ranks.languages[kept],
        columns=ranks.columns[columns],
        column_sizes=ranks.column_sizes[columns],
        topic_ids=ranks.topic_ids[topics],
        topic_clusters=clusters.astype(np.int32),
        query_topics=query_topics.astype(np.int32),
        query_languages=np.searchsorted(kept, ranks.query_languages[queries]).astype(np.int32),
        document_ids=ranks.document_ids[documents],
        document_languages=np.searchsorted(kept, ranks.document_languages[documents]).astype(np.int32),
        row_queries=_numbered_anew(queries, ranks.row_queries[rows]),
        row_documents=_numbered_anew(documents, row_documents),
        row_grades=ranks.row_grades[rows],
        ahead=ranks.ahead[rows][:, places],
        ties=ranks.ties[rows][:, places],
        top=np.empty((len(queries), 0), dtype=np.int32),
        listed=np.broadcast_to(listed[:, columns], (len(queries), len(columns))),
        alignment=None if ranks.alignment is None else _without_others(ranks.alignment[rows]),
        judged=None if ranks.judged is None else ranks.judged[rows],
    )


def _places(ranks: Ranks, columns: Sequence[int]) -> list[int]:
    """Return where in `ahead` the counts of columns stand; in compact ranks, those of all single languages at first."""
    front = len(ranks.columns) - ranks.ahead.shape[1]
    return [0, *(column - front for column in columns if column > front)] if ranks.is_compact else list(columns)


def _numbered_anew(kept: NDArray[np.int64], indexes: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return the places in `kept`, ascending indexes, of some that are among them."""
    numbers = np.zeros(int(kept.max(initial=-1)) + 1, dtype=np.int32)
    numbers[kept] = np.arange(len(kept))
    found: NDArray[np.int32] = numbers[indexes]
    return found


def _without_others(alignment: NDArray[np.float32]) -> NDArray[np.float32]:
    found = alignment.copy()
    found[:, 1] = np.nan
    return found
