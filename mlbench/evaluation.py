"""One retriever on one task: the only place where the steps meet."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from os import PathLike, fspath
from pathlib import Path
from time import perf_counter

from mlbench.data import load_collection
from mlbench.embeddings import Embeddings, Group, embed
from mlbench.environment import describe_environment, peak_bytes
from mlbench.errors import DataError, UserError
from mlbench.exports import Recorded, RunFiles, SaveRun, save_rankings
from mlbench.files import cache_dir
from mlbench.languages import Setting, settings_of
from mlbench.layout import Layout, PoolTable, lay_out, to_ranks
from mlbench.opened import Opened, training_of
from mlbench.protocols import Encoder, Progress, Runtime, Silence
from mlbench.ranking import Tiling
from mlbench.ranks import Ranks, write_ranks
from mlbench.records import Collection
from mlbench.result_files import check_folder, digest, file_stem, write_result
from mlbench.results import LARGEST_SEED, MOST_RESAMPLES, Cost, RanksFile, Result, TaskInfo
from mlbench.scoring import Request, Scores, score
from mlbench.specs import adopt, describe, open_retriever
from mlbench.store import Store
from mlbench.systems.composite import Composite
from mlbench.systems.parts import Preparable
from mlbench.tables import count_vectors, grid_vectors, look_up_lists
from mlbench.tasks import Task, load_task


@dataclass(frozen=True)
class Options:
    """How a run is made; nothing here changes what is measured, save `settings` and `limit`.

    `settings` are the retriever's keys as strings; `limit` asks for a quick look at so many topics (see
    `Collection.sample`); `cache` is the folder of the embedding store (None: the user's cache folder); `seed`,
    `resamples` and `confidence` are those of the intervals; `save_run` asks for TREC files; `command` is recorded in
    the result.
    """

    settings: Mapping[str, str] = field(default_factory=dict)
    limit: int | None = None
    runtime: Runtime = field(default_factory=Runtime)
    cache: Path | None = None
    resamples: int = 2000
    seed: int = 0
    confidence: float = 0.95
    save_run: SaveRun | None = None
    command: str | None = None
    progress: Progress = field(default_factory=Silence)

    def __post_init__(self) -> None:
        if not (0 <= self.resamples <= MOST_RESAMPLES and 0 <= self.seed <= LARGEST_SEED and 0 < self.confidence < 1):
            raise UserError(
                f"resamples go from 0 to {MOST_RESAMPLES:,}, seeds from 0 to {LARGEST_SEED:,}, confidence from 0 to 1: "
                f"not {self.resamples:,}, {self.seed:,} and {self.confidence}"
            )
        if self.limit is not None and self.limit < 1:
            raise UserError(f"a quick look has at least one topic, not {self.limit:,}")


@dataclass(frozen=True)
class Evaluation:
    """A result, the content of its ranks file, and where both were written, if they were."""

    result: Result
    ranks: bytes
    path: Path | None = None


@dataclass
class _Clock:
    """Seconds of each step."""

    laps: dict[str, float] = field(default_factory=dict)
    _last: float = field(default_factory=perf_counter)

    def lap(self, step: str) -> None:
        now = perf_counter()
        self.laps[step] = self.laps.get(step, 0.0) + now - self._last
        self._last = now


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


def open_model(model: object, options: Options) -> Opened:
    """Open a spec, or take an object that is or can be made a retriever."""
    if isinstance(model, str | PathLike):
        spec = fspath(model)
        retriever, name = open_retriever(spec, options.settings, options.runtime), describe(spec)
    else:
        retriever, name = adopt(model, options.settings, options.runtime), type(model).__name__
    return Opened(retriever, name, training_of(retriever, options.progress))


def measure(
    model: Opened,
    task: str | PathLike[str] | Task,
    *,
    languages: Sequence[str] | None = None,
    data_dir: Path | None = None,
    options: Options,
) -> Evaluation:
    """Measure an opened retriever on one task; nothing is written but the embedding store, and `options.save_run`."""
    clock, tokens = _Clock(), model.tokens()
    task = _task(task, languages)
    collection = load_collection(
        task, languages=languages, limit=options.limit, data_dir=data_dir, progress=options.progress
    )
    settings = _settings(task, collection)
    if not settings:
        raise UserError(f"{task.name} has no settings in {', '.join(collection.languages)} alone: add a language")
    layout = lay_out(collection)
    if not len(layout.row_queries):
        raise DataError(f"{task.name}: no query has a relevant document: check its judgments")
    clock.lap("read")
    wanted = options.save_run
    with nullcontext() if wanted is None else RunFiles(wanted, layout, settings) as files:
        table, embeddings = _count(model, layout, settings, files, clock, options)
    ranks = to_ranks(layout, table)
    clock.lap("rank")
    scores = score(ranks, _request(task, settings, options))
    clock.lap("score")
    cost = _cost(model, embeddings, clock, model.tokens() - tokens)
    return _assemble(model, task, layout, (ranks, scores), cost, options)


def _settings(task: Task, collection: Collection) -> tuple[Setting, ...]:
    """Return the settings that can be asked: a language may have queries alone, or documents alone."""
    return tuple(
        setting
        for setting in settings_of(collection.languages, task.settings)
        if collection.queries[setting.query_language]
        and any(collection.documents[language] for language in setting.document_languages)
    )


def _count(
    model: Opened,
    layout: Layout,
    settings: Sequence[Setting],
    files: RunFiles | None,
    clock: _Clock,
    options: Options,
) -> tuple[PoolTable, Embeddings | None]:
    """Return the counts that the retriever's vectors or lists give, and the vectors; write the lists into `files`."""
    retriever, progress = model.retriever, options.progress
    if not isinstance(retriever, Encoder):
        if isinstance(retriever, Preparable):
            retriever.prepare(_texts(layout.collection), options.cache or cache_dir(), progress)
            clock.lap("encode")
        ranker = retriever if files is None else Recorded(retriever, files)
        return look_up_lists(layout, ranker, settings, Tiling().depth, progress), None
    embeddings = embed(retriever, _texts(layout.collection), _store(model, options), progress)
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


def _task(task: object, languages: Sequence[str] | None) -> Task:
    if isinstance(task, Task):
        return task
    if isinstance(task, str | PathLike):
        return load_task(fspath(task), languages=languages)
    raise UserError(f"a {type(task).__name__} is no task: give a name, a path or a task")


def _store(model: Opened, options: Options) -> Store:
    about = {"retriever": model.spec, "parameters": model.retriever.parameters}
    return Store(options.cache or cache_dir(), options.progress, about)


def _texts(collection: Collection) -> dict[Group, list[str]]:
    texts: dict[Group, list[str]] = {}
    for language in collection.languages:
        texts["document", language] = [document.text for document in collection.documents[language]]
        texts["query", language] = [query.text for query in collection.queries[language]]
    return texts


def _request(task: Task, settings: tuple[Setting, ...], options: Options) -> Request:
    return Request(
        settings=settings,
        measures=task.measures,
        primary_measure=task.primary_measure,
        bias_scores=task.bias_scores,
        parallel=task.parallel,
        resamples=options.resamples,
        seed=options.seed,
        confidence=options.confidence,
    )


def _cost(model: Opened, embeddings: Embeddings | None, clock: _Clock, tokens: int) -> Cost:
    return Cost(
        texts=None if embeddings is None else embeddings.distinct,
        encoded_texts=None if embeddings is None else embeddings.encoded,
        tokens=tokens or None,
        read_seconds=round(clock.laps["read"], 3),
        encode_seconds=round(clock.laps.get("encode", 0.0), 3),
        rank_seconds=round(clock.laps["rank"], 3),
        score_seconds=round(clock.laps["score"], 3),
        peak_bytes=peak_bytes(),
        finished_at=datetime.now(UTC).isoformat(timespec="seconds"),
        indexes=model.retriever.index_costs if isinstance(model.retriever, Composite) else (),
    )


def _assemble(
    model: Opened, task: Task, layout: Layout, found: tuple[Ranks, Scores], cost: Cost, options: Options
) -> Evaluation:
    ranks, scores = found
    content = write_ranks(ranks)
    task_info = _task_info(task, layout.collection, options.limit)
    retriever_info = model.info()
    result = Result(
        task=task_info,
        retriever=retriever_info,
        settings=scores.settings,
        aggregates=scores.aggregates,
        bias=scores.bias,
        statistics=scores.statistics,
        cost=cost,
        environment=describe_environment(options.command),
        ranks=RanksFile(name=f"{file_stem(task_info, retriever_info)}.ranks.npz", sha256=digest(content)),
    )
    return Evaluation(result, content)


def _task_info(task: Task, collection: Collection, limit: int | None) -> TaskInfo:
    return TaskInfo(
        name=task.name,
        version=task.version,
        fingerprint=collection.fingerprint(),
        fingerprints=collection.fingerprints(),
        languages=collection.languages,
        partial=set(collection.languages) != set(task.languages),
        parallel=task.parallel,
        document_text=task.document_text,
        measures=task.measures,
        primary_measure=task.primary_measure,
        bias_scores=task.bias_scores,
        limit=limit,
    )
