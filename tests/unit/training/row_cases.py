"""Training rows to draw from, and what two of them share by brute force."""

import gzip
import json
import random
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path

import numpy as np

from mlbench.training.index import RowIndex
from mlbench.training.recipe_tables import Batches, DataSet
from mlbench.training.rows import DatasetRows, prepare
from mlbench.training.sampler import Batch, BatchSampler
from mlbench.training.sources import find_source

RawRow = Mapping[str, object]


def write(path: Path, rows: Iterable[RawRow]) -> Path:
    lines = "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows).encode()
    path.write_bytes(gzip.compress(lines) if path.suffix == ".gz" else lines)
    return path


def read(path: Path) -> list[RawRow]:
    opened = gzip.open if path.suffix == ".gz" else Path.open
    with opened(path, "rb") as lines:
        return [json.loads(line) for line in lines]


def prepared(*paths: Path) -> DatasetRows:
    files = [{"path": path.name} for path in paths]
    return prepare(find_source(DataSet(name="rows", files=files), paths[0].parent, None))


def index_of(folder: Path, rows: Iterable[RawRow], languages: tuple[str, ...]) -> RowIndex:
    """Return the index of rows that go through a file in `folder`, with these languages."""
    found = prepared(write(folder / "rows.jsonl", rows))
    return found.index.with_languages(found.languages, languages)


def texts(n: int, languages: Iterable[str], *, start: int = 0) -> list[RawRow]:
    """Return rows of parallel text without repetitions."""
    numbers = range(start, start + n)
    return [{"id": f"t{i}", "texts": {tag: f"{tag} words of text {i}" for tag in languages}} for i in numbers]


def pairs(n: int, queries: Iterable[str], documents: Iterable[str], *, start: int = 0) -> list[RawRow]:
    """Return rows of questions in some languages and documents in others, without repetitions."""
    return [
        {
            "id": f"p{i}",
            "queries": {tag: f"{tag} question {i}" for tag in queries},
            "passages": {tag: f"{tag} answer {i}" for tag in documents},
        }
        for i in range(start, start + n)
    ]


def repetitive(seed: int, n: int, languages: Sequence[str]) -> list[RawRow]:
    """Return rows of all three forms that repeat topics, queries, documents, translations and negatives."""
    draw = random.Random(seed)

    def some() -> list[str]:
        return sorted(draw.sample(languages, draw.randint(1, len(languages))))

    def document(tag: str) -> str:
        # Some texts are the same in all languages, some differ in what does not count.
        number = draw.randrange(max(2, n // 3))
        return draw.choice([f"Doc {number} {tag}", f"doc  {number} {tag.upper()} ", f"DOC {number // 4}"])

    def query(tag: str) -> str:
        return f"query {draw.randrange(2 * n)} {tag}"

    rows: list[RawRow] = []
    for number in range(n):
        topic = f"t{draw.randrange(2 * n)}"
        tag = draw.choice(languages)
        negatives = {tag: [document(tag) for _ in range(draw.randrange(3))] for tag in some()}
        rows.append(
            draw.choice(
                [
                    {"id": topic, "texts": {tag: document(tag) for tag in some()}},
                    {"texts": {tag: f"text {number} {tag}" for tag in some()}},
                    {"id": topic, "lang": tag, "query": query(tag), "passage": document(tag)},
                    {
                        "id": topic,
                        "queries": {tag: query(tag) for tag in some()},
                        "passages": {tag: document(tag) for tag in some()},
                        "negatives": negatives,
                    },
                ]
            )
        )
    return rows


def same(text: str) -> str:
    """Return what all spellings of a text have in common."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def queries_of(row: RawRow) -> dict[str, str]:
    return _part(row, "queries", "query")


def documents_of(row: RawRow) -> dict[str, str]:
    return _part(row, "passages", "passage")


def negatives_of(row: RawRow) -> list[tuple[str, str]]:
    given = row.get("negatives") or {}
    by_language = {row["lang"]: given} if isinstance(given, list) else given
    return [(tag, text) for tag in sorted(by_language) for text in by_language[tag] if text.strip()]


def _part(row: RawRow, plural: str, singular: str) -> dict[str, str]:
    found = row.get("texts") or row.get(plural) or {row.get("lang"): row.get(singular)}
    return {tag: text for tag, text in sorted(found.items()) if text and text.strip()}


class Families:
    """Sets of texts that are translations of each other, at any remove: a plain union-find."""

    def __init__(self, members: Iterable[Iterable[str]]) -> None:
        self._parents: dict[str, str] = {}
        for group in members:
            keys = [same(text) for text in group]
            for key in keys:
                self._parents[self._root(key)] = self._root(keys[0])

    def of(self, text: str) -> str:
        """Return a name for the family of a text; one never met is its own."""
        return self._root(same(text))

    def _root(self, key: str) -> str:
        while (parent := self._parents.setdefault(key, key)) != key:
            # Halve the path, or long chains would take for ever.
            self._parents[key] = self._parents[parent]
            key = parent
        return key


def digest(batches: Sequence[Batch]) -> str:
    content = sha256()
    for batch in batches:
        for name, value in vars(batch).items():
            content.update(f"{name} ".encode())
            content.update(value.tobytes() if isinstance(value, np.ndarray) else repr(value).encode())
    return content.hexdigest()


def fresh_digest(path: str) -> str:
    """Return a digest of 40 batches of the rows in a file, which are prepared for it."""
    found = prepared(Path(path))
    index = found.index.with_languages(found.languages, found.languages)
    return digest(list(BatchSampler([index], Batches(size=12), random_negatives=True, seed=3).batches(0, 40)))
