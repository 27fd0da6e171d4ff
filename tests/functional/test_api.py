"""`mlbench.evaluate` as a notebook uses it."""

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import own_task, tiny_checkpoint

import mlbench
from mlbench import Options, Runtime, Setting, UserError
from mlbench.protocols import Role
from mlbench.ranking import read_ranks

FEW = Options(resamples=20)


class Letters:
    """Counts letters; knows what it was asked."""

    dim = 27
    similarity = "cosine"

    def __init__(self) -> None:
        self.asked: list[str] = []

    @property
    def parameters(self) -> dict[str, Any]:
        return {"alphabet": "latin"}

    def fingerprint(self, role: Role) -> str:
        return "letters"

    def encode(self, texts: Sequence[str], role: Role) -> np.ndarray:
        self.asked += texts
        counts = [[text.count(chr(97 + n)) for n in range(26)] for text in texts]
        return np.array([[*row, 1 + sum(map(ord, text)) % 97] for row, text in zip(counts, texts, strict=True)], float)


class Reverse:
    """Lists every pool from its last document to its first."""

    @property
    def parameters(self) -> dict[str, Any]:
        return {}

    def fingerprint(self) -> str:
        return "reverse"

    def search(self, setting: Setting, queries: Any, documents: Any, depth: int) -> list[list[str]]:
        return [[document.doc_id for document in reversed(documents)][:depth] for _ in queries]


@pytest.fixture
def own(tmp_path: Path) -> str:
    return str(own_task(tmp_path / "own"))


def same(one: mlbench.Result, two: mlbench.Result) -> bool:
    left_out = {"cost", "environment"}
    return one.model_dump(exclude=left_out) == two.model_dump(exclude=left_out)


def test_a_spec_on_the_shipped_task(capfd: pytest.CaptureFixture[str]) -> None:
    result = mlbench.evaluate("hashing", "mini", options=FEW).result
    assert isinstance(result, mlbench.Result)
    assert len(result.settings) == 132
    aggregate = result.aggregate("multilingual")
    assert aggregate is not None
    assert aggregate.measures["R@10"] == pytest.approx(0.0965, abs=0.01)
    assert result.bias is not None
    score = result.bias.score("own_language_preference")
    assert score is not None
    assert score.value > 0.9
    assert capfd.readouterr() == ("", "")


def test_another_similarity_is_another_retriever(own: str) -> None:
    class Products(Letters):
        similarity = "dot"

    one, two = (mlbench.evaluate(model, own, options=FEW).result for model in (Letters(), Products()))
    assert one.retriever.fingerprint != two.retriever.fingerprint
    assert one.ranks.name != two.ranks.name


def test_what_a_notebook_gets_is_what_the_command_line_saves(own: str, tmp_path: Path) -> None:
    result = mlbench.evaluate("hashing", own, out=tmp_path / "out", options=FEW).result
    [path] = (tmp_path / "out").glob("*.json")
    assert mlbench.read_result(path) == result
    options = ("--model", "hashing", "--resamples", "20", "--out", "cli")
    done = subprocess.run(
        [sys.executable, "-m", "mlbench", "run", "-q", "--task", own, *options],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    assert done.stderr == b""
    assert same(mlbench.read_result(tmp_path / "cli" / path.name), result)


def test_nothing_is_written_without_out(own: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    mlbench.evaluate("hashing", own, options=FEW)
    assert {path.name for path in tmp_path.iterdir()} == {"own"}


def test_an_encoder_object_is_asked_for_each_text_once(own: str, tmp_path: Path) -> None:
    letters = Letters()
    options = Options(resamples=2, cache=tmp_path / "cache")
    result = mlbench.evaluate(letters, mlbench.load_task(own), options=options).result
    assert len(letters.asked) == len(set(letters.asked)) == 54
    assert (result.retriever.spec, result.retriever.kind, result.retriever.dim) == ("Letters", "encoder", 27)
    assert result.retriever.parameters == {"alphabet": "latin"}
    again = mlbench.evaluate(letters, own, languages=["en", "de"], options=options).result
    assert len(letters.asked) == 54
    assert (again.cost.encoded_texts, again.task.partial) == (0, True)
    assert len(list((tmp_path / "cache").rglob("*.safetensors"))) == 6


def test_a_ranker_object(own: str) -> None:
    result = mlbench.evaluate(Reverse(), own, options=FEW).result
    assert (result.retriever.spec, result.retriever.kind, result.cost.texts) == ("Reverse", "ranker", None)
    # Of 12 documents the relevant one of topic n stands at 2 n, so from behind it is number 12 - 2 n.
    expected = np.mean([1 / (12 - 2 * n) for n in range(6)])
    mono = result.aggregate("monolingual")
    assert mono is not None
    assert mono.measures["AP"] == pytest.approx(expected)


def test_a_sentence_transformer_in_memory_is_as_its_folder(own: str, tmp_path: Path) -> None:
    library = pytest.importorskip("sentence_transformers", exc_type=ImportError)
    folder = tiny_checkpoint(tmp_path / "model")
    in_memory = mlbench.evaluate(library.SentenceTransformer(str(folder), device="cpu"), own, options=FEW).result
    assert (in_memory.retriever.spec, in_memory.retriever.dim) == ("SentenceTransformer", 16)
    on_disk = mlbench.evaluate(str(folder), own, options=Options(resamples=20, runtime=Runtime(device="cpu"))).result
    assert on_disk.settings == in_memory.settings
    assert on_disk.retriever.spec == f"{tmp_path.name}/model"


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        (("hashin:", "mini"), "UnknownName", "did you mean hashing"),
        (("hashing", "minni"), "UnknownName", "did you mean mini"),
        ((3, "mini"), "RetrieverError", "the int is no retriever: it lacks dim, encode"),
        ((Letters, "mini"), "RetrieverError", "Letters is a class, not a retriever: give an object"),
        ((np.eye(3), "mini"), "RetrieverError", "the ndarray is no retriever"),
        (("hashing", 3), "UserError", "a int is no task"),
        ((Path("a/b/gone"), "mini"), "RetrieverError", "no folder"),
        (("hashing", Path("gone") / "task.toml"), "DataError", "there is no task file or folder"),
    ],
)
def test_a_wrong_argument_is_one_line(arguments: tuple[Any, Any], error: str, says: str) -> None:
    with pytest.raises(mlbench.UserError) as caught:
        mlbench.evaluate(*arguments)
    assert type(caught.value).__name__ == error
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_wrong_languages_and_keys(own: str) -> None:
    with pytest.raises(mlbench.UserError, match="unknown language of own 'fr'"):
        mlbench.evaluate("hashing", own, languages=["fr"])
    with pytest.raises(mlbench.UserError, match="languages must be a list of tags"):
        mlbench.evaluate("hashing", own, languages="en")
    with pytest.raises(mlbench.UserError, match="an opened retriever takes no keys: dim"):
        mlbench.evaluate(Letters(), own, options=Options(settings={"dim": "3"}))
    with pytest.raises(mlbench.UserError, match="name another folder with --out"):
        mlbench.evaluate("hashing", own, out=Path(own) / "qrels.tsv")


def test_an_encoder_that_fails_is_told_by_its_own_error(own: str) -> None:
    class Broken(Letters):
        def encode(self, texts: Sequence[str], role: Role) -> np.ndarray:
            raise ZeroDivisionError("of the plugin")

    with pytest.raises(ZeroDivisionError, match="of the plugin"):
        mlbench.evaluate(Broken(), own)


@pytest.mark.parametrize(
    ("vectors", "says"),
    [
        (lambda n: np.full((n, 27), np.nan), "NaN or infinite numbers for the document"),
        (lambda n: np.zeros((n, 27)), "only zeros"),
        (lambda n: np.ones((n, 27)), "the same vector"),
        (lambda n: np.ones((n, 26)), "it must give floating-point numbers of shape"),
        (lambda n: np.ones((n, 27), int), "it must give floating-point numbers"),
        (lambda n: None, "it must give floating-point numbers"),
    ],
)
def test_vectors_that_cannot_be_scored(own: str, tmp_path: Path, vectors: Any, says: str) -> None:
    class Broken(Letters):
        def encode(self, texts: Sequence[str], role: Role) -> Any:
            return vectors(len(texts))

    with pytest.raises(mlbench.UserError, match=says):
        mlbench.evaluate(Broken(), own, options=Options(cache=tmp_path / "cache"))


def test_a_frame_has_a_row_for_each_setting(own: str) -> None:
    pandas = pytest.importorskip("pandas")
    result = mlbench.evaluate("hashing", own, options=FEW).result
    frame = result.to_frame()
    assert isinstance(frame, pandas.DataFrame)
    assert len(frame) == len(result.settings) == 12
    assert list(frame.columns[:4]) == ["task", "retriever", "kind", "query_language"]
    pooled = frame[frame.kind == "multilingual"].set_index("query_language")
    assert pooled.document_languages.unique().tolist() == ["de+en+es"]
    stated = {setting.query_language: setting for setting in result.settings if setting.kind == "multilingual"}
    assert pooled["R@10"].to_dict() == {language: stated[language].measures["R@10"] for language in ("de", "en", "es")}


def test_a_frame_without_pandas_is_one_line(own: str, monkeypatch: pytest.MonkeyPatch) -> None:
    result = mlbench.evaluate("hashing", own, options=FEW).result
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(mlbench.UserError, match=r"\Ato_frame needs pandas: pip install pandas\Z"):
        result.to_frame()


def test_a_light_model_brings_in_nothing_heavy(own: str) -> None:
    program = f"import sys, mlbench\nmlbench.evaluate('hashing', {own!r})\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    heavy = {"torch", "transformers", "sentence_transformers", "pandas", "click", "rich", "scipy", "huggingface_hub"}
    assert set(done.stdout.split()) & heavy == set()
    assert "numpy" in done.stdout.split()


class TestEvaluation:
    def test_its_ranks_are_those_of_its_file(self, own: str, tmp_path: Path) -> None:
        found = mlbench.evaluate("hashing", own, out=tmp_path / "out", options=FEW)
        assert found.path is not None
        assert mlbench.read_result(found.path) == found.result
        beside = found.path.parent / found.result.ranks.name
        assert beside.read_bytes() == found.ranks_file
        saved = read_ranks(beside)
        assert all(np.array_equal(getattr(saved, name), value) for name, value in vars(found.ranks).items())

    def test_is_verified_and_a_changed_number_is_told(self, own: str) -> None:
        found = mlbench.evaluate("hashing", own, options=FEW)
        assert found.verify().differences == ()
        assert found.path is None
        first, *others = found.result.settings
        wrong = first.model_copy(update={"measures": {**first.measures, "AP": 0.123}})
        forged = replace(found, result=found.result.model_copy(update={"settings": (wrong, *others)}))
        (told,) = forged.verify().differences
        assert "0.123" in told

    def test_answers_a_pool_that_the_task_does_not_have(self, own: str) -> None:
        found = mlbench.evaluate("hashing", own, options=FEW)
        (alone,) = {setting.document_languages for setting in found.pool(["en"]).settings}
        assert alone == ("en",)
        whole = found.pool(found.result.task.languages)
        stated = [s for s in found.result.settings if s.document_languages == whole.document_languages]
        assert [s.measures for s in whole.settings] == [s.measures for s in stated]
        with pytest.raises(UserError, match="no language 'xx'"):
            found.pool(["xx"])

    def test_is_compared_with_another(self, own: str) -> None:
        one, other = (
            mlbench.evaluate("hashing", own, options=replace(FEW, settings={"dim": d})) for d in ("16", "256")
        )
        line = mlbench.compare_evaluations(one, other).line("AP", kind="monolingual")
        assert line is not None
        base, candidate = (e.result.aggregate("monolingual").measures["AP"] for e in (one, other))
        assert line.difference == pytest.approx(candidate - base)

    def test_of_other_data_is_not_compared(self, own: str) -> None:
        one = mlbench.evaluate("hashing", own, options=FEW)
        assert repr(one).startswith(f"Evaluation of hashing on {one.result.task.name}: AP ")
        with pytest.raises(UserError, match="no task to compare on: the base has own, the candidate mini"):
            mlbench.compare_evaluations(one, mlbench.evaluate("hashing", "mini", languages=["de", "en"], options=FEW))
        documents = Path(own) / "documents.en.jsonl"
        documents.write_text(documents.read_text(encoding="utf-8").replace("thing", "other", 1), encoding="utf-8")
        with pytest.raises(UserError, match=r"cannot be compared: .*data"):
            mlbench.compare_evaluations(one, mlbench.evaluate("hashing", own, options=FEW))
