"""Measures that need whole lists and judgments: ir_measures computes them while the lists are there."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mlbench.collection.languages import Setting
from mlbench.collection.records import Query
from mlbench.errors import MissingExtra, UserError
from mlbench.measures.ranked import FAMILIES, parse
from mlbench.ranking.index_arrays import IndexArrays
from mlbench.ranking.run_files import ListSink, without_itself
from mlbench.results import ListMeasures

if TYPE_CHECKING:
    import ir_measures

Floats = NDArray[np.float64]
DEPTH = 1000
"""How many documents of each list are looked at, as many as runs at TREC have."""
_QUERIES_AT_ONCE = 256


class ListJudge(ListSink):
    """Takes the lists of every setting as they are made, and keeps the measures of each query that need them.

    `names` are those measures. A relevant document beyond the first 1,000 of a list counts as not retrieved.
    """

    def __init__(self, names: Sequence[str], arrays: IndexArrays, settings: Sequence[Setting]) -> None:
        """Raise `MissingExtra` without ir_measures, `UserError` for grades that are no whole numbers."""
        if arrays.collection.grade_scale != 1:
            raise UserError(f"{names[0]} is for judgments whose grades are whole numbers: leave it out")
        if not arrays.collection.subtopics:
            for name in names:
                if FAMILIES[parse(name).family].by_subtopic:
                    raise UserError(
                        f"{name} needs judgments by subtopic: the reader parallel_jsonl has them with the option "
                        "subtopics = true"
                    )
        self.names, self.arrays, self.settings, self.depth = tuple(names), arrays, tuple(settings), DEPTH
        self._measures = [_parsed(name) for name in names]
        self._values: dict[Setting, Floats] = {}

    def write(self, setting: Setting, lists: Iterable[Sequence[str]]) -> None:
        """Measure the lists of a setting, one for each of its queries."""
        queries = self.arrays.collection.queries[setting.query_language]
        found = np.full((len(queries), len(self.names)), np.nan)
        numbered = enumerate(zip(queries, without_itself(self.arrays, setting, lists), strict=True))
        while some := list(islice(numbered, _QUERIES_AT_ONCE)):
            self._measure(setting, some, found)
        self._values[setting] = found

    def values(self, setting: Setting, queries: NDArray[np.int64]) -> Floats:
        """Return the measures of `queries`, indexes of all queries, in a setting; float64 (queries, names)."""
        first = int(np.searchsorted(self.arrays.query_languages, self._language(setting)))
        return self._values[setting][queries - first]

    def describe(self) -> ListMeasures:
        """Return what a result says of these measures."""
        from importlib.metadata import version

        judged = self.arrays.collection.not_relevant.values()
        return ListMeasures(
            names=self.names,
            depth=self.depth,
            judged_not_relevant=sum(len(rows) for rows in judged),
            ir_measures=version("ir-measures"),
        )

    def _language(self, setting: Setting) -> int:
        return self.arrays.collection.languages.index(setting.query_language)

    def _measure(
        self, setting: Setting, some: Sequence[tuple[int, tuple[Query, Sequence[str]]]], found: Floats
    ) -> None:
        import ir_measures

        qrels: list[ir_measures.Qrel] = []
        by_subtopic: list[ir_measures.Qrel] = []
        run: dict[str, dict[str, float]] = {}
        for number, (query, listed) in some:
            judged = list(self._judgments(setting, query))
            if not any(qrel.relevance > 0 for qrel in judged):
                continue
            qrels += judged
            by_subtopic += self._subtopics(setting, query)
            shown = listed[: self.depth]
            found[number] = 0.0
            # ir_measures divides by the length of a list.
            if shown:
                run[query.topic_id] = {doc_id: float(len(shown) - place) for place, doc_id in enumerate(shown)}
        numbers = {query.topic_id: number for number, (query, _) in some}
        columns = {measure: column for column, measure in enumerate(self._measures)}
        for judgments, subtopics in ((qrels, False), (by_subtopic, True)):
            measures = [each for each in self._measures if FAMILIES[each.NAME or ""].by_subtopic == subtopics]
            if not judgments or not measures:
                continue
            # pyndeval loses the lists after the first of several settings.
            for some_measures in [[each] for each in measures] if subtopics else [measures]:
                for metric in ir_measures.iter_calc(some_measures, judgments, run):
                    found[numbers[metric.query_id], columns[metric.measure]] = metric.value

    def _judgments(self, setting: Setting, query: Query) -> Iterator["ir_measures.Qrel"]:
        import ir_measures

        collection = self.arrays.collection
        itself = collection.itself(setting.query_language, query.topic_id)
        relevant = collection.judged(setting.query_language, query.topic_id)
        for language, doc_id, grade in (*relevant, *collection.not_relevant.get(query.topic_id, ())):
            if language in setting.document_languages and doc_id not in itself:
                yield ir_measures.Qrel(query.topic_id, doc_id, grade)

    def _subtopics(self, setting: Setting, query: Query) -> Iterator["ir_measures.Qrel"]:
        import ir_measures

        collection = self.arrays.collection
        itself = collection.itself(setting.query_language, query.topic_id)
        for language, doc_id, subtopic, grade in collection.subtopics.get(query.topic_id, ()):
            if language in setting.document_languages and doc_id not in itself:
                yield ir_measures.Qrel(query.topic_id, doc_id, grade, subtopic)


def judge_of(measures: Sequence[str], arrays: IndexArrays, settings: Sequence[Setting]) -> ListJudge | None:
    """Return what computes those of the measures that do not follow from ranks; None where all do."""
    names = [name for name in measures if not parse(name).is_derived]
    return ListJudge(names, arrays, settings) if names else None


def _parsed(name: str) -> "ir_measures.Measure":
    try:
        import ir_measures
    except ImportError as error:
        raise MissingExtra(f"measures such as {name}", "ir-measures") from error
    measure = ir_measures.parse_measure(name)
    if not ir_measures.DefaultPipeline.supports(measure):  # type: ignore[no-untyped-call]
        if FAMILIES[parse(name).family].by_subtopic:
            raise MissingExtra(f"measures such as {name}", "ir-measures")
        raise UserError(f"{name} is not computed: nothing that ir_measures uses knows these parameters together")
    return measure
