"""The data and protocol that the leaderboard accepts for a task, and the numbers that papers report for it."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from hashlib import sha256
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, SerializerFunctionWrapHandler, ValidationInfo, field_serializer, field_validator

from mlbench.collection.languages import IMAGE, IMAGE_KINDS, Kind, settings_of
from mlbench.errors import UserError
from mlbench.io.document import DocumentPart
from mlbench.leaderboard.check_files import (
    LARGEST_COMPACT_RANKS,
    LARGEST_DOCUMENT,
    LARGEST_RANKS,
    MOST_VALUES,
    canonical,
)
from mlbench.leaderboard.entries import ReportedTask, ReportedValue
from mlbench.measures.bias import BIAS_SCORES
from mlbench.measures.ranked import parse
from mlbench.ranking.ranks import MISSING, Ranks, are_many_counts
from mlbench.results import Result, SettingResult, Statistics, TaskInfo, digest
from mlbench.statistics.cluster_scores import describe_data

SCHEMA_VERSION: Final = "2.0"
_LONGEST_ID = 80
_MOST_LISTED = 1000


class AcceptedSetting(DocumentPart):
    """One setting, with the numbers of queries and documents that every result of the task has in it."""

    kind: Kind
    query_language: str
    document_languages: tuple[str, ...]
    n_queries: int
    n_documents: int


class Sizes(DocumentPart):
    """How long the arrays of a ranks file are; `rows` are pairs of a query and a relevant document, `top` a depth."""

    topics: int = Field(ge=1)
    queries: int = Field(ge=1)
    rows: int = Field(ge=1)
    documents: int = Field(ge=1)
    top: int = Field(ge=0)


class AcceptedTask(DocumentPart):
    """What a result must be of to stand on the leaderboard: the data, aspect by aspect, and the protocol.

    `data` are digests (see `describe_data`), `missing documents` among them: which relevant documents the
    corpus lacks. Where the fingerprint of the task is empty, whoever accepted it has not read the corpora, as they are
    too large: texts may be any, while queries, judgments and sizes are as everywhere. Where there are more than 1,000
    settings, and those of each kind have the same sizes, a document says them once for each kind.
    """

    schema_version: Literal["2.0"] = SCHEMA_VERSION
    task: TaskInfo
    statistics: Statistics
    settings: tuple[AcceptedSetting, ...]
    sizes: Sizes
    data: dict[str, str]

    @field_serializer("settings", mode="wrap")
    def _by_kind(self, settings: tuple[AcceptedSetting, ...], listed: SerializerFunctionWrapHandler) -> object:
        sizes = {each.kind: {"n_queries": each.n_queries, "n_documents": each.n_documents} for each in settings}
        is_short = len(settings) > _MOST_LISTED and _of_each_kind(self.task.languages, sizes) == settings
        return sizes if is_short else listed(settings)

    @field_validator("settings", mode="before")
    @classmethod
    def _of_kinds(cls, stated: object, info: ValidationInfo) -> object:
        if isinstance(stated, dict) and "task" in info.data and all(isinstance(each, dict) for each in stated.values()):
            return _of_each_kind(info.data["task"].languages, stated)
        # What comes out of here is no longer read as JSON, whose lists are tuples.
        return tuple(map(AcceptedSetting.model_validate, stated)) if isinstance(stated, list) else stated

    @cached_property
    def content_digest(self) -> bytes:
        """The SHA-256 of all that is accepted."""
        return sha256(canonical(self.model_dump(mode="json"))).digest()

    @property
    def has_images(self) -> bool:
        """Whether the task is one of captioned images."""
        return any(setting.kind in IMAGE_KINDS for setting in self.settings)

    def is_compact(self, kind: Literal["encoder", "ranker"]) -> bool:
        """Say whether the ranks of a retriever hold what settings ask for alone, as there are many languages."""
        return are_many_counts(self.sizes.rows, self._columns(kind))

    @property
    def largest(self) -> int:
        """How many bytes the arrays of an honest ranks file can take, of an encoder or a ranker."""
        return max(self._bytes("encoder"), self._bytes("ranker"))

    @property
    def largest_file(self) -> int:
        """How many bytes a ranks file may have, packed."""
        return LARGEST_COMPACT_RANKS if self.is_compact("encoder") or self.is_compact("ranker") else LARGEST_RANKS

    @property
    def largest_document(self) -> int:
        """How many bytes a result document may have."""
        return LARGEST_DOCUMENT + 2**10 * len(self.settings)

    @property
    def most_values(self) -> int:
        """How many values a result document may have."""
        return MOST_VALUES + 2**7 * len(self.settings)

    def n_texts(self, ranks: Ranks) -> int:
        """Return how many queries and documents there are; `ranks` say which relevant documents the corpus lacks."""
        return self.sizes.queries + self.sizes.documents - int(_missing(ranks).sum())

    def _bytes(self, kind: Literal["encoder", "ranker"]) -> int:
        sizes, columns, counted = self.sizes, self._columns(kind), self._columns(kind)
        if self.is_compact(kind):
            pools = sum(len(pool) > 1 for pool in self._pools)
            columns, counted = columns + pools, 1 + pools
        # A cosine is as large as an integer, and every row has two.
        per_row = 3 + 2 * counted + 2 * self.has_images
        integers = sizes.rows * per_row + sizes.queries * (2 + sizes.top + columns)
        texts = _LONGEST_ID * (sizes.topics + sizes.documents) + columns * sum(map(len, self._languages)) * 2
        return 4 * (integers + sizes.topics + sizes.documents + texts) + 2**16

    def _columns(self, kind: Literal["encoder", "ranker"]) -> int:
        """Return how many columns counts have where none is left out."""
        return len(self._languages if kind == "encoder" else self._pools)

    @property
    def _languages(self) -> tuple[str, ...]:
        return (*self.task.languages, *([IMAGE] if self.has_images else []))

    @property
    def _pools(self) -> set[tuple[str, ...]]:
        return {setting.document_languages for setting in self.settings}


def _of_each_kind(languages: Sequence[str], sizes: Mapping[Kind, Mapping[str, int]]) -> tuple[AcceptedSetting, ...]:
    """Return all settings of the kinds that `sizes` has, with these sizes; raises `ValueError` for what are none."""
    return tuple(
        AcceptedSetting.model_validate(
            {
                **sizes[setting.kind],
                "kind": setting.kind,
                "query_language": setting.query_language,
                "document_languages": setting.document_languages,
            }
        )
        for setting in settings_of(languages, sizes)
    )


def accept(result: Result, ranks: Ranks) -> AcceptedTask:
    """Return what a trusted result says of its task; raises `UserError` for one of a part of the task."""
    if part := _part_of(result.task):
        raise UserError(f"the result is of a part of {result.task.name}: {part}")
    if result.listed_measures:
        raise UserError(f"{', '.join(result.listed_measures)} cannot be recomputed from ranks: measure without it")
    if result.judge is not None:
        raise UserError("CLIPScores by a judge cannot be checked: measure without --clipscore-model")
    accepted = AcceptedTask(
        task=result.task,
        statistics=result.statistics,
        settings=tuple(_reduced(setting) for setting in result.settings),
        sizes=Sizes(
            topics=len(ranks.topic_ids),
            queries=len(ranks.query_topics),
            rows=len(ranks.row_queries),
            documents=_n_documents(result.settings) + int(_missing(ranks).sum()),
            top=ranks.top.shape[1],
        ),
        data=describe(ranks, result.settings),
    )
    if ranks.is_compact != accepted.is_compact(result.retriever.kind):
        raise UserError(f"entries have other counts of {result.task.name} than these: measure it without --pools")
    return accepted


def describe(ranks: Ranks, settings: Sequence[SettingResult]) -> dict[str, str]:
    """Return digests of what was measured on, aspect by aspect; `settings` are those that the result states.

    Where the ranks of an encoder or a ranker may be compact, digests do not depend on the order of the rows of a query.
    Elsewhere they are made of lists in the order of the rows, as committed accepted tasks state them.
    """
    n_documents = np.array([setting.n_documents for setting in settings], dtype=np.int64)
    missing = np.flatnonzero(_missing(ranks))
    pools = {setting.document_languages for setting in settings}
    if are_many_counts(len(ranks.row_queries), max(len(ranks.languages), len(pools))):
        data, documents = describe_data(ranks, n_documents), ranks.document_ids[ranks.row_documents[missing]]
        lost: Sequence[object] = sorted(zip(ranks.row_queries[missing].tolist(), documents.tolist(), strict=True))
    else:
        data, lost = _describe_lists(ranks, n_documents), missing.tolist()
    return {**data, "missing documents": digest(repr(lost).encode())}


def _describe_lists(ranks: Ranks, n_documents: NDArray[np.int64]) -> dict[str, str]:
    """Return the digests of `describe_data` made of lists, in the order of the rows."""
    documents = ranks.document_ids[ranks.row_documents]
    aspects: dict[str, tuple[NDArray[np.generic], ...]] = {
        "languages": (ranks.languages,),
        "topics": (ranks.topic_ids,),
        "clusters": (ranks.cluster_unit, ranks.topic_clusters),
        "queries": (ranks.query_topics, ranks.query_languages),
        "relevant documents": (ranks.row_queries, documents, ranks.row_languages, ranks.row_grades),
        "numbers of documents": (n_documents,),
    }
    if ranks.grade_scale is not None:
        aspects["grades"] = (ranks.grade_scale,)
    return {aspect: digest(repr([each.tolist() for each in arrays]).encode()) for aspect, arrays in aspects.items()}


def protocol_fault(accepted: AcceptedTask, result: Result) -> str:
    """Say in what a result is not of the accepted data and protocol, as far as the document tells; or nothing."""
    if part := _part_of(result.task):
        return f"it is of a part of the task: {part}"
    unread = set() if accepted.task.fingerprint else {"fingerprint", "fingerprints"}
    for part, stated, wanted in (
        ("task", result.task.model_dump(), accepted.task.model_dump()),
        ("statistics", result.statistics.model_dump(), accepted.statistics.model_dump()),
    ):
        for key, value in wanted.items():
            if stated[key] != value and key not in unread:
                return f"{part}.{key} is {_short(stated[key])}, accepted is {_short(value)}"
    found = tuple(_reduced(setting) for setting in result.settings)
    if len(found) != len(accepted.settings):
        return f"it has {len(found):,} settings, accepted are {len(accepted.settings):,}"
    for index, (one, other) in enumerate(zip(found, accepted.settings, strict=True)):
        if one != other:
            return f"settings[{index}] is not the accepted one, of {other.query_language} queries"
    return ""


def _part_of(task: TaskInfo) -> str:
    """Say what to do about a result that is not of a whole task; nothing for one that is."""
    if task.unreadable_images:
        return f"{task.unreadable_images:,} of its images could not be read: fetch them anew"
    return "measure the whole task" if task.partial or task.limit is not None else ""


def shape_fault(accepted: AcceptedTask, ranks: Ranks) -> str:
    """Say which array of a ranks file cannot be of the accepted data, by its length alone; or nothing."""
    sizes = accepted.sizes
    wanted = {
        "topic_ids": sizes.topics,
        "query_topics": sizes.queries,
        "row_queries": sizes.rows,
    }
    for name, length in wanted.items():
        if len(getattr(ranks, name)) != length:
            return f"{name} has {len(getattr(ranks, name)):,} entries, accepted are {length:,}"
    if ranks.top.shape[1] != sizes.top:
        return f"top is {ranks.top.shape[1]:,} documents deep, accepted are {sizes.top:,}"
    if len(ranks.document_ids) > sizes.documents:
        return f"document_ids names {len(ranks.document_ids):,} documents, there are {sizes.documents:,}"
    return ""


def data_fault(accepted: AcceptedTask, data: Mapping[str, str]) -> str:
    """Say which aspect of the data that was measured on is not the accepted one; or nothing."""
    differing = [aspect for aspect, wanted in accepted.data.items() if data.get(aspect) != wanted]
    return f"its ranks are of other {', '.join(differing)} than the accepted ones" if differing else ""


def _reduced(setting: SettingResult) -> AcceptedSetting:
    return AcceptedSetting(**{name: getattr(setting, name) for name in AcceptedSetting.model_fields})


def _n_documents(settings: Sequence[SettingResult]) -> int:
    """Return how many documents all languages have together, whether or not a setting pools them."""
    pools = {setting.document_languages: setting.n_documents for setting in settings}
    return max(sum(size for languages, size in pools.items() if len(languages) == 1), *pools.values(), 0)


def _missing(ranks: Ranks) -> NDArray[np.bool_]:
    """Say of each row whether its document is missing from the corpus, bool (rows,)."""
    missing: NDArray[np.bool_] = (ranks.ahead == MISSING).any(axis=1)
    return missing


def _short(value: object) -> str:
    shown = ascii(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."


def reported_fault(reported: ReportedTask, accepted: AcceptedTask) -> str:
    """Say which reported number cannot be one of the accepted task, or nothing."""
    if not reported.values:
        return f"{reported.task}: it reports no number"
    met = set()
    for index, value in enumerate(reported.values):
        place = f"{reported.task}: values[{index}]"
        if fault := _value_fault(value, accepted):
            return f"{place} {fault}"
        key = (value.name, value.kind, value.query_language)
        if key in met:
            return f"{place} is reported twice"
        met.add(key)
    return ""


def _value_fault(value: ReportedValue, accepted: AcceptedTask) -> str:
    if value.query_language is not None and value.query_language not in accepted.task.languages:
        return f"is of a language that {accepted.task.name} has not"
    if value.kind is not None and value.kind not in {setting.kind for setting in accepted.settings}:
        return f"is of settings that {accepted.task.name} has not"
    if value.kind is None:
        return _bias_fault(value, accepted)
    if not _is_measure(value.name):
        return f"is of an unknown measure {value.name!r}"
    return "" if 0 <= value.value <= 1 else f"is {value.value:g}, which no {value.name} can be: write a fraction"


def _bias_fault(value: ReportedValue, accepted: AcceptedTask) -> str:
    if value.name not in BIAS_SCORES:
        return f"has no kind and is of an unknown bias score {value.name!r}"
    largest = max(setting.n_documents for setting in accepted.settings)
    return "" if abs(value.value) <= largest else f"is {value.value:g}, more than there are documents"


def _is_measure(name: str) -> bool:
    try:
        return parse(name).name == name
    except UserError:
        return False
