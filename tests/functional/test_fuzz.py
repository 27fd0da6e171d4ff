"""Spoiled files of every kind, in a process of its own that may take little memory."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# The profile of hypothesis that looks for new failures tries more of everything.
CASES = 4000 if os.environ.get("MLBENCH_TEST_PROFILE") == "nightly" else 800

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits of memory are measured as Linux does")


def mutations(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.functional.mutations", *arguments],
        cwd=ROOT,
        # Each thread of OpenBLAS takes some of the address space.
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


def test_whatever_is_in_a_file_it_is_used_or_refused_in_one_line() -> None:
    done = mutations("--cases", str(CASES))
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [line.rsplit(maxsplit=6) for line in done.stdout.splitlines()[1:] if line]
    assert len(rows) == 10
    for kind, cases, accepted, refused, faults, _, peak in rows:
        assert int(cases) == CASES // 10, kind
        assert int(faults) == 0
        assert int(accepted) > 0, f"no {kind} got past the door"
        assert int(refused) > 0, kind
        assert int(peak.replace(",", "")) < 1024


def test_a_case_is_the_same_each_time() -> None:
    one, two = (mutations("--only", "task-2").stdout.splitlines()[1].split()[:5] for _ in range(2))
    assert one == two
    assert one[1] == "1"
