"""Loads the folder of a checkpoint as a model, checks its weights, and digests a model's tensors."""

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from mlbench.errors import RetrieverError, UserError
from mlbench.io.cache import offline
from mlbench.protocols import Runtime
from mlbench.retrievers.adapters import put_adapter, without_adapter
from mlbench.retrievers.checkpoint_folder import adapter_base, module_folders, read_json
from mlbench.retrievers.fit_tokenizer import fit_tokenizer
from mlbench.retrievers.kinds import check_code

if TYPE_CHECKING:
    from hashlib import _Hash as Digest

    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.model import BaseModel
    from torch.nn import Module
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


Model = TypeVar("Model", bound="BaseModel")
Network = TypeVar("Network", bound="PreTrainedModel")
Pooling = Literal["mean", "cls", "max", "lasttoken", "weightedmean", "mean_sqrt_len_tokens"]
DType = Literal["fp32", "bf16", "fp16"]
# Under this name transformers imports the code of checkpoints.
_CODE = "transformers_modules."
_LIBRARIES = {*sys.stdlib_module_names, "mlbench", "numpy", "peft", "sentence_transformers", "tokenizers", "torch"}
_LIBRARIES |= {"huggingface_hub", "torchvision", "transformers"}
DTYPES: dict[DType, str] = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
_LONG = "a cat sat on the mat and saw another cat on a mat"
PADDED = ("a", "a cat", _LONG, " ".join(reversed(_LONG.split())))
"""Texts of which the first two are padded where all are in one batch, and the last two have about one length."""
# Networks that attend in blocks compute a long row otherwise than a short one, and say so in their configuration.
_IN_BLOCKS = ("attention_type", "attention_window", "block_per_row", "num_landmarks", "attn_layers")


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
    def under(cls, runtime: Runtime, dtype: DType, *, truncate_dim: int | None = None) -> Self:
        """Return how a checkpoint is loaded in the precision `dtype` by what `runtime` allows and has."""
        return cls(
            dtype=dtype,
            truncate_dim=truncate_dim,
            device=runtime.device,
            threads=runtime.threads,
            allow_pickle=runtime.allow_pickle,
            trust_remote_code=runtime.trust_remote_code,
        )


def load(
    folder: Path,
    options: LoadOptions,
    *,
    pooling: Pooling | None = None,
    max_length: int | None = None,
    warnings: list[str] | None = None,
) -> "SentenceTransformer":
    """Return the model of a dense checkpoint's folder; as `load_as`, with `truncate_dim`.

    With `pooling` and `max_length` in place of its own; raises as `set_pooling` and `set_max_length` do.
    """
    from sentence_transformers import SentenceTransformer

    build = partial(SentenceTransformer, truncate_dim=options.truncate_dim)
    model = load_as(folder, options, build, warnings)
    if pooling is not None:
        set_pooling(model, pooling)
    if max_length is not None:
        set_max_length(model, max_length)
    return model


def as_library(model: object) -> "SentenceTransformer | None":
    """Return a model object that is a SentenceTransformer; None for any other."""
    # An object of a library that was never imported cannot exist.
    library = sys.modules.get("sentence_transformers")
    return cast("SentenceTransformer", model) if library and isinstance(model, library.SentenceTransformer) else None


def name_of(model: object) -> str | None:
    """Return what a model in memory is called; None where nothing says so.

    A model of the library has the name on its card, else it and a tuple of a network and its processor have the folder
    or hub id that the network was loaded from.
    """
    first = next(iter(model), None) if isinstance(model, Iterable) else None
    card, config = getattr(model, "model_card_data", None), getattr(getattr(first, "auto_model", first), "config", None)
    named = ((card, "model_name"), (card, "model_id"), (config, "name_or_path"), (card, "base_model"))
    found = (getattr(source, key, None) for source, key in named)
    # Where nobody gave a name, a saved card begins with the class.
    given = (name for name in found if isinstance(name, str) and not name.startswith(type(model).__name__))
    return next(filter(None, given), None)


def load_as(
    folder: Path, options: LoadOptions, build: Callable[..., Model], warnings: list[str] | None = None
) -> Model:
    """Return what `build`, a class of the library, makes of a checkpoint's folder, in evaluation mode.

    What a user should know of it is added to `warnings`. Raises `RetrieverError` where it cannot be loaded, where code
    of its own would be needed and is not trusted, where its tokenizer does not fit, and where weights are missing (the
    library would draw them at random) or not finite.
    """
    for place in (folder, adapter_base(module_folders(folder)[0])):
        if place is not None:
            check_code(place, trusted=options.trust_remote_code)
    model_kwargs = _weight_options(options)
    try:
        with quiet(), without_adapter(folder) as whole, _watch_loading() as lacking:
            model: Model = build(
                str(whole),
                device=options.device,
                trust_remote_code=options.trust_remote_code,
                # A checkpoint's own code may lie in another repository.
                local_files_only=offline() or not options.trust_remote_code,
                model_kwargs=model_kwargs,
            )
            missing = [name for part in _parts(model, whole) for name in _missing_weights(*part, model_kwargs, lacking)]
            saved = put_adapter(getattr(model[0], "auto_model", model[0]), folder)
            hold_tensors(model)
    except UserError:
        raise
    except Exception as error:
        # Any of three libraries, and a checkpoint's own code, may fail here in any way.
        raise RetrieverError(f"{folder}: cannot be loaded: {first_line(error)}") from error
    check_complete([name for name in missing if name not in saved], folder)
    check_finite(model, str(folder))
    told = fit_tokenizer(model, folder)
    if warnings is not None:
        warnings += told
    model.eval()
    return model


def load_network(
    folder: Path,
    options: LoadOptions,
    build: Callable[..., tuple[Network, Mapping[str, Iterable[str]]]],
    *,
    own_code: bool = False,
    pooled: bool = False,
) -> Network:
    """Return what `build`, a `from_pretrained` of transformers, makes of a folder, on its device, for evaluation.

    With `own_code`, the checkpoint's own code is run, which may lie in another repository; `pooled` says that what the
    network's own pooler gives is used. Raises `RetrieverError` as `load_as` does.
    """
    from sentence_transformers.util import get_device_name

    try:
        with quiet():
            network, info = build(
                str(folder),
                output_loading_info=True,
                local_files_only=offline() or not own_code,
                trust_remote_code=own_code,
                **_weight_options(options),
            )
            network.to(options.device or get_device_name())
            hold_tensors(network)
    except Exception as error:
        # Any of three libraries may fail here in any way.
        raise RetrieverError(f"{folder}: cannot be loaded: {first_line(error)}") from error
    check_complete(sorted(info["missing_keys"]) if pooled else _needed(info["missing_keys"]), folder)
    check_finite(network, str(folder))
    network.eval()
    return network


def hold_tensors(model: "Module") -> None:
    """Copy a model's tensors out of the files that they may be mapped from, and that somebody may write to."""
    for tensor in (*model.parameters(), *model.buffers()):
        tensor.data = tensor.data.clone()


def _weight_options(options: LoadOptions) -> dict[str, object]:
    """Return how weights are read, and let torch use as many threads as it may."""
    import torch

    if options.threads is not None:
        torch.set_num_threads(options.threads)
    kept: dict[str, object] = {"dtype": getattr(torch, DTYPES[options.dtype])}
    return kept if options.allow_pickle else {**kept, "use_safetensors": True}


def check_complete(missing: Sequence[str], folder: Path) -> None:
    """Raise `RetrieverError` where weights are missing, given by their names."""
    if missing:
        raise RetrieverError(
            f"{folder}: {len(missing)} weights are missing, among them {missing[0]}; "
            "without them the model would be partly random: save the whole model"
        )


def padding_probes(model: "BaseModel") -> tuple[str, ...]:
    """Return texts that show, alone and in one batch, whether padding or other texts change what a model makes of one.

    A network that attends in blocks is shown a long text too, beside which it may compute short ones in another way.
    """
    in_blocks = any(getattr(model.config, name, None) for name in _IN_BLOCKS)
    return (*PADDED, " ".join([_LONG] * 100)) if in_blocks else PADDED


def short_dtype(dtype: object) -> str:
    """Return a precision of torch, such as `torch.float32`, as the key `dtype` has it, or by torch's own name."""
    name = str(dtype).removeprefix("torch.")
    return next((short for short, long in DTYPES.items() if long == name), name)


def is_rounding(found: NDArray[np.floating], expected: NDArray[np.floating], dtype: str, *, least: float = 0.0) -> bool:
    """Say whether two arrays of a network's output differ by no more than rounding does in a precision such as fp32.

    It is a part of the largest number that is expected, or of `least` where all are smaller.
    """
    part = 1e-4 if dtype == "fp32" else 0.05
    return bool(np.allclose(found, expected, rtol=0, atol=part * float(np.abs(expected).max(initial=least))))


def check_finite(model: "Module", name: str) -> None:
    """Raise `RetrieverError`, naming the tensor, where a parameter of the model is NaN or infinite."""
    for tensor_name, tensor in model.named_parameters():
        # A sum is quick and never finite where a number is not; a sum that is too large says nothing.
        if not bool(tensor.sum().isfinite()) and not bool(tensor.isfinite().all()):
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
    """Return the SHA-256 (hex) of a model's tensors, module configurations, processors, tokenizer and own code."""
    digest = sha256()
    _add_tensors(digest, model)
    for module in model:
        configuration = module.get_config_dict() if hasattr(module, "get_config_dict") else {}
        digest.update(f"{type(module).__name__}\x1f{json.dumps(configuration, sort_keys=True, default=str)}".encode())
        processor = getattr(module, "processor", None)
        if processor is not None and hasattr(processor, "to_json_string"):
            digest.update(processor.to_json_string().encode())
    transformer = getattr(model[0], "auto_model", None)
    if transformer is not None:
        _add_network(digest, transformer)
    _add_tokenizer(digest, model.tokenizer)
    digest.update("\x1f".join(code_digests(model)).encode())
    return digest.hexdigest()


def digest_loaded(digest: str, model: "BaseModel") -> str:
    """Return what tells a loaded model from others: `digest`, that of its files, unless code of its own makes it.

    Such code may lie elsewhere, and read more than the checkpoint's folder: then it and the tensors count as well.
    """
    code = code_digests(model)
    if not code:
        return digest
    whole = sha256("\x1f".join([digest, *code]).encode())
    _add_tensors(whole, model)
    return whole.hexdigest()


def code_digests(model: "Module") -> list[str]:
    """Return the SHA-256 (hex) of each source file of a model's classes that is of none of the libraries, sorted."""
    parts: list[object] = [getattr(model, "tokenizer", None)]
    for module in model.modules():
        parts += [module, *(getattr(module, name, None) for name in ("config", "processor"))]
    classes = {ancestor for part in parts for ancestor in type(part).__mro__}
    own = {kind.__module__ for kind in classes if kind.__module__.partition(".")[0] not in _LIBRARIES}
    # Of code from a checkpoint, what it imports lies beside it.
    packages = tuple(f"{name.rpartition('.')[0]}." for name in own if name.startswith(_CODE))
    own |= {name for name in sys.modules if name.startswith(packages)} if packages else set()
    files = {getattr(sys.modules.get(name), "__file__", None) for name in own}
    return sorted(sha256(Path(file).read_bytes()).hexdigest() for file in files if file and Path(file).is_file())


def digest_network(network: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", *configurations: str) -> str:
    """Return the SHA-256 (hex) of a network's tensors and configuration, of a tokenizer and of `configurations`."""
    digest = sha256()
    _add_tensors(digest, network)
    _add_network(digest, network)
    digest.update("\x1f".join((*configurations, *code_digests(network))).encode())
    _add_tokenizer(digest, tokenizer)
    return digest.hexdigest()


def digest_tokenizer(tokenizer: "PreTrainedTokenizerBase") -> str:
    """Return the SHA-256 (hex) of all that decides how a tokenizer cuts texts into tokens."""
    digest = sha256()
    _add_tokenizer(digest, tokenizer)
    return digest.hexdigest()


def _add_network(digest: "Digest", network: "PreTrainedModel") -> None:
    # How strong an adapter is stands in no tensor.
    adapters = {name: config.to_dict() for name, config in getattr(network, "peft_config", {}).items()}
    digest.update(network.config.to_json_string(use_diff=False).encode())
    digest.update(json.dumps(adapters, sort_keys=True, default=sorted).encode() + b"\x1f")


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
    kept |= {name: getattr(tokenizer, name, None) for name in ("padding_side", "truncation_side", "chat_template")}
    digest.update(json.dumps(kept, sort_keys=True, default=str).encode())


def _parts(model: "BaseModel", folder: Path) -> Iterator[tuple["Module", Path]]:
    """Yield the modules of a model that may have a network of transformers, with their folders; a router's too."""
    for module, place in zip(model, module_folders(folder), strict=False):
        yield module, place
        routes = read_json(place / "router_config.json").get("structure")
        if isinstance(routes, dict):
            for route, inner in getattr(module, "sub_modules", {}).items():
                yield from zip(inner, (place / str(name) for name in routes.get(route, ())), strict=False)


@contextmanager
def _watch_loading() -> "Iterator[dict[PreTrainedModel, list[str]]]":
    """Collect, by each network that transformers loads for a while, the weights that its files lack.

    The library above it does not ask, and asking anew would read all weights a second time.
    """
    from transformers import PreTrainedModel

    lacking: dict[PreTrainedModel, list[str]] = {}
    method = PreTrainedModel.__dict__["from_pretrained"]

    def watched(
        kind: type[PreTrainedModel], /, *places: object, output_loading_info: bool = False, **options: object
    ) -> object:
        network, info = method.__func__(kind, *places, output_loading_info=True, **options)
        lacking[network] = _needed(info["missing_keys"])
        return (network, info) if output_loading_info else network

    PreTrainedModel.from_pretrained = classmethod(watched)
    try:
        yield lacking
    finally:
        PreTrainedModel.from_pretrained = method


def _missing_weights(
    module: "Module", place: Path, model_kwargs: dict[str, object], lacking: "Mapping[PreTrainedModel, list[str]]"
) -> list[str]:
    """Return the weights of a module's network that its files lack; a pooler does not count, as it is not used."""
    network = getattr(module, "auto_model", None)
    if network is None or not hasattr(type(network), "from_pretrained"):
        return []
    if network not in lacking:
        # Code of the checkpoint's own has made it, or taken it out of another.
        type(network).from_pretrained(str(place), config=network.config, local_files_only=True, **model_kwargs)
        missing = list(lacking.values())[-1]
    else:
        missing = lacking[network]
    return _take_encoder(module, place, model_kwargs) if missing and network.config.is_encoder_decoder else missing


def _take_encoder(module: "Module", place: Path, model_kwargs: dict[str, object]) -> list[str]:
    """Take the encoder out of the whole network; return the weights that its files lack.

    The library reads some encoders alone, under names that they do not have in the files of the whole, such as those
    of M2M100, Marian and Pegasus.
    """
    from transformers import AutoModel

    whole, info = AutoModel.from_pretrained(str(place), output_loading_info=True, local_files_only=True, **model_kwargs)
    module.model = whole.get_encoder().to(module.model.device)
    return [name for name in _needed(info["missing_keys"]) if name.startswith(("encoder.", "shared."))]


def _needed(names: Iterable[str]) -> list[str]:
    return sorted(name for name in names if "pooler" not in name)


@contextmanager
def first_use() -> Iterator[None]:
    """Raise `RetrieverError` where a checkpoint that could be loaded cannot encode a text, in whatever way it fails."""
    try:
        yield
    except RetrieverError:
        raise
    except Exception as error:
        # Modules of any kind may stand in any order, and a network may lack a kernel for a precision.
        raise RetrieverError(f"the checkpoint cannot encode a text: {first_line(error)}") from error


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
