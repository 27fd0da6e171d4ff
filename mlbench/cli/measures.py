"""`mlbench measures`: what every number means."""

import json
from collections.abc import Sequence

import click

from mlbench.cli.progress import console
from mlbench.errors import UnknownName, UserError
from mlbench.measures.bias import BIAS_SCORES, BiasScore
from mlbench.measures.ranked import EXAMPLES, EXPLANATIONS, Explanation, explained_as, parse
from mlbench.statistics.captions import EXPLANATIONS as CAPTIONS
from mlbench.statistics.direction import describe, direction_of

MEASURE, BIAS_SCORE, CAPTION_SCORE = "measure", "bias score", "caption score"
_READINGS = {
    True: "computed from ranks, for any pool afterwards",
    False: "computed by ir_measures while measuring, and not recomputable from ranks",
}


@click.command(
    epilog="""\b
Examples:
  mlbench measures
  mlbench measures R@10 rank_distance
  mlbench measures "nDCG(dcg='exp-log2')@10"
  mlbench measures --json"""
)
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list instead.")
def command(names: tuple[str, ...], as_json: bool) -> None:
    """Explain every measure and score with its formula, or those called NAME.

    Any name of ir_measures is understood, with its parameters, and what other tools call the same measures.

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
        explained = name if name in EXPLANATIONS else _explained(name)
        known, kind, entry = _canonical(name) or explained, MEASURE, EXPLANATIONS[explained]
    row = {"name": known, "kind": kind, "summary": entry.summary, "formula": entry.formula, "source": entry.source}
    row["direction"] = direction_of(known) or "none"
    if kind == MEASURE:
        row["reading"] = _READINGS[_is_derived(known)]
    return row | {"reading": describe(known)} if kind == BIAS_SCORE else row


def _explained(name: str) -> str:
    """Return the name under which a measure is explained: R@k for R@10, recall or R, AP for AP@20."""
    try:
        return explained_as(name)
    except UnknownName as error:
        known = [*EXAMPLES, *EXPLANATIONS, *BIAS_SCORES, *CAPTIONS]
        raise UnknownName("measure or score", name, known) from error


def _canonical(name: str) -> str | None:
    """Return what a measure is called in results; None for a family that is written without what it requires."""
    try:
        return parse(name).name
    except UserError:
        return None


def _is_derived(name: str) -> bool:
    canonical = _canonical(name)
    return parse(canonical).is_derived if canonical else True


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
