"""Precomputed vectors, looked up by text or image: how a closed model is measured.

A folder holds, for each role, two files whose rows belong together:

    queries.jsonl     one {"text": "..."} per line      queries.npy     numbers of shape (lines, dim)
    documents.jsonl   one {"text": "..."} per line      documents.npy   numbers of shape (lines, dim)
    images.jsonl      one {"image": "..."} per line     images.npy      numbers of shape (lines, dim)

Texts must be exactly those that mlbench encodes; other keys of a line are ignored, and so is the order of lines. An
image is named by its file, such as `1.jpg`, with as many folders in front as it takes to tell it from others, or by
`sha256:` and the digest of its file.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from mlbench.collection.records import Image
from mlbench.errors import RetrieverError
from mlbench.io.watched import WatchedFiles
from mlbench.protocols import Parameter, Role, Runtime, Similarity

_STEMS: dict[Role, str] = {"query": "queries", "document": "documents", "image": "images"}
_KEYS: dict[Role, str] = {"query": "text", "document": "text", "image": "image"}


class Vectors:
    """Precomputed vectors, looked up by text or image, for closed models (path of a folder)."""

    example = "vectors:./vectors --set similarity=dot"

    class Settings(BaseModel, extra="forbid", frozen=True):
        """Keys of `vectors:`."""

        similarity: Similarity = Field("cosine", description="how two vectors are compared: cosine or dot")

    @staticmethod
    def open(locator: str, settings: BaseModel, runtime: Runtime) -> "VectorsEncoder":
        """Read the folder; raises `RetrieverError` where it holds no vectors or the files do not fit together."""
        assert isinstance(settings, Vectors.Settings)
        folder = Path(locator)
        if not locator or not folder.is_dir():
            raise RetrieverError(f"vectors: no folder {locator!r}; write vectors:FOLDER")
        tables = {role: _read(folder, role) for role, stem in _STEMS.items() if _present(folder, stem)}
        if not tables:
            raise RetrieverError(f"{folder}: no vectors; it needs documents.jsonl with documents.npy, and queries.*")
        dims = {role: table.vectors.shape[1] for role, table in tables.items()}
        if len(set(dims.values())) > 1:
            sizes = " and ".join(f"{_STEMS[role]}.npy has {dim}" for role, dim in dims.items())
            raise RetrieverError(f"{folder}: {sizes} coordinates; all need the same number")
        return VectorsEncoder(folder, tables, settings.similarity)


@dataclass(frozen=True, eq=False)
class _Table:
    """The vectors of one role, shape (rows, dim), and the row of each text or image, by what its line says.

    `files` are those that it was read from, `images` those that were found by name.
    """

    rows: dict[str, int]
    vectors: NDArray[np.floating]
    digest: str
    files: WatchedFiles
    images: dict[str, Image] = field(default_factory=dict)

    def row(self, text: str) -> int | None:
        """Return the row of a text, or of an image by its digest or the longest end of its path; None for none.

        Raises `RetrieverError` for a name that two images have.
        """
        if text in self.rows or not isinstance(text, Image):
            return self.rows.get(text)
        parts = text.path.parts
        names = ("/".join(parts[first:]) for first in range(len(parts)))
        name = next((name for name in names if name in self.rows), None)
        if name is None:
            return None
        other = self.images.setdefault(name, text)
        if other != text:
            raise RetrieverError(
                f"the vector of {name!r} may be that of {other.path} or of {text.path}: name images by their folders "
                "too, or by sha256:DIGEST"
            )
        return self.rows[name]


class VectorsEncoder:
    """Vectors by text, from tables already read; `dim` is theirs."""

    def __init__(self, folder: Path, tables: dict[Role, _Table], similarity: Similarity) -> None:
        self.dim: int = next(iter(tables.values())).vectors.shape[1]
        self.similarity: Similarity = similarity
        self._folder = folder
        self._tables = tables

    @property
    def reads_images(self) -> bool:
        """Whether there are vectors of images."""
        return "image" in self._tables

    @property
    def parameters(self) -> dict[str, Parameter]:
        """How many vectors there are for each role, and how they are compared."""
        counts: dict[str, Parameter] = {_STEMS[role]: len(table.rows) for role, table in self._tables.items()}
        return {**counts, "similarity": self.similarity}

    def fingerprint(self, role: Role) -> str:
        """Return the digest of both files of `role`."""
        return self._table(role).digest

    def computation(self, role: Role) -> dict[str, Parameter]:
        """Return nothing: the vectors are computed already."""
        return {}

    def check_files(self) -> None:
        """Raise `RetrieverError` where a file of the folder has changed since it was opened."""
        for table in self._tables.values():
            table.files.check()

    def encode(self, texts: Sequence[str], role: Role) -> NDArray[np.float32]:
        """Return the vectors of `texts`, float32 (len(texts), dim); one without vector raises `RetrieverError`."""
        table = self._table(role)
        rows = [row for row in map(table.row, texts) if row is not None]
        missing = [text for text in texts if table.row(text) is None] if len(rows) < len(texts) else []
        if missing:
            first = missing[0].path.name if isinstance(missing[0], Image) else missing[0]
            shown = first if len(first) <= 60 else first[:57] + "..."
            raise RetrieverError(
                f"{self._folder / _STEMS[role]}.jsonl has no vector for {shown!r}"
                + (f" and {len(missing) - 1} other {_KEYS[role]}s" if len(missing) > 1 else "")
            )
        return np.asarray(table.vectors[rows], dtype=np.float32)

    def _table(self, role: Role) -> _Table:
        if role not in self._tables:
            raise RetrieverError(f"{self._folder}: no {_STEMS[role]}.jsonl with {_STEMS[role]}.npy")
        return self._tables[role]


def _present(folder: Path, stem: str) -> bool:
    return any((folder / f"{stem}{ending}").exists() for ending in (".jsonl", ".npy"))


def _read(folder: Path, role: Role) -> _Table:
    stem, key = _STEMS[role], _KEYS[role]
    texts, array = folder / f"{stem}.jsonl", folder / f"{stem}.npy"
    for path in (texts, array):
        if not path.is_file():
            raise RetrieverError(f"{path}: missing; {stem}.jsonl and {stem}.npy belong together")
    files = WatchedFiles((texts, array))
    vectors = _read_array(array)
    lines = _read_texts(texts, key)
    if len(lines) != len(vectors):
        raise RetrieverError(f"{folder}: {texts.name} has {len(lines)} lines, {array.name} {len(vectors)} rows")
    rows: dict[str, int] = {}
    for row, text in enumerate(lines):
        first = rows.setdefault(text, row)
        if first != row and not np.array_equal(vectors[first], vectors[row]):
            raise RetrieverError(f"{texts}: lines {first + 1} and {row + 1} are the same {key} with different vectors")
    return _Table(rows, vectors, _digest(texts, array), files)


def _read_array(path: Path) -> NDArray[np.floating]:
    try:
        vectors = np.lib.format.open_memmap(path, mode="r")
    except Exception as error:  # A broken header makes numpy raise a dozen kinds.
        raise RetrieverError(f"{path}: not an array of numbers as numpy.save writes it") from error
    if vectors.ndim != 2 or vectors.dtype.kind != "f" or not vectors.shape[1]:
        raise RetrieverError(f"{path}: need floating-point numbers of shape (rows, dim)")
    return vectors


def _read_texts(path: Path, key: str) -> list[str]:
    texts = []
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                text = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))[key]
            except (ValueError, KeyError, TypeError, RecursionError) as error:
                raise RetrieverError(f'{path}, line {number}: need {{"{key}": "..."}}') from error
            if not isinstance(text, str):
                raise RetrieverError(f'{path}, line {number}: "{key}" must be a string')
            texts.append(text)
    return texts


def _digest(*paths: Path) -> str:
    digest = sha256()
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
        digest.update(b"\x1f")
    return digest.hexdigest()
