"""Whole sweeps of a toy: trained, measured, resumed."""

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from encoders import read_data, write_rows
from toy import write_toy

from mlbench.collection.languages import TEXT_KINDS
from mlbench.compare.sweep import Sweep
from mlbench.errors import EngineError, InvalidRecipe, UserError
from mlbench.evaluation.distributed.local import LocalProcesses
from mlbench.evaluation.verify import verify
from mlbench.io.document import to_json
from mlbench.io.lock import locked
from mlbench.protocols import Silence
from mlbench.results import read_result
from mlbench.training import data as training_data
from mlbench.training.manifest import Destination
from mlbench.training.static import SubwordTable
from mlbench.training.sweep import run_sweep
from mlbench.training.sweep_plan import Plan, SweepFolder, parse_axis, plan_sweep
from mlbench.training.train import fit

WEIGHTS = "model.safetensors"


class Heard(Silence):
    """A `Progress` that remembers what it was told, phases among it."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def start(self, phase: str, total: int) -> None:
        self.notes.append(phase)

    def note(self, message: str) -> None:
        self.notes.append(message)


def planned(folder: Path, *over: str, seeds: int = 1, **settings: object) -> Plan:
    return plan_sweep(
        str(folder / "toy.toml"), [parse_axis(text) for text in over], settings=settings, seeds=seeds, base={}
    )


def place(folder: Path) -> SweepFolder:
    return SweepFolder(tasks=(str(folder / "words"),), out=folder / "out")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_toy(tmp_path_factory.mktemp("toy"))


@pytest.fixture(scope="module")
def plan(folder: Path) -> Plan:
    return planned(folder, "alpha=1,0", "views.overlap=0.5,1", seeds=2)


@pytest.fixture(scope="module")
def sweep(folder: Path, plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        return run_sweep(plan, place(folder))


def test_two_sweeps_at_once_are_refused(folder: Path, plan: Plan, tmp_path: Path) -> None:
    with (
        locked(tmp_path),
        pytest.raises(UserError, match=r"^another sweep is going on in .*: wait for its end, or name"),
    ):
        run_sweep(plan, replace(place(folder), out=tmp_path))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_figures_are_those_of_the_results(folder: Path, sweep: Sweep) -> None:
    (task,) = sweep.tasks
    for row in task.rows:
        points = [point for point in sweep.points if point.arm == row.arm]
        assert [point.seed for point in points] == [0, 1]
        results = [read_result(folder / "out" / point.results["words"]) for point in points]
        for kind in TEXT_KINDS:
            figure = row.figure("AP", kind)
            aggregates = [result.aggregate(kind) for result in results]
            assert figure is not None
            assert figure.values == pytest.approx([a.measures["AP"] for a in aggregates if a], abs=1e-12)
        for figure in row.figures:
            if figure.kind is None:
                scores = [result.bias.score(figure.name) for result in results if result.bias]
                assert figure.values == pytest.approx([score.value for score in scores if score], abs=1e-12)


def test_every_result_is_one_of_a_run_with_its_ranks(folder: Path, sweep: Sweep) -> None:
    point = sweep.points[0]
    found = verify(folder / "out" / point.results["words"])
    assert found.differences == ()
    assert found.result.retriever.fingerprint == point.model_fingerprint
    assert found.result.retriever.training is not None
    assert found.result.retriever.training.recipe_fingerprint == point.recipe_fingerprint
    assert (folder / "out" / point.checkpoint / "modules.json").is_file()


def test_arms_with_other_views_are_confounded_and_other_languages_are_not(sweep: Sweep) -> None:
    assert {arm.name: arm.confounded for arm in sweep.arms} == {
        "alpha 1, overlap 0.5": (),
        "alpha 0, overlap 0.5": (),
        "alpha 1, overlap 1": ("views (overlap 1 instead of 0.5)",),
        "alpha 0, overlap 1": ("views (overlap 1 instead of 0.5)",),
    }
    digests = {(point.arm, point.seed): point.rows_digest for point in sweep.points}
    assert digests["alpha 1, overlap 0.5", 0] == digests["alpha 0, overlap 0.5", 0]
    assert digests["alpha 1, overlap 0.5", 0] != digests["alpha 1, overlap 0.5", 1]
    assert len({point.model_fingerprint for point in sweep.points}) == len(sweep.points)


def test_what_is_done_is_not_done_again(folder: Path, plan: Plan, sweep: Sweep) -> None:
    def files() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in (folder / "out").rglob("*") if path.is_file()}

    before, heard = files(), Heard()
    assert to_json(run_sweep(plan, place(folder), progress=heard)) == to_json(sweep)
    assert heard.notes == ["8 of 8 points are done already", "read results"]
    assert files() == before


@pytest.mark.slow
def test_what_is_missing_is_done_and_nothing_else(folder: Path, plan: Plan, sweep: Sweep) -> None:
    out = folder / "out"
    unmeasured, untrained, unranked = sweep.points[0], sweep.points[3], sweep.points[5]
    (out / unmeasured.results["words"]).unlink()
    next((out / unranked.results["words"]).parent.glob("*.npz")).unlink()
    shutil.rmtree(out / untrained.checkpoint)
    heard = Heard()
    assert to_json(run_sweep(plan, place(folder), progress=heard)) == to_json(sweep)
    assert heard.notes[0] == "5 of 8 points are done already"
    assert [note for note in heard.notes if note.startswith("point")] == [
        "point 1 of 3: alpha 1, overlap 0.5, seed 0",
        "point 2 of 3: alpha 0, overlap 1, seed 0",
        "point 3 of 3: alpha 1, overlap 1, seed 1",
    ]
    assert heard.notes.count("train") == 1


def test_more_seeds_and_another_base_start_from_what_is_there(folder: Path, plan: Plan, sweep: Sweep) -> None:
    heard = Heard()
    other = replace(plan, base=plan.arms[-1].name)
    found = run_sweep(other, place(folder), progress=heard)
    assert heard.notes == ["8 of 8 points are done already", "read results"]
    assert {pair.base for pair in found.tasks[0].pairs[:3]} == {other.base}
    assert [row.figures for row in found.tasks[0].rows] == [row.figures for row in sweep.tasks[0].rows]


@pytest.mark.slow
def test_other_rows_and_other_updates_are_told_apart(tmp_path: Path) -> None:
    write_toy(tmp_path)
    found = run_sweep(planned(tmp_path, "data_fraction=1,0.3", "steps=20,10"), place(tmp_path))
    assert [arm.confounded for arm in found.arms] == [(), ("updates",), ("rows",), ("updates",)]


def test_points_of_other_data_are_told_apart(tmp_path: Path) -> None:
    write_toy(tmp_path)
    run_sweep(planned(tmp_path, "alpha=1"), place(tmp_path))
    # The point that is done stays as it is.
    write_rows(tmp_path / "rows.jsonl", 200, seed=5)
    found = run_sweep(planned(tmp_path, "alpha=1,0"), place(tmp_path))
    assert [arm.confounded for arm in found.arms] == [(), ("data",)]


def test_texts_are_scanned_once_for_all_fractions_of_the_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_toy(tmp_path)
    scanned = []
    load_texts = training_data.load_texts
    monkeypatch.setattr(training_data, "load_texts", lambda *a, **k: scanned.append(a) or load_texts(*a, **k))
    settings = {"contamination.tasks": ["mini"], "contamination.action": "drop"}
    plan = planned(tmp_path, "data_fraction=1,0.5", **settings)
    run_sweep(plan, place(tmp_path))
    assert len(scanned) == 1


def test_faults_of_the_data_are_told_before_anything_is_trained(tmp_path: Path) -> None:
    write_toy(tmp_path)
    plan = planned(tmp_path, "data_fraction=1,0.001", languages=["de", "en", "fr", "it"])
    with pytest.raises(InvalidRecipe, match="no data for it"):
        run_sweep(plan, place(tmp_path))
    assert not (tmp_path / "out").exists()


def test_a_point_that_fails_is_named_and_what_was_done_is_kept(tmp_path: Path) -> None:
    write_toy(tmp_path)
    plan = planned(tmp_path, "alpha=1,0")
    blocked = tmp_path / "out" / "checkpoints" / plan.points[1].folder
    blocked.parent.mkdir(parents=True)
    blocked.write_text("in the way")
    with pytest.raises(UserError, match=r"^alpha 0, seed 0: .*is not a folder"):
        run_sweep(plan, place(tmp_path))
    assert len(list((tmp_path / "out" / "results").glob("*/*.json"))) == 1
    blocked.unlink()
    heard = Heard()
    run_sweep(plan, place(tmp_path), progress=heard)
    assert heard.notes[0] == "1 of 2 points are done already"


def test_results_of_other_data_are_not_compared(tmp_path: Path) -> None:
    write_toy(tmp_path)
    plan = planned(tmp_path, "alpha=1,0")
    run_sweep(plan, place(tmp_path))
    shutil.rmtree(tmp_path / "out" / "results" / plan.points[1].folder)
    path = tmp_path / "words" / "documents.de.jsonl"
    rows = path.read_text(encoding="utf-8")
    path.write_text(rows + json.dumps({"id": "more", "text": "de1 de2"}) + "\n", encoding="utf-8")
    with pytest.raises(UserError, match="was measured on other data"):
        run_sweep(plan, place(tmp_path))


def test_warnings_of_processes_are_told_and_lost_ones_with_the_option_of_sweeps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(engine: LocalProcesses, make_worker: object, items: Sequence[object]) -> Iterator[object]:
        assert (engine.workers, engine.overtakes) == (2, False)
        yield 1, ["warning: vectors are not kept"]
        raise EngineError(f"{items[0]}: 3 workers were lost over it: give fewer --workers")

    monkeypatch.setattr(LocalProcesses, "map", lost)
    folder, heard = write_toy(tmp_path / "other"), Heard()
    plan = planned(folder, "alpha=1,0", "views.overlap=0.5,1", seeds=2)
    with pytest.raises(EngineError, match=r"^alpha 1, overlap 0.5, seed 0: .*: give fewer --jobs$"):
        run_sweep(plan, place(folder), jobs=2, progress=heard)
    assert heard.notes[-2:] == ["warning: vectors are not kept", f"done: {plan.points[1].name}"]


def test_longer_trainings_go_on_from_shorter_ones_with_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_toy(tmp_path)
    plan = planned(tmp_path, "steps=30,10,20", "alpha=1,0")
    taken: list[int] = []
    step = SubwordTable.step
    monkeypatch.setattr(SubwordTable, "step", lambda *args: (taken.append(args[2]), step(*args))[1])
    found = run_sweep(plan, place(tmp_path))
    assert sorted(taken) == sorted([*range(30)] * 2)
    assert not list((tmp_path / "out" / "checkpoints").glob(".*"))
    for point, made in zip(plan.points, found.points, strict=True):
        alone = tmp_path / "alone" / point.folder
        fit(point.recipe, read_data(point.recipe), Destination(alone))
        checkpoint = tmp_path / "out" / made.checkpoint
        assert (alone / WEIGHTS).read_bytes() == (checkpoint / WEIGHTS).read_bytes()
        assert made.steps == point.recipe.steps
