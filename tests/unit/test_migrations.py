"""Documents that version 1 wrote are read as those of today."""

import json
import shutil
from copy import deepcopy
from pathlib import Path
from types import ModuleType

import pytest
from unit.reports.sweep_cases import make_sweep

from mlbench import results
from mlbench.compare import sweep
from mlbench.evaluation.evaluate import measure
from mlbench.evaluation.options import Options
from mlbench.evaluation.verify import verify
from mlbench.io.document import to_json
from mlbench.results import read_result, write_result
from mlbench.tasks.task import load_task

# Written by mlbench with schema 1: `mlbench run` with hashing on German and English of mini, and a sweep made by hand.
GOLDEN = Path(__file__).parents[1] / "golden" / "version-1"
RESULT = GOLDEN / "mini.de.en.hashing-e96315a1.json"
RANKS = GOLDEN / "mini.de.en.hashing-e96315a1.ranks.npz"
SWEEP = GOLDEN / "sweep.json"


def plain(path: Path) -> dict[str, object]:
    document: dict[str, object] = json.loads(path.read_text(encoding="utf-8"))
    return document


# Intervals are wider today, and more stands beside bias scores.
OTHER_TODAY = ("interval", "intervals", "references", "unretrieved_share")


def comparable(document: object) -> object:
    """Leave out what is made by another formula today, and the last bits, which depend on the order of a sum."""
    if isinstance(document, list):
        return [comparable(part) for part in document]
    if isinstance(document, float):
        return float(f"{document:.14g}")
    if not isinstance(document, dict):
        return document
    return {key: comparable(value) for key, value in document.items() if key not in OTHER_TODAY}


def wrong(path: Path) -> list[str]:
    """Where a document differs from what its ranks give, though both are made by one formula."""
    places = [told.split()[0] for told in verify(path).differences]
    return [place for place in places if not any(f".{name}" in place for name in OTHER_TODAY)]


@pytest.mark.parametrize("module", [results, sweep])
def test_every_older_major_version_has_a_migration(module: ModuleType) -> None:
    assert sorted(module.MIGRATIONS) == list(range(1, int(module.SCHEMA_VERSION.partition(".")[0])))


@pytest.mark.parametrize("path", [RESULT, SWEEP])
def test_a_migration_leaves_what_it_is_given(path: Path) -> None:
    document = json.loads(path.read_text(encoding="utf-8"))
    given = deepcopy(document)
    (sweep if path == SWEEP else results).MIGRATIONS[1](document)
    assert document == given


class TestResult:
    def test_every_number_is_kept_and_follows_from_the_ranks(self) -> None:
        assert wrong(RESULT) == []
        found = verify(RESULT)
        assert found.n_numbers > 500
        before = json.loads(RESULT.read_text(encoding="utf-8"))
        before["statistics"] |= {"clustered_by": before["statistics"].pop("unit"), "warning": None}
        before["task"] |= {"documents": "translations", "ignore_identical_ids": False}
        before["truncated"] = None
        before["retriever"] |= {"name": None, "registry": None}
        for score in before["bias"]["scores"]:
            score["unretrieved_share"] = None
        before["retriever"]["repeatability"] = before["cost"]["price"] = None
        assert found.result.model_dump(mode="json") == {**before, "schema_version": "2.1"}

    def test_written_again_it_is_what_a_run_of_today_writes(self, tmp_path: Path) -> None:
        options = Options(settings={"dim": "64"}, cache=tmp_path / "cache", resamples=20)
        asked = read_result(RESULT).task.bias_scores
        task = load_task("mini").model_copy(update={"bias_scores": asked})
        done = measure(options.open_model("hashing"), task, languages=("de", "en"), options=options)
        again = write_result(read_result(RESULT), RANKS.read_bytes(), tmp_path / "again")
        today = write_result(done.result, done.ranks_file, tmp_path / "today")
        assert again.name == today.name
        assert RANKS.read_bytes() == today.with_name(RANKS.name).read_bytes()
        one, other = (
            comparable({key: value for key, value in plain(path).items() if key not in ("cost", "environment")})
            for path in (again, today)
        )
        assert one == other

    def test_a_forged_number_is_found(self, tmp_path: Path) -> None:
        document = json.loads(RESULT.read_text(encoding="utf-8"))
        document["settings"][0]["measures"]["AP"] = 0.9
        (tmp_path / RESULT.name).write_text(json.dumps(document), encoding="utf-8")
        shutil.copy(RANKS, tmp_path)
        assert wrong(tmp_path / RESULT.name) == ["settings[0].measures.AP"]


def test_a_sweep_of_version_1_is_what_is_written_today() -> None:
    assert to_json(sweep.from_json(SWEEP.read_bytes())) == to_json(make_sweep())
