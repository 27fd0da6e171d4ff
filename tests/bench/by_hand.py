"""Ranks by the plainest means, to check others by: every document is scored, and whole lists are sorted as tuples.

Of mlbench only the encoder and the grid, which says what vectors are, are used; MIRACL's files are read anew here.
"""

import gzip
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np

from mlbench.embeddings.exact import grid_cosine
from mlbench.protocols import Encoder

TASK = "synthetic"
AT_ONCE = 1000
TOP = 20

Place = tuple[int, int, int]
"""The rank of a document in the corpus of its language and in the pool, and how many others of the pool tie with it."""


@dataclass(frozen=True)
class Asked:
    """A query that is looked at; `relevant` are the ids of its relevant documents, those in no corpus among them."""

    tag: str
    topic: str
    text: str
    relevant: frozenset[str]


@dataclass(frozen=True)
class Listed:
    """Where a query's relevant documents stand (None: in no corpus), and the ids at the top of the pool."""

    places: dict[str, Place | None]
    top: list[str]


def doc_id(tag: str, own_id: str) -> str:
    """Return the id under which a document is ranked."""
    parts = "\x1f".join((TASK, "", own_id, tag))
    return f"{sha256(parts.encode()).hexdigest()[:12]}-{tag}-{own_id}"


def sample(folder: Path, tags: Sequence[str], n: int, seed: int = 0) -> list[Asked]:
    """Return `n` queries of each language."""
    chosen = []
    for tag in tags:
        judged: dict[str, set[str]] = {}
        for line in (folder / f"qrels.synthetic-{tag}.tsv").read_text(encoding="utf-8").splitlines():
            topic, _, own_id, grade = line.split("\t")
            judged.setdefault(topic, set()).update([doc_id(tag, own_id)] if int(grade) else [])
        lines = (folder / f"topics.synthetic-{tag}.tsv").read_text(encoding="utf-8").splitlines()
        for line in random.Random(f"{seed}{tag}").sample(lines, n):
            topic, text = line.split("\t")
            chosen.append(Asked(tag, topic, text, frozenset(judged[topic])))
    return chosen


def listed_by_hand(folder: Path, tags: Sequence[str], encoder: Encoder, asked: Sequence[Asked]) -> Iterator[Listed]:
    """Yield what the whole lists of all documents say of each query; takes 8 bytes for each query and document."""
    queries = grid_cosine(encoder.encode([each.text for each in asked], "query"))
    ids: list[tuple[str, str]] = []
    parts = []
    for tag in tags:
        for path in sorted((folder / f"corpus-{tag}").iterdir()):
            rows = [json.loads(line) for line in gzip.decompress(path.read_bytes()).decode().splitlines()]
            ids += [(doc_id(tag, row["docid"]), tag) for row in rows]
            texts = [f"{row['title']} {row['text']}" if row["title"] else row["text"] for row in rows]
            for first in range(0, len(texts), AT_ONCE):
                documents = grid_cosine(encoder.encode(texts[first : first + AT_ONCE], "document"))
                parts.append(np.einsum("qd,nd->qn", queries, documents))
    scores = np.hstack(parts)
    for row, each in zip(scores, asked, strict=True):
        whole = sorted(zip(row.tolist(), ids, strict=True), reverse=True)
        yield _look_up(each, whole)


def _look_up(asked: Asked, whole: Sequence[tuple[float, tuple[str, str]]]) -> Listed:
    places: dict[str, Place | None] = dict.fromkeys(asked.relevant)
    found: dict[str, tuple[int, int, float]] = {}
    in_language = 0
    for rank, (score, (name, tag)) in enumerate(whole, start=1):
        in_language += tag == asked.tag
        if name in places:
            found[name] = in_language, rank, score
    for name, (own_rank, rank, score) in found.items():
        places[name] = own_rank, rank, sum(1 for other, _ in whole if other == score) - 1
    return Listed(places, [name for _, (name, _) in whole[:TOP]])


def listed_in_file(path: Path, asked: Sequence[Asked]) -> Iterator[Listed]:
    """Yield what a ranks file says of each query."""
    with np.load(path) as content:
        arrays = {name: content[name] for name in content.files}
    topics, names = arrays["topic_ids"].tolist(), arrays["document_ids"].tolist()
    columns = arrays["columns"].tolist()
    queries = {topics[topic]: number for number, topic in enumerate(arrays["query_topics"].tolist())}
    for each in asked:
        query = queries[f"{each.tag}:{each.topic}"]
        places: dict[str, Place | None] = {}
        for row in np.flatnonzero(arrays["row_queries"] == query):
            ahead, ties = arrays["ahead"][row], arrays["ties"][row]
            own = int(ahead[columns.index(each.tag)])
            place = (own + 1, int(ahead.sum()) + 1, int(ties.sum())) if own >= 0 else None
            places[names[arrays["row_documents"][row]]] = place
        yield Listed(places, [names[number] for number in arrays["top"][query]])


def differences(
    folder: Path, tags: Sequence[str], encoder: Encoder, ranks: Path, asked: Sequence[Asked]
) -> tuple[int, list[str]]:
    """Return how many ranks were compared, and where a ranks file says something else than the lists by hand."""
    compared, found = 0, []
    for each, by_hand, in_file in zip(
        asked, listed_by_hand(folder, tags, encoder, asked), listed_in_file(ranks, asked), strict=True
    ):
        compared += 2 * len(by_hand.places)
        if by_hand != in_file:
            found.append(f"{each.tag}:{each.topic}: {in_file} in the file, {by_hand} by hand")
    return compared, found
