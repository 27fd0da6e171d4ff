"""Reads XNLI: its sentences with their translations, or hypotheses as queries for the premises that entail them."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from mlbench.collection.records import Collection, Document, Judgment, Query, document_id
from mlbench.errors import DataError
from mlbench.io.untrusted import read_members
from mlbench.protocols import ReadRequest
from mlbench.tasks.readers.json_lines import check_options
from mlbench.tasks.readers.sentences import collection_name, sentence_collection

_COLUMNS = ("language", "gold_label", "sentence1", "sentence2", "promptID", "pairID")


class _Pair(NamedTuple):
    split: str
    language: str
    label: str
    premise: str
    hypothesis: str
    prompt: str
    pair: str


class XnliSentences:
    """Reads every premise and every hypothesis of the archive XNLI-1.0.zip as a sentence with its translations.

    Three hypotheses share a premise, which is taken once, with the first of them: topics are `<collection>-dev-0-p`,
    `<collection>-dev-0-h`, `<collection>-dev-1-h` and so on, numbered by the pairs of a language. A premise and its
    hypotheses are a cluster.
    """

    reads_languages_apart = True

    def __call__(self, request: ReadRequest) -> Collection:
        """Return the collection; raises `DataError` with table and line, and where languages have other pairs."""
        check_options(request, "xnli", ("collection",))
        pairs: dict[tuple[str, str], list[_Pair]] = {}
        for source in request.files:
            for name, content in read_members(source.path, "*xnli.*.tsv"):
                for pair in _pairs(name, content):
                    pairs.setdefault((pair.split, pair.language), []).append(pair)
        texts: dict[str, dict[str, str]] = {language: {} for language in request.languages}
        clusters: dict[str, str] = {}
        for split in sorted({split for split, _ in pairs}):
            prefix, premises = f"{collection_name(request)}-{split}", len(set(clusters.values()))
            first = [pair[-2:] for pair in pairs.get((split, request.languages[0]), ())]
            for language, rows in texts.items():
                found = pairs.get((split, language), [])
                if not found or [pair[-2:] for pair in found] != first:
                    raise DataError(
                        f"{request.task}: the {split} table has {len(found):,} pairs in {language!r}, and not those of "
                        f"{request.languages[0]!r} in their order"
                    )
                for topic, cluster, text in _sentences(found, prefix, premises):
                    rows[topic] = text
                    clusters[topic] = cluster
        return sentence_collection(request, texts, clusters, cluster_unit="premise")


sentences = XnliSentences()


def read_pairs(request: ReadRequest) -> Collection:
    """Return the collection of the archive XNLI-1.0.zip (arXiv 1809.05053), its tables `xnli.dev.tsv`, `xnli.test.tsv`.

    A topic is a pair with the label `entailment`, in all languages: `dev-2` is the pair 2 of the table for development.
    A document is a premise, also that of pairs with other labels. A cluster is a premise. White space in sentences is
    normalised. Raises `DataError` with table and line.
    """
    check_options(request, "xnli_pairs")
    queries: dict[str, list[Query]] = {language: [] for language in request.languages}
    documents: dict[str, dict[str, Document]] = {language: {} for language in request.languages}
    judgments: dict[str, list[Judgment]] = {}
    clusters: dict[str, str] = {}
    for source in request.files:
        for name, content in read_members(source.path, "*xnli.*.tsv"):
            for pair in _pairs(name, content):
                if pair.language not in documents:
                    continue
                premise = f"{pair.split}-p{pair.prompt}"
                doc_id = document_id(request.task, pair.language, "", premise)
                documents[pair.language].setdefault(doc_id, Document(doc_id, pair.premise))
                if pair.label == "entailment":
                    topic = f"{pair.split}-{pair.pair}"
                    queries[pair.language].append(Query(topic, pair.hypothesis))
                    judgments.setdefault(topic, []).append(Judgment(pair.language, doc_id, 1))
                    clusters[topic] = premise
    return Collection(
        languages=request.languages,
        queries={language: tuple(rows) for language, rows in queries.items()},
        documents={language: tuple(rows.values()) for language, rows in documents.items()},
        judgments={topic: tuple(rows) for topic, rows in judgments.items()},
        clusters=clusters,
        cluster_unit="premise",
    )


def _sentences(pairs: Sequence[_Pair], prefix: str, premises: int) -> Iterator[tuple[str, str, str]]:
    """Yield topic, cluster and text of each sentence; clusters are numbered after the `premises` before."""
    clusters: dict[str, str] = {}
    for number, pair in enumerate(pairs):
        if pair.prompt not in clusters:
            clusters[pair.prompt] = str(premises + len(clusters))
            yield f"{prefix}-{number}-p", clusters[pair.prompt], pair.premise
        yield f"{prefix}-{number}-h", clusters[pair.prompt], pair.hypothesis


def _pairs(name: str, content: bytes) -> Iterator[_Pair]:
    """Yield the pairs of a table, in their order; raises `DataError`."""
    try:
        lines = content.removeprefix(b"\xef\xbb\xbf").decode().split("\n")
    except UnicodeDecodeError as error:
        raise DataError(f"{name}: not valid UTF-8 at byte {error.start + 1}") from error
    heading = lines[0].rstrip("\r").split("\t")
    missing = [column for column in _COLUMNS if column not in heading]
    if missing:
        raise DataError(f"{name}: the first line names no column {missing[0]!r}")
    split = "dev" if name.endswith("dev.tsv") else "test"
    for number, line in enumerate(lines[1:], start=2):
        if not line.strip():
            continue
        cells = line.rstrip("\r").split("\t")
        if len(cells) != len(heading):
            raise DataError(f"{name} line {number}: {len(cells)} columns instead of {len(heading)}")
        row = dict(zip(heading, cells, strict=True))
        language, label, premise, hypothesis, prompt, pair = (" ".join(row[column].split()) for column in _COLUMNS)
        yield _Pair(split, language, label, premise, hypothesis, prompt, pair)
