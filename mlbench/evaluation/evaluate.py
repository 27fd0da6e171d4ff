"""Evaluates one retriever on one task: load the collection, encode, rank, score, assemble the result."""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from os import PathLike, fspath
from pathlib import Path

from mlbench import members
from mlbench.collection.records import fingerprint_of
from mlbench.embeddings.commitment import write_commitment
from mlbench.errors import UserError
from mlbench.evaluation.clip_score import ClipScoreJudge, clip_score_judge
from mlbench.evaluation.environment import describe_environment, peak_bytes
from mlbench.evaluation.in_memory import load_in_memory
from mlbench.evaluation.list_measures import ListJudge, judge_of
from mlbench.evaluation.options import Options
from mlbench.evaluation.streaming.run import load_stream
from mlbench.evaluation.task_data import Clock, RankedTask, TaskData
from mlbench.evaluation.text_checks import tell_prompted_texts
from mlbench.evaluation.verify import Verification, recompute
from mlbench.io.cache import cache_dir
from mlbench.measures.formulas import relevant_ranks
from mlbench.measures.ranked import parse
from mlbench.open_model import LoadedModel
from mlbench.ranking.ranks import Ranks
from mlbench.ranking.ranks_file import write_ranks
from mlbench.ranking.run_files import ListSink, RunFiles, SeveralSinks
from mlbench.results import (
    RANKS,
    VECTORS,
    Cost,
    RanksFile,
    Result,
    RetrieverInfo,
    TaskInfo,
    VectorsFile,
    check_folder,
    digest,
    file_stem,
    name_apart,
    write_result,
)
from mlbench.statistics.cluster_scores import ScoreRequest
from mlbench.statistics.pool import PoolAnswer, answer_pool
from mlbench.statistics.score import Scores, score
from mlbench.tasks.load import is_sharded
from mlbench.tasks.task import Task, load_task


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The result of one retriever on one task, and the ranks that all its numbers follow from.

    `ranks_file` is the content of the file with the ranks, `vectors_file` that of the commitment to vectors, None where
    none was asked for; `path` is where the result lies, None where it was not written.
    """

    result: Result
    ranks: Ranks
    ranks_file: bytes
    path: Path | None = None
    vectors_file: bytes | None = None

    def __repr__(self) -> str:
        """Say in one line what was measured, and the macro means of the primary measure."""
        return repr(self.result).replace("Result", "Evaluation", 1)

    def save(self, folder: Path | str) -> "Evaluation":
        """Write the result and the files beside it into `folder`; raises `UserError` where that cannot be done.

        Only a result of the same retriever on the same data is replaced (see `name_apart`).
        """
        result = name_apart(self.result, Path(folder))
        path = write_result(result, self.ranks_file, Path(folder), vectors=self.vectors_file)
        return replace(self, result=result, path=path)

    def verify(self) -> Verification:
        """Recompute every number of the result from the ranks."""
        return recompute(self.result, self.ranks)

    def pool(self, document_languages: Sequence[str], *, measure: str | None = None) -> PoolAnswer:
        """Compute the measures of another pool of documents from the ranks (see `answer_pool`).

        Raises `UserError` for a pool that the ranks cannot answer.
        """
        return answer_pool(self.result, self.ranks, document_languages, measure=measure)


def evaluate(
    model: object,
    task: str | PathLike[str] | Task,
    *,
    name: str | None = None,
    languages: Sequence[str] | None = None,
    measures: Sequence[str] = (),
    data_dir: Path | str | None = None,
    out: Path | str | None = None,
    options: Options | None = None,
) -> Evaluation:
    """Measure one retriever on one task.

    `model` is a spec such as `hashing`, a folder, an encoder or ranker, or a SentenceTransformer object; `task` a name,
    a path or a task. Results call the retriever `name`, such as `epoch 3`; without one, they call an object as its card
    or folder is called. `measures` are computed beside those of the task, and may have any name that `parse` knows.
    With `out`, the result and its ranks file are written there. Raises `UserError` for whatever the user can put right.
    """
    if isinstance(measures, str):
        raise UserError(f"measures must be a list of names, such as [{measures!r}]")
    options, task = options or Options(), _load_task(task, languages)
    if out is not None:
        check_folder(Path(out))
    loaded = options.open_model(model, name)
    where = None if data_dir is None else Path(data_dir)
    options = replace(options, measures=(*options.measures, *measures))
    evaluation = measure(loaded, task, languages=languages, data_dir=where, options=options)
    return evaluation if out is None else evaluation.save(out)


def measure(
    model: LoadedModel,
    task: str | PathLike[str] | Task,
    *,
    languages: Sequence[str] | None = None,
    data_dir: Path | None = None,
    options: Options,
) -> Evaluation:
    """Measure an opened retriever on one task; nothing is written but the embedding store, and `options.save_run`."""
    clock, before, task = Clock(), Spent.of(model), _load_task(task, languages).with_measures(options.measures)
    _tell_training_data(model, task, options)
    streams = _streams(model, task, options)
    if streams and options.commit_vectors:
        raise UserError(f"{task.name} is read in shards, whose vectors are not kept: leave out --commit-vectors")
    load = load_stream if streams else load_in_memory
    data = load(model, task, options, languages=languages, data_dir=data_dir)
    clock.lap("read")
    _check_grades(data)
    tell_prompted_texts(model, data.collection, options.progress)
    judge = judge_of(task.measures, data.arrays, data.settings)
    fixed = clip_score_judge(options.open_judge(), task, data.arrays, data.settings)
    with data.run_files(options.save_run) as files:
        ranked = data.rank(model, _sink(files, judge, fixed), options, clock)
        members.check_files(model.retriever)
        repeatability = members.repeatability_of(model.retriever)
    clock.lap("rank")
    if fixed is not None:
        ranked = replace(ranked, ranks=fixed.judge(ranked.ranks, options.cache or cache_dir(), options.progress))
        clock.lap("encode")
    if ranked.ranks.is_collapsed:
        options.progress.note(
            f"warning: {model.label} tells no documents of {task.name} apart: all documents of each list have the same "
            "score, so that every number follows from the order of ids"
        )
    if ranked.ranks.is_compact and options.pools is None and members.is_encoder(model.retriever):
        options.progress.note(
            f"{task.name}: its ranks answer the pools of its settings alone, as there are many languages; --pools any "
            "keeps the counts of all"
        )
    request = _score_request(data, options)
    measured_on = _task_info(data, request, options.limit)
    # It holds all texts of the task, and scores need none.
    del data
    with ThreadPoolExecutor(1) as packing:
        # It is compressed by a thread that leaves the interpreter to the scores.
        content = packing.submit(write_ranks, ranked.ranks)
        scores = score(ranked.ranks, request, judge)
        _tell_fruitless(model, scores, options)
        listed = judge.describe() if judge else None
        clock.lap("score")
    cost = _cost(model, ranked, clock, before)
    retriever = model.info(task.built_from).model_copy(update={"repeatability": repeatability})
    packed = content.result()
    result = _result(retriever, measured_on, scores, cost, options.command, packed)
    judged_by = None if fixed is None else fixed.model.info(task.built_from)
    result = result.model_copy(update={"list_measures": listed, "truncated": ranked.truncated, "judge": judged_by})
    if ranked.commitment is None:
        return Evaluation(result, ranked.ranks, packed)
    vectors = write_commitment(ranked.commitment)
    beside = VectorsFile(name=result.ranks.name.removesuffix(RANKS) + VECTORS, sha256=digest(vectors))
    return Evaluation(result.model_copy(update={"vectors": beside}), ranked.ranks, packed, vectors_file=vectors)


def _tell_training_data(model: LoadedModel, task: Task, options: Options) -> None:
    """Warn where a model was trained on the task, or on what it is built from."""
    known = members.registry_of(model.retriever)
    seen = known.on_task(task.built_from).seen_names if known else ""
    if known and seen:
        options.progress.note(
            f"warning: {known.name} was trained on {seen}, which {task.name} is built from: "
            "its numbers there are not zero-shot"
        )
    trained = _of_same_texts(task, model.training.tasks) if model.training else []
    if trained:
        options.progress.note(
            f"warning: {model.label} was trained on {', '.join(trained)}: its numbers on {task.name} are of known texts"
        )


def _of_same_texts(task: Task, names: Iterable[str]) -> list[str]:
    """Return those of the tasks that are made from the same collection, such as `flores` for `flores-200`."""
    found = []
    for name in names:
        try:
            other = task if name == task.name else load_task(name)
        except UserError:  # It was a file of one's own.
            continue
        if _collection(other) == _collection(task):
            found.append(name)
    return found


def _collection(task: Task) -> str:
    return str(task.options.get("collection", task.name))


def _tell_fruitless(model: LoadedModel, scores: Scores, options: Options) -> None:
    """Warn of settings whose lists hold no relevant document at all, as where a run file is empty.

    Between languages that share no words, it is what retrievers by words do.
    """
    empty = [
        f"{each.query_language}-{'+'.join(each.document_languages)}"
        for each in scores.settings
        if each.unretrieved_share == 1 and each.kind != "cross_lingual"
    ]
    if empty:
        several = f"{', '.join(empty[:3])}{' and others' if empty[3:] else ''}"
        options.progress.note(f"warning: the lists of {model.label} hold no relevant document in {several}")


def _check_grades(data: TaskData) -> None:
    """Raise `UserError` before anything is encoded where a measure is not defined for the highest grade."""
    highest = data.arrays.row_grades.max() / data.collection.grade_scale
    best = relevant_ranks([0], [1], [highest], 1)
    for name in data.task.measures:
        if parse(name).is_derived:
            parse(name).values(best)


def _sink(files: RunFiles | None, judge: ListJudge | None, fixed: ClipScoreJudge | None) -> ListSink | None:
    sinks = [sink for sink in (files, judge, fixed) if sink is not None]
    return SeveralSinks(sinks) if len(sinks) > 1 else next(iter(sinks), None)


def _load_task(task: object, languages: Sequence[str] | None) -> Task:
    if isinstance(task, Task):
        return task
    if isinstance(task, str | PathLike):
        return load_task(fspath(task), languages=languages)
    raise UserError(f"a {type(task).__name__} is no task: give a name, a path or a task")


def _streams(model: LoadedModel, task: Task, options: Options) -> bool:
    """Say whether the corpora are read shard by shard; where they are not, an engine that was asked for is no use."""
    streams = members.is_encoder(model.retriever) and options.limit is None and is_sharded(task)
    if not streams and (options.engine != Options.engine or options.resources.workers or options.resources.address):
        options.progress.note(
            f"{task.name}: measured in this process; engines work on corpora in shards, for encoders, without --limit"
        )
    return streams


def _score_request(data: TaskData, options: Options) -> ScoreRequest:
    return ScoreRequest(
        settings=data.settings,
        measures=tuple(name for name in data.task.measures if parse(name).is_derived),
        primary_measure=data.task.primary_measure,
        bias_scores=data.task.bias_scores,
        parallel=data.task.parallel,
        translated=data.collection.translated,
        resamples=options.resamples,
        seed=options.seed,
        confidence=options.confidence,
    )


@dataclass(frozen=True, slots=True)
class Spent:
    """What a retriever of this process has encoded since it was opened, and what that cost, where it says so."""

    tokens: int
    price: float | None

    @classmethod
    def of(cls, model: LoadedModel) -> "Spent":
        """Return what a model has spent so far."""
        return cls(model.tokens(), members.spent_of(model.retriever))

    def price_since(self, before: "Spent", elsewhere: int) -> float | None:
        """Return what was paid since `before`, and for the tokens that other processes encoded `elsewhere`."""
        if self.price is None or not self.tokens:
            return None
        return self.price - (before.price or 0.0) + elsewhere * self.price / self.tokens


def _cost(model: LoadedModel, ranked: RankedTask, clock: Clock, before: Spent) -> Cost:
    now = Spent.of(model)
    return Cost(
        texts=ranked.texts,
        encoded_texts=ranked.encoded,
        images=ranked.images,
        encoded_images=ranked.encoded_images,
        tokens=now.tokens - before.tokens + ranked.tokens or None,
        read_seconds=round(clock.laps["read"], 3),
        encode_seconds=round(clock.laps.get("encode", 0.0), 3),
        rank_seconds=round(clock.laps["rank"], 3),
        score_seconds=round(clock.laps["score"], 3),
        peak_bytes=peak_bytes(),
        finished_at=datetime.now(UTC).isoformat(timespec="seconds"),
        indexes=members.index_costs_of(model.retriever),
        price=now.price_since(before, ranked.tokens),
    )


def _result(
    retriever: RetrieverInfo, task: TaskInfo, scores: Scores, cost: Cost, command: str | None, ranks_file: bytes
) -> Result:
    return Result(
        task=task,
        retriever=retriever,
        settings=scores.settings,
        aggregates=scores.aggregates,
        bias=scores.bias,
        image_text=scores.image_text,
        statistics=scores.statistics,
        cost=cost,
        environment=describe_environment(command),
        ranks=RanksFile(name=f"{file_stem(task, retriever)}.ranks.npz", sha256=digest(ranks_file)),
    )


def _task_info(data: TaskData, request: ScoreRequest, limit: int | None) -> TaskInfo:
    task, unreadable = data.task, len(data.collection.unreadable)
    return TaskInfo(
        name=task.name,
        version=task.version,
        fingerprint=fingerprint_of(data.fingerprints),
        fingerprints=dict(data.fingerprints),
        languages=data.languages,
        partial=set(data.languages) != set(task.languages) or bool(unreadable),
        unreadable_images=unreadable,
        parallel=task.parallel,
        documents="translations" if data.collection.translated else "native",
        ignore_identical_ids=task.ignore_identical_ids,
        document_text=task.document_text,
        measures=task.measures,
        primary_measure=task.primary_measure,
        bias_scores=request.suited_bias_scores,
        limit=limit,
    )
