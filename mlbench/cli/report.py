"""`mlbench report`: a result as people read it, the answers of other pools from its ranks, and single topics."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import click

from mlbench.cli.progress import Screen, console, pass_screen
from mlbench.collection.languages import IMAGE, full_language
from mlbench.collection.records import Collection, fingerprint_of
from mlbench.compare.benchmark import score_benchmark
from mlbench.compare.pairing import ResultWithRanks
from mlbench.compare.reported import ReportedMean, ReportedMeans, is_reported, read_reported, reported_in
from mlbench.errors import DataError, InvalidResult, UserError
from mlbench.evaluation.streaming.corpus import look_through
from mlbench.evaluation.verify import read_pair
from mlbench.leaderboard.entries import Entry
from mlbench.measures.ranked import parse
from mlbench.ranking.ranks import Ranks
from mlbench.reports.documents.benchmark import benchmark_report
from mlbench.reports.documents.reported import reported_report
from mlbench.reports.documents.result import pools_report, results_report
from mlbench.reports.documents.topic import TopicAnswer, pictures_of, topic_report
from mlbench.reports.eval_results import FOLDER as HUB_FOLDER
from mlbench.reports.eval_results import eval_results
from mlbench.reports.formats import FORMATS, format_of, render, save
from mlbench.reports.mteb import mteb_files
from mlbench.reports.parquet import per_topic_parquet
from mlbench.reports.report import Report
from mlbench.reports.writers.console import ConsoleReport
from mlbench.results import RANKS, Result, TaskInfo, read_beside_ranks, read_result, results_in
from mlbench.statistics.pool import answer_pool, with_measure
from mlbench.statistics.topic import WORST, find_topic, look_at
from mlbench.tasks.benchmark import load_benchmark
from mlbench.tasks.files import local
from mlbench.tasks.load import is_sharded, load_collection
from mlbench.tasks.task import DeclaredImages, Task, load_task, task_names

_STDOUT = Path("-")
_ENTRY = "entry.json"
_EVAL_RESULTS, _MTEB, _PARQUET = "eval-results", "mteb", "parquet"
_FOR_TOOLS = (_EVAL_RESULTS, _MTEB, _PARQUET)
"""Formats of other tools, which are made of results and not of what reports say."""


@click.command(
    epilog="""\b
Examples:
  mlbench report results/
  mlbench report result.json --measure R@1
  mlbench report result.json --measure "RBP(p=0.9)" --pool ar,en,zh
  mlbench report result.json --pool ar,en,zh
  mlbench report results/ --benchmark question-answering
  mlbench report result.json --format html
  mlbench report results/ --output results.md
  mlbench report base.json candidate.json --format latex
  mlbench report results/ --output scores.parquet
  mlbench report results/ --format mteb
  mlbench report result.json ~/.cache/mteb/results/intfloat__multilingual-e5-small/REVISION/MIRACLRetrieval.json
  mlbench report result.json --topic worst --data-dir ./data
  mlbench report result.json --topic 12.jpg --data-dir ./data --format html --output topic.html"""
)
@click.argument("paths", metavar="RESULT...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--pool", metavar="LANGUAGES", help="Answer this pool from the ranks instead, such as ar,en,zh.")
@click.option("--measure", metavar="NAME", help="The measure that the heat map, or the pool, shows.")
@click.option(
    "--benchmark", metavar="NAME", help="Show the mean over the tasks of a benchmark instead: a name or file."
)
@click.option(
    "--format",
    "chosen",
    type=click.Choice([*FORMATS, *_FOR_TOOLS]),
    help="Another format than that of the screen.",
)
@click.option("--output", metavar="FILE", type=click.Path(path_type=Path), help="Write a file; - is stdout.")
@click.option("--topic", metavar="ID", help="Look at one topic instead: an id, or worst for the lowest AP.")
@click.option(
    "--data-dir", type=click.Path(path_type=Path), metavar="DIR", help="A folder with the texts of the --topic."
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list of the documents, or of what was asked.")
@pass_screen
def command(
    screen: Screen,
    /,
    paths: tuple[Path, ...],
    pool: str | None,
    measure: str | None,
    benchmark: str | None,
    chosen: str | None,
    output: Path | None,
    topic: str | None,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """Show results as tables, or write them as Markdown, HTML, CSV, LaTeX, a PNG figure or metadata of a model card.

    RESULT is a result document, or a folder of them. A result file of mteb, or an entry of a leaderboard that has the
    numbers of a paper, stands beside them, with its numbers marked as reported.
    Several are one table across them; -v shows each in full below it.

    --format follows from the suffix of --output where it is not given. Without --output, HTML and PNG are written
    beside the result under its name (report.html for several), every other format goes to stdout. The format mteb
    writes MODEL/REVISION/TASK.json, as mteb does, into the folder --output, or that of the result. The format parquet
    has each query in each setting and measure.

    --measure is any measure, as ir_measures or another tool writes it. Where it was not asked for at run time, it is
    computed from the ranks, if it follows from these.

    A pool is any set of the result's languages. Each language of the pool asks; a single language is asked by all. A
    pool of captions is asked by images, and the pool called image by the captions of every language.

    A benchmark is scored from the results of its tasks: the mean over them and Borda ranks of the models.

    A topic is shown with its queries, the ranks of its relevant documents, and what stands at the top of each list; as
    HTML with its images, where these are small. Without --output, it goes to stdout in every format.
    """
    name = "json" if as_json else _format(chosen, output)
    _check_together(
        {
            "--json": as_json,
            "--format": chosen,
            "--output": output,
            "--pool": pool,
            "--measure": measure,
            "--topic": topic,
            "--data-dir": data_dir,
            "--benchmark": benchmark,
        }
    )
    known = None if measure is None else parse(measure).name
    found = result_paths(paths)
    reported = [path for path in found if path.name == _ENTRY or is_reported(path)]
    if (reported or name in _FOR_TOOLS) and (pool or topic or benchmark):
        raise UserError(f"{name} and reported numbers have no --pool, --topic and --benchmark: leave these out")
    if reported:
        _beside_reported(found, reported, known, name, output, full=screen.verbose)
    elif name in _FOR_TOOLS:
        _write_for_tools(found, known, name, output)
    elif topic is not None:
        _show(_topics(found, topic, data_dir), name, output, found, full=screen.verbose)
    elif benchmark is not None:
        measured = [ResultWithRanks(path, read_result(path)) for path in found]
        _show(benchmark_report(score_benchmark(load_benchmark(benchmark), measured)), name, output, found, full=True)
    elif pool is not None:
        _show(_pools(found, pool_languages(pool), known), name, output, found, full=screen.verbose)
    else:
        results = [_read(path, known, screen.progress().note) for path in found]
        _results(found, results, known, name, output, full=screen.verbose)


def _check_together(given: Mapping[str, object]) -> None:
    """Raise `UsageError` for options that do not go together; `given` has each with its value, falsy for none."""
    asked = {option for option, value in given.items() if value}
    if "--json" in asked and asked & {"--format", "--output"}:
        raise click.UsageError("--json is a format of its own: leave out --format and --output")
    if "--topic" in asked and asked & {"--pool", "--measure"}:
        raise click.UsageError("--topic shows the ranks of one topic: leave out --pool and --measure")
    if "--data-dir" in asked and "--topic" not in asked:
        raise click.UsageError("--data-dir is where the texts of a topic are: add --topic ID, or --topic worst")
    if "--benchmark" in asked and asked & {"--pool", "--measure", "--topic"}:
        raise click.UsageError("--benchmark says which measures are shown: leave out --pool, --measure and --topic")


def _read(path: Path, measure: str | None, note: Callable[[str], None]) -> Result:
    """Return a result, with `measure` from its ranks where the run was not asked for it."""
    result = read_beside_ranks(path, note)
    if measure is None or measure in result.task.measures:
        return result
    return with_measure(*read_pair(path), measure)


def result_paths(paths: tuple[Path, ...]) -> list[Path]:
    """Return the documents among `paths`, in place of each folder the results in it; raises `UserError` for none."""
    found: list[Path] = []
    for path in paths:
        if path.name.endswith(RANKS):
            # `results/*` names these beside the documents.
            continue
        if not path.is_dir():
            found.append(path)
            continue
        entry = path / _ENTRY
        inside = results_in(path) or reported_in(path) or ([entry] if entry.is_file() else [])
        if not inside:
            raise UserError(f"no result document in {path}: make one with mlbench run --out {path}")
        found += inside
    if not found:
        raise UserError(f"{paths[0]} is a ranks file: name the result document beside it")
    return found


def pool_languages(pool: str) -> tuple[str, ...]:
    """Return the languages of `ar,en,zh`, or `image`; raises `UserError` for what is no language tag."""
    tags = [tag.strip() for tag in pool.split(",")]
    return tuple(tag if tag == IMAGE else full_language(tag) for tag in tags)


def _format(chosen: str | None, output: Path | None) -> str:
    if chosen is not None:
        return chosen
    if output is None or output == _STDOUT:
        return "console"
    if output.suffix == f".{_PARQUET}":
        return _PARQUET
    if output.parent.name == HUB_FOLDER:
        return _EVAL_RESULTS
    name = format_of(output)
    if name is None:
        raise UserError(f"no format has the suffix of {output}: choose one with --format")
    return name


def _results(
    paths: Sequence[Path], results: Sequence[Result], measure: str | None, name: str, output: Path | None, *, full: bool
) -> None:
    """Show the report of results; a format that is never for a terminal goes to files beside them, which are told."""
    if name == "json" and measure is not None:
        raise click.UsageError("--json prints whole documents: leave out --measure, or add --pool")
    if name == "model-card" and measure is not None:
        raise UserError("a model card has all measures: leave out --measure")
    kind = FORMATS[name]
    if output is None and kind.to_file:
        together = len(paths) > 1 and kind.several
        groups = [results] if together else [[result] for result in results]
        places = [paths[0].with_name("report")] if together else paths
        for group, place in zip(groups, places, strict=True):
            save(render(name, results_report(group, measure=measure)), place.with_suffix(kind.suffix))
            click.echo(place.with_suffix(kind.suffix))
    elif len(results) > 1 and not kind.several:
        raise UserError(f"the format {name} shows one result: leave out --output to get one beside each")
    else:
        _show(results_report(results, measure=measure), name, output, paths, full=full)


def _beside_reported(
    paths: Sequence[Path], reported: Sequence[Path], measure: str | None, name: str, output: Path | None, *, full: bool
) -> None:
    """Show what others report beside what was measured here."""
    if name in _FOR_TOOLS:
        raise UserError(f"{reported[0]} has no ranks, which the format {name} is made from")
    measured = [read_result(path) for path in paths if path not in reported]
    numbers = [
        each for path in reported for each in (_of_entry(path) if path.name == _ENTRY else [read_reported(path)])
    ]
    report = reported_report(numbers, measured, measure=measure)
    if output is None and FORMATS[name].to_file:
        output = paths[0].with_name("report").with_suffix(FORMATS[name].suffix)
        click.echo(output)
    _show(report, name, output, paths, full=full)


def _of_entry(path: Path) -> list[ReportedMeans]:
    """Return the macro means that an entry of a leaderboard has from a paper; raises `InvalidResult` for none."""
    try:
        entry = Entry.model_validate_json(path.read_bytes())
    except (OSError, ValueError) as error:
        raise InvalidResult(f"{path} is no entry of a leaderboard, or cannot be read") from error
    found = [
        ReportedMeans(
            source=entry.source or "",
            task=task.task,
            model=entry.title,
            values=tuple(
                ReportedMean(name=value.name, kind=value.kind, value=value.value)
                for value in task.values
                if value.query_language is None
            ),
        )
        for task in entry.reported
        if task.aggregation == "macro"
    ]
    if not found:
        raise InvalidResult(f"{path} has no macro means that a paper reports: name the result documents of the entry")
    return found


def _write_for_tools(paths: Sequence[Path], measure: str | None, name: str, output: Path | None) -> None:
    """Write results in the format of another tool, and say where; entries for the hub without a file go to stdout."""
    if measure is not None and name != _PARQUET:
        raise UserError(f"the format {name} has measures of its own: leave out --measure")
    _check_output(output, paths)
    found = [read_pair(path) for path in paths]
    if name == _MTEB:
        if output == _STDOUT:
            raise UserError("the format mteb is a folder of files: name one with --output")
        folder = output or paths[0].parent
        files = {folder / place: content for place, content in mteb_files(found).items()}
    elif name == _PARQUET:
        place = output or (paths[0] if len(paths) == 1 else paths[0].with_name("report")).with_suffix(f".{_PARQUET}")
        files = {place: per_topic_parquet(found, measure)}
    else:
        files = {output or _STDOUT: eval_results([result for result, _ in found]).encode()}
    for place, content in files.items():
        if place == _STDOUT:
            click.echo(content if name == _PARQUET else content.decode(), nl=False)
        else:
            _make_folder(place.parent)
            save(content, place)
            click.echo(place)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"cannot write {folder}: {error.strerror or error}; name another place with --output"
        ) from error


def _check_output(output: Path | None, results: Sequence[Path]) -> None:
    """Raise `UserError` where the file that the user named is one of the results."""
    if output is not None and any(output.resolve() == path.resolve() for path in results):
        raise UserError(f"{output} is a result: name another file with --output")


def _pools(paths: Sequence[Path], languages: Sequence[str], measure: str | None) -> Report:
    """Answer a pool from each result."""
    found = [read_pair(path) for path in paths]
    answers = [answer_pool(result, ranks, languages, measure=measure) for result, ranks in found]
    return pools_report([result for result, _ in found], answers)


def _show(report: Report, name: str, output: Path | None, results: Sequence[Path], *, full: bool) -> None:
    """Print a report, or write it to the file that the user named, which must not be one of the results."""
    _check_output(output, results)
    if name == "console" and output is None:
        console().print(ConsoleReport(report, full=full, more="-v"))
    elif output is None or output == _STDOUT:
        content = render(name, report)
        # Text is written in the encoding of the terminal, a picture as it is.
        click.echo(content if FORMATS[name].binary else content.decode(), nl=False)
    else:
        save(render(name, report), output)


def _topics(paths: Sequence[Path], topic: str, data_dir: Path | None) -> Report:
    """Show a topic of each result."""
    found = [read_pair(path) for path in paths]
    return topic_report([answer_topic(result, ranks, topic, data_dir) for result, ranks in found])


def answer_topic(result: Result, ranks: Ranks, name: str, data_dir: Path | None) -> TopicAnswer:
    """Return a topic with its texts and images, and how to see these where they are not on this machine.

    Nothing is downloaded. Raises `UserError` for an unknown topic, and for data that are not those of the result.
    """
    topic_id = find_topic(ranks, name)
    is_worst = name == WORST != topic_id
    task = _task(result.task, data_dir)
    if task is None:
        hint = f"no texts: {result.task.name} is a task of your own; name its folder or file with --data-dir"
        return TopicAnswer(result, look_at(result, ranks, topic_id), is_worst, hint)
    hint = f"no texts: mlbench tasks download {task.name}, or name a folder that has them with --data-dir"
    if task.images is not None:
        task = _without_downloads(task, task.images, data_dir)
    try:
        texts = _texts(task, result.task, data_dir, ranks)
    except DataError as error:
        if task.images is None:
            raise
        # Ranks can be looked at without the images, which are large.
        texts, hint = None, f"no texts: {error}"
    topic = look_at(result, ranks, topic_id, texts)
    if texts is None:
        return TopicAnswer(result, topic, is_worst, hint)
    return TopicAnswer(result, topic, is_worst, pictures=pictures_of(topic, texts))


def _task(info: TaskInfo, data_dir: Path | None) -> Task | None:
    if info.name in task_names():
        return load_task(info.name)
    return None if data_dir is None else load_task(str(data_dir))


def _without_downloads(task: Task, images: DeclaredImages, data_dir: Path | None) -> Task:
    """Return a task of images without the archives that are not on this machine."""
    there = tuple(each for each in images.archives if local(each, data_dir=data_dir, root=task.root) is not None)
    return task.model_copy(update={"images": images.model_copy(update={"archives": there})})


def _texts(task: Task, info: TaskInfo, data_dir: Path | None, ranks: Ranks) -> Collection | None:
    # Only a folder of data, not one that is a task itself, is looked through for files.
    folder = data_dir if info.name in task_names() else None
    if any(local(file, data_dir=folder, root=task.root) is None for file in task.files):
        return None
    unknown = sorted(set(info.languages) - set(task.languages))
    if unknown:
        raise DataError(f"{task.name} has no {unknown[0]}: these are other data than those of the result")
    if is_sharded(task) and info.limit is None:
        corpora = look_through(task, languages=info.languages, data_dir=folder, also=ranks.document_ids.tolist())
        collection, fingerprint = corpora.collection, fingerprint_of(corpora.fingerprints)
    else:
        collection = load_collection(task, languages=info.languages, limit=info.limit, data_dir=folder)
        fingerprint = collection.fingerprint()
    if fingerprint != info.fingerprint:
        raise UserError(
            f"{task.name} has other data here than the result was measured on: their fingerprint is "
            f"{fingerprint[:12]}..., not {info.fingerprint[:12]}..."
        )
    return collection
