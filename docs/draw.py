"""The figures of the documentation, as SVG made from numbers; nothing here is drawn by hand."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from html import escape

import numpy as np
from numpy.typing import NDArray

from mlbench import Collection, load_collection, load_task
from mlbench.embeddings.exact import grid_cosine
from mlbench.open_model import open_retriever
from mlbench.protocols import Encoder, Runtime
from mlbench.ranking.index_arrays import index_collection
from mlbench.reports.chart import Chart, chart_svg
from mlbench.reports.documents.result import pair_map
from mlbench.reports.formatting import decimal
from mlbench.reports.grid import Grid
from mlbench.reports.heat_map import heat_map_svg
from mlbench.reports.report import Block, Charts, Section
from mlbench.reports.ternary import TernaryPlot

INK, SOFT, PAPER = "#1b1b1f", "#6b6b76", "#ffffff"
ACCENT, RULE = "#b3261e", "#d7d7de"


@dataclass
class Canvas:
    """An SVG drawing on its own white paper, so that it can be read on any page."""

    width: int
    height: int
    title: str
    parts: list[str] = field(default_factory=list)

    def text(self, at: tuple[float, float], words: str, *, size: int = 13, anchor: str = "start", **style: str) -> None:
        """Write `words` with their baseline at `at`."""
        given = {"fill": INK} | style
        rest = "".join(f' {key.replace("_", "-")}="{value}"' for key, value in given.items())
        x, y = at
        line = f'<text x="{x:g}" y="{y:g}" font-size="{size}" text-anchor="{anchor}"{rest}>{escape(words)}</text>'
        self.parts.append(line)

    def line(self, start: tuple[float, float], end: tuple[float, float], colour: str, *, width: float = 1) -> None:
        """Draw a straight line."""
        ends = f'x1="{start[0]:g}" y1="{start[1]:g}" x2="{end[0]:g}" y2="{end[1]:g}"'
        self.parts.append(f'<line {ends} stroke="{colour}" stroke-width="{width:g}"/>')

    def svg(self) -> str:
        """Return the drawing as an SVG file."""
        head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {self.height}"'
        fonts = 'font-family="system-ui, Segoe UI, Helvetica, Arial, sans-serif"'
        paper = f'<rect width="{self.width}" height="{self.height}" rx="8" fill="{PAPER}"/>'
        opening = f'{head} width="{self.width}" height="{self.height}" role="img" {fonts}>'
        return "\n".join([opening, f"<title>{escape(self.title)}</title>", paper, *self.parts, "</svg>"]) + "\n"


def charts(blocks: Sequence[Block], about: str = "") -> str:
    """Return the charts of a report as one block of HTML, so that they take the colours of the page.

    Their captions begin with what they are `about`.
    """
    shown = "".join(
        f"<figure>{chart_svg(chart)}<figcaption>{escape(about + chart.title)}</figcaption></figure>"
        for chart in _charts(blocks)
    )
    return f'<div class="figures">{" ".join(shown.split())}</div>'


def _charts(blocks: Sequence[Block]) -> Iterator[Chart | TernaryPlot]:
    for block in blocks:
        if isinstance(block, Section):
            yield from _charts(block.blocks)
        elif isinstance(block, Charts):
            yield from block.charts


def heat_map(grid: Grid, title: str) -> str:
    """Draw the heat map of a report, with its title, on paper."""
    drawn = heat_map_svg(pair_map(grid))
    width, height = (int(number) for number in re.findall(r'(?:width|height)="(\d+)"', drawn)[:2])
    canvas = Canvas(width + 40, height + 84, title)
    canvas.text((20, 32), title, size=15, font_weight="600")
    canvas.parts.append(drawn.replace("<svg ", '<svg x="20" y="54" ', 1))
    return canvas.svg()


@dataclass(frozen=True, eq=False)
class Lists:
    """One query against a pool: for each document, best first, its language; and the ranks of the relevant ones."""

    query: str
    languages: tuple[str, ...]
    order: tuple[str, ...]
    relevant: dict[str, int]

    def ahead(self, document: str) -> dict[str, int]:
        """Return how many documents of each language stand before the relevant one in the language `document`."""
        before = self.order[: self.relevant[document]]
        return {language: before.count(language) for language in self.languages}


def rank_one_query(topic: str, asked: str, languages: tuple[str, ...]) -> Lists:
    """Rank the documents of `languages` in `mini` under `hashing`, for one topic asked in one language."""
    collection: Collection = load_collection(load_task("mini"), languages=languages)
    retriever = open_retriever("hashing", {}, Runtime())
    assert isinstance(retriever, Encoder)
    arrays = index_collection(collection)
    texts = {document.doc_id: document.text for rows in collection.documents.values() for document in rows}
    query = next(query for query in collection.queries[asked] if query.topic_id == topic)
    documents = grid_cosine(retriever.encode([texts[doc_id] for doc_id in arrays.document_ids], "document"))
    scores: NDArray[np.float64] = documents @ grid_cosine(retriever.encode([query.text], "query"))[0]
    order = np.lexsort((np.arange(len(scores)), -scores))
    ids = [arrays.document_ids[index] for index in order]
    homes = tuple(languages_of(collection)[doc_id] for doc_id in ids)
    relevant = {judgment.language: ids.index(judgment.doc_id) for judgment in collection.judgments[topic]}
    return Lists(query.text, languages, homes, relevant)


def languages_of(collection: Collection) -> dict[str, str]:
    """Return the language of each document id."""
    return {row.doc_id: language for language, rows in collection.documents.items() for row in rows}


def ahead(lists: Lists, document: str) -> str:
    """Draw one pooled list as a lane for each language, and what stands before one relevant document in each."""
    left, right, top, lane, step = 76, 150, 92, 46, 3.5
    width = int(left + step * len(lists.order) + right)
    target, counts = lists.relevant[document], lists.ahead(document)
    canvas = Canvas(width, top + lane * len(lists.languages) + 92, "How many documents stand ahead, by language")
    canvas.text((20, 30), f"Query: {lists.query}", size=15, font_weight="600")
    legend = f"Each tick is a document at its rank in the pool of {len(lists.order)}; tall ticks are relevant."
    canvas.text((20, 50), legend, fill=SOFT)
    edge = left + step * (target + 0.5)
    bottom = top + lane * len(lists.languages)
    canvas.text((left + step * len(lists.order) + 24, top - 10), "ahead", font_weight="600")
    for number, language in enumerate(lists.languages):
        middle = top + lane * number + lane / 2
        canvas.text((left - 14, middle + 5), language, anchor="end", font_weight="600")
        canvas.line((left, middle), (left + step * len(lists.order), middle), RULE)
        for rank in (rank for rank, home in enumerate(lists.order) if home == language):
            found = rank == lists.relevant[language]
            height, x = (15.0 if found else 7.0), left + step * (rank + 0.5)
            colour = ACCENT if rank == target else INK if rank < target or found else "#a9a9b4"
            canvas.line((x, middle - height), (x, middle + height), colour, width=3.4 if found else 1.6)
        canvas.text((left + step * len(lists.order) + 24, middle + 5), str(counts[language]), size=15)
    canvas.line((edge, top - 4), (edge, bottom + 4), ACCENT, width=1)
    _sums(canvas, counts, document, bottom + 34)
    return canvas.svg()


def _sums(canvas: Canvas, counts: dict[str, int], document: str, y: float) -> None:
    first = next(language for language in counts if language != document)
    pools = {"alone": (document,), "in the whole pool": tuple(counts), "in a pool of two": (first, document)}
    for line, (where, pool) in enumerate(pools.items()):
        terms = " + ".join(str(counts[language]) for language in pool)
        total = 1 + sum(counts[language] for language in pool)
        words = f"Rank of the {document} document {where} ({', '.join(pool)}): 1 + {terms} = {total}"
        canvas.text((20, y + 22 * line), words)


def intervals(rows: Sequence[tuple[str, float, tuple[float, float], tuple[float, float]]], title: str) -> str:
    """Draw for each row (name, value, bounds by cluster, bounds by topic) both intervals, as distances from the value.

    All rows share one scale, whatever their values.
    """
    left, right, top, lane, span = 190, 130, 82, 62, 420
    canvas = Canvas(left + span + right, top + lane * len(rows) + 46, title)
    reach = max(abs(bound - value) for _, value, *both in rows for bounds in both for bound in bounds)

    def x(distance: float) -> float:
        return round(left + span * (distance + reach) / (2 * reach), 2)

    canvas.text((20, 30), title, size=15, font_weight="600")
    canvas.text((20, 50), "95 % intervals: articles drawn (thick); topics drawn as if independent (thin)", fill=SOFT)
    foot = top + lane * len(rows)
    canvas.line((x(0), top), (x(0), foot), ACCENT)
    for number, (name, value, by_cluster, by_topic) in enumerate(rows):
        y = top + lane * number + 14
        canvas.text((left - 16, y + 14), name, anchor="end", font_weight="600")
        for bounds, offset, colour, thickness in ((by_cluster, 0, INK, 7.0), (by_topic, 18, SOFT, 2.5)):
            low, high = bounds
            canvas.line((x(low - value), y + offset), (x(high - value), y + offset), colour, width=thickness)
            words = f"[{decimal(low)}, {decimal(high)}]"
            canvas.text((left + span + 16, y + offset + 4), words, size=12, fill=colour)
    for distance in (-reach, 0.0, reach):
        words = f"{'+' if distance > 0 else ''}{decimal(distance)}" if distance else "mean"
        canvas.text((x(distance), foot + 24), words, size=12, anchor="middle", fill=SOFT)
    return canvas.svg()
