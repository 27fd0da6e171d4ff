"""Evaluates one retriever on one task: load the collection, encode, rank, score, assemble the result."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from os import PathLike, fspath
from pathlib import Path

from mlbench import members
from mlbench.collection.languages import IMAGE, Setting
from mlbench.collection.records import fingerprint_of
from mlbench.embeddings.encode import Embeddings, embed
from mlbench.errors import DataError, RetrieverError, UserError
from mlbench.evaluation.environment import describe_environment, peak_bytes
from mlbench.evaluation.options import Clock, Options, RankedTask, askable, texts_of
from mlbench.evaluation.streaming.run import rank_stream
from mlbench.io.cache import cache_dir
from mlbench.open_model import LoadedModel, ModelSource, adopt, describe, open_retriever, training_of
from mlbench.ranking.count_ahead import Tiling
from mlbench.ranking.index_arrays import CountTable, IndexArrays, index_collection, to_ranks
from mlbench.ranking.rank_documents import grid_vectors, rank_lists, rank_vectors
from mlbench.ranking.ranks_file import write_ranks
from mlbench.ranking.run_files import Recorded, RunFiles, save_rankings
from mlbench.results import (
    Cost,
    RanksFile,
    Result,
    TaskInfo,
    check_folder,
    digest,
    file_stem,
    write_result,
)
from mlbench.statistics.score import ScoreRequest, Scores, score
from mlbench.tasks.load import is_sharded, load_collection
from mlbench.tasks.task import Task, load_task


def rank_in_memory(
    model: LoadedModel,
    task: Task,
    options: Options,
    clock: Clock,
    *,
    languages: Sequence[str] | None,
    data_dir: Path | None,
) -> RankedTask:
    """Count a task with an encoder or a ranker; raises `UserError` for whatever the user can put right."""
    if task.kind == "image_text" and not members.reads_images(model.retriever):
        raise RetrieverError(
            f"{model.spec} reads no images, which {task.name} asks for: give a model of images and texts, as in "
            "image_text:FOLDER"
        )
    collection = load_collection(
        task, languages=languages, limit=options.limit, data_dir=data_dir, progress=options.progress
    )
    settings = askable(task, collection, {tag: len(rows) for tag, rows in collection.documents.items()})
    layout = index_collection(collection)
    if not len(layout.row_queries):
        raise DataError(f"{task.name}: no query has a relevant document: check its judgments")
    clock.lap("read")
    wanted = options.save_run
    with nullcontext() if wanted is None else RunFiles(wanted, layout, settings) as files:
        table, embeddings = _count(model, layout, settings, files, clock, options)
    ranks = to_ranks(layout, table)
    clock.lap("rank")
    return RankedTask(
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
    model: LoadedModel,
    layout: IndexArrays,
    settings: Sequence[Setting],
    files: RunFiles | None,
    clock: Clock,
    options: Options,
) -> tuple[CountTable, Embeddings | None]:
    """Return the counts that the retriever's vectors or lists give, and the vectors; write the lists into `files`."""
    retriever, progress = model.retriever, options.progress
    if not members.is_encoder(retriever):
        if members.prepare(retriever, texts_of(layout.collection), options.cache or cache_dir(), progress):
            clock.lap("encode")
        ranker = retriever if files is None else Recorded(retriever, files)
        return rank_lists(layout, ranker, settings, Tiling().depth, progress), None
    embeddings = embed(
        retriever, texts_of(layout.collection), model.store(options.cache or cache_dir(), progress), progress
    )
    clock.lap("encode")
    threads = options.runtime.threads
    table = rank_vectors(layout, embeddings, retriever.similarity, Tiling(threads=threads), progress)
    clock.lap("rank")
    if files is not None:
        save_rankings(
            files, *grid_vectors(layout, embeddings, retriever.similarity), threads=threads, progress=progress
        )
        clock.lap("save")
    return table, embeddings


@dataclass(frozen=True)
class Evaluation:
    """A result, the content of its ranks file, and where both were written, if they were."""

    result: Result
    ranks: bytes
    path: Path | None = None


def evaluate(
    model: object,
    task: str | PathLike[str] | Task,
    *,
    languages: Sequence[str] | None = None,
    data_dir: Path | str | None = None,
    out: Path | str | None = None,
    options: Options | None = None,
) -> Result:
    """Measure one retriever on one task.

    `model` is a spec such as `hashing`, a folder, an encoder or ranker, or a SentenceTransformer object; `task` a name,
    a path or a task. With `out`, the document and its ranks file are written there. Raises `UserError` for
    whatever the user can put right.
    """
    options, task = options or Options(), _task(task, languages)
    if out is not None:
        check_folder(Path(out))
    retriever = open_model(model, options)
    where = None if data_dir is None else Path(data_dir)
    done = measure(retriever, task, languages=languages, data_dir=where, options=options)
    if out is not None:
        write_result(done.result, done.ranks, Path(out))
    return done.result


def open_model(model: object, options: Options) -> LoadedModel:
    """Open a spec, or take an object that is or can be made a retriever."""
    if isinstance(model, str | PathLike):
        spec = fspath(model)
        source = ModelSource(_absolute(spec), dict(options.settings), options.runtime)
        retriever, name = open_retriever(spec, options.settings, options.runtime), describe(spec)
        return LoadedModel(retriever, name, training_of(retriever, options.progress), source)
    retriever = adopt(model, options.settings, options.runtime)
    return LoadedModel(retriever, type(model).__name__, training_of(retriever, options.progress))


def _absolute(spec: str) -> str:
    """Return a spec that names the same folder or file to processes with another working folder."""
    scheme, colon, locator = spec.partition(":")
    if Path(spec).exists():
        return str(Path(spec).absolute())
    return f"{scheme}:{Path(locator).absolute()}" if colon and locator and Path(locator).exists() else spec


def measure(
    model: LoadedModel,
    task: str | PathLike[str] | Task,
    *,
    languages: Sequence[str] | None = None,
    data_dir: Path | None = None,
    options: Options,
) -> Evaluation:
    """Measure an opened retriever on one task; nothing is written but the embedding store, and `options.save_run`."""
    clock, tokens, task = Clock(), model.tokens(), _task(task, languages)
    streams = members.is_encoder(model.retriever) and options.limit is None and is_sharded(task)
    if not streams and (options.engine != Options.engine or options.resources.workers or options.resources.address):
        options.progress.note(
            f"{task.name}: measured in this process; engines work on corpora in shards, for encoders, without --limit"
        )
    count = rank_stream if streams else rank_in_memory
    counted = count(model, task, options, clock, languages=languages, data_dir=data_dir)
    scores = score(counted.ranks, _request(task, counted.settings, options))
    clock.lap("score")
    cost = _cost(model, counted, clock, model.tokens() - tokens)
    return _assemble(model, task, (counted, scores), cost, options)


def _task(task: object, languages: Sequence[str] | None) -> Task:
    if isinstance(task, Task):
        return task
    if isinstance(task, str | PathLike):
        return load_task(fspath(task), languages=languages)
    raise UserError(f"a {type(task).__name__} is no task: give a name, a path or a task")


def _request(task: Task, settings: tuple[Setting, ...], options: Options) -> ScoreRequest:
    return ScoreRequest(
        settings=settings,
        measures=task.measures,
        primary_measure=task.primary_measure,
        bias_scores=task.bias_scores,
        parallel=task.parallel,
        resamples=options.resamples,
        seed=options.seed,
        confidence=options.confidence,
    )


def _cost(model: LoadedModel, counted: RankedTask, clock: Clock, tokens: int) -> Cost:
    return Cost(
        texts=counted.texts,
        encoded_texts=counted.encoded,
        images=counted.images,
        encoded_images=counted.encoded_images,
        tokens=tokens + counted.tokens or None,
        read_seconds=round(clock.laps["read"], 3),
        encode_seconds=round(clock.laps.get("encode", 0.0), 3),
        rank_seconds=round(clock.laps["rank"], 3),
        score_seconds=round(clock.laps["score"], 3),
        peak_bytes=peak_bytes(),
        finished_at=datetime.now(UTC).isoformat(timespec="seconds"),
        indexes=members.index_costs_of(model.retriever),
    )


def _assemble(
    model: LoadedModel, task: Task, found: tuple[RankedTask, Scores], cost: Cost, options: Options
) -> Evaluation:
    counted, scores = found
    content = write_ranks(counted.ranks)
    task_info = _task_info(task, counted, options.limit)
    retriever_info = model.info()
    result = Result(
        task=task_info,
        retriever=retriever_info,
        settings=scores.settings,
        aggregates=scores.aggregates,
        bias=scores.bias,
        image_text=scores.image_text,
        statistics=scores.statistics,
        cost=cost,
        environment=describe_environment(options.command),
        ranks=RanksFile(name=f"{file_stem(task_info, retriever_info)}.ranks.npz", sha256=digest(content)),
    )
    return Evaluation(result, content)


def _task_info(task: Task, counted: RankedTask, limit: int | None) -> TaskInfo:
    return TaskInfo(
        name=task.name,
        version=task.version,
        fingerprint=fingerprint_of(counted.fingerprints),
        fingerprints=dict(counted.fingerprints),
        languages=counted.languages,
        partial=set(counted.languages) != set(task.languages) or bool(counted.unreadable),
        unreadable_images=counted.unreadable,
        parallel=task.parallel,
        document_text=task.document_text,
        measures=task.measures,
        primary_measure=task.primary_measure,
        bias_scores=task.bias_scores,
        limit=limit,
    )
