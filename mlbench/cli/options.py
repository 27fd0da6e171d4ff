"""Options that several commands share: `--set KEY=VALUE`, `--languages ar,en`, `--resamples N`, `--json`."""

from collections.abc import Callable, Sequence

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


def assignments(
    example: str, option: str = "--set"
) -> Callable[[click.Context, click.Parameter, Sequence[str]], dict[str, str]]:
    """Return a callback that makes a mapping of the pairs; a faulty one is told with `example`, such as dim=64."""

    def parse(context: click.Context, parameter: click.Parameter, pairs: Sequence[str]) -> dict[str, str]:
        settings: dict[str, str] = {}
        for pair in pairs:
            name, equals, value = pair.partition("=")
            key = name.strip()
            if not equals or not key:
                raise UserError(f"{option} {pair!r}: write KEY=VALUE, as in {option} {example}")
            if key in settings:
                raise UserError(f"{option} {key} is there twice: give each key one value")
            settings[key] = value
        return settings

    return parse


def language_list(context: click.Context, parameter: click.Parameter, tags: str | None) -> tuple[str, ...] | None:
    """Return the tags of a list with commas, None where no list is given; raises `UserError` for what is no tag."""
    if tags is None:
        return None
    return tuple(full_language(tag.strip()) for tag in tags.split(",") if tag.strip())
