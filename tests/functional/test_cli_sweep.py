"""`mlbench sweep`: what it prints and writes, killed and in several processes."""

import json
import shutil
import sys
from pathlib import Path
from typing import NoReturn

import pytest
from command_line import CommandLine, Done
from test_resume import wait_for
from test_streaming import alive

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "training"))
from toy import write_toy

from mlbench import cli
from mlbench.cli import sweep as command
from mlbench.compare.sweep import from_json
from mlbench.errors import UserError
from mlbench.protocols import Runtime
from mlbench.training.sweep_plan import Plan, SweepFolder, parse_axis, plan_sweep

SWEEP = ("sweep", "toy.toml", "--task", "words", "--over", "alpha=1,0", "--seeds", "2")


@pytest.fixture
def toy(mlbench: CommandLine) -> Path:
    return write_toy(mlbench.folder, topics=12)


def files(mlbench: CommandLine) -> dict[str, bytes]:
    return {name: (mlbench.folder / "sweeps" / "toy" / f"sweep.{name}").read_bytes() for name in ("json", "md", "html")}


def succeed(done: Done) -> Done:
    assert done.code == 0, done.err
    return done


@pytest.mark.parametrize(
    ("typed", "runtime"),
    [
        ([], Runtime()),
        (["--jobs", "2"], Runtime(threads=1)),
        (["--jobs", "2", "--threads", "3", "--device", "cpu"], Runtime("cpu", 3)),
    ],
)
def test_points_that_run_at_once_have_a_thread_each(
    toy: Path, monkeypatch: pytest.MonkeyPatch, typed: list[str], runtime: Runtime
) -> None:
    asked: list[Runtime] = []

    def stop(plan: Plan, place: SweepFolder, **more: object) -> NoReturn:
        asked.append(place.runtime)
        raise UserError("enough is known")

    monkeypatch.setattr(command, "run_sweep", stop)
    assert cli.call(["sweep", str(toy / "toy.toml"), "--over", "alpha=1,0", *typed]) == 2
    assert asked == [runtime]


def test_prints_a_table_and_leaves_document_and_page(mlbench: CommandLine, toy: Path) -> None:
    done = succeed(mlbench(*SWEEP, environment={"COLUMNS": "160"}))
    for part in ("alpha 1", "base", "mAP", "own", "Differences from alpha 1", "is best", "95 % intervals"):
        assert part in done.out, part
    assert max(map(len, done.out.splitlines())) <= 160
    assert "point 4 of 4: alpha 0, seed 1" in done.err
    assert done.err.rstrip().endswith("saved sweeps/toy/sweep.json, sweep.md and sweep.html")
    written = files(mlbench)
    sweep = from_json(written["json"])
    assert [arm.name for arm in sweep.arms] == ["alpha 1", "alpha 0"]
    assert len(list((mlbench.folder / "sweeps" / "toy" / "results").glob("*/*.ranks.npz"))) == 4

    again = succeed(mlbench(*SWEEP, "--json", "-q"))
    assert again.out.encode() == written["json"]
    assert again.err == ""
    assert files(mlbench) == written

    # Each checkpoint is a model that can be run by itself, with the same numbers.
    point = sweep.points[0]
    model = f"sweeps/toy/{point.checkpoint}"
    result = mlbench.result("--model", model, "--task", "words")
    kept = json.loads((mlbench.folder / "sweeps" / "toy" / point.results["words"]).read_text(encoding="utf-8"))
    assert {key: result[key] for key in ("settings", "aggregates", "bias", "retriever")} == {
        key: kept[key] for key in ("settings", "aggregates", "bias", "retriever")
    }


def test_killed_and_resumed_in_several_processes_it_gives_the_document_of_one_alone(
    mlbench: CommandLine, toy: Path
) -> None:
    out = mlbench.folder / "sweeps" / "toy"
    process = mlbench.start(*SWEEP, "--jobs", "2")
    wait_for(lambda: process.poll() is not None or bool(list(out.glob("results/*/[!.]*.json"))), seconds=120)
    process.kill()
    process.communicate()
    # Processes end with the one that started them; until then they may finish a file.
    wait_for(lambda: not list(alive(mlbench)), seconds=20)
    saved = {path: path.read_bytes() for path in out.glob("results/*/[!.]*")}
    assert 0 < len(saved) < 8
    assert not (out / "sweep.json").exists()
    done = succeed(mlbench(*SWEEP, "--jobs", "2"))
    assert "points are done already" in done.err
    assert "points: " in done.err
    assert "done: alpha 0, seed 1" in done.err
    assert {path: path.read_bytes() for path in saved} == saved
    resumed = files(mlbench)
    shutil.rmtree(out)
    shutil.rmtree(mlbench.cache)
    succeed(mlbench(*SWEEP))
    assert files(mlbench) == resumed


@pytest.mark.parametrize("name", ["sweep.json", "sweep.md", "sweep.html", "checkpoints", "results"])
def test_files_of_others_stay_as_they_are(mlbench: CommandLine, toy: Path, name: str) -> None:
    theirs = mlbench.folder / "sweeps" / "toy" / name
    theirs.parent.mkdir(parents=True)
    theirs.write_text("{}")
    done = mlbench(*SWEEP, "--set", "steps=1")
    assert (done.code, done.out) == (2, "")
    (line,) = [line for line in done.err.splitlines() if line.startswith("mlbench: error: ")]
    assert name in line
    assert theirs.read_text() == "{}"


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        ((), "needs --over KEY=VALUE,VALUE"),
        (("--over", "alhpa=0,1"), "unknown key of recipes 'alhpa': did you mean alpha"),
        (("--over", "alpha=0,1.5"), "toy.toml: 1 fault: batches.alpha"),
        (("--over", "ratios={mono=.5,cross=.4}"), "toy.toml: 1 fault: batches.ratios: the shares sum to 0.9"),
        (("--over", "alpha"), "--over 'alpha': write KEY=VALUE,VALUE"),
        (("--over", "alpha=0,1", "--seeds", "0"), "'--seeds': 0 is not in the range"),
        (("--over", "alpha=0,1", "--jobs", "0"), "'--jobs': 0 is not in the range"),
        (("--over", "alpha=0,1", "--base", "alpha=0.5"), "--base alpha=0.5 is no arm"),
        (("--over", "alpha=0,1", "--base", "alpha"), "--base 'alpha': write KEY=VALUE, as in --base alpha=1"),
        (("--over", "alpha=0,1", "--set", "seed=1"), "--set seed: use --seeds N"),
        (("--over", "alpha=0,1", "--task", "nothing"), "unknown task 'nothing'"),
        (("--over", "alpha=0,1", "--out", "toy.toml"), "toy.toml is not a folder"),
        (("--over", "languages=['de','it'],['de','en']"), "languages: no data for it"),
    ],
)
def test_wrong_arguments_are_told_in_one_line(
    toy: Path,
    arguments: tuple[str, ...],
    fault: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(toy)
    assert cli.call(["sweep", "-q", "toy.toml", *arguments]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert fault in told.err
    assert told.err.count("\n") == 1
    assert not (toy / "sweeps").exists()


def test_a_point_that_fails_in_a_process_ends_the_sweep_with_its_name(mlbench: CommandLine, toy: Path) -> None:
    over = [parse_axis("alpha=1,0")]
    point = plan_sweep(str(toy / "toy.toml"), over, settings={}, seeds=2, base={}).points[1]
    blocked = toy / "sweeps" / "toy" / "checkpoints" / point.folder
    blocked.parent.mkdir(parents=True)
    blocked.write_text("in the way")
    done = mlbench(*SWEEP, "-q", "--jobs", "2")
    assert done.code == 2
    assert "alpha 0, seed 0: " in done.err
    assert "is not a folder" in done.err
    assert done.err.count("\n") == 1
