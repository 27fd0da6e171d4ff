"""Training rows of captioned images: an image with a caption of each language, read as a task of your own would be."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from hashlib import sha256
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

from mlbench.data import load_collection
from mlbench.errors import DataError
from mlbench.languages import IMAGE
from mlbench.protocols import Progress
from mlbench.records import Collection, Image
from mlbench.tasks import FOLDER_FILE, load_task


class CaptionRow(NamedTuple):
    """An image and one caption in each of some languages; rows of the same `cluster` show the same, or nearly so."""

    cluster: str
    image: Image
    captions: dict[str, str]


def find_folder(name: str, folders: Sequence[Path]) -> Path:
    """Return the folder of captioned images called `name` in the first of `folders` that has one.

    Raises `DataError` where none has.
    """
    for folder in folders:
        if any((folder / name).glob("captions.*.jsonl")):
            return folder / name
    raise DataError(
        f"{name} is no folder with images/ and captions.LANGUAGE.jsonl: put it beside the recipe, or as DIR/{name} "
        "and pass --data-dir DIR"
    )


def fingerprint_of(folder: Path) -> str:
    """Return a SHA-256 (hex) that changes with what is in a folder of captioned images.

    Images are told apart by name, size and time, so that the many that there may be need not be read.
    """
    found = sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            about = path.stat()
            written = path.suffix == ".jsonl" or path.name == FOLDER_FILE
            content = sha256(path.read_bytes()).hexdigest() if written else f"{about.st_size} {about.st_mtime_ns}"
            found.update(f"{path.relative_to(folder).as_posix()}\n{content}\n".encode())
    return found.hexdigest()


def read_captions(folder: Path, progress: Progress) -> Iterator[CaptionRow]:
    """Yield the k-th captions of every image in all languages that have so many, for every k.

    Raises `DataError` for captions that cannot be used and images that are missing; those that cannot be decoded are
    left out with their captions, and told.
    """
    collection = load_collection(load_task(str(folder)), progress=progress)
    texts = _texts(collection)
    for topic, image in collection.queries[IMAGE]:
        assert isinstance(image, Image)
        by_language: dict[str, list[str]] = defaultdict(list)
        for judgment in collection.judgments[topic]:
            by_language[judgment.language].append(texts[judgment.doc_id])
        for captions in zip_longest(*(by_language[language] for language in sorted(by_language))):
            numbered = zip(sorted(by_language), captions, strict=True)
            yield CaptionRow(
                collection.clusters[topic], image, {language: text for language, text in numbered if text is not None}
            )


def _texts(collection: Collection) -> dict[str, str]:
    return {
        document.doc_id: document.text
        for language in collection.languages
        if language != IMAGE
        for document in collection.documents[language]
    }
