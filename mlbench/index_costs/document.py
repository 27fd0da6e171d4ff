"""The document of index costs: what each index changes in every number, how fast and how large it is."""

import json
from typing import Literal

from pydantic import BaseModel, ConfigDict

from mlbench.languages import Kind
from mlbench.protocols import Parameter
from mlbench.results import Bounds, IndexCost, Statistics

SCHEMA_VERSION = 1


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Change(_Part):
    """The value with an index minus one without, and its paired interval over clusters of topics."""

    difference: float | None
    interval: Bounds | None


class Line(_Part):
    """A measure over the settings of a kind, or of those that ask in one language; without a kind, a bias score.

    `exact` is the value of whole exact lists, `cut` that of exact lists which end where those of the index end, `value`
    that of the index. `change` is value minus exact, `own` value minus cut: what the index itself does. All are null
    where they cannot be computed or, as of ranks in lists that end elsewhere, not be compared.
    """

    name: str
    kind: Kind | None
    query_language: str | None
    exact: float | None
    cut: float | None
    value: float | None
    change: Change
    own: Change


class Overlap(_Part):
    """The mean share of an exact list's first `cutoff` documents that the index has among its own first.

    In the pool of all languages; for the queries of one language, or without it for all.
    """

    cutoff: int
    query_language: str | None
    share: float


class Speed(_Part):
    """How fast an index answers in its largest pools, those of most languages, one query at a time in one thread.

    `against_flat` is how many times as fast as brute force in the same pools, null where that was not measured.
    """

    document_languages: tuple[tuple[str, ...], ...]
    n_documents: int
    n_queries: int
    queries_per_second: float
    against_flat: float | None
    build_seconds: float
    bytes: int


class IndexReport(_Part):
    """One index; `unretrieved` are the shares of relevant documents that lists do not hold, by kind of settings."""

    name: str
    kind: str
    keys: dict[str, Parameter]
    faiss: str
    file: str
    fingerprint: str
    lines: tuple[Line, ...]
    overlaps: tuple[Overlap, ...]
    unretrieved: dict[Kind, float]
    speed: Speed
    pools: tuple[IndexCost, ...]

    def line(self, name: str, kind: Kind | None = None, query_language: str | None = None) -> Line | None:
        """Return the line of a measure or bias score, or None where there is none."""
        wanted = (name, kind, query_language)
        return next((each for each in self.lines if (each.name, each.kind, each.query_language) == wanted), None)

    def overlap(self, cutoff: int, query_language: str | None = None) -> float | None:
        """Return the overlap at a cutoff, None where the pool of all languages was not asked."""
        found = (each for each in self.overlaps if (each.cutoff, each.query_language) == (cutoff, query_language))
        return next((each.share for each in found), None)


class Exact(_Part):
    """The result without an index: it counts the ranks of relevant documents in all pools at once, in batches."""

    spec: str
    file: str
    fingerprint: str
    n_queries: int
    n_documents: int
    rank_seconds: float


class IndexCosts(_Part):
    """Every index against the exact result, in the order of kinds and, within one, of speed, the slowest first."""

    schema_version: Literal[1] = 1
    mlbench: str
    task: str
    version: str
    fingerprint: str
    languages: tuple[str, ...]
    limit: int | None
    primary_measure: str
    statistics: Statistics
    exact: Exact
    indexes: tuple[IndexReport, ...]


def to_json(costs: IndexCosts) -> str:
    """Return the document as JSON with sorted keys, ending in a newline."""
    return json.dumps(costs.model_dump(mode="json"), ensure_ascii=False, indent=1, sort_keys=True) + "\n"
