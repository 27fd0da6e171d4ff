"""The data card of a data set on the Hugging Face hub: the YAML at the head of its README.md."""

import re
from collections.abc import Mapping
from pathlib import Path

from mlbench.errors import DataError, MissingExtra

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
    except yaml.YAMLError:
        # What people write there is often no YAML; names of files tell as much.
        return {}
    return {str(key): value for key, value in table.items()} if isinstance(table, dict) else {}
