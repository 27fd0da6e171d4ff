"""The page of all files, and what `mlbench tasks show` says of them."""

import sys
from importlib import import_module
from pathlib import Path

import pytest

from mlbench.tasks.task import DeclaredFile, Task, load_task, task_names
from mlbench.training.recipe import recipe_names
from tests.functional.command_line import CommandLine

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT))
tasks_page, translated_page = import_module("docs.tasks_page"), import_module("docs.translated_page")


def rows(page: str, heading: str) -> list[list[str]]:
    section = page.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_every_task_and_recipe_has_a_row_with_what_was_read() -> None:
    page = tasks_page.page()
    tasks = rows(page, "Tasks")
    assert {row[0].strip("`") for row in tasks} == set(task_names())
    assert {row[0].strip("`") for row in rows(page, "Recipes")} == set(recipe_names())
    # Files that are in the package need no address; of all others the page says where they are and what was read.
    assert all(row[2] for row in tasks)
    assert all(row[6] in ("read here", "layout only") for row in tasks if row[2] != "in the package")


def test_a_row_sums_up_files_and_says_why_some_are_fetched_by_hand() -> None:
    task = load_task("xquad-r").model_copy(
        update={
            "files": (
                DeclaredFile(path="a", role="queries", url="https://e.org/a", sha256="0" * 64, bytes=1000),
                DeclaredFile(path="b", role="queries", url="https://e.org/b", sha256="1" * 64, bytes=234),
                DeclaredFile(path="c", role="documents", url="https://e.org/c", unchecked=True, reason="large"),
            ),
            "read_here": ("queries",),
        }
    )
    documents, queries = (tasks_page._row(each) for each in tasks_page.of_task(task))
    assert queries == (
        "| `xquad-r` | queries, 2 files | [e.org: a](https://e.org/a) and 1 more | 1,234 | SHA-256 | CC BY-SA 4.0 "
        "| read here |"
    )
    assert documents == (
        "| `xquad-r` | documents | [e.org: c](https://e.org/c), by hand: large |  |  | CC BY-SA 4.0 | layout only |"
    )


def test_files_by_many_roles_are_one_row() -> None:
    (row,) = tasks_page.of_task(load_task("tatoeba"))
    assert (row.use, len(row.files), row.read) == ("data", 20, "read here")


def test_the_page_on_translations_lists_tasks_by_kind() -> None:
    found = {row[0].strip("`"): row[2:] for row in rows(translated_page.page(), "The shipped tasks")}
    assert found["belebele"] == ["shared", "translations"]
    assert found["multieup"] == ["shared", "native"]
    assert found["miracl"] == ["of each language", "native"]
    texts: list[Task] = [task for name in task_names() if (task := load_task(name)).kind == "text"]
    assert found.keys() == {task.name for task in texts}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "xquad-r",
            ("licence        CC BY-SA 4.0", "size           11 files, 17,863,417 bytes", "here, as published: data"),
        ),
        ("miracl", ("without 1 file of unknown size", "here, as published: queries, qrels; layout only: documents")),
        ("xm3600", ("captions.zip  to be fetched by hand (no checksum of it is published): https://google.github.io",)),
        ("hc4", ("source         ir_datasets, which fetches topics",)),
        ("mldr", ("source         hf://datasets/mteb/MultiLongDocRetrieval@837028901907a7d419b4ab906f28e011ce1cc824",)),
    ],
)
def test_a_task_says_where_its_files_are_and_what_was_read(
    mlbench: CommandLine, name: str, said: tuple[str, ...]
) -> None:
    shown = mlbench("tasks", "show", name).out
    assert [part for part in said if part not in shown] == []


def test_nothing_is_said_of_reading_what_comes_with_the_package(mlbench: CommandLine) -> None:
    assert "\nread " not in mlbench("tasks", "show", "mini").out
