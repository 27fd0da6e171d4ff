"""Dense encoders: Sentence Transformers checkpoints and plain Hugging Face encoders, with torch."""

import os
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING, cast

from pydantic import BaseModel, ConfigDict, Field

from mlbench.errors import MissingExtra, RetrieverError
from mlbench.protocols import Runtime, Similarity
from mlbench.retrievers.backends import Backend, check_backend, use_backend
from mlbench.retrievers.checkpoint import check_checkpoint, digest_checkpoint, find_checkpoint
from mlbench.retrievers.dense_encoder import DenseEncoder, Use
from mlbench.retrievers.loading import DType, LoadOptions, Pooling, digest_model, load, set_max_length, set_pooling

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


class Dense:
    """Any Hugging Face encoder or Sentence Transformers checkpoint (locator: a folder or hub id)."""

    extra = "dense"
    libraries = ("torch", "transformers", "sentence_transformers")
    example = "dense:intfloat/multilingual-e5-base --set query_prompt='query: '"

    class Settings(BaseModel):
        """Keys of `dense:`; what is not set comes from the checkpoint."""

        model_config = ConfigDict(extra="forbid", frozen=True)

        pooling: Pooling | None = Field(None, description="how token vectors become one (mean where none is saved)")
        query_prompt: str | None = Field(None, description="put before each query, with its blank, as in 'query: '")
        document_prompt: str | None = Field(None, description="put before each document, as in 'passage: '")
        max_length: int | None = Field(None, ge=1, description="tokens after which a text is cut off")
        truncate_dim: int | None = Field(None, ge=1, description="keep only the first coordinates (Matryoshka)")
        dtype: DType = Field("fp32", description="precision: bf16 is fastest where the processor knows it")
        backend: Backend = Field("torch", description="who computes the transformer; onnx and openvino on a CPU only")
        revision: str | None = Field(None, description="branch, tag or commit on the hub")
        similarity: Similarity | None = Field(None, description="how two vectors are compared: cosine or dot")
        batch_tokens: int | None = Field(None, ge=1, description="tokens per batch, padding included")

    @staticmethod
    def open(locator: str, settings: BaseModel, runtime: Runtime) -> DenseEncoder:
        """Load the checkpoint.

        Raises `MissingExtra` without torch, transformers and sentence-transformers or what the backend needs, and
        `RetrieverError` where the checkpoint cannot be found, is incomplete, pickled, broken or not finite, and where
        the backend cannot compute it.
        """
        assert isinstance(settings, Dense.Settings)
        require_torch()
        check_backend(settings.backend, settings.dtype, runtime)
        folder = find_checkpoint(locator, settings.revision, allow_pickle=runtime.allow_pickle)
        check_checkpoint(folder, allow_pickle=runtime.allow_pickle)
        digest = digest_checkpoint(folder)
        model = load(folder, _load_options(settings, runtime))
        if settings.pooling is not None:
            set_pooling(model, settings.pooling)
        if settings.max_length is not None:
            set_max_length(model, settings.max_length)
        computed = use_backend(model, settings.backend, settings.dtype, digest)
        loaded = {"allow_pickle": runtime.allow_pickle, "trust_remote_code": runtime.trust_remote_code}
        return DenseEncoder(model, lambda: digest, _use(settings), loaded=loaded, computed=computed, folder=folder)

    @staticmethod
    def adopt(model: object, settings: BaseModel, runtime: Runtime) -> DenseEncoder | None:
        """Return the encoder of a SentenceTransformer already built, as it is: nothing is loaded, moved or cast.

        None for any other object, and for one that encodes images too. The fingerprint is taken from its tensors each
        time it is asked for, so it follows a model in training. Raises `RetrieverError` for keys that only matter while
        loading, and for a similarity that is neither cosine nor dot.
        """
        # An object of a library that was never imported cannot exist.
        library = sys.modules.get("sentence_transformers")
        if library is None or not isinstance(model, library.SentenceTransformer):
            return None
        built = cast("SentenceTransformer", model)
        if "image" in built.modalities:
            return None
        assert isinstance(settings, Dense.Settings)
        late = settings.model_fields_set - {"query_prompt", "document_prompt", "similarity", "batch_tokens"}
        if late:
            raise RetrieverError(
                f"a model in memory is taken as it is: set {', '.join(sorted(late))} where it is built"
            )
        return DenseEncoder(built, lambda: digest_model(built), _use(settings))


def require_torch() -> None:
    """Raise `MissingExtra` where a library of dense encoders is not installed; imports none of them."""
    # Spinning threads of OpenMP made torch 8 times slower beside another process; it reads this once, when imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if any(find_spec(library) is None for library in Dense.libraries):
        raise MissingExtra("dense encoders", Dense.extra)


def _use(settings: Dense.Settings) -> Use:
    return Use(settings.query_prompt, settings.document_prompt, settings.similarity, settings.batch_tokens)


def _load_options(settings: Dense.Settings, runtime: Runtime) -> LoadOptions:
    # A graph is made of float32 and computed on the processor, whatever precision and machine there is.
    torch = settings.backend == "torch"
    return LoadOptions(
        dtype=settings.dtype if torch else "fp32",
        truncate_dim=settings.truncate_dim,
        device=runtime.device if torch else "cpu",
        threads=runtime.threads,
        allow_pickle=runtime.allow_pickle,
        trust_remote_code=runtime.trust_remote_code,
    )
