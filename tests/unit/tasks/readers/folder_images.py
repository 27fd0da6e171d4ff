"""What readers of captioned images are asked, with images in one folder."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mlbench.protocols import Parameter, ReadRequest, Silence, SourceFile


@dataclass
class FolderImages:
    """An `ImageFinder` for one folder; `asked` are the names that it was asked for."""

    folder: Path
    asked: list[str] = field(default_factory=list)

    def find(self, names: Sequence[str]) -> dict[str, Path]:
        self.asked += names
        return {name: self.folder / name for name in names}


class Notes(Silence):
    """A `Progress` that keeps what it is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.phases: list[tuple[str, int]] = []
        self.done = 0

    def start(self, phase: str, total: int) -> None:
        self.phases.append((phase, total))

    def advance(self, done: int) -> None:
        self.done += done

    def note(self, message: str) -> None:
        assert "\n" not in message
        self.notes.append(message)


def request(
    folder: Path,
    languages: Sequence[str],
    sources: Sequence[SourceFile] = (),
    *,
    limit: int | None = None,
    options: dict[str, Parameter] | None = None,
    notes: Notes | None = None,
) -> ReadRequest:
    return ReadRequest(
        "own",
        tuple(languages),
        tuple(sources),
        limit=limit,
        options=options or {},
        progress=notes or Notes(),
        images=FolderImages(folder / "images"),
    )
