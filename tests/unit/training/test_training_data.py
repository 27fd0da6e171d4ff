"""The data of a recipe: parts that share no row, fractions inside each other, evaluation texts refused or left out."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from encoders import LANGUAGES, read_data, write_rows
from row_cases import RawRow, pairs, read, texts, write
from static_cases import static_recipe, write_task

from mlbench.training.data import RowSelection, TrainingData, load_data, used_texts
from mlbench.training.index import ABSENT, Bools
from mlbench.training.recipe import Recipe


class Told:
    """A `Progress` that remembers its notes."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def start(self, phase: str, total: int) -> None: ...

    def advance(self, done: int) -> None: ...

    def finish(self) -> None: ...

    def note(self, message: str) -> None:
        self.notes.append(message)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_rows(tmp_path / "rows.jsonl", 200)
    return tmp_path


def in_use(part: RowSelection | None) -> list[Bools]:
    """Return for each data set which rows a part can give."""
    assert part is not None
    return [(index.query_places[index.pattern] != ABSENT).any(axis=1) for index in part.indexes]


def faults(recipe: Recipe) -> list[str]:
    return load_data(recipe)[1]


class TestParts:
    def test_all_rows_are_trained_on(self, root: Path) -> None:
        data = read_data(static_recipe(root))
        assert in_use(data.training)[0].all()
        assert data.held_out is None
        assert data.held_out_examples(static_recipe(root)) is None
        assert data.contamination is None

    def test_fractions_lie_inside_each_other(self, root: Path) -> None:
        shares = (0.1, 0.3, 0.6, 1.0)
        parts = [in_use(read_data(static_recipe(root, data_fraction=share)).training)[0] for share in shares]
        for share, smaller, larger in zip(shares, parts, parts[1:], strict=False):
            assert not (smaller & ~larger).any()
            assert abs(smaller.mean() - share) < 0.1
        assert parts[-1].all()

    def test_what_is_held_out_is_not_trained_on(self, root: Path) -> None:
        validation = {"share": 0.2}
        data = read_data(static_recipe(root, validation=validation))
        training, held_out = in_use(data.training)[0], in_use(data.held_out)[0]
        assert (training ^ held_out).all()
        assert 0.1 < held_out.mean() < 0.3
        # The same rows judge every fraction, and every seed.
        less = read_data(static_recipe(root, validation=validation, data_fraction=0.3, seed=9))
        assert np.array_equal(in_use(less.held_out)[0], held_out)
        assert not (in_use(less.training)[0] & ~training).any()

    def test_repetitions_are_held_out_together(self, tmp_path: Path) -> None:
        rows = texts(60, LANGUAGES)
        twice: list[RawRow] = [*rows, *({**row, "id": f"again {row['id']}"} for row in rows)]
        write(tmp_path / "rows.jsonl", twice)
        held_out = in_use(read_data(static_recipe(tmp_path, validation={"share": 0.3})).held_out)[0]
        assert 0 < held_out.sum() < 120
        assert np.array_equal(held_out[:60], held_out[60:])

    def test_rows_with_a_question_or_a_topic_that_judges_are_left_out(self, tmp_path: Path) -> None:
        # Each question has two documents, each topic two questions.
        rows = [{"lang": "de", "query": f"q{n % 100}", "passage": f"d{n}"} for n in range(200)]
        more = [{"id": f"t{n % 100}", "lang": "en", "query": f"q{n}", "passage": f"d{n}"} for n in range(200, 400)]
        write(tmp_path / "rows.jsonl", [*rows, *more])
        recipe = static_recipe(tmp_path, batches={"size": 16, "alpha": 1.0}, validation={"share": 0.2})
        data, _ = load_data(recipe)
        assert data is not None
        training, held_out = in_use(data.training)[0], in_use(data.held_out)[0]
        met = {row % 100 + 200 * (row >= 200) for row in np.flatnonzero(held_out).tolist()}
        expected = [row % 100 + 200 * (row >= 200) not in met for row in range(400)]
        assert training.tolist() == expected
        assert training.sum() + held_out.sum() < 400

    def test_data_sets_to_judge_by(self, root: Path) -> None:
        write(root / "judged.jsonl", pairs(30, LANGUAGES, LANGUAGES))
        judged = {"datasets": [{"name": "judged", "files": [{"path": "judged.jsonl"}]}]}
        data = read_data(static_recipe(root, validation=judged))
        assert in_use(data.training)[0].all()
        assert data.held_out is not None
        assert [rows.name for rows in data.held_out.rows] == ["judged"]
        examples = data.held_out_examples(static_recipe(root, validation=judged))
        assert examples is not None
        assert examples.batch(0)[0].query.split()[1] == "question"

    def test_what_judges_may_be_of_one_language_each(self, root: Path) -> None:
        rows = [{"lang": "de", "query": f"q{n}", "passage": f"d{n}"} for n in range(40)]
        write(root / "judged.jsonl", rows)
        judged = {"datasets": [{"name": "judged", "files": [{"path": "judged.jsonl"}]}]}
        recipe = static_recipe(root, validation=judged)
        examples = read_data(recipe).held_out_examples(recipe)
        assert examples is not None
        assert {examples.sampler.batch(number).kind for number in range(20)} == {"mono"}

    @pytest.mark.parametrize(
        ("ratios", "kinds"),
        [
            ({"mono": 0.3, "cross": 0.5, "mixed": 0.2}, {"mono": 0.6, "mixed": 0.4}),
            ({"cross": 1.0}, {"mono": 1.0}),
        ],
    )
    def test_what_judges_keeps_the_ratios_that_it_can(
        self, root: Path, ratios: dict[str, float], kinds: dict[str, float]
    ) -> None:
        rows = [{"lang": "de", "query": f"q{n}", "passage": f"d{n}"} for n in range(40)]
        write(root / "judged.jsonl", rows)
        judged = {"datasets": [{"name": "judged", "files": [{"path": "judged.jsonl"}]}]}
        recipe = static_recipe(root, batches={"size": 4, "ratios": ratios}, validation=judged)
        examples = read_data(recipe).held_out_examples(recipe)
        assert examples is not None
        found = Counter(examples.sampler.batch(number).kind for number in range(400))
        assert found.keys() == kinds.keys()
        assert [found[kind] / 400 for kind in kinds] == pytest.approx(list(kinds.values()), abs=0.1)

    def test_used_texts_are_those_of_the_rows_in_use(self, root: Path) -> None:
        data = read_data(static_recipe(root, validation={"share": 0.5}, languages=["de", "fr"]))
        (numbers,) = used_texts(data.training)
        kept = in_use(data.training)[0]
        rows = [row for row, used in zip(read(root / "rows.jsonl"), kept, strict=True) if used]
        wanted = [row["texts"][tag] for row in rows for tag in ("de", "fr")]  # type: ignore[index]
        assert data.training.rows[0].read(numbers) == wanted


class TestFaults:
    def test_a_language_without_data(self, root: Path) -> None:
        found = faults(static_recipe(root, languages=["de", "en", "sw", "xh"]))
        assert found == ["languages: no data for sw, xh: the data sets have de, en, fr"]

    def test_all_come_at_once(self, root: Path) -> None:
        task = write_task(root / "task", {"de": sentence(root)})
        datasets = [{"name": name, "files": [{"path": f"{name}.jsonl"}]} for name in ("rows", "gone", "broken")]
        write(root / "broken.jsonl", [{"id": "a", "text": "b"}])
        found = faults(
            static_recipe(root, datasets=datasets, contamination={"tasks": [str(task)]}, languages=["de", "xh"])
        )
        assert len(found) == 3
        # Whether xh has data is not known as long as a data set is missing.
        assert found[0].startswith("datasets[1]: gone.jsonl is missing: ")
        assert found[1].startswith("datasets[2]: broken.jsonl:1: a row has texts, or ")
        assert found[2].startswith("contamination: training text contains text of task: rows of rows ")

    def test_batches_that_no_data_can_give(self, tmp_path: Path) -> None:
        write(tmp_path / "rows.jsonl", [{"lang": "de", "query": f"q{n}", "passage": f"d{n}"} for n in range(40)])
        (found,) = faults(static_recipe(tmp_path, languages=["de", "en"]))
        assert found.startswith("languages: no data for en")
        write(tmp_path / "rows.jsonl", pairs(20, ["de"], ["en"]))
        (found,) = faults(static_recipe(tmp_path, languages=["de", "en"]))
        assert found.startswith("batches: no data set can give monolingual")
        assert faults(static_recipe(tmp_path, languages=["de", "en"], batches={"alpha": 0.0})) == []


def sentence(root: Path, row: int = 7, tag: str = "en") -> str:
    """Return a training text."""
    found = read(root / "rows.jsonl")[row]["texts"][tag]  # type: ignore[index]
    assert isinstance(found, str)
    return found


class TestContamination:
    @pytest.fixture
    def task(self, root: Path) -> Path:
        # The text is English, whatever the language of the question is.
        return write_task(root / "task", {"de": sentence(root).upper(), "en": "what is in no text"})

    def load(self, root: Path, task: Path, action: str) -> tuple[TrainingData | None, list[str], list[str]]:
        told = Told()
        recipe = static_recipe(root, contamination={"tasks": [str(task)], "action": action})
        return *load_data(recipe, progress=told), told.notes

    def test_is_refused(self, root: Path, task: Path) -> None:
        _, found, _ = self.load(root, task, "refuse")
        assert found == [
            "contamination: training text contains text of task: rows of rows 1; "
            "rows, en, text: task question in 1 of 200 texts; "
            "leave the rows out (contamination.action = 'drop') or go on ('warn')"
        ]

    def test_is_left_out(self, root: Path, task: Path) -> None:
        data, found, notes = self.load(root, task, "drop")
        assert found == []
        assert data is not None
        assert np.flatnonzero(~in_use(data.training)[0]).tolist() == [7]
        assert notes == [
            "left out: training text contains text of task: rows of rows 1",
            "left out: rows, en, text: task question in 1 of 200 texts",
        ]

    def test_is_warned_of(self, root: Path, task: Path) -> None:
        data, found, notes = self.load(root, task, "warn")
        assert found == []
        assert data is not None
        assert in_use(data.training)[0].all()
        assert [note.split(":")[:2] for note in notes] == [["warning", " trained on"]] * 2

    def test_is_left_out_of_what_judges(self, root: Path, task: Path) -> None:
        for share in (0.01, 0.99):
            recipe = static_recipe(
                root, contamination={"tasks": [str(task)], "action": "drop"}, validation={"share": share}
            )
            data, _ = load_data(recipe)
            assert data is not None
            assert not in_use(data.training)[0][7]
            assert not in_use(data.held_out)[0][7]

    def test_clean_data_are_fine(self, root: Path) -> None:
        clean = write_task(root / "clean", {"de": "was in keinem text vorkommt"})
        data, found, notes = self.load(root, clean, "refuse")
        assert (found, notes) == ([], [])
        assert data is not None
        assert data.contamination is not None
        assert data.contamination.hits == ()

    def test_a_task_without_its_files_is_a_fault(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MLBENCH_OFFLINE", "1")
        _, found = load_data(static_recipe(root, contamination={"tasks": ["xquad-r"]}))
        (fault,) = found
        assert fault.startswith("contamination: xquad-r/")
