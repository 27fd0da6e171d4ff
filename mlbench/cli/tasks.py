"""`mlbench tasks`: what can be measured, and whether your own data are fit to be."""

import json
import shlex
from collections.abc import Sequence
from pathlib import Path

import click

from mlbench.cli.options import json_option, language_list
from mlbench.cli.progress import Screen, console, pass_screen
from mlbench.collection.languages import IMAGE, count_settings, find_language
from mlbench.collection.records import Collection, Image
from mlbench.errors import DataError, InvalidTask, UserError
from mlbench.evaluation.streaming.corpus import look_through
from mlbench.protocols import Progress
from mlbench.reports.formatting import count
from mlbench.tasks.files import find, find_all, provide
from mlbench.tasks.load import is_sharded, load_collection, provide_images, with_files
from mlbench.tasks.task import DeclaredFile, Task, load_task, task_names
from mlbench.training.sources import load_any_task

data_dir = click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="A folder with the files of tasks, such as DIR/xquad-r/ar.json.",
)
own_languages = click.option(
    "--languages", callback=language_list, metavar="AR,EN", help="The languages of data that do not say theirs."
)
_MOST_SHOWN = 11
_MOST_LISTED = 4
# More lines of one kind than this do not fit on a screen.
_SCREEN = 40
_NOTHING = "{}: nothing to download, its files came with it"
_BY_HAND = "{}: nothing to download, what was fetched by hand is there"
_BY_READER = "{}: its data come when they are first used, by the library that has them"


@click.group(
    invoke_without_command=True,
    epilog="""\b
Examples:
  mlbench tasks
  mlbench tasks show xquad-r
  mlbench tasks check ./my-data
  mlbench tasks download xquad-r --data-dir ./data""",
)
@click.pass_context
def command(context: click.Context) -> None:
    """List, explain, check, download and make tasks; without a command, list them."""
    if context.invoked_subcommand is None:
        context.invoke(list_)


@command.command("list")
@click.option("--language", metavar="TAG", help="Those that have this language.")
@click.option("--kind", type=click.Choice(["text", "image_text"]), help="Those of texts, or of captioned images.")
@json_option
def list_(language: str | None = None, kind: str | None = None, as_json: bool = False) -> None:
    """List the tasks that come with mlbench.

    \b
    Examples:
      mlbench tasks list --json
      mlbench tasks list --language th --kind text
    """
    tasks = [load_task(name) for name in task_names()]
    tasks = [
        task
        for task in tasks
        if kind in (None, task.kind) and (language is None or find_language(language, task.languages))
    ]
    if as_json:
        click.echo(json.dumps([summary(task) for task in tasks], indent=2, ensure_ascii=False))
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in ("task", "title", "languages", "images", "queries", "documents", "licence"):
        number = heading in ("images", "queries", "documents")
        table.add_column(heading, justify="right" if number else "left", no_wrap=number or heading == "task")
    for task in tasks:
        table.add_row(
            task.name,
            task.title,
            " ".join(task.languages) if len(task.languages) <= _MOST_LISTED else f"{len(task.languages)} languages",
            f"{task.expected.documents.get(IMAGE, 0):,}" if task.kind == "image_text" else "",
            *(
                f"{sum(counts.values()):,}" if counts.keys() >= set(task.corpora) else "?"
                for counts in (task.expected.queries, task.expected.documents)
            ),
            task.licence,
        )
    console().print(table)


@command.command()
@click.argument("task", metavar="NAME|FILE|FOLDER|hf://...")
@own_languages
@json_option
def show(task: str, languages: tuple[str, ...] | None, as_json: bool) -> None:
    """Show all that a task says, its licence and citation among it.

    \b
    Example: mlbench tasks show xquad-r
    """
    shown = load_any_task(task, languages=languages)
    if as_json:
        click.echo(json.dumps(shown.model_dump(mode="json"), indent=2, ensure_ascii=False, sort_keys=True))
        return
    click.echo(describe(shown))


@command.command()
@click.argument("task", metavar="FOLDER|FILE|NAME|hf://...")
@data_dir
@own_languages
@pass_screen
def check(screen: Screen, task: str, data_dir: Path | None, languages: tuple[str, ...] | None) -> None:
    """Explain every fault of your own data, or count what is there.

    \b
    Examples:
      mlbench tasks check ./my-data
      mlbench tasks check ./scifact --languages en
    """
    try:
        checked = load_any_task(task, languages=languages)
        collection = _look_through(checked, data_dir, screen.progress())
    except InvalidTask as error:
        raise _listed(task, error, error.faults) from error
    except DataError as error:
        raise _listed(task, error, getattr(error, "__notes__", ())) from error
    images = f"{count(len(collection.documents[IMAGE]), 'image')}, " if checked.images else ""
    tags = count(len(checked.languages), "language")
    click.echo(f"{checked.name} is fine: {tags}, {images}{count_clusters(collection)}")
    _print_counts(collection)
    if collection.unreadable:
        broken = collection.unreadable
        noun = "image and its captions" if len(broken) == 1 else "images and their captions"
        click.echo(f"without {len(broken):,} broken {noun}: {', '.join(broken[:_MOST_SHOWN])}")


@command.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@data_dir
@click.option("--languages", callback=language_list, metavar="AR,EN", help="The files of these only.")
@pass_screen
def download(screen: Screen, names: tuple[str, ...], data_dir: Path | None, languages: tuple[str, ...] | None) -> None:
    """Download the files of tasks into the cache, or into --data-dir for use elsewhere.

    Images are looked for as a run would, unpacked from their archives, downloaded where that is possible, and checked.

    \b
    Examples:
      mlbench tasks download xquad-r mlqa-r --data-dir ./data
      mlbench tasks download miracl --languages sw,yo
    """
    for name in names:
        task = _restricted(with_files(load_any_task(name, languages=languages)), languages)
        if data_dir is None:
            found = find_all(task, progress=screen.progress())
            paths = [source.path for source, file in zip(found, task.files, strict=True) if file.downloadable]
        else:
            paths = list(provide(task, data_dir, progress=screen.progress()))
        folders = sorted({str(path.parent) for path in paths})
        by_hand = [find(file, data_dir=data_dir, root=task.root) for file in task.files if file.unchecked]
        nothing = _BY_HAND if by_hand else _NOTHING if task.files else _BY_READER
        click.echo(f"{task.name}: {len(paths)} files in {', '.join(folders)}" if paths else nothing.format(task.name))
        if task.images is not None and any(file.url for file in task.files):
            narrowed = task.model_copy(update={"languages": task.choose(languages)})
            click.echo(_provided_images(narrowed, data_dir, screen.progress()))


@command.command(
    "make",
    epilog="""\b
Examples:
  mlbench tasks make mini-images ./mini-images
  mlbench tasks make mini-images ./more --drawings 100 --seed 2
  mlbench tasks check ./mini-images/test""",
)
@click.argument("name", type=click.Choice(["mini-images"]), metavar="NAME")
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@click.option(
    "--drawings",
    type=click.IntRange(min=1, max=1000),
    default=40,
    show_default=True,
    metavar="N",
    help="Images for training of each combination.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=1, max=2**32 - 1),
    default=1,
    show_default=True,
    metavar="N",
    help="Of the images for training; those for evaluation are always the same.",
)
@pass_screen
def make_(screen: Screen, name: str, folder: Path, drawings: int, seed: int) -> None:
    """Draw the images of mini-images and caption them in 11 languages: DIR/test and DIR/train.

    An image shows one to four shapes of one kind and colour. DIR/test is what `--task mini-images` measures: 64
    combinations that DIR/train has not, though it has each shape, colour and count, and each pair of them.
    """
    from mlbench.tasks.mini_images.drawing import make

    test, train = make(folder, seed=seed, drawings=drawings, progress=screen.progress())
    for part, images, use in (("test", test, "evaluation"), ("train", train, "training")):
        click.echo(f"{shlex.quote(str(folder / part))}: {images:,} images for {use}, captioned in 11 languages")


def _provided_images(task: Task, data_dir: Path | None, progress: Progress) -> str:
    """Have the images of a task where a run finds them, and say how many there are."""
    collection = provide_images(task, data_dir, progress=progress)
    folders = sorted({str(row.text.path.parent) for row in collection.documents[IMAGE] if isinstance(row.text, Image)})
    return f"{task.name}: {len(collection.documents[IMAGE]):,} images in {', '.join(folders)}"


def _look_through(task: Task, data_dir: Path | None, progress: Progress) -> Collection:
    # Corpora in shards may be larger than memory.
    if is_sharded(task):
        return look_through(task, data_dir=data_dir, progress=progress).collection
    return load_collection(task, data_dir=data_dir, progress=progress)


def _restricted(task: Task, languages: tuple[str, ...] | None) -> Task:
    """Return the task with the files of some languages alone; raises `UnknownName` for one that it has not."""
    wanted = task.choose(languages)
    return task.model_copy(update={"files": tuple(file for file in task.files if file.language in (None, *wanted))})


def summary(task: Task) -> dict[str, object]:
    """Return the facts of a task that fit into one row of a list."""
    return {
        "name": task.name,
        "title": task.title,
        "languages": task.languages,
        "kind": task.kind,
        "queries": sum(task.expected.queries.values()),
        "documents": sum(task.expected.documents.values()),
        "settings": {kind: count_settings(len(task.languages), kind) for kind in task.settings},
        "licence": task.licence,
    }


def describe(task: Task) -> str:
    """Return all facts of a task as text, one per line, without a line feed at the end."""
    settings = [f"{count_settings(len(task.languages), kind):,} {kind}" for kind in task.settings]
    rows = {
        "task": f"{task.name}, version {task.version}",
        "title": task.title,
        "kind": task.kind,
        "languages": " ".join(task.languages),
        "parallel": "yes: topics are shared across languages" if task.parallel else "no",
        "relevant": {
            None: "documents are translations of each other if equally many in each language",
            "translations": "documents are translations of each other",
            "native": "documents are native, not translations of each other",
        }[task.documents],
        "left out": "documents with the id of the query" if task.ignore_identical_ids else "",
        "queries": _counts(task.expected.queries),
        "documents": _counts(task.expected.documents),
        "settings": ", ".join(settings),
        "document text": task.document_text if task.kind == "text" else "",
        "reader": task.reader,
        "options": "  ".join(f"{key} = {value}" for key, value in task.options.items()),
        "measures": " ".join(task.measures),
        "primary": task.primary_measure,
        "bias scores": " ".join(task.bias_scores),
        "licence": f"{task.licence} {task.licence_url}".strip(),
        "source": task.source or task.hub or "",
        "size": _size(task.files),
        "read": _read(task),
        "homepage": task.homepage,
        "citation": task.citation.strip().replace("\n", "\n" + " " * 15),
    }
    lines = [f"{name:<15}{text}" for name, text in rows.items() if text]
    shown = task.files if len(task.files) <= _SCREEN else task.files[:_MOST_LISTED]
    lines += [f"{'file':<15}{_file(file)}" for file in shown]
    if len(shown) < len(task.files):
        lines.append(f"{'':<15}and {len(task.files) - len(shown):,} more, which --json lists")
    if task.images is not None:
        lines.append(f"{'images':<15}{', else '.join((task.images.folder, *task.images.also))}")
        lines += [f"{'images from':<15}{task.images.source}"] if task.images.source else []
        lines += [f"{'archive':<15}{_file(archive)}" for archive in task.images.archives]
    return "\n".join(lines)


def _size(files: Sequence[DeclaredFile]) -> str:
    """Return how large files are together, such as `12 files, 3,456 bytes`; "" without files or known sizes."""
    known = [file.bytes for file in files if file.bytes is not None]
    without = f", without {count(len(files) - len(known), 'file')} of unknown size" if len(known) < len(files) else ""
    return f"{count(len(files), 'file')}, {sum(known):,} bytes{without}" if known else ""


def _read(task: Task) -> str:
    """Return what of a task's published files this project has read; "" for a task whose files come with it."""
    if not any(file.url or file.checksum or file.unchecked for file in task.files):
        return ""
    roles = dict.fromkeys(task.role_of(file) for file in task.files)
    others = [role for role in roles if role not in task.read_here]
    parts = [f"here, as published: {', '.join(task.read_here)}"] if task.read_here else []
    parts += [f"layout only: {', '.join(others)}"] if others else []
    return "; ".join(parts)


def _file(file: DeclaredFile) -> str:
    """Return path, size, checksum and address of a file, as far as they are known."""
    size = f"{file.bytes:,} bytes" if file.bytes is not None else ""
    checksum = f"{'sha256' if file.sha256 else 'md5'} {file.checksum}" if file.checksum else ""
    by_hand = "" if file.downloadable or not (file.url or file.reason) else "to be fetched by hand"
    by_hand += f" ({file.reason})" if file.reason else ""
    by_hand += ":" if by_hand and file.url else ""
    known = ", ".join(part for part in (size, checksum) if part)
    return "  ".join(part for part in (file.path, known, " ".join((by_hand, file.url or "")).strip()) if part)


def count_clusters(collection: Collection) -> str:
    """Return how many topics and clusters there are, such as `1,190 topics in 48 clusters (article)`."""
    clusters = count(len(set(collection.clusters.values())), "cluster")
    return f"{count(len(collection.clusters), 'topic')} in {clusters} ({collection.cluster_unit})"


def _counts(counts: dict[str, int]) -> str:
    if len(counts) > _MOST_SHOWN and len(set(counts.values())) == 1:
        return f"{sum(counts.values()):,}: {next(iter(counts.values())):,} in each language"
    each = "  ".join(f"{language} {count:,}" for language, count in counts.items())
    return f"{sum(counts.values()):,}: {each}" if counts else ""


def _print_counts(collection: Collection) -> None:
    from rich.table import Table

    ids = {language: {row.doc_id for row in rows} for language, rows in collection.documents.items()}
    judged = {language: [0, 0] for language in collection.languages}
    for judgment in (row for rows in collection.judgments.values() for row in rows):
        judged[judgment.language][judgment.doc_id not in ids[judgment.language]] += 1
    table = Table(box=None, pad_edge=False)
    table.add_column("language")
    for heading in ("queries", "documents", "relevant", "relevant but missing"):
        table.add_column(heading, justify="right")
    alike: dict[tuple[int, ...], list[str]] = {}
    for language, (there, missing) in judged.items():
        # Documents of shards are not held here; images and captions that are left out are none.
        elsewhere = 0 if IMAGE in judged else collection.left_out.get(language, 0)
        documents = len(collection.documents[language]) + elsewhere
        counts: tuple[int, ...] = (len(collection.queries[language]), documents, there, missing)
        alike.setdefault(counts if len(judged) > _SCREEN else (*counts, len(alike)), []).append(language)
    for counts, languages in alike.items():
        others = len(languages) - _MOST_LISTED
        shown = [*languages[:_MOST_LISTED], *([f"and {others:,} more"] if others > 0 else [])]
        table.add_row(" ".join(shown), *(f"{count:,}" for count in counts[:4]))
    console().print(table)


def _listed(task: str, error: UserError, faults: Sequence[str]) -> UserError:
    """Print several faults on a line each, and return the error that ends the command."""
    if len(faults) < 2:
        return error
    for fault in faults:
        click.echo(fault, err=True)
    return UserError(f"{task} has {len(faults)} faults, listed above")
