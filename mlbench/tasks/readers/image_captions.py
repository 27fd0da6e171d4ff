"""Reads published collections of captioned images: MS-COCO, Crossmodal-3600, Multi30K, xFlickrCO and XTD10."""

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from mlbench.collection.records import Collection
from mlbench.errors import DataError
from mlbench.io.toml import relative_path
from mlbench.protocols import ReadRequest, SourceFile
from mlbench.tasks.readers.captions import OPTIONS, Caption, captioned, content_of, without_blank
from mlbench.tasks.readers.json_lines import check_options, objects, parse_object, raise_faults, text_of

_COCO_OPTIONS = (*OPTIONS, "member", "split")
_Row = dict[str, object]
_MEMBER = "captions.jsonl"
_EXAMPLE = "{'img_path': '97234558.jpg', 'sentences': [...]}"


def read_coco_captions(request: ReadRequest) -> Collection:
    """Return the collection of files with the role `captions`, each of one language; all captions of an image are kept.

    A file, or the `member` of a zip file, is one of
    - `{"images": [{"id", "file_name"}], "annotations": [{"image_id", "caption"}]}`, as in captions_val2014.json;
    - `{"images": [{"filename", "split", "sentences": [{"raw"}]}]}`, as in Karpathy's dataset_coco.json and
      dataset_flickr30k.json, of which the images of one `split` (test) are taken;
    - `[{"image", "caption"}]` with one caption or a list of them, as in coco_karpathy_test.json.

    Images are known by the last part of their path. Raises `DataError` with the file and what is wrong in it.
    """
    check_options(request, "coco_captions", _COCO_OPTIONS)
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
        images = {str(row.get("id")): _text(name, row, "file_name") for row in _coco_rows(name, table, "images")}
        for row in _coco_rows(name, table, "annotations"):
            image = str(row.get("image_id"))
            if image not in images:
                raise DataError(
                    f"{name}: the caption {row.get('id')!r:.40} is of image {row.get('image_id')!r:.40}, "
                    "which is not among its images"
                )
            yield _file_name(images[image]), _text(name, row, "caption")
    elif isinstance(table, dict):
        for row in _coco_rows(name, table, "images"):
            for sentence in _coco_rows(name, row, "sentences"):
                yield _file_name(_text(name, row, "filename")), _text(name, sentence, "raw")
    else:
        for row in _coco_rows(name, {"images": table}, "images"):
            texts = row.get("caption")
            for text in texts if isinstance(texts, list) else [texts]:
                yield _file_name(_text(name, row, "image")), _text(name, {"caption": text}, "caption")


def _coco_rows(name: str, table: _Row, key: str) -> Iterator[_Row]:
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


def read_crossmodal_3600(request: ReadRequest) -> Collection:
    """Return the collection of `captions.jsonl`, or of `captions.zip` that holds it; all captions of an image are kept.

    A line is `{"image/key", "image/locale", LANGUAGE: {"caption": [...], ...}, ...}`; the image is the key with `.jpg`.
    Most have two captions in a language, written for the image and no translations; blank ones are left out, and told.
    Raises `DataError` with file and line.
    """
    check_options(request, "crossmodal_3600", OPTIONS)
    captions = []
    for source in request.files:
        for place, row in _crossmodal_rows(source.path):
            key = row.get("image/key")
            if not isinstance(key, str) or not key.strip():
                raise DataError(f"{place}: 'image/key' must be the name of an image, not {key!r:.60}")
            captions += [
                Caption(f"{key}.jpg", language, text)
                for language in request.languages
                for text in _texts(row, language, place)
            ]
    return captioned(request, without_blank(request, captions))


def _texts(row: dict[str, object], language: str, place: str) -> list[str]:
    """Return the captions of a line in one language; a line may lack some."""
    entry = row.get(language, {"caption": []})
    texts = entry.get("caption") if isinstance(entry, dict) else None
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise DataError(f"{place}: {language!r} must be an object with the captions, {{'caption': [...]}}")
    return texts


def _crossmodal_rows(path: Path) -> Iterator[tuple[str, dict[str, object]]]:
    """Yield each line that is not blank, an object, with its place."""
    for number, line in enumerate(content_of(path, _MEMBER).split(b"\n"), start=1):
        if line.strip():
            place = f"{path.name} line {number}"
            yield place, parse_object(line, place, "with 'image/key'")


def read_aligned(request: ReadRequest) -> Collection:
    """Return the collection of one file with the role `images` and files with the role `captions`: Multi30K and XTD10.

    Line n of every file of captions, packed where its name ends in .gz, is about the image on line n; what more files
    of a language say are further captions of the same images. Lines end with LF or CR LF. Raises `DataError` with file
    and line for an empty line, bytes that are not UTF-8, an image that is there twice, or another number of lines.

    Multi30K: task 1 has one file for each language, whose lines are translations. Task 2 has five for English and
    German, `test_2016.1.en.gz` to `test_2016.5.de.gz`: descriptions of the images, which are no translations of each
    other. They have no list of images of their own at hand; that of task 1 fits, which was checked on the English ones
    against xFlickrCO, where the same sentences stand beside the names.

    XTD10: captions are translations of each other in eight languages; the German and French (MIC) and the Japanese ones
    (STAIR, whose file says jp) were written for the same images.
    """
    check_options(request, request.task, OPTIONS)
    lists = [source.path for source in request.files if source.role == "images"]
    if len(lists) != 1:
        raise DataError(f"{request.task}: there must be one file of image names (role images), not {len(lists)}")
    images = _lines(lists[0])
    if len(set(images)) < len(images):
        twice = next(name for number, name in enumerate(images) if name in images[:number])
        raise DataError(f"{lists[0].name}: image {twice!r} is there twice")
    captions = []
    for source in request.files:
        if source.role != "captions":
            continue
        texts = _lines(source.path)
        if len(texts) != len(images):
            raise DataError(f"{source.path.name} has {len(texts):,} lines, but {lists[0].name} has {len(images):,}")
        captions += [Caption(image, source.language or "", text) for image, text in zip(images, texts, strict=True)]
    return captioned(request, captions)


read_multi30k = read_xtd10 = read_aligned


def _lines(path: Path) -> list[str]:
    """Return the lines of a file, stripped."""
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path.name} is damaged ({error}): replace it by the original") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    lines = []
    for number, raw in enumerate(content.removeprefix(b"\xef\xbb\xbf").removesuffix(b"\n").split(b"\n"), start=1):
        try:
            line = raw.decode().strip()
        except UnicodeDecodeError as error:
            raise DataError(f"{path.name} line {number}: not valid UTF-8") from error
        if not line:
            raise DataError(f"{path.name} line {number}: is empty, so later lines would belong to other images")
        lines.append(line)
    return lines


def read_xflickrco(request: ReadRequest) -> Collection:
    """Return the collection of files with the role `captions`, one for each language.

    Their lines are `{"id", "img_path", "sentences": [caption]}`, as in `annotations/de/test.jsonl`; captions were
    written for the images, and are no translations. Blank ones, of which the published files have two, are left out,
    and told. Raises `DataError` with the first fault, its file and line; its `__notes__` are all the faults.
    """
    check_options(request, "xflickrco", OPTIONS)
    captions, faults = list[Caption](), list[str]()
    for source in request.files:
        captions += _captions(source, faults)
    raise_faults(faults)
    return captioned(request, without_blank(request, captions))


def _captions(source: SourceFile, faults: list[str]) -> list[Caption]:
    captions = []
    for place, row in objects(source, faults, _EXAMPLE):
        name, texts = text_of(row, "img_path", place, faults), row.get("sentences")
        if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
            faults.append(f"{place}: 'sentences' must be a list of texts that is not empty")
            continue
        try:
            captions += [Caption(relative_path(name), source.language or "", text) for text in texts if name]
        except ValueError as error:
            faults.append(f"{place}: 'img_path': {error}")
    return captions
