"""Which members a plugin has: the required ones are checked by name, the optional ones read with a default.

Both are declared in `mlbench.protocols`. Nothing else asks a plugin what it has, so that one more optional member
breaks no plugin.
"""

from collections.abc import Mapping, Sequence
from inspect import getattr_static
from pathlib import Path
from typing import TYPE_CHECKING, TypeGuard, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from mlbench.collection.languages import Setting
from mlbench.collection.records import Document, Query
from mlbench.io.libraries import LIBRARIES, versions_installed
from mlbench.protocols import (
    BundledModel,
    ChecksRepeatability,
    CountsTokens,
    Encoder,
    EncodesByRequests,
    FindsFolders,
    FolderReader,
    HasComputation,
    HasExample,
    HasIndexCosts,
    HasPrice,
    HasProvenance,
    HasRegistryInfo,
    HasWarnings,
    HubReader,
    IndexCost,
    KnowsTruncatedPairs,
    KnowsTruncation,
    ModelLoader,
    NamesFiles,
    NamesItself,
    NeedsLibraries,
    Parameter,
    Preparable,
    PreparesTexts,
    Progress,
    RankedList,
    Ranker,
    Reader,
    ReadsFiles,
    ReadsImages,
    ReadsLanguages,
    RecognisesFolders,
    Repeatability,
    Reranker,
    Role,
    ScoredPairs,
    ScoredRanker,
    ScoresPairs,
    SelfDescribingReader,
    SeparateReader,
    ShardedReader,
    Texts,
    WrapsModels,
)
from mlbench.provenance import Provenance, RegistryInfo

if TYPE_CHECKING:
    # Python has it from 3.13 on.
    from typing_extensions import TypeIs

ENCODER = ("dim", "encode", "fingerprint", "parameters", "similarity")
RANKER = ("fingerprint", "parameters", "search")
RERANKER = ("fingerprint", "parameters", "score")
LOADER = ("Settings", "open")
"""What a plugin of each kind must have; one more name here would break the plugins that there are."""


def missing(plugin: object, required: tuple[str, ...]) -> tuple[str, ...]:
    """Return those of the `required` names that `plugin` has no member of, in their order; None is no member."""
    return tuple(name for name in required if not _has(plugin, name))


def is_encoder(plugin: object) -> "TypeIs[Encoder]":
    """Say whether `plugin` has all that an encoder must have."""
    return not missing(plugin, ENCODER)


def is_ranker(plugin: object) -> "TypeIs[Ranker]":
    """Say whether `plugin` has all that a ranker must have."""
    return not missing(plugin, RANKER)


def is_reranker(plugin: object) -> "TypeIs[Reranker]":
    """Say whether `plugin` has all that a reranker must have."""
    return not missing(plugin, RERANKER)


def is_loader(plugin: object) -> "TypeIs[ModelLoader]":
    """Say whether `plugin` opens models: it has `open`, and `Settings` that are a pydantic model."""
    settings = getattr(plugin, "Settings", None)
    has_settings = isinstance(settings, type) and issubclass(settings, BaseModel)
    return has_settings and callable(getattr(plugin, "open", None))


def is_reader(plugin: object) -> "TypeIs[Reader]":
    """Say whether `plugin` can be called, as a reader is with a `ReadRequest`."""
    return callable(plugin)


def reads_images(retriever: object) -> bool:
    """Say whether a retriever or reranker may be given images; by default it may not."""
    return _has(retriever, "reads_images") and bool(cast(ReadsImages, retriever).reads_images)


def reads_languages(encoder: object) -> TypeGuard[ReadsLanguages]:
    """Say whether an encoder must know the language of a text; by default it need not."""
    return _has(encoder, "in_language")


def tokens_of(retriever: object) -> int:
    """Return how many tokens a retriever has encoded since it was opened; 0 for one that does not count."""
    tokens = cast(CountsTokens, retriever).tokens if _has(retriever, "tokens") else 0
    return tokens if isinstance(tokens, int) else 0


def longest_input(retriever: object, role: Role) -> int | None:
    """Return after how many tokens a retriever cuts off a text in `role`; None where it does not, or does not say."""
    return cast(KnowsTruncation, retriever).longest_input(role) if _has(retriever, "longest_input") else None


def is_truncated(retriever: object, texts: Sequence[str], role: Role) -> NDArray[np.bool_] | None:
    """Return which texts a retriever cuts off, bool (len(texts),); None, as by default, where it cannot tell."""
    return cast(KnowsTruncation, retriever).is_truncated(texts, role) if _has(retriever, "is_truncated") else None


def longest_pair(reranker: object) -> int | None:
    """Return after how many tokens a reranker cuts off a pair; None where it does not, or does not say."""
    return cast(KnowsTruncatedPairs, reranker).longest_pair() if _has(reranker, "longest_pair") else None


def is_truncated_pair(reranker: object, pairs: Sequence[tuple[str, str]]) -> NDArray[np.bool_] | None:
    """Return which pairs a reranker cuts off, bool (len(pairs),); None, as by default, where it cannot tell."""
    known = _has(reranker, "is_truncated_pair")
    return cast(KnowsTruncatedPairs, reranker).is_truncated_pair(pairs) if known else None


def scored_pairs(ranker: object) -> ScoredPairs | None:
    """Return the pairs of texts that a ranker has scored; None for one that scores none, or does not say."""
    return cast(ScoresPairs, ranker).scored_pairs() if _has(ranker, "scored_pairs") else None


def warnings_of(retriever: object) -> tuple[str, ...]:
    """Return in one line each what a user should be told of how a retriever was opened; by default nothing."""
    return tuple(cast(HasWarnings, retriever).warnings) if _has(retriever, "warnings") else ()


def provenance_of(retriever: object) -> Provenance | None:
    """Return how a retriever was trained, None where it does not say; raises `DataError` where that is damaged."""
    provenance = cast(HasProvenance, retriever).provenance if _has(retriever, "provenance") else None
    return provenance if isinstance(provenance, Provenance) else None


def name_of(retriever: object) -> str | None:
    """Return what a retriever calls itself, None where it has no name."""
    name = cast(NamesItself, retriever).name if _has(retriever, "name") else None
    return name if isinstance(name, str) else None


def registry_of(retriever: object) -> RegistryInfo | None:
    """Return what the registry of models says of a retriever; None where it knows nothing of it."""
    registry = cast(HasRegistryInfo, retriever).registry if _has(retriever, "registry") else None
    return registry if isinstance(registry, RegistryInfo) else None


def computation_of(encoder: Encoder, role: Role) -> Mapping[str, Parameter]:
    """Return what else than the model decides the bits of vectors in `role`; all known libraries by default."""
    if _has(encoder, "computation"):
        return cast(HasComputation, encoder).computation(role)
    return versions_installed(LIBRARIES.values())


def check_files(retriever: object) -> None:
    """Raise `RetrieverError` where a file that a retriever was read from has changed; by default there are none."""
    if _has(retriever, "check_files"):
        cast(ReadsFiles, retriever).check_files()


def prepares_texts(encoder: object) -> TypeGuard[PreparesTexts]:
    """Say whether an encoder makes texts ready while it computes others."""
    return _has(encoder, "prepare_texts")


def encodes_by_requests(encoder: object) -> TypeGuard[EncodesByRequests]:
    """Say whether an encoder asks a server, several requests at once."""
    return _has(encoder, "encode_batches")


def repeatability_of(retriever: object) -> Repeatability | None:
    """Return how far a retriever's answers lie apart; None for one whose vectors follow from files, the default."""
    return cast(ChecksRepeatability, retriever).repeatability() if _has(retriever, "repeatability") else None


def spent_of(retriever: object) -> float | None:
    """Return what a retriever's requests cost since it was opened; None where it does not say."""
    return cast(HasPrice, retriever).spent if _has(retriever, "spent") else None


def index_costs_of(ranker: object) -> tuple[IndexCost, ...]:
    """Return what the indexes of a ranker took since it was prepared; empty for one without indexes."""
    return cast(HasIndexCosts, ranker).index_costs if _has(ranker, "index_costs") else ()


def prepare(ranker: object, texts: Texts, cache: Path | None, progress: Progress) -> bool:
    """Let a ranker encode all texts of a run before its first search; return False for one that encodes none."""
    if not _has(ranker, "prepare"):
        return False
    cast(Preparable, ranker).prepare(texts, cache, progress)
    return True


def counting_device(encoder: Encoder) -> str | None:
    """Return the device of torch that counts documents: `cuda` where an encoder runs there, else None, for numpy."""
    return "cuda" if encoder.parameters.get("device") == "cuda" else None


def search_scored(
    ranker: Ranker, setting: Setting, queries: Sequence[Query], documents: Sequence[Document], depth: int
) -> list[RankedList]:
    """Return a ranker's lists with their scores; without scores where it hands over none."""
    if _has(ranker, "search_scored"):
        return cast(ScoredRanker, ranker).search_scored(setting, queries, documents, depth)
    return [RankedList(found) for found in ranker.search(setting, queries, documents, depth)]


def wraps_models(loader: object) -> TypeGuard[WrapsModels]:
    """Say whether a loader takes model objects."""
    return _has(loader, "adopt")


def finds_folders(loader: object) -> TypeGuard[FindsFolders]:
    """Say whether a loader finds the folders of hub ids."""
    return _has(loader, "find")


def packaged(loader: object) -> str | None:
    """Return in one line what model a loader opens without a locator; None where it has none of its own."""
    return cast(BundledModel, loader).packaged() if _has(loader, "packaged") else None


def libraries_of(loader: object) -> tuple[str, ...]:
    """Return the modules that a loader imports late; empty where it names none."""
    return tuple(cast(NeedsLibraries, loader).libraries) if _has(loader, "libraries") else ()


def extra_of(loader: object) -> str | None:
    """Return the extra that installs a loader's libraries; None where it names none."""
    return cast(NeedsLibraries, loader).extra if _has(loader, "extra") else None


def example_of(loader: object) -> str | None:
    """Return an example of what a loader opens, such as `static:./checkpoint`; None where it gives none."""
    return cast(HasExample, loader).example if _has(loader, "example") else None


def recognises(plugin: object, folder: Path) -> bool:
    """Say whether a loader or reader knows `folder` as one of its own; by default it knows none."""
    return _has(plugin, "recognises") and bool(cast(RecognisesFolders, plugin).recognises(folder))


def describes_folders(reader: object) -> TypeGuard[FolderReader]:
    """Say whether a reader makes tasks of folders that it recognises."""
    return _has(reader, "recognises") and _has(reader, "declare_folder")


def describes_hub_sets(reader: object) -> TypeGuard[HubReader]:
    """Say whether a reader makes tasks of data sets on the hub that have its layout."""
    return _has(reader, "declare_files")


def looks_for(reader: object) -> str:
    """Return what files the folders of a reader hold, for a message; empty where it does not say."""
    return cast(NamesFiles, reader).looks_for if _has(reader, "looks_for") else ""


def describes_itself(reader: object) -> TypeGuard[SelfDescribingReader]:
    """Say whether a reader finds its data itself, and makes tasks of locators."""
    return _has(reader, "declare")


def gives_shards(reader: object) -> TypeGuard[ShardedReader]:
    """Say whether a reader can give its corpora shard by shard."""
    return _has(reader, "shards")


def reads_languages_apart(reader: object) -> TypeGuard[SeparateReader]:
    """Say whether what a reader gives for some languages does not depend on the files of the others."""
    return getattr(reader, "reads_languages_apart", False) is True


def _has(plugin: object, name: str) -> bool:
    """Say whether there is such a member; a property is not computed for that."""
    try:
        return getattr_static(plugin, name) is not None
    except AttributeError:
        # An object that stands in for another has what that one has.
        return getattr(plugin, name, None) is not None
