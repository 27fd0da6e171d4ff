"""Gate files: what they mean, and every fault of one in a single message."""

from pathlib import Path

import pytest

from mlbench.compare.gate import BOUNDED, DEFAULT, RISING, Drops, Gate, load_gate
from mlbench.errors import DataError, InvalidGate

EXAMPLE = """
rule = "point"
level = 0.01
required_tasks = ["xquad-r"]

[drop.mAP]
monolingual = 0.005
query_languages = 1

[rise]
own_language_preference = 0.01

[floor.AP.monolingual]
de = 0.5
mean = 0.55
"*" = 0.3

[ceiling]
rank_distance = 6000

[task.mlqa-r.drop.primary]
monolingual = 0.02
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "gate.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_is_read_as_it_says(tmp_path: Path) -> None:
    gate = load_gate(written(tmp_path, EXAMPLE))
    assert (gate.rule, gate.level, gate.required_tasks) == ("point", 0.01, ("xquad-r",))
    assert gate.drop == {"AP": Drops(monolingual=0.005, query_languages=1.0)}
    assert gate.floor == {"AP": {"monolingual": {"de": 0.5, "mean": 0.55, "*": 0.3}}}
    assert (gate.rise, gate.ceiling) == ({"own_language_preference": 0.01}, {"rank_distance": 6000.0})
    assert gate.task["mlqa-r"].drop == {"primary": Drops(monolingual=0.02)}
    assert Gate.model_validate_json(gate.model_dump_json()) == gate
    assert Gate.model_validate(gate.model_dump()) == gate


def test_without_lines_those_of_the_default_hold(tmp_path: Path) -> None:
    assert load_gate(None) == DEFAULT
    strict = load_gate(written(tmp_path, 'rule = "non_inferior"\nrequired_tasks = ["a"]'), {("level",): 0.1})
    assert strict == DEFAULT.model_copy(update={"rule": "non_inferior", "level": 0.1, "required_tasks": ("a",)})
    # A line for one task is a line.
    assert load_gate(written(tmp_path, "[task.a.ceiling]\nrank_distance = 1")).drop == {}


def test_options_change_a_file_or_are_the_gate(tmp_path: Path) -> None:
    changes = {
        ("rule",): "significant",
        ("drop", "AP", "monolingual"): 0.5,
        ("ceiling", "rank_distance"): 7.0,
        ("required_tasks",): ["more"],
    }
    alone = load_gate(None, changes)
    assert (alone.drop, alone.rise) == ({"AP": Drops(monolingual=0.5)}, {})
    text = "[drop.AP]\nmonolingual = 0.1\nmultilingual = 0.2\n[ceiling]\nmax_rank = 3\n"
    both = load_gate(written(tmp_path, 'required_tasks = ["one"]\n' + text), changes)
    assert both.drop == {"AP": Drops(monolingual=0.5, multilingual=0.2)}
    assert both.ceiling == {"max_rank": 3.0, "rank_distance": 7.0}
    assert both.required_tasks == ("one", "more")


def test_intervals_are_as_wide_as_the_rule_needs() -> None:
    assert Gate(level=0.01).confidence == 0.99
    assert Gate(rule="non_inferior", level=0.01).confidence == 0.98
    assert all(gate.confidence > 0 for gate in (Gate(level=0.49), Gate(level=0.49, rule="non_inferior")))


def test_every_fault_is_told_at_once(tmp_path: Path) -> None:
    text = """
    level = 0.5
    rul = "point"
    [drop.APP]
    monolingual = -1
    [drop.AP]
    mono = 0.1
    multilingual = "no"
    cross_lingual = nan
    [rise]
    max_rank_norm = 0.1
    [floor.AP.mono]
    de = 0.1
    [floor.AP.monolingual]
    jp = 0.1
    [ceiling]
    rank_distanc = 1
    worst_language = 0
    [task.a]
    rule = "point"
    """
    with pytest.raises(InvalidGate) as raised:
        load_gate(written(tmp_path, text), {("rule",): "sharp"})
    message = str(raised.value)
    assert message.startswith(f"{tmp_path / 'gate.toml'} with the options: ")
    assert "\n" not in message
    expected = (
        "level: input should be less than 0.5",
        "rul: unknown key: did you mean rule?",
        "drop.APP: unknown measure 'APP': did you mean AP",
        "drop.APP.monolingual: input should be greater than or equal to 0, not -1",
        "drop.AP.mono: unknown key: did you mean monolingual?",
        "drop.AP.multilingual: input should be a valid number, not 'no'",
        "drop.AP.cross_lingual: input should be a finite number",
        "rise.max_rank_norm: unknown",
        "floor.AP.mono: unknown value 'mono'",
        "floor.AP.monolingual.jp: 'jp' is not a language tag",
        "ceiling.rank_distanc: unknown bias score",
        "ceiling.worst_language: unknown bias score",
        "task.a.rule: unknown key",
        "rule: unknown value 'sharp'",
    )
    for fault in expected:
        assert sum(found.startswith(fault) for found in raised.value.faults) == 1, fault
    assert len(raised.value.faults) == len(expected)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[drop.AP]\nmonolingual=1\n[drop.mAP]\nmultilingual=1", "drop: 'AP' and 'mAP' are one measure"),
        ("[task.a.floor.MRR.monolingual]\nde=1\n[task.a.floor.RR.monolingual]\nth=1", "task.a.floor: 'MRR' and 'RR'"),
        ("drop = 3", "drop: must be a table, not 3"),
        ("[drop]\nAP = 0.1", "drop.AP: must be a table"),
        ("required_tasks = 3", "required_tasks: must be a list"),
        ("[rise", "not valid TOML"),
    ],
)
def test_faults(text: str, fault: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidGate) as raised:
        load_gate(written(tmp_path, text), {("drop", "AP", "monolingual"): 0.1})
    assert any(found.startswith(fault) for found in raised.value.faults), raised.value.faults


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gate\.toml cannot be read: No such file"):
        load_gate(tmp_path / "gate.toml")


@pytest.mark.parametrize("score", RISING)
def test_every_score_that_may_not_rise_can_be_declared(score: str) -> None:
    assert load_gate(None, {("rise", score): 0.1}).rise == {score: 0.1}


@pytest.mark.parametrize("what", ["rise", "ceiling"])
@pytest.mark.parametrize("score", ["rank_distance_log2", "rank_spread", "max_rank_norm", "complete@20"])
def test_no_gate_bounds_what_a_better_system_raises_or_what_has_no_direction(what: str, score: str) -> None:
    with pytest.raises(InvalidGate) as raised:
        load_gate(None, {(what, score): 0.1})
    assert raised.value.faults[0].startswith(f"{what}.{score}: unknown bias score that")


def test_what_can_be_bounded() -> None:
    assert RISING == (
        "own_language_preference",
        "rank_distance",
        "max_rank",
        "same_language_first",
        "removal_gap",
        "own_language_exposure",
    )
    assert set(BOUNDED) == {*RISING, "rank_distance_median", "language_prior"}
