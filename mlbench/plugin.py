"""What a package implements that brings a retriever, a reader or an engine: the public names for authors of plugins.

A package names what it brings under an entry point group. What stands there, and what it must have:

- `mlbench.retrievers`: a `ModelLoader`, which opens an `Encoder` or a `Ranker`;
- `mlbench.rerankers`: a `ModelLoader` whose `open` returns a `Reranker`;
- `mlbench.readers`: a `Reader`, which makes a `Collection` of a `ReadRequest`;
- `mlbench.engines`: a function of `Resources` and a `Progress` that returns an `Engine`.

Nothing has to be inherited. When a plugin is opened, the members of these protocols are looked for by their names. All
that a plugin may have besides is declared in protocols of its own, each optional: `ReadsImages`, `ReadsLanguages`,
`CountsTokens`, `KnowsTruncation`, `ScoresPairs`, `HasComputation`, `HasProvenance`, `HasRegistryInfo`, `HasWarnings`,
`NamesItself`, `ReadsFiles`, `Preparable`, `ScoredRanker` and `HasIndexCosts` of retrievers; `KnowsTruncatedPairs` of
rerankers; `RecognisesFolders`, `WrapsModels`, `BundledModel`, `NeedsLibraries` and `HasExample` of loaders;
`FolderReader`, `NamesFiles`, `SelfDescribingReader` and `ShardedReader` of readers.

For what the user can put right, a plugin raises a `UserError` with one line that says what to do: `RetrieverError`,
`DataError`, `EngineError` or `MissingExtra`.
"""

from mlbench.collection.languages import Setting
from mlbench.collection.records import Collection, Document, Image, Judgment, Query, document_id
from mlbench.errors import DataError, EngineError, MissingExtra, RetrieverError, UserError
from mlbench.protocols import (
    BundledModel,
    CountsTokens,
    Encoder,
    Engine,
    FolderReader,
    HasComputation,
    HasExample,
    HasIndexCosts,
    HasProvenance,
    HasRegistryInfo,
    ImageFinder,
    IndexCost,
    ModelLoader,
    NamesFiles,
    NamesItself,
    NeedsLibraries,
    Parameter,
    Preparable,
    Progress,
    RankedList,
    Ranker,
    Reader,
    ReadRequest,
    ReadsFiles,
    ReadsImages,
    ReadsLanguages,
    RecognisesFolders,
    Reranker,
    Resources,
    Retriever,
    Role,
    Runtime,
    ScoredRanker,
    SelfDescribingReader,
    Shard,
    ShardedCollection,
    ShardedReader,
    Similarity,
    SourceFile,
    Texts,
    Vectors,
    WrapsModels,
)
from mlbench.provenance import Provenance, RegistryInfo

__all__ = [
    "BundledModel",
    "Collection",
    "CountsTokens",
    "DataError",
    "Document",
    "Encoder",
    "Engine",
    "EngineError",
    "FolderReader",
    "HasComputation",
    "HasExample",
    "HasIndexCosts",
    "HasProvenance",
    "HasRegistryInfo",
    "Image",
    "ImageFinder",
    "IndexCost",
    "Judgment",
    "MissingExtra",
    "ModelLoader",
    "NamesFiles",
    "NamesItself",
    "NeedsLibraries",
    "Parameter",
    "Preparable",
    "Progress",
    "Provenance",
    "Query",
    "RankedList",
    "Ranker",
    "ReadRequest",
    "Reader",
    "ReadsFiles",
    "ReadsImages",
    "ReadsLanguages",
    "RecognisesFolders",
    "RegistryInfo",
    "Reranker",
    "Resources",
    "Retriever",
    "RetrieverError",
    "Role",
    "Runtime",
    "ScoredRanker",
    "SelfDescribingReader",
    "Setting",
    "Shard",
    "ShardedCollection",
    "ShardedReader",
    "Similarity",
    "SourceFile",
    "Texts",
    "UserError",
    "Vectors",
    "WrapsModels",
    "document_id",
]
