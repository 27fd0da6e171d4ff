"""From a retriever's answers to the counts of every relevant document: vectors are counted, lists are looked up."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from mlbench import members
from mlbench.collection.languages import IMAGE, Setting, whole_pool
from mlbench.embeddings.encode import Embeddings
from mlbench.embeddings.exact import Grid
from mlbench.errors import RetrieverError
from mlbench.protocols import Progress, RankedList, Ranker, Scores, Similarity
from mlbench.ranking.count_ahead import Block, Counts, Integers, Targets, Tiling, count_ahead, exact_scores
from mlbench.ranking.index_arrays import CountTable, IndexArrays
from mlbench.ranking.ranks import UNKNOWN, UNLISTED

Floats = NDArray[np.float64]
LONGEST_LIST = 20_000
"""A ranker is asked for the whole pool up to so many documents."""


def rank_vectors(
    arrays: IndexArrays,
    embeddings: Embeddings,
    similarity: Similarity,
    tiling: Tiling,
    progress: Progress,
    pools: Sequence[Sequence[str]] | None = None,
) -> CountTable:
    """Return the counts that vectors give, one column for each language.

    With `pools`, the languages of each, the table is compact, and the pools are columns behind the languages. Images
    are counted against captions and captions against images, nothing else; they have an alignment where vectors are
    compared by their cosine.
    """
    languages = arrays.collection.languages
    queries, documents, order = _put_on_grid(arrays, embeddings, similarity)
    blocks = _blocks(arrays, documents, order)
    rows, relevant = arrays.present_rows
    targets = Targets(query=rows, scores=None, positions=relevant, left_out=arrays.own_documents)
    indexes = None if pools is None else [[languages.index(language) for language in pool] for pool in pools]
    sizes = [len(block.positions) for block in blocks]
    sizes += [sum(sizes[index] for index in pool) for pool in indexes or ()]
    count = partial(count_ahead, tiling=tiling, advance=progress.advance)
    progress.start("rank", len(queries))
    if IMAGE in languages:
        counts, seen = _count_sides(arrays, queries, targets, blocks, indexes, count)
        listed = np.where(seen, np.array(sizes, dtype=np.int32), np.int32(UNKNOWN))
    else:
        counts = count(queries, targets, blocks, pools=indexes)
        listed = np.broadcast_to(np.array(sizes, dtype=np.int32), (len(queries), len(sizes)))
    progress.finish()
    aligned = IMAGE in languages and similarity == "cosine"
    return CountTable(
        columns=(*((language,) for language in languages), *(tuple(pool) for pool in pools or ())),
        sizes=tuple(sizes),
        ahead=counts.ahead,
        ties=counts.ties,
        listed=listed,
        top=counts.top,
        alignment=_align(arrays, targets, queries, documents, np.argsort(order)) if aligned else None,
    )


def _count_sides(
    arrays: IndexArrays,
    queries: Grid,
    targets: Targets,
    blocks: Sequence[Block],
    pools: Sequence[Sequence[int]] | None,
    count: Callable[..., Counts],
) -> tuple[Counts, NDArray[np.bool_]]:
    """Count images against captions and captions against images; return the counts, and which columns queries saw.

    The second is bool (queries, columns), pools included; `ahead` is `UNKNOWN` where nothing was counted.
    """
    assert targets.left_out is not None
    image = arrays.collection.languages.index(IMAGE)
    is_image = arrays.query_languages == image
    width = len(blocks) if pools is None else 1 + len(pools)
    counts = Counts(
        ahead=np.full((len(targets.query), width), UNKNOWN, dtype=np.int32),
        ties=np.zeros((len(targets.query), width), dtype=np.int32),
        top=np.full((len(queries), 0), -1, dtype=np.int64),
    )
    seen = np.zeros((len(queries), len(blocks) + len(pools or ())), dtype=np.bool_)
    captions = np.flatnonzero(np.arange(len(blocks)) != image)
    sides, tops = (np.flatnonzero(is_image), np.flatnonzero(~is_image)), []
    for asked, columns in zip(sides, (captions, np.array([image])), strict=True):
        rows = np.flatnonzero(np.isin(targets.query, asked))
        own = Targets(
            np.searchsorted(asked, targets.query[rows]), None, targets.positions[rows], targets.left_out[asked]
        )
        inside = [number for number, pool in enumerate(pools or ()) if set(pool) <= set(columns.tolist())]
        chosen = None if pools is None else [np.searchsorted(columns, pools[number]).tolist() for number in inside]
        part = count(queries.take(asked), own, [blocks[int(column)] for column in columns], pools=chosen)
        filled = columns if pools is None else np.array([0, *(1 + number for number in inside)])
        counts.ahead[np.ix_(rows, filled)], counts.ties[np.ix_(rows, filled)] = part.ahead, part.ties
        seen[np.ix_(asked, np.append(columns, [len(blocks) + number for number in inside]).astype(np.int64))] = True
        tops.append(part.top)
    return replace(counts, top=np.concatenate(tops)[np.argsort(np.concatenate(sides))]), seen


def _align(
    arrays: IndexArrays, targets: Targets, queries: Grid, documents: Grid, places: Integers
) -> NDArray[np.float32]:
    """Return float32 (present rows, 2): the cosine of image and caption, and that of the caption and the closest one.

    The closest is another caption of the same image in another language. NaN where there is none, and in the rows of
    queries that are captions: a caption is as close to its image as the image to it. `places` (documents,) are the rows
    of `documents`.
    """
    image = arrays.collection.languages.index(IMAGE)
    found = np.full((len(targets.query), 2), np.nan, dtype=np.float32)
    asked = np.flatnonzero(arrays.query_languages[targets.query] == image)
    found[asked, 0] = exact_scores(queries, targets.query[asked], documents, places[targets.positions[asked]])
    language = arrays.document_languages[targets.positions]
    for rows in np.split(asked, np.flatnonzero(np.diff(targets.query[asked])) + 1):
        captions = documents[places[targets.positions[rows]]]
        cosines = captions @ captions.T
        cosines[language[rows][:, None] == language[rows]] = -np.inf
        best = cosines.max(axis=1, initial=-np.inf)
        found[rows, 1] = np.where(np.isneginf(best), np.nan, best)
    return found


def grid_vectors(arrays: IndexArrays, embeddings: Embeddings, similarity: Similarity) -> tuple[Grid, list[Block]]:
    """Return the vectors of all queries on the grid, in the order of `arrays`, and the documents of each language."""
    queries, documents, order = _put_on_grid(arrays, embeddings, similarity)
    return queries, _blocks(arrays, documents, order)


def _put_on_grid(arrays: IndexArrays, embeddings: Embeddings, similarity: Similarity) -> tuple[Grid, Grid, Integers]:
    """Return queries in the order of `arrays`, documents language by language, and the latter's indexes."""
    languages = arrays.collection.languages
    order = np.argsort(arrays.document_languages[: arrays.n_documents], kind="stable")
    sources = np.split(arrays.document_sources[order], np.cumsum(_sizes(arrays))[:-1])
    queries = [embeddings.held("query", language) for language in languages]
    documents = [embeddings.held("document", language) for language in languages]
    chosen = [(matrix, rows[own]) for (matrix, rows), own in zip(documents, sources, strict=True)]
    return Grid.gathered(queries, similarity), Grid.gathered(chosen, similarity), order


def _blocks(arrays: IndexArrays, documents: Grid, order: Integers) -> list[Block]:
    edges = np.cumsum([0, *_sizes(arrays)])
    spans = [slice(first, end) for first, end in pairwise(edges.tolist())]
    return [Block(documents.take(span), order[span]) for span in spans]


def _sizes(arrays: IndexArrays) -> Integers:
    """Return the numbers of documents in each language."""
    homes = arrays.document_languages[: arrays.n_documents]
    return np.bincount(homes, minlength=len(arrays.collection.languages))


def lost_counts(
    targets: Targets, itself: Integers, every: NDArray[np.int64], scores: Floats
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Say for each target whether the document that its query is itself stands before it, and whether the two tie.

    `itself` is (queries,), positions of documents; `every` are the queries that are documents, and `scores`
    theirs with themselves.
    """
    score = np.full(len(itself), -np.inf)
    score[every] = scores
    there, score = itself[targets.query] >= 0, score[targets.query]
    same = there & (score == targets.scores)
    return there & ((score > targets.scores) | (same & (itself[targets.query] < targets.positions))), same


def rank_lists(
    arrays: IndexArrays,
    ranker: Ranker,
    settings: Sequence[Setting],
    depth: int,
    progress: Progress,
    *,
    compact: bool = False,
) -> CountTable:
    """Return the counts that a ranker's lists give, one column for each pool that a setting asks for.

    A `compact` table has counts in the columns of compact `Ranks`. Ties are `UNKNOWN` where the ranker hands over no
    scores, and where a document may tie with one beyond the end of its list. Raises `RetrieverError` for a list that
    names a document twice, or one that is not in the pool, and for scores that rise along a list.
    """
    collection = arrays.collection
    columns = tuple(sorted({setting.document_languages for setting in settings}, key=lambda pool: (len(pool), pool)))
    present = int(arrays.present.sum())
    pools = sum(len(column) > 1 for column in columns)
    shape = present, 1 + pools if compact else len(columns)
    table = CountTable(
        columns=columns,
        sizes=tuple(sum(len(collection.documents[language]) for language in column) for column in columns),
        ahead=np.full(shape, UNKNOWN, dtype=np.int32),
        ties=np.full(shape, UNKNOWN, dtype=np.int32),
        listed=np.full((len(arrays.query_topics), len(columns)), UNKNOWN, dtype=np.int32),
        top=np.full((len(arrays.query_topics), depth), -1, dtype=np.int64),
    )
    look_up = _ListCounts(arrays, table)
    progress.start("search", len(settings))
    for setting in settings:
        pool = [document for language in setting.document_languages for document in collection.documents[language]]
        queries = collection.queries[setting.query_language]
        lists = members.search_scored(ranker, setting, queries, pool, min(len(pool), LONGEST_LIST))
        if len(lists) != len(queries):
            raise RetrieverError(f"the ranker gave {len(lists)} lists for {len(queries)} queries in {_name(setting)}")
        look_up.add(setting, lists)
        progress.advance(1)
    progress.finish()
    return table


class _ListCounts:
    """Fills a table with what the lists of each setting say."""

    def __init__(self, arrays: IndexArrays, table: CountTable) -> None:
        self._arrays, self._table = arrays, table
        self._positions = {doc_id: index for index, doc_id in enumerate(arrays.document_ids[: arrays.n_documents])}
        self._column = {pool: column for column, pool in enumerate(table.columns)}
        # In compact tables, single languages share the first column of counts.
        singles = sum(len(pool) == 1 for pool in table.columns)
        self._shift = 0 if table.ahead.shape[1] == len(table.columns) else singles - 1
        present = arrays.present
        self._row_queries, self._row_documents = arrays.row_queries[present], arrays.row_documents[present]

    def add(self, setting: Setting, lists: Sequence[RankedList]) -> None:
        """Take up the lists of a setting, one for each query; raises `RetrieverError` for what cannot be one."""
        arrays, table, collection = self._arrays, self._table, self._arrays.collection
        column = self._column[setting.document_languages]
        counts = max(0, column - self._shift)
        language = collection.languages.index(setting.query_language)
        first, end = np.searchsorted(arrays.query_languages, (language, language + 1)).tolist()
        edges = np.searchsorted(self._row_queries, np.arange(first, end + 1))
        in_pool = np.isin(
            np.arange(len(collection.languages)), list(map(collection.languages.index, setting.document_languages))
        )
        inside = in_pool[arrays.document_languages]
        whole = setting.document_languages == whole_pool(setting.query_language, collection.languages)
        place = np.full(arrays.n_documents, UNLISTED, dtype=np.int32)
        for query, listed, start, stop in zip(range(first, end), lists, edges[:-1], edges[1:], strict=True):
            scores = _scores(listed, setting)
            found = self._indexes(listed.doc_ids, inside, place, setting)
            cut = len(found) < table.sizes[column]
            if arrays.most_left_out:
                kept = ~np.isin(found, arrays.own_documents[query])
                found, scores = found[kept], None if scores is None else scores[kept]
            place[found] = np.arange(len(found))
            rows = start + np.flatnonzero(inside[self._row_documents[start:stop]])
            ahead = place[self._row_documents[rows]]
            place[found] = UNLISTED
            table.ahead[rows, counts] = ahead
            table.listed[query, column] = len(found)
            if scores is not None:
                table.ties[rows[ahead >= 0], counts] = _count_ties(scores, ahead[ahead >= 0], cut=cut)
            if whole:
                top = found[: table.top.shape[1]]
                table.top[query, : len(top)] = top

    def _indexes(
        self, found: Sequence[str], inside: NDArray[np.bool_], place: NDArray[np.int32], setting: Setting
    ) -> NDArray[np.int64]:
        """Return the indexes of a list; `place` has room for a number for each document, and is left as it was."""
        indexes = np.fromiter((self._positions.get(doc_id, -1) for doc_id in found), np.int64, len(found))
        wrong = np.flatnonzero((indexes < 0) | ~inside[indexes])
        if len(wrong):
            name = found[wrong[0]]
            raise RetrieverError(f"the ranker listed {name!r} in {_name(setting)}, which is not in that pool")
        place[indexes] = np.arange(len(indexes))
        # Sorting them, as np.unique does, would take longer than all else here.
        if (place[indexes] != np.arange(len(indexes))).any():
            raise RetrieverError(f"the ranker listed a document twice in {_name(setting)}")
        place[indexes] = UNLISTED
        return indexes


def _scores(found: RankedList, setting: Setting) -> Scores | None:
    """Return the scores of a list, None where there are none; raises `RetrieverError` for what cannot be theirs."""
    if found.scores is None:
        return None
    # A plugin may return anything, whatever its annotations say.
    given = np.asarray(found.scores)
    fit = given.shape == (len(found.doc_ids),) and given.dtype.kind in "fiu"
    scores: Scores | None = given.astype(np.float64, copy=False) if fit else None
    if scores is None or np.isnan(scores).any():
        raise RetrieverError(f"the ranker gave a list in {_name(setting)} whose documents have not one score each")
    if (scores[1:] > scores[:-1]).any():
        raise RetrieverError(f"the ranker gave a list in {_name(setting)} whose scores rise")
    return scores


def _count_ties(scores: Scores, places: NDArray[np.int32], *, cut: bool) -> NDArray[np.int64]:
    """Return for documents at `places` of a list how many others have the same score; `cut`: it ends too early.

    The last document of such a list may tie with one beyond its end: where it ties with none before, that is `UNKNOWN`.
    """
    falling = -scores
    first = np.searchsorted(falling, falling[places], side="left")
    ties = np.searchsorted(falling, falling[places], side="right") - first - 1
    return np.where(cut & (ties == 0) & (places == len(scores) - 1), UNKNOWN, ties)


def _name(setting: Setting) -> str:
    return f"{setting.query_language} against {'+'.join(setting.document_languages)}"
