"""Measures how well retrievers find answers across languages, and how fair they are between them."""

from importlib import import_module
from typing import TYPE_CHECKING

from mlbench.version import __version__

if TYPE_CHECKING:
    from mlbench.collection.languages import Setting
    from mlbench.collection.records import Collection, Document, Judgment, Query
    from mlbench.compare.compare import compare_evaluations
    from mlbench.errors import MlbenchError, UserError
    from mlbench.evaluation.evaluate import Evaluation, evaluate
    from mlbench.evaluation.options import Options
    from mlbench.open_model import open_retriever
    from mlbench.protocols import Encoder, Ranker, Resources, Runtime
    from mlbench.results import Result, read_result
    from mlbench.tasks.load import load_collection
    from mlbench.tasks.task import Task, load_task

__all__ = [
    "Collection",
    "Document",
    "Encoder",
    "Evaluation",
    "Judgment",
    "MlbenchError",
    "Options",
    "Query",
    "Ranker",
    "Resources",
    "Result",
    "Runtime",
    "Setting",
    "Task",
    "UserError",
    "__version__",
    "compare_evaluations",
    "evaluate",
    "load_collection",
    "load_task",
    "open_retriever",
    "read_result",
]

# A name is imported when it is asked for, so that `import mlbench` costs nothing.
_HOMES = {
    "Collection": "collection.records",
    "Document": "collection.records",
    "Encoder": "protocols",
    "Evaluation": "evaluation.evaluate",
    "Judgment": "collection.records",
    "MlbenchError": "errors",
    "Options": "evaluation.options",
    "Query": "collection.records",
    "Ranker": "protocols",
    "Resources": "protocols",
    "Result": "results",
    "Runtime": "protocols",
    "Setting": "collection.languages",
    "Task": "tasks.task",
    "UserError": "errors",
    "compare_evaluations": "compare.compare",
    "evaluate": "evaluation.evaluate",
    "load_collection": "tasks.load",
    "load_task": "tasks.task",
    "open_retriever": "open_model",
    "read_result": "results",
}


def __getattr__(name: str) -> object:
    """Import and return a public name."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
