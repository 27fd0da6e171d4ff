"""Tiny random transformers trained to a checkpoint: by hand, in pieces, in processes, on all kinds of batches."""

import json
import os
import shutil
import signal
import socket
from pathlib import Path

import numpy as np
import pytest
from encoders import read_data, recipe_of, save_encoder, write_rows
from unit.training.forked import die, end_of, start

from mlbench.errors import UserError
from mlbench.open_model import open_retriever
from mlbench.protocols import Encoder, Runtime
from mlbench.training.manifest import Destination, TrainingOutcome, forget_work
from mlbench.training.recipe import Recipe
from mlbench.training.recipe_tables import TransformerModel
from mlbench.training.transformer import load_model, train_transformer

torch = pytest.importorskip("torch")
sentence_transformers = pytest.importorskip("sentence_transformers")
pytest.importorskip("accelerate")
tensors = pytest.importorskip("safetensors.torch")
trainer = pytest.importorskip("mlbench.training.trainer")

torch.set_num_threads(1)

CPU = Runtime(device="cpu")
COLUMNS = ("query", "document", "negative")
PREFIXES = {"query_prefix": "Query: ", "document_prefix": "Passage: "}
VALIDATION = {"share": 0.1, "every": 4, "batches": 3}


class Told:
    """A `Progress` that remembers."""

    def __init__(self) -> None:
        self.steps: list[int] = []
        self.events: list[str] = []

    def start(self, phase: str, total: int) -> None:
        self.events.append(f"start {phase} {total}")

    def advance(self, done: int) -> None:
        self.steps.append(done)

    def finish(self) -> None:
        self.events.append("finish")

    def note(self, message: str) -> None:
        self.events.append(message.partition(" 0.")[0].partition(" 1.")[0].partition(" 2.")[0])


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with encoders and rows."""
    folder = tmp_path_factory.mktemp("world")
    for shape in ("xlm-roberta", "bert", "mt5"):
        save_encoder(folder / shape, shape)
    save_encoder(folder / "steady", dropout=0.0)
    (folder / "empty").mkdir()
    shutil.copytree(folder / "bert", folder / "weightless", ignore=shutil.ignore_patterns("*.safetensors"))
    write_rows(folder / "texts.jsonl", 150)
    write_rows(folder / "questions.jsonl", 150, negatives=True)
    return folder


def recipe(world: Path, shape: str = "xlm-roberta", data: str = "texts", **changes: object) -> Recipe:
    changes["transformer"] = {"checkpoint": str(world / shape), **dict(changes.get("transformer", {}))}  # type: ignore[call-overload]
    return recipe_of(world / shape, world / f"{data}.jsonl", **changes)


def train(made: Recipe, out: Path, **options: object) -> TrainingOutcome:
    return train_transformer(made, read_data(made), Destination(out), runtime=CPU, **options)  # type: ignore[arg-type]


def weights(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


@pytest.mark.slow
def test_trains_end_to_end(world: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    made = recipe(world, steps=80, transformer=PREFIXES, validation={**VALIDATION, "every": 40})
    told = Told()
    trained = train(made, tmp_path / "out", progress=told)
    assert (trained.steps, trained.best_step, trained.batches) == (80, 80, 80)
    assert trained.is_main
    assert not trained.stopped_early
    assert [step for step, _ in trained.losses] == list(range(5, 85, 5))
    assert trained.losses[-1][1] < 0.6 * trained.losses[0][1]
    assert [step for step, _ in trained.held_out_losses] == [40, 80]
    assert trained.held_out_losses[1][1] < trained.held_out_losses[0][1]
    assert told.events == ["start train 80", "validation loss", "validation loss", "finish"]
    assert sum(told.steps) == 80
    assert capfd.readouterr() == ("", "")
    forget_work(tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "1_Pooling",
        "config.json",
        "config_sentence_transformers.json",
        "model.safetensors",
        "modules.json",
        "sentence_bert_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shape", "settings"),
    [
        ("xlm-roberta", {"pooling": "cls", "max_length": 6, **PREFIXES}),
        ("bert", {"pooling": "max"}),
        ("mt5", {"query_prefix": "Query: "}),
    ],
)
def test_the_checkpoint_is_the_same_in_the_library_and_in_mlbench(
    shape: str, settings: dict[str, object], world: Path, tmp_path: Path
) -> None:
    made = recipe(world, shape, steps=2, transformer=settings)
    train(made, tmp_path)
    model = sentence_transformers.SentenceTransformer(str(tmp_path), device="cpu")
    untrained = load_model(made.transformer, world, CPU)  # type: ignore[arg-type]
    encoder = open_retriever(str(tmp_path), {}, CPU)
    assert isinstance(encoder, Encoder)
    assert encoder.similarity == "cosine"
    assert encoder.parameters["pooling"] == settings.get("pooling", "mean")
    assert encoder.parameters["max_length"] == settings.get("max_length", 32)
    assert model.prompts == {
        "query": settings.get("query_prefix", ""),
        "document": settings.get("document_prefix", ""),
    }
    texts = ["de1 de2 de3", "en7", "fr1 fr2 fr3 fr4 fr5 fr6 fr7 fr8"]
    queries = model.encode_query(texts, show_progress_bar=False)
    documents = model.encode_document(texts, show_progress_bar=False)
    assert encoder.encode(texts, "query") == pytest.approx(queries, abs=1e-6)
    assert encoder.encode(texts, "document") == pytest.approx(documents, abs=1e-6)
    assert bool(settings.get("query_prefix")) == (np.abs(queries - documents).max() > 1e-3)
    assert np.abs(untrained.encode_query(texts, show_progress_bar=False) - queries).max() > 1e-4


def test_a_step_is_a_step_of_adamw_on_the_loss_of_its_batches(world: Path, tmp_path: Path) -> None:
    """By hand: vectors from `encode` with gradients, the formula, one AdamW; no dropout and no trainer."""
    optimizer = {"learning_rate": 1e-2, "weight_decay": 0.1}
    settings = {**PREFIXES, "gradient_accumulation": 2}
    made = recipe(world, "steady", "questions", steps=1, transformer=settings, optimizer=optimizer)
    trained = train(made, tmp_path)
    assert trained.batches == 2

    model = load_model(made.transformer, world, CPU)  # type: ignore[arg-type]
    model.train()
    examples = read_data(made).examples(made)
    losses = []
    for number in range(2):
        batch = examples.batch(number)

        def vectors(texts: list[str], prompt: str) -> "torch.Tensor":
            made = model(model.preprocess([prompt + text for text in texts]))["sentence_embedding"]
            return made / made.norm(dim=1, keepdim=True)

        queries = vectors([example.query for example in batch], "Query: ")
        documents = vectors([example.document for example in batch], "Passage: ")
        negatives = vectors([example.negative for example in batch if example.negative], "Passage: ")
        scores = queries @ torch.cat([documents, negatives]).T / made.loss.temperature
        losses.append((scores.logsumexp(dim=1) - scores.diagonal()).mean())
    (sum(losses) / 2).backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    decayed = {True: [], False: []}  # type: ignore[var-annotated]
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            decayed["bias" not in name and "LayerNorm" not in name].append(parameter)
    torch.optim.AdamW(
        [{"params": decayed[True], "weight_decay": 0.1}, {"params": decayed[False], "weight_decay": 0.0}], lr=1e-2
    ).step()

    found = sentence_transformers.SentenceTransformer(str(tmp_path), device="cpu").state_dict()
    for name, tensor in model.state_dict().items():
        # Where a gradient is nearly zero, the first step of Adam has a sign that rounding decides.
        far = ((found[name] - tensor).abs() > 1e-5).float().mean().item()
        assert far < 0.01, name


@pytest.mark.parametrize("shape", ["bert", "xlm-roberta", "mt5"])
def test_columns_have_the_vectors_and_gradients_of_padded_ones(shape: str, world: Path) -> None:
    settings = TransformerModel(checkpoint=str(world / shape), dropout=0.0)
    model = load_model(settings, world, CPU).train()
    columns = [
        model.preprocess(["de1 de2 de3", "de4", "de5 de6 de7 de8 de9 de10"]),
        model.preprocess(["fr1", "fr2 fr3 fr4 fr5 fr6 fr7 fr8 fr9", "fr1 fr1"]),
        model.preprocess(["en1 en2", "en3", "en4"]),
    ]
    padded = [model(dict(features))["sentence_embedding"] for features in columns]
    together = trainer.embed_columns(model, columns)
    for one, other in zip(padded, together, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-6)
    weights = [each for each in model.parameters() if each.requires_grad]
    for one, other in zip(
        *(
            torch.autograd.grad(sum(each.pow(3).sum() for each in found), weights, allow_unused=True)
            for found in (padded, together)
        ),
        strict=True,
    ):
        assert (one is None) == (other is None)
        if one is not None:
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shape", "table"), [("xlm-roberta", "embeddings.word_embeddings.weight"), ("mt5", "shared.weight")]
)
def test_frozen_embeddings_stay_and_all_else_is_trained(shape: str, table: str, world: Path, tmp_path: Path) -> None:
    train(recipe(world, shape, steps=3, transformer={"freeze_embeddings": True}), tmp_path / "out")
    before, after = (tensors.load_file(folder / "model.safetensors") for folder in (world / shape, tmp_path / "out"))
    same = {name for name in after if name in before and torch.equal(before[name], after[name])}
    assert table in same
    assert not any("encoder.layer" in name or "wo.weight" in name for name in same)


@pytest.mark.slow
def test_the_dropout_of_a_recipe_is_that_of_training_alone(world: Path, tmp_path: Path) -> None:
    train(recipe(world, steps=3, transformer={"dropout": 0.0}), tmp_path / "set")
    train(recipe(world, "steady", steps=3), tmp_path / "steady")
    train(recipe(world, steps=3), tmp_path / "left")
    assert weights(tmp_path / "set") == weights(tmp_path / "steady") != weights(tmp_path / "left")
    assert json.loads((tmp_path / "set" / "config.json").read_text())["hidden_dropout_prob"] == 0.1


@pytest.mark.slow
def test_hard_negatives_alone_as_in_the_paper(world: Path, tmp_path: Path) -> None:
    trained = train(recipe(world, data="questions", steps=40, loss={"negatives": "hard_only"}), tmp_path)
    assert trained.steps == 40


@pytest.mark.slow
def test_mixed_precision_is_that_of_the_trainer(world: Path, tmp_path: Path) -> None:
    exact = train(recipe(world, steps=10), tmp_path / "fp32")
    mixed = train(recipe(world, steps=10, transformer={"precision": "bf16"}), tmp_path / "bf16")
    # The weights stay float32.
    assert len(weights(tmp_path / "bf16")) == len(weights(tmp_path / "fp32"))
    assert weights(tmp_path / "bf16") != weights(tmp_path / "fp32")
    assert mixed.losses[0][1] == pytest.approx(exact.losses[0][1], rel=0.1)
    with pytest.raises(UserError, match="fp16 needs a GPU"):
        train(recipe(world, transformer={"precision": "fp16"}), tmp_path / "fp16")


@pytest.mark.slow
def test_stops_early_and_keeps_the_best(world: Path, tmp_path: Path) -> None:
    made = recipe(
        world,
        steps=100,
        optimizer={"learning_rate": 0.3},
        validation={**VALIDATION, "every": 2, "patience": 3},
    )
    trained = train(made, tmp_path)
    losses = dict(trained.held_out_losses)
    assert trained.stopped_early
    assert trained.best_step == min(losses, key=lambda step: losses[step])
    assert trained.steps == trained.best_step + 3 * 2
    best = next((tmp_path / ".training").glob(f"*/checkpoint-{trained.best_step}"))
    assert weights(tmp_path) == weights(best)
    # As if it had been killed before the last file was moved: nothing is trained, and the same is there.
    saved = best.with_name("saved")
    assert list(saved.iterdir()) == []
    (tmp_path / "modules.json").rename(saved / "modules.json")
    assert train(made, tmp_path) == trained
    assert (tmp_path / "modules.json").is_file()


def train_killed(world: Path, out: Path) -> None:
    """Train until batch 28 is read, in the fifteenth step."""
    from mlbench.training.trainer import NumberedBatches

    read = NumberedBatches.__getitem__
    NumberedBatches.__getitem__ = lambda self, number: read(self, number) if number < 28 else die()  # type: ignore
    train(resumable(world), out)


def resumable(world: Path) -> Recipe:
    return recipe(
        world,
        steps=16,
        optimizer={"learning_rate": 3e-3, "schedule": "linear", "warmup": 0.25},
        validation={**VALIDATION, "patience": 9},
        transformer={"gradient_accumulation": 2},
    )


@pytest.mark.slow
def test_a_killed_training_goes_on_to_the_same_bits(world: Path, tmp_path: Path) -> None:
    made, out = resumable(world), tmp_path / "killed"
    whole = train(made, tmp_path / "whole")
    assert end_of(start(train_killed, world, out)) == -signal.SIGKILL
    assert not (out / "modules.json").exists()
    # As if it had been killed while it wrote the next one.
    torn = next(out.glob(".training/*/checkpoint-12")).with_name("checkpoint-16")
    torn.mkdir()
    (torn / "trainer_state.json").write_text("{")

    told = Told()
    resumed = train(made, out, progress=told)
    assert told.steps[0] == 12
    assert weights(out) == weights(tmp_path / "whole")
    assert resumed == whole


@pytest.mark.slow
def test_another_recipe_does_not_go_on(world: Path, tmp_path: Path) -> None:
    train(recipe(world, steps=4, validation=VALIDATION), tmp_path / "out")
    saved = next((tmp_path / "out").glob(".training/*/saved"))
    for path in (tmp_path / "out").glob("[!.]*"):
        path.rename(saved / path.name)
    changed = train(recipe(world, steps=4, validation=VALIDATION, seed=4), tmp_path / "out")
    train(recipe(world, steps=4, validation=VALIDATION, seed=4), tmp_path / "new")
    assert changed.steps == 4
    assert weights(tmp_path / "out") == weights(tmp_path / "new")


def test_prompts_of_the_checkpoint_are_left_out(world: Path, tmp_path: Path) -> None:
    prompts = {"own": "Own: ", "query": "Question: "}
    model = sentence_transformers.SentenceTransformer(
        str(world / "xlm-roberta"), device="cpu", prompts=prompts, default_prompt_name="own"
    )
    model.save_pretrained(str(tmp_path), create_model_card=False)
    found = load_model(TransformerModel(checkpoint=str(tmp_path), document_prefix="Passage: "), world, CPU)
    assert (found.default_prompt_name, found.prompts) == (None, {"query": "", "document": "Passage: "})


def test_the_trainer_is_told_the_seed_and_the_schedule_of_the_recipe(world: Path, tmp_path: Path) -> None:
    from mlbench.training.trainer import arguments_of

    made = recipe(world, steps=50, seed=7, optimizer={"learning_rate": 0.003, "warmup": 0.2})
    told = arguments_of(made, tmp_path, cpu=True)
    assert (told.seed, told.max_steps, told.learning_rate, told.warmup_steps) == (7, 50, 0.003, 10)


@pytest.mark.slow
def test_workers_read_the_same_batches(world: Path, tmp_path: Path) -> None:
    # In a process that has not computed yet, because it is forked for the workers.
    assert end_of(start(read_by_workers, world, tmp_path)) == 0


def read_by_workers(world: Path, out: Path) -> None:
    from mlbench.training.trainer import arguments_of, make_trainer

    made = recipe(world, data="questions", steps=5, transformer=PREFIXES)
    model = load_model(made.transformer, world, CPU)  # type: ignore[arg-type]
    read = []
    for workers in (0, 1, 2):
        arguments = arguments_of(made, out, cpu=True)
        arguments.dataloader_num_workers = workers
        trainer = make_trainer(model, made, read_data(made), arguments=arguments, progress=Told())
        before = torch.random.get_rng_state()
        batches = list(trainer.get_train_dataloader())
        # What reading takes would be missing from dropout.
        assert torch.equal(torch.random.get_rng_state(), before)
        read.append(
            [{name: each.tolist() for name, each in batch.items() if name.endswith("ids")} for batch in batches]
        )
    assert len(read[0]) == 5
    assert read[0] == read[1] == read[2]


def train_one_of_two(world: Path, out: Path) -> None:
    """Train as one of several processes, and write what it read and found."""
    from mlbench.training.trainer import NumberedBatches

    numbers: dict[int, list[int]] = {12: [], 3: []}
    read = NumberedBatches.__getitem__

    def note(self: NumberedBatches, number: int) -> list[dict[str, str | bool]]:
        numbers[len(self)].append(number)
        return read(self, number)

    NumberedBatches.__getitem__ = note  # type: ignore[method-assign]
    trained = train(shared(world), out)
    found = [numbers[12], numbers[3], trained.batches, trained.is_main, trained.held_out_losses]
    (world / f"rank{os.environ['RANK']}.json").write_text(json.dumps(found))


def shared(world: Path) -> Recipe:
    return recipe(world, data="questions", steps=6, validation={**VALIDATION, "every": 3})


@pytest.mark.slow
def test_processes_share_the_batches(world: Path, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    plan = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    processes = [
        start(train_one_of_two, world, tmp_path, **plan, RANK=str(rank), LOCAL_RANK=str(rank)) for rank in range(2)
    ]
    assert [end_of(process) for process in processes] == [0, 0]
    first, second = (json.loads((world / f"rank{rank}.json").read_text()) for rank in range(2))
    assert first[0] == list(range(0, 12, 2))
    assert second[0] == list(range(1, 12, 2))
    # Three batches are held out: the last turn of the second process is the first batch again, and does not count.
    assert first[1] == [0, 2, 0, 2]
    assert second[1] == [1, 0, 1, 0]
    assert first[2] == second[2] == 12
    assert (first[3], second[3]) == (True, False)
    assert first[4] == second[4]
    assert (tmp_path / "modules.json").is_file()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"checkpoint": "nowhere/at-all/there"}, "transformer: no folder 'nowhere/at-all/there': give a checkpoint's"),
        (
            {"checkpoint": "empty"},
            "transformer: .*/empty: no config.json or modules.json, so it is no checkpoint; check",
        ),
        ({"checkpoint": "weightless"}, r"transformer: .*/weightless: no weights \(model.safetensors\); save the model"),
        ({"revision": "v1"}, "transformer: revision=v1: only a hub id has revisions, and .* is a folder: leave it out"),
        ({"max_length": 60}, "transformer: max_length=60: the checkpoint takes fewer tokens"),
    ],
)
def test_an_unusable_checkpoint_is_told_in_one_line(
    settings: dict[str, object], message: str, world: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message) as raised:
        train(recipe(world, transformer=settings), tmp_path)
    assert "\n" not in str(raised.value)


def test_a_checkpoint_that_lacks_weights_is_refused(world: Path, tmp_path: Path) -> None:
    shutil.copytree(world / "bert", tmp_path / "bert")
    weights = tensors.load_file(tmp_path / "bert" / "model.safetensors")
    lost = next(name for name in weights if name.endswith("layer.1.output.dense.weight"))
    kept = {name: tensor for name, tensor in weights.items() if name != lost}
    tensors.save_file(kept, tmp_path / "bert" / "model.safetensors", metadata={"format": "pt"})
    settings = TransformerModel(checkpoint=str(tmp_path / "bert"))
    with pytest.raises(UserError, match=r"^transformer: .*: 1 weights are missing, among them .*output\.dense\.weight"):
        load_model(settings, tmp_path, CPU)


def test_devices_are_checked(world: Path, tmp_path: Path) -> None:
    made = recipe(world)
    if torch.accelerator.is_available():
        fault = "device tpu: training takes cpu or"
    else:
        fault = "device tpu: torch finds no GPU here: leave out --device, or say --device cpu"
    with pytest.raises(UserError, match=fault):
        train_transformer(made, read_data(made), Destination(tmp_path), runtime=Runtime(device="tpu"))


@pytest.mark.parametrize(
    ("logs", "fault"),
    [
        ({"loss": 24.0}, ""),
        ({"loss": 25.0}, "the loss is 25 after 7 steps, and a model that guesses has at most 24.6: lower"),
        ({"loss": float("nan")}, "the loss is nan after 7 steps: lower optimizer.learning_rate, or train in fp32"),
        ({"eval_loss": float("inf")}, "the loss is inf after 7 steps: lower optimizer.learning_rate, or train in fp32"),
        # What is held out may be far off, as where a model knows its training texts by heart.
        ({"eval_loss": 30.0}, ""),
        ({"train_loss": 30.0, "train_runtime": 99.0}, ""),
    ],
)
def test_a_rate_that_is_too_high_is_told(world: Path, tmp_path: Path, logs: dict[str, float], fault: str) -> None:
    from mlbench.training.trainer import arguments_of, make_trainer

    made = recipe(world, batches={"size": 50}, transformer={"precision": "bf16"})
    arguments = arguments_of(made, tmp_path, cpu=True)
    model = load_model(made.transformer, world, CPU)  # type: ignore[arg-type]
    trainer = make_trainer(model, made, read_data(made), arguments=arguments, progress=Told())
    trainer.state.global_step = 7
    if fault:
        with pytest.raises(UserError, match=f"^{fault}"):
            trainer.log(logs)
    else:
        trainer.log(logs)


def test_the_last_steps_are_judged_by_the_weights(world: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^the weights are no numbers after 3 steps: lower optimizer\.learning_rate$"):
        train(recipe(world, steps=3, optimizer={"learning_rate": 1e15}), tmp_path)
    assert not (tmp_path / "modules.json").exists()


def test_a_loss_that_is_no_number_ends_the_training(world: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^the loss is nan after 5 steps: lower optimizer\.learning_rate$"):
        train(recipe(world, steps=20, optimizer={"learning_rate": 1e15}), tmp_path)
