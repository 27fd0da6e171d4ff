"""What an entry point of the group `mlbench.retrievers` names: how retrievers of one kind are opened."""

from pathlib import Path
from typing import Protocol, runtime_checkable

from pydantic import BaseModel

from mlbench.protocols import Retriever, Runtime


class Scheme(Protocol):
    """What an entry point of the group `mlbench.retrievers` names: how to open `scheme:locator`.

    The first line of its docstring is what `mlbench models list` shows; the fields of `Settings` (a pydantic model that
    forbids unknown keys) are what `--set key=value` takes and `mlbench models show` explains.
    """

    Settings: type[BaseModel]

    @staticmethod
    def open(locator: str, settings: BaseModel, runtime: Runtime) -> Retriever:
        """Return the retriever, or raise `RetrieverError` or `MissingExtra` with one line that says what to do."""
        ...


@runtime_checkable
class Adopting(Protocol):
    """A `Scheme` that also takes model objects, so that a notebook can measure what it holds in memory."""

    Settings: type[BaseModel]

    @staticmethod
    def adopt(model: object, settings: BaseModel, runtime: Runtime) -> Retriever | None:
        """Return the retriever made of `model`, or None for an object of another kind."""
        ...


@runtime_checkable
class Recognising(Protocol):
    """A `Scheme` that knows its own folders, so that `--model FOLDER` opens them with no scheme in front."""

    @staticmethod
    def recognises(folder: Path) -> bool:
        """Say at a glance whether `folder` is of this kind: heavy libraries and weights are left alone."""
        ...


@runtime_checkable
class Packaging(Protocol):
    """A `Scheme` with a model of its own, which it opens without a locator."""

    @staticmethod
    def packaged() -> str:
        """Say in one line what that model is, or what to do where it is missing."""
        ...
