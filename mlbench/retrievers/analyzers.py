"""Lucene's analyzer of each language: a text to the terms that are counted.

The analyzers are those of Anserini's reproductions, with three exceptions, where that has none or needs more of a Java
than there may be: Greek has Lucene's GreekAnalyzer, Vietnamese the StandardAnalyzer, and Thai is segmented by
pythainlp, since not every Java has the break iterator of Lucene's ThaiAnalyzer.
"""

import os
from collections.abc import Callable, Iterable
from functools import partial
from hashlib import sha256
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec

from mlbench.errors import MissingExtra
from mlbench.retrievers.java import EXTRA, start_java
from mlbench.retrievers.lucene import Analyzer, Lucene

_LUCENE = {
    "ar": "ar.ArabicAnalyzer",
    "bg": "bg.BulgarianAnalyzer",
    "bn": "bn.BengaliAnalyzer",
    "ca": "ca.CatalanAnalyzer",
    "ckb": "ckb.SoraniAnalyzer",
    "cs": "cz.CzechAnalyzer",
    "da": "da.DanishAnalyzer",
    "de": "de.GermanAnalyzer",
    "el": "el.GreekAnalyzer",
    "es": "es.SpanishAnalyzer",
    "et": "et.EstonianAnalyzer",
    "eu": "eu.BasqueAnalyzer",
    "fa": "fa.PersianAnalyzer",
    "fi": "fi.FinnishAnalyzer",
    "fr": "fr.FrenchAnalyzer",
    "ga": "ga.IrishAnalyzer",
    "gl": "gl.GalicianAnalyzer",
    "ha": "core.WhitespaceAnalyzer",
    "hi": "hi.HindiAnalyzer",
    "hu": "hu.HungarianAnalyzer",
    "hy": "hy.ArmenianAnalyzer",
    "id": "id.IndonesianAnalyzer",
    "it": "it.ItalianAnalyzer",
    "ja": "ja.JapaneseAnalyzer",
    "ko": "cjk.CJKAnalyzer",
    "lt": "lt.LithuanianAnalyzer",
    "lv": "lv.LatvianAnalyzer",
    "ne": "ne.NepaliAnalyzer",
    "nl": "nl.DutchAnalyzer",
    "no": "no.NorwegianAnalyzer",
    "pt": "pt.PortugueseAnalyzer",
    "ro": "ro.RomanianAnalyzer",
    "ru": "ru.RussianAnalyzer",
    "so": "core.WhitespaceAnalyzer",
    "sr": "sr.SerbianAnalyzer",
    "sv": "sv.SwedishAnalyzer",
    "sw": "core.WhitespaceAnalyzer",
    "ta": "ta.TamilAnalyzer",
    "te": "te.TeluguAnalyzer",
    "tr": "tr.TurkishAnalyzer",
    "vi": "standard.StandardAnalyzer",
    "yo": "core.WhitespaceAnalyzer",
    "zh": "cjk.CJKAnalyzer",
}
_ENGLISH = "DefaultEnglishAnalyzer"
_THAI = "pythainlp newmm, StandardAnalyzer with Lucene's Thai stop words"
_STANDARD = "standard.StandardAnalyzer"

Segment = Callable[[str], Iterable[str]]


def analyzer_name(language: str) -> str | None:
    """Return the name of the analyzer of a language tag, that of `zh` for `zh-hant`; None where there is none."""
    primary = language.partition("-")[0]
    names = {"en": _ENGLISH, "th": _THAI, **{tag: name.rpartition(".")[2] for tag, name in _LUCENE.items()}}
    return names.get(primary)


def remark(language: str) -> str | None:
    """Return what a user must know of the analyzer of `language`, in one line; None where it is what one expects."""
    name = analyzer_name(language)
    if name is None:
        return (
            f"warning: Lucene has no analyzer for {language}: words by the rules of Unicode, in lower case, "
            "with no stemming and no stop words"
        )
    if name == "WhitespaceAnalyzer":
        return f"{language}: words are what stands between blanks, case and punctuation included, as in Anserini"
    return None


class Analyzers:
    """The analyzers of all languages, in a Java whose heap is at most `heap`."""

    def __init__(self, heap: str) -> None:
        self.machine = start_java(heap)
        self._lucene = Lucene()
        self._opened: dict[str, tuple[Analyzer, Segment | None]] = {}

    def fingerprint(self) -> str:
        """Return a digest of the archive's name, which has its version, of the segmenter's version and of the table."""
        segmenter = version("pythainlp") if find_spec("pythainlp") else ""
        parts = (self.machine.jar.name, segmenter, _ENGLISH, _THAI, *(f"{a} {b}" for a, b in sorted(_LUCENE.items())))
        return sha256("\x1f".join(parts).encode()).hexdigest()

    def terms(self, language: str, texts: Iterable[str]) -> Iterable[list[str]]:
        """Yield the terms of each text in their order; a text of blanks has none.

        Raises `MissingExtra` for Thai without pythainlp, `RetrieverError` where the Java runs out of memory.
        """
        primary = language.partition("-")[0]
        if primary not in self._opened:
            self._opened[primary] = self._open(primary)
        analyzer, segment = self._opened[primary]
        for text in texts:
            yield self._lucene.terms(analyzer, text if segment is None else " ".join(segment(text)))

    def _open(self, language: str) -> tuple[Analyzer, Segment | None]:
        if language == "en":
            return self._lucene.english(), None
        if language == "th":
            return self._lucene.thai(), _segmenter()
        return self._lucene.analyzer(_LUCENE.get(language, _STANDARD)), None


def _segmenter() -> Segment:
    if find_spec("pythainlp") is None:
        raise MissingExtra("Thai words", EXTRA)
    # Otherwise it makes a folder in the user's home.
    os.environ.setdefault("PYTHAINLP_READ_ONLY", "1")
    segment: Segment = partial(import_module("pythainlp.tokenize").word_tokenize, engine="newmm", keep_whitespace=False)
    return segment
