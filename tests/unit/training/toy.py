"""A toy sweep: sentences of made-up words in three languages to train on, and a task of others like them."""

import json
import random
from pathlib import Path

from encoders import CONCEPTS, LANGUAGES, sentence, write_rows

RECIPE = """
name = "toy"
title = "Made-up words"
steps = 20
languages = ["de", "en", "fr"]

[static]
pieces = 200
dim = 8

[batches]
size = 8

[optimizer]
learning_rate = 0.05

[[datasets]]
name = "rows"
files = [{ path = "rows.jsonl" }]
"""


def write_toy(folder: Path, *, topics: int = 8) -> Path:
    """Write `toy.toml` with its rows, and the parallel task `words`, into `folder`, which is returned."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "toy.toml").write_text(RECIPE, encoding="utf-8")
    write_rows(folder / "rows.jsonl", 200)
    task = folder / "words"
    task.mkdir()
    draw = random.Random(1)
    said = [draw.sample(range(CONCEPTS), 7) for _ in range(topics)]
    for language in LANGUAGES:
        queries = [{"id": f"t{n}", "text": sentence(words[:3], language)} for n, words in enumerate(said)]
        documents = [{"id": f"d{n}", "text": sentence(words[2:], language)} for n, words in enumerate(said)]
        for name, rows in (("queries", queries), ("documents", documents)):
            lines = "".join(json.dumps(row) + "\n" for row in rows)
            (task / f"{name}.{language}.jsonl").write_text(lines, encoding="utf-8")
    (task / "qrels.tsv").write_text("".join(f"t{n}\t0\td{n}\t1\n" for n in range(topics)), encoding="utf-8")
    return folder
