"""`mlbench verify`: recompute every number of results from their ranks."""

from collections.abc import Sequence
from pathlib import Path

import click

from mlbench.cli.report import result_paths
from mlbench.errors import InvalidResult
from mlbench.evaluation.verify import verify

_SHOWN = 10


@click.command(
    epilog="""\b
Example:
  mlbench verify results/xquad-r.hashing-98f613dd.json
  mlbench verify results""",
)
@click.argument("results", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RESULT...")
def command(results: Sequence[Path]) -> None:
    """Recompute every number of RESULT from the ranks file beside it; exit code 2 when one differs.

    RESULT is a result document, or a folder of them.
    """
    paths = result_paths(tuple(results))
    faults = [fault for path in paths if (fault := _check(path))]
    if len(paths) > 1 and faults:
        for fault in faults:
            click.echo(fault, err=True)
        raise InvalidResult(f"{len(faults)} of {len(paths)} results do not follow from their ranks")
    if faults:
        raise InvalidResult(faults[0])


def _check(path: Path) -> str:
    """Say on stdout that a result is right, or return what is wrong with it."""
    try:
        found = verify(path)
    except InvalidResult as error:
        return str(error)
    for difference in found.differences[:_SHOWN]:
        click.echo(difference, err=True)
    if found.differences:
        return f"{path}: {len(found.differences)} of {found.n_numbers:,} numbers do not follow from the ranks"
    listed = found.result.listed_measures
    rest = f"; {', '.join(listed)} cannot be recomputed from ranks" if listed else ""
    click.echo(f"{path}: all {found.n_numbers:,} numbers follow from the ranks{rest}")
    return ""
