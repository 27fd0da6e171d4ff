"""What a model is called in Python: by the user, by its card or folder, and where two have one name."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import CommandLine, own_task, tiny_checkpoint

import mlbench
from mlbench import Options, UserError
from mlbench.protocols import Role
from mlbench.results import told_apart

FEW = Options(resamples=20)


class Random:
    """A vector for each text, by a seed; its name may be any object."""

    similarity = "cosine"
    dim = 8

    def __init__(self, seed: int, name: object = None) -> None:
        self.seed, self.name = seed, name

    @property
    def parameters(self) -> dict[str, Any]:
        return {}

    def fingerprint(self, role: Role) -> str:
        return f"random {self.seed}"

    def encode(self, texts: list[str], role: Role) -> np.ndarray:
        rows = [np.random.RandomState([self.seed, *text.encode()]).normal(size=self.dim) for text in texts]
        return np.array(rows, np.float32).reshape(-1, self.dim)


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("MLBENCH_CACHE", str(tmp_path / "cache"))
    return str(own_task(tmp_path / "own"))


def test_a_name_is_in_the_result_its_file_and_its_line(own: str, tmp_path: Path) -> None:
    first, second = (
        mlbench.evaluate(Random(seed), own, name=f"epoch {seed}", out=tmp_path / "out", options=FEW) for seed in (1, 2)
    )
    assert [each.result.retriever.name for each in (first, second)] == ["epoch 1", "epoch 2"]
    assert first.path is not None
    assert first.path.name == f"own.epoch-1-{first.result.retriever.fingerprint[:8]}.json"
    assert mlbench.read_result(first.path) == first.result
    assert re.fullmatch(
        r"Evaluation of epoch 1 on own: AP monolingual \.\d{3}, cross-lingual \.\d{3}, multilingual \.\d{3}",
        repr(first),
    )
    assert mlbench.evaluate("hashing", own, name="n-grams", options=FEW).result.retriever.label == "n-grams"
    done = CommandLine(tmp_path)("report", "out")
    assert done.code == 0, done.err
    assert {"epoch 1", "epoch 2"} <= {line[:8].strip() for line in done.out.splitlines()}


@pytest.mark.parametrize("name", ["", "  ", "two\nlines", "x" * 201, "\udcff"])
def test_what_is_no_name_is_refused_before_anything_is_measured(own: str, tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="no name of a model"):
        mlbench.evaluate(Random(1), own, name=name, options=FEW)
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("my encoder", "my encoder"),
        ("/no/such/folder", "/no/such/folder"),
        (None, None),
        (7, None),
        ("", None),
        ("two\nlines", None),
        ("x" * 201, None),
    ],
)
def test_an_object_may_say_what_it_is_called(own: str, given: object, found: str | None) -> None:
    result = mlbench.evaluate(Random(1, given), own, options=FEW).result
    assert (result.retriever.spec, result.retriever.name) == ("Random", found)


def test_two_objects_of_one_name_are_two_retrievers_everywhere(own: str, tmp_path: Path) -> None:
    both = [mlbench.evaluate(Random(seed), own, out=tmp_path / "out", options=FEW) for seed in (1, 2)]
    results = [each.result for each in both]
    names = [f"Random {each.retriever.fingerprint[:8]}" for each in results]
    assert len({each.path for each in both}) == len(set(names)) == 2
    assert [each.retriever.label for each in told_apart(results)] == names
    assert told_apart(results[:1] * 2) == results[:1] * 2
    line = CommandLine(tmp_path)
    for arguments in (
        ("report", "out"),
        ("report", "out", "--pool", "de,en"),
        ("report", "out", "--output", "page.html"),
        ("report", "out", "--output", "card.yaml"),
        ("history", "out"),
        ("compare", *(str(each.path) for each in both)),
    ):
        done = line(*arguments)
        assert done.code in (0, 1), done.err
        pages = [tmp_path / part for part in arguments if part.startswith(("page", "card"))]
        shown = done.out + "".join(page.read_text(encoding="utf-8") for page in pages)
        assert [name for name in names if name.split()[1] not in shown] == [], shown


def test_what_a_notebook_shows_of_an_evaluation_is_one_line(own: str) -> None:
    evaluation = mlbench.evaluate("hashing", own, options=FEW)
    small = mlbench.evaluate("hashing", own, options=Options(resamples=20, settings={"dim": "64"}))
    task = mlbench.load_task(own)
    shown = {
        repr(evaluation.result): r"Result of hashing on own: AP monolingual \S+, cross-lingual \S+, multilingual \S+",
        str(evaluation.result): "Result of hashing on own: .*",
        repr(evaluation.ranks): "Ranks of 54 pairs of 18 queries and their relevant documents in 3 columns",
        repr(evaluation.pool(["de", "en"])): r"Pool de,en of hashing on own: AP multilingual \S+",
        repr(evaluation.verify()): r"Verification\(result=Result of .*, differences=\(\)\)",
        repr(mlbench.load_collection(task)): "Collection of 18 queries and 36 documents in de, en, es",
        repr(mlbench.compare_evaluations(evaluation, small)): r"\d+ differences, \d+ of them tested with .* flips",
    }
    assert [line for line, wanted in shown.items() if not re.fullmatch(wanted, line) or len(line) > 200] == []


def test_models_of_the_library_are_called_as_their_folder_or_card(own: str, tmp_path: Path) -> None:
    library = pytest.importorskip("sentence_transformers", exc_type=ImportError)
    folders = [tiny_checkpoint(tmp_path / f"epoch-{epoch}" / "model", seed=epoch) for epoch in (1, 2)]
    models = [library.SentenceTransformer(str(folder), device="cpu") for folder in folders]
    models[0].save_pretrained(str(tmp_path / "saved"))
    models.append(library.SentenceTransformer(str(tmp_path / "saved"), device="cpu"))
    models.append(library.SentenceTransformer(str(tmp_path / "saved"), device="cpu"))
    models[-1].model_card_data.model_name = "tiny BERT"
    results = [mlbench.evaluate(model, own, options=FEW).result.retriever for model in models]
    assert [each.name for each in results] == ["epoch-1/model", "epoch-2/model", f"{tmp_path.name}/saved", "tiny BERT"]
    assert {each.spec for each in results} == {"SentenceTransformer"}
    assert results[2].fingerprint == results[3].fingerprint
