"""What a user can do wrong, and the one line that answers it."""

import hashlib
import os
import resource
import shlex
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from command_line import CommandLine, own_task, tiny_checkpoint
from safetensors.numpy import load_file, save_file

OWN = "run --task own"
# Every fault that shows only when vectors are computed must come before the intervals.
FEW = "--resamples 2"
OFFLINE = {"HF_HUB_OFFLINE": "1"}


@dataclass(frozen=True)
class Fault:
    """A command line, what is prepared for it in the working folder, and fragments of the answer."""

    name: str
    arguments: str
    says: tuple[str, ...]
    prepare: Callable[[Path], object] = lambda folder: None
    environment: dict[str, str] = field(default_factory=dict)


def own(*changes: tuple[str, str]) -> Callable[[Path], None]:
    """Return what writes the folder `own` and then `changes`, pairs of a file's name and its content."""

    def prepare(folder: Path) -> None:
        own_task(folder / "own")
        for name, content in changes:
            (folder / "own" / name).write_text(content, encoding="utf-8")

    return prepare


def declared(change: Callable[[Path], object]) -> Callable[[Path], None]:
    """Return what writes `own.toml`, whose files lie in `data` with checksums, and then changes them."""

    def prepare(folder: Path) -> None:
        data = own_task(folder / "data" / "own")
        rows = ['name = "own"', 'reader = "parallel_jsonl"', 'languages = ["de", "en", "es"]']
        for path in sorted(data.iterdir()):
            role, *language = path.name.split(".")[:-1]
            content = path.read_bytes()
            rows += ["[[files]]", f'path = "own/{path.name}"', f'role = "{role}"', f"bytes = {len(content)}"]
            rows += [f'sha256 = "{hashlib.sha256(content).hexdigest()}"', *(f'language = "{tag}"' for tag in language)]
        (folder / "own.toml").write_text("\n".join(rows), encoding="utf-8")
        change(data / "queries.en.jsonl")

    return prepare


def write(name: str, content: str | bytes) -> Callable[[Path], None]:
    def prepare(folder: Path) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)

    return prepare


def together(*steps: Callable[[Path], object]) -> Callable[[Path], None]:
    def prepare(folder: Path) -> None:
        for step in steps:
            step(folder)

    return prepare


def vectors(change: Callable[[list[str], np.ndarray], object], *stems: str) -> Callable[[Path], None]:
    """Return what writes the folder `own` and `vectors` for all of its texts, changed in `stems` (queries)."""

    def prepare(folder: Path) -> None:
        task = own_task(folder / "own")
        (folder / "vectors").mkdir()
        for stem in ("queries", "documents"):
            lines = [
                line
                for path in sorted(task.glob(f"{stem}.*"))
                for line in path.read_text(encoding="utf-8").splitlines()
            ]
            table = np.random.RandomState(0).normal(size=(len(lines), 4)).astype(np.float32)
            if stem in (stems or ("queries",)):
                change(lines, table)
            (folder / "vectors" / f"{stem}.jsonl").write_text("\n".join(lines), encoding="utf-8")
            np.save(folder / "vectors" / f"{stem}.npy", table[: len(lines)])

    return prepare


def fill(row: int | slice, value: float) -> Callable[[list[str], np.ndarray], None]:
    return lambda lines, table: table.__setitem__(row, value)


def runs(name: str, line: str) -> Callable[[Path], None]:
    return together(own(), write(f"runs/{name}.trec", line))


NEWER = '{"schema_version": "99.0"}'


INPUTS = [
    # names
    Fault("unknown task", "run --task minni", ("unknown task 'minni'", "did you mean mini or mini-images?")),
    Fault("task folder that is not there", "run --task ./gone", ("there is no task file or folder ./gone",)),
    Fault("unknown language", "run --languages en,dee", ("unknown language of mini 'dee'", "did you mean de?")),
    Fault("invalid language tag", "run --languages jp", ("'jp' is not a language tag", "did you mean ja")),
    Fault("no language", "run --languages ,", ("no language is asked for", "ar, de")),
    Fault("unknown scheme", "run --model hasing:", ("unknown retriever 'hasing'", "did you mean hashing?")),
    Fault(
        "misspelt model", "run --model vectro", ("vectro: no such folder", "or is vectors meant?"), environment=OFFLINE
    ),
    Fault("misspelt model with keys", "run --model hasing --set dim=64", ("hasing: no such", "or is hashing meant?")),
    Fault("empty model", "run --model=", ("the model is empty", "SCHEME:PATH_OR_ID")),
    Fault("unknown command", "rum", ("unknown command 'rum'", "run")),
    Fault("unknown option", "run --langages en", ("No such option", "--languages")),
    # --set and other options
    Fault("--set without =", "run --set dim", ("--set 'dim'", "write KEY=VALUE")),
    Fault(
        "--set unknown key", "run --model hashing --set dimm=64", ("hashing: unknown key 'dimm'", "did you mean dim?")
    ),
    Fault("--set wrong value", "run --model hashing --set dim=many", ("hashing: dim", "valid integer", "not 'many'")),
    Fault("--set twice", "run --model hashing --set dim=64 --set=dim=32", ("--set dim is there twice",)),
    Fault(
        "--set twice, with a blank", "run --model hashing --set dim=64 --set ' dim=32'", ("--set dim is there twice",)
    ),
    Fault(
        "--set out of range, and unknown",
        "run --model hashing --set dim=1 --set dym=2",
        ("'dym'", "greater than or equal to 16"),
    ),
    Fault("--threads 0", "run --threads 0", ("--threads", "0 is not in the range x>=1")),
    Fault("--seed below 0", "run --seed -1", ("--seed", "range")),
    Fault("--data-dir is missing", f"{OWN}.toml --data-dir gone", ("--data-dir gone is not a folder",), declared(id)),
    # a task's files
    Fault(
        "data file missing",
        "run --task own.toml --data-dir data",
        ("own/queries.en.jsonl is not on this machine", "pass --data-dir DIR"),
        declared(Path.unlink),
    ),
    Fault(
        "data file missing, offline",
        "run --task xquad-r --data-dir data",
        ("xquad-r/ar.json is not on this machine", "MLBENCH_OFFLINE", "put it into a folder"),
        declared(id),
        {"MLBENCH_OFFLINE": "1"},
    ),
    Fault(
        "data file truncated",
        "run --task own.toml --data-dir data",
        ("queries.en.jsonl is truncated: 100 of", "replace it by the original"),
        declared(lambda path: os.truncate(path, 100)),
    ),
    Fault(
        "data file altered",
        "run --task own.toml --data-dir data",
        ("queries.en.jsonl is altered", "SHA-256", "replace it by the original"),
        declared(lambda path: path.write_bytes(path.read_bytes().replace(b"wonders", b"ponders"))),
    ),
    Fault(
        "wrong expected count",
        OWN,
        ("own: en has 6 queries, expected are 7",),
        own(("task.toml", "expected.queries.en = 7")),
    ),
    Fault(
        "unknown measure",
        OWN,
        ("own: 1 fault: measures[0]: measure 'MRR@1O': cutoff must be a whole number from 1 on, not 1O",),
        own(("task.toml", 'measures = ["MRR@1O"]')),
    ),
    Fault(
        "unknown reader",
        OWN,
        ("reader: unknown reader 'paralel_jsonl'", "did you mean parallel_jsonl or parallel_texts or parallel_lines?"),
        own(("task.toml", 'reader = "paralel_jsonl"')),
    ),
    Fault(
        "three faults of a task file",
        OWN,
        ("own: 3 faults", "licens: unknown key: did you mean licence", "measures[0]", "bias_scores[0]"),
        own(("task.toml", 'licens = "MIT"\nmeasures = ["APP"]\nbias_scores = ["rank_distanc"]')),
    ),
    Fault(
        "task file that is no TOML", OWN, ("own: 1 fault: not valid TOML", "line 1"), own(("task.toml", "name = \n"))
    ),
    Fault(
        "task file that is binary", "run --task a.toml", ("a.toml: 1 fault: not valid TOML",), write("a.toml", b"\xff")
    ),
    Fault(
        "empty query",
        OWN,
        ("queries.en.jsonl line 1: 'text' is empty",),
        own(("queries.en.jsonl", '{"id": "t0", "text": " "}\n')),
    ),
    Fault("empty file of documents", OWN, ("documents.en.jsonl: the file is empty",), own(("documents.en.jsonl", ""))),
    Fault(
        "duplicate id",
        OWN,
        ("queries.en.jsonl line 2: id 't0' is there twice",),
        own(("queries.en.jsonl", '{"id": "t0", "text": "a"}\n{"id": "t0", "text": "b"}\n')),
    ),
    Fault(
        "judgment of an unknown topic",
        OWN,
        ("qrels.tsv line 1: topic 't9' has no query in any language",),
        own(("qrels.tsv", "t9\t0\td0-item\t1\n")),
    ),
    Fault(
        "nothing relevant",
        OWN,
        ("own: no query has a relevant document", "check its judgments"),
        own(("qrels.tsv", "t0\t0\td0-item\t0\n")),
    ),
    Fault("no judgments", OWN, ("qrels.tsv: no judgment of any topic",), own(("qrels.tsv", "\n"))),
    # vectors and runs
    Fault("no folder of vectors", "run --model vectors:gone", ("no folder 'gone'", "write vectors:FOLDER")),
    Fault(
        "text without a vector",
        f"{OWN} --model vectors:vectors {FEW}",
        ("vectors/queries.jsonl has no vector for", "wonders what item"),
        vectors(lambda lines, table: lines.pop()),
    ),
    Fault(
        "NaN among vectors",
        f"{OWN} --model vectors:vectors {FEW}",
        ("NaN or infinite numbers for the", "and 1 more"),
        vectors(fill(slice(2), np.nan)),
    ),
    Fault(
        "vector of zeros",
        f"{OWN} --model vectors:vectors {FEW}",
        ("only zeros for the query",),
        vectors(fill(3, 0)),
    ),
    Fault(
        "all vectors equal",
        f"{OWN} --model vectors:vectors {FEW}",
        ("gives every text the same vector", "check its weights"),
        vectors(fill(slice(None), 1), "queries", "documents"),
    ),
    Fault(
        "pickled vectors",
        "run --model vectors:vectors",
        ("queries.npy: not an array of numbers",),
        together(
            write("vectors/queries.jsonl", '{"text": "a"}'),
            lambda folder: np.save(folder / "vectors" / "queries.npy", np.array([[{}]], dtype=object)),
        ),
    ),
    Fault(
        "run file missing",
        f"{OWN} --model run:runs {FEW}",
        ("runs: no de-de.trec", "add it"),
        runs("en-en", "t0 Q0 en-d0-item 1 1.0 x"),
    ),
    Fault(
        "run file with an unknown document",
        f"{OWN} --model run:runs {FEW}",
        ("de-de.trec, line 1: document 'd0' is not among those in de",),
        runs("de-de", "t0 Q0 d0 1 1.0 x"),
    ),
    Fault(
        "run file with a score that is no number",
        f"{OWN} --model run:runs {FEW}",
        ("de-de.trec, line 1: score 'nan' is not a finite number",),
        runs("de-de", "t0 Q0 de-d0-item 1 nan x"),
    ),
    # results
    Fault("result that is not there", "verify gone.json", ("cannot read gone.json: No such file",)),
    Fault(
        "result of a newer schema",
        "verify new.json",
        ("schema 99.0 of a newer mlbench", "upgrade"),
        write("new.json", NEWER),
    ),
    Fault(
        "report of a newer schema",
        "report new.json",
        ("schema 99.0 of a newer mlbench", "upgrade"),
        write("new.json", NEWER),
    ),
    Fault(
        "result that is no JSON",
        "verify bad.json",
        ("bad.json is not JSON that can be used",),
        write("bad.json", b"\x00{"),
    ),
    Fault(
        "result that is cut",
        "report bad.json",
        ("bad.json is not JSON that can be used",),
        write("bad.json", '{"a": ['),
    ),
    Fault(
        "JSON that is no result", "verify bad.json", ("bad.json is not a result document",), write("bad.json", "[1]")
    ),
    # where the result goes
    Fault(
        "--out is a file",
        f"{OWN} --out taken {FEW}",
        ("taken", "taken is not a folder", "name another folder with --out"),
        together(own(), write("taken", "mine")),
    ),
    Fault(
        "--out is below a file",
        f"{OWN} --out taken/in {FEW}",
        ("taken", "--out"),
        together(own(), write("taken", "mine")),
    ),
]


def tree(folder: Path) -> dict[str, bytes]:
    """Return every file below `folder` but the cache's, and every folder, by name."""
    inside = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*")}
    return {name: path.read_bytes() if path.is_file() else b"" for name, path in inside.items() if name[:5] != "cache"}


def check_one_line(mlbench: CommandLine, fault: Fault) -> None:
    """Run the command: exit code 2, one line, and nothing written but vectors that are whole."""
    before = tree(mlbench.folder)
    command, *arguments = shlex.split(fault.arguments)
    done = mlbench(command, "-q", *arguments, environment=fault.environment)
    assert done.code == 2, done.err
    assert done.out == ""
    assert done.err.startswith("mlbench: error: ")
    assert len(done.err.splitlines()) == 1
    assert done.err.endswith("\n")
    assert [fragment for fragment in fault.says if fragment not in done.err] == [], done.err
    assert tree(mlbench.folder) == before
    assert {path.suffix for path in mlbench.cache.rglob("*") if path.is_file()} <= {".safetensors", ".json"}


@pytest.mark.parametrize("fault", INPUTS, ids=lambda fault: fault.name)
def test_a_wrong_input_is_one_line_that_says_what_to_do(mlbench: CommandLine, fault: Fault) -> None:
    fault.prepare(mlbench.folder)
    check_one_line(mlbench, fault)


def ranks_in(folder: Path) -> Path:
    return next(folder.glob("*.ranks.npz"))


def flip(folder: Path) -> None:
    content = bytearray(ranks_in(folder).read_bytes())
    content[len(content) // 2] ^= 1
    ranks_in(folder).write_bytes(content)


def replace_ranks(folder: Path, content: bytes) -> None:
    """Write another ranks file, and a document that names it."""
    before = hashlib.sha256(ranks_in(folder).read_bytes()).hexdigest()
    ranks_in(folder).write_bytes(content)
    change(before, hashlib.sha256(content).hexdigest())(folder)


def change(old: str, new: str) -> Callable[[Path], None]:
    def prepare(folder: Path) -> None:
        text = (folder / "result.json").read_text(encoding="utf-8")
        assert old in text
        (folder / "result.json").write_text(text.replace(old, new), encoding="utf-8")

    return prepare


RESULTS = [
    Fault(f"{name} of {command.split()[0]}", command, says, prepare)
    for command in ("verify result.json", "report result.json --pool de,en")
    for name, says, prepare in [
        ("ranks missing", ("cannot read own.hashing", "No such file"), lambda folder: ranks_in(folder).unlink()),
        ("ranks altered", ("is not the ranks file of result.json", "SHA-256"), flip),
        ("ranks empty", ("is not the ranks file of result.json", "SHA-256"), lambda f: ranks_in(f).write_bytes(b"")),
        ("ranks no archive", ("is not a ranks file",), lambda folder: replace_ranks(folder, b"PK\x03\x04")),
        ("ranks elsewhere", ("must lie beside",), change('"own.hashing', '"../own.hashing')),
        ("unknown key", ("is not a result document", "Extra inputs"), change('"cost": {', '"cost": {"euros": 1,')),
        ("NaN", ("NaN is not a number",), change('"confidence": 0.95', '"confidence": NaN')),
        ("one key twice", ("a key stands twice",), change('"cost": {', '"bias": null, "cost": {')),
    ]
]


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    mlbench = CommandLine(tmp_path_factory.mktemp("measured"))
    own_task(mlbench.folder / "own")
    assert mlbench("run", "--task", "own", "--model", "hashing", "--resamples", "2").code == 0
    return mlbench.folder / "results"


@pytest.mark.parametrize("fault", RESULTS, ids=lambda fault: fault.name)
def test_a_result_that_cannot_be_trusted(mlbench: CommandLine, measured: Path, fault: Fault) -> None:
    shutil.copytree(measured, mlbench.folder, dirs_exist_ok=True)
    next(mlbench.folder.glob("*.json")).rename(mlbench.folder / "result.json")
    fault.prepare(mlbench.folder)
    check_one_line(mlbench, fault)


def without(pattern: str) -> Callable[[Path], None]:
    def prepare(folder: Path) -> None:
        for path in (folder / "model").glob(pattern):
            path.unlink()

    return prepare


def broken_weights(folder: Path) -> None:
    weights = load_file(folder / "model" / "model.safetensors")
    weights["encoder.layer.0.output.dense.weight"][3, 4] = np.nan
    save_file(weights, folder / "model" / "model.safetensors", metadata={"format": "pt"})


def pickled(folder: Path) -> None:
    (folder / "model" / "model.safetensors").rename(folder / "model" / "pytorch_model.bin")


CHECKPOINTS = [
    Fault("NaN weights", "run --model model", ("encoder.layer.0.output.dense.weight has NaN",), broken_weights),
    Fault("pickled weights", "run --model model", ("model: weights are pickled only", "--allow-pickle"), pickled),
    Fault("no weights", "run --model model", ("model: no weights", "save the model"), without("*.safetensors")),
    Fault("no tokenizer", "run --model model", ("model: no tokenizer", "save the tokenizer"), without("tok*")),
    Fault(
        "cut weights",
        "run --model model",
        ("model: cannot be loaded",),
        lambda folder: os.truncate(folder / "model" / "model.safetensors", 99),
    ),
    Fault("folder that is not there", "run --model ./gone", ("no folder './gone'", "a hub id")),
    Fault(
        "file for a folder", "run --model model/config.json", ("model/config.json is a file: a checkpoint is a folder",)
    ),
    Fault(
        "unknown key", "run --model model --set poling=cls", ("dense: unknown key 'poling'", "did you mean pooling?")
    ),
    Fault(
        "hub id offline",
        "run --model a/b",
        ("a/b: no such folder", "HF_HUB_OFFLINE"),
        environment=OFFLINE,
    ),
]


@pytest.mark.parametrize("fault", CHECKPOINTS, ids=lambda fault: fault.name)
def test_a_checkpoint_that_cannot_be_used(mlbench: CommandLine, fault: Fault) -> None:
    pytest.importorskip("sentence_transformers", exc_type=ImportError)
    tiny_checkpoint(mlbench.folder / "model")
    fault.prepare(mlbench.folder)
    hub = {"HF_HOME": str(mlbench.folder / "cache" / "hub")}
    check_one_line(mlbench, replace(fault, environment=hub | fault.environment))


def no_file_above(size: int) -> Callable[[], None]:
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


@pytest.mark.parametrize("size", [100, 8000])
def test_a_full_disk_leaves_the_folder_of_results_as_it_was(mlbench: CommandLine, own: Path, size: int) -> None:
    arguments = ("run", "-q", "--task", "own", "--model", "hashing", "--resamples", "2")
    assert mlbench(*arguments).code == 0
    before = tree(mlbench.folder)
    for out, after in (("results", before), ("new/folder", before)):
        done = mlbench.process(*arguments, "--out", out, before=no_file_above(size))
        assert done.code == 2
        assert done.err == (
            f"mlbench: error: cannot write results to {out}: File too large; name another folder with --out\n"
        )
        assert tree(mlbench.folder) == after
