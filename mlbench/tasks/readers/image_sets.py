"""Tells data sets with images in Parquet from those of texts, by their data card or the columns of their files."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from mlbench.io.parquet import IMAGE_COLUMNS, PARQUET, has_images
from mlbench.tasks.data_card import features_of

_NUMBER = re.compile(r"[-_.]?\d+(-of-\d+)?\.parquet$", re.IGNORECASE)


def is_image_set(paths: Sequence[str], card: Mapping[str, object], folder: Path | None = None) -> bool:
    """Say whether some of the Parquet files at `paths` have a column of images.

    The data card tells; where it names no columns, one file of each kind is opened, if there is a `folder` of them.
    Raises `DataError` for a file that cannot be read, `MissingExtra` where Parquet cannot be.
    """
    tables = [path for path in paths if path.lower().endswith(PARQUET)]
    features = list(features_of(card))
    if not tables or features or folder is None:
        return bool(tables) and any(feature.get("name") in IMAGE_COLUMNS for feature in features)
    # Files of one kind are called alike, up to a number.
    kinds = {_NUMBER.sub("", path): path for path in tables}
    return any(has_images(folder / path) for path in kinds.values())
