"""Reads Multi30K: images of Flickr30k with captions in up to four languages (Elliott et al., 2016, W16-3210)."""

from mlbench.protocols import ReadRequest
from mlbench.readers.aligned_captions import read_aligned
from mlbench.records import Collection


def read(request: ReadRequest) -> Collection:
    """Return the collection of a list of images (role `images`) and files of captions, each with its language.

    Task 1 has one file for each language, whose lines are translations. Task 2 has five for English and German,
    `test_2016.1.en.gz` to `test_2016.5.de.gz`: descriptions of the images, which are no translations of each other.
    They have no list of images of their own at hand; that of task 1 fits, which was checked on the English ones against
    xFlickrCO, where the same sentences stand beside the names. Raises `DataError` (see `read_aligned`).
    """
    return read_aligned(request)
