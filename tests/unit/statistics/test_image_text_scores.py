"""Captioned images from vectors to scores, against loops over everything."""

from dataclasses import replace
from itertools import combinations, permutations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.statistics.captioned_cases import Captions, Drawn, captioned

from mlbench.collection.languages import IMAGE, IMAGE_KINDS, Setting, settings_of
from mlbench.collection.records import Collection
from mlbench.embeddings.encode import embed, texts_of
from mlbench.embeddings.store import VectorStore
from mlbench.protocols import Silence
from mlbench.ranking.count_ahead import Tiling
from mlbench.ranking.index_arrays import index_collection, to_ranks
from mlbench.ranking.rank_documents import rank_vectors
from mlbench.ranking.ranks import UNKNOWN, Ranks
from mlbench.ranking.ranks_file import _faults
from mlbench.results import ImageText
from mlbench.statistics.cluster_scores import ScoreRequest
from mlbench.statistics.score import Scores, score

HITS = (1, 5, 10)
MEASURES = ("Success@1", "Success@5", "Success@10", "AP")
BIAS = ("rank_distance", "language_prior", "rank_spread", "language_share@10", "worst_language")
UNEVEN = {"de": [1] * 12, "en": [5] * 12, "fr": [1, 0] * 6}
EVEN = {"de": [1] * 12, "en": [1] * 12, "fr": [1] * 12}


def counted(collection: Collection, encoder: Drawn) -> Ranks:
    embeddings = embed(encoder, texts_of(collection), None, Silence())
    layout = index_collection(collection)
    return to_ranks(layout, rank_vectors(layout, embeddings, encoder.similarity, Tiling(rows=7, columns=5), Silence()))


def scored(ranks: Ranks, resamples: int = 200) -> Scores:
    languages = ranks.spoken_languages
    request = ScoreRequest(
        settings_of(languages, IMAGE_KINDS), MEASURES, "Success@1", BIAS, parallel=True, resamples=resamples
    )
    return score(ranks, request)


def ordered(collection: Collection, encoder: Drawn, setting: Setting) -> dict[str, list[str]]:
    """Return the whole list of each query, best first, from cosines in float64, ties by id descending."""
    rows = [row for language in setting.document_languages for row in collection.documents[language]]
    vectors = np.stack([encoder.vector(row.text).astype(np.float64) for row in rows])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    lists = {}
    for query in collection.queries[setting.query_language]:
        scores = vectors @ encoder.vector(query.text)
        best = sorted(zip(scores.tolist(), [row.doc_id for row in rows], strict=True), reverse=True)
        lists[query.topic_id] = [doc_id for _, doc_id in best]
    return lists


def hit_rate(collection: Collection, lists: dict[str, list[str]], setting: Setting, k: int) -> float:
    hits = []
    for topic, found in lists.items():
        relevant = {row.doc_id for row in collection.judgments[topic] if row.language in setting.document_languages}
        if relevant:
            hits.append(float(bool(relevant & set(found[:k]))))
    return float(np.mean(hits))


@pytest.mark.parametrize("counts", [EVEN, UNEVEN], ids=["even", "uneven"])
def test_hit_rates_of_all_settings_equal_sorted_lists(counts: dict[str, list[int]]) -> None:
    collection, _ = captioned(counts)
    encoder = Drawn(noise=1.5)
    found = scored(counted(collection, encoder))
    assert len(found.settings) == 7
    for each in found.settings:
        setting = Setting(each.query_language, each.document_languages)
        lists = ordered(collection, encoder, setting)
        for k in HITS:
            assert each.measures[f"Success@{k}"] == pytest.approx(hit_rate(collection, lists, setting, k), abs=1e-12)
    assert found.image_text is not None
    for language in found.image_text.languages:
        six = [
            each.measures[f"Success@{k}"]
            for each in found.settings
            if (each.query_language, each.document_languages)
            in ((language.language, (IMAGE,)), (IMAGE, (language.language,)))
            for k in HITS
        ]
        assert len(six) == 6
        assert language.r_mean == pytest.approx(np.mean([value for value in six if value is not None]))
        bounds = language.intervals["r_mean"]
        assert bounds is not None
        assert bounds.low <= language.r_mean <= bounds.high


def test_every_image_and_caption_is_encoded_once_for_both_directions() -> None:
    collection, captions = captioned(UNEVEN)
    encoder = Drawn()
    counted(collection, encoder)
    assert encoder.encoded == {"query": 0, "document": len(captions), "image": 12}


def test_captions_are_never_searched_with_captions() -> None:
    collection, _ = captioned(EVEN)
    ranks = counted(collection, Drawn())
    image = ranks.language_index(IMAGE)
    of_image = ranks.query_languages[ranks.row_queries] == image
    assert (ranks.ahead[of_image][:, image] == UNKNOWN).all()
    assert (np.delete(ranks.ahead[~of_image], image, axis=1) == UNKNOWN).all()
    top_languages = ranks.document_languages[ranks.top[ranks.query_languages == image][:, 0]]
    assert image not in top_languages


def naive_clip(collection: Collection, encoder: Drawn, captions: Captions) -> dict[str, tuple[float, float | None]]:
    def cosine(a: str, b: str) -> float:
        one, two = encoder.vector(a).astype(np.float64), encoder.vector(b).astype(np.float64)
        return float(one @ two / np.linalg.norm(one) / np.linalg.norm(two))

    clip: dict[str, list[float]] = {}
    reference: dict[str, list[float]] = {}
    images = {int(query.topic_id): query.text for query in collection.queries[IMAGE]}
    for (language, image, _), text in captions.items():
        own = 2.5 * max(cosine(text, images[image]), 0.0)
        clip.setdefault(language, []).append(own)
        others = [other for (tag, where, _), other in captions.items() if where == image and tag != language]
        if others:
            best = max(0.0, *(cosine(text, other) for other in others))
            reference.setdefault(language, []).append(2 / (1 / own + 1 / best) if own and best else 0.0)
    return {
        language: (float(np.mean(values)), float(np.mean(reference[language])) if language in reference else None)
        for language, values in clip.items()
    }


def image_text_of(found: Scores) -> ImageText:
    assert found.image_text is not None
    return found.image_text


@pytest.mark.parametrize("counts", [EVEN, UNEVEN, {"de": [2] * 6}], ids=["even", "uneven", "one language"])
def test_clip_scores_equal_loops_over_captions(counts: dict[str, list[int]]) -> None:
    collection, captions = captioned(counts)
    encoder = Drawn(noise=1.0)
    found = image_text_of(scored(counted(collection, encoder)))
    wanted = naive_clip(collection, encoder, captions)
    for each in found.languages:
        clip, reference = wanted[str(each.language)]
        assert each.clip_score == pytest.approx(clip, abs=1e-6)
        assert each.ref_clip_score == (None if reference is None else pytest.approx(reference, abs=1e-6))
        assert each.n_captions == sum(counts[str(each.language)])
    assert found.mean.clip_score == pytest.approx(np.mean([clip for clip, _ in wanted.values()]), abs=1e-6)


def test_scores_without_resamples_have_no_intervals() -> None:
    """As `Options(resamples=0)` asks for, where numbers alone are wanted."""
    ranks = counted(captioned(EVEN)[0], Drawn())
    plain, with_intervals = scored(ranks, resamples=0), scored(ranks)
    assert [row.measures for row in plain.settings] == [row.measures for row in with_intervals.settings]
    assert plain.image_text is not None
    assert with_intervals.image_text is not None
    assert [row.r_mean for row in plain.image_text.languages] == [
        row.r_mean for row in with_intervals.image_text.languages
    ]


def test_without_cosines_or_a_direction_scores_are_null() -> None:
    collection, _ = captioned(EVEN)
    encoder = Drawn()
    encoder.similarity = "dot"
    ranks = counted(collection, encoder)
    assert ranks.alignment is None
    request = ScoreRequest(
        settings_of(["de", "en", "fr"], ["text_to_image"]), MEASURES, "AP", (), parallel=True, resamples=9
    )
    mean = image_text_of(score(ranks, request)).mean
    assert (mean.r_mean, mean.clip_score, mean.ref_clip_score) == (None, None, None)


def test_captions_are_counted_where_only_the_pool_was_asked_for() -> None:
    """A ranker's columns are pools, of which no language's number of captions can be told."""
    collection, _ = captioned(UNEVEN)
    ranks = counted(collection, Drawn())
    asked = replace(
        ranks,
        columns=np.array(["de+en+fr"]),
        column_sizes=ranks.column_sizes[[0]] * 7,
        ahead=np.full((len(ranks.row_queries), 1), UNKNOWN, np.int32),
        ties=np.zeros((len(ranks.row_queries), 1), np.int32),
        listed=np.full((len(ranks.query_topics), 1), UNKNOWN, np.int32),
        alignment=None,
    )
    request = ScoreRequest((), MEASURES, "AP", (), parallel=False, resamples=9)
    found = image_text_of(score(asked, request))
    assert [each.n_captions for each in found.languages] == [12, 60, 6]
    assert found.mean.n_captions == 78


@pytest.mark.slow
def test_many_captions_of_a_language_give_it_no_advantage() -> None:
    """A model without preference: best-of-five would put English first in two thirds of the pairs."""
    collection, _ = captioned({"de": [1] * 200, "en": [5] * 200, "fr": [1] * 200})
    found = scored(counted(collection, Drawn(noise=1e6)))
    assert found.bias is not None
    prior = found.bias.score("language_prior")
    assert prior is not None
    assert prior.value is not None
    assert prior.value < 0.15
    assert [row.language for row in prior.rows] == ["de", "en", "fr"]
    distance = found.bias.score("rank_distance")
    assert distance is not None
    assert distance.value is not None
    assert distance.references["chance"] is not None
    assert distance.value / distance.references["chance"] == pytest.approx(1, abs=0.05)


def test_shares_of_languages_in_random_lists_have_the_range_of_chance() -> None:
    collection, _ = captioned({"de": [1] * 40, "en": [3] * 40, "fr": [1] * 40})
    found = []
    for seed in range(40):
        bias = scored(counted(collection, Drawn(noise=1e6, seed=seed))).bias
        assert bias is not None
        share = bias.score("language_share@10")
        assert share is not None
        found.append(share.value)
        assert share.references["ideal"] == 0.0
    chance = share.references["chance"]
    assert chance is not None
    assert np.mean(found) == pytest.approx(chance, abs=4 * float(np.std(found)) / len(found) ** 0.5)
    assert chance > 0.1


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.lists(st.integers(0, 3), min_size=4, max_size=7))
def test_bias_of_the_pool_equals_loops_over_images(seed: int, many: list[int]) -> None:
    collection, _ = captioned({"de": [1] * len(many), "en": many, "fr": [1] * len(many)})
    encoder = Drawn(noise=1.0, seed=seed)
    found = scored(counted(collection, encoder)).bias
    assert found is not None
    lists = ordered(collection, encoder, Setting(IMAGE, ("de", "en", "fr")))
    distances, wins = [], {language: [] for language in ("de", "en", "fr")}
    for topic, order in lists.items():
        chosen = {}
        for row in collection.judgments[topic]:
            chosen[row.language] = max(chosen.get(row.language, ""), row.doc_id)
        own = {row.doc_id for row in collection.judgments[topic]}
        rest = [doc_id for doc_id in order if doc_id in chosen.values() or doc_id not in own]
        rank = {language: rest.index(doc_id) + 1 for language, doc_id in chosen.items()}
        distances.append(max(rank.values()) - min(rank.values()))
        for a, b in permutations(rank, 2):
            wins[a].append((topic, float(rank[a] < rank[b])))
    distance, prior = found.score("rank_distance"), found.score("language_prior")
    assert distance is not None
    assert distance.value == pytest.approx(np.mean(distances))
    assert prior is not None
    for row in prior.rows:
        by_topic: dict[str, list[float]] = {}
        for topic, won in wins[row.language]:
            by_topic.setdefault(topic, []).append(won)
        expected = [np.mean(values) for values in by_topic.values()]
        assert row.value == (pytest.approx(np.mean(expected)) if expected else None)


def test_rank_spread_is_over_the_languages_that_ask_for_one_image() -> None:
    collection, _ = captioned(EVEN)
    encoder = Drawn(noise=2.0)
    found = scored(counted(collection, encoder)).bias
    spread = found.score("rank_spread") if found else None
    images = {
        query.topic_id: row.doc_id
        for query, row in zip(collection.queries[IMAGE], collection.documents[IMAGE], strict=True)
    }
    rank = {
        language: {
            topic: lists.index(images[topic.partition("#")[0]]) + 1
            for topic, lists in ordered(collection, encoder, Setting(language, (IMAGE,))).items()
        }
        for language in EVEN
    }
    gaps = [
        np.mean([abs(np.log2(rank[a][topic]) - np.log2(rank[b][topic])) for a, b in combinations(EVEN, 2)])
        for topic in rank["de"]
    ]
    assert spread is not None
    assert spread.value == pytest.approx(np.mean(gaps))


def test_shares_of_the_top_are_those_of_captions_that_images_find() -> None:
    collection, _ = captioned(EVEN)
    encoder = Drawn()
    found = scored(counted(collection, encoder)).bias
    assert found is not None
    lists = ordered(collection, encoder, Setting(IMAGE, ("de", "en", "fr")))
    home = {row.doc_id: language for language in EVEN for row in collection.documents[language]}
    top = [home[doc_id] for order in lists.values() for doc_id in order[:10]]
    for each in found.language_shares:
        assert each.query_language == IMAGE
        assert each.share == pytest.approx(3 * top.count(each.document_language) / len(top))


@pytest.mark.parametrize("value", [1.2, np.inf, -3.0])
def test_an_alignment_that_is_no_cosine_is_refused(value: float) -> None:
    collection, _ = captioned(EVEN)
    ranks = counted(collection, Drawn())
    assert not _faults(ranks)
    assert ranks.alignment is not None
    altered = ranks.alignment.copy()
    altered[np.flatnonzero(np.isfinite(altered[:, 0]))[0], 0] = value
    assert _faults(replace(ranks, alignment=altered)) == ["alignment has what is no cosine of an image and a caption"]
    altered[:] = np.nan
    assert _faults(replace(ranks, alignment=altered))
    assert _faults(replace(ranks, alignment=altered[:-1]))


def test_images_are_kept_apart_from_texts_and_found_again(tmp_path: Path) -> None:
    collection, captions = captioned(EVEN)
    texts = texts_of(collection)
    first = embed(Drawn(), texts, VectorStore(tmp_path), Silence())
    assert (first.distinct, first.images, first.encoded, first.encoded_images) == (len(captions), 12, len(captions), 12)
    encoder = Drawn()
    again = embed(encoder, texts, VectorStore(tmp_path), Silence())
    assert (again.encoded, again.encoded_images) == (0, 0)
    assert not any(encoder.encoded.values())
    for group in texts:
        assert (again.vectors(*group) == first.vectors(*group)).all()
    assert again.roles["query", IMAGE] == again.roles["document", IMAGE] == "image"
