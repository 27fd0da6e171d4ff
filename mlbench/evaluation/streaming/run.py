"""Ranks a task whose corpora stream by: scanned once, then encoded and counted part by part."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial, reduce
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mlbench import members
from mlbench.collection.languages import Setting
from mlbench.collection.records import Collection, Document
from mlbench.embeddings.encode import Embeddings, embed, texts_of
from mlbench.embeddings.store import vector_key
from mlbench.errors import UserError
from mlbench.evaluation.options import Options, open_engine
from mlbench.evaluation.streaming.corpus import Corpora, CorpusPart, scan_corpora
from mlbench.evaluation.streaming.counts import PartCounts, Question, TopDocuments, ask
from mlbench.evaluation.streaming.resume import WorkFolder
from mlbench.evaluation.streaming.worker import MakeCounter
from mlbench.evaluation.task_data import Clock, RankedTask, TaskData
from mlbench.evaluation.text_checks import count_truncated
from mlbench.io.cache import cache_dir
from mlbench.io.threads import usable_threads
from mlbench.open_model import LoadedModel
from mlbench.protocols import Encoder, Engine
from mlbench.ranking.count_ahead import Targets, Tiling
from mlbench.ranking.index_arrays import CountTable, IndexArrays, index_collection, to_ranks
from mlbench.ranking.rank_documents import lost_counts
from mlbench.ranking.ranks import UNKNOWN
from mlbench.ranking.run_files import ListSink
from mlbench.results import TruncatedTexts
from mlbench.tasks.load import load_shards
from mlbench.tasks.task import Task

Integers = NDArray[np.int64]
_VERSION = 3
"""Of what is saved of counts; another one finds nothing of this one's."""
_VECTOR_BYTES = 4


@dataclass(frozen=True, eq=False)
class StreamCounts:
    """What was asked of each language's documents, and what counting them all gave."""

    question: Question
    counts: Mapping[str, PartCounts]

    def asking_all(self) -> Integers:
        """Return the indexes of the queries that asked for the documents of every language."""
        return reduce(np.intersect1d, [asked.queries for asked in self.question.languages.values()])

    def top(self, languages: tuple[str, ...], queries: Integers) -> TopDocuments:
        """Return the best documents of a pool for `queries`, (queries,) indexes into `IndexArrays`."""
        tops = TopDocuments.empty(len(queries), self.question.depth)
        for language in languages:
            asking = self.question.languages[language].queries
            own = np.isin(queries, asking)
            lines = np.searchsorted(asking, queries[own])
            found = TopDocuments.empty(len(queries), self.question.depth).placed(
                own, self.counts[language].top.lines(lines)
            )
            tops = tops.merge(found)
        return tops


def load_stream(
    model: LoadedModel, task: Task, options: Options, *, languages: Sequence[str] | None, data_dir: Path | None
) -> "StreamedTask":
    """Read the queries of a sharded task, and scan its corpora for the relevant documents.

    Raises `UserError` for whatever the user can put right.
    """
    engine = _open_engine(model, options)
    task, sharded = load_shards(task, languages=languages, data_dir=data_dir, progress=options.progress)
    corpora = scan_corpora(task, sharded, engine, options.cache or cache_dir(), options.progress)
    return StreamedTask.of(
        task, corpora.collection, corpora.sizes, corpora.fingerprints, engine=engine, corpora=corpora
    )


@dataclass(frozen=True)
class StreamedTask(TaskData):
    """A task whose corpora are encoded and counted part by part; memory does not grow with them."""

    engine: Engine
    corpora: Corpora

    def rank(self, model: LoadedModel, files: ListSink | None, options: Options, clock: Clock) -> RankedTask:
        """Encode and count all parts.

        What was done before is found in the cache folder, so a run that was killed goes on at the part where it was.
        """
        stream = _Stream(model, self.task, self.engine, self.corpora, options)
        outcome, embeddings = stream.count(self.arrays, self.settings, 0 if files is None else files.depth)
        clock.lap("stream")
        if files is not None:
            for setting in self.settings:
                files.write(setting, lists_of(self.arrays, outcome, setting))
            clock.lap("save")
        depth = Tiling().depth
        arrays = index_collection(with_tops(self.collection, outcome, depth))
        parts = outcome.counts.values()
        clock.split("stream", _rank_share(list(parts)))
        return RankedTask(
            ranks=to_ranks(arrays, to_table(arrays, outcome, self.corpora.sizes, depth, self.asked_pools(options))),
            texts=embeddings.distinct + sum(counts.texts for counts in parts),
            encoded=embeddings.encoded + sum(counts.encoded for counts in parts),
            tokens=0 if self.engine.workers == 1 else sum(counts.tokens for counts in parts),
            truncated=self._truncated(model, outcome),
        )

    def _truncated(self, model: LoadedModel, outcome: StreamCounts) -> tuple[TruncatedTexts, ...] | None:
        """Return how many texts were cut off: of the queries here, of the documents as workers counted them."""
        texts = texts_of(self.collection)
        rows = count_truncated(model.retriever, {group: texts[group] if group[0] == "query" else () for group in texts})
        return rows and tuple(
            row
            if row.role == "query"
            else row.model_copy(
                update={
                    "n_texts": self.corpora.sizes[row.language],
                    "n_truncated": outcome.counts[row.language].truncated,
                }
            )
            for row in rows
        )


def _open_engine(model: LoadedModel, options: Options) -> Engine:
    engine = open_engine(options.engine, options.resources, options.progress)
    if engine.workers != 1 and model.source is None:
        raise UserError(f"a {model.spec} in memory is measured by one process: save it, and name its folder")
    return engine


@dataclass(frozen=True)
class _Stream:
    """One encoder on the way through all parts of the corpora."""

    model: LoadedModel
    task: Task
    engine: Engine
    corpora: Corpora
    options: Options

    @property
    def _encoder(self) -> Encoder:
        assert members.is_encoder(self.model.retriever)
        return self.model.retriever

    @property
    def _cache(self) -> Path:
        # Workers may have another working folder.
        return (self.options.cache or cache_dir()).absolute()

    @property
    def _threads(self) -> int | None:
        """How many threads a worker counts with: its share, where several work on this machine or elsewhere."""
        if self.options.runtime.threads is not None or self.engine.workers == 1:
            return self.options.runtime.threads
        return max(1, usable_threads() // self.engine.workers) if self.engine.workers else 1

    def count(self, arrays: IndexArrays, settings: Sequence[Setting], listed: int) -> tuple[StreamCounts, Embeddings]:
        """Encode queries and relevant documents, then count all documents against them, and list the best `listed`."""
        if members.reads_languages(self._encoder):
            raise UserError(
                f"{self.model.label} must know the language of each text, which it is not told of a corpus that is "
                "read shard by shard"
            )
        store = self.model.store(self._cache, self.options.progress)
        embeddings = embed(self._encoder, texts_of(arrays.collection), store, self.options.progress)
        depth = max(Tiling().depth, listed)
        # One more in each language, for the document that a query may be itself.
        depth += arrays.most_left_out > 0
        question = ask(arrays, settings, embeddings, self._encoder.similarity, depth)
        return without_itself(arrays, self._count(question, self._keeps())), embeddings

    def _count(self, question: Question, keep: bool) -> StreamCounts:
        key, progress = vector_key(self._encoder, "document"), self.options.progress
        identity = [_VERSION, key, question.fingerprint()]
        folder = WorkFolder(self._cache, f"{self.task.name}-counts", identity, progress)
        counts = {
            language: PartCounts.empty(len(asked.rows), len(asked.queries), question.depth)
            for language, asked in question.languages.items()
        }
        waiting = []
        progress.start("stream", sum(part.n_documents for part in self.corpora.parts))
        for part in self.corpora.parts:
            language = part.shard.language
            done = _load(folder, part, question)
            if done is None:
                waiting.append(part)
            else:
                counts[language] = counts[language].add(done)
                progress.advance(part.n_documents)
        for number, done in self.engine.map(self._maker(question, key, keep), waiting):
            part = waiting[number]
            self._tell_unkept(done, counts)
            counts[part.shard.language] = counts[part.shard.language].add(done)
            folder.save(part.key, done.arrays())
            progress.advance(part.n_documents)
        progress.finish()
        return StreamCounts(question, counts)

    def _maker(self, question: Question, key: str, keep: bool) -> MakeCounter:
        return MakeCounter(
            question=question,
            source=self.model.source,
            key=key,
            threads=self._threads,
            keep=keep,
            cache=self._cache,
            encoder=self._encoder,
        )

    def _keeps(self) -> bool:
        """Say whether vectors are kept; raises `UserError` where they should be and do not fit."""
        needed = sum(self.corpora.sizes.values()) * self._encoder.dim * _VECTOR_BYTES
        folder = next(path for path in (self._cache, *self._cache.parents) if path.exists())
        free = shutil.disk_usage(folder).free
        if self.options.keep_vectors and needed > free:
            raise UserError(
                f"vectors take {needed / 1e6:,.0f} MB and {folder} has {free / 1e6:,.0f} MB free: set MLBENCH_CACHE to "
                "a larger folder, or give --drop-vectors"
            )
        keeps = needed <= free // 2 if self.options.keep_vectors is None else self.options.keep_vectors
        if not keeps and self.options.keep_vectors is None:
            self.options.progress.note(
                f"vectors take {needed / 1e6:,.0f} MB, more than half of what {folder} has free: they are not kept"
            )
        return keeps

    def _tell_unkept(self, done: PartCounts, counts: dict[str, PartCounts]) -> None:
        if done.not_kept and not any(each.not_kept for each in counts.values()):
            self.options.progress.note(
                f"warning: vectors are not kept for later runs: {done.not_kept}; set MLBENCH_CACHE to a usable folder"
            )


def _rank_share(parts: Sequence[PartCounts]) -> float:
    counting, encoding = sum(each.count_seconds for each in parts), sum(each.encode_seconds for each in parts)
    return counting / (counting + encoding) if counting else 0.0


def _load(folder: WorkFolder, part: CorpusPart, question: Question) -> PartCounts | None:
    asked = question.languages[part.shard.language]
    expected = PartCounts.empty(len(asked.rows), len(asked.queries), question.depth)
    return folder.load(part.key, PartCounts.NAMES, partial(PartCounts.of, expected=expected))


def without_itself(arrays: IndexArrays, outcome: StreamCounts) -> StreamCounts:
    """Return the counts as if for each query the documents that it is itself were not there."""
    if not arrays.most_left_out:
        return outcome
    counts = {}
    for language, asked in outcome.question.languages.items():
        found, every = outcome.counts[language], np.flatnonzero(asked.itself >= 0)
        targets = Targets(asked.row_queries, asked.scores, arrays.n_documents - 1 - asked.targets)
        before, same = lost_counts(targets, asked.itself, every, asked.own_scores[every])
        gone = ["" if index < 0 else arrays.document_ids[index] for index in asked.itself]
        counts[language] = replace(
            found, ahead=found.ahead - before, ties=found.ties - same, top=found.top.without(gone)
        )
    return replace(outcome, counts=counts)


def with_tops(collection: Collection, outcome: StreamCounts, depth: int) -> Collection:
    """Return the collection with the best `depth` documents of the pool of all languages added, without their texts.

    They are those of the queries that asked for that pool.
    """
    queries = outcome.asking_all()
    best = set(outcome.top(collection.languages, queries).doc_ids[:, :depth].ravel().tolist())
    documents = {}
    for language in collection.languages:
        there = {document.doc_id for document in collection.documents[language]}
        own = np.unique(outcome.counts[language].top.doc_ids).tolist()
        added = [Document(doc_id, "") for doc_id in own if doc_id and doc_id in best and doc_id not in there]
        documents[language] = (*collection.documents[language], *added)
    return replace(collection, documents=documents)


def to_table(
    arrays: IndexArrays,
    outcome: StreamCounts,
    sizes: Mapping[str, int],
    depth: int,
    pools: Sequence[tuple[str, ...]] | None = None,
) -> CountTable:
    """Return the counts, indexed as in `arrays`, which hold the relevant documents and the best `depth` of queries.

    A column is a language; nothing is known of it for queries that did not ask for it, and the top of all languages is
    known for queries alone that asked for them all. With `pools`, the table is compact.
    """
    languages, n_queries = arrays.collection.languages, len(arrays.query_topics)
    queries, homes = arrays.row_queries[arrays.present], arrays.document_languages[arrays.row_documents[arrays.present]]
    columns = (*((language,) for language in languages), *(pools or ()))
    shape = len(queries), len(columns) if pools is None else 1 + len(pools)
    table = CountTable(
        columns=columns,
        sizes=tuple(sum(sizes[language] for language in column) for column in columns),
        ahead=np.full(shape, UNKNOWN, dtype=np.int32),
        ties=np.zeros(shape, dtype=np.int32),
        listed=np.full((n_queries, len(columns)), UNKNOWN, dtype=np.int32),
        top=np.full((n_queries, depth), -1, dtype=np.int64),
    )
    for column, language in enumerate(languages):
        asked, counts = outcome.question.languages[language], outcome.counts[language]
        table.listed[asked.queries, column] = sizes[language]
        # In a compact table, documents in other languages are counted in pools alone.
        own = slice(None) if pools is None else np.flatnonzero(homes[asked.rows] == column)
        cells = asked.rows[own], column if pools is None else 0
        table.ahead[cells], table.ties[cells] = counts.ahead[own], counts.ties[own]
    for number, pool in enumerate(pools or ()):
        within = [languages.index(language) for language in pool]
        is_asked = table.listed[:, within].min(axis=1) >= 0
        table.listed[is_asked, len(languages) + number] = table.sizes[len(languages) + number]
        rows, ahead, ties = is_asked[queries], np.zeros(len(queries), np.int32), np.zeros(len(queries), np.int32)
        for language in pool:
            asked, counts = outcome.question.languages[language], outcome.counts[language]
            ahead[asked.rows] += counts.ahead
            ties[asked.rows] += counts.ties
        table.ahead[rows, 1 + number], table.ties[rows, 1 + number] = ahead[rows], ties[rows]
    asking = outcome.asking_all()
    positions = {doc_id: position for position, doc_id in enumerate(arrays.document_ids)} | {"": -1}
    for query, line in zip(asking, outcome.top(languages, asking).doc_ids[:, :depth].tolist(), strict=True):
        table.top[query] = [positions[doc_id] for doc_id in line]
    return table


def lists_of(arrays: IndexArrays, outcome: StreamCounts, setting: Setting) -> Iterator[list[str]]:
    """Yield for each query of a setting the ids of its best documents, as many as were asked for."""
    language = arrays.collection.languages.index(setting.query_language)
    queries = np.flatnonzero(arrays.query_languages == language)
    for line in outcome.top(setting.document_languages, queries).doc_ids.tolist():
        yield [doc_id for doc_id in line if doc_id]
