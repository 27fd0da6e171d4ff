"""Options such as `--drop AP:multilingual=0.01`: lines of a gate, alone or on top of those in a file."""

from collections.abc import Callable, Mapping, Sequence

import click

from mlbench.cli.assignments import assignments
from mlbench.errors import UserError
from mlbench.languages import KINDS
from mlbench.regression.gate import MEAN, Drops

Changes = Mapping[tuple[str, ...], object]
"""Values by the paths of their keys in a gate file."""

Callback = Callable[[click.Context, click.Parameter, Sequence[str]], Changes]


def drops() -> Callback:
    """Return the callback of `--drop MEASURE[:KIND]=X`; without a kind, X holds for all means and rows."""

    def change(name: str, kinds: Sequence[str]) -> list[tuple[str, ...]]:
        return [("drop", name, kind) for kind in kinds or Drops.model_fields]

    return _lines("--drop", "AP:multilingual=0.005", 1, change)


def rises() -> Callback:
    """Return the callback of `--rise SCORE=X`."""
    return _lines("--rise", "own_language_preference=0.01", 0, lambda score, _: [("rise", score)])


def floors() -> Callback:
    """Return the callback of `--floor MEASURE:KIND[:LANGUAGE]=X`; without a language, X is that of the mean."""

    def change(name: str, about: Sequence[str]) -> list[tuple[str, ...]]:
        if not about:
            raise UserError(f"--floor {name}: say of which kind ({', '.join(KINDS)}), as in --floor AP:monolingual=0.5")
        kind, language = about[0], about[1] if len(about) > 1 else MEAN
        return [("floor", name, kind, language)]

    return _lines("--floor", "AP:monolingual:de=0.5", 2, change)


def _lines(
    option: str, example: str, most: int, change: Callable[[str, Sequence[str]], Sequence[tuple[str, ...]]]
) -> Callback:
    pairs_of = assignments(example, option)

    def parse(context: click.Context, parameter: click.Parameter, pairs: Sequence[str]) -> Changes:
        changes: dict[tuple[str, ...], object] = {}
        for name, text in pairs_of(context, parameter, pairs).items():
            measure, *about = name.split(":")
            try:
                value = float(text)
            except ValueError:
                raise UserError(f"{option} {name}={text}: write a number, as in {option} {example}") from None
            if len(about) > most:
                raise UserError(f"{option} {name}={text}: too many colons, write it as in {option} {example}")
            changes |= dict.fromkeys(change(measure, about), value)
        return changes

    return parse
