"""Entries as the site shows them: measured on a small collection, reported, and with names that mean harm."""

from dataclasses import replace

from unit.compare.cases import skilled
from unit.leaderboard.boards import honest
from unit.reports.conftest import HOSTILE, UNSEEN, spoil
from unit.statistics.cases import make_collection

from mlbench.collection.languages import TEXT_KINDS
from mlbench.leaderboard.audit import Audit
from mlbench.leaderboard.entries import Entry, ReportedTask, ReportedValue, sealed
from mlbench.leaderboard.evidence import gather
from mlbench.leaderboard.site import harmless, shown
from mlbench.leaderboard.standings import BoardEntry, CheckedResult
from mlbench.ranking.ranks import Ranks
from mlbench.results import Result

COLLECTION = make_collection(seed=0, topics=40)
SPARSE = make_collection(seed=1, topics=60, languages=("de", "en", "th"), sparse=True)
MEASURES = ("AP", "R@1", "R@10", "RR")
BIAS_SCORES = ("own_language_preference", "rank_distance", "rank_distance_median", "max_rank", "same_language_first")
TASKS = {"small": COLLECTION, "sparse": SPARSE, "constructor": COLLECTION}


def measured(task: str, *, seed: int = 0, skill: float = 1.0) -> tuple[Result, Ranks]:
    """Return a result and its ranks of a system that finds the more, the more `skill` it has."""
    collection = TASKS[task]
    ranks = skilled(collection, seed=seed, skill=skill)
    return honest(ranks, collection, spec=f"s{seed}", name=task, measures=MEASURES, bias_scores=BIAS_SCORES), ranks


def entry(name: str, **about: object) -> Entry:
    tasks = about.get("tasks", ())
    kind = "verified" if tasks else "reported"
    return sealed(**{"name": name, "kind": kind, "title": name.upper(), **about})


def verified(name: str, *, seed: int = 0, skill: float = 1.0, tasks: tuple[str, ...] = ("small",)) -> BoardEntry:
    about = entry(name, tasks=tasks, parameters=seed * 10**7 or None, summary="A retriever.", licence="MIT")
    return shown(about, {task: measured(task, seed=seed, skill=skill) for task in tasks})


def said(task: str = "small", *, aggregation: str = "macro", level: float = 0.5) -> ReportedTask:
    values = [ReportedValue(name="AP", kind=kind, query_language=None, value=level) for kind in TEXT_KINDS]
    values.append(ReportedValue(name="rank_distance", kind=None, query_language=None, value=12.5))
    for place, language in enumerate(("ar", "de", "en")):
        values.append(ReportedValue(name="AP", kind="multilingual", query_language=language, value=place / 10))
    return ReportedTask(
        task=task, aggregation=aggregation, document_text=None, unstated=("ties", "depth"), values=tuple(values)
    )


def reported(name: str, *tasks: ReportedTask) -> BoardEntry:
    return shown(entry(name, reported=tasks or (said(),), source="A paper, table 1", url="https://example.org/x"), {})


def board() -> list[BoardEntry]:
    """Return entries of every kind: `ours` is best by far, `twin` and `other` differ by nothing but a seed."""
    return [
        verified("ours", seed=1, skill=4.0, tasks=("small", "sparse")),
        verified("other", seed=2, tasks=("small", "sparse")),
        verified("twin", seed=3),
        reported("paper"),
        reported("micro", said(aggregation="micro", level=0.9)),
    ]


def audited(shown: BoardEntry, *, passed: bool = True) -> BoardEntry:
    """Return an entry with an audit."""
    audit = Audit(
        name=shown.name,
        entry_fingerprint=shown.entry.fingerprint,
        passed=passed,
        by="the maintainers",
        finished_at="2026-01-31T12:00:00+00:00",
        seed="0" * 40,
        commit=None,
        model="static",
        same_fingerprint=True,
        mlbench="0.1.0",
        tasks={},
    )
    return replace(shown, audit=audit)


def as_control(shown: BoardEntry) -> BoardEntry:
    return replace(shown, entry=shown.entry.model_copy(update={"control": True}))


def renamed(shown: BoardEntry, task: str, name: str) -> BoardEntry:
    """Return an entry with only one of its tasks, under another name."""
    tasks = {}
    for each in (shown.tasks[old] for old in shown.tasks if old == task):
        about = each.result.task.model_copy(update={"name": name})
        tasks[name] = CheckedResult(each.result.model_copy(update={"task": about}), each.evidence)
    return replace(shown, tasks=tasks)


def hostile() -> BoardEntry:
    """Return an entry, and a task, whose every text tries to be more than text."""
    name = (HOSTILE + UNSEEN)[:90]
    result, ranks = measured("small", seed=4)
    spoiled = harmless(spoil(result))
    about = entry("hostile", tasks=("small",), title=name, summary=HOSTILE + UNSEEN, licence=name)
    about = about.model_copy(update={"url": "javascript:alert(1)"})
    return BoardEntry(harmless(about), {spoiled.task.name: CheckedResult(spoiled, gather(result, ranks))})
