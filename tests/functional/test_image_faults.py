"""Captioned images as users have them: whatever is wrong is one line, named and counted."""

import json
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from hashlib import sha256
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from command_line import CommandLine
from pictures import folder, huge, noise, png, save
from PIL import Image

from mlbench.collection.languages import IMAGE
from mlbench.collection.records import Collection
from mlbench.errors import DataError
from mlbench.tasks.load import load_collection
from mlbench.tasks.task import load_task

SOUND = ("a.jpg", "b.png", "c.png", "d.png")


@pytest.fixture
def command(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path)


def own(root: Path, *more: str) -> Path:
    """A folder of four sound images, and captions for `more`, which the test makes."""
    names = [*SOUND, *more]
    return folder(
        root / "own", {language: [(name, f"{language} {name}") for name in names] for language in ("de", "en")}
    )


def cut_jpeg(path: Path) -> None:
    save(path, 9, (300, 200))
    path.write_bytes(path.read_bytes()[:20_000])


def cmyk(path: Path) -> None:
    Image.new("CMYK", (20, 20), (10, 200, 30, 40)).save(path, "JPEG")


def animated(path: Path) -> None:
    frames = [noise(seed) for seed in (21, 22)]
    frames[0].save(path, "GIF", save_all=True, append_images=frames[1:])


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "cut.jpg": (cut_jpeg, "cannot be decoded: image file is truncated"),
    "empty.jpg": (lambda path: path.write_bytes(b""), "is empty"),
    "text.jpg": (lambda path: path.write_text("not found"), "cannot be decoded: it is no image that Pillow knows"),
    "huge.png": (lambda path: path.write_bytes(huge()), "has 400,000,000 pixels, at most 67,108,864 are read"),
}

ODD: dict[str, Callable[[Path], object]] = {
    "cmyk.jpg": cmyk,
    "deep.png": lambda path: path.write_bytes(png(2, 2, 16, 0, b"\x00" + bytes(4) + b"\x00" + bytes(range(4)))),
    "clear.png": lambda path: Image.new("RGBA", (9, 9), (0, 0, 0, 0)).save(path),
    "palette.png": lambda path: noise(5).convert("P").save(path),
    "moving.gif": animated,
    "my dog #1 100%.png": lambda path: save(path, 6),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_image_is_named_counted_and_left_out(command: CommandLine, name: str) -> None:
    make, fault = BROKEN[name]
    make(own(command.folder, name) / "images" / name)
    done = command("tasks", "check", "own")
    assert done.code == 0
    assert done.out.startswith("own is fine: 2 languages, 4 images, 8 topics in 4 clusters (image)")
    assert f"without 1 broken image and its captions: {name}" in done.out
    (warning,) = [line for line in done.err.splitlines() if line.startswith("warning")]
    assert warning.startswith(f"warning: own: 1 of 5 images cannot be used, such as {name}, which {fault}")
    assert warning.endswith(": left out, with their captions")
    rows = {row.split()[0]: row.split()[1:] for row in done.out.splitlines()[2:] if row[0] != "w"}
    # A caption and its translation are one topic.
    assert rows == {tag: ["4", "4", "4", "0"] for tag in ("de", "en", IMAGE)}


@pytest.mark.parametrize("name", ODD)
def test_an_odd_image_is_as_good_as_any(command: CommandLine, name: str) -> None:
    ODD[name](own(command.folder, name) / "images" / name)
    done = command("tasks", "check", "own")
    assert done.code == 0
    assert done.out.startswith("own is fine: 2 languages, 5 images")
    assert "warning" not in done.err
    if name == "moving.gif":
        assert "only the first frame of animated images is seen (1, such as moving.gif)" in done.err


def test_all_at_once_is_counted(command: CommandLine) -> None:
    root = own(command.folder, *BROKEN, *ODD)
    for name, make in ({name: make for name, (make, _) in BROKEN.items()} | ODD).items():
        make(root / "images" / name)
    done = command("tasks", "check", "own")
    assert done.code == 0
    assert "own is fine: 2 languages, 10 images" in done.out
    assert "without 4 broken images and their captions: cut.jpg, empty.jpg, huge.png, text.jpg" in done.out
    for name, (_, fault) in BROKEN.items():
        assert f"own: {name} {fault}" in done.err


def test_most_broken_is_an_error(command: CommandLine) -> None:
    root = own(command.folder)
    for name in SOUND[:3]:
        (root / "images" / name).write_bytes(b"")
    done = command("tasks", "check", "own")
    assert done.code == 2
    assert done.err.splitlines()[-1] == (
        "mlbench: error: own: 3 of 4 images cannot be used, such as a.jpg, which is empty: "
        "are these the images of the task?"
    )


def test_missing_images_are_counted(command: CommandLine) -> None:
    root = own(command.folder)
    for name in SOUND[1:3]:
        (root / "images" / name).unlink()
    (root / "images" / "b.png").symlink_to("/nowhere/b.png")
    done = command("tasks", "check", "own")
    assert done.code == 2
    (line,) = done.err.splitlines()
    assert line == (
        f"mlbench: error: own: 2 of 4 images are missing, such as b.png, c.png: put them into {Path('own', 'images')}"
    )


def test_a_caption_may_not_lead_out_of_the_folder(command: CommandLine) -> None:
    save(command.folder / "secret.png")
    root = own(command.folder)
    lines = [
        {"image": "../../secret.png", "caption": "x"},
        {"image": str(command.folder / "secret.png"), "caption": "x"},
    ]
    (root / "captions.de.jsonl").write_text("\n".join(map(json.dumps, lines)))
    done = command("tasks", "check", "own")
    assert done.code == 2
    listed = done.err.splitlines()
    assert listed[0].startswith("captions.de.jsonl line 1: 'image': '../../secret.png' must be a relative path")
    assert listed[1].startswith("captions.de.jsonl line 2: 'image': '")
    assert listed[2] == "mlbench: error: own has 2 faults, listed above"


def test_other_faults_of_captions_are_notes_or_errors(command: CommandLine) -> None:
    root = own(command.folder)
    save(root / "images" / "lonely.jpg", 99)
    (root / "images" / "c.png").write_bytes((root / "images" / "d.png").read_bytes())
    (root / "captions.en.jsonl").write_text(
        "\n".join(json.dumps({"image": name, "caption": "the same"}) for name in SOUND)
    )
    done = command("tasks", "check", "own")
    assert done.code == 0
    notes = done.err.splitlines()
    assert "own: images without a caption: 1, such as lonely.jpg; left out" in notes
    assert any(
        line.startswith("own: images that are the same file as another: 1, such as c.png and d.png") for line in notes
    )
    assert any(line.startswith("own: captions that several images have: 1, such as 'the same' in en") for line in notes)
    (root / "captions.en.jsonl").write_bytes(b"")
    done = command("tasks", "check", "own")
    assert (done.code, done.err) == (2, "mlbench: error: captions.en.jsonl: the file is empty\n")


def counts(collection: Collection) -> dict[str, tuple[int, int]]:
    return {tag: (len(collection.queries[tag]), len(collection.documents[tag])) for tag in collection.languages}


class TestSelecting:
    def test_languages_keep_the_images(self, tmp_path: Path) -> None:
        task = load_task(str(own(tmp_path)))
        collection = load_collection(task, languages=["de"])
        assert counts(collection) == {"de": (4, 4), IMAGE: (4, 4)}
        assert {row.language for rows in collection.judgments.values() for row in rows} == {"de", IMAGE}

    def test_a_limit_takes_the_same_images_everywhere(self, tmp_path: Path) -> None:
        names = [f"{number}.png" for number in range(30)]
        task = load_task(str(folder(tmp_path / "own", {tag: [(name, name) for name in names] for tag in ("de", "en")})))
        sample = load_collection(task, limit=2)
        assert counts(sample) == {"de": (2, 22), "en": (2, 22), IMAGE: (2, 22)}
        asking = {query.topic_id for query in sample.queries[IMAGE]}
        assert {query.topic_id.partition("#")[0] for query in sample.queries["de"]} == asking
        assert sample.fingerprints() == load_collection(task).sample(2).fingerprints()

    def test_expected_counts_include_what_is_broken(self, tmp_path: Path) -> None:
        root = own(tmp_path, "empty.jpg")
        (root / "images" / "empty.jpg").write_bytes(b"")
        expected = "\n".join(f"[expected.{what}]\nde = 5\nen = 5\nimage = IMAGES" for what in ("queries", "documents"))
        (root / "task.toml").write_text(expected.replace("IMAGES", "5"))
        for limit in (None, 1, 3):
            assert load_collection(load_task(str(root)), limit=limit).languages == ("de", "en", IMAGE)
        (root / "task.toml").write_text(expected.replace("IMAGES", "4"))
        with pytest.raises(DataError, match="image has 5 queries, expected are 4"):
            load_collection(load_task(str(root)))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """Serves the folder `served`."""
    (tmp_path / "served").mkdir()

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(tmp_path / "served"))) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        running.shutdown()


def declared(root: Path, name: str, url: str) -> str:
    content = (root / "served" / name).read_bytes()
    return (
        f'path = "far/{name}"\nurl = "{url}/{name}"\nsha256 = "{sha256(content).hexdigest()}"\nbytes = {len(content)}\n'
    )


def far(command: CommandLine, server: str, packed: str) -> Path:
    """A task whose captions and images must be downloaded."""
    source = folder(command.folder / "source", {"en": [(name, f"en {name}") for name in SOUND]})
    served = command.folder / "served"
    (source / "captions.en.jsonl").rename(served / "captions.en.jsonl")
    if packed.endswith("zip"):
        with zipfile.ZipFile(served / packed, "w") as archive:
            for name in SOUND:
                archive.write(source / "images" / name, f"far-2014/{name}")
            archive.writestr("../../escaped.png", b"evil")
    else:
        with tarfile.open(served / packed, "w:gz") as tar:
            for name in SOUND:
                tar.add(source / "images" / name, f"./{name}")
    path = command.folder / "far.toml"
    path.write_text(
        'name = "far"\nkind = "image_text"\nreader = "captions_jsonl"\nlanguages = ["en"]\nlicence = "CC0 1.0"\n'
        f'[images]\nfolder = "far/images"\n[[images.archives]]\n{declared(command.folder, packed, server)}'
        f'[[files]]\nrole = "captions"\nlanguage = "en"\n{declared(command.folder, "captions.en.jsonl", server)}'
    )
    return path


@pytest.mark.parametrize("packed", ["images.zip", "images.tgz"])
class TestDownloading:
    def test_into_a_folder_that_serves_elsewhere(self, command: CommandLine, server: str, packed: str) -> None:
        far(command, server, packed)
        done = command("tasks", "download", "far.toml", "--data-dir", "data")
        assert done.code == 0, done.err
        assert done.out.splitlines() == [
            f"far: 1 files in {Path('data', 'far')}",
            f"far: 4 images in {Path('data', 'far', 'images')}",
        ]
        assert "far: licence CC0 1.0" in done.err
        images = command.folder / "data" / "far" / "images"
        assert sorted(path.name for path in images.iterdir()) == sorted(SOUND)
        assert not list(command.folder.parent.rglob("escaped.png"))
        done = command("tasks", "check", "far.toml", "--data-dir", "data", environment={"MLBENCH_OFFLINE": "1"})
        assert done.out.startswith("far is fine: 1 language, 4 images")

    def test_into_the_cache_when_it_is_needed(self, command: CommandLine, server: str, packed: str) -> None:
        far(command, server, packed)
        offline = {"MLBENCH_OFFLINE": "1"}
        assert command("tasks", "check", "far.toml", environment=offline).code == 2
        assert command("tasks", "check", "far.toml").code == 0
        assert command("tasks", "check", "far.toml", environment=offline).code == 0
        assert len(list(command.cache.glob(f"data/far/{packed}.*/a.jpg"))) == 1


def test_screens_of_such_tasks(command: CommandLine) -> None:
    shown = command("tasks", "show", "xtd10").out
    assert "settings       11 text_to_image, 11 image_to_text, 1 image_to_pool" in shown
    assert "images         xtd10/images, else xtd10/images/train2014, else xtd10/images/val2014" in shown
    assert "images from    train2014.zip and val2014.zip of https://cocodataset.org/#download" in shown
    assert "archive        coco/val2014.zip  6,645,013,297 bytes, sha256 fe9be816" in shown
    assert "document text" not in shown
    by_hand = command("tasks", "show", "xm3600").out
    address = "https://google.github.io/crossmodal-3600/web-data/captions.zip"
    assert f"captions.zip  to be fetched by hand (no checksum of it is published): {address}" in by_hand
    rows = command("tasks", "list", environment={"COLUMNS": "320"}).out.splitlines()
    listed = {row.split()[0]: " ".join(row.split()) for row in rows}
    assert "11 languages 1,000 12,000 12,000 Adobe" in listed["xtd10"]
    assert "36 languages 3,600 ? ? CC BY 4.0" in listed["xm3600"]
    assert command("tasks", "show", "xtd10", "--json").out.count('"holds"') == 2


def test_a_task_that_needs_hands_says_what_to_fetch(command: CommandLine) -> None:
    done = command("tasks", "download", "xm3600")
    assert done.code == 2
    said = done.err.splitlines()[-1]
    assert said.startswith(
        "mlbench: error: xm3600/captions.zip is not on this machine, and not downloaded (no checksum of it is"
    )
    assert said.endswith(
        ": fetch https://google.github.io/crossmodal-3600/web-data/captions.zip, put it into a folder as "
        "DIR/xm3600/captions.zip and pass --data-dir DIR"
    )
    done = command("tasks", "download", "mini-images")
    assert done.out == "mini-images: nothing to download, its files came with it\n"
