"""One topic on the console."""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.text import Text

from mlbench.collection.languages import IMAGE
from mlbench.reports.console import GAP, Flow, cell_width, plain_table
from mlbench.reports.formatting import ABSENT, count, decimal
from mlbench.reports.topic.content import RelevantDocument, Topic

SHOWN = 5
"""How much of each list is shown."""
_MARK = "*"
_OWN, _ALONE = "own", "alone"
_ISOLATE, _END = "\u2068", "\u2069"
_RIGHT_TO_LEFT = frozenset({"R", "AL", "AN"})
# Joiners belong to the spelling of many languages; all else that is not printed could act on the terminal.
_JOINERS = frozenset("\u200c\u200d")
_LEAST_TEXT = 16


@dataclass(frozen=True)
class TopicScreen:
    """A topic: queries, relevant documents, their ranks, and the top of each list; fitted to the width."""

    topic: Topic
    is_worst: bool = False
    hint: str = ""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the parts; without texts, `hint` says how to see them."""
        room, topic = options.max_width, self.topic
        yield Flow(list(self._title()))
        if self.hint:
            yield Flow([Text(self.hint, "yellow")])
        yield Text()
        rows = [
            [Text(query.language, "bold"), Text(decimal(query.average_precision)), query.text]
            for query in topic.queries
        ]
        yield from _texts_table(["query", "AP"], rows, room)
        yield Text()
        yield from self._relevant(room)
        yield Text()
        yield from self._ranks(room)
        if topic.pool:
            yield Text()
            yield from self._tops(room)

    def _title(self) -> Iterator[Text]:
        topic = self.topic
        yield Text(f"topic {printable(topic.topic_id)}", "bold")
        where = "in the pool" if topic.pool else "in their own languages"
        mean = f"mean AP {where} {decimal(topic.average_precision)}"
        yield Text(f"{mean}, the lowest of all topics" if self.is_worst else mean)
        if topic.pool:
            yield Text(f"pool {','.join(topic.pool)}: {count(topic.n_documents, 'document')}", "dim")
        else:
            yield Text("the pool of all languages was not asked for", "dim")

    def _relevant(self, room: int) -> Iterator[RenderableType]:
        rows = [
            [
                Text(document.language, "bold"),
                Text(shortened_id(document.doc_id, room)),
                document.text if not document.missing else "(not in the corpus)",
            ]
            for document in self.topic.relevant
        ]
        yield from _texts_table(["relevant", "id"], rows, room)

    def _tops(self, room: int) -> Iterator[RenderableType]:
        rows = [
            [
                Text(query.language if listed.rank == 1 else "", "bold"),
                Text(f"{listed.rank:>2}{_MARK if listed.relevant else ' '}"),
                Text(listed.language),
                Text(shortened_id(listed.doc_id, room)),
                listed.text,
            ]
            for query in self.topic.queries
            for listed in query.top[:SHOWN]
        ]
        yield Flow([Text("top of the pool", "bold"), Text(f"{_MARK} is relevant", "dim")])
        yield from _texts_table(["query", "", "in", "id"], rows, room)

    def _ranks(self, room: int) -> Iterator[RenderableType]:
        """Yield the ranks in blocks of as many columns as the width holds."""
        columns, rows = self._rank_columns(), self._rank_rows()
        label = max(map(len, rows))
        widths = {name: max(len(name), *map(len, cells)) + GAP for name, cells in columns.items()}
        where = "in the pool" if self.topic.pool else "among the documents of its language"
        title = f"rank {where}: language of the query (rows) by language of the relevant document (columns)"
        yield Flow([Text(part, "bold") for part in title.split(": ")], ": ")
        for number, block in enumerate(_blocks(widths, room - label)):
            if number:
                yield Text()
            yield Text(" " * label + "".join(f"{name:>{widths[name]}}" for name in block), "bold", no_wrap=True)
            for place, row in enumerate(rows):
                line = Text(row.ljust(label), "bold", no_wrap=True)
                for name in block:
                    style = "bold" if name == row else "not bold"
                    line.append(f"{columns[name][place]:>{widths[name]}}", style)
                yield line
        if explained := [Text(part, "dim") for part in self._explanations()]:
            yield Flow(explained, "; ")

    def _rank_columns(self) -> dict[str, list[str]]:
        """Return the cells of each column, from top to bottom: the best rank where a language has several."""
        languages = list(dict.fromkeys(document.language for document in self.topic.relevant))
        columns: dict[str, list[str]] = {}
        if self.topic.pool and not self._has_images:
            own = [
                self._best(query.language, [d for d in self.topic.relevant if d.language == query.language], pool=False)
                for query in self.topic.queries
            ]
            columns[_OWN] = own
        for language in languages:
            documents = [document for document in self.topic.relevant if document.language == language]
            columns[language] = [
                self._best(query.language, documents, pool=bool(self.topic.pool)) for query in self.topic.queries
            ]
            if self._asks_by_image:
                columns[language].append(self._best(IMAGE, documents, pool=False))
        return columns

    def _rank_rows(self) -> list[str]:
        """Return what the rows of the ranks are called; an image has a second one."""
        return [*(query.language for query in self.topic.queries), *([_ALONE] if self._asks_by_image else [])]

    @property
    def _asks_by_image(self) -> bool:
        return bool(self.topic.pool) and any(query.language == IMAGE for query in self.topic.queries)

    @property
    def _has_images(self) -> bool:
        return self._asks_by_image or IMAGE in self.topic.pool

    def _best(self, query_language: str, documents: Sequence[RelevantDocument], *, pool: bool) -> str:
        found = [
            standing.in_pool if pool else standing.in_language
            for document in documents
            for standing in document.ranks
            if standing.query_language == query_language
        ]
        best = min((rank for rank in found if rank is not None), default=None)
        return ABSENT if best is None else f"{best:,}"

    def _explanations(self) -> Iterator[str]:
        if self._asks_by_image:
            yield f"{_ALONE}: among the captions of that language alone"
        if self.topic.pool and not self._has_images:
            yield f"{_OWN}: the one in the query's language, among the documents of that language alone"
        languages = [document.language for document in self.topic.relevant]
        if len(set(languages)) < len(languages):
            yield "several relevant documents in a language: the best-ranked"
        if any(ABSENT in cells for cells in self._rank_columns().values()):
            yield f"{ABSENT}: not retrieved, not asked for, or no such document"


def printable(text: str) -> str:
    """Return `text` on one line, without what is not printed: nothing in it acts on a terminal."""
    joined = re.sub(r"\s+", " ", text).strip()
    return "".join(c for c in joined if c.isprintable() or c in _JOINERS)


def isolated(text: str) -> str:
    """Return `text` so that its direction ends with it (Unicode Bidirectional Algorithm, first strong isolate).

    Without, right-to-left text would drag the columns beside it out of their order. Others stay as they are.
    """
    if any(unicodedata.bidirectional(c) in _RIGHT_TO_LEFT for c in text):
        return f"{_ISOLATE}{text}{_END}"
    return text


def shortened(text: str, room: int) -> str:
    """Return `text` on one line, cut to `room` columns of the screen, its direction kept to itself."""
    fitted = Text(printable(text))
    fitted.truncate(max(room, 1), overflow="ellipsis")
    return isolated(fitted.plain)


def shortened_id(doc_id: str, room: int) -> str:
    """Return an id of at most a third of the room; the hash in front is missed least."""
    name, most = printable(doc_id), max(room // 3, _LEAST_TEXT)
    return isolated(name if len(name) <= most else f"…{name[1 - most :]}")


def _texts_table(titles: list[str], rows: Sequence[list[Text | str | None]], room: int) -> Iterator[RenderableType]:
    """Yield a table whose last column is a text in what room the others leave; none has one where all are None."""
    names = [[cell for cell in row[:-1] if isinstance(cell, Text)] for row in rows]
    widths = [max(len(title), cell_width([row[place] for row in names])) for place, title in enumerate(titles)]
    left = room - sum(widths) - GAP * len(titles)
    table = plain_table()
    for title in titles:
        table.add_column(title, no_wrap=True)
    has_texts = left >= _LEAST_TEXT and any(row[-1] is not None for row in rows)
    if has_texts:
        table.add_column("text", no_wrap=True)
    for cells, row in zip(names, rows, strict=True):
        text = row[-1]
        table.add_row(*cells, *([shortened(text, left) if isinstance(text, str) else ABSENT] if has_texts else []))
    yield table


def _blocks(widths: dict[str, int], room: int) -> Iterator[list[str]]:
    """Cut columns into blocks no wider than the room; a column that is too wide stands alone."""
    block: list[str] = []
    for name, width in widths.items():
        if block and sum(widths[other] for other in block) + width > room:
            yield block
            block = []
        block.append(name)
    if block:
        yield block
