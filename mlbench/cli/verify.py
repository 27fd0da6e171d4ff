"""`mlbench verify`: recompute every number of results from their ranks."""

from collections.abc import Sequence
from pathlib import Path

import click

from mlbench.errors import InvalidResult
from mlbench.verification import verify

_SHOWN = 10


@click.command(
    epilog="""\b
Example:
  mlbench verify results/xquad-r.hashing-98f613dd.json""",
)
@click.argument("results", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RESULT...")
def command(results: Sequence[Path]) -> None:
    """Recompute every number of RESULT from the ranks file beside it; exit code 2 when one differs."""
    for path in results:
        found = verify(path)
        if found.differences:
            for difference in found.differences[:_SHOWN]:
                click.echo(difference, err=True)
            raise InvalidResult(
                f"{path}: {len(found.differences)} of {found.n_numbers:,} numbers do not follow from the ranks"
            )
        click.echo(f"{path}: all {found.n_numbers:,} numbers follow from the ranks")
