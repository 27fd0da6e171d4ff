"""Asks a server for embeddings, by the HTTP interface that OpenAI made common and many servers speak.

A request is `POST ADDRESS/embeddings` with a JSON object of `model`, `input` (a list of texts) and `encoding_format`;
the answer has a list `data` of objects with `index` and `embedding`, and the tokens in `usage`
(https://platform.openai.com/docs/api-reference/embeddings).
"""

import base64
import json
import random
import re
import ssl
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from ipaddress import ip_address
from threading import Event, Lock
from time import monotonic
from types import NoneType
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import numpy as np
from pydantic import JsonValue

from mlbench.errors import RetrieverError
from mlbench.io.cache import offline
from mlbench.protocols import Vectors

if TYPE_CHECKING:
    import httpx2

_LARGEST = 2**28
_MINUTE = 60.0
# The wait before the first repetition, doubled before each further one, and the longest that a server may ask for.
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 600.0
_LONGEST_BACKOFF = 60.0
_TRANSIENT = {408, 425, 429}
_KEY_REFUSED = {401, 403}
_SHOWN = 200
_VISIBLE = re.compile(r"[\x21-\x7e]+")
_TITLE = re.compile(r"<title[^>]*>(.*?)</title>", re.DOTALL | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Limits:
    """How a server is asked: `timeout` and all waits in seconds; `requests` and `tokens` are the most in a minute.

    A request that failed in a way that may pass is sent again, at most `retries` times. One that got no answer in time
    is given double the time, as a server that is slow stays so, and works on what nobody waits for any more.
    """

    concurrency: int
    timeout: float
    retries: int
    requests: float | None = None
    tokens: float | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What one request gave: float32 (texts, dim), and what the server calls the model that computed them.

    `tokens` is what the server counted, 0 where it counts none.
    """

    vectors: Vectors
    tokens: int
    model: str


@dataclass(frozen=True)
class Secret:
    """A key, which is shown nowhere; `variable` names the environment variable that it came from."""

    variable: str = ""
    value: str = field(default="", repr=False)

    def hide(self, text: str) -> str:
        """Return `text` with three asterisks in place of the key."""
        return text.replace(self.value, "***") if self.value else text


class _Passing(Exception):
    """A failure that may pass; `wait` is how many seconds the server asks to be left alone, None where it does not."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


class _Late(_Passing):
    """No answer was there in time."""


class Pace:
    """Spaces requests out, so that no more go to a server in a minute than it allows; several threads share it."""

    def __init__(self, requests: float | None, tokens: float | None) -> None:
        self._request = 0.0 if requests is None else _MINUTE / requests
        self._token = 0.0 if tokens is None else _MINUTE / tokens
        self._next = 0.0
        self._lock = Lock()

    def wait(self, tokens: float, stop: Event) -> None:
        """Wait for the turn of a request of about so many tokens, or until `stop`."""
        with self._lock:
            turn = max(monotonic(), self._next)
            self._next = turn + max(self._request, tokens * self._token)
        stop.wait(turn - monotonic())

    def pause(self, seconds: float) -> None:
        """Let no request begin in the next `seconds`."""
        with self._lock:
            self._next = max(self._next, monotonic() + seconds)


class EmbeddingsServer:
    """A server at an address such as `http://127.0.0.1:8080/v1`; several threads may ask at once.

    The key goes to this address alone: redirections are refused. On this machine itself no proxy is used, whatever the
    environment says. Raises `RetrieverError` for what is no such address, and without a network where one is needed.
    """

    def __init__(self, name: str, address: str, key: Secret, limits: Limits) -> None:
        self.address = _checked(address)
        self.name, self._key, self._limits = name, key, limits
        self._pace = Pace(limits.requests, limits.tokens)
        self._reached = False
        self._client = self._open()

    def _open(self) -> "httpx2.Client":
        import httpx2

        host = urlsplit(self.address).hostname or ""
        here = _is_this_machine(host)
        if offline() and not here:
            raise RetrieverError(f"{self.name}: MLBENCH_OFFLINE or HF_HUB_OFFLINE is set, so nothing is sent to {host}")
        headers = {"Content-Type": "application/json"}
        if self._key.value:
            headers["Authorization"] = f"Bearer {self._key.value}"
        try:
            return httpx2.Client(
                headers=headers,
                limits=httpx2.Limits(max_connections=None, max_keepalive_connections=self._limits.concurrency),
                verify=_tls(not here),
                trust_env=not here,
            )
        except (ImportError, ValueError, httpx2.InvalidURL) as error:
            raise RetrieverError(f"{self.name}: the proxy of the environment cannot be used: {error}") from error

    @property
    def shows_key(self) -> bool:
        """Whether the key leaves this machine without encryption."""
        parts = urlsplit(self.address)
        return bool(self._key.value) and parts.scheme == "http" and not _is_this_machine(parts.hostname or "")

    def models(self) -> list[str]:
        """Return the names of the models that the server lists, sorted; none where it lists none."""
        with suppress(RetrieverError, _Passing, ValueError, TypeError, KeyError, RecursionError):
            status, _, content = self._send("GET", "models", b"", self._limits.timeout)
            if status == 200:
                return sorted(str(each["id"]) for each in json.loads(content)["data"])
        return []

    def ask(self, body: Mapping[str, JsonValue], texts: list[str], tokens: float, stop: Event) -> Answer:
        """Return the vectors of `texts`, which `body` asks for; `tokens` is about how many they have.

        What may pass is tried again, after waits that double or that the server asks for, until `stop`. Raises
        `RetrieverError` in one line for all else, and for an answer that is not one vector for each text.
        """
        content, seconds = json.dumps({**body, "input": texts}).encode(), self._limits.timeout
        for attempt in range(self._limits.retries + 1):
            self._pace.wait(tokens, stop)
            if stop.is_set():
                raise RetrieverError(f"{self.name}: stopped")
            try:
                return self._post(content, len(texts), seconds)
            except _Passing as failure:
                wait = _backoff(attempt) if failure.wait is None else failure.wait
                if attempt == self._limits.retries or wait > _LONGEST_WAIT or stop.is_set():
                    asked = f"; it asks to wait for {wait:,.0f} s" if wait > _LONGEST_WAIT else ""
                    tries = f" ({attempt + 1} tries)" if attempt else ""
                    less = ": ask for less by a smaller concurrency or batch_size" if isinstance(failure, _Late) else ""
                    raise RetrieverError(f"{self.name}: {failure}{tries}{asked}{less}") from failure
                if failure.wait is not None:
                    self._pace.pause(wait)
                if isinstance(failure, _Late):
                    seconds = max(seconds, min(2 * seconds, _LONGEST_WAIT))
                stop.wait(wait)
        raise AssertionError("the last try returns or raises")

    def _post(self, content: bytes, n_texts: int, seconds: float) -> Answer:
        status, headers, received = self._send("POST", "embeddings", content, seconds)
        if status == 200:
            return self._read(received, headers, n_texts)
        said = self._said(received, headers)
        if status in _TRANSIENT or status >= 500:
            raise _Passing(f"status {status}: {said}", _retry_after(headers.get("retry-after", "")))
        if 300 <= status < 400:
            target = self._key.hide(headers.get("location", "nowhere"))
            raise RetrieverError(
                f"{self.name}: {self.address} redirects to {target[:_SHOWN]}, which is not followed: name the address "
                "that answers"
            )
        raise RetrieverError(f"{self.name}: status {status}: {said}{self._hint(status)}")

    def _hint(self, status: int) -> str:
        """Return what to do about an answer of this status, behind a semicolon; nothing where that is not known."""
        if status not in _KEY_REFUSED:
            return ""
        if self._key.value:
            return f"; check the key in ${self._key.variable}"
        return "; name the environment variable that has the key by --set key_variable=NAME"

    def _send(self, method: str, path: str, content: bytes, seconds: float) -> "tuple[int, httpx2.Headers, bytes]":
        """Send a request and return status, headers and content of the answer, whole and within so many seconds."""
        import httpx2

        end, received = monotonic() + seconds, bytearray()
        late = f"no whole answer from {self.address} within {seconds:g} s"
        try:
            with self._client.stream(method, f"{self.address}/{path}", content=content, timeout=seconds) as response:
                for block in response.iter_bytes():
                    received += block
                    if len(received) > _LARGEST:
                        raise RetrieverError(f"{self.name}: the answer has more than {_LARGEST >> 20} MiB")
                    if monotonic() > end:
                        raise _Late(late)
        except httpx2.TransportError as error:
            reason = f"no connection to {self.address}: {self._key.hide(str(error)) or type(error).__name__}"
            unconnected = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.ProxyError, httpx2.UnsupportedProtocol)
            if isinstance(error, unconnected) and not self._reached:
                # What never answered has another address, or is not running: nobody should wait for that.
                raise RetrieverError(f"{self.name}: {reason}") from error
            raise (_Late(late) if isinstance(error, httpx2.TimeoutException) else _Passing(reason)) from error
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise RetrieverError(f"{self.name}: the answer cannot be read: {self._key.hide(str(error))}") from error
        self._reached = True
        return response.status_code, response.headers, bytes(received)

    def _said(self, content: bytes, headers: "httpx2.Headers") -> str:
        """Return in one short line what an answer says that has no vectors."""
        text = content.decode("utf-8", "replace")
        with suppress(ValueError, RecursionError):
            text = _message(json.loads(text))
        if "html" in headers.get("content-type", "") or text.lstrip()[:1] == "<":
            title = _TITLE.search(text)
            text = f"a web page, {title[1].strip()!r}" if title else "a web page"
        line = self._key.hide(" ".join(text.split())) or "no message"
        return line if len(line) <= _SHOWN else f"{line[: _SHOWN - 4]} ..."

    def _read(self, content: bytes, headers: "httpx2.Headers", n_texts: int) -> Answer:
        try:
            answer = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise RetrieverError(
                f"{self.name}: the answer is no JSON, but {self._said(content, headers)}: check the address"
            ) from error
        rows = answer.get("data") if isinstance(answer, dict) else None
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise RetrieverError(f"{self.name}: the answer has no list of embeddings: {self._said(content, headers)}")
        if len(rows) != n_texts:
            raise RetrieverError(f"{self.name}: {len(rows)} embeddings for {n_texts} texts")
        places = [row.get("index", place) for place, row in enumerate(rows)]
        if sorted(place for place in places if type(place) is int) != list(range(n_texts)):
            raise RetrieverError(f"{self.name}: the indexes of {n_texts} embeddings are not 0 to {n_texts - 1}")
        by_place = dict(zip(places, rows, strict=True))
        vectors = self._vectors([by_place[place].get("embedding") for place in range(n_texts)])
        model = answer.get("model")
        return Answer(vectors, _tokens(answer.get("usage")), model if isinstance(model, str) else "")

    def _vectors(self, rows: list[object]) -> Vectors:
        try:
            with np.errstate(over="ignore"):
                vectors = np.array([_row(row) for row in rows], dtype=np.float32)
        except (TypeError, ValueError, OverflowError) as error:
            raise RetrieverError(f"{self.name}: its embeddings are not lists of numbers of one length") from error
        if not vectors.shape[1]:
            raise RetrieverError(f"{self.name}: its embeddings are empty")
        return vectors


def _checked(address: str) -> str:
    """Return an address without a slash at its end; raises `RetrieverError` for one that cannot be used as it is."""
    try:
        parts = urlsplit(address)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or _VISIBLE.fullmatch(address) is None:
        # It may hold a key, so it is not repeated.
        raise RetrieverError("api: the address is not one such as http://127.0.0.1:8080/v1")
    if parts.username is not None or parts.query:
        raise RetrieverError(
            "api: the address has a user or a query, which may hold a key: a key comes from the environment alone, by "
            "--set key_variable=NAME"
        )
    return address.rstrip("/").removesuffix("/embeddings")


@cache
def _tls(trust_env: bool) -> ssl.SSLContext:
    """Return the certificates that are trusted, which takes a while to read."""
    import httpx2

    return httpx2.create_ssl_context(trust_env=trust_env)


def _is_this_machine(host: str) -> bool:
    try:
        address = ip_address(host)
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
    return address.is_loopback or address.is_unspecified


def _backoff(attempt: int) -> float:
    """Return the seconds before a request is sent again: they double, and vary so that not all come back at once."""
    return float(min(_FIRST_WAIT * 2.0**attempt, _LONGEST_BACKOFF) * random.uniform(0.75, 1.25))


def _retry_after(value: str) -> float | None:
    """Return the seconds of a header Retry-After, a number or a date; None for none."""
    with suppress(ValueError):
        seconds = float(value)
        return max(0.0, seconds) if np.isfinite(seconds) else None
    with suppress(ValueError, TypeError):
        moment = parsedate_to_datetime(value)
        return max(0.0, (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
    return None


def _message(answer: object) -> str:
    """Return the message in an answer that tells an error, in one of the forms that servers use."""
    for key in ("error", "message", "detail"):
        if isinstance(answer, dict) and answer.get(key):
            return _message(answer[key])
    return answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False)


def _row(embedding: object) -> object:
    if isinstance(embedding, str):
        return np.frombuffer(base64.b64decode(embedding, validate=True), dtype="<f4")
    if isinstance(embedding, list) and all(type(value) in (float, int, NoneType) for value in embedding):
        # Some servers write null where JSON has no NaN.
        return [np.nan if value is None else value for value in embedding]
    raise ValueError("no list of numbers")


def _tokens(usage: object) -> int:
    counts = [usage.get(key) for key in ("prompt_tokens", "total_tokens")] if isinstance(usage, dict) else []
    return next((count for count in counts if type(count) is int and count > 0), 0)
