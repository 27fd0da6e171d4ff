"""Reads the premises and hypotheses of XNLI from its archive: xnli.dev.tsv and xnli.test.tsv, in 15 languages."""

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from mlbench.collection.languages import check_language
from mlbench.collection.records import Collection
from mlbench.errors import DataError
from mlbench.protocols import ReadRequest
from mlbench.tasks.readers.json_lines import check_options
from mlbench.tasks.readers.sentences import collection_name, sentence_collection, text_lines

OPTIONS = ("collection",)
_SPLITS = ("dev", "test")
_COLUMNS = ("language", "sentence1", "sentence2", "promptID", "pairID")


class _Pair(NamedTuple):
    """A line: a premise and one of its hypotheses; `prompt` names the premise."""

    premise: str
    hypothesis: str
    prompt: str
    name: str


class Xnli:
    """Reads every premise and every hypothesis as a sentence with its translations (arXiv 1809.05053).

    Three hypotheses share a premise, which is taken once, with the first of them: topics are `<collection>-dev-0-p`,
    `<collection>-dev-0-h`, `<collection>-dev-1-h` and so on, numbered by the pairs of a language. A premise and its
    hypotheses are a cluster.
    """

    reads_languages_apart = True

    def __call__(self, request: ReadRequest) -> Collection:
        """Return the collection; raises `DataError` with file and line, and where languages have other pairs."""
        check_options(request, "xnli", OPTIONS)
        if len(request.files) != 1:
            raise DataError(f"{request.task}: XNLI is one archive, not {len(request.files)} files")
        texts: dict[str, dict[str, str]] = {language: {} for language in request.languages}
        clusters: dict[str, str] = {}
        premises = 0
        for split in _SPLITS:
            prefix = f"{collection_name(request)}-{split}"
            by_language = _pairs(request, f"xnli.{split}.tsv")
            for language, pairs in by_language.items():
                texts[language] |= {topic: text for topic, _, text in _sentences(pairs, prefix, premises)}
            first = by_language[request.languages[0]]
            clusters |= {topic: cluster for topic, cluster, _ in _sentences(first, prefix, premises)}
            premises = len(set(clusters.values()))
        return sentence_collection(request, texts, clusters, cluster_unit="premise")


reader = Xnli()


def _sentences(pairs: list[_Pair], prefix: str, premises: int) -> Iterator[tuple[str, str, str]]:
    """Yield topic, cluster and text of each sentence; clusters are numbered after the `premises` before."""
    clusters: dict[str, str] = {}
    for number, pair in enumerate(pairs):
        if pair.prompt not in clusters:
            clusters[pair.prompt] = str(premises + len(clusters))
            yield f"{prefix}-{number}-p", clusters[pair.prompt], pair.premise
        yield f"{prefix}-{number}-h", clusters[pair.prompt], pair.hypothesis


def _pairs(request: ReadRequest, member: str) -> dict[str, list[_Pair]]:
    """Return the pairs of each language in a table, which are the same in all of them, in the same order."""
    found: dict[str, list[_Pair]] = {language: [] for language in request.languages}
    for place, row in _rows(request.files[0].path, member):
        language = check_language(row["language"])
        if language in found:
            pair = _Pair(row["sentence1"], row["sentence2"], row["promptID"], row["pairID"])
            if not pair.premise.strip() or not pair.hypothesis.strip():
                raise DataError(f"{place}: there is no sentence")
            found[language].append(pair)
    first = [pair[2:] for pair in found[request.languages[0]]]
    for language, pairs in found.items():
        if not pairs:
            raise DataError(f"{request.task}: {member} has no pairs in {language!r}")
        if [pair[2:] for pair in pairs] != first:
            raise DataError(f"{request.task}: {member} has other pairs in {language} than in {request.languages[0]}")
    return found


def _rows(path: Path, member: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield each line of a table in the archive, by column, with its place; raises `DataError`."""
    try:
        with zipfile.ZipFile(path) as archive:
            name = next((name for name in archive.namelist() if name.rpartition("/")[2] == member), None)
            content = None if name is None else archive.read(name)
    except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    if content is None:
        raise DataError(f"{path.name}: there is no {member} in the archive")
    header, *lines = text_lines(content, member)
    columns = header.split("\t")
    if absent := [column for column in _COLUMNS if column not in columns]:
        raise DataError(f"{member} line 1: the column {absent[0]} is missing")
    for number, line in enumerate(lines, start=2):
        values = line.split("\t")
        if len(values) != len(columns):
            raise DataError(f"{member} line {number}: {len(values)} columns instead of {len(columns)}")
        yield f"{member} line {number}", dict(zip(columns, values, strict=True))
