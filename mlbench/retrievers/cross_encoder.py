"""Cross-encoders: a network reads a query and a document together and gives one score."""

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from mlbench.errors import RetrieverError
from mlbench.io.watched import WatchedFiles
from mlbench.protocols import Parameter, Runtime
from mlbench.retrievers.checkpoint_folder import check_checkpoint, find_checkpoint, read_files
from mlbench.retrievers.dense import require_torch
from mlbench.retrievers.load_checkpoint import (
    DType,
    LoadOptions,
    digest_loaded,
    first_use,
    is_rounding,
    load_as,
    padding_probes,
)
from mlbench.retrievers.model_limits import limit_of

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder


_CHUNK = 4096


class CrossEncoding:
    """A cross-encoder, from sentence-transformers (path or hub id)."""

    extra = "dense"
    libraries = ("torch", "transformers", "sentence_transformers")

    class Settings(BaseModel, extra="forbid", frozen=True):
        """Keys of a cross-encoder; what is not set comes from the checkpoint."""

        max_length: int | None = Field(None, ge=1, description="tokens after which a pair is cut off")
        dtype: DType = Field("fp32", description="precision of the weights")
        revision: str | None = Field(None, description="branch, tag or commit on the hub")
        batch_size: int = Field(32, ge=1, description="pairs per batch")

    @staticmethod
    def open(locator: str, settings: BaseModel, runtime: Runtime) -> "CrossEncoderReranker":
        """Load the checkpoint; raises as `Dense.open` does, and for a model that gives more than one score."""
        assert isinstance(settings, CrossEncoding.Settings)
        require_torch()
        folder = find_checkpoint(locator, settings.revision, allow_pickle=runtime.allow_pickle)
        check_checkpoint(folder, allow_pickle=runtime.allow_pickle)
        options = LoadOptions.under(runtime, settings.dtype)
        from sentence_transformers import CrossEncoder

        files, digest = read_files(folder)
        warnings: list[str] = []
        model = load_as(folder, options, CrossEncoder, warnings)
        files.check()
        if model.num_labels != 1:
            raise RetrieverError(f"{folder} gives {model.num_labels} scores for a pair: a reranker gives one")
        if settings.max_length is not None:
            model.max_seq_length = settings.max_length
        loaded = {"allow_pickle": runtime.allow_pickle, "trust_remote_code": runtime.trust_remote_code}
        reranker = CrossEncoderReranker(model, digest_loaded(digest, model), settings, loaded, files)
        reranker.warnings = (*reranker.warnings, *warnings)
        return reranker


class CrossEncoderReranker:
    """The scores of a cross-encoder before its last activation, which would make all good pairs equal."""

    warnings: tuple[str, ...] = ()
    """What a user should know of how it was opened."""

    def __init__(
        self,
        model: "CrossEncoder",
        digest: str,
        settings: CrossEncoding.Settings,
        loaded: Mapping[str, Parameter],
        files: WatchedFiles,
    ) -> None:
        self._model, self._digest, self._settings, self._loaded = model, digest, settings, loaded
        self._files, self._batch_size = files, settings.batch_size
        self._limit = limit_of(model, model.prompts.get(model.default_prompt_name or "") or "")
        with first_use():
            if not _knows_padding(model) or not self._ignores_padding():
                self._batch_size = 1

    @property
    def parameters(self) -> dict[str, Parameter]:
        """What decides the scores, and how they are computed."""
        return {**self._loaded, **self._identity(), "batch_size": self._batch_size}

    def fingerprint(self) -> str:
        """Return a digest of the model and of all that decides a score."""
        parts = {**self._identity(), "model": self._digest}
        if self._loaded["trust_remote_code"]:
            parts["trust_remote_code"] = True
        return sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def check_files(self) -> None:
        """Raise `RetrieverError` where a file of the checkpoint has changed since it was read."""
        self._files.check()

    def longest_pair(self) -> int | None:
        """Return after how many tokens a pair is cut off, with what stands before it; None where none is."""
        return self._limit.tokens

    def is_truncated_pair(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.bool_] | None:
        """Return for each pair whether it is cut off, bool (pairs,); None where that cannot be told."""
        return self._limit.exceeded_by([query for query, _ in pairs], [document for _, document in pairs])

    def score(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        """Return float32 (pairs,), as the library's own `predict` does without activation, in batches by length."""
        import torch

        scores = np.zeros(len(pairs), dtype=np.float32)
        for start in range(0, len(pairs), _CHUNK):
            chunk = slice(start, start + _CHUNK)
            scores[chunk] = self._model.predict(
                list(pairs[chunk]),
                batch_size=self._batch_size,
                show_progress_bar=False,
                activation_fn=torch.nn.Identity(),
            )
        return scores

    def _ignores_padding(self) -> bool:
        """Say whether a pair has the same score alone and beside a longer one, but for rounding."""
        texts = padding_probes(self._model)
        pairs = [(texts[0], text) for text in texts]
        alone = np.concatenate([self.score([pair]) for pair in pairs])
        return is_rounding(self.score(pairs), alone, self._settings.dtype, least=1.0)

    def _identity(self) -> dict[str, Parameter]:
        return {
            "max_length": int(self._model.max_seq_length),
            "dtype": self._settings.dtype,
            "backend": "torch",
            "device": self._model.device.type,
        }


def _knows_padding(model: "CrossEncoder") -> bool:
    """Say whether the network can tell where a padded text ends, as one that reads the last token has to.

    It is told of a padding token that it does not know, unless the tokenizer ends texts with the same one.
    """
    config, tokenizer = model.config, model.tokenizer
    if config is None or getattr(config, "pad_token_id", 0) is not None:
        return True
    if tokenizer.pad_token_id in tokenizer("a", "a")["input_ids"]:
        return False
    config.pad_token_id = tokenizer.pad_token_id
    return True
