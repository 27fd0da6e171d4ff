"""The immutable records of retrieval: queries, documents, judgments, the collection of them, and its digests."""

import re
from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import sha256, shake_128
from heapq import heappush, heappushpop
from pathlib import Path
from typing import NamedTuple, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from mlbench.collection.languages import IMAGE
from mlbench.errors import DataError

_WORDS = 1024


class LineDigest:
    """LtHash (Bellare and Micciancio 1997; Lewi et al. 2019, 16 bits x 1,024): each line is hashed to a vector.

    The vectors are added modulo 2^16 in every word; a line that is there twice counts twice.
    """

    def __init__(self, state: NDArray[np.uint16] | None = None) -> None:
        """Begin with no lines, or with the `state` of another, uint16 (1024,)."""
        self.state = np.zeros(_WORDS, np.uint16) if state is None else state.copy()

    def add(self, line: str) -> None:
        """Add one line."""
        self.state += np.frombuffer(shake_128(line.encode()).digest(2 * _WORDS), "<u2")

    def merge(self, other: "LineDigest") -> None:
        """Add all lines of `other`."""
        self.state += other.state

    def hexdigest(self) -> str:
        """Return the SHA-256 (hex) of the sum; without lines that of zeros."""
        return sha256(self.state.astype("<u2").tobytes()).hexdigest()


_OTHERS = 10
"""A sample has up to so many documents per query that are not relevant."""
LARGEST_GRADE = 2**20 - 1
"""The highest grade that a judgment can have."""
_COMPLEMENT = str.maketrans("0123456789abcdef", "fedcba9876543210")
_HASHED = re.compile(r"[0-9a-f]{12}-(.+)\Z", re.DOTALL)
_Row = TypeVar("_Row")


class Image(str):
    """An image where a text would stand: the string is `sha256:` and the digest of its file's bytes (hex).

    So two files of the same bytes are one image, and nothing that counts, sorts or keeps texts needs to know. `path` is
    where the file lies; `mlbench.collection.images.open_image` opens it.
    """

    path: Path

    def __new__(cls, digest: str, path: Path) -> Self:
        """Return the image with the SHA-256 `digest` (hex) whose file is at `path`."""
        image = super().__new__(cls, f"sha256:{digest}")
        image.path = path
        return image

    def __reduce__(self) -> tuple[type[Self], tuple[str, Path]]:
        """Return how a copy in another process is made."""
        return type(self), (self.removeprefix("sha256:"), self.path)


class Query(NamedTuple):
    """A topic in one language; its translations share `topic_id`; in `IMAGE`, `text` is an `Image`."""

    topic_id: str
    text: str


class Document(NamedTuple):
    """What is retrieved; `doc_id` is unique over all languages of a collection (see `document_id`).

    Where the language is `IMAGE`, `text` is an `Image`.
    """

    doc_id: str
    text: str


class SubtopicJudgment(NamedTuple):
    """A document judged for one subtopic of a topic, as collections for diversity have them."""

    language: str
    doc_id: str
    subtopic: str
    grade: int


class Judgment(NamedTuple):
    """A document judged for a topic, relevant where `grade` is at least 1; it may be missing from its corpus."""

    language: str
    doc_id: str
    grade: int


@dataclass(frozen=True)
class Collection:
    """All that a task reads: per language its queries and documents, per topic its relevant documents.

    Every mapping by language has exactly the keys `languages`. `judgments` holds relevant documents only, by topic.
    `clusters` names for each topic the unit of resampling. `parallel` says that topics are shared across languages, and
    `translated` that the relevant documents of a topic are translations of each other.
    `not_relevant` holds documents that were judged and are not relevant, with grades of 0 and less, of topics that have
    some. Where grades in the files are no whole numbers, those here are `grade_scale` times as large. `subtopics` are
    the judgments of topics that were judged by subtopic, each with the file's grade, or 0 where the document is not
    relevant for the subtopic; in the others a document is as relevant as for its best one.
    `queries_are_documents` says that each query is also its topic's document in its language, as with parallel
    sentences: for that query, this one document leaves pool and judgments. With `ignore_identical_ids`, a query and a
    document that have one name in the task's files are one, and the document leaves pool and judgments likewise: in
    every language where topics are parallel, since it is then a translation, else in the query's own.

    `left_out` counts documents that a reader met and did not keep: because only a sample was asked for, or their image
    cannot be decoded.

    With captioned images, `IMAGE` is one of `languages`. A topic is either an image, whose documents are its captions,
    or one caption, translated or not, whose document is its image; that topic is called `<image>#<number>`. The cluster
    of both is the image. `unreadable` names images that were left out, with their captions, because they cannot be
    decoded.
    """

    languages: tuple[str, ...]
    queries: Mapping[str, tuple[Query, ...]]
    documents: Mapping[str, tuple[Document, ...]]
    judgments: Mapping[str, tuple[Judgment, ...]]
    clusters: Mapping[str, str]
    cluster_unit: str = "topic"
    parallel: bool = True
    translated: bool = True
    queries_are_documents: bool = False
    ignore_identical_ids: bool = False
    not_relevant: Mapping[str, tuple[Judgment, ...]] = field(default_factory=dict)
    grade_scale: int = 1
    subtopics: Mapping[str, tuple[SubtopicJudgment, ...]] = field(default_factory=dict)
    left_out: Mapping[str, int] = field(default_factory=dict)
    unreadable: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """Say in one line how large it is."""
        queries, documents = (sum(map(len, rows.values())) for rows in (self.queries, self.documents))
        languages = ", ".join(self.languages)
        return f"Collection of {queries:,} queries and {documents:,} documents in {languages}"

    def judged(self, language: str, topic_id: str) -> tuple[Judgment, ...]:
        """Return the judgments of a topic for its query in `language`, without those of the query itself."""
        tags = self._left_out_in(language)
        return tuple(
            row for row in self.judgments[topic_id] if row.language not in tags or not self.is_own(topic_id, row)
        )

    def is_own(self, topic_id: str, judged: Judgment) -> bool:
        """Say whether a judgment of a topic is for what its query in the language of the judgment is itself."""
        if self.queries_are_documents:
            return True
        own = self._name_of_topic(judged.language, topic_id)
        return self.ignore_identical_ids and name_of(judged.doc_id, judged.language) == own

    @property
    def leaves_translations(self) -> bool:
        """Whether what a query is itself leaves pool and judgments in every language, and not in its own alone."""
        return self.ignore_identical_ids and self.parallel and not self.queries_are_documents

    def itself(self, language: str, topic_id: str) -> tuple[str, ...]:
        """Return the ids of the documents that a topic's query in `language` is; none where queries are no documents.

        There is at most one in each language.
        """
        own = (self.own_document(tag, topic_id) for tag in self._left_out_in(language))
        return tuple(doc_id for doc_id in own if doc_id is not None)

    def own_document(self, language: str, topic_id: str) -> str | None:
        """Return the id of the document in `language` that the topic's query in `language` is, None without one."""
        if self.queries_are_documents:
            return next((row.doc_id for row in self.judgments[topic_id] if row.language == language), None)
        if not self.ignore_identical_ids:
            return None
        named = self._documents_named_as_topics.get(self._name_of_topic(language, topic_id), {})
        return named[language].doc_id if language in named else None

    @cached_property
    def _documents_named_as_topics(self) -> Mapping[str, Mapping[str, Document]]:
        """The documents that have the name of a topic in the task's files, by that name and their language."""
        topics = self.names_of_topics
        found: dict[str, dict[str, Document]] = {}
        for language, rows in self.documents.items():
            for document in rows:
                name = name_of(document.doc_id, language)
                if name in topics:
                    found.setdefault(name, {})[language] = document
        return found

    @property
    def names_of_topics(self) -> frozenset[str]:
        """What the topics are called in the task's files."""
        rows = self.queries.items()
        return frozenset(self._name_of_topic(language, query.topic_id) for language, own in rows for query in own)

    def unjudged_twins(self, language: str, query: Query) -> frozenset[str]:
        """Return the languages with a document that a query in `language` is, and that is neither judged nor left out.

        It has the query's text, or its name in the task's files. Where that is a bare number, the document must hold
        the text as well: queries and documents may each have been numbered.
        """
        own = self._name_of_topic(language, query.topic_id)
        found = list(self._documents_by_text.get(query.text, ()))
        for tag, named in self._documents_named_as_topics.get(own, {}).items():
            if (self.parallel or tag == language) and (not own.isdecimal() or query.text in named.text):
                found.append((tag, named))
        if not found:
            return frozenset()
        known = {row.doc_id for row in self.judgments[query.topic_id]} | {*self.itself(language, query.topic_id)}
        return frozenset(tag for tag, document in found if document.doc_id not in known)

    @cached_property
    def _documents_by_text(self) -> Mapping[str, Sequence[tuple[str, Document]]]:
        """The documents that have the text of a query, each with its language, by that text."""
        texts = {query.text for rows in self.queries.values() for query in rows}
        found: dict[str, list[tuple[str, Document]]] = {}
        for language, rows in self.documents.items():
            for document in rows:
                if document.text in texts:
                    found.setdefault(document.text, []).append((language, document))
        return found

    def _name_of_topic(self, language: str, topic_id: str) -> str:
        return topic_id if self.parallel else own_topic_id(topic_id, language)

    def _left_out_in(self, language: str) -> tuple[str, ...]:
        """Return the languages in which what a query in `language` is leaves pool and judgments."""
        return self.languages if self.leaves_translations else (language,)

    def uneven_topic(self) -> str | None:
        """Return the first topic that has several relevant documents in a language and fewer in another, None without.

        Documents that are translations of each other would be equally many. Languages without any do not count.
        """
        for topic in sorted(self.judgments):
            counts = Counter(row.language for row in self.judgments[topic])
            if len(set(counts.values())) > 1:
                return topic
        return None

    def restrict(self, languages: tuple[str, ...]) -> "Collection":
        """Return the same collection with queries, documents and judgments of `languages` only."""
        keep = set(languages)
        queries = {language: self.queries[language] for language in languages}
        topics = {query.topic_id for rows in queries.values() for query in rows}
        judgments, not_relevant = (
            {
                topic: tuple(judgment for judgment in rows if judgment.language in keep)
                for topic, rows in judged.items()
                if topic in topics
            }
            for judged in (self.judgments, self.not_relevant)
        )
        return replace(
            self,
            languages=languages,
            queries=queries,
            documents={language: self.documents[language] for language in languages},
            judgments=judgments,
            not_relevant=not_relevant,
            subtopics={
                topic: tuple(row for row in rows if row.language in keep)
                for topic, rows in self.subtopics.items()
                if topic in topics
            },
            clusters={topic: cluster for topic, cluster in self.clusters.items() if topic in topics},
            left_out={},
        )

    def sample(self, n: int) -> "Collection":
        """Return the first `n` queries of each language, their relevant documents and up to 10 n others per language.

        "First" is a fixed order of topics that is the same in every language and goes round the clusters, so parallel
        topics stay parallel and no cluster comes twice before each came once. The other documents are a fixed random
        sample. The same collection gives the same sample; rows keep their order. The captions among the queries are
        those of the images among them, of each image the first caption before the second of any.
        """
        queries = self._first_captioned(n) if IMAGE in self.languages else self._first_queries(n)
        topics = {query.topic_id for rows in queries.values() for query in rows}
        judgments = {topic: rows for topic, rows in self.judgments.items() if topic in topics}
        relevant = {judgment.doc_id for rows in judgments.values() for judgment in rows}
        documents = {language: sample_documents(rows, relevant, n) for language, rows in self.documents.items()}
        return replace(
            self,
            queries=queries,
            documents=documents,
            judgments=judgments,
            not_relevant={topic: rows for topic, rows in self.not_relevant.items() if topic in topics},
            subtopics={topic: rows for topic, rows in self.subtopics.items() if topic in topics},
            clusters={topic: cluster for topic, cluster in self.clusters.items() if topic in topics},
        )

    def _first_queries(self, n: int) -> dict[str, tuple[Query, ...]]:
        order = self._round_the_clusters(self.clusters)
        return {
            language: _first(rows, n, key=lambda query: order[query.topic_id])
            for language, rows in self.queries.items()
        }

    def _first_captioned(self, n: int) -> dict[str, tuple[Query, ...]]:
        order = self._round_the_clusters(query.topic_id for query in self.queries[IMAGE])
        images = _first(self.queries[IMAGE], n, key=lambda query: order[query.topic_id])
        chosen = {query.topic_id for query in images}

        def turn(query: Query) -> tuple[int | str, ...]:
            image, _, number = query.topic_id.partition("#")
            return int(number), *order[image]

        captions = {
            language: tuple(query for query in rows if query.topic_id.partition("#")[0] in chosen)
            for language, rows in self.queries.items()
        }
        return {
            language: images if language == IMAGE else _first(rows, n, key=turn) for language, rows in captions.items()
        }

    def _round_the_clusters(self, topics: Iterable[str]) -> dict[str, tuple[int, str]]:
        """Return a sort key for each topic: its place within its cluster, then chance."""
        places: Counter[str] = Counter()
        order = {}
        for chance, topic, cluster in sorted((_digest([topic]), topic, self.clusters[topic]) for topic in topics):
            order[topic] = (places[cluster], chance)
            places[cluster] += 1
        return order

    def line_digests(self) -> dict[str, LineDigest]:
        """Return the digest of each language's lines: queries, documents and judgments.

        Documents that are not held here, such as those of a shard, are added to it by their `document_line`.
        """
        digests = {language: LineDigest() for language in self.languages}
        for language, digest in digests.items():
            if self.ignore_identical_ids:
                digest.add("ignore_identical_ids")
            if self.grade_scale != 1:
                digest.add(_line("grade_scale", str(self.grade_scale)))
            for query in self.queries[language]:
                digest.add(query_line(query, self.clusters[query.topic_id]))
            for document in self.documents[language]:
                digest.add(document_line(document))
        for topic, rows in self.judgments.items():
            for judgment in rows:
                digests[judgment.language].add(judgment_line(topic, judgment))
        return digests

    def fingerprints(self) -> dict[str, str]:
        """Return a SHA-256 (hex) of the content of each language: queries, documents, judgments and clusters.

        Order does not matter; two people with the same fingerprints measured the same thing.
        """
        return dict(self._fingerprints)

    @cached_property
    def _fingerprints(self) -> dict[str, str]:
        return fingerprints_of(self.line_digests())

    def fingerprint(self) -> str:
        """Return the SHA-256 (hex) of the fingerprints of all languages."""
        return fingerprint_of(self.fingerprints())


def query_line(query: Query, cluster: str) -> str:
    """Return what the fingerprint of a query's language covers of it; `cluster` is that of its topic."""
    return _line("query", query.topic_id, query.text, cluster)


def document_line(document: Document) -> str:
    """Return what the fingerprint of a document's language covers of it."""
    return _line("document", document.doc_id, document.text)


def judgment_line(topic_id: str, judgment: Judgment) -> str:
    """Return what the fingerprint of a judged document's language covers of its judgment."""
    return _line("judgment", topic_id, judgment.doc_id, str(judgment.grade))


def fingerprints_of(digests: Mapping[str, LineDigest]) -> dict[str, str]:
    """Return the fingerprint of each language, given the digest of all its lines."""
    return {language: digest.hexdigest() for language, digest in digests.items()}


def fingerprint_of(fingerprints: Mapping[str, str]) -> str:
    """Return the fingerprint of a collection, given those of its languages, in any order."""
    return _digest([_line(language, fingerprint) for language, fingerprint in fingerprints.items()])


def document_id(task: str, language: str, paragraph: str, sentence: str) -> str:
    """Return a document's id: 12 hex digits of SHA-256(task, paragraph, sentence, language), then a readable part.

    Ties in score are broken by id, so the hash makes that order blind to language and to parallelism. `paragraph`
    may be empty where documents have only one number or name. Raises `DataError` for half of a surrogate pair in a
    name, which broken files have.
    """
    try:
        digest = sha256("\x1f".join((task, paragraph, sentence, language)).encode()).hexdigest()[:12]
    except UnicodeEncodeError as error:
        name = f"{paragraph} {sentence}".strip()
        raise DataError(f"{task}: the id {name!a:.60} holds half of a surrogate pair, which is no character") from error
    return "-".join(part for part in (digest, language, paragraph, sentence) if part)


def split_document_id(doc_id: str, languages: Iterable[str]) -> tuple[str, str]:
    """Return the language, one of `languages`, and the name that `document_id` put in an id.

    The name is paragraph and sentence: what the document is called in the files of its task. Of several languages that
    fit, such as `zh` and `zh-hant`, it is the longest. An id that tells none of them has an empty one, and is the name
    itself, without the hash if it has one.
    """
    match = _HASHED.match(doc_id)
    readable = match[1] if match else doc_id
    fitting = [language for language in languages if match and readable.startswith(f"{language}-")]
    language = max(fitting, key=len, default="")
    return language, readable[len(language) + 1 :] if language else readable


def name_of(doc_id: str, language: str) -> str:
    """Return what a document in `language` is called in the files of its task (see `split_document_id`)."""
    return split_document_id(doc_id, (language,))[1]


def own_topic_id(topic_id: str, language: str) -> str:
    """Return what a topic is called in the files of its task: its id without `th:` or `th-`, say, in front.

    Readers put the language there where the topics of other languages have the same names.
    """
    for sign in ":-":
        if topic_id.startswith(f"{language}{sign}"):
            return topic_id[len(language) + 1 :]
    return topic_id


def sample_documents(rows: Iterable[Document], relevant: Container[str], n: int) -> tuple[Document, ...]:
    """Return, in their order, the `relevant` ones (ids) of `rows` and a fixed random sample of up to 10 n others.

    `rows` may be a stream: nothing is held but what may be kept. What is kept of all judged documents' corpus holds
    what `Collection.sample(n)` keeps of it, whichever topics that chooses.
    """
    kept: list[tuple[int, Document]] = []
    others: list[tuple[str, int, Document]] = []
    for number, row in enumerate(rows):
        if row.doc_id in relevant:
            kept.append((number, row))
            continue
        insert = heappush if len(others) < _OTHERS * n else heappushpop
        insert(others, (_reversed(_digest([row.doc_id])), number, row))
    return tuple(row for _, row in sorted(kept + [other[1:] for other in others]))


def _reversed(digest: str) -> str:
    """Return a digest that sorts the other way round, so that the first of a heap is the last of an order."""
    return digest.translate(_COMPLEMENT)


def _first(rows: tuple[_Row, ...], n: int, *, key: Callable[[_Row], tuple[int | str, ...]]) -> tuple[_Row, ...]:
    """Return the `n` rows with the smallest keys, in the order in which they came."""
    kept = set(sorted(range(len(rows)), key=lambda index: key(rows[index]))[:n])
    return tuple(row for index, row in enumerate(rows) if index in kept)


def _line(*parts: str) -> str:
    return "\x1f".join(parts)


def _digest(lines: list[str]) -> str:
    return sha256("\x1e".join(sorted(lines)).encode()).hexdigest()
