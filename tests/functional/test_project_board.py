"""The board that this project keeps: who is on it, and that an entry is what its command measures again."""

from pathlib import Path

import pytest
from command_line import CommandLine

from mlbench.evaluation.verify import read_pair
from mlbench.leaderboard.board import Board
from mlbench.results import Result

BOARD = Board(Path(__file__).parents[2] / "leaderboard")
VERIFIED = {"mlbench-static", "hashing", "all-minilm-l6-v2", "static-x-x-mono", "static-hybrid", "static-x-y"}
REPORTED = {
    f"elmahdy-2024-{base}-{batches}" for base in ("xlm-r", "labse") for batches in ("x-x-mono", "x-y", "hybrid")
}


def test_has_the_entries_that_its_readers_expect() -> None:
    assert set(BOARD.entry_names()) >= VERIFIED | REPORTED
    for name in VERIFIED:
        assert {path.stem for path in BOARD.entry_folder(name).glob("*-r.json")} == {"xquad-r", "mlqa-r"}


@pytest.mark.data
def test_an_entry_is_measured_again(mlbench: CommandLine) -> None:
    stated, _ = read_pair(BOARD.entry_folder("mlbench-static") / "mlqa-r.json")
    # The last bits of sums depend on the number of threads that numpy is imported with; entries were made with two.
    threads = {"OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"}
    done = mlbench.process("run", "-q", "--json", "--task", "mlqa-r", environment=threads)
    assert done.code == 0, done.err
    again = Result.model_validate_json(done.out)
    assert again.retriever.fingerprint == stated.retriever.fingerprint
    assert (again.settings, again.aggregates, again.bias) == (stated.settings, stated.aggregates, stated.bias)
