"""Index costs: what approximate indexes change in every number, how fast and how large they are."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from mlbench.collection.languages import KINDS, Kind
from mlbench.compare.compare import differences_of_pair
from mlbench.compare.pairing import ResultWithRanks, pair_up
from mlbench.errors import InvalidResult, UserError
from mlbench.io.document import DocumentPart
from mlbench.measures.formulas import UNRETRIEVED
from mlbench.protocols import IndexCost, Parameter
from mlbench.ranking.ranks import MISSING, UNKNOWN, UNLISTED, Ranks, pool_counts
from mlbench.results import Bounds, Result, RetrieverInfo, Statistics
from mlbench.statistics.clusters import finite
from mlbench.statistics.differences import Difference, Differences, Subject
from mlbench.version import __version__

SCHEMA_VERSION: Final = "2.0"


class Change(DocumentPart):
    """The value with an index minus one without, and its paired interval over clusters of topics."""

    difference: float | None
    interval: Bounds | None


class IndexCostLine(DocumentPart):
    """A measure over the settings of a kind, or of those that ask in one language; without a kind, a bias score.

    `exact` is the value of whole exact lists, `cut` that of exact lists which end where those of the index end, `value`
    that of the index. `change` is value minus exact, `own` value minus cut: what the index itself does. All are null
    where they cannot be computed or, as of ranks in lists that end elsewhere, not be compared.
    """

    name: str
    kind: Kind | None
    query_language: str | None
    exact: float | None
    cut: float | None
    value: float | None
    change: Change
    own: Change


class Overlap(DocumentPart):
    """The mean share of an exact list's first `cutoff` documents that the index has among its own first.

    In the pool of all languages; for the queries of one language, or without it for all.
    """

    cutoff: int
    query_language: str | None
    share: float


class Speed(DocumentPart):
    """How fast an index answers in its largest pools, those of most languages, one query at a time in one thread.

    `against_flat` is how many times as fast as brute force in the same pools, null where that was not measured.
    """

    document_languages: tuple[tuple[str, ...], ...]
    n_documents: int
    n_queries: int
    queries_per_second: float
    against_flat: float | None
    build_seconds: float
    bytes: int


class IndexReport(DocumentPart):
    """One index; `unretrieved` are the shares of relevant documents that lists do not hold, by kind of settings."""

    name: str
    kind: str
    keys: dict[str, Parameter]
    faiss: str
    file: str
    fingerprint: str
    lines: tuple[IndexCostLine, ...]
    overlaps: tuple[Overlap, ...]
    unretrieved: dict[Kind, float]
    speed: Speed
    pools: tuple[IndexCost, ...]

    def line(self, name: str, kind: Kind | None = None, query_language: str | None = None) -> IndexCostLine | None:
        """Return the line of a measure or bias score, or None where there is none."""
        wanted = (name, kind, query_language)
        return next((each for each in self.lines if (each.name, each.kind, each.query_language) == wanted), None)

    def overlap(self, cutoff: int, query_language: str | None = None) -> float | None:
        """Return the overlap at a cutoff, None where the pool of all languages was not asked."""
        found = (each for each in self.overlaps if (each.cutoff, each.query_language) == (cutoff, query_language))
        return next((each.share for each in found), None)


class Exact(DocumentPart):
    """The result without an index: it counts the ranks of relevant documents in all pools at once, in batches.

    `spec` is what its retriever is called, by its name or else its spec.
    """

    spec: str
    file: str
    fingerprint: str
    n_queries: int
    n_documents: int
    rank_seconds: float


class IndexCosts(DocumentPart):
    """Every index against the exact result, in the order of kinds and, within one, of speed, the slowest first."""

    schema_version: Literal["2.0"] = SCHEMA_VERSION
    mlbench: str
    task: str
    version: str
    fingerprint: str
    languages: tuple[str, ...]
    limit: int | None
    primary_measure: str
    statistics: Statistics
    exact: Exact
    indexes: tuple[IndexReport, ...]


def cut_lists(exact: Ranks, indexed: Ranks, lengths: Mapping[str, int]) -> Ranks:
    """Return the counts of `exact` as a ranker's whose lists end after `lengths` documents, by the names of columns.

    Pools and queries are those that `indexed` was asked for, each of whose columns has a length; both are of the same
    data. Raises `InvalidResult` where they are not, and `UserError` where one of them alone is compact.
    """
    if len(exact.row_queries) != len(indexed.row_queries) or len(exact.query_topics) != len(indexed.query_topics):
        raise InvalidResult("the exact result and that of an index have other queries or relevant documents")
    if exact.is_compact != indexed.is_compact:
        raise UserError("one of the results keeps the counts of all pools, the other not: run both with --pools asked")
    missing = (exact.ahead == MISSING).any(axis=1)
    ahead = np.full(indexed.ahead.shape, UNKNOWN, dtype=np.int32)
    ties = np.full_like(ahead, UNKNOWN)
    most = np.array([lengths[name] for name in indexed.columns.tolist()], dtype=np.int64)
    for place in range(indexed.ahead.shape[1]):
        columns = indexed.columns_at(place)
        rank, exact_ties = _exact_counts(exact, indexed, place)
        inside = indexed.columns_hold[exact.row_languages, columns] & (columns >= 0)
        rows = inside & (indexed.listed[exact.row_queries, columns] >= 0) & ~missing
        listed_there = rank <= most[columns]
        ahead[rows, place] = np.where(listed_there, rank - 1, UNLISTED)[rows]
        ties[rows, place] = np.where(listed_there, exact_ties, UNKNOWN)[rows]
    ahead[missing], ties[missing] = MISSING, 0
    listed = np.where(indexed.listed >= 0, np.minimum(most, indexed.column_sizes), -1).astype(np.int32)
    return replace(
        exact, columns=indexed.columns, column_sizes=indexed.column_sizes, ahead=ahead, ties=ties, listed=listed
    )


def _exact_counts(exact: Ranks, indexed: Ranks, place: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return rank and ties of each row in the columns that `indexed` has at a place, int64 (rows,)."""
    if indexed.is_compact and not place:
        own = exact.ahead[:, 0].astype(np.int64)
        return np.where(own >= 0, own + 1, UNRETRIEVED), exact.ties[:, 0].astype(np.int64)
    column = len(indexed.columns) - indexed.ahead.shape[1] + place
    counts = pool_counts(exact, str(indexed.columns[column]).split("+"))
    return counts.rank, counts.ties


def overlaps(exact: Ranks, indexed: Ranks, cutoff: int) -> NDArray[np.float64]:
    """Return for each query which share of the first `cutoff` of its exact list the other list has so early.

    Float64 (queries,), of the pool of all languages; NaN for a query that was not asked there.
    """
    whole = indexed.column_of(indexed.languages.tolist())
    shares = np.full(len(exact.query_topics), np.nan)
    if whole is None:
        return shares
    numbers = {name: number for number, name in enumerate(exact.document_ids.tolist())}
    # What the exact list does not name is no document of it, whatever its number.
    renamed = np.array([numbers.get(name, -2) for name in indexed.document_ids.tolist()] + [-2], dtype=np.int64)
    best, found = exact.top[:, :cutoff], renamed[indexed.top[:, :cutoff]]
    for query in np.flatnonzero(indexed.listed[:, whole] >= 0):
        wanted = best[query][best[query] >= 0]
        if len(wanted):
            shares[query] = np.isin(wanted, found[query]).mean()
    return shares


CUTOFFS = (10, 20)
"""How many documents at the top of two lists are compared."""
_ORDER = ("flat", "hnsw", "ivfpq")
_PREFIX = "index."


@dataclass(frozen=True, kw_only=True)
class IndexCostOptions:
    """How intervals are made."""

    resamples: int = 2000
    seed: int = 0
    confidence: float = 0.95


def compare_indexes(
    exact: ResultWithRanks, indexed: Sequence[ResultWithRanks], options: IndexCostOptions | None = None
) -> IndexCosts:
    """Compare results of indexes with the exact result of the same encoder on the same task.

    Raises `UserError` in one line where a result is not of an index over that encoder, or not of the same data.
    """
    options = options or IndexCostOptions()
    if exact.result.retriever.kind != "encoder":
        raise UserError(f"{exact.path} is of a ranker: give the result of the run without --index first")
    for each in indexed:
        _check(exact, each)
    compared = [_differences(exact, each, options) for each in indexed]
    flat = {cost.document_languages: cost for each in indexed if _kind(each) == "flat" for cost in _costs(each)}
    reports = [_report(exact, each, found, flat) for each, found in zip(indexed, compared, strict=True)]
    first = exact.result
    return IndexCosts(
        mlbench=__version__,
        task=first.task.name,
        version=first.task.version,
        fingerprint=first.task.fingerprint,
        languages=first.task.languages,
        limit=first.task.limit,
        primary_measure=first.task.primary_measure,
        statistics=compared[0][0].statistics,
        exact=Exact(
            spec=first.retriever.label,
            file=exact.path.name,
            fingerprint=first.retriever.fingerprint,
            n_queries=len(exact.ranks.query_topics),
            n_documents=int(exact.ranks.column_sizes.sum()),
            rank_seconds=first.cost.rank_seconds,
        ),
        indexes=tuple(sorted(reports, key=_place)),
    )


def _place(report: IndexReport) -> tuple[int, str, float]:
    known = _ORDER.index(report.kind) if report.kind in _ORDER else len(_ORDER)
    return known, report.kind, report.speed.queries_per_second


def _check(exact: ResultWithRanks, indexed: ResultWithRanks) -> None:
    if not _costs(indexed):
        raise UserError(f"{indexed.path} is no result of an index: make one with mlbench run --index KIND")
    over, encoder = indexed.result.retriever.parameters.get("encoder.fingerprint"), exact.result.retriever
    if over != encoder.fingerprint:
        raise UserError(f"{indexed.path} is of an index over another encoder than {exact.path}, {encoder.label}")


def _differences(
    exact: ResultWithRanks, indexed: ResultWithRanks, options: IndexCostOptions
) -> tuple[Differences, Differences]:
    """Return the differences from whole exact lists, and from those that end where the index's end."""
    whole = pair_up((exact,), (indexed,))
    lengths = {"+".join(cost.document_languages): cost.depth for cost in _costs(indexed)}
    absent = [name for name in indexed.ranks.columns.tolist() if name not in lengths]
    if absent:
        raise UserError(f"{indexed.path} says nothing of the index for {absent[0]}")
    cut = replace(exact, held=cut_lists(exact.ranks, indexed.ranks, lengths))
    alike = pair_up((cut,), (indexed,))
    whole_lists, lists_alike = (
        differences_of_pair(pair, resamples=options.resamples, seed=options.seed, confidence=options.confidence)
        for pair in (whole, alike)
    )
    return whole_lists, lists_alike


def _report(
    exact: ResultWithRanks,
    indexed: ResultWithRanks,
    found: tuple[Differences, Differences],
    flat: Mapping[tuple[str, ...], IndexCost],
) -> IndexReport:
    retriever = indexed.result.retriever
    keys = {key.removeprefix(_PREFIX): value for key, value in retriever.parameters.items() if key.startswith(_PREFIX)}
    return IndexReport(
        name=_name(exact.result.retriever, retriever),
        kind=_kind(indexed),
        keys=keys,
        faiss=str(retriever.parameters.get("faiss", "")),
        file=indexed.path.name,
        fingerprint=retriever.fingerprint,
        lines=tuple(_lines(*found)),
        overlaps=tuple(_overlaps(exact.ranks, indexed.ranks)),
        unretrieved=_unretrieved(indexed.result),
        speed=_speed(_costs(indexed), flat),
        pools=_costs(indexed),
    )


def _lines(whole: Differences, own: Differences) -> Iterator[IndexCostLine]:
    """Yield the aggregates and the rows by query language; a score may be comparable in lists of one length only."""
    from_exact, from_cut = ({each.subject: each for each in found.each} for found in (whole, own))
    for subject in dict.fromkeys((*from_exact, *from_cut)):
        if subject.family != "settings":
            yield _line(subject, from_exact.get(subject), from_cut.get(subject))


def _line(subject: Subject, whole: Difference | None, own: Difference | None) -> IndexCostLine:
    either = whole or own
    return IndexCostLine(
        name=subject.name,
        kind=subject.kind,
        query_language=subject.query_language,
        exact=finite(whole.base.mean()) if whole else None,
        cut=finite(own.base.mean()) if own else None,
        value=finite(either.candidate.mean()) if either else None,
        change=_change(whole),
        own=_change(own),
    )


def _change(found: Difference | None) -> Change:
    if found is None:
        return Change(difference=None, interval=None)
    return Change(difference=finite(found.difference), interval=found.interval)


def _overlaps(exact: Ranks, indexed: Ranks) -> Iterator[Overlap]:
    for cutoff in CUTOFFS:
        shares = overlaps(exact, indexed, cutoff)
        asked = np.isfinite(shares)
        if asked.any():
            yield Overlap(cutoff=cutoff, query_language=None, share=float(shares[asked].mean()))
        for number, language in enumerate(exact.languages.tolist()):
            own = asked & (exact.query_languages == number)
            if own.any():
                yield Overlap(cutoff=cutoff, query_language=language, share=float(shares[own].mean()))


def _unretrieved(result: Result) -> dict[Kind, float]:
    """Return the mean share over the settings of each kind."""
    found: dict[Kind, float] = {}
    for kind in KINDS:
        shares = [each.unretrieved_share for each in result.settings if each.kind == kind]
        known = [share for share in shares if share is not None]
        if known:
            found[kind] = float(np.mean(known))
    return found


def _speed(costs: Sequence[IndexCost], flat: Mapping[tuple[str, ...], IndexCost]) -> Speed:
    most = max(len(cost.document_languages) for cost in costs)
    largest = [cost for cost in costs if len(cost.document_languages) == most]
    pools = tuple(cost.document_languages for cost in largest)
    speed = _per_second(largest)
    beside = [flat[pool] for pool in pools if pool in flat]
    return Speed(
        document_languages=pools,
        n_documents=sum(cost.n_documents for cost in largest),
        n_queries=sum(cost.n_queries for cost in largest),
        queries_per_second=speed,
        against_flat=speed / _per_second(beside) if len(beside) == len(pools) else None,
        build_seconds=sum(cost.build_seconds for cost in largest),
        bytes=sum(cost.bytes for cost in largest),
    )


def _per_second(costs: Sequence[IndexCost]) -> float:
    # A clock that shows nothing has run for less than its step.
    seconds = max(sum(cost.search_seconds for cost in costs), 1e-6)
    return sum(cost.n_queries for cost in costs) / seconds


def _name(encoder: RetrieverInfo, retriever: RetrieverInfo) -> str:
    return retriever.spec.removeprefix(f"{encoder.spec} ")


def _kind(measured: ResultWithRanks) -> str:
    return str(measured.result.retriever.parameters.get("index", ""))


def _costs(measured: ResultWithRanks) -> tuple[IndexCost, ...]:
    return measured.result.cost.indexes
