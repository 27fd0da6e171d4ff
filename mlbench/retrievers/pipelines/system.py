"""Opens what a system file declares."""

from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel

from mlbench import entry_points, members
from mlbench.errors import RetrieverError
from mlbench.open_model import check_settings, describe, load_scheme
from mlbench.protocols import Reranker, Runtime
from mlbench.retrievers.pipelines.ann_index import IndexedEncoder, IndexRanker
from mlbench.retrievers.pipelines.declaration import (
    Fusion,
    IndexedPart,
    parse_index,
    parse_reranker,
    read_system,
)
from mlbench.retrievers.pipelines.fusion import FusionRanker
from mlbench.retrievers.pipelines.parts import Composite, open_part
from mlbench.retrievers.pipelines.reranking import RerankRanker


class System:
    """Retrievers put together: fusion, re-ranking, an approximate index (path of a TOML file)."""

    example = "system:./system.toml"

    class Settings(BaseModel, extra="forbid", frozen=True):
        """A system takes no keys; its file sets those of its parts."""

    @staticmethod
    def open(locator: str, settings: BaseModel, runtime: Runtime) -> Composite:
        """Open every part; raises `InvalidSystem` with all faults of the file, and what opening a part raises."""
        if not locator:
            raise RetrieverError("system: name a TOML file, as in --model system.toml")
        declared = read_system(Path(locator))
        if isinstance(declared, Fusion):
            return FusionRanker(declared, [open_part(part.model, part.settings, runtime) for part in declared.systems])
        if isinstance(declared, IndexedPart):
            part = open_part(declared.encoder.model, declared.encoder.settings, runtime)
            return IndexRanker(parse_index(declared.index), part, IndexedEncoder(part.opened))
        first = open_part(declared.first.model, declared.first.settings, runtime)
        reranker = open_reranker(declared.reranker.model, declared.reranker.settings, runtime)
        return RerankRanker(declared, first, reranker, describe(declared.reranker.model))


def open_reranker(spec: str, settings: Mapping[str, str], runtime: Runtime) -> Reranker:
    """Open the reranker that `spec` names; raises `UserError` as `open_retriever` does."""
    name, locator = parse_reranker(spec)
    scheme = load_scheme(name, entry_points.RERANKERS)
    # A plugin may return anything, whatever its annotations say.
    opened: object = scheme.open(locator, check_settings(name, scheme.Settings, settings), runtime)
    if not members.is_reranker(opened):
        lacking = ", ".join(members.missing(opened, members.RERANKER))
        raise RetrieverError(
            f"reranker {name!r} opened a {type(opened).__name__}, which is no reranker (it lacks {lacking})"
        )
    return opened
