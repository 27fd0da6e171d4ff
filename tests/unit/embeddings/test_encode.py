import multiprocessing
import time
from collections import Counter
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from threading import get_ident

import numpy as np
import pytest

from mlbench.collection.records import Image
from mlbench.embeddings.encode import CHUNK, embed
from mlbench.embeddings.store import VectorStore, text_hash
from mlbench.errors import RetrieverError
from mlbench.protocols import Silence

DIM = 8


class Counting:
    """An encoder that counts what it is asked for; its answer depends a little on the whole batch, as real ones do."""

    dim = DIM
    similarity = "cosine"

    def __init__(self, weights="0", roles_alike=True, pause=0.0):
        self.weights, self.roles_alike, self.pause = weights, roles_alike, pause
        self.parameters = {}
        self.calls = []

    def fingerprint(self, role):
        return sha256(f"{self.weights} {'' if self.roles_alike else role}".encode()).hexdigest()

    def encode(self, texts, role):
        time.sleep(self.pause)
        self.calls.append(tuple(texts))
        batch = np.float32(int.from_bytes(text_hash("\n".join(texts))[:2], "big") / 2**16 * 1e-7)
        seeds = [self.fingerprint(role) + text for text in texts]
        rows = [np.frombuffer(text_hash(seed), "<u4") / 2**32 + 0.1 for seed in seeds]
        return np.array(rows, np.float32) + batch

    @property
    def encoded(self):
        return Counter(text for call in self.calls for text in call)


class Recorded(Silence):
    def __init__(self):
        self.events = []

    def start(self, phase, total):
        self.events.append((phase, total))

    def advance(self, done):
        self.events.append(done)

    def finish(self):
        self.events.append("finish")

    def note(self, message):
        self.events.append(message)


def sentences(language, count):
    return [f"{language} {'word ' * (number % 7)}{number}" for number in range(count)]


TEXTS = {
    ("query", "en"): ["what", "who", "what"],
    ("query", "de"): ["was", "wer", "en 0"],
    ("document", "en"): [*sentences("en", 2500), "12"],
    ("document", "de"): [*sentences("de", 1200), "12"],
}
# Two of the queries are the same, one is a document as well, and one document is in both languages.
DISTINCT = 2500 + 1200 + 1 + 4


def all_vectors(embeddings, texts=TEXTS):
    return {group: embeddings.vectors(*group) for group in texts}


def assert_same(first, second):
    assert first.keys() == second.keys()
    assert all((first[group] == second[group]).all() for group in first)


def test_each_distinct_text_is_encoded_once_and_vectors_follow_the_input():
    encoder = Counting()
    embeddings = embed(encoder, TEXTS, None, Silence())
    assert set(encoder.encoded.values()) == {1}
    assert encoder.encoded.keys() == {text for group in TEXTS.values() for text in group}
    assert (embeddings.distinct, embeddings.encoded, embeddings.reused) == (DISTINCT, DISTINCT, 0)
    for (role, language), texts in TEXTS.items():
        vectors = embeddings.vectors(role, language)
        assert vectors.dtype == np.float32
        # The batch moves a vector by less than 1e-6.
        alone = np.array([Counting().encode([text], role)[0] for text in texts])
        assert np.abs(vectors - alone).max() < 1e-6
    queries = embeddings.vectors("query", "en")
    assert (queries[0] == queries[2]).all()


def test_roles_with_fingerprints_of_their_own_are_encoded_apart():
    embeddings = embed(Counting(roles_alike=False), TEXTS, None, Silence())
    # "en 0" is a query and a document.
    assert embeddings.distinct == DISTINCT + 1
    assert (embeddings.vectors("query", "de")[2] != embeddings.vectors("document", "en")[0]).any()


def test_chunks_are_equal_and_hold_texts_of_similar_length():
    encoder = Counting()
    embed(encoder, {("document", "en"): sentences("en", 2 * CHUNK + 100)}, None, Silence())
    assert [len(call) for call in encoder.calls] == [716, 716, 716]
    by_length = sorted(encoder.calls, key=lambda call: len(call[0]))
    assert all(len(a[-1]) <= len(b[0]) for a, b in pairwise(by_length))
    assert all(list(call) == sorted(call, key=lambda text: (len(text), text)) for call in encoder.calls)


def test_progress_counts_texts_and_the_work_done_is_a_fair_sample():
    progress = Recorded()
    encoder = Counting()
    texts = {("document", f"l{n}"): ["x" * (n * 20) + f" {n} {i}" for i in range(64)] for n in range(16)}
    embed(encoder, texts, None, progress)
    assert progress.events == [("encode", 1024), *[64] * 16, "finish"]
    characters = np.array([sum(map(len, call)) for call in encoder.calls])
    assert characters[0] == characters.max()
    share_done = np.cumsum(characters) / characters.sum()
    # From a quarter of the texts on, the share of characters done is within 10 points of the share of texts.
    assert np.abs(share_done - np.arange(1, 17) / 16)[3:].max() < 0.10


def test_a_second_run_encodes_nothing_and_gives_the_same_vectors(tmp_path):
    first = embed(Counting(), TEXTS, VectorStore(tmp_path), Silence())
    encoder, progress = Counting(), Recorded()
    second = embed(encoder, TEXTS, VectorStore(tmp_path), progress)
    assert encoder.calls == []
    assert (second.encoded, second.reused) == (0, DISTINCT)
    assert progress.events == []
    assert_same(all_vectors(first), all_vectors(second))


@pytest.mark.parametrize("languages", [("en",), ("de",), ("de", "en")])
def test_fewer_languages_after_a_full_run_encode_nothing(tmp_path, languages):
    full = embed(Counting(), TEXTS, VectorStore(tmp_path), Silence())
    some = {group: texts for group, texts in TEXTS.items() if group[1] in languages}
    embeddings = embed(Counting(), some, VectorStore(tmp_path), Silence())
    assert embeddings.encoded == 0
    assert_same(all_vectors(embeddings, some), all_vectors(full, some))


def test_other_weights_encode_everything_again(tmp_path):
    first = embed(Counting("0"), TEXTS, VectorStore(tmp_path), Silence())
    other = embed(Counting("1"), TEXTS, VectorStore(tmp_path), Silence())
    assert other.encoded == DISTINCT
    assert (first.vectors("query", "en") != other.vectors("query", "en")).any()
    assert embed(Counting("0"), TEXTS, VectorStore(tmp_path), Silence()).encoded == 0


def test_a_chunk_with_one_missing_text_is_encoded_again_whole_and_then_kept(tmp_path):
    texts = {("document", "en"): sentences("en", 100)}
    embed(Counting(), texts, VectorStore(tmp_path), Silence())
    more = {("document", "en"): sentences("en", 101)}
    grown = embed(Counting(), more, VectorStore(tmp_path), Silence())
    assert grown.encoded == 101
    again = embed(Counting(), more, VectorStore(tmp_path), Silence())
    assert again.encoded == 0
    assert_same(all_vectors(grown, more), all_vectors(again, more))
    assert_same(all_vectors(grown, more), all_vectors(embed(Counting(), more, None, Silence()), more))


@pytest.mark.parametrize("keep", [0, 10, 1000, -1])
def test_a_damaged_chunk_file_is_told_and_encoded_again(tmp_path, keep):
    first = embed(Counting(), TEXTS, VectorStore(tmp_path), Silence())
    damaged = max(tmp_path.rglob("*.safetensors"), key=lambda path: path.stat().st_size)
    damaged.write_bytes(damaged.read_bytes()[:keep])
    progress = Recorded()
    second = embed(Counting(), TEXTS, VectorStore(tmp_path, progress), progress)
    assert 0 < second.encoded <= CHUNK
    assert str(damaged) in progress.events[0]
    assert_same(all_vectors(first), all_vectors(second))
    assert embed(Counting(), TEXTS, VectorStore(tmp_path), Silence()).encoded == 0


def test_an_unusable_cache_costs_a_warning_and_no_vectors(tmp_path):
    cache = tmp_path / "cache"
    cache.write_text("a file where the folder should be")
    progress = Recorded()
    embeddings = embed(Counting(), TEXTS, VectorStore(cache, progress), progress)
    assert embeddings.encoded == DISTINCT
    assert sum("MLBENCH_CACHE" in str(event) for event in progress.events) == 1
    assert_same(all_vectors(embeddings), all_vectors(embed(Counting(), TEXTS, None, Silence())))


def encode_in_a_process(cache, pause):
    embed(Counting(pause=pause), TEXTS, VectorStore(cache), Silence())


def start_process(cache, pause):
    process = multiprocessing.get_context("spawn").Process(target=encode_in_a_process, args=(cache, pause))
    process.start()
    return process


def kept_hashes(cache):
    texts = {text for group in TEXTS.values() for text in group}
    content = b"".join(path.read_bytes() for path in cache.rglob("*.safetensors"))
    return {text for text in texts if text_hash(text) in content}


def wait_for_more_files(cache, process, count):
    while process.is_alive() and len(list(cache.rglob("*.safetensors"))) <= count:
        time.sleep(0.002)


@pytest.mark.slow
def test_killed_and_resumed_runs_give_the_vectors_of_an_uninterrupted_one(tmp_path):
    whole = embed(Counting(), TEXTS, None, Silence())
    for kill in range(3):
        process = start_process(tmp_path, pause=0.2)
        wait_for_more_files(tmp_path, process, kill)
        process.kill()
        process.join()
        assert process.exitcode == -9
    kept = kept_hashes(tmp_path)
    assert 0 < len(kept) < DISTINCT
    encoder = Counting()
    resumed = embed(encoder, TEXTS, VectorStore(tmp_path), Silence())
    assert encoder.encoded.keys().isdisjoint(kept)
    assert resumed.reused == len(kept)
    assert_same(all_vectors(resumed), all_vectors(whole))


@pytest.mark.slow
def test_two_processes_may_share_a_store(tmp_path):
    processes = [start_process(tmp_path, pause=0.02) for _ in range(2)]
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    shared = embed(Counting(), TEXTS, VectorStore(tmp_path), Silence())
    assert shared.encoded == 0
    assert_same(all_vectors(shared), all_vectors(embed(Counting(), TEXTS, None, Silence())))


class Answering(Counting):
    def __init__(self, answer):
        super().__init__()
        self.answer = answer

    def encode(self, texts, role):
        return self.answer(texts)


def spoilt(value, text="who"):
    def answer(texts):
        vectors = np.random.RandomState(0).standard_normal((len(texts), DIM)).astype(np.float32)
        if text in texts:
            vectors[texts.index(text)] = value
        return vectors

    return answer


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda texts: np.ones((len(texts), DIM + 1), np.float32), r"float32 \(2, 9\) for 2 texts.*\(2, 8\)"),
        (lambda texts: np.ones((1, DIM), np.float32), r"\(1, 8\) for 2 texts"),
        (lambda texts: np.ones((len(texts), DIM), np.int64), r"int64 \(2, 8\)"),
        (lambda texts: ["nonsense"] * len(texts), r"<U8 \(2,\)"),
        (spoilt(np.nan), "NaN or infinite numbers for the query 'who'"),
        (spoilt(np.inf), "NaN or infinite numbers for the query 'who'"),
        (lambda texts: np.full((len(texts), DIM), 1e300), "NaN or infinite numbers for the query 'who' and 1 more"),
        (spoilt(0), "only zeros for the query 'who'"),
        (lambda texts: np.ones((len(texts), DIM), np.float32), "every text the same vector"),
    ],
)
def test_vectors_that_cannot_be_scored_are_errors(tmp_path, answer, message):
    progress = Recorded()
    with pytest.raises(RetrieverError, match=message) as caught:
        embed(Answering(answer), {("query", "en"): ["what", "who"]}, VectorStore(tmp_path), progress)
    assert "\n" not in str(caught.value)
    assert progress.events[-1] == "finish"


def test_a_long_text_is_shortened_in_the_message():
    long = "who\n" * 1000
    with pytest.raises(RetrieverError, match=r"who\\nwho.* \.\.\.$") as caught:
        embed(Answering(spoilt(np.nan, long)), {("query", "en"): ["what", long]}, None, Silence())
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_other_floating_point_types_become_float32(dtype):
    encoder = Answering(lambda texts: np.arange(1, 1 + len(texts) * DIM).reshape(-1, DIM).astype(dtype))
    vectors = embed(encoder, {("query", "en"): ["a", "b"]}, None, Silence()).vectors("query", "en")
    assert vectors.dtype == np.float32
    assert vectors[1, 0] == 9


def test_one_text_may_be_alone_with_its_vector():
    embeddings = embed(Counting(), {("query", "en"): ["a", "a"], ("document", "en"): ["a"]}, None, Silence())
    assert embeddings.distinct == 1


def test_no_texts_give_no_vectors(tmp_path):
    embeddings = embed(Counting(), {("query", "en"): [], ("document", "en"): []}, VectorStore(tmp_path), Silence())
    assert embeddings.vectors("query", "en").shape == (0, DIM)
    assert (embeddings.distinct, embeddings.encoded) == (0, 0)
    assert embed(Counting(), {}, None, Silence()).distinct == 0


class Tagged(Counting):
    """An encoder that must know the language of a text, but not of an image."""

    def __init__(self, language=""):
        super().__init__(weights=language)
        self.spoken = {}

    def in_language(self, language):
        if language == "tlh":
            raise RetrieverError("no code for 'tlh'")
        return self.spoken.setdefault(language, Tagged(language))


class TestLanguages:
    def test_a_text_has_a_vector_in_each_language(self, tmp_path):
        asked = {("query", "de"): ["OK", "ja"], ("document", "de"): ["OK"], ("query", "th"): ["OK", "ja", "OK"]}
        encoder, store = Tagged(), VectorStore(tmp_path)
        made = embed(encoder, asked, store, Silence())
        for (role, language), texts in asked.items():
            expected = Tagged(language).encode(["OK", "ja"], role)
            rows = [["OK", "ja"].index(text) for text in texts]
            np.testing.assert_allclose(made.vectors(role, language), expected[rows], atol=1e-6)
        assert (made.distinct, made.encoded) == (4, 4)
        assert not encoder.calls
        again = embed(Tagged(), asked, store, Silence())
        assert (again.distinct, again.encoded) == (4, 0)
        np.testing.assert_array_equal(again.vectors("query", "th"), made.vectors("query", "th"))

    def test_requests_are_made_of_the_encoder_of_the_language(self):
        class Requesting(Tagged):
            batch_size = 2

            def in_language(self, language):
                return self.spoken.setdefault(language, Requesting(language))

            def encode_batches(self, batches, role):
                return ((number, self.encode(batch, role)) for number, batch in enumerate(batches))

            def estimate(self, texts):
                return ""

        asked = {("query", "de"): ["OK", "ja"], ("query", "th"): ["OK", "ja"]}
        made = embed(Requesting(), asked, None, Silence())
        for role, language in asked:
            expected = Tagged(language).encode(["OK", "ja"], role)
            np.testing.assert_allclose(made.vectors(role, language), expected, atol=1e-6)

    def test_a_language_that_is_not_known_is_an_error(self):
        with pytest.raises(RetrieverError, match="no code for 'tlh'"):
            embed(Tagged(), {("query", "tlh"): ["HIja'"]}, None, Silence())

    def test_images_have_no_language(self):
        encoder = Tagged()
        image = Image("0" * 64, Path("a.png"))
        embed(encoder, {("query", "de"): ["OK"], ("document", "image"): [image]}, None, Silence())
        assert encoder.calls == [(image,)]
        assert set(encoder.spoken) == {"de"}


class Preparing(Counting):
    """Says in which order, and in which threads, texts are prepared and encoded."""

    def __init__(self):
        super().__init__()
        self.steps = {"prepare": [], "encode": []}
        self.threads = {"prepare": set(), "encode": set()}

    def note(self, step, texts):
        self.steps[step].append(tuple(texts))
        self.threads[step].add(get_ident())

    def prepare_texts(self, texts, role):
        assert len(self.steps["prepare"]) - len(self.steps["encode"]) < 3
        self.note("prepare", texts)

        def encode():
            self.note("encode", texts)
            return self.encode(texts, role)

        return encode


def test_the_next_chunk_is_prepared_in_another_thread():
    encoder = Preparing()
    assert_same(*(all_vectors(embed(each, TEXTS, None, Silence())) for each in (encoder, Counting())))
    assert encoder.steps["prepare"] == encoder.steps["encode"]
    assert len(encoder.steps["encode"]) > 3
    assert encoder.threads["encode"] == {get_ident()}
    assert get_ident() not in encoder.threads["prepare"]


def test_what_fails_while_it_is_prepared_is_told():
    class Failing(Preparing):
        def prepare_texts(self, texts, role):
            raise RetrieverError("the tokenizer does not fit")

    with pytest.raises(RetrieverError, match="the tokenizer does not fit"):
        embed(Failing(), TEXTS, None, Silence())
