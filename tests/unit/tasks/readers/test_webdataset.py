import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from folder_images import FolderImages, Notes
from hub_server import serving_hub
from pictures import noise, save

from mlbench.collection.languages import IMAGE
from mlbench.collection.records import Collection, Image
from mlbench.errors import DataError, InvalidTask, UserError
from mlbench.protocols import Parameter, ReadRequest, SourceFile
from mlbench.tasks.load import load_collection
from mlbench.tasks.readers.webdataset import read
from mlbench.tasks.task import load_task

Members = Mapping[str, bytes | str | object]


def picture(seed: int, kind: str = "PNG") -> bytes:
    stream = io.BytesIO()
    noise(seed).save(stream, kind)
    return stream.getvalue()


def shard(path: Path, members: Members, mode: str = "w") -> Path:
    """Write a tar file; what is neither bytes nor text becomes JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, entry in members.items():
            content = (
                entry if isinstance(entry, bytes) else (entry if isinstance(entry, str) else json.dumps(entry)).encode()
            )
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def two_languages(root: Path) -> Path:
    """Write two shards that have a key in common, with captions in every way that a language can be said."""
    shard(
        root / "0.tar",
        {
            "0.jpg": picture(0, "JPEG"),
            "0.en.txt": "one\nuno\n",
            "0.th.txt": "หนึ่ง",
            "1.png": picture(1),
            "1.json": {"captions": {"en": ["two", " "], "th": "สอง"}, "url": "https://pets.org/1"},
        },
    )
    shard(
        root / "1.tar",
        {
            "./0.webp": picture(2, "WEBP"),
            "./0.json": {"en": ["not read"], "th": "สาม"},
            "./0.en.txt": "\ufeffthree\r\n",
        },
    )
    return root


def texts(collection: Collection) -> dict[str, list[tuple[str, str]]]:
    return {tag: [(row.topic_id, row.text) for row in rows] for tag, rows in collection.queries.items() if tag != IMAGE}


def image_files(collection: Collection) -> list[Path]:
    return [document.text.path for document in collection.documents[IMAGE] if isinstance(document.text, Image)]


def test_captions_say_their_language(tmp_path: Path) -> None:
    collection = load_collection(load_task(str(two_languages(tmp_path))))
    assert texts(collection) == {
        "en": [
            ("0.tar/0.jpg#1", "one"),
            ("0.tar/0.jpg#2", "uno"),
            ("0.tar/1.png#1", "two"),
            ("1.tar/0.webp#1", "three"),
        ],
        "th": [("0.tar/0.jpg#1", "หนึ่ง"), ("0.tar/1.png#1", "สอง"), ("1.tar/0.webp#1", "สาม")],
    }
    assert [path.read_bytes() for path in image_files(collection)] == [
        picture(0, "JPEG"),
        picture(1),
        picture(2, "WEBP"),
    ]


def test_languages_and_limit_restrict_what_is_read_and_unpacked(tmp_path: Path) -> None:
    many = {f"{n:02}.png": picture(n) for n in range(20)} | {f"{n:02}.en.txt": f"text {n}" for n in range(20)}
    shard(tmp_path / "wds/0.tar", many | {"00.th.txt": "ศูนย์"})
    task = load_task(str(tmp_path / "wds"))
    sample = load_collection(task, languages=["en"], limit=1)
    assert sample.languages == ("en", IMAGE)
    assert (len(sample.queries["en"]), len(sample.queries[IMAGE]), len(sample.documents[IMAGE])) == (1, 1, 11)
    unpacked = image_files(sample)[0].parent
    assert len(list(unpacked.iterdir())) == 11
    assert len(load_collection(task).documents[IMAGE]) == 20
    assert len(list(unpacked.iterdir())) == 20


def test_clip_benchmark_s_layout(tmp_path: Path) -> None:
    root = tmp_path / "wds_flickr8k"
    shard(root / "test/0.tar", {"s0000000.webp": picture(0, "WEBP"), "s0000000.txt": "a dog\nthe dog\\nruns"})
    shard(root / "test/1.tar", {"s0000001.webp": picture(1, "WEBP"), "s0000001.txt": "a cat"})
    shard(root / "train/0.tar", {"s0000000.webp": picture(9, "WEBP"), "s0000000.txt": "never"})
    (root / "dataset_type.txt").write_text("retrieval\n")
    (root / "test/nshards.txt").write_text("2\n")
    collection = load_collection(load_task(str(root), languages=["en"]))
    assert [query.text for query in collection.queries["en"]] == ["a dog", "the dog\\nruns", "a cat"]
    assert len(collection.documents[IMAGE]) == 2
    with pytest.raises(InvalidTask, match="languages: the data do not say theirs: add --languages TAG"):
        load_task(str(root))
    with pytest.raises(InvalidTask, match="are all of one: name one with --languages TAG"):
        load_task(str(root), languages=["de", "en"])
    (root / "test/nshards.txt").write_text("3\n")
    with pytest.raises(InvalidTask, match=r"nshards\.txt says '3', but there are 2 shards"):
        load_task(str(root), languages=["en"])
    (root / "dataset_type.txt").write_text("multilabel")
    with pytest.raises(InvalidTask, match=r"dataset_type\.txt says 'multilabel': only data sets for retrieval"):
        load_task(str(root), languages=["en"])


def test_img2dataset_s_layout(tmp_path: Path) -> None:
    """Captions stand in `.txt` and in `.json`, which says much else."""
    about = {"caption": "a dog", "url": "https://pets.org/1", "key": "000000000", "status": "success", "exif": "{}"}
    shard(
        tmp_path / "00000.tar", {"000000000.jpg": picture(0, "JPEG"), "000000000.txt": "a dog", "000000000.json": about}
    )
    shard(tmp_path / "00001.tar", {"000010000.jpg": picture(1, "JPEG"), "000010000.json": about | {"caption": "a cat"}})
    (tmp_path / "00000_stats.json").write_text("{}")
    collection = load_collection(load_task(str(tmp_path), languages=["en"]))
    assert [query.text for query in collection.queries["en"]] == ["a dog", "a cat"]


@pytest.mark.parametrize(
    ("pattern", "kept"),
    [("{00..01}.tar", [0, 1]), ("{00,02}.tar", [0, 2]), ("02.tar", [2]), ("0{0..2}.tar", [0, 1, 2])],
)
def test_some_of_the_shards(tmp_path: Path, pattern: str, kept: list[int]) -> None:
    for number in range(3):
        shard(tmp_path / f"wds/{number:02}.tar", {"a.png": picture(number), "a.en.txt": f"text {number}"})
    wanted = [f"text {number}" for number in kept]
    task = load_task(str(tmp_path / "wds" / pattern))
    assert [query.text for query in load_collection(task).queries["en"]] == wanted
    (tmp_path / "own.toml").write_text(f'name = "own"\nfolder = "wds/{pattern}"\n')
    collection = load_collection(load_task(str(tmp_path / "own.toml")))
    assert [query.text for query in collection.queries["en"]] == wanted


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("{00..03}.tar", r"there is no file 03\.tar, which {00\.\.03}\.tar names"),
        ("7.tar", r"there is no file 7\.tar"),
        ("{0..999999999}.tar", "names more than 100,000 files"),
        ("{0..999}{0..999}.tar", "names more than 100,000 files"),
        ("{3..1}.tar", "has braces that are none"),
        ("{0..1.tar", "has braces that are none"),
        ("{}.tar", "has braces that are none"),
    ],
)
def test_patterns_that_name_no_shards(tmp_path: Path, pattern: str, said: str) -> None:
    for number in range(3):
        shard(tmp_path / f"{number:02}.tar", {"a.png": picture(number), "a.en.txt": "x"})
    with pytest.raises(UserError, match=said):
        load_task(str(tmp_path / pattern))


def test_a_pattern_beside_files_that_the_folder_names_itself(tmp_path: Path) -> None:
    two_languages(tmp_path)
    (tmp_path / "task.toml").write_text('name = "own"\nfolder = "0.tar"\n')
    assert [file.path for file in load_task(str(tmp_path)).files] == ["0.tar"]
    with pytest.raises(InvalidTask, match=r"task\.toml names files of its own"):
        load_task(str(tmp_path / "1.tar"))


def test_the_captions_of_a_shard_that_the_task_file_gives_a_language(tmp_path: Path) -> None:
    shard(tmp_path / "de.tar", {"a.png": picture(0), "a.txt": "eins"})
    shard(tmp_path / "en.tar", {"b.png": picture(1), "b.txt": "two"})
    files = "".join(f'[[files]]\npath = "{tag}.tar"\nrole = "shard"\nlanguage = "{tag}"\n' for tag in ("de", "en"))
    (tmp_path / "own.toml").write_text(
        f'name = "own"\nkind = "image_text"\nreader = "webdataset"\nlanguages = ["de", "en"]\n{files}'
        '[images]\nfolder = "images"\n'
    )
    collection = load_collection(load_task(str(tmp_path / "own.toml")))
    assert texts(collection) == {"de": [("de.tar/a.png#1", "eins")], "en": [("en.tar/b.png#1", "two")]}


def test_plain_texts_beside_captions_that_say_their_language_are_left_out(tmp_path: Path) -> None:
    members = {"a.png": picture(0), "a.txt": "a cat", "a.th.txt": "แมว", "b.png": picture(1), "b.txt": "a dog"}
    collection = load_collection(load_task(str(shard(tmp_path / "0.tar", members).parent)))
    assert texts(collection) == {"th": [("0.tar/a.png#1", "แมว")]}


def test_folders_of_languages_share_their_images(tmp_path: Path) -> None:
    """As data sets that were exported once for each language, with keys that need not agree."""
    root = tmp_path / "wds"
    shard(root / "de/test/0.tar", {"s0.png": picture(0), "s0.txt": "eins", "s1.png": picture(1), "s1.txt": "zwei"})
    shard(root / "en/test/0.tar", {"s0.png": picture(1), "s0.txt": "two", "s1.png": picture(0), "s1.txt": "one"})
    collection = load_collection(load_task(str(root)))
    assert texts(collection) == {
        "de": [("de/test/0.tar/s0.png#1", "eins"), ("de/test/0.tar/s1.png#1", "zwei")],
        "en": [("de/test/0.tar/s1.png#1", "two"), ("de/test/0.tar/s0.png#1", "one")],
    }
    assert [path.read_bytes() for path in image_files(collection)] == [picture(0), picture(1)]


def test_shards_on_the_hub(tmp_path: Path) -> None:
    one = shard(tmp_path / "0.tar", {"0.png": picture(0), "0.txt": "one"}).read_bytes()
    two = shard(tmp_path / "1.tar", {"1.png": picture(1), "1.txt": "two"}).read_bytes()
    files = {"test/0.tar": one, "test/1.tar": two, "train/0.tar": one, "test/nshards.txt": b"2"}
    with serving_hub({"own/wds": files}, tmp_path / "hub") as hub:
        collection = load_collection(load_task(hub.address("own/wds"), languages=["en"]))
        assert [row.text for row in collection.queries["en"]] == ["one", "two"]
        assert [path.read_bytes() for path in image_files(collection)] == [picture(0), picture(1)]
        with pytest.raises(InvalidTask, match="the data do not say theirs: add --languages TAG"):
            load_task(hub.address("own/wds"))


def asked(root: Path, members: Members, languages: tuple[str, ...] = ("en",), **options: Parameter) -> ReadRequest:
    path = shard(root / "0.tar", members)
    for name in ("a.png", "b.png"):
        save(root / "images/wds/0.tar" / name)
    source = SourceFile(path, None, "shard", "wds/0.tar")
    return ReadRequest(
        "own", languages, (source,), options=options, progress=Notes(), images=FolderImages(root / "images")
    )


GOOD: Members = {"a.png": b"", "a.en.txt": "one"}


@pytest.mark.parametrize(
    ("members", "fault"),
    [
        ({"b.en.txt": "two"}, "0.tar: b: has captions and no image"),
        ({"../b.png": b"", "../b.en.txt": "two"}, "0.tar: ../b.png: '../b.png' must be a relative path that stays"),
        ({"/b.png": b""}, "0.tar: /b.png: '/b.png' must be a relative path that stays inside its folder"),
        ({"./a.png": b""}, "0.tar: ./a.png: is there twice"),
        ({"a.jpg": b""}, "0.tar: a.jpg: is a second image of the sample of a.png"),
        ({"b.png": b"", "b.en.txt": b"\xff"}, "0.tar: b.en.txt: 'utf-8' codec can't decode byte 0xff"),
        ({"b.png": b"", "b.json": "{"}, "0.tar: b.json: Expecting property name"),
        ({"b.png": b"", "b.json": "[" * 100_000}, "0.tar: b.json: is nested too deeply"),
        ({"b.png": b"", "b.json": ["x"]}, "0.tar: b.json: must hold an object, such as {'captions'"),
        ({"b.png": b"", "b.json": {"caption": 3}}, "0.tar: b.json: 'caption' must be a text or a list of texts, not 3"),
        ({"b.png": b"", "b.json": {"captions": {"en": [1]}}}, "0.tar: b.json: 'captions.en' must be a text or a list"),
        ({"b.png": b"", "b.json": {"captions": {"x1": "x"}}}, "0.tar: b.json: 'x1' is not a language tag"),
    ],
)
def test_a_fault_names_its_shard_and_member(tmp_path: Path, members: Members, fault: str) -> None:
    with pytest.raises(DataError) as caught:
        read(asked(tmp_path, {**GOOD, **members}))
    assert str(caught.value).startswith(fault)
    assert "\n" not in str(caught.value)


def test_all_faults_are_gathered(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        read(asked(tmp_path, {"b.en.txt": "two", "c.json": "[]", "d.en.txt": "four"}))
    assert len(caught.value.__notes__) == 3


def test_what_is_no_part_of_a_sample_is_passed_over(tmp_path: Path) -> None:
    others = {
        "README": "x",
        "._a.png": b"x",
        "a.cls": "3",
        "a.pickle": b"\x80\x04.",
        "a.tags.more.txt": "no",
        "c.txt": "",
    }
    collection = read(asked(tmp_path, {**GOOD, **others}))
    assert texts(collection) == {"en": [("wds/0.tar/a.png#1", "one")]}


def test_links_are_passed_over(tmp_path: Path) -> None:
    request = asked(tmp_path, GOOD)
    with tarfile.open(tmp_path / "0.tar", "a") as archive:
        link = tarfile.TarInfo("b.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    assert len(read(request).documents[IMAGE]) == 1


def test_captions_that_say_nothing_or_no_language_are_told(tmp_path: Path) -> None:
    request = asked(tmp_path, {**GOOD, "b.png": b"", "b.txt": "two", "c.png": b"", "c.txt": " "}, ("de", "en"))
    with pytest.raises(DataError, match="there are no captions in language 'de'"):
        read(request)
    assert isinstance(request.progress, Notes)
    assert request.progress.notes == [
        "own: images without a caption: 2, such as wds/0.tar/b.png; left out",
        "own: images with captions that do not say a language: 1, such as wds/0.tar/b.png; left out",
    ]


@pytest.mark.parametrize("cut", [700, 1300])
def test_a_damaged_shard_is_one_line(tmp_path: Path, cut: int) -> None:
    path = two_languages(tmp_path) / "0.tar"
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(InvalidTask, match=r"folder: .*0\.tar is damaged, or no archive") as caught:
        load_task(str(tmp_path))
    assert len(caught.value.faults) == 1


def test_a_text_of_gigabytes_is_not_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.en\.txt: has more than 1,048,576 bytes, the most that are read"):
        read(asked(tmp_path, {"a.png": b"", "a.en.txt": b"x" * 2_000_000}))


def test_a_broken_image_is_named_with_its_shard(tmp_path: Path) -> None:
    images = {f"{n}.png": picture(n) for n in range(3)} | {"3.png": b"no image"}
    shard(tmp_path / "0.tar", images | {f"{n}.en.txt": str(n) for n in range(4)})
    collection = load_collection(load_task(str(tmp_path)))
    assert collection.unreadable == ("0.tar/3.png",)
    assert [query.text for query in collection.queries["en"]] == ["0", "1", "2"]


def test_a_packed_shard(tmp_path: Path) -> None:
    shard(tmp_path / "0.tar.gz", {"a.png": picture(0), "a.en.txt": "one"}, "w:gz")
    assert texts(load_collection(load_task(str(tmp_path)))) == {"en": [("0.tar.gz/a.png#1", "one")]}


def test_shards_stand_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for number in (10, 2, 1):
        shard(tmp_path / f"{number}.tar", {"a.png": picture(number), "a.en.txt": str(number)})
    assert [file.path for file in load_task(str(tmp_path)).files] == ["1.tar", "2.tar", "10.tar"]


def test_captions_beside_shards_are_those_of_the_images_in_them(tmp_path: Path) -> None:
    """One file of captions for each language, and shards of images alone."""
    shard(tmp_path / "0.tar", {"a.png": picture(0)})
    shard(tmp_path / "1.tar", {"x/b.png": picture(1)})
    for tag in ("de", "en"):
        rows = [{"image": "a.png", "caption": f"{tag} a"}, {"image": "x/b.png", "caption": f"{tag} b"}]
        (tmp_path / f"captions.{tag}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    collection = load_collection(load_task(str(tmp_path)))
    assert texts(collection)["de"] == [("a.png#1", "de a"), ("x/b.png#1", "de b")]
    assert [path.read_bytes() for path in image_files(collection)] == [picture(0), picture(1)]
