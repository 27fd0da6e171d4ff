"""Finds the reader of a task: by its name, or by the folder that it recognises."""

import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path, PurePosixPath

from mlbench import entry_points, members
from mlbench.errors import UserError
from mlbench.io.toml import relative_path
from mlbench.protocols import DataFiles, FolderReader, Reader
from mlbench.tasks import hub
from mlbench.tasks.data_card import read_card

FOLDER_FILE = "task.toml"
"""The task file in a folder of data."""
_CARD = "README.md"
_MOST_NAMES = 100_000


def load_reader(name: str) -> Reader:
    """Return the reader `name`; raises `UnknownName`, or `UserError` where the plugin is none."""
    reader = entry_points.load(entry_points.READERS, name)
    if not members.is_reader(reader):
        raise UserError(
            f"reader {name!r} of {entry_points.origin(entry_points.READERS, name)} is no reader: it must be a function "
            "of a ReadRequest that returns a Collection"
        )
    return reader


def describe_folder(
    root: Path, inside: str, languages: tuple[str, ...] | None, *, named: object = None
) -> dict[str, object]:
    """Return what a task file in `root` would say of the data in its folder `inside`, `.` for `root` itself.

    The folder is described by the reader that recognises it, which `named` decides where several do. `inside` may also
    name files of the folder, as in `shards/{000..012}.tar`: those alone are declared. Raises `ValueError` or
    `UserError` where no reader recognises the folder, where several do, or where the folder has a fault.
    """
    inside = relative_path(inside) if inside != "." else "."
    if not (root / inside).is_dir() and is_pattern(inside):
        place, _, pattern = inside.rpartition("/")
        return _only(pattern, describe_folder(root, place or ".", languages, named=named), place)
    folder = root / inside
    readers = _folder_readers()
    try:
        found = [name for name, reader in readers.items() if folder.is_dir() and reader.recognises(folder)]
    except OSError as error:
        raise ValueError(f"{folder} cannot be read: {error.strerror or error}") from error
    if not found:
        known = ", or ".join(filter(None, map(members.looks_for, readers.values())))
        raise ValueError(f"there are no files {known}, in {folder}")
    if len(found) > 1 and named not in found:
        names = " and ".join(sorted(found))
        raise ValueError(
            f"{folder} has files for the readers {names}: keep them in two folders, or choose one with reader = ... in "
            f"{FOLDER_FILE}"
        )
    name = str(named) if named in found else found[0]
    return {"reader": name} | _inside(inside, readers[name].declare_folder(folder, languages))


def describe_hub_set(address: str, languages: tuple[str, ...] | None, *, pinned: bool) -> dict[str, object]:
    """Return what a task file would say of a data set on the Hugging Face hub, at the commit that its revision is.

    `address` is `hf://datasets/ORG/NAME@REVISION/SUBSET#SPLIT`, with or without revision, subset and split; with
    `pinned`, the revision must be a commit. Raises `UserError` or `ValueError` where no reader knows the layout.
    """
    address, _, split = address.partition("#")
    wanted = hub.HubAddress.parse(address)
    if pinned and not wanted.is_pinned:
        raise ValueError(f"{address} must name a commit (40 hex digits), as in hf://datasets/ORG/NAME@COMMIT")
    listing = hub.list_files(address)
    card = read_card(hub.fetch_file(listing.address(_CARD))) if _CARD in listing.files else {}
    files = DataFiles(tuple(listing.files), card, wanted.path, split)
    for name in entry_points.names(entry_points.READERS):
        reader = _reader_or_none(name)
        if members.describes_hub_sets(reader) and (declared := reader.declare_files(files, languages)) is not None:
            told = {"title": card.get("pretty_name"), "licence": card.get("license")}
            who = {key: value for key, value in told.items() if isinstance(value, str)}
            return who | {"reader": name} | _on_hub(declared, listing, "-".join(filter(None, (wanted.path, split))))
    raise ValueError(
        f"{address} has no corpus, queries and qrels as mteb's retrieval tasks have, nor another known layout"
    )


def _on_hub(declared: Mapping[str, object], listing: hub.HubListing, part: str) -> dict[str, object]:
    """Return what is declared with the addresses of its files at the listed commit, and who they are from."""
    files = declared.get("files")
    entries = [
        entry
        | {
            "path": f"{listing.repository}/{entry['path']}",
            "url": listing.address(entry["path"]),
            "bytes": listing.files[entry["path"]].bytes,
        }
        for entry in (files if isinstance(files, list | tuple) else ())
    ]
    name = re.sub(r"[^a-z0-9]+", "-", f"{listing.repository}-{part}".lower()).strip("-")
    homepage = f"https://huggingface.co/datasets/{listing.repository}"
    return {"name": name, "version": listing.commit, "homepage": homepage} | dict(declared) | {"files": entries}


def is_pattern(path: str) -> bool:
    """Say whether the last part of a path names tar files, such as `{000..012}.tar`."""
    return bool(re.search(r"\.(tar|tar\.gz|tgz)\Z", path))


def _only(pattern: str, declared: dict[str, object], place: str) -> dict[str, object]:
    """Return what is declared with the files that `pattern` names alone, those that lie in `place`."""
    files, names = declared["files"], expand_braces(pattern)
    assert isinstance(files, list)
    by_path = {entry["path"]: entry for entry in files}
    paths = [str(PurePosixPath(place, name)) for name in names]
    for path in paths:
        if path not in by_path:
            raise ValueError(f"there is no file {path}" + (f", which {pattern} names" if len(paths) > 1 else ""))
    return declared | {"files": [by_path[path] for path in paths]}


def expand_braces(pattern: str) -> list[str]:
    """Return the names that a pattern with braces stands for, as a shell does: `{00..11}`, `{a,b}`, or several of them.

    Numbers are padded to the length of the first where it begins with 0. Raises `ValueError` for braces that are none,
    and for more than 100,000 names.
    """
    match = re.search(r"\{([^{}]*)\}", pattern)
    if match is None:
        if re.search(r"[{}]", pattern):
            raise ValueError(f"{pattern!r:.80} has braces that are none: write {{000..012}}.tar")
        return [pattern]
    span = re.fullmatch(r"(\d{1,9})\.\.(\d{1,9})", match[1])
    if span:
        first, last = int(span[1]), int(span[2])
        width = len(span[1]) if span[1].startswith("0") else 0
        if last - first >= _MOST_NAMES:
            raise ValueError(f"{pattern!r:.80} names more than {_MOST_NAMES:,} files")
        parts = [str(number).zfill(width) for number in range(first, last + 1)]
    else:
        parts = match[1].split(",")
    if (len(parts) < 2 and not span) or not parts:
        raise ValueError(f"{pattern!r:.80} has braces that are none: write {{000..012}}.tar")
    rest = expand_braces(pattern[match.end() :])
    if len(parts) * len(rest) > _MOST_NAMES:
        raise ValueError(f"{pattern!r:.80} names more than {_MOST_NAMES:,} files")
    return [f"{pattern[: match.start()]}{part}{end}" for part in parts for end in rest]


def _folder_readers() -> dict[str, FolderReader]:
    readers = {name: _reader_or_none(name) for name in entry_points.names(entry_points.READERS)}
    return {name: reader for name, reader in readers.items() if members.describes_folders(reader)}


def _reader_or_none(name: str) -> Reader | None:
    """Return a reader; None for a plugin that cannot be imported, which is told of where it is asked for."""
    with suppress(UserError):
        return load_reader(name)
    return None


def _inside(folder: str, declared: Mapping[str, object]) -> dict[str, object]:
    """Return what is declared with the paths of its files and images in `folder`; what is no path is left alone."""
    files, images = declared.get("files"), declared.get("images")
    placed = dict(declared)
    if isinstance(files, list | tuple):
        placed["files"] = [_placed(folder, entry, "path") for entry in files]
    if isinstance(images, dict):
        placed["images"] = _placed(folder, images, "folder")
    return placed


def _placed(folder: str, table: object, key: str) -> object:
    if isinstance(table, dict) and isinstance(table.get(key), str):
        return table | {key: str(PurePosixPath(folder, table[key]))}
    return table
