from pathlib import Path

import pytest
from folder_images import Notes, request
from pictures import folder, save

from mlbench.collection.languages import IMAGE
from mlbench.collection.records import Collection
from mlbench.errors import DataError, UnknownName
from mlbench.protocols import Parameter, SourceFile
from mlbench.tasks.readers.captions_jsonl import read

GOOD = {"de": [("a.png", "eins"), ("b.png", "zwei")], "en": [("a.png", "one"), ("b.png", "two")]}


def read_folder(
    root: Path, languages: tuple[str, ...] = ("de", "en"), notes: Notes | None = None, **options: Parameter
) -> Collection:
    sources = [SourceFile(path, path.name.split(".")[1], "captions") for path in sorted(root.glob("captions.*.jsonl"))]
    return read(request(root, languages, sources, options=options, notes=notes))


def with_lines(root: Path, *lines: str) -> Path:
    folder(root, GOOD)
    (root / "captions.de.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return root


def faults(root: Path) -> list[str]:
    with pytest.raises(DataError) as caught:
        read_folder(root)
    assert "\n" not in str(caught.value)
    return list(caught.value.__notes__)


def test_a_small_collection(tmp_path: Path) -> None:
    notes = Notes()
    collection = read_folder(folder(tmp_path, GOOD), notes=notes)
    assert [query.text for query in collection.queries["de"]] == ["eins", "zwei"]
    assert [query.topic_id for query in collection.queries["en"]] == ["a.png#1", "b.png#1"]
    assert len(collection.documents[IMAGE]) == 2
    assert collection.cluster_unit == "image"
    assert notes.notes == []


def test_several_captions_in_a_line_or_in_several_lines(tmp_path: Path) -> None:
    one = with_lines(
        tmp_path / "one", '{"image": "a.png", "captions": ["eins", "uno"]}', '{"image": "b.png", "caption": "x"}'
    )
    two = with_lines(
        tmp_path / "two",
        '{"image": "a.png", "caption": "eins"}',
        '{"image": "./b.png", "caption": "x"}',
        '{"image": "a.png", "caption": "uno"}',
    )
    first, second = read_folder(one), read_folder(two)
    assert [query.topic_id for query in first.queries["de"]] == ["a.png#1", "a.png#2", "b.png#1"]
    assert first.fingerprints() == second.fingerprints()


def test_other_languages_and_keys_are_passed_over(tmp_path: Path) -> None:
    root = with_lines(tmp_path, '{"image": "a.png", "caption": "eins", "source": "me"}')
    assert read_folder(root, ("de",)).languages == ("de", IMAGE)


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ('{"caption": "x"}', "key 'image' is missing"),
        ('{"image": "a.png"}', "must have either 'caption' or 'captions'"),
        ('{"image": "a.png", "caption": "x", "captions": ["y"]}', "must have either 'caption' or 'captions'"),
        ('{"image": "a.png", "caption": " "}', "'caption' is empty"),
        ('{"image": "a.png", "caption": null}', "'caption' must be a string, not null"),
        ('{"image": "a.png", "captions": []}', "'captions' must be a list of texts that is not empty"),
        ('{"image": "a.png", "captions": "x"}', "'captions' must be a list of texts that is not empty"),
        ('{"image": "a.png", "captions": ["x", 3]}', "'captions[1]' must be a string, not a number"),
        ('{"image": "a.png", "caption": "\\ud800"}', "'caption' holds half of a surrogate pair"),
        ('{"image": "../secret.png", "caption": "x"}', "'image': '../secret.png' must be a relative path that stays"),
        ('{"image": "/etc/passwd", "caption": "x"}', "'image': '/etc/passwd' must be a relative path"),
        ('{"image": "a\\\\b.png", "caption": "x"}', "'image': 'a\\\\b.png' must be a relative path"),
        ('{"image": "a.png", "caption": "x", "cluster": ""}', "'cluster' is empty"),
        ('{"image": "a.png", ', "not valid JSON"),
        ('["a.png", "x"]', "must be an object such as {'image': 'dog.jpg', 'caption': ...}"),
    ],
)
def test_a_fault_names_its_file_and_line(tmp_path: Path, line: str, fault: str) -> None:
    (found,) = faults(with_lines(tmp_path, '{"image": "a.png", "caption": "eins"}', line))
    assert found.startswith(f"captions.de.jsonl line 2: {fault}")


def test_all_faults_are_gathered(tmp_path: Path) -> None:
    root = with_lines(
        tmp_path,
        '{"image": "a.png", "caption": "x", "cluster": "one"}',
        '{"image": "a.png", "caption": "y", "cluster": "two"}',
        "no JSON",
    )
    (root / "captions.en.jsonl").write_bytes(b"")
    found = faults(root)
    assert found[0] == "captions.de.jsonl line 2: image 'a.png' is in cluster 'two', elsewhere in 'one'"
    assert found[1].startswith("captions.de.jsonl line 3: not valid JSON")
    assert found[2:] == ["captions.en.jsonl: the file is empty"]


def test_a_language_without_a_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no file of captions for language 'th'"):
        read_folder(folder(tmp_path, GOOD), ("de", "th"))


def test_clusters_have_the_name_that_the_task_gives_them(tmp_path: Path) -> None:
    root = with_lines(tmp_path, '{"image": "a.png", "caption": "x", "cluster": "holiday"}')
    assert read_folder(root).cluster_unit == "cluster"
    collection = read_folder(root, cluster_unit="album")
    assert collection.cluster_unit == "album"
    assert collection.clusters["a.png#1"] == "holiday"
    with pytest.raises(UnknownName, match="did you mean cluster_unit"):
        read_folder(root, cluster_units="album")


def test_images_without_captions_are_counted(tmp_path: Path) -> None:
    root = folder(tmp_path, {"de": [("x/a.png", "eins")], "en": [("x/a.png", "one")]})
    save(root / "images" / "x" / "b.png")
    save(root / "images" / "c.JPEG")
    (root / "images" / "README.txt").write_text("nothing")
    notes = Notes()
    assert len(read_folder(root, notes=notes).documents[IMAGE]) == 1
    assert notes.notes == ["own: images without a caption: 2, such as c.JPEG; left out"]


def test_captions_that_several_images_have_are_counted(tmp_path: Path) -> None:
    root = folder(tmp_path, GOOD | {"en": [("a.png", "one"), ("b.png", "one "), ("a.png", "two")]})
    notes = Notes()
    collection = read_folder(root, notes=notes)
    assert len(collection.documents["en"]) == 3
    (note,) = notes.notes
    assert note.startswith("own: captions that several images have: 1, such as 'one' in en")
