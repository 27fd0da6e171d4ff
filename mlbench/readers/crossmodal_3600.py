"""Reads Crossmodal-3600: 3,600 images with 261,375 captions in 36 languages (Thapliyal et al., 2205.12522)."""

import json
from collections.abc import Iterator
from pathlib import Path

from mlbench.errors import DataError, UnknownName
from mlbench.protocols import ReadRequest
from mlbench.readers.captioned import Caption, captioned
from mlbench.readers.packed import content_of
from mlbench.records import Collection

_MEMBER = "captions.jsonl"


def read(request: ReadRequest) -> Collection:
    """Return the collection of `captions.jsonl`, or of `captions.zip` that holds it; all captions of an image are kept.

    A line is `{"image/key", "image/locale", LANGUAGE: {"caption": [...], ...}, ...}`; the image is the key with `.jpg`.
    Most have two captions in a language, written for the image and no translations; blank ones are left out, and told.
    Raises `DataError` with file and line.
    """
    if request.options:
        raise UnknownName("option of the reader crossmodal_3600", next(iter(request.options)), ())
    captions, blank = list[Caption](), 0
    for source in request.files:
        for place, row in _rows(source.path):
            key = row.get("image/key")
            if not isinstance(key, str) or not key.strip():
                raise DataError(f"{place}: 'image/key' must be the name of an image, not {key!r:.60}")
            found = [
                Caption(f"{key}.jpg", language, text)
                for language in request.languages
                for text in _texts(row, language, place)
            ]
            captions += [caption for caption in found if caption.text.strip()]
            blank += sum(not caption.text.strip() for caption in found)
    if blank:
        request.progress.note(f"{request.task}: {blank:,} captions are blank and left out")
    return captioned(request, captions)


def _texts(row: dict[str, object], language: str, place: str) -> list[str]:
    """Return the captions of a line in one language; a line may lack some."""
    entry = row.get(language, {"caption": []})
    texts = entry.get("caption") if isinstance(entry, dict) else None
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise DataError(f"{place}: {language!r} must be an object with the captions, {{'caption': [...]}}")
    return texts


def _rows(path: Path) -> Iterator[tuple[str, dict[str, object]]]:
    """Yield each line that is not blank, an object, with its place."""
    number = 0
    try:
        for number, line in enumerate(content_of(path, _MEMBER).split(b"\n"), start=1):
            if line.strip():
                row = json.loads(line)
                if not isinstance(row, dict):
                    raise DataError(f"{path.name} line {number}: must be an object with 'image/key'")
                yield f"{path.name} line {number}", row
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path.name} line {number}: not valid JSON: {str(error)[:100]}") from error
