"""The result document: one retriever on one task, as JSON that people, gates and leaderboards read."""

import json
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from hashlib import file_digest, sha256
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING, Annotated, Final, Literal, TypeVar

from pydantic import AfterValidator, Field, JsonValue, model_validator

from mlbench.collection.languages import Kind
from mlbench.errors import InvalidResult, UnknownName, UserError
from mlbench.io.document import DocumentPart, Migration, read_document, rename_key, to_json
from mlbench.measures.ranked import parse as parse_measure
from mlbench.protocols import IndexCost, Parameter, Repeatability, Similarity
from mlbench.provenance import Provenance, RegistryInfo

if TYPE_CHECKING:
    import pandas

_Value = TypeVar("_Value")
SCHEMA_VERSION: Final = "2.1"
"""Major and minor version of the document: a minor version adds optional fields, a major one renames or removes."""
MOST_RESAMPLES = 100_000
LARGEST_SEED = 2**32 - 1
RANKS = ".ranks.npz"
"""How the names of ranks files end."""
VECTORS = ".vectors.npz"
"""How the names of files with a commitment to vectors end."""
LONGEST_LABEL = 200
"""How many characters the name of a retriever has at most."""

_LARGEST = 64 * 2**20
_LONGEST_NAME = 255
_MEASURED_ON = {"name", "version", "fingerprint", "languages", "limit", "parallel", "document_text"}
# What other documents that may lie beside results have not.
_OWN_KEYS = frozenset({"retriever", "ranks"})


class ByMeasure(dict[str, _Value]):
    """Values by the canonical names of measures; what other tools call a measure, such as mAP, is understood as well.

    Raises `UnknownName` with the nearest names, where a mapping of other keys raises `KeyError`.
    """

    def __missing__(self, name: str) -> _Value:
        """Return the value of the measure that another name means."""
        with suppress(UserError):
            canonical = parse_measure(name).name
            if canonical in self:
                return self[canonical]
        raise UnknownName("measure of this result", name, self)

    def get(self, name: str, default: object = None) -> object:  # type: ignore[override]
        """Return the value of a measure, or `default` where there is none."""
        try:
            return self[name]
        except UnknownName:
            return default


class Bounds(DocumentPart):
    """A confidence interval."""

    low: float
    high: float


class TaskInfo(DocumentPart):
    """What was measured on; `partial` says that languages were left out, so that aggregates are not the task's.

    `limit` says that it was a quick look at so many topics: comparable to no other result but one of the same data.
    `documents` says whether the relevant documents of a topic are translations of each other. With
    `ignore_identical_ids`, documents with the id of the query left its lists.
    `languages` are those of captions where images are searched, and `fingerprints` have one of the images as well;
    `unreadable_images` were left out with their captions, which makes the result partial.
    """

    name: str
    version: str
    fingerprint: str
    fingerprints: dict[str, str]
    languages: tuple[str, ...]
    partial: bool
    parallel: bool
    documents: Literal["translations", "native"] = "translations"
    ignore_identical_ids: bool = False
    document_text: str
    measures: tuple[str, ...]
    primary_measure: str
    bias_scores: tuple[str, ...]
    limit: int | None = Field(default=None, ge=1)
    unreadable_images: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _primary_among_measures(self) -> "TaskInfo":
        if self.primary_measure not in self.measures:
            raise ValueError("the primary measure is not among measures")
        with suppress(UserError):
            if not parse_measure(self.primary_measure).is_derived:
                raise ValueError("the primary measure does not follow from ranks")
        return self


class RetrieverInfo(DocumentPart):
    """What was measured: `fingerprint` covers weights, tokenizer, prompts and configuration; an encoder has a `dim`.

    `name` is what the user calls it, null where it was given none. `training` is how the checkpoint was made, where it
    says so. `registry` is what the registry of models says of it, null where it knows nothing of it. `repeatability` is
    of models that lie elsewhere and are asked for vectors; null where vectors follow from files.
    """

    spec: str
    name: str | None = Field(default=None, min_length=1, max_length=LONGEST_LABEL)
    kind: Literal["encoder", "ranker"]
    fingerprint: str
    dim: int | None = None
    similarity: Similarity | None = None
    parameters: dict[str, Parameter] = Field(default={})
    training: Provenance | None = None
    registry: RegistryInfo | None = None
    repeatability: Repeatability | None = None

    @property
    def label(self) -> str:
        """What screens, reports and names of files call it: its name, else its spec."""
        return self.name or self.spec


class SettingResult(DocumentPart):
    """One setting; a value is null where no query has a relevant document. `intervals` has the primary measure."""

    kind: Kind
    query_language: str
    document_languages: tuple[str, ...]
    n_queries: int
    n_documents: int
    tied_share: float | None
    unretrieved_share: float | None
    measures: Annotated[dict[str, float | None], AfterValidator(ByMeasure)]
    intervals: dict[str, Bounds | None] = Field(default={})


class Aggregate(DocumentPart):
    """Settings of one kind together: `macro` is the mean over settings, `micro` over all their queries.

    With a `query_language`, only the settings that ask in it. `ceilings` is what the best possible ranking gets.
    """

    kind: Kind
    aggregation: Literal["macro", "micro"]
    query_language: str | None
    n_settings: int
    n_queries: int
    measures: Annotated[dict[str, float | None], AfterValidator(ByMeasure)]
    intervals: Annotated[dict[str, Bounds | None], AfterValidator(ByMeasure)]
    ceilings: Annotated[dict[str, float | None], AfterValidator(ByMeasure)]


class LanguageValue(DocumentPart):
    """A bias score's value for one language."""

    language: str
    value: float | None


class BiasResult(DocumentPart):
    """One bias score; `rows_by` says which languages `rows` are about.

    `references` are its ideal, its chance level and companions by name. `unretrieved_share` is that of the relevant
    documents in the pool that a ranker's lists do not hold; null in documents that do not say.
    """

    name: str
    value: float | None
    interval: Bounds | None = None
    unretrieved_share: float | None = None
    references: dict[str, float | None] = Field(default={})
    rows_by: Literal["query_language", "document_language"] | None = None
    rows: tuple[LanguageValue, ...] = ()


class LanguageShare(DocumentPart):
    """A document language's share of the top `cutoff`, divided by its share of the pool."""

    cutoff: int
    query_language: str
    document_language: str
    share: float | None


class Bias(DocumentPart):
    """The bias scores of the multilingual pool, over topics with relevant documents in at least two languages."""

    document_languages: tuple[str, ...]
    n_topics: int
    n_documents: int
    warning: str | None
    scores: tuple[BiasResult, ...]
    language_shares: tuple[LanguageShare, ...] = ()

    def score(self, name: str) -> BiasResult | None:
        """Return the bias score called `name`, or None when the task did not ask for it."""
        return next((score for score in self.scores if score.name == name), None)


class CaptionScores(DocumentPart):
    """How the captions of one language go with their images; the mean over languages where `language` is null.

    `r_mean` is the mean of the six hit rates, Success@1, 5 and 10 from captions to images and back. `clip_score` is the
    mean over captions of 2.5 max(cos(image, caption), 0), `ref_clip_score` that of its harmonic mean with the largest
    cosine, at least 0, of the caption to another of the same image in another language (Hessel et al. 2021, CLIPScore).
    Null where a direction was not asked for, a retriever has no cosines, or captions have no others. With a judge,
    `judged_text_to_image` and `judged_image_to_text` are the CLIPScores that it gives to what is found first, and
    `judged_own` those of the captions and their own images; they are left out without one.
    """

    language: str | None
    n_captions: int
    r_mean: float | None
    clip_score: float | None
    ref_clip_score: float | None
    judged_text_to_image: float | None = Field(default=None, exclude_if=lambda value: value is None)
    judged_image_to_text: float | None = Field(default=None, exclude_if=lambda value: value is None)
    judged_own: float | None = Field(default=None, exclude_if=lambda value: value is None)
    intervals: dict[str, Bounds | None]


class ImageText(DocumentPart):
    """How well captions and images go together, by language of the captions."""

    languages: tuple[CaptionScores, ...]
    mean: CaptionScores


class Statistics(DocumentPart):
    """How the intervals were made: clusters of topics, such as articles, were resampled.

    `redraws` resamples left a setting empty and were drawn again. `warning` says where fewer than 20 clusters make
    intervals and tests approximate; null where nothing is.
    """

    clustered_by: str
    n_clusters: int
    resamples: int = Field(ge=0, le=MOST_RESAMPLES)
    seed: int = Field(ge=0, le=LARGEST_SEED)
    confidence: float = Field(gt=0, lt=1)
    redraws: int
    warning: str | None = None


class TruncatedTexts(DocumentPart):
    """How many texts of one language, in one role, were cut off at the longest input of the retriever.

    `max_length` is that input in tokens, prompt and special tokens included; null where there is no limit. In the role
    `pair`, a reranker read a query together with a document, whose language it is.
    """

    role: Literal["query", "document", "pair"]
    language: str
    n_texts: int = Field(ge=0)
    n_truncated: int = Field(ge=0)
    max_length: int | None = Field(ge=1)

    @model_validator(mode="after")
    def _some_of_all(self) -> "TruncatedTexts":
        if self.n_truncated > self.n_texts:
            raise ValueError("n_truncated is more than there are texts")
        return self

    @property
    def share(self) -> float:
        """The share of the texts that were cut off; 0 of no texts."""
        return self.n_truncated / self.n_texts if self.n_texts else 0.0


class Cost(DocumentPart):
    """What the run took; the only part that differs between two runs of the same thing.

    Texts and images are distinct ones; `indexes` are those of approximate search, one for each pool. `price` is what
    requests cost at the declared price of their tokens, in the currency of that; null where that is not known.
    """

    texts: int | None
    encoded_texts: int | None
    images: int | None = None
    encoded_images: int | None = None
    tokens: int | None
    read_seconds: float
    encode_seconds: float
    rank_seconds: float
    score_seconds: float
    peak_bytes: int | None
    finished_at: str
    indexes: tuple[IndexCost, ...] = ()
    price: float | None = Field(default=None, ge=0)


class Environment(DocumentPart):
    """What the run ran on."""

    mlbench: str
    python: str
    platform: str
    cpus: int | None
    libraries: dict[str, str]
    command: str | None
    git_commit: str | None


def _not_derived(name: str) -> str:
    # What follows from ranks is recomputed, whatever a document says of it.
    try:
        derived = parse_measure(name).is_derived
    except UserError as error:
        raise ValueError(str(error)) from error
    if derived:
        raise ValueError(f"{name} follows from ranks")
    return name


class ListMeasures(DocumentPart):
    """Measures that do not follow from ranks: ir_measures computed them from the first `depth` documents of each list.

    `judged_not_relevant` counts the judgments of documents that are not relevant, and `ir_measures` is its version.
    """

    names: Annotated[tuple[Annotated[str, AfterValidator(_not_derived)], ...], Field(min_length=1)]
    depth: int = Field(ge=1)
    judged_not_relevant: int = Field(ge=0)
    ir_measures: str


class RanksFile(DocumentPart):
    """The file of counts beside the document."""

    name: str
    sha256: str


class VectorsFile(DocumentPart):
    """The file beside the document that commits to the vectors of all texts (see `Commitment`)."""

    name: str
    sha256: str


class Result(DocumentPart):
    """Everything that is published of one retriever on one task.

    `truncated` has a row for each role and language of texts that the retriever knows the truncation of; null where it
    says nothing of it. `list_measures` are those that cannot be recomputed; it is left out where there are none, as
    `vectors` are where the run commits to none, and `judge` where no other model gives CLIPScores.
    """

    schema_version: Literal["2.1"] = SCHEMA_VERSION
    task: TaskInfo
    retriever: RetrieverInfo
    settings: tuple[SettingResult, ...]
    aggregates: tuple[Aggregate, ...]
    bias: Bias | None
    image_text: ImageText | None = None
    statistics: Statistics
    truncated: tuple[TruncatedTexts, ...] | None = None
    list_measures: ListMeasures | None = Field(default=None, exclude_if=lambda value: value is None)
    judge: RetrieverInfo | None = Field(default=None, exclude_if=lambda value: value is None)
    cost: Cost
    environment: Environment
    ranks: RanksFile
    vectors: VectorsFile | None = Field(default=None, exclude_if=lambda value: value is None)

    def __repr__(self) -> str:
        """Say in one line what was measured, and the macro means of the primary measure."""
        means = spoken_means(self.task.primary_measure, self.aggregates)
        return f"Result of {self.retriever.label} on {self.task.name}: {means}"

    __str__ = __repr__

    @property
    def listed_measures(self) -> tuple[str, ...]:
        """The measures that do not follow from the ranks."""
        return self.list_measures.names if self.list_measures else ()

    @property
    def measures(self) -> Mapping[str, Mapping[Kind, float | None]]:
        """By measure the macro mean over each kind of settings, as in `result.measures["mAP"]["multilingual"]`."""
        means = [each for each in self.aggregates if (each.aggregation, each.query_language) == ("macro", None)]
        return ByMeasure({name: {each.kind: each.measures[name] for each in means} for name in self.task.measures})

    def aggregate(
        self, kind: Kind, aggregation: Literal["macro", "micro"] = "macro", query_language: str | None = None
    ) -> Aggregate | None:
        """Return one aggregate, or None when the task has no such settings."""
        wanted = (kind, aggregation, query_language)
        return next((a for a in self.aggregates if (a.kind, a.aggregation, a.query_language) == wanted), None)

    def figure(self, name: str, kind: Kind | None = None) -> tuple[float | None, Bounds | None]:
        """Return the macro mean of a measure over a kind of settings, with its interval; None for what there is not.

        Without a kind, `name` is a bias score, or a score of captions as their mean over languages.
        """
        if kind is not None:
            mean = self.aggregate(kind)
            return (mean.measures.get(name), mean.intervals.get(name)) if mean else (None, None)
        if name in CaptionScores.model_fields:
            captions = self.image_text.mean if self.image_text else None
            return (getattr(captions, name), captions.intervals.get(name)) if captions else (None, None)
        score = self.bias.score(name) if self.bias else None
        return (score.value, score.interval) if score else (None, None)

    def to_frame(self) -> "pandas.DataFrame":
        """Return a pandas frame with one row for each setting and one column for each measure."""
        try:
            import pandas
        except ImportError as error:
            raise UserError("to_frame needs pandas: pip install pandas") from error
        rows = [
            {
                "task": self.task.name,
                "retriever": self.retriever.label,
                "kind": setting.kind,
                "query_language": setting.query_language,
                "document_languages": "+".join(setting.document_languages),
                "n_queries": setting.n_queries,
                "n_documents": setting.n_documents,
                **setting.measures,
            }
            for setting in self.settings
        ]
        return pandas.DataFrame(rows)


def spoken_means(measure: str, aggregates: Iterable[Aggregate]) -> str:
    """Return the macro mean of a measure over each kind of settings in words, as in `AP monolingual .642`."""
    means = {
        each.kind.replace("_", "-"): each.measures.get(measure)
        for each in aggregates
        if each.aggregation == "macro" and each.query_language is None
    }
    shown = (f"{kind} {f'{value:.3f}'.removeprefix('0')}" for kind, value in means.items() if value is not None)
    return f"{measure} {', '.join(shown) or 'of no setting'}"


def result_from_1(document: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """Return a result document of version 1 as one of version 2.0, which has the same numbers."""
    return rename_key(document, "statistics.unit", "clustered_by")


MIGRATIONS: Mapping[int, Migration] = {1: result_from_1}
"""What makes a document of each older major version one of the next."""


def json_schema() -> str:
    """Return the JSON Schema of the result document, as it is committed."""
    return json.dumps(Result.model_json_schema(), indent=1, sort_keys=True) + "\n"


def check_folder(folder: Path) -> None:
    """Raise `UserError` where `folder`, or the one it would be made in, is a file or may not be written."""
    # A link that leads nowhere is in the way as well.
    existing = next(path for path in (folder, *folder.absolute().parents) if os.path.lexists(path))
    if not existing.is_dir():
        raise _unwritable(folder, f"{existing} is not a folder")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise _unwritable(folder, "Permission denied")


def name_apart(result: Result, folder: Path) -> Result:
    """Return `result` with names of files that take the place of nothing in `folder` but a result of the same thing.

    That is one of the same retriever on the same data, whatever its measures. Where its files would be called as those
    of another, the start of a digest of what it was measured on is added, as in `mine.hashing-1a2b3c4d.data-5e6f7a8b`.
    Raises `UserError` where that name is taken by something else too.
    """
    stem, own = _stem(result), _measured(result)
    for name in (stem, f"{stem}.data-{digest(own.encode())[:8]}"):
        if _is_free(folder / f"{name}.json", own):
            ranks = result.ranks.model_copy(update={"name": f"{name}{RANKS}"})
            vectors = result.vectors and result.vectors.model_copy(update={"name": f"{name}{VECTORS}"})
            return result.model_copy(update={"ranks": ranks, "vectors": vectors})
    raise _unwritable(folder, f"{name}.json there is of other data, or cannot be read")


def write_result(result: Result, ranks: bytes, folder: Path, *, vectors: bytes | None = None) -> Path:
    """Write the ranks file, the commitment to `vectors` and the document into `folder`: all appear whole, or none.

    Files of these names are replaced; `name_apart` finds names that are free. Returns the document's path. Raises
    `UserError` when the folder cannot be written, and leaves it as it was.
    """
    path = folder / f"{_stem(result)}.json"
    sketches = {} if result.vectors is None or vectors is None else {folder / result.vectors.name: vectors}
    contents = {folder / result.ranks.name: ranks, **sketches, path: to_json(result).encode()}
    made = [parent for parent in (folder, *folder.parents) if not parent.exists()]
    unfinished: dict[Path, Path] = {}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for target, content in contents.items():
            unfinished[target] = write_beside(target, content)
        _put_in_place(unfinished)
    except OSError as error:
        raise _unwritable(folder, error.strerror or str(error)) from error
    finally:
        for beside in unfinished.values():
            beside.unlink(missing_ok=True)
        for parent in made:
            # Only what was made for nothing is empty.
            with suppress(OSError):
                parent.rmdir()
    return path


def read_result(path: Path | str) -> Result:
    """Read a result document of this version, an older one, or a newer minor one, whose unknown fields are left out.

    Its ranks file is not looked at. Raises `InvalidResult` in one line for whatever is wrong with the document.
    """
    path = Path(path)
    try:
        if path.stat().st_size > _LARGEST:
            raise InvalidResult(f"{path} is larger than {_LARGEST >> 20} MiB: it is no result document")
        return read_document(path.read_bytes(), "result document", Result, SCHEMA_VERSION, MIGRATIONS)
    except OSError as error:
        raise InvalidResult(f"cannot read {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise InvalidResult(f"{path} {error}") from error


def read_beside_ranks(path: Path, note: Callable[[str], None]) -> Result:
    """Read a result document to show its numbers, which must be of the ranks file that lies beside it.

    Where there is no ranks file, `note` is told. Raises `InvalidResult` as `read_result` does, and for another file.
    """
    result = read_result(path)
    if ranks_file(path, result) is None:
        note(f"warning: {path}: its ranks file {result.ranks.name} is missing, so its numbers cannot be checked")
    return result


def ranks_file(path: Path, result: Result) -> Path | None:
    """Return the ranks file beside the document at `path`, None where it is missing.

    Raises `InvalidResult` where its SHA-256 is not the one that the document states, where it cannot be read, and where
    the document names a file that lies elsewhere.
    """
    return _file_beside(path, "ranks file", result.ranks)


def vectors_file(path: Path, result: Result) -> Path | None:
    """Return the file beside the document at `path` that commits to vectors, None where it is missing or not named.

    Raises `InvalidResult` as `ranks_file` does.
    """
    return None if result.vectors is None else _file_beside(path, "vectors file", result.vectors)


def _file_beside(path: Path, what: str, stated: RanksFile | VectorsFile) -> Path | None:
    if Path(stated.name).name != stated.name or len(stated.name) > _LONGEST_NAME:
        raise InvalidResult(f"{path} names the {what} {stated.name!r:.100}: it must lie beside the document")
    beside = path.parent / stated.name
    try:
        with beside.open("rb") as file:
            found = file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InvalidResult(f"cannot read {beside}: {reason}; it belongs to {path.name}") from error
    if found != stated.sha256:
        raise InvalidResult(
            f"{beside} is not the {what} of {path.name}: its SHA-256 is {found[:12]}..., not "
            f"{stated.sha256[:12]}...; measure again, or restore the two files that belong together"
        )
    return beside


def results_in(folder: Path, *, below: bool = False) -> list[Path]:
    """Return the result documents in a folder, sorted by name; a damaged one is among them, to be told by who reads it.

    With `below`, those in its folders too, but not in hidden ones. JSON that is clearly something else is left out.
    """
    found = folder.rglob("*.json") if below else folder.glob("*.json")
    seen = (path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts[:-1]))
    return [path for path in sorted(seen) if _may_be_result(path)]


def file_stem(task: TaskInfo, retriever: RetrieverInfo) -> str:
    """Return the name, without ending, of a result's files: task, limit, languages if not all, retriever, digest."""
    languages = [".".join(task.languages)] if task.partial else []
    if languages and len(languages[0]) > 40:
        languages = [f"{len(task.languages)}-languages-{digest(languages[0].encode())[:8]}"]
    limit = [] if task.limit is None else [f"limit-{task.limit}"]
    return ".".join([task.name, *limit, *languages, retriever_stem(retriever)])


def retriever_stem(retriever: RetrieverInfo) -> str:
    """Return what the names of all files have of a retriever: its label in plain letters, and a digest's beginning."""
    label = re.sub(r"[^A-Za-z0-9._]+", "-", retriever.label).strip("-.")[-60:] or "model"
    return f"{label}-{retriever.fingerprint[:8]}"


def told_apart(results: Sequence[Result]) -> list[Result]:
    """Return results in which no two different retrievers have one label.

    To theirs the beginning of the fingerprint is added, as in `SentenceTransformer 1a2b3c4d`.
    """
    called: dict[str, set[str]] = {}
    for result in results:
        called.setdefault(result.retriever.label, set()).add(result.retriever.fingerprint)
    return [_with_digits(result) if len(called[result.retriever.label]) > 1 else result for result in results]


def _with_digits(result: Result) -> Result:
    retriever = result.retriever
    name = f"{retriever.label[: LONGEST_LABEL - 9]} {retriever.fingerprint[:8]}"
    return result.model_copy(update={"retriever": retriever.model_copy(update={"name": name})})


def digest(content: bytes) -> str:
    """Return the SHA-256 of `content` in hex."""
    return sha256(content).hexdigest()


def _stem(result: Result) -> str:
    return result.ranks.name.removesuffix(RANKS)


def _measured(result: Result) -> str:
    """Return what was measured on what: two results of which this is the same differ in no rank."""
    task = result.task.model_dump(mode="json", include=_MEASURED_ON)
    return json.dumps([task, result.retriever.fingerprint], sort_keys=True)


def _is_free(path: Path, measured: str) -> bool:
    """Say whether nothing lies at `path` but a result of the same thing."""
    try:
        return not path.exists() or _measured(read_result(path)) == measured
    except InvalidResult:
        return False


def _may_be_result(path: Path) -> bool:
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return True
    return isinstance(document, dict) and "schema_version" in document and not _OWN_KEYS.isdisjoint(document)


def _put_in_place(unfinished: dict[Path, Path]) -> None:
    """Rename the finished files, all of them even where the user interrupts: one without the other is no result."""
    try:
        for target, beside in unfinished.items():
            beside.replace(target)
    except KeyboardInterrupt:
        for target, beside in unfinished.items():
            if beside.exists():
                beside.replace(target)
        raise


def write_beside(path: Path, content: bytes) -> Path:
    """Write `content` into a new file beside `path`, ready to take its place, and return the new file's path.

    After an error, `OSError` for one, nothing is left.
    """
    with NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        try:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            Path(file.name).chmod(0o644)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise
    return Path(file.name)


def _unwritable(folder: Path, reason: str) -> UserError:
    return UserError(f"cannot write results to {folder}: {reason}; name another folder with --out")
