"""Reads translation memories (TMX): each segment is a query in its language, and a document for the other languages."""

from collections.abc import Iterator
from contextlib import suppress
from io import BytesIO
from itertools import chain, count
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError, iterparse

from mlbench.collection.languages import find_language
from mlbench.collection.records import Collection
from mlbench.errors import DataError, UserError
from mlbench.io.untrusted import read_members
from mlbench.protocols import ReadRequest, SourceFile
from mlbench.tasks.readers.json_lines import check_options
from mlbench.tasks.readers.sentences import sentence_collection

_LANGUAGE = "{http://www.w3.org/XML/1998/namespace}lang"


def read(request: ReadRequest) -> Collection:
    """Return the collection of TMX 1.4 files, each of one pair of languages, plain or in a zip archive.

    Units with the same text in the source language (`srclang` of the header) are one topic, in whichever files they
    are; its id is the `tuid` of the first of them. The source language is known by its tag. The other language is that
    of the file, where the task says it, else it is known by its tag too. Where a topic is there twice in a language,
    the first segment counts. White space in segments is normalised. Raises `DataError` with file and unit.
    """
    check_options(request, "tmx")
    topics: dict[str, str] = {}
    texts: dict[str, dict[str, str]] = {}
    for source in request.files:
        for place, name, text, translations in _units(source, request.languages):
            if text not in topics:
                # Files of one publisher may give one id to texts that differ.
                names = chain([name], (f"{name}-{number}" for number in count(2)))
                topics[text] = next(free for free in names if free not in texts)
                texts[topics[text]] = {}
            for language, translation in translations.items():
                if not translation:
                    raise DataError(f"{place}: the segment in {language!r} is empty")
                texts[topics[text]].setdefault(language, translation)
    by_language = {
        language: {topic: found[language] for topic, found in texts.items() if language in found}
        for language in request.languages
    }
    return sentence_collection(request, by_language, {topic: topic for topic in texts}, cluster_unit="topic")


def _units(source: SourceFile, languages: tuple[str, ...]) -> Iterator[tuple[str, str, str, dict[str, str]]]:
    """Yield place, id, source text, and texts by language of each unit; raises `DataError`."""
    for name, content in _contents(source.path):
        source_language, number = "", 0
        for element in _elements(content, name):
            if element.tag == "header":
                source_language = _tag(element.get("srclang", ""), languages)
            if element.tag == "tu":
                number += 1
                place = f"{name}: unit {element.get('tuid') or number}"
                found = {
                    _tag(variant.get(_LANGUAGE, ""), languages): _segment(variant) for variant in element.iter("tuv")
                }
                if not found.get(source_language):
                    raise DataError(f"{place}: there is no segment in the source language {source_language!r}")
                others = [tag for tag in found if tag != source_language]
                own = {source.language: found[others[0]]} if source.language and len(others) == 1 else found
                text = found[source_language]
                yield place, element.get("tuid") or f"{name}-{number}", text, {source_language: text} | own
                element.clear()


def _elements(content: bytes, name: str) -> Iterator[Element]:
    """Yield the elements of an XML document as they end; raises `DataError` for what is none."""
    try:
        for _, element in iterparse(BytesIO(content)):
            yield element
    except ParseError as error:
        raise DataError(f"{name} is no TMX file: {error}") from error


def _contents(path: Path) -> Iterator[tuple[str, bytes]]:
    if path.suffix == ".zip":
        yield from read_members(path, "*.tmx")
        return
    try:
        yield path.name, path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error


def _segment(variant: Element) -> str:
    segment = variant.find("seg")
    return "" if segment is None else " ".join("".join(segment.itertext()).split())


def _tag(tag: str, languages: tuple[str, ...]) -> str:
    """Return the one of `languages` that a tag means, else the tag in lower case."""
    with suppress(UserError):
        return find_language(tag, languages) or tag.lower()
    return tag.lower()
