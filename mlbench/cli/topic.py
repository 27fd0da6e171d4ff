"""What `mlbench report --topic` does: the texts of a result's task, where they are on this machine, and the answer."""

from pathlib import Path

from mlbench.data import is_sharded, load_collection
from mlbench.errors import DataError, UserError
from mlbench.files import local
from mlbench.ranks import Ranks
from mlbench.records import Collection, fingerprint_of
from mlbench.report.topic import Topic, find_topic, look_at
from mlbench.results import Result, TaskInfo
from mlbench.streaming.corpus import look_through
from mlbench.tasks import Task, load_task, task_names


def answer_topic(result: Result, ranks: Ranks, name: str, data_dir: Path | None) -> tuple[Topic, str]:
    """Return a topic with its texts, and how to see these where they are not on this machine, else an empty text.

    Nothing is downloaded. Raises `UserError` for an unknown topic, and for data that are not those of the result.
    """
    topic_id = find_topic(ranks, name)
    task = _task(result.task, data_dir)
    if task is None:
        hint = f"no texts: {result.task.name} is a task of your own; name its folder or file with --data-dir"
        return look_at(result, ranks, topic_id), hint
    texts = _texts(task, result.task, data_dir, ranks)
    hint = f"no texts: mlbench tasks download {task.name}, or name a folder that has them with --data-dir"
    return look_at(result, ranks, topic_id, texts), "" if texts else hint


def _task(info: TaskInfo, data_dir: Path | None) -> Task | None:
    if info.name in task_names():
        return load_task(info.name)
    return None if data_dir is None else load_task(str(data_dir))


def _texts(task: Task, info: TaskInfo, data_dir: Path | None, ranks: Ranks) -> Collection | None:
    # Only a folder of data, not one that is a task itself, is looked through for files.
    folder = data_dir if info.name in task_names() else None
    if any(local(file, data_dir=folder, root=task.root) is None for file in task.files):
        return None
    unknown = sorted(set(info.languages) - set(task.languages))
    if unknown:
        raise DataError(f"{task.name} has no {unknown[0]}: these are other data than those of the result")
    if is_sharded(task) and info.limit is None:
        corpora = look_through(task, languages=info.languages, data_dir=folder, also=ranks.document_ids.tolist())
        collection, fingerprint = corpora.collection, fingerprint_of(corpora.fingerprints)
    else:
        collection = load_collection(task, languages=info.languages, limit=info.limit, data_dir=folder)
        fingerprint = collection.fingerprint()
    if fingerprint != info.fingerprint:
        raise UserError(
            f"{task.name} has other data here than the result was measured on: their fingerprint is "
            f"{fingerprint[:12]}..., not {info.fingerprint[:12]}..."
        )
    return collection
