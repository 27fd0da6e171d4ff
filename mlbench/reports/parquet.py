"""Per-topic scores as Parquet, which pandas, polars, R and DuckDB read."""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, groupby, pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mlbench.collection.languages import Setting
from mlbench.errors import MissingExtra, UserError
from mlbench.measures.ranked import Measure, parse
from mlbench.ranking.ranks import Ranks, setting_blocks
from mlbench.results import Result, told_apart

if TYPE_CHECKING:
    import pyarrow


@dataclass(frozen=True, eq=False)
class _TopicScores:
    """One measure of the queries of a setting: `topics`, indexes, and `clusters` int64 (n,), `values` float64 (n,)."""

    setting: Setting
    measure: str
    topics: NDArray[np.int64]
    clusters: NDArray[np.int64]
    values: NDArray[np.float64]


def per_topic_parquet(results: Sequence[tuple[Result, Ranks]], measure: str | None = None) -> bytes:
    """Return a Parquet file with a row for each query, setting and measure of results, or for one `measure`.

    Its columns are `task`, `model`, `kind`, `query_language`, `document_languages` (joined by `+`), `topic`, `cluster`
    (the unit of resampling, whole numbers), `measure` and `value` (float64). The texts are dictionary-encoded, which
    pandas and polars read as categories. Measures that do not follow from the ranks are left out; raises `UserError`
    where no other is asked for, and `MissingExtra` without pyarrow.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError as error:
        raise MissingExtra("Parquet files", "parquet") from error
    named = told_apart([result for result, _ in results])
    tables = (
        table
        for result, (_, ranks) in zip(named, results, strict=True)
        for table in _tables(result, ranks, result.task.measures if measure is None else (measure,))
    )
    buffer, first = io.BytesIO(), next(tables)
    # One group of rows at a time, so that no more than the rows of one query language are held.
    with pyarrow.parquet.ParquetWriter(buffer, first.schema) as writer:
        for table in chain([first], tables):
            writer.write_table(table)
    return buffer.getvalue()


def _tables(result: Result, ranks: Ranks, measures: Sequence[str]) -> Iterator["pyarrow.Table"]:
    """Yield the rows of the settings of one kind that ask in one language; raises `UserError` without a measure."""
    parsed = [measure for measure in map(parse, measures) if measure.is_derived]
    if not parsed:
        raise UserError(f"{', '.join(measures)} does not follow from the ranks: no other measure was asked for")
    for _, group in groupby(result.settings, key=lambda each: (each.kind, each.query_language)):
        settings = [Setting(each.query_language, each.document_languages) for each in group]
        yield _table(result, ranks, list(_scores(ranks, settings, parsed)))


def _table(result: Result, ranks: Ranks, found: Sequence[_TopicScores]) -> "pyarrow.Table":
    import pyarrow

    sizes = [len(each.values) for each in found]
    settings: dict[str, list[str]] = {
        "kind": [str(each.setting.kind) for each in found],
        "query_language": [each.setting.query_language for each in found],
        "document_languages": ["+".join(each.setting.document_languages) for each in found],
        "measure": [each.measure for each in found],
    }
    repeated = {name: _repeated(values, sizes) for name, values in settings.items()}
    topics = np.concatenate([each.topics for each in found]).astype(np.int32)
    whole = [sum(sizes)]
    columns: dict[str, object] = {
        "task": _repeated([result.task.name], whole),
        "model": _repeated([result.retriever.label], whole),
        "kind": repeated["kind"],
        "query_language": repeated["query_language"],
        "document_languages": repeated["document_languages"],
        "topic": pyarrow.DictionaryArray.from_arrays(topics, pyarrow.array(ranks.topic_ids.tolist())),
        "cluster": np.concatenate([each.clusters for each in found]),
        "measure": repeated["measure"],
        "value": np.concatenate([each.values for each in found]),
    }
    return pyarrow.table(columns)


def _scores(ranks: Ranks, settings: Sequence[Setting], measures: Sequence[Measure]) -> Iterator[_TopicScores]:
    """Yield the scores of each setting in each measure."""
    for block in setting_blocks(ranks, settings):
        topics = ranks.query_topics[block.queries].astype(np.int64)
        clusters = ranks.topic_clusters[topics].astype(np.int64)
        values = [measure.values(block.relevant) for measure in measures]
        for setting, (first, end) in zip(block.settings, pairwise(block.edges.tolist()), strict=True):
            own = slice(first, end)
            for measure, each in zip(measures, values, strict=True):
                yield _TopicScores(settings[setting], measure.name, topics[own], clusters[own], each[own])


def _repeated(values: Sequence[str], sizes: Sequence[int]) -> "pyarrow.DictionaryArray":
    """Return each of the values as often as its size says, as indexes of the distinct ones."""
    import pyarrow

    distinct = {value: place for place, value in enumerate(sorted(set(values)))}
    places = np.repeat(np.array([distinct[value] for value in values], dtype=np.int32), sizes)
    return pyarrow.DictionaryArray.from_arrays(places, pyarrow.array(list(distinct)))
