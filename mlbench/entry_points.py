"""Finds entry points without importing them, and loads one by name."""

from functools import cache
from importlib.metadata import EntryPoint, entry_points

from mlbench.errors import MissingExtra, UnknownName, UserError

RETRIEVERS = "mlbench.retrievers"
READERS = "mlbench.readers"
RERANKERS = "mlbench.rerankers"
ENGINES = "mlbench.engines"


@cache
def installed(group: str) -> tuple[EntryPoint, ...]:
    """Return all installed entry points of `group`; none gives an empty tuple.

    They are looked for once in a process, because that reads the metadata of every installed distribution.
    """
    return tuple(entry_points(group=group))


def names(group: str) -> tuple[str, ...]:
    """Return the sorted names of all installed entry points of `group`; none gives an empty tuple."""
    return tuple(sorted({point.name for point in installed(group)}))


def kind(group: str) -> str:
    """Return what one plugin of `group` is called, such as `retriever`."""
    return group.rpartition(".")[2].removesuffix("s")


def origin(group: str, name: str) -> str:
    """Return the distribution that brings the entry point `name`, such as `mlbench`; raises `UnknownName`."""
    point = _find(group, name)
    return point.dist.name if point.dist else "unknown"


def load(group: str, name: str) -> object:
    """Import and return what the entry point `name` of `group` names.

    Raises `UnknownName` with the nearest known names, and `UserError` where the import fails. A `MissingExtra` raised
    while importing passes through.
    """
    point = _find(group, name)
    try:
        loaded: object = point.load()
    except MissingExtra:
        raise
    except Exception as error:
        where = point.dist.name if point.dist else point.value
        raise UserError(f"{group} {name!r} of {where} cannot be imported: {type(error).__name__}: {error}") from error
    return loaded


def _find(group: str, name: str) -> EntryPoint:
    # Two distributions may bring one name; ours is the one a reader of the docs means.
    found = [point for point in installed(group) if point.name == name]
    if not found:
        raise UnknownName(kind(group), name, names(group))
    return min(found, key=lambda point: (point.dist is None or point.dist.name != "mlbench", point.value))
