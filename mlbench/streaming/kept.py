"""Keeps the vectors of parts between runs: one file for each part, found by its name."""

from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from mlbench.atomic import write_whole
from mlbench.store import EMBEDDINGS, folder_name, part_name

Vector = NDArray[np.float32]


class KeptVectors:
    """The vectors that earlier runs left of parts, in `<cache>/embeddings/<fingerprint>/`.

    Several processes may share them: a file appears whole, and says the same whoever wrote it. A folder that cannot be
    used is no reason to stop: what cannot be written is encoded again another time.
    """

    def __init__(self, cache: Path, fingerprint: str) -> None:
        self._folder = cache / EMBEDDINGS / folder_name(fingerprint)

    def load(self, key: tuple[object, ...], dim: int) -> dict[bytes, Vector]:
        """Return the vectors of a part by the hash of their texts; none where there are none, or not of `dim`."""
        path = self._path(key)
        try:
            content = load_file(path)
            hashes, vectors = content["hashes"], content["vectors"]
        except (FileNotFoundError, SafetensorError, OSError, KeyError):
            return {}
        if hashes.shape != (len(vectors), 32) or vectors.shape[1:] != (dim,) or not np.isfinite(vectors).all():
            return {}
        return {hashed.tobytes(): vector for hashed, vector in zip(hashes, vectors, strict=True)}

    def write(self, key: tuple[object, ...], vectors: dict[bytes, Vector]) -> str:
        """Keep the vectors of a part, by the hash of their texts; returns why that failed, or an empty text."""
        hashes = np.frombuffer(b"".join(vectors), np.uint8).reshape(-1, 32)
        content = save({"hashes": hashes, "vectors": np.stack(list(vectors.values()))})
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            write_whole(self._path(key), content)
        except OSError as error:
            return str(error)
        return ""

    def _path(self, key: tuple[object, ...]) -> Path:
        return self._folder / part_name(sha256(repr(key).encode()).hexdigest())
