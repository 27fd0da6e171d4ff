"""What a result is of, where it comes from, and how to make and to check it again."""

import shlex

from mlbench.provenance import Contamination, Provenance
from mlbench.reports.formatting import cost, count, listed, quick_look, repeatability
from mlbench.reports.report import Facts, Span, Words
from mlbench.results import Result

_MEBIBYTE = 2**20


def title_of(result: Result) -> tuple[Words, ...]:
    """Return the title of what is told of a result: its retriever, its task and the version of that."""
    return Span(result.retriever.label, "code"), "on", f"{result.task.name} (version {result.task.version})"


def caveats(result: Result) -> list[str]:
    """Return in a few words each what must be known before numbers of a result are believed; usually nothing."""
    task = result.task
    found = [f"partial: {listed(task.languages, 'language')}"] if task.partial else []
    found += [f"without {count(task.unreadable_images, 'unreadable image')}"] if task.unreadable_images else []
    found += [] if task.limit is None else [quick_look(task.limit)]
    return [*found, *training_note(result)]


def training_note(result: Result) -> list[str]:
    """Return in a few words which data behind the task the model was trained on; nothing where that is not known."""
    known = result.retriever.registry
    return [f"trained on {known.seen_names}: not zero-shot"] if known and known.seen else []


def provenance(result: Result) -> tuple[Facts, ...]:
    """Return what is known of retriever, its training, task, run and machine; what is not known is left out."""
    training = result.retriever.training
    return (
        Facts("Retriever", _known(_retriever(result))),
        *([Facts("Training", _known(_training(training)))] if training else []),
        Facts("Task", _known(_task(result))),
        Facts("Run", _known(_run(result))),
    )


def trained(training: Provenance) -> str:
    """Return in one line how a retriever was trained."""
    parts = [
        f"recipe {training.name or training.recipe_fingerprint[:8]}",
        *([] if training.seed is None else [f"seed {training.seed}"]),
        count(training.steps, "step"),
        "data " + (", ".join(data.name for data in training.data) or "none"),
        _contamination(training.contamination),
    ]
    return "trained by " + "; ".join(parts)


def command(result: Result) -> str:
    """Return the command that made the result, or one like it where it was not recorded."""
    if result.environment.command is not None:
        return result.environment.command
    parts = ["mlbench", "run", "--model", result.retriever.spec, "--task", result.task.name]
    if result.task.partial:
        parts += ["--languages", ",".join(result.task.languages)]
    if result.task.limit is not None:
        parts += ["--limit", str(result.task.limit)]
    return shlex.join(parts)


def verification(result: Result) -> str:
    """Return the command that recomputes every number of the result from its ranks."""
    return shlex.join(["mlbench", "verify", result.ranks.name.removesuffix(".ranks.npz") + ".json"])


def _retriever(result: Result) -> dict[str, object]:
    retriever = result.retriever
    return {
        "name": retriever.label,
        "model": retriever.spec if retriever.name else None,
        "kind": retriever.kind,
        "dimensions": retriever.dim,
        "similarity": retriever.similarity,
        **{name: repr(value) if value == "" else value for name, value in sorted(retriever.parameters.items())},
        "fingerprint": retriever.fingerprint,
        "repeatability": repeatability(result),
    }


def _training(training: Provenance) -> dict[str, object]:
    return {
        "summary": trained(training),
        "fingerprint of the recipe": training.recipe_fingerprint,
        **{f"fingerprint of {data.name}": data.fingerprint for data in training.data},
        "mlbench": training.code_version,
        "git commit": training.code_commit,
    }


def _contamination(found: Contamination | None) -> str:
    if found is None:
        return "contamination not looked for"
    where = f"text of {', '.join(found.tasks) or 'no task'} in {count(sum(found.rows.values()), 'row')}"
    return where if found.hits else f"no {where.rpartition(' in ')[0]}"


def _task(result: Result) -> dict[str, object]:
    task = result.task
    return {
        "name": task.name,
        "version": task.version,
        "languages": ", ".join(task.languages),
        "document text": task.document_text,
        "topics": ("" if task.parallel else "not ")
        + "parallel"
        + (", with native documents" if task.documents == "native" else ""),
        "left out": "documents with the id of the query" if task.ignore_identical_ids else None,
        "fingerprint": task.fingerprint,
    }


def _run(result: Result) -> dict[str, object]:
    environment = result.environment
    memory = result.cost.peak_bytes
    return {
        "finished": result.cost.finished_at,
        "cost": ", ".join(cost(result)),
        "tokens": None if result.cost.tokens is None else f"{result.cost.tokens:,}",
        "most memory": None if memory is None else f"{memory / _MEBIBYTE:,.0f} MiB",
        "mlbench": environment.mlbench,
        "python": environment.python,
        **environment.libraries,
        "platform": environment.platform,
        "cores": environment.cpus,
        "git commit": environment.git_commit,
        "ranks": result.ranks.name,
        "SHA-256 of the ranks": result.ranks.sha256,
    }


def _known(facts: dict[str, object]) -> tuple[tuple[str, str], ...]:
    return tuple((name, str(value)) for name, value in facts.items() if value is not None)
