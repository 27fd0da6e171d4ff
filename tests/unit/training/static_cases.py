"""Recipes of small static encoders on the rows of `encoders`, and a task whose texts may be among these rows."""

import json
from collections.abc import Mapping
from pathlib import Path

from encoders import LANGUAGES

from mlbench.training.recipe import Recipe

RECIPE = """
name = "toy"
title = "A toy"
seed = 3
steps = 20
languages = ["de", "en", "fr"]

[static]
pieces = 200
dim = 8

[batches]
size = 16

[optimizer]
learning_rate = 0.02

[[datasets]]
name = "rows"
licence = "CC0"
files = [{ path = "rows.jsonl" }]
"""


def static_recipe(root: Path, **changes: object) -> Recipe:
    """Return a recipe that trains on rows.jsonl in `root`; `changes` replace its tables."""
    table: dict[str, object] = {
        "name": "toy",
        "seed": 3,
        "steps": 20,
        "languages": list(LANGUAGES),
        "static": {"pieces": 200, "dim": 8},
        "batches": {"size": 16},
        "optimizer": {"learning_rate": 0.02},
        "datasets": [{"name": "rows", "files": [{"path": "rows.jsonl"}]}],
        **changes,
    }
    recipe = Recipe.model_validate(table)
    recipe._root = root
    return recipe


def write_task(folder: Path, questions: Mapping[str, str]) -> Path:
    """Write a collection in the bring-your-own format with one topic, and return its folder."""
    folder.mkdir()
    for tag, question in questions.items():
        document = {"id": "d", "text": f"{tag} answers nobody has in any training text"}
        (folder / f"queries.{tag}.jsonl").write_text(json.dumps({"id": "t", "text": question}) + "\n")
        (folder / f"documents.{tag}.jsonl").write_text(json.dumps(document) + "\n")
    (folder / "qrels.tsv").write_text("t\t0\td\t1\n")
    return folder
