"""The rows of run files and judgments, in the layouts that tools, editors and spreadsheets write."""

import csv
import json
import re
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, islice
from typing import NamedTuple, NoReturn

NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?\Z", re.ASCII)
"""A number as other tools read it; Python's `float` reads more, such as 1_000."""
_LOOKED_AT = 1000
_HEADER = "query-id corpus-id score"
_OF_MTEB = "mteb_model_meta"
_WHOLE = re.compile(r"[0-9]+\Z", re.ASCII)
_DECIMAL_COMMA = re.compile(r"[+-]?[0-9]+,[0-9]+([eE][+-]?[0-9]+)?\Z", re.ASCII)
_ITERATIONS = ("Q0", "q0", "0")
_TOPICS = ("qid", "queryid", "topicid", "topic", "query", "q")
_DOCUMENTS = ("docno", "docid", "did", "corpusid", "documentid", "pid", "passageid", "document", "doc", "passage", "id")
Layout = tuple[str, ...]


@dataclass(frozen=True)
class Columns:
    """What files of one kind hold: layouts by number of columns, and what headers call the columns that are read.

    Of several layouts with as many columns, the one is taken that fits the first lines best, or else the first.
    `values` are the columns that may hold the value, the better one first; `example` is a line as it should be.
    """

    layouts: tuple[Layout, ...]
    names: Mapping[str, tuple[str, ...]]
    values: tuple[str, ...]
    example: str

    def of_width(self, width: int) -> list[Layout]:
        """Return the layouts with so many columns."""
        return [layout for layout in self.layouts if len(layout) == width]


RUN = Columns(
    layouts=(
        ("topic", "iteration", "document", "rank", "score", "tag"),
        ("topic", "iteration", "document", "rank", "score"),
        ("topic", "document", "rank", "score", "tag"),
        ("topic", "iteration", "document", "score", "tag"),
        ("topic", "iteration", "document", "score"),
        ("topic", "document", "rank", "score"),
        ("topic", "document", "score", "tag"),
        ("topic", "document", "score"),
        ("topic", "document", "rank"),
    ),
    names={
        "topic": _TOPICS,
        "document": _DOCUMENTS,
        "score": ("score", "sim", "similarity", "rsv", "value"),
        "rank": ("rank", "position", "pos"),
        "tag": ("tag", "runtag", "runid", "run", "runname", "system", "method"),
    },
    values=("score", "rank"),
    example="topic Q0 document rank score tag",
)
"""Ranked lists, as trec_eval, MS MARCO, pandas and others write them."""
JUDGMENTS = Columns(
    layouts=(("topic", "iteration", "document", "grade"), ("topic", "document", "grade")),
    names={
        "topic": _TOPICS,
        "document": _DOCUMENTS,
        "grade": ("grade", "relevance", "rel", "label", "qrel", "judgment", "judgement", "score", "value"),
    },
    values=("grade",),
    example="topic 0 document grade",
)
"""Judgments (qrels), as trec_eval, BEIR, pandas and others write them."""


class Row(NamedTuple):
    """A row, and `where` it stands; the `value` is that of the column called `column`.

    `tag` and `iteration`, the second column of TREC's files, are empty where the layout has none.
    """

    where: str
    topic: str
    document: str
    value: str
    column: str
    tag: str = ""
    iteration: str = ""


@dataclass(frozen=True)
class _Table:
    """How the lines of one file are cut into fields, and what these are: by a header, or by their number."""

    columns: Columns
    delimiter: str | None
    quoted: bool = False
    header: Mapping[str, int] | None = None
    width: int = 0

    def fields(self, line: str) -> list[str]:
        """Return the fields of a line; one between two tabs that is empty is a field too."""
        found = _cut(line, self.delimiter)
        if self.delimiter == "\t" and (len(found) != self.width or not (self.header or all(found))):
            found = line.split()
        if self.header is None and self.delimiter in (None, "\t") and len(found) < len(line.strip().split("\t")):
            return []
        return [_unquoted(field) for field in found] if self.quoted else found


def rows(
    lines: Iterable[tuple[str, str]],
    columns: Columns,
    fault: Callable[[str], None],
    *,
    topics: Container[str],
    documents: Container[str] | None = None,
) -> Iterator[Row]:
    """Yield the rows of lines, given each with its place; lines that are no rows are told to `fault`.

    Fields are separated by blanks, tabs, commas or semicolons, perhaps in double quotes; with semicolons a number may
    have a decimal comma. A first line that names the columns is a header, also behind `#`; other columns than those
    needed are then passed over, and the header may come again. Without one, the number of columns tells what they are,
    and where that leaves a choice, the first thousand lines: `documents` are those that may be named. A line that
    begins with `#` is a comment, unless it begins with one of `topics`.
    """
    content = _without_comments(lines, columns, topics)
    first = next(content, None)
    if first is None:
        return
    table = _table(first[1], columns, topics)
    body = content if table.header else chain([first], content)
    looked_at = list(islice(body, _LOOKED_AT))
    chosen = _chosen(table, [table.fields(line) for _, line in looked_at], documents)
    for where, line in chain(looked_at, body):
        if table.header and line == first[1]:
            continue
        fields = table.fields(line)
        layout = chosen.get(len(fields))
        if layout is None:
            fault(f"{where}: {_expected(table)}, with no column empty and no blank in an id, not {line[:60]!r}")
            continue
        named = {name: fields[place] for name, place in layout.items()}
        column = next(name for name in columns.values if name in named)
        value = named[column]
        if table.delimiter == ";" and _DECIMAL_COMMA.match(value):
            value = value.replace(",", ".")
        if (where, line) == first and named["topic"] not in topics and not NUMBER.match(value):
            fault(f"{where}: names no columns that are known: a header is such as {_HEADER!r}, not {line[:60]!r}")
            continue
        yield Row(
            where, named["topic"], named["document"], value, column, named.get("tag", ""), named.get("iteration", "")
        )


def is_json(start: str) -> bool:
    """Say whether a file that begins so is a JSON object, and no lines of fields."""
    return re.match(r"\s*\{\s*[\"}]", start) is not None


def json_rows(text: str, columns: Columns, name: str) -> list[Row]:
    """Return the rows of `{topic: {document: value}}`, which pytrec_eval, ranx and BEIR write.

    In the predictions that mteb saves, they are those of its one subset and split. Raises `ValueError` for what is no
    such object, predictions of several subsets, a key that is there twice, and a value that is no number.
    """
    try:
        found = json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if isinstance(found, dict) and _OF_MTEB in found:
        found = _the_one_subset(found)
    column, result = columns.values[0], []
    for topic, listed in found.items() if isinstance(found, dict) else ():
        if not isinstance(listed, dict):
            raise ValueError(f"topic {topic!r:.60} must have an object such as {{document: {column}}}")
        for document, value in listed.items():
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise ValueError(f"{column} {value!r:.60} of topic {topic!r:.60} is not a finite number")
            result.append(Row(f"{name} topic {topic}", topic, document, repr(value), column))
    return result


def _without_comments(
    lines: Iterable[tuple[str, str]], columns: Columns, topics: Container[str]
) -> Iterator[tuple[str, str]]:
    """Yield the lines that are no comments; a first comment that names the columns is a header."""
    begun = False
    for where, line in lines:
        stripped = line.lstrip()
        if not stripped.startswith("#") or any(field in topics for field in _starts(stripped)):
            begun = True
            yield where, line
        elif not begun and any(_header(_cut(stripped[1:].strip(), sign), columns) for sign in ("\t", ",", ";", None)):
            begun = True
            yield where, stripped[1:].strip()


def _starts(line: str) -> set[str]:
    return {_unquoted(_cut(line, sign)[0]) for sign in (",", ";", None)}


def _table(line: str, columns: Columns, topics: Container[str]) -> _Table:
    """Return how a file is to be read whose first line is this one."""
    for delimiter in ("\t", ",", ";", None):
        fields = _cut(line, delimiter)
        for quoted in (False, True):
            header = _header([_unquoted(field) for field in fields] if quoted else fields, columns)
            if header:
                return _Table(columns, delimiter, quoted, header, len(fields))
    for delimiter in (",", ";"):
        fields = _cut(line, delimiter)
        if any(_may_be(layout, fields, delimiter) for layout in columns.of_width(len(fields))):
            return _Table(columns, delimiter)
    start = next(iter(line.split()), "")
    quoted = _unquoted(start) != start and start not in topics
    fields, blanks = _cut(line, "\t"), line.split()
    # Ids may hold blanks where only tabs stand between columns.
    apart = len(fields) == len(blanks) or not _is_trec(blanks, columns)
    literal = '"' in start and start in topics
    if apart and not literal and any(_may_be(layout, fields, "\t") for layout in columns.of_width(len(fields))):
        return _Table(columns, "\t", quoted, width=len(fields))
    return _Table(columns, None, quoted)


def _is_trec(fields: Sequence[str], columns: Columns) -> bool:
    """Say whether fields are those of a layout with an iteration, and have one."""
    return any("iteration" in layout for layout in columns.of_width(len(fields))) and fields[1] in _ITERATIONS


def _cut(line: str, delimiter: str | None) -> list[str]:
    if delimiter is None:
        return line.split()
    fields = line.strip().split(delimiter)
    if '"' in line:
        # What no spreadsheet writes, such as a carriage return within a field, stays as it is.
        with suppress(csv.Error):
            fields = next(csv.reader([line.strip()], delimiter=delimiter, skipinitialspace=True), [])
    return [field.strip() for field in fields]


def _unquoted(field: str) -> str:
    return field[1:-1] if len(field) > 2 and field[0] == field[-1] == '"' else field


def _header(fields: Sequence[str], columns: Columns) -> dict[str, int] | None:
    """Return which column is where, if these fields are names of columns; a number is no name, but for Q0's 0.

    Nor is a piece of JSON.
    """
    if any((NUMBER.match(field) and field != "0") or re.search(r"[{}\[\]:]", field) for field in fields):
        return None
    called = [re.sub(r"[\W_]", "", field).lower() for field in fields]
    found = {
        role: called.index(best)
        for role, names in columns.names.items()
        if (best := next((name for name in names if name in called), None)) is not None
    }
    complete = "topic" in found and "document" in found and any(name in found for name in columns.values)
    return found if complete else None


def _may_be(layout: Layout, fields: Sequence[str], delimiter: str) -> bool:
    """Say whether fields can be those of a layout: ids, without blanks unless tabs stand between them, and a value."""
    named = dict(zip(layout, fields, strict=True))
    ids = (named["topic"], named["document"])
    value = next(field for name, field in named.items() if name in ("score", "rank", "grade"))
    is_number = NUMBER.match(value) or (delimiter == ";" and _DECIMAL_COMMA.match(value))
    blank = r"\s" if delimiter != "\t" else r"\A\Z"
    return all(field and not re.search(blank, field) for field in ids) and bool(is_number or value.isalpha())


def _chosen(
    table: _Table, lines: Sequence[Sequence[str]], documents: Container[str] | None
) -> dict[int, Mapping[str, int]]:
    """Return for each number of fields that lines may have, which column is where."""
    if table.header is not None:
        return {table.width: table.header}
    widths = {len(layout) for layout in table.columns.layouts}
    if table.columns is RUN:
        # A line of another width is a fault, not another layout: something is missing there.
        widths &= {len(next((fields for fields in lines if fields), ()))}
    chosen: dict[int, Mapping[str, int]] = {}
    for width in widths:
        alike = [fields for fields in lines if len(fields) == width]
        layouts = table.columns.of_width(width)
        best = max(layouts, key=lambda layout: _fit(layout, alike, documents, table)) if layouts[1:] else layouts[0]
        chosen[width] = {name: place for place, name in enumerate(best)}
    return chosen


def _fit(
    layout: Layout, lines: Sequence[Sequence[str]], documents: Container[str] | None, table: _Table
) -> tuple[int, bool]:
    """Return how many lines are rows in a layout, each document once in a list, and whether ranks count from 1 or 0."""
    fitting, listed = 0, dict[str, list[str]]()
    seen: set[tuple[str, str]] = set()
    for fields in lines:
        named = dict(zip(layout, fields, strict=True))
        pair = named["topic"], named["document"]
        listed.setdefault(pair[0], []).append(named.get("rank", ""))
        number = named.get("score", named.get("rank", ""))
        fitting += (
            pair not in seen
            and (documents is None or pair[1] in documents)
            and named.get("iteration", "0") in _ITERATIONS
            and _WHOLE.match(named.get("rank", "0")) is not None
            and bool(NUMBER.match(number) or (table.delimiter == ";" and _DECIMAL_COMMA.match(number)))
        )
        seen.add(pair)
    counts = (
        "rank" in layout and any(len(ranks) > 1 for ranks in listed.values()) and all(map(_counts, listed.values()))
    )
    if "score" not in layout and not counts:
        return 0, False
    return fitting, counts


def _counts(ranks: Sequence[str]) -> bool:
    return any(all(rank == str(first + place) for place, rank in enumerate(ranks)) for first in (0, 1))


def _expected(table: _Table) -> str:
    if table.header is not None:
        return f"must have {table.width} columns, as its header has"
    return f"must be {table.columns.example!r}"


def _the_one_subset(predictions: Mapping[str, object]) -> object:
    subsets = {name: splits for name, splits in predictions.items() if name != _OF_MTEB and isinstance(splits, dict)}
    parts = [(f"{name} ({split})", run) for name, splits in subsets.items() for split, run in splits.items()]
    if len(parts) != 1:
        raise ValueError(f"has lists of {len(parts)} subsets ({', '.join(name for name, _ in parts):.60}): keep one")
    return parts[0][1]


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    keys = dict(pairs)
    if len(keys) < len(pairs):
        raise ValueError("a key stands twice in one object")
    return keys


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a finite number")
