"""The figure of captioned images, made of what ships."""

import json
from base64 import b64encode
from html import escape
from pathlib import Path

from docs.draw import SOFT, Canvas

SHIPPED = Path(__file__).parents[1] / "tasks" / "mini-images"

# One in each of eight languages, and every shape and colour once.
_SHOWN = {
    "en": "red-circle-2",
    "de": "purple-diamond-1",
    "ar": "blue-ring-4",
    "ru": "black-star-3",
    "hi": "yellow-square-1",
    "th": "brown-cross-3",
    "zh": "grey-heart-2",
    "es": "green-triangle-2",
}
_ACROSS = 4
_SIDE, _WIDE, _HIGH = 128, 208, 196


def captioned() -> str:
    """Draw some images of mini-images, each with its caption in one of the languages."""
    rows = -(-len(_SHOWN) // _ACROSS)
    canvas = Canvas(_ACROSS * _WIDE, rows * _HIGH, "Images of mini-images with captions")
    for number, (language, name) in enumerate(_SHOWN.items()):
        left, top = number % _ACROSS * _WIDE + (_WIDE - _SIDE) // 2, number // _ACROSS * _HIGH + 16
        content = b64encode((SHIPPED / "images" / f"{name}.png").read_bytes()).decode()
        place = f'x="{left}" y="{top}" width="{_SIDE}" height="{_SIDE}"'
        pixels = f'style="image-rendering: pixelated" href="data:image/png;base64,{content}"'
        caption = _captions(language)[f"{name}.png"]
        canvas.parts.append(f"<image {place} {pixels}><title>{escape(caption)}</title></image>")
        middle = left + _SIDE / 2
        canvas.text((middle, top + _SIDE + 20), caption, size=14, anchor="middle")
        canvas.text((middle, top + _SIDE + 38), language, size=12, anchor="middle", fill=SOFT)
    return canvas.svg()


def _captions(language: str) -> dict[str, str]:
    lines = (SHIPPED / f"captions.{language}.jsonl").read_text(encoding="utf-8").splitlines()
    return {row["image"]: row["caption"] for row in map(json.loads, lines)}
