"""How a run is made."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, cast, get_args

from mlbench import entry_points, members
from mlbench.errors import RetrieverError, UnknownName, UserError
from mlbench.io.untrusted import LARGEST_NUMBER
from mlbench.open_model import LoadedModel, open_model
from mlbench.protocols import Engine, Progress, Resources, Runtime, Silence
from mlbench.ranking.run_files import SaveRun
from mlbench.results import LARGEST_SEED, MOST_RESAMPLES

Pools = Literal["any", "asked"]
POOLS: tuple[Pools, ...] = get_args(Pools)
"""What the ranks of an encoder can answer: any pool of its languages, or those that a setting of the task asks for."""


@dataclass(frozen=True)
class Options:
    """How a run is made; nothing here changes what is measured, save `settings`, `limit` and `measures`.

    `settings` are the retriever's keys as strings; `measures` are computed beside those of the task; `limit` asks for a
    quick look at so many topics (see `Collection.sample`); `cache` is the folder of the embedding store (None: the
    user's cache folder); `seed`, `resamples` and `confidence` are those of the intervals; `save_run` asks for TREC
    files; `command` is recorded in the result. `engine` and `resources` say where the shards of large corpora are
    encoded and counted, `keep_vectors` whether their vectors stay in the cache (None: where they fit into half of the
    free space). `pools` says whether the ranks of an encoder answer any pool afterwards, or those of the task's
    settings alone, which takes little memory where there are many languages (None: any, up to `MOST_COUNTS` counts).
    `commit_vectors` asks for a file that commits to all vectors of an encoder (see `Commitment`). `clipscore_model`, a
    spec or a model, is the judge that gives CLIPScores to what is found (see `ClipScoreJudge`).
    """

    settings: Mapping[str, str] = field(default_factory=dict)
    measures: tuple[str, ...] = ()
    limit: int | None = None
    runtime: Runtime = field(default_factory=Runtime)
    cache: Path | None = None
    resamples: int = 2000
    seed: int = 0
    confidence: float = 0.95
    save_run: SaveRun | None = None
    command: str | None = None
    engine: str = "local"
    resources: Resources = field(default_factory=Resources)
    keep_vectors: bool | None = None
    pools: Pools | None = None
    commit_vectors: bool = False
    clipscore_model: object | None = None
    progress: Progress = field(default_factory=Silence)

    def __post_init__(self) -> None:
        if not (0 <= self.resamples <= MOST_RESAMPLES and 0 <= self.seed <= LARGEST_SEED and 0 < self.confidence < 1):
            raise UserError(
                f"resamples go from 0 to {MOST_RESAMPLES:,}, seeds from 0 to {LARGEST_SEED:,}, confidence from 0 to 1: "
                f"not {self.resamples:,}, {self.seed:,} and {self.confidence}"
            )
        if self.limit is not None and not 1 <= self.limit <= LARGEST_NUMBER:
            raise UserError(f"a quick look has at least one topic, and at most {LARGEST_NUMBER:,}, not {self.limit:,}")
        if self.pools not in (None, *POOLS):
            raise UnknownName("kind of pools", str(self.pools), POOLS)

    def open_model(self, model: object, name: str | None = None) -> LoadedModel:
        """Open a spec, or take a model object, with these settings (see `mlbench.open_model.open_model`)."""
        return open_model(model, self.settings, self.runtime, self.progress, name)

    def open_judge(self) -> LoadedModel | None:
        """Open the judge of CLIPScores, None without one; raises `RetrieverError` for what encodes no images."""
        judge = self.clipscore_model
        if judge is None or isinstance(judge, LoadedModel):
            return judge
        opened = open_model(judge, {}, self.runtime, self.progress)
        if not (members.is_encoder(opened.retriever) and members.reads_images(opened.retriever)):
            raise RetrieverError(
                f"{opened.label} encodes no images and cannot judge captions: name an image-text model with "
                "--clipscore-model, as in image_text:FOLDER"
            )
        return opened


OpenEngine = Callable[[Resources, Progress], Engine]


def open_engine(name: str, resources: Resources, progress: Progress) -> Engine:
    """Return the engine that the entry point `name` gives; raises `UnknownName`, and `EngineError` as it does."""
    return cast(OpenEngine, entry_points.load(entry_points.ENGINES, name))(resources, progress)
