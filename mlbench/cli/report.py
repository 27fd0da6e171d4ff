"""`mlbench report`: a result as people read it, and the answers of other pools from its ranks."""

import json
from collections.abc import Sequence
from pathlib import Path

import click
from pydantic import BaseModel
from rich.console import Group, RenderableType

from mlbench.cli.progress import console
from mlbench.errors import UserError
from mlbench.languages import check_language
from mlbench.measures import parse
from mlbench.report.console import console_report
from mlbench.report.pool import PoolTable, answer_pool
from mlbench.report.summary import header
from mlbench.result_files import read_result
from mlbench.verification import read_pair


@click.command(
    epilog="""\b
Examples:
  mlbench report results/
  mlbench report result.json --measure R@1
  mlbench report result.json --pool ar,en,zh
  mlbench report result.json --pool en --measure nDCG@5 --json"""
)
@click.argument("paths", metavar="RESULT...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--pool", metavar="LANGUAGES", help="Answer this pool from the ranks instead, such as ar,en,zh.")
@click.option("--measure", metavar="NAME", help="The measure that the heat map, or the pool, shows.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list of the documents, or of the pool's answers.")
def command(paths: tuple[Path, ...], pool: str | None, measure: str | None, as_json: bool) -> None:
    """Show results as tables; RESULT is a result document, or a folder of them.

    A pool is any set of the result's languages, and --measure any measure there, whether or not it was asked for at run
    time. Each language of the pool asks; a single language is asked by all.
    """
    chosen = None if measure is None else parse(measure).name
    found = result_paths(paths)
    if pool is not None:
        _show_pools(found, pool_languages(pool), chosen, as_json=as_json)
    elif not as_json:
        _print([console_report(result, measure=chosen) for result in map(read_result, found)])
    elif chosen is None:
        _print_json([read_result(path) for path in found])
    else:
        raise click.UsageError("--json prints whole documents: leave out --measure, or add --pool")


def result_paths(paths: tuple[Path, ...]) -> list[Path]:
    """Return the documents among `paths`, in place of each folder the results in it; raises `UserError` for none."""
    found: list[Path] = []
    for path in paths:
        if not path.is_dir():
            found.append(path)
            continue
        inside = [file for file in sorted(path.glob("*.json")) if _may_be_result(file)]
        if not inside:
            raise UserError(f"no result document in {path}: make one with mlbench run --out {path}")
        found += inside
    return found


def pool_languages(pool: str) -> tuple[str, ...]:
    """Return the languages of `ar,en,zh`; raises `UserError` for what is no language tag."""
    return tuple(check_language(tag.strip()) for tag in pool.split(","))


def _may_be_result(file: Path) -> bool:
    """Say no to JSON that is clearly something else; a damaged result is an error, not something to pass over."""
    try:
        document = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError):
        return True
    return isinstance(document, dict) and "schema_version" in document


def _show_pools(paths: Sequence[Path], languages: Sequence[str], measure: str | None, *, as_json: bool) -> None:
    found = [read_pair(path) for path in paths]
    answers = [answer_pool(result, ranks, languages, measure=measure) for result, ranks in found]
    if as_json:
        _print_json(answers)
        return
    _print([Group(header(result)[0], PoolTable(answer)) for (result, _), answer in zip(found, answers, strict=True)])


def _print(reports: Sequence[RenderableType]) -> None:
    screen = console()
    for place, report in enumerate(reports):
        if place:
            screen.rule(style="dim")
        screen.print(report)


def _print_json(documents: Sequence[BaseModel]) -> None:
    plain = [document.model_dump(mode="json") for document in documents]
    click.echo(json.dumps(plain, ensure_ascii=False, indent=1, sort_keys=True))
