"""Trains transformers, of texts or of images and texts, on the trainer of sentence-transformers; it can be resumed."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, cast

from mlbench.errors import MissingExtra, RetrieverError, UserError
from mlbench.protocols import SILENCE, Progress, Runtime
from mlbench.retrievers.checkpoint_folder import check_checkpoint, find_checkpoint
from mlbench.retrievers.load_checkpoint import LoadOptions, load, quiet
from mlbench.training.data import TrainingData
from mlbench.training.image_text import load_image_text
from mlbench.training.manifest import Destination, Losses, TrainingOutcome, save_model
from mlbench.training.recipe import Recipe
from mlbench.training.recipe_tables import TransformerModel

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from torch.nn import Module
    from transformers import TrainerState

    from mlbench.training.trainer import BatchTrainer


_LIBRARIES = ("torch", "transformers", "sentence_transformers", "datasets", "accelerate")
_STATE = "trainer_state.json"


def train_transformer(
    recipe: Recipe, data: TrainingData, destination: Destination, *, progress: Progress = SILENCE, runtime: Runtime
) -> TrainingOutcome:
    """Train as `recipe` says and save a Sentence Transformers checkpoint, its modules.json last.

    A run that was interrupted goes on from its last checkpoint, in the work folder of `destination`, if recipe and data
    are the same. Raises `MissingExtra`, `UserError` for a checkpoint to start from or a device
    that cannot be used, and as `BatchSampler.batch` and `info_nce` do.
    """
    # Spinning threads of OpenMP made torch 8 times slower beside another process; it reads this once, when imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if any(find_spec(library) is None for library in _LIBRARIES):
        raise MissingExtra("training transformers", "train")
    import torch
    from sentence_transformers import SentenceTransformer

    work = destination.work_folder(recipe, data)
    with _quiet():
        trainer = _make_trainer(recipe, data, work, progress=progress, runtime=runtime)
        state = _train(trainer, recipe, work)
        kept = _saved_step(state, recipe)
        if trainer.is_world_process_zero():
            # What it trusts is a class of mlbench: this training has written the checkpoint.
            trusted = {"local_files_only": True, "trust_remote_code": _fuses(recipe)}
            model = SentenceTransformer(str(work / f"checkpoint-{kept}"), device="cpu", **trusted)
            if not all(bool(weights.isfinite().all()) for weights in model.parameters()):
                # The last step of all is judged by nothing else.
                raise UserError(f"the weights are no numbers after {kept} steps: lower optimizer.learning_rate")
            save_model(model, destination.own_work(recipe, data), destination.folder)
        trainer.accelerator.wait_for_everyone()
    return TrainingOutcome(
        steps=state.global_step,
        best_step=kept,
        batches=state.global_step * trainer.args.gradient_accumulation_steps * trainer.args.world_size,
        stopped_early=state.global_step < recipe.steps,
        losses=_losses(state, "loss"),
        held_out_losses=_losses(state, "eval_loss"),
        device=str(trainer.args.device),
        threads=torch.get_num_threads(),
        is_main=trainer.is_world_process_zero(),
    )


def load_model(settings: TransformerModel, root: Path, runtime: Runtime) -> "SentenceTransformer":
    """Return the encoder to start from, in float32, with the pooling, prompts and length of the recipe.

    A folder is looked for in `root`, then here; what is none is a hub id. Raises `UserError` where it cannot be loaded
    or used as the recipe says, or lacks weights.
    """
    name = settings.checkpoint
    folders = [folder for folder in (root / Path(name).expanduser(), Path(name)) if folder.is_dir()]
    place = str(folders[0]) if folders else name
    try:
        folder = find_checkpoint(place, settings.revision, allow_pickle=runtime.allow_pickle)
        check_checkpoint(folder, allow_pickle=runtime.allow_pickle)
        options = LoadOptions(device="cpu", allow_pickle=runtime.allow_pickle)
        model = load(folder, options, pooling=settings.pooling, max_length=settings.max_length)
    except RetrieverError as error:
        raise UserError(f"transformer: {error}") from error
    # No prompt that the checkpoint has beside these: they would be taken where one of the recipe is empty.
    model.prompts = {"query": settings.query_prefix, "document": settings.document_prefix}
    model.default_prompt_name = None
    model.similarity_fn_name = "cosine"
    if settings.freeze_embeddings:
        _embeddings(model).requires_grad_(False)
    if settings.dropout is not None:
        _set_dropout(model, settings.dropout)
    return model


def _embeddings(model: "SentenceTransformer") -> "Module":
    """Return the table of subword vectors; raises `UserError` where there is none that the library knows."""
    network = getattr(model[0], "auto_model", None)
    if network is None:
        raise UserError("transformer.freeze_embeddings: the checkpoint is no transformer: leave it out")
    return cast("Module", network.get_input_embeddings())


def _set_dropout(model: "SentenceTransformer", share: float) -> None:
    """Have all layers drop out the same share; what is saved has the dropout of the checkpoint."""
    from torch.nn import Dropout

    for module in model.modules():
        if isinstance(module, Dropout):
            module.p = share
        elif isinstance(getattr(module, "dropout", None), float):
            # Attention of some networks keeps its share as a number.
            module.dropout = share


def _make_trainer(
    recipe: Recipe, data: TrainingData, work: Path, *, progress: Progress, runtime: Runtime
) -> "BatchTrainer":
    import torch
    import transformers

    from mlbench.training.trainer import arguments_of, make_trainer

    settings = recipe.transformer or recipe.image_text
    assert settings is not None
    if runtime.threads is not None:
        torch.set_num_threads(runtime.threads)
    cpu = _is_cpu(runtime.device)
    if cpu and settings.precision == "fp16":
        table = "transformer" if recipe.transformer else "image_text"
        raise UserError(f"{table}.precision: fp16 needs a GPU: take bf16 or fp32")
    # Weights that a checkpoint lacks, such as an unused pooler, are drawn while it is loaded.
    transformers.set_seed(recipe.seed)
    if recipe.transformer is not None:
        model = load_model(recipe.transformer, recipe.root, runtime)
    else:
        model = load_image_text(recipe, data, progress=progress, runtime=runtime)
    arguments = arguments_of(recipe, work, cpu=cpu)
    if arguments.world_size > 1 and recipe.loss.learn_temperature:
        raise UserError("loss.learn_temperature: several processes would learn several temperatures: take one process")
    if arguments.world_size > 1 and _fuses(recipe):
        raise UserError("image_text.architecture: a blip or an albef is trained by one process")
    return make_trainer(model, recipe, data, arguments=arguments, progress=progress)


def _fuses(recipe: Recipe) -> bool:
    return recipe.image_text is not None and recipe.image_text.architecture != "clip"


def _is_cpu(device: str | None) -> bool:
    import torch

    best = torch.accelerator.current_accelerator().type if torch.accelerator.is_available() else "cpu"
    if device not in (None, "cpu", best):
        if best == "cpu":
            raise UserError(f"device {device}: torch finds no GPU here: leave out --device, or say --device cpu")
        raise UserError(f"device {device}: training takes cpu or {best}; CUDA_VISIBLE_DEVICES chooses among GPUs")
    return "cpu" in (device, best)


def _train(trainer: "BatchTrainer", recipe: Recipe, work: Path) -> "TrainerState":
    """Train to the end, from the last checkpoint that is complete, and return the state at the end."""
    last = _last_checkpoint(work)
    if last is not None:
        found = _read_state(last)
        if found is not None and (found.global_step >= recipe.steps or _is_patience_over(found, recipe)):
            return found
    trainer.train(resume_from_checkpoint=None if last is None else str(last))
    return trainer.state


def _last_checkpoint(work: Path) -> Path | None:
    """Return the last checkpoint with a readable state, which is written after all else."""
    by_step = sorted(work.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]))
    return next((path for path in reversed(by_step) if _read_state(path) is not None), None)


def _read_state(checkpoint: Path) -> "TrainerState | None":
    from transformers import TrainerState

    try:
        return TrainerState.load_from_json(str(checkpoint / _STATE))
    except (OSError, ValueError):
        return None


def _is_patience_over(state: "TrainerState", recipe: Recipe) -> bool:
    saved = state.stateful_callbacks.get("EarlyStoppingCallback", {})
    waited = saved.get("attributes", {}).get("early_stopping_patience_counter", 0)
    return recipe.patience is not None and bool(waited >= recipe.patience)


def _saved_step(state: "TrainerState", recipe: Recipe) -> int:
    return int(state.global_step if recipe.patience is None else state.best_global_step)


def _losses(state: "TrainerState", name: str) -> Losses:
    return tuple((int(entry["step"]), float(entry[name])) for entry in state.log_history if name in entry)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the libraries' bars, loading reports and hints off the screen."""
    hints = logging.getLogger("sentence_transformers")
    level = hints.level
    hints.setLevel(logging.ERROR)
    try:
        with quiet():
            yield
    finally:
        hints.setLevel(level)
