"""Opens image files safely: what they are is checked before they are decoded, and all come out as 8-bit RGB."""

import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from errno import EACCES, EIO, EISDIR, EMFILE, ENFILE, ENOMEM, EPERM
from hashlib import file_digest
from importlib.util import find_spec
from itertools import islice
from os import cpu_count
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

from mlbench.errors import DataError, MissingExtra

if TYPE_CHECKING:
    from PIL import Image


MOST_PIXELS = 2**26
"""Images of more pixels are refused before they are decoded; photographs of 64 megapixels are still read."""
_AHEAD = 2
# What is on the web. Pillow would open more, and run another program for PostScript.
_FORMATS = ("BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
# What is no fault of an image, which may be read another time.
_UNREADABLE = (EACCES, EIO, EISDIR, EMFILE, ENFILE, ENOMEM, EPERM)
_SIXTEEN_BITS = ("I;16", "I;16L", "I;16B", "I;16N", "I")


class BrokenImage(DataError):
    """An image that cannot be decoded; the message says why, without the file's name."""


class _WithoutWarnings:
    """Keeps Python's warnings back while any thread is within.

    They are filtered for the whole process: threads that each put back what they had found could leave it without any.
    """

    def __init__(self) -> None:
        self._lock, self._within, self._filters = Lock(), 0, ExitStack()

    def __enter__(self) -> None:
        with self._lock:
            if not self._within:
                self._filters.enter_context(warnings.catch_warnings(action="ignore"))
            self._within += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._within -= 1
            if not self._within:
                self._filters.close()


_WITHOUT_WARNINGS = _WithoutWarnings()


class CheckedImage(NamedTuple):
    """What is known of an image: the SHA-256 of its file (hex), whether it is animated, and what is wrong with it."""

    path: Path
    digest: str = ""
    animated: bool = False
    fault: str = ""


def open_image(path: Path) -> "Image.Image":
    """Return the image in a file as 8-bit RGB, upright as its camera was held; of an animation, the first frame.

    16 bits are scaled to 8, what is transparent is laid on white. Raises `BrokenImage` for a file that is no image, is
    cut short or has more than `MOST_PIXELS`, `DataError` for one that cannot be read, and `MissingExtra` without
    Pillow.
    """
    with _opened(path) as image:
        image.load()
        return _upright_rgb(image)


def check_image(path: Path) -> bool:
    """Check that a file can be decoded, at a fraction of what opening costs; return whether it is animated.

    A JPEG is decoded at an eighth of its size, which reads every byte all the same. Raises as `open_image` does.
    """
    with _opened(path) as image:
        # What telephones add to a photograph, such as its depth, is no animation.
        animated = bool(getattr(image, "is_animated", False)) and image.format != "MPO"
        if image.format in ("JPEG", "MPO"):
            image.draft("L", (max(1, image.width // 8), max(1, image.height // 8)))
        image.load()
        return animated


def open_images(paths: Sequence[Path], workers: int | None = None) -> "Iterator[Image.Image]":
    """Yield the images in the files at `paths`, in their order, decoded by `workers` threads a few ahead.

    Twice as many as threads are in memory, however many there are. Raises as `open_image` does, with the file's name.
    """
    threads = workers or cpu_count() or 1
    with ThreadPoolExecutor(threads) as pool:
        waiting = iter(paths)
        ahead = [pool.submit(_named, path) for path in islice(waiting, _AHEAD * threads)]
        while ahead:
            image = ahead.pop(0).result()
            ahead += [pool.submit(_named, path) for path in islice(waiting, 1)]
            yield image


def check_images(paths: Iterable[Path]) -> Iterator[CheckedImage]:
    """Yield what is known of each image, in their order, checked by threads; raises `DataError` as `check_image` does.

    Nothing is kept of their pixels.
    """
    with ThreadPoolExecutor(cpu_count() or 1) as pool:
        yield from pool.map(_check_one, paths)


def _check_one(path: Path) -> CheckedImage:
    try:
        animated = check_image(path)
        with path.open("rb") as stream:
            return CheckedImage(path, file_digest(stream, "sha256").hexdigest(), animated)
    except BrokenImage as error:
        return CheckedImage(path, fault=str(error))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error


def _named(path: Path) -> "Image.Image":
    try:
        return open_image(path)
    except BrokenImage as error:
        raise BrokenImage(f"{path} {error}") from error


@contextmanager
def _opened(path: Path) -> "Iterator[Image.Image]":
    """Open a file without decoding it, and make one kind of error of the many that broken images raise."""
    if find_spec("PIL") is None:
        raise MissingExtra("images", "images")
    from PIL import Image

    try:
        # Of large images and odd metadata: the first are refused here, the second do not matter.
        with _WITHOUT_WARNINGS, Image.open(path, formats=_FORMATS) as image:
            if image.width * image.height > MOST_PIXELS:
                raise BrokenImage(f"has {image.width:,} x {image.height:,} pixels, at most {MOST_PIXELS:,} are read")
            yield image
    except BrokenImage:
        raise
    except FileNotFoundError as error:
        raise DataError(f"{path} is missing") from error
    except Image.DecompressionBombError as error:
        # Pillow has a limit of its own, which is higher, and its message has the number.
        pixels = next((f"{int(number):,}" for number in re.findall(r"\d+", str(error))), "too many")
        raise BrokenImage(f"has {pixels} pixels, at most {MOST_PIXELS:,} are read") from error
    except Exception as error:  # Decoders of broken files raise a dozen kinds.
        if isinstance(error, OSError) and error.errno in _UNREADABLE:
            raise DataError(f"{path} cannot be read: {error.strerror}") from error
        raise BrokenImage("is empty" if not path.stat().st_size else f"cannot be decoded: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    from PIL import UnidentifiedImageError

    if isinstance(error, UnidentifiedImageError):
        return "it is no image that Pillow knows"
    return next(iter(str(error).splitlines()), type(error).__name__)[:120]


def _upright_rgb(image: "Image.Image") -> "Image.Image":
    from PIL import Image, ImageOps

    upright = ImageOps.exif_transpose(image)
    if upright.mode in _SIXTEEN_BITS:
        # Pillow would cut such numbers off at 255.
        upright = upright.convert("I").point(lambda level: level / 256).convert("L")
    if upright.has_transparency_data:
        layer = upright.convert("RGBA")
        upright = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return upright.convert("RGB")
