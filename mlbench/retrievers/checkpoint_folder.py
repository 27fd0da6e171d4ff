"""The folder of a checkpoint: where it is, whether it is complete and safe to load, and its digest; needs no torch."""

import json
from collections.abc import Container, Iterator, Mapping, Sequence
from functools import partial
from hashlib import file_digest, sha256
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from mlbench.errors import RetrieverError
from mlbench.io.cache import offline
from mlbench.protocols import Role
from mlbench.provenance import MANIFEST

if TYPE_CHECKING:
    pass


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
