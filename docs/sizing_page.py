"""The page that says what a corpus of a given size takes: arithmetic on figures that were measured."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from docs.sizing import (
    COPIES,
    DIMS,
    HASH_BYTES,
    LAYERS,
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
)
from mlbench.streaming.parts import PART
from mlbench.tasks import Task, load_task

FIGURES = Path(__file__).parent / "figures" / "sizing.json"


def page() -> str:
    """Return the page; every table says in a column what was measured and what is calculated."""
    figures = json.loads(FIGURES.read_text(encoding="utf-8"))
    for_query_and_part = _for_query_and_part(figures["streams"])
    task = load_task("miracl")
    packed = _packed(task)
    parts = [
        _INTRO,
        _streams(figures["streams"]),
        _RATES.format(**growth(figures["streams"])),
        _rates(figures),
        _FORMULAS.format(
            part=PART,
            copies=COPIES,
            beside=HASH_BYTES,
            kept=f"{for_query_and_part:.0f}",
            packed=f"{sum(packed.values()) / sum(task.expected.documents[language] for language in packed):.0f}",
        ),
        _space(for_query_and_part, {row["dim"]: row["operations_per_second"] for row in figures["ranking"]}),
        _ENCODING.format(
            useful=f"{USEFUL / 1e12:.0f}",
            tokens=TOKENS,
            pool=POOL,
            **{name.lower(): f"{price:.2f}" for name, price in PRICES.items()},
        ),
        _encoding(figures["encoders"]),
        _MIRACL,
        _miracl(task, packed, for_query_and_part),
        _OWN,
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
    machines = [(str(row["name"]), row["texts_per_second"], "processor", "from a measured rate") for row in measured]
    machines += [
        (f"a transformer of {dim:,} dimensions on a GPU", gpu_rate(weights), "GPU", "from an assumed rate")
        for dim, weights in LAYERS.items()
    ]
    rows = [
        (name, *(_effort(documents, rate, PRICES[kind]) for documents in SIZES), f"calculated {how}")
        for name, rate, kind, how in machines
    ]
    return _table(("encoder", *(f"{documents:,} documents" for documents in SIZES), "how"), rows)


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


_INTRO = f"""\
# What a corpus takes

Disk, memory, hours and money for corpora up to 100 million documents, with the arithmetic, so that you can put in
your own figures. How such a corpus is measured is [another page](../how-to/large-corpora.md).

Each row says how its figures came about. **Measured** ones were taken on a machine with two processors and without a
GPU, which had other work to do as well; `python -m tests.bench.sizing` takes them again. Those that are
**calculated** follow from the formulas below. No GPU was at hand: rates of GPUs, and all prices, are **assumed**.

## What was measured

One command on synthetic corpora in MIRACL's format, with {QUERIES:,} queries in three languages and a pool of all of
them; vectors of 64 dimensions from hashed character n-grams, so that what is seen is the cost of streaming itself:"""

_RATES = """\
Memory is that of all processes of the command together, libraries included. With {times:.0f} times the documents, it
changes by {memory:+.0%}, and processor time for a document by {pace:+.0%}.

The steps alone, each on one thread or one GPU:"""

_FORMULAS = """\
## The arithmetic

With n documents, q queries, d dimensions, and parts of {part:,} documents, of which there are p = n / {part:,}:

| what | formula |
|---|---|
| shards on disk, packed | {packed} bytes a document in MIRACL; look at yours |
| vectors on disk, where they are kept | n (4 d + {beside}) bytes |
| `streams/` on disk | 8 n bytes for ids, and {kept} bytes for each query and part: 8 n + {kept} q p |
| a worker's memory, beside libraries and model | {part:,} (text + (4 x {copies} + 8) d) + 8 q d bytes, and 34 MB |
| ranking | 2 n q d operations |
| hours of a step | n / (rate x workers x 3,600), or for ranking 2 n q d / (rate x workers x 3,600) |
| money | hours of all workers x the price of one for an hour |

q are the queries that ask for a document: those of its own language where settings are monolingual, as in MIRACL, and
all of them in a pool. The {copies} copies of vectors are the worst case, while they are saved; then they are grid
vectors of 8 bytes for a number. Text is taken as 4,000 bytes for a document in memory. Queries and relevant documents
are few and left out, as are the minutes of the scan. Where several workers take turns at a shard, it is unpacked up
to (its parts + 1) / 2 times: in one of 500,000 documents each is passed over 15 times at most, which at the measured
rate takes a second for 30,000 documents.

For 1,000 queries:"""

_ENCODING = """\
Ranking 100 million documents takes about an hour of one thread, which all workers share: exact ranks are not what
costs.

## Hours and money of encoding

Encoding is what costs. The rate of a processor is the one measured above, for texts of its length; half as long takes
half the time, and [another backend](../how-to/faster-encoding.md) may do more. For a GPU the rate follows from an
assumption: that it does {useful} trillion useful operations in a second, a tenth or less of what is promised for the
large ones at 16 bits, and that an encoder takes two operations for each weight of its layers and each of {tokens}
tokens. (The authors of DPR, arXiv 2004.04906, tell of 8.8 hours on 8 GPUs for 21 million passages in 2020: 83
passages in a second for a GPU and an encoder of 768 dimensions, a twelfth of the rate assumed here.) A thread is
taken at {processor} for an hour, a GPU at {gpu}, in whatever money you pay; that is assumed too. Each cell has the
time with one worker, the time with {pool}, and the money, which is the same for both: what is lost in handing out
work is left out."""

_MIRACL = """\
## MIRACL

Its own sizes, with vectors of 768 dimensions and its own queries. One shard's size is not published and not in the
sum."""

_OWN = """\
## Your own figures

Measure the rate of your model where it will run, on your documents: the line `stream: ... documents/s` of a run on
one shard says it, once the first parts are through. Then

    hours = documents / rate / workers / 3,600
    money = hours x workers x price of a worker for an hour

10 million documents at 500 texts a second on 4 GPUs: 10,000,000 / 500 / 4 / 3,600 = 1.4 hours; at 2.00 for a GPU and
hour, 11."""
