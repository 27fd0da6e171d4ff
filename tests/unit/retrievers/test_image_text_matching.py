"""Re-ranking of images and captions against loops over pairs, and what of it is computed once."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from unit.retrievers.albef_checkpoints import save_albef
from unit.retrievers.image_text_checkpoints import CAPTIONS, opened, save_blip, save_clip, save_pictures
from unit.retrievers.test_blip import Library

from mlbench.collection.languages import IMAGE, Setting
from mlbench.collection.records import Document, Image, Query
from mlbench.errors import DataError, MissingExtra, RetrieverError
from mlbench.members import reads_images
from mlbench.open_model import open_retriever
from mlbench.protocols import Ranker, Reranker, Runtime
from mlbench.retrievers.image_text import encoder
from mlbench.retrievers.image_text.matching import MatchingReranker, TextFeatureCache
from mlbench.retrievers.pipelines.system import open_reranker

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

torch.set_num_threads(1)

RUNTIME = Runtime(device="cpu", allow_pickle=True)
N = 4
"""How many documents of each list are re-ranked."""


@pytest.fixture(scope="module", params=["blip", "albef"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp(request.param)
    return save_blip(place) if request.param == "blip" else save_albef(place)


@pytest.fixture(scope="module")
def blip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_blip(tmp_path_factory.mktemp("blip"))


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[Image]:
    return save_pictures(tmp_path_factory.mktemp("pictures"), 9)


def opened_reranker(folder: Path, **settings: str) -> MatchingReranker:
    reranker = open_reranker(f"image_text:{folder}", settings, RUNTIME)
    assert isinstance(reranker, MatchingReranker)
    return reranker


def every(images: Sequence[Image]) -> list[tuple[str, str]]:
    return [(caption, image) for caption in CAPTIONS for image in images]


def test_it_is_a_reranker_of_images(folder: Path) -> None:
    reranker = opened_reranker(folder)
    assert isinstance(reranker, Reranker)
    assert reads_images(reranker)
    assert reranker.reads_images
    scores = reranker.score([])
    assert (scores.dtype, scores.shape) == (np.float32, (0,))


@pytest.mark.slow
def test_sides_batches_and_memory_change_nothing(folder: Path, images: list[Image]) -> None:
    pairs = every(images)
    scores = opened_reranker(folder).score(pairs)
    assert (opened_reranker(folder).score(pairs) == scores).all()
    turned = opened_reranker(folder).score([(image, caption) for caption, image in pairs])
    assert (turned == scores).all()
    for settings in ({"batch_tokens": "1"}, {"image_batch_size": "1"}, {"text_memory": "0", "image_batch_size": "100"}):
        np.testing.assert_allclose(opened_reranker(folder, **settings).score(pairs), scores, atol=1e-5)
    order = np.random.default_rng(0).permutation(len(pairs))
    shuffled = opened_reranker(folder).score([pairs[number] for number in order])
    np.testing.assert_allclose(shuffled, scores[order], atol=1e-5)


def test_every_image_is_seen_once_in_a_call(folder: Path, images: list[Image], monkeypatch: Any) -> None:
    reranker = opened_reranker(folder, image_batch_size="2")
    copies = [Image(image.removeprefix("sha256:"), image.path) for image in images]
    pairs = [*every(images), *((image, caption) for caption in CAPTIONS for image in copies)]
    begun: Counter[int] = Counter()
    tokens = TextFeatureCache._tokens
    monkeypatch.setattr(
        TextFeatureCache, "_tokens", lambda texts, rows: begun.update(rows.tolist()) or tokens(texts, rows)
    )
    reranker.score(pairs)
    assert reranker.images == len(images)
    # Once for the cosine where it is added, and once for what the images are matched with.
    times = 1 + int(bool(reranker.parameters["add_similarity"]))
    assert set(begun.values()) == {times}
    assert len(begun) == len(set(CAPTIONS))
    reranker.score(pairs[:1])
    assert reranker.images == len(images) + 1


def test_texts_that_do_not_fit_into_memory_are_read_anew(images: list[Image], tmp_path: Path, monkeypatch: Any) -> None:
    folder = save_albef(tmp_path)
    reranker = opened_reranker(folder, text_memory="0")
    read = 0
    encode_text = reranker._matcher.encode_text

    def counted(features: Any) -> Any:
        nonlocal read
        read += len(features["input_ids"])
        return encode_text(features)

    monkeypatch.setattr(reranker, "_matcher", replace(reranker._matcher, encode_text=counted))
    reranker.score(every(images))
    # The first batch is found too large; then all texts for each of the images.
    assert read == len(CAPTIONS) * (1 + len(images))


def test_the_token_of_matching_is_no_part_of_the_similarity(blip: Path, images: list[Image]) -> None:
    scores = {
        (token, added): opened_reranker(blip, add_similarity=added, **token_of).score(every(images))
        for token, token_of in (("own", {}), ("other", {"matching_token": "3"}))
        for added in ("true", "false")
    }
    assert not np.allclose(scores["own", "false"], scores["other", "false"])
    own, other = (scores[token, "true"] - scores[token, "false"] for token in ("own", "other"))
    assert np.ptp(own) > 0.01
    np.testing.assert_allclose(other, own, atol=1e-5)


def system(folder: Path, target: Path, text: str) -> Ranker:
    (target / "system.toml").write_text(text.replace("FOLDER", str(folder)), encoding="utf-8")
    ranker = open_retriever(str(target / "system.toml"), {}, RUNTIME)
    assert isinstance(ranker, Ranker)
    assert reads_images(ranker)
    assert ranker.reads_images
    return ranker


RERANKED = f"""kind = "rerank"
n = {N}
first = "image_text:FOLDER"
reranker = "image_text:FOLDER"
"""


@pytest.mark.parametrize("direction", ["text_to_image", "image_to_text"])
def test_the_first_documents_are_ordered_by_logit_and_cosine(
    direction: str, blip: Path, images: list[Image], tmp_path: Path
) -> None:
    texts = [Query(f"c{number}", caption) for number, caption in enumerate(CAPTIONS)]
    seen = [Query(f"i{number}", image) for number, image in enumerate(images)]
    asked, answers = (texts, seen) if direction == "text_to_image" else (seen, texts)
    documents = [Document(*answer) for answer in answers]
    setting = Setting("en", (IMAGE,)) if direction == "text_to_image" else Setting(IMAGE, ("en",))
    library = Library(blip)
    cosines = library.cosines(CAPTIONS, opened(images))
    scores = library.logits(CAPTIONS, opened(images)) + cosines
    if direction == "image_to_text":
        cosines, scores = cosines.T, scores.T
    lists = system(blip, tmp_path, RERANKED).search(setting, asked, documents, 6)
    moved = 0
    for found, cosine, score in zip(lists, cosines, scores, strict=True):
        first = np.argsort(-cosine)
        head = first[:N][np.argsort(-score[first[:N]])]
        assert found == [documents[number].doc_id for number in [*head, *first[N:6]]]
        moved += not np.array_equal(head, first[:N])
    assert moved


def test_a_system_says_how_its_reranker_scores(blip: Path, tmp_path: Path) -> None:
    plain = system(blip, tmp_path, RERANKED)
    keys = '{ model = "image_text:FOLDER", set = { add_similarity = false } }'
    other = system(blip, tmp_path, RERANKED.replace('reranker = "image_text:FOLDER"', f"reranker = {keys}"))
    assert plain.parameters["reranker.add_similarity"] is True
    assert other.parameters["reranker.add_similarity"] is False
    assert plain.fingerprint() != other.fingerprint()


def test_the_fingerprint_follows_weights_and_use(blip: Path, tmp_path: Path) -> None:
    other = save_blip(tmp_path, seed=2)
    settings = [{}, {"max_length": "9"}, {"dtype": "bf16"}, {"add_similarity": "false"}, {"matching_token": "3"}]
    prints = [opened_reranker(blip, **use).fingerprint() for use in settings] + [opened_reranker(other).fingerprint()]
    assert len(set(prints)) == 6
    for use in ({"batch_tokens": "9"}, {"image_batch_size": "1"}, {"text_memory": "1"}, {"add_similarity": "true"}):
        assert opened_reranker(blip, **use).fingerprint() == prints[0]


def test_half_precision_is_close(folder: Path, images: list[Image]) -> None:
    scores = opened_reranker(folder).score(every(images))
    half = opened_reranker(folder, dtype="bf16").score(every(images))
    assert half.dtype == np.float32
    assert 0 < np.abs(half - scores).max() < 0.3
    assert np.corrcoef(half, scores)[0, 1] > 0.98


@pytest.mark.parametrize(("kind", "first", "second"), [("texts", 0, 0), ("images", 1, 1)])
def test_two_of_a_kind_are_no_pair(kind: str, first: int, second: int, blip: Path, images: list[Image]) -> None:
    sides = ("a text", images[0])
    with pytest.raises(RetrieverError, match=f"got two {kind}: it needs a task of captioned images"):
        opened_reranker(blip).score([(sides[first], sides[second])])


def test_a_broken_image_is_named(blip: Path, images: list[Image], tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(images[0].path.read_bytes()[:40])
    with pytest.raises(DataError, match=r"broken\.jpg cannot be decoded"):
        opened_reranker(blip).score([("a", images[0]), ("a", Image("0" * 64, broken))])


def test_a_model_of_two_towers_alone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RetrieverError, match="a clip reads no pairs: albef and blip checkpoints do"):
        opened_reranker(save_clip(tmp_path / "clip"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(RetrieverError, match="a model of no known kind reads no pairs"):
        opened_reranker(tmp_path / "empty")


def test_missing_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder, "find_spec", lambda library: None)
    with pytest.raises(MissingExtra, match=r"pip install 'mlbench\[images\]'"):
        open_reranker("image_text:some/model", {}, RUNTIME)
