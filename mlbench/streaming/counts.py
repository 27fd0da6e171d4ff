"""What counting leaves of documents that have gone by, and how the counts of parts become those of their language."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

Integers32 = NDArray[np.int32]
Floats = NDArray[np.float64]
Strings = NDArray[np.str_]


@dataclass(frozen=True, eq=False)
class Tops:
    """The best documents of each query, best first.

    `scores` is float64 (queries, depth), -inf where there are fewer, and there `doc_ids` (queries, depth) is empty.
    """

    scores: Floats
    doc_ids: Strings

    @classmethod
    def empty(cls, n_queries: int, depth: int) -> "Tops":
        """Return the top of no documents."""
        return cls(np.full((n_queries, depth), -np.inf), np.full((n_queries, depth), "", dtype="<U1"))

    def lines(self, numbers: NDArray[np.int64]) -> "Tops":
        """Return the lines of some queries."""
        return Tops(self.scores[numbers], self.doc_ids[numbers])

    def placed(self, where: NDArray[np.bool_], lines: "Tops") -> "Tops":
        """Return a copy in which `lines` stand at the queries that `where` marks."""
        scores, doc_ids = self.scores.copy(), self.doc_ids.astype(np.result_type(self.doc_ids, lines.doc_ids))
        scores[where], doc_ids[where] = lines.scores, lines.doc_ids
        return Tops(scores, doc_ids)

    def merge(self, other: "Tops") -> "Tops":
        """Return the best of both, by score and then by id, both descending; no document is in both."""
        depth = self.scores.shape[1]
        scores = np.concatenate((self.scores, other.scores), axis=1)
        order = np.argsort(-scores, axis=1, kind="stable")
        ordered = np.take_along_axis(scores, order, axis=1)
        doc_ids = np.take_along_axis(np.concatenate((self.doc_ids, other.doc_ids), axis=1), order, axis=1)
        # Ids are compared in the few rows alone where equal scores meet: strings are slow.
        ties = (ordered[:, 1:] == ordered[:, :-1]) & np.isfinite(ordered[:, 1:])
        for row in np.flatnonzero(ties.any(axis=1)):
            by_id = np.argsort(doc_ids[row], kind="stable")[::-1]
            order_of_row = by_id[np.argsort(-ordered[row][by_id], kind="stable")]
            doc_ids[row] = doc_ids[row][order_of_row]
        return Tops(ordered[:, :depth], doc_ids[:, :depth])


@dataclass(frozen=True, eq=False)
class PartCounts:
    """The counts of one part, or of several parts of one language.

    `ahead` and `ties` are int32 (rows,), for the rows of the queries that ask for the language (see `Question`); `top`
    has one line for each of those queries. `texts` counts the distinct texts of each part that were no relevant
    document's, `encoded` those of them that were encoded for this, `tokens` what they had. `encode_seconds` (reading
    included) and `count_seconds` are sums over all workers. `largest_norm` is that of any vector; `not_kept` says why
    vectors could not be kept.
    """

    NAMES: ClassVar = ("ahead", "ties", "scores", "doc_ids", "texts", "largest_norm")
    """Of the arrays that are saved."""

    ahead: Integers32
    ties: Integers32
    top: Tops
    texts: int = 0
    encoded: int = 0
    tokens: int = 0
    encode_seconds: float = 0.0
    count_seconds: float = 0.0
    largest_norm: float = 0.0
    not_kept: str = ""

    @classmethod
    def empty(cls, n_rows: int, n_queries: int, depth: int) -> "PartCounts":
        """Return the counts of no documents."""
        return cls(np.zeros(n_rows, np.int32), np.zeros(n_rows, np.int32), Tops.empty(n_queries, depth))

    def add(self, other: "PartCounts") -> "PartCounts":
        """Return the counts of the documents of both."""
        return PartCounts(
            ahead=self.ahead + other.ahead,
            ties=self.ties + other.ties,
            top=self.top.merge(other.top),
            texts=self.texts + other.texts,
            encoded=self.encoded + other.encoded,
            tokens=self.tokens + other.tokens,
            encode_seconds=self.encode_seconds + other.encode_seconds,
            count_seconds=self.count_seconds + other.count_seconds,
            largest_norm=max(self.largest_norm, other.largest_norm),
            not_kept=self.not_kept or other.not_kept,
        )

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Return what is saved of it: all but what it cost, which is of one run."""
        return {
            "ahead": self.ahead,
            "ties": self.ties,
            "scores": self.top.scores,
            "doc_ids": self.top.doc_ids,
            "texts": np.array([self.texts]),
            "largest_norm": np.array([self.largest_norm]),
        }

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[np.generic]], expected: "PartCounts") -> "PartCounts":
        """Return what was saved; raises `ValueError` for arrays that are not of the shapes and kinds of `expected`."""
        for name, like in expected.arrays().items():
            if arrays[name].shape != like.shape or arrays[name].dtype.kind != like.dtype.kind:
                raise ValueError(f"{name} is {arrays[name].dtype} {arrays[name].shape}")
        return cls(
            ahead=arrays["ahead"].astype(np.int32),
            ties=arrays["ties"].astype(np.int32),
            top=Tops(arrays["scores"].astype(np.float64), arrays["doc_ids"].astype(np.str_)),
            texts=int(arrays["texts"][0]),
            largest_norm=float(arrays["largest_norm"][0]),
        )
