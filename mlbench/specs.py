"""What a user writes after `--model`: a spec `scheme:locator`, and how the retriever it names is opened."""

import re
from collections.abc import Mapping
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path
from typing import cast

from pydantic import BaseModel, ValidationError

from mlbench import plugins
from mlbench.errors import MissingExtra, RetrieverError, UserError, suggest
from mlbench.protocols import Encoder, Ranker, Retriever, Runtime
from mlbench.schemes import Adopting, Recognising, Scheme

# Two letters at least, so that the drive of `C:\models` is no scheme.
_SPEC = re.compile(r"([a-z][a-z0-9_]+):(.*)\Z", re.DOTALL)


def parse(spec: str) -> tuple[str, str]:
    """Return scheme and locator of `scheme:locator`.

    An existing folder or file wins over a scheme, whatever colons its name has; a folder belongs to the scheme that
    recognises it, such as `static`, else to `dense`, and a file that ends in `.toml` to `system`. A scheme's bare name
    has an empty locator; any other spec without a scheme is a hub id and belongs to `dense`. An empty spec raises
    `RetrieverError`.
    """
    if not spec.strip():
        raise RetrieverError("the model is empty: give a folder, a hub id or scheme:locator")
    path = Path(spec)
    if path.exists():
        return _scheme_of(path), spec
    if parts := split(spec):
        return parts
    if spec in plugins.names(plugins.RETRIEVERS):
        return spec, ""
    return "dense", spec


def split(spec: str) -> tuple[str, str] | None:
    """Return scheme and locator of what is written `scheme:locator`, whatever exists; None for any other spec."""
    match = _SPEC.match(spec)
    return (match[1], match[2]) if match else None


def open_retriever(spec: str, settings: Mapping[str, str], runtime: Runtime) -> Retriever:
    """Open what `spec` names, with `settings` as they came from `--set KEY=VALUE`.

    Raises `UnknownName` for an unknown scheme, `MissingExtra` where its libraries are missing, and `RetrieverError` for
    wrong settings (all of them in one line), for what cannot be opened, and for a plugin that is no retriever.
    """
    name, locator = parse(spec)
    scheme = load_scheme(name)
    try:
        # A plugin may return anything, whatever its annotations say.
        opened: object = scheme.open(locator, check_settings(name, scheme.Settings, settings), runtime)
    except (RetrieverError, MissingExtra) as error:
        meant = get_close_matches(spec, plugins.names(plugins.RETRIEVERS), n=1, cutoff=0.7) if locator == spec else []
        if meant and not Path(spec).exists():
            raise RetrieverError(f"{error}; or is {meant[0]} meant?") from error
        raise
    if not isinstance(opened, Encoder | Ranker):
        raise RetrieverError(
            f"retriever {name!r} opened a {type(opened).__name__}, which is no encoder (it lacks "
            f"{_lacking(opened, Encoder)}) and no ranker (it lacks {_lacking(opened, Ranker)})"
        )
    return opened


def adopt(model: object, settings: Mapping[str, str], runtime: Runtime) -> Retriever:
    """Return `model` if it is a retriever, else what a scheme makes of it, as `dense` of a SentenceTransformer.

    Raises `RetrieverError` for an object that no installed scheme knows.
    """
    if isinstance(model, type):
        raise RetrieverError(f"{model.__name__} is a class, not a retriever: give an object made from it")
    if isinstance(model, Encoder | Ranker):
        if settings:
            raise RetrieverError(f"an opened retriever takes no keys: {', '.join(settings)}")
        return model
    faults = []
    for name in plugins.names(plugins.RETRIEVERS):
        scheme = load_scheme(name)
        if not isinstance(scheme, Adopting):
            continue
        try:
            adopted = scheme.adopt(model, check_settings(name, scheme.Settings, settings), runtime)
        except RetrieverError as error:
            # Keys that another scheme takes, which may be the one that knows the object.
            faults.append(error)
            continue
        if adopted is not None:
            return adopted
    if faults:
        raise faults[0]
    raise RetrieverError(
        f"a {type(model).__name__} is no retriever: give a spec, an encoder, a ranker or a model object"
    )


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


def _scheme_of(path: Path) -> str:
    """Return the scheme that opens an existing path with no scheme in front."""
    if path.suffix == ".toml" and path.is_file():
        return "system"
    for name in plugins.names(plugins.RETRIEVERS) if path.is_dir() else ():
        # A plugin that cannot be imported is told of where it is asked for.
        with suppress(UserError):
            scheme = plugins.load(plugins.RETRIEVERS, name)
            if isinstance(scheme, Recognising) and scheme.recognises(path):
                return name
    return "dense"


def load_scheme(name: str, group: str = plugins.RETRIEVERS) -> Scheme:
    """Return the scheme `name`; raises `UnknownName`, or `RetrieverError` where the plugin names no scheme."""
    scheme = plugins.load(group, name)
    settings = getattr(scheme, "Settings", None)
    if not (isinstance(settings, type) and issubclass(settings, BaseModel) and callable(getattr(scheme, "open", None))):
        raise RetrieverError(
            f"{plugins.kind(group)} {name!r} of {plugins.origin(group, name)} is no scheme: "
            "it needs Settings (a pydantic model) and open(locator, settings, runtime)"
        )
    return cast(Scheme, scheme)


def check_settings(scheme: str, model: type[BaseModel], settings: Mapping[str, str]) -> BaseModel:
    """Return `settings` as the scheme's `Settings`; raises `RetrieverError` with all faults in one line."""
    known = list(model.model_fields)
    unknown = [key for key in settings if key not in known]
    faults = [f"unknown key {key!r}: {_suggest_key(key, known)}" for key in unknown]
    try:
        checked = model.model_validate({key: value for key, value in settings.items() if key in known})
    except ValidationError as error:
        faults += [_fault(details["loc"], details["msg"], settings) for details in error.errors()]
    if faults:
        raise RetrieverError(f"{scheme}: " + "; ".join(dict.fromkeys(faults)))
    return checked


def _suggest_key(key: str, known: list[str]) -> str:
    return suggest(key, known) if known else "it takes no keys"


def _fault(location: tuple[int | str, ...], message: str, settings: Mapping[str, str]) -> str:
    key = str(location[0]) if location else "settings"
    got = f", not {settings[key]!r}" if key in settings else ""
    return f"{key}: {message[:1].lower()}{message[1:]}{got}"


def _lacking(opened: object, protocol: type) -> str:
    members = [name for name in vars(protocol) if not name.startswith("_")]
    members += [name for name in protocol.__annotations__ if name not in members]
    return ", ".join(name for name in sorted(members) if not hasattr(opened, name))
