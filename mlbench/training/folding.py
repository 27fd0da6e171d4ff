"""Folds texts to what two copies of one share, whatever their case, punctuation, blanks and optional marks."""

import re
import unicodedata

# Letters of scripts that put no blanks between words: Thai, Lao, Tibetan, Burmese, Khmer, kana and Han.
_UNSPACED = re.compile("[\u0e00-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\U00020000-\U0003ffff]")

# Neither letters nor signs of their own: tatweel stretches a word, selectors choose the shape of the sign before them.
_SHAPING = re.compile("[\u0640\u034f\u180b-\u180f\ufe00-\ufe0f\U000e0100-\U000e01ef]")


class _Fates(dict[int, str | None]):
    """What becomes of a code point, looked up once for each: kept, a blank (between words) or None (within one)."""

    def __missing__(self, code: int) -> str | None:
        fate = self[code] = _fate(chr(code))
        return fate


def _fate(sign: str) -> str | None:
    category = unicodedata.category(sign)
    if _SHAPING.match(sign) or category in ("Cf", "Me"):
        return None
    if category in ("Mn", "Mc"):
        return sign if _spells(sign) else None
    return sign if sign.isalnum() else " "


def _spells(mark: str) -> bool:
    """Say whether a combining mark belongs to the spelling of a word: Thai vowels and tones, Hindi vowels and virama.

    Such marks are no letters to Unicode, but words differ in nothing else. The combining class tells them from points
    that are written or left out at will: 10 to 36 are those of Hebrew, Arabic and Syriac, 200 and above accents that
    NFKC composed with no letter, such as the stress on a Russian vowel or the dot that casefold leaves of a Turkish I.
    """
    combining = unicodedata.combining(mark)
    return combining < 10 or 36 < combining < 200


_FATES = _Fates()


def fold(text: str) -> str:
    """Return the words of `text`, single blanks between them: NFKC, casefold, only letters, digits and their marks.

    Format characters, points and accents of no letter vanish, everything else parts words. Nothing but signs gives "".
    """
    composed = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return " ".join(composed.translate(_FATES).split())


def normalise(text: str) -> str:
    """Return the text in NFKC, case-folded, with single blanks: what makes two training texts the same.

    Signs and accents count, unlike in `fold`.
    """
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def squeeze(folded: str) -> str:
    """Return a folded text without its blanks: what is compared for equality and containment."""
    return folded.replace(" ", "")


def has_blanks(folded: str) -> bool:
    """Say whether most of a folded text is in scripts with blanks between words; decided by the text, not its tag."""
    return 2 * len(_UNSPACED.findall(folded)) <= len(squeeze(folded))
