"""The folder of a checkpoint: where it is, whether it is complete and safe to load, and its digest; needs no torch."""

import json
import os
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from hashlib import file_digest, sha256
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NoReturn

from mlbench.errors import RetrieverError
from mlbench.io.cache import offline
from mlbench.io.watched import WatchedFiles
from mlbench.protocols import Role
from mlbench.provenance import MANIFEST

if TYPE_CHECKING:
    pass


_TOKENIZERS = ("tokenizer.json", "vocab.*", "*.model", "*.tiktoken", "tokenization_*.py")
_PICKLES = ("pytorch_model*.bin", "adapter_model*.bin")
_WEIGHTS = ("model*.safetensors", "pytorch_model*.bin")
_DIGESTED = {".safetensors", ".json", ".txt", ".model", ".py", ".tiktoken", ".bin", ".jinja", ".bpe", ".vocab"}
# Other forms of the same weights, and what a trainer leaves beside them.
_FOREIGN = ("onnx", "openvino", "checkpoint-", "runs", ".")
_BASE = "base"
ADAPTER = "adapter_config.json"
"""What an adapter's folder has in place of a model's config.json."""
_NOT_FETCHED = ("onnx/*", "openvino/*", "*.onnx*", "*.h5", "*.msgpack", "*.ot", "*.gguf", "*.pt", "*.pth", "*.ckpt")
# Names under which checkpoints save their prompts; an empty prompt counts as none.
_PROMPT_NAMES: dict[Role, tuple[str, ...]] = {"query": ("query",), "document": ("document", "passage", "corpus")}


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
            raise RetrieverError(f"revision={revision}: only a hub id has revisions, and {locator} is a folder")
        return folder
    if not locator or folder.exists() or locator.startswith((".", "~", "/", "\\")) or locator.count("/") > 1:
        raise RetrieverError(f"no folder {locator!r}: give a checkpoint's folder or a hub id such as intfloat/e5-base")
    return _fetch(locator, revision, allow_pickle=allow_pickle, more=more)


def check_checkpoint(folder: Path, *, allow_pickle: bool) -> None:
    """Raise `RetrieverError` where configuration, tokenizer or weights are missing, or weights are pickled only.

    Of an adapter the base is checked as well, and fetched where it is a hub id that is not there yet.
    """
    places = module_folders(folder)
    base = adapter_base(places[0], allow_pickle=allow_pickle)
    if base is not None:
        _check_adapter(places[0], allow_pickle=allow_pickle)
        if base != places[0]:
            _check_pickles(places[1:], allow_pickle=allow_pickle)
            check_checkpoint(base, allow_pickle=allow_pickle)
            return
    if not (folder / "modules.json").is_file() and not (folder / "config.json").is_file():
        raise RetrieverError(f"{folder}: no config.json or modules.json, so it is no checkpoint; check the folder")
    if not has_tokenizer(folder):
        raise RetrieverError(f"{folder}: no tokenizer (such as tokenizer.json); save the tokenizer in this folder too")
    _check_pickles(places, allow_pickle=allow_pickle)
    weights = ("*.safetensors", *(_PICKLES if allow_pickle else ()))
    if not any(True for pattern in weights for _ in folder.rglob(pattern)):
        raise RetrieverError(f"{folder}: no weights (model.safetensors); save the model in this folder")


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
        raise RetrieverError(f"{place}: no weights (adapter_model.safetensors); save the adapter in this folder")
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
        near = place / Path(name).expanduser()
        folder = near if near.is_dir() else Path(name).expanduser()
        # A revision says which state of a hub's repository is meant; a folder has one state.
        wanted = revision if isinstance(revision, str) and not folder.is_dir() else None
        base = find_checkpoint(str(near) if near.is_dir() else name, wanted, allow_pickle=allow_pickle)
    except RetrieverError as error:
        raise RetrieverError(
            f"{place}: the base of the adapter is missing: {error}; "
            f"base_model_name_or_path in {ADAPTER} says where it is"
        ) from error
    if (module_folders(base)[0] / ADAPTER).is_file():
        raise RetrieverError(f"{place}: the base of the adapter, {base}, is an adapter too: merge that one first")
    return base


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


def _read_leniently(path: Path) -> dict[str, object]:
    # What is broken names nothing, and is told when it is loaded.
    try:
        return read_json(path)
    except RetrieverError:
        return {}


def digest_checkpoint(folder: Path, more: Sequence[str] = ()) -> str:
    """Return the SHA-256 (hex) over names and content of the `checkpoint_files`."""
    return digest_files(checkpoint_files(folder, more))


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
        types = _read_leniently(folder / configuration).get("types")
        yield from types if isinstance(types, dict) else ()
    for index in folder.glob("*.index.json"):
        shards = _read_leniently(index).get("weight_map")
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
            if allow_pickle and not any(Path(folder).rglob("*.safetensors")):
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
