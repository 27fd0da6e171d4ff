"""The trainer of sentence-transformers on numbered batches; it extends that library's classes, so import it late."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from math import gcd, inf
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sentence_transformers import (
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.data import DataLoader
from transformers import EarlyStoppingCallback, PrinterCallback, TrainerCallback, TrainerState

from mlbench.collection.records import Image
from mlbench.protocols import Progress
from mlbench.retrievers.packing import Packing
from mlbench.training.data import TrainingData
from mlbench.training.examples import Examples
from mlbench.training.fusion import FusionLoss, FusionModel
from mlbench.training.image_text import Collator, logit_scale
from mlbench.training.losses import SUSTAINED, check_loss, highest_guess, info_nce
from mlbench.training.recipe import Recipe
from mlbench.training.recipe_tables import Loss, TransformerModel
from mlbench.training.towers import encode_images

Row = dict[str, str | bool | tuple[int, int]]
Features = dict[str, torch.Tensor]
# Where nothing is held out; checkpoints are as far apart.
_EVERY = 500
_HIGHEST_SCALE = 100.0
# What a momentum model is resumed from, in a checkpoint of the trainer.
_MOMENTUM = "momentum.pt"
# So many tokens go through a packed network at once.
_ROW = 4096
# A text of at most so many tokens is short.
_SHORT = 64


class NumberedBatches:
    """The first `n` batches as rows of texts: item i is the whole of batch i, so a number is all that workers need.

    With `negatives`, each row has a column of them; where an example has none, it is empty and its label false. With
    `topics`, the label is the number of the batch, and that of the example's topic.
    """

    def __init__(self, examples: Examples, n: int, *, negatives: bool, topics: bool = False) -> None:
        self._examples = examples
        self._n = n
        self._negatives = negatives
        self._topics = topics
        columns = ["negative", "label"] if negatives else ["label"] if topics else []
        self.column_names = ["query", "document", *columns]

    def __len__(self) -> int:
        return self._n

    def __getitem__(self, number: int) -> list[Row]:
        rows: list[Row] = []
        for query, document, negative in self._examples.batch(number):
            row: Row = {"query": query, "document": document}
            if self._negatives:
                row |= {"negative": negative or "", "label": negative is not None}
            rows.append(row)
        if self._topics:
            for row, topic in zip(rows, self._examples.topics(number), strict=True):
                row["label"] = (number, topic)
        return rows


class BatchLoss(torch.nn.Module):  # type: ignore[misc]
    """InfoNCE as the trainer calls it; labels say which examples have a negative.

    `scale` is log(1 / temperature) where the model keeps one of its own.
    """

    def __init__(self, model: SentenceTransformer, options: Loss, scale: torch.nn.Parameter | None = None) -> None:
        super().__init__()
        self.model = model
        self._options = options
        # In a list, or it would be a weight of the loss as well as of the model.
        self._scale = [] if scale is None else [scale]

    def forward(self, columns: Iterable[Features], labels: torch.Tensor | None = None) -> torch.Tensor:
        """Return the loss of the columns query, document and, with labels, negative; raises as `info_nce` does."""
        queries, documents, *others = embed_columns(self.model, list(columns))
        return info_nce(
            queries,
            documents,
            others[0][labels] if others else None,
            temperature=self._temperature(),
            negatives_kind=self._options.negatives,
            symmetric=self._options.symmetric,
        )

    def _temperature(self) -> float | torch.Tensor:
        if not self._scale:
            return self._options.temperature
        scale = self._scale[0].exp()
        # What is learned gets no lower than .01, as CLIP has it.
        return 1 / (scale.clamp(max=_HIGHEST_SCALE) if self._options.learn_temperature else scale)


def embed_columns(model: SentenceTransformer, columns: Sequence[Features]) -> list[torch.Tensor]:
    """Return the vectors of each column's texts, (texts, dim).

    Where the network can be packed (see `Packing`), all texts go through it side by side in one row: no padding is
    computed, and the products are large.
    """
    # Between processes the model is wrapped.
    packing = Packing.of(model) if isinstance(model, SentenceTransformer) else None
    masks = [features.get("attention_mask") for features in columns]
    if packing is None or not all(isinstance(mask, torch.Tensor) for mask in masks):
        return [_vectors(model, features) for features in columns]
    together = _one_above_another(columns)
    lengths = together["attention_mask"].sum(dim=1).numpy()
    if not packing.takes(together, lengths):
        return [_vectors(model, features) for features in columns]
    # For short texts, the library's fused attention takes twice the time of plain products, backwards above all. Those
    # keep all weights of attention in memory, which would be too much for long ones.
    plain = sdpa_kernel(SDPBackend.MATH) if lengths.max() <= _SHORT else nullcontext()
    with packing.attention(), plain:
        batches = [
            (rows, model(batch)["sentence_embedding"]) for rows, batch in packing.batches(together, lengths, _ROW)
        ]
    order = np.argsort(np.concatenate([rows for rows, _ in batches]))
    vectors = torch.cat([found for _, found in batches])[torch.from_numpy(order)]
    return list(vectors.split([len(mask) for mask in masks if mask is not None]))


def _vectors(model: SentenceTransformer, features: Features) -> torch.Tensor:
    """Return the vectors of a column: those that are known already, or what the model gives."""
    known = features.get("sentence_embedding")
    return model(features)["sentence_embedding"] if known is None else known


def _one_above_another(columns: Sequence[Features]) -> Features:
    """Return the features of all columns as those of one, padded to the longest."""
    widest = max(features["attention_mask"].shape[1] for features in columns)
    together = {}
    for name, first in columns[0].items():
        if isinstance(first, torch.Tensor) and first.ndim == 2:
            parts = [torch.nn.functional.pad(each[name], (0, widest - each[name].shape[1])) for each in columns]
            together[name] = torch.cat(parts)
    return together


class BatchTrainer(SentenceTransformerTrainer):  # type: ignore[misc]
    """Trains on `NumberedBatches`: process r of w has every w-th batch, from number r on."""

    def get_train_dataloader(self) -> DataLoader:
        """Return the training batches of this process."""
        return self._loader(self.train_dataset)

    def get_eval_dataloader(self, eval_dataset: NumberedBatches | None = None) -> DataLoader:
        """Return the held-out batches of this process."""
        return self._loader(self.eval_dataset)

    def get_decay_parameter_names(self, model: torch.nn.Module) -> list[str]:
        """Return the weights that decay; a temperature is none."""
        return [name for name in super().get_decay_parameter_names(model) if not name.endswith("logit_scale")]

    def _save(self, output_dir: str | None = None, state_dict: dict[str, torch.Tensor] | None = None) -> None:
        super()._save(output_dir, state_dict)
        if isinstance(self.loss, FusionLoss) and self.loss.momentum is not None:
            torch.save(self.loss.momentum.state_dict(), Path(output_dir or self.args.output_dir) / _MOMENTUM)

    def _load_from_checkpoint(self, checkpoint_path: str) -> None:
        super()._load_from_checkpoint(checkpoint_path)
        if isinstance(self.loss, FusionLoss) and self.loss.momentum is not None:
            self.loss.momentum.load_state_dict(torch.load(Path(checkpoint_path) / _MOMENTUM, weights_only=True))

    def add_model_card_callback(self, default_args_dict: dict[str, object]) -> None:
        """Collect nothing for a model card: it would ask hubs and encode examples."""

    def _loader(self, batches: NumberedBatches) -> DataLoader:
        loader = DataLoader(
            batches,
            batch_size=1,
            collate_fn=partial(_collate, self.data_collator),
            num_workers=self.args.dataloader_num_workers,
            pin_memory=self.args.dataloader_pin_memory,
            # Its own, so that reading batches takes no random number from dropout.
            generator=torch.Generator().manual_seed(self.args.seed),
        )
        return self.accelerator.prepare(loader)


class Reporter(TrainerCallback):  # type: ignore[misc]
    """Tells a `Progress` about steps and judgments, and ends a training whose loss is no number, or above `highest`."""

    def __init__(self, progress: Progress, highest: float, precision: str) -> None:
        self._progress = progress
        self._highest = highest
        self._precision = precision

    def on_train_begin(self, args: object, state: TrainerState, control: object, **kwargs: object) -> None:
        """Begin with the steps of a run that is resumed."""
        if state.is_world_process_zero:
            self._progress.start("train", state.max_steps)
            self._progress.advance(state.global_step)

    def on_step_end(self, args: object, state: TrainerState, control: object, **kwargs: object) -> None:
        """Count a step."""
        if state.is_world_process_zero:
            self._progress.advance(1)

    def on_log(
        self, args: object, state: TrainerState, control: object, logs: dict[str, float], **kwargs: object
    ) -> None:
        """Note a loss on held-out batches; raises as `check_loss` does."""
        highest = self._highest if "loss" in logs else inf
        loss = logs.get("eval_loss", logs.get("loss", 0.0))
        check_loss(loss, state.global_step, highest, precision=self._precision)
        if "eval_loss" in logs and state.is_world_process_zero:
            self._progress.note(f"validation loss {loss:.4f} after {state.global_step} steps")

    def on_train_end(self, args: object, state: TrainerState, control: object, **kwargs: object) -> None:
        """End the phase."""
        if state.is_world_process_zero:
            self._progress.finish()


def make_trainer(
    model: SentenceTransformer,
    recipe: Recipe,
    data: TrainingData,
    *,
    arguments: SentenceTransformerTrainingArguments,
    progress: Progress,
) -> BatchTrainer:
    """Return the trainer of `model` as the recipe says; the loss is judged on what is held out, where anything is."""
    of_images, settings = recipe.image_text is not None, recipe.transformer or recipe.image_text
    assert settings is not None
    batches = recipe.steps * arguments.gradient_accumulation_steps * arguments.world_size
    hard = recipe.loss.negatives == "hard_only"
    fuses = isinstance(model[0], FusionModel)
    examples, held_out, validation = data.examples(recipe), data.held_out_examples(recipe), recipe.validation
    trainer = BatchTrainer(
        model=model,
        args=arguments,
        # The same columns in all batches and processes, as these must call the model equally often.
        train_dataset=NumberedBatches(examples, batches, negatives=hard or examples.has_negatives, topics=fuses),
        eval_dataset=NumberedBatches(
            held_out, validation.batches, negatives=hard or held_out.has_negatives, topics=fuses
        )
        if held_out is not None and validation is not None
        else None,
        loss=FusionLoss(model, recipe.loss, recipe.seed)
        if fuses
        else BatchLoss(model, recipe.loss, logit_scale(model) if of_images else None),
        data_collator=Collator(model, _known_vectors(model, recipe, data, progress)) if of_images else None,
        callbacks=[Reporter(progress, _highest_loss(recipe), settings.precision)],
    )
    trainer.remove_callback(PrinterCallback)
    if recipe.patience is not None:
        trainer.add_callback(EarlyStoppingCallback(recipe.patience))
    return trainer


def _highest_loss(recipe: Recipe) -> float:
    lowest = 1 / _HIGHEST_SCALE if recipe.loss.learn_temperature else recipe.loss.temperature
    # Of each example the document and a negative.
    return highest_guess(2 * recipe.batches.size, lowest)


def _known_vectors(
    model: SentenceTransformer, recipe: Recipe, data: TrainingData, progress: Progress
) -> Mapping[Image, NDArray[np.float32]] | None:
    """Return the vectors of all images where their tower is locked, which are computed once; None where it is not."""
    settings = recipe.image_text
    if settings is None or settings.image_tower is None or settings.locked != "image":
        return None
    parts = [data.training, data.held_out]
    images = (image for part in parts if part for rows in part.rows for image in rows.images.values())
    return encode_images(model, images, progress)


def arguments_of(recipe: Recipe, work: Path, *, cpu: bool) -> SentenceTransformerTrainingArguments:
    """Return what the trainer is told: AdamW without decay of biases and norms, gradients clipped to length 1."""
    settings, optimizer, validation = recipe.transformer or recipe.image_text, recipe.optimizer, recipe.validation
    assert settings is not None
    every = validation.every if validation else _EVERY
    on_gpu = torch.cuda.is_available() and not cpu
    judged: dict[str, object] = {"eval_strategy": "steps", "eval_steps": every} if validation else {}
    if recipe.patience is not None:
        # Only there: of two checkpoints the library would keep the better one, and the last one is wanted.
        judged |= {"metric_for_best_model": "eval_loss", "greater_is_better": False}
    return SentenceTransformerTrainingArguments(
        output_dir=str(work),
        seed=recipe.seed,
        max_steps=recipe.steps,
        gradient_accumulation_steps=settings.gradient_accumulation,
        learning_rate=optimizer.learning_rate,
        weight_decay=optimizer.weight_decay,
        lr_scheduler_type="linear" if optimizer.schedule == "linear" else "constant_with_warmup",
        warmup_steps=round(optimizer.warmup * recipe.steps),
        bf16=settings.precision == "bf16",
        fp16=settings.precision == "fp16",
        use_cpu=cpu,
        per_device_train_batch_size=recipe.batches.size,
        # A held-out batch is one item, and the loss a mean over items.
        per_device_eval_batch_size=1,
        save_steps=every,
        save_total_limit=1,
        restore_callback_states_from_checkpoint=True,
        # Never across a checkpoint: a resumed run tells the same losses.
        logging_steps=gcd(every, SUSTAINED),
        logging_nan_inf_filter=False,
        report_to="none",
        disable_tqdm=True,
        # Beside a GPU, texts are read and cut into tokens ahead of it; on the CPU that would only take turns.
        dataloader_num_workers=2 if on_gpu else 0,
        dataloader_pin_memory=on_gpu,
        # A batch of captions leaves the tower of images alone.
        ddp_find_unused_parameters=True if recipe.image_text else None,
        prompts=_prompts(recipe.transformer) if recipe.transformer else None,
        **judged,
    )


def _prompts(settings: TransformerModel) -> dict[str, str]:
    query, document = settings.query_prefix, settings.document_prefix
    return {"query": query, "document": document, "negative": document}


def _collate(collator: object, batches: list[list[Row]]) -> Features:
    """Return the features of the one batch that makes up an item."""
    (rows,) = batches
    assert callable(collator)
    return collator(rows)  # type: ignore[no-any-return]
