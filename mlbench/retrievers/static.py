"""Static encoders: a text is the mean of the vectors of its subwords. numpy and tokenizers, no torch."""

import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from hashlib import file_digest, sha256
from importlib.resources import files as package_files
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field
from tokenizers import Tokenizer

from mlbench.errors import DataError, RetrieverError
from mlbench.io.libraries import versions_installed
from mlbench.io.threads import usable_threads
from mlbench.io.watched import WatchedFiles
from mlbench.protocols import Parameter, Role, Runtime, Similarity, Vectors
from mlbench.provenance import Provenance, RegistryInfo, read_provenance
from mlbench.retrievers.checkpoint_folder import find_checkpoint
from mlbench.retrievers.prompts import PromptSettings, choose_prompts
from mlbench.retrievers.registered import REGISTRY_KEY, apply_registry
from mlbench.retrievers.static_checkpoint import (
    StaticFolder,
    has_table,
    read_folder,
    read_table,
    read_tokenizer,
    unknown_id,
)
from mlbench.retrievers.truncation import TokenLimit

# Stays the same as long as the same tokens give the same vector.
_ALGORITHM = "mean of subword vectors 1"
# So that memory does not grow with the number of texts, and several are worked on at once.
_BLOCK = 256
_PACKAGE = "mlbench.model_files"


class Static:
    """Subword vectors: fast, no torch (path or hub id; none for the default model)."""

    example = "static:./checkpoint"

    class Settings(PromptSettings):
        """Keys of `static:`; what is not set comes from the checkpoint."""

        truncate_dim: int | None = Field(default=None, ge=1, description="keep only the first coordinates (Matryoshka)")
        revision: str | None = Field(default=None, description="branch, tag or commit on the hub")
        registry: str = Field(default="true", description=REGISTRY_KEY)

    @staticmethod
    def open(locator: str, settings: BaseModel, runtime: Runtime) -> "StaticEncoder":
        """Read the checkpoint, without a path or hub id the one that comes with mlbench.

        Raises `RetrieverError` where there is none, or it is not static, incomplete, pickled, broken or not finite.
        """
        assert isinstance(settings, Static.Settings)
        if runtime.threads is not None:
            # The tokenizer's threads read it once, when they start.
            os.environ.setdefault("RAYON_NUM_THREADS", str(runtime.threads))
        folder = find_checkpoint(locator or str(_packaged()), settings.revision, allow_pickle=False)
        registered = apply_registry(settings, locator, folder)
        encoder = StaticEncoder(read_folder(folder), registered.settings)
        encoder.registry, encoder.threads = registered.info, runtime.threads
        return encoder

    @staticmethod
    def recognises(folder: Path) -> bool:
        """Say whether the folder holds a static checkpoint; weights are not read."""
        try:
            return has_table(read_folder(folder))
        except RetrieverError:
            return False

    @staticmethod
    def packaged() -> str:
        """Say in one line what the default model is, or what to do where there is none."""
        try:
            folder = _packaged()
            encoder = StaticEncoder(read_folder(folder), Static.Settings())
            training = encoder.provenance
        except (RetrieverError, DataError) as error:
            return str(error)
        parameters = encoder.parameters
        parts = [f"{parameters['pieces']:,} subwords, {encoder.dim} dimensions, {parameters['dtype']}"]
        parts += [f"trained by the recipe {training.name}"] if training else []
        return "; ".join([*parts, f"licences and attributions are in {folder / 'README.md'}"])


class StaticEncoder:
    """The L2-normalised mean of the vectors of a text's tokens; `tokens` counts what it has encoded.

    A text without tokens, or whose vectors cancel out, gets the normalised mean of the whole table: a text of which
    nothing is known stands near the middle of all texts, and one such text does not end a run.
    """

    similarity: Similarity = "cosine"

    def __init__(self, folder: StaticFolder, settings: Static.Settings) -> None:
        self.tokens = 0
        self.threads: int | None = None
        self.registry: RegistryInfo | None = None
        self._root = folder.root
        self._files = WatchedFiles([folder.tokenizer, folder.weights])
        self._tokenizer = read_tokenizer(folder)
        self._cut_after, self._left_out = self._follow_model2vec(folder) if folder.model2vec else (None, None)
        table, self._dtype = read_table(folder)
        _check_ids(self._tokenizer, len(table), folder.tokenizer)
        self._truncate_dim = settings.truncate_dim or folder.truncate_dim
        self._table = _cut(table, self._truncate_dim)
        self.dim = self._table.shape[1]
        self._unknown = _middle(self._table)
        chosen = choose_prompts(folder.prompts, folder.default_prompt_name, settings)
        self._prompts, self.warnings = chosen.texts, chosen.warnings
        self._limits = {role: self._limit(prompt) for role, prompt in chosen.texts.items()}
        self._digests = [_digest(folder.tokenizer), _digest(folder.weights)]
        self._digests += [f"model2vec, max_length {folder.max_length}"] if folder.model2vec else []
        self._files.check()

    @property
    def parameters(self) -> dict[str, Parameter]:
        """What decides the vectors."""
        truncation = self._tokenizer.truncation
        return {
            "pooling": "mean",
            "pieces": len(self._table),
            "dtype": self._dtype,
            "max_length": truncation["max_length"] if truncation else None,
            "truncate_dim": self._truncate_dim,
            "query_prompt": self._prompts["query"],
            "document_prompt": self._prompts["document"],
            "similarity": self.similarity,
            "backend": "numpy",
        }

    @property
    def provenance(self) -> Provenance | None:
        """How the checkpoint was trained, where its folder says so; raises `DataError` where that is damaged."""
        return read_provenance(self._root)

    def fingerprint(self, role: Role) -> str:
        """Return a digest of tokenizer and weights, the prompt of `role` and the number of coordinates."""
        parts = [_ALGORITHM, *self._digests, self._prompts[role], self.dim]
        return sha256(json.dumps(parts).encode()).hexdigest()

    def computation(self, role: Role) -> dict[str, Parameter]:
        """Return the versions of the libraries that tokenise and add."""
        return {**versions_installed(("numpy", "tokenizers"))}

    def check_files(self) -> None:
        """Raise `RetrieverError` where the tokenizer or the table has changed since it was read."""
        self._files.check()

    def encode(self, texts: Sequence[str], role: Role) -> Vectors:
        """Return float32 vectors of shape (len(texts), dim) and norm 1; a text has the same bits in any batch."""
        vectors = np.empty((len(texts), self.dim), dtype=np.float32)

        def fill(start: int) -> int:
            rows = slice(start, start + _BLOCK)
            prompted = [(self._prompts[role] + text)[: self._cut_after] for text in texts[rows]]
            ids, lengths = self._known(*self._tokenised(prompted, self._tokenizer))
            # Sums beyond float32 become infinite, and whoever asked is told which text it was.
            with np.errstate(over="ignore", invalid="ignore"):
                vectors[rows] = _normalised(_means(self._table, ids, lengths), self._unknown)
            return len(ids)

        # The tokenizer has threads of its own, which one block keeps busy while another is added up.
        with ThreadPoolExecutor(self.threads or usable_threads()) as pool:
            self.tokens += sum(pool.map(fill, range(0, len(texts), _BLOCK)))
        return vectors

    def _follow_model2vec(self, folder: StaticFolder) -> tuple[int | None, int | None]:
        """Cut texts off as model2vec does; return after how many characters, and the id of unknown tokens."""
        if folder.max_length is None:
            self._tokenizer.no_truncation()
            return None, unknown_id(self._tokenizer)
        self._tokenizer.enable_truncation(folder.max_length)
        median = int(np.median([len(piece) for piece in self._tokenizer.get_vocab()]))
        return folder.max_length * median, unknown_id(self._tokenizer)

    def _known(self, ids: NDArray[np.int64], lengths: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return tokens and how many each text has, without those that are left out."""
        if self._left_out is None:
            return ids, lengths
        known = ids != self._left_out
        rows = np.repeat(np.arange(len(lengths)), lengths)
        return ids[known], np.bincount(rows[known], minlength=len(lengths))

    def longest_input(self, role: Role) -> int | None:
        """Return after how many tokens a text in `role` is cut off, with its prompt; None where none is."""
        return self._limits[role].tokens

    def is_truncated(self, texts: Sequence[str], role: Role) -> NDArray[np.bool_] | None:
        """Return for each text whether it is cut off, bool (len(texts),), as only some tokenizers do."""
        found = self._limits[role].exceeded_by(texts)
        if found is None or self._cut_after is None:
            return found
        longer = [len(self._prompts[role]) + len(text) > self._cut_after for text in texts]
        return found | np.array(longer, dtype=np.bool_)

    def _limit(self, prompt: str) -> TokenLimit:
        truncation = self._tokenizer.truncation
        endless = self._tokenizer if truncation is None else Tokenizer.from_str(self._tokenizer.to_str())
        endless.no_truncation()

        def count(texts: Sequence[str], tokenizer: Tokenizer) -> NDArray[np.int64]:
            return self._tokenised([prompt + text for text in texts], tokenizer)[1]

        return TokenLimit(
            partial(count, tokenizer=self._tokenizer),
            partial(count, tokenizer=endless),
            truncation["max_length"] if truncation else None,
            tokenizer=self._tokenizer,
            prompt=prompt,
        )

    def _tokenised(self, texts: Sequence[str], tokenizer: Tokenizer) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the token ids of all texts, one after the other, and how many each has."""
        # The tokenizer takes no lone surrogates, yet broken files have them.
        sound = [text.encode("utf-8", "replace").decode() for text in texts]
        try:
            found = [encoding.ids for encoding in tokenizer.encode_batch_fast(sound, add_special_tokens=False)]
        except Exception as error:  # The library raises nothing more special.
            raise RetrieverError(f"the tokenizer of the static checkpoint fails: {error}") from error
        lengths = np.fromiter(map(len, found), np.int64, len(found))
        return np.fromiter(chain.from_iterable(found), np.int64, int(lengths.sum())), lengths


def _means(table: Vectors, ids: NDArray[np.int64], lengths: NDArray[np.int64]) -> Vectors:
    """Return the mean row of each text, float32 (texts, dim); one without tokens has zeros.

    Tokens are added in their order, one of each text at a time, so that a sum does not depend on the other texts.
    """
    order = np.argsort(-lengths, kind="stable")
    starts = (np.cumsum(lengths) - lengths)[order]
    # How many texts are longer than each position.
    longer = np.searchsorted(-lengths[order], -np.arange(lengths.max(initial=0)), side="left")
    sums = np.zeros((len(lengths), table.shape[1]), dtype=np.float32)
    for position, count in enumerate(longer):
        sums[:count] += table[ids[starts[:count] + position]]
    means = np.empty_like(sums)
    means[order] = sums / np.maximum(lengths[order], 1)[:, np.newaxis].astype(np.float32)
    return means


def _normalised(vectors: Vectors, unknown: Vectors) -> Vectors:
    """Return the rows with norm 1; `unknown` takes the place of a row of zeros."""
    # Squares of float32 may leave its range.
    norms = np.sqrt(np.square(vectors, dtype=np.float64).sum(axis=1))
    empty = norms == 0
    norms[empty] = 1
    unit: Vectors = (vectors / norms[:, np.newaxis]).astype(np.float32)
    unit[empty] = unknown
    return unit


def _middle(table: Vectors) -> Vectors:
    """Return the normalised mean of all rows, float32 (dim,); equal coordinates where the rows cancel out."""
    mean: NDArray[np.float64] = table.mean(axis=0, dtype=np.float64)
    mean = mean if mean.any() else np.ones_like(mean)
    return np.asarray(mean / np.linalg.norm(mean), dtype=np.float32)


def _cut(table: Vectors, dim: int | None) -> Vectors:
    if dim is None or dim == table.shape[1]:
        return table
    if dim > table.shape[1]:
        raise RetrieverError(f"truncate_dim={dim}: the checkpoint has {table.shape[1]} coordinates")
    return np.ascontiguousarray(table[:, :dim])


def _check_ids(tokenizer: Tokenizer, pieces: int, path: Path) -> None:
    largest = max(tokenizer.get_vocab().values(), default=-1)
    if largest >= pieces:
        raise RetrieverError(
            f"{path} has ids up to {largest}, the table {pieces} rows: tokenizer and weights are of different models"
        )


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def _packaged() -> Path:
    """Return the folder of the model that comes with mlbench."""
    with suppress(ModuleNotFoundError):
        folder = Path(str(package_files(_PACKAGE))) / "default"
        if folder.is_dir():
            return folder
    raise RetrieverError(
        "no model comes with this mlbench: name one, as in --model static:FOLDER or --model hashing, or install it anew"
    )
