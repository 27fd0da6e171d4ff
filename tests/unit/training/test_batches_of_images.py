"""Batches of images and captions: their kinds and languages, the rows of arms, and no false negatives."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare
from unit.training.image_cases import LANGUAGES, image_recipe, part_of, read_images, rows_of, write_images
from unit.training.row_cases import digest

from mlbench.collection.languages import IMAGE
from mlbench.collection.records import Image
from mlbench.errors import DataError
from mlbench.training.data import RowSelection, image_pairs
from mlbench.training.index import ABSENT
from mlbench.training.recipe import Recipe
from mlbench.training.sampler import Batch
from mlbench.training.train import batch_statistics_of

pytest.importorskip("datasets")

CORPORA = ("de", "en", "image", "th")
MONO, MIXED, CAPTIONS = {"captions": 0, "mixed": 0}, {"captions": 0, "mixed": 1}, {"captions": 1}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    write_images(folder / "drawn")
    write_images(folder / "gaps", without={"th": 50})
    return folder


def drawn(recipe: Recipe, number: int) -> tuple[Batch, list[tuple[str, str]], list[tuple[str, str]]]:
    """Return a batch, the languages of its examples, and their query and document."""
    examples = part_of(recipe).examples(recipe, recipe.seed)
    batch = examples.sampler.batch(number)
    pairs = zip(batch.query_languages.tolist(), batch.document_languages.tolist(), strict=True)
    texts = [(example.query, example.document) for example in examples.batch(number)]
    return batch, [(CORPORA[one], CORPORA[other]) for one, other in pairs], texts


def shown_in(root: Path) -> dict[str, str]:
    """Return for each image, and each caption, which combination it is, as the names of the files have it."""
    rows = rows_of(root / "drawn")
    index, found = rows.index, {}
    for row in range(len(index)):
        numbers = index.first_text[row] + np.arange(len(CORPORA))
        texts = rows.read(numbers)
        (image,) = [text for text in texts if isinstance(text, Image)]
        found |= dict.fromkeys(texts, image.path.stem.rpartition("-")[0])
    return found


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(
    number=st.integers(0, 2**40),
    seed=st.integers(0, 2**32 - 1),
    size=st.integers(2, 14),
    captions=st.sampled_from([0.0, 0.3, 1.0]),
    mixed=st.sampled_from([0.0, 0.5, 1.0]),
    share=st.sampled_from([0.1, 1.0]),
)
def test_a_batch_shows_no_combination_twice(
    root: Path, number: int, seed: int, size: int, captions: float, mixed: float, share: float
) -> None:
    batches = {"size": size, "captions": captions, "mixed": mixed}
    recipe = image_recipe(root, seed=seed, batches=batches, image_share={"th": share})
    batch, languages, texts = drawn(recipe, number)
    combinations = shown_in(root)
    shown = [combinations[query] for query, _ in texts]
    assert shown == [combinations[document] for _, document in texts]
    assert len(set(shown)) == len(shown) >= 2
    # There are twelve combinations, and Thai may have images of few.
    assert len(shown) + batch.clashes == size
    assert share < 1 or len(shown) == min(size, 12)
    if batch.kind == "captions":
        assert all(one != other and IMAGE not in (one, other) for one, other in languages)
    else:
        assert all(one == IMAGE != other for one, other in languages)
        assert batch.kind == "image_mixed" or len(set(languages)) == 1
        assert all(isinstance(query, Image) and query.path.is_file() for query, _ in texts)
    again, *_ = drawn(recipe, number)
    assert again.rows.tolist() == batch.rows.tolist()


@pytest.mark.parametrize(
    ("batches", "kinds"),
    [
        (MONO, {"image_mono": 1.0}),
        (MIXED, {"image_mixed": 1.0}),
        (CAPTIONS, {"captions": 1.0}),
        ({"captions": 0.5, "mixed": 0.5}, {"captions": 0.5, "image_mixed": 0.25, "image_mono": 0.25}),
        ({"captions": 0.2, "mixed": 0.75}, {"captions": 0.2, "image_mixed": 0.6, "image_mono": 0.2}),
        (
            {"ratios": {"image": 0.3, "captions": 0.5, "mixed": 0.2}},
            {"captions": 0.5, "image_mixed": 0.2, "image_mono": 0.3},
        ),
        ({"ratios": {"captions": 0.3, "mixed": 0.7}}, {"captions": 0.3, "image_mixed": 0.7}),
    ],
)
def test_kinds_have_their_shares(root: Path, batches: dict[str, Any], kinds: dict[str, float]) -> None:
    recipe = image_recipe(root, batches=batches)
    sampler = part_of(recipe).examples(recipe, 0).sampler
    found = Counter(sampler.batch(number).kind for number in range(600))
    assert found.keys() == kinds.keys()
    if len(kinds) > 1:
        expected = [600 * share for share in kinds.values()]
        assert chisquare([found[kind] for kind in kinds], expected).pvalue > 1e-3
    assert recipe.batches.shares(of_images=True) == pytest.approx(
        dict.fromkeys(("image_mono", "image_mixed", "captions"), 0.0) | kinds
    )


@pytest.mark.parametrize(
    "batches", [MIXED, CAPTIONS, {"captions": 0.5}, {"ratios": {"image": 0.25, "captions": 0.25, "mixed": 0.5}}]
)
def test_arms_see_the_same_rows(root: Path, batches: dict[str, Any]) -> None:
    one, other = (
        part_of(recipe).examples(recipe, 0).sampler
        for recipe in (image_recipe(root, batches=MONO), image_recipe(root, batches=batches))
    )
    for number in range(50):
        assert one.batch(number).rows.tolist() == other.batch(number).rows.tolist()
    digests = {
        batch_statistics_of(recipe, read_images(recipe), 50).rows_digest
        for recipe in (image_recipe(root, batches=MONO), image_recipe(root, batches=batches))
    }
    assert len(digests) == 1


def test_equal_shares_are_the_same_batches_in_both_forms(root: Path) -> None:
    short = image_recipe(root, batches={"captions": 0.5, "mixed": 0.25})
    long = image_recipe(root, batches={"ratios": {"image": 0.375, "captions": 0.5, "mixed": 0.125}})
    one, other = (part_of(recipe).examples(recipe, 3).sampler for recipe in (short, long))
    assert digest(list(one.batches(0, 60))) == digest(list(other.batches(0, 60)))


class TestShares:
    def test_are_of_images(self, root: Path) -> None:
        rows = rows_of(root / "drawn")
        index = rows.index.with_languages(rows.languages, CORPORA)
        few, more, other = (
            image_pairs(rows, index, CORPORA, shares).usable
            for shares in ({"th": 0.2}, {"th": 0.5}, {"default": 0.2, "en": 1.0, "de": 0.7})
        )
        thai, english, german = (CORPORA.index(tag) for tag in ("th", "en", "de"))
        assert few[:, [english, german]].all()
        assert 0 < few[:, thai].sum() < more[:, thai].sum() < len(index)
        assert not (few[:, thai] & ~more[:, thai]).any()
        # What one language has does not depend on the others.
        assert other[:, thai].tolist() == few[:, thai].tolist()
        assert other[:, english].all()
        assert 0.4 < other[:, german].mean() < 0.95
        assert few[:, thai].tolist() != other[:, german].tolist()

    def test_leave_captions_beside_captions(self, root: Path) -> None:
        recipe = image_recipe(root, image_share={"th": 0.1}, batches={"captions": 0.5, "size": 4})
        data = read_images(recipe)
        (pairs,), sampler = data.training.images, data.examples(recipe).sampler
        thai, seen = CORPORA.index("th"), {"image": set[int](), "captions": set[int]()}
        for batch in sampler.batches(0, 400):
            rows = batch.rows[(batch.document_languages == thai) | (batch.query_languages == thai)]
            seen["captions" if batch.kind == "captions" else "image"].update(rows.tolist())
        assert seen["image"] == set(np.flatnonzero(pairs.usable[:, thai]).tolist())
        assert len(seen["captions"]) == 60 > 2 * len(seen["image"])

    def test_of_nothing(self, root: Path) -> None:
        recipe = image_recipe(root, image_share={"th": 0.0}, batches={"captions": 0.3})
        counted = batch_statistics_of(recipe, read_images(recipe), 200)
        thai = CORPORA.index("th")
        assert {kind: bool(numbers[thai]) for kind, numbers in counted.drawn.items()} == {
            "captions": True,
            "image_mixed": False,
            "image_mono": False,
        }
        none, part = image_recipe(root, image_share={"default": 0.0}), part_of(image_recipe(root))
        pairs = image_pairs(part.rows[0], part.indexes[0], none.corpora, none.image_share)
        with pytest.raises(DataError, match=r"no data set can give image \(two images with a caption"):
            RowSelection(part.rows, part.indexes, (pairs,)).examples(none, 0)


def test_a_language_without_a_caption_of_an_image(root: Path) -> None:
    recipe = image_recipe(root, datasets=[{"name": "gaps", "captions": "gaps"}], batches={"size": 4})
    part = part_of(recipe)
    index, thai = part.indexes[0], CORPORA.index("th")
    has = index.document_places[index.pattern, thai] != ABSENT
    assert has.sum() == 10
    for batch in part.examples(recipe, 0).sampler.batches(0, 200):
        in_thai = (batch.document_languages == thai) | (batch.query_languages == thai)
        assert has[batch.rows[in_thai]].all()


def test_tally_counts_languages_by_kind(root: Path) -> None:
    recipe = image_recipe(root, batches={"captions": 0.5, "mixed": 0.5, "size": 5})
    data = read_images(recipe)
    counted = batch_statistics_of(recipe, data, 300)
    expected: dict[str, Counter[str]] = {}
    for batch in data.examples(recipe).sampler.batches(0, 300):
        numbers = np.append(batch.query_languages, batch.document_languages).tolist()
        expected.setdefault(batch.kind, Counter()).update(CORPORA[number] for number in numbers)
    found = {kind: dict(zip(CORPORA, numbers.tolist(), strict=True)) for kind, numbers in counted.drawn.items()}
    assert found == {kind: {tag: numbers[tag] for tag in CORPORA} for kind, numbers in expected.items()}
    assert counted.kinds == {kind: sum(numbers.values()) // 10 for kind, numbers in sorted(expected.items())}
    uses = {use.language: use for use in counted.uses}
    assert uses[IMAGE].texts == 60
    assert uses[IMAGE].documents == 0
    assert uses[IMAGE].queries == sum(numbers[IMAGE] for numbers in expected.values())
    assert set(uses) == {*LANGUAGES, IMAGE}
