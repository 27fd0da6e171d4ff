"""Language tags and the settings that are made of them."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Literal, get_args

from mlbench.errors import UserError

TextKind = Literal["monolingual", "cross_lingual", "multilingual"]
ImageKind = Literal["text_to_image", "image_to_text", "image_to_pool"]
Kind = Literal[TextKind, ImageKind]
TEXT_KINDS: tuple[Kind, ...] = get_args(TextKind)
IMAGE_KINDS: tuple[Kind, ...] = get_args(ImageKind)
KINDS: tuple[Kind, ...] = TEXT_KINDS + IMAGE_KINDS
IMAGE = "image"
"""Stands where a language would for queries and documents that are images; no language has such a tag."""
_TAG = re.compile(r"[a-z]{2,3}(-[a-z0-9]{2,8})*\Z")


@dataclass(frozen=True, slots=True, order=True)
class Setting:
    """Queries of one language against the documents of one or several languages; `IMAGE` stands for images.

    `document_languages` is sorted and free of repetitions; an empty one raises `UserError`.
    """

    query_language: str
    document_languages: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.document_languages:
            raise UserError("a setting needs at least one document language")
        object.__setattr__(self, "document_languages", tuple(sorted(set(self.document_languages))))

    @property
    def kind(self) -> Kind:
        """`monolingual`, `cross_lingual` (one other language) or `multilingual` (a pool).

        With images: `text_to_image`, `image_to_text` (captions of one language) or `image_to_pool`.
        """
        if self.query_language == IMAGE:
            return "image_to_pool" if len(self.document_languages) > 1 else "image_to_text"
        if self.document_languages == (IMAGE,):
            return "text_to_image"
        if len(self.document_languages) > 1:
            return "multilingual"
        return "monolingual" if self.document_languages[0] == self.query_language else "cross_lingual"


def check_language(tag: str) -> str:
    """Return `tag` if it is a lower-case BCP 47 language tag such as `th` or `zh-hant`, else raise `UserError`."""
    if not _TAG.match(tag):
        raise UserError(f"{tag!r} is not a language tag: write a code in lower case, as in 'th' or 'zh-hant'")
    return tag


def settings_of(languages: Sequence[str], kinds: Iterable[Kind] = TEXT_KINDS) -> tuple[Setting, ...]:
    """Return the settings of each kind over `languages`, in a fixed order.

    n languages give n monolingual, n (n - 1) cross-lingual and n multilingual settings; the pool of the last is all
    of them, and with a single language there is none. With images, they give n settings from captions to images, n from
    images to captions, and one from images to the captions of all of them. No languages give no settings; `IMAGE` among
    them changes nothing.
    """
    ordered = sorted(set(languages) - {IMAGE})
    several = len(ordered) > 1
    by_kind: dict[Kind, tuple[Setting, ...]] = {
        "monolingual": tuple(Setting(a, (a,)) for a in ordered),
        "cross_lingual": tuple(Setting(a, (b,)) for a, b in permutations(ordered, 2)),
        "multilingual": tuple(Setting(a, tuple(ordered)) for a in ordered) if several else (),
        "text_to_image": tuple(Setting(a, (IMAGE,)) for a in ordered),
        "image_to_text": tuple(Setting(IMAGE, (a,)) for a in ordered),
        "image_to_pool": (Setting(IMAGE, tuple(ordered)),) if several else (),
    }
    wanted = set(kinds)
    return tuple(setting for kind in KINDS if kind in wanted for setting in by_kind[kind])


def whole_pool(query_language: str, languages: Sequence[str]) -> tuple[str, ...]:
    """Return all that queries of a language may be asked against, sorted: `languages` are those of a collection.

    Images stand against the captions of all languages, captions against images alone.
    """
    if IMAGE not in languages:
        return tuple(sorted(languages))
    return tuple(sorted(set(languages) - {IMAGE})) if query_language == IMAGE else (IMAGE,)
