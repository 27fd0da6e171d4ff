"""What the script of the overview shows a ranking from: every column of every entry, and means by language."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict

from mlbench.collection.language_info import language_info
from mlbench.collection.languages import Kind
from mlbench.leaderboard.overview import EntryRow, Ranking, by_language
from mlbench.leaderboard.page_data import Plain, pack, pack_shares
from mlbench.leaderboard.standings import BoardEntry
from mlbench.reports.formatting import ABSENT
from mlbench.reports.grid import MOST_IN_CELLS
from mlbench.results import Bounds, Result


def ranking_values(ranking: Ranking, entries: Mapping[str, BoardEntry]) -> Plain:
    """Return what is shown of a ranking, its best entry first; `entries` are those of the board by name.

    What is in the cells of a column stands as it is written, one entry after the other with spaces between them: the
    numbers, the intervals, the ranks and the groups of those that tie. Numbers by language are packed, those of one
    kind and measure for one entry after the other: of the main measure alone where there are many entries or languages.
    Intervals are those of the column that ranks the entries, and none where there are many languages.
    """
    languages = ranking.result.task.languages if ranking.result else ()
    results = [entries[row.entry.name].tasks[ranking.key].result for row in ranking.rows] if ranking.result else []
    kinds = [kind for kind in ranking.kinds if kind != "image_to_pool"] if results else []
    return {
        "title": ranking.title,
        "columns": [{**asdict(head), **_column(ranking.rows, head.key)} for head in ranking.heads],
        "orders": ranking.orders,
        "entries": [_entry(row) for row in ranking.rows],
        "languages": [[tag, language_info(tag).name] for tag in languages],
        "rows": {kind: dict(_means(ranking, kind, results)) for kind in kinds},
        "limits": {kind: _limits(ranking, kind, results) for kind in kinds[:1]} if _are_few(languages) else {},
    }


def _are_few(shown: Sequence[object]) -> bool:
    return len(shown) <= MOST_IN_CELLS


def _column(rows: Sequence[EntryRow], key: str) -> dict[str, Plain]:
    cells = [row.cells[key] for row in rows]
    return {
        "values": " ".join(each.text for each in cells),
        "bounds": " ".join(each.bounds.replace("–", ":") or ABSENT for each in cells),
        "ranks": " ".join(each.rank.replace("–", ":") or ABSENT for each in cells),
        "groups": [each.group for each in cells],
    }


def _entry(row: EntryRow) -> Plain:
    """Return what is said of an entry, without what is as it is for most."""
    said = {
        "control": row.entry.control,
        "licence": row.entry.licence,
        "parameters": row.entry.parameters,
        "seen": row.seen if row.seen != "unknown" else "",
        "status": row.status if row.status != "recomputed" else "",
        "retriever": row.retriever if row.retriever != "encoder" else "",
        "notes": row.notes,
    }
    always = {"name": row.entry.name, "title": row.entry.title}
    return {
        **always,
        "size": row.size,
        **{key: value for key, value in said.items() if value not in (None, "", [], False)},
    }


def _means(ranking: Ranking, kind: Kind, results: Sequence[Result]) -> Iterator[tuple[str, Plain]]:
    """Yield each measure with its means for each language and entry, packed."""
    names = dict.fromkeys(head.measure for head in ranking.heads if head.kind == kind)
    few = _are_few(results) and _are_few(results[0].task.languages)
    for name in names if few else [ranking.heads[0].measure]:
        yield name, [pack([value for value, _ in by_language(each, kind, name).values()]) for each in results]


def _limits(ranking: Ranking, kind: Kind, results: Sequence[Result]) -> Plain:
    """Return the limits of the intervals of the main measure for each language and entry, packed."""
    bounds: list[list[Bounds | None]] = [
        [each for _, each in by_language(result, kind, ranking.heads[0].measure).values()] for result in results
    ]
    return [
        [
            pack_shares([each.low if each else None for each in row]),
            pack_shares([each.high if each else None for each in row]),
        ]
        for row in bounds
    ]
