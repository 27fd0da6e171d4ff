"""Finds an entry of the registry of models: those that are shipped, and those of a file of one's own."""

from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files as package_files
from pathlib import Path

from pydantic import ValidationError

from mlbench.errors import InvalidRegistry, UnknownName
from mlbench.io.toml import faults_of, read_toml
from mlbench.registry.entry import Entry, RegistryFile

_OWNER = "sentence-transformers"


@cache
def shipped() -> Mapping[str, Entry]:
    """Return the entries that come with mlbench by their hub ids, sorted."""
    folder = Path(str(package_files("mlbench.model_files"))) / "registry"
    return _by_name(entry for path in sorted(folder.glob("*.toml")) for entry in read_entries(path))


def read_entries(path: Path) -> tuple[Entry, ...]:
    """Return the entries of a file of the registry.

    Raises `InvalidRegistry` with all its faults at once, and `DataError` where it cannot be read.
    """
    table = read_toml(path, str(path), InvalidRegistry)
    try:
        return RegistryFile.model_validate(table).entries()
    except ValidationError as error:
        raise InvalidRegistry(str(path), faults_of(error, RegistryFile)) from error


def entries(more: Iterable[Entry] = ()) -> Mapping[str, Entry]:
    """Return all entries by their hub ids, sorted; those of `more` take the place of shipped ones."""
    return _by_name([*shipped().values(), *more])


def find(name: str, known: Mapping[str, Entry]) -> Entry | None:
    """Return the entry of a hub id or alias, upper or lower case; None where there is none.

    A name without an owner is one of sentence-transformers, as on the hub.
    """
    wanted = {name.lower(), f"{_OWNER}/{name}".lower()}
    return next((entry for entry in known.values() if wanted & _names_of(entry)), None)


def find_called(name: str, known: Mapping[str, Entry]) -> Entry | None:
    """Return the entry of a hub id or alias, or the only one that is called so by whatever owner; None for others."""
    called = [entry for entry in known.values() if entry.name.lower().endswith(f"/{name.lower()}")]
    return find(name, known) or (called[0] if len(called) == 1 else None)


def look_up(name: str, known: Mapping[str, Entry]) -> Entry:
    """Return what `find_called` does; raises `UnknownName` with the nearest known names where there is nothing."""
    found = find_called(name, known)
    if found is None:
        raise UnknownName("model", name, known)
    return found


def scheme_of(name: str) -> str | None:
    """Return the scheme that opens a hub id of the shipped registry; None for any other text."""
    entry = find(name, shipped())
    return None if entry is None else entry.kind


def _names_of(entry: Entry) -> set[str]:
    return {name.lower() for name in (entry.name, *entry.aliases)}


def _by_name(given: Iterable[Entry]) -> dict[str, Entry]:
    return dict(sorted({entry.name: entry for entry in given}.items()))
