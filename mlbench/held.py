"""A task that is held in memory: its texts are encoded together, or given to a ranker, and counted at once."""

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from mlbench.counted import Clock, Counted, askable, texts_of
from mlbench.data import load_collection
from mlbench.embeddings import Embeddings, embed
from mlbench.errors import DataError, RetrieverError
from mlbench.exports import Recorded, RunFiles, save_rankings
from mlbench.files import cache_dir
from mlbench.languages import IMAGE, Setting
from mlbench.layout import Layout, PoolTable, lay_out, to_ranks
from mlbench.opened import Opened
from mlbench.options import Options
from mlbench.protocols import Encoder, Seeing
from mlbench.ranking import Tiling
from mlbench.systems.parts import Preparable
from mlbench.tables import count_vectors, grid_vectors, look_up_lists
from mlbench.tasks import Task


def count_held(
    model: Opened, task: Task, options: Options, clock: Clock, *, languages: Sequence[str] | None, data_dir: Path | None
) -> Counted:
    """Count a task with an encoder or a ranker; raises `UserError` for whatever the user can put right."""
    if task.kind == "image_text" and not (isinstance(model.retriever, Seeing) and model.retriever.reads_images):
        raise RetrieverError(
            f"{model.spec} reads no images, which {task.name} asks for: give a model of images and texts, as in "
            "image_text:FOLDER"
        )
    collection = load_collection(
        task, languages=languages, limit=options.limit, data_dir=data_dir, progress=options.progress
    )
    settings = askable(task, collection, {tag: len(rows) for tag, rows in collection.documents.items()})
    layout = lay_out(collection)
    if not len(layout.row_queries):
        raise DataError(f"{task.name}: no query has a relevant document: check its judgments")
    clock.lap("read")
    wanted = options.save_run
    with nullcontext() if wanted is None else RunFiles(wanted, layout, settings) as files:
        table, embeddings = _count(model, layout, settings, files, clock, options)
    ranks = to_ranks(layout, table)
    clock.lap("rank")
    return Counted(
        ranks=ranks,
        settings=settings,
        languages=tuple(language for language in collection.languages if language != IMAGE),
        fingerprints=collection.fingerprints(),
        texts=None if embeddings is None else embeddings.distinct,
        encoded=None if embeddings is None else embeddings.encoded,
        images=embeddings.images if embeddings is not None and task.kind == "image_text" else None,
        encoded_images=embeddings.encoded_images if embeddings is not None and task.kind == "image_text" else None,
        unreadable=len(collection.unreadable),
    )


def _count(
    model: Opened,
    layout: Layout,
    settings: Sequence[Setting],
    files: RunFiles | None,
    clock: Clock,
    options: Options,
) -> tuple[PoolTable, Embeddings | None]:
    """Return the counts that the retriever's vectors or lists give, and the vectors; write the lists into `files`."""
    retriever, progress = model.retriever, options.progress
    if not isinstance(retriever, Encoder):
        if isinstance(retriever, Preparable):
            retriever.prepare(texts_of(layout.collection), options.cache or cache_dir(), progress)
            clock.lap("encode")
        ranker = retriever if files is None else Recorded(retriever, files)
        return look_up_lists(layout, ranker, settings, Tiling().depth, progress), None
    embeddings = embed(
        retriever, texts_of(layout.collection), model.store(options.cache or cache_dir(), progress), progress
    )
    clock.lap("encode")
    threads = options.runtime.threads
    table = count_vectors(layout, embeddings, retriever.similarity, Tiling(threads=threads), progress)
    clock.lap("rank")
    if files is not None:
        save_rankings(
            files, *grid_vectors(layout, embeddings, retriever.similarity), threads=threads, progress=progress
        )
        clock.lap("save")
    return table, embeddings
