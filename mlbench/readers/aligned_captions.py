"""Reads captions that are aligned by line with a list of images, as several collections come."""

import gzip
import zlib
from pathlib import Path

from mlbench.errors import DataError, UnknownName
from mlbench.protocols import ReadRequest
from mlbench.readers.captioned import Caption, captioned
from mlbench.records import Collection


def read_aligned(request: ReadRequest) -> Collection:
    """Return the collection of one file with the role `images` and files with the role `captions`.

    Line n of every file of captions, packed where its name ends in .gz, is about the image on line n; what more files
    of a language say are further captions of the same images. Lines end with LF or CR LF. Raises `DataError` with file
    and line for an empty line, bytes that are not UTF-8, an image that is there twice, or another number of lines.
    """
    if request.options:
        raise UnknownName(f"option of {request.task}", next(iter(request.options)), ())
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
