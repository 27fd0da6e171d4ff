"""`mlbench compare`: a candidate against its base, and a gate that says whether it may pass."""

from pathlib import Path

import click

from mlbench.regression.comparison import Options, compare_systems
from mlbench.regression.document import to_json
from mlbench.regression.gate import gate_of
from mlbench.regression.sources import find_side


@click.command()
@click.argument("base")
@click.argument("candidate")
@click.option("--json", "as_json", is_flag=True, help="Print the document instead.")
def command(base: str, candidate: str, as_json: bool) -> int:
    """Compare CANDIDATE with BASE."""
    comparison = compare_systems(find_side(base), find_side(candidate), gate_of({}, "the options"), Options())
    click.echo(to_json(comparison), nl=False)
    return 0 if comparison.passed else 1
