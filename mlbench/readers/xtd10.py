"""Reads XTD10: 1,000 images of MS-COCO, with one caption in each of 11 languages (Aggarwal and Kale, 2012.05107)."""

from mlbench.protocols import ReadRequest
from mlbench.readers.aligned_captions import read_aligned
from mlbench.records import Collection


def read(request: ReadRequest) -> Collection:
    """Return the collection of `test_image_names.txt` (role `images`) and one file of captions for each language.

    Captions are translations of each other in eight languages; the German and French (MIC) and the Japanese ones
    (STAIR, whose file says jp) were written for the same images. Raises `DataError` (see `read_aligned`).
    """
    return read_aligned(request)
