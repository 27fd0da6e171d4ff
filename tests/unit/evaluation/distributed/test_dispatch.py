import heapq
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import count
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlbench.errors import EngineError
from mlbench.evaluation.distributed.dispatch import (
    HASTE,
    LOSSES,
    ItemDone,
    WorkerLost,
    WorkerReady,
    WorkQueue,
    dispatch,
)

Fate = tuple[float, bool]
"""How many seconds an attempt takes, and whether the worker is lost then."""


class Simulation:
    """A crew in a time of its own: `fate(item, attempt)` decides what becomes of each attempt, `starts` of starts."""

    def __init__(
        self, workers: int, fate: Callable[[str, int], Fate], starts: Callable[[int], bool] = lambda start: True
    ) -> None:
        self.now = 0.0
        self.attempts = Counter[str]()
        self.given: list[tuple[float, int, str]] = []
        self.hired = set(range(workers))
        self._fate, self._starts = fate, starts
        self._order, self._start = count(), count()
        self._events: list[tuple[float, int, WorkerReady | ItemDone[str] | WorkerLost]] = []
        for worker in range(workers):
            self.replace(worker)

    def __len__(self) -> int:
        return len(self.hired)

    def replace(self, worker: int) -> None:
        self.hired.add(worker)
        starts = self._starts(next(self._start))
        self._later(1.0, WorkerReady(worker) if starts else WorkerLost(worker, "fell over"))

    def give(self, worker: int, item: str) -> None:
        attempt = self.attempts[item]
        self.attempts[item] += 1
        self.given.append((self.now, worker, item))
        seconds, lost = self._fate(item, attempt)
        self._later(seconds, WorkerLost(worker, "fell over") if lost else ItemDone(worker, item.upper()))

    def wait(self, seconds: float | None) -> Sequence[WorkerReady | ItemDone[str] | WorkerLost]:
        time = self._events[0][0] if self._events else inf
        assert min(time, inf if seconds is None else self.now + seconds) < inf, "this would never end"
        if seconds is not None and self.now + seconds < time:
            self.now += seconds
            return []
        self.now = time
        happened = []
        while self._events and self._events[0][0] == time:
            happened.append(heapq.heappop(self._events)[2])
        self.hired -= {event.worker for event in happened if isinstance(event, WorkerLost)}
        return happened

    def _later(self, seconds: float, event: WorkerReady | ItemDone[str] | WorkerLost) -> None:
        heapq.heappush(self._events, (self.now + seconds, next(self._order), event))

    def run(
        self, items: Sequence[str], notes: list[str] | None = None, *, overtakes: bool = True
    ) -> list[tuple[int, str]]:
        note = ([] if notes is None else notes).append
        return list(dispatch(self, items, note, overtakes=overtakes, clock=lambda: self.now))


def names(number: int) -> list[str]:
    return [f"item {n}" for n in range(number)]


def upper(items: Sequence[str]) -> list[tuple[int, str]]:
    return [(number, item.upper()) for number, item in enumerate(items)]


def test_items_are_given_in_turn_to_whoever_is_ready() -> None:
    crew = Simulation(2, lambda item, attempt: (3.0 if item == "item 0" else 1.0, False))
    assert crew.run(names(4)) == [(1, "ITEM 1"), (2, "ITEM 2"), (0, "ITEM 0"), (3, "ITEM 3")]
    assert crew.given[:4] == [(1.0, 0, "item 0"), (1.0, 1, "item 1"), (2.0, 1, "item 2"), (3.0, 1, "item 3")]
    assert crew.now == 4.0


def test_nothing_waits_for_whoever_looks_at_the_answers() -> None:
    crew = Simulation(2, lambda item, attempt: (1.0, False))
    next(dispatch(crew, names(4), print, clock=lambda: crew.now))
    assert [item for _, _, item in crew.given] == names(4)


class TestLoss:
    def test_what_a_lost_worker_had_is_done_next(self) -> None:
        notes: list[str] = []
        crew = Simulation(2, lambda item, attempt: (1.5 if attempt else 1.0, item == "item 0" and attempt < 2))
        assert sorted(crew.run(names(5), notes)) == upper(names(5))
        assert [item for _, _, item in crew.given[:4]] == ["item 0", "item 1", "item 0", "item 2"]
        assert crew.attempts == {**dict.fromkeys(names(5), 1), "item 0": 3}
        assert notes == ["warning: a worker was lost at item 0: it fell over"] * 2

    def test_an_item_that_loses_three_workers_is_given_up(self) -> None:
        crew = Simulation(4, lambda item, attempt: (1.0, item == "item 2"))
        with pytest.raises(EngineError, match=r"^item 2: 3 workers were lost over it, .*fell over.*fewer --workers"):
            crew.run(names(20))
        assert crew.attempts["item 2"] == LOSSES

    @pytest.mark.parametrize("workers", [1, 2, 5])
    def test_workers_that_never_get_ready_are_given_up(self, workers: int) -> None:
        notes: list[str] = []
        with pytest.raises(EngineError, match=r"^no worker gets ready, the last one fell over: if memory ran out"):
            Simulation(workers, lambda item, attempt: (1.0, False), lambda start: False).run(names(9), notes)
        # No more than two are tried again.
        assert LOSSES <= len(notes) <= workers + LOSSES - 1
        assert set(notes) == {"warning: a worker was lost: it fell over"}

    def test_whoever_gets_ready_does_the_work_where_there_is_no_room_for_more(self) -> None:
        crew = Simulation(8, lambda item, attempt: (1.0, False), lambda start: start in (2, 5))
        assert sorted(crew.run(names(9))) == upper(names(9))
        assert {worker for _, worker, _ in crew.given} == {2, 5}


class TestStragglers:
    def test_an_item_that_never_ends_is_given_to_another(self) -> None:
        crew = Simulation(2, lambda item, attempt: (inf if item == "item 0" and not attempt else 4.0, False))
        assert sorted(crew.run(names(4))) == upper(names(4))
        # Begun at 1.0, it is late after twice 4.0.
        assert crew.given[-1] == (13.0, 1, "item 0")

    def test_it_is_not_given_away_before_it_is_late(self) -> None:
        crew = Simulation(2, lambda item, attempt: (7.5 if item == "item 1" else 4.0, False))
        assert sorted(crew.run(names(2))) == upper(names(2))
        assert len(crew.given) == 2
        assert crew.now == 8.5

    def test_quick_items_are_given_time(self) -> None:
        crew = Simulation(2, lambda item, attempt: (HASTE * 0.9 if item == "item 1" else 0.01, False))
        assert sorted(crew.run(names(2))) == upper(names(2))
        assert len(crew.given) == 2

    def test_the_slower_answer_is_left_out(self) -> None:
        # The second attempt is slower than the first one turns out to be, and its worker goes on to nothing.
        crew = Simulation(3, lambda item, attempt: ({"item 0": 9.0, "item 1": 30.0}.get(item, 4.0) + attempt, False))
        assert sorted(crew.run(names(6))) == upper(names(6))
        assert crew.attempts["item 1"] == 2

    def test_no_item_is_given_to_three(self) -> None:
        crew = Simulation(5, lambda item, attempt: (99.0 if item == "item 0" else 1.0, False))
        assert sorted(crew.run(names(6))) == upper(names(6))
        assert crew.attempts["item 0"] == 2

    def test_none_is_overtaken_where_that_is_forbidden(self) -> None:
        crew = Simulation(
            5, lambda item, attempt: (99.0 if item == "item 0" else 1.0, item == "item 1" and not attempt)
        )
        assert sorted(crew.run(names(6), overtakes=False)) == upper(names(6))
        assert crew.attempts == {**dict.fromkeys(names(6), 1), "item 1": 2}

    def test_it_goes_on_where_one_of_two_is_lost(self) -> None:
        fates = {("item 0", 0): (inf, False), ("item 0", 1): (1.0, True)}
        crew = Simulation(2, lambda item, attempt: fates.get((item, attempt), (1.0, False)))
        notes: list[str] = []
        assert sorted(crew.run(names(3), notes)) == upper(names(3))
        assert crew.attempts["item 0"] == 3
        assert len(notes) == 1


@st.composite
def histories(draw: st.DrawFn) -> tuple[int, list[list[Fate]], list[bool]]:
    """How many workers, what becomes of the first attempts at each item, and of starts; fewer hang than there are."""
    workers, size = draw(st.integers(1, 5)), draw(st.integers(1, 15))
    seconds = st.floats(0.01, 5.0)
    fates = [draw(st.lists(st.tuples(seconds, st.booleans()), max_size=6)) for _ in range(size)]
    for item in draw(st.sets(st.integers(1, max(1, size - 1)), max_size=workers - 1)):
        if item < size:
            fates[item] = [(inf, False)]
    return workers, fates, draw(st.lists(st.booleans(), max_size=10))


@pytest.mark.slow
@given(histories())
def test_whatever_happens_every_item_is_answered_once_or_one_is_given_up(
    history: tuple[int, list[list[Fate]], list[bool]],
) -> None:
    workers, fates, starts = history
    items, lost = names(len(fates)), Counter[str]()

    def fate(item: str, attempt: int) -> Fate:
        given = fates[items.index(item)]
        seconds, is_lost = given[attempt] if attempt < len(given) else (1.0, False)
        lost[item] += is_lost
        return seconds, is_lost

    # Starts fail at most twice in a row.
    crew = Simulation(workers, fate, lambda start: start % LOSSES == 0 or start >= len(starts) or starts[start])
    doomed = {item for item, given in zip(items, fates, strict=True) if sum(is_lost for _, is_lost in given) >= LOSSES}
    answers, given_up = [], ""
    try:
        answers = crew.run(items)
    except EngineError as error:
        given_up = str(error).partition(":")[0]
    assert given_up in doomed or sorted(answers) == upper(items)
    assert max(lost.values(), default=0) <= LOSSES + 1
    assert all(attempts <= LOSSES + 2 for attempts in crew.attempts.values())


def test_a_board_counts_what_is_left() -> None:
    board = WorkQueue(2)
    assert [board.assign(worker, 0.0) for worker in (7, 8, 9)] == [0, 1, None]
    assert board.patience(0.0) is None
    assert (board.finish(7, 3.0), board.unfinished) == (0, 1)
    assert board.patience(4.0) == 2.0
    assert board.assign(9, 5.9) is None
    assert board.assign(9, 6.0) == 1
    assert board.patience(6.0) is None
    assert (board.lose(8), board.losses(1)) == (1, 1)
    assert (board.finish(9, 8.0), board.unfinished) == (1, 0)
    assert board.lose(7) is None
