"""Options such as `--set KEY=VALUE`, given as often as there are keys to set."""

from collections.abc import Callable, Sequence

import click

from mlbench.errors import UserError


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
