"""The data card of a data set on the Hugging Face hub, the YAML at the head of its README.md, and its files."""

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from mlbench.errors import DataError, MissingExtra

_DEPTH = 4
_MOST_FILES = 20_000
_HEAD = re.compile(r"\ufeff?---\r?\n(.*?)\r?\n---\s*(?:\r?\n|\Z)", re.DOTALL)


def read_card(readme: Path) -> Mapping[str, object]:
    """Return what the head of a README.md says, such as `configs` and `language`; empty where it has none.

    Raises `DataError` where it cannot be read, `MissingExtra` where it lists files and no YAML can be read.
    """
    try:
        match = _HEAD.match(readme.read_text("utf-8", errors="replace"))
    except OSError as error:
        raise DataError(f"{readme} cannot be read: {error.strerror}") from error
    if match is None:
        return {}
    try:
        import yaml
    except ModuleNotFoundError as error:
        if "configs:" not in match[1]:
            return {}
        raise MissingExtra("data cards that list files", "hf") from error
    try:
        table = yaml.safe_load(match[1])
    except (yaml.YAMLError, ValueError, RecursionError):
        # What people write there is often no YAML, or a day that no month has; names of files tell as much.
        return {}
    return {str(key): value for key, value in table.items()} if isinstance(table, dict) else {}


def card_in(folder: Path) -> Mapping[str, object]:
    """Return the data card of a folder, empty where it has none; raises as `read_card` does."""
    readme = folder / "README.md"
    return read_card(readme) if readme.is_file() else {}


def paths_in(folder: Path) -> list[str]:
    """Return the paths of files below a folder, a few levels deep; hidden ones are left out."""
    found: list[str] = []
    for root, folders, names in os.walk(folder, followlinks=True):
        inside = PurePosixPath(Path(root).relative_to(folder).as_posix())
        folders[:] = sorted(name for name in folders if not name.startswith(".")) if len(inside.parts) < _DEPTH else []
        found += [str(inside / name) for name in names if not name.startswith(".")]
        if len(found) > _MOST_FILES:
            break
    return found


def told_languages(card: Mapping[str, object]) -> list[str]:
    """Return the languages that a data card names, as they are written there."""
    told = card.get("language")
    # YAML takes the tag of Norwegian for a truth value.
    return [
        "no" if tag is False else str(tag) for tag in (told if isinstance(told, list) else [told]) if tag is not None
    ]


def features_of(card: Mapping[str, object]) -> Iterator[Mapping[str, object]]:
    """Yield what a data card says of each column of each configuration, as in `{"name": "image", "dtype": "image"}`."""
    about = card.get("dataset_info")
    for entry in about if isinstance(about, list) else [about]:
        features = entry.get("features") if isinstance(entry, dict) else None
        yield from (feature for feature in features if isinstance(feature, dict)) if isinstance(features, list) else ()
