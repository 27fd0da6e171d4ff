"""The page that says how often the default gate is wrong, made from a simulation on real seed pairs."""

import json
from collections.abc import Mapping
from pathlib import Path

FIGURES = Path(__file__).parent / "figures" / "gate.json"

_INTRO = """\
# How honest the gate is

The level is a promise: where the candidate is not worse, the gate fires in at most {level} of the comparisons, however
many lines it has. It was tried on real results, of {pairs} pairs of training seeds: two seeds each of recipes that
differ in the languages of their batches. In each try base and candidate are swapped at random, cluster by cluster, in
all settings of a cluster at once. What remains of the pair is how much two trainings differ; which of them is better is
wiped out, so there is no real difference. A false alarm is a try in which any line of the gate fires. To see
what the gate finds, a real drop of {drop} mAP is then put into the topics of one language of the query, drawn for each
try, or of all, and the same tries are made again: {tries:,} in each row, with {flips} flips."""

_RULES = """\
`significant` and `point` are the default gate, `non_inferior` one on the means of the three kinds of settings, each to
be shown worse by less than {margin}. `significant` keeps its promise. It hardly ever misses a drop of {drop} in all
languages, and often one in a single language, which moves the means by a small part of {drop}. `point` fires nearly
always, also where nothing is worse: among so many lines one has always fallen by more than is allowed. `non_inferior`
turns the burden around: it fires until data show that the candidate holds up, so how often it fires without a
difference says whether the margin is wide enough for the data. `python -m tests.bench.gate` makes these figures again
from the results of a sweep."""

_SEEDS = """\
## Two seeds are two models

Compared as they are, without swapping, {compared} ordered pairs of seeds of one recipe made the gate fire {fired}
times. These need not be false alarms. The gate asks whether this checkpoint is worse than that one, and two trainings
of one recipe do differ, in one language more than by the choice of topics. Whether a *recipe* is worse is asked of
several seeds on either side: give `mlbench compare` folders with the results of all seeds, which are averaged topic by
topic first."""

_HEADS = ("rule", "tasks", "gate lines", "no real difference", "drop in one language", "drop in all languages")
_WHERE = ("nowhere", "one language", "all languages")


def page() -> str:
    """Return the page: a row for each rule and choice of tasks, the share of tries that fire with 95 % limits."""
    figures = json.loads(FIGURES.read_text(encoding="utf-8"))
    outcomes = figures["outcomes"]
    words = {
        "level": f"{100 * figures['level']:.0f} %",
        "pairs": figures["pairs"],
        "drop": _short(max(outcome["drop"] for outcome in outcomes)),
        "margin": _short(figures["margin"]),
        "tries": figures["tries"],
        "flips": figures["flips"],
        **figures["pairs_as_they_are"],
    }
    rows = list(dict.fromkeys((outcome["rule"], tuple(outcome["tasks"]), outcome["lines"]) for outcome in outcomes))
    found = {(outcome["rule"], tuple(outcome["tasks"]), outcome["where"]): outcome for outcome in outcomes}
    table = [_line(_HEADS), _line(["---"] * len(_HEADS))]
    table += [
        _line(
            [
                f"`{rule}`",
                " and ".join(tasks),
                str(lines),
                *(_share(found[rule, tasks, where], figures["tries"]) for where in _WHERE),
            ]
        )
        for rule, tasks, lines in rows
    ]
    sizes = " and ".join(f"{number} in {task}" for task, number in figures["clusters"].items())
    parts = [_INTRO.format(**words), "\n".join(table), f"Clusters of topics: {sizes}. Limits are exact, of 95 %."]
    return "\n\n".join([*parts, _RULES.format(**words), _SEEDS.format(**words)]) + "\n"


def _line(cells: "list[str] | tuple[str, ...]") -> str:
    return f"| {' | '.join(cells)} |"


def _share(outcome: Mapping[str, float], tries: int) -> str:
    low, high = (f"{100 * outcome[key]:.1f}" for key in ("low", "high"))
    return f"{100 * outcome['fired'] / tries:.1f} % [{low}, {high}]"


def _short(value: float) -> str:
    return f"{value:g}".removeprefix("0")
