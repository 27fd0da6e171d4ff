"""Encoders behind HTTP, against a server in this process that answers as it is told."""

import base64
import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import count
from typing import Any

import numpy as np
import pytest
from http_servers import DIM, Reply, Server, answer, faultless, reply, serving, vector

from mlbench.embeddings.encode import embed
from mlbench.errors import MissingExtra, RetrieverError
from mlbench.open_model import open_retriever
from mlbench.protocols import SILENCE, Encoder, Runtime
from mlbench.retrievers import api, embeddings_server, probe

KEY = "sk-0123456789abcdef"
TEXTS = [f"text {number}" for number in range(7)]
Behave = Callable[[Any], Reply]


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as running:
        yield running


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embeddings_server, "_FIRST_WAIT", 0.001)


def opened(address: str, **settings: object) -> api.ApiEncoder:
    encoder = open_retriever(f"api:{address}#m", {key: str(value) for key, value in settings.items()}, Runtime())
    assert isinstance(encoder, api.ApiEncoder)
    return encoder


def expected(texts: list[str], model: str = "m") -> list[list[float]]:
    return [vector(text, model) for text in texts]


def after_opening(behave: Behave) -> Behave:
    """Answer without a fault as long as the probe is asked, and then as `behave` does."""
    return lambda body: faultless(body) if body is None or set(body["input"]) <= set(probe.TEXTS) else behave(body)


def edited(**changes: Callable[[Any], object]) -> Behave:
    """Answer as a faultless server does, with these parts of each row changed."""

    def behave(body: Any) -> Reply:
        made = answer(body)
        for row in made["data"]:
            for name, change in changes.items():
                row[name] = change(row[name])
        return reply(made)

    return behave


def test_texts_get_the_vectors_of_the_server_in_their_order(server: Server) -> None:
    encoder = opened(server.url, batch_size=3, concurrency=1)
    assert encoder.dim == DIM
    vectors = encoder.encode(TEXTS, "document")
    assert vectors.dtype == np.float32
    assert vectors.tolist() == expected(TEXTS)
    assert encoder.encode([], "query").shape == (0, DIM)
    assert [len(body["input"]) for body in server.bodies] == [3, 3, 2, 3, 3, 1]
    assert {(body["model"], body["encoding_format"]) for body in server.bodies} == {("m", "float")}


def shuffled(body: Any) -> Reply:
    made = answer(body)
    made["data"].reverse()
    return reply(made)


def in_base64(body: Any) -> Reply:
    made = answer(body)
    for row in made["data"]:
        row["embedding"] = base64.b64encode(np.array(row["embedding"], "<f4").tobytes()).decode()
    return reply(made)


def without_indexes(body: Any) -> Reply:
    made = answer(body)
    for row in made["data"]:
        del row["index"]
    return reply({"data": made["data"]})


def in_whole_numbers(body: Any) -> Reply:
    made = answer(body)
    for row in made["data"]:
        row["embedding"] = [int(value * 1000) or 1 for value in row["embedding"]]
    return reply(made)


@pytest.mark.parametrize("behave", [shuffled, in_base64, without_indexes])
def test_other_forms_of_a_right_answer_give_the_same(behave: Behave) -> None:
    with serving(behave) as server:
        assert opened(server.url).encode(TEXTS, "query").tolist() == expected(TEXTS)


def test_coordinates_may_be_whole_numbers() -> None:
    with serving(in_whole_numbers) as server:
        assert opened(server.url).encode(["one"], "query").tolist() == [
            [int(value * 1000) or 1 for value in vector("one", "m")]
        ]


def page(title: str) -> Reply:
    return Reply(f"<html><title>{title}</title></html>".encode(), headers={"Content-Type": "text/html"})


# What a server answers from its first request on, and what the user is told.
FAULTS: dict[str, tuple[Behave, str]] = {
    "a web page": (lambda _: page("Sign in"), "no JSON, but a web page, 'Sign in': check the address"),
    "a page of an error": (
        lambda _: Reply(b"<h1>Not here</h1>", 404, {"Content-Type": "text/html"}),
        "status 404: a web page",
    ),
    "nothing": (lambda _: Reply(b""), "no JSON, but no message"),
    "half of it": (lambda body: Reply(json.dumps(answer(body)).encode()[:-9]), "the answer is no JSON"),
    "deep brackets": (lambda _: Reply(b"[" * 100_000), "the answer is no JSON"),
    "another object": (lambda _: reply({"embeddings": []}), r'no list of embeddings: \{"embeddings": \[\]\}'),
    "a list": (lambda _: reply([[1.0]]), "no list of embeddings"),
    "an error as an answer": (lambda _: reply({"error": "no such model"}), "no list of embeddings: no such model"),
    "fewer vectors": (lambda body: reply(answer({**body, "input": body["input"][1:]})), "7 embeddings for 8 texts"),
    "more vectors": (lambda body: reply(answer({**body, "input": [*body["input"], "x"]})), "9 embeddings for 8 texts"),
    "an index twice": (edited(index=lambda index: max(index, 1)), "indexes of 8 embeddings are not 0 to 7"),
    "an index as a text": (edited(index=str), "indexes of 8 embeddings are not 0 to 7"),
    "unequal lengths": (edited(embedding=lambda row: row[: 8 + (row[0] > 0)]), "not lists of numbers of one length"),
    "no coordinates": (edited(embedding=lambda row: []), "its embeddings are empty"),
    "nested coordinates": (edited(embedding=lambda row: [row]), "not lists of numbers of one length"),
    "null coordinates": (edited(embedding=lambda row: [None, *row[1:]]), "NaN, infinite numbers or only zeros"),
    "null": (edited(embedding=lambda row: None), "not lists of numbers of one length"),
    "texts for numbers": (edited(embedding=lambda row: [str(value) for value in row]), "not lists of numbers"),
    "broken base64": (edited(embedding=lambda row: "###"), "not lists of numbers of one length"),
    "half of a number in base64": (edited(embedding=lambda row: "AAA="), "not lists of numbers of one length"),
    "NaN": (edited(embedding=lambda row: [float("nan"), *row[1:]]), "NaN, infinite numbers or only zeros"),
    "infinite": (edited(embedding=lambda row: [1e300, *row[1:]]), "NaN, infinite numbers or only zeros"),
    "zeros": (edited(embedding=lambda row: [0.0] * DIM), "NaN, infinite numbers or only zeros"),
    "a wrong key": (
        lambda _: reply({"error": {"message": "Unauthorized"}}, status=401),
        "status 401: Unauthorized; name the environment variable that has the key by --set key_variable=NAME",
    ),
    "a wrong model": (
        lambda _: reply({"detail": [{"msg": "no model 'm'"}]}, status=422),
        r"status 422: \[\{\"msg\": \"no model 'm'\"\}\]",
    ),
    "a long message": (
        lambda _: reply({"message": "words " * 99}, status=400),
        r"status 400: [words ]{150,200} \.\.\.$",
    ),
    "several lines": (lambda _: reply({"message": "one\ntwo\r\n\x1bthree"}, status=400), "one two"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_wrong_answer_is_told_at_once_in_one_line(fault: str) -> None:
    behave, told = FAULTS[fault]
    with serving(behave) as server:
        with pytest.raises(RetrieverError, match=told) as error:
            opened(server.url)
        assert "\n" not in str(error.value)
        assert len(server.bodies) == 1


@pytest.mark.parametrize("to", ["http://127.0.0.1:1/v1/embeddings", "https://elsewhere.example/v1", "/v2/embeddings"])
@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirection_is_not_followed(to: str, status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    with serving(lambda _: Reply(b"", status, {"Location": to})) as server:
        with pytest.raises(RetrieverError, match=f"redirects to {re.escape(to)}, which is not followed"):
            opened(server.url, key_variable="MY_KEY")
        assert len(server.bodies) == 1


def flaky(failures: list[Reply]) -> Behave:
    left = list(failures)
    return lambda body: left.pop(0) if left else faultless(body)


PASSING = {
    "an error of the server": Reply(b"", 500),
    "a gateway": Reply(b"<html></html>", 502, {"Content-Type": "text/html"}),
    "too many": reply({"error": {"message": "slow down"}}, status=429),
    "too many, for no time": Reply(b"", 429, {"Retry-After": "0"}),
    "too many, until a moment gone": Reply(b"", 503, {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}),
    "an odd wait": Reply(b"", 429, {"Retry-After": "soon"}),
    "a lost connection": Reply(b"{", missing=9),
    "a negative wait": Reply(b"", 429, {"Retry-After": "-5"}),
}


@pytest.mark.parametrize("failure", PASSING)
def test_what_may_pass_is_sent_again(failure: str) -> None:
    with serving(flaky([PASSING[failure]] * 3)) as server:
        assert opened(server.url, concurrency=1).encode(TEXTS, "query").tolist() == expected(TEXTS)
        assert [len(body["input"]) for body in server.bodies] == [8, 8, 8, 8, 7]


def test_the_server_says_how_long_to_wait() -> None:
    wait = Reply(b"", 429, {"Retry-After": "0.3"})
    moment = format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True)
    for failure, least in ((wait, 0.3), (Reply(b"", 429, {"Retry-After": moment}), 0.5)):
        begin = time.monotonic()
        with serving(flaky([failure])) as server:
            opened(server.url)
        assert least <= time.monotonic() - begin < 3


def test_a_server_that_asks_for_a_day_is_not_waited_for() -> None:
    with serving(lambda _: Reply(b'"quota"', 429, {"Retry-After": "86400"})) as server:
        with pytest.raises(RetrieverError, match="status 429: quota; it asks to wait for 86,400 s"):
            opened(server.url)
        assert len(server.bodies) == 1


def test_what_does_not_pass_is_told_in_the_end() -> None:
    with serving(lambda _: reply({"error": {"message": "overloaded"}}, status=503)) as server:
        with pytest.raises(RetrieverError, match=r"status 503: overloaded \(4 tries\)"):
            opened(server.url, retries=3)
        assert len(server.bodies) == 4


def test_waits_double_and_vary() -> None:
    waits = [[embeddings_server._backoff(attempt) / 0.001 for _ in range(50)] for attempt in range(3)]
    for attempt, drawn in enumerate(waits):
        assert all(0.75 * 2**attempt <= wait <= 1.25 * 2**attempt for wait in drawn)
        assert len(set(drawn)) > 1
    assert embeddings_server._backoff(60) <= 75


@pytest.mark.parametrize("late", [{"seconds": 3.0}, {"drip": 0.02}], ids=["slow", "byte by byte"])
def test_an_answer_must_be_there_in_time(late: Mapping[str, float]) -> None:
    slow = iter([True])

    def behave(body: Any) -> Reply:
        return Reply(json.dumps(answer(body)).encode(), **late) if next(slow, False) else faultless(body)

    with serving(behave) as server:
        opened(server.url, timeout=0.3)
        assert len(server.bodies) >= 2
    with (
        serving(lambda body: Reply(json.dumps(answer(body)).encode(), **late)) as server,
        pytest.raises(RetrieverError, match=r"no whole answer from http\S+ within 0.6 s \(2 tries\): ask for less"),
    ):
        opened(server.url, timeout=0.3, retries=1)


def test_a_slow_server_is_given_more_time() -> None:
    """It computes one request after the other, those that nobody waits for any more among them."""
    turn = threading.Lock()

    def behave(body: Any) -> Reply:
        with turn:
            time.sleep(0.2)
        return faultless(body)

    with serving(behave) as server:
        encoder = opened(server.url, timeout=0.3, retries=4, batch_size=1)
        assert encoder.encode(TEXTS, "query").tolist() == expected(TEXTS)
        assert len(server.bodies) > 8 + len(TEXTS)


def test_where_nothing_listens_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embeddings_server, "_FIRST_WAIT", 60)
    with pytest.raises(RetrieverError, match=r"no connection to http://127\.0\.0\.1:1/v1: "):
        opened("http://127.0.0.1:1/v1")


def test_a_server_that_is_away_for_a_while_is_waited_for() -> None:
    with serving(lambda body: reply(answer(body), headers={"Connection": "close"})) as server:
        encoder = opened(server.url, retries=1)
    with pytest.raises(RetrieverError, match=r"no connection to http\S+: .*\(2 tries\)"):
        encoder.encode(TEXTS, "query")


def test_an_endless_answer_ends(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embeddings_server, "_LARGEST", 1000)
    with pytest.raises(RetrieverError, match="the answer has more than 0 MiB"):
        opened(server.url)


class TestKeys:
    def test_a_key_goes_to_the_server_that_it_is_named_for(
        self, server: Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("OPENAI_API_KEY", "sk-of-somebody-else")
        monkeypatch.setenv("MY_KEY", f" {KEY}\n")
        opened(server.url)
        assert "authorization" not in server.headers[0]
        encoder = opened(server.url, key_variable="MY_KEY")
        assert server.headers[-1]["authorization"] == f"Bearer {KEY}"
        assert KEY not in repr([encoder.parameters, encoder.fingerprint("query"), vars(encoder), encoder._server._key])
        assert encoder.fingerprint("query") == opened(server.url).fingerprint("query")

    def test_what_the_server_repeats_of_it_is_hidden(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MY_KEY", KEY)
        repeated = reply({"error": {"message": f"Incorrect API key provided: {KEY}."}}, status=401)
        with serving(lambda _: repeated) as server:
            with pytest.raises(RetrieverError, match=r"provided: \*\*\*\.; check the key in \$MY_KEY") as error:
                opened(server.url, key_variable="MY_KEY")
            chain, seen = error.value, []
            while chain is not None:
                seen.append(str(chain))
                chain = chain.__cause__ or chain.__context__  # type: ignore[assignment]
            assert KEY not in "".join(seen)

    @pytest.mark.parametrize(
        ("variable", "told"),
        [
            ("NOWHERE", "its environment variable has no key: set it"),
            (KEY, "key_variable is the name of an environment variable"),
            ("BROKEN", "the key has characters that no key has"),
            ("EMPTY", "has no key"),
        ],
    )
    def test_a_key_that_cannot_be_used_is_not_shown(
        self, variable: str, told: str, server: Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("BROKEN", f"{KEY}\nHost: elsewhere")
        monkeypatch.setenv("EMPTY", " ")
        with pytest.raises(RetrieverError, match=told) as error:
            opened(server.url, key_variable=variable)
        assert KEY not in str(error.value)
        assert server.headers == []

    @pytest.mark.parametrize("place", ["revision", "query_prompt", "document_fields", "deployment"])
    def test_a_key_among_what_is_recorded_is_refused(
        self, place: str, server: Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("MY_KEY", KEY)
        value = json.dumps({"api_key": KEY}) if place.endswith("fields") else f"before {KEY}"
        with pytest.raises(RetrieverError, match="stands in the model or its keys") as error:
            opened(server.url, key_variable="MY_KEY", **{place: value})
        assert KEY not in str(error.value)

    @pytest.mark.parametrize(
        ("address", "shown"),
        [
            ("http://host/v1", True),
            ("https://host/v1", False),
            ("http://127.0.0.1/v1", False),
            ("http://[::1]/", False),
        ],
    )
    def test_a_key_that_others_can_read_on_its_way_is_told(self, address: str, shown: bool) -> None:
        limits = embeddings_server.Limits(concurrency=1, timeout=1, retries=0)
        for value, told in ((KEY, shown), ("", False)):
            secret = embeddings_server.Secret("MY_KEY", value)
            assert embeddings_server.EmbeddingsServer("api", address, secret, limits).shows_key is told

    def test_openai_is_asked_with_its_own_key(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("OPENAI_API_KEY", raising=False)
        with pytest.raises(RetrieverError, match=r"\$OPENAI_API_KEY has no key"):
            open_retriever("api:text-embedding-3-small", {}, Runtime())


@pytest.mark.parametrize(
    ("locator", "told"),
    [
        ("", "write api:http://HOST:PORT/v1#MODEL"),
        ("127.0.0.1:8080/v1#m", "write api:http://HOST:PORT/v1#MODEL"),
        ("ftp://host/v1#m", "write api:http://HOST:PORT/v1#MODEL"),
        ("http://#m", "the address is not one such as"),
        ("http://host:port/v1#m", "the address is not one such as"),
        ("http://ho st/v1#m", "the address is not one such as"),
        ("http://[::1/v1#m", "the address is not one such as"),
        (f"http://user:{KEY}@host/v1#m", "the address has a user or a query"),
        (f"http://host/v1?key={KEY}#m", "the address has a user or a query"),
    ],
)
def test_what_is_no_address_is_told(locator: str, told: str) -> None:
    with pytest.raises(RetrieverError, match=told) as error:
        open_retriever(f"api:{locator}", {}, Runtime())
    assert KEY not in str(error.value)


@pytest.mark.parametrize("ending", ["/", "/embeddings", "/embeddings/"])
def test_an_address_may_end_as_people_write_it(ending: str, server: Server) -> None:
    assert opened(server.url + ending).fingerprint("query") == opened(server.url).fingerprint("query")


def test_a_server_without_a_model_says_which_it_has() -> None:
    listed = {"data": [{"id": "large"}, {"id": "base"}]}
    for behave, told in ((lambda _: reply(listed), "it offers base, large"), (faultless_get, "does not say which")):
        with (
            serving(behave) as server,
            pytest.raises(RetrieverError, match=f"name the model behind the address, as in api:{server.url}#.*{told}"),
        ):
            open_retriever(f"api:{server.url}", {}, Runtime())


def faultless_get(_: object) -> Reply:
    return Reply(b"what?", 404)


def test_without_its_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"pip install 'mlbench\[api\]'"):
        open_retriever("api:http://127.0.0.1:1/v1#m", {}, Runtime())


def test_no_proxy_stands_before_this_machine(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    opened(server.url)
    with pytest.raises(RetrieverError, match="no connection"):
        opened("http://mlbench.invalid/v1")


@pytest.mark.parametrize("name", ["MLBENCH_OFFLINE", "HF_HUB_OFFLINE"])
def test_offline_nothing_leaves_this_machine(name: str, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "1")
    opened(server.url)
    with pytest.raises(RetrieverError, match=r"MLBENCH_OFFLINE .* nothing is sent to mlbench\.invalid"):
        opened("http://mlbench.invalid/v1")


class TestRoles:
    def test_prompts_and_fields_are_those_of_the_role(self, server: Server) -> None:
        encoder = opened(
            server.url,
            query_prompt="query: ",
            query_fields='{"input_type": "query", "model": "m-query"}',
            document_fields='{"input_type": "passage"}',
            dimensions=DIM,
        )
        assert encoder.encode(["a"], "query").tolist() == [vector("query: a", "m-query")]
        assert encoder.encode(["a"], "document").tolist() == [vector("a", "m")]
        asked, held = server.bodies[-2:]
        assert (asked["input"], asked["input_type"], asked["model"]) == (["query: a"], "query", "m-query")
        assert (held["input"], held["input_type"], held["model"]) == (["a"], "passage", "m")
        assert {body["dimensions"] for body in server.bodies} == {DIM}
        assert len(server.bodies) == 4
        assert encoder.fingerprint("query") != encoder.fingerprint("document")

    def test_roles_that_are_asked_alike_are_one(self, server: Server) -> None:
        encoder = opened(server.url)
        assert len(server.bodies) == 1
        assert encoder.fingerprint("query") == encoder.fingerprint("document")

    @pytest.mark.parametrize("value", ["", "[]", "{", '{"input": ["x"]}', '"a"'])
    def test_fields_are_an_object(self, value: str) -> None:
        with pytest.raises(RetrieverError, match="query_fields: value error, needs a JSON object"):
            opened("http://127.0.0.1:1/v1", query_fields=value)

    def test_other_dimensions_than_asked_for_are_refused(self, server: Server) -> None:
        with pytest.raises(RetrieverError, match=f"dimensions=8: the server gives {DIM} coordinates"):
            opened(server.url, dimensions=8)

    def test_other_dimensions_than_before_are_refused(self) -> None:
        with serving(after_opening(edited(embedding=lambda row: row[:8]))) as server:
            encoder = opened(server.url)
            with pytest.raises(RetrieverError, match=f"8 coordinates, and {DIM} before"):
                encoder.encode(["a"], "query")


class TestSeveralAtOnce:
    def test_no_more_than_asked_for(self) -> None:
        with serving(lambda body: Reply(json.dumps(answer(body)).encode(), seconds=0.05)) as server:
            encoder = opened(server.url, concurrency=3, batch_size=8)
            texts = [f"text {number}" for number in range(64)]
            assert encoder.encode(texts, "query").tolist() == expected(texts)
            assert server.at_once == 3

    def test_where_one_fails_for_good_the_others_are_not_lost(self) -> None:
        """The answers of requests that were on their way are handed over, and no further one is sent."""
        met = threading.Barrier(3)

        def behave(body: Any) -> Reply:
            met.wait(timeout=10)
            if "text 0" in body["input"]:
                return reply({"message": "no"}, status=400)
            return Reply(json.dumps(answer(body)).encode(), seconds=0.2)

        with serving(after_opening(behave)) as server:
            encoder = opened(server.url, concurrency=3, batch_size=8)
            answers = encoder.encode_batches([[f"text {n}"] for n in range(6)], "query")
            handed = [next(answers)[0], next(answers)[0]]
            with pytest.raises(RetrieverError, match="status 400: no"):
                next(answers)
            assert sorted(handed) == [1, 2]
            assert len(server.bodies) == 4

    def test_a_minute_has_only_so_many_requests(self, server: Server) -> None:
        begin = time.monotonic()
        opened(server.url, requests_per_minute=1200, batch_size=1, concurrency=8)
        assert len(server.bodies) == 8
        assert time.monotonic() - begin >= 7 * 0.05

    def test_a_minute_has_only_so_many_tokens(self, server: Server) -> None:
        encoder = opened(server.url, tokens_per_minute=60_000, batch_size=1, concurrency=8)
        texts = [str(number) * 200 for number in range(8)]
        expected_tokens = encoder._expected_tokens(texts[:7])
        begin = time.monotonic()
        encoder.encode(texts, "query")
        assert time.monotonic() - begin >= expected_tokens / 1000 * 0.9


def test_tokens_and_money_are_counted(server: Server) -> None:
    encoder = opened(server.url, price_per_million=2.5, batch_size=3)
    before, spent = encoder.tokens, encoder.spent
    assert before == sum(-(-len(text) // 4) for text in probe.TEXTS)
    encoder.encode(TEXTS, "query")
    assert encoder.tokens == before + 2 * len(TEXTS)
    assert encoder.spent == pytest.approx(2.5e-6 * encoder.tokens)
    assert spent is not None
    rate = encoder.tokens / (sum(map(len, probe.TEXTS)) + sum(map(len, TEXTS)))
    told = encoder.estimate(["x" * 1000] * 10)
    assert told.startswith("m: 10 texts to send in about 4 requests, ")
    assert told.endswith(f"about {10_000 * rate:,.0f} tokens, about {0.025 * rate:,.4f} to pay")


def test_a_server_that_counts_no_tokens() -> None:
    with serving(without_indexes) as server:
        encoder = opened(server.url, price_per_million=2.5)
        assert (encoder.tokens, encoder.spent) == (0, None)
        assert encoder.estimate(["x"]) == "m: 1 texts to send in about 1 requests"


def moved(by: float, seed: int = 0) -> Behave:
    """Answer with vectors that lie about `by` of their length from the right ones, another way each time."""
    numbers = count(seed)

    def behave(body: Any) -> Reply:
        made, draw = answer(body), np.random.RandomState(next(numbers))
        for row in made["data"]:
            values = np.array(row["embedding"])
            step = draw.normal(size=DIM)
            row["embedding"] = (values + by * np.linalg.norm(values) * step / np.linalg.norm(step)).tolist()
        return reply(made)

    return behave


class TestFingerprint:
    def fingerprint(self, address: str, model: str = "m", **settings: object) -> str:
        encoder: Any = open_retriever(f"api:{address}#{model}", {k: str(v) for k, v in settings.items()}, Runtime())
        return str(encoder.fingerprint("query"))

    def test_it_has_all_that_decides_vectors(self, server: Server) -> None:
        every: list[dict[str, object]] = [
            {},
            {"model": "other"},
            {"query_prompt": "query: "},
            {"query_fields": '{"input_type": "query"}'},
            {"dimensions": DIM},
            {"revision": "2"},
            {"max_length": 512},
            {"deployment": "ours"},
        ]
        made = [self.fingerprint(server.url, **settings) for settings in every]
        assert len(set(made)) == len(made)

    def test_it_has_nothing_else(self, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MY_KEY", KEY)
        how = {"concurrency": 1, "timeout": 9, "retries": 0, "requests_per_minute": 9e4, "tokens_per_minute": 9e9}
        more = {"price_per_million": 1, "batch_size": 5, "key_variable": "MY_KEY"}
        assert self.fingerprint(server.url) == self.fingerprint(server.url, **how, **more)

    def test_what_the_server_calls_its_model_counts(self) -> None:
        def named(name: object) -> Behave:
            return lambda body: reply({**answer(body), "model": name})

        with serving(named("m-2026-11")) as server:
            encoder = opened(server.url)
            assert encoder.parameters["served_model"] == "m-2026-11"
            made = {encoder.fingerprint("query")}
            for name in ("m-2026-12", None):
                server.behave = named(name)
                made.add(self.fingerprint(server.url))
        assert len(made) == 3

    def test_the_address_counts_unless_it_is_called_something(self, server: Server) -> None:
        with serving() as other:
            assert self.fingerprint(server.url) != self.fingerprint(other.url)
            assert self.fingerprint(server.url, deployment="d") == self.fingerprint(other.url, deployment="d")

    def test_it_stays_where_vectors_are_rounded_otherwise_each_time(self) -> None:
        with serving(moved(1e-3)) as server:
            assert len({self.fingerprint(server.url) for _ in range(5)}) == 1

    def test_it_is_the_same_on_another_machine_but_for_rounding(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        made = set()
        with serving(moved(1e-7)) as server:
            for _ in range(5):
                monkeypatch.setenv("MLBENCH_CACHE", str(tmp_path_factory.mktemp("machine")))
                made.add(self.fingerprint(server.url))
        assert len(made) == 1

    def test_another_model_under_the_same_name_is_noticed(self) -> None:
        with serving() as server:
            first = self.fingerprint(server.url)
            assert opened(server.url).warnings == ()
            server.behave = moved(0.1)
            changed = opened(server.url)
            second = changed.fingerprint("query")
            assert re.match(r"it gives the same texts other vectors .* \(cosine 0\.99\d\d\)", changed.warnings[0])
            server.behave = lambda body: reply({**answer({**body, "model": "new"}), "model": "m"})
            third = self.fingerprint(server.url)
            server.behave = faultless
            assert len({first, second, third}) == 3
            assert self.fingerprint(server.url) == first

    def test_vectors_of_another_norm_are_another_model(self) -> None:
        with serving() as server:
            first = self.fingerprint(server.url)
            server.behave = edited(embedding=lambda row: [1.1 * value for value in row])
            assert self.fingerprint(server.url) != first

    def test_vectors_of_another_length_are_another_model(self) -> None:
        with serving() as server:
            first = self.fingerprint(server.url)
            server.behave = edited(embedding=lambda row: row[:8])
            assert self.fingerprint(server.url) != first

    def test_a_damaged_probe_is_made_anew(self, server: Server) -> None:
        first = self.fingerprint(server.url)
        (kept,) = probe.cache_dir().rglob("*.npz")
        for content in (b"", b"PK\x03\x04 broken", kept.read_bytes()[:-50]):
            kept.write_bytes(content)
            assert self.fingerprint(server.url) == first

    def test_a_cache_that_cannot_be_written_is_no_fault(
        self, server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        file = tmp_path_factory.mktemp("machine") / "file"
        file.touch()
        monkeypatch.setenv("MLBENCH_CACHE", str(file))
        assert self.fingerprint(server.url) == self.fingerprint(server.url)

    def test_batches_decide_rounding_alone(self, server: Server) -> None:
        encoder = opened(server.url, batch_size=5)
        assert encoder.computation("query") == {"batch_size": 5}


class TestRepeatability:
    def test_equal_answers(self, server: Server) -> None:
        found = opened(server.url).repeatability()
        assert (found.repeatable, found.least_cosine, found.probe_texts) == (True, 1.0, len(probe.TEXTS))

    @pytest.mark.parametrize("by", [1e-6, 1e-2])
    def test_rounding_is_told(self, by: float) -> None:
        with serving(moved(by)) as server:
            found = opened(server.url).repeatability()
        assert not found.repeatable
        # Two such vectors are sqrt(2) * by apart; cos x = 1 - x * x / 2.
        assert 1 - 3 * by**2 < found.least_cosine <= 1.0

    def test_an_answer_of_an_earlier_run_counts(self) -> None:
        with serving(moved(1e-3)) as server:
            opened(server.url)
            server.behave = faultless
            found = opened(server.url).repeatability()
        assert not found.repeatable
        assert found.least_cosine < 1.0

    def test_every_role_counts(self) -> None:
        noisy, exact = moved(1e-3), faultless
        with serving(lambda body: noisy(body) if body.get("input_type") == "query" else exact(body)) as server:
            encoder = opened(server.url, query_fields='{"input_type": "query"}')
            before = len(server.bodies)
            assert not encoder.repeatability().repeatable
            assert len(server.bodies) == before + 2

    def test_another_name_in_the_course_of_a_run_ends_it(self) -> None:
        with serving() as server:
            encoder = opened(server.url)
            server.behave = lambda body: reply({**answer(body), "model": "m-of-8-bits"})
            encoder.encode(["text"], "query")
            with pytest.raises(RetrieverError, match="#m calls its model by another name than when this run began"):
                encoder.repeatability()

    def test_another_model_in_the_course_of_a_run_ends_it(self) -> None:
        with serving() as server:
            encoder = opened(server.url)
            server.behave = moved(0.1)
            with pytest.raises(RetrieverError, match="#m gives the same texts other vectors than when this run began"):
                encoder.repeatability()
            server.behave = faultless
            # What was kept may be of either model, and is not used again.
            again = opened(server.url)
            assert again.fingerprint("query") != encoder.fingerprint("query")
            assert opened(server.url).fingerprint("query") == again.fingerprint("query")


class TestEmbedding:
    def test_a_faulty_vector_names_its_text(self) -> None:
        with serving(after_opening(edited(embedding=lambda row: [float("nan"), *row[1:]]))) as server:
            encoder: Encoder = opened(server.url)
            with pytest.raises(RetrieverError, match="NaN or infinite numbers for the query 'what'"):
                embed(encoder, {("query", "en"): ["what"], ("document", "en"): []}, None, SILENCE)

    def test_each_request_is_a_chunk_and_each_text_asked_once(self, server: Server) -> None:
        encoder: Encoder = opened(server.url, batch_size=4, query_prompt="q: ")
        texts = {("query", "en"): TEXTS, ("document", "en"): [*TEXTS, "more"], ("document", "de"): ["more", "text 1"]}
        embeddings = embed(encoder, texts, None, SILENCE)
        for group, held in texts.items():
            prompt = "q: " if group[0] == "query" else ""
            assert embeddings.vectors(*group).tolist() == expected([prompt + text for text in held])
        asked = server.texts
        assert all(asked[text] == 1 for text in {*(f"q: {text}" for text in TEXTS), *TEXTS, "more"})
        assert max(len(body["input"]) for body in server.bodies) == 4
