"""Entries that pass every check, and hostile ones: each is refused in one line, whatever digests were forged."""

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from functional.forging import read, reseal, reseal_files, write
from unit.compare.cases import skilled
from unit.leaderboard.boards import forge, new_board, new_entry, placed, saved

from mlbench.errors import RefusedEntry
from mlbench.leaderboard.board import Board
from mlbench.leaderboard.check import CheckedEntry, check_entry
from mlbench.leaderboard.check_files import LARGEST_DOCUMENT, LARGEST_RANKS
from mlbench.leaderboard.entries import ENTRY_FILE, fingerprint_of
from mlbench.leaderboard.submission import Description, add
from mlbench.provenance import RegistryInfo
from mlbench.ranking.ranks import Ranks
from mlbench.ranking.ranks_file import read_ranks, write_ranks

DOCUMENT, RANKS = "small.json", "small.ranks.npz"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a board with one entry."""
    folder = tmp_path_factory.mktemp("made")
    new_entry(new_board(folder))
    return folder / "board"


@pytest.fixture
def board(made: Path, tmp_path: Path) -> Board:
    shutil.copytree(made, tmp_path / "board")
    return Board(tmp_path / "board")


@pytest.fixture
def entry(board: Board) -> Path:
    """The folder of an entry that passes."""
    return board.entry_folder("ours")


def refusal(board: Board, name: str = "ours") -> str:
    """Return why an entry is refused: one line that begins with its name."""
    with pytest.raises(RefusedEntry) as raised:
        check_entry(board, name)
    message = str(raised.value)
    assert message.isprintable()
    assert len(message) < 500
    return message


def test_an_honest_entry_passes(board: Board) -> None:
    checked = check_entry(board, "ours")
    assert isinstance(checked, CheckedEntry)
    assert (checked.name, checked.entry.title, checked.entry.tasks) == ("ours", "Ours", ("small",))
    result, ranks = checked.pairs["small"]
    assert (result.task.name, len(ranks.topic_ids)) == ("small", 12)
    assert checked.n_numbers > 500


def leaves(part: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(part, dict | list):
        for key, value in part.items() if isinstance(part, dict) else enumerate(part):
            yield from leaves(value, f"{place}/{key}" if place else str(key))
    else:
        yield place, part


CLAIMED = ("retriever/", "cost/", "environment/")


@pytest.mark.slow
def test_every_number_that_follows_from_ranks_is_held_against_them(board: Board, entry: Path) -> None:
    document = read(entry / DOCUMENT)
    numbers = [(place, value) for place, value in leaves(document) if type(value) in (int, float)]
    draw = np.random.RandomState(0)
    chosen = [numbers[index] for index in draw.permutation(len(numbers))[:40]]
    for place, value in chosen:
        write(entry / DOCUMENT, document)
        forge(entry / DOCUMENT, place, value + (1 if isinstance(value, int) else 1e-6))
        if not place.startswith(CLAIMED):
            assert refusal(board).startswith(f"ours: {DOCUMENT}: ")


def test_markup_is_refused_in_every_text(board: Board, entry: Path) -> None:
    tried = 0
    for name in (DOCUMENT, ENTRY_FILE):
        document = read(entry / name)
        for place, value in leaves(document):
            # One of each kind: the settings are many and alike. What a forger writes anew is no text.
            alike = any(f"/{number}/" in place for number in range(1, 200))
            if isinstance(value, str) and not alike and not place.startswith(("files/", "fingerprint")):
                write(entry / name, placed(document, place, f"{value}<script>alert(1)</script>"))
                reseal_files(entry)
                assert "markup" in refusal(board), place
                tried += 1
        write(entry / name, document)
        reseal_files(entry)
    assert tried > 40
    check_entry(board, "ours")


@pytest.mark.slow
def test_every_changed_byte_of_a_document_is_refused(board: Board, entry: Path) -> None:
    draw = np.random.RandomState(0)
    for name in (DOCUMENT, ENTRY_FILE, RANKS):
        content = (entry / name).read_bytes()
        for place in draw.randint(0, len(content), 30):
            spoiled = bytearray(content)
            spoiled[place] ^= 1 << draw.randint(8)
            (entry / name).write_bytes(spoiled)
            refusal(board)
        (entry / name).write_bytes(content)


HOSTILE_DOCUMENTS: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "nested deeply": (lambda content: b"[" * 10**6, "not JSON that can be used"),
    "nested deeply within": (
        lambda content: content.replace(b'"parameters": {}', b'"parameters": ' + b'{"a":' * 900 + b"1" + b"}" * 900),
        "nested more than",
    ),
    "not a number": (lambda content: content.replace(b'"dim": 64', b'"dim": NaN'), "NaN is not a number"),
    "infinite": (lambda content: content.replace(b'"dim": 64', b'"dim": Infinity'), "Infinity is not a number"),
    "infinite by its exponent": (lambda content: content.replace(b'"dim": 64', b'"dim": 1e999'), "mlbench writes it"),
    "a huge number": (lambda content: content.replace(b'"dim": 64', b'"dim": ' + b"9" * 10**5), "too large a number"),
    "a key twice": (lambda content: content.replace(b'"dim": 64', b'"dim": 64, "dim": 63'), "a key stands twice"),
    "half a surrogate": (lambda content: content.replace(b'"spec": "', b'"spec": "\\ud800'), "not JSON"),
    "an unknown key": (lambda content: content.replace(b'"dim": 64', b'"dim": 64,\n  "dimension": 64'), "dimension"),
    "a whole number for another": (
        lambda content: content.replace(b'"read_seconds": 0.0', b'"read_seconds": 0'),
        "such as 1 for 1.0",
    ),
    "a number as text": (lambda content: content.replace(b'"dim": 64', b'"dim": "64"'), "retriever.dim"),
    "true as a number": (lambda content: content.replace(b'"dim": 64', b'"dim": true'), "retriever.dim"),
    **{
        f"version {version}": (
            lambda content, version=version: content.replace(
                b'"schema_version": "2.1"', b'"schema_version": ' + version
            ),
            "small.json: schema_version is not 2.1: make it again with this mlbench",
        )
        for version in (b"1", b"2", b'"1.0"', b'"2"', b'"2.0"', b'"2.2"', b'"3.0"', b"null")
    },
    "no version": (
        lambda content: content.replace(b' "schema_version": "2.1",\n', b""),
        "small.json: schema_version is not 2.1",
    ),
    "an unknown key of a newer minor version": (
        lambda content: content.replace(b'"dim": 64', b'"dim": 64,\n  "dimension": 64').replace(b'"2.1"', b'"2.2"'),
        "small.json: schema_version is not 2.1",
    ),
    "blanks at the end": (lambda content: content + b" ", "not written as mlbench writes it"),
    "no blanks": (lambda content: json.dumps(json.loads(content)).encode(), "not written as mlbench writes it"),
    "a mark at the beginning": (lambda content: b"\xef\xbb\xbf" + content, "not written as mlbench writes it"),
    "other line ends": (lambda content: content.replace(b"\n", b"\r\n"), "not written as mlbench writes it"),
    "Latin letters": (lambda content: content.replace(b'"spec": "', b'"spec": "\xe9'), "not JSON"),
    "a list": (lambda content: b"[]\n", "no JSON object"),
    "nothing": (lambda content: b"", "not JSON"),
    "many values": (lambda content: b'{"settings": [' + b"0," * 10**6 + b"0]}", "it has more than 10"),
    "too large": (lambda content: content + b" " * LARGEST_DOCUMENT, "larger than 2 MiB"),
    "long texts": (lambda content: content.replace(b'"spec": "', b'"spec": "' + b"a" * 5000), "longer than"),
    "lines in a text": (lambda content: content.replace(b'"spec": "', b'"spec": "\\n'), "cannot be seen"),
    "a text that turns around": (
        lambda content: content.replace(b'"spec": "', '"spec": "\u202e'.encode()),
        "cannot be seen",
    ),
}


@pytest.mark.parametrize(("change", "said"), HOSTILE_DOCUMENTS.values(), ids=HOSTILE_DOCUMENTS)
def test_hostile_documents(board: Board, entry: Path, change: Callable[[bytes], bytes], said: str) -> None:
    content = (entry / DOCUMENT).read_bytes()
    assert change(content) != content
    (entry / DOCUMENT).write_bytes(change(content))
    reseal_files(entry)
    assert said in refusal(board)


HOSTILE_CLAIMS: dict[str, tuple[str, str, object, str]] = {
    "ranks elsewhere": (DOCUMENT, "ranks/name", "../other/small.ranks.npz", "a path that leaves its folder"),
    "ranks at the root": (DOCUMENT, "ranks/name", "/etc/passwd", "an absolute path"),
    "ranks of another task": (DOCUMENT, "ranks/name", "mini.ranks.npz", "names other ranks"),
    "a command with a path": (DOCUMENT, "environment/command", "mlbench run --model /data/e5", "an absolute path"),
    "a model at home": (DOCUMENT, "retriever/spec", "dense:~/e5", "a home path"),
    "another task": (DOCUMENT, "task/name", "mini", "task.name is 'mini', accepted is 'small'"),
    "fewer resamples": (DOCUMENT, "statistics/resamples", 10**5, "statistics.resamples"),
    "a negative dimension": (DOCUMENT, "retriever/dim", -1, "retriever.dim"),
    "another task in the entry": (ENTRY_FILE, "tasks/0", "mini", "'mini.json' is missing"),
    "an unknown task": (ENTRY_FILE, "tasks", ["small", "unknown"], "is missing"),
    "a task twice": (ENTRY_FILE, "tasks", ["small", "small"], "there twice"),
    "no task": (ENTRY_FILE, "tasks", [], "a verified entry has tasks and files"),
    "a file elsewhere": (ENTRY_FILE, "files", {"../entry.json": "0" * 64}, "a path that leaves its folder"),
    "a file of another task": (
        ENTRY_FILE,
        "files",
        {"small.json": "0" * 64, "other.ranks.npz": "0" * 64},
        "files are not those of its tasks",
    ),
    "another name": (ENTRY_FILE, "name", "others", "is that of others"),
    "a name that goes up": (ENTRY_FILE, "name", "..", "a path that leaves its folder"),
    "reported, it says": (ENTRY_FILE, "kind", "reported", "a reported one source and reported"),
    "with a source": (ENTRY_FILE, "source", "A paper", "a verified entry has tasks"),
    "an address without encryption": (ENTRY_FILE, "url", "http://example.org", "url is no plain https address"),
    "an address that acts": (ENTRY_FILE, "url", "javascript:alert(1)", "not https"),
    "an address with a name in front": (ENTRY_FILE, "url", "https://example.org@evil.example", "no plain https"),
    "an address with quotes": (ENTRY_FILE, "url", "https://example.org/'onload='", "no plain https"),
    "blanks at the end": (ENTRY_FILE, "title", "Ours ", "blanks"),
    "many parameters": (ENTRY_FILE, "parameters", 10**14 + 1, "parameters"),
    "half a parameter": (ENTRY_FILE, "parameters", 1.5, "parameters"),
}


@pytest.mark.parametrize(("name", "place", "value", "said"), HOSTILE_CLAIMS.values(), ids=HOSTILE_CLAIMS)
def test_hostile_claims(board: Board, entry: Path, name: str, place: str, value: object, said: str) -> None:
    document = read(entry / name)
    try:
        forge(entry / name, place, value)
    except (KeyError, FileNotFoundError):  # The files that it names now are not there.
        document[place] = value
        write(entry / name, {**document, "fingerprint": fingerprint_of(document)})
    assert said in refusal(board)


def test_what_is_only_said_may_be_anything_possible(board: Board, entry: Path) -> None:
    for name, place, value in (
        (ENTRY_FILE, "title", "Another title"),
        (ENTRY_FILE, "parameters", 7),
        (DOCUMENT, "retriever/spec", "other/model"),
        (DOCUMENT, "retriever/fingerprint", "ab" * 32),
        (DOCUMENT, "cost/encode_seconds", 1.5),
    ):
        forge(entry / name, place, value)
        check_entry(board, "ours")


def test_an_edit_by_hand_is_refused_until_it_is_sealed(board: Board, entry: Path) -> None:
    document = read(entry / ENTRY_FILE)
    write(entry / ENTRY_FILE, {**document, "title": "Mine"})
    assert "mlbench leaderboard add --name ours" in refusal(board)
    assert add(board, "ours", [], Description()).entry.title == "Mine"
    check_entry(board, "ours")


def link(target: Path, path: Path) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to(target)


FOLDERS: dict[str, tuple[Callable[[Path], object], str]] = {
    "a file more": (lambda folder: (folder / "README.md").write_text("hello"), "'README.md' does not belong there"),
    "a hidden file": (lambda folder: (folder / ".hidden").write_text("hello"), "'.hidden' does not belong there"),
    "a name of control characters": (lambda folder: (folder / "a\x1b[2J").write_text(""), "does not belong there"),
    "a name that is no text": (
        lambda folder: Path(os.fsdecode(os.fsencode(folder) + b"/\xff")).write_text(""),
        "does not belong there",
    ),
    "a folder inside": (lambda folder: (folder / "more").mkdir(), "'more' is not a regular file"),
    "a ranks file less": (lambda folder: (folder / RANKS).unlink(), f"'{RANKS}' is missing"),
    "no entry": (lambda folder: (folder / ENTRY_FILE).unlink(), "entry.json cannot be read"),
    "an empty folder": (lambda folder: [path.unlink() for path in folder.iterdir()], "entry.json cannot be read"),
    "a link as document": (lambda folder: link(Path("/etc/passwd"), folder / DOCUMENT), "not a regular file"),
    "a link as ranks": (lambda folder: link(Path("/dev/zero"), folder / RANKS), "not a regular file"),
    "a link to nothing": (lambda folder: link(Path("nothing"), folder / "more"), "'more' is not a regular file"),
    "a pipe": (lambda folder: ((folder / RANKS).unlink(), os.mkfifo(folder / RANKS)), "not a regular file"),
    "many files": (
        lambda folder: [(folder / f"{number}").write_text("") for number in range(500)],
        "holds more than 151 files",
    ),
    "large ranks": (lambda folder: os.truncate(folder / RANKS, LARGEST_RANKS + 1), "larger than 16 MiB"),
    "huge ranks": (lambda folder: os.truncate(folder / RANKS, 2**40), "larger than 16 MiB"),
    "a huge entry": (lambda folder: os.truncate(folder / ENTRY_FILE, 2**40), "entry.json is larger than"),
}


@pytest.mark.skipif(sys.platform == "win32", reason="links, pipes and such names are POSIX")
@pytest.mark.parametrize(("change", "said"), FOLDERS.values(), ids=FOLDERS)
def test_hostile_folders(board: Board, entry: Path, change: Callable[[Path], object], said: str) -> None:
    change(entry)
    assert said in refusal(board)


def test_an_entry_that_is_a_link_or_a_file(board: Board, entry: Path, tmp_path: Path) -> None:
    shutil.move(entry, tmp_path / "elsewhere")
    entry.symlink_to(tmp_path / "elsewhere")
    assert "it is not a folder" in refusal(board)
    entry.unlink()
    entry.write_text("hello")
    assert "it is not a folder" in refusal(board)


@pytest.mark.parametrize(
    "name", ["..", "../ours", "/etc", "a/b", "", "Ours", "a b", "ours\n", "-ours", "a" * 65, "\x1b[2J", "ou\u0441rs"]
)
def test_hostile_names(board: Board, name: str) -> None:
    assert "is no name for an entry" in refusal(board, name)


def test_an_entry_that_is_not_there(board: Board) -> None:
    assert "it cannot be read" in refusal(board, "theirs")


def test_an_entry_under_another_name(board: Board, entry: Path) -> None:
    entry.rename(entry.with_name("theirs"))
    assert "entry.json is that of ours" in refusal(board, "theirs")


def changed(folder: Path, change: Callable[[Ranks], Ranks]) -> None:
    """Change the ranks of an entry, and write every digest anew."""
    (folder / RANKS).write_bytes(write_ranks(change(read_ranks(folder / RANKS))))
    reseal(folder)


def at(name: str, index: object, value: object) -> Callable[[Ranks], Ranks]:
    def change(ranks: Ranks) -> Ranks:
        array = getattr(ranks, name).copy()
        array[index] = value
        return replace(ranks, **{name: array})

    return change


def longer_ids(ranks: Ranks) -> Ranks:
    ids = ranks.document_ids.astype("<U60")
    free = np.setdiff1d(np.arange(len(ids)), ranks.row_documents)[0]
    ids[free] = f"{ids[free][:12]}<script>"
    return replace(ranks, document_ids=ids.astype(f"<U{max(map(len, ids.tolist()))}"))


CHANGED_RANKS: dict[str, tuple[Callable[[Ranks], Ranks], str]] = {
    "another topic": (at("topic_ids", 0, "t99"), "its ranks are of other topics"),
    "other clusters": (at("topic_clusters", 0, 1), "its ranks are of other clusters"),
    "another grade": (at("row_grades", 0, 2), "its ranks are of other relevant documents"),
    "other numbers of documents": (at("column_sizes", 0, 99), "listed is not the number"),
    "an impossible count": (at("ahead", (0, 0), 9), ""),
    "markup in an id": (longer_ids, "document_ids has markup"),
    "fewer topics": (lambda ranks: replace(ranks, topic_ids=ranks.topic_ids[:-1]), "not a sound ranks file"),
    "a shorter top": (lambda ranks: replace(ranks, top=ranks.top[:, :5].copy()), "top is 5 documents deep"),
    "the order of another system": (lambda ranks: skilled(seed=5), "recomputed"),
}


@pytest.mark.parametrize(("change", "said"), CHANGED_RANKS.values(), ids=CHANGED_RANKS)
def test_changed_ranks(board: Board, entry: Path, change: Callable[[Ranks], Ranks], said: str) -> None:
    changed(entry, change)
    assert said in refusal(board)


def npz(arrays: dict[str, np.ndarray]) -> bytes:
    buffer = BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def arrays_of(folder: Path) -> dict[str, np.ndarray]:
    with np.load(folder / RANKS) as archive:
        return {name: archive[name] for name in archive.files}


HOSTILE_RANKS: dict[str, tuple[Callable[[bytes, dict[str, np.ndarray]], bytes], str]] = {
    "a bomb": (
        lambda content, arrays: npz({**arrays, "ahead": np.zeros((2 * 10**6, 4), dtype=np.int32)}),
        "larger than those of the accepted task",
    ),
    "long texts": (
        lambda content, arrays: npz({**arrays, "cluster_unit": np.array(["a" * 10**6])}),
        "larger than those of the accepted task",
    ),
    "pickled objects": (
        lambda content, arrays: npz({**arrays, "columns": np.array([{"a": 1}], dtype=object)}),
        "not a ranks file",
    ),
    "an array more": (lambda content, arrays: npz({**arrays, "more": arrays["top"]}), "its directory"),
    "an array less": (
        lambda content, arrays: npz({name: array for name, array in arrays.items() if name != "listed"}),
        "header of listed",
    ),
    "another order": (lambda content, arrays: npz(dict(reversed(arrays.items()))), "not as numpy writes it"),
    "64 bits": (
        lambda content, arrays: npz({**arrays, "topic_clusters": arrays["topic_clusters"].astype(np.int64)}),
        "topic_clusters is not as numpy writes it",
    ),
    "wide texts": (
        lambda content, arrays: npz({**arrays, "topic_ids": arrays["topic_ids"].astype("<U50")}),
        "topic_ids is not as numpy writes it",
    ),
    "a header of a huge dimension": (
        lambda content, arrays: npz({**arrays, "top": np.zeros((0, 2**40), dtype=np.int32)}),
        "",
    ),
    "something behind": (lambda content, arrays: content + b"PK", "something follows the end"),
    "no archive": (lambda content, arrays: b"hello", "ends before"),
    "nothing": (lambda content, arrays: b"", "ends before"),
}


@pytest.mark.parametrize(("change", "said"), HOSTILE_RANKS.values(), ids=HOSTILE_RANKS)
def test_hostile_ranks(
    board: Board, entry: Path, change: Callable[[bytes, dict[str, np.ndarray]], bytes], said: str
) -> None:
    (entry / RANKS).write_bytes(change((entry / RANKS).read_bytes(), arrays_of(entry)))
    reseal(entry)
    assert said in refusal(board)


def test_a_forger_gets_no_further_with_the_ranks_of_another(board: Board, entry: Path) -> None:
    theirs = new_entry(board, "theirs", seed=2)
    shutil.copy(entry / RANKS, theirs / RANKS)
    reseal(theirs)
    assert "recomputed" in refusal(board, "theirs")
    # With the numbers as well, it is somebody else's system.
    document = {**read(entry / DOCUMENT), "retriever": read(theirs / DOCUMENT)["retriever"]}
    write(theirs / DOCUMENT, document)
    reseal(theirs)
    assert "its ranks of small are those of ours" in refusal(board, "theirs")


def test_a_system_may_have_been_trained_on_the_data_of_one_task_alone(tmp_path: Path) -> None:
    board = new_board(tmp_path, "small", "other")
    known = RegistryInfo(name="org/model", trained_on={"squad": "yes"})
    rows = {"small": known.on_task(["squad"]), "other": known.on_task([])}
    results = [
        saved(tmp_path / "results", skilled(seed=1), name=task, retriever={"registry": info})
        for task, info in rows.items()
    ]
    assert check_entry(board, add(board, "ours", results, Description()).name).entry.tasks == ("other", "small")


@pytest.mark.slow
@pytest.mark.parametrize("other", [{"fingerprint": "ab" * 32}, {"parameters": {"dtype": "bf16"}}, {"dim": 32}])
def test_the_results_of_an_entry_are_of_one_system(tmp_path: Path, other: dict[str, object]) -> None:
    board = new_board(tmp_path, "small", "other")
    one = saved(tmp_path / "results", skilled(seed=1))
    same = saved(tmp_path / "results", skilled(seed=1), name="other")
    another = saved(tmp_path / "more", skilled(seed=2), name="other", retriever=other)
    assert check_entry(board, add(board, "ours", [one, same], Description()).name).entry.tasks == ("other", "small")
    with pytest.raises(RefusedEntry, match="different retrievers"):
        add(board, "theirs", [one, another], Description())
    assert board.entry_names() == ("ours",)
