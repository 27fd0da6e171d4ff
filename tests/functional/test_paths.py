"""Folders of any name, terminals of any encoding, text of any direction."""

import ast
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from command_line import CommandLine, own_task, tiny_checkpoint

import mlbench as package

NAMES = {
    "blanks and accents": "Prüf stände e\u0301te\u0301",
    "other scripts": "评测 قياس",
    "emoji": "🦜🧪",
    "what shells and markup read": 'it\'s 50% "off" & $HOME [bold]x[/]*?',
    "an option": "-q",
}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_folders_may_have_any_name(tmp_path: Path, name: str) -> None:
    here = tmp_path / name
    mlbench = CommandLine(here)
    own_task(here / name)
    task, out = f"./{name}", f"./{name}/out"
    arguments = ("--task", task, "--model", "hashing", "--out", out, "--save-run", f"./{name}/runs", "--resamples", "2")
    document = mlbench.result(*arguments)
    assert document["cost"]["encoded_texts"] == 54
    again = mlbench.result(*arguments[:-4], "--resamples", "2", environment={"MLBENCH_CACHE": str(here / "cache")})
    assert again["cost"]["encoded_texts"] == 0
    (path,) = (here / name / "out").glob("*.json")
    for command in (("verify", str(path)), ("report", str(path)), ("report", f"./{path.relative_to(here)}", "-q")):
        done = mlbench(*command)
        assert (done.code, done.err) == (0, "")
    runs = mlbench("run", "-q", "--task", task, "--model", f"run:./{name}/runs", "--resamples", "2", "--json")
    assert runs.code == 0, runs.err
    assert json.loads(runs.out)["retriever"]["spec"] == f"run:{name}/runs"


def test_shipped_data_in_a_folder_with_blanks(tmp_path: Path) -> None:
    mlbench = CommandLine(tmp_path / "a b" / "ü 🦜")
    mlbench.folder.mkdir(parents=True)
    document = mlbench.result("--model", "hashing", "--languages", "en,th", "--resamples", "2", "--out", "c d")
    assert document["task"]["name"] == "mini"
    assert {path.suffix for path in (mlbench.folder / "c d").iterdir()} == {".json", ".npz"}


def test_a_checkpoint_in_a_folder_of_any_name(tmp_path: Path) -> None:
    pytest.importorskip("sentence_transformers", exc_type=ImportError)
    mlbench = CommandLine(tmp_path / "Prüf stände 🧪")
    own_task(mlbench.folder / "own")
    tiny_checkpoint(mlbench.folder / "模型 1")
    document = mlbench.result("--task", "own", "--model", "./模型 1", "--resamples", "2")
    assert document["retriever"]["spec"] == "模型 1"
    assert document["retriever"]["dim"] == 16


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have names of text only")
def test_a_folder_whose_name_is_no_text(tmp_path: Path) -> None:
    mlbench = CommandLine(tmp_path)
    name = os.fsdecode(b"pr\xfcfung")
    own_task(tmp_path / name)
    saved = ("--save-run", f"{name}/runs", "--out", name)
    made = mlbench("run", "-q", "--task", f"./{name}", "--model", "hashing", *saved, "--resamples", "2")
    assert made.code == 0, made.err
    document = mlbench.result("--task", f"./{name}", "--model", f"run:{name}/runs", "--resamples", "2")
    assert document["retriever"]["spec"] == r"run:pr\udcfcfung/runs"
    assert document["task"]["name"] == "pr-fung"
    done = mlbench("report", name)
    assert done.code == 0, done.err


RTL = "\u202eمَا هِيَ عاصمة\u202c e\u0301"
ENCODINGS = [
    {"PYTHONIOENCODING": "ascii"},
    {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    {"LC_ALL": "C"},
    {"PYTHONIOENCODING": "latin-1"},
]


@pytest.fixture
def oriental(tmp_path: Path) -> CommandLine:
    """A folder with a task whose ids, texts and name need more than ASCII, and its result."""
    mlbench = CommandLine(tmp_path)
    own = own_task(tmp_path / "own")
    for path in own.glob("queries.*"):
        row = json.dumps({"id": "t0", "text": RTL}, ensure_ascii=False)
        path.write_text("\n".join([row, *path.read_text().splitlines()[1:]]), encoding="utf-8")
    (own / "task.toml").write_text('title = "Prüfung 🦜"\nlicence = "自由"\n', encoding="utf-8")
    shutil.copytree(own, tmp_path / "评测")
    assert (
        mlbench("run", "-q", "--task", "评测", "--model", "hashing", "--save-run", "走", "--resamples", "2").code == 0
    )
    return mlbench


@pytest.mark.parametrize("encoding", ENCODINGS, ids=lambda encoding: "-".join(encoding.values()))
def test_no_encoding_is_too_poor(oriental: CommandLine, encoding: dict[str, str]) -> None:
    (document,) = (oriental.folder / "results").glob("*.json")
    shown = str(document.relative_to(oriental.folder))
    written = json.loads(document.read_text(encoding="utf-8"))
    run = ("run", "--task", "评测", "--model", "run:走", "--resamples", "2")
    commands = [
        ("report", shown),
        ("report", shown, "--topic", "t0", "--data-dir", "评测"),
        ("report", shown, "--format", "markdown"),
        ("report", shown, "--pool", "de,en", "-v"),
        ("history", "results"),
        ("compare", shown, shown),
        ("tasks", "show", "评测"),
        ("tasks", "check", "评测"),
        ("measures",),
        run,
    ]
    machine = [
        ("report", shown, "--json"),
        ("history", "results", "--json"),
        ("compare", shown, shown, "--json"),
        ("tasks", "show", "评测", "--json"),
        (*run, "-q", "--json"),
    ]
    # Python without UTF-8 takes the letters of an argument for bytes.
    escaped = "run:走" if "PYTHONUTF8" not in encoding else r"run:\udce8\udcb5\udcb0"
    done = done_in(oriental, encoding, [*commands, *machine])
    for command, (code, out, _) in zip(commands, done, strict=False):
        assert code == 0, (command, done)
        assert out, command
    for command, (code, out, err) in zip(machine, done[len(commands) :], strict=True):
        assert (code, err) == (0, b""), command
        found = json.loads(out.decode("latin-1" if "latin-1" in encoding.values() else "utf-8"))
        if command[0] == "report":
            assert found == [written]
        elif command[0] == "history":
            assert escaped in {checkpoint["spec"] for checkpoint in found["series"][0]["checkpoints"]}
        elif command[0] == "compare":
            assert found["tasks"][0]["base"]["spec"] == "hashing"
        elif command[0] == "tasks":
            assert (found["title"], found["licence"]) == ("Prüfung 🦜", "自由")
        else:
            assert found["retriever"]["spec"] == escaped


# Calls one command after the other, as words of its own command line say, and writes the exit code of each between zero
# bytes after what it wrote.
EACH = """
import sys
from mlbench.cli import main
words = sys.argv[1:]
while words:
    end = words.index("then")
    sys.argv[1:], words = words[:end], words[end + 1:]
    try:
        main()
    except SystemExit as ended:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
            stream.buffer.write(b"\\0%d\\0" % ended.code)
"""


def done_in(
    mlbench: CommandLine, encoding: dict[str, str], commands: Sequence[Sequence[str]]
) -> list[tuple[int, bytes, bytes]]:
    """Run commands in a process of such an encoding; returns how each ended, with what it wrote as bytes."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG", "PYTHON"))}
    done = subprocess.run(
        [sys.executable, "-c", EACH, *(word for command in commands for word in (*command, "then"))],
        cwd=mlbench.folder,
        env={**kept, "MLBENCH_CACHE": str(mlbench.cache), **encoding},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    out, err = (stream.split(b"\0")[:-1] for stream in (done.stdout, done.stderr))
    assert out[1::2] == err[1::2]
    return [(int(code), said, told) for code, said, told in zip(out[1::2], out[::2], err[::2], strict=True)]


def test_directions_in_a_query_do_not_leak(oriental: CommandLine) -> None:
    (document,) = (oriental.folder / "results").glob("*.json")
    done = oriental("report", str(document), "--topic", "t0", "--data-dir", "评测")
    assert done.code == 0, done.err
    lines = [line for line in done.out.splitlines() if "عاصمة" in line]
    assert lines
    for line in lines:
        opened = sum(line.count(mark) for mark in "\u202a\u202b\u202d\u202e\u2066\u2067\u2068")
        closed = sum(line.count(mark) for mark in "\u202c\u2069")
        assert opened == closed


POSIX = {"resource", "fcntl", "pwd", "grp", "termios", "tty", "pty", "curses", "syslog", "readline", "posix"}
POSIX_NAMES = {
    "SIGKILL",
    "SIGALRM",
    "SIGHUP",
    "alarm",
    "fork",
    "killpg",
    "setsid",
    "getuid",
    "geteuid",
    "uname",
    "O_BINARY",
}
GUARDS = ("try", "getattr")
MODULES = sorted(Path(package.__file__).parent.rglob("*.py"))


def posix_only(tree: ast.AST, guarded: bool = False) -> list[str]:
    """Return what only POSIX has and no `try ... except ImportError` or `AttributeError` stands around."""
    found = []
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Try):
            caught = ast.unparse(ast.Tuple([h.type for h in node.handlers if h.type], ast.Load()))
            inside = guarded or "ImportError" in caught or "AttributeError" in caught
            found += [name for part in node.body for name in posix_only(ast.Module([part], []), inside)]
            rest = [*node.handlers, *node.orelse, *node.finalbody]
            found += [name for part in rest for name in posix_only(part, guarded)]
            continue
        if not guarded:
            if isinstance(node, ast.Import):
                found += [alias.name for alias in node.names if alias.name in POSIX]
            elif isinstance(node, ast.ImportFrom) and node.module in POSIX:
                found.append(node.module)
            elif isinstance(node, ast.Attribute) and node.attr in POSIX_NAMES:
                found.append(node.attr)
        found += posix_only(node, guarded)
    return found


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("import resource", ["resource"]),
        ("def f():\n from fcntl import flock", ["fcntl"]),
        ("signal.signal(signal.SIGALRM, f)", ["SIGALRM"]),
        ("try:\n import pwd\nexcept ImportError:\n import grp", ["grp"]),
        ("try:\n import pwd\nexcept OSError:\n pass", ["pwd"]),
        ("import signal, os\nos.kill(1, signal.SIGTERM)", []),
    ],
)
def test_what_only_posix_has_is_found(code: str, found: list[str]) -> None:
    assert posix_only(ast.parse(code)) == found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_nothing_needs_posix(path: Path) -> None:
    assert posix_only(ast.parse(path.read_text(encoding="utf-8"))) == []
