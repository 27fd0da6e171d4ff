"""Keeps vectors between runs: immutable chunk files named by their content, with no lock and no database.

The vectors of an encoder are kept under a key, which has what decides their bits. Each file names that key, so one that
lies among those of another encoder is not used.
"""

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load, save

from mlbench import members
from mlbench.io.atomic import remove_leftovers, write_whole
from mlbench.protocols import Encoder, Progress, Role, Silence, Vectors
from mlbench.version import __version__

Hashes = NDArray[np.uint8]
# File number to (rows in the file, rows of the chunk).
_Places = dict[int, tuple[list[int], list[int]]]
EMBEDDINGS = "embeddings"
"""The folder of all stores in the cache folder; the vectors under each key have a folder of their own there."""
ABOUT = "about.json"
"""In a store's folder: whose vectors they are; its time is when they were used last."""
_NAME = re.compile(r"[0-9a-f]{64}\.safetensors")
_PART = ".part.safetensors"
_OWNER = "vectors of"
_PLAIN = re.compile(r"[0-9a-z_-]{1,128}")


def vector_key(encoder: Encoder, role: Role) -> str:
    """Return the key under which an encoder's vectors in `role` are kept: 64 hexadecimal digits.

    It is a digest of the fingerprint and of how vectors are computed, so that other libraries encode again. Images are
    opened by this package, so its version counts there.
    """
    computation = dict(members.computation_of(encoder, role)) | ({"mlbench": __version__} if role == "image" else {})
    parts = [encoder.fingerprint(role), computation]
    return sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def text_hash(text: str) -> bytes:
    """Return the 32 bytes under which the vector of `text` is kept: SHA-256 of its UTF-8."""
    return sha256(text.encode("utf-8", "surrogatepass")).digest()


@dataclass(frozen=True)
class _ChunkFile:
    """A chunk file and the hashes of its texts, uint8 (n, 32); row i of its vectors belongs to hash i."""

    path: Path
    hashes: Hashes


class _Index:
    """Tells where the vectors of texts stand: in which of the files, named by number, and in which row."""

    def __init__(self, files: Sequence[_ChunkFile]) -> None:
        self._files = files
        self._chunks: dict[bytes, int] = {}
        self._texts: dict[bytes, tuple[int, int]] = {}
        for number, file in enumerate(files):
            self._chunks.setdefault(file.hashes.tobytes(), number)
            for row, text in enumerate(file.hashes):
                self._texts.setdefault(text.tobytes(), (number, row))

    def find(self, hashes: Hashes) -> _Places | None:
        """Return the places of all of `hashes`, or None where one is missing."""
        number = self._chunks.get(hashes.tobytes())
        if number is not None:
            everything = list(range(len(hashes)))
            return {number: (everything, everything)}
        places: _Places = {}
        for target, text in enumerate(hashes):
            place = self._texts.get(text.tobytes())
            if place is None:
                return None
            sources, targets = places.setdefault(place[0], ([], []))
            sources.append(place[1])
            targets.append(target)
        return places


class VectorStore:
    """The vectors that earlier runs left in `<cache>/embeddings/<key>/`; keys are those of `vector_key`.

    Several processes may share it: a file appears whole and never changes. A folder that cannot be read or written is
    told to `progress` once, and everything goes on without it. `about` says for people whose vectors they are; it is
    written beside them as JSON and never read by a run.
    """

    def __init__(
        self, cache: Path, progress: Progress | None = None, about: Mapping[str, object] | None = None
    ) -> None:
        self.folder = cache / EMBEDDINGS
        self._progress = progress or Silence()
        self._about = about
        self._marked: set[str] = set()
        self._failed = False

    def load(self, key: str, chunks: Sequence[Hashes], out: Sequence[Vectors]) -> list[bool]:
        """Fill `out[i]`, float32 (n, dim), with the vectors of `chunks[i]`, hashes (n, 32); returns which were filled.

        A chunk is filled only if the vectors of all its texts are kept. One that was saved as it is comes from its own
        file; otherwise a text that stands in several files comes from the one with the smallest name.
        """
        filled = [False] * len(chunks)
        files = self._files(key)
        if files:
            self._mark_as_used(key)
        while not all(filled):
            index = _Index(files)
            found = {n: places for n, hashes in enumerate(chunks) if not filled[n] and (places := index.find(hashes))}
            unusable = self._fill(files, found, out)
            for n, places in found.items():
                filled[n] = unusable.isdisjoint(places)
            if not unusable:
                break
            files = [file for number, file in enumerate(files) if number not in unusable]
        return filled

    def _fill(self, files: list[_ChunkFile], found: dict[int, _Places], out: Sequence[Vectors]) -> set[int]:
        """Copy the found vectors into `out`, reading each file once; returns the numbers of unusable files."""
        unusable = set()
        for number in sorted({number for places in found.values() for number in places}):
            vectors = self._read(files[number], out[0].shape[1])
            if vectors is None:
                unusable.add(number)
                continue
            for n, places in found.items():
                if number in places:
                    sources, targets = places[number]
                    out[n][targets] = vectors[sources]
        return unusable

    def _files(self, key: str) -> list[_ChunkFile]:
        """Return the chunk files under a key in the order of their names, reading their hashes only.

        A file whose beginning or length is wrong, or that was written under another key, is discarded with a note. No
        folder gives an empty list. What killed processes left unfinished more than a day ago is removed.
        """
        folder = self._folder(key)
        remove_leftovers(folder)
        try:
            paths = sorted(folder.iterdir())
        except FileNotFoundError:
            return []
        except OSError as error:
            self._give_up(error)
            return []
        return list(self._readable(key, (path for path in paths if is_chunk(path))))

    def _read(self, file: _ChunkFile, dim: int) -> Vectors | None:
        """Return the vectors of a chunk file, float32 (n, dim), or None where it cannot be used.

        The content is checked against the name; a damaged file is discarded with a note.
        """
        try:
            content = file.path.read_bytes()
        except FileNotFoundError:
            # Another process has discarded it since it was listed.
            return None
        except OSError as error:
            self._progress.note(f"warning: cannot read stored vectors, they are encoded again: {error}")
            return None
        if sha256(content).hexdigest() != file.path.stem:
            self._discard(file.path, "damaged")
            return None
        vectors: Vectors = load(content)["vectors"]
        if vectors.dtype != np.float32 or vectors.shape != (len(file.hashes), dim):
            self._discard(file.path, f"holds {vectors.dtype} {vectors.shape}, not {dim} coordinates for each text")
            return None
        return vectors

    def write(self, key: str, hashes: Hashes, vectors: Vectors) -> None:
        """Keep float32 vectors (n, dim) under hashes (n, 32); where that fails nothing more is kept in this run."""
        if self._failed:
            return
        content = pack(key, hashes, vectors)
        folder = self._folder(key)
        try:
            _write(folder / f"{sha256(content).hexdigest()}.safetensors", content)
        except OSError as error:
            self._give_up(error)
        else:
            self._mark_as_used(key)

    def _mark_as_used(self, key: str) -> None:
        """Leave whose vectors these are and, as that file's time, when they were used last; once in a run."""
        if self._about is None or key in self._marked:
            return
        self._marked.add(key)
        path = self._folder(key) / ABOUT
        # No run needs it, so a folder that may only be read is no reason for a word.
        with suppress(OSError):
            if path.exists():
                os.utime(path)
            else:
                _write(path, json.dumps(self._about, ensure_ascii=False, indent=1, sort_keys=True).encode())

    def _folder(self, key: str) -> Path:
        return self.folder / folder_name(key)

    def _readable(self, key: str, paths: Iterator[Path]) -> Iterator[_ChunkFile]:
        for path in paths:
            try:
                with safe_open(path, framework="numpy") as content:
                    hashes, is_own = content.get_tensor("hashes"), belongs(content, key)
            except FileNotFoundError:
                continue
            except (SafetensorError, OSError) as error:
                self._discard(path, f"damaged ({error})")
                continue
            if not is_own:
                self._discard(path, "holds vectors of another encoder, or of other libraries")
                continue
            yield _ChunkFile(path, hashes)

    def _discard(self, path: Path, reason: str) -> None:
        self._progress.note(f"warning: {path}: {reason}; discarded, its texts are encoded again")
        # A file that cannot be removed is met and noted again in the next run.
        with suppress(OSError):
            path.unlink()

    def _give_up(self, error: OSError) -> None:
        if not self._failed:
            self._progress.note(
                f"warning: vectors are not kept for later runs: {error}; set MLBENCH_CACHE to a usable folder"
            )
        self._failed = True


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        write_whole(path, content)
    except FileNotFoundError:
        # Somebody has removed the folder, empty as it was, since it was made.
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, content)


def is_chunk(path: Path) -> bool:
    """Say whether a file is called as the store calls its chunks."""
    return _NAME.fullmatch(path.name) is not None


def folder_name(key: str) -> str:
    """Return what the folder of the vectors under a key is called."""
    # Only a plain key names a folder everywhere.
    return key if _PLAIN.fullmatch(key) else sha256(key.encode()).hexdigest()


def pack(key: str, hashes: Hashes, vectors: Vectors, *, part: str = "") -> bytes:
    """Return the content of a file of vectors, float32 (n, dim), under the hashes of their texts, (n, 32).

    It names the `key`, and the `part` of a corpus where it is one of those.
    """
    arrays = {"hashes": np.ascontiguousarray(hashes), "vectors": np.ascontiguousarray(vectors)}
    content: bytes = save(arrays, metadata={_OWNER: _owner(key, part)})
    return content


def belongs(content: safe_open, key: str, *, part: str = "") -> bool:
    """Say whether an open file of vectors names this key and part."""
    named = content.metadata() or {}  # type: ignore[no-untyped-call]
    return bool(named.get(_OWNER) == _owner(key, part))


def _owner(key: str, part: str) -> str:
    # One entry alone, as the library writes several in any order, and the same vectors must give the same file.
    return f"{key} {part}".rstrip()


def part_name(digest: str) -> str:
    """Return what the vectors of one part of a large corpus are called, in the folder of their key."""
    return f"{digest}{_PART}"


def is_part(path: Path) -> bool:
    """Say whether a file is called as `part_name` says."""
    return path.name.endswith(_PART) and _NAME.fullmatch(path.name.replace(_PART, ".safetensors")) is not None
