"""Runs that keep the counts of their settings alone against runs that keep all: the same numbers, fewer answers."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

import pytest
from unit.seeing import LANGUAGES, ToyLister, ToySeer, write_task

import mlbench
from mlbench.collection.languages import Setting
from mlbench.collection.records import Document, Query
from mlbench.errors import UserError
from mlbench.evaluation import task_data
from mlbench.evaluation.evaluate import Evaluation
from mlbench.evaluation.options import Options, Pools
from mlbench.evaluation.verify import verify
from mlbench.leaderboard.check_ranks import counts_fault
from mlbench.protocols import Parameter, Silence
from mlbench.ranking import ranks as ranks_module
from mlbench.statistics.cluster_scores import ScoreRequest


@dataclass
class Shuffler:
    """A ranker whose lists of at most `longest` documents follow from digests."""

    longest: int | None

    @property
    def parameters(self) -> dict[str, Parameter]:
        return {}

    def fingerprint(self) -> str:
        return "0" * 64

    def search(
        self, setting: Setting, queries: Sequence[Query], documents: Sequence[Document], depth: int
    ) -> list[list[str]]:
        ids = [document.doc_id for document in documents]
        return [
            sorted(ids, key=lambda doc_id: crc32(f"{query.text} {doc_id}".encode()))[: self.longest or depth]
            for query in queries
        ]


class Notes(Silence):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)


def run(task: str, notes: Notes | None = None, *, model: object = "hashing", pools: Pools | None = None) -> Evaluation:
    options = Options(resamples=20, pools=pools, progress=notes or Notes())
    return mlbench.evaluate(model, task, languages=["de", "en", "th"], options=options)


@pytest.mark.parametrize(
    "model", ["hashing", Shuffler(None), Shuffler(7), ToySeer(), ToyLister(), ToyLister(5)], ids=repr
)
def test_numbers_are_the_same_and_follow_from_the_ranks(model: object, tmp_path: Path) -> None:
    task = "mini" if isinstance(model, str | Shuffler) else str(write_task(tmp_path / "task", 8))
    every, asked = run(task, model=model), run(task, model=model, pools="asked")
    assert asked.ranks.is_compact
    assert not every.ranks.is_compact
    for part in ("settings", "aggregates", "bias", "image_text", "statistics"):
        assert getattr(asked.result, part) == getattr(every.result, part), part
    found = verify(asked.save(tmp_path).path or tmp_path)
    assert found.differences == ()
    assert found.n_numbers == every.verify().n_numbers
    kind = asked.result.retriever.kind
    assert counts_fault(asked.ranks, kind, ScoreRequest.of_result(asked.result).settings) == ""


def test_sentences_that_leave_their_own_lists(tmp_path: Path) -> None:
    # Of ten sentences some are there twice, so that they tie.
    lines = [
        {"id": f"t{number}", "texts": {language: f"{number % 10} {language}" for language in LANGUAGES}}
        for number in range(14)
    ]
    (tmp_path / "lines.jsonl").write_text("\n".join(map(json.dumps, lines)))
    (tmp_path / "task.toml").write_text(
        'name = "sentences"\nreader = "parallel_texts"\nlanguages = ["de", "en", "th"]\n'
        'settings = ["cross_lingual", "multilingual"]\nfiles = [{path = "lines.jsonl"}]\n'
    )
    every, asked = run(str(tmp_path)), run(str(tmp_path), pools="asked")
    assert asked.ranks.queries_are_documents
    assert (asked.ranks.ties > 0).any()
    assert every.result.settings == asked.result.settings
    assert every.result.bias == asked.result.bias
    assert asked.verify().differences == ()


def test_other_pools_are_answered_where_all_are_kept() -> None:
    assert run("mini", pools="any").pool(["de", "en"]).n_documents > 0
    asked = run("mini", pools="asked")
    assert asked.pool(["th"]).settings == run("mini").pool(["th"]).settings
    with pytest.raises(UserError, match=r"de,en was not asked for in this run.*measure again with --pools any"):
        asked.pool(["de", "en"])
    with pytest.raises(UserError, match="no language"):
        asked.pool(["de", "fr"])


def test_many_counts_are_kept_for_the_settings_alone_and_a_line_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranks_module, "MOST_COUNTS", 100)
    notes = Notes()
    assert run("mini", notes).ranks.is_compact
    assert sum("--pools any keeps the counts of all" in note for note in notes.notes) == 1
    notes = Notes()
    assert run("mini", notes, pools="asked").ranks.is_compact
    assert not run("mini", notes, pools="any").ranks.is_compact
    assert run("mini", notes, model=Shuffler(7)).ranks.is_compact
    assert not run("mini", notes, model=Shuffler(7), pools="any").ranks.is_compact
    assert not any("--pools" in note for note in notes.notes)


def test_counts_that_no_file_holds_are_refused_before_they_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_data, "LARGEST", 1000)
    with pytest.raises(UserError, match="or leave out --pools"):
        run("mini", pools="any")
    assert run("mini").result.settings


def test_other_words_are_refused() -> None:
    with pytest.raises(UserError, match="unknown kind of pools 'all'"):
        Options(pools="all")  # type: ignore[arg-type]
