"""The measures and pools that a run was not asked for, from the ranks that it saved."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

from mlbench.collection.languages import IMAGE, Setting, find_language
from mlbench.errors import UserError
from mlbench.io.document import DocumentPart
from mlbench.measures.ranked import parse
from mlbench.ranking.ranks import Ranks, can_answer
from mlbench.results import Aggregate, ByMeasure, Result, SettingResult, Statistics, spoken_means
from mlbench.statistics.cluster_scores import ScoreRequest
from mlbench.statistics.score import score

_Part = TypeVar("_Part", SettingResult, Aggregate)


class PoolAnswer(DocumentPart):
    """One pool: a setting for each query language, and macro and micro means for each kind of settings."""

    task: str
    retriever: str
    document_languages: tuple[str, ...]
    n_documents: int
    primary_measure: str
    settings: tuple[SettingResult, ...]
    aggregates: tuple[Aggregate, ...]
    statistics: Statistics

    def __repr__(self) -> str:
        """Say in one line what was asked, and the macro means of the primary measure."""
        means = spoken_means(self.primary_measure, self.aggregates)
        return f"Pool {','.join(self.document_languages)} of {self.retriever} on {self.task}: {means}"


def with_measure(result: Result, ranks: Ranks, measure: str) -> Result:
    """Return a result with one more measure in its settings and means; `ranks` are those of the result.

    `measure` may have any of its names. A result that has it is returned as it is. Raises `UserError` for one that does
    not follow from ranks.
    """
    name = parse(measure).name
    if name in result.task.measures:
        return result
    request = replace(ScoreRequest.of_result(result), bias_scores=())
    found = score(ranks, replace(request, measures=(name,), primary_measure=name))
    settings = zip(result.settings, found.settings, strict=True)
    aggregates = zip(result.aggregates, found.aggregates, strict=True)
    return result.model_copy(
        update={
            "task": result.task.model_copy(update={"measures": (name, *result.task.measures)}),
            "settings": tuple(_joined(one, other, ("measures", "intervals")) for one, other in settings),
            "aggregates": tuple(
                _joined(one, other, ("measures", "intervals", "ceilings")) for one, other in aggregates
            ),
        }
    )


def _joined(one: _Part, other: _Part, fields: Sequence[str]) -> _Part:
    """Return a part of a result with what another one has by measure."""
    return one.model_copy(update={name: ByMeasure(getattr(one, name) | getattr(other, name)) for name in fields})


def answer_pool(
    result: Result, ranks: Ranks, document_languages: Sequence[str], *, measure: str | None = None
) -> PoolAnswer:
    """Compute the measures of a pool, asked in each of its languages; a pool of one language is asked in all.

    With captioned images, a pool of captions is asked by images, and that of the images by captions of all languages.
    `ranks` are those of the result. `measure` is computed in place of the task's; it may be one that the task does not
    have, by any of its names. Intervals are made as the result's are. Raises `UserError` for no or an unknown language,
    and for a pool that a ranker, or a run that kept the counts of its settings alone, was not asked for.
    """
    name = None if measure is None else parse(measure).name
    if isinstance(document_languages, str):
        raise UserError(f"document languages must be a list of tags, such as [{document_languages!r}]")
    tags = (*result.task.languages, IMAGE)
    pool = tuple(sorted({find_language(tag, tags) or tag for tag in document_languages}))
    asked: Sequence[str] = pool if len(pool) > 1 else result.task.languages
    if ranks.has_images and pool != (IMAGE,):
        if IMAGE in pool:
            raise UserError("captions and images are no pool: ask for captions, such as de,en, or for image alone")
        asked = (IMAGE,)
    known = set(pool) <= set(ranks.languages.tolist())
    if ranks.is_compact and result.retriever.kind == "encoder" and pool and known and not can_answer(ranks, pool):
        raise UserError(
            f"the pool {','.join(pool)} was not asked for in this run, whose ranks answer its own settings alone: "
            "measure again with --pools any"
        )
    request = ScoreRequest.of_result(result)
    scores = score(
        ranks,
        replace(
            request,
            settings=tuple(Setting(language, pool) for language in asked),
            measures=request.measures if name is None else (name,),
            primary_measure=name or result.task.primary_measure,
            bias_scores=(),
        ),
    )
    return PoolAnswer(
        task=result.task.name,
        retriever=result.retriever.label,
        document_languages=pool,
        n_documents=scores.settings[0].n_documents,
        primary_measure=name or result.task.primary_measure,
        settings=scores.settings,
        aggregates=tuple(aggregate for aggregate in scores.aggregates if aggregate.query_language is None),
        statistics=scores.statistics,
    )
