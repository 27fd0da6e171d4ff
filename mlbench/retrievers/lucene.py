"""Lucene's analyzers as Python sees them: a text goes in, its terms come out, two calls for each text."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import NewType

from mlbench.errors import RetrieverError

Analyzer = NewType("Analyzer", object)
"""An object of the Java's class org.apache.lucene.analysis.Analyzer."""

# How a list of the Java's shows itself, as in "[a, b]": no term holds a blank. One string is fetched, not each term.
_BETWEEN = ", "


class Lucene:
    """The few calls that are needed of a Java that runs already."""

    def __init__(self) -> None:
        self._jnius = import_module("jnius")
        self._utilities = self._jnius.autoclass("io.anserini.analysis.AnalyzerUtils")

    def analyzer(self, name: str) -> Analyzer:
        """Return an analyzer of Lucene's package org.apache.lucene.analysis, such as `el.GreekAnalyzer`."""
        with self._told(name):
            return Analyzer(self._jnius.autoclass(f"org.apache.lucene.analysis.{name}")())

    def english(self) -> Analyzer:
        """Return Anserini's analyzer of English: Lucene's with the stemmer of Porter."""
        return Analyzer(self._jnius.autoclass("io.anserini.analysis.DefaultEnglishAnalyzer").newDefaultInstance())

    def thai(self) -> Analyzer:
        """Return an analyzer of Thai whose words stand between blanks, with Lucene's stop words."""
        stop_words = self._jnius.autoclass("org.apache.lucene.analysis.th.ThaiAnalyzer").getDefaultStopSet()
        return Analyzer(self._jnius.autoclass("org.apache.lucene.analysis.standard.StandardAnalyzer")(stop_words))

    def terms(self, analyzer: Analyzer, text: str) -> list[str]:
        """Return the terms of a text in their order; one of blanks has none.

        Half of a surrogate pair, which is no text, counts as `?`. Raises `RetrieverError` where the Java runs out of
        memory or has another fault of its own.
        """
        with self._told(text):
            shown = str(self._utilities.analyze(analyzer, _sound(text)).toString())
        return shown[1:-1].split(_BETWEEN) if shown != "[]" else []

    @contextmanager
    def _told(self, what: str) -> Iterator[None]:
        """Turn an exception of the Java's into one line."""
        try:
            yield
        except self._jnius.JavaException as error:
            if error.classname == "java.lang.OutOfMemoryError":
                raise RetrieverError("bm25: Java ran out of memory: give it more, as in --set heap=4g") from error
            reason = " ".join(str(error).split())[:200]
            raise RetrieverError(f"bm25: Lucene fails at {what[:60]!r}: {reason}") from error


def _sound(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode()
    return text
