"""Reads training rows: tasks, JSON lines, captioned images, and what the library `datasets` loads."""

import gzip
import json
import zlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files as package_files
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

from mlbench.collection.languages import IMAGE, check_language
from mlbench.collection.records import Collection, Image
from mlbench.errors import DataError, MissingExtra, UnknownName
from mlbench.io.cache import cache_dir, offline
from mlbench.protocols import SILENCE, Progress
from mlbench.tasks.files import download, file_sha256, local, user_folders
from mlbench.tasks.find_reader import FOLDER_FILE
from mlbench.tasks.load import check_files, load_collection
from mlbench.tasks.task import DeclaredFile, Task, load_task, task_names
from mlbench.training.recipe_tables import DataSet
from mlbench.version import __version__

if TYPE_CHECKING:
    import datasets

# What decides which rows are read from a hub's data set.
_READ = {"hub", "configuration", "folder", "revision", "split", "columns", "language"}

# What decides which rows are made of a task's files; its title, licence and measures do not.
_DECIDES = {"name", "reader", "options", "parallel", "document_text"}


class CaptionRow(NamedTuple):
    """An image and one caption in each of some languages; rows of the same `cluster` show the same, or nearly so."""

    cluster: str
    image: Image
    captions: dict[str, str]


@dataclass(frozen=True, slots=True)
class TrainingRow:
    """One topic: its queries and documents by language.

    `is_text` says that both are views of the same texts. `negatives` are (language, text) of documents that do not
    answer the query. `place` says where it stands, for messages. A row without an id has no topic but its own.

    A captioned image is one of the queries, the last, in `IMAGE`; its captions are queries and documents.
    """

    topic: str | None
    queries: Mapping[str, str]
    documents: Mapping[str, str]
    is_text: bool
    negatives: tuple[tuple[str, str], ...]
    place: str


@dataclass(frozen=True, slots=True)
class TaskRows:
    """A task that rows are made of, in some of its languages; `data_dir` is where its files are looked for first."""

    task: Task
    languages: tuple[str, ...]
    data_dir: Path | None


@dataclass(frozen=True, slots=True)
class DataSource:
    """A data set found: tasks, verified files, a hub's table or a folder of images.

    `fingerprint` changes with the content. `files` are (path as declared, SHA-256) of the tasks' files and of `paths`.
    """

    data: DataSet
    paths: tuple[Path, ...]
    fingerprint: str
    table: "datasets.Dataset | None" = None
    folder: Path | None = None
    tasks: tuple[TaskRows, ...] = ()
    files: tuple[tuple[str, str], ...] = ()

    @property
    def credits(self) -> dict[str, str]:
        """Licence, homepage and citation of the data set; those of several tasks, each beside its task's name."""
        keys = ("licence", "homepage", "citation")
        tasks = [part.task for part in self.tasks]
        if not tasks:
            return {key: str(getattr(self.data, key)) for key in keys}
        # A citation may be a BibTeX entry of many lines.
        return {
            key: " ".join("; ".join(f"{task.name}: {getattr(task, key)}" for task in tasks).split()) for key in keys
        }


def training_set_names() -> tuple[str, ...]:
    """Return the sorted names of the shipped training sets, which `tasks` of a data set may name as it may tasks."""
    return tuple(sorted(path.stem for path in _training_sets().glob("*.toml")))


def load_any_task(spec: str, *, languages: Sequence[str] | None = None) -> Task:
    """Return the shipped training set that `spec` names, else what `load_task` returns; raises as that does."""
    named = str(_training_sets() / f"{spec}.toml") if spec in training_set_names() else spec
    return load_task(named, languages=languages)


def load_training_set(spec: str, root: Path = Path()) -> Task:
    """Return the task that `spec` names in a recipe whose folder is `root`.

    It is the path of a task file or a folder below `root`, or what `load_any_task` takes. Raises as `load_task` does,
    and `DataError` for a task of images.
    """
    beside = root / spec
    try:
        task = load_any_task(str(beside) if beside.exists() and spec not in training_set_names() else spec)
    except UnknownName as error:
        raise UnknownName("task or training set", spec, {*training_set_names(), *task_names()}) from error
    if task.kind == "image_text":
        raise DataError(f"{spec} is a task of captioned images: name their folder with captions instead of tasks")
    return task


def _training_sets() -> Path:
    return Path(str(package_files("mlbench.recipe_files"))) / "data"


def find_source(
    data: DataSet,
    root: Path,
    data_dir: Path | None,
    progress: Progress = SILENCE,
    *,
    languages: Sequence[str] | None = None,
) -> DataSource:
    """Find the files of a data set as those of a task are found, or load it from the hub or its local copy.

    Files without a checksum lie in `root` or a folder with data, as does a local copy. Of tasks, only `languages` are
    read (None: all of them). Raises `DataError` for what is missing or altered.
    """
    if data.tasks:
        return _find_tasks(data, root, data_dir, progress, languages)
    if data.hub is not None:
        table = _hub_table(data, (root, *user_folders(data_dir)))
        about = data.model_dump_json(include=_READ)
        return DataSource(data, (), sha256(f"{about}{table._fingerprint}".encode()).hexdigest(), table)
    if data.captions is not None:
        folder = find_folder(data.captions, (root, *user_folders(data_dir)))
        return DataSource(data, (), fingerprint_of(folder), folder=folder)
    paths, digests = [], []
    for file in data.files:
        path = local(file, data_dir=data_dir, root=_own_folder(file, (root, *user_folders(data_dir))))
        if path is None:
            progress.note(f"{data.name}: licence {data.licence}; please cite {data.citation or data.homepage}")
            path = download(file, cache_dir() / "data", progress=progress)
        paths.append(path)
        digests.append(file.sha256 or file_sha256(path))
    files = tuple((file.path, digest) for file, digest in zip(data.files, digests, strict=True))
    return DataSource(data, tuple(paths), sha256("".join(digests).encode()).hexdigest(), files=files)


def _find_tasks(
    data: DataSet, root: Path, data_dir: Path | None, progress: Progress, languages: Sequence[str] | None
) -> DataSource:
    tasks, files, found = [], list[tuple[str, str]](), sha256()
    for spec in data.tasks:
        task = load_training_set(spec, root)
        wanted = tuple(tag for tag in task.languages if languages is None or tag in languages)
        if not wanted:
            raise DataError(f"{spec} has none of the languages of the recipe: it has {', '.join(task.languages)}")
        read = check_files(task, languages=wanted, data_dir=data_dir, progress=progress)
        digests = [file_sha256(source.path) for source in read]
        parts = [(source.role, source.language) for source in read]
        about = task.model_dump(mode="json", include=_DECIDES)
        # What a reader makes of the same files may be another thing in another version.
        found.update(json.dumps([__version__, about, wanted, parts, digests]).encode())
        files += dict(zip((source.name for source in read), digests, strict=True)).items()
        tasks.append(TaskRows(task, wanted, data_dir))
    return DataSource(data, (), found.hexdigest(), tasks=tuple(tasks), files=tuple(files))


def _own_folder(file: DeclaredFile, folders: Sequence[Path]) -> Path:
    """Return the folder where a file without a checksum lies, the first one where it has a checksum."""
    holding = [folder for folder in folders if file.sha256 or (folder / file.path).is_file()]
    if not holding:
        why = f" ({file.reason})" if file.reason else ""
        raise DataError(
            f"{file.path} is missing{why}: put it beside the recipe, or as DIR/{file.path} and pass --data-dir DIR"
        )
    return holding[0]


def _hub_table(data: DataSet, folders: Sequence[Path]) -> "datasets.Dataset":
    try:
        import datasets
    except ImportError as error:
        raise MissingExtra("data sets of a hub", "train") from error
    if offline():
        # The library knows a variable of its own alone, and read it when it was imported.
        datasets.config.HF_HUB_OFFLINE = True
    assert data.hub is not None
    copies = [folder / Path(data.hub).expanduser() for folder in folders]
    name = next((str(copy) for copy in copies if copy.exists()), data.hub)
    try:
        table = datasets.load_dataset(
            name, data.configuration, data_dir=data.folder, split=data.split, revision=data.revision
        )
    except Exception as error:
        # The library, its builders and the network fail in many ways.
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise DataError(f"{data.name}: {data.hub} cannot be loaded: {first}") from error
    missing = [column for column in data.columns.values() if column not in table.column_names]
    if missing:
        raise DataError(f"{data.name}: {data.hub} has no column {missing[0]}: it has {', '.join(table.column_names)}")
    return table


def find_folder(name: str, folders: Sequence[Path]) -> Path:
    """Return the folder of captioned images called `name` in the first of `folders` that has one.

    Raises `DataError` where none has.
    """
    for folder in folders:
        if any((folder / name).glob("captions.*.jsonl")):
            return folder / name
    raise DataError(
        f"{name} is no folder with images/ and captions.LANGUAGE.jsonl: put it beside the recipe, or as DIR/{name} "
        "and pass --data-dir DIR"
    )


def fingerprint_of(folder: Path) -> str:
    """Return a SHA-256 (hex) that changes with what is in a folder of captioned images.

    Images are told apart by name, size and time, so that the many that there may be need not be read.
    """
    found = sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            about = path.stat()
            written = path.suffix == ".jsonl" or path.name == FOLDER_FILE
            content = sha256(path.read_bytes()).hexdigest() if written else f"{about.st_size} {about.st_mtime_ns}"
            found.update(f"{path.relative_to(folder).as_posix()}\n{content}\n".encode())
    return found.hexdigest()


def read_rows(source: DataSource, progress: Progress = SILENCE) -> Iterator[TrainingRow]:
    """Yield the rows of a source, in order; raises `DataError` that names the place of a row that cannot be used."""
    if source.folder is not None:
        for cluster, image, captions in read_captions(source.folder, progress):
            yield TrainingRow(cluster, captions | {IMAGE: image}, captions, True, (), image.path.name)
    if source.table is not None:
        yield from _hub_rows(source.data, source.table)
    for part in source.tasks:
        yield from _task_rows(part, progress)
    for path in source.paths:
        yield from _file_rows(path)


def _task_rows(part: TaskRows, progress: Progress) -> Iterator[TrainingRow]:
    """Yield a row for each topic; where it has several relevant documents in a language, one row for each of them.

    The topics of different tasks are different, so the name of the task goes before their ids.
    """
    collection = load_collection(part.task, languages=part.languages, data_dir=part.data_dir, progress=progress)
    queries: dict[str, dict[str, str]] = defaultdict(dict)
    for language, rows in collection.queries.items():
        for topic, text in rows:
            queries[topic][language] = text
    documents = _texts_by_id(collection)
    for topic, judgments in collection.judgments.items():
        name, texts = f"{part.task.name}:{topic}", queries[topic]
        if collection.queries_are_documents:
            yield TrainingRow(name, texts, texts, True, (), name)
            continue
        relevant: dict[str, list[str]] = defaultdict(list)
        for judgment in judgments:
            if judgment.doc_id in documents:
                relevant[judgment.language].append(documents[judgment.doc_id])
        for texts_of_row in zip_longest(*relevant.values()):
            found = {tag: text for tag, text in zip(relevant, texts_of_row, strict=True) if text is not None}
            yield TrainingRow(name, texts, found, False, (), name)


def _file_rows(path: Path) -> Iterator[TrainingRow]:
    opened = gzip.open if path.suffix == ".gz" else Path.open
    try:
        with opened(path, "rb") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield _row(_parse(line, f"{path.name}:{number}"), f"{path.name}:{number}")
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read: {error}") from error


def _parse(line: bytes, place: str) -> Mapping[str, object]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{place}: not a line of JSON: {error}") from error
    if not isinstance(value, dict):
        raise DataError(f"{place}: a row is an object such as {{'id': 'a', 'texts': {{'en': '...', 'de': '...'}}}}")
    return value


def _row(value: Mapping[str, object], place: str) -> TrainingRow:
    """Return the row that a JSON object of one of the three forms describes."""
    topic = None if value.get("id") is None else str(value["id"])
    if "texts" in value:
        texts = _texts(value["texts"], "texts", place)
        return TrainingRow(topic, texts, texts, True, _negatives(value.get("negatives"), None, place), place)
    if "queries" in value and "passages" in value:
        queries, documents = (_texts(value[key], key, place) for key in ("queries", "passages"))
        return TrainingRow(topic, queries, documents, False, _negatives(value.get("negatives"), None, place), place)
    if {"lang", "query", "passage"} <= value.keys():
        tag = str(value["lang"])
        queries, documents = (_texts({tag: value[key]}, key, place) for key in ("query", "passage"))
        return TrainingRow(topic, queries, documents, False, _negatives(value.get("negatives"), tag, place), place)
    raise DataError(f"{place}: a row has texts, or queries and passages, or lang, query and passage")


def _texts(value: object, key: str, place: str) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(text, str | None) for text in value.values()):
        raise DataError(f"{place}: {key} must {'map languages to texts' if key.endswith('s') else 'be a text'}")
    texts = {_tag(tag, place): text for tag, text in value.items()}
    if len(texts) < len(value):
        raise DataError(f"{place}: {key} has one language twice: {', '.join(sorted(value))}")
    return {tag: text for tag, text in sorted(texts.items()) if text and text.strip()}


def _negatives(value: object, tag: str | None, place: str) -> tuple[tuple[str, str], ...]:
    if value is None:
        return ()
    by_language = {tag: value} if isinstance(value, list) and tag is not None else value
    if not isinstance(by_language, dict) or not all(isinstance(texts, list) for texts in by_language.values()):
        raise DataError(f"{place}: negatives must be a list of texts, or map languages to lists of texts")
    found = [(_tag(tag, place), text) for tag, texts in sorted(by_language.items()) for text in texts]
    if not all(isinstance(text, str) for _, text in found):
        raise DataError(f"{place}: a negative must be a text")
    return tuple((tag, text) for tag, text in found if text.strip())


def _tag(tag: str, place: str) -> str:
    try:
        return check_language(tag)
    except Exception as error:
        raise DataError(f"{place}: {error}") from error


def _hub_rows(data: DataSet, table: "datasets.Dataset") -> Iterator[TrainingRow]:
    columns = data.columns
    for number, value in enumerate(table, start=1):
        found = cast(Mapping[str, object], value)
        place = f"{data.name}:{number}"
        negatives = found[columns["negatives"]] if "negatives" in columns else None
        plain = {
            "id": found.get("id"),
            "lang": data.language or found[columns["language"]],
            "query": found[columns["query"]],
            "passage": found[columns["document"]],
            "negatives": [negatives] if isinstance(negatives, str) else negatives,
        }
        yield _row(plain, place)


def read_captions(folder: Path, progress: Progress) -> Iterator[CaptionRow]:
    """Yield the k-th captions of every image in all languages that have so many, for every k.

    Raises `DataError` for captions that cannot be used and images that are missing; those that cannot be decoded are
    left out with their captions, and told.
    """
    collection = load_collection(load_task(str(folder)), progress=progress)
    texts = _texts_by_id(collection)
    for topic, image in collection.queries[IMAGE]:
        assert isinstance(image, Image)
        by_language: dict[str, list[str]] = defaultdict(list)
        for judgment in collection.judgments[topic]:
            by_language[judgment.language].append(texts[judgment.doc_id])
        for captions in zip_longest(*(by_language[language] for language in sorted(by_language))):
            numbered = zip(sorted(by_language), captions, strict=True)
            yield CaptionRow(
                collection.clusters[topic], image, {language: text for language, text in numbered if text is not None}
            )


def _texts_by_id(collection: Collection) -> dict[str, str]:
    """Return the texts of all documents but images, by their ids."""
    return {
        document.doc_id: document.text
        for language in collection.languages
        if language != IMAGE
        for document in collection.documents[language]
    }
