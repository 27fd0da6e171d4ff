"""The board that this project keeps: who is on it, and that an entry is what its command measures again."""

from pathlib import Path

import pytest
from command_line import CommandLine

from mlbench.evaluation.verify import read_pair, recompute
from mlbench.leaderboard.board import Board
from mlbench.results import Result

BOARD = Board(Path(__file__).parents[2] / "leaderboard")
VERIFIED = {"mlbench-static", "hashing", "all-minilm-l6-v2", "static-x-x-mono", "static-hybrid", "static-x-y"}
OF_ONE_RUN = {"cost", "environment"}
REPORTED = {
    f"elmahdy-2024-{base}-{batches}" for base in ("xlm-r", "labse") for batches in ("x-x-mono", "x-y", "hybrid")
}


def test_has_the_entries_that_its_readers_expect() -> None:
    assert set(BOARD.entry_names()) >= VERIFIED | REPORTED
    for name in VERIFIED:
        assert {path.stem for path in BOARD.entry_folder(name).glob("*-r.json")} == {"xquad-r", "mlqa-r"}


@pytest.mark.data
def test_an_entry_is_measured_again(mlbench: CommandLine) -> None:
    stated, ranks = read_pair(BOARD.entry_folder("mlbench-static") / "mlqa-r.json")
    one, two = (measured_by(mlbench, n_threads) for n_threads in (1, 2))
    assert one.retriever.fingerprint == stated.retriever.fingerprint
    assert one.model_dump(exclude=OF_ONE_RUN) == two.model_dump(exclude=OF_ONE_RUN)
    # Another kind of processor may give other last bits.
    assert not recompute(one, ranks).differences


def measured_by(mlbench: CommandLine, n_threads: int) -> Result:
    threads = {"OMP_NUM_THREADS": str(n_threads), "OPENBLAS_NUM_THREADS": str(n_threads)}
    done = mlbench.process("run", "-q", "--json", "--task", "mlqa-r", environment=threads)
    assert done.code == 0, done.err
    return Result.model_validate_json(done.out)
