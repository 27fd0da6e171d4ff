"""Results of indexes on the shipped task, made once."""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from mlbench.compare.index_costs import IndexCostOptions as Comparing
from mlbench.compare.index_costs import IndexCosts, compare_indexes
from mlbench.compare.pairing import ResultWithRanks
from mlbench.evaluation.evaluate import measure
from mlbench.evaluation.options import Options
from mlbench.retrievers.pipelines.ann_index import with_indexes
from mlbench.retrievers.pipelines.declaration import parse_index

INDEXES = ("hnsw:ef_search=200,depth=100", "flat", "hnsw:ef_search=10,m=4", "ivfpq:nprobe=1")
LANGUAGES = ("de", "en", "th")


@cache
def results(
    dim: int = 64, languages: tuple[str, ...] = LANGUAGES
) -> tuple[ResultWithRanks, tuple[ResultWithRanks, ...]]:
    """Return the exact result of hashed n-grams, and those of `INDEXES`."""
    with TemporaryDirectory() as folder:
        options = Options(settings={"dim": str(dim)}, cache=Path(folder), resamples=2)
        opened = options.open_model("hashing")
        indexed = with_indexes(opened, [parse_index(text) for text in INDEXES])
        made = []
        for number, each in enumerate([opened, *indexed]):
            done = measure(each, "mini", languages=languages, options=options)
            path = Path(folder) / done.result.ranks.name
            path.write_bytes(done.ranks_file)
            made.append(ResultWithRanks(Path(f"{number}.json"), done.result, done.ranks))
    return made[0], tuple(made[1:])


@cache
def costs() -> IndexCosts:
    """Return the document of all of them."""
    exact, indexed = results()
    return compare_indexes(exact, indexed, Comparing(resamples=50))
