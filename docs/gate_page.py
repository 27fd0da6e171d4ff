"""The page that says how often the gate is wrong, made from simulations on real results."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

FIGURES = Path(__file__).parent / "figures" / "gate.json"

_INTRO = """\
# How honest the gate is

The level is a promise: where the candidate is worse by no more than is allowed, in no line of the gate, it fires in at
most {level} of the comparisons, however many lines it has. It was tried on real results on {task}. Two systems are
taken, and what they differ by in each article and each setting. The true difference is taken out, setting by setting,
and a drop put in, so that it is known. What remains is how much the difference varies between articles, with the sizes
and the skew that articles have. In each try as many articles are drawn with replacement and judged as
`mlbench compare` does: {tries:,} tries for each number, with {flips} flips. In every line {allowed} is allowed, and
worse means lower mAP, or an own_language_preference further above 1/2.

There are three pairs: {pairs}. The more two systems differ, the more does their difference vary."""

_MEANS = """\
## Means

A gate on the means of the three kinds of settings. `significant` should fire in at most {level} of the tries up to a
drop of {allowed}; `non_inferior` should let at most {level} pass from there on."""

_DEFAULT = """\
## The default gate

All {lines} lines: means, rows by language of the query, and own_language_preference, all of them worse by the same."""

_DEFAULT_HEADS = ("pair", "drop of {allowed}", "drop of {twice}", "drop of {allowed}, sides swapped")

_RULES = """\
## What holds

- **The level holds at the allowance**, within the limits of the tries, for pairs of systems that resemble each other,
  as a checkpoint and its predecessor do. A drop within the allowance hardly ever fires.
- **Twice the allowance is found nearly always** between a model and a slightly different one: in {power} of the tries
  of the gate on means. Between two training recipes, or a trained model and one of n-grams, differences vary more, and
  a larger drop is needed. Each report says how large.
- **Skew costs something.** A sign flip takes for granted that an article's difference might as well have had the other
  sign. Swapping the sides of each article makes that true by construction, and shows nothing but that the arithmetic is
  right. Drawn with their skew, differences of very unlike systems fire in {worst}: where two
  systems have little in common, expect half as much again as the level says.
- `point` asks for no proof: at the allowance itself it fires more often than not.
- `non_inferior` turns the burden around: it fires until data show that the candidate holds up.

## Nothing differs

The same null for the verdicts of `mlbench compare`, which ask two-sidedly for any difference: how often one of the
means and bias scores is called better or worse though none is.

{nulls}

`python -m tests.bench.gate` makes these figures again. What fewer clusters do to intervals is told in
[few clusters](statistics.md#few-clusters).

## Two seeds are two models

The gate asks whether this checkpoint is worse than that one, and two trainings of one recipe do differ, in one language
more than by the choice of topics. Whether a *recipe* is worse is asked of several seeds on either side: give
`mlbench compare` folders with the results of all seeds, which are averaged topic by topic first."""


def page() -> str:
    """Return the page: tables of how often a gate fires, with 95 % limits, and what follows from them."""
    figures = json.loads(FIGURES.read_text(encoding="utf-8"))
    outcomes, allowed = figures["gates"], figures["allowed"]
    means = [one for one in outcomes if one["gate"] == "means"]
    default = [one for one in outcomes if one["gate"] == "default"]
    power = next(one for one in means if one["rule"] == "significant" and one["drop"] == 2 * allowed)
    worst = max((one for one in default if one["draw"] == "redrawn" and one["drop"] == allowed), key=_of_share)
    words = {
        "level": f"{100 * figures['level']:.0f} %",
        "task": figures["task"],
        "tries": figures["tries"],
        "flips": figures["flips"],
        "allowed": _short(allowed),
        "twice": _short(2 * allowed),
        "pairs": "; ".join(f"{pair} ({' and '.join(names)})" for pair, names in figures["pairs"].items()),
        "lines": default[0]["lines"],
        "power": _share(power),
        "worst": f"{_share(worst)} of the tries of the default gate",
        "nulls": "\n".join(_nulls(figures["nulls"])),
    }
    drops = sorted({one["drop"] for one in means})
    parts = [_INTRO, _MEANS, "\n".join(_table_of_means(means, drops)), _DEFAULT]
    parts += ["\n".join(_table_of_default(default, allowed)), _RULES]
    return "\n\n".join(part.format(**words) for part in parts) + "\n"


def _table_of_means(means: Sequence[Mapping[str, object]], drops: Sequence[float]) -> Iterator[str]:
    yield _line(("rule", "pair", *(f"drop of {_short(drop)}" for drop in drops)))
    yield _line(["---"] * (2 + len(drops)))
    for rule, pair in dict.fromkeys((one["rule"], one["pair"]) for one in means):
        found = {one["drop"]: one for one in means if (one["rule"], one["pair"]) == (rule, pair)}
        yield _line((f"`{rule}`", str(pair), *(_share(found[drop]) for drop in drops)))


def _table_of_default(default: Sequence[Mapping[str, object]], allowed: float) -> Iterator[str]:
    yield _line(_DEFAULT_HEADS)
    yield _line(["---"] * len(_DEFAULT_HEADS))
    for pair in dict.fromkeys(one["pair"] for one in default):
        found = {(one["draw"], one["drop"]): one for one in default if one["pair"] == pair}
        wanted = (("redrawn", allowed), ("redrawn", 2 * allowed), ("swapped", allowed))
        yield _line((str(pair), *(_share(found[each]) for each in wanted)))


def _nulls(nulls: Sequence[Mapping[str, object]]) -> Iterator[str]:
    yield _line(("pair", "called different"))
    yield _line(("---", "---"))
    yield from (_line((str(one["pair"]), _share(one))) for one in nulls)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _of_share(outcome: Mapping[str, object]) -> float:
    return float(str(outcome["share"]))


def _share(outcome: Mapping[str, object]) -> str:
    share, low, high = (f"{100 * float(str(outcome[key])):.1f}" for key in ("share", "low", "high"))
    return f"{share} % [{low}, {high}]"


def _short(value: float) -> str:
    return f"{value:g}".removeprefix("0")
