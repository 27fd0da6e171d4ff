from pathlib import Path

import pytest
from folder_images import Notes, request
from pictures import save

from mlbench.collection.languages import IMAGE
from mlbench.errors import DataError, UnknownName
from mlbench.protocols import ReadRequest, SourceFile
from mlbench.tasks.readers.image_captions import read_xflickrco

GOOD = (
    '{"sentences": ["Der Mann trägt eine Mütze."], "id": "1007", "img_path": "1007.jpg"}\n'
    '{"sentences": ["An individual is in the open.\\n", "zwei"], "id": 39, "img_path": "COCO_val2014_39.jpg"}\n'
)


def asked(root: Path, content: str) -> ReadRequest:
    (root / "de.jsonl").write_text(content, encoding="utf-8")
    save(root / "images" / "1007.jpg", 1)
    save(root / "images" / "COCO_val2014_39.jpg", 2)
    return request(root, ("de",), [SourceFile(root / "de.jsonl", "de", "captions")])


def test_sentences_are_captions_of_their_image(tmp_path: Path) -> None:
    collection = read_xflickrco(asked(tmp_path, GOOD))
    assert [tuple(query) for query in collection.queries["de"]] == [
        ("1007.jpg#1", "Der Mann trägt eine Mütze."),
        ("COCO_val2014_39.jpg#1", "An individual is in the open."),
        ("COCO_val2014_39.jpg#2", "zwei"),
    ]
    assert [query.topic_id for query in collection.queries[IMAGE]] == ["1007.jpg", "COCO_val2014_39.jpg"]


def test_a_blank_caption_is_left_out_and_told(tmp_path: Path) -> None:
    """As line 1,960 of the German file and line 901 of the Indonesian one are published."""
    asked_blank = asked(tmp_path, GOOD + '{"sentences": [""], "id": 39, "img_path": "COCO_val2014_39.jpg"}\n')
    collection = read_xflickrco(asked_blank)
    assert len(collection.queries["de"]) == 3
    assert isinstance(asked_blank.progress, Notes)
    assert asked_blank.progress.notes == ["own: 1 caption is blank and left out"]


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ('{"sentences": ["x"]}', "key 'img_path' is missing"),
        ('{"sentences": [], "img_path": "a.jpg"}', "'sentences' must be a list of texts that is not empty"),
        ('{"sentences": [1], "img_path": "a.jpg"}', "'sentences' must be a list of texts that is not empty"),
        ('{"sentences": ["x"], "img_path": "../a.jpg"}', "'img_path': '../a.jpg' must be a relative path"),
        ("{", "not valid JSON"),
    ],
)
def test_faults_name_file_and_line(tmp_path: Path, line: str, fault: str) -> None:
    with pytest.raises(DataError) as caught:
        read_xflickrco(asked(tmp_path, GOOD + line))
    assert str(caught.value).startswith(f"de.jsonl line 3: {fault}")


def test_it_has_no_options(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="option of the reader xflickrco"):
        read_xflickrco(request(tmp_path, ("de",), options={"x": 1}))
