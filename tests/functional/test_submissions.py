"""Spoiled submissions, in a process of its own that may take little memory."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# The profile of hypothesis that looks for new failures tries more of everything.
CASES = 800 if os.environ.get("MLBENCH_TEST_PROFILE") == "nightly" else 300

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits of memory are measured as Linux does")


def submissions(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.functional.submissions", *arguments],
        cwd=ROOT,
        # Each thread of OpenBLAS takes some of the address space.
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


def test_spoiled_submissions_are_refused_in_one_line() -> None:
    done = submissions("--cases", str(CASES))
    assert done.returncode == 0, done.stdout + done.stderr
    rows = {kind: [int(number) for number in rest] for kind, *rest in map(str.split, done.stdout.splitlines()[1:11])}
    assert len(rows) == 10
    for kind, (refused, claims, same, faults, longest, peak) in rows.items():
        assert refused + claims + same == CASES // len(rows), kind
        assert faults == 0
        assert longest < 10_000
        assert peak < 512
    # Nobody can prove what is only said; archives, arrays, counts and records of audits are not said.
    assert sum(claims for _, claims, *_ in rows.values()) < CASES / 10
    assert all(rows[kind][0] == CASES // len(rows) for kind in ("archives", "arrays", "commitments", "files"))
    assert rows["counts"][1] == rows["audits"][1] == 0


def test_a_case_is_the_same_each_time() -> None:
    one, two = (submissions("--only", "numbers-3").stdout.splitlines()[1].split()[:5] for _ in range(2))
    assert one == two
    assert sum(map(int, one[1:4])) == 1
