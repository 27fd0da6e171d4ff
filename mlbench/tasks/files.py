"""Finds the files and images of a task, checks each against its size and checksum, and downloads what is missing."""

import errno
import os
import shutil
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from hashlib import file_digest
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, build_opener

from mlbench.errors import DataError
from mlbench.io.atomic import whole_file
from mlbench.io.cache import cache_dir, offline
from mlbench.io.parquet import PARQUET, unpack_images
from mlbench.io.toml import relative_path
from mlbench.io.untrusted import unpack
from mlbench.protocols import SILENCE, Progress, SourceFile
from mlbench.tasks import hub
from mlbench.tasks.task import DeclaredArchive, DeclaredFile, DeclaredImages, Task
from mlbench.version import __version__

ATTEMPTS = 4
TIMEOUT_SECONDS = 30.0
PAUSE_SECONDS = 0.2
BLOCK_BYTES = 1 << 16
_RANGE_NOT_SATISFIABLE = 416
_TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})
SHARD = "shard"
"""The role of a file that holds images beside what is said of them."""
_MOST_NAMED = 3
_SPARE_BYTES = 1 << 30


@dataclass
class _Meter:
    """Tells `progress` how far a file is; a download that starts again takes back what it told."""

    progress: Progress
    told: int = 0

    def at(self, position: int) -> None:
        self.progress.advance(position - self.told)
        self.told = position


def find_all(task: Task, *, data_dir: Path | None = None, progress: Progress = SILENCE) -> tuple[SourceFile, ...]:
    """Return the files of `task`, verified; those found nowhere are downloaded into the cache.

    Licence and citation are told to `progress` before a download. Raises `DataError` (see `find`).
    """
    found = {file: local(file, data_dir=data_dir, root=task.root) for file in task.files}
    missing = [file for file, path in found.items() if path is None]
    if missing:
        found |= _download_all(task, missing, cache_dir() / "data", progress)
    return tuple(
        SourceFile(path, file.language, file.role, file.path) for file, path in found.items() if path is not None
    )


def find(file: DeclaredFile, *, data_dir: Path | None = None, root: Path = Path()) -> Path:
    """Return the path of `file`, verified.

    A file without a checksum lies beside the file that names it, in `root`. Others are looked for in `data_dir`,
    `$MLBENCH_DATA`, `root` and the cache, then downloaded into the cache. A wrong file in one of the user's folders
    raises `DataError`, a wrong one in the cache is fetched again.
    """
    return local(file, data_dir=data_dir, root=root) or download(file, cache_dir() / "data")


def local(file: DeclaredFile, *, data_dir: Path | None = None, root: Path = Path()) -> Path | None:
    """Return the path of `file` where it is on this machine, verified, or None; raises `DataError` as `find` does."""
    if file.checksum is None and file.on_hub:
        return _local_of_hub(str(file.url), [folder / file.path for folder in (*user_folders(data_dir), root)])
    if file.checksum is None:
        for path in (folder / file.path for folder in (user_folders(data_dir) if file.unchecked else [root])):
            if path.is_file():
                return path
        if file.unchecked:
            return None
        raise DataError(f"{root / file.path} is missing: it belongs beside the file that names it")
    for folder in (*user_folders(data_dir), root):
        path = folder / file.path
        if path.is_file():
            fault = wrong(path, file)
            if fault:
                raise DataError(f"{path} {fault}: replace it by the original, or remove it")
            return path
    cached = cache_dir() / "data" / file.path
    if cached.is_file() and not wrong(cached, file):
        return cached
    found = hub.find_file(str(file.url)) if file.on_hub else None
    return found if found is not None and not wrong(found, file) else None


def _local_of_hub(address: str, places: Sequence[Path]) -> Path | None:
    """Return the first of `places` that is a file, else where the cache of the hub's client has it, None without.

    What lies in the user's folders is verified where this machine knows the hub's digest of it.
    """
    for path in places:
        if path.is_file():
            known = hub.known_digest(address)
            if known and (fault := hub.fault(path, known)):
                raise DataError(f"{path} {fault}: replace it by the original, or remove it")
            return path
    return hub.find_file(address)


def wrong(path: Path, file: DeclaredFile) -> str:
    """Say what is wrong with the file at `path`, or return an empty text when size and SHA-256 are those of `file`.

    Raises `FileNotFoundError`, and `DataError` where the file cannot be read.
    """
    try:
        size = path.stat().st_size
        if file.bytes is not None and size < file.bytes:
            return f"is truncated: {size:,} of {file.bytes:,} bytes"
        if file.bytes is not None and size > file.bytes:
            return f"is altered: {size:,} bytes instead of {file.bytes:,}"
        with path.open("rb") as stream:
            digest = file_digest(stream, "sha256" if file.sha256 else "md5").hexdigest()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    name, wanted = "SHA-256" if file.sha256 else "MD5", str(file.checksum)
    return "" if digest == wanted else f"is altered: its {name} is {digest[:12]}... instead of {wanted[:12]}..."


def provide(task: Task, folder: Path, *, progress: Progress = SILENCE) -> tuple[Path, ...]:
    """Put the downloadable files of `task` into `folder`, so that it serves as `--data-dir`; return their paths.

    What another folder or the cache has is copied, the rest downloaded.
    """
    wanted = [file for file in task.files if file.downloadable]
    missing = []
    for file in wanted:
        source = local(file, data_dir=folder if folder.is_dir() else None, root=task.root)
        if source is None:
            missing.append(file)
        elif source != folder / file.path:
            copy(source, folder / file.path)
    if missing:
        _download_all(task, missing, folder, progress)
    return tuple(folder / file.path for file in wanted)


def check_space(size: int, task: str) -> None:
    """Raise `DataError` where the cache folder's disk has no room for `size` bytes more, before hours are spent."""
    folder = cache_dir()
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(existing).free
    if size > free:
        raise DataError(
            f"{task}: {size / 1e9:,.1f} GB are to be downloaded, {free / 1e9:,.1f} GB are free below {folder}: "
            "set $MLBENCH_CACHE to a folder on a larger disk"
        )


def download(file: DeclaredFile, folder: Path, *, progress: Progress = SILENCE) -> Path:
    """Download `file` to its path below `folder`, verified, and return that path; raises `DataError`.

    A file of the hub is left in the cache of the hub's client where `folder` is that of the cache, else copied. Any
    other download that was interrupted is continued from the `.part` file beside it. Two processes may write one
    `.part`: both write the same bytes at the same places, and the whole is verified before it is renamed into place.
    """
    if file.url is None or not file.downloadable:
        raise _unavailable(file, file.reason or "it has no address")
    if file.on_hub:
        return _download_from_hub(file, file.url, folder, progress)
    if offline():
        raise _unavailable(file, "downloads are forbidden by MLBENCH_OFFLINE or HF_HUB_OFFLINE")
    target = folder / file.path
    part = target.with_name(f"{target.name}.{str(file.checksum)[:12]}.part")
    meter, reason = _Meter(progress), ""
    for attempt in range(ATTEMPTS):
        time.sleep(PAUSE_SECONDS * (2**attempt - 1))
        reason = _attempt(file, file.url, part, target, meter)
        # What spoiled this attempt may be another process that has finished.
        if not reason or (target.is_file() and not wrong(target, file)):
            return target
    raise _unavailable(file, reason)


def _download_from_hub(file: DeclaredFile, url: str, folder: Path, progress: Progress) -> Path:
    """Return the file in the cache of the hub's client, or a copy of it below a `folder` that is not ours."""
    path = hub.fetch_file(url, progress=progress)
    if file.checksum is not None and (fault := wrong(path, file)):
        raise _unavailable(file, f"what arrived {fault}")
    if folder == cache_dir() / "data":
        return path
    copy(path, folder / file.path)
    return folder / file.path


def _attempt(file: DeclaredFile, url: str, part: Path, target: Path, meter: _Meter) -> str:
    """Fetch what `part` lacks and put the whole in place; return why that failed, "" where it did not.

    Raises `DataError` where another attempt would be in vain.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _fetch(url, file.bytes, part, meter)
        return _settle(part, target, file)
    except HTTPError as error:
        reason = f"HTTP {error.code} {error.reason}"
        if error.code == _RANGE_NOT_SATISFIABLE:
            part.unlink(missing_ok=True)
        elif error.code not in _TRANSIENT:
            raise _unavailable(file, reason) from error
        return reason
    except (URLError, HTTPException, TimeoutError, ConnectionError, ssl.SSLError) as error:
        return str(getattr(error, "reason", error)) or type(error).__name__
    except OSError as error:
        raise DataError(f"{target} cannot be written: {error.strerror or error}") from error


def _download_all(
    task: Task, files: list[DeclaredFile], folder: Path, progress: Progress
) -> dict[DeclaredFile, Path | None]:
    tell_licence(task, progress)
    progress.start(f"download {task.name}", sum(file.bytes or 0 for file in files))
    # What has no address fails before anything large is fetched.
    ordered = sorted(files, key=lambda file: file.downloadable)
    paths: dict[DeclaredFile, Path | None] = {file: download(file, folder, progress=progress) for file in ordered}
    progress.finish()
    return paths


def tell_licence(task: Task, progress: Progress) -> None:
    """Tell under which licence the files of `task` are, and what to cite."""
    progress.note(" ".join(f"{task.name}: licence {task.licence} {task.licence_url}".split()))
    if task.citation:
        progress.note(" ".join(f"{task.name}: please cite {task.citation}".split()))


def _fetch(url: str, size: int | None, part: Path, meter: _Meter) -> None:
    """Write what `part` lacks of `size` bytes (None: of all there is).

    A server that ignores the range starts again. Raises `ConnectionError` where it answers another range, after which
    there is no `part`, or fewer bytes, and `OSError` where the disk has no room.
    """
    try:
        start = part.stat().st_size
    except FileNotFoundError:
        start = 0
    if size is not None and start > size:
        part.unlink(missing_ok=True)
        start = 0
    meter.at(start)
    if part.exists() and start == size:
        return
    headers = {"User-Agent": f"mlbench/{__version__}"} | ({"Range": f"bytes={start}-"} if start else {})
    with build_opener().open(Request(url, headers=headers), timeout=TIMEOUT_SECONDS) as answer:
        continued = answer.status == 206
        if continued and not answer.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
            part.unlink(missing_ok=True)
            raise ConnectionError("the server answered another range than was asked for")
        position = start if continued else 0
        if size is None and answer.length is not None:
            size = position + answer.length
        _check_room(part, (size or 0) - position)
        # Neither append nor truncate: another process may be writing the same bytes.
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666), "wb") as stream:
            stream.seek(position)
            while (size is None or position <= size) and (block := answer.read(BLOCK_BYTES)):
                stream.write(block)
                position += len(block)
                meter.at(position)
                if size is None:
                    # What has no stated end may have none.
                    _check_room(part, _SPARE_BYTES, unlink=True)
    if size is not None and position < size:
        raise ConnectionError(f"the connection was cut after {position:,} of {size:,} bytes")


def _check_room(part: Path, size: int, *, unlink: bool = False) -> None:
    """Raise `OSError` where the disk has no room for `size` bytes more; with `unlink`, `part` is then removed."""
    if size > shutil.disk_usage(part.parent).free:
        if unlink:
            part.unlink(missing_ok=True)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _settle(part: Path, target: Path, file: DeclaredFile) -> str:
    """Rename a complete `part` into place; return what is wrong with it otherwise, and remove it."""
    try:
        fault = wrong(part, file)
        if not fault:
            part.replace(target)
    except FileNotFoundError:
        # Another process was faster and has renamed it.
        fault = wrong(target, file) if target.exists() else "is gone"
    if fault:
        part.unlink(missing_ok=True)
    return fault and f"what arrived {fault}"


def copy(source: Path, target: Path) -> None:
    """Copy a file, whole or not at all, into a folder that may be missing; raises `DataError`."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(target) as unfinished:
            shutil.copyfile(source, unfinished)
    except OSError as error:
        raise DataError(f"{target} cannot be written: {error.strerror or error}") from error


def user_folders(data_dir: Path | None) -> list[Path]:
    """Return the folders that the user named, `data_dir` first; raises `DataError` for one that is none."""
    named = {"--data-dir": data_dir, "$MLBENCH_DATA": os.environ.get("MLBENCH_DATA")}
    folders = {name: Path(folder).expanduser() for name, folder in named.items() if folder}
    for name, folder in folders.items():
        if not folder.is_dir():
            raise DataError(f"{name} {folder} is not a folder")
    return list(folders.values())


def _unavailable(file: DeclaredFile, reason: str) -> DataError:
    if file.unchecked and file.url:
        why = f" ({file.reason})" if file.reason else ", as no checksum of it is known"
        return DataError(
            f"{file.path} is not on this machine, and not downloaded{why}: fetch {file.url}, "
            f"put it into a folder as DIR/{file.path} and pass --data-dir DIR"
        )
    where = f" from {file.url}" if file.url else ""
    return DataError(
        f"{file.path} is not on this machine and cannot be downloaded{where} ({reason}): "
        f"put it into a folder as DIR/{file.path} and pass --data-dir DIR"
    )


@dataclass(frozen=True)
class ImageSources:
    """An `ImageFinder`: looks beside the task file, in `data_dir` and in `$MLBENCH_DATA`, then in archives.

    Beside the task file first: an image of the same path elsewhere may be of other data, and no checksum would tell.
    What lies in these folders may be links to elsewhere: they are the user's own. Images that are missing there are
    unpacked from the archives of the task, which are found or downloaded as its other files are; nothing else of an
    archive is. Files with the role `shard` and Parquet files are archives too; an image whose name begins with the path
    of an archive is in no other one. They are kept in the cache under the digest of their archive, so that no other
    archive's are taken for them. With `into`, all images are put into that folder, so that it serves as `--data-dir`.
    Archives of more than `most_bytes`, or of unknown size, are not downloaded unasked (None: they are).
    """

    task: Task
    images: DeclaredImages
    data_dir: Path | None
    progress: Progress
    into: Path | None = None
    most_bytes: int | None = 2**30

    def find(self, names: Sequence[str]) -> dict[str, Path]:
        """Return the file of each image; raises `DataError` for missing ones."""
        for name in names:
            try:
                relative_path(name)
            except ValueError as error:
                raise DataError(f"{self.task.name}: an image is called {error}") from error
        found = self._lying_about(names)
        self._unpack_missing(names, found)
        missing = [name for name in names if name not in found]
        if missing:
            raise self._missing(missing, len(names))
        if self.into is None:
            return found
        return {name: self._brought(path, name, self.into) for name, path in found.items()}

    @cached_property
    def _archives(self) -> tuple[DeclaredArchive, ...]:
        shards = (file for file in self.task.files if file.role == SHARD or file.path.endswith(PARQUET))
        return (*self.images.archives, *(DeclaredArchive.model_validate(file.model_dump()) for file in shards))

    def _lying_about(self, names: Sequence[str]) -> dict[str, Path]:
        roots = (self.task.root, *user_folders(self.data_dir))
        return _in_folders(
            [root / folder for root in roots for folder in (self.images.folder, *self.images.also)], names
        )

    def _unpack_missing(self, names: Sequence[str], found: dict[str, Path]) -> None:
        """Add to `found` what archives have: first those on this machine, then what can be downloaded."""
        to_download = []
        for archive in self._archives:
            if archive.checksum is not None:
                found |= _in_folders([_unpacked(archive, archive.checksum)], self._wanted(archive, names, found))
            if self._wanted(archive, names, found):
                path = local(archive, data_dir=self.data_dir, root=self.task.root)
                if path is None:
                    to_download.append(archive)
                else:
                    self._unpack(archive, path, names, found)
        to_download = [archive for archive in to_download if archive.downloadable and self._may_fetch(archive)]
        needed = [archive for archive in to_download if self._wanted(archive, names, found)]
        if needed:
            check_space(sum(archive.bytes or 0 for archive in needed), self.task.name)
            tell_licence(self.task, self.progress)
        for archive in to_download:
            wanted = self._wanted(archive, names, found)
            if wanted:
                size = f" ({archive.bytes / 1e9:,.1f} GB)" if archive.bytes else ""
                count = f"{self.task.name}: {len(wanted):,} images are not on this machine"
                self.progress.note(f"{count}: {archive.path}{size} is downloaded, and they are unpacked from it")
                self.progress.start(f"download {archive.path}", archive.bytes or 0)
                path = download(archive, cache_dir() / "data", progress=self.progress)
                self.progress.finish()
                self._unpack(archive, path, names, found)

    def _may_fetch(self, archive: DeclaredArchive) -> bool:
        """Say whether an archive may be downloaded: a large one, or of unknown size, only where that was asked for."""
        is_small = archive.bytes is not None and self.most_bytes is not None and archive.bytes <= self.most_bytes
        return not offline() and (is_small or self.most_bytes is None)

    def _wanted(self, archive: DeclaredArchive, names: Sequence[str], found: dict[str, Path]) -> list[str]:
        elsewhere = tuple(f"{other.path}/" for other in self._archives if other.path != archive.path)
        missing = (name for name in names if name not in found and not name.startswith(elsewhere))
        return [name for name in missing if fnmatchcase(name, archive.holds)]

    def _unpack(self, archive: DeclaredArchive, path: Path, names: Sequence[str], found: dict[str, Path]) -> None:
        """Add to `found` what the archive at `path` has of the images that it may hold and that are missing."""
        kept = _unpacked(archive, archive.checksum or file_sha256(path))
        found |= _in_folders([kept], self._wanted(archive, names, found))
        folder = kept if self.into is None else self.into / self.images.folder
        wanted = self._wanted(archive, names, found)
        self.progress.start("unpack", len(wanted))
        names_there = {name.removeprefix(f"{archive.path}/"): name for name in wanted}
        unpacking = unpack_images if path.suffix == PARQUET else unpack
        for inside in unpacking(path, {inside: folder / name for inside, name in names_there.items()}):
            found[names_there[inside]] = folder / names_there[inside]
            self.progress.advance(1)
        self.progress.finish()

    def _brought(self, path: Path, name: str, into: Path) -> Path:
        """Return the path of an image below the folder `into`, where it is copied to if it is not there."""
        inside = into / self.images.folder
        if not path.is_relative_to(inside):
            copy(path, inside / name)
            return inside / name
        return path

    def _missing(self, missing: Sequence[str], of: int) -> DataError:
        beside = self.task.root / self.images.folder
        is_own = beside.is_dir() or not (self.images.source or self.images.archives)
        where = beside if is_own else Path("DIR", self.images.folder)
        archives = [str(Path("DIR", archive.path)) for archive in self.images.archives]
        downloadable = [archive for archive in self.images.archives if archive.downloadable]
        forbidden = bool(downloadable) and offline()
        unasked = bool(downloadable) and not forbidden and self.most_bytes is not None
        is_known = all(archive.bytes is not None for archive in downloadable)
        size = f"{sum(archive.bytes or 0 for archive in downloadable) / 1e9:,.1f} GB" if is_known else "them"
        parts = [
            f"put {'it' if len(missing) == 1 else 'them'} into {where}",
            f", or what they are packed in to {' and '.join(archives)}" if archives else "",
            "" if is_own else ", and pass --data-dir DIR",
            f", or let mlbench tasks download {self.task.name} fetch {size}" if unasked else "",
            f"; they come from {self.images.source}" if self.images.source else "",
            "; downloads are forbidden by MLBENCH_OFFLINE or HF_HUB_OFFLINE" if forbidden else "",
        ]
        named = ", ".join(missing[:_MOST_NAMED])
        return DataError(
            f"{self.task.name}: {len(missing):,} of {of:,} images are missing, such as {named}: {''.join(parts)}"
        )


def _in_folders(folders: Sequence[Path], names: Sequence[str]) -> dict[str, Path]:
    """Return the file of each name that one of the folders has, the first of them."""
    there = [folder for folder in folders if folder.is_dir()]
    # A device or a pipe is no file, and would never end.
    found = {name: next((folder / name for folder in there if (folder / name).is_file()), None) for name in names}
    return {name: path for name, path in found.items() if path is not None}


def _unpacked(archive: DeclaredArchive, digest: str) -> Path:
    """Return the folder in the cache for the images of an archive with this SHA-256 or MD5; it need not exist."""
    return cache_dir() / "data" / f"{archive.path}.{digest}"


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of what a file holds, in hexadecimal; raises `DataError` where it cannot be read."""
    try:
        with path.open("rb") as stream:
            return file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
