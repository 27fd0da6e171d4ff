"""Comparisons made by hand: differences that look real, and no ranks behind them."""

from collections.abc import Iterator, Sequence

import numpy as np
from unit.reports.conftest import HOSTILE, UNSEEN

from mlbench.collection.languages import TEXT_KINDS, Kind, settings_of
from mlbench.compare.document import Check, ComparedSystem, Comparison, TaskComparison
from mlbench.compare.gate import DEFAULT, Gate, Rule
from mlbench.compare.judge import verdict
from mlbench.results import Bounds, Statistics
from mlbench.statistics.differences import Subject
from mlbench.statistics.paired_tests import Line, PairedTests, Tails

MEASURES = ("AP", "R@1", "nDCG@10")
LEVEL: dict[Kind, float] = {"monolingual": 0.61, "cross_lingual": 0.2, "multilingual": 0.15}
# What a candidate that fell differs by from its base.
FALL: dict[Kind, float] = {"monolingual": 0.002, "cross_lingual": -0.03, "multilingual": -0.0004}
SCORES = {
    "own_language_preference": (0.91, 0.04),
    "rank_distance": (4520.8, 255.2),
    "rank_distance_median": (3718.4, 340.0),
    "rank_distance_log2": (8.94, 0.05),
    "max_rank_norm": (23.1, -1.7),
    "removal_gap": (0.45, 0.03),
}
REFERENCES = {"own_language_preference": (0.5, 0.5), "rank_distance": (10.0, 10845.8), "max_rank_norm": (100.0, 1.28)}
TESTED = ("own_language_preference", "rank_distance")
ALLOWED = 0.005


def make_comparison(
    languages: Sequence[str] = ("de", "en", "th"), *, tasks: Sequence[str] = ("xquad-r",), fall: float = 1.0
) -> Comparison:
    """Make a comparison of a candidate that fell; `fall` is by how many times the usual, 0 for not at all."""
    return Comparison(
        mlbench="0.1.0",
        gate=DEFAULT,
        tasks=tuple(make_task(task, languages, fall=fall) for task in tasks),
        uncompared=("mini",),
    )


def spoiled() -> Comparison:
    """Return a comparison whose names would act in any format."""
    name = HOSTILE + UNSEEN
    comparison = make_comparison()
    task = make_task(name, ("de", name), fall=1)
    systems = {side: task.base.model_copy(update={"spec": name, "files": (name,)}) for side in ("base", "candidate")}
    checks = tuple(check.model_copy(update={"reason": name}) for check in task.checks)
    task = task.model_copy(update={**systems, "version": name, "shared_only": True, "checks": checks})
    return comparison.model_copy(update={"tasks": (task,), "uncompared": (name,)})


def make_task(
    task: str,
    languages: Sequence[str],
    *,
    fall: float = 1.0,
    rule: Rule = "significant",
    kinds: Sequence[Kind] = TEXT_KINDS,
) -> TaskComparison:
    lines = tuple(_lines(languages, fall, kinds))
    return TaskComparison(
        task=task,
        version="1",
        fingerprint="f" * 64,
        languages=tuple(languages),
        shared_only=False,
        limit=None,
        base=ComparedSystem(spec="hybrid", fingerprints=("a" * 64,), files=("hybrid.json",)),
        candidate=ComparedSystem(spec="x-x-mono", fingerprints=("b" * 64,), files=("x-x-mono.json",)),
        tests=PairedTests(
            primary_measure="AP",
            n_base=1,
            n_candidate=1,
            flips=10_000,
            exact=False,
            statistics=Statistics(
                clustered_by="article", n_clusters=48, resamples=2000, seed=0, confidence=0.95, redraws=0
            ),
            lines=lines,
        ),
        verdicts=tuple(verdict(line, 0.05) for line in lines),
        checks=tuple(make_check(task, line, rule) for line in lines if _is_gated(line)),
    )


def make_check(task: str, line: Line, rule: Rule = "significant") -> Check:
    assert line.difference is not None
    assert line.adjusted is not None
    worsening = line.difference if line.kind is None else -line.difference
    failed = worsening > ALLOWED and line.adjusted.two_sided <= 0.05
    return Check(
        task=task,
        rule=rule,
        subject=Subject.model_validate({name: getattr(line, name) for name in Subject.model_fields}),
        allowed=ALLOWED,
        base=line.base,
        candidate=line.candidate,
        difference=line.difference,
        interval=line.interval,
        p=line.adjusted.two_sided,
        detectable=0.008 if line.query_language is None else 0.01 + 0.001 * len(line.query_language),
        passed=not failed,
        reason=f"fell by {worsening:.4f} (p = {line.adjusted.two_sided:.2g})" if failed else "did not fall",
    )


def floor(value: float, bound: float, language: str | None = None) -> Check:
    """Make a line of the gate that asks for a monolingual mAP."""
    family = "query_languages" if language else "aggregates"
    return Check(
        task="xquad-r",
        rule="floor",
        subject=Subject(family=family, name="AP", kind="monolingual", query_language=language),
        allowed=bound,
        base=0.6,
        candidate=value,
        difference=value - 0.6,
        interval=None,
        p=None,
        detectable=None,
        passed=value >= bound,
        reason=f"{value:.4f} is {'at or above' if value >= bound else 'below'} the floor of {bound:.4f}",
    )


def required(task: str, *, passed: bool) -> Check:
    """Make the line of a task that must be there."""
    nothing = dict.fromkeys(("subject", "allowed", "base", "candidate", "difference", "interval", "p", "detectable"))
    reason = "measured on both sides" if passed else "missing in results/base"
    return Check.model_validate({**nothing, "task": task, "rule": "required", "passed": passed, "reason": reason})


def gated(rule: Rule) -> Gate:
    """Return the gate without a file, under another rule."""
    return DEFAULT.model_copy(update={"rule": rule})


def _lines(languages: Sequence[str], fall: float, kinds: Sequence[Kind]) -> Iterator[Line]:
    random = np.random.RandomState(0)
    settings = settings_of(languages, kinds)
    present = [kind for kind in kinds if any(setting.kind == kind for setting in settings)]
    for kind in present:
        for measure in MEASURES:
            yield _line(Subject(family="aggregates", name=measure, kind=kind), LEVEL[kind], fall * FALL[kind])
    for name, (value, rise) in SCORES.items() if "multilingual" in present else ():
        yield _line(Subject(family="aggregates", name=name), value, fall * rise)
    for kind in present:
        for language in languages:
            about = {"kind": kind, "query_language": language}
            for measure in MEASURES:
                subject = Subject(family="query_languages", name=measure, **about)
                yield _line(subject, LEVEL[kind], fall * (FALL[kind] + random.uniform(-0.001, 0.001)))
    for setting in settings:
        for measure in MEASURES:
            subject = Subject(
                family="settings",
                name=measure,
                kind=setting.kind,
                query_language=setting.query_language,
                document_languages=setting.document_languages,
            )
            change = fall * (FALL[setting.kind] + random.uniform(-0.01, 0.01))
            yield _line(subject, LEVEL[setting.kind], change)


def _line(subject: Subject, base: float, change: float) -> Line:
    tested = subject.name == "AP" or subject.name in TESTED
    p = 0.0003 if abs(change) > 0.02 else 0.4
    wide = abs(base) / 50
    ideal, chance = REFERENCES.get(subject.name, (None, None))
    return Line(
        **subject.model_dump(),
        base=base,
        candidate=base + change,
        difference=change,
        interval=None if subject.name == "rank_distance_median" else Bounds(low=change - wide, high=change + wide),
        raw=Tails(two_sided=p, greater=p, less=p) if tested else None,
        adjusted=Tails(two_sided=p, greater=p, less=p) if tested else None,
        n_topics=1190,
        n_clusters=48,
        ideal=ideal,
        chance=chance,
    )


def _is_gated(line: Line) -> bool:
    if line.name == "own_language_preference":
        return True
    return line.name == "AP" and line.family != "settings"
