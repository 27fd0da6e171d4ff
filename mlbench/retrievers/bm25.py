"""BM25 over the terms of Lucene's analyzers, each text analysed by that of its language."""

import re
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, field_validator
from pydantic_core import PydanticCustomError

from mlbench.errors import RetrieverError
from mlbench.languages import Setting
from mlbench.protocols import Parameter, Progress, Role, Runtime
from mlbench.records import Document, Query
from mlbench.retrievers.analyzers import Analyzers, analyzer_name, remark
from mlbench.retrievers.java import EXTRA, LIBRARIES
from mlbench.retrievers.postings import Postings, Terms, Vocabulary, join

# Stays the same as long as the same terms give the same lists.
_ALGORITHM = "Lucene's BM25 1"
_HEAP = re.compile(r"([1-9]\d{1,5}m|[1-9]\d{0,2}g)\Z")
_HASHED = re.compile(r"[0-9a-f]{12}-(.+)\Z", re.DOTALL)


class BM25:
    """Lucene's BM25 with the analyzer of each language; a pool is one index (locator: none)."""

    extra = EXTRA
    libraries = LIBRARIES
    example = "bm25: --set k1=0.9 --set b=0.4"

    class Settings(BaseModel):
        """Keys of `bm25:`."""

        model_config = ConfigDict(extra="forbid", frozen=True)

        k1: float = Field(0.9, ge=0, allow_inf_nan=False, description="how much repetitions of a term count")
        b: float = Field(0.4, ge=0, le=1, allow_inf_nan=False, description="how much the length of a document counts")
        heap: str = Field("512m", description="memory of the Java, as in 512m or 4g")

        @field_validator("heap")
        @classmethod
        def _sized(cls, heap: str) -> str:
            if not _HEAP.match(heap):
                raise PydanticCustomError("heap", "give at least 10 MB, as in 512m or 4g")
            return heap

    @staticmethod
    def open(locator: str, settings: BaseModel, runtime: Runtime) -> "BM25Ranker":
        """Start the Java of the analyzers.

        Raises `MissingExtra` without pyserini and pyjnius, `RetrieverError` for a locator, where no Java is new enough,
        and where it does not start.
        """
        assert isinstance(settings, BM25.Settings)
        if locator:
            raise RetrieverError(f"bm25 takes no locator: write 'bm25:', not 'bm25:{locator}'")
        return BM25Ranker(Analyzers(settings.heap), settings)


class BM25Ranker:
    """Indexes of the corpora and pools that were asked for, in memory; each text is analysed once.

    A pool is one index, with the frequencies of terms and the average length over all its documents: a document has the
    terms of its own language's analyzer, a query those of its language's.
    """

    def __init__(self, analyzers: Analyzers, settings: BM25.Settings) -> None:
        self._analyzers, self._settings = analyzers, settings
        self._vocabulary = Vocabulary()
        self._terms: dict[tuple[Role, str], tuple[Sequence[str], Terms]] = {}
        self._indexes: dict[tuple[str, ...], tuple[Sequence[Document], Postings]] = {}

    @property
    def parameters(self) -> dict[str, Parameter]:
        """The keys of `bm25:`, the versions of Anserini and Java, and the analyzer of each language met so far."""
        machine = self._analyzers.machine
        languages = sorted({language for _, language in self._terms})
        return {
            "k1": self._settings.k1,
            "b": self._settings.b,
            "anserini": machine.jar.name.removeprefix("anserini-").removesuffix("-fatjar.jar"),
            "java": f"{machine.java.version} ({machine.java.source})",
            **{f"analyzer.{tag}": analyzer_name(tag) or "StandardAnalyzer (none of its own)" for tag in languages},
        }

    def fingerprint(self) -> str:
        """Return a digest of the analyzers, the archive's version and the keys that decide the lists."""
        parts = (_ALGORITHM, self._analyzers.fingerprint(), f"{self._settings.k1!r}", f"{self._settings.b!r}")
        return sha256("\x1f".join(parts).encode()).hexdigest()

    def prepare(self, texts: Mapping[tuple[Role, str], Sequence[str]], cache: Path | None, progress: Progress) -> None:
        """Analyse all texts of a run, by role and language, and say what is not as one expects of a language."""
        java = self._analyzers.machine.java
        if java.passed_over:
            progress.note(f"Java {java.version} of {java.source} is used: {'; '.join(java.passed_over)}")
        for language in sorted({language for _, language in texts}):
            said = remark(language)
            if said is not None:
                progress.note(said)
        progress.start("analyse", sum(map(len, texts.values())))
        for (role, language), rows in texts.items():
            self._analyse(role, language, rows)
            progress.advance(len(rows))
        progress.finish()

    def search(
        self, setting: Setting, queries: Sequence[Query], documents: Sequence[Document], depth: int
    ) -> list[list[str]]:
        """Return for each query the ids of the documents that share a term with it, at most `depth`, best first.

        Ties are broken by id, descending. Raises `RetrieverError` where a pool holds a document whose id does not tell
        its language, or one id twice.
        """
        index = self._index(setting.document_languages, documents)
        asked = self._analyse("query", setting.query_language, [query.text for query in queries])
        return [index.search(asked[number], depth) for number in range(len(queries))]

    def _index(self, languages: tuple[str, ...], documents: Sequence[Document]) -> Postings:
        documents = list(documents)
        kept = self._indexes.get(languages)
        if kept is not None and kept[0] == documents:
            return kept[1]
        if kept is not None:
            # Another collection: nothing of the last one is asked for again.
            self._indexes.clear()
        ordered: list[Document] = []
        parts = []
        for language, own in _by_language(languages, documents).items():
            ordered += own
            parts.append(self._analyse("document", language, [document.text for document in own]))
        index = Postings(
            [document.doc_id for document in ordered], join(parts), k1=self._settings.k1, b=self._settings.b
        )
        self._indexes[languages] = documents, index
        return index

    def _analyse(self, role: Role, language: str, texts: Sequence[str]) -> Terms:
        texts, kept = list(texts), self._terms.get((role, language))
        if kept is None or kept[0] != texts:
            kept = texts, self._vocabulary.number(self._analyzers.terms(language, texts))
            self._terms[role, language] = kept
        return kept[1]


def _by_language(languages: tuple[str, ...], documents: Sequence[Document]) -> dict[str, list[Document]]:
    """Return the documents of each language, in their order; that of a pool's documents is told by their ids."""
    found: dict[str, list[Document]] = {language: [] for language in languages}
    if len(languages) == 1:
        found[languages[0]] += documents
        return found
    for document in documents:
        found[_language_of(document.doc_id, languages)].append(document)
    return found


def _language_of(doc_id: str, languages: tuple[str, ...]) -> str:
    """Return the language that `mlbench.records.document_id` put in an id; the longest of those that fit."""
    match = _HASHED.match(doc_id)
    fitting = [language for language in languages if match and f"{match[1]}-".startswith(f"{language}-")]
    if not fitting:
        raise RetrieverError(
            f"bm25: the id {doc_id!r} does not tell which of {', '.join(languages)} the document is in"
        )
    return max(fitting, key=len)
