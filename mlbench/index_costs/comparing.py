"""Sets results of indexes beside the exact one of the same encoder: the only place where the steps meet."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mlbench.contrasts import Contrast, Contrasts, Subject
from mlbench.errors import UserError
from mlbench.index_costs.cutting import cut_lists, overlaps
from mlbench.index_costs.document import Change, Exact, IndexCosts, IndexReport, Line, Overlap, Speed
from mlbench.languages import KINDS, Kind
from mlbench.ranks import Ranks
from mlbench.regression.comparison import contrast_pair
from mlbench.regression.pairing import pair_up
from mlbench.regression.sources import Measured
from mlbench.results import IndexCost, Result, RetrieverInfo
from mlbench.version import __version__

CUTOFFS = (10, 20)
"""How many documents at the top of two lists are compared."""

_ORDER = ("flat", "hnsw", "ivfpq")
_PREFIX = "index."


@dataclass(frozen=True, kw_only=True)
class Options:
    """How intervals are made."""

    resamples: int = 2000
    seed: int = 0
    confidence: float = 0.95


def compare_indexes(exact: Measured, indexed: Sequence[Measured], options: Options | None = None) -> IndexCosts:
    """Compare results of indexes with the exact result of the same encoder on the same task.

    Raises `UserError` in one line where a result is not of an index over that encoder, or not of the same data.
    """
    options = options or Options()
    if exact.result.retriever.kind != "encoder":
        raise UserError(f"{exact.path} is of a ranker: give the result of the run without --index first")
    for each in indexed:
        _check(exact, each)
    compared = [_contrasts(exact, each, options) for each in indexed]
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
            spec=first.retriever.spec,
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


def _check(exact: Measured, indexed: Measured) -> None:
    if not _costs(indexed):
        raise UserError(f"{indexed.path} is no result of an index: make one with mlbench run --index KIND")
    over, encoder = indexed.result.retriever.parameters.get("encoder.fingerprint"), exact.result.retriever
    if over != encoder.fingerprint:
        raise UserError(f"{indexed.path} is of an index over another encoder than {exact.path}, {encoder.spec}")


def _contrasts(exact: Measured, indexed: Measured, options: Options) -> tuple[Contrasts, Contrasts]:
    """Return the differences from whole exact lists, and from those that end where the index's end."""
    whole = pair_up((exact,), (indexed,))
    lengths = {"+".join(cost.document_languages): cost.depth for cost in _costs(indexed)}
    absent = [name for name in indexed.ranks.columns.tolist() if name not in lengths]
    if absent:
        raise UserError(f"{indexed.path} says nothing of the index for {absent[0]}")
    cut = replace(exact, ranks=cut_lists(exact.ranks, indexed.ranks, lengths))
    alike = pair_up((cut,), (indexed,))
    whole_lists, lists_alike = (
        contrast_pair(pair, resamples=options.resamples, seed=options.seed, confidence=options.confidence)
        for pair in (whole, alike)
    )
    return whole_lists, lists_alike


def _report(
    exact: Measured,
    indexed: Measured,
    found: tuple[Contrasts, Contrasts],
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


def _lines(whole: Contrasts, own: Contrasts) -> Iterator[Line]:
    """Yield the aggregates and the rows by query language; a score may be comparable in lists of one length only."""
    from_exact, from_cut = ({each.subject: each for each in found.each} for found in (whole, own))
    for subject in dict.fromkeys((*from_exact, *from_cut)):
        if subject.family != "settings":
            yield _line(subject, from_exact.get(subject), from_cut.get(subject))


def _line(subject: Subject, whole: Contrast | None, own: Contrast | None) -> Line:
    either = whole or own
    return Line(
        name=subject.name,
        kind=subject.kind,
        query_language=subject.query_language,
        exact=_number(whole.base.mean()) if whole else None,
        cut=_number(own.base.mean()) if own else None,
        value=_number(either.candidate.mean()) if either else None,
        change=_change(whole),
        own=_change(own),
    )


def _change(found: Contrast | None) -> Change:
    if found is None:
        return Change(difference=None, interval=None)
    return Change(difference=_number(found.difference), interval=found.interval)


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


def _kind(measured: Measured) -> str:
    return str(measured.result.retriever.parameters.get("index", ""))


def _costs(measured: Measured) -> tuple[IndexCost, ...]:
    return measured.result.cost.indexes


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
