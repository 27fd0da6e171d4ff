"""`mlbench run` when all is well: what it prints, what it saves, and that the same command gives the same."""

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path
from typing import Any, NoReturn

import pytest
from command_line import LANGUAGES, CommandLine, own_task

from mlbench.cli import call, run
from mlbench.errors import UserError
from mlbench.evaluation.options import Options
from mlbench.protocols import Resources, Runtime
from mlbench.retrievers import static

FEW = ("--resamples", "20")
OWN = ("--task", "own", *FEW)
HASHING = (*OWN, "--model", "hashing")
ESCAPE = "\x1b"


def saved(mlbench: CommandLine, folder: str = "results") -> dict[str, Any]:
    return {path.name: json.loads(path.read_bytes()) for path in sorted((mlbench.folder / folder).glob("*.json"))}


def same(one: dict[str, Any], two: dict[str, Any], *left_out: str) -> bool:
    return {key: one[key] for key in one if key not in left_out} == {
        key: two[key] for key in two if key not in left_out
    }


def test_no_arguments_measure_the_default_model_on_the_shipped_task(mlbench: CommandLine) -> None:
    done = mlbench("run")
    assert done.code == 0
    [(name, result)] = saved(mlbench).items()
    assert done.out.startswith("static on mini")
    assert name == f"mini.static-{result['retriever']['fingerprint'][:8]}.json"
    *phases, last = done.err.splitlines()
    assert [line.partition(":")[0] for line in phases] == ["encode", "rank"]
    assert last == f"saved {Path('results', name)}"
    assert {path.name for path in (mlbench.folder / "results").iterdir()} == {name, result["ranks"]["name"]}
    assert (result["statistics"]["resamples"], result["task"]["partial"]) == (2000, False)
    assert result["environment"]["command"] == "mlbench run"


LOADED = """
import atexit, sys
atexit.register(lambda: open(sys.argv[1], "w").write(" ".join(sys.modules)))
from mlbench.cli import call
sys.exit(call(sys.argv[2:]))
"""


def test_a_cold_start_in_an_empty_folder_brings_in_no_torch(tmp_path: Path) -> None:
    folder, modules = tmp_path / "empty", tmp_path / "modules"
    folder.mkdir()
    environment = CommandLine(tmp_path).environment({"MLBENCH_OFFLINE": "1"})
    environment.pop("MLBENCH_DATA", None)
    command = [sys.executable, "-c", LOADED, modules, "run"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    loaded = set(modules.read_text().split())
    assert {"numpy", "tokenizers", "mlbench.retrievers.static"} <= loaded
    assert loaded & {"torch", "transformers", "sentence_transformers", "huggingface_hub", "datasets"} == set()


def test_the_default_model_says_how_it_was_trained(mlbench: CommandLine, own: Path) -> None:
    training = mlbench.result(*OWN)["retriever"]["training"]
    assert training["recipe"]["name"] == "default"
    assert 0 < training["steps"] <= training["recipe"]["steps"]
    assert training["contamination"]["tasks"] == sorted(training["recipe"]["contamination"]["tasks"])


def test_the_default_model_does_better_between_languages_than_one_that_knows_none(mlbench: CommandLine) -> None:
    documents = [mlbench.result(*FEW, *model) for model in ((), ("--model", "hashing"))]
    trained, untrained = (
        next(found["measures"]["AP"] for found in document["aggregates"] if found["kind"] == "cross_lingual")
        for document in documents
    )
    assert trained > 1.5 * untrained


def test_without_a_default_model_one_line_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(static, "package_files", lambda package: tmp_path)
    assert call(["run", "--out", str(tmp_path / "results")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("mlbench: error: no model comes with this mlbench")
    assert "--model hashing" in line


def test_quiet_prints_results_alone(mlbench: CommandLine, own: Path) -> None:
    done = mlbench("run", "-q", *HASHING)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("hashing on own")


def test_json_is_pure_and_what_was_saved(mlbench: CommandLine, own: Path) -> None:
    done = mlbench("run", "--json", *HASHING)
    [name] = saved(mlbench)
    assert done.out.encode() == (mlbench.folder / "results" / name).read_bytes()
    assert done.err.endswith(f"saved {Path('results', name)}\n")


def test_several_models_and_tasks_are_measured_in_order(mlbench: CommandLine, own: Path) -> None:
    own_task(mlbench.folder / "other", topics=4, languages=("th", "vi"))
    models = ("--model", "hashing", "--model", "again=hashing:")
    done = mlbench("run", "-q", "--json", *models, *OWN, "--task", "other")
    documents = json.loads(done.out)
    named = [(document["retriever"]["spec"], document["task"]["name"]) for document in documents]
    assert named == [("hashing", "own"), ("hashing", "other"), ("hashing:", "own"), ("hashing:", "other")]
    by_name = saved(mlbench)
    assert all(document in by_name.values() for document in documents)
    assert [document["cost"]["encoded_texts"] for document in documents] == [54, 24, 0, 0]


def test_a_restricted_run_is_labelled_partial(mlbench: CommandLine, own: Path) -> None:
    whole, part, all_named = (
        mlbench.result(*HASHING, *languages)
        for languages in ((), ("--languages", "en, de"), ("--languages", "es,en,de,en"))
    )
    assert [document["task"]["partial"] for document in (whole, part, all_named)] == [False, True, False]
    assert part["task"]["languages"] == ["de", "en"]
    assert {tuple(setting["document_languages"]) for setting in part["settings"]} == {("de",), ("en",), ("de", "en")}
    shared = [setting for setting in whole["settings"] if setting["document_languages"] in (["de"], ["en"])]
    shared = [setting for setting in shared if setting["query_language"] in ("de", "en")]
    for setting in shared:
        assert setting["measures"] in [found["measures"] for found in part["settings"]]
    assert [name.startswith("own.de.en.hashing") for name in saved(mlbench)] == [True, False]
    assert same(whole, all_named, "cost", "environment")
    assert "partial" in mlbench("run", "-q", *HASHING, "--languages", "en,de").out


def test_the_same_command_gives_the_same_document(mlbench: CommandLine, own: Path) -> None:
    first = mlbench.result(*HASHING)
    ranks = (mlbench.folder / "results" / first["ranks"]["name"]).read_bytes()
    again = mlbench.result(*HASHING)
    cold = mlbench.result(*HASHING, environment={"MLBENCH_CACHE": str(mlbench.folder / "another")})
    for document in (again, cold):
        assert same(first, document, "cost")
    assert (mlbench.folder / "results" / first["ranks"]["name"]).read_bytes() == ranks
    assert not same(first, mlbench.result(*HASHING, "--seed", "1"), "cost", "environment")


@pytest.mark.parametrize(
    ("typed", "runtime", "resources"),
    [
        (["--workers", "3", "--threads", "5"], Runtime(threads=5), Resources(workers=3, threads=5)),
        (["--device", "cpu"], Runtime("cpu"), Resources()),
        (["--allow-pickle"], Runtime(allow_pickle=True), Resources()),
        (["--trust-remote-code"], Runtime(trust_remote_code=True), Resources()),
    ],
)
def test_options_are_those_of_encoder_and_engine(
    own: Path, monkeypatch: pytest.MonkeyPatch, typed: list[str], runtime: Runtime, resources: Resources
) -> None:
    asked: list[Options] = []

    def stop(model: object, task: object, *, options: Options, **more: object) -> NoReturn:
        asked.append(options)
        raise UserError("enough is known")

    monkeypatch.setattr(run, "measure", stop)
    assert call(["run", "--model", "hashing", "--task", str(own), *typed]) == 2
    assert [(options.runtime, options.resources) for options in asked] == [(runtime, resources)]


def test_threads_change_nothing(mlbench: CommandLine) -> None:
    own_task(mlbench.folder / "own", topics=300)
    one, two = (mlbench.result(*HASHING, "--threads", threads) for threads in ("1", "2"))
    assert same(one, two, "cost", "environment")
    one["environment"].pop("command"), two["environment"].pop("command")
    assert one["environment"] == two["environment"]


def test_a_run_changes_nothing_but_results_and_cache(mlbench: CommandLine, own: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in own.rglob("*")}
    assert mlbench("run", *HASHING, "--out", "here/and/there").code == 0
    assert {path: path.stat().st_mtime_ns for path in own.rglob("*")} == before
    assert {path.name for path in mlbench.folder.iterdir()} == {"cache", "here", "own"}


def test_vectors_and_runs_are_measured_as_well(mlbench: CommandLine, own: Path) -> None:
    result = mlbench.result(*HASHING)
    (mlbench.folder / "runs").mkdir()
    with_ids = [f"d{n}-item" for n in range(6)]
    for query in LANGUAGES:
        for documents in (*LANGUAGES, "all"):
            lines = [
                f"t{topic} Q0 {language}-{doc} 1 {float(doc == f'd{topic}-item')} x"
                for topic in range(6)
                for language in (LANGUAGES if documents == "all" else (documents,))
                for doc in with_ids
            ]
            (mlbench.folder / "runs" / f"{query}-{documents}.trec").write_text("\n".join(lines))
    perfect = mlbench.result(*OWN, "--model", "run:runs")
    assert perfect["retriever"]["kind"] == "ranker"
    assert {setting["measures"]["AP"] for setting in perfect["settings"]} == {1.0}
    assert [len(document["settings"]) for document in (result, perfect)] == [12, 12]


def in_terminal(mlbench: CommandLine, columns: int, *arguments: str, **changes: str) -> str:
    """Return what a terminal of so many columns shows of both streams."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", "mlbench", *arguments],
        cwd=mlbench.folder,
        env=mlbench.environment({"TERM": "xterm-256color", **changes}),
        stdin=follower,
        stdout=follower,
        stderr=follower,
    )
    os.close(follower)
    shown = b""
    while True:
        try:
            shown += os.read(leader, 65536)
        except OSError:
            break
    os.close(leader)
    assert process.wait(60) == 0
    return shown.decode()


def plain(shown: str) -> list[str]:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown).replace("\r\n", "\n").splitlines()


def test_a_terminal_gets_colour_unless_told_otherwise(mlbench: CommandLine, own: Path) -> None:
    colour = re.compile(r"\x1b\[[0-9;]*(3[0-7]|4[0-7]|38;|48;|9[0-7])[0-9;]*m")
    assert colour.search(in_terminal(mlbench, 100, "run", *HASHING))
    assert not colour.search(in_terminal(mlbench, 100, "run", *HASHING, NO_COLOR="1"))
    for changes in ({}, {"NO_COLOR": "1"}, {"TERM": "xterm-256color"}):
        done = mlbench("run", *HASHING, environment=changes)
        assert ESCAPE not in done.out + done.err


@pytest.mark.parametrize("columns", [80, 120])
def test_nothing_is_wider_than_the_terminal_nor_broken_in_words(mlbench: CommandLine, columns: int) -> None:
    lines = plain(in_terminal(mlbench, columns, "run", "-q", *FEW))
    assert max(map(len, lines)) <= columns
    words = {word for line in lines for word in line.split()}
    assert {"monolingual", "cross-lingual", "multilingual", "own_language_preference", "rank_distance"} <= words
    start = next(number for number, line in enumerate(lines) if line.split()[:2] == ["ar", "de"])
    rows = [line.split() for line in lines[start + 1 : start + 12]]
    assert [row[0] for row in rows] == lines[start].split()[:11]
    assert {len(row) for row in rows} == {len(lines[start].split()) + 1}


def test_piped_tables_follow_columns(mlbench: CommandLine, own: Path) -> None:
    done = mlbench("run", "-q", *HASHING, environment={"COLUMNS": "80"})
    assert max(map(len, done.out.splitlines())) <= 80


def test_lists_without_a_relevant_document_are_told(mlbench: CommandLine, own: Path) -> None:
    done = mlbench("run", "-q", "--task", own.name, "--languages", "de", "--model", "hashing", "--save-run", "runs")
    assert (done.code, done.err) == (0, "")
    (mlbench.folder / "runs" / "de-de.trec").write_text("")
    done = mlbench("run", "-q", "--task", own.name, "--languages", "de", "--model", "run:runs")
    assert (done.code, done.err) == (0, "warning: the lists of run:runs hold no relevant document in de-de\n")
