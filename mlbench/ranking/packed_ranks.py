"""Compact ranks as the arrays of their file, so that 42 million rows take about three bytes each.

Deflate sees repetitions and uneven distributions of bytes, no relations between numbers. So what follows from something
else is left out, and bytes that are alike stand together:

- The judgments of a topic stand once. One bit for each query and judgment of its topic says whether there is a row:
  a query that is a document itself has none for itself.
- Counts stand as planes of bytes: all low bytes, then all of the next higher ones.
- Counts in the own language stand in the order of those in the first pool, near which similar ones are.
"""

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from mlbench.ranking.ranks import UNLISTED, Ranks

Integers = NDArray[np.int32]
Long = NDArray[np.int64]
Bytes = NDArray[np.uint8]
Arrays = Mapping[str, NDArray[np.generic]]
_TEXTS = ("languages", "columns", "topic_ids", "cluster_unit", "document_ids")
_INTEGERS = ("column_sizes", "topic_clusters", "query_topics", "query_languages", "document_languages")
_JUDGMENTS = ("judgment_topics", "judgment_documents", "judgment_grades")
_PLANES = ("own_ahead", "pools_ahead", "planes_of_ties", "planes_of_top", "planes_of_listed")
OPTIONAL = ("alignment", "grade_scale", "judged")
"""Arrays that only some ranks have, compact or not."""
PACKED = (*_TEXTS, *_INTEGERS, *_JUDGMENTS, "asked", *_PLANES)
"""The names of the arrays, in the order of the file, which the optional ones follow."""
_AT_ONCE = 1 << 20
"""So many candidates for rows are looked at together: int64 arrays of them take 8 MiB."""
_SORTED_AT_ONCE = 1 << 18


def pack(ranks: Ranks) -> dict[str, NDArray[np.generic]]:
    """Return the arrays of compact ranks by name.

    Texts are those of `Ranks`. `column_sizes`, `topic_clusters`, `query_topics`, `query_languages`,
    `document_languages` are int32; so are `judgment_topics`, `judgment_documents`, `judgment_grades` (judgments,),
    sorted by topic and document. `asked` is uint8, the bits of all queries, one for each judgment of its topic. The
    rest is uint8 (bytes, ...), planes of what counts exceed `UNLISTED` by: `own_ahead` (bytes, rows) in the order of
    the first pool's counts, `pools_ahead` (bytes, pools, rows), `planes_of_ties` (bytes, 1 + pools, rows),
    `planes_of_top` (bytes, queries, depth), and `planes_of_listed` (bytes, queries, columns), of one query where all
    are alike. Raises `ValueError` where the rows of a query are not sorted by document, or a topic's judgments differ
    between its queries in more than which there are.
    """
    judgments = _judgments(ranks)
    pools = ranks.ahead[:, 1:].T
    listed = ranks.listed[:1] if (ranks.listed == ranks.listed[:1]).all() else ranks.listed
    return {
        **{name: getattr(ranks, name) for name in _TEXTS},
        **{name: np.ascontiguousarray(getattr(ranks, name), dtype=np.int32) for name in _INTEGERS},
        **dict(zip(_JUDGMENTS, judgments, strict=True)),
        "asked": np.packbits(_asked(ranks, *judgments)),
        "own_ahead": _planes(_in_order(ranks.ahead[:, 0], pools, forth=True)),
        "pools_ahead": _planes(pools),
        "planes_of_ties": _planes(ranks.ties.T),
        "planes_of_top": _planes(ranks.top),
        "planes_of_listed": _planes(listed),
    }


def unpack(arrays: Arrays, largest: int) -> Ranks:
    """Return the compact ranks that `pack` made the arrays of, and any optional arrays beside them.

    Raises `ValueError` for arrays that it makes of none, or whose ranks take more than `largest` bytes. What the counts
    and texts say is not checked.
    """
    topics, documents, grades = _checked_judgments(arrays)
    plain = {name: _integers(arrays, name) for name in _INTEGERS}
    query_topics, asked = plain["query_topics"], _bytes(arrays, "asked", 1)
    _check_range("query_topics", query_topics, len(arrays["topic_ids"]))
    planes = {name: _bytes(arrays, name, 2 if name == "own_ahead" else 3) for name in _PLANES}
    n_rows, n_pools = int(np.bitwise_count(asked).sum(dtype=np.int64)), planes["pools_ahead"].shape[1]
    n_bits = _count_candidates(query_topics, topics)
    if (
        len(asked) != (n_bits + 7) // 8
        or planes["own_ahead"].shape[1:] != (n_rows,)
        or planes["pools_ahead"].shape[2] != n_rows
        or planes["planes_of_ties"].shape[1:] != (1 + n_pools, n_rows)
    ):
        raise ValueError("arrays of counts do not go with the judgments and queries")
    # The lengths of lists may stand once for all queries.
    n_listed = max(planes["planes_of_listed"].size, len(query_topics) * planes["planes_of_listed"].shape[2])
    size = 4 * (n_rows * (5 + 2 * n_pools) + planes["planes_of_top"].size + n_listed)
    if size > largest:
        raise ValueError(f"its ranks would take {size:,} bytes")
    rows = np.unpackbits(asked, count=n_bits).view(np.bool_)
    row_queries, row_documents = np.empty(n_rows, dtype=np.int32), np.empty(n_rows, dtype=np.int32)
    narrow_grades, filled = _narrowed(grades), 0
    row_grades = np.empty(n_rows, dtype=narrow_grades.dtype)
    for bits, queries, judgments in _candidates(query_topics, topics):
        own = rows[bits]
        part = slice(filled, filled := filled + int(np.count_nonzero(own)))
        row_queries[part], judged = queries[own], judgments[own]
        row_documents[part], row_grades[part] = documents[judged], narrow_grades[judged]
    ahead = np.empty((n_rows, 1 + n_pools), dtype=np.int32)
    for pool in range(n_pools):
        ahead[:, 1 + pool] = _values(planes["pools_ahead"][:, pool])
    ahead[:, 0] = _in_order(_values(planes["own_ahead"]), ahead[:, 1:].T, forth=False)
    listed = _values(planes["planes_of_listed"])
    as_they_are = {name: arrays[name] for name in (*_TEXTS, *_INTEGERS, *OPTIONAL) if name in arrays}
    return Ranks(
        **as_they_are,  # type: ignore[arg-type]
        row_queries=row_queries,
        row_documents=row_documents,
        row_grades=row_grades,
        ahead=ahead,
        ties=_values(planes["planes_of_ties"]).T,
        top=_values(planes["planes_of_top"]),
        listed=np.broadcast_to(listed, (len(query_topics), listed.shape[1])) if len(listed) == 1 else listed,
    )


def _judgments(ranks: Ranks) -> tuple[Integers, Integers, Integers]:
    """Return topic, document and grade of each judgment, int32 (judgments,), sorted by topic and document."""
    known, grades = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int32)
    for rows in _slices(len(ranks.row_queries), _AT_ONCE):
        topics = ranks.query_topics[ranks.row_queries[rows]].astype(np.int64)
        keys = topics * len(ranks.document_ids) + ranks.row_documents[rows]
        places = np.searchsorted(known, keys)
        if len(new := keys[known.take(places, mode="clip") != keys] if len(known) else keys):
            more = np.union1d(known, new)
            moved = np.zeros(len(more), dtype=np.int32)
            moved[np.searchsorted(more, known)] = grades
            known, grades, places = more, moved, np.searchsorted(more, keys)
        grades[places] = ranks.row_grades[rows]
    topics, documents = np.divmod(known, max(len(ranks.document_ids), 1))
    return topics.astype(np.int32), documents.astype(np.int32), grades


def _asked(ranks: Ranks, topics: Integers, documents: Integers, grades: Integers) -> NDArray[np.bool_]:
    """Say for each query and each judgment of its topic, in their order, whether there is a row."""
    asked, n_documents = (
        np.zeros(_count_candidates(ranks.query_topics, topics), dtype=np.bool_),
        len(ranks.document_ids),
    )
    for bits, queries, judgments in _candidates(ranks.query_topics, topics):
        rows = slice(*np.searchsorted(ranks.row_queries, (queries[0], queries[-1] + 1)))
        candidates = queries.astype(np.int64) * n_documents + documents[judgments]
        own = ranks.row_queries[rows].astype(np.int64) * n_documents + ranks.row_documents[rows]
        place = np.searchsorted(candidates, own)
        if (np.diff(own) <= 0).any() or (grades[judgments][place] != ranks.row_grades[rows]).any():
            raise ValueError("rows are not sorted by query and document, or one judgment has two grades")
        asked[bits][place] = True
    return asked


def _count_candidates(query_topics: Integers, topics: Integers) -> int:
    """Return how many rows there are at most: one for each query and judgment of its topic."""
    return int(np.bincount(topics, minlength=int(query_topics.max(initial=0)) + 1)[query_topics].sum())


def _candidates(query_topics: Integers, topics: Integers) -> Iterator[tuple[slice, Integers, Long]]:
    """Yield the bits, queries and judgments of these, for some consecutive queries at a time.

    `topics`, those of all judgments, are sorted; queries without judgments are passed over.
    """
    starts = np.searchsorted(topics, query_topics)
    counts = np.searchsorted(topics, query_topics, side="right") - starts
    ends = np.cumsum(counts)
    first, bits = 0, 0
    while first < len(ends):
        end = max(first + 1, int(np.searchsorted(ends, bits + _AT_ONCE, side="right")))
        own = counts[first:end]
        queries = np.repeat(np.arange(first, end, dtype=np.int32), own)
        judgments = np.arange(bits, bits + len(queries)) + np.repeat(starts[first:end] - ends[first:end] + own, own)
        if len(queries):
            yield slice(bits, bits + len(queries)), queries, judgments
        first, bits = end, bits + len(queries)


def _in_order(own: Integers, pools: Integers, *, forth: bool) -> Integers:
    """Return counts in the order of those in the first pool, some rows at a time; or, not `forth`, as they were."""
    moved = own.copy()
    if not len(pools):
        return moved
    # Of 16 bits, numpy's stable sort takes a tenth of the time.
    shift = max(0, (int(pools[0].max(initial=0)) - UNLISTED).bit_length() - 16)
    for rows in _slices(len(own), _SORTED_AT_ONCE):
        order = np.argsort((pools[0, rows] - UNLISTED >> shift).astype(np.uint16), kind="stable")
        if forth:
            moved[rows] = own[rows][order]
        else:
            moved[rows][order] = own[rows]
    return moved


def _planes(values: Integers) -> Bytes:
    """Return what integers exceed `UNLISTED` by in bytes, uint8 (bytes, ...): low ones first, no more than are used."""
    most = int(values.max(initial=UNLISTED)) - UNLISTED
    above = np.ascontiguousarray(values) - np.int32(UNLISTED)
    return np.stack([(above >> shift).astype(np.uint8) for shift in range(0, max(most.bit_length(), 1), 8)])


def _values(planes: Bytes) -> Integers:
    """Return the integers whose bytes these are, as narrow as they allow; raises `ValueError` beyond 31 bits."""
    if not 1 <= len(planes) <= 4 or (len(planes) == 4 and planes[3].max(initial=0) > 0x7F):
        raise ValueError("a count has more than 31 bits")
    values = planes[0].astype(np.int32)
    for number, plane in enumerate(planes[1:], 1):
        values |= plane.astype(np.int32) << 8 * number
    values += UNLISTED
    return _narrowed(values)


def _narrowed(values: Integers) -> Integers:
    """Return the same integers in the narrowest signed type that holds them."""
    low = min(int(values.min(initial=-1)), -1 - int(values.max(initial=0)))
    narrow: Integers = values.astype(np.min_scalar_type(low), copy=False)
    return narrow


def _slices(length: int, step: int) -> Iterator[slice]:
    return (slice(start, start + step) for start in range(0, length, step))


def _checked_judgments(arrays: Arrays) -> tuple[Integers, Integers, Integers]:
    topics, documents, grades = (_integers(arrays, name) for name in _JUDGMENTS)
    if not len(topics) == len(documents) == len(grades):
        raise ValueError("arrays of judgments differ in length")
    _check_range("judgment_topics", topics, len(arrays["topic_ids"]))
    _check_range("judgment_documents", documents, len(arrays["document_ids"]))
    if (np.diff(topics.astype(np.int64) * len(arrays["document_ids"]) + documents) <= 0).any():
        raise ValueError("judgments are not sorted by topic and document, or one is there twice")
    return topics, documents, grades


def _check_range(name: str, indexes: Integers, end: int) -> None:
    if len(indexes) and not 0 <= indexes.min() <= indexes.max() < end:
        raise ValueError(f"{name} is out of range")


def _integers(arrays: Arrays, name: str) -> Integers:
    array = arrays[name]
    if array.dtype != np.int32 or array.ndim != 1:
        raise ValueError(f"{name} has dtype {array.dtype} and {array.ndim} dimensions")
    return array.astype(np.int32, copy=False)


def _bytes(arrays: Arrays, name: str, dimensions: int) -> Bytes:
    array = arrays[name]
    if array.dtype != np.uint8 or array.ndim != dimensions:
        raise ValueError(f"{name} has dtype {array.dtype} and {array.ndim} dimensions")
    return array.astype(np.uint8, copy=False)
