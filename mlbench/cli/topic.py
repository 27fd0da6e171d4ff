"""What `mlbench report --topic` does: the texts of a result's task, where they are on this machine, and the answer."""

from pathlib import Path

from mlbench.data import is_sharded, load_collection
from mlbench.declarations import DeclaredImages
from mlbench.errors import DataError, UserError
from mlbench.files import local
from mlbench.ranks import Ranks
from mlbench.records import Collection, fingerprint_of
from mlbench.report.pictures import pictures_of
from mlbench.report.topic import find_topic, look_at
from mlbench.report.topic_page import TopicAnswer
from mlbench.report.topic_screen import SHOWN
from mlbench.results import Result, TaskInfo
from mlbench.streaming.corpus import look_through
from mlbench.tasks import Task, load_task, task_names


def answer_topic(result: Result, ranks: Ranks, name: str, data_dir: Path | None) -> TopicAnswer:
    """Return a topic with its texts and images, and how to see these where they are not on this machine.

    Nothing is downloaded. Raises `UserError` for an unknown topic, and for data that are not those of the result.
    """
    topic_id = find_topic(ranks, name)
    task = _task(result.task, data_dir)
    if task is None:
        hint = f"no texts: {result.task.name} is a task of your own; name its folder or file with --data-dir"
        return TopicAnswer(look_at(result, ranks, topic_id), hint, {})
    hint = f"no texts: mlbench tasks download {task.name}, or name a folder that has them with --data-dir"
    if task.images is not None:
        task = _without_downloads(task, task.images, data_dir)
    try:
        texts = _texts(task, result.task, data_dir, ranks)
    except DataError as error:
        if task.images is None:
            raise
        # Ranks can be looked at without the images, which are large.
        texts, hint = None, f"no texts: {error}"
    topic = look_at(result, ranks, topic_id, texts)
    return TopicAnswer(topic, "" if texts else hint, pictures_of(topic, texts, SHOWN) if texts else {})


def _task(info: TaskInfo, data_dir: Path | None) -> Task | None:
    if info.name in task_names():
        return load_task(info.name)
    return None if data_dir is None else load_task(str(data_dir))


def _without_downloads(task: Task, images: DeclaredImages, data_dir: Path | None) -> Task:
    """Return a task of images without the archives that are not on this machine."""
    there = tuple(each for each in images.archives if local(each, data_dir=data_dir, root=task.root) is not None)
    return task.model_copy(update={"images": images.model_copy(update={"archives": there})})


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
