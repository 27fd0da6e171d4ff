"""Reads a command line that somebody says to have typed, and does nothing that it says."""

import shlex
from collections.abc import Sequence

import click

from mlbench.cli import group


def recorded_fault(command: str) -> str:
    """Say why a command is not one of `mlbench run` as a shell takes it, or nothing; it reads as `it FAULT`."""
    try:
        words = shlex.split(command)
        if shlex.join(words) != command or words[:1] != ["mlbench"]:
            return "is no command of mlbench as a shell takes it"
        name, *options = _parsed(group, words[1:]) or [""]
        run = group.get_command(click.Context(group), name)
        if name != "run" or run is None:
            return f"is none of mlbench run: {name!r:.80}"
        left = _parsed(run, options)
    except (ValueError, click.ClickException) as error:
        message = error.format_message() if isinstance(error, click.ClickException) else error
        return f"is none of mlbench run: {message}"
    return f"has more behind its options: {left[0]!r:.80}" if left else ""


def _parsed(command: click.Command, words: Sequence[str]) -> list[str]:
    """Return what follows the options of a command; raises `click.ClickException` for options that it does not take."""
    context = click.Context(command)
    values, left, _ = command.make_parser(context).parse_args(list(words))
    for parameter in command.get_params(context):
        if parameter.name in values:
            if parameter.is_eager:
                raise click.UsageError(f"{parameter.opts[-1]} measures nothing")
            parameter.type_cast_value(context, values[parameter.name])
    return left
