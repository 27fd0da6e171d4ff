"""Whether what a result says beside its numbers can be true: its retriever, what it took, when and by which command."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from mlbench.results import Cost, Environment, Result, RetrieverInfo
from mlbench.tasks.task import load_task, task_names

_DIGEST = re.compile(r"[0-9a-f]{64}")
_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_VERSION = re.compile(r"[0-9][0-9A-Za-z.+_-]{0,40}")
_MOMENT = re.compile(r"[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9]\+00:00")
_LARGEST_DIM = 10**6
_MOST_CPUS = 10**5
_LONGEST_SPEC = 200
_SINCE: Mapping[str, str] = {"0.1.0": "2026-11-20"}
"""The day of the first code of each version of mlbench."""
# Clocks are not quite right.
_TOLERANCE = timedelta(hours=1)


def claims_fault(result: Result) -> str:
    """Say which claim of a result cannot be true, or nothing."""
    if result.vectors is not None and result.retriever.kind == "ranker":
        return "vectors are an encoder's"
    environment, moment = result.environment, result.cost.finished_at
    return (
        _retriever_fault(result.retriever)
        or _seen_fault(result)
        or _cost_fault(result.cost)
        or _environment_fault(environment)
        or (f"cost.finished_at {fault}" if (fault := moment_fault(moment, environment.mlbench)) else "")
        or ("" if environment.command is None else command_fault(environment.command))
    )


def _retriever_fault(retriever: RetrieverInfo) -> str:
    if not 0 < len(retriever.spec) <= _LONGEST_SPEC:
        return f"retriever.spec has {len(retriever.spec):,} characters"
    training = retriever.training
    digests = {"fingerprint": retriever.fingerprint}
    if training is not None:
        digests["training.recipe_fingerprint"] = training.recipe_fingerprint
        digests |= {f"training.data[{index}].fingerprint": data.fingerprint for index, data in enumerate(training.data)}
    if fault := _unlike(_DIGEST, "SHA-256", digests):
        return f"retriever.{fault}"
    if retriever.kind == "ranker":
        dense = retriever.dim is not None or retriever.similarity is not None
        return "retriever.dim and similarity are an encoder's" if dense else ""
    if retriever.dim is None or not 0 < retriever.dim <= _LARGEST_DIM or retriever.similarity is None:
        return "retriever.dim or similarity is not that of an encoder"
    return ""


def _seen_fault(result: Result) -> str:
    """Say whether a result hides that its model was trained on what the task is built from, as far as it knows both."""
    known, task = result.retriever.registry, result.task.name
    if known is None or task not in task_names():
        return ""
    seen = known.on_task(load_task(task).built_from).seen
    return "" if known.seen == seen else f"retriever.registry.seen is not {list(seen)}, as trained_on has it"


def _cost_fault(cost: Cost) -> str:
    numbers = cost.model_dump(exclude={"finished_at", "indexes"})
    negative = [name for name, value in numbers.items() if value is not None and value < 0]
    if negative:
        return f"cost.{negative[0]} is negative"
    if cost.encoded_texts is not None and (cost.texts is None or cost.encoded_texts > cost.texts):
        return "cost.encoded_texts is more than there are texts"
    if cost.encoded_images is not None and (cost.images is None or cost.encoded_images > cost.images):
        return "cost.encoded_images is more than there are images"
    return ""


def _environment_fault(environment: Environment) -> str:
    if environment.cpus is not None and not 0 < environment.cpus <= _MOST_CPUS:
        return "environment.cpus is no number of processors"
    versions = {"mlbench": environment.mlbench, "python": environment.python, **environment.libraries}
    if fault := _unlike(_VERSION, "version", versions):
        return f"environment.{fault}"
    commit = environment.git_commit
    return "" if commit is None else _unlike(_COMMIT, "commit", {"environment.git_commit": commit})


def moment_fault(text: str, version: str) -> str:
    """Say why a version of mlbench cannot have written this moment, or nothing; it reads as `NAME FAULT`."""
    try:
        moment = datetime.fromisoformat(text) if _MOMENT.fullmatch(text) else None
    except ValueError:
        moment = None
    if moment is None:
        return "is no moment in UTC"
    if moment > datetime.now(UTC) + _TOLERANCE:
        return "is in the future: set the clock of the machine, and do it again"
    since = _SINCE.get(version, min(_SINCE.values()))
    return f"is before {since}, when mlbench {version} began" if text < since else ""


def command_fault(command: str) -> str:
    """Say why a command that made a result, it is said, is not one of `mlbench run`, or nothing."""
    # Only the command line knows its options, and it knows the leaderboard: it is imported when there is a command.
    from mlbench.cli.recorded import recorded_fault

    fault = recorded_fault(command)
    return f"environment.command {fault}" if fault else ""


def _unlike(pattern: re.Pattern[str], what: str, texts: Mapping[str, str]) -> str:
    return next((f"{name} is no {what}" for name, text in texts.items() if not pattern.fullmatch(text)), "")
