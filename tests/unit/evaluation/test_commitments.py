"""`commit_vectors`: what a run writes of it, and that nothing else of its result changes."""

from pathlib import Path

import pytest
from functional.forging import read
from unit.seeing import ToySeer, write_task

from mlbench import Options, evaluate
from mlbench.embeddings.commitment import read_commitment, texts_in_order
from mlbench.errors import UserError
from mlbench.leaderboard.challenge import Draw, audit_vectors
from mlbench.results import read_result, vectors_file
from mlbench.tasks.load import load_collection
from mlbench.tasks.task import load_task

LARGEST = 2**20
TOLD = ("cost", "environment", "vectors")


@pytest.fixture
def options(tmp_path: Path) -> Options:
    return Options(resamples=2, cache=tmp_path / "cache", commit_vectors=True)


def test_a_run_commits_to_all_vectors_and_changes_nothing_else(tmp_path: Path, options: Options) -> None:
    done = evaluate("hashing", "mini", out=tmp_path / "with", options=options)
    assert done.path is not None
    beside = vectors_file(done.path, read_result(done.path))
    assert beside == done.path.with_suffix(".vectors.npz")
    collection = load_collection(load_task("mini"))
    assert read_commitment(beside, LARGEST).is_of(texts_in_order(collection))
    # Its vectors were kept.
    again = evaluate("hashing", "mini", options=options)
    assert (again.result.cost.encoded_texts, again.vectors_file) == (0, done.vectors_file)
    plain = evaluate(
        "hashing", "mini", out=tmp_path / "without", options=Options(resamples=2, cache=tmp_path / "cache")
    )
    assert (plain.vectors_file, plain.ranks_file) == (None, done.ranks_file)
    one, two = (read(each.path) for each in (done, plain))
    assert {key: one[key] for key in one if key not in TOLD} == {key: two[key] for key in two if key not in TOLD}
    assert sorted(path.suffix for path in (tmp_path / "without").iterdir()) == [".json", ".npz"]


def test_the_lists_of_a_ranker_are_its_commitment(options: Options) -> None:
    assert evaluate("bm25s", "mini", languages=["de", "en"], options=options).result.vectors is None


def test_the_vectors_of_shards_are_not_committed_to(options: Options, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlbench.evaluation.evaluate.is_sharded", lambda task: True)
    with pytest.raises(UserError, match="mini is read in shards"):
        evaluate("hashing", "mini", options=options)


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
def test_images_are_committed_to_and_audited(tmp_path: Path, options: Options, similarity: str) -> None:
    folder = write_task(tmp_path / "pictures", 16, {"de": 1, "en": 2, "th": 1})
    done = evaluate(ToySeer(similarity=similarity), str(folder), out=tmp_path / "out", options=options)
    assert done.path is not None
    collection, commitment = (
        load_collection(load_task(str(folder))),
        read_commitment(done.path.with_suffix(".vectors.npz"), LARGEST),
    )
    found = audit_vectors(ToySeer(similarity=similarity), collection, done.ranks, commitment, Draw("5eed", "pictures"))
    assert (found.faults, found.n_drawn, found.share) == ((), found.n_texts, 1.0)
    forged = audit_vectors(
        ToySeer(seed=1, similarity=similarity), collection, done.ranks, commitment, Draw("5eed", "pictures")
    )
    assert len(forged.faults) >= 2
