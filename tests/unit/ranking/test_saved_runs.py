"""Run files against orders sorted by hand; nothing half-written."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlbench.collection.languages import Setting, settings_of
from mlbench.collection.records import Collection, Document, Judgment, Query, document_id
from mlbench.embeddings.exact import Grid
from mlbench.errors import UserError
from mlbench.protocols import Parameter, Silence
from mlbench.ranking import run_files
from mlbench.ranking.count_ahead import Block
from mlbench.ranking.index_arrays import IndexArrays, index_collection
from mlbench.ranking.run_files import LONGEST, RecordingRanker, RunFiles, SaveRun, save_rankings, stem_of

LANGUAGES = ("aa", "bb")


def collection(n: int = 4, *, topic: str = "t{}") -> Collection:
    names = {a: [document_id("own", a, "p", str(i)) for i in range(n)] for a in LANGUAGES}
    topics = [topic.format(i) for i in range(n)]
    return Collection(
        languages=LANGUAGES,
        queries={a: tuple(Query(name, f"{a} {name}") for name in topics) for a in LANGUAGES},
        documents={a: tuple(Document(name, f"{a} {name}") for name in names[a]) for a in LANGUAGES},
        judgments={
            name: tuple(Judgment(a, names[a][i], 1 + i % 2) for a in LANGUAGES) for i, name in enumerate(topics)
        },
        clusters={name: name for name in topics},
    )


def vectors_of(arrays: IndexArrays, rows: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    """Vectors with few values, so that many scores are equal."""
    n = len(arrays.query_topics)
    cycled = [rows[i % len(rows)] for i in range(n + arrays.n_documents)]
    grid = np.array(cycled, dtype=np.float64) / 8
    return grid[:n], grid[n:]


def save(files: RunFiles, queries: np.ndarray, documents: np.ndarray, threads: int) -> None:
    """Save the lists of vectors that are on the grid as they are."""
    own = [files.arrays.corpus(index) for index in range(len(LANGUAGES))]
    blocks = [Block(documents[positions], positions) for positions in own]
    save_rankings(files, Grid.of(queries, "dot"), blocks, threads=threads, progress=Silence())


def read_run(path: Path) -> dict[str, list[tuple[str, str, str]]]:
    lists: dict[str, list[tuple[str, str, str]]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        topic, zero, doc_id, position, score, tag = line.split()
        assert (zero, tag) == ("Q0", "mlbench")
        lists.setdefault(topic, []).append((doc_id, position, score))
    return lists


small = st.tuples(st.integers(-2, 2), st.integers(-2, 2))


@given(rows=st.lists(small, min_size=1, max_size=9), depth=st.integers(1, 12), n=st.integers(1, 5))
@settings(max_examples=60)
def test_lists_are_in_the_total_order(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[int, int]], depth: int, n: int
) -> None:
    arrays = index_collection(collection(n))
    queries, documents = vectors_of(arrays, rows)
    wanted = settings_of(LANGUAGES)
    folder = tmp_path_factory.mktemp("runs")
    with RunFiles(SaveRun(folder, depth), arrays, wanted) as files:
        save(files, queries, documents, threads=1)
    assert {path.name for path in folder.iterdir()} == {
        f"{stem_of(setting)}.{ending}" for setting in wanted for ending in ("trec", "qrels")
    }
    for setting in wanted:
        lists = read_run(folder / f"{stem_of(setting)}.trec")
        for query, (topic, language) in enumerate(zip(arrays.query_topics, arrays.query_languages, strict=True)):
            if LANGUAGES[language] != setting.query_language:
                continue
            scored = [
                (sum(Fraction(a) * Fraction(b) for a, b in zip(queries[query], documents[i], strict=True)), doc_id)
                for i, doc_id in enumerate(arrays.document_ids)
                if LANGUAGES[arrays.document_languages[i]] in setting.document_languages
            ]
            best = [doc_id for _, doc_id in sorted(scored, reverse=True)][:depth]
            expected = [(doc_id, str(i + 1), str(len(best) - i)) for i, doc_id in enumerate(best)]
            assert lists[arrays.topic_ids[topic]] == expected


def test_blocks_of_queries_do_not_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = index_collection(collection(30))
    queries, documents = (np.random.RandomState(0).randint(-3, 4, (60, 5)) / 16.0 for _ in range(2))
    written = []
    for cells in (2**21, 1):
        monkeypatch.setattr(run_files, "_CELLS", cells)
        with RunFiles(SaveRun(tmp_path / str(cells), 7), arrays, settings_of(LANGUAGES)) as files:
            save(files, queries, documents, threads=2)
        written.append({path.name: path.read_bytes() for path in (tmp_path / str(cells)).iterdir()})
    assert written[0] == written[1]


def test_judgments_are_those_of_the_setting(tmp_path: Path) -> None:
    arrays = index_collection(collection(2))
    with RunFiles(SaveRun(tmp_path), arrays, settings_of(LANGUAGES)) as files:
        for setting in files.settings:
            files.write(setting, [[], []])
    ids = {a: [document.doc_id for document in arrays.collection.documents[a]] for a in LANGUAGES}
    assert (tmp_path / "aa-bb.qrels").read_text() == f"t0 0 {ids['bb'][0]} 1\nt1 0 {ids['bb'][1]} 2\n"
    assert len((tmp_path / "bb-aa+bb.qrels").read_text().splitlines()) == 4
    assert (tmp_path / "aa-aa.trec").read_text() == ""


class Constant:
    """A ranker that gives every query the same list."""

    def __init__(self, lists: list[list[str]]) -> None:
        self.lists = lists
        self.parameters: dict[str, Parameter] = {"kind": "constant"}

    def fingerprint(self) -> str:
        return "constant"

    def search(self, setting: object, queries: object, documents: object, depth: int) -> list[list[str]]:
        return self.lists


def test_lists_of_a_ranker_are_written_as_given(tmp_path: Path) -> None:
    arrays, setting = index_collection(collection(2)), Setting("aa", ("bb",))
    ranker = Constant([["x", "y", "z"], ["y"]])
    with RunFiles(SaveRun(tmp_path, 2), arrays, [setting]) as files:
        recorded = RecordingRanker(ranker, files)
        assert recorded.search(setting, arrays.collection.queries["aa"], (), 9) == ranker.lists
    assert (recorded.parameters, recorded.fingerprint()) == ({"kind": "constant"}, "constant")
    assert read_run(tmp_path / "aa-bb.trec") == {"t0": [("x", "1", "2"), ("y", "2", "1")], "t1": [("y", "1", "1")]}


def test_after_an_error_nothing_is_left(tmp_path: Path) -> None:
    arrays, setting = index_collection(collection(2)), Setting("aa", ("aa",))
    with pytest.raises(RuntimeError), RunFiles(SaveRun(tmp_path / "new"), arrays, [setting]) as files:  # noqa: PT012
        files.write(setting, [["x"], ["y"]])
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_files_of_before_stay_until_all_are_whole(tmp_path: Path) -> None:
    arrays, setting = index_collection(collection(2)), Setting("aa", ("aa",))
    (tmp_path / "aa-aa.trec").write_text("before")
    with pytest.raises(ValueError, match="shorter"), RunFiles(SaveRun(tmp_path), arrays, [setting]) as files:
        files.write(setting, [["x"]])
    assert [path.name for path in tmp_path.iterdir()] == ["aa-aa.trec"]
    assert (tmp_path / "aa-aa.trec").read_text() == "before"
    with RunFiles(SaveRun(tmp_path), arrays, [setting]) as files:
        files.write(setting, [["x"], ["y"]])
    assert read_run(tmp_path / "aa-aa.trec") == {"t0": [("x", "1", "1")], "t1": [("y", "1", "1")]}


@pytest.mark.parametrize("name", ["de-en.trec", "bb-bb.trec.gz"])
def test_runs_of_another_system_are_not_mixed_in(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    files = RunFiles(SaveRun(tmp_path), index_collection(collection()), [Setting("aa", ("aa",))])
    with pytest.raises(UserError, match=f"holds {name} of another run"), files:
        pass
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    files = RunFiles(SaveRun(tmp_path / "file"), index_collection(collection()), [Setting("aa", ("aa",))])
    with pytest.raises(UserError, match="cannot write run files to"), files:
        pass


@pytest.mark.parametrize("topic", ["t {}", "t\u00a0{}", " t{}", "t{}\t"])
def test_ids_with_blanks_are_refused(tmp_path: Path, topic: str) -> None:
    files = RunFiles(SaveRun(tmp_path / "new"), index_collection(collection(1, topic=topic)), [Setting("aa", ("aa",))])
    with pytest.raises(UserError, match=r"topic id .* holds a blank"), files:
        pass
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("depth", [0, -1, LONGEST + 1])
def test_depth_is_within_what_float32_can_tell_apart(tmp_path: Path, depth: int) -> None:
    with pytest.raises(UserError, match="16,777,216"):
        SaveRun(tmp_path, depth)
    scores = np.array([LONGEST, LONGEST - 1], dtype=np.float32)
    assert scores[0] > scores[1]


def test_many_languages_do_not_make_a_name_too_long() -> None:
    tags = tuple(f"a{chr(97 + i // 26)}{chr(97 + i % 26)}" for i in range(90))
    assert stem_of(Setting("aaa", tags)) == "aaa-all"
    assert stem_of(Setting("th", ("th", "ar", "en"))) == "th-ar+en+th"
