"""From a retriever's answers to the counts of every relevant document: vectors are counted, lists are looked up."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mlbench import members
from mlbench.collection.languages import IMAGE, Setting, whole_pool
from mlbench.embeddings.encode import Embeddings
from mlbench.embeddings.exact import to_grid
from mlbench.errors import RetrieverError
from mlbench.protocols import Progress, RankedList, Ranker, Scores, Similarity
from mlbench.ranking.count_ahead import Block, Counts, Integers, Targets, Tiling, count_ahead, exact_scores
from mlbench.ranking.index_arrays import CountTable, IndexArrays
from mlbench.ranking.ranks import UNKNOWN, UNLISTED

Floats = NDArray[np.float64]
LONGEST_LIST = 20_000
"""A ranker is asked for the whole pool up to so many documents."""


def rank_vectors(
    arrays: IndexArrays, embeddings: Embeddings, similarity: Similarity, tiling: Tiling, progress: Progress
) -> CountTable:
    """Return the counts that vectors give, one column for each language.

    Images are counted against captions and captions against images, nothing else; they have an alignment where vectors
    are compared by their cosine.
    """
    collection = arrays.collection
    queries, documents = grid_vectors(arrays, embeddings, similarity)
    query, document = arrays.row_queries[arrays.present], arrays.row_documents[arrays.present]
    targets = Targets(query, exact_scores(queries, query, documents, document), document)
    positions = [arrays.corpus(index) for index in range(len(collection.languages))]
    depth = tiling.depth
    tiling = replace(tiling, depth=depth + arrays.most_left_out)
    blocks = [Block(documents[own], own) for own in positions]
    has_images = IMAGE in collection.languages
    progress.start("rank", len(queries))
    if has_images:
        counts, listed = _count_sides(arrays, queries, targets, blocks, tiling=tiling, advance=progress.advance)
    else:
        counts = count_ahead(queries, targets, blocks, tiling=tiling, advance=progress.advance)
        listed = np.tile(np.array([len(own) for own in positions], dtype=np.int32), (len(queries), 1))
    progress.finish()
    if tiling.depth > depth:
        counts = _without_itself(arrays, counts, targets, queries, documents, depth)
    return CountTable(
        columns=tuple((language,) for language in collection.languages),
        sizes=tuple(len(own) for own in positions),
        ahead=counts.ahead,
        ties=counts.ties,
        listed=listed,
        top=counts.top,
        alignment=_align(arrays, targets, documents)
        if IMAGE in collection.languages and similarity == "cosine"
        else None,
    )


def _count_sides(
    arrays: IndexArrays,
    queries: Floats,
    targets: Targets,
    blocks: Sequence[Block],
    *,
    tiling: Tiling,
    advance: Callable[[int], None],
) -> tuple[Counts, NDArray[np.int32]]:
    """Count images against captions and captions against images; return the counts, and how many documents were seen.

    The second is int32 (queries, columns); it and `ahead` are `UNKNOWN` where nothing was counted.
    """
    image = arrays.collection.languages.index(IMAGE)
    is_image = arrays.query_languages == image
    counts = Counts(
        ahead=np.full((len(targets.query), len(blocks)), UNKNOWN, dtype=np.int32),
        ties=np.zeros((len(targets.query), len(blocks)), dtype=np.int32),
        top=np.full((len(queries), tiling.depth), -1, dtype=np.int64),
    )
    listed = np.full((len(queries), len(blocks)), UNKNOWN, dtype=np.int32)
    captions = np.flatnonzero(np.arange(len(blocks)) != image)
    for asked, columns in ((np.flatnonzero(is_image), captions), (np.flatnonzero(~is_image), np.array([image]))):
        rows = np.flatnonzero(np.isin(targets.query, asked))
        own = Targets(np.searchsorted(asked, targets.query[rows]), targets.scores[rows], targets.positions[rows])
        seen = [blocks[int(column)] for column in columns]
        part = count_ahead(queries[asked], own, seen, tiling=tiling, advance=advance)
        counts.ahead[np.ix_(rows, columns)], counts.ties[np.ix_(rows, columns)] = part.ahead, part.ties
        counts.top[asked] = part.top
        listed[np.ix_(asked, columns)] = [len(block.positions) for block in seen]
    return counts, listed


def _align(arrays: IndexArrays, targets: Targets, documents: Floats) -> NDArray[np.float32]:
    """Return float32 (present rows, 2): the cosine of image and caption, and that of the caption and the closest one.

    The closest is another caption of the same image in another language. NaN where there is none, and in the rows of
    queries that are captions: a caption is as close to its image as the image to it.
    """
    image = arrays.collection.languages.index(IMAGE)
    found = np.full((len(targets.query), 2), np.nan, dtype=np.float32)
    asked = np.flatnonzero(arrays.query_languages[targets.query] == image)
    found[asked, 0] = targets.scores[asked]
    language = arrays.document_languages[targets.positions]
    for rows in np.split(asked, np.flatnonzero(np.diff(targets.query[asked])) + 1):
        captions = documents[targets.positions[rows]]
        cosines = captions @ captions.T
        cosines[language[rows][:, None] == language[rows]] = -np.inf
        best = cosines.max(axis=1, initial=-np.inf)
        found[rows, 1] = np.where(np.isneginf(best), np.nan, best)
    return found


def grid_vectors(arrays: IndexArrays, embeddings: Embeddings, similarity: Similarity) -> tuple[Floats, Floats]:
    """Return the grid vectors of all queries and of all documents, (n, dim) each, in the order of `arrays`."""
    languages = arrays.collection.languages
    queries = np.concatenate([to_grid(embeddings.vectors("query", language), similarity) for language in languages])
    documents = np.empty((arrays.n_documents, queries.shape[1]))
    for index, language in enumerate(languages):
        own = arrays.corpus(index)
        corpus = to_grid(embeddings.vectors("document", language), similarity)
        documents[own] = corpus[arrays.document_sources[own]]
    return queries, documents


def _without_itself(
    arrays: IndexArrays, counts: Counts, targets: Targets, queries: Floats, documents: Floats, depth: int
) -> Counts:
    """Return the counts, and a top of `depth`, as if for each query the documents that it is itself were not there."""
    ahead, ties, gone = counts.ahead.copy(), counts.ties.copy(), np.zeros(counts.top.shape, dtype=np.bool_)
    rows = np.arange(len(ahead))
    for itself in arrays.own_documents.T:
        every = np.flatnonzero(itself >= 0)
        before, same = lost_counts(targets, itself, every, exact_scores(queries, every, documents, itself[every]))
        # Where a query is no document, nothing is taken from the column of the last language.
        columns = arrays.document_languages[itself][targets.query]
        ahead[rows, columns] -= before
        ties[rows, columns] -= same
        gone[every] |= counts.top[every] == itself[every, None]
    kept = np.argsort(gone, axis=1, kind="stable")[:, :depth]
    return Counts(ahead, ties, np.take_along_axis(counts.top, kept, axis=1))


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
    arrays: IndexArrays, ranker: Ranker, settings: Sequence[Setting], depth: int, progress: Progress
) -> CountTable:
    """Return the counts that a ranker's lists give, one column for each pool that a setting asks for.

    Ties are `UNKNOWN` where the ranker hands over no scores, and where a document may tie with one beyond the end of
    its list. Raises `RetrieverError` for a list that names a document twice, or one that is not in the pool, and for
    scores that rise along a list.
    """
    collection = arrays.collection
    columns = tuple(sorted({setting.document_languages for setting in settings}, key=lambda pool: (len(pool), pool)))
    present = int(arrays.present.sum())
    table = CountTable(
        columns=columns,
        sizes=tuple(sum(len(collection.documents[language]) for language in column) for column in columns),
        ahead=np.full((present, len(columns)), UNKNOWN, dtype=np.int32),
        ties=np.full((present, len(columns)), UNKNOWN, dtype=np.int32),
        listed=np.full((len(arrays.query_topics), len(columns)), UNKNOWN, dtype=np.int32),
        top=np.full((len(arrays.query_topics), depth), -1, dtype=np.int64),
    )
    positions = {doc_id: index for index, doc_id in enumerate(arrays.document_ids[: arrays.n_documents])}
    progress.start("search", len(settings))
    for setting in settings:
        pool = [document for language in setting.document_languages for document in collection.documents[language]]
        queries = collection.queries[setting.query_language]
        lists = members.search_scored(ranker, setting, queries, pool, min(len(pool), LONGEST_LIST))
        if len(lists) != len(queries):
            raise RetrieverError(f"the ranker gave {len(lists)} lists for {len(queries)} queries in {_name(setting)}")
        inside = np.isin(arrays.document_languages, [collection.languages.index(a) for a in setting.document_languages])
        scores = [_scores(each, setting) for each in lists]
        _fill(table, arrays, setting, [_indexes(found, positions, inside, setting) for found, _ in lists], scores)
        progress.advance(1)
    progress.finish()
    return table


def _indexes(
    found: Sequence[str], positions: dict[str, int], inside: NDArray[np.bool_], setting: Setting
) -> NDArray[np.int64]:
    indexes = np.array([positions.get(doc_id, -1) for doc_id in found], dtype=np.int64)
    wrong = np.flatnonzero((indexes < 0) | ~inside[indexes])
    if len(wrong):
        raise RetrieverError(f"the ranker listed {found[wrong[0]]!r} in {_name(setting)}, which is not in that pool")
    listed = np.zeros(len(inside), dtype=np.bool_)
    listed[indexes] = True
    # Sorting them, as np.unique does, would take longer than all else here.
    if np.count_nonzero(listed) < len(indexes):
        raise RetrieverError(f"the ranker listed a document twice in {_name(setting)}")
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


def _fill(
    table: CountTable,
    arrays: IndexArrays,
    setting: Setting,
    lists: Sequence[NDArray[np.int64]],
    scores: Sequence[Scores | None],
) -> None:
    column = table.columns.index(setting.document_languages)
    language = arrays.collection.languages.index(setting.query_language)
    asked = np.flatnonzero(arrays.query_languages == language)
    row_queries, row_documents = arrays.row_queries[arrays.present], arrays.row_documents[arrays.present]
    pool = [arrays.collection.languages.index(name) for name in setting.document_languages]
    inside = np.isin(arrays.document_languages[row_documents], pool)
    edges = np.searchsorted(row_queries, np.append(asked, asked[-1:] + 1))
    whole = setting.document_languages == whole_pool(setting.query_language, arrays.collection.languages)
    itself, queries_leave = arrays.own_documents, arrays.most_left_out > 0
    for number, (query, whole_list, its_scores) in enumerate(zip(asked, lists, scores, strict=True)):
        kept = ~np.isin(whole_list, itself[query]) if queries_leave else np.ones(len(whole_list), dtype=np.bool_)
        found = whole_list[kept]
        position = np.full(arrays.n_documents, UNLISTED, dtype=np.int32)
        position[found] = np.arange(len(found))
        rows = np.arange(edges[number], edges[number + 1])
        rows = rows[inside[rows]]
        table.ahead[rows, column] = position[row_documents[rows]]
        table.listed[query, column] = len(found)
        if its_scores is not None:
            ahead = table.ahead[rows, column]
            listed = ahead >= 0
            cut = len(whole_list) < table.sizes[column]
            table.ties[rows[listed], column] = _count_ties(its_scores[kept], ahead[listed], cut=cut)
        if whole:
            top = found[: table.top.shape[1]]
            table.top[query, : len(top)] = top


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
