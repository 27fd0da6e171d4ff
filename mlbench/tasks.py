"""Task files: what is measured on which data, declared in TOML; every fault of a file is reported at once."""

import re
import tomllib
from collections import Counter
from collections.abc import Callable, Collection
from copy import deepcopy
from importlib.resources import files as package_files
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Annotated, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails

from mlbench import measures, plugins
from mlbench.bias import BIAS_SCORES
from mlbench.errors import DataError, InvalidTask, UnknownName, UserError, suggest
from mlbench.languages import KINDS, Kind, check_language, settings_of
from mlbench.protocols import Parameter

DEFAULT_MEASURES = ("AP", "RR", "RR@10", "R@1", "R@10", "R@100", "nDCG@10", "Success@10")
FOLDER_FILE = "task.toml"

Items = TypeVar("Items", bound=tuple[object, ...])

_FOLDER_FILES = re.compile(r"(?P<role>queries|documents)\.(?P<language>[^.]+)\.jsonl|(?P<qrels>qrels)\.tsv")


def _checked(check: Callable[[str], str]) -> AfterValidator:
    """Return a validator that reports a user's error of `check` as a fault of the field."""

    def validate(value: str) -> str:
        try:
            return check(value)
        except UserError as error:
            raise ValueError(str(error)) from error

    return AfterValidator(validate)


def _known(kind: str, names: Callable[[], Collection[str]]) -> AfterValidator:
    def check(name: str) -> str:
        if name not in names():
            raise UnknownName(kind, name, names())
        return name

    return _checked(check)


def _some(items: Items) -> Items:
    if not items:
        raise ValueError("must not be empty")
    return _distinct(items)


def _distinct(items: Items) -> Items:
    twice = [item for item, times in Counter(items).items() if times > 1]
    if twice:
        raise ValueError(f"{twice[0]!r:.80} is there twice")
    return items


def _parameter(value: object) -> object:
    if not isinstance(value, Parameter):
        raise ValueError(f"must be a string, a number or a truth value, not {value!r:.60}")
    return value


def _relative_path(path: str) -> str:
    pure = PurePosixPath(path)
    outside = pure.is_absolute() or PureWindowsPath(path).drive or re.search(r"(^|/)\.\.(/|$)|[\\\0]|[^/]{256}", path)
    if outside or not pure.parts:
        raise ValueError(f"{path!r} must be a relative path that stays inside its folder, such as 'xquad-r/ar.json'")
    return str(pure)


Language = Annotated[str, _checked(check_language)]
Measure = Annotated[str, _checked(lambda name: measures.parse(name).name)]
BiasScore = Annotated[str, _known("bias score", lambda: BIAS_SCORES)]
Sorted = AfterValidator(lambda tags: tuple(sorted(_some(tags))))
RelativePath = Annotated[str, AfterValidator(_relative_path)]


class _Declared(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class TaskFile(_Declared):
    """One file of a task; without `sha256` it lies beside the task file, with `url` it can be downloaded."""

    path: RelativePath
    role: str = "data"
    language: Language | None = None
    url: Annotated[str, Field(pattern=r"^https?://[^\s/]+/\S*$")] | None = None
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    bytes: Annotated[int, Field(ge=0)] | None = None

    @model_validator(mode="after")
    def _checksum(self) -> "TaskFile":
        if (self.sha256 is None) != (self.bytes is None):
            raise ValueError("sha256 and bytes go together")
        if self.url is not None and self.sha256 is None:
            raise ValueError("a file with a url needs sha256 and bytes")
        return self


class Expected(_Declared):
    """How many queries and documents each language must have, and how many settings each kind."""

    queries: dict[str, int] = {}
    documents: dict[str, int] = {}
    settings: dict[Kind, int] = {}


class Task(_Declared):
    """A collection, its settings and its measures, as a task file declares them."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9]+([._-][a-z0-9]+)*$")]
    version: str = "1"
    kind: Literal["text", "image_text"] = "text"
    title: str = ""
    reader: Annotated[str, _known("reader", lambda: plugins.names(plugins.READERS))]
    options: dict[str, Annotated[Parameter, PlainValidator(_parameter)]] = {}
    languages: Annotated[tuple[Language, ...], Sorted, Field(strict=False)]
    parallel: bool = True
    settings: Annotated[tuple[Kind, ...], AfterValidator(_some), Field(strict=False)] = KINDS
    document_text: Literal["sentence", "sentence_in_context"] = "sentence"
    measures: Annotated[tuple[Measure, ...], AfterValidator(_some), Field(strict=False)] = DEFAULT_MEASURES
    bias_scores: Annotated[tuple[BiasScore, ...], AfterValidator(_distinct), Field(strict=False)] = tuple(BIAS_SCORES)
    primary_measure: Annotated[Measure, Field(validate_default=True)] = "AP"
    licence: str = "not stated"
    licence_url: str = ""
    homepage: str = ""
    citation: str = ""
    files: Annotated[tuple[TaskFile, ...], AfterValidator(_some), Field(strict=False)]
    expected: Expected = Expected()

    _root: Path = PrivateAttr(default=Path())

    @property
    def root(self) -> Path:
        """The folder of the task file: where files without a checksum lie."""
        return self._root

    @field_validator("primary_measure")
    @classmethod
    def _among_measures(cls, name: str, info: ValidationInfo) -> str:
        if name not in info.data.get("measures", (name,)):
            raise ValueError(f"{name!r} must be among measures")
        return name

    @field_validator("expected")
    @classmethod
    def _of_the_languages(cls, expected: Expected, info: ValidationInfo) -> Expected:
        if "languages" not in info.data or "settings" not in info.data:
            return expected
        languages, faults = info.data["languages"], []
        for what, counts in (("queries", expected.queries), ("documents", expected.documents)):
            faults += [f"{what}.{tag}: not among languages" for tag in counts if tag not in languages]
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


def load_task(spec: str) -> Task:
    """Return the task that `spec` names: a shipped task, a path of a TOML file, or a folder of your own data.

    A folder holds `queries.<lang>.jsonl`, `documents.<lang>.jsonl` and `qrels.tsv`; a `task.toml` in it overrides the
    defaults. Raises `InvalidTask` with all faults at once, `UnknownName` or `DataError` where there is nothing such.
    """
    if spec in task_names():
        return _load(_shipped() / f"{spec}.toml", spec)
    path = Path(spec)
    if path.is_dir() or path.is_file():
        return _load(path / FOLDER_FILE if path.is_dir() else path, spec)
    if path.suffix == ".toml" or re.search(r"[/\\]", spec):
        raise DataError(f"there is no task file or folder {spec}")
    raise UnknownName("task", spec, task_names())


def _shipped() -> Path:
    return Path(str(package_files("mlbench.task_files")))


def _load(path: Path, source: str) -> Task:
    table, root, faults = _table(path, source)
    try:
        task = Task.model_validate(table)
    except ValidationError as error:
        # What an unknown base or folder would have brought is not missing here.
        details = [detail for detail in error.errors() if not (faults and detail["type"] == "missing")]
        raise InvalidTask(source, faults + [_fault(detail) for detail in details]) from error
    if faults:
        raise InvalidTask(source, faults)
    task._root = root
    return task


def _table(path: Path, source: str) -> tuple[dict[str, object], Path, list[str]]:
    """Return what a task file says, its base, folder and defaults filled in; where its files lie; and its faults."""
    table: dict[str, object] = {"folder": ".", "name": _name_of(path.parent)} if path.name == FOLDER_FILE else {}
    root, faults = path.parent, list[str]()
    table |= _parse(path, source) if path.name != FOLDER_FILE or path.exists() else {}
    base, folder = table.pop("extends", None), table.pop("folder", None)
    if folder is not None and "files" not in table:
        try:
            found = _folder_files(root, str(folder))
            tags = sorted({entry["language"] for entry in found if "language" in entry})
            table = {"reader": "parallel_jsonl", "files": found, "languages": tags} | table
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


def _parse(path: Path, source: str) -> dict[str, object]:
    try:
        if path.stat().st_size > 2**22:
            raise ValueError("the file is larger than 4 MiB")
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        # What is too deep to copy, or has numbers too long to print, no fault could show.
        repr(deepcopy(table))
        return table
    except OSError as error:
        raise DataError(f"{source} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise InvalidTask(source, [f"not valid TOML: {error}"]) from error


def _name_of(folder: Path) -> str:
    return re.sub(r"[^a-z0-9]+", "-", folder.resolve().name.lower()).strip("-") or "own"


def _folder_files(root: Path, folder: str) -> list[dict[str, str]]:
    """Return the entries of the files in `root / folder` that are named as the bring-your-own format asks."""
    inside = _relative_path(folder) if folder != "." else "."
    entries = []
    for path in sorted((root / inside).glob("*")):
        if match := _FOLDER_FILES.fullmatch(path.name):
            named = {"role": match["role"] or match["qrels"], "language": match["language"]}
            entries.append({"path": str(PurePosixPath(inside, path.name))} | {k: v for k, v in named.items() if v})
    if not any("language" in entry for entry in entries):
        raise ValueError(f"there are no files queries.<lang>.jsonl and documents.<lang>.jsonl in {root / inside}")
    return entries


def _fault(detail: ErrorDetails) -> str:
    """Say in one line what pydantic found, with the path of the key."""
    steps = [step for step in detail["loc"] if step != "[key]"]
    place = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps).lstrip(".")
    context = detail.get("ctx", {})
    match detail["type"]:
        case "extra_forbidden":
            message = f"unknown key: {suggest(str(detail['loc'][-1]), _known_keys(detail['loc']))}"
        case "missing":
            message = "is missing"
        case "value_error":
            message = str(context["error"])
        case "literal_error":
            known = re.findall(r"'([^']*)'", context["expected"])
            message = f"unknown value {detail['input']!r:.60}: {suggest(str(detail['input']), known)}"
        case "tuple_type" | "model_type" | "dict_type" as wanted:
            message = f"must be a {'list' if wanted == 'tuple_type' else 'table'}, not {detail['input']!r:.60}"
        case _:
            message = f"{detail['msg'][:1].lower()}{detail['msg'][1:]}, not {detail['input']!r:.60}"
    return f"{place}: {message}" if place else message


def _known_keys(place: tuple[int | str, ...]) -> list[str]:
    """Return the keys that the table around the unknown key at `place` may have."""
    models: dict[int | str, type[BaseModel]] = {"files": TaskFile, "expected": Expected}
    if len(place) > 1:
        return list(models[place[0]].model_fields)
    return [*Task.model_fields, "extends", "folder"]
