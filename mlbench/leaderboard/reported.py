"""Numbers that a source reports: whether they can be of the task that they are said to be of."""

from mlbench.bias import BIAS_SCORES
from mlbench.errors import UserError
from mlbench.leaderboard.accepted import AcceptedTask
from mlbench.leaderboard.entries import ReportedTask, ReportedValue
from mlbench.measures import parse


def reported_fault(reported: ReportedTask, accepted: AcceptedTask) -> str:
    """Say which reported number cannot be one of the accepted task, or nothing."""
    if not reported.values:
        return f"{reported.task}: it reports no number"
    met = set()
    for index, value in enumerate(reported.values):
        place = f"{reported.task}: values[{index}]"
        if fault := _value_fault(value, accepted):
            return f"{place} {fault}"
        key = (value.name, value.kind, value.query_language)
        if key in met:
            return f"{place} is reported twice"
        met.add(key)
    return ""


def _value_fault(value: ReportedValue, accepted: AcceptedTask) -> str:
    if value.query_language is not None and value.query_language not in accepted.task.languages:
        return f"is of a language that {accepted.task.name} has not"
    if value.kind is not None and value.kind not in {setting.kind for setting in accepted.settings}:
        return f"is of settings that {accepted.task.name} has not"
    if value.kind is None:
        return _bias_fault(value, accepted)
    if not _is_measure(value.name):
        return f"is of an unknown measure {value.name!r}"
    return "" if 0 <= value.value <= 1 else f"is {value.value:g}, which no {value.name} can be: write a fraction"


def _bias_fault(value: ReportedValue, accepted: AcceptedTask) -> str:
    if value.name not in BIAS_SCORES:
        return f"has no kind and is of an unknown bias score {value.name!r}"
    largest = max(setting.n_documents for setting in accepted.settings)
    return "" if abs(value.value) <= largest else f"is {value.value:g}, more than there are documents"


def _is_measure(name: str) -> bool:
    try:
        return parse(name).name == name
    except UserError:
        return False
