"""The page that says what approximate indexes cost, made from documents of `mlbench index-costs`.

`python -m docs.index_page NAME COSTS.json` takes such a document into `docs/figures/indexes`, with what the page shows.
"""

import sys
from dataclasses import replace
from pathlib import Path

from docs import draw
from mlbench.compare.index_costs import IndexCosts
from mlbench.io.document import to_json
from mlbench.reports.documents.index_costs import BIAS_SCORES, index_costs_report
from mlbench.reports.report import Section
from mlbench.reports.writers.markdown import write_markdown

INDEXES = Path(__file__).parent / "figures" / "indexes"

_INTRO = """\
# What indexes cost here

What [`mlbench index-costs`](../how-to/index-costs.md) wrote of two collections: the tables behind that page, made from
the documents in `docs/figures/indexes`. Every change stands beside its interval. `index` is the change from whole exact
lists, `own` that from exact lists of the same length: what the index alone does."""

_WHAT = {
    "xquad-r": """\
## XQuAD-R: 13,014 sentences in 11 languages

The default model, 512 dims. Its own preference for a language falls with every index, and that is no merit: a pair of
documents that are both in no list counts as even, and an index loses more of them.""",
    "half-million": """\
## Half a million documents of 64 dims

A synthetic corpus in the format of MIRACL (`python -m tests.bench.corpus`), half a million documents in three
languages in one pool, encoded as hashed n-grams in 64 buckets: vectors without much order, which are hard to index.
Overlap is not quality: near 800 queries/s, cells keep far fewer of the exact first ten than the graph, and lose no more
mAP.""",
}


def page() -> str:
    """Return the page: for each collection its figures and tables."""
    parts = [_INTRO]
    for name, words in _WHAT.items():
        if not (INDEXES / f"{name}.json").exists():
            continue
        costs = IndexCosts.model_validate_json((INDEXES / f"{name}.json").read_bytes())
        report = index_costs_report(costs)
        (whole,) = (block for block in report.blocks if isinstance(block, Section))
        shown = tuple(each for each in whole.blocks if not (isinstance(each, Section) and each.shown == "in_full"))
        parts += [words, draw.charts(shown), write_markdown(replace(report, blocks=shown)).strip()]
    return "\n\n".join(parts) + "\n"


def take(costs: IndexCosts) -> IndexCosts:
    """Return costs with what the page shows of them."""
    wanted = {costs.primary_measure, *BIAS_SCORES}
    reports = []
    for each in costs.indexes:
        lines = tuple(
            line
            for line in each.lines
            if line.name in wanted and (line.query_language is None or line.kind == "multilingual")
        )
        overlaps = tuple(overlap for overlap in each.overlaps if overlap.query_language is None)
        reports.append(each.model_copy(update={"lines": lines, "overlaps": overlaps, "pools": ()}))
    return costs.model_copy(update={"indexes": tuple(reports)})


def main(arguments: list[str]) -> None:
    """Take a document."""
    if len(arguments) != 2 or arguments[0] not in _WHAT:
        sys.exit(f"usage: python -m docs.index_page {'|'.join(_WHAT)} COSTS.json")
    costs = IndexCosts.model_validate_json(Path(arguments[1]).read_bytes())
    INDEXES.mkdir(exist_ok=True)
    (INDEXES / f"{arguments[0]}.json").write_text(to_json(take(costs)), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
