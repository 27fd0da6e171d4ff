import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mlbench.errors import InvalidResult, UserError
from mlbench.evaluation.evaluate import measure
from mlbench.evaluation.options import Options
from mlbench.evaluation.verify import Verification, verify
from mlbench.ranking.ranks_file import read_ranks, write_ranks
from mlbench.results import digest, write_result


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two results beside each other, of encoders that differ."""
    cache = tmp_path_factory.mktemp("cache")
    folder = tmp_path_factory.mktemp("results")
    paths = {}
    for dim in ("32", "64"):
        options = Options(settings={"dim": dim}, cache=cache, resamples=20)
        done = measure(options.open_model("hashing"), "mini", languages=("en", "th", "zh"), options=options)
        paths[dim] = write_result(done.result, done.ranks_file, folder)
    return paths


@pytest.fixture
def path(measured: dict[str, Path], tmp_path: Path) -> Path:
    """A copy of one result with its ranks."""
    for each in measured["64"].parent.iterdir():
        shutil.copy(each, tmp_path)
    return tmp_path / measured["64"].name


def change(path: Path, place: str, value: object) -> None:
    document = json.loads(path.read_text(encoding="utf-8"))
    *steps, last = [int(step) if step.isdigit() else step for step in place.split(".")]
    inner = document
    for step in steps:
        inner = inner[step]
    assert inner[last] != value
    inner[last] = value
    path.write_text(json.dumps(document), encoding="utf-8")


def numbers(value: object) -> Iterator[float]:
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from numbers(inner)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield value


def test_a_result_follows_from_its_ranks(path: Path) -> None:
    found = verify(path)
    assert isinstance(found, Verification)
    assert found.differences == ()
    document = json.loads(path.read_text(encoding="utf-8"))
    counted = [n for part in ("settings", "aggregates", "bias", "statistics") for n in numbers(document[part])]
    assert found.n_numbers == len(counted) > 500


def test_a_result_of_a_newer_minor_version_is_verified_without_what_is_unknown(path: Path) -> None:
    known = verify(path)
    document = json.loads(path.read_text(encoding="utf-8"))
    document["schema_version"] = "2.2"
    document["new"] = {"numbers": [1.5]}
    document["settings"][0]["new"] = 0.5
    document["statistics"]["new"] = "stratified"
    path.write_text(json.dumps(document), encoding="utf-8")
    found = verify(path)
    assert (found.result, found.n_numbers, found.differences) == (known.result, known.n_numbers, ())
    document["settings"][0]["measures"]["AP"] = 0.9
    path.write_text(json.dumps(document), encoding="utf-8")
    assert len(verify(path).differences) == 1


CHANGES = {
    "settings.0.measures.AP": 0.5,
    "settings.3.measures.R@1": 0.123,
    "settings.11.measures.nDCG@10": None,
    "settings.0.n_queries": 23,
    "settings.0.n_documents": 47,
    "settings.0.tied_share": 0.5,
    "settings.0.unretrieved_share": 0.1,
    "settings.0.intervals.AP.low": 0.0,
    "settings.0.kind": "cross_lingual",
    "aggregates.0.measures.AP": 0.9,
    "aggregates.1.intervals.R@10.high": 0.99,
    "aggregates.1.ceilings.R@10": 0.5,
    "aggregates.0.n_settings": 4,
    "aggregates.0.query_language": "en",
    "bias.scores.0.value": 0.5,
    "bias.scores.1.references.chance": 1.0,
    "bias.scores.1.rows.0.value": 1.0,
    "bias.scores.1.rows.0.language": "zh",
    "bias.n_topics": 25,
    "bias.warning": "ties",
    "bias.language_shares.0.share": 1.5,
    "statistics.n_clusters": 12,
    "statistics.redraws": 1,
    "statistics.clustered_by": "article",
}


@pytest.mark.parametrize("place", CHANGES)
def test_every_changed_number_is_found(path: Path, place: str) -> None:
    change(path, place, CHANGES[place])
    found = verify(path).differences
    assert len(found) == 1
    bracketed = "".join(f"[{step}]" if step.isdigit() else f".{step}" for step in place.split(".")).lstrip(".")
    assert found[0].startswith(bracketed + " is ")
    assert "recomputed" in found[0]


@pytest.mark.parametrize("places", [10, 13])
def test_differences_of_another_processor_are_forgiven_and_no_others(path: Path, places: int) -> None:
    value = json.loads(path.read_text(encoding="utf-8"))["settings"][0]["measures"]["AP"]
    change(path, "settings.0.measures.AP", value + 10.0**-places)
    assert verify(path).differences == ()
    change(path, "settings.0.measures.AP", value + 1e-8)
    assert len(verify(path).differences) == 1


def test_whole_parts_that_are_missing_are_found(path: Path) -> None:
    change(path, "bias", None)
    assert [d.split(" is ")[0] for d in verify(path).differences] == ["bias"]
    change(path, "aggregates", [])
    assert [d.split(" is ")[0] for d in verify(path).differences] == ["aggregates", "bias"]


@pytest.mark.parametrize(
    ("place", "value"),
    [("statistics.seed", 1), ("statistics.resamples", 21), ("statistics.confidence", 0.9), ("task.parallel", False)],
)
def test_other_intervals_than_those_stated_are_found(path: Path, place: str, value: object) -> None:
    change(path, place, value)
    assert verify(path).differences


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ("task.measures.0", "AP@x", "unknown measure|primary"),
        ("task.measures.1", "bpraf", "unknown measure 'bpraf'"),
        ("task.bias_scores.0", "kindness", "unknown bias score 'kindness'"),
        ("settings.0.query_language", "xx", "no language 'xx'"),
        ("settings.0.document_languages", ["xx"], "no language 'xx'"),
        ("settings.0.document_languages", [], "at least one document language"),
        ("task.languages", ["en", "th"], "have different languages"),
        ("ranks.name", "../else.ranks.npz", "must lie beside the document"),
        ("ranks.name", "none.ranks.npz", "cannot read .*none.ranks.npz: No such file"),
        ("ranks.name", "", "cannot read"),
        ("ranks.sha256", "0" * 64, "is not the ranks file of"),
    ],
)
def test_documents_that_cannot_be_recomputed_are_told(path: Path, place: str, value: object, message: str) -> None:
    change(path, place, value)
    with pytest.raises(UserError, match=message) as raised:
        verify(path)
    assert "\n" not in str(raised.value)


def ranks_of(path: Path) -> Path:
    return path.parent / json.loads(path.read_text(encoding="utf-8"))["ranks"]["name"]


def test_a_changed_ranks_file_is_found(path: Path) -> None:
    content = bytearray(ranks_of(path).read_bytes())
    content[len(content) // 2] ^= 1
    ranks_of(path).write_bytes(content)
    with pytest.raises(InvalidResult, match="is not the ranks file of"):
        verify(path)


def test_a_missing_ranks_file_is_told(path: Path) -> None:
    ranks_of(path).unlink()
    with pytest.raises(InvalidResult, match=r"cannot read .*ranks\.npz: No such file or directory; it belongs to"):
        verify(path)


def test_swapped_ranks_files_are_found(path: Path, measured: dict[str, Path]) -> None:
    other = path.parent / measured["32"].name
    one, two = ranks_of(path).read_bytes(), ranks_of(other).read_bytes()
    ranks_of(path).write_bytes(two)
    ranks_of(other).write_bytes(one)
    for each in (path, other):
        with pytest.raises(InvalidResult, match="is not the ranks file of"):
            verify(each)


def test_ranks_that_were_changed_and_signed_again_give_other_numbers(path: Path) -> None:
    ranks = read_ranks(ranks_of(path))
    ahead = ranks.ahead.copy()
    # The last of all relevant documents falls one place further, where no other one stands.
    row = int(ahead.sum(axis=1).argmax())
    ahead[row, ahead[row].argmin()] += 1
    content = write_ranks(replace(ranks, ahead=ahead))
    ranks_of(path).write_bytes(content)
    change(path, "ranks.sha256", digest(content))
    assert verify(path).differences


def test_an_unsound_ranks_file_is_told(path: Path) -> None:
    ranks_of(path).write_bytes(b"nothing")
    change(path, "ranks.sha256", digest(b"nothing"))
    with pytest.raises(InvalidResult, match="is not a ranks file"):
        verify(path)


def test_one_setting_twice(path: Path) -> None:
    document = json.loads(path.read_text(encoding="utf-8"))
    change(path, "settings", [*document["settings"], document["settings"][0]])
    with pytest.raises(InvalidResult, match="has one setting twice"):
        verify(path)


def test_no_more_is_recomputed_than_a_run_could_have_made(path: Path) -> None:
    change(path, "task.measures", ["AP", *(f"R@{k}" for k in range(1, 1000))])
    change(path, "statistics.resamples", 100_000)
    with pytest.raises(InvalidResult, match="asks for 1,200,000,000 numbers at once"):
        verify(path)


def test_a_name_that_no_file_can_have(path: Path) -> None:
    change(path, "ranks.name", "a\0b")
    with pytest.raises(InvalidResult, match="embedded null byte"):
        verify(path)


def test_a_name_without_end(path: Path) -> None:
    change(path, "ranks.name", "a" * 50_000)
    with pytest.raises(InvalidResult, match=r"names the ranks file 'a{99}: it must lie beside"):
        verify(path)
