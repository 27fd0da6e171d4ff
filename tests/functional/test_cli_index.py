"""`mlbench run --index` and `mlbench index-costs` as their users meet them."""

import json
from pathlib import Path

import pytest
from command_line import CommandLine

pytest.importorskip("faiss")

FEW = ("--resamples", "20", "--languages", "de,en,th")


def made(mlbench: CommandLine, *indexes: str) -> list[str]:
    """Measure the default model exactly and with indexes; returns the paths of the results, the exact one first."""
    options = [word for index in indexes for word in ("--index", index)]
    for arguments in ([], options):
        done = mlbench("run", "-q", *FEW, *arguments)
        assert done.code == 0, done.err
    found = sorted((mlbench.folder / "results").glob("*.json"), key=lambda path: "static-" in path.name[15:])
    exact = [path for path in found if not json.loads(path.read_bytes())["cost"]["indexes"]]
    assert len(exact) == 1
    return [f"results/{path.name}" for path in (*exact, *(path for path in found if path not in exact))]


def test_indexes_are_measured_verified_and_compared(mlbench: CommandLine) -> None:
    paths = made(mlbench, "flat", "hnsw:ef_search=10", "ivfpq:nprobe=1", "factory:IVF4,SQ8,nprobe=2")
    assert len(paths) == 5
    assert mlbench("verify", *paths).code == 0
    # The exact result may be among them, as with a pattern of the shell.
    done = mlbench("index-costs", *paths, paths[0], "--write", "c.html", "--write", "c.md", "--write", "c.json")
    assert done.code == 0, done.err
    assert "hnsw:ef_search=10" in done.out
    assert "<svg" in (mlbench.folder / "c.html").read_text(encoding="utf-8")
    document = json.loads((mlbench.folder / "c.json").read_bytes())
    assert [each["name"] for each in document["indexes"]] == [
        "flat",
        "hnsw:ef_search=10",
        "ivfpq:nprobe=1",
        "factory:IVF4,SQ8,nprobe=2",
    ]
    assert document["indexes"][3]["keys"] == {"depth": 1000, "factory": "IVF4,SQ8", "search": "nprobe=2"}
    again = mlbench("index-costs", *paths, "--json")
    assert json.loads(again.out) == document


def test_the_same_index_gives_the_same_ranks(mlbench: CommandLine) -> None:
    digests = []
    for out in ("one", "two"):
        options = ("--index", "hnsw:ef_search=20", "--index", "ivfpq", "--out", out)
        assert mlbench("run", "-q", *FEW, *options).code == 0
        files = sorted((mlbench.folder / out).glob("*.json"))
        digests.append([json.loads(path.read_bytes())["ranks"]["sha256"] for path in files])
    assert digests[0] == digests[1]
    assert len(set(digests[0])) == 2


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (("--index", "hnws"), "unknown index 'hnws': did you mean hnsw?"),
        (("--index", "hnsw:ef=3"), "hnsw: unknown key 'ef': "),
        (("--index", "ivfpq:nprobe=none"), "ivfpq: nprobe: input should be a valid integer"),
        (("--index", "flat", "--index", "flat"), "--index flat is there twice: its results would have one name"),
        (("--index", "factory:IVF4,foo"), "factory:IVF4,foo: faiss refuses it: could not parse code description foo"),
        (
            ("-q", "--index", "factory:IVF256,Flat"),
            "factory:IVF256,Flat: 256 cells need as many documents, a pool has 48",
        ),
        (("--index", "ivfpq:m=7"), "ivfpq: m=7 does not divide the "),
        (("--model", "run:runs", "--index", "flat"), "an index is built over an encoder's vectors, and run:runs is a "),
        (("--index", "flat", "--index", "hnsw", "--save-run", "x"), "--save-run takes one model, index and task: "),
        (("--index", "flat", "--index", "hnsw", "--against", "x"), "--against takes one index: "),
    ],
)
def test_what_cannot_be_is_one_line(mlbench: CommandLine, arguments: tuple[str, ...], fault: str) -> None:
    if "run:runs" in arguments:
        assert mlbench("run", "-q", "--model", "hashing", *FEW, "--save-run", "runs").code == 0
    done = mlbench("run", *FEW, *arguments, "--out", "none")
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert done.err.startswith(f"mlbench: error: {fault}")
    assert not (mlbench.folder / "none").exists()


def test_without_faiss_its_extra_is_named(mlbench: CommandLine, tmp_path: Path) -> None:
    # A module that is None hides the real one.
    (tmp_path / "hiding").mkdir()
    (tmp_path / "hiding" / "sitecustomize.py").write_text("import sys\nsys.modules['faiss'] = None\n", encoding="utf-8")
    done = mlbench.process("run", "--index", "flat", environment={"PYTHONPATH": str(tmp_path / "hiding")})
    assert (done.code, done.out) == (2, "")
    assert done.err == "mlbench: error: approximate indexes need: pip install 'mlbench[ann]'\n"


def test_results_that_do_not_belong_together_are_one_line(mlbench: CommandLine) -> None:
    exact, flat = made(mlbench, "flat")
    for arguments, fault in (
        ((exact,), "Missing argument 'RESULT...'"),
        ((exact, exact), "there is no result to compare: make one with mlbench run --index KIND"),
        ((flat, exact), f"{flat} is of a ranker: give the result of the run without --index first"),
        ((exact, "gone.json"), "cannot read gone.json: No such file or directory"),
        ((exact, flat, "--write", flat), f"--write {flat}: that is one of the results: name another file"),
        ((exact, flat, "--write", "c.pdf"), "--write c.pdf: no format has this suffix: choose among .txt, .md, .html"),
    ):
        done = mlbench("index-costs", *arguments)
        assert (done.code, done.out, done.err.count("\n")) == (2, "", 1), done.err
        assert done.err.startswith(f"mlbench: error: {fault}")
