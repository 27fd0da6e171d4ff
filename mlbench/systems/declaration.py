"""System files: which retrievers a system is made of, declared in TOML; every fault of a file is reported at once."""

import re
from os.path import relpath
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, PlainValidator, ValidationError, field_validator

from mlbench import plugins
from mlbench.declarations import Declared, faults_of, read_toml
from mlbench.errors import InvalidSystem, RetrieverError, UserError, suggest
from mlbench.protocols import Parameter
from mlbench.specs import check_settings, load_scheme, parse, split
from mlbench.systems.index_kinds import parse_index

SYSTEM = "system"
"""The scheme of system files."""

CROSS_ENCODER = "cross_encoder"
"""The scheme of a reranker that names none."""

_MOST_WEIGHT = 1000
_PATH = re.compile(r"[.~/\\]|[A-Za-z]:[/\\]")
_RELATIVE = re.compile(r"[.]{1,2}[/\\]")


def _parameter(value: object) -> object:
    if not isinstance(value, str | int | float):
        raise ValueError(f"must be a string, a number or a truth value, not {value!r:.60}")
    return value


def _table(value: object) -> object:
    """Take a part that is only a name."""
    return {"model": value} if isinstance(value, str) else value


class Part(Declared):
    """A retriever or reranker within a system: what `--model` and `--set` would say of it."""

    model: Annotated[str, Field(pattern=r"\S")]
    set: dict[str, Annotated[Parameter, PlainValidator(_parameter)]] = Field(default={})

    @property
    def settings(self) -> dict[str, str]:
        """The keys as `--set` would give them."""
        return {key: str(value) for key, value in self.set.items()}


class WeightedPart(Part):
    """A part of a fusion."""

    weight: Annotated[float, Field(gt=0, le=_MOST_WEIGHT, allow_inf_nan=False)] = 1.0


class Fusion(Declared):
    """Reciprocal rank fusion: `k` dampens the first ranks, `depth` cuts each part's list (None: as deep as asked)."""

    kind: Literal["fusion"]
    systems: Annotated[tuple[Annotated[WeightedPart, BeforeValidator(_table)], ...], Field(strict=False)]
    k: Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)] = 60.0
    depth: Annotated[int, Field(ge=1)] | None = None

    @field_validator("systems")
    @classmethod
    def _several(cls, systems: tuple[WeightedPart, ...]) -> tuple[WeightedPart, ...]:
        if len(systems) < 2:
            raise ValueError("a fusion needs at least two systems")
        return systems


class Rerank(Declared):
    """A reranker over the first `n` documents of each list of the system `first`."""

    kind: Literal["rerank"]
    first: Annotated[Part, BeforeValidator(_table)]
    reranker: Annotated[Part, BeforeValidator(_table)]
    n: Annotated[int, Field(ge=1)] = 100


class Indexed(Declared):
    """An encoder whose documents are looked up in an approximate index, written as for `--index`."""

    kind: Literal["index"]
    encoder: Annotated[Part, BeforeValidator(_table)]
    index: Annotated[str, Field(pattern=r"\S")]


Declaration = Fusion | Rerank | Indexed

_KINDS: dict[str, type[Fusion] | type[Rerank] | type[Indexed]] = {
    "fusion": Fusion,
    "rerank": Rerank,
    "index": Indexed,
}


def read_system(path: Path, within: tuple[Path, ...] = ()) -> Declaration:
    """Return what the file at `path` declares, each part's paths resolved from the file's folder.

    `within` are the files that name it, outermost first. Raises `InvalidSystem` with all faults of the file at once,
    those of the parts' names and keys among them, and `DataError` for a file that cannot be read.
    """
    source = relpath(path)
    if path.resolve() in within:
        raise InvalidSystem(source, ["it is a part of itself"])
    table = read_toml(path, source, InvalidSystem)
    model = _KINDS.get(str(table.get("kind")))
    if model is None:
        known = suggest(str(table["kind"]), _KINDS) if "kind" in table else 'write kind = "fusion", "rerank" or "index"'
        raise InvalidSystem(source, [f"kind: {'unknown value' if 'kind' in table else 'is missing'}: {known}"])
    try:
        declared = model.model_validate(table)
    except ValidationError as error:
        raise InvalidSystem(source, faults_of(error, model)) from error
    faults: list[str] = []
    resolved = _resolved(declared, path, (*within, path.resolve()), faults)
    if faults:
        raise InvalidSystem(source, faults)
    return resolved


def _resolved(declared: Declaration, path: Path, within: tuple[Path, ...], faults: list[str]) -> Declaration:
    def resolve(place: str, part: Part, group: str = plugins.RETRIEVERS) -> dict[str, object]:
        try:
            spec = _locate(part.model, path.parent)
            scheme, locator = parse(spec) if group == plugins.RETRIEVERS else parse_reranker(spec)
            check_settings(scheme, load_scheme(scheme, group).Settings, part.settings)
            if scheme == SYSTEM:
                read_system(Path(locator), within)
            return {"model": spec, "set": {key: _beside(value, path.parent) for key, value in part.set.items()}}
        except UserError as error:
            faults.append(f"{place}: {error}")
            return {}

    if isinstance(declared, Fusion):
        parts = [
            part.model_copy(update=resolve(f"systems[{index}]", part)) for index, part in enumerate(declared.systems)
        ]
        return declared.model_copy(update={"systems": tuple(parts)})
    if isinstance(declared, Indexed):
        try:
            parse_index(declared.index)
        except UserError as error:
            faults.append(f"index: {error}")
        encoder = declared.encoder.model_copy(update=resolve("encoder", declared.encoder))
        return declared.model_copy(update={"encoder": encoder})
    first = declared.first.model_copy(update=resolve("first", declared.first))
    reranker = declared.reranker.model_copy(update=resolve("reranker", declared.reranker, plugins.RERANKERS))
    return declared.model_copy(update={"first": first, "reranker": reranker})


def parse_reranker(spec: str) -> tuple[str, str]:
    """Return scheme and locator of a reranker: a folder or hub id belongs to `cross_encoder`."""
    return (None if Path(spec).exists() else split(spec)) or (CROSS_ENCODER, spec)


def _beside(value: Parameter, folder: Path) -> Parameter:
    """Return the value of a key, read from `folder` where it is the path of something there, such as `./tokenizer`."""
    if isinstance(value, str) and _RELATIVE.match(value) and (folder / value).exists():
        return str(folder / value)
    return value


def _locate(model: str, folder: Path) -> str:
    """Return the spec `model` with a path in it read from `folder`, where the file lies that names it."""
    if (folder / model).exists():
        return str(folder / model)
    scheme, locator = split(model) or ("", model)
    if scheme and locator and (folder / locator).exists():
        return f"{scheme}:{folder / locator}"
    if Path(locator).suffix == ".toml" or _PATH.match(locator):
        raise RetrieverError(f"there is no {locator!r} in the folder of the file: paths are read from there")
    # A folder that lies where the user stands is not meant by a name alone.
    return f"{model}:" if not scheme and model in plugins.names(plugins.RETRIEVERS) else model
