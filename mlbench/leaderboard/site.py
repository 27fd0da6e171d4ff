"""The static site: pages that read without scripts, a data file for each entry, and small scripts that draw from it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TypeVar

from jinja2 import Environment, PackageLoader, StrictUndefined
from pydantic import BaseModel

from mlbench.collection.languages import IMAGE_KINDS, TEXT_KINDS
from mlbench.errors import RefusedEntry
from mlbench.io.shared_folder import write_files
from mlbench.leaderboard.audit import STATUSES, badge, status_of
from mlbench.leaderboard.benchmark_standings import benchmark_standings
from mlbench.leaderboard.board import Board
from mlbench.leaderboard.check import CheckedEntry, Identities, check_entry
from mlbench.leaderboard.columns import GRADED_MEASURES, IMAGE_MEASURES, MEASURES, title
from mlbench.leaderboard.entries import Entry, files_of
from mlbench.leaderboard.entry_page import entry_page
from mlbench.leaderboard.evidence import Evidence, gather, kept_evidence
from mlbench.leaderboard.findings import medians
from mlbench.leaderboard.overview import KIND_WORDS, MOST_ROWS, facts, overview, size
from mlbench.leaderboard.page_data import DRAWN_MEASURES, entry_values, file_name, script, task_values
from mlbench.leaderboard.pairs import differing_settings
from mlbench.leaderboard.ranking_data import ranking_values
from mlbench.leaderboard.repository import changes
from mlbench.leaderboard.standings import RANK_FLIPS, BoardEntry, CheckedResult, Standings, standings
from mlbench.measures.bias import BIAS_SCORES
from mlbench.measures.ranked import EXPLANATIONS
from mlbench.protocols import SILENCE, Progress
from mlbench.ranking.ranks import Ranks
from mlbench.reports.formatting import SHORT, spoken, visible
from mlbench.reports.language_map import SCRIPT, STYLE
from mlbench.reports.report import column_groups
from mlbench.results import Result
from mlbench.statistics.captions import EXPLANATIONS as CAPTIONS
from mlbench.statistics.paired_tests import FLIPS
from mlbench.tasks.benchmark import benchmark_names, load_benchmark
from mlbench.tasks.task import load_task, task_names
from mlbench.version import __version__

_ASSETS = (".css", ".js", ".svg")
_SIZES = (10_000_000, 150_000_000, 600_000_000, 2_000_000_000)
_CITATION = f"""@software{{mlbench,
  title={{mlbench: how well retrievers find answers across languages, and how fair they are between them}},
  author={{{{The mlbench authors}}}},
  version={{{__version__}}},
  license={{Apache-2.0}}
}}"""
Shown = TypeVar("Shown", bound=BaseModel)


@dataclass(frozen=True)
class TaskNote:
    """A task of the leaderboard; licence and homepage are those of its data, empty where they are not known."""

    name: str
    facts: str
    fingerprint: str
    licence: str
    licence_url: str
    homepage: str


@dataclass(frozen=True)
class Term:
    """A measure or a bias score: by what name it is linked, how it is shown, what it is and where it comes from."""

    name: str
    title: str
    summary: str
    formula: str
    source: str


@dataclass(frozen=True)
class About:
    """What the page explains; `captions` are the scores of captioned images, where a task has such."""

    tasks: Sequence[TaskNote]
    measures: Sequence[Term]
    scores: Sequence[Term]
    captions: Sequence[Term]


def read_entries(board: Board, *, progress: Progress = SILENCE) -> list[BoardEntry]:
    """Check every entry of a board, and return them; raises `RefusedEntry` for the first that fails."""
    names, added, identities = board.entry_names(), changes(board), Identities(board)
    for file in board.stray_audits():
        raise RefusedEntry(f"audits/{file!r:.80} is the audit of no entry")
    found = []
    progress.start("check entries", len(names))
    for name in names:
        checked = check_entry(board, name, identities)
        # The ranks are large, so that one entry's are let go before the next ones are read.
        tasks = {
            task: CheckedResult(harmless(checked.result(task)), _evidence(checked, task)) for task in checked.accepted
        }
        found.append(BoardEntry(harmless(checked.entry), tasks, board.audit(name), added.get(name)))
        progress.advance(1)
    progress.finish()
    return found


def _evidence(checked: CheckedEntry, task: str) -> Evidence:
    """Return the evidence of an entry on a task, which is kept: only what is new or has changed is read."""
    digests = [checked.entry.files[file].encode() for file in files_of(task)]
    return kept_evidence(task, digests, lambda: gather(checked.result(task), checked.ranks(task)))


def build_site(
    entries: Sequence[BoardEntry], folder: Path, *, flips: int = FLIPS, progress: Progress = SILENCE
) -> None:
    """Write the site to `folder`, in place of an older one; files of others in it are left alone.

    The same entries give the same bytes, and nothing is written before all of them are made. Raises `UserError` where
    a file of others is in the way, and `OSError`.
    """
    write_files(folder, dict(_files(entries, flips, progress)))


def _files(entries: Sequence[BoardEntry], flips: int, progress: Progress) -> Iterator[tuple[str, bytes]]:
    ordered = sorted(entries, key=lambda each: each.name)
    for asset in (*files("mlbench.leaderboard").joinpath("assets").iterdir(), SCRIPT, STYLE):
        if asset.name.endswith(_ASSETS):
            yield f"assets/{asset.name}", asset.read_bytes()
    for each in ordered:
        yield f"badges/{each.name}.svg", badge(status_of(each.entry, each.audit)).encode()
    for name, text in pages(ordered, flips=flips, progress=progress):
        yield name, text.encode()


def pages(
    entries: Sequence[BoardEntry], *, flips: int = FLIPS, progress: Progress = SILENCE
) -> Iterator[tuple[str, str]]:
    """Yield path and text of every page and data file; `entries` are sorted by name."""
    rank_flips = min(flips, RANK_FLIPS)
    every = standings(entries, flips=rank_flips)
    measured = {each.task: each.result for each in every if each.result}
    render = _Templates()
    has_images = any(result.image_text is not None for result in measured.values())
    shown_measures = (*MEASURES, *GRADED_MEASURES, *(IMAGE_MEASURES if has_images else ()))
    by_name = {each.name: each for each in entries}
    benchmarks = benchmark_standings(entries, map(load_benchmark, benchmark_names()), flips=rank_flips)
    rankings = [overview(each, by_name) for each in (*every, *benchmarks)]
    ranked = {each.key: f"rankings/{file_name(each.key)}.js" for each in rankings if each.rows}
    rows = [row for each in rankings for row in each.rows]
    yield (
        "index.html",
        render(
            "overview",
            page="index",
            rankings=rankings,
            ranking_files=ranked,
            measures=[(measure, title(measure)) for measure in shown_measures],
            kinds=[(kind, SHORT[kind]) for kind in (*TEXT_KINDS, *(IMAGE_KINDS[:2] if has_images else ()))],
            short=SHORT,
            kind_words=KIND_WORDS,
            most_rows=MOST_ROWS,
            meanings=STATUSES,
            sizes=[(most, size(most)) for most in _SIZES],
            retrievers=sorted({row.retriever for row in rows}),
            licences=sorted({row.entry.licence for row in rows if row.entry.licence}),
            statuses=[status for status in STATUSES if any(row.status == status for row in rows)],
            anchors={measure: _family(measure) for measure in shown_measures},
            software=_CITATION,
        ),
    )
    for ranking in rankings:
        if ranking.key in ranked:
            yield ranked[ranking.key], script("board.knowRanking", ranking.key, ranking_values(ranking, by_name))
    drawn = [(measure, title(measure)) for measure in (*DRAWN_MEASURES, *(IMAGE_MEASURES if has_images else ()))]
    verified = [each.entry for each in entries if each.tasks]
    task_files = {task: file_name(task) for task in measured}
    yield (
        "compare.html",
        render(
            "compare", page="compare", entries=verified, tasks=measured, task_files=task_files.values(), drawn=drawn
        ),
    )
    yield "about.html", render("about", page="about", about=about(every), statuses=STATUSES)
    evidence = {
        task: {each.name: each.tasks[task].evidence for each in entries if task in each.tasks} for task in measured
    }
    for standing in every:
        if standing.task in measured:
            values = task_values(standing, list(evidence[standing.task].values()))
            yield f"tasks/{task_files[standing.task]}.js", script("board.knowTask", standing.task, values)
    of_all = {task: medians([each.tasks[task].result for each in entries if task in each.tasks]) for task in measured}
    differing = {task: differing_settings(task, found, flips=flips) for task, found in evidence.items()}
    progress.start("write entries", len(entries))
    for entry in entries:
        yield (
            f"entries/{entry.name}.html",
            render("entry", root="../", shown=entry_page(entry, every, of_all), drawn=drawn),
        )
        yield f"entries/{entry.name}.js", script("board.know", entry.name, entry_values(entry, differing))
        progress.advance(1)
    progress.finish()


def shown(entry: Entry, pairs: Mapping[str, tuple[Result, Ranks]]) -> BoardEntry:
    """Return a checked entry as the site shows it; `pairs` are its results and ranks by task, none if reported."""
    tasks = {task: CheckedResult(harmless(result), gather(result, ranks)) for task, (result, ranks) in pairs.items()}
    return BoardEntry(harmless(entry), tasks)


def harmless(document: Shown) -> Shown:
    """Return a document with line breaks, control and direction characters in every text as visible escapes."""
    return type(document).model_validate(_visible(document.model_dump()))


def _visible(part: object) -> object:
    match part:
        case str():
            return visible(part)
        case dict():
            return {_visible(key): _visible(value) for key, value in part.items()}
        case list() | tuple():
            return [_visible(value) for value in part]
    return part


def about(every: Sequence[Standings]) -> About:
    """Return what is explained of these tasks; measures of texts and bias scores are always explained."""
    has_images = any(each.result and each.result.image_text for each in every)
    measures = []
    shown = (*MEASURES, *GRADED_MEASURES, *(IMAGE_MEASURES if has_images else ()))
    for name in dict.fromkeys(map(_family, shown)):
        each = EXPLANATIONS[name]
        measures.append(Term(name, title(name), each.summary, each.formula, each.source))
    scores = [Term(name, name, each.summary, each.formula, each.source) for name, each in BIAS_SCORES.items()]
    captions = [
        Term(name, spoken(name), each.summary, each.formula, each.source)
        for name, each in CAPTIONS.items()
        if has_images
    ]
    return About([_task_note(standings) for standings in every if standings.result], measures, scores, captions)


def _family(measure: str) -> str:
    """Return the name under which a measure is explained, whatever its cutoff."""
    families = {name.partition("@")[0]: name for name in EXPLANATIONS}
    return families[measure.partition("@")[0]]


def _task_note(standings: Standings) -> TaskNote:
    shipped = load_task(standings.task) if standings.task in task_names() else None
    return TaskNote(
        name=standings.task,
        facts=facts(standings),
        fingerprint=standings.result.task.fingerprint if standings.result else "",
        licence=shipped.licence if shipped else "",
        licence_url=shipped.licence_url if shipped else "",
        homepage=shipped.homepage if shipped else "",
    )


class _Templates:
    """Renders the templates of the site."""

    def __init__(self) -> None:
        self._environment = Environment(
            loader=PackageLoader("mlbench.leaderboard"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.globals["groups"] = column_groups

    def __call__(self, name: str, *, root: str = "", page: str = "", **values: object) -> str:
        template = self._environment.get_template(f"{name}.html")
        return template.render(root=root, page=page, version=__version__, **values) + "\n"
