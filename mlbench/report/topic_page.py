"""Topics as one HTML page that needs nothing else, with their images where these are small."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mlbench.report.notation import ABSENT, count, decimal
from mlbench.report.topic import Topic
from mlbench.report.topic_screen import SHOWN, printable


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
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("mlbench.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return (
        environment.get_template("topic.html").render(
            answers=answers, printable=printable, decimal=decimal, count=count, absent=ABSENT, shown=SHOWN
        )
        + "\n"
    )
