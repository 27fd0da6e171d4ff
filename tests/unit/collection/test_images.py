import errno
import os
import random
import struct
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable
from contextlib import closing
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pictures import huge, noise, png, save
from PIL import EpsImagePlugin, Image

from mlbench.collection import images
from mlbench.collection.images import BrokenImage, check_image, check_images, open_image, open_images, prepare_images
from mlbench.errors import DataError, MissingExtra


def packed(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def opened(folder: Path, content: bytes) -> Image.Image:
    path = folder / "image"
    path.write_bytes(content)
    check_image(path)
    return open_image(path)


def turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = Image.new("RGB", (3, 2))
    picture.putpixel((0, 1), (255, 0, 0))
    return packed(picture, "PNG", exif=exif)


def animation() -> bytes:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    return packed(frames[0], "GIF", save_all=True, append_images=frames[1:])


def palette() -> bytes:
    picture = Image.new("P", (2, 1), 0)
    picture.putpalette([10, 20, 30, 200, 100, 50])
    picture.putpixel((1, 0), 1)
    return packed(picture, "PNG", transparency=1)


@pytest.mark.parametrize(
    ("content", "pixels"),
    [
        (packed(Image.new("RGB", (2, 1), (1, 2, 3)), "PNG"), [(1, 2, 3)] * 2),
        (packed(Image.new("L", (1, 1), 77), "PNG"), [(77, 77, 77)]),
        (packed(Image.new("1", (1, 1), 1), "PNG"), [(255, 255, 255)]),
        (packed(Image.new("LA", (1, 1), (0, 0)), "PNG"), [(255, 255, 255)]),
        (packed(Image.new("RGBA", (1, 1), (0, 0, 0, 0)), "PNG"), [(255, 255, 255)]),
        (packed(Image.new("RGBA", (1, 1), (9, 8, 7, 255)), "PNG"), [(9, 8, 7)]),
        (palette(), [(10, 20, 30), (255, 255, 255)]),
        (png(3, 1, 16, 0, b"\x00\x00\x00\x80\x00\xff\xff"), [(0, 0, 0), (128, 128, 128), (255, 255, 255)]),
        (png(1, 1, 16, 2, b"\x00\xff\xff\x80\x00\x00\x00"), [(255, 128, 0)]),
        (
            packed(Image.frombytes("I;16", (3, 1), b"\x00\x00\x00\x80\xff\xff"), "TIFF"),
            [(n,) * 3 for n in (0, 128, 255)],
        ),
        (
            packed(Image.frombytes("I;16B", (3, 1), b"\x00\x00\x80\x00\xff\xff"), "TIFF"),
            [(n,) * 3 for n in (0, 128, 255)],
        ),
    ],
    ids=[
        *("rgb", "grey", "one bit", "clear grey", "clear", "opaque", "palette", "16-bit grey", "16-bit colour"),
        *("16-bit tiff", "16-bit tiff of the other order"),
    ],
)
def test_all_come_out_as_rgb(tmp_path: Path, content: bytes, pixels: list[tuple[int, int, int]]) -> None:
    image = opened(tmp_path, content)
    assert image.mode == "RGB"
    assert [image.getpixel((x, 0)) for x in range(image.width)] == pixels


def tiff(bits: int, rows: bytes, *, photometric: int = 1) -> bytes:
    """Return a TIFF of 2 x 1 pixels with one channel, made by hand."""
    tags = {256: 2, 257: 1, 258: bits, 259: 1, 262: photometric, 273: 8 + 2 + 8 * 12 + 4, 277: 1, 279: len(rows)}
    entries = [struct.pack("<HHIHH", tag, 3, 1, value, 0) for tag, value in tags.items()]
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + b"".join(entries) + bytes(4) + rows


@pytest.mark.parametrize(
    ("content", "levels"),
    [
        (tiff(12, b"\x80\x0f\xff"), (128, 255)),
        (tiff(16, b"\x00\x80\xff\xff"), (128, 255)),
        (tiff(16, b"\xff\x7f\x00\x00", photometric=0), (128, 255)),
        (b"P5 2 1 4095\n\x08\x00\x0f\xff", (128, 255)),
        (b"P5 2 1 65535\n\x80\x00\xff\xff", (128, 255)),
        (png(2, 1, 16, 0, b"\x00\x20\x00\x10\x00"), (32, 16)),
        (png(2, 1, 16, 0, b"\x00\x08\x00\x0f\xff"), (128, 255)),
        (png(2, 1, 16, 0, b"\x00\x02\x00\x03\xff"), (128, 255)),
        (png(2, 1, 16, 0, b"\x00\x00\x80\x00\xff"), (128, 255)),
        (tiff(16, b"\x00\x08\xff\x0f"), (128, 255)),
        (png(2, 1, 16, 0, bytes(5)), (0, 0)),
        (png(2, 1, 16, 2, bytes(13)), (0, 0)),
    ],
    ids=[
        *("12-bit tiff", "16-bit tiff", "white is 0", "12-bit pgm", "16-bit pgm"),
        *(
            "dark",
            "12 of 16 bits",
            "10 of 16 bits",
            "8 of 16 bits",
            "12 of 16 bits, tiff",
            "16-bit black",
            "16-bit colour black",
        ),
    ],
)
def test_levels_are_scaled_to_8_bits(tmp_path: Path, content: bytes, levels: tuple[int, int]) -> None:
    image = opened(tmp_path, content)
    assert [image.getpixel((x, 0)) for x in (0, 1)] == [(level,) * 3 for level in levels]


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (packed(Image.new("F", (2, 1), 0.5), "TIFF"), "has floating-point numbers, and does not say which are black"),
        (b"Pf\n2 1\n-1.0\n" + struct.pack("<2f", 0, 1), "has floating-point numbers"),
        (packed(Image.new("I", (2, 1), 10**9), "TIFF"), "has integers of 32 bits or with a sign"),
        (png(1, 1, 16, 2, b"\x00\x0f\xff\x08\x00\x00\x00"), "has 16 bits for each colour, of which the lowest 12"),
        (png(1, 1, 16, 4, b"\x00\x03\xff\xff\xff"), "has 16 bits for each colour, of which the lowest 12"),
    ],
    ids=["float", "float map", "32 bits", "12 of 16 bits of colours", "10 of 16 bits of grey with alpha"],
)
def test_what_would_come_out_black_or_white_is_refused(tmp_path: Path, content: bytes, fault: str) -> None:
    path = tmp_path / "image"
    path.write_bytes(content)
    for reading in (check_image, open_image):
        with pytest.raises(BrokenImage, match=f"^{fault}.*save it with 8"):
            reading(path)


@pytest.mark.parametrize("kind", ["AVIF", "BMP", "GIF", "ICO", "JPEG2000", "PNG", "PPM", "TGA", "TIFF", "WEBP"])
def test_every_format_that_the_documentation_names(tmp_path: Path, kind: str) -> None:
    path = tmp_path / ("a.TGA" if kind == "TGA" else "a.jpg")
    path.write_bytes(packed(Image.new("RGB", (32, 32), (250, 120, 10)), kind))
    assert check_image(path) is False
    pixel = open_image(path).getpixel((16, 16))
    assert pixel == pytest.approx((250, 120, 10), abs=4)


def test_heic_is_read_with_its_plugin(tmp_path: Path) -> None:
    heif = pytest.importorskip("pillow_heif")
    heif.from_pillow(Image.new("RGB", (64, 64), (250, 120, 10))).save(tmp_path / "a.heic")
    assert check_image(tmp_path / "a.heic") is False
    assert open_image(tmp_path / "a.heic").getpixel((32, 32)) == pytest.approx((250, 120, 10), abs=6)


def test_without_the_plugin_one_line_says_what_heic_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(40))
    monkeypatch.setattr(images, "_formats", lambda: ("JPEG", "PNG"))
    with pytest.raises(MissingExtra, match=r"HEIC images need: pip install 'mlbench\[heic\]'"):
        list(check_images([tmp_path / "a.heic"]))


def test_large_images_are_laid_on_white_in_bands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for mode in ("RGBA", "LA", "P", "CMYK", "I;16"):
        picture = Image.frombytes("RGBA", (37, 29), random.Random(0).randbytes(4 * 37 * 29))
        kind = "TIFF" if mode in ("CMYK", "I;16") else "PNG"
        exif = Image.Exif()
        exif[0x0112] = 6
        content = (
            packed(Image.frombytes(mode, (37, 29), random.Random(0).randbytes(2 * 37 * 29)), kind)
            if mode == "I;16"
            else packed(picture.convert("RGB" if mode == "CMYK" else "RGBA").convert(mode), kind, exif=exif)
        )
        whole = opened(tmp_path, content)
        monkeypatch.setattr(images, "_BAND", 100)
        assert opened(tmp_path, content).tobytes() == whole.tobytes()
        monkeypatch.undo()


def test_cmyk_jpeg_is_converted(tmp_path: Path) -> None:
    image = opened(tmp_path, packed(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG"))
    red, green, blue = image.getpixel((8, 8))  # type: ignore[misc]
    assert (image.mode, red > 200, green < 60, blue < 60) == ("RGB", True, True, True)


def test_a_camera_that_was_turned(tmp_path: Path) -> None:
    image = opened(tmp_path, turned())
    assert image.size == (2, 3)
    assert image.getpixel((0, 0)) == (255, 0, 0)


def test_the_first_frame_of_an_animation(tmp_path: Path) -> None:
    path = tmp_path / "a.gif"
    path.write_bytes(animation())
    assert check_image(path) is True
    assert open_image(path).getpixel((4, 4)) == (255, 0, 0)
    assert check_image(save(tmp_path / "b.png")) is False


def test_a_photograph_with_something_added_is_no_animation(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(packed(noise(1), "MPO", save_all=True, append_images=[noise(2)]))
    assert check_image(path) is False
    assert open_image(path).size == (24, 16)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "is empty"),
        (b"no image at all", "cannot be decoded: it is no image that Pillow knows"),
        (packed(noise(1, (200, 200)), "JPEG")[:9_000], "cannot be decoded: image file is truncated"),
        (packed(noise(1, (200, 200)), "JPEG")[:2], "cannot be decoded"),
        (packed(noise(1), "PNG")[:300], "cannot be decoded"),
        (animation()[:40], "cannot be decoded"),
        (huge(), "has 400,000,000 pixels, at most 67,108,864 are read"),
        (png(9_000, 9_000, 1, 0, b""), "has 9,000 x 9,000 pixels, at most 67,108,864 are read"),
        (png(0, 5, 8, 0, b""), "cannot be decoded"),
    ],
    ids=["empty", "text", "cut jpeg", "jpeg of 2 bytes", "cut png", "cut gif", "huge", "large", "no width"],
)
def test_broken_images_are_refused_in_one_line(tmp_path: Path, content: bytes, fault: str) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    for reading in (check_image, open_image):
        with pytest.raises(BrokenImage) as caught:
            reading(path)
        assert str(caught.value).startswith(fault)
        assert "\n" not in str(caught.value)
        assert str(path) not in str(caught.value)


def test_no_other_program_is_run_to_open_an_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = []
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *args, **options: ran.append(args))
    path = tmp_path / "a.jpg"
    path.write_bytes(packed(noise(1), "EPS"))
    with pytest.raises(BrokenImage, match="no image that Pillow knows"):
        check_image(path)
    assert not ran


def test_threads_leave_the_filters_of_warnings_as_they_were(tmp_path: Path) -> None:
    paths = [save(tmp_path / f"{number}.jpg", number, (200, 200)) for number in range(40)]
    before = list(warnings.filters)
    for _ in range(5):
        assert not any(each.fault for each in check_images(paths))
        assert len(list(open_images(paths, 8))) == len(paths)
        assert warnings.filters == before


def test_warnings_stay_back_while_another_image_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow, quick = save(tmp_path / "slow.png"), save(tmp_path / "quick.png")
    opened_by_pillow = Image.open

    def opened_slowly(path: Path, **options: object) -> Image.Image:
        if path == slow:
            open_image(quick)
            warnings.warn("odd metadata", stacklevel=1)
        return opened_by_pillow(path, **options)

    monkeypatch.setattr(Image, "open", opened_slowly)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        open_image(slow)
    assert not told


def test_the_limit_is_a_number_of_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path / "a.png", size=(24, 16))
    monkeypatch.setattr(images, "MOST_PIXELS", 24 * 16)
    assert open_image(path).size == (24, 16)
    monkeypatch.setattr(images, "MOST_PIXELS", 24 * 16 - 1)
    with pytest.raises(BrokenImage, match="24 x 16"):
        open_image(path)


def test_what_is_huge_is_refused_before_it_takes_memory(tmp_path: Path) -> None:
    (tmp_path / "huge.png").write_bytes(huge())
    program = """
import resource, sys
from pathlib import Path
from PIL import PngImagePlugin
from mlbench.collection.images import BrokenImage, open_image
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    open_image(Path(sys.argv[1]))
except BrokenImage:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "huge.png"], capture_output=True, text=True, check=True
    )
    # Decoded it would be 400 MB; ru_maxrss is in kB.
    assert int(done.stdout) < 20_000


@pytest.mark.parametrize("make", [lambda path: None, Path.mkdir], ids=["missing", "a folder"])
def test_what_is_no_file_is_another_error(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"a\.png") as caught:
        open_image(tmp_path / "a.png")
    assert not isinstance(caught.value, BrokenImage)
    with pytest.raises(DataError, match=r"a\.png"):
        list(check_images([save(tmp_path / "b.png"), tmp_path / "a.png"]))


@pytest.mark.parametrize("number", [errno.EIO, errno.EMFILE, errno.ENOMEM])
def test_what_the_machine_lacks_is_no_fault_of_the_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def fail(*args: object, **options: object) -> None:
        raise OSError(number, os.strerror(number))

    path = save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "open", fail)
    with pytest.raises(DataError, match=rf"a\.png cannot be read: {os.strerror(number)}"):
        list(check_images([path]))


def test_without_pillow_one_line_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"images need: pip install 'mlbench\[images\]'"):
        open_image(save(tmp_path / "a.png"))


SOUND = {kind: packed(noise(3, (40, 30)), kind) for kind in ("JPEG", "MPO", "PNG", "GIF", "WEBP", "BMP", "TIFF")}
SOUND["turned"] = turned()
SOUND["animation"] = animation()


@given(st.sampled_from(sorted(SOUND)), st.integers(0, 10**6), st.integers(0, 255), st.booleans())
def test_what_is_found_sound_can_be_opened(
    tmp_path_factory: pytest.TempPathFactory, kind: str, place: int, byte: int, cut: bool
) -> None:
    content = bytearray(SOUND[kind])
    place %= len(content)
    if cut:
        del content[place:]
    else:
        content[place] = byte
    path = tmp_path_factory.getbasetemp() / "damaged"
    path.write_bytes(content)
    try:
        check_image(path)
    except BrokenImage:
        return
    assert open_image(path).mode == "RGB"


class TestOpenImages:
    def test_keeps_the_order(self, tmp_path: Path) -> None:
        paths = [save(tmp_path / f"{number}.png", number, (number + 1, 2)) for number in range(30)]
        assert [image.width for image in open_images(paths)] == list(range(1, 31))
        assert list(open_images([])) == []

    def test_names_the_broken_one(self, tmp_path: Path) -> None:
        (tmp_path / "b.png").write_bytes(b"")
        with pytest.raises(BrokenImage, match=r"b\.png is empty"):
            list(open_images([save(tmp_path / "a.png"), tmp_path / "b.png"]))

    @pytest.mark.parametrize("workers", [1, 3])
    def test_opens_a_few_ahead_and_no_more(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int) -> None:
        count, lock = [0], threading.Lock()

        def counted(path: Path) -> Image.Image:
            with lock:
                count[0] += 1
            return noise(0)

        monkeypatch.setattr(images, "open_image", counted)
        with closing(open_images([tmp_path] * 100, workers)) as found:
            for used, _ in zip(range(1, 51), found, strict=False):
                assert count[0] < used + 2 * workers
        # All that was asked for is opened by then.
        assert count[0] == 49 + 2 * workers


class TestMemory:
    @pytest.mark.parametrize("n_fit", [1, 2, 3])
    def test_no_more_are_opened_at_once_than_there_is_room_for(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n_fit: int
    ) -> None:
        paths = [save(tmp_path / f"{number}.png", number) for number in range(24)]
        monkeypatch.setattr(images, "MOST_BYTES", n_fit * images._BYTES_PER_PIXEL * 24 * 16)
        now, most, lock = [0], [0], threading.Lock()

        def prepare(image: Image.Image) -> bytes:
            with lock:
                now[0] += 1
                most[0] = max(most[0], now[0])
            threading.Event().wait(0.002)
            with lock:
                now[0] -= 1
            return image.tobytes()

        made = list(prepare_images(paths, prepare, workers=8, ahead=12))
        assert made == [noise(number).tobytes() for number in range(24)]
        assert most[0] == n_fit

    def test_one_that_is_larger_than_all_room_is_opened_alone(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(images, "MOST_BYTES", 1)
        paths = [save(tmp_path / f"{number}.png", number) for number in range(5)]
        assert [image.tobytes() for image in open_images(paths, 4)] == [noise(number).tobytes() for number in range(5)]

    def test_many_large_ones_take_little_more_than_one(self, tmp_path: Path) -> None:
        path = tmp_path / "large.png"
        Image.new("RGBA", (4096, 4096), (10, 20, 30, 200)).save(path)
        program = """
import resource, sys
from pathlib import Path
from mlbench.collection import images
images.MOST_BYTES = 1
resized = lambda image: image.resize((8, 8)).tobytes()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
made = set(images.prepare_images([Path(sys.argv[1])] * 6, resized, workers=4, ahead=6))
assert len(made) == 1
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
        done = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True, check=True)
        # Decoded it has 67 MB, and is laid on white in as many; ru_maxrss is in kB.
        assert int(done.stdout) < 180_000


class TestCheckImages:
    def test_tells_digests_animations_and_faults_in_order(self, tmp_path: Path) -> None:
        paths = [save(tmp_path / f"{number}.jpg", number) for number in range(9)]
        (tmp_path / "a.gif").write_bytes(animation())
        (tmp_path / "empty.png").write_bytes(b"")
        paths += [tmp_path / "a.gif", tmp_path / "empty.png"]
        found = list(check_images(paths))
        assert [checked.path for checked in found] == paths
        assert [checked.animated for checked in found] == [False] * 9 + [True, False]
        assert [checked.fault for checked in found] == [""] * 10 + ["is empty"]
        digests = [sha256(path.read_bytes()).hexdigest() for path in paths]
        assert [checked.digest for checked in found] == [*digests[:-1], ""]

    def test_stops_early(self, tmp_path: Path) -> None:
        paths = [save(tmp_path / f"{number}.png", number) for number in range(5)]
        checking = check_images(paths)
        assert next(checking).path == paths[0]
        checking.close()  # type: ignore[attr-defined]
