"""Task files: what a task is made of, declared in TOML, and every fault of a file at once."""

import re
from collections.abc import Mapping, Sequence
from importlib.resources import files as package_files
from pathlib import Path
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

from mlbench import entry_points, members
from mlbench.collection.languages import (
    IMAGE,
    IMAGE_KINDS,
    TEXT_KINDS,
    Kind,
    canonical_languages,
    count_settings,
    find_language,
    full_language,
    is_language,
    match_languages,
)
from mlbench.errors import DataError, InvalidTask, UnknownName, UserError, suggest
from mlbench.io.toml import (
    Declared,
    RelativePath,
    Sorted,
    checked,
    distinct,
    faults_of,
    known,
    read_toml,
    some,
)
from mlbench.measures.bias import BIAS_SCORES
from mlbench.measures.ranked import FAMILIES
from mlbench.measures.ranked import parse as parse_measure
from mlbench.protocols import Parameter
from mlbench.provenance import QuestionSet
from mlbench.tasks import hub
from mlbench.tasks.find_reader import FOLDER_FILE, describe_folder, describe_hub_set, is_pattern, load_reader

Language = Annotated[str, checked(full_language)]
Languages = Annotated[tuple[Language, ...], AfterValidator(canonical_languages), Sorted, Field(strict=False)]
"""The languages of a collection in any common form of their tags, which become the canonical ones, sorted."""
_WEB = re.compile(r"https?://[^\s/]+/\S*")


def _check_url(url: str) -> str:
    if url.startswith(hub.PREFIX):
        return str(hub.file_address(url))
    if not _WEB.fullmatch(url):
        raise UserError("must be an address such as https://example.org/file or hf://datasets/ORG/NAME@COMMIT/PATH")
    return url


def _check_hub_set(address: str) -> str:
    wanted = hub.HubAddress.parse(address.partition("#")[0])
    if not wanted.is_pinned:
        raise UserError("must name a commit (40 hex digits), as in hf://datasets/ORG/NAME@COMMIT")
    return address


class DeclaredFile(Declared):
    """A file with data; with `url` it can be downloaded.

    Without `sha256` (or `md5`, for what is published with no other) it lies beside the file that names it; an
    `unchecked` one, for which no checksum is known, is taken from the user's folders as it is, and its `url` only says
    where to get it. A file of a data set on the Hugging Face hub, `hf://datasets/ORG/NAME@COMMIT/PATH`, needs no
    checksum: the hub has a digest of each file at a commit. `reason` says in a few words why a file is not downloaded,
    such as a licence to accept first.
    """

    path: RelativePath
    role: str = "data"
    language: Language | None = None
    url: Annotated[str, checked(_check_url)] | None = None
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    md5: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")] | None = None
    bytes: Annotated[int, Field(ge=0)] | None = None
    unchecked: bool = False
    reason: str = ""

    @property
    def checksum(self) -> str | None:
        """The SHA-256 or the MD5 in hex, None for a file without either."""
        return self.sha256 or self.md5

    @property
    def downloadable(self) -> bool:
        """Whether it can be fetched: what arrives must be verified."""
        return self.url is not None and (self.checksum is not None or self.on_hub)

    @property
    def on_hub(self) -> bool:
        """Whether its `url` is that of a file on the Hugging Face hub."""
        return self.url is not None and self.url.startswith(hub.PREFIX)

    @model_validator(mode="after")
    def _checksum(self) -> "DeclaredFile":
        if self.sha256 and self.md5:
            raise ValueError("md5 is for a file without sha256")
        if self.unchecked and (self.checksum or self.on_hub):
            raise ValueError("unchecked is for a file without a checksum")
        if self.bytes is not None and self.checksum is None and not self.on_hub:
            raise ValueError("bytes goes with sha256")
        if self.url is not None and not self.downloadable and not self.unchecked:
            raise ValueError("a file with a url needs sha256")
        if self.reason and self.downloadable:
            raise ValueError("reason is for a file that is not downloaded: this one has a url and a checksum")
        return self


def _distinct_files(files: tuple[DeclaredFile, ...]) -> tuple[DeclaredFile, ...]:
    # Hashed, as there may be hundreds; a list of archives, or one with a file twice, is told as any other is.
    return files if len(set(files)) == len(files) else distinct(files)


class FileList(Declared):
    """A list of files beside the task file, for data sets of hundreds of them.

    The lines of `table` are language (or nothing), path, bytes and SHA-256, and the role where it is not `data`, with
    tabs between them. A file lies in `folder`, there and in folders of data, and is downloaded from its path below the
    address `url`.
    """

    table: RelativePath
    folder: RelativePath
    url: Annotated[str, Field(pattern=r"^https?://[^\s/]+/\S*[^/\s]$")]

    def files(self, root: Path) -> list[dict[str, object]]:
        """Return what a task file would say of each file; raises `ValueError` for a malformed line."""
        found: list[dict[str, object]] = []
        for number, line in enumerate((root / self.table).read_text(encoding="utf-8").splitlines(), start=1):
            language, path, size, sha256, *role = line.split("\t") if line.count("\t") in (3, 4) else ("",) * 4
            if not size.isdecimal():
                raise ValueError(f"{self.table} line {number}: must be 'language TAB path TAB bytes TAB sha256'")
            file = {"path": f"{self.folder}/{path}", "url": f"{self.url}/{path}", "bytes": int(size), "sha256": sha256}
            found.append(file | ({"language": language} if language else {}) | ({"role": role[0]} if role else {}))
        return found


class DeclaredArchive(DeclaredFile):
    """A zip or tar file with images; `holds` is a pattern of the names of the images in it, such as `*_val2014_*`."""

    holds: str = "*"


class DeclaredImages(Declared):
    """Where the images of a task are: in `folder`, or one of those in `also`, else in `archives`.

    What archives have is unpacked into `folder`. `source` says in one line where the images come from, for whoever must
    fetch them.
    """

    folder: RelativePath
    also: tuple[RelativePath, ...] = Field(default=(), strict=False)
    source: str = ""
    archives: Annotated[tuple[DeclaredArchive, ...], AfterValidator(distinct)] = Field(default=(), strict=False)


DEFAULT_MEASURES = ("AP", "RR", "RR@10", "R@1", "R@10", "R@100", "nDCG@10", "Success@10")
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
_ALSO = ("extends", "file_list", "folder")
"""The keys of a task file that are no fields of a task: they bring others."""
_FOLLOWS_FROM = {"settings": "parallel", "primary_measure": "measures"}
_SCHEME = re.compile(r"([a-z][a-z0-9_]+):(.*)\Z", re.DOTALL)


def _parameter(value: object) -> object:
    if not isinstance(value, Parameter):
        raise ValueError(f"must be a string, a number or a truth value, not {value!r:.60}")
    return value


def _ranking_measure(name: str) -> str:
    found = parse_measure(name)
    if not found.is_derived:
        raise UserError(f"{name!r} does not follow from ranks: choose one that mlbench verify recomputes")
    if FAMILIES[found.family].explanation.direction is None:
        raise UserError(f"{name!r} is neither better when higher nor when lower: choose another one")
    return found.name


Measure = Annotated[str, checked(lambda name: parse_measure(name).name)]
RankingMeasure = Annotated[str, checked(_ranking_measure)]
"""A measure by which systems are ranked: it follows from ranks, and one of its values is better than another."""
BiasScore = Annotated[str, known("bias score", lambda: BIAS_SCORES)]


EACH = "*"
"""Stands for every language in what is expected."""


class Expected(Declared):
    """How many queries and documents each language must have, `*` those not named, and how many settings each kind."""

    queries: dict[str, int] = Field(default={})
    documents: dict[str, int] = Field(default={})
    settings: dict[Kind, int] = Field(default={})


class Task(Declared):
    """A collection, its settings and its measures, as a task file declares them.

    `documents` says whether the relevant documents of a topic are translations of each other, or written each in its
    language; where it is None, the judgments decide (see `load_collection`). `built_from` are the data sets of
    questions that it was made from, which models may be trained on. `read_here` are the roles of the files that this
    project has read as published; of the others it knows the layout, from the publisher's description or code.
    `source` says in one line where the data come from that a reader finds itself. `hub` is a data set on the Hugging
    Face hub at one commit, whose files are listed when its data are first asked for (see `mlbench.tasks.load`).
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9]+([._-][a-z0-9]+)*$")]
    version: str = "1"
    kind: Literal["text", "image_text"] = "text"
    title: str = ""
    reader: Annotated[str, known("reader", lambda: entry_points.names(entry_points.READERS))]
    options: dict[str, Annotated[Parameter, PlainValidator(_parameter)]] = Field(default={})
    languages: Annotated[tuple[Language, ...], Sorted, Field(strict=False)]
    parallel: bool = True
    documents: Literal["translations", "native"] | None = None
    ignore_identical_ids: bool = False
    built_from: Annotated[tuple[QuestionSet, ...], AfterValidator(distinct), Field(strict=False)] = ()
    settings: Annotated[tuple[Kind, ...], AfterValidator(some), Field(strict=False)] = TEXT_KINDS
    document_text: Literal["sentence", "sentence_in_context"] = "sentence"
    measures: Annotated[tuple[Measure, ...], AfterValidator(some), Field(strict=False)] = DEFAULT_MEASURES
    bias_scores: Annotated[tuple[BiasScore, ...], AfterValidator(distinct), Field(strict=False)] = tuple(BIAS_SCORES)
    primary_measure: Annotated[RankingMeasure, Field(validate_default=True)] = "AP"
    licence: str = "not stated"
    licence_url: str = ""
    homepage: str = ""
    source: str = ""
    citation: str = ""
    hub: Annotated[str, checked(_check_hub_set)] | None = None
    files: Annotated[
        tuple[DeclaredFile, ...], AfterValidator(_distinct_files), Field(strict=False, validate_default=True)
    ] = ()
    read_here: Annotated[tuple[str, ...], AfterValidator(distinct), Field(strict=False)] = ()
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

    @model_validator(mode="before")
    @classmethod
    def _canonical_languages(cls, table: object) -> object:
        return _with_canonical_languages(table) if isinstance(table, dict) else table

    @property
    def corpora(self) -> tuple[str, ...]:
        """The languages, and `IMAGE` where images are captioned in them, sorted."""
        return tuple(sorted((*self.languages, IMAGE))) if self.kind == "image_text" else self.languages

    def with_measures(self, names: Sequence[str]) -> "Task":
        """Return the task with more measures, which stand first; they may have any of their names.

        Raises `UnknownName` and `UserError` for what is no measure.
        """
        if isinstance(names, str):
            raise UserError(f"measures must be a list of names, such as [{names!r}]")
        added = (name for name in (parse_measure(name).name for name in names) if name not in self.measures)
        found = dict.fromkeys((*added, *self.measures))
        return self.model_copy(update={"measures": tuple(found)})

    @property
    def root(self) -> Path:
        """The folder of the task file: where files without a checksum lie."""
        return self._root

    def role_of(self, file: DeclaredFile) -> str:
        """Return the role of a file, `data` for `data/de` where the files of `data` were read here, whatever part."""
        whole = file.role.partition("/")[0]
        return whole if whole in self.read_here else file.role

    @field_validator("languages", mode="before")
    @classmethod
    def _are_known(cls, languages: object) -> object:
        # What a reader declares of a folder whose data do not say it, where nobody else does.
        if languages is None:
            raise ValueError(
                f'the data do not say theirs: add --languages TAG, or languages = ["TAG"] in {FOLDER_FILE}'
            )
        return languages

    @field_validator("ignore_identical_ids")
    @classmethod
    def _of_texts(cls, ignore: bool, info: ValidationInfo) -> bool:
        if ignore and info.data.get("kind") == "image_text":
            raise ValueError("is for tasks of texts: no image is one of its captions")
        return ignore

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
        reader, on_hub = info.data.get("reader"), info.data.get("hub") is not None
        if files and on_hub:
            raise ValueError("are those of the data set that hub names: leave one of the two out")
        if not files and not on_hub and (reader is None or not members.describes_itself(load_reader(reader))):
            raise PydanticCustomError("missing", "is missing")
        languages = info.data.get("languages")
        if languages is None:
            return files
        if all(file.language in (None, *languages) for file in files) or not members.reads_languages_apart(
            load_reader(str(reader))
        ):
            return files
        return tuple(file for file in files if file.language in (None, *languages))

    @field_validator("read_here")
    @classmethod
    def _are_roles(cls, read: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if "files" in info.data:
            roles = {role for file in info.data["files"] for role in (file.role, file.role.partition("/")[0])}
            unknown = [role for role in read if role not in roles]
            if unknown:
                raise ValueError(f"no file has the role {unknown[0]!r}: {suggest(unknown[0], roles)}")
        return read

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
        counted: dict[str, dict[str, int]] = {"queries": expected.queries, "documents": expected.documents}
        for what, counts in counted.items():
            known_tags = (*languages, IMAGE) if info.data.get("kind") == "image_text" else languages
            names = match_languages(known_tags, counts)
            each = dict.fromkeys(languages, counts[EACH]) if EACH in counts else {}
            counted[what] = each | {names.get(tag, tag): count for tag, count in counts.items() if tag != EACH}
            faults += [f"{what}.{tag}: not among languages" for tag in counted[what] if tag not in known_tags]
        for kind, count in expected.settings.items():
            given = count_settings(len(languages), kind) if kind in info.data["settings"] else 0
            if given != count:
                faults.append(f"settings.{kind}: {count}, but the languages and settings of the task give {given}")
        if faults:
            raise ValueError(", ".join(faults))
        return expected.model_copy(update=counted)

    def choose(self, languages: Sequence[str] | None) -> tuple[str, ...]:
        """Return those of the task's languages that are meant, sorted; None means all of them.

        Raises `UserError` for what is no language tag, `UnknownName` for a language that the task has not.
        """
        if languages is None:
            return self.languages
        found = {tag: find_language(tag, self.languages) for tag in languages}
        for tag, language in found.items():
            if language is None:
                raise UnknownName(f"language of {self.name}", tag, self.languages)
        return tuple(sorted({language for language in found.values() if language is not None}))


def _with_canonical_languages(table: dict[str, object]) -> dict[str, object]:
    """Return a table with its languages, and those of its files, in their canonical forms.

    The files say which varieties there are: of files in `en` and `en-us`, `en-us` names the second. What is no language
    is left for the validation of its field.
    """
    languages, files = table.get("languages"), table.get("files")
    if not isinstance(languages, list | tuple):
        return table
    listed = files if isinstance(files, list | tuple) else ()
    there = _canonical([file.get("language") for file in listed if isinstance(file, dict)])
    own = _canonical(languages)
    among = tuple(there.values())
    found = {tag: find_language(tag, among) or form for tag, form in own.items()}
    given: dict[str, object] = {"languages": [found.get(str(tag), tag) for tag in languages]}
    if isinstance(files, list | tuple):
        given["files"] = [_in_language(file, there) if isinstance(file, dict) else file for file in files]
    return table | given


def _in_language(file: dict[str, object], forms: Mapping[str, str]) -> dict[str, object]:
    tag = file.get("language")
    return file | {"language": forms[tag]} if isinstance(tag, str) and tag in forms else file


def _canonical(tags: Sequence[object]) -> dict[str, str]:
    """Return the canonical form of each of the tags of a collection, but for what is no tag."""
    known = [tag for tag in tags if isinstance(tag, str) and is_language(tag)]
    return dict(zip(known, canonical_languages(known), strict=True))


def task_names() -> tuple[str, ...]:
    """Return the sorted names of the shipped tasks."""
    return tuple(sorted(path.stem for path in _shipped().glob("*.toml")))


def load_task(spec: str, *, languages: Sequence[str] | None = None) -> Task:
    """Return the task that `spec` names: a shipped task, a TOML file, a folder of data, `hf://...` or `reader:locator`.

    A folder is read by the reader that recognises it (see `FolderReader`), such as `parallel_jsonl`; a `task.toml` in
    it overrides the defaults. Of a folder of tar files, `FOLDER/{000..012}.tar` takes some.
    `hf://datasets/ORG/NAME@REVISION` is a data set on the Hugging Face hub, at the commit that its revision is now (see
    `HubReader`). A reader that finds its data itself (see `SelfDescribingReader`) makes a task of a locator, as in
    `irds:mr-tydi/th`. `languages` helps where the data do not know their own. Raises `InvalidTask` with all faults at
    once, `UnknownName` or `DataError` where there is nothing such.
    """
    if spec in task_names():
        return _load(_shipped() / f"{spec}.toml", spec)
    path, wanted = Path(spec), None if languages is None else tuple(languages)
    if spec.startswith(hub.PREFIX):
        try:
            return _validated(describe_hub_set(spec, wanted, pinned=False), Path(), [], spec)
        except ValueError as error:
            raise DataError(str(error)) from error
    if is_pattern(spec) and path.parent.is_dir() and not path.is_dir():
        return _load(path.parent / FOLDER_FILE, spec, wanted, only=path.name)
    if path.is_file() and path.suffix != ".toml":
        raise DataError(f"{spec} is no task file: name a file in TOML, or the folder in which your data lie")
    if path.is_dir() or path.is_file():
        return _load(path / FOLDER_FILE if path.is_dir() else path, spec, wanted)
    match = _SCHEME.match(spec)
    if match and match[1] in entry_points.names(entry_points.READERS):
        reader = load_reader(match[1])
        if members.describes_itself(reader):
            return _validated({"reader": match[1]} | reader.declare(match[2], wanted), Path(), [], spec)
    if path.suffix == ".toml" or re.search(r"[/\\]", spec):
        elsewhere = f"; on the hub it would be hf://datasets/{spec}, in ir_datasets irds:{spec}"
        is_name = re.fullmatch(r"\w[\w.-]*/[\w.-]+", spec) is not None and path.suffix != ".toml"
        raise DataError(f"there is no task file or folder {spec}{elsewhere if is_name else ''}")
    raise UnknownName("task", spec, task_names())


def _shipped() -> Path:
    return Path(str(package_files("mlbench.task_files")))


def _load(path: Path, source: str, languages: tuple[str, ...] | None = None, *, only: str = ".") -> Task:
    return _validated(*_table(path, source, languages, only=only), source)


def _validated(table: dict[str, object], root: Path, faults: list[str], source: str) -> Task:
    try:
        task = Task.model_validate(table)
    except ValidationError as error:
        # What an unknown base or folder would have brought is not missing here.
        found = faults_of(error, Task, also_known=_ALSO, skip=("missing",) if faults else ())
        raise InvalidTask(source, faults + found) from error
    if faults:
        raise InvalidTask(source, faults)
    task._root = root
    return task


def _table(
    path: Path, source: str, languages: tuple[str, ...] | None, *, only: str = "."
) -> tuple[dict[str, object], Path, list[str]]:
    """Return what a task file says, its base, folder and defaults filled in; where its files lie; and its faults.

    `only` names the files of a folder that are meant.
    """
    table: dict[str, object] = {"folder": only, "name": _name_of(path.parent)} if path.name == FOLDER_FILE else {}
    root, faults = path.parent, list[str]()
    table |= read_toml(path, source, InvalidTask) if path.name != FOLDER_FILE or path.exists() else {}
    if only != "." and ("files" in table or table["folder"] != only):
        faults.append(f"folder: {path} names files of its own: take {path.parent}, or {only} out of them")
    base, folder = table.pop("extends", None), table.pop("folder", None)
    faults += _add_listed_files(table, root)
    # A data set on the hub tells what the file leaves out; else nothing is asked of the hub yet.
    set_on_hub = table.pop("hub") if "hub" in table and not {"reader", "languages"} <= table.keys() else None
    if (folder is not None or set_on_hub is not None) and "files" not in table:
        try:
            if set_on_hub is not None:
                described = describe_hub_set(str(set_on_hub), languages, pinned=True)
            else:
                described = describe_folder(root, str(folder), languages, named=table.get("reader"))
            # What follows from another key is not taken from the data where the file has that key.
            table = {key: value for key, value in described.items() if _FOLLOWS_FROM.get(key) not in table} | table
        except (ValueError, UserError) as error:
            faults.append(f"{'folder' if set_on_hub is None else 'hub'}: {error}")
    if base in task_names():
        inherited, its_root, _ = _table(_shipped() / f"{base}.toml", source, languages)
        root = root if "files" in table else its_root
        stale = {"name", "expected"} if {"files", "languages", "options", "settings"} & table.keys() else {"name"}
        stale |= {"read_here"} if "files" in table else set()
        options = [each for each in (inherited.get("options"), table.get("options")) if isinstance(each, dict)]
        if len(options) == 2:
            table["options"] = options[0] | options[1]
        table = {key: value for key, value in inherited.items() if key not in stale} | table
    elif base is not None:
        faults.append(f"extends: unknown task {base!r}: {suggest(str(base), task_names())}")
    return table, root, faults


def _add_listed_files(table: dict[str, object], root: Path) -> list[str]:
    """Put the files of the list that a task file in `root` names beside its own; return the faults of that."""
    listed, own = table.pop("file_list", None), table.get("files", [])
    if listed is None:
        return []
    try:
        table["files"] = [*(own if isinstance(own, list) else []), *FileList.model_validate(listed).files(root)]
    except ValidationError as error:
        return [f"file_list.{fault}" for fault in faults_of(error, FileList)]
    except OSError as error:
        return [f"file_list: {error.filename} cannot be read: {error.strerror}"]
    except ValueError as error:
        return [f"file_list: {error}"]
    return []


def _name_of(folder: Path) -> str:
    return re.sub(r"[^a-z0-9]+", "-", folder.resolve().name.lower()).strip("-") or "own"
