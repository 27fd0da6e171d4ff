"""Checks whether the counts of a ranks file follow from an order of documents, and its cosines from vectors."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mlbench.collection.languages import IMAGE, Setting
from mlbench.measures.formulas import UNRETRIEVED
from mlbench.ranking.ranks import MISSING, UNKNOWN, Ranks, can_answer, pool_counts

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]
# Cosines are rounded to 32 bits, and near 1 that is a large part of an angle.
_SLACK = 1e-3


def counts_fault(ranks: Ranks, kind: Literal["encoder", "ranker"], settings: Sequence[Setting]) -> str:
    """Say in what the counts follow from no order of documents, or are not those of such a retriever; or nothing.

    An encoder counts against every language, to its end, or against those alone that its settings ask for, as with
    corpora that were read shard by shard. A ranker has a list for each of the `settings` and no other.
    """
    fault = _encoder_fault(ranks, settings) if kind == "encoder" else _ranker_fault(ranks, settings)
    return fault or _documents_fault(ranks) or _top_fault(ranks, kind)


def _encoder_fault(ranks: Ranks, settings: Sequence[Setting]) -> str:
    if ranks.columns.tolist() != ranks.languages.tolist():
        return "its columns are not the task's languages, as those of an encoder are"
    pools = [(language,) for language in ranks.languages.tolist()]
    asked = (_sides(ranks) if ranks.has_images else _asked(ranks, settings, pools))[ranks.query_languages]
    whole = ranks.listed == ranks.column_sizes
    if not whole.all() and (not whole[asked].all() or (ranks.listed[~asked] != UNKNOWN).any()):
        return "listed is not the number of documents, as it is for an encoder"
    counted = whole[ranks.row_queries]
    present = ~(ranks.ahead == MISSING).any(axis=1)
    if ((ranks.ahead >= 0) != counted)[present].any() or (ranks.ahead[~present] != MISSING).any():
        return "ahead leaves out what an encoder counts"
    if (ranks.ties < 0).any():
        return "ties leaves out what an encoder counts"
    return _order_fault(ranks, np.flatnonzero(present))


def _asked(ranks: Ranks, settings: Sequence[Setting], pools: Sequence[tuple[str, ...]]) -> NDArray[np.bool_]:
    """Return whether queries of a language are asked against all of a pool, (languages, pools)."""
    languages = ranks.languages.tolist()
    asked = np.zeros((len(languages), len(pools)), dtype=np.bool_)
    for setting in settings:
        row = asked[languages.index(setting.query_language)]
        row |= [set(pool) <= set(setting.document_languages) for pool in pools]
    return asked


def _sides(ranks: Ranks) -> NDArray[np.bool_]:
    """Return whether queries are counted against documents, (languages, languages): images and captions, each other.

    No setting is needed for that.
    """
    is_image = ranks.languages == IMAGE
    sides: NDArray[np.bool_] = is_image[:, None] != is_image
    return sides


def _order_fault(ranks: Ranks, rows: Integers) -> str:
    """Say whether in one list a document stands ahead that does not stand ahead of a later one."""
    # What was not counted was counted for no document of the query.
    ahead = np.maximum(ranks.ahead[rows].astype(np.int64), 0)
    rows = rows[np.lexsort((ahead.sum(axis=1), ranks.row_queries[rows]))]
    same = np.flatnonzero(np.diff(ranks.row_queries[rows]) == 0)
    before, after = rows[same], rows[same + 1]
    more = ranks.ahead[after].astype(np.int64) - ranks.ahead[before]
    own = np.arange(len(same)), ranks.row_languages[before]
    if (more < 0).any() or (more[own] < (ranks.ahead[before][own] >= 0)).any():
        return "ahead follows from no order of documents"
    return ""


def _ranker_fault(ranks: Ranks, settings: Sequence[Setting]) -> str:
    pools = sorted({setting.document_languages for setting in settings}, key=lambda pool: (len(pool), pool))
    if ranks.columns.tolist() != ["+".join(pool) for pool in pools]:
        return "its columns are not the pools of the task's settings, as those of a ranker are"
    languages = ranks.languages.tolist()
    asked = np.zeros((len(languages), len(pools)), dtype=np.bool_)
    for setting in settings:
        asked[languages.index(setting.query_language), pools.index(setting.document_languages)] = True
    inside = np.array([[language in pool for pool in pools] for language in languages], dtype=np.bool_)
    listed = asked[ranks.query_languages]
    if ((ranks.listed >= 0) != listed).any() or (ranks.listed > ranks.column_sizes).any():
        return "listed says of another setting than the task's how long a list was"
    present = ~(ranks.ahead == MISSING).any(axis=1)
    known = listed[ranks.row_queries] & inside[ranks.row_languages]
    if ((ranks.ahead != UNKNOWN) != known)[present].any() or (ranks.ahead[~present] != MISSING).any():
        return "ahead says of another setting than the task's where a document stands"
    if (ranks.ahead >= np.maximum(ranks.listed[ranks.row_queries], 0))[ranks.ahead >= 0].any():
        return "a relevant document stands behind the end of a list"
    whole = (ranks.listed == ranks.column_sizes)[ranks.row_queries]
    if (whole & known & (ranks.ahead < 0))[present].any():
        return "a list of every document lacks a relevant one"
    places = np.where(ranks.ahead >= 0, ranks.listed[ranks.row_queries], 0)
    return "more documents tie than a list holds" if (ranks.ties > np.maximum(places - 1, 0)).any() else ""


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
    depth, filled = ranks.top.shape[1], ranks.top >= 0
    listed, rank = np.zeros(len(ranks.query_topics), dtype=np.int64), np.full(len(ranks.row_queries), UNRETRIEVED)
    for asking, pool in _whole_pools(ranks):
        own = np.isin(ranks.query_languages, [ranks.language_index(language) for language in asking])
        if can_answer(ranks, pool):
            counts = pool_counts(ranks, pool)
            listed = np.where(own, counts.listed, listed)
            rank = np.where(own[ranks.row_queries], counts.rank, rank)
        elif filled[own].any():
            return "top is of a pool that was not asked for"
    length = np.minimum(np.maximum(listed, 0), depth)
    if (filled != (np.arange(depth) < length[:, None])).any():
        return "top is longer or shorter than the lists are"
    ordered = np.sort(ranks.top, axis=1)
    if ((np.diff(ordered, axis=1) == 0) & (ordered[:, 1:] >= 0)).any():
        return "top names a document twice"
    met = ranks.top[ranks.row_queries] == ranks.row_documents[:, None]
    place = np.where(met.any(axis=1), met.argmax(axis=1) + 1, 0)
    if (np.where(rank <= depth, rank, 0) != place).any():
        return "top has a relevant document elsewhere than its counts"
    return _languages_fault(ranks, np.flatnonzero(place > 1), place) if kind == "encoder" else ""


def _whole_pools(ranks: Ranks) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Return what queries may be asked against, by their languages."""
    spoken = ranks.spoken_languages
    return [((IMAGE,), spoken), (spoken, (IMAGE,))] if ranks.has_images else [(spoken, spoken)]


def _languages_fault(ranks: Ranks, rows: Integers, place: Integers) -> str:
    languages = np.where(ranks.top >= 0, ranks.document_languages[ranks.top], -1)
    queries, last = ranks.row_queries[rows], place[rows] - 2
    for index in range(len(ranks.languages)):
        until = np.cumsum(languages == index, axis=1)
        # What was not counted is no document of the pool.
        if (until[queries, last] != np.maximum(ranks.ahead[rows, index], 0)).any():
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
