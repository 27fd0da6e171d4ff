"""The figures of a report as one SVG file, light or dark as the reader prefers."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from mlbench.errors import UserError
from mlbench.reports.chart import LINE, WIDTH, chart_svg
from mlbench.reports.formatting import visible
from mlbench.reports.heat_map import heat_map_svg
from mlbench.reports.language_map import language_map_svg
from mlbench.reports.report import Block, Charts, HeatMap, LanguageMap, Report, Section

_COLUMNS = 2
_MARGIN, _HEAD = 20, 36
# How many names of labels find room beside the panels, and how long each may be.
_MOST_NAMES, _LONGEST_NAME = 16, 52
# An image in a page has the reader's choice of light or dark, but no style of the page.
_STYLE = (
    "svg{color:#1b1b1f}.paper{fill:#ffffff}@media(prefers-color-scheme:dark){svg{color:#e6e6ea}.paper{fill:#16161a}}"
)
_FONT = "system-ui, sans-serif"
_SIZE = re.compile(r'width="(\d+)" height="(\d+)"')


def write_svg(report: Report) -> str:
    """Return an SVG document with the charts and heat maps of every section, two beside each other.

    It needs no other file; everything from the report is escaped. Raises `UserError` for a report without figures.
    """
    parts, top, width = list[str](), _MARGIN, 2 * _MARGIN + _COLUMNS * WIDTH
    titles = []
    for title, panels in _groups(report.blocks, report.title):
        titles.append(title)
        parts.append(
            f'<text x="{_MARGIN}" y="{top + 16}" font-size="15" font-weight="600" fill="currentColor">'
            f"{escape(visible(title))}</text>"
        )
        top += _HEAD
        for row in _rows(panels):
            left = _MARGIN
            for panel in row:
                parts.append(panel.svg.replace("<svg ", f'<svg x="{left}" y="{top}" ', 1))
                left += max(panel.width, WIDTH)
            width = max(width, left + _MARGIN)
            top += max(panel.height for panel in row) + _MARGIN
    if not titles:
        raise UserError("SVG has the figures of a report, and this one has none: choose another format")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{top}" viewBox="0 0 {width} {top}"'
        f' role="img" aria-label="{escape(visible("; ".join(titles)))}" color="#1b1b1f" font-family="{_FONT}">'
        f"<style>{_STYLE}</style>"
        f'<rect class="paper" width="100%" height="100%" fill="#ffffff"/>{"".join(parts)}</svg>\n'
    )


@dataclass(frozen=True)
class _Panel:
    """An `<svg>` element and its size in pixels."""

    svg: str
    width: int
    height: int

    @classmethod
    def of(cls, svg: str) -> "_Panel":
        size = _SIZE.search(svg)
        assert size is not None
        return cls(svg, int(size[1]), int(size[2]))


def _groups(blocks: Sequence[Block], title: str) -> Iterator[tuple[str, list[_Panel]]]:
    """Yield the panels of each section that has some, with its title."""
    panels = [panel for block in blocks for panel in _panels(block)]
    if panels:
        yield title, panels
    for block in blocks:
        if isinstance(block, Section) and block.shown != "in_papers":
            yield from _groups(block.blocks, block.text if block.text else title)


def _panels(block: Block) -> Iterator[_Panel]:
    if isinstance(block, HeatMap) and block.scales:
        yield _Panel.of(heat_map_svg(block))
    if isinstance(block, LanguageMap):
        yield _Panel.of(language_map_svg(block))
    if isinstance(block, Charts):
        yield from (_Panel.of(chart_svg(chart)) for chart in block.charts)
        yield from (
            _Panel.of(_names(labels)) for labels in dict.fromkeys(chart.labels for chart in block.charts) if labels
        )


def _rows(panels: Sequence[_Panel]) -> Iterator[list[_Panel]]:
    """Put panels side by side; one that is wider than its column stands alone."""
    row: list[_Panel] = []
    for panel in panels:
        if row and (len(row) == _COLUMNS or max(panel.width, row[0].width) > WIDTH):
            yield row
            row = []
        row.append(panel)
    if row:
        yield row


def _names(labels: Sequence[str]) -> str:
    """Return what the labels of an axis stand for."""
    names = [_cut(visible(label)) for label in labels]
    if len(names) > _MOST_NAMES:
        names = [*names[: _MOST_NAMES - 1], f"and {len(names) - _MOST_NAMES + 1} more"]
    lines = [f'<text x="{_MARGIN}" y="{15 + LINE * row}">{escape(name)}</text>' for row, name in enumerate(names)]
    height = LINE * (len(lines) + 1)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}"'
        f' style="font: 13px {_FONT}" fill="currentColor">{"".join(lines)}</svg>'
    )


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_NAME else f"{text[: _LONGEST_NAME - 1]}…"
