"""Kinds of approximate indexes and their keys, written as `hnsw:ef_search=16,m=32`."""

from math import isqrt
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

from mlbench.errors import RetrieverError, UnknownName
from mlbench.specs import check_settings

_PER_CELL = 39
"""How many documents faiss wants for each cell that it is to find."""


class _Kind(BaseModel):
    """What all kinds have; a list holds no more than `depth` documents."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    depth: int = Field(1000, ge=1, le=20_000, description="documents in each list, at most")

    kind: ClassVar[str]

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


Index = Flat | HNSW | IVFPQ

KINDS: dict[str, type[Flat] | type[HNSW] | type[IVFPQ]] = {"flat": Flat, "hnsw": HNSW, "ivfpq": IVFPQ}
"""The kinds by the names that `--index` takes."""


def parse_index(text: str) -> Index:
    """Return the index that `text` names, such as `flat` or `hnsw:ef_search=16,m=32`.

    Raises `UnknownName` for an unknown kind, and `RetrieverError` with all faults of the keys in one line.
    """
    name, _, keys = text.strip().partition(":")
    model = KINDS.get(name)
    if model is None:
        raise UnknownName("index", name, KINDS)
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


def index_name(index: Index) -> str:
    """Return how an index is written with the keys that were given, such as `hnsw:ef_search=16`."""
    given = [f"{key}={getattr(index, key)}" for key in type(index).model_fields if key in index.model_fields_set]
    return f"{index.kind}:{','.join(given)}" if given else index.kind
