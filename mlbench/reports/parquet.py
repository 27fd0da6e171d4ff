"""Per-topic scores as Parquet, which pandas, polars, R and DuckDB read."""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mlbench.errors import MissingExtra
from mlbench.ranking.ranks import Ranks
from mlbench.results import Result, told_apart
from mlbench.statistics.per_topic import per_topic

if TYPE_CHECKING:
    import pyarrow


def per_topic_parquet(results: Sequence[tuple[Result, Ranks]], measure: str | None = None) -> bytes:
    """Return a Parquet file with a row for each query, setting and measure of results, or for one `measure`.

    Its columns are `task`, `model`, `kind`, `query_language`, `document_languages` (joined by `+`), `topic`, `cluster`
    (the unit of resampling, whole numbers), `measure` and `value` (float64). The texts are dictionary-encoded, which
    pandas and polars read as categories. Raises `MissingExtra` without pyarrow.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError as error:
        raise MissingExtra("Parquet files", "parquet") from error
    named = told_apart([result for result, _ in results])
    tables = [
        _table(result, ranks, None if measure is None else (measure,))
        for result, (_, ranks) in zip(named, results, strict=True)
    ]
    buffer = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.concat_tables(tables).unify_dictionaries(), buffer)
    return buffer.getvalue()


def _table(result: Result, ranks: Ranks, measures: Sequence[str] | None) -> "pyarrow.Table":
    import pyarrow

    found = list(per_topic(result, ranks, measures))
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


def _repeated(values: Sequence[str], sizes: Sequence[int]) -> "pyarrow.DictionaryArray":
    """Return each of the values as often as its size says, as indexes of the distinct ones."""
    import pyarrow

    distinct = sorted(set(values))
    places = np.repeat(np.array([distinct.index(value) for value in values], dtype=np.int32), sizes)
    return pyarrow.DictionaryArray.from_arrays(places, pyarrow.array(distinct))
