"""What the registry of models says of a checkpoint, used where neither the user nor the checkpoint says it."""

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from pydantic import BaseModel

from mlbench.errors import DataError, RetrieverError
from mlbench.provenance import RegistryInfo, read_manifest
from mlbench.registry.entry import Entry
from mlbench.registry.find import entries, find, find_called, look_up, read_entries
from mlbench.retrievers.checkpoint_folder import described_by, module_folders, read_leniently
from mlbench.retrievers.prompts import saves_prompts

Settings = TypeVar("Settings", bound=BaseModel)
REGISTRY_KEY = "false: nothing of the registry of models; else the name of the entry to use, or a TOML file of more"
"""What `--set registry=...` takes."""
_PROMPTS = {"query_prompt", "document_prompt"}
_SNAPSHOT = re.compile(r"/models--([^/]+?)--([^/]+)/snapshots/[^/]+\Z")
_FRONT_MATTER = re.compile(r"---\n(.*?)\n---", re.DOTALL)
_IS = re.compile(r"^(?:model_name:|model-index:[ \t]*\n[ \t]*-[ \t]*name:)[ \t]*(.+)$", re.MULTILINE)
_MADE_FROM = re.compile(r"^base_model:[ \t]*(.*(?:\n[ \t]*-[ \t].*)*)", re.MULTILINE)
_LARGEST_CARD = 2**22


class LimitsTexts(Protocol):
    """A model of sentence-transformers, or whatever else cuts texts off after `max_seq_length` tokens."""

    max_seq_length: int | None


@dataclass(frozen=True)
class Registered(Generic[Settings]):
    """The settings of a checkpoint with what the registry adds, and what the result says of that.

    `entry` and `info` are None where the registry knows nothing of it; `max_length` is the longest input where nobody
    else says one.
    """

    settings: Settings
    entry: Entry | None = None
    info: RegistryInfo | None = None
    max_length: int | None = None

    def limit(self, model: LimitsTexts) -> RegistryInfo | None:
        """Cut texts off where the registry says, if `model` would read longer ones; return what the result says."""
        longest = self.max_length
        if self.entry is None or self.info is None or longest is None:
            return self.info
        if model.max_seq_length is not None and model.max_seq_length <= longest:
            return self.info
        model.max_seq_length = longest
        return _info(self.entry, {**self.info.applied, "max_length": longest}, made_from=self.info.made_from)


def apply_registry(settings: Settings, locator: str, folder: Path) -> Registered[Settings]:
    """Return `settings` with what the registry knows, where they and the checkpoint in `folder` say nothing.

    `locator` is what the user called the checkpoint; the setting `registry` is what `REGISTRY_KEY` says. Raises
    `UnknownName` for the name of no entry, and what `read_entries` raises for a file.
    """
    asked = str(getattr(settings, "registry", "true"))
    asked = asked.lower() if asked.lower() in ("true", "false") else asked
    if asked == "false":
        return Registered(settings)
    own = read_entries(Path(asked)) if asked.endswith(".toml") else ()
    known = entries(own)
    named = look_up(asked, known) if asked != "true" and not own else None
    entry, made_from = (named, False) if named else recognise(locator, folder, known)
    if entry is None:
        return Registered(settings)
    if made_from and _is_own_training(folder):
        # Its recipe says how it is used, and the folder has all of that.
        return Registered(settings, entry, _info(entry, {}, made_from=True))
    saved = saved_keys(_described_by(folder))
    use = {key: value for key, value in entry.use.items() if key not in saved and value != ""}
    # A prompt may be chosen by its name as well.
    unset = {key for key in type(settings).model_fields if getattr(settings, key) is None}
    unset -= {key for key in _PROMPTS if getattr(settings, f"{key}_name", None) is not None}
    applied = {key: value for key, value in use.items() if key in unset and key != "max_length"}
    longest = entry.max_length if "max_length" in use and "max_length" in unset else None
    info = _info(entry, applied, made_from=made_from)
    return Registered(settings.model_copy(update=applied), entry, info, longest)


def recognise(locator: str, folder: Path, known: Mapping[str, Entry]) -> tuple[Entry | None, bool]:
    """Return the entry of the model that a checkpoint is, and False; or that it says it is made from, and True.

    A checkpoint is a model by its hub id, by the folder of a snapshot in the hub's cache, or by the name in its model
    card. It is made from one by the manifest of its training, by its adapter, by `base_model` in its card, or by
    `_name_or_path` in its configuration. None where nothing names an entry, and for what is made from a model that is
    only pre-trained: that is another retriever.
    """
    snapshot = _snapshot(folder) or ("" if Path(locator).is_dir() else locator)
    if entry := find(snapshot, known):
        return entry, False
    for names, made_from in ((_names(folder), False), (_bases(folder), True)):
        for name in names:
            entry = find_called(name, known)
            if entry is not None and not entry.pretrained:
                return entry, made_from
    return None, False


def saved_keys(folder: Path) -> set[str]:
    """Return which facts on how it is used a checkpoint itself saves, as keys of `--set`.

    The prompts of both roles are one fact. What is broken saves nothing, and is told when it is loaded.
    """
    saved = {"pooling"} if (folder / "modules.json").is_file() else set()
    configuration = read_leniently(folder / "config_sentence_transformers.json")
    prompts = configuration.get("prompts")
    if isinstance(prompts, dict) and saves_prompts(prompts):
        saved |= _PROMPTS
    if configuration.get("similarity_fn_name"):
        saved.add("similarity")
    if any(
        read_leniently(path).get("max_seq_length") for path in _transformer_in(folder).glob("sentence_*_config.json")
    ):
        saved.add("max_length")
    return saved


def _info(entry: Entry, applied: Mapping[str, str | int], *, made_from: bool) -> RegistryInfo:
    answers = entry.trained_on.items()
    # What was trained further may have seen whatever its base has not.
    trained_on = {name: "unknown" if made_from and answer == "no" else answer for name, answer in answers}
    return RegistryInfo(
        name=entry.name,
        made_from=made_from,
        applied=dict(applied),
        unconfirmed=tuple(key for key in applied if key in entry.unconfirmed),
        trained_on=trained_on,
    )


def _snapshot(folder: Path) -> str | None:
    """Return the hub id of a folder in the cache of the hub; None for any other."""
    found = _SNAPSHOT.search(folder.absolute().as_posix())
    return f"{found[1]}/{found[2]}" if found else None


def _names(folder: Path) -> list[str]:
    """Return what its model card calls a checkpoint."""
    return [_plain(name) for name in _IS.findall(_front_matter(folder / "README.md"))]


def _bases(folder: Path) -> Iterator[str]:
    """Yield the names of the models that a checkpoint says it is made from, those that are surest first."""
    with suppress(DataError):
        yield from _base_of_recipe(read_manifest(folder) or {})
    adapted = str(read_leniently(folder / "adapter_config.json").get("base_model_name_or_path") or "")
    yield adapted
    if adapted and Path(adapted).is_dir():
        yield from (_snapshot(Path(adapted)) or "", *_names(Path(adapted)), *_stated_bases(Path(adapted)))
    yield from _stated_bases(folder)
    yield str(read_leniently(_transformer_in(folder) / "config.json").get("_name_or_path", ""))


def _stated_bases(folder: Path) -> Iterator[str]:
    """Yield the names after `base_model` in a model card: one, or a list on one line or several."""
    for names in _MADE_FROM.findall(_front_matter(folder / "README.md")):
        yield from map(_plain, re.split(r"\n[ \t]*-[ \t]|,", names.strip("[]")))


def _base_of_recipe(manifest: Mapping[str, object]) -> Iterator[str]:
    recipe = manifest.get("recipe")
    transformer = recipe.get("transformer") if isinstance(recipe, dict) else None
    if isinstance(transformer, dict):
        yield str(transformer.get("checkpoint", ""))


def _is_own_training(folder: Path) -> bool:
    try:
        return read_manifest(folder) is not None
    except DataError:
        return False


def _described_by(folder: Path) -> Path:
    try:
        return described_by(folder)
    except RetrieverError:
        # A base that is missing is told of when it is loaded.
        return folder


def _transformer_in(folder: Path) -> Path:
    try:
        return module_folders(folder)[0]
    except RetrieverError:
        return folder


def _front_matter(card: Path) -> str:
    """Return the metadata at the head of a model card; empty where there are none."""
    try:
        with card.open(encoding="utf-8", errors="replace") as file:
            found = _FRONT_MATTER.match(file.read(_LARGEST_CARD))
    except OSError:
        return ""
    return found[1] if found else ""


def _plain(value: str) -> str:
    return value.strip().strip("-").strip().strip("\"'")
