"""The folder of a dense checkpoint: finds it, checks that it is complete and safe, loads it and digests its tensors."""

import json
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from hashlib import file_digest, sha256
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NoReturn, Self, TypeVar

from mlbench.errors import RetrieverError
from mlbench.io.cache import offline
from mlbench.protocols import Role, Runtime
from mlbench.provenance import MANIFEST

if TYPE_CHECKING:
    from hashlib import _Hash as Digest

    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.model import BaseModel
    from torch.nn import Module
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


_TOKENIZERS = ("tokenizer.json", "vocab.*", "*.model", "*.tiktoken", "tokenization_*.py")
_PICKLES = ("pytorch_model*.bin", "adapter_model*.bin")
_DIGESTED = {".safetensors", ".json", ".txt", ".model", ".py", ".tiktoken", ".bin", ".jinja", ".bpe", ".vocab"}
# Other forms of the same weights, and what a trainer leaves beside them.
_FOREIGN = ("onnx", "openvino", "checkpoint-", "runs", ".")
_NOT_FETCHED = ("onnx/*", "openvino/*", "*.onnx*", "*.h5", "*.msgpack", "*.ot", "*.gguf", "*.pt", "*.pth", "*.ckpt")
# Names under which checkpoints save their prompts; an empty prompt counts as none.
_PROMPT_NAMES: dict[Role, tuple[str, ...]] = {"query": ("query",), "document": ("document", "passage", "corpus")}


def find_checkpoint(locator: str, revision: str | None, *, allow_pickle: bool) -> Path:
    """Return the folder of a checkpoint: an existing folder, else the local copy of a hub repository.

    What the copy lacks is fetched from the hub, pickled weights only with `allow_pickle`. Raises `RetrieverError` where
    there is neither.
    """
    folder = Path(locator).expanduser()
    if locator and folder.is_dir():
        if revision is not None:
            raise RetrieverError(f"revision={revision}: only a hub id has revisions, and {locator} is a folder")
        return folder
    if not locator or folder.exists() or locator.startswith((".", "~", "/", "\\")) or locator.count("/") > 1:
        raise RetrieverError(f"no folder {locator!r}: give a checkpoint's folder or a hub id such as intfloat/e5-base")
    return _fetch(locator, revision, allow_pickle=allow_pickle)


def check_checkpoint(folder: Path, *, allow_pickle: bool) -> None:
    """Raise `RetrieverError` where configuration, tokenizer or weights are missing, or weights are pickled only."""
    places = module_folders(folder)
    if not (folder / "modules.json").is_file() and not (folder / "config.json").is_file():
        raise RetrieverError(f"{folder}: no config.json or modules.json, so it is no checkpoint; check the folder")
    if not any(True for pattern in _TOKENIZERS for _ in folder.rglob(pattern)):
        raise RetrieverError(f"{folder}: no tokenizer (such as tokenizer.json); save the tokenizer in this folder too")
    for place in places:
        pickled = sorted(path.name for pattern in _PICKLES for path in place.glob(pattern))
        if pickled and not allow_pickle and not any(place.glob("*.safetensors")):
            raise RetrieverError(
                f"{place}: weights are pickled only ({pickled[0]}), and opening a pickle can run code: "
                "save them as safetensors, or pass --allow-pickle if you trust them"
            )
    weights = ("*.safetensors", *(_PICKLES if allow_pickle else ()))
    if not any(True for pattern in weights for _ in folder.rglob(pattern)):
        raise RetrieverError(f"{folder}: no weights (model.safetensors); save the model in this folder")


def module_folders(folder: Path) -> list[Path]:
    """Return where the modules of a checkpoint lie, the encoder's first; `folder` itself where none are listed."""
    listing = folder / "modules.json"
    if not listing.is_file():
        return [folder]
    try:
        return [folder / str(module["path"]) for module in json.loads(listing.read_text(encoding="utf-8"))] or [folder]
    except (ValueError, TypeError, KeyError) as error:
        raise RetrieverError(f"{listing}: not a list of modules with a path each") from error


def saved_prompts(prompts: Mapping[str, str], *, query: str | None, document: str | None) -> dict[Role, str]:
    """Return the prompt of each role: the given one, else what the checkpoint saves, else the empty text."""
    given: dict[Role, str | None] = {"query": query, "document": document}
    return {role: _saved_prompt(prompts, role) if own is None else own for role, own in given.items()}


def _saved_prompt(prompts: Mapping[str, str], role: Role) -> str:
    return next(filter(None, (prompts.get(name) for name in _PROMPT_NAMES[role])), "")


def read_json(path: Path) -> dict[str, object]:
    """Return the object in a configuration file, empty where there is none; a broken file raises `RetrieverError`."""
    try:
        content = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except (OSError, ValueError) as error:
        raise RetrieverError(f"{path}: cannot be read: {error}") from error
    return content if isinstance(content, dict) else {}


def digest_checkpoint(folder: Path, more: Sequence[str] = ()) -> str:
    """Return the SHA-256 (hex) over names and content of weight, tokenizer, configuration and code files.

    `more` are endings of further files that count. How the checkpoint was trained is no part of it: two runs that end
    at the same weights are the same model.
    """
    digest = sha256()
    for path in _digested(folder, {*_DIGESTED, *more}):
        with path.open("rb") as file:
            content = file_digest(file, "sha256").digest()
        digest.update(path.relative_to(folder).as_posix().encode() + b"\x1f" + content)
    return digest.hexdigest()


def _digested(folder: Path, endings: Container[str]) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        above = path.relative_to(folder).parts[:-1]
        wanted = path.suffix in endings and path.name != MANIFEST and path.is_file()
        if wanted and not any(part.startswith(_FOREIGN) for part in above):
            yield path


def _fetch(name: str, revision: str | None, *, allow_pickle: bool) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import RepositoryNotFoundError

    # Short names such as all-MiniLM-L6-v2 are first looked up as they are, as old names of the hub have no owner.
    fetch = partial(snapshot_download, revision=revision, local_files_only=offline())
    candidates = [name] if "/" in name else [name, f"sentence-transformers/{name}"]
    for candidate in candidates:
        try:
            folder = fetch(candidate, ignore_patterns=[*_NOT_FETCHED, "*.bin"])
            if allow_pickle and not any(Path(folder).rglob("*.safetensors")):
                folder = fetch(candidate, ignore_patterns=list(_NOT_FETCHED))
            return Path(folder)
        except RepositoryNotFoundError as error:
            if candidate == candidates[-1]:
                _explain(name, revision, error)
        except Exception as error:
            # The hub's client lets through errors of its own, of HTTP and of the file system alike.
            _explain(name, revision, error)
    raise AssertionError("unreachable")


def _explain(name: str, revision: str | None, error: Exception) -> NoReturn:
    from huggingface_hub import errors

    if isinstance(error, errors.GatedRepoError):
        reason = "the hub asks you to accept its terms: do so on its page, then set HF_TOKEN"
    elif isinstance(error, errors.RepositoryNotFoundError):
        reason = "no such folder, and no such model on the hub: check the name, or set HF_TOKEN if it is private"
    elif isinstance(error, errors.RevisionNotFoundError):
        reason = f"the hub has no revision {revision!r} of it"
    elif isinstance(error, errors.HFValidationError):
        reason = "no such folder, and not a hub id such as intfloat/e5-base"
    else:
        reason = (
            "no such folder, not in the local cache, and the hub cannot be reached "
            f"({type(error).__name__}): unset HF_HUB_OFFLINE and MLBENCH_OFFLINE if they are set, "
            "or download the model and give its folder"
        )
    raise RetrieverError(f"{name}: {reason}") from error


Model = TypeVar("Model", bound="BaseModel")
Network = TypeVar("Network", bound="PreTrainedModel")
Pooling = Literal["mean", "cls", "max", "lasttoken", "weightedmean", "mean_sqrt_len_tokens"]
DType = Literal["fp32", "bf16", "fp16"]
DTYPES: dict[DType, str] = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """How a checkpoint is loaded; `None` leaves the choice to the libraries."""

    dtype: DType = "fp32"
    truncate_dim: int | None = None
    device: str | None = None
    threads: int | None = None
    allow_pickle: bool = False
    trust_remote_code: bool = False
    image_size: int | None = None
    tokenizer: str | None = None

    @classmethod
    def under(cls, runtime: Runtime, dtype: DType) -> Self:
        """Return how a checkpoint is loaded in the precision `dtype` by what `runtime` allows and has."""
        return cls(
            dtype=dtype,
            device=runtime.device,
            threads=runtime.threads,
            allow_pickle=runtime.allow_pickle,
            trust_remote_code=runtime.trust_remote_code,
        )


def load(folder: Path, options: LoadOptions) -> "SentenceTransformer":
    """Return the model of a dense checkpoint's folder; as `load_as`, with `truncate_dim`."""
    from sentence_transformers import SentenceTransformer

    return load_as(folder, options, partial(SentenceTransformer, truncate_dim=options.truncate_dim))


def load_as(folder: Path, options: LoadOptions, build: Callable[..., Model]) -> Model:
    """Return what `build`, a class of the library, makes of a checkpoint's folder, in evaluation mode.

    Raises `RetrieverError` where it cannot be loaded, where weights are missing (the library would draw them at random)
    or not finite.
    """
    model_kwargs = _weight_options(options)
    try:
        with quiet():
            model: Model = build(
                str(folder),
                device=options.device,
                trust_remote_code=options.trust_remote_code,
                # A checkpoint's own code may lie in another repository.
                local_files_only=offline() or not options.trust_remote_code,
                model_kwargs=model_kwargs,
            )
            missing = _missing_weights(model, folder, model_kwargs)
    except Exception as error:
        # Any of three libraries, and a checkpoint's own code, may fail here in any way.
        raise RetrieverError(f"{folder}: cannot be loaded: {first_line(error)}") from error
    _check_complete(missing, folder)
    check_finite(model, str(folder))
    model.eval()
    return model


def load_network(
    folder: Path, options: LoadOptions, build: Callable[..., tuple[Network, Mapping[str, Iterable[str]]]]
) -> Network:
    """Return what `build`, a `from_pretrained` of transformers, makes of a folder, on its device, for evaluation.

    Raises `RetrieverError` as `load_as` does.
    """
    from sentence_transformers.util import get_device_name

    try:
        with quiet():
            network, info = build(
                str(folder),
                output_loading_info=True,
                local_files_only=True,
                trust_remote_code=False,
                **_weight_options(options),
            )
            network.to(options.device or get_device_name())
    except Exception as error:
        # Any of three libraries may fail here in any way.
        raise RetrieverError(f"{folder}: cannot be loaded: {first_line(error)}") from error
    _check_complete(_needed(info["missing_keys"]), folder)
    check_finite(network, str(folder))
    network.eval()
    return network


def _weight_options(options: LoadOptions) -> dict[str, object]:
    """Return how weights are read, and let torch use as many threads as it may."""
    import torch

    if options.threads is not None:
        torch.set_num_threads(options.threads)
    kept: dict[str, object] = {"dtype": getattr(torch, DTYPES[options.dtype])}
    return kept if options.allow_pickle else {**kept, "use_safetensors": True}


def _check_complete(missing: Sequence[str], folder: Path) -> None:
    if missing:
        raise RetrieverError(
            f"{folder}: {len(missing)} weights are missing, among them {missing[0]}; "
            "without them the model would be partly random: save the whole model"
        )


def check_finite(model: "Module", name: str) -> None:
    """Raise `RetrieverError`, naming the tensor, where a parameter of the model is NaN or infinite."""
    for tensor_name, tensor in model.named_parameters():
        if not bool(tensor.isfinite().all()):
            raise RetrieverError(f"{name}: weight {tensor_name} has NaN or infinite values; the checkpoint is broken")


def set_pooling(model: "SentenceTransformer", mode: Pooling) -> None:
    """Replace how the model pools token vectors; raises `RetrieverError` for a model without pooling."""
    for name, module in model.named_children():
        if hasattr(module, "pooling_mode"):
            n_modes = 1 if isinstance(module.pooling_mode, str) else len(module.pooling_mode)
            size = module.pooling_output_dimension // n_modes
            setattr(model, name, type(module)(size, mode, include_prompt=module.include_prompt))
            return
    raise RetrieverError(f"pooling={mode}: the checkpoint has no pooling that could be replaced")


def set_max_length(model: "SentenceTransformer", max_length: int) -> None:
    """Cut texts off after `max_length` tokens; raises `RetrieverError` where the model has fewer positions."""
    model.max_seq_length = max_length
    try:
        model.encode(["a " * max_length], show_progress_bar=False)
    except (IndexError, RuntimeError, ValueError) as error:
        raise RetrieverError(f"max_length={max_length}: the checkpoint takes fewer tokens") from error


def pooling_of(model: "SentenceTransformer") -> str | None:
    """Return the pooling mode of the model, several joined by `+`; None where it has no pooling."""
    for module in model:
        mode = getattr(module, "pooling_mode", None)
        if mode is not None:
            return mode if isinstance(mode, str) else "+".join(mode)
    return None


def digest_model(model: "SentenceTransformer") -> str:
    """Return the SHA-256 (hex) of a model's tensors, module configurations and tokenizer."""
    digest = sha256()
    _add_tensors(digest, model)
    for module in model:
        configuration = module.get_config_dict() if hasattr(module, "get_config_dict") else {}
        digest.update(f"{type(module).__name__}\x1f{json.dumps(configuration, sort_keys=True, default=str)}".encode())
    transformer = getattr(model[0], "auto_model", None)
    if transformer is not None:
        digest.update(transformer.config.to_json_string(use_diff=False).encode())
    _add_tokenizer(digest, model.tokenizer)
    return digest.hexdigest()


def digest_network(network: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", *configurations: str) -> str:
    """Return the SHA-256 (hex) of a network's tensors and configuration, of a tokenizer and of `configurations`."""
    digest = sha256()
    _add_tensors(digest, network)
    for configuration in (network.config.to_json_string(use_diff=False), *configurations):
        digest.update(configuration.encode() + b"\x1f")
    _add_tokenizer(digest, tokenizer)
    return digest.hexdigest()


def _add_tensors(digest: "Digest", module: "Module") -> None:
    import torch

    for name, tensor in sorted(module.state_dict().items()):
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        digest.update(f"{name}\x1f{tensor.dtype}\x1f{tuple(tensor.shape)}\x1f".encode())
        digest.update(memoryview(flat.view(torch.uint8).numpy()))


def _add_tokenizer(digest: "Digest", tokenizer: "PreTrainedTokenizerBase") -> None:
    fast = getattr(tokenizer, "backend_tokenizer", tokenizer)
    # Padding and truncation are how the tokenizer was last called, not what it is.
    state = json.loads(fast.to_str()) if hasattr(fast, "to_str") else {"vocabulary": dict(tokenizer.get_vocab())}
    kept = {key: value for key, value in state.items() if key not in ("padding", "truncation")}
    digest.update(json.dumps(kept, sort_keys=True).encode())


def _missing_weights(model: "BaseModel", folder: Path, model_kwargs: dict[str, object]) -> list[str]:
    """Return the weights of the transformer that its files lack; a pooler does not count, as it is not used."""
    transformer = getattr(model[0], "auto_model", None)
    if transformer is None or not hasattr(type(transformer), "from_pretrained"):
        return []
    place = module_folders(folder)[0]
    _, info = type(transformer).from_pretrained(
        str(place), config=transformer.config, output_loading_info=True, local_files_only=True, **model_kwargs
    )
    return _needed(info["missing_keys"])


def _needed(names: Iterable[str]) -> list[str]:
    return sorted(name for name in names if "pooler" not in name)


def first_line(error: Exception) -> str:
    """Return the kind of an error of a library and the first line of what it says."""
    text = str(error).strip()
    return f"{type(error).__name__}: {text.splitlines()[0]}" if text else type(error).__name__


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the libraries' progress bars and loading reports off the screen."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
