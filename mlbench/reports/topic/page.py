"""Topics as one HTML page that needs nothing else, with their images where these are small."""

from base64 import b64encode
from collections import Counter
from collections.abc import Collection as Names
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mlbench.collection.languages import IMAGE
from mlbench.collection.records import Collection, Image
from mlbench.reports.formatting import ABSENT, count, decimal
from mlbench.reports.html import render_page
from mlbench.reports.topic.console import SHOWN, printable
from mlbench.reports.topic.content import Topic

LARGEST = 2**18
"""How many bytes an image has at most to be shown; a larger one is told by its name."""
_MOST = 2**24
_KINDS = ((b"\x89PNG\r\n\x1a\n", "png"), (b"\xff\xd8\xff", "jpeg"), (b"GIF8", "gif"))


def pictures_of(topic: Topic, collection: Collection, shown: int) -> dict[str, str]:
    """Return data URIs of the images of a topic, by the ids of documents, and by the topic's own where it is an image.

    Of each list, only the first `shown` documents count. Files that are large, or not of a kind that browsers draw, are
    left out, and so is what would make a page of more than 16 MiB.
    """
    times = Counter(document.doc_id for document in topic.relevant)
    times.update(listed.doc_id for query in topic.queries for listed in query.top[:shown])
    found: dict[str, str] = {}
    room = _MOST
    for name, path in _files(topic.topic_id, collection, times):
        uri = _data_uri(path)
        taken = len(uri) * max(1, times[name])
        if uri and taken <= room:
            found[name] = uri
            room -= taken
    return found


def _files(topic_id: str, collection: Collection, wanted: Names[str]) -> Iterator[tuple[str, Path]]:
    for query in collection.queries.get(IMAGE, ()):
        if query.topic_id == topic_id and isinstance(query.text, Image):
            yield topic_id, query.text.path
    for document in collection.documents.get(IMAGE, ()):
        if document.doc_id in wanted and isinstance(document.text, Image):
            yield document.doc_id, document.text.path


def _data_uri(path: Path) -> str:
    """Return a file as a data URI, empty for one that is not shown."""
    try:
        if path.stat().st_size > LARGEST:
            return ""
        content = path.read_bytes()
    except OSError:
        return ""
    kind = next((kind for magic, kind in _KINDS if content.startswith(magic)), "")
    return f"data:image/{kind};base64,{b64encode(content).decode()}" if kind else ""


@dataclass(frozen=True)
class TopicAnswer:
    """A topic; `hint` says how to see its texts where they are not there, `pictures` are data URIs of its images.

    They are found by the ids of documents, and that of the topic itself by the topic's.
    """

    topic: Topic
    hint: str
    pictures: Mapping[str, str]


def topic_page(answers: Sequence[TopicAnswer]) -> str:
    """Return the page; everything that comes from results and data is escaped, and characters that act are shown."""
    return render_page(
        "topic.html",
        answers=answers,
        printable=printable,
        decimal=decimal,
        count=count,
        absent=ABSENT,
        shown=SHOWN,
    )
