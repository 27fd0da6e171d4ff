"""`mlbench index-costs`: what approximate indexes change in every measure and language, and how fast they are."""

from collections.abc import Sequence
from pathlib import Path

import click

from mlbench.cli.options import document_option, resamples_option
from mlbench.cli.progress import Screen, console, pass_screen
from mlbench.compare.index_costs import IndexCostOptions, IndexCosts, compare_indexes
from mlbench.compare.pairing import ResultWithRanks
from mlbench.errors import UserError
from mlbench.evaluation.verify import read_pair
from mlbench.io.document import to_json
from mlbench.reports.documents.index_costs import index_costs_report
from mlbench.reports.formats import check_files, write_files
from mlbench.reports.writers.console import ConsoleReport
from mlbench.results import LARGEST_SEED


@click.command(
    epilog="""\b
Examples:
  mlbench run --task xquad-r
  mlbench run --task xquad-r --index flat --index hnsw:ef_search=20 --index hnsw:ef_search=100
  mlbench index-costs results/xquad-r.static-ab12cd34.json results/xquad-r.static-*.json
  mlbench index-costs exact.json hnsw.json --write costs.html --write costs.md"""
)
@click.argument("exact", type=click.Path(path_type=Path), metavar="EXACT")
@click.argument("results", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RESULT...")
@resamples_option
@click.option("--seed", type=click.IntRange(0, LARGEST_SEED), default=0, show_default=True, help="Seed of them.")
@click.option(
    "--write",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write a file as well: .html with charts, .md, .csv, .tex, .svg, .txt or .json. May be repeated.",
)
@document_option
@pass_screen
def command(
    screen: Screen,
    /,
    exact: Path,
    results: Sequence[Path],
    resamples: int,
    seed: int,
    write: Sequence[Path],
    as_json: bool,
) -> None:
    """Compare each RESULT of mlbench run --index with EXACT, the result of the same run without it.

    Everything follows from the results and the ranks beside them: the changes in every measure, by kind of settings and
    by query language, with paired intervals; the bias scores; how much of the exact lists is kept; build time, size and
    queries per second. EXACT may be among the results.

    A list of an index ends, and exact ranks do not. So every change is shown twice: from whole exact lists, and as the
    index's own, from exact lists of the same length.
    """
    indexed = [path for path in dict.fromkeys(results) if path.resolve() != exact.resolve()]
    if not indexed:
        raise UserError("there is no result to compare: make one with mlbench run --index KIND")
    check_files(write, (exact, *indexed), IndexCosts)
    costs = compare_indexes(
        _read(exact), [_read(path) for path in indexed], IndexCostOptions(resamples=resamples, seed=seed)
    )
    progress = screen.progress()
    report = index_costs_report(costs)
    write_files(report, write)
    for path in write:
        progress.note(f"saved {path}")
    if as_json:
        click.echo(to_json(costs), nl=False)
    else:
        console().print(ConsoleReport(report))


def _read(path: Path) -> ResultWithRanks:
    return ResultWithRanks(path, *read_pair(path))
