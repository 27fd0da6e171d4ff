"""Shards that are lists, and a small sharded task on disk."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from unit.tasks.readers.shards import a_row, task_file, write_shard

from mlbench.collection.records import Document
from mlbench.protocols import Parameter, Role, Similarity, Vectors


@dataclass
class ListShard:
    """A shard of documents in memory; `read` counts how often it was read from the beginning."""

    language: str
    name: str
    rows: list[Document]
    read: list[int] = field(default_factory=list)

    def fingerprint(self) -> str:
        return json.dumps(self.rows)

    def documents(self, first: int) -> Iterator[Document]:
        self.read.append(first)
        yield from self.rows[first:]


def list_shard(name: str, doc_ids: Sequence[str], language: str = "sw") -> ListShard:
    """Return a shard of documents whose texts are their ids."""
    return ListShard(language, name, [Document(doc_id, f"about {doc_id}") for doc_id in doc_ids])


class LengthEncoder:
    """Vectors of small whole numbers that follow from the letters, so that many scores are equal; longer for `long`."""

    dim = 4
    tokens = 0

    def __init__(self, similarity: Similarity = "dot") -> None:
        self.similarity: Similarity = similarity
        self.encoded: list[str] = []

    @property
    def parameters(self) -> dict[str, Parameter]:
        return {}

    def fingerprint(self, role: Role) -> str:
        return f"letters-{self.similarity}-{role}"

    def encode(self, texts: Sequence[str], role: Role) -> Vectors:
        self.encoded += texts
        self.tokens += len(texts)
        rows = [[1 + text.count(letter) for letter in "aeio"] for text in texts]
        scales = [[1000.0 if "long" in text else 1.0] for text in texts]
        return np.array(rows, dtype=np.float32).reshape(-1, 4) * np.array(scales, dtype=np.float32).reshape(-1, 1)


def write_task(
    folder: Path, settings: str, *, documents: int = 60, per_shard: int = 17, more: str = "", topic: str = "{}"
) -> Path:
    """Write a sharded task in two languages with duplicate texts, relevant ones among them, and missing documents.

    With the `topic` `{}#0`, topics have ids of documents.
    """
    words = ["mti", "samaki", "asubuhi", "omi", "ile", "aja", "eja"]
    files = []
    for language in ("sw", "yo"):
        rows = [
            a_row(f"{number}#0", " ".join(words[(number * step) % 7] for step in (1, 2, 3)), "")
            for number in range(documents)
        ]
        rows += [a_row("extra#1", more, "")] if more else []
        for number, start in enumerate(range(0, len(rows), per_shard)):
            path = folder / language / f"docs-{number}.jsonl.gz"
            write_shard(path, rows[start : start + per_shard])
            files.append((language, "documents", path))
        topics, qrels = folder / f"topics-{language}.tsv", folder / f"qrels-{language}.tsv"
        names = [topic.format(n) for n in range(5)]
        asked = [f"{name}\t{words[n]} {words[n - 1]}\n" for n, name in enumerate(names)]
        topics.write_text("".join(asked), encoding="utf-8")
        judged = [
            f"{name}\tQ0\t{n * 7 % documents}#0\t1\n{name}\tQ0\t{n * 11 + 30}#0\t{n % 2}\n"
            for n, name in enumerate(names)
        ]
        qrels.write_text("".join(judged) + f"{names[4]}\tQ0\tmissing#0\t1\n", encoding="utf-8")
        files += [(language, "queries", topics), (language, "qrels", qrels)]
    return task_file(
        folder, ["sw", "yo"], files, f"settings = {settings}\n[expected]\nqueries = {{}}\ndocuments = {{}}\n"
    )
