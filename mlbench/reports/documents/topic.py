"""Single topics: queries, relevant documents and their ranks, and what stands at the top of each list."""

from base64 import b64encode
from collections import Counter
from collections.abc import Collection as Names
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mlbench.collection.languages import IMAGE
from mlbench.collection.records import Collection, Image
from mlbench.reports.formatting import ABSENT, count, decimal, pool_name
from mlbench.reports.provenance import caveats, title_of
from mlbench.reports.report import (
    Cell,
    Column,
    HeatCell,
    HeatColumn,
    HeatMap,
    HeatRow,
    Report,
    Row,
    Scalar,
    Section,
    Sentence,
    Span,
    Table,
)
from mlbench.results import Result
from mlbench.statistics.topic import RelevantDocument, Topic

SHOWN = 5
"""How much of each list is shown."""
LARGEST = 2**18
"""How many bytes an image has at most to be shown; a larger one is told by its name."""
_MOST = 2**24
_IMAGES = ((b"\x89PNG\r\n\x1a\n", "png"), (b"\xff\xd8\xff", "jpeg"), (b"GIF8", "gif"))
_MARK = "*"
_OWN, _ALONE = "own", "alone"
_ID, _TEXT = (Column(title, align="left", passages=True) for title in ("id", "text"))


@dataclass(frozen=True)
class TopicAnswer:
    """A topic of a result; `is_worst` says that it was asked for as the one of the lowest AP.

    `hint` says how to see its texts where they are not there. `pictures` are data URIs of its images, by the ids of
    documents, and that of the topic itself by the topic's.
    """

    result: Result
    topic: Topic
    is_worst: bool = False
    hint: str = ""
    pictures: Mapping[str, str] = field(default_factory=dict)


def topic_report(answers: Sequence[TopicAnswer]) -> Report:
    """Return a section for each answer."""
    return Report(
        title=", ".join(dict.fromkeys(f"{answer.topic.topic_id} of {answer.topic.task}" for answer in answers)),
        blocks=tuple(_section(answer) for answer in answers),
        documents=tuple(answer.topic for answer in answers),
        several=True,
        records=tuple(record for answer in answers for record in _records(answer.topic)),
    )


def pictures_of(topic: Topic, collection: Collection) -> dict[str, str]:
    """Return data URIs of the images of a topic, by the ids of documents, and by the topic's own where it is an image.

    Files that are large, or not of a kind that browsers draw, are left out, and so is what would make a page of more
    than 16 MiB.
    """
    times = Counter(document.doc_id for document in topic.relevant)
    times.update(listed.doc_id for query in topic.queries for listed in query.top[:SHOWN])
    found: dict[str, str] = {}
    room = _MOST
    for name, path in _files(topic.topic_id, collection, times):
        uri = _data_uri(path)
        taken = len(uri) * max(1, times[name])
        if uri and taken <= room:
            found[name] = uri
            room -= taken
    return found


def _section(answer: TopicAnswer) -> Section:
    topic, pictures = answer.topic, answer.pictures
    ranks = [Section(("Ranks",), (_best_ranks(topic), _every_rank(topic)), titled=False)] if topic.relevant else []
    return Section(
        title_of(answer.result),
        (
            Sentence(tuple(caveats(answer.result)), "; ", "warning"),
            _summary(topic, is_worst=answer.is_worst),
            Sentence((answer.hint,) if answer.hint else (), style="warning"),
            Section(("Queries",), (_queries(topic, pictures),), titled=False),
            Section(("Relevant documents",), (_relevant(topic, pictures),), titled=False),
            *ranks,
            *([_top(topic, pictures)] if topic.pool else []),
        ),
    )


def _summary(topic: Topic, *, is_worst: bool) -> Sentence:
    mean = f"mean AP {'in the pool' if topic.pool else 'in their own languages'} {decimal(topic.average_precision)}"
    pool = f"{pool_name(topic.pool)}: {count(topic.n_documents, 'document')}"
    asked = pool if topic.pool else "the pool of all languages was not asked for"
    worst = ["the lowest of all topics"] if is_worst else []
    return Sentence((Span(f"topic {topic.topic_id}", "strong"), mean, *worst, Span(asked, "soft")))


def _queries(topic: Topic, pictures: Mapping[str, str]) -> Table:
    images = [pictures.get(topic.topic_id, "") if query.language == IMAGE else "" for query in topic.queries]
    texts = _passages([query.text for query in topic.queries], images)
    rows = tuple(
        Row(Cell(query.language, style="strong"), (Cell(decimal(query.average_precision)), text))
        for query, text in zip(topic.queries, texts, strict=True)
    )
    return Table("queries and their AP", "query", (Column("AP"), _TEXT), rows, titled=False)


def _relevant(topic: Topic, pictures: Mapping[str, str]) -> Table:
    texts = _passages(
        ["(not in the corpus)" if document.missing else document.text for document in topic.relevant],
        [pictures.get(document.doc_id, "") for document in topic.relevant],
    )
    rows = tuple(
        Row(Cell(document.language, style="strong"), (Cell(document.doc_id), text))
        for document, text in zip(topic.relevant, texts, strict=True)
    )
    return Table("relevant documents", "relevant", (_ID, _TEXT), rows, titled=False)


def _passages(texts: Sequence[str | None], images: Sequence[str]) -> list[Cell]:
    """Return the cells of a column, which are empty where no text is known."""
    absent = ABSENT if any(text is not None for text in texts) else ""
    return [Cell(absent if text is None else text, image=image) for text, image in zip(texts, images, strict=True)]


def _best_ranks(topic: Topic) -> HeatMap:
    """Return the rank of the best document of each language for each query, without colours.

    Beside the pool of texts stands a column of the ranks in the query's own language; below that of captions, which an
    image asks, a row of the ranks in each language alone.
    """
    languages = list(dict.fromkeys(document.language for document in topic.relevant))
    asking = [query.language for query in topic.queries]
    has_pool, has_images = bool(topic.pool), IMAGE in (*topic.pool, *asking)
    has_own, has_alone = has_pool and not has_images, has_pool and IMAGE in asking
    rows = []
    for language in asking:
        own = [_best_rank(topic, language, language, pool=False)] if has_own else []
        ranks = [*own, *(_best_rank(topic, language, other, pool=has_pool) for other in languages)]
        rows.append((language, ranks))
    if has_alone:
        rows.append((_ALONE, [_best_rank(topic, IMAGE, other, pool=False) for other in languages]))
    titles = [*([_OWN] if has_own else []), *languages]
    where = "in the pool" if has_pool else "among the documents of its language"
    return HeatMap(
        title=f"rank {where}: language of the query (rows) by language of the relevant document (columns)",
        axes=("language of the query", "language of the relevant document"),
        columns=tuple(HeatColumn(title) for title in titles),
        rows=tuple(
            HeatRow(
                label,
                tuple(
                    HeatCell(rank, None, f"{label}, {title}: {rank}", style="strong" if label == title else "plain")
                    for title, rank in zip(titles, ranks, strict=True)
                ),
            )
            for label, ranks in rows
        ),
        scales={},
        words=f"rank {where} of the best relevant document of each language, for the query in each language",
        notes=tuple(_explanations(topic, rows, has_own=has_own, has_alone=has_alone)),
        as_table=True,
    )


def _best_rank(topic: Topic, asking: str, language: str, *, pool: bool) -> str:
    found = [
        standing.in_pool if pool else standing.in_language
        for document in topic.relevant
        for standing in document.ranks
        if (standing.query_language, document.language) == (asking, language)
    ]
    return _rank(min((rank for rank in found if rank is not None), default=None))


def _rank(rank: int | None) -> str:
    return ABSENT if rank is None else f"{rank:,}"


def _explanations(
    topic: Topic, rows: Sequence[tuple[str, Sequence[str]]], *, has_own: bool, has_alone: bool
) -> Iterator[str]:
    if has_alone:
        yield f"{_ALONE}: among the captions of that language alone"
    if has_own:
        yield f"{_OWN}: the one in the query's language, among the documents of that language alone"
    if len({document.language for document in topic.relevant}) < len(topic.relevant):
        yield "several relevant documents in a language: the best-ranked"
    if any(ABSENT in ranks for _, ranks in rows):
        yield f"{ABSENT}: not retrieved, not asked for, or no such document"


def _every_rank(topic: Topic) -> Section:
    """Return a column for each query, with the rank in the pool, and that in the document's language as a note."""
    columns = [
        Column("the image", "asked by") if query.language == IMAGE else Column(query.language, "asked in")
        for query in topic.queries
    ]
    rows = tuple(
        Row(
            Cell(document.language, style="strong"),
            (*(_standing(topic, document, query.language) for query in topic.queries), Cell(document.doc_id)),
        )
        for document in topic.relevant
    )
    title = f"rank {'in the pool, and ' if topic.pool else ''}among the documents of its language"
    return Section(("Ranks of each relevant document",), (Table(title, "relevant", (*columns, _ID), rows),), "folded")


def _standing(topic: Topic, document: RelevantDocument, asking: str) -> Cell:
    standing = next((each for each in document.ranks if each.query_language == asking), None)
    if standing is None:
        return Cell(ABSENT)
    if not topic.pool:
        return Cell(_rank(standing.in_language))
    # For images, these are the same.
    alone = document.language != IMAGE and standing.in_language is not None
    return Cell(_rank(standing.in_pool), (_rank(standing.in_language),) if alone else ())


def _top(topic: Topic, pictures: Mapping[str, str]) -> Section:
    shown = [(query.language, listed) for query in topic.queries for listed in query.top[:SHOWN]]
    texts = _passages([each.text for _, each in shown], [pictures.get(each.doc_id, "") for _, each in shown])
    rows = tuple(
        Row(
            Cell(language, style="strong" if listed.rank == 1 else "soft"),
            (
                Cell(f"{listed.rank}", mark=_MARK, style="strong") if listed.relevant else Cell(f"{listed.rank}"),
                Cell(listed.language),
                Cell(listed.doc_id),
                text,
            ),
        )
        for (language, listed), text in zip(shown, texts, strict=True)
    )
    table = Table(
        "top of the pool", "query", (Column("rank"), Column("in", align="left"), _ID, _TEXT), rows, titled=False
    )
    return Section((f"Top of the pool, {_MARK} is relevant",), (table,))


def _records(topic: Topic) -> Iterator[Mapping[str, Scalar]]:
    """Yield a row for each rank of each relevant document; AP is that of the query."""
    precision = {query.language: query.average_precision for query in topic.queries}
    for document in topic.relevant:
        for standing in document.ranks:
            yield {
                "task": topic.task,
                "retriever": topic.retriever,
                "topic": topic.topic_id,
                "query_language": standing.query_language,
                "AP": precision.get(standing.query_language),
                "document": document.doc_id,
                "document_language": document.language,
                "grade": document.grade,
                "rank_in_pool": standing.in_pool,
                "rank_in_language": standing.in_language,
            }


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
    kind = next((kind for magic, kind in _IMAGES if content.startswith(magic)), "")
    return f"data:image/{kind};base64,{b64encode(content).decode()}" if kind else ""
