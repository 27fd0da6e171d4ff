"""Results of checkpoints, made by hand."""

from collections.abc import Iterable

from unit.reports.conftest import TRAINING, make_result

from mlbench.results import Aggregate, Bounds, Result

SMALL = make_result(("de", "en", "th"))


def result(
    spec: str = "model",
    *,
    value: float | None = None,
    preference: float | None = None,
    steps: int | None = None,
    recipe: str = "toy",
    finished: str = "2026-11-20T12:00:00+00:00",
    data: str = "f" * 64,
    fingerprint: str = "e" * 64,
) -> Result:
    """Make a result with a value of its own for the monolingual mean."""
    training = TRAINING.model_copy(update={"steps": steps, "recipe": {"name": recipe, "steps": steps}})
    retriever = {"spec": spec, "fingerprint": fingerprint, "training": training if steps is not None else None}
    changed = SMALL.model_copy(
        update={
            "retriever": SMALL.retriever.model_copy(update=retriever),
            "task": SMALL.task.model_copy(update={"fingerprint": data}),
            "cost": SMALL.cost.model_copy(update={"finished_at": finished}),
            "aggregates": tuple(_with_value(each, value) for each in SMALL.aggregates),
        }
    )
    if preference is None or changed.bias is None:
        return changed
    scores = tuple(
        score.model_copy(update={"value": preference}) if score.name == "own_language_preference" else score
        for score in changed.bias.scores
    )
    return changed.model_copy(update={"bias": changed.bias.model_copy(update={"scores": scores})})


def _with_value(aggregate: Aggregate, value: float | None) -> Aggregate:
    if value is None or aggregate.kind != "monolingual" or aggregate.query_language is not None:
        return aggregate
    bounds = Bounds(low=value - 0.02, high=value + 0.01)
    measures = {**aggregate.measures, "AP": value}
    return aggregate.model_copy(update={"measures": measures, "intervals": {**aggregate.intervals, "AP": bounds}})


def filed(results: Iterable[Result]) -> list[tuple[str, Result]]:
    return [(f"{number}.json", each) for number, each in enumerate(results)]


def steps(*values: int, recipe: str = "toy") -> list[Result]:
    return [result(f"ck/step-{n}", value=0.5 + n / 10_000, steps=n, recipe=recipe) for n in values]
