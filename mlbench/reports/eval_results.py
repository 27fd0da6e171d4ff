"""Entries for the folder `.eval_results` of a model on the Hugging Face hub."""

import json
import re
from collections.abc import Iterator, Sequence

from mlbench.collection.languages import KINDS
from mlbench.errors import UserError
from mlbench.reports.formatting import heading, n_settings, spoken, visible
from mlbench.results import Aggregate, Result
from mlbench.tasks.hub import PREFIX, HubAddress
from mlbench.tasks.task import Task, load_task, task_names

FOLDER = ".eval_results"
"""Where the hub looks for such files in the repository of a model."""
_ON_HUB = re.compile(r"https://huggingface\.co/datasets/([\w.-]+/[\w.-]+)/resolve/([\w.-]+)/")


def eval_results(results: Sequence[Result]) -> str:
    """Return the entries of results in YAML, for a file `.eval_results/NAME.yaml` in the repository of the model.

    The fields are those of the hub (huggingface/hub-docs, eval-results.md): for each result an entry for each kind of
    settings, with the macro mean of the primary measure times 100, as mteb writes its own. `task_id` is the name of the
    task and the kind; a benchmark's `eval.yaml` says whether it has others. Scalars are written as JSON. Raises
    `UserError` for a result of a part of a task, and for a task whose data are not on the hub.
    """
    return "\n".join(line for result in results for line in _entries(result)) + "\n"


def _entries(result: Result) -> Iterator[str]:
    task = result.task
    if task.partial or task.limit is not None:
        raise UserError(f"the hub's results are of whole tasks, and this one is of a part of {task.name}")
    found = _on_hub(load_task(task.name)) if task.name in task_names() else None
    if found is None:
        raise UserError(
            f"the hub's results name a data set of the hub, and the files of {task.name} are from elsewhere: use the "
            "format model-card"
        )
    name, revision = found
    for kind in KINDS:
        mean = result.aggregate(kind)
        value = None if mean is None else mean.measures.get(task.primary_measure)
        if mean is None or value is None:
            continue
        yield "- dataset:"
        yield f"    id: {json.dumps(name)}"
        yield f"    task_id: {json.dumps(f'{task.name}_{kind}')}"
        yield f"    revision: {json.dumps(revision)}"
        yield f"  value: {100 * value:.4f}"
        yield f"  date: {json.dumps(result.cost.finished_at[:10])}"
        yield f"  notes: {json.dumps(visible(_notes(result, mean)), ensure_ascii=False)}"


def _on_hub(task: Task) -> tuple[str, str] | None:
    """Return name and revision of the data set on the hub that has the judgments, or else the other files of a task."""
    judged_first = sorted(task.files, key=lambda file: file.role != "qrels")
    for address in (task.hub, *(file.url for file in judged_first)):
        if address and address.startswith(PREFIX):
            found = HubAddress.parse(address.partition("#")[0])
            return found.repository, str(found.revision)
        if match := _ON_HUB.match(address or ""):
            return match[1], match[2]
    return None


def _notes(result: Result, mean: Aggregate) -> str:
    over = f"{heading(result.task.primary_measure)} x 100, macro mean over {n_settings(result, mean.kind)}"
    data = f"{result.task.name} version {result.task.version}, data {result.task.fingerprint[:12]}"
    return f"{over} {spoken(mean.kind)} settings of {data}; mlbench {result.environment.mlbench}"
