"""Whether a title is one: like no other to the eye, and without what only the board may say."""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files

PRAISE = (
    *("best", "champion", "first place", "greatest", "leader", "leading", "number one", "sota", "state of the art"),
    *("superior", "unbeaten", "unrivalled", "winner", "world class"),
)
"""Words that praise; a title has none."""
VERDICTS = ("audited", "official", "recomputed", "verified")
"""What only the board says of an entry."""
_NUMBERS = re.compile(
    r"(?<![\w.])[.,]\d+"  # .985
    r"|\d\s*(%|‰|per ?cent\b)"
    r"|(?<![\w.,])(0[.,]\d\d+|\d\d\d?(\.\d+|,\d\d?))(?!\w|[.,]\d|\s?[kMBG]\b)"  # 0.985 and 98.5, but 0.6B and 22.7 M
    r"|((?<!\w)#|\b(no|nr|number|place|rank|ranked|top)\b\.?)[\s-]*[1-3]\b|\b(1st|2nd|3rd)\b"
    r"|\b(m?ap|mrr|ndcg|recall|accuracy|(r|p|success|hits?)@\d+)\b\W*\d",
    re.IGNORECASE,
)
_WORD = re.compile(r"[^\W_]+")
_TABLE = "confusables.txt"


def title_fault(title: str) -> str:
    """Say why a text may not be a title, or nothing."""
    plain = unicodedata.normalize("NFKC", title)
    symbol = next((sign for sign in title if sign == "*" or unicodedata.category(sign) == "So"), "")
    if symbol:
        return f"has a symbol: {symbol!r}"
    if found := _NUMBERS.search(plain):
        return f"has a number that looks like a score or a rank: {found[0]!r}"
    said = [_words(form) for form in _forms(re.sub(r"(?<=[a-z])(?=[A-Z])", " ", title))]
    for words, fault in ((PRAISE, "praises"), (VERDICTS, "says what only the board may say")):
        for word in words:
            if any(_words(form) in each for form in _forms(word) for each in said):
                return f"{fault}: {word!r}"
    return "" if all(skeletons(title)) else "has no letter or digit"


def skeletons(title: str) -> frozenset[str]:
    """Return what a title looks like; two titles that have one of these in common look alike.

    They are the skeletons of the title and of its small letters (Unicode Technical Standard 39, section 4), in small
    letters, without blanks, punctuation and marks above or below letters: `I` looks like `l`, and is `i` as well.
    """
    return frozenset(
        "".join(sign for sign in form if not unicodedata.category(sign).startswith(("Z", "P")) and not _is_mark(sign))
        for form in _forms(title)
    )


def _forms(text: str) -> Iterator[str]:
    # Again: the small letter of a prototype may look like another one, as `m` looks like `rn`, and `M` does not.
    yield _skeleton(_skeleton(text))
    yield _skeleton(text.casefold())


def _skeleton(text: str) -> str:
    mapped = "".join(_prototypes().get(sign, sign) for sign in unicodedata.normalize("NFKD", text))
    return unicodedata.normalize("NFKD", mapped).casefold()


def _words(form: str) -> str:
    """Return the words of a form with a blank around each."""
    return f" {' '.join(_WORD.findall(form))} "


def _is_mark(sign: str) -> bool:
    return "\u0300" <= sign <= "\u036f"


@cache
def _prototypes() -> Mapping[str, str]:
    """Return the prototype of every character that looks like another."""
    found: dict[str, str] = {}
    for line in files("mlbench.leaderboard").joinpath(_TABLE).read_text(encoding="utf-8").splitlines():
        for group in line.split() if not line.startswith("#") else ():
            prototype, _, alike = group.partition("=")
            text = "".join(chr(int(code, 16)) for code in prototype.split("+"))
            found |= {chr(int(code, 16)): text for code in alike.split(",")}
    return found
