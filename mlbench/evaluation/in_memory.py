"""Evaluation in memory: all texts of a task are encoded together, or given to a ranker, and ranked at once."""

from collections.abc import Sequence
from pathlib import Path

from mlbench import members
from mlbench.embeddings.commitment import Commitment
from mlbench.embeddings.encode import embed, texts_of
from mlbench.errors import RetrieverError
from mlbench.evaluation.options import Options
from mlbench.evaluation.task_data import Clock, RankedTask, TaskData
from mlbench.evaluation.text_checks import count_truncated
from mlbench.io.cache import cache_dir
from mlbench.open_model import LoadedModel
from mlbench.protocols import Encoder, Ranker
from mlbench.ranking.count_ahead import Tiling
from mlbench.ranking.index_arrays import to_ranks
from mlbench.ranking.rank_documents import grid_vectors, rank_lists, rank_vectors
from mlbench.ranking.run_files import ListSink, RecordingRanker, save_rankings
from mlbench.tasks.load import load_collection
from mlbench.tasks.task import Task


def check_images(model: LoadedModel, task: Task) -> None:
    """Raise `RetrieverError` where a task of images is asked of a retriever that reads none."""
    if task.kind == "image_text" and not members.reads_images(model.retriever):
        raise RetrieverError(
            f"{model.label} reads no images, which {task.name} asks for: give a model of images and texts, as in "
            "image_text:FOLDER"
        )


def load_in_memory(
    model: LoadedModel, task: Task, options: Options, *, languages: Sequence[str] | None, data_dir: Path | None
) -> "InMemoryTask":
    """Read a task into memory; raises `UserError` for whatever the user can put right."""
    check_images(model, task)
    collection = load_collection(
        task, languages=languages, limit=options.limit, data_dir=data_dir, progress=options.progress
    )
    sizes = {language: len(documents) for language, documents in collection.documents.items()}
    return InMemoryTask.of(task, collection, sizes, collection.fingerprints())


class InMemoryTask(TaskData):
    """A task whose texts are all in memory."""

    def rank(self, model: LoadedModel, files: ListSink | None, options: Options, clock: Clock) -> RankedTask:
        """Encode and count, or ask a ranker, in this process."""
        if members.is_encoder(model.retriever):
            return self._rank_vectors(model, model.retriever, files, options, clock)
        return self._rank_lists(model.retriever, files, options, clock)

    def _rank_vectors(
        self, model: LoadedModel, encoder: Encoder, files: ListSink | None, options: Options, clock: Clock
    ) -> RankedTask:
        store = model.store(options.cache or cache_dir(), options.progress)
        texts = texts_of(self.collection)
        embeddings = embed(encoder, texts, store, options.progress)
        truncated = count_truncated(encoder, texts)
        commitment = Commitment.of(self.collection, embeddings) if options.commit_vectors else None
        clock.lap("encode")
        tiling = Tiling(threads=options.runtime.threads, device=members.counting_device(encoder))
        counts = rank_vectors(
            self.arrays, embeddings, encoder.similarity, tiling, options.progress, self.asked_pools(options)
        )
        clock.lap("rank")
        if files is not None:
            save_rankings(
                files,
                *grid_vectors(self.arrays, embeddings, encoder.similarity),
                threads=tiling.threads,
                progress=options.progress,
            )
            clock.lap("save")
        has_images = self.task.kind == "image_text"
        return RankedTask(
            ranks=to_ranks(self.arrays, counts),
            texts=embeddings.distinct,
            encoded=embeddings.encoded,
            images=embeddings.images if has_images else None,
            encoded_images=embeddings.encoded_images if has_images else None,
            truncated=truncated,
            commitment=commitment,
        )

    def _rank_lists(self, ranker: Ranker, files: ListSink | None, options: Options, clock: Clock) -> RankedTask:
        texts = texts_of(self.collection)
        if members.prepare(ranker, texts, options.cache or cache_dir(), options.progress):
            clock.lap("encode")
        asked = ranker if files is None else RecordingRanker(ranker, files)
        compact = self.is_compact(options, len({setting.document_languages for setting in self.settings}))
        counts = rank_lists(self.arrays, asked, self.settings, Tiling().depth, options.progress, compact=compact)
        return RankedTask(ranks=to_ranks(self.arrays, counts), truncated=count_truncated(ranker, texts))
