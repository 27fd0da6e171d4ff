"""What the page about the leaderboard says of tasks, measures and bias scores."""

from collections.abc import Sequence
from dataclasses import dataclass

from mlbench.bias import BIAS_SCORES
from mlbench.leaderboard.columns import IMAGE_MEASURES, MEASURES, title
from mlbench.leaderboard.overview import facts
from mlbench.leaderboard.standings import Standings
from mlbench.measures import EXPLANATIONS
from mlbench.report.notation import spoken
from mlbench.scoring.image_text import EXPLANATIONS as CAPTIONS
from mlbench.tasks import load_task, task_names


@dataclass(frozen=True)
class TaskNote:
    """A task of the leaderboard; licence and homepage are those of its data, empty where they are not known."""

    name: str
    facts: str
    fingerprint: str
    licence: str
    licence_url: str
    homepage: str


@dataclass(frozen=True)
class Term:
    """A measure or a bias score: by what name it is linked, how it is shown, what it is and where it comes from."""

    name: str
    title: str
    summary: str
    formula: str
    source: str


@dataclass(frozen=True)
class About:
    """What the page explains; `captions` are the scores of captioned images, where a task has such."""

    tasks: Sequence[TaskNote]
    measures: Sequence[Term]
    scores: Sequence[Term]
    captions: Sequence[Term]


def about(every: Sequence[Standings]) -> About:
    """Return what is explained of these tasks; measures of texts and bias scores are always explained."""
    families = {name.partition("@")[0]: name for name in EXPLANATIONS}
    has_images = any(each.result and each.result.image_text for each in every)
    measures = []
    shown = (*MEASURES, *(IMAGE_MEASURES if has_images else ()))
    for name in dict.fromkeys(families[measure.partition("@")[0]] for measure in shown):
        each = EXPLANATIONS[name]
        measures.append(Term(name, title(name), each.summary, each.formula, each.source))
    scores = [Term(name, name, each.summary, each.formula, each.source) for name, each in BIAS_SCORES.items()]
    captions = [
        Term(name, spoken(name), each.summary, each.formula, each.source)
        for name, each in CAPTIONS.items()
        if has_images
    ]
    return About([_task_note(standings) for standings in every if standings.result], measures, scores, captions)


def _task_note(standings: Standings) -> TaskNote:
    shipped = load_task(standings.task) if standings.task in task_names() else None
    return TaskNote(
        name=standings.task,
        facts=facts(standings),
        fingerprint=standings.result.task.fingerprint if standings.result else "",
        licence=shipped.licence if shipped else "",
        licence_url=shipped.licence_url if shipped else "",
        homepage=shipped.homepage if shipped else "",
    )
