"""What users, disks and machines do to corpora in shards: one line that says what to do, or a result that is right."""

import gzip
import resource
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from bench.corpus import Size, write_corpus
from command_line import CommandLine
from test_streaming import RUN, Outcome, install_scheme, measured

TAGS = ("sw", "yo")
SIZE = Size(3000, 20, per_shard=300)
PLUGIN = '''
"""Encoders that do not live long."""

import os

from mlbench.retrievers.hashing import Hashing, HashingEncoder


class Mortal:
    Settings = Hashing.Settings

    @staticmethod
    def open(locator, settings, runtime):
        encoder = MortalEncoder(settings)
        encoder.fate, encoder.home = locator, os.getppid() if locator == "killed" else os.getpid()
        return encoder


class MortalEncoder(HashingEncoder):
    def encode(self, texts, role):
        if len(texts) > 200:
            if self.fate == "memory":
                raise MemoryError
            if self.fate == "killed" and os.environ.get("OMP_NUM_THREADS"):
                os.kill(os.getpid(), 9)
        return super().encode(texts, role)
'''


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("faulty-corpora")
    write_corpus(folder, TAGS, SIZE)
    return folder


@pytest.fixture
def corpora(original: Path, tmp_path: Path) -> Path:
    """A copy that may be damaged."""
    shutil.copytree(original, tmp_path / "corpora")
    return tmp_path / "corpora"


def refused(folder: Path, task: Path, *options: str) -> str:
    """Return the one line of a run that was refused; nothing is left of its result."""
    folder.mkdir(exist_ok=True)
    done = CommandLine(folder)(*RUN, "--model", "hashing", "--task", str(task), *options)
    assert (done.code, done.out) == (2, ""), done.err
    lines = [line for line in done.err.splitlines() if not line.startswith("warning: ")]
    assert len(lines) == 1, done.err
    assert lines[0].startswith("mlbench: error: ")
    assert not list((folder / "results").glob("*"))
    return lines[0].removeprefix("mlbench: error: ")


def replace_line(path: Path, number: int, line: str) -> None:
    lines = gzip.decompress(path.read_bytes()).decode().splitlines()
    lines[number - 1] = line
    path.write_bytes(gzip.compress("\n".join(lines).encode()))


def break_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-500])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (break_a_byte, "docs-2.jsonl.gz"),
        (cut_short, "docs-2.jsonl.gz is cut short after line"),
        (lambda path: replace_line(path, 150, "{"), "docs-2.jsonl.gz line 150: not valid JSON"),
        (lambda path: replace_line(path, 150, '{"docid": "a#1", "title": "", "text": " "}'), "a#1 has no text"),
        (lambda path: replace_line(path, 150, '{"docid": 7}'), "line 150: must be an object with the strings 'docid'"),
        (lambda path: path.write_bytes(b""), "docs-2.jsonl.gz: the shard is empty"),
        (lambda path: path.unlink(), "docs-2.jsonl.gz is missing"),
    ],
    ids=["a byte", "cut short", "no JSON", "no text", "no strings", "empty", "missing"],
)
def test_a_damaged_shard_in_the_middle_is_named(
    tmp_path: Path, corpora: Path, damage: Callable[[Path], object], message: str
) -> None:
    damage(corpora / "corpus-yo" / "docs-2.jsonl.gz")
    for name, workers in (("one", "1"), ("two", "2")):
        assert message in refused(tmp_path / name, corpora / "task.toml", "--workers", workers)


def test_what_was_seen_of_whole_shards_serves_once_the_damaged_one_is_replaced(
    tmp_path: Path, corpora: Path, original: Path
) -> None:
    broken = corpora / "corpus-yo" / "docs-2.jsonl.gz"
    cut_short(broken)
    refused(tmp_path / "run", corpora / "task.toml")
    seen = len(list((tmp_path / "run" / "cache" / "streams").rglob("*.npz")))
    assert seen == 7
    shutil.copy(original / "corpus-yo" / broken.name, broken)
    again = measured(tmp_path / "run", corpora / "task.toml", "--model", "hashing")
    assert again == measured(tmp_path / "whole", original / "task.toml", "--model", "hashing")


def test_a_shard_listed_twice_is_told(tmp_path: Path, corpora: Path) -> None:
    task = corpora / "task.toml"
    first, copy = corpora / "corpus-yo" / "docs-0.jsonl.gz", corpora / "corpus-yo" / "docs-5.jsonl.gz"
    text = task.read_text()
    entry = '    { language = "yo", role = "documents", path = "corpus-yo/docs-0.jsonl.gz" },\n'
    assert entry in text
    task.write_text(text.replace(entry, entry * 2))
    assert refused(tmp_path / "same", task).endswith("files: 'corpus-yo/docs-0.jsonl.gz' is there twice")
    shutil.copy(first, copy)
    task.write_text(text.replace(entry, entry + entry.replace("docs-0", "docs-5")).replace("yo = 1500", "yo = 1800"))
    line = refused(tmp_path / "copy", task)
    assert "is in corpus-yo/docs-0.jsonl.gz and in corpus-yo/docs-5.jsonl.gz: one shard is listed twice" in line


def test_a_document_in_two_shards_is_told(tmp_path: Path, corpora: Path) -> None:
    shards = [corpora / "corpus-sw" / f"docs-{number}.jsonl.gz" for number in (1, 4)]
    row = gzip.decompress(shards[0].read_bytes()).decode().splitlines()[7]
    replace_line(shards[1], 100, row)
    line = refused(tmp_path / "run", corpora / "task.toml")
    assert line.endswith("is in corpus-sw/docs-1.jsonl.gz and in corpus-sw/docs-4.jsonl.gz")


def limit(size: int) -> Callable[[], None]:
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def test_a_full_disk_costs_no_result(tmp_path: Path, original: Path) -> None:
    line = CommandLine(tmp_path / "full")
    line.folder.mkdir()
    line.cache.mkdir()
    (line.cache / "streams").write_text("in the way")
    # Results go through, vectors do not.
    done = line.process(
        *RUN, "--model", "hashing", "--task", str(original / "task.toml"), "--resamples", "20", before=limit(40_000)
    )
    assert done.code == 0, done.err
    assert "warning: what is counted cannot be saved" in done.err
    assert "warning: vectors are not kept for later runs" in done.err
    assert Outcome(line, done.out) == measured(tmp_path / "whole", original / "task.toml", "--model", "hashing")


@pytest.fixture(scope="module")
def mortal(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("mortal")
    install_scheme(folder, "mortal", PLUGIN, "[mlbench.retrievers]\nmortal = mortal_parts:Mortal\n")
    return {"PYTHONPATH": str(folder)}


def test_a_worker_that_is_killed_again_and_again_ends_the_run(
    tmp_path: Path, original: Path, mortal: dict[str, str]
) -> None:
    options = ("--model", "mortal:killed", "--workers", "2")
    task = original / "task.toml"
    line = CommandLine(tmp_path)
    done = line.process(*RUN, "--task", str(task), *options, environment=mortal)
    assert done.code == 2, done.err
    *warnings, last = done.err.splitlines()
    assert last.startswith("mlbench: error: ")
    assert "documents 1 to 300 of corpus-" in last or "documents 1 to 300 of" in last
    assert all(each.startswith("warning: ") for each in warnings)
    assert not (tmp_path / "results").exists() or not list((tmp_path / "results").iterdir())


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_worker_without_memory_is_one_line(
    tmp_path: Path, original: Path, mortal: dict[str, str], workers: str
) -> None:
    options = ("--model", "mortal:memory", "--workers", workers)
    done = CommandLine(tmp_path).process(*RUN, "--task", str(original / "task.toml"), *options, environment=mortal)
    assert done.code in (2, 3)
    assert done.err.splitlines()[-1].startswith("mlbench: error: ")
    assert "memory" in done.err.splitlines()[-1]
    assert "Traceback" not in done.err
