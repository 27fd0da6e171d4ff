"""Encoders behind HTTP: texts go to a server, which answers with their vectors.

Nobody knows what such a server computes. The fingerprint therefore has what its model is called, what the user declares
of it, and what it answers to the fixed texts of a probe.
"""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from importlib.util import find_spec
from queue import Empty, SimpleQueue
from threading import Event, Thread

import numpy as np
from pydantic import BaseModel, Field, JsonValue, field_validator

from mlbench.errors import MissingExtra, RetrieverError
from mlbench.protocols import Parameter, Repeatability, Role, Runtime, Similarity, Vectors
from mlbench.retrievers import probe
from mlbench.retrievers.embeddings_server import Answer, EmbeddingsServer, Limits, Secret

OPENAI = "https://api.openai.com/v1"
"""The address of a model that is named without one."""
_OPENAI_KEY = "OPENAI_API_KEY"
# Stays the same as long as the same texts are sent in the same way.
_INTERFACE = "embeddings over HTTP 1"
# Shorter keys are placeholders, such as `none`, for servers that want none.
_SHORTEST_KEY = 8
_MILLION = 1e6
_Answers = SimpleQueue[tuple[int, Answer] | Exception | None]


class Api:
    """Any encoder behind HTTP, by OpenAI's interface (ADDRESS#MODEL, or a model of OpenAI)."""

    extra = "api"
    libraries = ("httpx2",)
    example = "api:http://127.0.0.1:8080/v1#multilingual-e5-small --set query_prompt='query: '"

    class Settings(BaseModel, extra="forbid", frozen=True):
        """Keys of `api:`."""

        query_prompt: str = Field("", description="put before each query, with its blank, as in 'query: '")
        document_prompt: str = Field("", description="put before each document, as in 'passage: '")
        query_fields: str = Field("{}", description="JSON object of more fields of requests for queries")
        document_fields: str = Field("{}", description='the same for documents, as in \'{"input_type": "document"}\'')
        dimensions: int | None = Field(None, ge=1, description="how many coordinates the server is to give")
        similarity: Similarity = Field("cosine", description="how two vectors are compared: cosine or dot")
        revision: str | None = Field(None, description="which version is served, as far as you know")
        max_length: int | None = Field(None, ge=1, description="tokens after which the server cuts, as far as you know")
        deployment: str | None = Field(None, description="stands for the address in the fingerprint")
        key_variable: str | None = Field(
            None, description=f"environment variable with the key ({_OPENAI_KEY} for OpenAI, else none)"
        )
        batch_size: int = Field(32, ge=1, le=2048, description="texts in a request")
        concurrency: int = Field(4, ge=1, le=64, description="requests at once")
        requests_per_minute: float | None = Field(None, gt=0, description="requests begun in a minute, at most")
        tokens_per_minute: float | None = Field(None, gt=0, description="tokens sent in a minute, about at most")
        price_per_million: float | None = Field(None, ge=0, description="price of a million tokens, in any currency")
        timeout: float = Field(120.0, gt=0, description="seconds for an answer, doubled each time that it takes longer")
        retries: int = Field(6, ge=0, le=20, description="how often a request is sent again")

        @field_validator("query_fields", "document_fields")
        @classmethod
        def _is_object(cls, value: str) -> str:
            try:
                fields = json.loads(value)
            except (ValueError, RecursionError):
                fields = None
            if not isinstance(fields, dict) or "input" in fields:
                raise ValueError('needs a JSON object without "input", such as {"input_type": "query"}')
            return value

    @staticmethod
    def open(locator: str, settings: BaseModel, runtime: Runtime) -> "ApiEncoder":
        """Return the encoder, which has answered to the probe.

        Raises `MissingExtra` without httpx2, and `RetrieverError` for a model or address that is missing, a key that is
        not in the environment, and a server that does not answer as it should.
        """
        assert isinstance(settings, Api.Settings)
        if find_spec("httpx2") is None:
            raise MissingExtra("encoders over HTTP", Api.extra)
        address, model = _split(locator)
        key = _key(settings.key_variable, address)
        recorded = (locator, *dict(settings).values())
        if len(key.value) >= _SHORTEST_KEY and any(key.value in str(value) for value in recorded):
            raise RetrieverError(
                f"api: the key of ${key.variable} stands in the model or its keys, which results record: leave it out"
            )
        server = EmbeddingsServer(f"api:{locator}", address, key, _limits(settings))
        if not model:
            known = server.models()
            offers = f"it offers {', '.join(known[:10])}" if known else "it does not say which it has"
            raise RetrieverError(f"api: name the model behind the address, as in api:{address}#MODEL; {offers}")
        return ApiEncoder(server, model, settings)


class ApiEncoder:
    """The model of a server; `tokens` counts what the server says that texts had, 0 where it does not say.

    Texts travel in requests of `batch_size` at most, several at once.
    """

    def __init__(self, server: EmbeddingsServer, model: str, settings: Api.Settings) -> None:
        self.tokens = 0
        self.batch_size = settings.batch_size
        self.similarity: Similarity = settings.similarity
        self._characters = 0
        self._answering: set[str] = set()
        self._server, self._model, self._settings = server, model, settings
        self._probes = self._open_probes()
        self._served = ", ".join(sorted(self._answering))
        self.dim = self._probes["document"].now.shape[1]
        self._check_dim(self._probes["query"].now)
        if settings.dimensions not in (None, self.dim):
            raise RetrieverError(
                f"{server.name}: dimensions={settings.dimensions}: the server gives {self.dim} coordinates"
            )

    @property
    def warnings(self) -> tuple[str, ...]:
        """That another model answers than in earlier runs, and that the key can be read on its way."""
        known = [known.replaces for known in self._probes.values() if known.replaces is not None]
        told = []
        if known:
            told.append(
                f"it gives the same texts other vectors than in earlier runs (cosine {min(known):.4f}): it counts as "
                "another model, and all texts are sent again"
            )
        if self._server.shows_key:
            told.append("the key is sent without encryption: give an address that begins with https://")
        return tuple(told)

    @property
    def parameters(self) -> dict[str, Parameter]:
        """Address, model, what the server calls it, and the keys that decide vectors or prices."""
        left_out = {"key_variable", "concurrency", "requests_per_minute", "tokens_per_minute", "timeout", "retries"}
        keys = self._settings.model_dump(exclude=left_out)
        return {"address": self._server.address, "model": self._model, "served_model": self._served, **keys}

    @property
    def spent(self) -> float | None:
        """What all requests cost so far by `price_per_million`; None where price or tokens are not known."""
        price = self._settings.price_per_million
        return None if price is None or not self.tokens else price * self.tokens / _MILLION

    def fingerprint(self, role: Role) -> str:
        """Return a digest of what requests say of `role`, what the user declares, and the answer to the probe."""
        parts = (self._identity(role), self._served, self._probes[role].digest())
        return sha256("\n".join(parts).encode()).hexdigest()

    def computation(self, role: Role) -> dict[str, Parameter]:
        """Return the size of requests, whose texts may be computed together."""
        return {"batch_size": self.batch_size}

    def repeatability(self) -> Repeatability:
        """Ask the probe again, and return how far its answers lie apart.

        Raises `RetrieverError` where another model answers than when this one was opened; what was kept of it in this
        or an earlier run is then not used again.
        """
        found = []
        for role, known in {known.path: (role, known) for role, known in self._probes.items()}.values():
            again = self._ask_probe(role)
            renamed = ", ".join(sorted(self._answering)) != self._served
            if renamed or not probe.is_same(known.now, again):
                known.spoil()
                changed = "calls its model by another name" if renamed else "gives the same texts other vectors"
                raise RetrieverError(
                    f"{self._server.name} {changed} than when this run began, so its vectors are of several models: "
                    "ask for one version, and run again"
                )
            found.append(known.compare(again))
        return min(found, key=lambda each: (each.repeatable, each.least_cosine))

    def estimate(self, texts: Sequence[str]) -> str:
        """Say in one line what encoding `texts` will take, after what the requests before took."""
        tokens = self._expected_tokens(texts)
        price = self._settings.price_per_million
        parts = [f"{self._model}: {len(texts):,} texts to send in about {-(-len(texts) // self.batch_size):,} requests"]
        parts += [f"about {tokens:,.0f} tokens"] if tokens else []
        parts += [f"about {price * tokens / _MILLION:,.4f} to pay"] if tokens and price is not None else []
        return ", ".join(parts)

    def encode(self, texts: Sequence[str], role: Role) -> Vectors:
        """Return float32 vectors of shape (len(texts), dim); raises `RetrieverError` for what the server cannot do."""
        batches = _batches(texts, self.batch_size)
        vectors = dict(self.encode_batches(batches, role))
        rows = [vectors[number] for number in range(len(batches))]
        return np.concatenate(rows) if rows else np.zeros((0, self.dim), dtype=np.float32)

    def encode_batches(self, batches: Sequence[Sequence[str]], role: Role) -> Iterator[tuple[int, Vectors]]:
        """Yield number and vectors, float32 (texts, dim), of each batch, in the order of the answers.

        Raises `RetrieverError` where one fails for good, after what the requests on the way gave.
        """
        for number, vectors in self._ask_all(batches, role):
            self._check_dim(vectors)
            yield number, vectors

    def _ask_all(self, batches: Sequence[Sequence[str]], role: Role) -> Iterator[tuple[int, Vectors]]:
        waiting, answers, stop = SimpleQueue[int](), _Answers(), Event()
        for number in range(len(batches)):
            waiting.put(number)

        def ask_next() -> None:
            number = waiting.get_nowait()
            answers.put((number, self._ask(batches[number], role, stop)))

        working, fault = min(self._settings.concurrency, len(batches)), None
        try:
            for _ in range(working):
                # Nobody waits for their requests where the run is interrupted.
                Thread(target=_work, args=(ask_next, answers, stop), daemon=True).start()
            while working:
                answer = answers.get()
                if answer is None:
                    working -= 1
                elif isinstance(answer, Exception):
                    fault = fault or answer
                    stop.set()
                else:
                    number, given = answer
                    self.tokens += given.tokens
                    self._answering.add(given.model)
                    self._characters += sum(map(len, batches[number]))
                    yield number, given.vectors
        finally:
            stop.set()
        if fault is not None:
            raise fault

    def _ask(self, texts: Sequence[str], role: Role, stop: Event) -> Answer:
        prompt = self._settings.query_prompt if role == "query" else self._settings.document_prompt
        return self._server.ask(self._body(role), [prompt + text for text in texts], self._expected_tokens(texts), stop)

    def _open_probes(self) -> dict[Role, probe.Probe]:
        """Ask the probe in each role, once where both are asked alike."""
        roles: tuple[Role, ...] = ("query", "document")
        identities = {role: self._identity(role) for role in roles}
        asked = {identity: role for role, identity in identities.items()}
        # Texts of one request may be computed together, and then are rounded otherwise than those of another.
        together = min(self.batch_size, len(probe.TEXTS))
        probes = {
            identity: probe.recognise(f"{identity} {together}", self._ask_probe(role))
            for identity, role in asked.items()
        }
        return {role: probes[identity] for role, identity in identities.items()}

    def _ask_probe(self, role: Role) -> Vectors:
        batches = _batches(probe.TEXTS, self.batch_size)
        answers = dict(self._ask_all(batches, role))
        if len({vectors.shape[1] for vectors in answers.values()}) > 1:
            raise RetrieverError(f"{self._server.name}: vectors of several lengths")
        vectors = np.concatenate([answers[number] for number in range(len(batches))])
        if not np.isfinite(vectors).all() or not vectors.any(axis=1).all():
            raise RetrieverError(f"{self._server.name}: NaN, infinite numbers or only zeros for a plain text")
        return vectors

    def _body(self, role: Role) -> dict[str, JsonValue]:
        fields = json.loads(self._settings.query_fields if role == "query" else self._settings.document_fields)
        dimensions = {} if self._settings.dimensions is None else {"dimensions": self._settings.dimensions}
        return {"model": self._model, "encoding_format": "float", **dimensions, **fields}

    def _identity(self, role: Role) -> str:
        settings = self._settings
        declared = {
            "interface": _INTERFACE,
            "served": settings.deployment or self._server.address,
            "request": self._body(role),
            "prompt": settings.query_prompt if role == "query" else settings.document_prompt,
            "revision": settings.revision,
            "max_length": settings.max_length,
        }
        return json.dumps(declared, sort_keys=True)

    def _check_dim(self, vectors: Vectors) -> None:
        if vectors.shape[1] != self.dim:
            raise RetrieverError(f"{self._server.name}: {vectors.shape[1]} coordinates, and {self.dim} before")

    def _expected_tokens(self, texts: Sequence[str]) -> float:
        """Return about how many tokens `texts` have, prompts included; 0 as long as none were counted."""
        return sum(map(len, texts)) * self.tokens / self._characters if self._characters else 0.0


def _work(ask_next: Callable[[], None], answers: _Answers, stop: Event) -> None:
    """Ask until nothing is left or `stop`; what is raised is put among the answers, and None at the end."""
    try:
        while not stop.is_set():
            ask_next()
    except Empty:
        pass
    except Exception as error:
        answers.put(error)
    answers.put(None)


def _batches(texts: Sequence[str], size: int) -> list[Sequence[str]]:
    return [texts[first : first + size] for first in range(0, len(texts), size)]


def _split(locator: str) -> tuple[str, str]:
    """Return address and model of `ADDRESS#MODEL`; a name alone is a model of OpenAI."""
    if locator.startswith(("http://", "https://")):
        address, _, model = locator.partition("#")
        return address, model.strip()
    if not locator.strip() or "#" in locator or "://" in locator:
        raise RetrieverError("api: write api:http://HOST:PORT/v1#MODEL, or the name of a model of OpenAI")
    return OPENAI, locator


def _key(variable: str | None, address: str) -> Secret:
    """Return the key from the environment: no other server gets the one of OpenAI unless its variable is named."""
    if variable is None and address != OPENAI:
        return Secret()
    name = variable or _OPENAI_KEY
    if not name.isidentifier():
        # It may be the key itself, so it is not repeated.
        raise RetrieverError(
            "api: key_variable is the name of an environment variable that has the key, such as MY_KEY"
        )
    value = os.environ.get(name, "").strip()
    if not value:
        told = "its environment variable" if variable else f"${_OPENAI_KEY}"
        raise RetrieverError(f"api: {told} has no key: set it, or name another variable by --set key_variable=NAME")
    if not (value.isascii() and value.isprintable()) or " " in value:
        raise RetrieverError("api: the key has characters that no key has, such as blanks or line breaks")
    return Secret(name, value)


def _limits(settings: Api.Settings) -> Limits:
    return Limits(
        concurrency=settings.concurrency,
        timeout=settings.timeout,
        retries=settings.retries,
        requests=settings.requests_per_minute,
        tokens=settings.tokens_per_minute,
    )
