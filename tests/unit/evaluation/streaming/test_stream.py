"""Streams against the same collections in memory, on every path."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import save_file
from unit.evaluation.streaming.shards_in_memory import LengthEncoder, write_task

from mlbench.collection.languages import Setting
from mlbench.embeddings.store import vector_key
from mlbench.errors import DataError, UserError
from mlbench.evaluation.in_memory import load_in_memory
from mlbench.evaluation.list_measures import ListJudge
from mlbench.evaluation.options import Options
from mlbench.evaluation.streaming import corpus, run, worker
from mlbench.evaluation.streaming.corpus import cut
from mlbench.evaluation.task_data import Clock, RankedTask, TaskData
from mlbench.leaderboard.check_ranks import counts_fault
from mlbench.protocols import Encoder, Resources, Role, Runtime, Silence
from mlbench.ranking.count_ahead import Block, Counts, Targets, Tiling, count_ahead
from mlbench.ranking.ranks import UNKNOWN, setting_ranks
from mlbench.ranking.run_files import SaveRun
from mlbench.tasks.task import load_task

ALL = '["monolingual", "cross_lingual", "multilingual"]'


class Notes(Silence):
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, message: str) -> None:
        self.lines.append(message)


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus, "cut", partial(cut, size=7))


@dataclass(frozen=True)
class Counted(RankedTask):
    """What ranking gives, with what was ranked."""

    data: TaskData | None = None

    @property
    def settings(self) -> tuple[Setting, ...]:
        assert self.data is not None
        return self.data.settings


def count(
    load: Callable[..., TaskData], task: Path, cache: Path, encoder: LengthEncoder | None = None, **options: object
) -> Counted:
    chosen = Options(cache=cache, **options)  # type: ignore[arg-type]
    model = chosen.open_model(encoder or LengthEncoder("cosine"))
    data = load(model, load_task(str(task)), chosen, languages=None, data_dir=None)
    with data.run_files(chosen.save_run) as files:
        ranked = data.rank(model, files, chosen, Clock())
    return Counted(**vars(ranked), data=data)


def assert_equal(one: Counted, other: Counted) -> None:
    for field in fields(one.ranks):
        assert np.array_equal(getattr(one.ranks, field.name), getattr(other.ranks, field.name)), field.name
    assert one.data is not None
    assert other.data is not None
    assert one.settings == other.settings
    assert one.data.languages == other.data.languages
    assert one.data.fingerprints == other.data.fingerprints


@pytest.mark.parametrize("pools", [None, "asked"])
def test_a_stream_gives_the_same_bits_as_memory(tmp_path: Path, pools: str | None) -> None:
    task = write_task(tmp_path, ALL)
    held = count(load_in_memory, task, tmp_path / "held", pools=pools)
    assert (held.ranks.ties > 0).any()
    assert held.ranks.is_compact == (pools == "asked")
    assert_equal(count(run.load_stream, task, tmp_path / "stream", pools=pools), held)


@pytest.mark.parametrize("more", ["", "long aeio"])
@pytest.mark.parametrize("ignore", [False, True])
def test_documents_with_the_id_of_a_query(tmp_path: Path, ignore: bool, more: str) -> None:
    task, told = write_task(tmp_path, ALL, topic="{}#0", more=more), []
    if ignore:
        task.write_text(f"ignore_identical_ids = true\n{task.read_text(encoding='utf-8')}", encoding="utf-8")
    for how, name in ((load_in_memory, "held"), (run.load_stream, "stream")):
        notes = Notes()
        save = SaveRun(tmp_path / name, 10)
        told.append(
            (count(how, task, tmp_path / f"{name}-cache", LengthEncoder(), progress=notes, save_run=save), notes)
        )
    (held, first), (stream, second) = told
    assert_equal(stream, held)
    for notes in (first, second):
        assert any("8 queries are documents of the corpora" in line for line in notes.lines) != ignore
    own = {(f"{language}:{n}#0", f"{language}-{n}#0") for language in ("sw", "yo") for n in range(5)}
    for path in (tmp_path / "stream").glob("*.trec"):
        assert path.read_text() == (tmp_path / "held" / path.name).read_text()
        lines = [line.split() for line in path.read_text().splitlines()]
        assert len(lines) == 5 * 10
        met = own & {(topic, doc_id[13:]) for topic, _, doc_id, *_ in lines}
        assert not (ignore and met)


def test_each_text_of_a_part_is_encoded_once(tmp_path: Path) -> None:
    encoder, cache = LengthEncoder("cosine"), tmp_path / "cache"
    found = count(run.load_stream, write_task(tmp_path, ALL), cache, encoder)
    assert found.texts == found.encoded == len(encoder.encoded)
    # Relevant documents are met again, in their parts.
    assert all(encoder.encoded.count(text) <= 2 * 9 for text in encoder.encoded)


@pytest.mark.parametrize("pools", [None, "asked"])
@pytest.mark.parametrize("kinds", ['["monolingual"]', '["cross_lingual"]', '["monolingual", "multilingual"]'])
def test_only_what_settings_ask_for_is_counted(tmp_path: Path, kinds: str, pools: str | None) -> None:
    task = write_task(tmp_path, kinds)
    held, found = (
        count(load, task, tmp_path / name, pools=pools)
        for load, name in ((load_in_memory, "held"), (run.load_stream, "stream"))
    )
    assert counts_fault(found.ranks, "encoder", found.settings) == ""
    assert (found.ranks.listed == UNKNOWN).any() == ("multilingual" not in kinds)
    for setting in held.settings:
        one, other = setting_ranks(held.ranks, setting), setting_ranks(found.ranks, setting)
        assert one.relevant.ranks.tolist() == other.relevant.ranks.tolist()
        assert repr((one.tied, one.pool_size)) == repr((other.tied, other.pool_size))


def test_dot_products_agree_with_those_in_memory_beside_a_long_document(tmp_path: Path) -> None:
    for more in ("", "long aeio"):
        task = write_task(tmp_path / f"task{more}", ALL, more=more)
        held = count(load_in_memory, task, tmp_path / f"held{more}", LengthEncoder())
        found = count(run.load_stream, task, tmp_path / f"stream{more}", LengthEncoder())
        assert_equal(found, held)


def test_a_second_run_counts_nothing(tmp_path: Path) -> None:
    task, encoder = write_task(tmp_path, ALL), LengthEncoder("cosine")
    first = count(run.load_stream, task, tmp_path / "cache", encoder)
    before = len(encoder.encoded)
    again = count(run.load_stream, task, tmp_path / "cache", encoder)
    assert len(encoder.encoded) == before
    assert (again.encoded, again.texts) == (0, first.texts)
    assert_equal(again, first)


@pytest.mark.parametrize("damage", [b"", b"PK broken", None])
def test_what_is_damaged_or_gone_is_counted_again(tmp_path: Path, damage: bytes | None) -> None:
    task, encoder, notes, cache = write_task(tmp_path, ALL), LengthEncoder("cosine"), Notes(), tmp_path / "cache"
    first = count(run.load_stream, task, cache, encoder)
    saved = sorted((cache / "streams").rglob("*.npz"))
    for path in saved[::2]:
        path.unlink() if damage is None else path.write_bytes(damage)
    assert_equal(count(run.load_stream, task, cache, encoder, progress=notes), first)
    warnings = [line for line in notes.lines if "is damaged" in line]
    assert len(warnings) == (0 if damage is None else len(saved[::2]))


def test_kept_vectors_serve_other_questions(tmp_path: Path) -> None:
    encoder, cache = LengthEncoder("cosine"), tmp_path / "cache"
    task = write_task(tmp_path, ALL)
    count(run.load_stream, task, cache, encoder, keep_vectors=True)
    before = len(encoder.encoded)
    task.write_text(task.read_text().replace(ALL, '["monolingual"]'))
    count(run.load_stream, task, cache, encoder, keep_vectors=True)
    assert len(encoder.encoded) == before


def read_part(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Return the arrays of a part, and what it says of itself."""
    with safe_open(path, framework="numpy") as file:
        return {name: file.get_tensor(name) for name in ("hashes", "vectors")}, file.metadata()


def test_kept_vectors_of_another_part_or_encoder_are_refused(tmp_path: Path) -> None:
    task, encoder, cache = write_task(tmp_path, ALL), LengthEncoder("cosine"), tmp_path / "cache"
    first = count(run.load_stream, task, cache, encoder, keep_vectors=True)
    one, other = sorted(cache.rglob("*.part.safetensors"))[:2]
    content = one.read_bytes(), other.read_bytes()
    one.write_bytes(content[1])
    other.write_bytes(content[0])
    shutil.rmtree(cache / "streams")
    before = len(encoder.encoded)
    assert_equal(count(run.load_stream, task, cache, encoder, keep_vectors=True), first)
    assert len(encoder.encoded) > before
    [folder] = {path.parent for path in cache.rglob("*.part.safetensors")}
    folder.rename(folder.parent / vector_key(LengthEncoder("dot"), "document"))
    shutil.rmtree(cache / "streams")
    dot = LengthEncoder("dot")
    count(run.load_stream, task, cache, dot, keep_vectors=True)
    assert len(dot.encoded) == before


def test_kept_counts_of_other_work_are_counted_again(tmp_path: Path) -> None:
    task, encoder, notes, cache = write_task(tmp_path, ALL), LengthEncoder("cosine"), Notes(), tmp_path / "cache"
    first = count(run.load_stream, task, cache, encoder)
    one, other = sorted((cache / "streams").glob("*-counts-*/*.npz"))[:2]
    one.write_bytes(other.read_bytes())
    assert_equal(count(run.load_stream, task, cache, encoder, progress=notes), first)
    assert sum("it is of other work" in line for line in notes.lines) == 1


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_kept_vectors_that_are_no_numbers_are_encoded_again(tmp_path: Path, value: float) -> None:
    task, encoder, cache = write_task(tmp_path, ALL), LengthEncoder("cosine"), tmp_path / "cache"
    first = count(run.load_stream, task, cache, encoder, keep_vectors=True)
    for path in cache.rglob("*.part.safetensors"):
        arrays, about = read_part(path)
        arrays["vectors"][-1, 2] = value
        save_file(arrays, path, metadata=about)
    shutil.rmtree(cache / "streams")
    before = len(encoder.encoded)
    assert_equal(count(run.load_stream, task, cache, encoder, keep_vectors=True), first)
    assert len(encoder.encoded) > before


@pytest.mark.slow
def test_vectors_of_a_part_that_are_kept_stay_beside_new_ones(tmp_path: Path) -> None:
    task, encoder, cache = write_task(tmp_path, ALL), LengthEncoder("cosine"), tmp_path / "cache"
    count(run.load_stream, task, cache, encoder, keep_vectors=True)
    for path in cache.rglob("*.part.safetensors"):
        arrays, about = read_part(path)
        save_file({name: np.ascontiguousarray(rows[1:]) for name, rows in arrays.items()}, path, metadata=about)
    met = [len(encoder.encoded)]
    for _ in range(2):
        shutil.rmtree(cache / "streams")
        count(run.load_stream, task, cache, encoder, keep_vectors=True)
        met.append(len(encoder.encoded))
    assert met[0] < met[1] == met[2]


def test_dropped_vectors_leave_none_of_the_parts(tmp_path: Path) -> None:
    count(run.load_stream, write_task(tmp_path, ALL), tmp_path / "cache", keep_vectors=False)
    assert not list((tmp_path / "cache").rglob("*.part.safetensors"))


def test_vectors_that_do_not_fit_are_refused_or_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task, notes = write_task(tmp_path, ALL), Notes()
    full = shutil_usage(free=100)
    monkeypatch.setattr(run.shutil, "disk_usage", full)
    with pytest.raises(UserError, match=r"vectors take 0 MB and .* has 0 MB free: set MLBENCH_CACHE"):
        count(run.load_stream, task, tmp_path / "cache", keep_vectors=True)
    count(run.load_stream, task, tmp_path / "cache", progress=notes)
    assert any("they are not kept" in line for line in notes.lines)


def shutil_usage(free: int) -> Callable[[Path], object]:
    return lambda folder: type("Usage", (), {"free": free})()


def test_a_cache_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    task, notes = write_task(tmp_path, ALL), Notes()
    (tmp_path / "file").write_text("in the way")
    first = count(run.load_stream, task, tmp_path / "cache")
    found = count(run.load_stream, task, tmp_path / "file", progress=notes, keep_vectors=False)
    assert_equal(found, first)
    assert sum("what is counted cannot be saved" in line for line in notes.lines) == 2


def test_run_files_are_those_of_memory(tmp_path: Path) -> None:
    task = write_task(tmp_path, ALL)
    for how, name in ((load_in_memory, "held"), (run.load_stream, "stream")):
        count(how, task, tmp_path / f"{name}-cache", save_run=SaveRun(tmp_path / name, 30))
    names = sorted(path.name for path in (tmp_path / "held").iterdir())
    assert len(names) == 12
    for name in names:
        assert (tmp_path / "stream" / name).read_text() == (tmp_path / "held" / name).read_text()


def test_counts_other_than_expected_are_refused(tmp_path: Path) -> None:
    task = load_task(str(write_task(tmp_path, ALL)))
    wrong = task.model_copy(update={"expected": replace_counts(task, {"sw": 61})})
    chosen = Options(cache=tmp_path / "cache")
    model = chosen.open_model(LengthEncoder("cosine"))
    with pytest.raises(DataError, match="sw has 60 documents, expected are 61"):
        run.load_stream(model, wrong, chosen, languages=None, data_dir=None)


def replace_counts(task: object, documents: dict[str, int]) -> object:
    return task.expected.model_copy(update={"documents": documents})  # type: ignore[attr-defined]


def test_a_worker_counts_with_the_threads_that_were_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: set[int | None] = set()

    def spy(queries: np.ndarray, targets: Targets, blocks: list[Block], *, tiling: Tiling) -> Counts:
        seen.add(tiling.threads)
        return count_ahead(queries, targets, blocks, tiling=tiling)

    monkeypatch.setattr(worker, "count_ahead", spy)
    count(run.load_stream, write_task(tmp_path, ALL), tmp_path / "cache", runtime=Runtime(threads=3))
    assert seen == {3}


def test_an_object_is_measured_by_one_process(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="a LengthEncoder in memory is measured by one process"):
        count(run.load_stream, write_task(tmp_path, ALL), tmp_path / "cache", resources=Resources(workers=2))


class Tagged(LengthEncoder):
    """A model that must know the language of a text."""

    def in_language(self, language: str) -> Encoder:
        return self


def test_an_encoder_that_must_know_languages_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Tagged must know the language of each text, which it is not told of"):
        count(run.load_stream, write_task(tmp_path, ALL), tmp_path / "cache", Tagged("cosine"))


class Another(LengthEncoder):
    """Another model, which gives the same vectors."""

    def fingerprint(self, role: Role) -> str:
        return f"another-{super().fingerprint(role)}"


def test_what_another_model_has_counted_is_counted_anew(tmp_path: Path) -> None:
    task, cache = write_task(tmp_path, ALL), tmp_path / "cache"
    first, other = LengthEncoder("cosine"), Another("cosine")
    for encoder in (first, other):
        count(run.load_stream, task, cache, encoder)
    assert other.encoded == first.encoded


class Cutting(LengthEncoder):
    """Cuts off what is longer than 15 letters."""

    def longest_input(self, role: Role) -> int | None:
        return 15

    def is_truncated(self, texts: Sequence[str], role: Role) -> NDArray[np.bool_] | None:
        return np.array([len(text) > 15 for text in texts], dtype=np.bool_)


def test_texts_that_are_cut_off_are_counted_as_in_memory(tmp_path: Path) -> None:
    task = write_task(tmp_path, ALL, more="a very long document")
    held = count(load_in_memory, task, tmp_path / "held", Cutting())
    assert held.truncated is not None
    assert {(row.role, row.n_texts) for row in held.truncated} == {("query", 5), ("document", 61)}
    assert all(0 < row.n_truncated < row.n_texts for row in held.truncated if row.role == "document")
    # The second stream finds the counts of the first.
    for _ in range(2):
        assert count(run.load_stream, task, tmp_path / "stream", Cutting()).truncated == held.truncated
    assert count(run.load_stream, task, tmp_path / "other").truncated is None


def test_measures_of_lists_are_those_in_memory(tmp_path: Path) -> None:
    """Lists are as long as the measures look, though ranks keep fewer documents."""
    task, found = write_task(tmp_path, ALL, documents=130), []
    for load in (load_in_memory, run.load_stream):
        chosen = Options(cache=tmp_path / load.__name__)
        data = load(
            chosen.open_model(LengthEncoder("cosine")), load_task(str(task)), chosen, languages=None, data_dir=None
        )
        judge = ListJudge(("Bpref", "AP(judged_only=True)", "Judged"), data.arrays, data.settings)
        data.rank(chosen.open_model(LengthEncoder("cosine")), judge, chosen, Clock())
        first = {code: np.flatnonzero(data.arrays.query_languages == code) for code in range(2)}
        asked = [(setting, first[data.collection.languages.index(setting.query_language)]) for setting in data.settings]
        found.append(np.stack([judge.values(setting, queries) for setting, queries in asked]))
    np.testing.assert_array_equal(*found)
    # Of 260 documents all are listed, and two are judged.
    assert found[0][-1, 0, 2] == 2 / 260
