"""A task whose corpora stream by: scanned once, then encoded and counted part by part, by workers here or elsewhere."""

import os
import shutil
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from mlbench.counted import Clock, Counted, askable, texts_of
from mlbench.data import load_shards
from mlbench.embeddings import Embeddings, embed
from mlbench.errors import DataError, UserError
from mlbench.exports import RunFiles
from mlbench.files import cache_dir
from mlbench.languages import Setting
from mlbench.layout import Layout, lay_out, to_ranks
from mlbench.opened import Opened
from mlbench.options import Options
from mlbench.protocols import Encoder
from mlbench.ranking import Tiling
from mlbench.streaming.corpus import Corpora, scan_corpora
from mlbench.streaming.counting import MakeCounter
from mlbench.streaming.counts import PartCounts
from mlbench.streaming.engine import open_engine
from mlbench.streaming.outcome import Outcome, lists_of, to_table, with_tops
from mlbench.streaming.parts import Part
from mlbench.streaming.question import Question, Scale, ask, scale_of
from mlbench.streaming.work_folder import Arrays, WorkFolder
from mlbench.tasks import Task
from mlbench.workers import Engine

_VERSION = 1
"""Of what is saved of counts; another one finds nothing of this one's."""
_VECTOR_BYTES = 4


def count_stream(
    model: Opened, task: Task, options: Options, clock: Clock, *, languages: Sequence[str] | None, data_dir: Path | None
) -> Counted:
    """Count a sharded task with an encoder; memory does not grow with the corpora.

    What was done before is found in the cache folder, so a run that was killed goes on at the part where it was. Raises
    `UserError` for whatever the user can put right.
    """
    engine = _open_engine(model, options)
    task, sharded = load_shards(task, languages=languages, data_dir=data_dir, progress=options.progress)
    corpora = scan_corpora(task, sharded, engine, options.cache or cache_dir(), options.progress)
    settings = askable(task, corpora.collection, corpora.sizes)
    layout = lay_out(corpora.collection)
    if not len(layout.row_queries):
        raise DataError(f"{task.name}: no query has a relevant document: check its judgments")
    clock.lap("read")
    stream = _Stream(model, task, engine, corpora, options)
    wanted = options.save_run
    with nullcontext() if wanted is None else RunFiles(wanted, layout, settings) as files:
        outcome, embeddings = stream.count(layout, settings)
        clock.lap("stream")
        if files is not None:
            for setting in settings:
                files.write(setting, lists_of(layout, outcome, setting))
            clock.lap("save")
    depth = Tiling().depth
    found = lay_out(with_tops(corpora.collection, outcome, depth))
    ranks = to_ranks(found, to_table(found, outcome, corpora.sizes, depth))
    clock.lap("rank")
    parts = outcome.counts.values()
    clock.split("stream", _rank_share(list(parts)))
    return Counted(
        ranks=ranks,
        settings=settings,
        languages=corpora.collection.languages,
        fingerprints=corpora.fingerprints,
        texts=embeddings.distinct + sum(counts.texts for counts in parts),
        encoded=embeddings.encoded + sum(counts.encoded for counts in parts),
        tokens=0 if engine.workers == 1 else sum(counts.tokens for counts in parts),
    )


def _open_engine(model: Opened, options: Options) -> Engine:
    engine = open_engine(options.engine, options.resources, options.progress)
    if engine.workers != 1 and model.source is None:
        raise UserError(f"a {model.spec} in memory is measured by one process: save it, and name its folder")
    return engine


@dataclass(frozen=True)
class _Stream:
    """One encoder on the way through all parts of the corpora."""

    model: Opened
    task: Task
    engine: Engine
    corpora: Corpora
    options: Options

    @property
    def _encoder(self) -> Encoder:
        assert isinstance(self.model.retriever, Encoder)
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
        return max(1, (os.cpu_count() or 1) // self.engine.workers) if self.engine.workers else 1

    def count(self, layout: Layout, settings: Sequence[Setting]) -> tuple[Outcome, Embeddings]:
        """Encode queries and relevant documents, then count all documents against them."""
        store = self.model.store(self._cache, self.options.progress)
        embeddings = embed(self._encoder, texts_of(layout.collection), store, self.options.progress)
        for_queries, for_documents = scale_of(self._encoder, embeddings)
        depth = max(Tiling().depth, 0 if self.options.save_run is None else self.options.save_run.depth)
        keep = self._keeps()
        while True:
            question = ask(layout, settings, embeddings, (for_queries, for_documents), depth)
            outcome = self._count(question, keep)
            largest = max(counts.largest_norm for counts in outcome.counts.values())
            if for_documents.holds(largest):
                return outcome, embeddings
            self.options.progress.note(f"a document is longer (norm {largest:.3g}) than the scale allows: counted anew")
            for_documents = Scale.of(for_documents.similarity, largest)

    def _count(self, question: Question, keep: bool) -> Outcome:
        fingerprint, progress = self._encoder.fingerprint("document"), self.options.progress
        identity = [_VERSION, fingerprint, question.fingerprint()]
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
        for number, done in self.engine.map(self._maker(question, fingerprint, keep), waiting):
            part = waiting[number]
            self._tell_unkept(done, counts)
            counts[part.shard.language] = counts[part.shard.language].add(done)
            folder.save(part.key, done.arrays())
            progress.advance(part.n_documents)
        progress.finish()
        return Outcome(question, counts)

    def _maker(self, question: Question, fingerprint: str, keep: bool) -> MakeCounter:
        return MakeCounter(
            question=question,
            source=self.model.source,
            fingerprint=fingerprint,
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


def _load(folder: WorkFolder, part: Part, question: Question) -> PartCounts | None:
    asked = question.languages[part.shard.language]

    def make(arrays: Arrays) -> PartCounts:
        return PartCounts.of(arrays, PartCounts.empty(len(asked.rows), len(asked.queries), question.depth))

    return folder.load(part.key, PartCounts.NAMES, make)
