import json
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from folder_images import Notes, request
from pictures import save

from mlbench.collection.languages import IMAGE
from mlbench.errors import DataError, UnknownName
from mlbench.protocols import ReadRequest, SourceFile
from mlbench.tasks.readers.image_captions import read_crossmodal_3600


def row(key: str, **captions: list[str]) -> dict[str, object]:
    entries = {
        language: {"caption": texts, "caption/tokenized": texts, "caption/tokenized/lowercase": texts}
        for language, texts in captions.items()
    }
    return {"image/key": key, "image/locale": "quz", **entries}


ROWS = [row("00a", en=["one", "uno"], th=["หนึ่ง"], mi=["tahi"]), row("00b", en=["two"], th=["สอง", "๒"])]


def asked(root: Path, content: str | bytes, member: str = "captions.jsonl", notes: Notes | None = None) -> ReadRequest:
    data = content.encode() if isinstance(content, str) else content
    path = root / "captions.zip"
    if member:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("README", "x")
            archive.writestr(member, data)
    else:
        path.write_bytes(data)
    for number, key in enumerate(("00a", "00b")):
        save(root / "images" / f"{key}.jpg", number)
    return request(root, ("en", "th"), [SourceFile(path, None, "captions")], notes=notes)


def lines(rows: list[dict[str, object]]) -> str:
    return "\n".join(json.dumps(each, ensure_ascii=False) for each in rows)


@pytest.mark.parametrize("member", ["captions.jsonl", "web-data/captions.jsonl", ""])
def test_all_captions_are_kept(tmp_path: Path, member: str) -> None:
    collection = read_crossmodal_3600(asked(tmp_path, lines(ROWS) + "\n\n", member))
    assert collection.languages == ("en", IMAGE, "th")
    assert [tuple(query) for query in collection.queries["en"]] == [
        ("00a.jpg#1", "one"),
        ("00a.jpg#2", "uno"),
        ("00b.jpg#1", "two"),
    ]
    assert [query.text for query in collection.queries["th"]] == ["หนึ่ง", "สอง", "๒"]
    assert [query.topic_id for query in collection.queries[IMAGE]] == ["00a.jpg", "00b.jpg"]


def test_the_first_caption_of_each_image_is_the_first_that_is_not_blank(tmp_path: Path) -> None:
    rows = [row("00a", en=[" ", "one", "uno"], th=["x"]), row("00b", en=["two", "dos"], th=["y", "z"])]
    asked_one = replace(asked(tmp_path, lines(rows)), options={"captions_per_image": 1})
    collection = read_crossmodal_3600(asked_one)
    assert [query.text for query in collection.queries["en"]] == ["one", "two"]
    assert [query.text for query in collection.queries["th"]] == ["x", "y"]


def test_blank_captions_are_told(tmp_path: Path) -> None:
    notes = Notes()
    read_crossmodal_3600(
        asked(tmp_path, lines([row("00a", en=["one", " "], th=["x"]), row("00b", th=[""])]), notes=notes)
    )
    assert notes.notes[0] == "own: 2 captions are blank and left out"


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ('{"image/key": 3}', "captions.zip line 1: 'image/key' must be the name of an image, not 3"),
        ('{"en": {}}', "captions.zip line 1: 'image/key' must be the name of an image, not None"),
        (lines(ROWS) + "\n[]", "captions.zip line 3: must be an object with 'image/key'"),
        (lines(ROWS) + "\n{", "captions.zip line 3: not valid JSON"),
        (b"\xff", "captions.zip line 1: not valid JSON"),
        ('{"image/key": "00a", "en": []}', "captions.zip line 1: 'en' must be an object with the captions"),
        ('{"image/key": "00a", "en": {}}', "captions.zip line 1: 'en' must be an object with the captions"),
        ('{"image/key": "00a", "en": {"caption": [1]}}', "captions.zip line 1: 'en' must be an object"),
        ("", "own: there are no captions in language 'en'"),
    ],
)
def test_faults_name_file_and_line(tmp_path: Path, content: str | bytes, fault: str) -> None:
    with pytest.raises(DataError) as caught:
        read_crossmodal_3600(asked(tmp_path, content))
    assert str(caught.value).startswith(fault)
    assert "\n" not in str(caught.value)


def test_another_zip_file_or_a_damaged_one(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no captions\.jsonl, only README, other\.jsonl"):
        read_crossmodal_3600(asked(tmp_path, "", "other.jsonl"))
    whole = asked(tmp_path, lines(ROWS) * 50)
    content = bytearray((tmp_path / "captions.zip").read_bytes())
    content[200] ^= 255
    (tmp_path / "captions.zip").write_bytes(content)
    with pytest.raises(DataError, match="is damaged"):
        read_crossmodal_3600(whole)
    (tmp_path / "captions.zip").unlink()
    with pytest.raises(DataError, match="cannot be read"):
        read_crossmodal_3600(whole)


def test_it_has_no_options(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="option of the reader crossmodal_3600"):
        read_crossmodal_3600(request(tmp_path, ("en",), options={"first": True}))
