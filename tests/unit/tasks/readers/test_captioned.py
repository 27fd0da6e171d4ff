import re
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

import pytest
from folder_images import FolderImages, Notes, request
from hypothesis import given
from hypothesis import strategies as st
from pictures import save

from mlbench.collection.languages import IMAGE
from mlbench.collection.records import Collection, Document, Image, Judgment, Query, document_id
from mlbench.errors import DataError, UserError
from mlbench.protocols import Parameter, ReadRequest
from mlbench.tasks.readers.captions import Caption, captioned, topic_of

ROWS = [
    Caption("b.png", "de", " zwei "),
    Caption("a.png", "en", "one"),
    Caption("a.png", "de", "eins"),
    Caption("a.png", "en", "uno"),
    Caption("b.png", "en", "two"),
    Caption("b.png", "fr", "deux"),
]


def images(folder: Path, names: Sequence[str], broken: Sequence[str] = ()) -> Path:
    for seed, name in enumerate(names):
        save(folder / "images" / name, seed)
    for name in broken:
        (folder / "images" / name).write_bytes(b"")
    return folder


def sample_of(folder: Path, rows: Sequence[Caption], limit: int, languages: Sequence[str]) -> Collection:
    return captioned(request(folder, languages, limit=limit), rows)


def without_counts(collection: Collection) -> dict[str, object]:
    fields = ("languages", "queries", "documents", "judgments", "clusters", "cluster_unit")
    return {name: getattr(collection, name) for name in fields}


def test_a_caption_that_an_image_has_twice_is_told(tmp_path: Path) -> None:
    rows = [*ROWS, Caption("a.png", "en", " uno "), Caption("b.png", "en", "uno"), Caption("b.png", "fr", "deux")]
    notes = Notes()
    collection = captioned(request(images(tmp_path, ["a.png", "b.png"]), ("de", "en"), notes=notes), rows)
    assert notes.notes == [
        "own: captions that an image has more than once: 1, such as 'uno' of a.png in en: "
        "each counts as often as it is listed"
    ]
    assert len(collection.documents["en"]) == 5


def test_images_and_captions_stand_for_each_other(tmp_path: Path) -> None:
    collection = captioned(request(images(tmp_path, ["a.png", "b.png"]), ("de", "en")), ROWS)
    assert collection.languages == ("de", "en", IMAGE)
    assert collection.queries["de"] == (Query("b.png#1", "zwei"), Query("a.png#1", "eins"))
    assert collection.queries["en"] == (
        Query("a.png#1", "one"),
        Query("a.png#2", "uno"),
        Query("b.png#1", "two"),
    )
    assert collection.documents["de"] == (
        Document(document_id("own", "de", "b.png", "1"), "zwei"),
        Document(document_id("own", "de", "a.png", "1"), "eins"),
    )
    (first, second) = collection.documents[IMAGE]
    assert [row.topic_id for row in collection.queries[IMAGE]] == ["b.png", "a.png"]
    assert first.doc_id == document_id("own", IMAGE, "b.png", "")
    assert isinstance(first.text, Image)
    assert first.text.path == tmp_path / "images" / "b.png"
    assert first.text == "sha256:" + sha256(first.text.path.read_bytes()).hexdigest()
    assert collection.queries[IMAGE][0].text is first.text
    assert collection.judgments["b.png#1"] == (Judgment(IMAGE, first.doc_id, 1),)
    assert collection.judgments["a.png#2"] == (Judgment(IMAGE, second.doc_id, 1),)
    assert set(collection.judgments["a.png"]) == {
        Judgment("en", document_id("own", "en", "a.png", "1"), 1),
        Judgment("en", document_id("own", "en", "a.png", "2"), 1),
        Judgment("de", document_id("own", "de", "a.png", "1"), 1),
    }
    assert collection.clusters == {
        topic: topic.partition("#")[0] for topic in ("a.png", "a.png#1", "a.png#2", "b.png", "b.png#1")
    }
    assert collection.cluster_unit == "image"
    assert collection.left_out == {"de": 0, "en": 0, IMAGE: 0}
    assert collection.unreadable == ()


def test_images_are_looked_for_once_and_their_checking_is_told(tmp_path: Path) -> None:
    notes = Notes()
    asked = request(images(tmp_path, ["a.png", "b.png"]), ("de", "en"), notes=notes)
    captioned(asked, ROWS)
    assert isinstance(asked.images, FolderImages)
    assert sorted(asked.images.asked) == ["a.png", "b.png"]
    assert (notes.phases, notes.done, notes.notes) == ([("check images", 2)], 2, [])


def test_a_broken_image_leaves_with_its_captions(tmp_path: Path) -> None:
    notes = Notes()
    rows = [*ROWS, Caption("c.png", "en", "three"), Caption("c.png", "de", "drei"), Caption("d.png", "en", "four")]
    folder = images(tmp_path, ["a.png", "b.png", "d.png"], broken=["c.png"])
    collection = captioned(request(folder, ("de", "en"), notes=notes), rows)
    sound = captioned(request(folder, ("de", "en")), [row for row in rows if row.image != "c.png"])
    assert without_counts(collection) == without_counts(sound)
    assert collection.unreadable == ("c.png",)
    assert collection.left_out == {"de": 1, "en": 1, IMAGE: 1}
    assert notes.notes == [
        "own: c.png is empty",
        "warning: own: 1 of 4 images cannot be used, such as c.png, which is empty: left out, with their captions",
    ]


def test_more_than_half_broken_is_an_error(tmp_path: Path) -> None:
    rows = [Caption(f"{name}.png", "en", name) for name in "abcd"]
    two = images(tmp_path / "two", ["a.png", "b.png"], broken=["c.png", "d.png"])
    assert len(captioned(request(two, ("en",)), rows).unreadable) == 2
    three = images(tmp_path / "three", ["a.png"], broken=["b.png", "c.png", "d.png"])
    with pytest.raises(DataError, match=r"3 of 4 images cannot be used, such as b\.png, which is empty: are these"):
        captioned(request(three, ("en",)), rows)


@pytest.mark.parametrize("row", [Caption("a.png", "en", "\ud83d"), Caption("a\udc80.png", "en", "a")])
def test_half_a_character_is_an_error_that_can_be_printed(tmp_path: Path, row: Caption) -> None:
    with pytest.raises(DataError, match="half of a surrogate pair") as caught:
        captioned(request(tmp_path, ("en",)), [Caption("b.png", "en", "b"), row])
    assert str(caught.value).isascii()


def test_many_broken_ones_are_counted_and_the_first_named(tmp_path: Path) -> None:
    names = [f"{number}.png" for number in range(60)]
    notes = Notes()
    folder = images(tmp_path, names[:32], broken=names[32:])
    collection = captioned(request(folder, ("en",), notes=notes), [Caption(name, "en", "x") for name in names])
    assert len(collection.unreadable) == 28
    assert len(notes.notes) == 21
    assert "28 of 60 images" in notes.notes[-1]


def test_the_same_bytes_under_two_names_are_one_image_twice(tmp_path: Path) -> None:
    notes = Notes()
    folder = images(tmp_path, ["a.png", "b.png"])
    (folder / "images" / "b.png").write_bytes((folder / "images" / "a.png").read_bytes())
    collection = captioned(request(folder, ("de", "en"), notes=notes), ROWS)
    first, second = collection.documents[IMAGE]
    assert first.text == second.text
    assert first.doc_id != second.doc_id
    (note,) = notes.notes
    assert note.startswith("own: images that are the same file as another: 1, such as b.png and a.png")


def test_animations_are_told(tmp_path: Path) -> None:
    from PIL import Image as Pillow

    frames = [Pillow.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    folder = images(tmp_path, ["b.png"])
    frames[0].save(folder / "images" / "a.gif", save_all=True, append_images=frames[1:])
    notes = Notes()
    captioned(request(folder, ("en",), notes=notes), [Caption("a.gif", "en", "x"), Caption("b.png", "en", "y")])
    assert notes.notes == ["own: only the first frame of animated images is seen (1, such as a.gif)"]


def test_a_language_without_captions(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there are no captions in language 'th'"):
        captioned(request(tmp_path, ("de", "th")), ROWS)


def test_a_language_whose_images_are_all_broken(tmp_path: Path) -> None:
    rows = [*ROWS, Caption("c.png", "th", "สาม")]
    folder = images(tmp_path, ["a.png", "b.png"], broken=["c.png"])
    with pytest.raises(DataError, match="no caption in 'th' is left, as none of its images can be used"):
        captioned(request(folder, ("de", "th")), rows)


def test_a_task_that_does_not_say_where_its_images_are() -> None:
    with pytest.raises(DataError, match=r"add \[images\] to its file"):
        captioned(ReadRequest("own", ("en",), ()), ROWS)


def test_clusters_of_images_are_those_of_their_captions(tmp_path: Path) -> None:
    asked = request(images(tmp_path, ["a.png", "b.png"]), ("de", "en"))
    collection = captioned(asked, ROWS, clusters={"a.png": "album"}, cluster_unit="album")
    assert collection.cluster_unit == "album"
    assert collection.clusters["a.png"] == collection.clusters["a.png#2"] == "album"
    assert collection.clusters["b.png#1"] == "b.png"


@given(st.lists(st.text(st.characters(codec="utf-8"), min_size=1), unique=True, min_size=1, max_size=5))
def test_topics_are_names_without_white_space_and_differ_as_images_do(names: list[str]) -> None:
    topics = [topic_of(name) for name in names]
    assert len(set(topics)) == len(names)
    assert not any("#" in topic or any(letter.isspace() for letter in topic) for topic in topics)
    assert topic_of("a/été-1_b.JPG") == "a/été-1_b.JPG"
    assert topic_of("a b#1%.png") == "a%20b%231%25.png"


class TestSamples:
    rows = tuple(
        Caption(f"{number}.png", language, f"{language} {number} {k}")
        for number in range(40)
        for language, most in (("de", 1), ("en", 3))
        for k in range(most)
        if (number + k) % 7 or language == "en"
    )

    def folder(self, root: Path, broken: Sequence[str] = ()) -> Path:
        return images(root, [f"{number}.png" for number in range(40)], broken)

    @pytest.mark.parametrize("limit", [1, 2, 3, 39, 40, 100])
    def test_a_sample_is_that_of_the_whole(self, tmp_path: Path, limit: int) -> None:
        folder = self.folder(tmp_path)
        whole = captioned(request(folder, ("de", "en")), self.rows)
        sample = sample_of(folder, self.rows, limit, ("de", "en"))
        assert without_counts(sample) == without_counts(whole.sample(limit))
        assert without_counts(sample.sample(limit)) == without_counts(sample)

    def test_captions_are_those_of_the_images_that_ask(self, tmp_path: Path) -> None:
        sample = sample_of(self.folder(tmp_path), self.rows, 6, ("de", "en"))
        asking = {query.topic_id for query in sample.queries[IMAGE]}
        assert len(asking) == 6
        assert len(sample.queries["en"]) == 6
        assert {query.topic_id for query in sample.queries["en"]} == {f"{topic}#1" for topic in asking}
        assert {query.topic_id.partition("#")[0] for query in sample.queries["de"]} <= asking
        there = {language: {row.doc_id for row in rows} for language, rows in sample.documents.items()}
        for rows in sample.judgments.values():
            assert all(row.doc_id in there[row.language] for row in rows)

    def test_other_images_are_left_alone(self, tmp_path: Path) -> None:
        asked = request(self.folder(tmp_path), ("de", "en"), limit=1)
        sample = captioned(asked, self.rows)
        assert isinstance(asked.images, FolderImages)
        assert len(asked.images.asked) == len(sample.documents[IMAGE]) == 11
        assert sample.left_out[IMAGE] == 29
        assert sample.left_out["en"] + len(sample.documents["en"]) == 120

    def test_what_makes_room_may_be_broken_too(self, tmp_path: Path) -> None:
        broken: list[str] = []
        for number in range(4):
            folder = self.folder(tmp_path / str(number), broken)
            sample = sample_of(folder, self.rows, 1, ("de", "en"))
            assert set(sample.unreadable) <= set(broken)
            broken.append(sample.queries[IMAGE][0].topic_id)
        assert len(sample.unreadable) == 3

    def test_a_broken_image_makes_room_for_another(self, tmp_path: Path) -> None:
        sound = sample_of(self.folder(tmp_path / "sound"), self.rows, 5, ("de", "en"))
        gone = sound.queries[IMAGE][0].topic_id
        folder = self.folder(tmp_path / "broken", broken=[gone])
        whole = captioned(request(folder, ("de", "en")), self.rows)
        sample = sample_of(folder, self.rows, 5, ("de", "en"))
        assert without_counts(sample) == without_counts(whole.sample(5))
        assert sample.unreadable == (gone,)
        assert len(sample.queries[IMAGE]) == 5


@pytest.mark.parametrize(
    ("most", "kept"), [(1, ["one", "two"]), (2, ["one", "uno", "two"]), (9, ["one", "uno", "two"])]
)
def test_the_first_captions_of_an_image_alone(tmp_path: Path, most: int, kept: list[str]) -> None:
    asked = request(images(tmp_path, ["a.png", "b.png"]), ("de", "en"), options={"captions_per_image": most})
    collection = captioned(asked, ROWS)
    assert [query.text for query in collection.queries["en"]] == kept
    assert [document.text for document in collection.documents["en"]] == kept
    assert [query.text for query in collection.queries["de"]] == ["zwei", "eins"]
    assert ("a.png#2" in collection.judgments) == (most > 1)
    assert len(collection.judgments["a.png"]) == 1 + min(most, 2)


@pytest.mark.parametrize("most", [0, -1, 1.5, True, "1"])
def test_captions_per_image_is_a_number_of_captions(tmp_path: Path, most: Parameter) -> None:
    asked = request(images(tmp_path, ["a.png", "b.png"]), ("en",), options={"captions_per_image": most})
    with pytest.raises(UserError, match=r"own: captions_per_image must be a whole number of at least 1, not "):
        captioned(asked, ROWS)


def test_images_of_a_pattern_alone(tmp_path: Path) -> None:
    asked = request(images(tmp_path, ["b.png"]), ("de", "en"), options={"images": "b.*"})
    collection = captioned(asked, ROWS)
    assert without_counts(collection) == without_counts(
        captioned(request(tmp_path, ("de", "en")), [row for row in ROWS if row.image == "b.png"])
    )


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("c.*", "own: no image is called like images = 'c.*': b.png is one"),
        (1, "own: images must be a pattern of names, such as '*.jpg', not 1"),
    ],
)
def test_a_pattern_that_is_none(tmp_path: Path, pattern: Parameter, said: str) -> None:
    with pytest.raises(UserError, match=re.escape(said)):
        captioned(request(tmp_path, ("en",), options={"images": pattern}), ROWS)
