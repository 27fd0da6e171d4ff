"""Index costs as a report: how fast and how large approximate indexes are, and what they change in every number."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from math import ceil, floor, log10

from mlbench.collection.languages import KINDS, Kind
from mlbench.compare.index_costs import CUTOFFS, Change, IndexCostLine, IndexCosts, IndexReport
from mlbench.protocols import Parameter
from mlbench.reports.chart import Chart, ChartAxis, ChartSeries, Mark
from mlbench.reports.formatting import (
    ABSENT,
    SHORT,
    Quantity,
    bounds_text,
    count,
    decimal,
    heading,
    intervals,
    quick_look,
    signed,
)
from mlbench.reports.report import (
    Block,
    Bullets,
    Cell,
    Charts,
    Column,
    Report,
    Row,
    Scalar,
    Section,
    Sentence,
    Shown,
    Span,
    Table,
    Words,
    notes,
)

BIAS_SCORES = ("own_language_preference", "rank_distance", "max_rank_norm")
"""The bias scores that stand beside the primary measure."""
_CUTOFF = 10
# The key that a kind is swept over, as its marks are labelled.
_SWEPT = {"hnsw": "ef_search", "ivfpq": "nprobe", "factory": "search"}
_MEGA = 1e6
_SMALL = 100
_NARROWEST = 20


def index_costs_report(costs: IndexCosts) -> Report:
    """Return charts by speed, tables of speeds and changes, and how they were made; records are every number."""
    blocks: tuple[Block, ...] = (
        Sentence(tuple(_headline(costs)), "; "),
        Charts(tuple(_charts(costs)), "Further right is faster; bars: paired intervals over clusters of topics"),
        _speeds(costs),
        _changes(costs),
        *_languages(costs),
        _every_line(costs),
        *_pools(costs),
        _how(costs),
    )
    return Report(
        title=f"What indexes cost: {costs.exact.spec} on {costs.task}",
        blocks=(Section(("What indexes cost",), blocks),),
        documents=(costs,),
        records=tuple(_records(costs)),
    )


def _headline(costs: IndexCosts) -> Iterator[Words]:
    yield Span(f"{costs.exact.spec} on {costs.task} (version {costs.version})", "strong")
    yield f"{count(costs.exact.n_queries, 'query')}, {count(costs.exact.n_documents, 'document')}"
    if costs.limit:
        yield quick_look(costs.limit)


def _how(costs: IndexCosts) -> Section:
    exact = costs.exact
    counted = f"{exact.n_queries / exact.rank_seconds:,.0f} queries/s" if exact.rank_seconds else ABSENT
    told = (
        "queries/s: one query at a time, one thread, processor time; search alone, without encoding",
        f"exact ranks: {counted} in {exact.rank_seconds:,.1f} s, counted for all pools at once in batches, no lists of "
        "one query: compare speeds with flat",
        "size: of the index as it would be written",
        ", ".join(intervals(costs.statistics)),
    )
    items = tuple(Sentence((each,), style="soft") for each in told)
    return Section(("How it was measured",), (Bullets(items),), titled=False)


def _section(
    title: str, first: str, columns: Sequence[Column], rows: Sequence[Row], note: str = "", shown: Shown = "always"
) -> Section:
    table = Table(title, first, tuple(columns), tuple(rows), titled=False, narrowest=_NARROWEST)
    return Section((title,), (table, Sentence((note,) if note else (), style="soft")), shown)


def _speeds(costs: IndexCosts) -> Section:
    """Return how fast, how large and how near to exact lists each index is."""
    cutoffs = [cutoff for cutoff in CUTOFFS if any(each.overlap(cutoff) is not None for each in costs.indexes)]
    kinds = [kind for kind in KINDS if any(kind in each.unretrieved for each in costs.indexes)]
    titles = ["queries/s", "x flat", "build s", "MB", *(f"overlap@{cutoff}" for cutoff in cutoffs)]
    titles += [f"unretrieved {SHORT[kind]}" for kind in kinds]
    rows = []
    for each in costs.indexes:
        speed = each.speed
        texts = [
            _figure(speed.queries_per_second),
            ABSENT if speed.against_flat is None else f"{speed.against_flat:,.1f}",
            _figure(speed.build_seconds),
            _figure(speed.bytes / _MEGA),
            *(decimal(each.overlap(cutoff)) for cutoff in cutoffs),
            *(decimal(each.unretrieved.get(kind)) for kind in kinds),
        ]
        rows.append(Row(Cell(each.name), tuple(map(Cell, texts))))
    return _section("Speed and size", "index", list(map(Column, titles)), rows, _largest_pools(costs))


def _largest_pools(costs: IndexCosts) -> str:
    speed = costs.indexes[0].speed
    pools = speed.document_languages
    where = f"the pool of {', '.join(pools[0])}" if len(pools) == 1 else f"{len(pools)} pools together"
    return f"in {where}: {count(speed.n_documents, 'document')}"


def _changes(costs: IndexCosts) -> Section:
    keys: list[tuple[str, Kind | None]] = [(costs.primary_measure, kind) for kind in KINDS]
    keys += [(name, None) for name in BIAS_SCORES]
    first = {key: line for key in keys if (line := _first(costs, *key))}
    rows = [Row(Cell("exact"), (Cell(), *map(_exact, first.values())))]
    for each in costs.indexes:
        lines = [each.line(*key) for key in first]
        rows.append(Row(Cell(each.name), (Cell("index"), *(_change(line, lambda line: line.change) for line in lines))))
        rows.append(Row(Cell(), (Cell("own"), *(_change(line, lambda line: line.own) for line in lines))))
    columns = [Column("with", align="left"), *(Column(Quantity(*key).title) for key in first)]
    note = "index: minus whole exact lists; own: minus exact lists of the same length, so the index alone"
    return _section("What it changes", "index", columns, rows, note)


def _languages(costs: IndexCosts) -> Iterator[Section]:
    """Yield the changes of the primary measure by query language, for the kind of settings with the largest pools."""
    kind = _largest_kind(costs)
    if kind is None:
        return
    rows = []
    for language in costs.languages:
        lines = [each.line(costs.primary_measure, kind, language) for each in costs.indexes]
        if any(lines):
            exact = _exact(next(filter(None, lines)))
            rows.append(Row(Cell(language), (exact, *(_change(line, lambda line: line.own) for line in lines))))
    title = f"{heading(costs.primary_measure)} {SHORT[kind]} by query language"
    if rows:
        yield _section(title, "language", _index_columns(costs), rows, "changes: own, the index alone")


def _every_line(costs: IndexCosts) -> Section:
    keys = [(line.name, line.kind) for each in costs.indexes for line in each.lines if line.query_language is None]
    rows = []
    for key in dict.fromkeys(keys):
        lines = [each.line(*key) for each in costs.indexes]
        exact = _exact(next(filter(None, lines)))
        rows.append(Row(Cell(Quantity(*key).title), (exact, *(_change(line, _whole_or_own) for line in lines))))
    note = "changes from whole exact lists; of what cannot be compared so, from exact lists of the same length"
    return _section("Every measure and bias score", "measure or score", _index_columns(costs), rows, note, "in_full")


def _index_columns(costs: IndexCosts) -> list[Column]:
    return [Column("exact"), *(Column(each.name) for each in costs.indexes)]


def _pools(costs: IndexCosts) -> Iterator[Section]:
    rows = []
    for each in costs.indexes:
        for pool in each.pools:
            languages = pool.document_languages
            texts = (
                languages[0] if len(languages) == 1 else f"pool of {len(languages)}",
                f"{pool.n_documents:,}",
                f"{pool.depth:,}",
                _figure(pool.n_queries / max(pool.search_seconds, 1e-6)),
                _figure(pool.build_seconds),
                _figure(pool.bytes / _MEGA),
                ", ".join(f"{key} {value:,}" for key, value in pool.keys.items()),
            )
            rows.append(Row(Cell(each.name), tuple(map(Cell, texts))))
    numbers = [Column(title) for title in ("documents", "list", "queries/s", "build s", "MB")]
    columns = [Column("pool", align="left"), *numbers, Column("keys", align="left")]
    if rows:
        yield _section("Every pool", "index", columns, rows, shown="in_full")


def _first(costs: IndexCosts, name: str, kind: Kind | None) -> IndexCostLine | None:
    return next((line for each in costs.indexes if (line := each.line(name, kind))), None)


def _largest_kind(costs: IndexCosts) -> Kind | None:
    return next((kind for kind in reversed(KINDS) if _first(costs, costs.primary_measure, kind)), None)


def _exact(line: IndexCostLine) -> Cell:
    return Cell(Quantity(line.name, line.kind).write(line.exact))


def _whole_or_own(line: IndexCostLine) -> Change:
    return line.own if line.change.difference is None else line.change


def _change(line: IndexCostLine | None, chosen: Callable[[IndexCostLine], Change]) -> Cell:
    if line is None:
        return Cell(ABSENT)
    change, quantity = chosen(line), Quantity(line.name, line.kind)
    beside = line.exact if line.exact is not None else line.cut
    bounds = bounds_text(quantity, change.interval, beside=beside)
    return Cell(signed(quantity, change.difference, beside=beside), notes(bounds))


def _figure(value: float) -> str:
    """Write a positive number with three digits or so: 12,345, 123, 12.3, 1.23."""
    if value >= _SMALL:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _charts(costs: IndexCosts) -> Iterator[Chart]:
    """Yield the charts whose numbers there are: overlap and the primary measure by speed."""

    def overlap(each: IndexReport) -> Mark | None:
        share = each.overlap(_CUTOFF)
        return None if share is None else _mark(each, share, f"overlap@{_CUTOFF} {decimal(share)}")

    own = "change from exact lists of the same length, by speed"
    yield from _chart(costs, f"Overlap with the exact lists' first {_CUTOFF}, by speed", f"overlap@{_CUTOFF}", overlap)
    kind = _largest_kind(costs)
    if kind:
        quantity = Quantity(costs.primary_measure, kind)
        title = f"{heading(costs.primary_measure)}, {SHORT[kind]}: {own}"
        yield from _chart(costs, title, f"change of {quantity.title}", _own_change(quantity))


def _own_change(quantity: Quantity) -> Callable[[IndexReport], Mark | None]:
    def draw(each: IndexReport) -> Mark | None:
        line = each.line(quantity.name, quantity.kind)
        if line is None or line.own.difference is None:
            return None
        mark = _mark(each, line.own.difference, f"{quantity.title} {quantity.signed(line.own.difference)}")
        return replace(mark, interval=line.own.interval)

    return draw


def _mark(each: IndexReport, value: float, words: str) -> Mark:
    speed, label = each.speed.queries_per_second, str(each.keys.get(_SWEPT.get(each.kind, ""), ""))
    return Mark(speed, value, f"{each.name}: {words}, {speed:,.0f} queries/s", label)


def _chart(costs: IndexCosts, title: str, y: str, draw: Callable[[IndexReport], Mark | None]) -> Iterator[Chart]:
    series = []
    for name, group in _lines(costs):
        marks = [mark for each in group if (mark := draw(each)) is not None]
        if marks:
            series.append(ChartSeries(name, tuple(sorted(marks, key=lambda mark: mark.x))))
    if series:
        speeds = [mark.x for each in series for mark in each.means]
        axis = ChartAxis("queries/s, one thread, logarithmic", _ticks(min(speeds), max(speeds)), log=True)
        yield Chart(title, axis, ChartAxis(y), tuple(series))


def _lines(costs: IndexCosts) -> Iterator[tuple[str, list[IndexReport]]]:
    """Yield the indexes that differ in nothing but the key that their kind is swept over, and what they are called."""
    groups: dict[tuple[str, frozenset[tuple[str, Parameter]]], list[IndexReport]] = {}
    for each in costs.indexes:
        built = frozenset((key, value) for key, value in each.keys.items() if key != _SWEPT.get(each.kind))
        groups.setdefault((each.kind, built), []).append(each)
    for (kind, built), group in groups.items():
        beside = [other for name, other in groups if name == kind]
        own = sorted(f"{key}={value}" for key, value in built if not all((key, value) in other for other in beside))
        swept = [f"by {_SWEPT[kind]}"] if kind in _SWEPT else []
        yield ", ".join([f"{kind} {','.join(own)}".rstrip(), *swept]), group


def _ticks(low: float, high: float) -> tuple[tuple[float, str], ...]:
    """Return 1, 2 and 5 times powers of ten between the two, and the nearest outside where there is none."""
    powers = range(floor(log10(low)), ceil(log10(high)) + 1)
    round_values = [10.0**power * factor for power in powers for factor in (1, 2, 5)]
    inside = [value for value in round_values if low <= value <= high]
    values = inside or [max(value for value in round_values if value <= low)]
    return tuple((value, f"{value:,.0f}" if value >= 1 else f"{value:g}") for value in values)


def _records(costs: IndexCosts) -> Iterator[dict[str, Scalar]]:
    """Yield what each index changes, then what it has alone: overlaps, unretrieved shares, speed and size."""
    numbers = ("exact", "cut", "value", "change", "change_low", "change_high", "own", "own_low", "own_high")
    absent = dict.fromkeys(("kind", "query_language", "measure", *numbers))
    for each in costs.indexes:
        names = {"task": costs.task, "version": costs.version, "retriever": costs.exact.spec, "index": each.name}
        record: dict[str, Scalar] = names | absent
        for line in each.lines:
            about = {"kind": line.kind, "query_language": line.query_language, "measure": line.name}
            values = {"exact": line.exact, "cut": line.cut, "value": line.value}
            yield record | about | values | _bounded("change", line.change) | _bounded("own", line.own)
        for found in each.overlaps:
            about = {"query_language": found.query_language, "measure": f"overlap@{found.cutoff}"}
            yield record | about | {"value": found.share}
        for kind, share in each.unretrieved.items():
            yield record | {"kind": kind, "measure": "unretrieved_share", "value": share}
        for name in ("queries_per_second", "against_flat", "build_seconds", "bytes"):
            yield record | {"measure": name, "value": getattr(each.speed, name)}


def _bounded(name: str, change: Change) -> dict[str, Scalar]:
    low, high = (change.interval.low, change.interval.high) if change.interval else (None, None)
    return {name: change.difference, f"{name}_low": low, f"{name}_high": high}
