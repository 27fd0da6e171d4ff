"""Language tags and the settings that are made of them."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Literal, get_args

from mlbench.errors import UserError

Kind = Literal["monolingual", "cross_lingual", "multilingual"]
KINDS: tuple[Kind, ...] = get_args(Kind)

_TAG = re.compile(r"[a-z]{2,3}(-[a-z0-9]{2,8})*\Z")


@dataclass(frozen=True, slots=True, order=True)
class Setting:
    """Queries of one language against the documents of one or several languages.

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
        """`monolingual`, `cross_lingual` (one other language) or `multilingual` (a pool)."""
        if len(self.document_languages) > 1:
            return "multilingual"
        return "monolingual" if self.document_languages[0] == self.query_language else "cross_lingual"


def check_language(tag: str) -> str:
    """Return `tag` if it is a lower-case BCP 47 language tag such as `th` or `zh-hant`, else raise `UserError`."""
    if not _TAG.match(tag):
        raise UserError(f"{tag!r} is not a language tag: write a code in lower case, as in 'th' or 'zh-hant'")
    return tag


def settings_of(languages: Sequence[str], kinds: Iterable[Kind] = KINDS) -> tuple[Setting, ...]:
    """Return the settings of each kind over `languages`, in a fixed order.

    n languages give n monolingual, n (n - 1) cross-lingual and n multilingual settings; the pool of the last is all
    of them, and with a single language there is none. No languages give no settings.
    """
    ordered = sorted(set(languages))
    by_kind: dict[Kind, tuple[Setting, ...]] = {
        "monolingual": tuple(Setting(a, (a,)) for a in ordered),
        "cross_lingual": tuple(Setting(a, (b,)) for a, b in permutations(ordered, 2)),
        "multilingual": tuple(Setting(a, tuple(ordered)) for a in ordered) if len(ordered) > 1 else (),
    }
    wanted = set(kinds)
    return tuple(setting for kind in KINDS if kind in wanted for setting in by_kind[kind])
