"""Whether the cosines of images and captions in a ranks file are those of vectors, and in the order of its counts.

What `read_ranks` looks at is taken as done: they stand in the rows of images that ask for captions, and nowhere else.
"""

import numpy as np
from numpy.typing import NDArray

from mlbench.ranks import Ranks, pool_counts

Floats = NDArray[np.float64]

# Cosines are rounded to 32 bits, and near 1 that is a large part of an angle.
_SLACK = 1e-3


def alignment_fault(ranks: Ranks) -> str:
    """Say in what the cosines follow from no vectors, or contradict the ranks of the captions; or nothing."""
    if ranks.alignment is None:
        return ""
    rank = pool_counts(ranks, ranks.spoken_languages).rank
    image, closest = ranks.alignment.astype(np.float64).T
    rows = np.flatnonzero(~np.isnan(image))
    ordered = rows[np.lexsort((rank[rows], ranks.row_queries[rows]))]
    same = np.diff(ranks.row_queries[ordered]) == 0
    if (np.diff(image[ordered])[same] > 0).any():
        return "alignment is not in the order of the captions' ranks"
    edges = np.flatnonzero(np.diff(ranks.row_queries[rows])) + 1
    for own in np.split(rows, edges):
        if not _could_be(image[own], closest[own], ranks.row_languages[own]):
            return "alignment has cosines between captions that no vectors have"
    return ""


def _could_be(image: Floats, closest: Floats, languages: NDArray[np.int32]) -> bool:
    """Say whether captions at such cosines to an image can be that close to the closest one in another language.

    With angles a and b to the image, the cosine of two captions lies between those of a + b and of a - b.
    """
    angle = np.arccos(np.clip(image, -1.0, 1.0))
    other = languages[:, None] != languages
    if (other.any(axis=1) != ~np.isnan(closest)).any():
        return False
    if not other.any():
        return True
    sums = np.minimum(angle[:, None] + angle, np.pi)
    least = np.where(other, np.cos(sums), -1.0).max(axis=1)
    most = np.where(other, np.cos(angle[:, None] - angle), -1.0).max(axis=1)
    there = other.any(axis=1)
    return bool(((closest >= least - _SLACK) & (closest <= most + _SLACK))[there].all())
