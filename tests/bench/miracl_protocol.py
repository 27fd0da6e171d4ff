"""Writes what a board accepts of MIRACL, whose 106 million documents are not read, from its queries and judgments.

`python -m tests.bench.miracl_protocol --board leaderboard`; a minute. Needs $MLBENCH_DATA with `miracl-v1.0-dev`.

A small corpus of the relevant documents alone is measured, and the sizes of the corpora are those that the task file
states. All relevant documents are taken to be there; what the texts are is left open.
"""

import argparse
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from mlbench import Options, evaluate
from mlbench.leaderboard.board import DEFAULT_FOLDER, Board
from mlbench.leaderboard.protocol import AcceptedTask, accept
from mlbench.tasks.task import DeclaredFile, Expected, Task, load_task
from tests.bench.material import data_dir
from tests.unit.tasks.readers.shards import plant

TASKS = ("miracl", "miracl-15")


def accept_judged(task: Task, folder: Path, data: Path) -> AcceptedTask:
    """Return what is accepted of a task in MIRACL's format; `data` has queries and judgments, `folder` is for corpora.

    Empty fingerprints say that the texts were not read.
    """
    files = []
    for language in task.languages:
        there = {file.role: file for file in task.files if file.language == language}
        for role in ("queries", "qrels"):
            (folder / there[role].path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(data / there[role].path, folder / there[role].path)
            files.append(there[role])
        topics, qrels = (folder / there[role].path for role in ("queries", "qrels"))
        shards = plant(topics, qrels, folder / language)
        files += [
            DeclaredFile(language=language, role="documents", path=path.relative_to(folder).as_posix(), unchecked=True)
            for path in shards
        ]
    judged = task.model_copy(update={"files": tuple(files), "expected": Expected(queries=task.expected.queries)})
    measured = evaluate("hashing", judged, data_dir=folder, options=Options(cache=folder / "cache"))
    result, sizes = measured.result, task.expected.documents
    settings = tuple(
        setting.model_copy(update={"n_documents": sum(sizes[language] for language in setting.document_languages)})
        for setting in result.settings
    )
    unread = result.task.model_copy(update={"fingerprint": "", "fingerprints": {}})
    return accept(result.model_copy(update={"settings": settings, "task": unread}), measured.ranks)


def main() -> None:
    """Let a board take the tasks, and print where."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--board", type=Path, default=DEFAULT_FOLDER)
    board = Board(parser.parse_args().board)
    for name in TASKS:
        with TemporaryDirectory() as folder:
            print(board.take(accept_judged(load_task(name), Path(folder), data_dir()), replace=True))


if __name__ == "__main__":
    main()
