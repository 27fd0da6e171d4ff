"""What is known of training rows without their texts: which languages they have, and what they share."""

from dataclasses import dataclass, replace
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]
SmallInts = NDArray[np.int32]
ABSENT = -1


@dataclass(frozen=True, eq=False)
class RowIndex:
    """The rows of one data set; a row is a topic with a query and a document in some languages.

    Rows with the same languages share a pattern: `query_places` and `document_places`, int32 (patterns, languages),
    say which of a row's texts is its query or document in a language, `ABSENT` where it has none; `is_text` (patterns,)
    that both are views of one text. `pattern`, `topic`, `query_group` and `document_group` are int32 (rows,): rows
    with equal numbers have the same topic, the same query in some language, the same document in some language.
    `first_text`, int64 (rows,), is the number of a row's first text. The hard negatives of row i are those from
    `first_negative[i]` to `first_negative[i + 1]`, int64 (rows + 1,), of `negative_texts`, int64 (numbers of texts),
    `negative_languages` and `negative_groups`, int32: the `document_group` of an equal document, or `ABSENT`.
    """

    query_places: SmallInts
    document_places: SmallInts
    is_text: Bools
    pattern: SmallInts
    topic: SmallInts
    query_group: SmallInts
    document_group: SmallInts
    first_text: Ints
    first_negative: Ints
    negative_texts: Ints
    negative_languages: SmallInts
    negative_groups: SmallInts

    def __len__(self) -> int:
        return len(self.pattern)

    def without(self, dropped: Bools) -> "RowIndex":
        """Return the index with rows `dropped`, bool (rows,): they keep their numbers but have no language."""
        empty = np.full((1, self.query_places.shape[1]), ABSENT, np.int32)
        return replace(
            self,
            query_places=np.concatenate([self.query_places, empty]),
            document_places=np.concatenate([self.document_places, empty]),
            is_text=np.append(self.is_text, False),
            pattern=np.where(dropped, len(self.is_text), self.pattern).astype(np.int32),
        )

    def with_languages(self, known: tuple[str, ...], wanted: tuple[str, ...]) -> "RowIndex":
        """Return the index with the columns of `wanted` languages instead of `known` ones, in their order."""
        columns = [known.index(tag) if tag in known else ABSENT for tag in wanted]
        number = np.array([wanted.index(tag) if tag in wanted else ABSENT for tag in known] + [ABSENT], np.int32)
        return replace(
            self,
            query_places=_columns(self.query_places, columns),
            document_places=_columns(self.document_places, columns),
            negative_languages=number[self.negative_languages],
        )

    def without_queries(self, column: int) -> "RowIndex":
        """Return the index with no queries in the language of a column."""
        places = self.query_places.copy()
        places[:, column] = ABSENT
        return replace(self, query_places=places)

    def query_texts(self, rows: Ints, languages: Ints) -> Ints:
        """Return the numbers of the texts that are the queries of `rows` in `languages`, int64 (n,)."""
        return self.first_text[rows] + self.query_places[self.pattern[rows], languages]

    def document_texts(self, rows: Ints, languages: Ints) -> Ints:
        """Return the numbers of the texts that are the documents of `rows` in `languages`, int64 (n,)."""
        return self.first_text[rows] + self.document_places[self.pattern[rows], languages]


def share_of(index: RowIndex, low: float, high: float, salt: str) -> Bools:
    """Return which rows, bool (rows,), belong to the part of a data set from share `low` to share `high`.

    Rows that have a document in common are in the same part, and [0, .1) is a part of [0, .3). Another `salt` gives
    other parts. Rows with a query in common may be in two: if they had to be together, a few questions that many
    documents answer would make most rows one (see `related`).
    """
    seeds = np.frombuffer(blake2b(salt.encode(), digest_size=16).digest(), "<u8")
    # A multiplicative hash of the group's number: no table of groups, and the same on every machine.
    mixed = index.document_group.astype(np.uint64) + seeds[0]
    for shift in (30, 27, 31):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(0xBF58476D1CE4E5B9)
    place = (mixed >> np.uint64(11)).astype(np.float64) / 2**53
    chosen: Bools = (place >= low) & (place < high)
    return chosen


def related(index: RowIndex, rows: Bools) -> Bools:
    """Return which rows, bool (rows,), are among `rows` or have a topic, a query or a document in common with one."""
    found = rows.copy()
    for numbers in (index.topic, index.query_group, index.document_group):
        met = np.zeros(numbers.max(initial=-1) + 1, bool)
        met[numbers[rows]] = True
        found |= met[numbers]
    return found


def _columns(places: SmallInts, columns: list[int]) -> SmallInts:
    padded = np.concatenate([places, np.full((len(places), 1), ABSENT, np.int32)], axis=1)
    chosen: SmallInts = padded[:, columns]
    return chosen
