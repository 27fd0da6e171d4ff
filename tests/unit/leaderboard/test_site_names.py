"""Files of a site: no two of them are one file to any system, whatever entries and tasks are called."""

from collections import Counter
from pathlib import PurePosixPath

import pytest
from unit.leaderboard.sites import reported, said, verified

from mlbench.leaderboard.entries import is_name
from mlbench.leaderboard.site import pages

NAMES = ("a", "a.b", "a.js", "a.html", "a.small", "constructor", "console", "null", "manifest", "compare", "about")
TASKS = ("small", "b.small", "html", "js", "constructor", "compare")
KEPT = {"con", "prn", "aux", "nul", *(f"{port}{number}" for port in ("com", "lpt") for number in range(10))}


@pytest.fixture(scope="module")
def paths() -> list[str]:
    entries = [verified(name, seed=seed, tasks=("small", "constructor")) for seed, name in enumerate(NAMES[:3])]
    entries += [reported(name, *(said(task) for task in TASKS)) for name in NAMES[3:]]
    return [path for path, _ in pages(sorted(entries, key=lambda each: each.name), flips=199)]


def test_no_two_are_one_to_a_system_without_capitals(paths: list[str]) -> None:
    assert [path for path, times in Counter(path.casefold() for path in paths).items() if times > 1] == []
    assert len(paths) > 2 * len(NAMES)


def test_none_is_a_folder_of_another(paths: list[str]) -> None:
    folders = {str(parent) for path in paths for parent in PurePosixPath(path).parents}
    assert folders & set(paths) == set()


def test_none_is_kept_by_a_system(paths: list[str]) -> None:
    assert all(is_name(name) for name in NAMES)
    assert not any(is_name(name) for name in KEPT)
    parts = {part.partition(".")[0].casefold() for path in paths for part in PurePosixPath(path).parts}
    assert parts & KEPT == set()
