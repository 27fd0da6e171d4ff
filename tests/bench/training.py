"""Times updates of a transformer recipe: `python -m tests.bench.training RECIPE [--data-dir DIR] [--set KEY=VALUE]`.

Texts padded to the longest of their column, as the libraries train, against texts packed in one row, as mlbench does;
with all parameters trained, then as the recipe says. Prints seconds, ratios and what the processor is busy with.
"""

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

from mlbench.protocols import Runtime
from mlbench.training.examples import Examples
from mlbench.training.losses import info_nce
from mlbench.training.recipe import Recipe, parse_value
from mlbench.training.train import open_recipe
from mlbench.training.trainer import Features, embed_columns
from mlbench.training.transformer import load_model
from tests.bench.timing import alternate

UPDATES = 5
PARTS = 10


class Updates:
    """Updates of one model; `embed` makes the vectors of query and document columns."""

    def __init__(self, recipe: Recipe, examples: Examples, *, packed: bool, as_said: bool) -> None:
        assert recipe.transformer is not None
        settings = recipe.transformer
        if not as_said:
            settings = settings.model_copy(update={"freeze_embeddings": False, "dropout": None})
        self._recipe, self._examples, self._packed = recipe, examples, packed
        self._model = load_model(settings, recipe.root, Runtime("cpu")).train()
        self._parameters = [each for each in self._model.parameters() if each.requires_grad]
        self._optimizer = torch.optim.AdamW(self._parameters, lr=recipe.optimizer.learning_rate)
        self._number = 0

    def run(self, updates: int = UPDATES) -> None:
        for _ in range(updates):
            self._update()

    def _update(self) -> None:
        batch = self._examples.batch(self._number)
        self._number += 1
        prompts = self._model.prompts
        columns = [
            self._model.preprocess([prompts["query"] + example.query for example in batch]),
            self._model.preprocess([prompts["document"] + example.document for example in batch]),
        ]
        half = self._recipe.transformer is not None and self._recipe.transformer.precision == "bf16"
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
            queries, documents = self._embed(columns)
            info_nce(queries, documents, temperature=self._recipe.loss.temperature).backward()
        torch.nn.utils.clip_grad_norm_(self._parameters, 1.0)
        self._optimizer.step()
        self._optimizer.zero_grad()

    def _embed(self, columns: list[Features]) -> list[torch.Tensor]:
        if self._packed:
            return embed_columns(self._model, columns)
        return [self._model(features)["sentence_embedding"] for features in columns]


def measure(make: Mapping[str, Callable[[], Updates]]) -> None:
    """Compare two kinds of updates by turns, and print what the second spends its time on."""
    both = {name: each() for name, each in make.items()}
    for each in both.values():
        each.run(1)
    first, second = both.values()
    one, other = both
    names = (one, other)
    seconds = alternate(first.run, second.run, names)
    print(
        "  " + ", ".join(f"{name}: {each / UPDATES:.2f} s an update" for name, each in zip(names, seconds, strict=True))
    )
    with profile(activities=[ProfilerActivity.CPU]) as told:
        second.run(1)
    print(told.key_averages().table(sort_by="self_cpu_time_total", row_limit=PARTS, max_name_column_width=44))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    given = parser.parse_args()
    changes = {key: parse_value(value) for key, _, value in (text.partition("=") for text in given.set)}
    recipe, data = open_recipe(given.recipe, changes, data_dir=given.data_dir)
    examples = data.examples(recipe)

    def make(*, packed: bool, as_said: bool) -> Callable[[], Updates]:
        return lambda: Updates(recipe, examples, packed=packed, as_said=as_said)

    print("everything trained")
    measure({"padded": make(packed=False, as_said=False), "packed": make(packed=True, as_said=False)})
    print("padded with everything trained, against packed as the recipe says")
    measure({"before": make(packed=False, as_said=False), "after": make(packed=True, as_said=True)})


if __name__ == "__main__":
    main()
