"""The result document: one retriever on one task, as JSON that people, gates and leaderboards read."""

from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from mlbench.errors import UserError
from mlbench.languages import Kind
from mlbench.protocols import Parameter, Similarity
from mlbench.provenance import Provenance

if TYPE_CHECKING:
    import pandas

SCHEMA_VERSION = 1
MOST_RESAMPLES = 100_000
LARGEST_SEED = 2**32 - 1


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Bounds(_Part):
    """A confidence interval."""

    low: float
    high: float


class TaskInfo(_Part):
    """What was measured on; `partial` says that languages were left out, so that aggregates are not the task's.

    `limit` says that it was a quick look at so many topics: comparable to no other result but one of the same data.
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
        return self


class RetrieverInfo(_Part):
    """What was measured: `fingerprint` covers weights, tokenizer, prompts and configuration; an encoder has a `dim`.

    `training` is how the checkpoint was made, where it says so.
    """

    spec: str
    kind: Literal["encoder", "ranker"]
    fingerprint: str
    dim: int | None = None
    similarity: Similarity | None = None
    parameters: dict[str, Parameter] = {}
    training: Provenance | None = None


class SettingResult(_Part):
    """One setting; a value is null where no query has a relevant document. `intervals` has the primary measure."""

    kind: Kind
    query_language: str
    document_languages: tuple[str, ...]
    n_queries: int
    n_documents: int
    tied_share: float | None
    unretrieved_share: float | None
    measures: dict[str, float | None]
    intervals: dict[str, Bounds | None] = {}


class Aggregate(_Part):
    """Settings of one kind together: `macro` is the mean over settings, `micro` over all their queries.

    With a `query_language`, only the settings that ask in it. `ceilings` is what the best possible ranking gets.
    """

    kind: Kind
    aggregation: Literal["macro", "micro"]
    query_language: str | None
    n_settings: int
    n_queries: int
    measures: dict[str, float | None]
    intervals: dict[str, Bounds | None]
    ceilings: dict[str, float | None]


class LanguageValue(_Part):
    """A bias score's value for one language."""

    language: str
    value: float | None


class BiasResult(_Part):
    """One bias score; `rows_by` says which languages `rows` are about, `references` are floors and chance levels."""

    name: str
    value: float | None
    interval: Bounds | None = None
    references: dict[str, float | None] = {}
    rows_by: Literal["query_language", "document_language"] | None = None
    rows: tuple[LanguageValue, ...] = ()


class LanguageShare(_Part):
    """A document language's share of the top `cutoff`, divided by its share of the pool."""

    cutoff: int
    query_language: str
    document_language: str
    share: float | None


class Bias(_Part):
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


class CaptionScores(_Part):
    """How the captions of one language go with their images; the mean over languages where `language` is null.

    `r_mean` is the mean of the six hit rates, Success@1, 5 and 10 from captions to images and back. `clip_score` is the
    mean over captions of 2.5 max(cos(image, caption), 0), `ref_clip_score` that of its harmonic mean with the largest
    cosine, at least 0, of the caption to another of the same image in another language (Hessel et al. 2021, CLIPScore).
    Null where a direction was not asked for, a retriever has no cosines, or captions have no others.
    """

    language: str | None
    n_captions: int
    r_mean: float | None
    clip_score: float | None
    ref_clip_score: float | None
    intervals: dict[str, Bounds | None]


class ImageText(_Part):
    """How well captions and images go together, by language of the captions."""

    languages: tuple[CaptionScores, ...]
    mean: CaptionScores


class Statistics(_Part):
    """How the intervals were made: `unit` was resampled, `redraws` resamples left a setting empty."""

    unit: str
    n_clusters: int
    resamples: int = Field(ge=0, le=MOST_RESAMPLES)
    seed: int = Field(ge=0, le=LARGEST_SEED)
    confidence: float = Field(gt=0, lt=1)
    redraws: int


class IndexCost(_Part):
    """What one index over the documents of one pool took: built and searched in one thread, query by query.

    `keys` are those of the index as they came out for this pool, `depth` is how long lists could be at most, `bytes`
    the size of the index as it would be written; seconds are those of the processor.
    """

    document_languages: tuple[str, ...]
    n_documents: int = Field(ge=0)
    keys: dict[str, int]
    depth: int = Field(ge=0)
    bytes: int = Field(ge=0)
    build_seconds: float = Field(ge=0)
    n_queries: int = Field(ge=0)
    search_seconds: float = Field(ge=0)


class Cost(_Part):
    """What the run took; the only part that differs between two runs of the same thing.

    Texts and images are distinct ones; `indexes` are those of approximate search, one for each pool.
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


class Environment(_Part):
    """What the run ran on."""

    mlbench: str
    python: str
    platform: str
    cpus: int | None
    libraries: dict[str, str]
    command: str | None
    git_commit: str | None


class RanksFile(_Part):
    """The file of counts beside the document."""

    name: str
    sha256: str


class Result(_Part):
    """Everything that is published of one retriever on one task."""

    schema_version: Literal[1] = 1
    task: TaskInfo
    retriever: RetrieverInfo
    settings: tuple[SettingResult, ...]
    aggregates: tuple[Aggregate, ...]
    bias: Bias | None
    image_text: ImageText | None = None
    statistics: Statistics
    cost: Cost
    environment: Environment
    ranks: RanksFile

    def aggregate(
        self, kind: Kind, aggregation: Literal["macro", "micro"] = "macro", query_language: str | None = None
    ) -> Aggregate | None:
        """Return one aggregate, or None when the task has no such settings."""
        wanted = (kind, aggregation, query_language)
        return next((a for a in self.aggregates if (a.kind, a.aggregation, a.query_language) == wanted), None)

    def to_frame(self) -> "pandas.DataFrame":
        """Return a pandas frame with one row for each setting and one column for each measure."""
        try:
            import pandas
        except ImportError as error:
            raise UserError("to_frame needs pandas: pip install pandas") from error
        rows = [
            {
                "task": self.task.name,
                "retriever": self.retriever.spec,
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
