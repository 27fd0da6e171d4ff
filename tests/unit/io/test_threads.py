import os
import sys
from collections.abc import Iterator
from pathlib import Path
from subprocess import run

import pytest

from mlbench.io import threads
from mlbench.io.threads import in_threads, usable_threads


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A process that is bound to eight processors, and the folder of its control groups."""
    monkeypatch.setattr(threads.os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    monkeypatch.setattr(threads, "_CONTROL_GROUPS", tmp_path)
    monkeypatch.setattr(threads, "_OWN_GROUP", tmp_path / "own")
    return tmp_path


@pytest.mark.parametrize(
    ("inner", "outer", "expected"),
    [
        ("max 100000", "max 100000", 8),
        ("200000 100000", "max 100000", 2),
        ("max 100000", "150000 100000", 2),
        ("600000 100000", "350000 100000", 4),
        ("10000 100000", "max 100000", 1),
        ("1600000 100000", "max 100000", 8),
        ("nonsense", "300000 100000", 3),
    ],
)
def test_a_container_may_use_its_share(groups: Path, inner: str, outer: str, expected: int) -> None:
    (groups / "own").write_text("0::/pod/container\n")
    (groups / "pod" / "container").mkdir(parents=True)
    (groups / "pod" / "container" / "cpu.max").write_text(f"{inner}\n")
    (groups / "pod" / "cpu.max").write_text(f"{outer}\n")
    assert usable_threads() == expected


@pytest.mark.parametrize(("quota", "expected"), [("-1", 8), ("250000", 3), ("", 8)])
def test_the_first_version_of_control_groups_is_read_too(groups: Path, quota: str, expected: int) -> None:
    (groups / "own").write_text("5:memory:/job\n4:cpu,cpuacct:/job\n")
    (groups / "cpu" / "job").mkdir(parents=True)
    (groups / "cpu" / "job" / "cpu.cfs_quota_us").write_text(f"{quota}\n")
    (groups / "cpu" / "job" / "cpu.cfs_period_us").write_text("100000\n")
    assert usable_threads() == expected


def test_without_control_groups_all_processors_that_the_process_is_bound_to_are_used(groups: Path) -> None:
    assert usable_threads() == 8


def test_a_system_without_affinity_has_all_its_processors(groups: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(threads.os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(threads.os, "cpu_count", lambda: 5)
    assert usable_threads() == 5


TWO_RUNS = """
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
from threadpoolctl import threadpool_info

from mlbench.io.threads import one_blas_thread

steps = Barrier(2, timeout=30)


def blas_threads():
    return max(library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas")


def first():
    with one_blas_thread():
        steps.wait()
        both = blas_threads()
        steps.wait()
    between = blas_threads()
    steps.wait()
    return both, between


def second():
    steps.wait()
    with one_blas_thread():
        steps.wait()
        steps.wait()


before = blas_threads()
for _ in range(2):
    with ThreadPoolExecutor(2) as pool:
        one, other = pool.submit(first), pool.submit(second)
        other.result()
        print(before, *one.result(), blas_threads())
try:
    with one_blas_thread():
        raise KeyError
except KeyError:
    print(blas_threads())
"""


def test_the_limit_of_products_holds_until_the_last_run_ends() -> None:
    done = run(
        [sys.executable, "-c", TWO_RUNS],
        env={**os.environ, "OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
        check=True,
    )
    # Before; with both; with the second alone; after both, and after an error.
    assert done.stdout.split() == [*"2112", *"2112", "2"]


def test_work_in_threads_comes_in_order_and_is_begun_only_as_it_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "usable_threads", lambda: 2)
    begun = []

    def items() -> Iterator[int]:
        for number in range(9):
            begun.append(number)
            yield number

    found = in_threads(lambda number: number**2, items())
    assert next(found) == 0
    assert begun == [0, 1, 2]
    assert list(found) == [number**2 for number in range(1, 9)]
    assert not list(in_threads(str, []))


def test_an_error_in_a_thread_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        list(in_threads(lambda number: 1 // number, [1, 0, 1]))
