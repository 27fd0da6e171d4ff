"""The folder of a checkpoint: where it is, whether it is complete and safe to load, and its digest; needs no torch."""

import json
import os
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from hashlib import file_digest, sha256
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import NoReturn

from mlbench.errors import RetrieverError
from mlbench.io.cache import offline
from mlbench.io.watched import WatchedFiles
from mlbench.provenance import MANIFEST

_TOKENIZERS = (
    "tokenizer.json",
    "vocab*",
    "*.model",
    "*.tiktoken",
    "*.spm",
    "*.tokenizer",
    "bpe.codes",
    "byte_maps.json",
    "tekken.json",
    "whitespacetokenizer_config.json",
    "phrasetokenizer_config.json",
    "tokenization_*.py",
)
# Tokenizers whose vocabulary is that of all bytes or characters, and stands in no file.
_WITHOUT_VOCABULARY = {"ByT5Tokenizer", "CanineTokenizer", "PerceiverTokenizer"}
_PICKLES = ("pytorch_model*.bin", "adapter_model*.bin")
_WEIGHTS = ("model*.safetensors", "pytorch_model*.bin")
_DIGESTED = {".safetensors", ".json", ".txt", ".model", ".py", ".tiktoken", ".bin", ".jinja", ".bpe", ".vocab"}
_DIGESTED |= {".codes", ".metadata", ".spm", ".tokenizer"}
# Weights that torch's libraries do not read, and whose they are.
_OTHER_WEIGHTS = {
    "*.gguf": "llama.cpp's",
    "tf_model*.h5": "TensorFlow's",
    "model.ckpt*": "TensorFlow's",
    "flax_model*.msgpack": "Flax's",
    "rust_model.ot": "Rust's",
}
# The library that reads weights quantised by a method.
_QUANTISERS = {
    "awq": "gptqmodel",
    "bitsandbytes": "bitsandbytes",
    "compressed-tensors": "compressed_tensors",
    "gptq": "gptqmodel",
    "hqq": "hqq",
    "quanto": "optimum",
    "torchao": "torchao",
}
# Other forms of the same weights, and what a trainer leaves beside them.
_FOREIGN = ("onnx", "openvino", "checkpoint-", "runs", ".")
_BASE = "base"
ADAPTER = "adapter_config.json"
"""What an adapter's folder has in place of a model's config.json."""
_NOT_FETCHED = ("onnx/*", "openvino/*", "*.onnx*", "*.h5", "*.msgpack", "*.ot", "*.gguf", "*.pt", "*.pth", "*.ckpt")


@dataclass(frozen=True)
class Origin:
    """Where a model comes from: `digest` tells it from others, asked for each time it matters.

    `files` are those that it was read from, in `folder`; a model that somebody made has none.
    """

    digest: Callable[[], str]
    files: WatchedFiles = field(default_factory=WatchedFiles)
    folder: Path | None = None


def find_checkpoint(locator: str, revision: str | None, *, allow_pickle: bool, more: Sequence[str] = ()) -> Path:
    """Return the folder of a checkpoint: an existing folder, else the local copy of a hub repository.

    What the copy lacks is fetched from the hub, pickled weights only with `allow_pickle`, and other forms of the
    weights only where `more`, patterns of names, says so. Raises `RetrieverError` where there is neither.
    """
    folder = Path(locator).expanduser()
    if locator and folder.is_dir():
        if revision is not None:
            raise RetrieverError(
                f"revision={revision}: only a hub id has revisions, and {locator} is a folder: leave it out"
            )
        return folder
    if locator and folder.is_file():
        raise RetrieverError(
            f"{locator} is a file: a checkpoint is a folder, and lists of another system are measured as run:{locator}"
        )
    if not locator or folder.exists() or locator.startswith((".", "~", "/", "\\")) or locator.count("/") > 1:
        raise RetrieverError(f"no folder {locator!r}: give a checkpoint's folder or a hub id such as intfloat/e5-base")
    return _fetch(locator, revision, allow_pickle=allow_pickle, more=more)


def check_checkpoint(folder: Path, *, allow_pickle: bool, tokenizer: bool = True) -> None:
    """Raise `RetrieverError` where configuration, tokenizer or weights are missing, or weights are not to be used.

    They are not where they are pickled only, of another library, or quantised by one that is not installed. Without
    `tokenizer`, none is needed, as of a model that reads no texts. Of an adapter the base is checked as well, and
    fetched where it is a hub id that is not there yet.
    """
    places, types = module_folders(folder), module_types(folder)
    base = adapter_base(places[0], allow_pickle=allow_pickle)
    if base is not None:
        _check_adapter(places[0], allow_pickle=allow_pickle)
        if base != places[0]:
            _check_pickles(places[1:], allow_pickle=allow_pickle)
            check_checkpoint(base, allow_pickle=allow_pickle, tokenizer=tokenizer and not has_tokenizer(folder))
            return
    if not (folder / "modules.json").is_file() and not (folder / "config.json").is_file():
        if others := _other_weights(folder):
            raise RetrieverError(others)
        raise RetrieverError(f"{folder}: no config.json or modules.json, so it is no checkpoint; check the folder")
    _check_quantised(places)
    if any(name.endswith(".BoW") for name in types):
        # A bag of words has its vocabulary in its configuration, and no weights.
        return
    if tokenizer and not has_tokenizer(folder) and not _reads_characters(places):
        raise RetrieverError(f"{folder}: no tokenizer (such as tokenizer.json); save the tokenizer in this folder too")
    _check_pickles(places, allow_pickle=allow_pickle)
    weights = ("*.safetensors", *(_PICKLES if allow_pickle else ()))
    if not any(True for pattern in weights for _ in folder.rglob(pattern)):
        others = _other_weights(folder)
        raise RetrieverError(others or f"{folder}: no weights (model.safetensors); save the model in this folder")


def _other_weights(folder: Path) -> str:
    """Say that a folder has weights of another library; an empty text where it has none."""
    for pattern, whose in _OTHER_WEIGHTS.items():
        if found := sorted(folder.rglob(pattern)):
            return f"{folder}: weights are in {whose} form only ({found[0].name}): save them as safetensors"
    return ""


def _check_quantised(places: Sequence[Path]) -> None:
    for place in places:
        quantised = read_json(place / "config.json").get("quantization_config")
        if not isinstance(quantised, dict):
            continue
        loaded_in = any(quantised.get(key) for key in ("load_in_4bit", "load_in_8bit"))
        method = str(quantised.get("quant_method") or ("bitsandbytes" if loaded_in else ""))
        library = _QUANTISERS.get(method)
        if library is not None and find_spec(library) is None:
            raise RetrieverError(
                f"{place}: weights are quantised by {method}, which needs the library {library} and may need a GPU: "
                "install it, or take the checkpoint that is not quantised"
            )


def _reads_characters(places: Sequence[Path]) -> bool:
    """Say whether a tokenizer needs no file of a vocabulary."""
    configurations = [read_json(place / name) for place in places for name in ("tokenizer_config.json", "config.json")]
    classes = {str(configuration.get("tokenizer_class")).removesuffix("Fast") for configuration in configurations}
    types = {configuration.get("model_type") for configuration in configurations}
    return bool(classes & _WITHOUT_VOCABULARY or types & {"canine", "perceiver"})


def _check_pickles(places: Sequence[Path], *, allow_pickle: bool) -> None:
    for place in places:
        pickled = sorted(path.name for pattern in _PICKLES for path in place.glob(pattern))
        if pickled and not allow_pickle and not any(place.glob("*.safetensors")):
            raise RetrieverError(_pickled_only(place, pickled[0]))


def _check_adapter(place: Path, *, allow_pickle: bool) -> None:
    if any(place.glob("adapter_model*.safetensors")):
        return
    pickled = sorted(path.name for path in place.glob("adapter_model*.bin"))
    if not pickled:
        raise RetrieverError(
            f"{place}: no weights (adapter_model.safetensors); save the adapter in this folder, or remove {ADAPTER} "
            "where it is no adapter"
        )
    if not allow_pickle:
        raise RetrieverError(_pickled_only(place, pickled[0]))


def _pickled_only(place: Path, name: str) -> str:
    return (
        f"{place}: weights are pickled only ({name}), and opening a pickle can run code: "
        "save them as safetensors, or pass --allow-pickle if you trust them"
    )


def has_tokenizer(folder: Path) -> bool:
    """Say whether a tokenizer lies anywhere in a folder."""
    return any(True for pattern in _TOKENIZERS for _ in folder.rglob(pattern))


def adapter_base(place: Path, *, allow_pickle: bool = False) -> Path | None:
    """Return the folder of the model that the adapter in `place` is put on; None where there is no adapter.

    It is `place` itself where the weights of that model lie beside those of the adapter. A relative name is looked up
    in `place`, then in the current folder, and is a hub id otherwise, whose local copy is returned. Raises
    `RetrieverError` where the base is not named, cannot be found, or is an adapter as well.
    """
    if not (place / ADAPTER).is_file():
        return None
    configuration = read_json(place / ADAPTER)
    if (place / "config.json").is_file() and any(True for pattern in _WEIGHTS for _ in place.glob(pattern)):
        return place
    name, revision = configuration.get("base_model_name_or_path"), configuration.get("revision")
    if not isinstance(name, str) or not name:
        raise RetrieverError(f"{place / ADAPTER}: base_model_name_or_path is missing: name the model it was trained on")
    try:
        # A revision says which state of a hub's repository is meant; a folder has one state.
        base = _base_folder(place) or find_checkpoint(
            name, revision if isinstance(revision, str) else None, allow_pickle=allow_pickle
        )
    except RetrieverError as error:
        raise RetrieverError(
            f"{place}: the base of the adapter is missing: {error}; "
            f"base_model_name_or_path in {ADAPTER} says where it is"
        ) from error
    if (module_folders(base)[0] / ADAPTER).is_file():
        raise RetrieverError(f"{place}: the base of the adapter, {base}, is an adapter too: merge that one first")
    return base


def described_by(folder: Path, *, fetch: bool = True) -> Path:
    """Return the folder whose configuration says what a checkpoint is: `folder`, or the base of an adapter alone.

    Without `fetch`, a base that is no folder is left alone. Raises as `adapter_base` does.
    """
    if not (folder / ADAPTER).is_file() or (folder / "modules.json").is_file():
        return folder
    if fetch or _base_folder(folder) is not None:
        return adapter_base(folder) or folder
    return folder


def _base_folder(place: Path) -> Path | None:
    """Return the base that the adapter in `place` names, where that is a folder near it or in the current one."""
    name = read_json(place / ADAPTER).get("base_model_name_or_path")
    if not isinstance(name, str) or not name:
        return None
    return next((each for each in (place / Path(name).expanduser(), Path(name).expanduser()) if each.is_dir()), None)


def module_folders(folder: Path) -> list[Path]:
    """Return where the modules of a checkpoint lie, the encoder's first; `folder` itself where none are listed."""
    listing = folder / "modules.json"
    if not listing.is_file():
        return [folder]
    try:
        return [folder / str(module["path"]) for module in json.loads(listing.read_text(encoding="utf-8"))] or [folder]
    except (ValueError, TypeError, KeyError) as error:
        raise RetrieverError(f"{listing}: not a list of modules with a path each") from error


def module_types(folder: Path) -> list[str]:
    """Return the classes of a checkpoint's modules, in their order; empty where none are listed."""
    try:
        listed = json.loads((folder / "modules.json").read_text(encoding="utf-8"))
        return [str(module.get("type")) for module in listed]
    except (OSError, ValueError, TypeError, AttributeError):
        return []


def read_json(path: Path) -> dict[str, object]:
    """Return the object in a configuration file, empty where there is none; a broken file raises `RetrieverError`."""
    try:
        content = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except (OSError, ValueError) as error:
        raise RetrieverError(f"{path}: cannot be read: {error}") from error
    return content if isinstance(content, dict) else {}


def read_leniently(path: Path) -> dict[str, object]:
    """Return the object in a configuration file, empty where there is none or it is broken."""
    # What is broken names nothing, and is told when it is loaded.
    try:
        return read_json(path)
    except RetrieverError:
        return {}


def read_files(folder: Path, more: Sequence[str] = ()) -> tuple[WatchedFiles, str]:
    """Return the `checkpoint_files`, watched from now on, and their digest; the model is loaded after that."""
    found = checkpoint_files(folder, more)
    return WatchedFiles(found.values()), digest_files(found)


def digest_files(files: Mapping[str, Path]) -> str:
    """Return the SHA-256 (hex) over names and content of files, in the order of their names."""
    digest = sha256()
    for name in sorted(files, key=PurePosixPath):
        with files[name].open("rb") as file:
            content = file_digest(file, "sha256").digest()
        digest.update(name.encode() + b"\x1f" + content)
    return digest.hexdigest()


def checkpoint_files(folder: Path, more: Sequence[str] = ()) -> dict[str, Path]:
    """Return the files that decide what is loaded from a folder, by name: weights, tokenizer, configuration and code.

    They lie in the folder, behind symbolic links in it, in whatever folders its modules have, and in the folder of the
    model that an adapter is put on, which is fetched where it is a hub id that is not there yet. `more` are endings of
    further files that count. Other forms of the weights are left out, and so is how the checkpoint was trained: two
    runs that end at the same weights are the same model.
    """
    return dict(_files(folder, {*_DIGESTED, *more}, frozenset(), loaded=True))


def _files(
    folder: Path, endings: Container[str], above: frozenset[Path], *, loaded: bool
) -> Iterator[tuple[str, Path]]:
    """Yield the files under `folder`; an adapter's base counts only where the folder is `loaded` as a module."""
    place = folder.resolve()
    if place in above:
        # A link to a folder above would lead round and round.
        return
    above |= {place}
    named = list(_named(folder))
    for path in folder.iterdir():
        if path.is_dir():
            if not path.name.startswith(_FOREIGN):
                yield from _under(path.name, path, endings, above, loaded=path.name in named)
        elif path.suffix in endings and path.name != MANIFEST and path.is_file():
            yield path.name, path
    for name in named:
        inner = folder / name
        if _is_foreign(name) and inner.is_dir():
            yield from _under(name, inner, endings, above, loaded=True)
        elif _is_foreign(name) and inner.is_file():
            yield name, inner
    base = adapter_base(folder) if loaded else None
    if base is not None:
        yield from _under(_BASE, base, endings, above, loaded=True)


def _under(
    name: str, folder: Path, endings: Container[str], above: frozenset[Path], *, loaded: bool
) -> Iterator[tuple[str, Path]]:
    return ((f"{name}/{inner}", path) for inner, path in _files(folder, endings, above, loaded=loaded))


def _is_foreign(name: str) -> bool:
    """Say whether a file or folder of this relative name is passed over unless a configuration names it."""
    path = PurePosixPath(name)
    return path.is_absolute() or any(part.startswith(_FOREIGN) for part in path.parts)


def _named(folder: Path) -> Iterator[str]:
    """Yield the folders and files in a checkpoint's folder that its configuration says are loaded."""
    if (folder / "modules.json").is_file():
        yield from (PurePosixPath(os.path.relpath(path, folder)).as_posix() for path in module_folders(folder))
    # A router keeps the modules of its routes in folders of its own.
    for configuration in ("router_config.json", "config.json"):
        types = read_leniently(folder / configuration).get("types")
        yield from types if isinstance(types, dict) else ()
    for index in folder.glob("*.index.json"):
        shards = read_leniently(index).get("weight_map")
        yield from sorted(set(map(str, shards.values()))) if isinstance(shards, dict) else ()


def _fetch(name: str, revision: str | None, *, allow_pickle: bool, more: Sequence[str]) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import RepositoryNotFoundError

    # Short names such as all-MiniLM-L6-v2 are first looked up as they are, as old names of the hub have no owner.
    fetch = partial(snapshot_download, revision=revision, local_files_only=offline())
    candidates = [name] if "/" in name else [name, f"sentence-transformers/{name}"]
    for candidate in candidates:
        try:
            folder = fetch(candidate, ignore_patterns=[*_NOT_FETCHED, "*.bin"])
            if allow_pickle and _lacks_weights(Path(folder)):
                folder = fetch(candidate, ignore_patterns=list(_NOT_FETCHED))
            if more:
                folder = fetch(candidate, allow_patterns=list(more))
            return Path(folder)
        except RepositoryNotFoundError as error:
            if candidate == candidates[-1]:
                _explain(name, revision, error)
        except Exception as error:
            # The hub's client lets through errors of its own, of HTTP and of the file system alike.
            _explain(name, revision, error)
    raise AssertionError("unreachable")


def _lacks_weights(folder: Path) -> bool:
    """Say whether a folder has no safe weights, or only others than those that OpenCLIP's configuration describes."""
    wanted = "open_clip*.safetensors" if (folder / "open_clip_config.json").is_file() else "*.safetensors"
    return not any(folder.rglob(wanted))


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
