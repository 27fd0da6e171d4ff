"""Reads published collections of questions: Belebele, MKQA, XOR-TyDi and Multi-EuP."""

import csv
import json
import re
import zipfile
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from mlbench.collection.languages import canonical_languages, is_language
from mlbench.collection.records import Collection, Document, Judgment, Query, document_id
from mlbench.errors import DataError
from mlbench.io.untrusted import LARGEST_MEMBER, walk_archive
from mlbench.protocols import ReadRequest
from mlbench.tasks.readers.json_lines import check_options, packed_lines, parse_object

_Row = Mapping[str, object]
_GOLD = "gp_squad_dev_data.json"
_LARGEST_FIELD = 1 << 24
_NAME = re.compile(r"[^\s\x00-\x1f\x7f-\x9f]+")


@dataclass
class _Questions:
    """What has been read so far, by language: questions by topic, documents by their own id, and what answers what."""

    request: ReadRequest
    unit: str = "topic"
    queries: dict[str, dict[str, str]] = field(default_factory=dict)
    documents: dict[str, dict[str, str]] = field(default_factory=dict)
    relevant: dict[str, dict[tuple[str, str], None]] = field(default_factory=dict)
    clusters: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.queries = {language: {} for language in self.request.languages}
        self.documents = {language: {} for language in self.request.languages}

    def ask(self, place: str, topic: str, language: str, text: str, cluster: str) -> None:
        """Add a question; raises `DataError` for a topic that the language has already."""
        if topic in self.queries[language]:
            raise DataError(f"{place}: topic {topic!r:.80} is there twice in {language!r}")
        self.queries[language][topic] = text
        self.clusters.setdefault(topic, cluster)
        self.relevant.setdefault(topic, {})

    def collection(self) -> Collection:
        def doc_id(language: str, own_id: str) -> str:
            return document_id(self.request.task, language, "", own_id)

        names = (*self.relevant, *(own_id for rows in self.documents.values() for own_id in rows))
        odd = next((name for name in names if not _NAME.fullmatch(name)), None)
        if odd is not None:
            raise DataError(f"{self.request.task}: id {odd!r:.60} is empty or holds white space, which no run can name")
        return Collection(
            languages=self.request.languages,
            queries={
                language: tuple(Query(topic, text) for topic, text in rows.items())
                for language, rows in self.queries.items()
            },
            documents={
                language: tuple(Document(doc_id(language, own_id), text) for own_id, text in rows.items())
                for language, rows in self.documents.items()
            },
            judgments={
                topic: tuple(Judgment(language, doc_id(language, own_id), 1) for language, own_id in rows)
                for topic, rows in self.relevant.items()
            },
            clusters={topic: self.clusters[topic] for topic in self.relevant},
            cluster_unit=self.unit,
        )


class Belebele:
    """Reads Belebele's archive: each question asks for its passage.

    A zip file has one file `<variant>.jsonl` for each variant, such as `eng_Latn.jsonl`, of lines `{"link",
    "question_number", "flores_passage", "question", ...}`. A passage is known by its link, a topic by its link and the
    number of its question, the same in all variants. The cluster of a topic is its passage. Answers are left alone.
    """

    reads_languages_apart = True

    def __call__(self, request: ReadRequest) -> Collection:
        """Return the collection; raises `DataError` with file and line."""
        check_options(request, "belebele")
        found = _Questions(request, "passage")
        altered = 0
        for source in request.files:
            for language, name, content in _variants(source.path, request.languages):
                altered += _read_variant(found, language, _rows(name, content))
        if altered:
            request.progress.note(
                f"{request.task}: {altered:,} questions stand beside another wording of their passage"
            )
        return found.collection()


read_belebele = Belebele()


def _read_variant(found: _Questions, language: str, rows: Iterable[tuple[str, _Row]]) -> int:
    """Add the questions and passages of one variant; return how often a passage is worded in another way."""
    altered = 0
    for place, row in rows:
        # Passages of two splits of FLORES-200 may be of one page.
        passage = "#".join(filter(None, (_text(place, row, "link"), str(row.get("split") or ""))))
        text = _text(place, row, "flores_passage").strip()
        altered += found.documents[language].setdefault(passage, text) != text
        topic = f"{passage}#{row.get('question_number')}"
        found.ask(place, topic, language, _text(place, row, "question").strip(), passage)
        found.relevant[topic][language, passage] = None
    return altered


def _variants(path: Path, wanted: Container[str]) -> Iterator[tuple[str, str, bytes]]:
    """Yield tag, name and content of each `wanted` variant in an archive, or of the one that a file is.

    What stands for no variant is passed over.
    """
    archived = (
        walk_archive(path, lambda name: False, LARGEST_MEMBER) if zipfile.is_zipfile(path) else [(path.name, b"")]
    )
    names = [name for name, _ in archived if name.endswith(".jsonl") and is_language(PurePosixPath(name).stem)]
    languages = dict(zip(names, canonical_languages([PurePosixPath(name).stem for name in names]), strict=True))
    for name, content in _contents(path, lambda name: languages.get(name) in wanted):
        if languages.get(name) in wanted:
            yield languages[name], PurePosixPath(name).name, content


def _contents(path: Path, is_read: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of the files in a zip archive that are to be read, or of a file that is none itself."""
    try:
        if zipfile.is_zipfile(path):
            for name, content in walk_archive(path, is_read, LARGEST_MEMBER):
                if content is not None:
                    yield name, content
        else:
            yield path.name, path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error


def read_mkqa(request: ReadRequest) -> Collection:
    """Return the collection of `mkqa.jsonl.gz`: each question asks for its answers, one document for each answer.

    A line is `{"example_id", "queries": {LANGUAGE: question}, "answers": {LANGUAGE: [{"type", "text", ...}]}}`. The
    documents of a language are its distinct answers, as many questions have the same; their aliases are no documents.
    Questions without an answer in words, those that are unanswerable or ask for a long answer, are left out. Raises
    `DataError` with file and line.
    """
    check_options(request, "mkqa")
    found = _Questions(request)
    known: dict[str, dict[str, str]] = {language: {} for language in request.languages}
    for source in request.files:
        for place, line in packed_lines(source.path):
            row = parse_object(line, place, "with 'example_id', 'queries' and 'answers'")
            topic = str(row.get("example_id", ""))
            if not topic:
                raise DataError(f"{place}: 'example_id' is missing")
            queries, answers = _by_language(place, row, "queries"), _by_language(place, row, "answers")
            for language in request.languages:
                texts = list(_answers(place, answers.get(language)))
                if not texts or language not in queries:
                    continue
                question = _text(place, {"queries": queries[language]}, "queries").strip()
                found.ask(place, topic, language, question, topic)
                for number, text in enumerate(texts):
                    own_id = known[language].setdefault(text, f"{topic}.{number}")
                    found.documents[language].setdefault(own_id, text)
                    found.relevant[topic][language, own_id] = None
    return found.collection()


def _by_language(place: str, row: _Row, key: str) -> dict[str, object]:
    values = row.get(key)
    if not isinstance(values, dict):
        raise DataError(f"{place}: {key!r} must be an object such as {{'de': ..., 'en': ...}}")
    return dict(zip(canonical_languages(list(values)), values.values(), strict=True))


def _answers(place: str, answers: object) -> Iterator[str]:
    for answer in answers if isinstance(answers, list) else ():
        text = answer.get("text") if isinstance(answer, dict) else answer
        if text is not None and not isinstance(text, str):
            raise DataError(f"{place}: an answer must have a 'text', not {answer!r:.60}")
        if text and text.strip():
            yield text.strip()


def read_xor_tydi(request: ReadRequest) -> Collection:
    """Return the collection of XOR-TyDi: questions in seven languages, each of which asks for its English paragraph.

    A file with the role `queries` has lines `{"id", "question", "lang", ...}`. One with the role `documents`, of
    English, is `tydi_xor_gp.zip` or `gp_squad_dev_data.json` in it, in the format of SQuAD: `{"data": [{"title",
    "paragraphs": [{"context", "qas": [{"id"}]}]}]}`. Its distinct paragraphs are the documents, and its ids say which
    question each answers. The cluster of a topic is the article of its first paragraph. Raises `DataError`.
    """
    check_options(request, "xor_tydi")
    found = _Questions(request, "article")
    gold = next((source for source in request.files if source.role == "documents" and source.language), None)
    if gold is None or gold.language not in request.languages:
        raise DataError(f"{request.task}: there is no file with the role 'documents' in a language of the task")
    language, known = gold.language, dict[str, str]()
    answered: dict[str, list[str]] = {}
    articles: dict[str, str] = {}
    for number, (title, context, ids) in enumerate(_paragraphs(gold.path)):
        own_id = known.setdefault(context, str(number))
        found.documents[language].setdefault(own_id, context)
        for own in ids:
            answered.setdefault(own, []).append(own_id)
            articles.setdefault(own, title)
    for source in request.files:
        if source.role == "queries":
            for place, row in _rows(*next(_contents(source.path, lambda name: True))):
                (asked,), topic = canonical_languages([_text(place, row, "lang")]), _text(place, row, "id")
                if asked in request.languages:
                    found.ask(place, topic, asked, _text(place, row, "question").strip(), articles.get(topic, topic))
                    found.relevant[topic] = dict.fromkeys((language, own_id) for own_id in answered.get(topic, ()))
    return found.collection()


def _paragraphs(path: Path) -> Iterator[tuple[str, str, list[str]]]:
    """Yield title, text and ids of questions of each paragraph; raises `DataError`."""
    for name, content in _contents(path, lambda name: name.endswith(_GOLD)):
        try:
            for article in json.loads(content)["data"]:
                for paragraph in article["paragraphs"]:
                    ids = [str(question["id"]) for question in paragraph["qas"]]
                    yield str(article["title"]), str(paragraph["context"]).strip(), ids
        except (ValueError, RecursionError) as error:
            raise DataError(f"{name}: not valid JSON: {str(error)[:100]}") from error
        except (KeyError, TypeError) as error:
            raise DataError(f"{name}: must be as SQuAD is, with 'data', 'paragraphs', 'context' and 'qas'") from error


def read_multieup(request: ReadRequest) -> Collection:
    """Return the collection of Multi-EuP v2: each title of a debate asks for the speeches of that debate.

    Each row of the CSV file is a speech, `TEXT` in `LANGUAGE` with the id `did`, and has the title of its debate in all
    languages: `title_EN` and so on, with the ids `qid_EN`, of which the part before `#` is the debate's. So topics are
    translated, and documents are not. Raises `DataError` with file and row.
    """
    check_options(request, "multieup")
    found = _Questions(request)
    columns = {language: language.upper() for language in request.languages}
    for source in request.files:
        for place, row in _table(source.path):
            debate = next(filter(None, (_debate(row, column) for column in columns.values())), None)
            language = row.get("LANGUAGE", "").strip().lower()
            if debate is None or language not in columns or not row.get("TEXT", "").strip():
                continue
            own_id = row.get("did", "").strip()
            if not own_id or any(own_id in rows for rows in found.documents.values()):
                raise DataError(f"{place}: did {own_id!r} is empty or there twice")
            found.documents[language][own_id] = row["TEXT"].strip()
            for asked, column in columns.items():
                title, told = row.get(f"title_{column}", "").strip(), found.queries[asked]
                if title and _debate(row, column) and debate not in told:
                    found.ask(place, debate, asked, title, debate)
            found.relevant.setdefault(debate, {})[language, own_id] = None
    # A debate without a title in any of the languages is nobody's topic.
    found.relevant = {topic: rows for topic, rows in found.relevant.items() if topic in found.clusters}
    return found.collection()


def _debate(row: Mapping[str, str], column: str) -> str:
    return row.get(f"qid_{column}", "").partition("#")[0].strip()


def _table(path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the rows of a CSV file, with their places; raises `DataError`."""
    before = csv.field_size_limit(_LARGEST_FIELD)
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            for number, row in enumerate(csv.DictReader(stream), start=2):
                yield f"{path.name} row {number}", {key: value or "" for key, value in row.items() if key}
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"{path.name} is no CSV file in UTF-8: {str(error)[:100]}") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    finally:
        csv.field_size_limit(before)


def _rows(name: str, content: bytes) -> Iterator[tuple[str, dict[str, object]]]:
    """Yield the object of each line that is not blank, with its place; raises `DataError`."""
    lines: Iterable[bytes] = content.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    for number, line in enumerate(lines, start=1):
        if line.strip():
            place = f"{name} line {number}"
            yield place, parse_object(line, place, "of a question")


def _text(place: str, row: _Row, key: str) -> str:
    text = row.get(key)
    if not isinstance(text, str) or not text.strip():
        raise DataError(f"{place}: {key!r} must be a text that is not empty, not {text!r:.60}")
    return text
