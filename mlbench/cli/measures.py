"""`mlbench measures`: what every number means."""

import json
from collections.abc import Sequence

import click

from mlbench.cli.progress import console
from mlbench.errors import UnknownName
from mlbench.measures.bias import BIAS_SCORES, BiasScore
from mlbench.measures.ranked import EXPLANATIONS, Explanation
from mlbench.statistics.captions import EXPLANATIONS as CAPTIONS
from mlbench.statistics.direction import describe, direction_of

MEASURE, BIAS_SCORE, CAPTION_SCORE = "measure", "bias score", "caption score"


@click.command(
    epilog="""\b
Examples:
  mlbench measures
  mlbench measures R@10 rank_distance
  mlbench measures --json"""
)
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list instead.")
def command(names: tuple[str, ...], as_json: bool) -> None:
    """Explain every measure and score with its formula, or those called NAME.

    Measures are computed for each query from the ranks of its relevant documents; bias scores for each topic from the
    multilingual pool; caption scores for each language of captioned images.
    """
    found = [_row(name) for name in (names or (*EXPLANATIONS, *BIAS_SCORES, *CAPTIONS))]
    if as_json:
        click.echo(json.dumps(found, ensure_ascii=False, indent=2))
    else:
        _print(found)


def _row(name: str) -> dict[str, str]:
    entry: BiasScore | Explanation
    if name in BIAS_SCORES:
        known, kind, entry = name, BIAS_SCORE, BIAS_SCORES[name]
    elif name in CAPTIONS:
        known, kind, entry = name, CAPTION_SCORE, CAPTIONS[name]
    else:
        known, kind = _measure(name), MEASURE
        entry = EXPLANATIONS[known]
    row = {"name": known, "kind": kind, "summary": entry.summary, "formula": entry.formula, "source": entry.source}
    row["direction"] = direction_of(known) or "none"
    return row | {"reading": describe(known)} if kind == BIAS_SCORE else row


def _measure(name: str) -> str:
    """Return the name under which the measure is explained: R@k for R@10 or R, AP for AP@20."""
    by_family = {known.partition("@")[0]: known for known in EXPLANATIONS}
    family, at, cutoff = name.partition("@")
    if family not in by_family or (at and cutoff != "k" and not cutoff.isdecimal()):
        raise UnknownName("measure or score", name, [*EXPLANATIONS, *BIAS_SCORES, *CAPTIONS])
    return by_family[family]


def _print(rows: Sequence[dict[str, str]]) -> None:
    from rich.padding import Padding
    from rich.text import Text

    screen = console()
    headings = {MEASURE: "Measures", BIAS_SCORE: "Bias scores", CAPTION_SCORE: "Caption scores"}
    for place, row in enumerate(rows):
        if place == 0 or row["kind"] != rows[place - 1]["kind"]:
            screen.print(Text(headings[row["kind"]], "bold underline"), end="\n\n")
        screen.print(Text(row["name"], "bold cyan"))
        for key, style in (("summary", ""), ("formula", "green"), ("reading", ""), ("source", "dim")):
            if key in row:
                screen.print(Padding(Text(row[key], style), (0, 0, 0, 4), expand=False))
        screen.print()
