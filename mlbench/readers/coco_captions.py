"""Reads captions in the formats of MS-COCO: the official annotations, Karpathy's splits, and lists made of these."""

import json
from collections.abc import Iterator
from pathlib import PurePosixPath

from mlbench.errors import DataError, UnknownName
from mlbench.protocols import ReadRequest
from mlbench.readers.captioned import Caption, captioned
from mlbench.readers.packed import content_of
from mlbench.records import Collection

OPTIONS = ("member", "split")

_Row = dict[str, object]


def read(request: ReadRequest) -> Collection:
    """Return the collection of files with the role `captions`, each of one language; all captions of an image are kept.

    A file, or the `member` of a zip file, is one of
    - `{"images": [{"id", "file_name"}], "annotations": [{"image_id", "caption"}]}`, as in captions_val2014.json;
    - `{"images": [{"filename", "split", "sentences": [{"raw"}]}]}`, as in Karpathy's dataset_coco.json and
      dataset_flickr30k.json, of which the images of one `split` (test) are taken;
    - `[{"image", "caption"}]` with one caption or a list of them, as in coco_karpathy_test.json.

    Images are known by the last part of their path. Raises `DataError` with the file and what is wrong in it.
    """
    unknown = [name for name in request.options if name not in OPTIONS]
    if unknown:
        raise UnknownName("option of the reader coco_captions", unknown[0], OPTIONS)
    split = str(request.options.get("split", "test"))
    captions = []
    for source in request.files:
        content = content_of(source.path, str(request.options.get("member", "")))
        found = _pairs(source.path.name, _parsed(source.path.name, content, split))
        captions += [Caption(image, source.language or request.languages[0], text) for image, text in found]
    return captioned(request, captions)


def _pairs(name: str, table: object) -> Iterator[tuple[str, str]]:
    """Yield image and caption of what a file holds, in its order."""
    if isinstance(table, dict) and "annotations" in table:
        images = {str(row.get("id")): _text(name, row, "file_name") for row in _rows(name, table, "images")}
        for row in _rows(name, table, "annotations"):
            image = str(row.get("image_id"))
            if image not in images:
                raise DataError(
                    f"{name}: the caption {row.get('id')!r:.40} is of image {row.get('image_id')!r:.40}, "
                    "which is not among its images"
                )
            yield _file_name(images[image]), _text(name, row, "caption")
    elif isinstance(table, dict):
        for row in _rows(name, table, "images"):
            for sentence in _rows(name, row, "sentences"):
                yield _file_name(_text(name, row, "filename")), _text(name, sentence, "raw")
    else:
        for row in _rows(name, {"images": table}, "images"):
            texts = row.get("caption")
            for text in texts if isinstance(texts, list) else [texts]:
                yield _file_name(_text(name, row, "image")), _text(name, {"caption": text}, "caption")


def _rows(name: str, table: _Row, key: str) -> Iterator[_Row]:
    rows = table.get(key)
    if not isinstance(rows, list):
        raise DataError(f"{name}: {key!r} must be a list, not {rows!r:.60}")
    for row in rows:
        # Images of other splits are null.
        if row is not None and not isinstance(row, dict):
            raise DataError(f"{name}: {key!r} must be a list of objects, not of {row!r:.60}")
        if row is not None:
            yield row


def _text(name: str, row: _Row, key: str) -> str:
    text = row.get(key)
    if not isinstance(text, str) or not text.strip():
        raise DataError(f"{name}: {key!r} must be a text that is not empty, not {text!r:.60}")
    return text


def _file_name(path: str) -> str:
    return PurePosixPath(path).name


def _parsed(name: str, content: bytes, split: str) -> object:
    """Return what a file holds, without the images of other splits, and without tokens, which are most of it."""

    def lean(row: _Row) -> _Row | None:
        row.pop("tokens", None)
        return None if "filename" in row and row.get("split", split) != split else row

    try:
        table = json.loads(content, object_hook=lean)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{name}: not valid JSON: {str(error)[:100]}") from error
    if not isinstance(table, dict | list):
        raise DataError(f"{name}: must be an object or a list, not {table!r:.60}")
    return table
