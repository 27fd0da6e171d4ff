"""Tells by what a model answers to fixed texts whether it is the one that answered before.

Where nobody knows what computes vectors, these texts stand for the weights. What was answered first is kept in the
cache folder, so that a model whose vectors are rounded otherwise each time keeps its fingerprint.
"""

from dataclasses import dataclass, replace
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mlbench.io.atomic import write_whole
from mlbench.io.cache import PROBES, cache_dir
from mlbench.io.untrusted import read_arrays
from mlbench.protocols import Repeatability, Vectors

TEXTS = (
    "How high is the highest mountain of the world?",
    "El tren sale de la estación central a las siete y media de la mañana.",
    "Вода закипает при ста градусах.",
    "ما هي عاصمة البلاد؟",
    "图书馆每天早上九点开门，周日休息。",
    "पुस्तकालय सुबह नौ बजे खुलता है।",
    "ห้องสมุดเปิดเวลาเก้าโมงเช้า",
    "Der Vertrag wurde am 3. Oktober unterschrieben, gilt vom folgenden Jahr an und läuft zehn Jahre danach aus.",
)
"""The probe: several languages and scripts, short and long."""
# Vectors of one text with a smaller cosine, or lengths that are further apart, are of two models.
_SAME_DIRECTION = 0.999
_SAME_LENGTH = 0.01
_LARGEST = 2**26
_ARRAYS = ("vectors", "spoiled")
_DIGITS = 2


@dataclass(frozen=True, eq=False)
class Probe:
    """The vectors of `TEXTS`: `first` when the model was met first, `now` when it was opened; float32 (texts, dim).

    `spoiled` counts the runs in whose course another model answered: what they kept is not used again. `replaces` is
    the least cosine with the nearest other model that answered before under the same name, None where none did.
    """

    first: Vectors
    now: Vectors
    path: Path
    spoiled: int = 0
    replaces: float | None = None

    def digest(self) -> str:
        """Return a digest of the model, which rounding leaves as it is where it has been met before."""
        # Other machines have not kept `first`; few digits make it likely that theirs has the same.
        rows = np.concatenate((_unit(self.first), np.log(_norms(self.first))), axis=1)
        rounded = np.rint(rows * 10**_DIGITS).astype("<i4")
        return sha256(rounded.tobytes() + str((rounded.shape, self.spoiled)).encode()).hexdigest()

    def compare(self, again: Vectors) -> Repeatability:
        """Return how far the answers lie apart: the first, that of the opening and this one."""
        pairs = ((self.first, self.now), (self.first, again), (self.now, again))
        return Repeatability(
            repeatable=all(np.array_equal(one, other) for one, other in pairs),
            least_cosine=min(least_cosine(one, other) for one, other in pairs),
            probe_texts=len(TEXTS),
        )

    def spoil(self) -> None:
        """Have nothing used again that was kept under this model."""
        replace(self, spoiled=self.spoiled + 1).keep()

    def keep(self) -> None:
        """Keep `first` in the cache folder; where that cannot be written to, nothing is kept."""
        buffer = BytesIO()
        np.savez(buffer, vectors=self.first, spoiled=np.array([self.spoiled]))
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(self.path, buffer.getvalue())
        except OSError:
            return


def recognise(identity: str, vectors: Vectors) -> Probe:
    """Return the probe of a model that has just answered with `vectors`, float32 (texts, dim), to `TEXTS`.

    Among the models of this `identity` that were met before, it is the nearest where that is near enough; else it is
    a new one, which is kept.
    """
    folder = cache_dir() / PROBES / sha256(identity.encode()).hexdigest()[:16]
    known = [found for path in _listed(folder) if (found := _read(path, vectors)) is not None]
    nearest = max(known, key=lambda probe: least_cosine(probe.first, vectors), default=None)
    cosine = None if nearest is None else least_cosine(nearest.first, vectors)
    if nearest is not None and is_same(nearest.first, vectors):
        return nearest
    path = folder / f"{sha256(vectors.tobytes()).hexdigest()[:16]}.npz"
    new = Probe(vectors, vectors, path, replaces=cosine)
    new.keep()
    return new


def is_same(one: Vectors, other: Vectors) -> bool:
    """Say whether two answers, float32 (texts, dim), are of one model; rounding moves vectors by less than that."""
    if one.shape != other.shape or least_cosine(one, other) < _SAME_DIRECTION:
        return False
    return bool((np.abs(np.log(_norms(one) / _norms(other))) < _SAME_LENGTH).all())


def least_cosine(one: Vectors, other: Vectors) -> float:
    """Return the smallest cosine of two rows in the same place; both arrays are float32 (rows, dim), without zeros."""
    if np.array_equal(one, other):
        return 1.0
    return float(np.clip((_unit(one) * _unit(other)).sum(axis=1), -1.0, 1.0).min())


def _unit(vectors: Vectors) -> NDArray[np.float64]:
    rows: NDArray[np.float64] = vectors.astype(np.float64)
    return rows / _norms(vectors)


def _norms(vectors: Vectors) -> NDArray[np.float64]:
    norms: NDArray[np.float64] = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    return norms


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.suffix == ".npz")
    except OSError:
        return []


def _read(path: Path, now: Vectors) -> Probe | None:
    """Return the probe that was kept in a file, None for one of another shape or that cannot be read."""
    try:
        arrays = read_arrays(path, _ARRAYS, _LARGEST)
        first, spoiled = arrays["vectors"], int(arrays["spoiled"][0])
    except Exception:  # Broken archives make zipfile, zlib and numpy raise a dozen kinds.
        return None
    if first.dtype != np.float32 or first.shape != now.shape:
        return None
    vectors: Vectors = first.astype(np.float32)
    return Probe(vectors, now, path, spoiled) if np.isfinite(vectors).all() and vectors.any(axis=1).all() else None
