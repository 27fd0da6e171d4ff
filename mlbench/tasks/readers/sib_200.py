"""Reads the sentences of FLORES-200 as SIB-200 publishes them: train.tsv, dev.tsv and test.tsv for each language."""

import re
from collections.abc import Iterator

from mlbench.collection.records import Collection
from mlbench.errors import DataError
from mlbench.protocols import ReadRequest, SourceFile
from mlbench.tasks.readers.json_lines import check_options
from mlbench.tasks.readers.sentences import collection_name, file_lines, sentence_collection

OPTIONS = ("collection",)
_HEADER = ["index_id", "category", "text"]
_QUOTED = re.compile(r'"(?:[^"]|"")*"')


class Sib200:
    """Reads files of the columns index_id, category and text, all of one language each.

    A topic is an index_id, which joins the languages: `<collection>-17`. Categories are not read. Each topic is a
    cluster, as the files do not say which sentences are of one article.
    """

    reads_languages_apart = True

    def __call__(self, request: ReadRequest) -> Collection:
        """Return the collection; raises `DataError` with file and line."""
        check_options(request, "sib_200", OPTIONS)
        texts: dict[str, dict[str, str]] = {language: {} for language in request.languages}
        numbers: dict[int, str] = {}
        for source in request.files:
            if source.language in texts:
                rows = texts[source.language]
                for place, number, text in _rows(source):
                    topic = numbers.setdefault(number, f"{collection_name(request)}-{number}")
                    if topic in rows:
                        raise DataError(f"{place}: index_id {number} is there twice")
                    rows[topic] = text
        for language, rows in texts.items():
            if not rows:
                raise DataError(f"{request.task}: no file for language {language!r}")
        topics = [numbers[number] for number in sorted(numbers)]
        return sentence_collection(request, texts, dict(zip(topics, topics, strict=True)), cluster_unit="topic")


reader = Sib200()


def _rows(source: SourceFile) -> Iterator[tuple[str, int, str]]:
    """Yield the place, the index_id and the text of each line after the header."""
    for number, (place, line) in enumerate(file_lines(source.path)):
        columns = line.split("\t")
        if number == 0:
            if columns != _HEADER:
                raise DataError(f"{place}: the columns must be {', '.join(_HEADER)}, not {line[:60]!r}")
        elif len(columns) != 3 or not re.fullmatch("[0-9]{1,9}", columns[0]) or not columns[2].strip():
            raise DataError(f"{place}: must be 'number TAB category TAB text', not {line[:60]!r}")
        else:
            yield place, int(columns[0]), _unquoted(columns[2])


def _unquoted(field: str) -> str:
    """Return a text without the quotes of CSV, which some of the published lines have twice."""
    once = _without_quotes(field)
    return _without_quotes(once) if '""' in once[1:-1] else once


def _without_quotes(field: str) -> str:
    return field[1:-1].replace('""', '"') if _QUOTED.fullmatch(field) else field
