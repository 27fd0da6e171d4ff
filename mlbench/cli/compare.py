"""`mlbench compare`: a candidate against its base, and a gate that says whether it may pass."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import click

from mlbench.cli.options import assignments, document_option, resamples_option
from mlbench.cli.progress import console
from mlbench.collection.languages import KINDS
from mlbench.compare.compare import CompareOptions, compare_systems
from mlbench.compare.document import Comparison
from mlbench.compare.gate import MEAN, Drops, Gate, Rule, load_gate
from mlbench.compare.pairing import find_side
from mlbench.compare.reported import is_reported, read_reported, reported_in
from mlbench.errors import UserError
from mlbench.io.document import to_json
from mlbench.reports.documents.comparison import comparison_report
from mlbench.reports.documents.reported import differences_report
from mlbench.reports.formats import check_files, render, write_files
from mlbench.reports.writers.console import ConsoleReport
from mlbench.results import LARGEST_SEED, read_result, results_in
from mlbench.statistics.paired_tests import FLIPS

Changes = Mapping[tuple[str, ...], object]
"""Values by the paths of their keys in a gate file."""
Callback = Callable[[click.Context, click.Parameter, Sequence[str]], Changes]
FAILED = 1
"""The exit code when a line of the gate fails."""
_MOST_FLIPS = 1_000_000


@dataclass(frozen=True, kw_only=True)
class CompareArguments:
    """The options of a comparison; lines of the gate by the paths of their keys."""

    gate: Path | None
    rule: Rule | None
    level: float | None
    drop: Changes
    rise: Changes
    floor: Changes
    max_rank_distance: float | None
    require: tuple[str, ...]
    shared_languages: bool
    flips: int
    resamples: int
    seed: int
    every_setting: bool
    write: tuple[Path, ...]
    as_json: bool


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
            # A colon in brackets is one of a map of gains.
            measure, *about = re.split(r":(?![^(]*\))", name)
            try:
                value = float(text)
            except ValueError:
                raise UserError(f"{option} {name}={text}: write a number, as in {option} {example}") from None
            if len(about) > most:
                raise UserError(f"{option} {name}={text}: too many colons, write it as in {option} {example}")
            changes |= dict.fromkeys(change(measure, about), value)
        return changes

    return parse


@click.command(
    epilog="""\b
Examples:
  mlbench compare base/ candidate/
  mlbench compare base.json candidate.json --gate gate.toml --write report.md --write junit.xml
  mlbench compare hybrid results/ --drop AP:multilingual=0.01 --rule non_inferior
  mlbench compare base/ candidate/ --floor AP:monolingual:th=0.5 --max-rank-distance 5000"""
)
@click.argument("base", metavar="BASE")
@click.argument("candidate", metavar="CANDIDATE")
@click.option("--gate", type=click.Path(path_type=Path), metavar="FILE", help="A gate file in TOML.")
@click.option("--rule", type=click.Choice(get_args(Rule)), help="When a drop fails.  [default: significant]")
@click.option("--level", type=float, metavar="P", help="The chance of a false alarm.  [default: 0.05]")
@click.option(
    "--drop",
    multiple=True,
    callback=drops(),
    metavar="MEASURE[:KIND]=X",
    help="The largest drop of a mean; KIND query_languages gates every row. May be repeated.",
)
@click.option(
    "--rise", multiple=True, callback=rises(), metavar="SCORE=X", help="The largest rise of a bias score; repeatable."
)
@click.option(
    "--floor",
    multiple=True,
    callback=floors(),
    metavar="MEASURE:KIND[:LANGUAGE]=X",
    help="What the candidate must reach itself; LANGUAGE * is each of them. May be repeated.",
)
@click.option("--max-rank-distance", type=float, metavar="N", help="What rank_distance may be at most.")
@click.option("--require", multiple=True, metavar="TASK", help="A task that both must have; may be repeated.")
@click.option("--shared-languages", is_flag=True, help="Compare in the languages that both have.")
@click.option(
    "--flips",
    type=click.IntRange(1, _MOST_FLIPS),
    default=FLIPS,
    show_default=True,
    metavar="N",
    help="Sign flips of the tests.",
)
@resamples_option
@click.option("--seed", type=click.IntRange(0, LARGEST_SEED), default=0, show_default=True, help="Seed of both.")
@click.option("--all", "every_setting", is_flag=True, help="Show every setting, not only the ten that lose most.")
@click.option(
    "--write",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write a file as well: .md, .html, .csv, .json, .xml (JUnit), .txt or others. May be repeated.",
)
@document_option
def command(base: str, candidate: str, **chosen: object) -> int:
    """Compare CANDIDATE with BASE on every task that both were measured on, and judge it by a gate.

    Both are a result, a folder of results, or an entry in leaderboard/entries. Several results of one task are averaged
    where they are training seeds of one recipe.

    A gate says how much worse CANDIDATE may be. Without a gate file or --drop, --rise, --floor and --max-rank-distance,
    the primary measure may not drop, and own_language_preference not rise, by more than .005. By --rule point, a drop
    fails that is larger than allowed; by significant, one that is also statistically significant; by non_inferior, one
    that is not shown to be smaller.

    A result file of mteb may stand on a side. Its numbers are reported ones, without ranks: differences are shown, and
    nothing is tested or judged.

    Exit code 0 if CANDIDATE passes, 1 if a line of the gate fails, 2 if the two cannot be compared.
    """
    request = CompareArguments(**chosen)  # type: ignore[arg-type]
    named = [(side, _documents(side)) for side in (base, candidate)]
    if any(is_reported(path) for _, found in named for path in found[:1]):
        return _show_reported([_the_one(side, found) for side, found in named], request)
    gate = _gate(request)
    sides = find_side(base), find_side(candidate)
    read = (one.path for side in sides for found in side.by_task.values() for one in found)
    check_files(request.write, read, Comparison)
    options = CompareOptions(
        flips=request.flips,
        resamples=request.resamples,
        seed=request.seed,
        shared_languages=request.shared_languages,
    )
    comparison = compare_systems(*sides, gate, options)
    report = comparison_report(comparison)
    write_files(report, request.write)
    return show(comparison, ConsoleReport(report, request.every_setting, "--all"), as_json=request.as_json)


def _documents(side: str) -> list[Path]:
    """Return the results on a side; of a folder those of mteb where it has none of ours."""
    place = Path(side)
    return (results_in(place) or reported_in(place)) if place.is_dir() else [place]


def _the_one(side: str, found: Sequence[Path]) -> Path:
    """Return the only result on a side; raises `UserError` for none or several."""
    if not found:
        raise UserError(f"no result document in {side}: name one")
    if len(found) > 1:
        of = " of mteb" if is_reported(found[0]) else ""
        raise UserError(f"{side} has {len(found)} results{of}: name one of them, such as {found[0]}")
    return found[0]


def _show_reported(paths: Sequence[Path], request: CompareArguments) -> int:
    """Show the differences between two files of which one has reported numbers only, which no gate can judge."""
    judged = {"--gate": request.gate, "--rule": request.rule, "--level": request.level, "--drop": request.drop}
    judged |= {"--rise": request.rise, "--floor": request.floor, "--max-rank-distance": request.max_rank_distance}
    asked = [option for option, value in judged.items() if value]
    if asked:
        raise UserError(f"{asked[0]} needs ranks on both sides, and reported numbers have none: leave it out")
    report = differences_report(*(read_reported(path) if is_reported(path) else read_result(path) for path in paths))
    write_files(report, request.write)
    if request.as_json:
        click.echo(render("json", report).decode(), nl=False)
    else:
        console().print(ConsoleReport(report, request.every_setting, "--all"))
    return 0


def show(comparison: Comparison, screen: ConsoleReport, *, as_json: bool) -> int:
    """Print a comparison, as JSON or as what the screen shows of it; return the exit code that it ends with."""
    if as_json:
        click.echo(to_json(comparison), nl=False)
    else:
        console().print(screen)
    return 0 if comparison.passed else FAILED


def _gate(request: CompareArguments) -> Gate:
    changes = {**request.drop, **request.rise, **request.floor}
    if request.max_rank_distance is not None:
        changes["ceiling", "rank_distance"] = request.max_rank_distance
    if request.rule is not None:
        changes["rule",] = request.rule
    if request.level is not None:
        changes["level",] = request.level
    if request.require:
        changes["required_tasks",] = list(request.require)
    return load_gate(request.gate, changes)
