"""Which captions stand beside their images in training: all, or of some languages only a share."""

from collections.abc import Mapping
from hashlib import blake2b

import numpy as np

from mlbench.languages import IMAGE
from mlbench.training.index import ABSENT, Bools, RowIndex
from mlbench.training.pools import ImagePairs
from mlbench.training.rows import Rows


def image_pairs(rows: Rows, index: RowIndex, corpora: tuple[str, ...], shares: Mapping[str, float]) -> ImagePairs:
    """Return which captions of `rows` may stand beside their image; `index` has the columns of `corpora`.

    `shares` says of which share of the images, by language, with `default` for those that it does not name (else 1).
    The image's bytes and the language decide, whatever else is trained on; .02 of them are among .1 of them.
    """
    column = corpora.index(IMAGE)
    usable = np.ones((len(index), len(corpora)), bool)
    rare = {language: shares.get(language, shares.get("default", 1.0)) for language in corpora if language != IMAGE}
    rare = {language: share for language, share in rare.items() if share < 1}
    if rare:
        there = np.flatnonzero(index.query_places[index.pattern, column] != ABSENT)
        images = rows.read(index.query_texts(there, np.full(len(there), column)))
        for language, share in rare.items():
            usable[there, corpora.index(language)] = _chosen(images, language, share)
    return ImagePairs(column, usable)


def _chosen(images: list[str], language: str, share: float) -> Bools:
    digests = (blake2b(f"{language} {image}".encode(), digest_size=8).digest() for image in images)
    places = np.array([int.from_bytes(digest, "little") >> 11 for digest in digests], np.float64) / 2**53
    chosen: Bools = places < share
    return chosen
