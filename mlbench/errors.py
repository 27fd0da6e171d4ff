"""The exception tree: every error a user can meet, with the exit code it ends the program with.

MlbenchError
├── UserError              2  something the user can put right; one line that says what to do
│   ├── UnknownName           a name that is not known, with the nearest known ones
│   ├── FaultyDeclaration     a TOML file with faults, all of them listed
│   │   ├── InvalidTask          a task file
│   │   ├── InvalidBenchmark     a benchmark file
│   │   ├── InvalidRecipe        a recipe for training
│   │   ├── InvalidRegistry      a file of the registry of models
│   │   ├── InvalidGate          a gate file, or options that make a gate
│   │   ├── InvalidSystem        a file of a system made of other retrievers
│   │   └── InvalidModels        a file that lists the models of a run
│   ├── DataError             data missing, altered, truncated or of unexpected content
│   ├── RetrieverError        a retriever that cannot be opened or gives unusable vectors or lists
│   ├── EngineError           workers that cannot be started, or that are lost again and again
│   ├── MissingExtra          an optional dependency that is not installed
│   ├── InvalidResult         a result document or ranks file that cannot be used
│   └── RefusedEntry          an entry that the leaderboard does not take
└── InternalError          3  a fault of ours
"""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches


class MlbenchError(Exception):
    """Whatever mlbench raises on purpose; `exit_code` is what the command line ends with."""

    exit_code = 3


class UserError(MlbenchError):
    """Something the user can put right; the message is one line that says what to do."""

    exit_code = 2


class UnknownName(UserError):
    """A name that is not known; `kind` says what was looked up, `known` what there is."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        shown = name if len(name) <= 100 else f"{name[:97]}..."
        super().__init__(f"unknown {kind} {shown!r}: {suggest(name, known)}")


class FaultyDeclaration(UserError):
    """A TOML file with faults; all of them are reported at once, each with its key."""

    def __init__(self, source: str, faults: Sequence[str]) -> None:
        self.faults = tuple(faults)
        noun = "fault" if len(self.faults) == 1 else "faults"
        super().__init__(f"{source}: {len(self.faults)} {noun}: " + "; ".join(self.faults))


class InvalidTask(FaultyDeclaration):
    """A task file with faults."""


class InvalidBenchmark(FaultyDeclaration):
    """A benchmark file with faults."""


class InvalidRecipe(FaultyDeclaration):
    """A recipe for training with faults."""


class InvalidRegistry(FaultyDeclaration):
    """A file of the registry of models with faults."""


class InvalidGate(FaultyDeclaration):
    """A gate file, or options that make a gate, with faults."""


class InvalidSystem(FaultyDeclaration):
    """A file of a system made of other retrievers, with faults."""


class InvalidModels(FaultyDeclaration):
    """A file that lists the models of a run, with faults."""


class DataError(UserError):
    """Data that is missing, altered, truncated or not what the task expects."""


class RetrieverError(UserError):
    """A retriever that cannot be opened, or that gives vectors or lists which cannot be scored."""


class EngineError(UserError):
    """Workers that cannot be reached or started, or that were lost again and again over the same work."""


class MissingExtra(UserError):
    """An optional dependency is not installed."""

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(f"{feature} need: pip install 'mlbench[{extra}]'")


class InvalidResult(UserError):
    """A result document or ranks file that cannot be read, trusted or combined."""


class RefusedEntry(UserError):
    """An entry that the leaderboard does not take; the message is the first reason found."""


class InternalError(MlbenchError):
    """A state that should be impossible; please report it."""


def suggest(name: str, known: Iterable[str]) -> str:
    """Say which known names are nearest to `name`, upper or lower case, or list them all when none is near.

    Returns `"no names are known"` for an empty `known`.
    """
    names = sorted(known)
    if not names:
        return "no names are known"
    by_lower = {each.lower(): each for each in names}
    nearest = get_close_matches(name.lower(), by_lower, n=3, cutoff=0.5)
    if nearest:
        return "did you mean " + " or ".join(by_lower[each] for each in nearest) + "?"
    return "known are " + ", ".join(names)
