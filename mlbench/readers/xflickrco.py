"""Reads xFlickrCO: 1,000 images of Flickr30k and 1,000 of MS-COCO, captioned in 8 languages (IGLUE, 2201.11732)."""

from mlbench.declarations import relative_path
from mlbench.errors import UnknownName
from mlbench.protocols import ReadRequest, SourceFile
from mlbench.readers.captioned import Caption, captioned
from mlbench.readers.json_lines import objects, raise_faults, text_of, texts_of
from mlbench.records import Collection

_EXAMPLE = "{'img_path': '97234558.jpg', 'sentences': [...]}"


def read(request: ReadRequest) -> Collection:
    """Return the collection of files with the role `captions`, one for each language.

    Their lines are `{"id", "img_path", "sentences": [caption]}`, as in `annotations/de/test.jsonl`; captions were
    written for the images, and are no translations. Raises `DataError` with the first fault, its file and line; its
    `__notes__` are all the faults.
    """
    if request.options:
        raise UnknownName("option of the reader xflickrco", next(iter(request.options)), ())
    captions, faults = list[Caption](), list[str]()
    for source in request.files:
        captions += _captions(source, faults)
    raise_faults(faults)
    return captioned(request, captions)


def _captions(source: SourceFile, faults: list[str]) -> list[Caption]:
    captions = []
    for place, row in objects(source, faults, _EXAMPLE):
        name = text_of(row, "img_path", place, faults)
        texts = texts_of(row, "sentences", place, faults)
        try:
            captions += [Caption(relative_path(name), source.language or "", text) for text in texts if name]
        except ValueError as error:
            faults.append(f"{place}: 'img_path': {error}")
    return captions
