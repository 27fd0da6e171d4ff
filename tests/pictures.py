"""Image files for tests, sound and broken, and folders of captioned images."""

import json
import random
import struct
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from PIL import Image


def noise(seed: int, size: tuple[int, int] = (24, 16)) -> Image.Image:
    """Return an image that no other seed gives, and that does not compress to nothing."""
    return Image.frombytes("RGB", size, random.Random(seed).randbytes(3 * size[0] * size[1]))


def save(path: Path, seed: int = 0, size: tuple[int, int] = (24, 16)) -> Path:
    """Write such an image in the format of the file's name; return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise(seed, size).save(path)
    return path


def png(width: int, height: int, depth: int, colour: int, rows: bytes) -> bytes:
    """Return a PNG made by hand: `rows` are the bytes of its lines, each with its filter in front."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    parts = [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def huge() -> bytes:
    """Return a sound PNG of 20,000 x 20,000 pixels, in some 50 kB."""
    return png(20_000, 20_000, 1, 0, (b"\x00" + bytes(2_500)) * 20_000)


def folder(root: Path, captions: Mapping[str, Iterable[tuple[str, str]]]) -> Path:
    """Write captions (image, text) for each language into `root`, and an image for each name that has no file yet."""
    root.mkdir(parents=True, exist_ok=True)
    for language, rows in captions.items():
        lines = [json.dumps({"image": image, "caption": text}, ensure_ascii=False) for image, text in rows]
        (root / f"captions.{language}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    names = dict.fromkeys(image for rows in captions.values() for image, _ in rows)
    for seed, name in enumerate(names):
        if not (root / "images" / name).exists():
            save(root / "images" / name, seed)
    return root
