"""The overview of the site: a ranking for each task, answers to a visitor's first questions, and what papers report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from mlbench.collection.language_info import language_info
from mlbench.collection.languages import Kind
from mlbench.leaderboard.audit import STATUSES, Status, status_of
from mlbench.leaderboard.columns import COLUMNS, FIRST, BoardColumn, measured, title
from mlbench.leaderboard.entries import Entry
from mlbench.leaderboard.standings import BoardEntry, Group, RankRange, Score, Standing, Standings
from mlbench.reports.captions import sizes
from mlbench.reports.formatting import ABSENT, SHORT, count, decimal, spoken, written
from mlbench.reports.provenance import training_note
from mlbench.results import BiasResult, Bounds, Result, Statistics
from mlbench.tasks.task import load_task, task_names

PREFERENCE = BoardColumn("own_language_preference")
"""The column that says whether the language of the query is preferred."""
KIND_WORDS: Mapping[Kind, str] = {
    "monolingual": "queries find documents in their own language",
    "cross_lingual": "queries find documents in one other language",
    "multilingual": "queries find documents of all languages at once",
    "text_to_image": "captions find images",
    "image_to_text": "images find captions in one language",
    "image_to_pool": "images find captions of all languages at once",
}
"""What is asked of what in the settings of a kind."""
TRAINING_WORDS = {
    "X-X-mono": "trained with batches in which query and documents are in one language",
    "X-X": "trained with queries and documents in one language, all languages in a batch",
    "X-Y": "trained with batches in which the documents are in another language than the query",
    "En-En": "trained with English queries and documents",
    "hybrid": "trained with batches of both kinds, X-X-mono and X-Y",
}
"""What papers call the ways to train a retriever, where the title of an entry names one."""
_HEADINGS: Mapping[Group, str] = {
    "macro": "Reported in papers",
    "micro": "Reported in papers, as micro means",
}
MOST_ROWS = 100
"""So many rows stand in the page itself; a script shows those of larger rankings."""
_MILLION = 1e6
_MOST_NAMED = 3


@dataclass(frozen=True)
class Head:
    """The head of a column: what it is of, its title, which numbers are better, and numbers to read others by.

    `measure` and `kind` are empty for what is shown with every measure. `notes` are the best value here, that of a
    perfect system and that of a random order, as far as they are known.
    """

    key: str
    title: str
    better: str | float
    notes: Sequence[str]
    measure: str = ""
    kind: Kind | Literal[""] = ""


@dataclass(frozen=True)
class EntryCell:
    """A number as it is shown; entries of one `group` of a column tie, 0 is none."""

    text: str
    bounds: str = ""
    rank: str = ""
    group: int = 0


@dataclass(frozen=True)
class EntryRow:
    """One entry: its numbers by the key of their column, and what it is filtered by.

    `retriever` is `encoder` or `ranker`, and `seen` says whether the model was trained on the data behind the task:
    `yes`, `no` or `unknown`. Both are empty for a reported entry.
    """

    entry: Entry
    status: Status
    notes: Sequence[str]
    size: str
    retriever: str
    seen: str
    cells: Mapping[str, EntryCell]


@dataclass(frozen=True)
class ReportedTable:
    """Numbers of papers that may stand together, sorted by the first column that they have.

    `ranks` says why they have none among the recomputed numbers.
    """

    group: Group
    heading: str
    ranks: str
    heads: Sequence[Head]
    rows: Sequence[EntryRow]


@dataclass(frozen=True)
class Answers:
    """What a visitor asks first of a ranking, in sentences, empty where nothing is known.

    `first` is the entry that stands first, which `best` is said of. `preferences` are the language preferences of the
    entries, from the lowest, for a drawing.
    """

    first: Entry
    best: str
    number: str
    languages: str
    bias: str
    preferences: Sequence[float]
    statuses: Mapping[Status, int]


@dataclass(frozen=True)
class Ranking:
    """A ranking of a task or a benchmark as it is shown, the best entry first.

    The first of `heads` is that of the column that ranks the entries, and `orders` name for each column those that have
    a number in it by their place in `rows`, the best first. `terms` explain words in the titles. Where only papers
    report numbers, there are no rows and no answers.
    """

    key: str
    name: str
    title: str
    facts: str
    confidence: str
    unit: str
    heads: Sequence[Head]
    orders: Sequence[Sequence[int]]
    rows: Sequence[EntryRow]
    answers: Answers | None
    reported: Sequence[ReportedTable]
    terms: Mapping[str, str]
    citation: str
    result: Result | None

    @property
    def shown(self) -> Sequence[Head]:
        """The columns that are shown before anybody asks for another measure."""
        return [each for each in self.heads if each.measure in ("", self.heads[0].measure)]

    @property
    def kinds(self) -> Sequence[Kind]:
        """The kinds of settings that a column is about."""
        return [each.kind for each in self.shown if each.kind]


def overview(standings: Standings, entries: Mapping[str, BoardEntry]) -> Ranking:
    """Return the ranking of a task, or of a benchmark with a column for each of its tasks.

    `entries` are those of the board by name.
    """
    verified = standings.groups.get("verified", [])
    columns = _columns(standings, verified)
    ordered = _ordered(verified, columns)
    rows = [_row(each, columns, entries[each.entry.name], standings.task) for each in ordered]
    statistics = _statistics(standings, entries)
    task = load_task(standings.task) if standings.task in task_names() else None
    called = task.title if task else standings.benchmark.title if standings.benchmark else standings.task
    ranking = Ranking(
        key=standings.task,
        name=called.partition(":")[0],
        title=called,
        facts=facts(standings),
        confidence=f"{statistics.confidence * 100:g} %" if statistics else "",
        unit=statistics.clustered_by if statistics else "",
        heads=[_head(column, standings, verified) for column in columns],
        orders=[_order(ordered, column) for column in columns],
        rows=rows,
        answers=_answers(standings, entries, columns, rows) if rows and columns else None,
        reported=[
            _reported_table(group, each, standings) for group, each in standings.groups.items() if group != "verified"
        ],
        terms=_training_terms([each.entry.title for group in standings.groups.values() for each in group]),
        citation=task.citation.strip() if task else "",
        result=standings.result,
    )
    return _with_tasks(ranking, standings.benchmark.tasks, columns[0], entries) if standings.benchmark else ranking


def _statistics(standings: Standings, entries: Mapping[str, BoardEntry]) -> Statistics | None:
    """Return how intervals were made: those of the first task of a benchmark; None without verified numbers."""
    if standings.result is not None or standings.benchmark is None:
        return standings.result.statistics if standings.result else None
    first = entries[standings.groups["verified"][0].entry.name]
    return first.tasks[standings.benchmark.tasks[0]].result.statistics


def _with_tasks(
    ranking: Ranking, tasks: Sequence[str], main: BoardColumn, entries: Mapping[str, BoardEntry]
) -> Ranking:
    """Return the ranking of a benchmark with a column for each task, of what the entries are ranked by."""
    heads, orders, rows = [*ranking.heads], [*ranking.orders], list(ranking.rows)
    for task in tasks:
        found = [measured(entries[row.entry.name].tasks[task].result, main) for row in rows]
        known = [(main.loss(each.value), at) for at, each in enumerate(found) if each]
        best = min(known, default=None)
        name = load_task(task).title.partition(":")[0] if task in task_names() else task
        notes = [] if best is None or (top := found[best[1]]) is None else [f"best {number(main, top.value)}"]
        heads.append(Head(task, f"{heading(main)} on {name}", main.better, notes))
        orders.append([at for _, at in sorted(known)])
        rows = [
            replace(row, cells={**row.cells, task: cell(main, Score(each) if each else None)})
            for row, each in zip(rows, found, strict=True)
        ]
    return replace(ranking, heads=heads, orders=orders, rows=rows)


def _columns(standings: Standings, rows: Sequence[Standing]) -> list[BoardColumn]:
    """Return the columns that some row has a number of, the one that ranks them first."""
    columns = [column for column in COLUMNS if any(column in row.scores for row in rows)]
    primary = standings.result.task.primary_measure if standings.result else FIRST.name
    of_primary = [column for column in columns if column.name == primary]
    main = next((each for each in (FIRST, *of_primary, *columns) if each in columns), None)
    return sorted(columns, key=lambda each: (each != main, each.kind != main.kind)) if main else []


def _ordered(rows: Sequence[Standing], columns: Sequence[BoardColumn]) -> list[Standing]:
    """Return the rows in order of the first column, those without a number in it last."""
    named = sorted(rows, key=lambda row: row.entry.name)
    order = _order(named, columns[0]) if columns else []
    return [named[index] for index in (*order, *(index for index in range(len(named)) if index not in set(order)))]


def _order(rows: Sequence[Standing], column: BoardColumn) -> list[int]:
    """Return the places of the rows that have a number in a column, the best first, and those that are level as are."""
    found = [(column.loss(row.scores[column].number.value), at) for at, row in enumerate(rows) if column in row.scores]
    return [at for _, at in sorted(found)]


def _head(column: BoardColumn, standings: Standings, rows: Sequence[Standing]) -> Head:
    known = [row.scores[column].number.value for row in rows if column in row.scores]
    best = min(known, key=column.loss, default=None)
    named = zip(("perfect", "chance"), _references(column, standings), strict=True)
    notes = [
        *(["lower is better"] if column.better == "lower" else []),
        *([] if best is None else [f"best {number(column, best)}"]),
        *(f"{word} {reference(column, value)}" for word, value in named if value is not None),
    ]
    return Head(column.key, heading(column), column.better, notes, *_measure_and_kind(column))


def _measure_and_kind(column: BoardColumn) -> tuple[str, Kind | Literal[""]]:
    return (column.name, column.kind) if column.kind else ("", "")


def heading(column: BoardColumn) -> str:
    """Return the title of a column, such as `mAP multi` or `rank distance`."""
    return f"{title(column.name)} {SHORT[column.kind]}" if column.kind else spoken(column.name)


def _references(column: BoardColumn, standings: Standings) -> tuple[float | None, float | None]:
    """Return what a perfect system and a random order have in a column; None where that is not known."""
    result = standings.result
    if result is None:
        return (1.0, None) if column.kind else (column.better if isinstance(column.better, float) else None, None)
    if column.kind is None:
        score = bias_score(result, column)
        return (score.references.get("ideal"), score.references.get("chance")) if score else (None, None)
    mean = result.aggregate(column.kind)
    return (mean.ceilings.get(column.name) if mean else None) or 1.0, standings.chance.get(column)


def bias_score(result: Result, column: BoardColumn) -> BiasResult | None:
    """Return the bias score of a column; None where the result has none."""
    return result.bias.score(column.name) if result.bias else None


def _row(standing: Standing, columns: Sequence[BoardColumn], shown: BoardEntry, task: str) -> EntryRow:
    entry = standing.entry
    result = shown.tasks[task].result if task in shown.tasks and standing.reported is None else None
    return EntryRow(
        entry=entry,
        status=status_of(entry, shown.audit),
        notes=training_note(result) if result else [],
        size=size(entry.parameters),
        retriever=result.retriever.kind if result else "",
        seen=_seen(result, task) if result else "",
        cells={column.key: cell(column, standing.scores.get(column)) for column in columns},
    )


def _seen(result: Result, task: str) -> str:
    """Say whether the model was trained on the data behind a task, as far as the registry of models knows."""
    known = result.retriever.registry
    if known is None or task not in task_names():
        return "unknown"
    if known.seen:
        return "yes"
    built_from = load_task(task).built_from
    return "no" if built_from and all(known.trained_on.get(name) == "no" for name in built_from) else "unknown"


def _reported_table(group: Group, rows: Sequence[Standing], standings: Standings) -> ReportedTable:
    numbered = [column for column in COLUMNS if any(column in row.scores for row in rows)]
    columns = sorted(numbered, key=lambda column: column != FIRST)
    return ReportedTable(
        group=group,
        heading=_HEADINGS[group],
        ranks=standings.cannot_tell.get(group, ""),
        heads=[
            Head(column.key, heading(column), column.better, [column.note] if column.note else []) for column in columns
        ],
        rows=[_row(each, columns, BoardEntry(each.entry, {}), standings.task) for each in _ordered(rows, columns)],
    )


def _training_terms(titles: Sequence[str]) -> dict[str, str]:
    """Return what the ways to train mean that some title names."""
    words = {word for each in titles for word in each.replace(",", " ").split()}
    return {word: meaning for word, meaning in TRAINING_WORDS.items() if word in words}


def _answers(
    standings: Standings, entries: Mapping[str, BoardEntry], columns: Sequence[BoardColumn], rows: Sequence[EntryRow]
) -> Answers:
    main, verified = columns[0], standings.groups["verified"]
    preferences = sorted(score.number.value for row in verified if (score := row.scores.get(PREFERENCE)))
    first = entries[rows[0].entry.name].tasks.get(standings.task)
    return Answers(
        first=rows[0].entry,
        best=_best(rows, main, standings.cannot_tell.get("verified", "")),
        number=_meaning(main, standings),
        languages=_extremes(first.result, main) if first else "The ranking of each task tells: choose one above.",
        bias=_bias(preferences),
        preferences=preferences,
        statuses={status: n for status in STATUSES if (n := sum(row.status == status for row in rows))},
    )


def _best(rows: Sequence[EntryRow], main: BoardColumn, cannot_tell: str) -> str:
    """Say of the first row what it is ahead of, after its name; `cannot_tell` says why there are no ranks."""
    first, *others = [row for row in rows if row.cells[main.key].group == 1] or rows[:1]
    value = f"{heading(main)}, {first.cells[main.key].text}"
    if len(rows) == 1:
        return f"has {value}. No other entry was measured."
    if not first.cells[main.key].rank:
        return f"has the best {value}. The data {cannot_tell or 'cannot tell whether by chance'}."
    if not others:
        return f"has the best {value}. Every other entry is significantly worse."
    titles = [row.entry.title for row in others]
    named = (
        titles
        if len(titles) <= _MOST_NAMED
        else [*titles[: _MOST_NAMED - 1], f"{len(titles) - _MOST_NAMED + 1} others"]
    )
    return f"has the best {value}, but ties with {' and '.join(named)}: the data cannot tell which is best."


def _meaning(main: BoardColumn, standings: Standings) -> str:
    """Say what the number is about, and what a perfect system and a random order have."""
    words = ("perfect is {}", "a random order has {}")
    known = zip(words, _references(main, standings), strict=True)
    parts = [each.format(reference(main, value)) for each, value in known if value is not None]
    asked = f" where {KIND_WORDS[main.kind]}" if main.kind else ""
    return f"How early the right answers stand{asked}: {', '.join(parts)}."


def _extremes(result: Result, main: BoardColumn) -> str:
    """Say in which languages the best entry is best and worst; nothing of a single language."""
    found = by_language(result, main.kind, main.name) if main.kind else {}
    known = sorted((value, language) for language, (value, _) in found.items() if value is not None)
    if len(known) < 2:
        return ""
    (low, worst), (high, best) = known[0], known[-1]
    ends = f"{decimal(low)} ({language_info(worst).name}) to {decimal(high)} ({language_info(best).name})"
    return f"{heading(main)} of the best entry ranges from {ends}."


def by_language(result: Result, kind: Kind, measure: str) -> dict[str, tuple[float | None, Bounds | None]]:
    """Return mean and interval of a measure for each language that asks, or whose captions images find.

    They are None where there is none. The pool of captions is of all languages: it gives nothing.
    """
    if kind == "image_to_pool":
        return {}
    if kind == "image_to_text":
        own = {each.document_languages[0]: each for each in result.settings if each.kind == kind}
        return {tag: (own[tag].measures.get(measure), own[tag].intervals.get(measure)) for tag in result.task.languages}
    means = {language: result.aggregate(kind, query_language=language) for language in result.task.languages}
    return {
        language: (mean.measures.get(measure), mean.intervals.get(measure)) if mean else (None, None)
        for language, mean in means.items()
    }


def _bias(preferences: Sequence[float]) -> str:
    """Say how much the entries prefer the language of the query; nothing where no entry was asked."""
    if not preferences:
        return ""
    low, high = decimal(preferences[0]), decimal(preferences[-1])
    found = f"Here: {low} to {high}." if low != high else f"Here: {low}."
    return f"Of two translations of an answer, how often the query's own comes first; .500 is fair. {found}"


def facts(standings: Standings) -> str:
    """Say in one line what a task is, as far as a verified result tells it, or which tasks a benchmark has."""
    result, benchmark = standings.result, standings.benchmark
    if benchmark is not None:
        lacking = [f"{name} ({', '.join(missing)})" for name, missing in sorted(benchmark.missing.items())]
        parts = [f"means over {' and '.join(benchmark.tasks)}, each task counting alike"]
        return "; ".join([*parts, *([f"not ranked, as a task is missing: {', '.join(lacking)}"] if lacking else [])])
    if result is None:
        return ""
    unit = count(result.statistics.n_clusters, result.statistics.clustered_by)
    if result.image_text is not None:
        parts = [count(len(result.task.languages), "caption language"), *sizes(result)]
        return ", ".join([*parts, *([] if unit in parts else [unit])])
    parts = [
        count(len(result.task.languages), "language"),
        *([count(result.bias.n_topics, "topic")] if result.bias else []),
        unit,
        *([f"a pool of {count(result.bias.n_documents, 'document')}"] if result.bias else []),
        f"a document is a {spoken(result.task.document_text)}",
    ]
    return ", ".join(parts)


def cell(column: BoardColumn, score: Score | None) -> EntryCell:
    """Return how a number is written in a column."""
    if score is None:
        return EntryCell(ABSENT)
    value, bounds = score.number.value, score.number.bounds
    group = score.rank.group if score.rank else 0
    return EntryCell(number(column, value), interval(column, bounds), rank_text(score.rank), group)


def number(column: BoardColumn, value: float) -> str:
    """Write a number of a column with as many decimals as it deserves."""
    return decimal(value) if column.kind else written(column.name, value)


def reference(column: BoardColumn, value: float) -> str:
    """Write what a perfect system or a random order has in a column; the least rank distance is a whole number."""
    return decimal(value, 0) if column.kind is None and value > 1 and value.is_integer() else number(column, value)


def interval(column: BoardColumn, bounds: Bounds | None) -> str:
    """Write an interval such as `.401 to .423`; without one, the empty string."""
    return f"{number(column, bounds.low)}–{number(column, bounds.high)}" if bounds else ""


def rank_text(rank: RankRange | None) -> str:
    """Write the interval of a rank such as `2` or `2–4`; none is the empty string."""
    if rank is None:
        return ""
    return str(rank.low) if rank.low == rank.high else f"{rank.low}–{rank.high}"


def size(parameters: int | None) -> str:
    """Write a number of parameters such as `118 M`; None is `·`."""
    if parameters is None:
        return ABSENT
    if parameters < _MILLION:
        return f"{parameters / 1e3:.0f} k" if parameters else "0"
    millions = parameters / _MILLION
    return f"{millions:,.0f} M" if millions >= 10 else f"{millions:.1f} M"
