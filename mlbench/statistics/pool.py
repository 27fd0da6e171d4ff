"""The measures of a pool that a run was not asked for, from the ranks that it saved."""

from collections.abc import Sequence
from dataclasses import replace

from mlbench.collection.languages import IMAGE, Setting, find_language
from mlbench.errors import UserError
from mlbench.io.document import DocumentPart
from mlbench.ranking.ranks import Ranks
from mlbench.results import Aggregate, Result, SettingResult, Statistics, spoken_means
from mlbench.statistics.cluster_scores import ScoreRequest
from mlbench.statistics.score import score


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


def answer_pool(
    result: Result, ranks: Ranks, document_languages: Sequence[str], *, measure: str | None = None
) -> PoolAnswer:
    """Compute the measures of a pool, asked in each of its languages; a pool of one language is asked in all.

    With captioned images, a pool of captions is asked by images, and that of the images by captions of all languages.
    `ranks` are those of the result. `measure` is computed in place of the task's; it may be one that the task does not
    have. Intervals are made as the result's are. Raises `UserError` for no or an unknown language, and for a pool that
    a ranker was not asked for.
    """
    if isinstance(document_languages, str):
        raise UserError(f"document languages must be a list of tags, such as [{document_languages!r}]")
    known = (*result.task.languages, IMAGE)
    pool = tuple(sorted({find_language(tag, known) or tag for tag in document_languages}))
    asked: Sequence[str] = pool if len(pool) > 1 else result.task.languages
    if ranks.has_images and pool != (IMAGE,):
        if IMAGE in pool:
            raise UserError("captions and images are no pool: ask for captions, such as de,en, or for image alone")
        asked = (IMAGE,)
    scores = score(
        ranks,
        replace(
            ScoreRequest.of_result(result),
            settings=tuple(Setting(language, pool) for language in asked),
            measures=result.task.measures if measure is None else (measure,),
            primary_measure=measure or result.task.primary_measure,
            bias_scores=(),
        ),
    )
    return PoolAnswer(
        task=result.task.name,
        retriever=result.retriever.label,
        document_languages=pool,
        n_documents=scores.settings[0].n_documents,
        primary_measure=measure or result.task.primary_measure,
        settings=scores.settings,
        aggregates=tuple(aggregate for aggregate in scores.aggregates if aggregate.query_language is None),
        statistics=scores.statistics,
    )
