"""Static encoders trained: one step by the book, the same weights whatever happens, a checkpoint that all can read."""

import signal
from pathlib import Path

import numpy as np
import pytest
from encoders import LANGUAGES, read_data, sentence, write_rows
from static_cases import static_recipe
from unit.training.forked import KilledAfter, end_of, start

from mlbench.errors import UserError
from mlbench.open_model import open_retriever
from mlbench.protocols import Encoder, Runtime, Vectors
from mlbench.training import static
from mlbench.training.losses import info_nce
from mlbench.training.manifest import Destination, TrainingOutcome
from mlbench.training.recipe import Recipe
from mlbench.training.static import SubwordTable, first_vectors, train_static, vocabulary_of

torch = pytest.importorskip("torch")
sentence_transformers = pytest.importorskip("sentence_transformers")
safetensors = pytest.importorskip("safetensors.numpy")

JUDGED = {"share": 0.2, "every": 10, "batches": 4}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rows")
    write_rows(folder / "rows.jsonl", 200)
    return folder


def train(recipe: Recipe, out: Path, **runtime: object) -> TrainingOutcome:
    return train_static(recipe, read_data(recipe), Destination(out), runtime=Runtime(**runtime))  # type: ignore[arg-type]


def weights(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


def vectors(folder: Path) -> Vectors:
    (table,) = safetensors.load_file(folder / "model.safetensors").values()
    return np.asarray(table)


def test_the_first_step_is_adam_on_the_loss(root: Path, tmp_path: Path) -> None:
    """A step against the textbook: dense gradients of a loss written out, and Adam's first step, the rate x sign."""
    recipe = static_recipe(root, steps=1, views={"overlap": 1.0})
    data = read_data(recipe)
    train_static(recipe, data, Destination(tmp_path / "out"), runtime=Runtime())
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(tmp_path / "out" / "tokenizer.json"))
    vocabulary = vocabulary_of(recipe, data)
    before = first_vectors(vocabulary.frequencies, vocabulary.n_texts, 8, recipe.seed)
    table = torch.tensor(before, dtype=torch.float64, requires_grad=True)

    def embed(text: str) -> object:
        mean = table[tokenizer.encode(text, add_special_tokens=False).ids].mean(dim=0)
        return mean / mean.norm()

    examples = data.examples(recipe).batch(0)
    queries = torch.stack([embed(example.query) for example in examples])
    documents = torch.stack([embed(example.document) for example in examples])
    exponentials = torch.exp(queries @ documents.T / recipe.loss.temperature)
    loss = -torch.log(exponentials.diagonal() / exponentials.sum(dim=1)).mean()
    loss.backward()
    gradient = table.grad.numpy()
    expected = before - recipe.optimizer.learning_rate * gradient / (np.abs(gradient) + 1e-8)
    np.testing.assert_allclose(vectors(tmp_path / "out"), expected, atol=2e-5)
    assert (gradient == 0).all(axis=1).any()


class TestFirstVectors:
    def test_are_a_function_of_the_seed(self) -> None:
        frequencies = np.arange(50)
        assert np.array_equal(first_vectors(frequencies, 50, 4, 1), first_vectors(frequencies, 50, 4, 1))
        assert not np.array_equal(first_vectors(frequencies, 50, 4, 1), first_vectors(frequencies, 50, 4, 2))

    def test_are_longer_for_rarer_subwords(self) -> None:
        table = first_vectors(np.repeat([0, 9, 99], 1000), 99, 64, 0)
        lengths = np.sqrt(np.square(table).sum(axis=1)).reshape(3, 1000).mean(axis=1)
        assert table.dtype == np.float32
        # The logarithms of 100, 10 and 1, divided by their mean.
        assert lengths == pytest.approx([2, 1, 0], rel=0.02, abs=1e-6)

    def test_of_subwords_that_are_everywhere_are_numbers(self) -> None:
        assert np.isfinite(first_vectors(np.full(5, 10), 10, 4, 0)).all()


def test_steps_are_those_of_sparse_adam(root: Path, tmp_path: Path) -> None:
    """Five steps beside torch's own optimizer on sparse gradients, which keeps the moments of rows not met."""
    recipe = static_recipe(root, views={"overlap": 1.0})
    data = read_data(recipe)
    examples, vocabulary = data.examples(recipe), vocabulary_of(recipe, data)
    before = first_vectors(vocabulary.frequencies, vocabulary.n_texts, 8, recipe.seed)
    table = SubwordTable(before.copy(), vocabulary.tokens, recipe.loss, None)
    weight = torch.nn.Parameter(torch.from_numpy(before.copy()))
    optimizer = torch.optim.SparseAdam([weight], lr=0.01)
    for number in range(5):
        ours = table.step(examples, number, 0.01)
        batch = examples.batch(number)
        bags = [
            [vocabulary.tokenizer.encode(text, add_special_tokens=False).ids for text in texts]
            for texts in zip(*((example.query, example.document) for example in batch), strict=True)
        ]
        embedded = [
            torch.nn.functional.embedding_bag(
                torch.tensor([id_ for ids in bag for id_ in ids]),
                weight,
                torch.tensor(np.cumsum([0, *map(len, bag[:-1])])),
                mode="sum",
                sparse=True,
            )
            for bag in bags
        ]
        loss = info_nce(*embedded, temperature=recipe.loss.temperature)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        assert ours == pytest.approx(float(loss.detach()), rel=1e-5)
    np.testing.assert_allclose(table.vectors(), weight.detach().numpy(), atol=2e-5)
    assert not np.array_equal(table.vectors(), before)


@pytest.mark.slow
def test_learns_that_translations_are_near(root: Path, tmp_path: Path) -> None:
    recipe = static_recipe(root, steps=300, batches={"size": 16, "alpha": 0.3}, validation=JUDGED)
    trained = train(recipe, tmp_path / "out")
    assert (trained.steps, trained.best_step, trained.batches, trained.stopped_early) == (300, 300, 300, False)
    assert [step for step, _ in trained.losses] == list(range(10, 301, 10))
    assert [step for step, _ in trained.held_out_losses] == list(range(10, 301, 10))
    assert trained.losses[-1][1] < trained.losses[0][1] / 2
    assert trained.held_out_losses[-1][1] < trained.held_out_losses[0][1] / 2


def test_the_checkpoint_is_the_same_to_all(root: Path, tmp_path: Path) -> None:
    train(static_recipe(root), tmp_path / "out")
    texts = [sentence(range(n, n + 5), tag) for n in range(20) for tag in LANGUAGES] + ["Unseen ☃ words!"]
    model = sentence_transformers.SentenceTransformer(str(tmp_path / "out"), device="cpu")
    theirs = model.encode(texts, show_progress_bar=False, normalize_embeddings=True)
    ours = open_retriever(str(tmp_path / "out"), {}, Runtime())
    assert isinstance(ours, Encoder)
    assert ours.similarity == "cosine"
    np.testing.assert_allclose(ours.encode(texts, "query"), theirs, atol=1e-6)
    assert model.similarity_fn_name == "cosine"


class TestTheSameWeights:
    def test_for_any_number_of_threads(self, root: Path, tmp_path: Path) -> None:
        # The threads of the caller are left as they were.
        before = torch.get_num_threads()
        for threads in (1, 2):
            torch.set_num_threads(threads)
            train(static_recipe(root), tmp_path / str(threads), threads=threads)
            assert torch.get_num_threads() == threads
        torch.set_num_threads(before)
        assert weights(tmp_path / "1") == weights(tmp_path / "2")

    def test_but_not_for_another_seed(self, root: Path, tmp_path: Path) -> None:
        for seed in (3, 4):
            train(static_recipe(root, seed=seed), tmp_path / str(seed))
        assert weights(tmp_path / "3") != weights(tmp_path / "4")

    # Before anything is saved, between two judgments; right after one.
    @pytest.mark.parametrize(("patience", "steps"), [(None, (7, 33)), (2, (20,))], ids=["to the end", "patient"])
    def test_after_kill_9(self, root: Path, tmp_path: Path, patience: int | None, steps: tuple[int, ...]) -> None:
        validation = JUDGED | ({} if patience is None else {"patience": patience})
        recipe = static_recipe(root, steps=60, validation=validation, optimizer={"learning_rate": 0.3})
        whole = train(recipe, tmp_path / "whole")
        for step in steps:
            assert end_of(start(train_killed, recipe, step, root, tmp_path / "out")) == -signal.SIGKILL
            assert not (tmp_path / "out" / "modules.json").exists()
        assert train(recipe, tmp_path / "out") == whole
        assert weights(tmp_path / "out") == weights(tmp_path / "whole")


def train_killed(recipe: Recipe, step: int, root: Path, out: Path) -> None:
    # What is private to a recipe is not pickled with it.
    recipe._root = root
    train_static(recipe, read_data(recipe), Destination(out), progress=KilledAfter(step), runtime=Runtime())


class TestPatience:
    @pytest.mark.slow
    def test_keeps_the_best_weights(self, root: Path, tmp_path: Path) -> None:
        # So fast a rate gets worse before long.
        validation = {**JUDGED, "every": 5, "patience": 3}
        fast = {"learning_rate": 0.5}
        trained = train(static_recipe(root, steps=400, validation=validation, optimizer=fast), tmp_path / "out")
        losses = dict(trained.held_out_losses)
        assert trained.stopped_early
        assert trained.best_step == min(losses, key=losses.__getitem__) < trained.steps
        assert trained.steps == trained.best_step + 15
        # They are those of a training that ends there.
        short = static_recipe(root, steps=trained.best_step, validation={**JUDGED, "every": 5}, optimizer=fast)
        train(short, tmp_path / "short")
        assert weights(tmp_path / "out") == weights(tmp_path / "short")

    @pytest.mark.slow
    def test_ends_at_once_when_it_is_over(self, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        recipe = static_recipe(
            root, steps=400, validation={**JUDGED, "every": 5, "patience": 3}, optimizer={"learning_rate": 0.5}
        )
        trained = train(recipe, tmp_path / "out")
        monkeypatch.delattr(SubwordTable, "step")
        assert train(recipe, tmp_path / "out") == trained


class TestRate:
    def test_rises_and_falls(self, root: Path) -> None:
        settings = {"learning_rate": 1.0, "warmup": 0.2, "schedule": "linear"}
        recipe = static_recipe(root, steps=10, optimizer=settings)
        rates = [static._rate(recipe, step) for step in range(10)]
        assert rates == pytest.approx([0.5, 1, 1, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8])

    def test_is_constant_by_default(self, root: Path) -> None:
        assert {static._rate(static_recipe(root), step) for step in range(20)} == {0.02}


def beyond(recipe: Recipe) -> Recipe:
    """Return a recipe with a learning rate that no file may ask for, after which weights are beyond float32."""
    return recipe.model_copy(update={"optimizer": recipe.optimizer.model_copy(update={"learning_rate": 1e39})})


class TestFaults:
    def test_a_loss_that_is_no_number(self, root: Path, tmp_path: Path) -> None:
        recipe = beyond(static_recipe(root))
        with pytest.raises(UserError, match=r"^the loss is nan after 2 steps: lower optimizer.learning_rate$"):
            train(recipe, tmp_path / "out")
        assert not (tmp_path / "out" / "modules.json").exists()

    @pytest.mark.parametrize(
        ("validation", "message"),
        [(None, "the vectors are no numbers"), ({**JUDGED, "every": 1}, "the loss is (nan|inf)")],
        ids=["unseen", "judged"],
    )
    def test_a_last_step_into_nowhere(
        self, root: Path, tmp_path: Path, validation: dict[str, object] | None, message: str
    ) -> None:
        recipe = beyond(static_recipe(root, steps=1, validation=validation))
        with pytest.raises(UserError, match=f"^{message} after 1 steps: lower optimizer.learning_rate$"):
            train(recipe, tmp_path / "out")
        assert not (tmp_path / "out" / "modules.json").exists()

    @pytest.mark.parametrize(
        ("losses", "told"),
        [
            ([3.0] * 12, None),
            ([3.0, float("nan"), 3.0], 2),
            ([3.0, 3.0, float("inf")], 3),
            # A batch of languages that were never beside each other, now and then.
            ([3.0, 50.0, 50.0, 50.0, 50.0, 3.0] * 3, None),
            ([3.0] * 4 + [50.0] * 8, 9),
            # A judgment lies between the steps.
            ([3.0] * 8 + [50.0] * 8, 15),
        ],
    )
    def test_a_rate_that_is_too_high_is_told_within_ten_steps(
        self, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, losses: list[float], told: int | None
    ) -> None:
        monkeypatch.setattr(SubwordTable, "step", lambda self, examples, number, rate: losses[number])
        recipe = static_recipe(root, steps=len(losses), validation={**JUDGED, "every": 10})
        if told is None:
            assert train(recipe, tmp_path / "out").steps == len(losses)
        else:
            with pytest.raises(
                UserError, match=rf"^the loss is .* after {told} steps.*: lower optimizer.learning_rate$"
            ):
                train(recipe, tmp_path / "out")

    @pytest.mark.parametrize("temperature", [0.01, 0.05, 1.0])
    @pytest.mark.parametrize("alpha", [0.0, 1.0])
    @pytest.mark.parametrize("rate", [1e-4, 0.05])
    def test_no_training_is_stopped_without_need(
        self, root: Path, tmp_path: Path, temperature: float, alpha: float, rate: float
    ) -> None:
        recipe = static_recipe(
            root,
            static={"pieces": 200, "dim": 2},
            batches={"size": 16, "alpha": alpha},
            loss={"temperature": temperature},
            optimizer={"learning_rate": rate},
        )
        assert train(recipe, tmp_path / "out").steps == 20

    def test_a_device_that_is_not_there(self, root: Path, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"^device nowhere cannot be used: "):
            train(static_recipe(root), tmp_path / "out", device="nowhere")
