"""Finds the images of a task in the folders where they may lie; what is missing is unpacked from archives."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from mlbench import files
from mlbench.declarations import DeclaredArchive, DeclaredImages, relative_path
from mlbench.errors import DataError
from mlbench.protocols import Progress
from mlbench.tasks import Task
from mlbench.unpacking import unpack

_MOST_NAMED = 3


@dataclass(frozen=True)
class ImageSources:
    """An `ImageFinder`: looks beside the task file, in `data_dir`, in `$MLBENCH_DATA` and in the cache folder.

    Beside the task file first: an image of the same path elsewhere may be of other data, and no checksum would tell.
    What lies in these folders may be links to elsewhere: they are the user's own. Images that are missing there are
    unpacked from the archives of the task, which are found or downloaded as its other files are; nothing else of an
    archive is. With `into`, all images are put into that folder, so that it serves as `--data-dir`. Archives of more
    than `most_bytes`, or of unknown size, are not downloaded unasked (None: they are).
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

    def _lying_about(self, names: Sequence[str]) -> dict[str, Path]:
        folders = [folder for folder in self._folders() if folder.is_dir()]
        found = {}
        for name in names:
            # A device or a pipe is no file, and would never end.
            path = next((folder / name for folder in folders if (folder / name).is_file()), None)
            if path is not None:
                found[name] = path
        return found

    def _folders(self) -> Iterator[Path]:
        for root in (self.task.root, *files.user_folders(self.data_dir), files.cache_dir() / "data"):
            for folder in (self.images.folder, *self.images.also):
                yield root / folder

    def _unpack_missing(self, names: Sequence[str], found: dict[str, Path]) -> None:
        """Add to `found` what archives have: first those on this machine, then what can be downloaded."""
        to_download = []
        for archive in self.images.archives:
            if self._wanted(archive, names, found):
                path = files.local(archive, data_dir=self.data_dir, root=self.task.root)
                if path is None:
                    to_download.append(archive)
                else:
                    self._unpack(path, self._wanted(archive, names, found), found)
        to_download = [archive for archive in to_download if archive.downloadable and self._may_fetch(archive)]
        needed = [archive for archive in to_download if self._wanted(archive, names, found)]
        if needed:
            files.check_space(sum(archive.bytes or 0 for archive in needed), self.task.name)
            files.tell_licence(self.task, self.progress)
        for archive in to_download:
            wanted = self._wanted(archive, names, found)
            if wanted:
                size = f" ({archive.bytes / 1e9:,.1f} GB)" if archive.bytes else ""
                count = f"{self.task.name}: {len(wanted):,} images are not on this machine"
                self.progress.note(f"{count}: {archive.path}{size} is downloaded, and they are unpacked from it")
                self.progress.start(f"download {archive.path}", archive.bytes or 0)
                path = files.download(archive, files.cache_dir() / "data", progress=self.progress)
                self.progress.finish()
                self._unpack(path, wanted, found)

    def _may_fetch(self, archive: DeclaredArchive) -> bool:
        """Say whether an archive may be downloaded: a large one, or of unknown size, only where that was asked for."""
        is_small = archive.bytes is not None and self.most_bytes is not None and archive.bytes <= self.most_bytes
        return not files.offline() and (is_small or self.most_bytes is None)

    def _wanted(self, archive: DeclaredArchive, names: Sequence[str], found: dict[str, Path]) -> list[str]:
        return [name for name in names if name not in found and fnmatchcase(name, archive.holds)]

    def _unpack(self, archive: Path, names: Sequence[str], found: dict[str, Path]) -> None:
        folder = (self.into or files.cache_dir() / "data") / self.images.folder
        self.progress.start("unpack", len(names))
        for name in unpack(archive, {name: folder / name for name in names}):
            found[name] = folder / name
            self.progress.advance(1)
        self.progress.finish()

    def _brought(self, path: Path, name: str, into: Path) -> Path:
        """Return the path of an image below the folder `into`, where it is copied to if it is not there."""
        inside = into / self.images.folder
        if not path.is_relative_to(inside):
            files.copy(path, inside / name)
            return inside / name
        return path

    def _missing(self, missing: Sequence[str], of: int) -> DataError:
        beside = self.task.root / self.images.folder
        is_own = beside.is_dir() or not (self.images.source or self.images.archives)
        where = beside if is_own else Path("DIR", self.images.folder)
        archives = [str(Path("DIR", archive.path)) for archive in self.images.archives]
        downloadable = [archive for archive in self.images.archives if archive.downloadable]
        forbidden = bool(downloadable) and files.offline()
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
