"""Files of ours in a folder that has files of others too, such as a checkout: a manifest names those that are ours."""

import json
from collections.abc import Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path, PurePosixPath

from mlbench.errors import UserError
from mlbench.io.atomic import write_whole

MANIFEST = "mlbench-files.json"
"""The file that lists what was written to a folder, with a digest of each."""


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write `files`, by their paths in the folder, and remove those that were written before and are not among them.

    Nothing else is touched: a file that the manifest does not list is never replaced or removed, nor is one removed
    that somebody has changed since. Files that are as they should be are left alone, each other one appears whole, and
    links are followed. Raises `UserError` where a file of others is in the way, before anything is written, and
    `OSError`.
    """
    folder = folder.resolve()
    before = _listed(folder)
    changed = {name: content for name, content in files.items() if not _holds(folder / name, content)}
    for name in changed:
        if obstacle := _obstacle(folder, name, before):
            raise UserError(f"{obstacle} is there, and mlbench did not write it: move it, or name another folder")
    after = {name: _digest(content) for name, content in files.items()}
    # The manifest comes first and last, so that it lists whatever an interrupted call has written.
    _list(folder, before | after)
    for name, content in changed.items():
        path = (folder / name).resolve()
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, content)
    for name, digest in before.items():
        if name not in after and (folder / name).is_file() and _digest((folder / name).read_bytes()) == digest:
            _remove(folder, folder / name)
    _list(folder, after)


def _listed(folder: Path) -> dict[str, str]:
    """Return the digests of the files that were written before; a manifest that is none lists nothing."""
    try:
        found = json.loads((folder / MANIFEST).read_bytes())["files"]
        return {name: digest for name, digest in found.items() if _is_inside(name) and isinstance(digest, str)}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _obstacle(folder: Path, name: str, before: Mapping[str, str]) -> Path | None:
    """Return what is where a file or one of its folders should be, and not ours; None for nothing."""
    path = folder / name
    files = [parent for parent in path.parents if parent.is_file()]
    if files or path.is_dir():
        return files[0] if files else path
    return path if name not in before and path.exists() else None


def _is_inside(name: str) -> bool:
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts


def _list(folder: Path, digests: Mapping[str, str]) -> None:
    content = json.dumps({"files": dict(sorted(digests.items()))}, indent=0, separators=(",", ":")).encode() + b"\n"
    folder.mkdir(parents=True, exist_ok=True)
    if not _holds(folder / MANIFEST, content):
        write_whole(folder / MANIFEST, content)


def _holds(path: Path, content: bytes) -> bool:
    return path.is_file() and path.read_bytes() == content


def _digest(content: bytes) -> str:
    """Return the start of a SHA-256, which is enough to see that somebody has changed a file."""
    return sha256(content).hexdigest()[:16]


def _remove(folder: Path, path: Path) -> None:
    """Remove a file, and the folders that are left empty by that."""
    path.unlink()
    for parent in path.parents:
        if parent == folder:
            return
        with suppress(OSError):
            parent.rmdir()
