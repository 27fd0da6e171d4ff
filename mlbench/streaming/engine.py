"""Opens the engine that the user asks for."""

from collections.abc import Callable
from typing import cast

from mlbench import plugins
from mlbench.protocols import Progress
from mlbench.workers import Engine, Resources

OpenEngine = Callable[[Resources, Progress], Engine]


def open_engine(name: str, resources: Resources, progress: Progress) -> Engine:
    """Return the engine that the entry point `name` gives; raises `UnknownName`, and `EngineError` as it does."""
    return cast(OpenEngine, plugins.load(plugins.ENGINES, name))(resources, progress)
