import json
import zipfile
from pathlib import Path

import pytest
from folder_images import request
from pictures import save

from mlbench.collection.languages import IMAGE
from mlbench.errors import DataError, UnknownName
from mlbench.protocols import Parameter, ReadRequest, SourceFile
from mlbench.tasks.readers.image_captions import read_coco_captions

OFFICIAL = {
    "info": {"year": 2014},
    "images": [{"id": 7, "file_name": "COCO_7.jpg"}, {"id": 9, "file_name": "COCO_9.jpg"}],
    "annotations": [
        {"image_id": 9, "id": 1, "caption": "nine\n"},
        {"image_id": 7, "id": 2, "caption": "seven"},
        {"image_id": 9, "id": 3, "caption": "neun"},
    ],
}


def karpathy(name: str, split: str, *texts: str) -> dict[str, object]:
    sentences = [{"tokens": text.split(), "raw": text, "imgid": 0, "sentid": 1} for text in texts]
    return {"filepath": "val2014", "filename": name, "split": split, "cocoid": 3, "sentences": sentences}


KARPATHY = {
    "dataset": "coco",
    "images": [
        karpathy("COCO_1.jpg", "train", "one"),
        karpathy("COCO_9.jpg", "test", "nine\n", "neun"),
        karpathy("COCO_7.jpg", "test", "seven"),
    ],
}
LIST = [
    {"image": "val2014/COCO_9.jpg", "caption": ["nine", "neun"]},
    {"image": "val2014/COCO_7.jpg", "caption": "seven"},
]


def asked(root: Path, content: object, packed_as: str = "", **options: Parameter) -> ReadRequest:
    data = content if isinstance(content, str) else json.dumps(content)
    path = root / "captions.json"
    if packed_as:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(packed_as, data)
    else:
        path.write_text(data)
    for number in (1, 7, 9):
        save(root / "images" / f"COCO_{number}.jpg", number)
    return request(root, ("en",), [SourceFile(path, None, "captions")], options=options)


@pytest.mark.parametrize("content", [OFFICIAL, KARPATHY, LIST], ids=["official", "karpathy", "list"])
def test_all_formats_say_the_same(tmp_path: Path, content: object) -> None:
    collection = read_coco_captions(asked(tmp_path, content))
    assert sorted(tuple(query) for query in collection.queries["en"]) == [
        ("COCO_7.jpg#1", "seven"),
        ("COCO_9.jpg#1", "nine"),
        ("COCO_9.jpg#2", "neun"),
    ]
    assert {query.topic_id for query in collection.queries[IMAGE]} == {"COCO_7.jpg", "COCO_9.jpg"}


def test_another_split_and_a_member_of_a_zip_file(tmp_path: Path) -> None:
    packed = asked(tmp_path, KARPATHY, "x/dataset_coco.json", member="dataset_coco.json", split="train")
    assert [query.text for query in read_coco_captions(packed).queries["en"]] == ["one"]
    with pytest.raises(DataError, match=r"holds no dataset_flickr30k\.json, only x/dataset_coco\.json"):
        read_coco_captions(asked(tmp_path, KARPATHY, "x/dataset_coco.json", member="dataset_flickr30k.json"))
    with pytest.raises(DataError, match="holds no named member"):
        read_coco_captions(asked(tmp_path, KARPATHY, "dataset_coco.json"))


def test_files_of_several_languages(tmp_path: Path) -> None:
    english = asked(tmp_path, OFFICIAL).files[0].path
    (tmp_path / "ja.json").write_text(json.dumps(LIST).replace("seven", "七"))
    sources = [SourceFile(english, "en", "captions"), SourceFile(tmp_path / "ja.json", "ja", "captions")]
    collection = read_coco_captions(request(tmp_path, ("en", "ja"), sources))
    assert collection.languages == ("en", IMAGE, "ja")
    assert len(collection.documents["ja"]) == len(collection.documents["en"]) == 3


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("{", "not valid JSON"),
        ("3", "must be an object or a list, not 3"),
        ("{}", "'images' must be a list, not None"),
        ("[3]", "'images' must be a list of objects, not of 3"),
        ('[{"caption": "x"}]', "'image' must be a text that is not empty, not None"),
        ('[{"image": "a.jpg", "caption": [" "]}]', "'caption' must be a text that is not empty, not ' '"),
        ('[{"image": "a.jpg"}]', "'caption' must be a text that is not empty, not None"),
        ('{"images": [{"filename": "a.jpg"}]}', "'sentences' must be a list, not None"),
        (
            '{"images": [], "annotations": [{"id": 4, "image_id": 5}]}',
            "the caption 4 is of image 5, which is not among",
        ),
        (
            '{"images": [{"id": [1], "file_name": "a.jpg"}], "annotations": [{"id": 4, "image_id": [5]}]}',
            "the caption 4 is of image [5], which is not among",
        ),
        ('{"images": [{"id": 1}], "annotations": []}', "'file_name' must be a text that is not empty, not None"),
    ],
)
def test_faults_name_the_file(tmp_path: Path, content: str, fault: str) -> None:
    with pytest.raises(DataError) as caught:
        read_coco_captions(asked(tmp_path, content))
    assert str(caught.value).startswith(f"captions.json: {fault}")
    assert "\n" not in str(caught.value)


def test_a_split_without_images(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there are no captions in language 'en'"):
        read_coco_captions(asked(tmp_path, KARPATHY, split="val"))
    with pytest.raises(UnknownName, match="option of the reader coco_captions"):
        read_coco_captions(asked(tmp_path, KARPATHY, splits="val"))
