import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from hashlib import md5, sha256
from pathlib import Path
from types import SimpleNamespace

import pytest
from pictures import folder, save
from test_task_files import Behaviour, Heard, served

from mlbench.collection.languages import IMAGE
from mlbench.errors import DataError, InvalidTask
from mlbench.evaluation.cache_contents import downloaded_data
from mlbench.tasks import files
from mlbench.tasks.files import ImageSources
from mlbench.tasks.load import load_collection, provide_images
from mlbench.tasks.task import Task, load_task

NAMES = ("a.png", "x/b.png")


def a_task(root: Path, images: str = 'folder = "pets/images"', archives: str = "") -> Task:
    root.mkdir(exist_ok=True)
    (root / "pets.toml").write_text(
        f"""
name = "pets"
kind = "image_text"
reader = "captions_jsonl"
languages = ["en"]
licence = "CC0 1.0"
[[files]]
path = "captions.en.jsonl"
role = "captions"
language = "en"
[images]
{images}
{archives}"""
    )
    folder_of_captions = {"en": [(name, f"the picture {name}") for name in NAMES]}
    folder(root, folder_of_captions)
    for path in sorted((root / "images").rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    return load_task(str(root / "pets.toml"))


def sources(task: Task, data_dir: Path | None = None, into: Path | None = None) -> ImageSources:
    assert task.images is not None
    return ImageSources(task, task.images, data_dir, Heard(), into)


def kept_in(cache: Path, content: bytes) -> Path:
    return cache / "data" / f"pets/pets.zip.{sha256(content).hexdigest()}"


def put(root: Path, *names: str, seed: int = 0) -> None:
    for number, name in enumerate(names, start=seed):
        save(root / "pets/images" / name, number)


def packed(path: Path, *names: str, seed: int = 0) -> bytes:
    """Write an archive of images, the same bytes whenever it is made, and return them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for number, name in enumerate(names, start=seed):
            content = save(path.parent / "to-pack.png", number).read_bytes()
            archive.writestr(zipfile.ZipInfo(f"pets-1.0/{name}"), content)
        archive.writestr(zipfile.ZipInfo("pets-1.0/other.png"), b"never asked for")
    (path.parent / "to-pack.png").unlink()
    return path.read_bytes()


def archive_of(content: bytes, url: str = "", name: str = "pets/pets.zip") -> str:
    address = f'url = "{url}"\n' if url else ""
    return f"""[[images.archives]]
path = "{name}"
{address}sha256 = "{sha256(content).hexdigest()}"
bytes = {len(content)}
"""


@pytest.fixture
def cache() -> Path:
    return files.cache_dir()


@contextmanager
def offline() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLBENCH_OFFLINE", "1")
        yield


class TestFolders:
    def test_beside_the_task_then_the_users(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        task = a_task(tmp_path / "task")
        given, named = tmp_path / "given", tmp_path / "named"
        monkeypatch.setenv("MLBENCH_DATA", str(named))
        for root in (named, given):
            put(root, *NAMES)
        expected = [named, given, tmp_path / "task"]
        put(tmp_path / "task", *NAMES)
        for root in reversed(expected):
            found = sources(task, given).find(NAMES)
            assert found == {name: root / "pets/images" / name for name in NAMES}
            for name in NAMES:
                (root / "pets/images" / name).unlink()

    def test_each_image_on_its_own_and_in_other_folders(self, tmp_path: Path) -> None:
        task = a_task(tmp_path, 'folder = "pets/images"\nalso = ["pets/images/train", "coco"]')
        save(tmp_path / "pets/images/train/a.png")
        save(tmp_path / "coco/x/b.png")
        found = sources(task).find(NAMES)
        assert found == {"a.png": tmp_path / "pets/images/train/a.png", "x/b.png": tmp_path / "coco/x/b.png"}

    def test_links_of_the_users_are_followed(self, tmp_path: Path) -> None:
        task = a_task(tmp_path)
        elsewhere = save(tmp_path / "blobs/abc.png")
        (tmp_path / "pets/images").mkdir(parents=True)
        (tmp_path / "pets/images/a.png").symlink_to(elsewhere)
        assert sources(task).find(["a.png"]) == {"a.png": tmp_path / "pets/images/a.png"}

    def test_what_is_no_file_is_missing(self, tmp_path: Path) -> None:
        task = a_task(tmp_path)
        inside = tmp_path / "pets/images"
        inside.mkdir(parents=True)
        (inside / "gone.png").symlink_to(tmp_path / "nowhere")
        (inside / "round.png").symlink_to(inside / "round.png")
        (inside / "endless.png").symlink_to("/dev/zero")
        (inside / "folder.png").mkdir()
        names = ["gone.png", "round.png", "endless.png", "folder.png"]
        with pytest.raises(
            DataError, match=r"4 of 4 images are missing, such as gone\.png, round\.png, endless\.png: "
        ):
            sources(task).find(names)

    @pytest.mark.parametrize("name", ["../a.png", "/etc/passwd", "x/../../a.png", "", "C:\\a.png"])
    def test_no_name_leads_out_of_the_folder(self, tmp_path: Path, name: str) -> None:
        task = a_task(tmp_path)
        save(tmp_path / "pets/a.png")
        with pytest.raises(DataError, match="must be a relative path that stays inside its folder"):
            sources(task).find([name])

    def test_the_missing_are_counted_and_the_message_says_what_to_do(self, tmp_path: Path) -> None:
        task = a_task(tmp_path, 'folder = "pets/images"\nsource = "https://pets.org, by request"')
        put(tmp_path / "given", "a.png")
        with pytest.raises(DataError) as caught:
            sources(task, tmp_path / "given").find(NAMES)
        assert str(caught.value) == (
            "pets: 1 of 2 images are missing, such as x/b.png: put it into DIR/pets/images, and pass --data-dir DIR; "
            "they come from https://pets.org, by request"
        )
        put(tmp_path, "a.png")
        with pytest.raises(DataError, match=f"put it into {tmp_path / 'pets/images'};"):
            sources(task).find(NAMES)


class TestArchives:
    def test_the_users_archive_is_unpacked_into_the_cache(self, tmp_path: Path, cache: Path) -> None:
        content = packed(tmp_path / "given/pets/pets.zip", *NAMES)
        task = a_task(tmp_path, archives=archive_of(content))
        found = sources(task, tmp_path / "given").find(NAMES)
        assert found == {name: kept_in(cache, content) / name for name in NAMES}
        assert sorted(path.name for path in (cache / "data").rglob("*.png")) == ["a.png", "b.png"]
        (tmp_path / "given/pets/pets.zip").unlink()
        assert sources(task).find(NAMES) == found

    def test_an_unchecked_archive_is_taken_as_it_is(self, tmp_path: Path) -> None:
        packed(tmp_path / "given/pets/pets.zip", *NAMES)
        archive = '[[images.archives]]\npath = "pets/pets.zip"\nurl = "https://pets.org/p.zip"\nunchecked = true\n'
        task = a_task(tmp_path, archives=archive)
        assert len(sources(task, tmp_path / "given").find(NAMES)) == 2
        with pytest.raises(
            DataError, match=r"or what they are packed in to DIR/pets/pets\.zip, and pass --data-dir DIR"
        ):
            sources(task).find(["c.png"])

    @pytest.mark.parametrize("declared", ["sha256", "unchecked", "beside the task file"])
    def test_another_archive_of_the_same_name_never_gets_its_images(self, tmp_path: Path, declared: str) -> None:
        found = {}
        for version, first in (("one", 0), ("two", 5), ("three", 0)):
            content = packed(tmp_path / version / "pets/pets.zip", *NAMES, seed=first)
            plain = '[[images.archives]]\npath = "pets/pets.zip"\n'
            archives = archive_of(content) if declared == "sha256" else plain
            if declared == "unchecked":
                archives += 'url = "https://pets.org/p.zip"\nunchecked = true\n'
            task = a_task(tmp_path / version, archives=archives)
            found[version] = sources(task, tmp_path / version).find(NAMES)
        assert found["one"] == found["three"]
        for name in NAMES:
            assert found["one"][name].read_bytes() != found["two"][name].read_bytes()
            for version, paths in found.items():
                with zipfile.ZipFile(tmp_path / version / "pets/pets.zip") as archive:
                    assert paths[name].read_bytes() == archive.read(f"pets-1.0/{name}")

    def test_a_task_without_an_archive_gets_none_of_the_cache(self, tmp_path: Path) -> None:
        content = packed(tmp_path / "given/pets/pets.zip", *NAMES)
        sources(a_task(tmp_path / "one", archives=archive_of(content)), tmp_path / "given").find(NAMES)
        with pytest.raises(DataError, match="2 of 2 images are missing"):
            sources(a_task(tmp_path / "two")).find(NAMES)

    def test_an_altered_archive_is_refused(self, tmp_path: Path) -> None:
        content = packed(tmp_path / "given/pets/pets.zip", *NAMES)
        task = a_task(tmp_path, archives=archive_of(content))
        (tmp_path / "given/pets/pets.zip").write_bytes(content[:-1])
        with pytest.raises(DataError, match=r"pets\.zip is truncated"):
            sources(task, tmp_path / "given").find(NAMES)

    def test_is_left_alone_where_nothing_of_it_is_missing(self, tmp_path: Path) -> None:
        task = a_task(tmp_path, archives=archive_of(b"x", "http://127.0.0.1:1/pets.zip"))
        put(tmp_path / "given", *NAMES)
        assert len(sources(task, tmp_path / "given").find(NAMES)) == 2

    def test_only_archives_that_may_hold_what_is_missing_are_fetched(self, tmp_path: Path, cache: Path) -> None:
        content = packed(tmp_path / "made/pets.zip", *NAMES)
        behaviour = Behaviour(content)
        with served(behaviour) as url:
            never = archive_of(b"x", "http://127.0.0.1:1/never.zip", "pets/never.zip") + 'holds = "*_train_*"\n'
            task = a_task(tmp_path, archives=never + archive_of(content, url))
            asked = sources(task)
            assert set(asked.find(NAMES).values()) == {kept_in(cache, content) / name for name in NAMES}
        assert len(behaviour.ranges) == 1
        heard = asked.progress
        assert isinstance(heard, Heard)
        assert heard.notes[0].startswith("pets: licence CC0 1.0")
        assert heard.notes[-1].startswith(
            "pets: 2 images are not on this machine: pets/pets.zip (0.0 GB) is downloaded"
        )
        assert heard.phases == [("download pets/pets.zip", len(content)), ("unpack", 2)]

    def test_an_interrupted_download_goes_on(self, tmp_path: Path) -> None:
        content = packed(tmp_path / "made/pets.zip", *NAMES)
        behaviour = Behaviour(content, cuts=[len(content) // 2])
        with served(behaviour) as url:
            task = a_task(tmp_path, archives=archive_of(content, url))
            assert len(sources(task).find(NAMES)) == 2
        assert behaviour.ranges == [None, f"bytes={len(content) // 2}-"]

    def test_offline_says_so(self, tmp_path: Path) -> None:
        task = a_task(tmp_path, archives=archive_of(b"x", "http://127.0.0.1:1/pets.zip"))
        with offline(), pytest.raises(DataError) as caught:
            sources(task).find(NAMES)
        assert str(caught.value).endswith(
            "put them into DIR/pets/images, or what they are packed in to DIR/pets/pets.zip, and pass --data-dir DIR; "
            "downloads are forbidden by MLBENCH_OFFLINE or HF_HUB_OFFLINE"
        )

    def test_a_large_archive_is_downloaded_where_that_was_asked_for(self, tmp_path: Path, cache: Path) -> None:
        content = packed(tmp_path / "made/pets.zip", *NAMES)
        with served(Behaviour(content)) as url:
            finder = replace(sources(a_task(tmp_path, archives=archive_of(content, url))), most_bytes=len(content) - 1)
            with pytest.raises(DataError, match=r"or let mlbench tasks download pets fetch 0\.0 GB"):
                finder.find(NAMES)
            assert len(replace(finder, most_bytes=None).find(NAMES)) == 2

    def test_an_archive_of_unknown_size_may_be_large(self, tmp_path: Path, cache: Path) -> None:
        content = packed(tmp_path / "made/pets.zip", *NAMES)
        behaviour = Behaviour(content)
        with served(behaviour) as url:
            known = md5(content, usedforsecurity=False).hexdigest()
            archives = f'[[images.archives]]\npath = "pets/pets.zip"\nurl = "{url}"\nmd5 = "{known}"\n'
            finder = sources(a_task(tmp_path, archives=archives))
            with pytest.raises(DataError, match="or let mlbench tasks download pets fetch them"):
                finder.find(NAMES)
            assert behaviour.ranges == []
            assert len(replace(finder, most_bytes=None).find(NAMES)) == 2

    def test_a_full_disk_is_told_before_anything_is_fetched(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        content = packed(tmp_path / "made/pets.zip", *NAMES)
        behaviour = Behaviour(content)
        monkeypatch.setattr("mlbench.tasks.files.shutil.disk_usage", lambda _: SimpleNamespace(free=len(content) - 1))
        with served(behaviour) as url, pytest.raises(DataError, match="GB are to be downloaded"):
            sources(a_task(tmp_path, archives=archive_of(content, url))).find(NAMES)
        assert behaviour.ranges == []

    def test_an_archive_without_the_image(self, tmp_path: Path) -> None:
        content = packed(tmp_path / "given/pets/pets.zip", "a.png")
        task = a_task(tmp_path, archives=archive_of(content))
        with pytest.raises(DataError, match=r"1 of 2 images are missing, such as x/b\.png"):
            sources(task, tmp_path / "given").find(NAMES)


class TestProviding:
    def test_everything_is_brought_into_the_folder(self, tmp_path: Path, cache: Path) -> None:
        content = packed(tmp_path / "made/pets.zip", "x/b.png")
        with served(Behaviour(content)) as url:
            task = a_task(tmp_path, archives=archive_of(content, url))
            save(kept_in(cache, content) / "a.png")
            (tmp_path / "given").mkdir()
            collection = provide_images(task, tmp_path / "given")
        assert [len(collection.documents[tag]) for tag in ("en", IMAGE)] == [2, 2]
        assert sources(task, tmp_path / "given").find(NAMES) == {
            name: tmp_path / "given/pets/images" / name for name in NAMES
        }
        with offline():
            again = load_collection(task, data_dir=tmp_path / "given")
        assert again.fingerprint() == collection.fingerprint()

    def test_what_lies_there_already_stays(self, tmp_path: Path) -> None:
        task = a_task(tmp_path)
        put(tmp_path / "given", *NAMES)
        before = (tmp_path / "given/pets/images/a.png").stat().st_mtime_ns
        provide_images(task, tmp_path / "given")
        assert (tmp_path / "given/pets/images/a.png").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("images", "fault"),
    [
        ('folder = "../x"', "images.folder: '../x' must be a relative path"),
        ('folders = "x"', "images.folder: is missing"),
        ('folder = "x"\nalso = ["/x"]', "images.also[0]: '/x' must be a relative path"),
        ('folder = "x"\n[[images.archives]]\nurl = "https://e.org/a"', "images.archives[0].path: is missing"),
        (
            'folder = "x"\n[[images.archives]]\npath = "a"\nurl = "https://e.org/a"',
            "images.archives[0]: a file with a url needs sha256",
        ),
    ],
)
def test_faults_of_a_declaration(tmp_path: Path, images: str, fault: str) -> None:
    with pytest.raises(InvalidTask) as caught:
        a_task(tmp_path, images)
    assert any(found.startswith(fault) for found in caught.value.faults)


def test_downloaded_archives_are_known_by_the_tasks_that_read_them(tmp_path: Path) -> None:
    for path in ("data/coco/val2014.zip", "data/xtd10/images/a.jpg"):
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_bytes(b"x")
    coco, xtd10 = downloaded_data(tmp_path)
    assert coco.tasks == ("coco-captions", "flickr30k", "xcoco", "xflickrco", "xtd10", "xtd200")
    assert xtd10.tasks == ("xtd10", "xtd200")
