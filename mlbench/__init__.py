"""Measures how well retrievers find answers across languages, and how fair they are between them."""

from importlib import import_module
from typing import TYPE_CHECKING

from mlbench.version import __version__

if TYPE_CHECKING:
    from mlbench.data import load_collection
    from mlbench.errors import MlbenchError, UserError
    from mlbench.evaluation import evaluate
    from mlbench.languages import Setting
    from mlbench.options import Options
    from mlbench.protocols import Encoder, Ranker, Runtime
    from mlbench.records import Collection, Document, Judgment, Query
    from mlbench.result_files import read_result
    from mlbench.results import Result
    from mlbench.specs import open_retriever
    from mlbench.tasks import Task, load_task

__all__ = [
    "Collection",
    "Document",
    "Encoder",
    "Judgment",
    "MlbenchError",
    "Options",
    "Query",
    "Ranker",
    "Result",
    "Runtime",
    "Setting",
    "Task",
    "UserError",
    "__version__",
    "evaluate",
    "load_collection",
    "load_task",
    "open_retriever",
    "read_result",
]

# A name is imported when it is asked for, so that `import mlbench` costs nothing.
_HOMES = {
    "Collection": "records",
    "Document": "records",
    "Encoder": "protocols",
    "Judgment": "records",
    "MlbenchError": "errors",
    "Options": "options",
    "Query": "records",
    "Ranker": "protocols",
    "Result": "results",
    "Runtime": "protocols",
    "Setting": "languages",
    "Task": "tasks",
    "UserError": "errors",
    "evaluate": "evaluation",
    "load_collection": "data",
    "load_task": "tasks",
    "open_retriever": "specs",
    "read_result": "result_files",
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
