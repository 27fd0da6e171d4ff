"""Translation memories in the layout of TICO-19: one pair of languages in each, joined by their English."""

import zipfile
from pathlib import Path

import pytest

from mlbench.collection.records import Collection
from mlbench.errors import DataError
from mlbench.protocols import ReadRequest, SourceFile
from mlbench.tasks.readers.tmx import read

HEADER = '<?xml version="1.0" encoding="UTF-8"?>\n<tmx version="1.4"><header srclang="en" segtype="paragraph"></header>'


def memory(tag: str, *units: tuple[str, str, str], header: str = HEADER) -> bytes:
    """Return a memory of units (tuid, English, translation)."""
    body = "".join(
        f'<tu tuid="{tuid}">\n<prop type="note">http://example.org/{tuid}</prop>\n'
        f'<tuv xml:lang="en">\n<seg>{english}</seg></tuv>\n<tuv xml:lang="{tag}"><seg>{other}</seg></tuv>\n</tu>\n'
        for tuid, english, other in units
    )
    return f"{header}<body>\n{body}</body></tmx>".encode()


GERMAN = memory("de", ("A:1", "Wash your hands.", "Wasch dir\n die Hände."), ("A:2", "Stay at <b>home</b>.", "Bleib."))
SPANISH = memory(
    "es-LA", ("A:1", "Wash your hands.", "Lávate las manos."), ("A:2", "&quot;Stay at home.&quot;", "Quédate en casa.")
)


def collection(folder: Path, *contents: tuple[str, str | None, bytes], languages: tuple[str, ...]) -> Collection:
    sources = []
    for name, language, content in contents:
        (folder / name).write_bytes(content)
        sources.append(SourceFile(folder / name, language))
    return read(ReadRequest("own", languages, tuple(sources)))


def test_units_with_the_same_source_text_are_one_topic(tmp_path: Path) -> None:
    memories = (("de.tmx", None, GERMAN), ("es.tmx", "es", SPANISH))
    found = collection(tmp_path, *memories, languages=("de", "en", "es"))
    rows = {tag: dict(queries) for tag, queries in found.queries.items()}
    assert rows["en"] == {"A:1": "Wash your hands.", "A:2": "Stay at home.", "A:2-2": '"Stay at home."'}
    assert rows["de"] == {"A:1": "Wasch dir die Hände.", "A:2": "Bleib."}
    assert rows["es"] == {"A:1": "Lávate las manos.", "A:2-2": "Quédate en casa."}
    assert found.queries_are_documents
    assert [judgment.language for judgment in found.judgments["A:1"]] == ["de", "en", "es"]
    assert [judgment.language for judgment in found.judged("en", "A:2")] == ["de"]


def test_the_first_of_two_segments_counts(tmp_path: Path) -> None:
    twice = memory("de", ("1", "No.", "Nein."), ("2", "No.", "Keiner."))
    found = collection(tmp_path, ("de.tmx", None, twice), languages=("de", "en"))
    assert [tuple(query) for query in found.queries["de"]] == [("1", "Nein.")]


def test_tags_are_understood_in_any_form(tmp_path: Path) -> None:
    content = GERMAN.replace(b'srclang="en"', b'srclang="en-US"').replace(b'xml:lang="en"', b'xml:lang="eng"')
    other = collection(tmp_path, ("de.tmx", None, content.replace(b'"de"', b'"de_DE"')), languages=("de", "en"))
    plain = collection(tmp_path, ("de.tmx", None, GERMAN), languages=("de", "en"))
    assert other.fingerprint() == plain.fingerprint()


def test_an_archive_is_as_what_is_in_it(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("all.en-de.tmx", GERMAN)
        archive.writestr("README", "none")
    packed = collection(tmp_path, ("all.zip", None, (tmp_path / "all.zip").read_bytes()), languages=("de", "en"))
    plain = collection(tmp_path, ("de.tmx", None, GERMAN), languages=("de", "en"))
    assert packed.fingerprint() == plain.fingerprint()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "own.tmx is no TMX file: no element found"),
        (b"<tmx><body>", "own.tmx is no TMX file: no element found"),
        (memory("de", ("1", "", "Nein.")), "own.tmx: unit 1: there is no segment in the source language 'en'"),
        (memory("de", ("1", "No.", " ")), "own.tmx: unit 1: the segment in 'de' is empty"),
        (memory("de", ("1", "No.", "Nein."), header="<tmx>"), "no segment in the source language ''"),
    ],
)
def test_faults(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        collection(tmp_path, ("own.tmx", None, content), languages=("de", "en"))
