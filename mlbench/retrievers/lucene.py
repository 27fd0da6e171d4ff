"""Lucene's analyzers as Python sees them: a text goes in, its terms come out, two calls for each text."""

from collections.abc import Callable
from importlib import import_module
from typing import NewType

from mlbench.errors import RetrieverError

Analyzer = NewType("Analyzer", object)
"""An object of the Java's class org.apache.lucene.analysis.Analyzer."""

StaticMethod = Callable[..., object]

# No analyzer leaves one in a term.
_BETWEEN = "\n"


class Lucene:
    """The few calls that are needed of a Java that runs already."""

    def __init__(self) -> None:
        self._jnius = import_module("jnius")
        separator = self._jnius.autoclass("java.lang.String")(_BETWEEN)
        self._separator = self._jnius.cast("java.lang.CharSequence", separator)
        # With its signature a call need not look for the one of several methods that fits: half the time.
        self._analyse = self._static(
            "io/anserini/analysis/AnalyzerUtils",
            "analyze",
            "(Lorg/apache/lucene/analysis/Analyzer;Ljava/lang/String;)Ljava/util/List;",
        )
        self._join = self._static(
            "java/lang/String", "join", "(Ljava/lang/CharSequence;Ljava/lang/Iterable;)Ljava/lang/String;"
        )

    def analyzer(self, name: str) -> Analyzer:
        """Return an analyzer of Lucene's package org.apache.lucene.analysis, such as `el.GreekAnalyzer`."""
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
        memory, or what it says of another fault of its own.
        """
        try:
            joined = str(self._join(self._separator, self._analyse(analyzer, _sound(text))))
        except self._jnius.JavaException as error:
            if error.classname == "java.lang.OutOfMemoryError":
                raise RetrieverError(
                    "bm25: Java ran out of memory: give it more than now, as in --set heap=4g"
                ) from error
            reason = " ".join(str(error).split())[:200]
            raise RetrieverError(f"bm25: Lucene cannot analyse {text[:60]!r}: {reason}") from error
        return joined.split(_BETWEEN) if joined else []

    def _static(self, owner: str, name: str, signature: str) -> StaticMethod:
        jnius = self._jnius
        members = {"__javaclass__": owner, name: jnius.JavaStaticMethod(signature)}
        holder = jnius.MetaJavaClass(owner.rpartition("/")[2], (jnius.JavaClass,), members)
        method: StaticMethod = getattr(holder, name)
        return method


def _sound(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode()
    return text
