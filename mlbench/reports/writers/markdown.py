"""A report as Markdown of the GitHub kind: for a README, or a comment on a pull request."""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from html import escape

from mlbench.reports.formatting import count, visible
from mlbench.reports.report import (
    Block,
    Bullets,
    Cell,
    Charts,
    Command,
    Facts,
    HeatCell,
    HeatMap,
    KeyFigure,
    KeyFigures,
    LanguageMap,
    Report,
    Section,
    Sentence,
    Span,
    Style,
    Table,
    Words,
)

_NOTE = 500
_MOST_NAMED = 5
# Without a meaning anywhere in Markdown or on GitHub: no markup, entity, link or mention of a person.
_PLAIN = re.compile(
    r"(?:[^\W_]|[ ,;:()%'\"+·→−?!¿¡。，、？！-]|(?<=\d)/(?=\d)|(?<=[a-z])/(?=s\b)"
    r"|(?<=[^\W_])_(?=[^\W_])|(?<=[^\W_])@(?=[^\W_])|\.(?=\d|\s|[)\]]|$)|(?<=\s)=(?=\s)"
    r"|\[[-+.,\d ]*\](?![(\[:]))*"
)
# What begins a list or a rule where it begins a line.
_BLOCK = re.compile(r"\s*(?:[-+]\s|\d+[.)]\s|[-=]{2,}\s*$)")
# Harmless behind a backslash or as an entity: marks of significance, and comparisons.
_ESCAPES = str.maketrans({"*": r"\*", "~": r"\~", "<": "&lt;", ">": "&gt;"})
_BOLD: frozenset[Style] = frozenset({"strong", "bad"})


def write_markdown(report: Report) -> str:
    """Return the report with its details to unfold, in at most as many bytes as it may have.

    Names from results are no markup, and mention nobody. What finds no room is named at the end.
    """
    parts = list(_parts(report.blocks, depth=3, urgency=0))
    if report.longest is None:
        return "\n\n".join(part.text for part in parts) + "\n"
    room, chosen = report.longest - _NOTE, dict[int, _Part]()
    for place, part in sorted(enumerate(parts), key=lambda each: each[1].urgency):
        fitting = part.within(room - 2)
        if fitting is None:
            break
        chosen[place] = fitting
        room -= _size(fitting.text) + 2
    missing = [part.called for place, part in enumerate(parts) if place not in chosen]
    return "\n\n".join([*(chosen[place].text for place in sorted(chosen)), *_left_out(missing)]) + "\n"


def markdown_text(text: str) -> str:
    """Return `text` so that Markdown gives it no meaning: as it is, with escapes, or as a code span."""
    text = visible(text)
    letters = re.sub(r"[*~<>]", " ", text)
    if not letters.isascii():
        # Marks of vowels and the like belong to the letters before them.
        letters = "".join(c for c in letters if not unicodedata.category(c).startswith("M"))
    plain = _PLAIN.fullmatch(letters) and not _BLOCK.match(text)
    return text.translate(_ESCAPES) if plain else markdown_code(text)


def markdown_code(text: str) -> str:
    """Return `text` as a code span, in which nothing but its fence has a meaning."""
    text = visible(text)
    fence = "`" * (max((len(run) for run in re.findall("`+", text)), default=0) + 1)
    # A reader takes away one blank at both ends, unless there is nothing but blanks.
    pad = " " if text.strip() and (text[0] in "` " or text[-1] in "` ") else ""
    return f"{fence}{pad}{text or ' '}{pad}{fence}"


@dataclass(frozen=True)
class _Part:
    """A part of the text; `rows` that find no room are left out from the end, what has none as a whole.

    The least `urgency` number finds room first; `called` is what is said to be left out.
    """

    urgency: int
    called: str
    opening: str
    rows: tuple[str, ...] = ()
    closing: str = ""

    @property
    def text(self) -> str:
        return "\n".join([self.opening, *self.rows]) + self.closing

    def within(self, room: int) -> "_Part | None":
        """Return as much of this part as has `room` bytes."""
        if _size(self.text) <= room:
            return self
        room -= _size(self.opening) + _size(self.closing) + _NOTE
        kept = 0
        while kept < len(self.rows) and (room := room - _size(self.rows[kept]) - 1) >= 0:
            kept += 1
        if not kept:
            return None
        cut = f"\n\n{count(len(self.rows) - kept, 'more row')} in the document{self.closing}"
        return replace(self, rows=self.rows[:kept], closing=cut)


def _size(text: str) -> int:
    return len(text.encode())


def _left_out(missing: Sequence[str]) -> list[str]:
    """Say what found no room, and how often; nothing missing, no words."""
    names = [called for called in dict.fromkeys(missing) if called]
    named = [f"{markdown_text(called)} ({missing.count(called)})" for called in names[:_MOST_NAMED]]
    named += [f"and {len(names) - _MOST_NAMED:,} others"] if len(names) > _MOST_NAMED else []
    return [f"Left out, as a comment must not be longer: {', '.join(named)}."] if named else []


def _parts(blocks: Sequence[Block], *, depth: int, urgency: int, called: str = "") -> Iterator[_Part]:
    for block in blocks:
        if isinstance(block, Section):
            yield from _section(block, depth, max(urgency, block.urgency))
        else:
            yield from (replace(part, urgency=urgency, called=called) for part in _block(block, depth))


def _section(section: Section, depth: int, urgency: int) -> Iterator[_Part]:
    if section.shown in ("on_pages", "in_papers"):
        return
    titled = bool(section.titled and section.title)
    if section.shown in ("folded", "foldable"):
        parts = list(_parts(section.blocks, depth=depth + 1, urgency=urgency))
        if parts:
            yield _folded(section, parts, urgency)
        return
    parts = list(_parts(section.blocks, depth=depth + titled, urgency=urgency, called=section.text))
    if titled and parts:
        yield _Part(urgency, "", _heading(section, depth))
    yield from parts


def _heading(section: Section, depth: int) -> str:
    title = " ".join(map(_words, section.title))
    return f"{'#' * depth} {title}" if depth <= 4 else f"**{title}**"


def _folded(section: Section, parts: Sequence[_Part], urgency: int) -> _Part:
    """Return one part to unfold, whose rows are those of its longest table."""
    longest = max(range(len(parts)), key=lambda place: len(parts[place].rows))
    before = [f"<details><summary>{_summary(section)}</summary>", *(part.text for part in parts[:longest])]
    after = [part.text for part in parts[longest + 1 :]]
    table = parts[longest]
    return _Part(
        urgency,
        section.text,
        "\n\n".join([*before, table.opening]),
        table.rows,
        "\n\n".join([table.closing, *after, "</details>"]),
    )


def _summary(section: Section) -> str:
    # Within an element, GitHub reads no Markdown.
    return escape(visible(section.text)).replace("@", "&#64;")


def _block(block: Block, depth: int) -> Iterator[_Part]:
    match block:
        case Sentence() if block.parts:
            yield _Part(0, "", _sentence(block))
        case Bullets(items=items) if items:
            first, *rest = (f"- {_sentence(item)}" for item in items)
            yield _Part(0, "", first, tuple(rest))
        case KeyFigures():
            yield _Part(0, "", _key_figures(block))
        case Table() if block.rows:
            yield _table(block)
        case HeatMap():
            yield _heat_map(block)
        case Facts():
            rows = [_row([markdown_text(name), markdown_text(value)]) for name, value in block.facts]
            yield _Part(
                0, "", f"**{markdown_text(block.title)}**\n\n{_row(['', ''])}\n{_row([':--', ':--'])}", tuple(rows)
            )
        case Command():
            fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", block.text)), default=0))
            yield _Part(0, "", f"{fence}\n{visible(block.text)}\n{fence}")
        case Section() | Sentence() | Bullets() | Table() | LanguageMap() | Charts():
            pass


def _sentence(sentence: Sentence) -> str:
    text = sentence.separator.join(map(_words, sentence.parts))
    return f"> {text[:1].upper()}{text[1:]}" if sentence.style == "warning" else text


def _words(words: Words) -> str:
    if isinstance(words, Span) and words.style == "code":
        return markdown_code(words.text)
    text = markdown_text(words if isinstance(words, str) else words.text)
    return f"**{text}**" if isinstance(words, Span) and words.style in _BOLD else text


def _key_figures(block: KeyFigures) -> str:
    parts = [_key_figure(figure) for figure in block.figures] + ([markdown_text(block.note)] if block.note else [])
    return f"**{block.name.capitalize()}**: {' · '.join(parts)}"


def _key_figure(figure: KeyFigure) -> str:
    aside = f", {figure.aside}" if figure.aside else ""
    references = f" ({figure.references})" if figure.references else ""
    return f"{figure.title} {figure.text}{f' {figure.interval}' if figure.interval else ''}{aside}{references}"


def _table(table: Table) -> _Part:
    places = [at for at in range(len(table.columns)) if any(row.cells[at].text for row in table.rows)]
    columns = [table.columns[at] for at in places]
    break_ = " " if table.note_layout == "beside" else "<br>"
    titles = [markdown_text(f"{each.group} {each.title}".strip()) for each in columns]
    rules = [":--", *("--:" if each.align == "right" else ":--" for each in columns)]
    title = f"**{markdown_text(table.title)}**\n\n" if table.titled else ""
    rows = [_row([_cell(row.label, "<br>"), *(_cell(row.cells[at], break_) for at in places)]) for row in table.rows]
    return _Part(0, "", f"{title}{_row([markdown_text(table.first), *titles])}\n{_row(rules)}", tuple(rows))


def _cell(cell: Cell, break_: str) -> str:
    text = markdown_code(cell.text) if cell.style == "code" else markdown_text(f"{cell.text}{cell.mark}")
    text = f"**{text}**" if cell.style in _BOLD and cell.text else text
    return break_.join([text, *map(markdown_text, cell.notes)])


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _heat_map(shown: HeatMap) -> _Part:
    titles = [markdown_text(f"{each.title} {each.group}".strip()) for each in shown.columns]
    head = f"**{markdown_text(shown.title)}**\n\n{_row(['', *titles])}\n{_row([':--', *['--:'] * len(titles)])}"
    rows = [_row([markdown_text(row.label), *map(_heat_cell, row.cells)]) for row in shown.rows]
    return _Part(0, "", head, tuple(rows), f"\n\n{markdown_text('; '.join(shown.notes))}" if shown.notes else "")


def _heat_cell(cell: HeatCell) -> str:
    if cell.style == "plain":
        return markdown_text(f"{cell.text}{cell.mark}")
    return f"**{cell.text}**" if cell.style == "strong" else f"*{cell.text}*"
