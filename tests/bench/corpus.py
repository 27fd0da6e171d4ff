"""Writes a synthetic corpus in MIRACL's own format, of any size, with a task file beside it.

Documents are pseudo-words that follow Zipf's law, 20 to 60 of them and a title, whatever the size of the corpus. Each
query has up to 3 relevant documents that say its own words, some often and some once, so that ranks are spread from the
first to deep ones. One document in a hundred has a text that another has: one that is relevant somewhere, or any.
"""

import argparse
import gzip
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from time import perf_counter
from zlib import crc32

import numpy as np

BLOCK = 10_000
VOCABULARY = 50_000
OWN_WORDS = 4
APART = 7919
SHORTEST, LONGEST = 20, 60
COPIES = 100
ONLY_MISSING = 25
EVERYWHERE = (
    "lorem ipsum dolor sit amet consectetur adipiscing elit sed do eiusmod tempor incididunt ut labore et dolore"
)
SYLLABLES = (("bdfghjklmnprstvwz", "aeiou"), ("bdfgjklmnrsṣtwy", "aeiouẹọáà"), ("కగచజటడతదనపబమయరలవసహ", "ాిీుూెేొో"))
"""Consonants and vowels of the languages, in turn; the second shares letters with the first, as real languages do."""

Row = tuple[str, str, str]
"""The docid, title and text of a document."""


@dataclass(frozen=True)
class Size:
    """How many documents and queries all languages have together, and how many documents a shard."""

    documents: int
    queries: int
    per_shard: int = 50_000


@dataclass(frozen=True)
class Topic:
    """A query, and what is judged for it: numbers of documents; those of `missing` are in no corpus."""

    text: str
    relevant: tuple[int, ...]
    missing: tuple[int, ...]
    judged_zero: tuple[int, ...]


class Language:
    """The words of one language and what is planted among its documents; all of it follows from the arguments."""

    def __init__(self, tag: str, number: int, size: tuple[int, int], seed: int) -> None:
        self.tag, self._seed, self._number = tag, seed, number
        self.n_documents, self.n_queries = size
        starts, ends = SYLLABLES[number % len(SYLLABLES)]
        self._syllables = [start + end for start in starts for end in ends]
        np.random.RandomState(crc32(tag.encode())).shuffle(self._syllables)
        self._words = np.array([self._word(rank) for rank in range(VOCABULARY)], dtype=object)
        shares = 1 / np.arange(2, VOCABULARY + 2)
        self._bounds = np.cumsum(shares / shares.sum())
        self.topics, self._planted = self._plant()

    def _word(self, rank: int) -> str:
        """Return the word of a rank: its number in syllables, so that frequent words are short and all are distinct."""
        syllables, rank = [], rank + 1
        while rank:
            rank, digit = divmod(rank - 1, len(self._syllables))
            syllables.append(self._syllables[digit])
        return "".join(syllables)

    def _draw(self, chance: np.random.RandomState, n: int) -> list[str]:
        """Return `n` words of the vocabulary."""
        ranks = np.minimum(np.searchsorted(self._bounds, chance.random_sample(n)), VOCABULARY - 1)
        return list(self._words[ranks])

    def _plant(self) -> tuple[list[Topic], dict[int, tuple[str, str]]]:
        """Return the topics, and title and text of each document that is relevant to one or a copy of another."""
        chance = np.random.RandomState([self._seed, self._number, 0])
        n_copies = max(4, self.n_documents // COPIES)
        places = iter(chance.choice(self.n_documents, 5 * self.n_queries + n_copies, replace=False).tolist())
        topics, planted = [], {}
        for number in range(self.n_queries):
            own = [self._word(VOCABULARY + APART * (OWN_WORDS * number + each)) for each in range(OWN_WORDS)]
            question = [*own, *self._draw(chance, chance.randint(2, 6))]
            chance.shuffle(question)
            relevant = [] if number % ONLY_MISSING == 5 else list(islice(places, chance.randint(1, 4)))
            for place in relevant:
                planted[place] = self._answer(own, chance)
            missing = [self.n_documents + number] if number % 5 == 0 else []
            zeros = list(islice(places, 2))
            topics.append(Topic(" ".join(question), tuple(relevant), tuple(missing), tuple(zeros)))
        originals = list(planted.values())
        stock = [("", EVERYWHERE), *(self._answer([], chance) for _ in range(n_copies // 8))]
        for number, place in enumerate(islice(places, n_copies)):
            texts = originals if number % 2 else stock
            planted[place] = texts[number // 2 % len(texts)]
        return topics, planted

    def _answer(self, own: Sequence[str], chance: np.random.RandomState) -> tuple[str, str]:
        """Return title and text of a document that says words of `own`, once to over and over."""
        title = self._draw(chance, chance.randint(1, 4))
        words = self._draw(chance, chance.randint(SHORTEST, LONGEST + 1))
        if own:
            said = 1 + int(len(words) * 0.6 * chance.random_sample() ** 2)
            for place in chance.choice(len(words), said, replace=False):
                words[place] = own[chance.randint(len(own))]
        return " ".join(title), " ".join(words)

    def documents(self) -> Iterator[Row]:
        """Yield all documents; no more than a block of them is held."""
        for first in range(0, self.n_documents, BLOCK):
            chance = np.random.RandomState([self._seed, self._number, 1, first])
            n = min(BLOCK, self.n_documents - first)
            titles, lengths = chance.randint(1, 4, n), chance.randint(SHORTEST, LONGEST + 1, n)
            words = self._draw(chance, int(titles.sum() + lengths.sum()))
            ends = np.cumsum(titles + lengths)
            for number, end, title, length in zip(range(first, first + n), ends, titles, lengths, strict=True):
                text = " ".join(words[end - length : end])
                heading = " ".join(words[end - length - title : end - length])
                yield docid(number), *self._planted.get(number, (heading, text))


def docid(number: int) -> str:
    """Return the id of a document as MIRACL writes it: an article and a paragraph in it."""
    return f"{number // 5}#{number % 5}"


def write_corpus(folder: Path, tags: Sequence[str], size: Size, seed: int = 0, level: int = 1) -> Path:
    """Write topics, judgments and shards of each language into `folder`, and return the task file beside them.

    The same arguments give the same texts, whatever the size of a shard. Raises `ValueError` where documents are too
    few for the queries.
    """
    files = []
    counts = list(zip(_split(size.documents, len(tags)), _split(size.queries, len(tags)), strict=True))
    if any(documents < 8 * queries + 8 or not queries for documents, queries in counts):
        raise ValueError("each language needs a query, and 8 documents for each query and 8 more")
    folder.mkdir(parents=True, exist_ok=True)
    for number, (tag, count) in enumerate(zip(tags, counts, strict=True)):
        language = Language(tag, number, count, seed)
        files += [(tag, "queries", _topics(folder, language)), (tag, "qrels", _qrels(folder, language))]
        files += [(tag, "documents", path) for path in _shards(folder, language, size.per_shard, level)]
    return _task_file(folder, tags, counts, files)


def _split(total: int, parts: int) -> list[int]:
    return [total // parts + (number < total % parts) for number in range(parts)]


def _topics(folder: Path, language: Language) -> Path:
    path = folder / f"topics.synthetic-{language.tag}.tsv"
    path.write_text(
        "".join(f"{number}\t{topic.text}\n" for number, topic in enumerate(language.topics)), encoding="utf-8"
    )
    return path


def _qrels(folder: Path, language: Language) -> Path:
    path = folder / f"qrels.synthetic-{language.tag}.tsv"
    rows = [
        f"{number}\tQ0\t{docid(place)}\t{grade}\n"
        for number, topic in enumerate(language.topics)
        for grade, places in ((1, topic.relevant + topic.missing), (0, topic.judged_zero))
        for place in places
    ]
    path.write_text("".join(rows), encoding="utf-8")
    return path


def _shards(folder: Path, language: Language, per_shard: int, level: int) -> Iterator[Path]:
    rows = language.documents()
    (folder / f"corpus-{language.tag}").mkdir(exist_ok=True)
    for number in range(-(-language.n_documents // per_shard)):
        path = folder / f"corpus-{language.tag}" / f"docs-{number}.jsonl.gz"
        # Without a name and a time in its head, the same documents are the same file.
        with path.open("wb") as raw, gzip.GzipFile("", "wb", level, raw, mtime=0) as stream:
            shard = islice(rows, per_shard)
            while part := "".join(map(_line, islice(shard, 1000))):
                stream.write(part.encode())
        yield path


def _line(row: Row) -> str:
    return json.dumps(dict(zip(("docid", "title", "text"), row, strict=True)), ensure_ascii=False) + "\n"


def _task_file(
    folder: Path, tags: Sequence[str], counts: Sequence[tuple[int, int]], files: Sequence[tuple[str, str, Path]]
) -> Path:
    entries = [
        f'    {{ language = "{tag}", role = "{role}", path = "{path.relative_to(folder).as_posix()}" }},\n'
        for tag, role, path in files
    ]
    path = folder / "task.toml"
    path.write_text(
        'name = "synthetic"\nversion = "1"\ntitle = "Pseudo-words in the format of MIRACL"\nreader = "miracl"\n'
        f"languages = {json.dumps(sorted(tags))}\n"
        'parallel = false\nsettings = ["monolingual", "multilingual"]\n'
        'measures = ["AP", "RR", "nDCG@10", "R@100"]\nprimary_measure = "AP"\nbias_scores = []\n'
        f"files = [\n{''.join(entries)}]\n"
        "\n[expected.documents]\n"
        + "".join(f"{tag} = {documents}\n" for tag, (documents, _) in zip(tags, counts, strict=True))
        + "\n[expected.queries]\n"
        + "".join(f"{tag} = {queries}\n" for tag, (_, queries) in zip(tags, counts, strict=True)),
        encoding="utf-8",
    )
    return path


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.corpus", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--documents", type=int, default=1_000_000, help="of all languages together")
    parser.add_argument("--languages", default="sw,yo,te")
    parser.add_argument("--queries", type=int, default=1000, help="of all languages together")
    parser.add_argument("--per-shard", type=int, default=50_000, help="documents in a file")
    parser.add_argument("--level", type=int, default=1, help="of compression, 1 to 9")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    begin = perf_counter()
    size = Size(given.documents, given.queries, given.per_shard)
    path = write_corpus(given.folder, given.languages.split(","), size, given.seed, given.level)
    stored = sum(each.stat().st_size for each in given.folder.rglob("*") if each.is_file())
    print(f"{path}: {given.documents:,} documents, {stored / 2**20:,.0f} MiB, {perf_counter() - begin:.0f} s")


if __name__ == "__main__":
    main()
