"""One retriever on one task: the only place where the steps meet."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from os import PathLike, fspath
from pathlib import Path

from mlbench.counted import Clock, Counted
from mlbench.data import is_sharded
from mlbench.environment import describe_environment, peak_bytes
from mlbench.errors import UserError
from mlbench.held import count_held
from mlbench.languages import Setting
from mlbench.opened import Opened, Source, training_of
from mlbench.options import Options
from mlbench.protocols import Encoder
from mlbench.ranks_file import write_ranks
from mlbench.records import fingerprint_of
from mlbench.result_files import check_folder, digest, file_stem, write_result
from mlbench.results import Cost, RanksFile, Result, TaskInfo
from mlbench.scoring import Request, Scores, score
from mlbench.specs import adopt, describe, open_retriever
from mlbench.streaming.stream import count_stream
from mlbench.systems.composite import Composite
from mlbench.tasks import Task, load_task


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


def open_model(model: object, options: Options) -> Opened:
    """Open a spec, or take an object that is or can be made a retriever."""
    if isinstance(model, str | PathLike):
        spec = fspath(model)
        source = Source(_absolute(spec), dict(options.settings), options.runtime)
        retriever, name = open_retriever(spec, options.settings, options.runtime), describe(spec)
        return Opened(retriever, name, training_of(retriever, options.progress), source)
    retriever = adopt(model, options.settings, options.runtime)
    return Opened(retriever, type(model).__name__, training_of(retriever, options.progress))


def _absolute(spec: str) -> str:
    """Return a spec that names the same folder or file to processes with another working folder."""
    scheme, colon, locator = spec.partition(":")
    if Path(spec).exists():
        return str(Path(spec).absolute())
    return f"{scheme}:{Path(locator).absolute()}" if colon and locator and Path(locator).exists() else spec


def measure(
    model: Opened,
    task: str | PathLike[str] | Task,
    *,
    languages: Sequence[str] | None = None,
    data_dir: Path | None = None,
    options: Options,
) -> Evaluation:
    """Measure an opened retriever on one task; nothing is written but the embedding store, and `options.save_run`."""
    clock, tokens, task = Clock(), model.tokens(), _task(task, languages)
    streams = isinstance(model.retriever, Encoder) and options.limit is None and is_sharded(task)
    if not streams and (options.engine != Options.engine or options.resources.workers or options.resources.address):
        options.progress.note(
            f"{task.name}: measured in this process; engines work on corpora in shards, for encoders, without --limit"
        )
    count = count_stream if streams else count_held
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


def _cost(model: Opened, counted: Counted, clock: Clock, tokens: int) -> Cost:
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
        indexes=model.retriever.index_costs if isinstance(model.retriever, Composite) else (),
    )


def _assemble(model: Opened, task: Task, found: tuple[Counted, Scores], cost: Cost, options: Options) -> Evaluation:
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


def _task_info(task: Task, counted: Counted, limit: int | None) -> TaskInfo:
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
