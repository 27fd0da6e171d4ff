"""Opens what `--model` names: a folder, a hub id or a spec `SCHEME:PATH_OR_ID`; or takes a model object."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from difflib import get_close_matches
from hashlib import sha256
from os import PathLike, fspath
from pathlib import Path

from pydantic import BaseModel, ValidationError

from mlbench import entry_points, members
from mlbench.embeddings.store import VectorStore
from mlbench.errors import DataError, MissingExtra, RetrieverError, UserError, suggest
from mlbench.io.untrusted import check_numbers
from mlbench.protocols import (
    Encoder,
    ModelLoader,
    Progress,
    Retriever,
    Role,
    Runtime,
)
from mlbench.provenance import Provenance, QuestionSet
from mlbench.registry.find import scheme_of
from mlbench.results import LONGEST_LABEL, RetrieverInfo

# Two letters at least, so that the drive of `C:\models` is no scheme.
_SPEC = re.compile(r"([a-z][a-z0-9_]+):(.*)\Z", re.DOTALL)


@dataclass(frozen=True)
class ModelSource:
    """How to open a retriever, here or in another process; what is opened may differ where files do."""

    spec: str
    settings: Mapping[str, str]
    runtime: Runtime

    def open(self) -> Retriever:
        """Open it; raises what `open_retriever` raises."""
        return open_retriever(self.spec, self.settings, self.runtime)


@dataclass(frozen=True)
class LoadedModel:
    """A retriever that is ready, the spec that the result will name, and how it was trained, where that is known.

    `source` says how another process can open it too; None for an object that somebody made. `name` is what results
    call it in place of the spec.
    """

    retriever: Retriever
    spec: str
    training: Provenance | None = None
    source: ModelSource | None = None
    name: str | None = None

    @property
    def label(self) -> str:
        """What messages call it."""
        return self.name or self.spec

    def info(self, built_from: Iterable[QuestionSet] = ()) -> RetrieverInfo:
        """Return what the result says of the retriever, on a task that is built from these data sets of questions."""
        retriever = self.retriever
        known = members.registry_of(retriever)
        known = None if known is None else known.on_task(built_from)
        if not members.is_encoder(retriever):
            return RetrieverInfo(
                spec=self.spec,
                name=self.name,
                kind="ranker",
                fingerprint=retriever.fingerprint(),
                parameters=retriever.parameters,
                training=self.training,
                registry=known,
            )
        parts = fingerprints_of(retriever)
        # The same vectors compared in another way are another retriever, with results of its own name.
        parts += [] if retriever.similarity == "cosine" else [retriever.similarity]
        return RetrieverInfo(
            spec=self.spec,
            name=self.name,
            kind="encoder",
            fingerprint=sha256("\n".join(parts).encode()).hexdigest(),
            dim=retriever.dim,
            similarity=retriever.similarity,
            parameters=retriever.parameters,
            training=self.training,
            registry=known,
        )

    def store(self, cache: Path, progress: Progress) -> VectorStore:
        """Return where its vectors are kept, in the cache folder `cache`."""
        return VectorStore(cache, progress, {"retriever": self.spec, "parameters": self.retriever.parameters})

    def tokens(self) -> int:
        """Return what an encoder that counts tokens has encoded since it was opened; 0 for any other."""
        return members.tokens_of(self.retriever)


def open_model(
    model: object, settings: Mapping[str, str], runtime: Runtime, progress: Progress, name: str | None = None
) -> LoadedModel:
    """Open a spec, or take an object that is or can be made a retriever.

    `settings` are the keys of the model as strings, as they came from `--set KEY=VALUE`. Results call it `name`; an
    object that is given none has the name that its retriever says (see `NamesItself`). Raises what `open_retriever` and
    `wrap_model` raise, and `RetrieverError` for a parameter that no result could be read with and for such a name.
    """
    if name is not None:
        check_name(name)
    if isinstance(model, str | PathLike):
        spec = fspath(model)
        source = ModelSource(_absolute(spec), dict(settings), runtime)
        retriever, shown = open_retriever(spec, settings, runtime), describe(spec)
        _check_parameters(retriever)
        _tell_warnings(retriever, name or shown, progress)
        _tell_registry(retriever, name or shown, progress)
        return LoadedModel(retriever, shown, training_of(retriever, progress), source, name)
    retriever = wrap_model(model, settings, runtime)
    _check_parameters(retriever)
    called = _own_name(retriever) if name is None else name
    _tell_warnings(retriever, called or type(model).__name__, progress)
    return LoadedModel(retriever, type(model).__name__, training_of(retriever, progress), name=called)


def check_name(name: str) -> str:
    """Return the name that a user gives a model; raises `RetrieverError` for one that cannot stand in a line."""
    if not name.strip() or not name.isprintable() or len(name) > LONGEST_LABEL:
        raise RetrieverError(f"{name!r:.80} is no name of a model: give one line of at most {LONGEST_LABEL} characters")
    return name


def _own_name(retriever: Retriever) -> str | None:
    """Return what a retriever calls itself, of a folder as `describe` shows it; None for what is no name."""
    try:
        return check_name(describe(members.name_of(retriever) or ""))
    except RetrieverError:
        return None


def open_retriever(spec: str, settings: Mapping[str, str], runtime: Runtime) -> Retriever:
    """Open what `spec` names, with `settings` as they came from `--set KEY=VALUE`.

    A hub id without a scheme is opened by the scheme that recognises the folder of its copy, as a folder is. Raises
    `UnknownName` for an unknown scheme, `MissingExtra` where its libraries are missing, and `RetrieverError` for wrong
    settings (all of them in one line), for what cannot be opened, and for a plugin that is no retriever.
    """
    name, locator = parse(spec)
    try:
        if locator == spec and not Path(spec).exists():
            name = _scheme_of_hub_id(name, locator, settings, runtime)
        opened = _open(name, locator, settings, runtime)
    except (RetrieverError, MissingExtra) as error:
        meant = (
            get_close_matches(spec, entry_points.names(entry_points.RETRIEVERS), n=1, cutoff=0.7)
            if locator == spec
            else []
        )
        if meant and not Path(spec).exists():
            raise RetrieverError(f"{error}; or is {meant[0]} meant?") from error
        raise
    if members.is_encoder(opened) or members.is_ranker(opened):
        return opened
    lacking = [", ".join(members.missing(opened, required)) for required in (members.ENCODER, members.RANKER)]
    raise RetrieverError(
        f"retriever {name!r} opened a {type(opened).__name__}, which is no encoder (it lacks {lacking[0]}) and no "
        f"ranker (it lacks {lacking[1]})"
    )


def _scheme_of_hub_id(name: str, locator: str, settings: Mapping[str, str], runtime: Runtime) -> str:
    """Return the scheme that recognises the copy of a hub repository, which is fetched; `name` where none does."""
    scheme = load_scheme(name)
    if not members.finds_folders(scheme):
        return name
    return _scheme_of(scheme.find(locator, settings.get("revision"), runtime))


def _open(name: str, locator: str, settings: Mapping[str, str], runtime: Runtime) -> object:
    """Return what the scheme `name` opens; a plugin may return anything, whatever its annotations say."""
    scheme = load_scheme(name)
    return scheme.open(locator, check_settings(name, scheme.Settings, settings), runtime)


def wrap_model(model: object, settings: Mapping[str, str], runtime: Runtime) -> Retriever:
    """Return `model` if it is a retriever, else what a scheme makes of it, as `dense` of a SentenceTransformer.

    Raises `RetrieverError` for an object that no installed scheme knows.
    """
    if isinstance(model, type):
        raise RetrieverError(f"{model.__name__} is a class, not a retriever: give an object made from it")
    if members.is_encoder(model) or members.is_ranker(model):
        if settings:
            raise RetrieverError(f"an opened retriever takes no keys: {', '.join(settings)}")
        return model
    faults = []
    for name in entry_points.names(entry_points.RETRIEVERS):
        scheme = load_scheme(name)
        if not members.wraps_models(scheme):
            continue
        try:
            wrapped = scheme.adopt(model, check_settings(name, scheme.Settings, settings), runtime)
        except RetrieverError as error:
            # Keys that another scheme takes, which may be the one that knows the object.
            faults.append(error)
            continue
        if wrapped is not None:
            return wrapped
    if faults:
        raise faults[0]
    raise RetrieverError(
        f"the {type(model).__name__} is no retriever: it lacks {', '.join(members.missing(model, members.ENCODER))} of "
        f"an encoder and {', '.join(members.missing(model, members.RANKER))} of a ranker"
    )


def parse(spec: str) -> tuple[str, str]:
    """Return scheme and locator of `scheme:locator`.

    An existing folder or file wins over a scheme, whatever colons its name has; a folder belongs to the scheme that
    recognises it, such as `static`, else to `dense`, and a file that ends in `.toml` to `system`. A scheme's bare name
    has an empty locator; any other spec without a scheme is a hub id and belongs to the scheme that the registry of
    models says, else to `dense`. An empty spec raises `RetrieverError`.
    """
    if not spec.strip():
        raise RetrieverError("the model is empty: give a folder, a hub id or SCHEME:PATH_OR_ID")
    path = Path(spec)
    if path.exists():
        return _scheme_of(path), spec
    if parts := split(spec):
        return parts
    if spec.startswith("hf-hub:"):
        # So OpenCLIP names its models.
        return "image_text", spec
    if spec in entry_points.names(entry_points.RETRIEVERS):
        return spec, ""
    return scheme_of(spec) or "dense", spec


def split(spec: str) -> tuple[str, str] | None:
    """Return scheme and locator of what is written `scheme:locator`, whatever exists; None for any other spec."""
    match = _SPEC.match(spec)
    return (match[1], match[2]) if match else None


def describe(spec: str) -> str:
    """Return the spec as results name it: of a path outside the current folder only the last two parts.

    What is no text in a folder's name is escaped, so that a result can be written.
    """
    scheme, locator = parse(spec)
    path = Path(locator)
    if locator and path.exists():
        shown = "/".join(path.resolve().parts[-2:]) if path.is_absolute() or ".." in path.parts else path.as_posix()
        spec = shown if scheme == _scheme_of(path) else f"{scheme}:{shown}"
    return spec.encode("utf-8", "backslashreplace").decode()


def names_apart(specs: Sequence[str]) -> list[str | None]:
    """Return a name for each spec that is described as another one is, though it is another folder or file.

    It is as many of the last parts of its path as tell it apart; None for every other spec.
    """
    shown = [describe(spec) if spec.strip() else spec for spec in specs]
    paths = [_path_of(spec) for spec in specs]
    alike = [
        [other for other, name in zip(paths, shown, strict=True) if other and other != path and name == own]
        for path, own in zip(paths, shown, strict=True)
    ]
    return [_tail(path, others) if path and others else None for path, others in zip(paths, alike, strict=True)]


def _tail(path: Path, others: Collection[Path]) -> str:
    """Return the fewest last parts of `path` that none of the `others` ends with."""
    taken = next(n for n in range(1, len(path.parts) + 1) if all(path.parts[-n:] != each.parts[-n:] for each in others))
    return str(Path(*path.parts[-taken:])).encode("utf-8", "backslashreplace").decode()


def _path_of(spec: str) -> Path | None:
    """Return the folder or file that a spec names, as one path; None where there is none."""
    _, locator = parse(spec) if spec.strip() else ("", "")
    return Path(locator).resolve() if locator and Path(locator).exists() else None


def _absolute(spec: str) -> str:
    """Return a spec that names the same folder or file to processes with another working folder."""
    scheme, colon, locator = spec.partition(":")
    if Path(spec).exists():
        return str(Path(spec).absolute())
    return f"{scheme}:{Path(locator).absolute()}" if colon and locator and Path(locator).exists() else spec


def _scheme_of(path: Path) -> str:
    """Return the scheme that opens an existing path with no scheme in front."""
    if path.suffix == ".toml" and path.is_file():
        return "system"
    for name in entry_points.names(entry_points.RETRIEVERS) if path.is_dir() else ():
        # A plugin that cannot be imported is told of where it is asked for.
        with suppress(UserError):
            scheme = entry_points.load(entry_points.RETRIEVERS, name)
            if members.recognises(scheme, path):
                return name
    return "dense"


def load_scheme(name: str, group: str = entry_points.RETRIEVERS) -> ModelLoader:
    """Return the scheme `name`; raises `UnknownName`, or `RetrieverError` where the plugin names no scheme."""
    scheme = entry_points.load(group, name)
    if not members.is_loader(scheme):
        raise RetrieverError(
            f"{entry_points.kind(group)} {name!r} of {entry_points.origin(group, name)} is no scheme: "
            "it needs Settings (a pydantic model) and open(locator, settings, runtime)"
        )
    return scheme


def check_settings(scheme: str, model: type[BaseModel], settings: Mapping[str, str]) -> BaseModel:
    """Return `settings` as the scheme's `Settings`; raises `RetrieverError` with all faults in one line."""
    known = list(model.model_fields)
    unknown = [key for key in settings if key not in known]
    faults = [unknown_key(key, known) for key in unknown]
    try:
        checked = model.model_validate({key: value for key, value in settings.items() if key in known})
    except ValidationError as error:
        faults += [_fault(details["loc"], details["msg"], settings) for details in error.errors()]
    else:
        faults += list(_unsaved(dict(checked)))
    if faults:
        raise RetrieverError(f"{scheme}: " + "; ".join(dict.fromkeys(faults)))
    return checked


def _check_parameters(retriever: Retriever) -> None:
    if faults := list(_unsaved(retriever.parameters)):
        raise RetrieverError(f"the parameters of the retriever: {'; '.join(faults)}")


def _tell_warnings(retriever: Retriever, name: str, progress: Progress) -> None:
    for warning in members.warnings_of(retriever):
        progress.note(f"warning: {name}: {warning}")


def _unsaved(settings: Mapping[str, object]) -> Iterator[str]:
    """Yield a fault for each number that a result could not be read with."""
    for key, value in settings.items():
        try:
            check_numbers(value)
        except ValueError as error:
            yield f"{key}: {error}, not {value}"


def known_keys(spec: str) -> tuple[str, ...] | None:
    """Return the keys that the kind of a model takes; None where `spec` names no kind, or none that can be loaded."""
    try:
        scheme, locator = parse(spec)
        if locator == spec and not (Path(spec).exists() or spec.startswith("hf-hub:") or scheme_of(spec)):
            # The copy of a hub repository decides.
            return None
        return tuple(load_scheme(scheme).Settings.model_fields)
    except UserError:
        return None


def unknown_key(key: str, known: Collection[str]) -> str:
    """Say that a kind of model has no such key, and which of the `known` ones may be meant."""
    return f"unknown key {key!r}: {suggest(key, known) if known else 'it takes no keys'}"


def _fault(location: tuple[int | str, ...], message: str, settings: Mapping[str, str]) -> str:
    key = str(location[0]) if location else "settings"
    got = f", not {settings[key]!r}" if key in settings else ""
    return f"{key}: {message[:1].lower()}{message[1:]}{got}"


def fingerprints_of(encoder: Encoder) -> list[str]:
    """Return the encoder's fingerprints in all roles that it may be asked for."""
    roles: tuple[Role, ...] = ("query", "document", "image") if members.reads_images(encoder) else ("query", "document")
    return [encoder.fingerprint(role) for role in roles]


def _tell_registry(retriever: Retriever, spec: str, progress: Progress) -> None:
    """Tell what is used of the registry of models, with a warning where a checkpoint is only made from its model."""
    known = members.registry_of(retriever)
    if known is None or not known.applied:
        return
    doubts = dict.fromkeys(known.unconfirmed, " (not confirmed)")
    used = ", ".join(f"{key}={value!r}{doubts.get(key, '')}" for key, value in known.applied.items())
    whence = f"warning: {spec} is made from {known.name}, so it is used as that" if known.made_from else spec
    progress.note(f"{whence}: {used}, from the registry of models; --set registry=false leaves it out")


def training_of(retriever: Retriever, progress: Progress) -> Provenance | None:
    """Return how a retriever was trained, None where it does not say; damage is a warning and fails no run."""
    try:
        return members.provenance_of(retriever)
    except DataError as error:
        progress.note(f"warning: {error}; the result does not say how the model was trained")
        return None
