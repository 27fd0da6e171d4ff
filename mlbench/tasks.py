"""Task files: what is measured on which data, declared in TOML; every fault of a file is reported at once."""

import re
from collections.abc import Sequence
from importlib.resources import files as package_files
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    Field,
    PlainValidator,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from mlbench import measures, plugins
from mlbench.bias import BIAS_SCORES
from mlbench.declarations import (
    Declared,
    DeclaredFile,
    DeclaredImages,
    Language,
    Sorted,
    checked,
    distinct,
    faults_of,
    known,
    read_toml,
    relative_path,
    some,
)
from mlbench.errors import DataError, InvalidTask, UnknownName, suggest
from mlbench.languages import IMAGE, IMAGE_KINDS, TEXT_KINDS, Kind, settings_of
from mlbench.protocols import Declaring, Parameter

DEFAULT_MEASURES = ("AP", "RR", "RR@10", "R@1", "R@10", "R@100", "nDCG@10", "Success@10")
FOLDER_FILE = "task.toml"

_IMAGE_TEXT: dict[str, object] = {
    "settings": IMAGE_KINDS,
    "measures": ("Success@1", "Success@5", "Success@10", "AP", "RR", "R@1", "R@5", "R@10"),
    "primary_measure": "Success@1",
    "bias_scores": (
        "rank_distance",
        "rank_distance_median",
        "rank_distance_log2",
        "max_rank",
        "max_rank_norm",
        "complete@m",
        "complete@20",
        "complete@100",
        "language_prior",
        "rank_spread",
        "language_share@10",
        "language_share@20",
        "worst_language",
    ),
}
"""What a task of captioned images has where its file does not say: the field's hit rates, and no score that compares
the language of a query to that of a document."""

_SCHEME = re.compile(r"([a-z][a-z0-9_]+):(.*)\Z", re.DOTALL)
_FOLDER_FILES = re.compile(r"(?P<role>queries|documents|captions)\.(?P<language>[^.]+)\.jsonl|(?P<qrels>qrels)\.tsv")


def _parameter(value: object) -> object:
    if not isinstance(value, Parameter):
        raise ValueError(f"must be a string, a number or a truth value, not {value!r:.60}")
    return value


Measure = Annotated[str, checked(lambda name: measures.parse(name).name)]
BiasScore = Annotated[str, known("bias score", lambda: BIAS_SCORES)]


class Expected(Declared):
    """How many queries and documents each language must have, and how many settings each kind."""

    queries: dict[str, int] = Field(default={})
    documents: dict[str, int] = Field(default={})
    settings: dict[Kind, int] = Field(default={})


class Task(Declared):
    """A collection, its settings and its measures, as a task file declares them."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9]+([._-][a-z0-9]+)*$")]
    version: str = "1"
    kind: Literal["text", "image_text"] = "text"
    title: str = ""
    reader: Annotated[str, known("reader", lambda: plugins.names(plugins.READERS))]
    options: dict[str, Annotated[Parameter, PlainValidator(_parameter)]] = Field(default={})
    languages: Annotated[tuple[Language, ...], Sorted, Field(strict=False)]
    parallel: bool = True
    settings: Annotated[tuple[Kind, ...], AfterValidator(some), Field(strict=False)] = TEXT_KINDS
    document_text: Literal["sentence", "sentence_in_context"] = "sentence"
    measures: Annotated[tuple[Measure, ...], AfterValidator(some), Field(strict=False)] = DEFAULT_MEASURES
    bias_scores: Annotated[tuple[BiasScore, ...], AfterValidator(distinct), Field(strict=False)] = tuple(BIAS_SCORES)
    primary_measure: Annotated[Measure, Field(validate_default=True)] = "AP"
    licence: str = "not stated"
    licence_url: str = ""
    homepage: str = ""
    citation: str = ""
    files: Annotated[
        tuple[DeclaredFile, ...], AfterValidator(distinct), Field(strict=False, validate_default=True)
    ] = ()
    images: Annotated[DeclaredImages | None, Field(validate_default=True)] = None
    expected: Expected = Expected()

    _root: Path = PrivateAttr(default=Path())

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_kind(cls, table: object) -> object:
        if isinstance(table, dict) and table.get("kind") == "image_text":
            measures = table.get("measures")
            primary = {"primary_measure": measures[0]} if measures and isinstance(measures, list | tuple) else {}
            return _IMAGE_TEXT | primary | table
        return table

    @property
    def corpora(self) -> tuple[str, ...]:
        """The languages, and `IMAGE` where images are captioned in them, sorted."""
        return tuple(sorted((*self.languages, IMAGE))) if self.kind == "image_text" else self.languages

    @property
    def root(self) -> Path:
        """The folder of the task file: where files without a checksum lie."""
        return self._root

    @field_validator("settings")
    @classmethod
    def _of_the_kind(cls, settings: tuple[Kind, ...], info: ValidationInfo) -> tuple[Kind, ...]:
        allowed = IMAGE_KINDS if info.data.get("kind") == "image_text" else TEXT_KINDS
        wrong = [kind for kind in settings if kind not in allowed]
        if wrong:
            raise ValueError(f"{wrong[0]!r} is no kind of setting of a task like this: {', '.join(allowed)}")
        return settings

    @field_validator("primary_measure")
    @classmethod
    def _among_measures(cls, name: str, info: ValidationInfo) -> str:
        if name not in info.data.get("measures", (name,)):
            raise ValueError(f"{name!r} must be among measures")
        return name

    @field_validator("files")
    @classmethod
    def _some_files(cls, files: tuple[DeclaredFile, ...], info: ValidationInfo) -> tuple[DeclaredFile, ...]:
        reader = info.data.get("reader")
        if not files and (reader is None or not isinstance(plugins.load(plugins.READERS, reader), Declaring)):
            raise PydanticCustomError("missing", "is missing")
        return files

    @field_validator("images")
    @classmethod
    def _where_images_are(cls, images: DeclaredImages | None, info: ValidationInfo) -> DeclaredImages | None:
        captioned = info.data.get("kind") == "image_text"
        if captioned and images is None:
            raise ValueError('must say where the images are, as in [images] folder = "my-data/images"')
        if images is not None and not captioned:
            raise ValueError('are for tasks of kind "image_text"')
        return images

    @field_validator("expected")
    @classmethod
    def _of_the_languages(cls, expected: Expected, info: ValidationInfo) -> Expected:
        if "languages" not in info.data or "settings" not in info.data:
            return expected
        languages, faults = info.data["languages"], []
        for what, counts in (("queries", expected.queries), ("documents", expected.documents)):
            known_tags = (*languages, IMAGE) if info.data.get("kind") == "image_text" else languages
            faults += [f"{what}.{tag}: not among languages" for tag in counts if tag not in known_tags]
        for kind, count in expected.settings.items():
            given = len(settings_of(languages, {kind} & set(info.data["settings"])))
            if given != count:
                faults.append(f"settings.{kind}: {count}, but the languages and settings of the task give {given}")
        if faults:
            raise ValueError(", ".join(faults))
        return expected


def task_names() -> tuple[str, ...]:
    """Return the sorted names of the shipped tasks."""
    return tuple(sorted(path.stem for path in _shipped().glob("*.toml")))


def load_task(spec: str, *, languages: Sequence[str] | None = None) -> Task:
    """Return the task that `spec` names: a shipped task, a TOML file, a folder of your own data, or `reader:locator`.

    A folder holds `queries.<lang>.jsonl`, `documents.<lang>.jsonl` and `qrels.tsv`, or `captions.<lang>.jsonl` and
    `images/`; a `task.toml` in it overrides the defaults. A reader that finds its data itself (see `Declaring`) makes a
    task of a locator, as in `irds:mr-tydi/th`; `languages` helps where the data do not know their own. Raises
    `InvalidTask` with all faults at once, `UnknownName` or `DataError` where there is nothing such.
    """
    if spec in task_names():
        return _load(_shipped() / f"{spec}.toml", spec)
    path = Path(spec)
    if path.is_dir() or path.is_file():
        return _load(path / FOLDER_FILE if path.is_dir() else path, spec)
    if match := _SCHEME.match(spec):
        reader = plugins.load(plugins.READERS, match[1]) if match[1] in plugins.names(plugins.READERS) else None
        if isinstance(reader, Declaring):
            table = reader.declare(match[2], None if languages is None else tuple(languages))
            return _validated({"reader": match[1]} | table, Path(), [], spec)
    if path.suffix == ".toml" or re.search(r"[/\\]", spec):
        raise DataError(f"there is no task file or folder {spec}")
    raise UnknownName("task", spec, task_names())


def _shipped() -> Path:
    return Path(str(package_files("mlbench.task_files")))


def _load(path: Path, source: str) -> Task:
    return _validated(*_table(path, source), source)


def _validated(table: dict[str, object], root: Path, faults: list[str], source: str) -> Task:
    try:
        task = Task.model_validate(table)
    except ValidationError as error:
        # What an unknown base or folder would have brought is not missing here.
        found = faults_of(error, Task, also_known=("extends", "folder"), skip=("missing",) if faults else ())
        raise InvalidTask(source, faults + found) from error
    if faults:
        raise InvalidTask(source, faults)
    task._root = root
    return task


def _table(path: Path, source: str) -> tuple[dict[str, object], Path, list[str]]:
    """Return what a task file says, its base, folder and defaults filled in; where its files lie; and its faults."""
    table: dict[str, object] = {"folder": ".", "name": _name_of(path.parent)} if path.name == FOLDER_FILE else {}
    root, faults = path.parent, list[str]()
    table |= read_toml(path, source, InvalidTask) if path.name != FOLDER_FILE or path.exists() else {}
    base, folder = table.pop("extends", None), table.pop("folder", None)
    if folder is not None and "files" not in table:
        try:
            found = _folder_files(root, str(folder))
            tags = sorted({entry["language"] for entry in found if "language" in entry})
            table = _folder_defaults(found, str(folder)) | {"files": found, "languages": tags} | table
        except ValueError as error:
            faults.append(f"folder: {error}")
    if base in task_names():
        inherited, its_root, _ = _table(_shipped() / f"{base}.toml", source)
        root = root if "files" in table else its_root
        stale = {"name", "expected"} if {"files", "languages", "settings"} & table.keys() else {"name"}
        table = {key: value for key, value in inherited.items() if key not in stale} | table
    elif base is not None:
        faults.append(f"extends: unknown task {base!r}: {suggest(str(base), task_names())}")
    return table, root, faults


def _name_of(folder: Path) -> str:
    return re.sub(r"[^a-z0-9]+", "-", folder.resolve().name.lower()).strip("-") or "own"


def _folder_defaults(entries: list[dict[str, str]], folder: str) -> dict[str, object]:
    """Return what the files of a folder say of its kind."""
    if all(entry["role"] != "captions" for entry in entries):
        return {"reader": "parallel_jsonl"}
    images = {"folder": str(PurePosixPath(folder, "images"))}
    return {"reader": "captions_jsonl", "kind": "image_text", "images": images}


def _folder_files(root: Path, folder: str) -> list[dict[str, str]]:
    """Return the entries of the files in `root / folder` that are named as the bring-your-own format asks."""
    inside = relative_path(folder) if folder != "." else "."
    entries = []
    for path in sorted((root / inside).glob("*")):
        if match := _FOLDER_FILES.fullmatch(path.name):
            named = {"role": match["role"] or match["qrels"], "language": match["language"]}
            entries.append({"path": str(PurePosixPath(inside, path.name))} | {k: v for k, v in named.items() if v})
    roles = {entry["role"] for entry in entries}
    if not roles - {"qrels"}:
        raise ValueError(
            f"there are no files queries.<lang>.jsonl and documents.<lang>.jsonl, or captions.<lang>.jsonl, "
            f"in {root / inside}"
        )
    if "captions" in roles and len(roles) > 1:
        raise ValueError(f"{root / inside} has both captions and {min(roles - {'captions'})}: keep them in two folders")
    return entries
