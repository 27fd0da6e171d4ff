"""The page that says what a corpus of a given size takes: arithmetic on figures that were measured."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from docs import sizing_prose
from docs.sizing import (
    COPIES,
    DIMS,
    HASH_BYTES,
    LAYERS,
    MANY_LANGUAGES,
    POOL,
    PRICES,
    QUERIES,
    SCAN_BYTES,
    SIZES,
    TEXT_BYTES,
    TOKENS,
    USEFUL,
    Load,
    gpu_rate,
    growth,
    hours,
    money,
    most_workers,
    scaled,
)
from mlbench.evaluation.streaming.corpus import PART
from mlbench.tasks.task import Task, load_task

FIGURES = Path(__file__).parent / "figures" / "sizing.json"


def page() -> str:
    """Return the page; every table says in a column what was measured and what is calculated."""
    figures = json.loads(FIGURES.read_text(encoding="utf-8"))
    for_query_and_part = _for_query_and_part(figures["streams"])
    task = load_task("miracl")
    packed = _packed(task)
    parts = [
        sizing_prose.INTRO,
        _streams(figures["streams"]),
        sizing_prose.RATES.format(**growth(figures["streams"])),
        _rates(figures),
        sizing_prose.FORMULAS.format(
            part=PART,
            copies=COPIES,
            beside=HASH_BYTES,
            kept=f"{for_query_and_part:.0f}",
            packed=f"{sum(packed.values()) / sum(task.expected.documents[language] for language in packed):.0f}",
        ),
        _space(for_query_and_part, {row["dim"]: row["operations_per_second"] for row in figures["ranking"]}),
        sizing_prose.ENCODING.format(
            useful=f"{USEFUL / 1e12:.0f}",
            tokens=TOKENS,
            pool=POOL,
            **{name.lower(): f"{price:.2f}" for name, price in PRICES.items()},
        ),
        _encoding(figures["encoders"]),
        sizing_prose.WORKERS.format(**_handed(figures["handing"])),
        _workers(figures["encoders"], figures["handing"]["seconds_for_a_part"]),
        sizing_prose.LANGUAGES.format(
            many=MANY_LANGUAGES,
            **{name.replace("-", "_"): f"{row['exponent']:.1f}" for name, row in figures["languages"].items()},
        ),
        _languages(figures["languages"]),
        sizing_prose.MIRACL,
        _miracl(task, packed, for_query_and_part),
        sizing_prose.OWN,
    ]
    return "\n\n".join(parts) + "\n"


def _streams(rows: Sequence[Mapping[str, float]]) -> str:
    """Return a row for each stream, and below it what the formulas say of it."""
    table = []
    for row in rows:
        load = Load(int(row["documents"]), int(row["queries"]), int(row["dim"]))
        pace = f"{1e6 * row['processor_seconds'] / row['documents']:.0f} µs"
        sizes = [_size(row[name]) for name in ("peak_bytes", "stream_bytes", "vector_bytes")]
        table.append((f"{load.documents:,}", f"{row['seconds']:,.0f} s", pace, *sizes, "measured"))
        memory = f"{_size(load.part_bytes(TEXT_BYTES))} and libraries"
        table.append((f"{load.documents:,}", "", "", memory, "", _size(load.vector_bytes), "calculated"))
    heads = ("documents", "time", "processor time for a document", "most memory", "`streams/`", "vectors", "how")
    return _table(heads, table)


def _rates(figures: Mapping[str, Sequence[Mapping[str, float]] | Mapping[str, float]]) -> str:
    reading = figures["reading"]
    assert isinstance(reading, Mapping)
    rows = [
        ("scan", f"{reading['scanned_per_second']:,.0f} documents/s", "measured"),
        ("unpack a document to come to another", f"{reading['skipped_per_second']:,.0f} documents/s", "measured"),
    ]
    for row in figures["ranking"]:
        assert isinstance(row, Mapping)
        speed = f"{row['operations_per_second'] / 1e9:.0f} billion operations/s"
        rows.append((f"rank, {row['dim']:,} dimensions", speed, "measured"))
    for row in figures["encoders"]:
        assert isinstance(row, Mapping)
        speed = f"{_short(row['texts_per_second'])} texts/s of {row['characters']:,} characters"
        rows.append((f"encode: {row['name']}, {row['dim']:,} dimensions", speed, "measured"))
    for dim, weights in LAYERS.items():
        speed = f"{_short(gpu_rate(weights))} texts/s of {TOKENS} tokens"
        rows.append((f"encode: a transformer of {dim:,} dimensions on a GPU", speed, "assumed"))
    return _table(("step", "one thread, or one GPU", "how"), rows)


def _space(for_query_and_part: float, rates: Mapping[int, float]) -> str:
    rows = []
    for documents in SIZES:
        for dim in DIMS:
            load = Load(documents, QUERIES, dim)
            rows.append(
                (
                    f"{documents:,}",
                    f"{dim:,}",
                    f"{load.parts:,}",
                    _size(load.vector_bytes),
                    _size(load.stream_bytes(for_query_and_part)),
                    _size(load.part_bytes(TEXT_BYTES)),
                    _time(hours(load.operations, rates[dim])),
                    "calculated",
                )
            )
    heads = ("documents", "dimensions", "parts", "vectors", "`streams/`", "a worker's part", "rank, one thread", "how")
    return _table(heads, rows)


def _encoding(measured: Sequence[Mapping[str, float]]) -> str:
    rows = [
        (name, *(_effort(documents, rate, PRICES[kind]) for documents in SIZES), f"calculated {how}")
        for name, rate, kind, how in _machines(measured)
    ]
    return _table(("encoder", *(f"{documents:,} documents" for documents in SIZES), "how"), rows)


def _machines(measured: Sequence[Mapping[str, float]]) -> list[tuple[str, float, str, str]]:
    """Return what encodes, its rate, what is paid for, and where the rate is from."""
    gpus = [(f"a transformer of {dim:,} dimensions on a GPU", gpu_rate(weights)) for dim, weights in LAYERS.items()]
    return [
        *((str(row["name"]), row["texts_per_second"], "processor", "from a measured rate") for row in measured),
        *((name, rate, "GPU", "from an assumed rate") for name, rate in gpus),
    ]


def _handed(handing: Mapping[str, Any]) -> dict[str, str]:
    items = [f"{1000 * row['seconds_for_an_item']:.1f} ms for {row['name']}" for row in handing["engines"]]
    return {
        "items": " and ".join(items),
        "part": f"{handing['seconds_for_a_part']:.2f} s",
        "queries": handing["queries"],
    }


def _workers(measured: Sequence[Mapping[str, float]], seconds: float) -> str:
    rows = [
        (name, _time(hours(PART, rate)), f"{most_workers(rate, seconds):,.0f}", f"calculated {how}")
        for name, rate, _, how in _machines(measured)
    ]
    return _table(("encoder", "one worker's time for a part", "most workers", "how"), rows)


def _languages(figures: Mapping[str, Mapping[str, Any]]) -> str:
    rows = []
    for name, measured in figures.items():
        for row in measured["rows"]:
            rows.append((name, *_language_row(row, row["languages"], row["languages"]), "measured"))
        rows.append((name, *_language_row(row, row["languages"], MANY_LANGUAGES), "calculated"))
    return _table(("task", "languages", "processor time", "most memory", "ranks file", "how"), rows)


def _language_row(row: Mapping[str, float], measured: int, languages: int) -> tuple[str, ...]:
    seconds, peak, ranks = (
        scaled(row[name], measured, languages) for name in ("processor_seconds", "peak_bytes", "ranks_bytes")
    )
    return f"{languages:,}", _time(seconds / 3600), _size(peak), _size(ranks)


def _effort(documents: int, rate: float, price: float) -> str:
    one, pool = hours(documents, rate), hours(documents, rate, POOL)
    return f"{_time(one)}; {_time(pool)}; {_short(money(documents, rate, price))}"


def _packed(task: Task) -> dict[str, int]:
    """Return the bytes of the shards of each language where all are published."""
    sizes: dict[str, list[int | None]] = {}
    for file in task.files:
        if file.role == "documents":
            sizes.setdefault(str(file.language), []).append(file.bytes)
    return {language: sum(filter(None, each)) for language, each in sizes.items() if all(each)}


def _miracl(task: Task, packed: Mapping[str, int], for_query_and_part: float) -> str:
    loads = {
        language: Load(task.expected.documents[language], task.expected.queries[language], 768)
        for language in task.languages
    }
    rows = [
        _miracl_row(language, packed.get(language), [loads[language]], for_query_and_part)
        for language in sorted(loads, key=lambda name: -loads[name].documents)
    ]
    every = _miracl_row("all 18", sum(packed.values()), list(loads.values()), for_query_and_part)
    heads = (
        "language",
        "documents",
        "queries",
        "shards, packed",
        "vectors",
        "`streams/`",
        "operations of ranking",
        "how",
    )
    return _table(heads, [every, *rows])


def _miracl_row(name: str, packed: int | None, loads: Sequence[Load], for_query_and_part: float) -> tuple[str, ...]:
    return (
        name,
        f"{sum(load.documents for load in loads):,}",
        f"{sum(load.queries for load in loads):,}",
        _size(packed) if packed else "not known",
        _size(sum(load.vector_bytes for load in loads)),
        _size(sum(load.stream_bytes(for_query_and_part) for load in loads)),
        f"{sum(load.operations for load in loads):.1e}",
        "first three published, the rest calculated",
    )


def _for_query_and_part(streams: Sequence[Mapping[str, float]]) -> float:
    """Return the bytes that counts take for a query and a part, of the largest stream."""
    largest = max(streams, key=lambda row: row["documents"])
    counts = largest["stream_bytes"] - SCAN_BYTES * largest["documents"]
    return counts / (largest["parts"] * largest["queries"])


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    heads = list(heads)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (heads, ["---"] * len(heads), *rows))


def _size(count: float) -> str:
    for unit, scale in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if count >= scale:
            return f"{_short(count / scale)} {unit}"
    return f"{count / 1e3:.0f} kB"


def _time(count: float) -> str:
    """Return hours as people say them."""
    for unit, scale in (("years", 8766), ("days", 24), ("h", 1), ("min", 1 / 60)):
        if count >= 2 * scale:
            return f"{_short(count / scale)} {unit}"
    return f"{_short(3600 * count)} s"


def _short(value: float) -> str:
    """Return two digits of a small value, all whole ones of a large one."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"
