"""Hashed character n-grams: an encoder with no weights, for any script, the same on every machine."""

import unicodedata
from collections.abc import Sequence
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field, model_validator

from mlbench.errors import RetrieverError
from mlbench.io.libraries import versions_installed
from mlbench.protocols import Parameter, Role, Runtime, Similarity, Vectors

_BLANK = np.uint32(ord(" "))
# Stays the same as long as the same text gives the same vector.
_ALGORITHM = "hashed character n-grams 1"


class Hashing:
    """Hashed character n-grams: no weights, no download, any script (no path)."""

    example = "hashing --set dim=2048"

    class Settings(BaseModel, extra="forbid", frozen=True):
        """Keys of `hashing:`."""

        dim: int = Field(1024, ge=16, le=65536, description="number of buckets")
        n_min: int = Field(1, ge=1, le=8, description="shortest n-gram, in characters")
        n_max: int = Field(4, ge=1, le=8, description="longest n-gram, in characters")

        @model_validator(mode="after")
        def _ordered(self) -> "Hashing.Settings":
            if self.n_min > self.n_max:
                raise ValueError("n_min must not be above n_max")
            return self

    @staticmethod
    def open(locator: str, settings: BaseModel, runtime: Runtime) -> "HashingEncoder":
        """Return the encoder; a path or hub id raises `RetrieverError`."""
        assert isinstance(settings, Hashing.Settings)
        if locator:
            raise RetrieverError(f"hashing takes no path or hub id: write 'hashing:', not 'hashing:{locator}'")
        return HashingEncoder(settings)


class HashingEncoder:
    """Texts as signed buckets of hashed character n-grams.

    A text is put in NFKC and case-folded, runs of white space become one blank, and a blank is put at both ends. Its
    n-grams may begin or end with a blank but have none inside, so they mark where words begin and end, and a script
    without blanks has n-grams over whole sentences. Each distinct n-gram adds plus or minus the square root of its
    count to its bucket (feature hashing: Weinberger et al., 2009, arXiv 0902.2206).
    """

    similarity: Similarity = "cosine"

    def __init__(self, settings: Hashing.Settings) -> None:
        self.dim = settings.dim
        self._settings = settings

    @property
    def parameters(self) -> dict[str, Parameter]:
        """The keys of `hashing:` and their values."""
        return dict(self._settings)

    def fingerprint(self, role: Role) -> str:
        """Return a digest of the algorithm, its keys and the Unicode tables; it is the same for both roles."""
        parts = (_ALGORITHM, unicodedata.unidata_version, self._settings.model_dump_json())
        return sha256("\x1f".join(parts).encode()).hexdigest()

    def computation(self, role: Role) -> dict[str, Parameter]:
        """Return the version of the library that adds."""
        return {**versions_installed(("numpy",))}

    def encode(self, texts: Sequence[str], role: Role) -> Vectors:
        """Return float32 vectors of shape (len(texts), dim), not normalised; a blank text gives zeros."""
        if not texts:
            return np.zeros((0, self.dim), dtype=np.float32)
        rows, hashes = _ngrams(texts, self._settings.n_min, self._settings.n_max)
        keys, counts = np.unique(rows << np.uint64(32) | hashes, return_counts=True)
        hashes = keys & np.uint64(0xFFFFFFFF)
        buckets = (keys >> np.uint64(32)) * np.uint64(self.dim) + (hashes >> np.uint64(1)) % np.uint64(self.dim)
        signed = np.where(hashes & np.uint64(1), 1.0, -1.0) * np.sqrt(counts)
        sums = np.bincount(buckets.astype(np.int64), signed, minlength=len(texts) * self.dim)
        return sums.reshape(len(texts), self.dim).astype(np.float32)


def _ngrams(texts: Sequence[str], n_min: int, n_max: int) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Return the row of its text and a 32-bit hash for every n-gram, both of shape (n-grams,)."""
    padded = [f" {' '.join(unicodedata.normalize('NFKC', text).casefold().split())} " for text in texts]
    # A lone surrogate is no text in UTF-32, yet broken files have them.
    raw = "".join(padded).encode("utf-32-le", "surrogatepass")
    codes = np.frombuffer(raw, dtype="<u4").astype(np.uint32)
    rows = np.repeat(np.arange(len(padded), dtype=np.uint64), [len(text) for text in padded])
    found = [_ngrams_of(codes, rows, n) for n in range(n_min, n_max + 1)]
    return np.concatenate([row for row, _ in found]), np.concatenate([hashed for _, hashed in found])


def _ngrams_of(
    codes: NDArray[np.uint32], rows: NDArray[np.uint64], n: int
) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Return rows and hashes of the n-grams of one length; `codes` and `rows` have shape (characters,)."""
    size = max(len(codes) - n + 1, 0)
    kept = rows[:size] == rows[n - 1 :]
    blank = codes == _BLANK
    if n <= 2:
        # An n-gram of blanks alone says nothing; a longer one would have a blank inside.
        kept &= ~(blank[:size] & blank[n - 1 :])
    hashes = np.full(size, n * 0x9E3779B1 & 0xFFFFFFFF, dtype=np.uint32)
    for offset in range(n):
        hashes = (hashes ^ codes[offset : offset + size]) * np.uint32(0x85EBCA6B)
        hashes ^= hashes >> np.uint32(15)
        if 0 < offset < n - 1:
            kept &= ~blank[offset : offset + size]
    hashes *= np.uint32(0xC2B2AE35)
    hashes ^= hashes >> np.uint32(16)
    return rows[:size][kept], hashes[kept].astype(np.uint64)
