"""A base and a candidate on all their tasks: the only place where the steps of a comparison meet."""

from dataclasses import dataclass
from pathlib import Path

from mlbench.compare.document import Check, Comparison, TaskComparison
from mlbench.compare.gate import Gate
from mlbench.compare.judge import judge, lines_of, verdict
from mlbench.compare.pairing import PairedRanks, ResultWithRanks, Side, describe_system, pair_up
from mlbench.errors import UserError
from mlbench.evaluation.evaluate import Evaluation
from mlbench.measures.ranked import parse
from mlbench.statistics.cluster_scores import ScoreRequest, sum_by_cluster
from mlbench.statistics.differences import Differences, find_differences
from mlbench.statistics.paired_tests import FLIPS, PairedTests, check_flips, compare
from mlbench.version import __version__


@dataclass(frozen=True, kw_only=True)
class CompareOptions:
    """How a comparison is made: sign flips of the tests, resamples of the intervals, the seed of both.

    With `shared_languages`, in the languages that both sides have.
    """

    flips: int = FLIPS
    resamples: int = 2000
    seed: int = 0
    shared_languages: bool = False


def compare_systems(base: Side, candidate: Side, gate: Gate, options: CompareOptions | None = None) -> Comparison:
    """Compare a candidate with its base on every task that both were measured on, and judge it by a gate.

    Raises `UserError` in one line where there is no such task, where they were measured on other data, versions,
    languages, measures or limits, where the gate asks for what a task lacks, or where its level asks for more flips.
    """
    options = options or CompareOptions()
    pairs = pair_tasks(base, candidate, shared_languages=options.shared_languages)
    check_flips(options.flips, gate.level, len(pairs))
    how = {"resamples": options.resamples, "seed": options.seed}
    differences = {task: differences_of_pair(pair, **how, confidence=gate.confidence) for task, pair in pairs.items()}
    # All that a gate could not be used for is told before anything is tested.
    lines = {task: lines_of(gate, found, task) for task, found in differences.items()}
    tasks = []
    for task, pair in pairs.items():
        found = differences[task]
        tests = compare(found, flips=options.flips, level=gate.level)
        checks = judge(found, lines[task], gate, task=task, flips=options.flips, n_tasks=len(pairs))
        tasks.append(
            TaskComparison(
                task=task,
                version=pair.task.version,
                fingerprint=pair.task.fingerprint,
                languages=pair.languages,
                shared_only=pair.shared_only,
                limit=pair.task.limit,
                base=describe_system(base.by_task[task]),
                candidate=describe_system(candidate.by_task[task]),
                tests=tests,
                verdicts=tuple(verdict(line, gate.level, options.flips) for line in tests.lines),
                checks=checks,
            )
        )
    return Comparison(
        mlbench=__version__,
        gate=gate,
        tasks=tuple(tasks),
        uncompared=tuple(sorted(set(base.by_task) ^ set(candidate.by_task))),
        checks=tuple(_check_required(task, base, candidate) for task in gate.required_tasks),
    )


def compare_evaluations(base: Evaluation, candidate: Evaluation, *, flips: int = FLIPS) -> PairedTests:
    """Test the differences between two evaluations of one task, as `mlbench compare` does without a gate.

    Intervals are made as those of the base's result. Raises `UserError` in one line where the two were measured on
    different tasks, versions, data, languages or measures.
    """
    one, other = base.result, candidate.result
    if one.task.name != other.task.name:
        raise UserError(
            f"there is no task to compare on: the base has {one.task.name}, the candidate {other.task.name}"
        )
    sides = (
        [ResultWithRanks(Path(each.result.retriever.label), each.result, each.ranks)] for each in (base, candidate)
    )
    made = one.statistics
    found = differences_of_pair(pair_up(*sides), resamples=made.resamples, seed=made.seed, confidence=made.confidence)
    return compare(found, flips=flips)


def pair_tasks(base: Side, candidate: Side, *, shared_languages: bool) -> dict[str, PairedRanks]:
    """Return what both sides were measured on, by the names of the tasks; raises as `compare_systems` does."""
    names = [task for task in base.by_task if task in candidate.by_task]
    if not names:
        have = ", ".join(base.by_task), ", ".join(candidate.by_task)
        raise UserError(f"there is no task to compare on: {base.name} has {have[0]}, {candidate.name} has {have[1]}")
    return {
        task: pair_up(base.by_task[task], candidate.by_task[task], shared_languages=shared_languages) for task in names
    }


def differences_of_pair(pair: PairedRanks, *, resamples: int, seed: int, confidence: float) -> Differences:
    """Return all differences of a pair, with their intervals; `find_differences` says what it raises."""
    request = ScoreRequest(
        settings=pair.settings,
        # Both sides have ranks, from which they follow, whichever of them a run was asked for.
        measures=tuple(name for name in pair.task.measures if parse(name).is_derived),
        primary_measure=pair.task.primary_measure,
        bias_scores=pair.bias_scores,
        parallel=pair.task.parallel,
        translated=pair.task.documents == "translations",
        resamples=resamples,
        seed=seed,
        confidence=confidence,
    )
    return find_differences(
        *([sum_by_cluster(pair.ranks_of(one), request) for one in side] for side in (pair.base, pair.candidate))
    )


def _check_required(task: str, base: Side, candidate: Side) -> Check:
    lacking = [side.name for side in (base, candidate) if task not in side.by_task]
    return Check(
        task=task,
        rule="required",
        subject=None,
        allowed=None,
        base=None,
        candidate=None,
        difference=None,
        interval=None,
        p=None,
        detectable=None,
        passed=not lacking,
        reason=f"missing in {' and '.join(lacking)}" if lacking else "measured on both sides",
    )
