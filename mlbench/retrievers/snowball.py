"""Text analysis without a Java: the words of Unicode, the stop words of bm25s, the stemmers of Snowball."""

import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import sha256
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from itertools import pairwise

from mlbench.errors import MissingExtra
from mlbench.retrievers.lucene import analyzer_name, primary_language, thai_segmenter

EXTRA = "bm25s"
LIBRARIES = ("bm25s", "Stemmer", "regex")
# Their versions decide the terms.
_DISTRIBUTIONS = {"bm25s": "bm25s", "PyStemmer": "Stemmer", "regex": "regex", "pythainlp": "pythainlp"}
# Stays the same as long as the same versions give the same terms.
_ALGORITHM = "Snowball analysis 1"
Change = Callable[[str], str]
Terms = Callable[[str], list[str]]


@dataclass(frozen=True, slots=True)
class Analysis:
    """What becomes of the words of a language: each is changed, left out or stemmed, in the order of the fields.

    `before` changes a word in lower case; `stop_words` are those of a list of bm25s, by its name, or of our own;
    `after` changes what is left; `snowball` names a stemmer of Snowball. None where there is none.
    """

    before: Change | None = None
    stop_words: str | None = None
    after: Change | None = None
    snowball: str | None = None

    @property
    def name(self) -> str:
        """How a result document names it, such as `words, stop words (russian), Snowball (russian)`."""
        stemmed = self.after and self.after.__name__.strip("_")
        parts = {"stop words": self.stop_words, "stems": stemmed, "Snowball": self.snowball}
        return ", ".join(["words", *(f"{what} ({name})" for what, name in parts.items() if name)])


def _table(*pairs: str) -> dict[int, str | None]:
    """Return a table for `str.translate`: in `abc d`, each of a, b and c becomes d, or nothing where there is no d."""
    rows = (pair.partition(" ") for pair in pairs)
    return {ord(character): target or None for source, _, target in rows for character in source}


_ACCENTS = _table("àáâä a", "ìíîï i", "òóôö o", "ùúûü u")
_SPANISH = _ACCENTS | _table("èéêë e")
_MARKS = _table("\ufeff\u200e\u200f ")
_ARABIC = _table("آأإ ا", "ى ي", "ة ه", "ـًٌٍَُِّْ ")
_PERSIAN = _table("یےى ي", "ک ك", "ۀۂةە ه", "آأإ ا", "ـًٌٍَُِّْٔ ")
_HINDI = _table("ँ ं", "़्\u200c\u200d ", "ॅॆै े", "ॉॊौ ो", "ऍऎऐ ए", "ऑऒऔ ओ", "आ अ", "ई इ", "ऊ उ", "ॠ ऋ", "ॡ ऌ")
_HINDI |= _table("ी ि", "ू ु", "ॄ ृ", "ॣ ॢ")
# By length, the longest first, in the spelling of `_HINDI`.
_HINDI_ENDINGS = tuple(
    (length, frozenset(ending.translate(_HINDI) for ending in endings.split()))
    for length, endings in (
        (5, "ाएंगी ाएंगे ाऊंगी ाऊंगा ाइयाँ ाइयों ाइयां"),
        (4, "ाएगी ाएगा ाओगी ाओगे एंगी ेंगी एंगे ेंगे ूंगी ूंगा ातीं नाओं नाएं ताओं ताएं ियाँ ियों ियां"),
        (3, "ाकर ाइए ाईं ाया ेगी ेगा ोगी ोगे ाने ाना ाते ाती ाता तीं ाओं ाएं ुओं ुएं ुआं"),
        (2, "कर ाओ िए ाई ाए ने नी ना ते ीं ती ता ाँ ां ों ें"),
        (1, "ो े ू ु ी ि ा"),
    )
)
_APOSTROPHE = re.compile("['\u2019\uff07]")
_DIGIT = re.compile(r"(?![0-9])\d")
_GERMAN_UMLAUT = re.compile("[ao]e|(?<![aeiouyqäöü])ue")
_GERMAN_ENDINGS = (
    re.compile("(?<=...)ern$|(?<=...)e[mnrs]$|(?<=...)e$|(?<=..[bdfghklmnt])s$"),
    re.compile("(?<=...)est$|(?<=...)e[rn]$|(?<=..[bdfghklmnt])st$"),
)


def _digits(word: str) -> str:
    return _DIGIT.sub(lambda found: str(int(found[0])), word)


def _possessive(word: str) -> str:
    return word[:-2] if word[-1:] == "s" and _APOSTROPHE.match(word[-2:]) else word


def _up_to_apostrophe(word: str) -> str:
    """Return a Turkish word without what stands behind its apostrophe, the endings of a name."""
    return _APOSTROPHE.split(word, maxsplit=1)[0]


def _elision(articles: str) -> Change:
    """Return what drops articles (between blanks) that an apostrophe joins to a word, as in l'hôtel."""
    known = frozenset(articles.split())

    def elide(word: str) -> str:
        first, *rest = _APOSTROPHE.split(word, maxsplit=1)
        return rest[0] if rest and first in known else word

    return elide


def _greek(word: str) -> str:
    """Return `word` without accents, and with one form of sigma."""
    plain = "".join(part for part in unicodedata.normalize("NFD", word) if not unicodedata.combining(part))
    return plain.replace("ς", "σ")


def _light_german(word: str) -> str:
    """Return the light stem of Savoy (2006), with umlauts and their spellings by two letters made one."""
    word = _GERMAN_UMLAUT.sub(lambda found: found[0][0], word).replace("ß", "ss").translate(_ACCENTS)
    for endings in _GERMAN_ENDINGS:
        word = endings.sub("", word)
    return word


def _light_spanish(word: str) -> str:
    """Return the light stem of Savoy (2006)."""
    if len(word) < 5:
        return word
    word = word.translate(_SPANISH)
    if word.endswith("ces"):
        return f"{word[:-3]}z"
    return re.sub("(?<=es)es$|[oae]s$|[oae]$", "", word)


def _light10(word: str) -> str:
    """Return the light stem of an Arabic word (Larkey, Ballesteros and Connell 2002) in one spelling."""
    word = word.translate(_ARABIC)
    for prefix in ("ال", "وال", "بال", "كال", "فال", "لل", "و"):
        if word.startswith(prefix) and len(word) >= max(len(prefix) + 2, 4):
            word = word[len(prefix) :]
            break
    for suffix in ("ها", "ان", "ات", "ون", "ين", "يه", "ية", "ه", "ة", "ي"):
        if word.endswith(suffix) and len(word) >= len(suffix) + 2:
            word = word[: -len(suffix)]
    return word


def _persian(word: str) -> str:
    """Return a Persian word in one spelling."""
    return word.translate(_PERSIAN)


def _light_hindi(word: str) -> str:
    """Return the light stem of a Hindi word (Ramanathan and Rao 2003) in one spelling: vowels short, no virama."""
    word = unicodedata.normalize("NFD", word).replace("न्", "ं").translate(_HINDI)
    for length, endings in _HINDI_ENDINGS:
        if len(word) > length + 1 and word[-length:] in endings:
            return word[:-length]
    return word


# The commonest function words of languages of which bm25s has no list. In a pool with other languages such words would
# be rare, and weigh as much as words with a meaning.
_FUNCTION_WORDS = {
    "arabic": """
        في من على إلى الى عن مع ما هو هي هذا هذه ذلك تلك التي الذي الذين أن ان إن انه أنه كان كانت لم لا لن أو او و قد
        كل بين بعد قبل منذ حتى عند أي اي كما لكن ثم غير بها به فيها فيه له لها منها منه عليها عليه هناك حيث أيضا اذا إذا
    """,
    "greek": """
        ο η το οι τα του της των τον την τη τους τις στο στον στη στην στα στους στις και να με σε για απο που ποιο ποια
        ποιος ποιοι ποιες ειναι ηταν δεν μη θα ως οτι αν αλλα κατα μετα προς παρα αυτο αυτη αυτα αυτες αυτοι αυτος αυτων
        τι πως οπως επισης
    """,
    "hindi": """
        के में की है और को का से कर एक ने हैं था थे थी पर किया किस यह वह लिए इस भी जो या हो तक ही क्या तो नहीं गया इसके
        उस कि द्वारा अपने कुछ साथ हुआ जाता दिया करने बाद इन वे होता उनके उनकी इसे उन्हें रहे रहा
    """,
    "thai": """
        ที่ ของ และ ใน เป็น มี การ ได้ ว่า ไม่ จะ ให้ กับ จาก โดย ความ นี้ ก็ แต่ หรือ อะไร ซึ่ง ถูก ไป มา อยู่ เพื่อ ต่อ ตาม อย่าง แล้ว ยัง อีก
        คือ ใคร เมื่อ รับ กัน ทำ
    """,
}
_ANALYSES = {
    "ar": Analysis(before=_digits, stop_words="arabic", after=_light10),
    "ca": Analysis(before=_elision("d l m n s t"), snowball="catalan"),
    "cs": Analysis(snowball="czech"),
    "da": Analysis(stop_words="danish", snowball="danish"),
    "de": Analysis(stop_words="german", after=_light_german),
    "el": Analysis(before=_greek, stop_words="greek", snowball="greek"),
    "en": Analysis(before=_possessive, stop_words="en", snowball="porter"),
    "es": Analysis(stop_words="spanish", after=_light_spanish),
    "et": Analysis(snowball="estonian"),
    "eu": Analysis(snowball="basque"),
    "fa": Analysis(before=_digits, after=_persian, snowball="persian"),
    "fi": Analysis(snowball="finnish"),
    "fr": Analysis(
        before=_elision("l m t qu n s j d c jusqu quoiqu lorsqu puisqu"), stop_words="french", snowball="french"
    ),
    "ga": Analysis(before=_elision("d m b"), snowball="irish"),
    "hi": Analysis(before=_digits, stop_words="hindi", after=_light_hindi),
    "hu": Analysis(snowball="hungarian"),
    "hy": Analysis(snowball="armenian"),
    "id": Analysis(snowball="indonesian"),
    "it": Analysis(
        before=_elision("c l all dall dell nell sull coll pell gl agl dagl degl negl sugl un m t s v d"),
        stop_words="italian",
        snowball="italian",
    ),
    "lt": Analysis(snowball="lithuanian"),
    "ne": Analysis(before=_digits, snowball="nepali"),
    "nl": Analysis(stop_words="dutch", snowball="dutch_porter"),
    "no": Analysis(stop_words="norwegian", snowball="norwegian"),
    "pl": Analysis(snowball="polish"),
    "pt": Analysis(stop_words="portuguese", snowball="portuguese"),
    "ro": Analysis(snowball="romanian"),
    "ru": Analysis(stop_words="russian", snowball="russian"),
    "sr": Analysis(snowball="serbian"),
    "sv": Analysis(stop_words="swedish", snowball="swedish"),
    "ta": Analysis(snowball="tamil"),
    "th": Analysis(stop_words="thai"),
    "tr": Analysis(before=_up_to_apostrophe, stop_words="turkish", snowball="turkish"),
    "vi": Analysis(),
}
_BIGRAMS = frozenset({"ja", "ko", "zh"})
_BLANKS = frozenset({"ha", "so", "sw", "yo"})
_PLAIN = Analysis()


def analysis_name(language: str) -> str:
    """Return how the texts of a language tag are analysed, that of `zh` for `zh-hant`."""
    primary = primary_language(language)
    if primary in _BIGRAMS:
        return "pairs of characters"
    if primary in _BLANKS:
        return "words between blanks"
    name = _ANALYSES.get(primary, _PLAIN).name
    return f"pythainlp newmm, {name}" if primary == "th" else name


def analysis_remark(language: str) -> str | None:
    """Return what a user must know of the analysis of `language`, in one line; None where it is what one expects."""
    primary = primary_language(language)
    if primary in _BLANKS:
        return f"{language}: words are what stands between blanks, case and punctuation included, as in Anserini"
    if primary == "ja":
        return f"warning: {language} is cut into pairs of characters, where Lucene knows words of a dictionary"
    if primary in _ANALYSES or primary in _BIGRAMS:
        return None
    theirs = analyzer_name(language)
    lucene = f"; bm25 has Lucene's {theirs}" if theirs else ""
    return (
        f"warning: bm25s has no stemmer for {language}: words by the rules of Unicode, in lower case, "
        f"with no stemming and no stop words{lucene}"
    )


class SnowballAnalyzers:
    """The analyses of all languages; raises `MissingExtra` without PyStemmer, regex or bm25s."""

    def __init__(self) -> None:
        if any(find_spec(library) is None for library in LIBRARIES):
            raise MissingExtra("bm25s", EXTRA)
        regex, stop_words = import_module("regex"), import_module("bm25s.stopwords")
        # Thai, Lao, Khmer and Burmese write no blanks between words: a run of theirs is one, unless it was segmented.
        self._unspaced = regex.compile(r"(\p{Line_Break=SA}+)")
        self._edges = regex.compile(r"\b", regex.V1 | regex.WORD)
        self._worded = regex.compile(r"[\p{Alphabetic}\p{Nd}\p{Extended_Pictographic}]", regex.V1)
        self._ideographs = regex.compile(r"([\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}ー]+)", regex.V1)
        self._wide = regex.compile(r"[\uff01-\uff5e\uff66-\uff9f]+")
        self._stemmer = import_module("Stemmer").Stemmer
        self._stop_words = {name: frozenset(words.split()) for name, words in _FUNCTION_WORDS.items()}
        for name in filter(None, {analysis.stop_words for analysis in _ANALYSES.values()} - self._stop_words.keys()):
            self._stop_words[name] = frozenset(getattr(stop_words, f"STOPWORDS_{name.upper()}"))
        self._opened: dict[str, Terms] = {}

    def fingerprint(self) -> str:
        """Return a digest of the versions of the libraries, and of the analysis of each language."""
        versions = (f"{name} {version(name) if find_spec(module) else ''}" for name, module in _DISTRIBUTIONS.items())
        names = (f"{tag} {analysis_name(tag)}" for tag in sorted({*_ANALYSES, *_BIGRAMS, *_BLANKS}))
        return sha256("\x1f".join((_ALGORITHM, *versions, *names)).encode()).hexdigest()

    def terms(self, language: str, texts: Iterable[str]) -> Iterable[list[str]]:
        """Yield the terms of each text in their order; a text of blanks has none.

        Raises `MissingExtra` for Thai without pythainlp.
        """
        primary = primary_language(language)
        if primary not in self._opened:
            self._opened[primary] = self._open(primary)
        return map(self._opened[primary], texts)

    def _open(self, language: str) -> Terms:
        if language in _BLANKS:
            return str.split
        if language in _BIGRAMS:
            return self._pairs
        segment = thai_segmenter(EXTRA) if language == "th" else str.splitlines
        analysis = _ANALYSES.get(language, _PLAIN)
        stop_words = self._stop_words[analysis.stop_words] if analysis.stop_words else frozenset()
        if analysis.before:
            stop_words = frozenset(map(analysis.before, stop_words))
        stemmer = self._stemmer(analysis.snowball) if analysis.snowball else None
        lower = _lower_turkish if language == "tr" else _lower

        def terms(text: str) -> list[str]:
            words = self._words(" ".join(segment(lower(text))))
            if analysis.before:
                words = [analysis.before(word) for word in words]
            words = [word for word in words if word not in stop_words]
            if analysis.after:
                words = [analysis.after(word) for word in words]
            if stemmer is not None:
                # Lucene stems no word of two letters, and no word becomes nothing.
                stems = zip(words, stemmer.stemWords(words), strict=True)
                words = [(stem if len(word) > 2 else word) or word for word, stem in stems]
            return [word for word in words if word]

        return terms

    def _words(self, text: str) -> list[str]:
        """Return the words of Unicode Standard Annex 29 that hold a letter, a digit or an emoji."""
        words: list[str] = []
        for number, piece in enumerate(self._unspaced.split(text)):
            words += [piece] if number % 2 else filter(self._worded.search, self._edges.split(piece))
        return [word.strip("'") for word in words if word != "'"]

    def _pairs(self, text: str) -> list[str]:
        """Return the pairs of neighbouring ideographs, kana and Hangul, and the words between them."""
        text = self._wide.sub(lambda found: unicodedata.normalize("NFKC", found[0]), _lower(text))
        terms: list[str] = []
        for number, piece in enumerate(self._ideographs.split(text)):
            if not number % 2:
                terms += self._words(piece)
            elif len(piece) == 1:
                terms.append(piece)
            else:
                terms += map("".join, pairwise(piece))
        stop_words = self._stop_words["en"]
        return [term for term in terms if term not in stop_words]


def _lower(text: str) -> str:
    """Return `text` in lower case, without marks of byte order and direction; half a pair of surrogates becomes `?`."""
    sound = text.encode("utf-8", "replace").decode()
    return sound.translate(_MARKS).replace("\u0130", "i").lower()


def _lower_turkish(text: str) -> str:
    return _lower(text.replace("I", "ı"))
