"""Retrievers declared in TOML: the parts of a system, the models of a run; and the kinds of approximate indexes."""

import re
from math import isqrt
from os.path import relpath
from pathlib import Path
from typing import Annotated, ClassVar, Final, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationError,
    field_validator,
    model_validator,
)

from mlbench import entry_points
from mlbench.errors import InvalidModels, InvalidSystem, RetrieverError, UnknownName, UserError, suggest
from mlbench.io.toml import Declared, checked, faults_of, read_toml
from mlbench.open_model import check_name, check_settings, load_scheme, parse, split
from mlbench.protocols import Parameter

_PER_CELL = 39
"""How many documents faiss wants for each cell that it is to find."""
_WHILE_BUILDING = frozenset({"efConstruction"})
"""The parameters of faiss's ParameterSpace that count before documents are added."""
_NOTHING = re.compile(r"(?<!\d)0+(?!\d)")
SYSTEM = "system"
"""The scheme of system files."""
CROSS_ENCODER = "cross_encoder"
"""The scheme of a reranker that names none."""
_MOST_WEIGHT = 1000
RECIPROCAL: Final = "rrf"
"""Reciprocal rank fusion, the method that needs no scores."""
FusionMethod = Literal["rrf", "combsum", "combmnz", "combanz"]
Normalisation = Literal["min_max", "z_score", "sum", "none"]
_PATH = re.compile(r"[.~/\\]|[A-Za-z]:[/\\]")
_RELATIVE = re.compile(r"[.]{1,2}[/\\]")


class _Kind(BaseModel):
    """What all kinds have; a list holds no more than `depth` documents."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    depth: int = Field(1000, ge=1, le=20_000, description="documents in each list, at most")

    kind: ClassVar[str]

    @property
    def structure(self) -> str:
        """What an index is, but for the keys that decide how it is built."""
        return self.kind

    def build_keys(self, n_documents: int, dim: int) -> dict[str, int]:
        """Return what decides the index of a pool; two that agree in it search the same index."""
        return {}

    def search_keys(self, n_documents: int, dim: int) -> dict[str, int]:
        """Return what decides how it is searched."""
        return {}

    def length(self, n_documents: int) -> int:
        """Return how many documents a list of a pool can hold."""
        return min(self.depth, n_documents)


class Flat(_Kind):
    """Every document, in float32: brute force, the yardstick of the other kinds."""

    kind: ClassVar[str] = "flat"


class HNSW(_Kind):
    """A graph of near neighbours in layers (Malkov and Yashunin 2016); lists hold at most `ef_search` documents."""

    kind: ClassVar[str] = "hnsw"
    m: int = Field(32, ge=2, le=512, description="neighbours that a document keeps in each layer; twice in the lowest")
    ef_construction: int = Field(100, ge=1, le=20_000, description="documents kept in view while building")
    ef_search: int = Field(64, ge=1, le=20_000, description="documents kept in view while searching")

    def build_keys(self, n_documents: int, dim: int) -> dict[str, int]:
        """Return the shape of the graph."""
        return {"m": self.m, "ef_construction": self.ef_construction}

    def search_keys(self, n_documents: int, dim: int) -> dict[str, int]:
        """Return how far a search looks."""
        return {"ef_search": self.ef_search}

    def length(self, n_documents: int) -> int:
        """Return how many documents a list can hold: what was not kept in view cannot be listed."""
        return min(self.depth, self.ef_search, n_documents)


class IVFPQ(_Kind):
    """Documents in cells, as codes of `m` parts (Jegou, Douze and Schmid 2011); a search reads `nprobe` cells."""

    kind: ClassVar[str] = "ivfpq"
    nlist: int | None = Field(
        None, ge=1, description="cells; 4 times the root of the number of documents, with 39 for each, by default"
    )
    nprobe: int = Field(8, ge=1, description="cells that a search reads")
    m: int | None = Field(
        None, ge=1, description="parts of a code, a divisor of dim; by default the largest up to a quarter of dim"
    )
    nbits: int = Field(8, ge=1, le=12, description="bits of each part of a code")
    seed: int = Field(0, ge=0, le=2**31 - 1, description="seed of the training")

    def build_keys(self, n_documents: int, dim: int) -> dict[str, int]:
        """Return cells and codes; raises `RetrieverError` where there are more cells than documents, or m is wrong."""
        nlist = self.nlist or max(1, min(4 * isqrt(n_documents), n_documents // _PER_CELL))
        if nlist > n_documents:
            raise RetrieverError(
                f"ivfpq: nlist={nlist:,} cells need as many documents, a pool has {n_documents:,}: leave nlist out"
            )
        return {"nlist": nlist, "m": self._parts(dim), "nbits": self.nbits, "seed": self.seed}

    def search_keys(self, n_documents: int, dim: int) -> dict[str, int]:
        """Return how many cells are read, at most all."""
        return {"nprobe": min(self.nprobe, self.build_keys(n_documents, dim)["nlist"])}

    def _parts(self, dim: int) -> int:
        divisors = [number for number in range(1, dim + 1) if dim % number == 0]
        if self.m is None:
            return max((number for number in divisors if 4 * number <= dim), default=1)
        if self.m not in divisors:
            near = sorted(divisors, key=lambda number: abs(number - (self.m or 0)))[:2]
            raise RetrieverError(
                f"ivfpq: m={self.m} does not divide the {dim} dims of the encoder: "
                f"take {' or '.join(map(str, sorted(near)))}"
            )
        return self.m


class Factory(_Kind):
    """An index as faiss makes it of a string, with the search parameters of faiss, such as `efSearch=64,nprobe=8`."""

    kind: ClassVar[str] = "factory"
    factory: str = Field(description="what faiss's index_factory makes the index of, as in OPQ32,IVF256,PQ32x4fs,RFlat")
    search: str = Field("", description="parameters of faiss's ParameterSpace, sorted")

    @property
    def structure(self) -> str:
        """The string that faiss makes the index of."""
        return self.factory

    def build_keys(self, n_documents: int, dim: int) -> dict[str, int]:
        """Return the parameters that decide how an index is built."""
        return {key: value for key, value in self._parameters().items() if key in _WHILE_BUILDING}

    def search_keys(self, n_documents: int, dim: int) -> dict[str, int]:
        """Return the parameters that decide how an index is searched."""
        return {key: value for key, value in self._parameters().items() if key not in _WHILE_BUILDING}

    def _parameters(self) -> dict[str, int]:
        pairs = (pair.partition("=") for pair in self.search.split(",") if pair)
        return {key: int(value) for key, _, value in pairs}


Index = Flat | HNSW | IVFPQ | Factory
KINDS: dict[str, type[Flat] | type[HNSW] | type[IVFPQ]] = {"flat": Flat, "hnsw": HNSW, "ivfpq": IVFPQ}
"""The kinds that mlbench declares itself, by the names that `--index` takes."""


def parse_index(text: str) -> Index:
    """Return the index that `text` names, such as `flat`, `hnsw:ef_search=16,m=32` or `factory:IVF256,PQ32,nprobe=8`.

    Raises `UnknownName` for an unknown kind, and `RetrieverError` with all faults of the keys in one line.
    """
    name, _, keys = text.strip().partition(":")
    if name == Factory.kind:
        return _parse_factory(keys)
    model = KINDS.get(name)
    if model is None:
        raise UnknownName("index", name, (*KINDS, Factory.kind))
    settings: dict[str, str] = {}
    for pair in filter(None, (part.strip() for part in keys.split(","))):
        key, equals, value = (part.strip() for part in pair.partition("="))
        if not equals or not key or key in settings:
            fault = f"{key} is there twice" if key in settings else f"{pair!r} is no KEY=VALUE"
            raise RetrieverError(f"index {name}: {fault}: write it as in hnsw:ef_search=16,m=32")
        settings[key] = value
    checked = check_settings(name, model, settings)
    assert isinstance(checked, Flat | HNSW | IVFPQ)
    return checked


def _parse_factory(text: str) -> Factory:
    """Return the index of a string of faiss; what has a `=` is a parameter, as no part of such a string has one."""
    parts = [part.strip() for part in text.split(",")]
    structure = ",".join(part for part in parts if "=" not in part)
    if not structure:
        raise RetrieverError(
            "index factory: write what faiss's index_factory takes, as in factory:IVF256,PQ32,nprobe=8"
        )
    if _NOTHING.search(structure):
        # faiss itself would end the process, without an error, for some of them.
        raise RetrieverError(f"index factory: {structure!r} has a part of size 0: write sizes of at least 1")
    numbers: dict[str, int] = {}
    for pair in (part for part in parts if "=" in part):
        key, _, value = (side.strip() for side in pair.partition("="))
        if key in numbers:
            raise RetrieverError(f"index factory: {key} is there twice: give it one value")
        if not key.isidentifier() or not value.isdecimal() or not 1 <= int(value) < 2**31:
            raise RetrieverError(
                f"index factory: {pair!r} is no KEY=NUMBER: write whole numbers above 0, as in nprobe=8"
            )
        numbers[key] = int(value)
    depth = {"depth": str(numbers.pop("depth"))} if "depth" in numbers else {}
    search = {"search": ",".join(f"{key}={numbers[key]}" for key in sorted(numbers))} if numbers else {}
    found = check_settings(Factory.kind, Factory, {"factory": structure, **search, **depth})
    assert isinstance(found, Factory)
    return found


def index_name(index: Index) -> str:
    """Return how an index is written with the keys that were given, such as `hnsw:ef_search=16`."""
    if isinstance(index, Factory):
        depth = f"depth={index.depth}" if "depth" in index.model_fields_set else ""
        return f"{index.kind}:{','.join(filter(None, (index.factory, index.search, depth)))}"
    given = [f"{key}={getattr(index, key)}" for key in type(index).model_fields if key in index.model_fields_set]
    return f"{index.kind}:{','.join(given)}" if given else index.kind


def _parameter(value: object) -> object:
    if not isinstance(value, str | int | float):
        raise ValueError(f"must be a string, a number or a truth value, not {value!r:.60}")
    return value


def _table(value: object) -> object:
    """Take a part that is only a name."""
    return {"model": value} if isinstance(value, str) else value


class DeclaredPart(Declared):
    """A retriever or reranker within a system: what `--model` and `--set` would say of it."""

    model: Annotated[str, Field(pattern=r"\S")]
    set: dict[str, Annotated[Parameter, PlainValidator(_parameter)]] = Field(default={})

    @property
    def settings(self) -> dict[str, str]:
        """The keys as `--set` would give them."""
        return {key: str(value) for key, value in self.set.items()}


class WeightedPart(DeclaredPart):
    """A part of a fusion."""

    weight: Annotated[float, Field(gt=0, le=_MOST_WEIGHT, allow_inf_nan=False)] = 1.0


class Tuned(Declared):
    """On what the weights of a fusion were tuned: a task, the fingerprint of its data, the measure and its value.

    `queries` are digests of some of its queries, so that the weights are not measured on topics that they saw.
    """

    task: Annotated[str, Field(pattern=r"\S")]
    fingerprint: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    measure: Annotated[str, Field(pattern=r"\S")]
    value: Annotated[float, Field(allow_inf_nan=False)]
    queries: Annotated[tuple[Annotated[str, Field(pattern=r"^[0-9a-f]{12}$")], ...], Field(strict=False)]


class Fusion(Declared):
    """Fusion of the lists of several systems by ranks (`rrf`) or by scores; `depth` cuts each part's list.

    `k` dampens the first ranks of reciprocal rank fusion. Scores are normalised list by list. Without `depth` the lists
    of `rrf` are as deep as asked, those with scores whole.
    """

    kind: Literal["fusion"]
    method: FusionMethod = RECIPROCAL
    normalisation: Normalisation = "min_max"
    systems: Annotated[tuple[Annotated[WeightedPart, BeforeValidator(_table)], ...], Field(strict=False)]
    k: Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)] = 60.0
    depth: Annotated[int, Field(ge=1)] | None = None
    tuned: Tuned | None = None

    @model_validator(mode="after")
    def _suited(self) -> "Fusion":
        other = "normalisation" if self.method == RECIPROCAL else "k"
        if other in self.model_fields_set:
            raise ValueError(f"{other} has no part in {self.method}: leave it out")
        return self

    @field_validator("systems")
    @classmethod
    def _several(cls, systems: tuple[WeightedPart, ...]) -> tuple[WeightedPart, ...]:
        if len(systems) < 2:
            raise ValueError("a fusion needs at least two systems")
        return systems


class Rerank(Declared):
    """A reranker over the first `n` documents of each list of the system `first`."""

    kind: Literal["rerank"]
    first: Annotated[DeclaredPart, BeforeValidator(_table)]
    reranker: Annotated[DeclaredPart, BeforeValidator(_table)]
    n: Annotated[int, Field(ge=1)] = 100


class IndexedPart(Declared):
    """An encoder whose documents are looked up in an approximate index, written as for `--index`."""

    kind: Literal["index"]
    encoder: Annotated[DeclaredPart, BeforeValidator(_table)]
    index: Annotated[str, Field(pattern=r"\S")]


class ListedModel(DeclaredPart):
    """A model of a run, and what results call it (None: its path or id)."""

    name: Annotated[str, checked(check_name)] | None = None


class ModelList(Declared):
    """The models of a run, in their order."""

    models: Annotated[tuple[Annotated[ListedModel, BeforeValidator(_table)], ...], Field(strict=False, min_length=1)]


Declaration = Fusion | Rerank | IndexedPart
_KINDS: dict[str, type[Fusion] | type[Rerank] | type[IndexedPart]] = {
    "fusion": Fusion,
    "rerank": Rerank,
    "index": IndexedPart,
}


def read_models(path: Path) -> tuple[ListedModel, ...]:
    """Return the models that the file at `path` lists, their paths resolved from the file's folder.

    Raises `InvalidModels` with all faults of the file at once, and `DataError` for a file that cannot be read; whether
    models and keys are right shows when they are opened.
    """
    source = relpath(path)
    try:
        listed = ModelList.model_validate(read_toml(path, source, InvalidModels)).models
    except ValidationError as error:
        raise InvalidModels(source, faults_of(error, ModelList)) from error
    found, faults = [], []
    for index, model in enumerate(listed):
        try:
            keys = {key: _beside(value, path.parent) for key, value in model.set.items()}
            located = _locate(model.model, path.parent)
            # Without a colon, unless a folder has that name.
            plain = located.removesuffix(":")
            update = {"model": located if Path(plain).exists() else plain, "set": keys}
            found.append(model.model_copy(update=update))
        except UserError as error:
            faults.append(f"models[{index}]: {error}")
    if faults:
        raise InvalidModels(source, faults)
    return tuple(found)


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
    def resolve(place: str, part: DeclaredPart, group: str = entry_points.RETRIEVERS) -> dict[str, object]:
        try:
            spec = _locate(part.model, path.parent)
            scheme, locator = parse(spec) if group == entry_points.RETRIEVERS else parse_reranker(spec)
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
    if isinstance(declared, IndexedPart):
        try:
            parse_index(declared.index)
        except UserError as error:
            faults.append(f"index: {error}")
        encoder = declared.encoder.model_copy(update=resolve("encoder", declared.encoder))
        return declared.model_copy(update={"encoder": encoder})
    first = declared.first.model_copy(update=resolve("first", declared.first))
    reranker = declared.reranker.model_copy(update=resolve("reranker", declared.reranker, entry_points.RERANKERS))
    return declared.model_copy(update={"first": first, "reranker": reranker})


def parse_reranker(spec: str) -> tuple[str, str]:
    """Return scheme and path or hub id of a reranker; without a scheme it belongs to `cross_encoder`."""
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
    return f"{model}:" if not scheme and model in entry_points.names(entry_points.RETRIEVERS) else model
