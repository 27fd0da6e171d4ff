"""Finds the images of a task in the folders where they may lie, or unpacks them from archives."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mlbench.declarations import DeclaredImages
from mlbench.errors import DataError
from mlbench.files import cache_dir, user_folders
from mlbench.protocols import Progress
from mlbench.tasks import Task

_MOST_NAMED = 100


@dataclass(frozen=True)
class ImageSources:
    """An `ImageFinder`: looks beside the task file, in `data_dir`, in `$MLBENCH_DATA` and in the cache folder.

    What lies in these folders may be links to elsewhere: they are the user's own.
    """

    task: Task
    images: DeclaredImages
    data_dir: Path | None
    progress: Progress

    def find(self, names: Sequence[str]) -> dict[str, Path]:
        """Return the file of each image; raises `DataError`, with notes that name the missing ones."""
        found = self._lying_about(names)
        missing = [name for name in names if name not in found]
        if missing:
            raise self._missing(missing, len(names))
        return found

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
        for root in (self.task.root, *user_folders(self.data_dir), cache_dir() / "data"):
            for inside in ("", *self.images.subfolders):
                yield root / self.images.folder / inside

    def _missing(self, missing: Sequence[str], of: int) -> DataError:
        wanted = f"{self.images.folder}/{missing[0]}"
        where = self.task.root if self.task.root.joinpath(self.images.folder).is_dir() else Path("DIR")
        rest = "" if where != Path("DIR") else " and pass --data-dir DIR"
        source = f"; they come from {self.images.source}" if self.images.source else ""
        error = DataError(
            f"{self.task.name}: {len(missing):,} of {of:,} images are missing, such as {missing[0]}: "
            f"put it into a folder as {where / wanted}{rest}{source}"
        )
        for name in missing[:_MOST_NAMED]:
            error.add_note(f"{self.images.folder}/{name} is missing")
        return error
