"""Checks whether the counts of a ranks file follow from an order of documents, and its cosines from vectors."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mlbench.collection.languages import IMAGE, Setting, whole_pool
from mlbench.ranking.ranks import MISSING, UNKNOWN, Ranks, can_answer, pool_counts

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]
# Cosines are rounded to 32 bits, and near 1 that is a large part of an angle.
_SLACK = 1e-3
_NO_ORDER = "ahead follows from no order of documents"


def counts_fault(ranks: Ranks, kind: Literal["encoder", "ranker"], settings: Sequence[Setting]) -> str:
    """Say in what the counts follow from no order of documents, or are not those of such a retriever; or nothing.

    An encoder counts against every language, to its end, or against those alone that its settings ask for, as with
    corpora that were read shard by shard. A ranker has a list for each of the `settings` and no other.
    """
    fault = _encoder_fault(ranks, settings) if kind == "encoder" else _ranker_fault(ranks, settings)
    return fault or _documents_fault(ranks) or _top_fault(ranks, kind)


@dataclass(frozen=True, eq=False)
class _Cells:
    """The counts of the queries of one language at one place of `ahead`, all (rows,).

    `listed` is how long the list is that a row is counted in, -1 where nobody asked; `size` how many documents it could
    hold, `inside` whether the row's document is one of them. `present` says whether it is in the corpus.
    """

    ahead: NDArray[np.int32]
    ties: NDArray[np.int32]
    listed: Integers
    size: Integers
    inside: NDArray[np.bool_]
    present: NDArray[np.bool_]


def _cells(ranks: Ranks) -> Iterator[_Cells]:
    hold, sizes = ranks.columns_hold, ranks.column_sizes.astype(np.int64)
    for part in ranks.parts():
        present = ~(part.ahead == MISSING).any(axis=1)
        for place in range(part.ahead.shape[1]):
            columns = part.columns_at(place)
            known = columns >= 0
            yield _Cells(
                ahead=part.ahead[:, place],
                ties=part.ties[:, place],
                listed=np.where(known, part.listed[part.row_queries, columns], UNKNOWN).astype(np.int64),
                size=np.where(known, sizes[columns], 0),
                inside=hold[part.row_languages, columns] & known,
                present=present,
            )


def _encoder_fault(ranks: Ranks, settings: Sequence[Setting]) -> str:
    pools: list[tuple[str, ...]] = [(language,) for language in ranks.languages.tolist()]
    if ranks.is_compact:
        pools += [pool for pool in _pools(settings) if len(pool) > 1]
    if ranks.columns.tolist() != ["+".join(pool) for pool in pools]:
        return "its columns are not the task's languages, as those of an encoder are"
    asked = (_sides(ranks) if ranks.has_images else _asked(ranks, settings, pools))[ranks.query_languages]
    whole = ranks.listed == ranks.column_sizes
    if not whole.all() and (not whole[asked].all() or (ranks.listed[~asked] != UNKNOWN).any()):
        return "listed is not the number of documents, as it is for an encoder"
    for cells in _cells(ranks):
        # How many of a pool stand before a document that is not in it is counted for single languages alone.
        known = cells.present & (cells.inside | (not ranks.is_compact))
        if ((cells.ahead >= 0) != (cells.listed >= 0))[known].any() or (cells.ahead[~cells.present] != MISSING).any():
            return "ahead leaves out what an encoder counts"
        if (cells.ties < 0).any():
            return "ties leaves out what an encoder counts"
    faults = (_compact_order_fault(part) if part.is_compact else _order_fault(part) for part in ranks.parts())
    return next(filter(None, faults), "")


def _pools(settings: Sequence[Setting]) -> list[tuple[str, ...]]:
    """Return what settings search, the smaller pools first, as the columns of a ranker are ordered."""
    return sorted({setting.document_languages for setting in settings}, key=lambda pool: (len(pool), pool))


def _asked(ranks: Ranks, settings: Sequence[Setting], pools: Sequence[tuple[str, ...]]) -> NDArray[np.bool_]:
    """Return whether queries of a language are asked against all of a pool, (languages, pools)."""
    numbers = {language: number for number, language in enumerate(ranks.languages.tolist())}
    within = {own: [set(pool) <= set(own) for pool in pools] for own in _pools(settings)}
    asked = np.zeros((len(numbers), len(pools)), dtype=np.bool_)
    for setting in settings:
        asked[numbers[setting.query_language]] |= within[setting.document_languages]
    return asked


def _sides(ranks: Ranks) -> NDArray[np.bool_]:
    """Return whether queries are counted against a column, (languages, columns): images and captions, each other.

    No setting is needed for that.
    """
    is_image = ranks.languages == IMAGE
    sides: NDArray[np.bool_] = is_image[:, None] != (ranks.columns == IMAGE)
    return sides


def _order_fault(ranks: Ranks) -> str:
    """Say whether in one list a document stands ahead that does not stand ahead of a later one."""
    rows = np.flatnonzero(~(ranks.ahead == MISSING).any(axis=1))
    # What was not counted was counted for no document of the query.
    ahead = np.maximum(ranks.ahead[rows].astype(np.int64), 0)
    rows = rows[np.lexsort((ahead.sum(axis=1), ranks.row_queries[rows]))]
    same = np.flatnonzero(np.diff(ranks.row_queries[rows]) == 0)
    before, after = rows[same], rows[same + 1]
    more = ranks.ahead[after].astype(np.int64) - ranks.ahead[before]
    own = np.arange(len(same)), ranks.row_languages[before]
    if (more < 0).any() or (more[own] < (ranks.ahead[before][own] >= 0)).any():
        return _NO_ORDER
    return ""


def _compact_order_fault(ranks: Ranks) -> str:
    """Say the same of counts in the own language and in pools; a pool has the order of what it holds, and no less."""
    hold, sizes, places = ranks.columns_hold, ranks.column_sizes.astype(np.int64), range(ranks.ahead.shape[1])
    columns = [ranks.columns_at(place) for place in places]
    counted = [hold[ranks.row_languages, columns[place]] & (ranks.ahead[:, place] >= 0) for place in places]
    for one, other in combinations(places, 2):
        rows = np.flatnonzero(counted[one] & counted[other])
        lists = ranks.row_queries[rows].astype(np.int64) * len(ranks.languages)
        lists += 0 if one else ranks.row_languages[rows]
        order = np.lexsort((ranks.ahead[rows, one], lists))
        rows, same = rows[order], np.diff(lists[order]) == 0
        less, more = (ranks.ahead[rows, place].astype(np.int64) for place in (one, other))
        if (np.diff(more)[same] <= 0).any():
            return _NO_ORDER
        if (hold[:, columns[one][rows]] <= hold[:, columns[other][rows]]).all():
            others = sizes[columns[other][rows]] - sizes[columns[one][rows]]
            if (more < less).any() or (more - less > others).any() or (np.diff(more) < np.diff(less))[same].any():
                return _NO_ORDER
    return ""


def _ranker_fault(ranks: Ranks, settings: Sequence[Setting]) -> str:
    pools = _pools(settings)
    if ranks.columns.tolist() != ["+".join(pool) for pool in pools]:
        return "its columns are not the pools of the task's settings, as those of a ranker are"
    languages = {language: number for number, language in enumerate(ranks.languages.tolist())}
    columns = {pool: column for column, pool in enumerate(pools)}
    asked = np.zeros((len(languages), len(pools)), dtype=np.bool_)
    for setting in settings:
        asked[languages[setting.query_language], columns[setting.document_languages]] = True
    if ((ranks.listed >= 0) != asked[ranks.query_languages]).any() or (ranks.listed > ranks.column_sizes).any():
        return "listed says of another setting than the task's how long a list was"
    for cells in _cells(ranks):
        known, listed = (cells.listed >= 0) & cells.inside, np.maximum(cells.listed, 0)
        if ((cells.ahead != UNKNOWN) != known)[cells.present].any() or (cells.ahead[~cells.present] != MISSING).any():
            return "ahead says of another setting than the task's where a document stands"
        if (cells.ahead >= listed)[cells.ahead >= 0].any():
            return "a relevant document stands behind the end of a list"
        if ((cells.listed == cells.size) & known & (cells.ahead < 0))[cells.present].any():
            return "a list of every document lacks a relevant one"
        places = np.where(cells.ahead >= 0, listed, 0)
        if (cells.ties > np.maximum(places - 1, 0)).any():
            return "more documents tie than a list holds"
    return ""


def _documents_fault(ranks: Ranks) -> str:
    mentioned = np.zeros(len(ranks.document_ids), dtype=np.bool_)
    mentioned[ranks.row_documents] = True
    mentioned[ranks.top[ranks.top >= 0]] = True
    if not mentioned.all():
        return "document_ids names documents that stand nowhere"
    absent = np.unique(ranks.row_documents[(ranks.ahead == MISSING).any(axis=1)])
    for ids in (np.delete(ranks.document_ids, absent), ranks.document_ids[absent]):
        if (ids[1:] >= ids[:-1]).any():
            return "document_ids is not in the order of ids"
    return ""


def _top_fault(ranks: Ranks, kind: str) -> str:
    """Say in what the first documents of the lists of all languages contradict the counts of the relevant ones.

    Those of captions are images, those of images are captions.
    """
    depth, languages = ranks.top.shape[1], ranks.languages.tolist()
    for part in ranks.parts() if len(ranks.query_topics) else ():
        filled, pool = part.top >= 0, whole_pool(languages[part.query_languages[0]], languages)
        counts = pool_counts(part, pool) if can_answer(part, pool) else None
        if counts is None and kind == "ranker" and filled.any():
            return "top is of a pool that was not asked for"
        listed = _listed_by_language(part, pool) if counts is None else counts.listed
        length = np.minimum(np.maximum(listed, 0), depth)
        if (filled != (np.arange(depth) < length[:, None])).any():
            return "top is longer or shorter than the lists are"
        ordered = np.sort(part.top, axis=1)
        if ((np.diff(ordered, axis=1) == 0) & (ordered[:, 1:] >= 0)).any():
            return "top names a document twice"
        met = part.top[part.row_queries] == part.row_documents[:, None]
        place = np.where(met.any(axis=1), met.argmax(axis=1) + 1, 0)
        if counts is not None and (np.where(counts.rank <= depth, counts.rank, 0) != place).any():
            return "top has a relevant document elsewhere than its counts"
        if kind == "encoder" and (fault := _languages_fault(part, np.flatnonzero(place > 1), place)):
            return fault
    return ""


def _listed_by_language(ranks: Ranks, pool: Sequence[str]) -> Integers:
    """Return how many documents of a pool were ranked for each query, (queries,); 0 where not all languages were."""
    listed = ranks.listed[:, np.isin(ranks.columns, pool)]
    return np.where((listed >= 0).all(axis=1), listed.sum(axis=1, dtype=np.int64), 0)


def _languages_fault(ranks: Ranks, rows: Integers, rank: Integers) -> str:
    top = ranks.top[ranks.row_queries[rows]]
    before = (top >= 0) & (np.arange(top.shape[1]) < rank[rows, None] - 1)
    hold, languages = ranks.columns_hold, ranks.document_languages[top]
    for place in range(ranks.ahead.shape[1]):
        columns = ranks.columns_at(place)[rows]
        held = hold[languages, columns[:, None]] & before
        # What was not counted is no document of the pool.
        if (held.sum(axis=1) != np.maximum(ranks.ahead[rows, place], 0)).any():
            return "top has documents of other languages ahead of a relevant one than its counts"
    return ""


def alignment_fault(ranks: Ranks) -> str:
    """Say in what the cosines follow from no vectors, or contradict the ranks of the captions; or nothing."""
    if ranks.alignment is None:
        return ""
    rank = pool_counts(ranks, ranks.spoken_languages).rank
    image, closest = ranks.alignment.astype(np.float64).T
    rows = np.flatnonzero(~np.isnan(image))
    ordered = rows[np.lexsort((rank[rows], ranks.row_queries[rows]))]
    same = np.diff(ranks.row_queries[ordered]) == 0
    if (np.diff(image[ordered])[same] > 0).any():
        return "alignment is not in the order of the captions' ranks"
    edges = np.flatnonzero(np.diff(ranks.row_queries[rows])) + 1
    for own in np.split(rows, edges):
        if not _could_be(image[own], closest[own], ranks.row_languages[own]):
            return "alignment has cosines between captions that no vectors have"
    return ""


def _could_be(image: Floats, closest: Floats, languages: NDArray[np.int32]) -> bool:
    """Say whether captions at such cosines to an image can be that close to the closest one in another language.

    With angles a and b to the image, the cosine of two captions lies between those of a + b and of a - b.
    """
    angle = np.arccos(np.clip(image, -1.0, 1.0))
    other = languages[:, None] != languages
    if (other.any(axis=1) != ~np.isnan(closest)).any():
        return False
    if not other.any():
        return True
    sums = np.minimum(angle[:, None] + angle, np.pi)
    least = np.where(other, np.cos(sums), -1.0).max(axis=1)
    most = np.where(other, np.cos(angle[:, None] - angle), -1.0).max(axis=1)
    there = other.any(axis=1)
    return bool(((closest >= least - _SLACK) & (closest <= most + _SLACK))[there].all())
