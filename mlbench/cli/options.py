"""Options that several commands share, such as `--set KEY=VALUE`, `--task a,b`, `--languages ar,en` and `--json`."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import click

from mlbench.collection.languages import full_language
from mlbench.errors import UserError
from mlbench.results import MOST_RESAMPLES

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
document_option = click.option("--json", "as_json", is_flag=True, help="Print the document instead of tables.")
resamples_option = click.option(
    "--resamples",
    type=click.IntRange(2, MOST_RESAMPLES),
    default=2000,
    show_default=True,
    metavar="N",
    help="Resamples of the intervals.",
)
unset_option = click.option(
    "--unset", multiple=True, metavar="KEY", help="Take a key or a table out of the recipe; may be repeated."
)

_BETWEEN_NAMES = re.compile(r",(?![^{}]*\})")
# What stands in brackets belongs to the name, as in P(rel=2)@5=0.01.
_ASSIGNMENT = re.compile(r"((?:[^=(]|\([^)]*\))*)=(.*)", re.DOTALL)


def assignments(
    example: str, option: str = "--set"
) -> Callable[[click.Context, click.Parameter, Sequence[str]], dict[str, str]]:
    """Return a callback that makes a mapping of the pairs; a faulty one is told with `example`, such as dim=64."""

    def parse(context: click.Context, parameter: click.Parameter, pairs: Sequence[str]) -> dict[str, str]:
        settings: dict[str, str] = {}
        for pair in pairs:
            match = _ASSIGNMENT.fullmatch(pair)
            key = match[1].strip() if match else ""
            if match is None or not key:
                raise UserError(f"{option} {pair!r}: write KEY=VALUE, as in {option} {example}")
            if key in settings:
                raise UserError(f"{option} {key} is there twice: give each key one value")
            settings[key] = match[2]
        return settings

    return parse


model_set_option = click.option(
    "--model-set",
    "model_settings",
    multiple=True,
    callback=assignments("dtype=bf16", "--model-set"),
    metavar="KEY=VALUE",
    help="Change how models are opened, as run --set does; may be repeated.",
)


def language_list(context: click.Context, parameter: click.Parameter, tags: str | None) -> tuple[str, ...] | None:
    """Return the tags of a list with commas, None where no list is given; raises `UserError` for what is no tag."""
    if tags is None:
        return None
    return tuple(full_language(tag.strip()) for tag in tags.split(",") if tag.strip())


def task_list(context: click.Context, parameter: click.Parameter, specs: Sequence[str]) -> tuple[str, ...]:
    """Return the tasks of options that are repeated, hold a list with commas, or both.

    A path that exists is one task, whatever its name holds, and a comma in braces belongs to a name, as in
    `shards/{0,1}.tar`. Raises `UserError` for an empty name.
    """
    names = [name.strip() for spec in specs for name in ([spec] if Path(spec).exists() else _BETWEEN_NAMES.split(spec))]
    if not all(names):
        raise UserError("--task has an empty name: write names with commas between them, as in --task xquad-r,mlqa-r")
    return tuple(names)
