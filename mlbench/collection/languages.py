"""Language tags in one canonical form, and the settings that are made of them."""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from itertools import permutations
from typing import TYPE_CHECKING, Literal, get_args

from mlbench.errors import UserError

if TYPE_CHECKING:
    import langcodes

TextKind = Literal["monolingual", "cross_lingual", "multilingual"]
ImageKind = Literal["text_to_image", "image_to_text", "image_to_pool"]
Kind = Literal[TextKind, ImageKind]
TEXT_KINDS: tuple[Kind, ...] = get_args(TextKind)
IMAGE_KINDS: tuple[Kind, ...] = get_args(ImageKind)
KINDS: tuple[Kind, ...] = TEXT_KINDS + IMAGE_KINDS
IMAGE = "image"
"""Stands where a language would for queries and documents that are images; no language has such a tag."""
_TAG = re.compile(r"[a-z]{2,3}(-[a-z0-9]{2,8})*\Z")
# Countries that are often written for their language; other codes that are not registered may be somebody's own.
_COUNTRIES = {"cn": "zh", "cz": "cs", "dk": "da", "gr": "el", "jp": "ja", "ua": "uk", "vn": "vi"}
# CLDR takes Cusco Quechua for Quechua as such, though collections have it beside that of Ayacucho (quy), and Coastal
# Kadazan for Kadazan Dusun (dtp), though Tatoeba's test sets have both.
_KEPT = frozenset({"kzj", "quz"})
# FLORES-200 names the Korean alphabet, which is all that most Korean texts are written in.
_WHOLE = {"Hang": "Kore"}


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


@cache
def check_language(tag: str) -> str:
    """Return the canonical form of a language tag; raises `UserError` for what is none, with the nearest one.

    Any common form is understood: `zh`, `zho`, `cmn`, `zh-CN`, `zh_Hans` and `zho_Hans` all give `zh`, `iw` gives `he`.
    The canonical form is BCP 47 in lower case with the shortest code, without the script and the region that are the
    likely ones (CLDR's likely subtags): `zh-TW` and `zho_Hant` give `zh-hant`, `arb_Arab` gives `ar` and `arb_Latn`
    `ar-latn`, `fra-CA` gives `fr-ca`. The varieties of one collection are told apart by `canonical_languages`.
    """
    given = _parsed(tag)
    full = given.maximize()
    for script, territory in ((None, None), (given.script or full.script, None), (None, given.territory)):
        shorter = _changed(given, given.language, script, territory)
        if _place(shorter) == _place(given):
            return shorter.to_tag().lower()
    return given.to_tag().lower()


@cache
def full_language(tag: str) -> str:
    """Return a language tag with the shortest code, in lower case, with all that it says of script and region.

    `zho_Hans` gives `zh-hans`, `eng-US` gives `en-us`. Raises `UserError` as `check_language` does.
    """
    return _parsed(tag).to_tag().lower()


@cache
def written_language(tag: str) -> str:
    """Return the canonical form of a language and its script alone: `zh-hk` gives `zh-hant`, `en-gb` gives `en`.

    Raises `UserError` as `check_language` does.
    """
    full = _parsed(tag).maximize()
    return check_language(f"{full.language}-{full.script}" if full.script else str(full.language))


def canonical_languages(tags: Sequence[str]) -> tuple[str, ...]:
    """Return the canonical forms of the languages of one collection, in their order.

    They are those of `check_language`, but where two tags would give the same, script and region stay: `por` and
    `por-BR` give `pt` and `pt-br`. Tags that do not differ in them, as `zho` and `cmn`, give the same form twice. No
    tags give none. Raises `UserError` for what is no tag.
    """
    full = [full_language(tag) for tag in tags]
    counts = Counter(map(check_language, set(full)))
    return tuple(tag if counts[check_language(tag)] > 1 else check_language(tag) for tag in full)


def find_language(tag: str, among: Sequence[str]) -> str | None:
    """Return the language of `among` that `tag` means, in whatever form it is written; None where there is none.

    `among` are the languages of a collection as `canonical_languages` returns them: `zh-CN` finds `zh`, and `en-US`
    finds `en-us` before `en`. Raises `UserError` for what is no tag.
    """
    if tag in among:
        return tag
    for form in (full_language(tag), check_language(tag)):
        if form in among:
            return form
    meant = check_language(tag)
    # One that names neither script nor region finds the only variety that there is: `acm` finds `acm-arab`.
    for kin in (
        [other for other in among if other != IMAGE and check_language(other) == meant],
        [other for other in among if other.startswith(f"{meant}-")],
    ):
        if kin:
            return kin[0] if len(kin) == 1 else None
    return None


def match_languages(languages: Sequence[str], tags: Collection[str]) -> dict[str, str]:
    """Return which of `languages` each tag means, of those `tags` of files or counts that mean one.

    Each language is meant by one tag, that which says the same of script and region where there are several: of `en`
    and `en-us` the first for `en`. So no two tags mean the same, and what is not a tag means none.
    """
    found = {language: language for language in languages if language in tags}
    others = [tag for tag in tags if tag not in found and is_language(tag)]
    for language in languages:
        if language not in found and language != IMAGE:
            tag = find_language(language, [tag for tag in others if tag not in found])
            found |= {tag: language} if tag is not None else {}
    return found


def is_language(tag: str) -> bool:
    """Say whether `tag` is a language tag in any common form."""
    try:
        return bool(full_language(tag))
    except UserError:
        return False


def _parsed(tag: str) -> "langcodes.Language":
    """Return what a tag says, with the shortest code of its language; raises `UserError` for what is no tag."""
    # Late, as it takes longer to import than all of the command line.
    import langcodes

    try:
        plain = tag.replace("_", "-")
        found = langcodes.Language.get(plain, normalize=plain.lower().partition("-")[0] not in _KEPT)
    except ValueError as error:
        raise _no_language(tag) from error
    code = found.language or "und"
    has_script = not found.script or langcodes.tag_is_valid(f"und-{found.script}")
    if code in _COUNTRIES or not has_script or not _TAG.match(found.to_tag().lower()):
        raise _no_language(tag)
    standard = langcodes.Language.get(code).prefer_macrolanguage().language or code
    # No three-letter macrolanguage, such as din: its code is no shorter than that of the language in it, dik.
    if len(code) == 2 or len(standard) == 3 or code in _KEPT:
        standard = code
    return _changed(found, standard, _WHOLE.get(str(found.script), found.script), found.territory)


def _changed(
    language: "langcodes.Language", code: str | None, script: str | None, territory: str | None
) -> "langcodes.Language":
    """Return the language with another code, script and territory, its extended languages and variants kept."""
    return type(language).make(code, language.extlangs, script, territory, language.variants)


def _place(language: "langcodes.Language") -> tuple[str | None, ...]:
    """Return the code, script and territory, the likely ones where the tag does not say them."""
    full = language.maximize()
    return full.language, full.script, full.territory


def _no_language(tag: str) -> UserError:
    """Return the error of a tag that is none, with the language that was probably meant."""
    nearest = _nearest_language(tag.strip().lower().replace("_", "-"))
    return UserError(
        f"{tag!r} is not a language tag: "
        + (f"did you mean {' or '.join(nearest)}?" if nearest else "write a code as in 'th' or 'zh-hant'")
    )


def _nearest_language(tag: str) -> list[str]:
    """Return what may be meant: the language of a country (`jp`) or of a name (`german`), a script (`zh-hent`)."""
    from langcodes import tag_is_valid
    from langcodes.data_dicts import ALL_SCRIPTS

    code, _, script = tag.partition("-")
    if code in _COUNTRIES:
        return [_COUNTRIES[code]]
    if script and re.fullmatch("[a-z]{2,3}", code):
        return [f"{code}-{near}" for near in get_close_matches(script, [name.lower() for name in ALL_SCRIPTS], n=1)]
    return [check_language(code[:3])] if re.fullmatch("[a-z]{4,}", code) and tag_is_valid(code[:3]) else []


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


def count_settings(languages: int, kind: Kind) -> int:
    """Return how many settings of a kind so many languages have (see `settings_of`)."""
    several = languages > 1
    match kind:
        case "cross_lingual":
            return languages * (languages - 1)
        case "multilingual":
            return languages if several else 0
        case "image_to_pool":
            return int(several)
        case _:
            return languages


def whole_pool(query_language: str, languages: Sequence[str]) -> tuple[str, ...]:
    """Return all that queries of a language may be asked against, sorted: `languages` are those of a collection.

    Images stand against the captions of all languages, captions against images alone.
    """
    if IMAGE not in languages:
        return tuple(sorted(languages))
    return tuple(sorted(set(languages) - {IMAGE})) if query_language == IMAGE else (IMAGE,)
