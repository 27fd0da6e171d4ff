"""Results as a report: means of each kind of settings, language bias, pairs of languages, and how they were made.

Several results begin with a table across them. The answer of a pool is a report of its own.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mlbench.collection.language_info import language_info
from mlbench.collection.languages import IMAGE, KINDS, Kind
from mlbench.errors import UnknownName
from mlbench.reports.captions import CHANCE, caption_map, hit_chance, sizes
from mlbench.reports.colours import ColourScale
from mlbench.reports.formatting import (
    MEDIAN,
    SHORT,
    cost,
    count,
    decimal,
    heading,
    headline,
    interval,
    intervals,
    n_settings,
    other_scores,
    pool_kind,
    pool_name,
    repeatability,
    score_ends,
    score_interval,
    score_references,
    score_value,
    spoken,
    task_label,
    told_references,
    two_digits,
    unlisted_note,
    written,
)
from mlbench.reports.grid import (
    MEAN,
    MOST_IN_CELLS,
    POOL,
    Grid,
    as_matrix,
    grid,
    grid_map,
    means_table,
    shown_measure,
)
from mlbench.reports.language_groups import all_groups, best_and_worst, summary_of_groups
from mlbench.reports.provenance import caveats, command, provenance, title_of, verification
from mlbench.reports.report import (
    Block,
    Cell,
    Column,
    Command,
    HeatCell,
    HeatMap,
    KeyFigure,
    KeyFigures,
    LanguageMap,
    MapLayer,
    Report,
    Row,
    Scalar,
    Section,
    Sentence,
    Shown,
    Table,
    notes,
)
from mlbench.results import Aggregate, BiasResult, Result, SettingResult, told_apart
from mlbench.statistics.captions import CAPTION_SCORES
from mlbench.statistics.direction import loss
from mlbench.statistics.pool import PoolAnswer
from mlbench.statistics.score import TIES_WORTH_A_WARNING

TRUNCATION_WORTH_A_WARNING = 0.01
"""By how much the shares of the texts of two languages that were cut off may differ without a warning."""
# What people look for first, where the terminal is too narrow for all.
_FIRST = ("R@1", "R@10", "nDCG@10", "RR", "R@100", "RR@10", "Success@10")


def results_report(results: Sequence[Result], *, measure: str | None = None) -> Report:
    """Return the report of one result, or of several with a table across them, whose own parts are then folded.

    `measure` is the one of heat map and languages, by default the primary one of each task; raises `UnknownName` where
    a result does not have it.
    """
    several = len(results) > 1
    documents, results = tuple(results), told_apart(results)
    sections = [_result(place, result, measure, several=several) for place, result in enumerate(results, 1)]
    across = across_table(results, measure=measure, linked=several)
    title = f"{len(results)} results" if several else f"{results[0].retriever.label} on {results[0].task.name}"
    return Report(
        title=title,
        blocks=(
            Section(
                (title,),
                (
                    across,
                    *_other_data(results),
                    Sentence((_MEANS, _BEST), "; ", "soft"),
                    *(_beside(results) if several else ()),
                ),
                "always" if several else "in_papers",
            ),
            *sections,
        ),
        documents=documents,
        several=True,
        records=tuple(record for result in results for record in _records(result, result.settings, measure)),
    )


def _beside(results: Sequence[Result]) -> Iterator[Sentence]:
    """Yield what bias scores are read beside, once for each task."""
    by_task = {result.task.fingerprint: result for result in results if result.bias}
    for result in by_task.values():
        scores = [score for name in _BIAS_SCORES if result.bias and (score := result.bias.score(name))]
        told = told_references(
            (each.name, each.references.get("ideal"), each.references.get("chance")) for each in scores
        )
        yield Sentence((f"{task_label(result)}: {told[0]}", *told[1:]) if told else (), "; ", "soft")


def pools_report(results: Sequence[Result], answers: Sequence[PoolAnswer]) -> Report:
    """Return the report of the answers of pools, each from the result in the same place."""
    pairs = list(zip(told_apart(results), answers, strict=True))
    return Report(
        title=pool_name(answers[0].document_languages),
        blocks=tuple(
            Section(
                title_of(result),
                (_caveats(result), _pool_table(answer), Sentence(tuple(intervals(answer.statistics)), style="soft")),
            )
            for result, answer in pairs
        ),
        documents=tuple(answers),
        several=True,
        records=tuple(record for result, answer in pairs for record in _records(result, answer.settings)),
    )


def _result(place: int, result: Result, asked: str | None, *, several: bool) -> Section:
    measure = shown_measure(result, asked)
    images = caption_map(result, asked)
    pairs = grid(result, measure)
    many = pairs.crosses and not images and len(pairs.languages) > MOST_IN_CELLS
    details: Shown = "folded" if several or many else "always"
    scores = other_scores(result)
    blocks: list[Block] = [
        Sentence(tuple(_details(result)), style="soft"),
        _caveats(result),
        Section(("Means",), (_means(result), *_ceiling_note(result)), titled=False),
        Section(("Language bias",), (*_key_figures(result), *_warnings(result), *_truncation(result)), titled=False),
    ]
    if scores:
        blocks.append(Section(("More bias scores",), (_bias_table(scores), _EXPLAINED), details, titled=False))
    blocks += _of_many(result, pairs) if many else _by_pair(result, pairs, images, details)
    first, *rest = cost(result)
    made = (
        Sentence(tuple(intervals(result.statistics)), style="soft"),
        Sentence((f"cost: {first}", *rest), style="soft"),
    )
    blocks += [Section((), made), _reproduction(result)]
    return Section(title_of(result), tuple(blocks), "in_full" if several else "always", anchor=f"result-{place}")


def _by_pair(result: Result, pairs: Grid, images: HeatMap | None, details: Shown) -> Iterator[Section]:
    """Yield the heat map of every pair of languages, or that of `images`, and on pages the means of each language."""
    name = heading(pairs.measure)
    if images:
        yield Section((f"{images.title[:1].upper()}{images.title[1:]}",), (images,), details, titled=False)
        return
    title = f"{name} by {'pair of languages' if pairs.crosses else 'language'}"
    yield Section((title,), (pair_map(pairs) if pairs.crosses else means_table(pairs),), details, titled=False)
    yield Section((f"{name} by language of the query",), (_languages(result, pairs.measure),), "on_pages")


def _of_many(result: Result, pairs: Grid) -> Iterator[Section]:
    """Yield what is told of many languages: groups, the best and the worst, and on pages the map of all pairs."""
    name = heading(pairs.measure)
    summary = replace(summary_of_groups(pairs, named=name), titled=False, paper=True)
    yield Section((summary.title,), (summary, best_and_worst(pairs)), titled=False)
    measures = [pairs.measure, *(other for other in ordered_measures(result) if other != pairs.measure)]
    cells = pairs.cells.values()
    shown = LanguageMap(
        f"{name} by pair of languages on {result.task.name}",
        tuple(map(language_info, pairs.languages)),
        (_map_layer(pairs), *(_map_layer(grid(result, each)) for each in measures[1:])),
        f"{name} of {len(cells):,} pairs of {count(len(pairs.languages), 'language')}: "
        f"lowest {decimal(min(cells))}, highest {decimal(max(cells))}",
    )
    yield Section((f"{name} by pair of languages",), (shown,), "on_pages")
    yield all_groups(pairs, ColourScale.of(list(pairs.cells.values())), named=name)
    title = f"{name} by language"
    yield Section((title,), (_all_languages(result, pairs),), "folded")


def _map_layer(pairs: Grid) -> MapLayer:
    bounds = pairs.bounds
    low, high = ({pair: getattr(each, end) for pair, each in bounds.items()} for end in ("low", "high"))
    pool = np.array([pairs.pool.get(language, np.nan) for language in pairs.languages])
    return MapLayer(
        heading(pairs.measure),
        ColourScale.of(list(pairs.cells.values())),
        pairs.matrix,
        as_matrix(low, pairs.languages) if bounds else None,
        as_matrix(high, pairs.languages) if bounds else None,
        pool=pool if pairs.pool else None,
    )


def _all_languages(result: Result, pairs: Grid) -> Table:
    """Return a row for each of many languages: what it is, its means, and the bias scores that have a value for it."""
    means, scores = means_table(pairs), _language_scores(result)
    rows = [
        Row(
            Cell(language),
            (
                *(Cell(text) for text in (info.name, info.resources, info.script, info.family)),
                *row.cells,
                *(Cell(written(name, values.get(language))) for name, values in scores.items()),
            ),
        )
        for language, row in zip(pairs.languages, means.rows, strict=False)
        for info in (language_info(language),)
    ]
    about = (Column(title, align="left") for title in ("name", "resources", "script", "family"))
    columns = (*about, *means.columns, *(Column(spoken(name)) for name in scores))
    return Table(means.title, "language", columns, tuple(rows), titled=False)


def _language_scores(result: Result) -> dict[str, dict[str, float | None]]:
    """Return the scores of the bias line that have values for query languages, by name and by language."""
    found = [result.bias.score(name) if result.bias else None for name in headline(result)]
    return {
        score.name: {row.language: row.value for row in score.rows}
        for score in found
        if score is not None and score.rows_by == "query_language"
    }


def _details(result: Result) -> list[str]:
    """Return in a few words each what the retriever and the task are made of."""
    task, retriever = result.task, result.retriever
    found: list[str] = [retriever.kind]
    if retriever.dim is not None:
        found.append(count(retriever.dim, "dimension"))
    if retriever.similarity is not None:
        found.append(retriever.similarity)
    if result.image_text is None:
        found.append(count(len(task.languages), "language"))
        found += [count(_n_queries(result), "query"), count(_n_documents(result), "document")]
    else:
        found += [count(len(task.languages), "caption language"), *sizes(result)]
    if asked_again := repeatability(result):
        found.append(asked_again)
    return [*found, f"primary measure {heading(task.primary_measure)}"]


def _n_queries(result: Result) -> int:
    """Return how many queries have a relevant document in some setting; a query language counts its fullest setting."""
    fullest: dict[str, int] = {}
    for setting in result.settings:
        language = setting.query_language
        fullest[language] = max(fullest.get(language, 0), setting.n_queries)
    return sum(fullest.values())


def _n_documents(result: Result) -> int:
    """Return how many documents the settings search through, each document counted once."""
    found = {setting.document_languages: setting.n_documents for setting in result.settings}
    single = sum(size for languages, size in found.items() if len(languages) == 1)
    return max(single, max(found.values(), default=0))


def _caveats(result: Result) -> Sentence:
    whole = ["its means are not those of the whole task"] if result.task.partial else []
    return Sentence((*caveats(result), *whole), "; ", "warning")


def _warnings(result: Result) -> Iterator[Sentence]:
    ties = result.bias.warning if result.bias else _ties_of_settings(result)
    for warning in filter(None, (ties, unlisted_note(result) if result.bias else None)):
        yield Sentence((f"warning: {warning}",), style="warning")


def _ties_of_settings(result: Result) -> str | None:
    """Return the warning of a result that has no bias scores, whose warning it would be."""
    shares = [each.tied_share for each in result.settings if each.n_queries and (each.unretrieved_share or 0) < 1]
    most = max((share for share in shares if share is not None), default=None)
    if most is None:
        return "it is unknown how many relevant documents tie with another document" if shares else None
    if most <= TIES_WORTH_A_WARNING:
        return None
    return f"up to {most:.1%} of the relevant documents of a setting tie with another document"


def _truncation(result: Result) -> Iterator[Sentence]:
    """Yield for queries and documents how many were cut off, which looks like bias where it differs by language."""
    for role, texts in (("query", "queries"), ("document", "documents"), ("pair", "pairs with documents")):
        rows = [row for row in result.truncated or () if row.role == role and row.n_texts]
        rows.sort(key=lambda row: -row.share)
        if not rows or not rows[0].n_truncated:
            continue
        first, *others = rows
        told = f"{first.share:.1%} of the {texts} in {first.language} ({first.n_truncated:,} of {first.n_texts:,})"
        told += f" were cut at {count(first.max_length or 0, 'token')}"
        if others:
            ends = dict.fromkeys((f"{others[-1].share:.1%}", f"{others[0].share:.1%}"))
            told += f"; {' to '.join(ends)} in other languages"
        if first.share - rows[-1].share > TRUNCATION_WORTH_A_WARNING:
            yield Sentence((f"warning: {told}: what is cut off may look like language bias",), style="warning")
        else:
            yield Sentence((told,), style="soft")


def _other_data(results: Sequence[Result]) -> Iterator[Sentence]:
    """Warn of tasks that have one name and other data: their rows must not be held against each other."""
    data: dict[str, set[str]] = {}
    for result in results:
        data.setdefault(task_label(result), set()).add(result.task.fingerprint)
    for label, fingerprints in data.items():
        if len(fingerprints) > 1:
            short = ", ".join(sorted(each[:8] for each in fingerprints))
            text = f"warning: the results of {label} are of {len(fingerprints)} different data sets ({short})"
            yield Sentence((f"{text}: compare none of one with any of another",), style="warning")


def _ceiling_note(result: Result) -> Iterator[Sentence]:
    if any(_ceiling(row, name) for row in result.aggregates for name in row.measures):
        yield Sentence(("of: the best that any ranking could get",), style="soft")


_EXPLAINED = Section(
    (), (Sentence(("mlbench measures NAME explains each with its formula",), style="soft"),), "on_pages"
)


def _means(result: Result) -> Table:
    """Return the macro means: a row for each kind of settings, the primary measure first."""
    measures = ordered_measures(result)
    rows = [aggregate for aggregate in map(result.aggregate, KINDS) if aggregate is not None]
    return Table(
        "Means of each kind of settings",
        "settings",
        tuple(_measure_column(name, primary=place == 0) for place, name in enumerate(measures)),
        tuple(
            each
            for row in rows
            for each in (
                Row(
                    Cell(f"{spoken(row.kind)} ({n_settings(result, row.kind)})"),
                    tuple(_mean_cell(row, name) for name in measures),
                ),
                *_chance_row(result, row.kind, measures),
            )
        ),
        titled=False,
        narrowest=24,
    )


def _chance_row(result: Result, kind: Kind, measures: Sequence[str]) -> Iterator[Row]:
    """Yield what a random order gets in the hit rates and recalls of captioned images."""
    chances = [hit_chance(result, name, kind) for name in measures]
    if any(chance is not None for chance in chances):
        texts = ["" if chance is None else decimal(chance) for chance in chances]
        yield Row(Cell(f"{CHANCE}, {spoken(kind)}"), tuple(map(Cell, texts)))


def ordered_measures(result: Result) -> list[str]:
    """Return the measures of a result, the primary one first."""
    primary = result.task.primary_measure
    return [primary, *(measure for measure in result.task.measures if measure != primary)]


def _measure_column(measure: str, *, primary: bool) -> Column:
    urgency = 0 if primary else 1 + (_FIRST.index(measure) if measure in _FIRST else len(_FIRST))
    return Column(heading(measure), urgency=urgency, notes_in_files=not primary)


def _mean_cell(row: Aggregate, measure: str) -> Cell:
    return Cell(decimal(row.measures.get(measure)), notes(interval(row.intervals.get(measure))), _ceiling(row, measure))


def _ceiling(aggregate: Aggregate, measure: str) -> str:
    """Write the best that a measure can be, such as ` of .909`; nothing where that is 1 or not known."""
    best = aggregate.ceilings.get(measure)
    return "" if best is None or decimal(best) == decimal(1) else f" of {decimal(best)}"


def _key_figures(result: Result) -> Iterator[KeyFigures]:
    """Yield the quality of the pool beside the bias scores that must be read with it; nothing of a single language."""
    if result.bias is None and len(result.task.languages) == 1:
        return
    quality, bounds = result.figure("AP", pool_kind(result))
    figures = [KeyFigure("mAP", "mAP of the pool", decimal(quality), interval(bounds))]
    if result.bias is None:
        yield KeyFigures("bias", tuple(figures), "no bias scores: no pool of several languages was measured")
        return
    median = result.bias.score(MEDIAN)
    for name in headline(result):
        score = result.bias.score(name)
        if name == MEDIAN:
            continue
        beside = [score_references(score)] if score else []
        aside = ""
        if name == "rank_distance" and median:
            aside = f"median {score_value(median)}"
            random = median.references.get("chance")
            beside += [] if random is None else [f"chance of the median {written(MEDIAN, random)}"]
        figures.append(
            KeyFigure(
                name,
                spoken(name),
                decimal(None) if score is None else score_value(score),
                score_interval(score) if score else "",
                aside,
                ", ".join(filter(None, beside)),
            )
        )
    yield KeyFigures("bias", tuple(figures))


def _bias_table(scores: Sequence[BiasResult]) -> Table:
    """Return bias scores, one to a row, with their floors and chance levels and the languages at the ends."""
    columns = (
        Column("value"),
        Column("interval", align="left", urgency=1),
        Column("reference", align="left"),
        Column("lowest, highest language", align="left"),
    )
    return Table(
        "Bias scores",
        "bias score",
        columns,
        tuple(
            Row(
                Cell(score.name),
                tuple(
                    map(Cell, (score_value(score), score_interval(score), score_references(score), score_ends(score)))
                ),
            )
            for score in scores
        ),
        titled=False,
        narrowest=24,
    )


def pair_map(pairs: Grid) -> HeatMap:
    """Return the heat map of a measure by language of query and document."""
    name = heading(pairs.measure)

    def cell(row: str, column: str) -> HeatCell:
        value, bounds = pairs.value(row, column), pairs.interval(row, column)
        between = f" [{decimal(bounds.low, 4)}, {decimal(bounds.high, 4)}]" if bounds else ""
        exact = "no value" if value is None else f"{name} {decimal(value, 4)}{between}"
        asked = f"{row} queries, {'the pool' if column == POOL else f'{column} documents'}"
        own = row == column != MEAN
        return HeatCell(two_digits(value), value, f"{asked}: {exact}", style="strong" if own else "plain")

    reason = "as query, as document: means of the cross-lingual settings; the heat map needs a wider terminal"
    title = f"{name}: language of the query (rows) by language of the documents (columns)"
    shown = grid_map(pairs, title, ColourScale.of(pairs.values), cell)
    return replace(shown, instead=means_table(pairs), reason=reason)


def _languages(result: Result, measure: str) -> Table:
    """Return the means of each query language, and the bias scores that have a value for each."""
    kinds = [kind for kind in KINDS if result.aggregate(kind)]
    scores = _language_scores(result)
    rows = []
    for language in result.task.languages:
        cells = []
        for kind in kinds:
            mean = result.aggregate(kind, query_language=language)
            value = mean.measures.get(measure) if mean else None
            cells.append(
                Cell(decimal(value), notes(interval(mean.intervals.get(measure)) if mean else ""), share=value)
            )
        told = (Cell(written(name, values.get(language))) for name, values in scores.items())
        rows.append(Row(Cell(language), (*cells, *told)))
    return Table(
        f"{heading(measure)} and bias scores by query language",
        "query language",
        tuple(Column(spoken(name)) for name in (*kinds, *scores)),
        tuple(rows),
        titled=False,
    )


def _reproduction(result: Result) -> Section:
    recorded = result.environment.command is not None
    return Section(
        ("Reproduce and verify",),
        (
            Sentence(("It was made by" if recorded else "Make it again by a command like",)),
            Command(command(result)),
            Sentence(("Every number follows from the ranks beside the result document:",)),
            Command(verification(result)),
            Section(("Retriever, task and run in detail",), provenance(result), "folded"),
        ),
        "on_pages",
    )


# Recall as the hybrid-batch paper reports it (arXiv 2408.10536, section 4).
_RECALL: tuple[tuple[str, Kind], ...] = (("R@1", "monolingual"), ("R@1", "cross_lingual"), ("R@10", "multilingual"))
_BIAS_SCORES = ("own_language_preference", "rank_distance", MEDIAN)
_MEANS = "macro means over the settings of a kind"
_BEST = "bold or *: the best of a task, own language preference nearest to .500"


def across_table(results: Sequence[Result], *, measure: str | None = None, linked: bool = False) -> Table:
    """Set results side by side by `measure`, by default the primary one of each task, recall and bias scores.

    Columns without any value are left out; the best value of each task is strong. With `linked`, retrievers link to
    their results on a page. Raises `UnknownName` for a measure that no result has.
    """
    if measure is not None and not any(measure in result.task.measures for result in results):
        raise UnknownName("measure of these results", measure, {m for r in results for m in r.task.measures})
    quantities = [each for each in _quantities(results, measure) if any(each.value(r) is not None for r in results)]
    columns = [each.cells(results) for each in quantities]
    return Table(
        f"Results: {_MEANS}; bold: the best of a task",
        "retriever",
        (Column("task", align="left", folds=True), *(each.column for each in quantities)),
        tuple(
            Row(
                Cell(result.retriever.label, link=f"#result-{place + 1}" if linked else ""),
                (Cell(task_label(result)), *(cells[place] for cells in columns)),
            )
            for place, result in enumerate(results)
        ),
        titled=False,
        narrowest=16,
        paper=True,
    )


@dataclass(frozen=True)
class _Quantity:
    """What a column shows: a macro mean of `name` over a kind of settings, or without a kind a score of that name."""

    name: str
    kind: Kind | None

    @property
    def column(self) -> Column:
        if self.kind is not None:
            group, title = heading(self.name), SHORT[self.kind]
        else:
            group, title = _GROUPS.get(self.name, (spoken(self.name), ""))
        # Scores of bias must be read beside those of quality, recall is missed least.
        return Column(title, group, urgency=int(self.name.startswith("R@")))

    def value(self, result: Result) -> float | None:
        return result.figure(self.name, self.kind)[0]

    def write(self, value: float | None) -> str:
        return written(self.name, value) if self.kind is None else decimal(value)

    def cells(self, results: Sequence[Result]) -> list[Cell]:
        values = [self.value(result) for result in results]
        return [
            Cell(self.write(value), style="strong" if self._is_best(place, results, values) else "plain")
            for place, value in enumerate(values)
        ]

    def _is_best(self, place: int, results: Sequence[Result], values: Sequence[float | None]) -> bool:
        """Whether no comparable result looks better; a result that nothing can be compared with is not the best."""
        rivals = [
            value
            for result, value in zip(results, values, strict=True)
            if value is not None and result.task.fingerprint == results[place].task.fingerprint
        ]
        own = values[place]
        if len(rivals) < 2 or own is None or (self.name in _BIAS_SCORES and _cut_short(results, place)):
            return False
        losses = {value: lost for value in rivals if (lost := loss(self.name, value)) is not None}
        if not losses:
            return False
        best = min(rivals, key=losses.__getitem__)
        return losses[own] == losses[best] or self.write(own) == self.write(best)


_GROUPS = {"rank_distance": ("rank distance", "mean"), MEDIAN: ("rank distance", "median")}


def _quantities(results: Sequence[Result], measure: str | None) -> Iterator[_Quantity]:
    shown = dict.fromkeys([measure] if measure else [result.task.primary_measure for result in results])
    pairs = [(name, kind) for name in shown for kind in KINDS]
    for name, kind in dict.fromkeys([*pairs, *_RECALL]):
        yield _Quantity(name, kind)
    for name in (*CAPTION_SCORES, *_BIAS_SCORES):
        yield _Quantity(name, None)


def _cut_short(results: Sequence[Result], place: int) -> bool:
    """Whether a list of the same task ends before its pool does: distances of ranks then depend on its depth."""
    return any(
        (setting.unretrieved_share or 0) > 0
        for result in results
        if result.task.fingerprint == results[place].task.fingerprint
        for setting in result.settings
    )


def _pool_table(answer: PoolAnswer) -> Table:
    """Return a row for each query language, then the means and, where it is below 1, their ceiling."""
    by_image = any(setting.query_language == IMAGE for setting in answer.settings)
    measures = [answer.primary_measure, *(m for m in answer.settings[0].measures if m != answer.primary_measure)]
    rows = [
        Row(
            Cell(setting.query_language),
            (
                Cell(f"{setting.n_queries:,}"),
                *(
                    Cell(decimal(setting.measures[name]), notes(interval(setting.intervals.get(name))))
                    for name in measures
                ),
            ),
        )
        for setting in answer.settings
    ]
    means = _pool_means(answer, measures) if len(rows) > 1 or not by_image else ()
    return Table(
        f"{pool_name(answer.document_languages)}: {count(answer.n_documents, 'document')}",
        "asked by" if by_image else "query language",
        (Column("queries"), *(_measure_column(name, primary=place == 0) for place, name in enumerate(measures))),
        (*rows, *means),
        narrowest=24,
    )


def _pool_means(answer: PoolAnswer, measures: Sequence[str]) -> Iterator[Row]:
    """Yield means and ceilings; macro and micro are one row where they are the same to the eye."""
    kinds = dict.fromkeys(aggregate.kind for aggregate in answer.aggregates)
    for kind in kinds:
        found = [aggregate for aggregate in answer.aggregates if aggregate.kind == kind]
        rows = {mean.aggregation: tuple(_cell(mean, name) for name in measures) for mean in found}
        same = len(set(rows.values())) == 1
        for mean in found[:1] if same else found:
            label = "mean" if same else f"{mean.aggregation} mean"
            label = f"{spoken(kind)} {label}" if len(kinds) > 1 else label
            yield Row(Cell(label), (Cell(f"{mean.n_queries:,}"), *rows[mean.aggregation]))
            limits = {name: best for name, best in mean.ceilings.items() if best is not None and best < 1}
            if limits:
                texts = [decimal(limits[name]) if name in limits else "" for name in measures]
                yield Row(Cell(label.replace("mean", "ceiling")), (Cell(), *map(Cell, texts)))


def _cell(mean: Aggregate, measure: str) -> Cell:
    return Cell(decimal(mean.measures.get(measure)), notes(interval(mean.intervals.get(measure))))


def _records(
    result: Result, settings: Sequence[SettingResult], measure: str | None = None
) -> Iterator[dict[str, Scalar]]:
    """Yield every value of some settings of a result, or those of one measure.

    Without a measure, what captions and images have in neither direction follows, as of the kind `image_text`: for each
    caption language, and without a language their mean. The fingerprint is the retriever's.
    """
    names = {
        "task": result.task.name if result.task.limit is None else task_label(result),
        "retriever": result.retriever.label,
        "fingerprint": result.retriever.fingerprint,
    }
    for setting in settings:
        for name, value in setting.measures.items():
            if measure in (None, name):
                bounds = setting.intervals.get(name)
                yield {
                    **names,
                    "kind": setting.kind,
                    "query_language": setting.query_language,
                    "document_languages": "+".join(setting.document_languages),
                    "n_queries": setting.n_queries,
                    "n_documents": setting.n_documents,
                    "measure": name,
                    "value": value,
                    "low": bounds.low if bounds else None,
                    "high": bounds.high if bounds else None,
                }
    found = result.image_text if measure is None and settings is result.settings else None
    for each in (*found.languages, found.mean) if found else ():
        for name in (name for name in CAPTION_SCORES if name in each.intervals):
            bounds = each.intervals[name]
            yield {
                **names,
                "kind": "image_text",
                "query_language": each.language or "",
                "document_languages": IMAGE,
                "n_queries": each.n_captions,
                "n_documents": None,
                "measure": name,
                "value": getattr(each, name),
                "low": bounds.low if bounds else None,
                "high": bounds.high if bounds else None,
            }
