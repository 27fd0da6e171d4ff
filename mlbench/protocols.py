"""The interfaces between mlbench and its plugins: encoders, rankers, their loaders, readers and engines.

`Encoder`, `Ranker`, `Reranker`, `ModelLoader` and `Reader` have the members that a plugin must have, and no others.
Each of the other protocols of retrievers, loaders and readers declares what a plugin may have besides. A new member
goes there, so that it breaks no plugin. `mlbench.members` reads them all.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple, Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from mlbench.collection.languages import Setting
from mlbench.collection.records import Collection, Document, Query
from mlbench.io.document import DocumentPart
from mlbench.provenance import Provenance, RegistryInfo

Role = Literal["query", "document", "image"]
Similarity = Literal["cosine", "dot"]
Vectors = NDArray[np.float32]
Scores = NDArray[np.float32] | NDArray[np.float64]
Parameter = str | int | float | bool | None


@runtime_checkable
class Encoder(Protocol):
    """A retriever that turns each text into one vector.

    `dim` is the number of coordinates, `similarity` how two vectors are compared. `parameters` is what the result
    document records (pooling, prompts, max_length, dtype ...).
    """

    dim: int
    similarity: Similarity

    @property
    def parameters(self) -> dict[str, Parameter]:
        """What the result document records of the encoder."""
        ...

    def fingerprint(self, role: Role) -> str:
        """Return a digest of everything that decides the vectors of texts in `role`.

        That is weights, tokenizer, prompt, pooling, dtype, truncation. Where both roles give the same vectors, both
        fingerprints are equal, and a text that is query and document is encoded once.
        """
        ...

    def encode(self, texts: Sequence[str], role: Role) -> Vectors:
        """Return float32 vectors of shape (len(texts), dim), in the order of `texts`; no texts give shape (0, dim).

        Called with up to about 1,024 texts of similar length. The same call gives the same vectors to the bit. Only an
        encoder with `reads_images` is called with the role image, whose texts are `Image`s; it opens a few at a time.
        """
        ...


@runtime_checkable
class Ranker(Protocol):
    """A retriever that returns ranked lists of documents."""

    @property
    def parameters(self) -> dict[str, Parameter]:
        """What the result document records of the ranker."""
        ...

    def fingerprint(self) -> str:
        """Return a digest of everything that decides the lists."""
        ...

    def search(
        self, setting: Setting, queries: Sequence[Query], documents: Sequence[Document], depth: int
    ) -> list[list[str]]:
        """Return for each query the ids of at most `depth` of the `documents`, best first, without repetitions."""
        ...


Retriever = Encoder | Ranker


class RankedList(NamedTuple):
    """The documents of one list, best first, and their scores.

    `scores`, (documents,), never rise along the list, and equal scores are ties. They are None where they are not
    known.
    """

    doc_ids: list[str]
    scores: Scores | None = None


class ScoredRanker(Ranker, Protocol):
    """A ranker that also hands over the scores behind its lists, so that ties are counted.

    The ties of any other ranker are unknown. A class that inherits from this one need not define `search`.
    """

    def search_scored(
        self, setting: Setting, queries: Sequence[Query], documents: Sequence[Document], depth: int
    ) -> list[RankedList]:
        """Return the lists of `search`, with their scores."""
        ...

    def search(
        self, setting: Setting, queries: Sequence[Query], documents: Sequence[Document], depth: int
    ) -> list[list[str]]:
        """Return for each query the ids of at most `depth` of the `documents`, best first, without repetitions."""
        return [found.doc_ids for found in self.search_scored(setting, queries, documents, depth)]


@runtime_checkable
class Reranker(Protocol):
    """What scores pairs of a query and a document, read together, such as a cross-encoder."""

    @property
    def parameters(self) -> dict[str, Parameter]:
        """What the result document records of the reranker."""
        ...

    def fingerprint(self) -> str:
        """Return a digest of everything that decides the scores."""
        ...

    def score(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        """Return float32 (pairs,), higher for the better document; no pairs give shape (0,).

        A pair is the text of a query and that of a document, given once. The same call gives the same bits.
        """
        ...


class ReadsImages(Protocol):
    """A retriever or reranker that may be given an `Image` wherever a text may stand.

    `reads_images` says whether this one may: a fusion may where all its parts may.
    """

    @property
    def reads_images(self) -> bool:
        """Whether it may be given images."""
        ...


class ReadsLanguages(Protocol):
    """An encoder that must know the language of a text, such as one whose tokenizer puts a language code beside it."""

    def in_language(self, language: str) -> Encoder:
        """Return the encoder of texts in a language, given by its tag, with a fingerprint of its own.

        It has the same `dim` and `similarity`. Raises `RetrieverError` for a language that the model does not know.
        """
        ...


class HasProvenance(Protocol):
    """A retriever that may know how it was trained; any encoder or ranker can be one."""

    @property
    def provenance(self) -> Provenance | None:
        """What made it, None where that is not known; raises `DataError` where what should say so is damaged."""
        ...


class NamesItself(Protocol):
    """A retriever that knows what it is called; results of one that was given as an object have that name."""

    @property
    def name(self) -> str | None:
        """Its name, or the folder that it is from; None where it has none."""
        ...


@runtime_checkable
class KnowsTruncation(Protocol):
    """A retriever of texts that knows which of them it cuts off at its longest input."""

    def longest_input(self, role: Role) -> int | None:
        """Return after how many tokens a text in `role` is cut off, with its prompt; None where none is."""
        ...

    def is_truncated(self, texts: Sequence[str], role: Role) -> NDArray[np.bool_] | None:
        """Return for each text whether it is cut off, bool (len(texts),); None where that cannot be told.

        It is a function of the text and the role alone, so that it is the same where vectors were kept.
        """
        ...


class KnowsTruncatedPairs(Protocol):
    """A `Reranker` that knows which pairs of a query and a document it cuts off at its longest input."""

    def longest_pair(self) -> int | None:
        """Return after how many tokens a pair is cut off, special tokens included; None where none is."""
        ...

    def is_truncated_pair(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.bool_] | None:
        """Return for each pair whether it is cut off, bool (len(pairs),); None where that cannot be told."""
        ...


class ScoredPairs(NamedTuple):
    """The pairs of a query and a document that a ranker has scored since it was prepared, by the document's text.

    `scored` counts them, `truncated` counts those that were cut off at `max_length` tokens (None: at none).
    """

    max_length: int | None
    scored: Mapping[str, int]
    truncated: Mapping[str, int]


class ScoresPairs(Protocol):
    """A ranker that reads queries and documents in pairs, and knows which of these are cut off."""

    def scored_pairs(self) -> ScoredPairs | None:
        """Return the pairs of all lists so far; None where it cannot be told which were cut off."""
        ...


class HasWarnings(Protocol):
    """A retriever or reranker that knows what a user should be told of how it was opened."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a user should be told, in one line each, without the word warning; empty where there is nothing."""
        ...


class HasRegistryInfo(Protocol):
    """A retriever that the registry of models may know."""

    @property
    def registry(self) -> RegistryInfo | None:
        """What the registry says of it, and what of that is used; None where it knows nothing of it."""
        ...


class CountsTokens(Protocol):
    """A retriever that counts the tokens it encodes."""

    @property
    def tokens(self) -> int:
        """How many tokens it has encoded since it was opened."""
        ...


class HasComputation(Protocol):
    """An encoder that says what else than the model decides the bits of its vectors."""

    def computation(self, role: Role) -> Mapping[str, Parameter]:
        """Return what decides how vectors in `role` are rounded, such as versions of libraries and sizes of batches.

        Kept vectors are used again only where it is the same; it is no part of the fingerprint. Of an encoder without
        this member, the versions of all libraries count that mlbench knows.
        """
        ...


class PreparesTexts(Encoder, Protocol):
    """An encoder that makes texts ready, as by tokenising them, while it computes the vectors of others."""

    def prepare_texts(self, texts: Sequence[str], role: Role) -> Callable[[], Vectors]:
        """Return what gives the vectors of `texts` that `encode` gives.

        It is called by one thread, while another one computes what was prepared before.
        """
        ...


class EncodesByRequests(Encoder, Protocol):
    """An encoder that asks a server, several requests at once; what each of them gives is kept before the next."""

    @property
    def batch_size(self) -> int:
        """How many texts a request holds at most."""
        ...

    def encode_batches(self, batches: Sequence[Sequence[str]], role: Role) -> Iterator[tuple[int, Vectors]]:
        """Yield for each batch its number and its vectors, float32 (texts, dim), in the order in which they come.

        A batch has at most `batch_size` texts. Where a request fails for good, what others gave comes first.
        """
        ...

    def estimate(self, texts: Sequence[str]) -> str:
        """Say in one line what it will take to encode `texts`, none of which is kept."""
        ...


class Repeatability(DocumentPart):
    """How far the vectors of the same texts lay apart when they were asked for several times in a run and before it.

    `repeatable` says that they were equal to the bit; `least_cosine` is that of the two that were farthest apart.
    """

    repeatable: bool
    least_cosine: float = Field(ge=-1, le=1)
    probe_texts: int = Field(ge=1)


class ChecksRepeatability(Protocol):
    """A retriever whose model lies elsewhere, and may answer otherwise each time."""

    def repeatability(self) -> Repeatability | None:
        """Return how far answers lie apart, None where no part of it may answer otherwise; asked once at a run's end.

        Raises `RetrieverError` where it is another model than when it was opened.
        """
        ...


class HasPrice(Protocol):
    """A retriever whose requests cost money."""

    @property
    def spent(self) -> float | None:
        """What they cost since it was opened; None where that is not known."""
        ...


class ReadsFiles(Protocol):
    """A retriever or reranker that was read from files which must not change while a run uses it."""

    def check_files(self) -> None:
        """Raise `RetrieverError` where one of them has changed since it was read; asked before vectors are kept."""
        ...


@dataclass(frozen=True, slots=True)
class Runtime:
    """How a retriever may use the machine, and what it may load.

    `device` is a torch device name or None for the best there is; `threads` None leaves the number to the libraries.
    """

    device: str | None = None
    threads: int | None = None
    allow_pickle: bool = False
    trust_remote_code: bool = False


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file of a task, found and verified: `role` says what it holds, `language` for which language.

    `name` is its path in the task file.
    """

    path: Path
    language: str | None = None
    role: str = "data"
    name: str = ""


class Progress(Protocol):
    """Is told how far each phase of a run is; the command line draws it, a library call ignores it."""

    def start(self, phase: str, total: int) -> None:
        """Begin `phase` ("encode", "rank", "download ...") of `total` units; another phase may have gone before."""
        ...

    def advance(self, done: int) -> None:
        """Add `done` units to the phase begun last."""
        ...

    def finish(self) -> None:
        """End the phase begun last."""
        ...

    def note(self, message: str) -> None:
        """Tell the user one line; one that begins with `warning:` is shown even where only results are wanted."""
        ...


class Silence:
    """A `Progress` that says nothing."""

    def start(self, phase: str, total: int) -> None:
        """Ignore it."""

    def advance(self, done: int) -> None:
        """Ignore it."""

    def finish(self) -> None:
        """Ignore it."""

    def note(self, message: str) -> None:
        """Ignore it."""


SILENCE = Silence()
"""The `Progress` of a call that is given none."""


class ImageFinder(Protocol):
    """Knows where the images of a task are: in folders of the user, in the cache, or in archives to be downloaded."""

    def find(self, names: Sequence[str]) -> dict[str, Path]:
        """Return the file of each image, called by its path in the task's folder of images, such as `a/1.jpg`.

        Raises `DataError` that counts the missing ones, names the first and says where they belong.
        """
        ...


@dataclass(frozen=True)
class ReadRequest:
    """What a reader is asked for; `files` are already verified against their checksums.

    `limit` is the number of topics of a quick look (None: no limit); a reader may leave out documents that
    `Collection.sample` would not keep. `parallel` is what the task says of its topics. `wanted` are the languages that
    are asked for (None: all); a reader whose languages do not depend on each other may give the others no rows. Reading
    is told to `progress`. `images` finds images, for tasks that declare some.
    """

    task: str
    languages: tuple[str, ...]
    files: tuple[SourceFile, ...]
    document_text: str = "sentence"
    options: dict[str, Parameter] = field(default_factory=dict)
    limit: int | None = None
    parallel: bool = True
    wanted: tuple[str, ...] | None = None
    progress: Progress = field(default_factory=Silence)
    images: ImageFinder | None = None


Reader = Callable[[ReadRequest], Collection]
"""Reads a task's files; what it returns must depend on the request and its files alone, as it may be kept."""


class SelfDescribingReader(Protocol):
    """A `Reader` that finds its data itself: its tasks need no files, and `--task NAME:LOCATOR` no task file."""

    def declare(self, locator: str, languages: tuple[str, ...] | None) -> dict[str, object]:
        """Return what a task file would say of `locator`; raises `UserError` for one that is not known.

        `languages` are those that the user asks for, for data that do not know their own.
        """
        ...


class FolderReader(Protocol):
    """A `Reader` that knows its own folders, so that `--task FOLDER` needs no task file."""

    def recognises(self, folder: Path) -> bool:
        """Say at a glance whether `folder` holds data of this format; what the data say is left for reading."""
        ...

    def declare_folder(self, folder: Path, languages: tuple[str, ...] | None) -> dict[str, object]:
        """Return what a task file in a `folder` that it recognises would say: at least `languages` and `files`.

        Paths are relative to the folder, and the reader's own name is left out. `languages` are those that the user
        asks for, for data that do not know their own. Raises `UserError` or `ValueError` where the folder has a fault.
        """
        ...


@dataclass(frozen=True)
class DataFiles:
    """The files of a data set on a hub: their paths in it, and what its data card says (see `read_card`).

    `subset` and `split` are those that the user asks for, empty where none is.
    """

    paths: tuple[str, ...]
    card: Mapping[str, object]
    subset: str = ""
    split: str = ""


class HubReader(Protocol):
    """A `Reader` that knows data sets on the Hugging Face hub, so that `--task hf://...` needs no task file."""

    def declare_files(self, files: DataFiles, languages: tuple[str, ...] | None) -> dict[str, object] | None:
        """Return what a task file would say of a data set, with paths in it; None for one of another layout.

        `languages` are those that the user asks for, for data that do not know their own. Raises `UserError` or
        `ValueError` where the data set has a fault.
        """
        ...


class NamesFiles(Protocol):
    """A `FolderReader` that says what files its folders hold, such as `captions.<lang>.jsonl`, for a message."""

    looks_for: str


class Shard(Protocol):
    """Part of the corpus of one language, read anew each time; it can be pickled, and read on another machine.

    `name` is how people know it, such as its file's name.
    """

    @property
    def language(self) -> str:
        """The language of its documents."""
        ...

    @property
    def name(self) -> str:
        """What it is called in messages."""
        ...

    def fingerprint(self) -> str:
        """Return a digest of all that decides its documents, such as the SHA-256 of its file."""
        ...

    def documents(self, first: int) -> Iterator[Document]:
        """Yield its documents from number `first` on, counted from 0; raises `DataError` with file and line."""
        ...


@dataclass(frozen=True)
class ShardedCollection:
    """A collection whose corpora are read shard by shard: `collection` has everything but documents."""

    collection: Collection
    shards: tuple[Shard, ...]


class SeparateReader(Protocol):
    """A `Reader` whose languages do not depend on each other: it is asked for, and given the files of, some alone.

    What it gives for some languages must be what all of them give, restricted to these (see `Collection.restrict`).
    """

    reads_languages_apart: bool


class ShardedReader(Protocol):
    """A `Reader` whose corpora may be larger than memory."""

    def shards(self, request: ReadRequest) -> ShardedCollection:
        """Return queries and judgments, and where the documents are; raises what reading raises."""
        ...


Item = TypeVar("Item")
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Resources:
    """What an engine may use: `None` leaves it to the engine.

    `workers` is how many work at once; `address` where a cluster is found; `threads` how many processors a worker
    keeps busy; with `accelerators`, each worker has one of its own.
    """

    workers: int | None = None
    address: str | None = None
    threads: int | None = None
    accelerators: bool = False


class Engine(Protocol):
    """What an entry point of the group `mlbench.engines` gives when it is called with `Resources` and a `Progress`.

    It knows nothing of retrieval: it hands items to workers, here or on other machines.
    """

    workers: int | None
    """How many work at once; None where that changes as machines come and go, 1 for none but this process."""

    def map(
        self, make_worker: Callable[[], Callable[[Item], Answer]], items: Sequence[Item]
    ) -> Iterator[tuple[int, Answer]]:
        """Yield for each item its number and the answer of a worker, in the order in which they are done.

        `make_worker` is called once by each worker; unless the only worker is this process, it can be pickled, as can
        items and answers; what pickles of an item is small. The work on an item gives the same answer wherever and
        however often it is done, so what a lost worker had is given to another, and each number is yielded once.
        A `UserError` of a worker ends the whole. Raises `EngineError` where workers cannot be started, and for an
        item whose worker is lost again and again; `str(item)` is its name in messages.
        """
        ...


class ModelLoader(Protocol):
    """What an entry point of the group `mlbench.retrievers` names: how to open `scheme:locator`.

    The first line of its docstring is what `mlbench models list` shows; the fields of `Settings` (a pydantic model that
    forbids unknown keys) are what `--set key=value` takes and `mlbench models show` explains.
    """

    Settings: type[BaseModel]

    @staticmethod
    def open(locator: str, settings: BaseModel, runtime: Runtime) -> Retriever:
        """Return the retriever, or raise `RetrieverError` or `MissingExtra` with one line that says what to do."""
        ...


class WrapsModels(Protocol):
    """A `ModelLoader` that also takes model objects, so that a notebook can measure what it holds in memory."""

    Settings: type[BaseModel]

    @staticmethod
    def adopt(model: object, settings: BaseModel, runtime: Runtime) -> Retriever | None:
        """Return the retriever made of `model`, or None for an object of another kind."""
        ...


class RecognisesFolders(Protocol):
    """A `ModelLoader` that knows its own folders, so that `--model FOLDER` opens them with no scheme in front."""

    @staticmethod
    def recognises(folder: Path) -> bool:
        """Say at a glance whether `folder` is of this kind: heavy libraries and weights are left alone."""
        ...


class FindsFolders(Protocol):
    """A `ModelLoader` that finds the folder of a hub id, so that a model of another scheme needs none in front."""

    @staticmethod
    def find(locator: str, revision: str | None, runtime: Runtime) -> Path:
        """Return the folder that `locator` names, fetched where it is a hub id; raises `RetrieverError` for none."""
        ...


class BundledModel(Protocol):
    """A `ModelLoader` with a model of its own, which it opens without a locator."""

    @staticmethod
    def packaged() -> str:
        """Say in one line what that model is, or what to do where it is missing."""
        ...


class NeedsLibraries(Protocol):
    """A `ModelLoader` that imports libraries late; `mlbench models` says whether they are installed.

    `libraries` are the names of the modules, `extra` the extra of the plugin's package that installs them.
    """

    libraries: tuple[str, ...]
    extra: str


class HasExample(Protocol):
    """A `ModelLoader` with an `example` of what may stand behind `--model`, such as `static:./checkpoint`."""

    example: str


Group = tuple[Role, str]
Texts = Mapping[Group, Sequence[str]]


class Preparable(Protocol):
    """A ranker that is given all texts of a run before its first search, so that it encodes each of them once."""

    def prepare(self, texts: Texts, cache: Path | None, progress: Progress) -> None:
        """Encode `texts`; `cache` is the folder of the embedding store, None for no store."""
        ...


class IndexCost(DocumentPart):
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


class HasIndexCosts(Protocol):
    """A ranker that searches approximate indexes, and says what they cost."""

    @property
    def index_costs(self) -> tuple[IndexCost, ...]:
        """What the indexes took since the last preparation; empty where there are none."""
        ...
