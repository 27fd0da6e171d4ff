"""Reads translations line by line: one text file for each language, as NTREX-128 and Tatoeba (LASER) are published."""

from mlbench.collection.records import Collection
from mlbench.errors import DataError
from mlbench.protocols import ReadRequest, SourceFile
from mlbench.tasks.readers.json_lines import check_options
from mlbench.tasks.readers.sentences import collection_name, file_lines, sentence_collection

OPTIONS = ("cluster_unit", "collection")
_CLUSTERS = "clusters"


class ParallelLines:
    """Reads files whose equal lines are translations of each other.

    A file belongs to one language; files with the same role belong together, so that several sets of sentences make one
    task, such as English with German (role `data/de`) and English with Thai (role `data/th`). The line numbers of the
    role `data`, from 0, are its topics: `<collection>-17`; those of `data/de` are `<collection>-de-17`. A file with the
    role `clusters`, of no language, has the cluster of each line of `data`, such as its document; without it, each
    topic is a cluster. The option `cluster_unit` says what clusters are.
    """

    reads_languages_apart = True

    def __call__(self, request: ReadRequest) -> Collection:
        """Return the collection; raises `DataError` with file and line, and for files of unequal length."""
        check_options(request, "parallel_lines", OPTIONS)
        texts: dict[str, dict[str, str]] = {language: {} for language in request.languages}
        clusters: dict[str, str] = {}
        sets: dict[str, list[SourceFile]] = {}
        for source in request.files:
            if source.role != _CLUSTERS and source.language in texts:
                sets.setdefault(source.role, []).append(source)
        for role, sources in sets.items():
            prefix = "-".join((collection_name(request), *role.split("/")[1:]))
            lengths = {source.path.name: _read(source, prefix, texts[str(source.language)]) for source in sources}
            first, length = next(iter(lengths.items()))
            for name, other in lengths.items():
                if other != length:
                    raise DataError(f"{name} has {other:,} lines, {first} has {length:,}: equal lines are translations")
            clusters |= {f"{prefix}-{number}": f"{prefix}-{number}" for number in range(length)}
        for language, rows in texts.items():
            if not rows:
                raise DataError(f"{request.task}: no file for language {language!r}")
        given = [source for source in request.files if source.role == _CLUSTERS]
        for source in given:
            clusters |= _clusters(source, collection_name(request), clusters)
        unit = str(request.options.get("cluster_unit", "cluster")) if given else "topic"
        return sentence_collection(request, texts, clusters, cluster_unit=unit)


reader = ParallelLines()


def _read(source: SourceFile, prefix: str, rows: dict[str, str]) -> int:
    """Add the lines of a file to `rows`; return how many there are."""
    number = -1
    for number, (place, line) in enumerate(file_lines(source.path)):
        if not line.strip():
            raise DataError(f"{place}: there is no sentence")
        topic = f"{prefix}-{number}"
        if topic in rows:
            raise DataError(f"{source.path.name}: {source.language!r} has two files with the role {source.role!r}")
        rows[topic] = line
    return number + 1


def _clusters(source: SourceFile, name: str, topics: dict[str, str]) -> dict[str, str]:
    """Return the cluster of each topic of the role `data`, in the order of the lines of a file."""
    found: dict[str, str] = {}
    for number, (place, line) in enumerate(file_lines(source.path)):
        if not line.strip():
            raise DataError(f"{place}: there is no name of a cluster")
        found[f"{name}-{number}"] = line.strip()
    if found.keys() != {topic for topic in topics if topic.removeprefix(f"{name}-").isdecimal()}:
        raise DataError(f"{source.path.name} has {len(found):,} lines, the files of sentences have others")
    return found
