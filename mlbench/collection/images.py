"""Opens image files safely: what they are is checked before they are decoded, and all come out as 8-bit RGB."""

import re
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from errno import EACCES, EIO, EISDIR, EMFILE, ENFILE, ENOMEM, EPERM
from functools import cache
from hashlib import file_digest
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from mlbench.errors import DataError, MissingExtra, UserError
from mlbench.io.threads import usable_threads

if TYPE_CHECKING:
    from PIL import Image


MOST_PIXELS = 2**26
"""Images of more pixels are refused before they are decoded; photographs of 64 megapixels are still read."""
MOST_BYTES = 2**30
"""What images may take while they are decoded and prepared, those of all threads together; one alone may take more."""
SUFFIXES = (
    *(".avif", ".bmp", ".gif", ".heic", ".heif", ".ico", ".jp2", ".jpeg", ".jpg"),
    *(".png", ".ppm", ".tga", ".tif", ".tiff", ".webp"),
)
"""How the names of image files end, in lower case."""
Made = TypeVar("Made")
_AHEAD = 2
_CHECKS_AHEAD = 16
# What a decoded pixel and the copies of a library's image processor take, as measured.
_BYTES_PER_PIXEL = 14
_BYTES_PER_CHECKED_PIXEL = 4
_BAND = 2**20
# What is on the web. Pillow would open more, and run another program for PostScript.
_FORMATS = ("AVIF", "BMP", "GIF", "HEIF", "ICO", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
# Its files begin with nothing that tells them from others.
_TARGA = ".tga"
# `ftyp` and one of these stand at the beginning of HEIC and HEIF.
_HEIF = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
# What is no fault of an image, which may be read another time.
_UNREADABLE = (EACCES, EIO, EISDIR, EMFILE, ENFILE, ENOMEM, EPERM)
_SIXTEEN_BITS = ("I;16", "I;16L", "I;16B", "I;16N")
# Pillow scales their grey levels to 16 bits, whatever the file has.
_SCALED = ("PNG", "PPM")
_JPEG = ("JPEG", "MPO")
_DEPTHS = (8, 10, 12, 16)
_ORIENTATION, _BITS_PER_SAMPLE, _PHOTOMETRIC = 0x0112, 258, 262


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

    16 bits of grey, or the 10 or 12 of them in use, are scaled to 8, what is transparent is laid on white. Raises
    `BrokenImage` for a file that is no image, is cut short, has more than `MOST_PIXELS`, or whose numbers have no known
    scale; `DataError` for one that cannot be read, and `MissingExtra` without Pillow, or without its plugin for HEIC.
    """
    with _opened(path) as image:
        _load(image)
        return _upright_rgb(image)


def check_image(path: Path) -> bool:
    """Check that a file can be decoded, at a fraction of what opening costs; return whether it is animated.

    A JPEG is decoded at an eighth of its size, which reads every byte all the same. Raises as `open_image` does.
    """
    with _opened(path) as image:
        # What telephones add to a photograph, such as its depth, is no animation.
        animated = bool(getattr(image, "is_animated", False)) and image.format not in ("MPO", "HEIF")
        if image.format in _JPEG:
            image.draft("L", (max(1, image.width // 8), max(1, image.height // 8)))
        _load(image)
        # Whether its mode has a way to RGB.
        _rgb(image.crop((0, 0, 1, 1)), 255)
        return animated


def open_images(paths: Sequence[Path], workers: int | None = None) -> "Iterator[Image.Image]":
    """Yield the images in the files at `paths`, in their order, decoded by `workers` threads a few ahead.

    Twice as many as threads are in memory, or as many as `MOST_BYTES` have room for if these are fewer, however many
    there are. Raises as `open_image` does, with the file's name.
    """
    threads = workers or usable_threads()
    return _in_order(paths, _named, _footprint, threads=threads, ahead=_AHEAD * threads, kept=True)


def prepare_images(
    paths: Sequence[Path], prepare: "Callable[[Image.Image], Made]", *, workers: int | None = None, ahead: int
) -> "Iterator[Made]":
    """Yield what `prepare` makes of the images in the files at `paths`, in their order, up to `ahead` in advance.

    Each is opened and prepared by one of `workers` threads. Images that are being opened and prepared take `MOST_BYTES`
    at most, or are a single one; of those that are done nothing is kept but what `prepare` made. Raises as
    `open_image` does, with the file's name.
    """
    threads = workers or usable_threads()
    return _in_order(paths, lambda path: prepare(_named(path)), _footprint, threads=threads, ahead=max(ahead, threads))


def check_images(paths: Iterable[Path]) -> Iterator[CheckedImage]:
    """Yield what is known of each image, in their order, checked by threads; raises `DataError` as `check_image` does.

    Nothing is kept of their pixels, and `MOST_BYTES` hold for those that are being checked.
    """
    threads = usable_threads()
    return _in_order(paths, _check_one, _checked_footprint, threads=threads, ahead=_CHECKS_AHEAD * threads)


def _in_order(
    paths: Iterable[Path],
    make: Callable[[Path], Made],
    footprint: Callable[[Path], int],
    *,
    threads: int,
    ahead: int,
    kept: bool = False,
) -> Iterator[Made]:
    """Yield what `make` gives for each path; what is begun has a `footprint` of `MOST_BYTES` at most, or is one alone.

    With `kept`, what is done and not yet yielded takes as much as before.
    """
    waiting: deque[tuple[Future[Made], int]] = deque()

    def taken() -> int:
        return sum(size for future, size in waiting if kept or not future.done())

    with ThreadPoolExecutor(threads) as pool:
        for path in paths:
            size = footprint(path)
            while len(waiting) >= ahead or (waiting and taken() + size > MOST_BYTES):
                yield waiting.popleft()[0].result()
            waiting.append((pool.submit(make, path), size))
        while waiting:
            yield waiting.popleft()[0].result()


def _footprint(path: Path) -> int:
    """Return about how many bytes opening and preparing an image takes; 0 for one that will not be decoded."""
    return _BYTES_PER_PIXEL * _pixels(path)[0]


def _checked_footprint(path: Path) -> int:
    """Return about how many bytes checking an image takes, nearly none for one of which only an eighth is decoded."""
    pixels, in_passes = _pixels(path)
    return _BYTES_PER_CHECKED_PIXEL * pixels if in_passes else 0


def _pixels(path: Path) -> tuple[int, bool]:
    """Return how many pixels an image has, and whether all are in memory at once even where it is decoded smaller."""
    try:
        with _opened(path) as image:
            return image.width * image.height, image.format not in _JPEG or "progressive" in image.info
    except UserError:
        return 0, False


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


@cache
def _formats() -> tuple[str, ...]:
    """Return the formats that Pillow and its plugin, where it is installed, can read here."""
    from PIL import Image

    Image.init()
    if find_spec("pillow_heif") is not None:
        import pillow_heif

        pillow_heif.register_heif_opener()
    return tuple(name for name in _FORMATS if name in Image.OPEN)


@contextmanager
def _opened(path: Path) -> "Iterator[Image.Image]":
    """Open a file without decoding it, and make one kind of error of the many that broken images raise."""
    if find_spec("PIL") is None:
        raise MissingExtra("images", "images")
    from PIL import Image, UnidentifiedImageError

    try:
        # Of large images and odd metadata: the first are refused here, the second do not matter.
        formats = (*_formats(), *(["TGA"] if path.suffix.lower() == _TARGA else []))
        with _WITHOUT_WARNINGS, Image.open(path, formats=formats) as image:
            _check_size(image)
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
        if isinstance(error, UnidentifiedImageError) and _is_heif(path):
            raise MissingExtra("HEIC images", "heic") from error
        raise BrokenImage("is empty" if not path.stat().st_size else f"cannot be decoded: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    from PIL import UnidentifiedImageError

    if isinstance(error, UnidentifiedImageError):
        return "it is no image that Pillow knows"
    return next(iter(str(error).splitlines()), type(error).__name__)[:120]


def _is_heif(path: Path) -> bool:
    """Say whether a file that Pillow does not know is one for its plugin, which is then missing."""
    with path.open("rb") as stream:
        start = stream.read(12)
    return "HEIF" not in _formats() and start[4:8] == b"ftyp" and start[8:] in _HEIF


def _check_size(image: "Image.Image") -> None:
    if image.width * image.height > MOST_PIXELS:
        raise BrokenImage(f"has {image.width:,} x {image.height:,} pixels, at most {MOST_PIXELS:,} are read")


def _load(image: "Image.Image") -> None:
    """Decode an image; refuse one that is larger than its file begins by saying, or would come out black or white."""
    has_16_bits = ";16" in repr(getattr(image, "tile", ""))
    image.load()
    _check_size(image)
    if image.mode == "F" or (image.mode == "I" and image.format not in _SCALED):
        kind = "floating-point numbers" if image.mode == "F" else "integers of 32 bits or with a sign"
        raise BrokenImage(f"has {kind}, and does not say which are black and white: save it with 8 or 16 bits")
    if has_16_bits and not _is_16_bit_grey(image):
        # Of 16 bits of each colour, Pillow keeps the upper 8.
        highest = [image.getchannel(band).getextrema()[1] for band in image.getbands() if band != "A"]
        if 0 < max(highest) < 16:  # type: ignore[operator]
            raise BrokenImage(
                "has 16 bits for each colour, of which the lowest 12 are used, so it would come out black: scale it to "
                "16 bits, or save it with 8"
            )


def _is_16_bit_grey(image: "Image.Image") -> bool:
    return image.mode in _SIXTEEN_BITS or image.mode == "I"


def _white(image: "Image.Image") -> int:
    """Return the level of white of an image with 16 bits of grey, which may hold fewer; 255 of any other.

    A camera's 10 or 12 bits lie in 16 as they are, so white is the highest level of the fewest bits that cameras have
    and that hold all levels.
    """
    if not _is_16_bit_grey(image):
        return 255
    stated = getattr(image, "tag_v2", {}).get(_BITS_PER_SAMPLE, (16,))[0]
    used = int(image.convert("I").getextrema()[1]).bit_length()  # type: ignore[arg-type]
    depth = stated if stated < 16 or not used else next(each for each in _DEPTHS if used <= each)
    return int(2**depth - 1)


def _upright_rgb(image: "Image.Image") -> "Image.Image":
    from PIL import Image, ImageOps

    white, inverted = _white(image), getattr(image, "tag_v2", {}).get(_PHOTOMETRIC) == 0
    if image.getexif().get(_ORIENTATION, 1) != 1:
        image = ImageOps.exif_transpose(image)
    if image.mode == "RGB" and not image.has_transparency_data:
        return image
    upright = Image.new("RGB", image.size)
    # In bands, as each step is a copy of what it is given.
    rows = max(1, _BAND // image.width)
    for top in range(0, image.height, rows):
        box = (0, top, image.width, min(top + rows, image.height))
        upright.paste(_rgb(image.crop(box), white, inverted=inverted), box)
    return upright


def _rgb(image: "Image.Image", white: int, *, inverted: bool = False) -> "Image.Image":
    """Return an image as 8-bit RGB; `white` is the level of white where there are 16 bits, `inverted` that it is 0."""
    from PIL import Image, ImageOps

    if _is_16_bit_grey(image):
        # Pillow would cut such numbers off at 255.
        image = image.convert("I").point(lambda level: level / ((white + 1) / 256)).convert("L")
        if inverted:
            image = ImageOps.invert(image)
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return image.convert("RGB")
