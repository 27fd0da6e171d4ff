"""A server on the loopback address that answers what the Hugging Face hub is asked about data sets and their files."""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha1, sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

LARGE = (".parquet", ".gz", ".tar")
"""Files with these endings are kept as LFS objects, known by their SHA-256; others as git blobs."""


def blob_id(content: bytes) -> str:
    return sha1(b"blob %d\0" % len(content) + content).hexdigest()


@dataclass
class Hub:
    """Data sets by `ORG/NAME`, each with files by path; `commits` are their newest ones, `asked` the paths of requests.

    What is in `damaged` is sent with its last byte changed; data the files of data sets in `gated` are closed.
    """

    url: str
    cache: Path
    sets: Mapping[str, Mapping[str, bytes]]
    asked: list[str] = field(default_factory=list)
    damaged: set[str] = field(default_factory=set)
    gated: set[str] = field(default_factory=set)

    @property
    def environment(self) -> dict[str, str]:
        """What a process of its own needs to ask this hub."""
        return {"HF_ENDPOINT": self.url, "HF_HUB_CACHE": str(self.cache), "HF_HUB_DISABLE_TELEMETRY": "1"}

    def commit(self, name: str) -> str:
        files = self.sets[name]
        return sha1("".join(f"{path} {blob_id(files[path])}\n" for path in sorted(files)).encode()).hexdigest()

    def address(self, name: str, path: str = "") -> str:
        return f"hf://datasets/{name}@{self.commit(name)}" + (f"/{path}" if path else "")

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """Answer as the hub does where it is asked for a revision, a tree or a file."""
        path = unquote(urlsplit(handler.path).path)
        self.asked.append(path)
        parts = path.strip("/").split("/")
        parts = parts[1:] if parts[0] == "api" else parts
        name, kind, revision, *rest = "/".join(parts[1:3]), *(parts[3:] or ["revision", "main"])
        file = "/".join(rest)
        if name not in self.sets:
            self._send(handler, 404, b"", {"X-Error-Code": "RepoNotFound"})
        elif name in self.gated and kind == "resolve":
            self._send(handler, 403, b"", {"X-Error-Code": "GatedRepo"})
        elif revision not in ("main", self.commit(name)):
            self._send(handler, 404, b"", {"X-Error-Code": "RevisionNotFound"})
        elif kind == "revision":
            self._send_json(handler, {"id": name, "sha": self.commit(name)})
        elif kind == "tree":
            self._send_json(handler, [_entry(path, content) for path, content in self.sets[name].items()])
        elif file not in self.sets[name]:
            self._send(handler, 404, b"", {"X-Error-Code": "EntryNotFound"})
        else:
            content = self.sets[name][file]
            etag = sha256(content).hexdigest() if file.endswith(LARGE) else blob_id(content)
            sent = content[:-1] + bytes([content[-1] ^ 1]) if file in self.damaged else content
            self._send(handler, 200, sent, {"ETag": f'"{etag}"', "X-Repo-Commit": self.commit(name)})

    def _send_json(self, handler: BaseHTTPRequestHandler, content: object) -> None:
        self._send(handler, 200, json.dumps(content).encode(), {"Content-Type": "application/json"})

    def _send(self, handler: BaseHTTPRequestHandler, status: int, content: bytes, headers: Mapping[str, str]) -> None:
        handler.send_response(status)
        for header, value in (headers | {"Content-Length": str(len(content))}).items():  # type: ignore[operator]
            handler.send_header(header, value)
        handler.end_headers()
        if handler.command == "GET":
            handler.wfile.write(content)


def _entry(path: str, content: bytes) -> dict[str, object]:
    entry: dict[str, object] = {"type": "file", "path": path, "size": len(content), "oid": blob_id(content)}
    if path.endswith(LARGE):
        # The blob of git is then a small text that points to the object.
        entry |= {"oid": blob_id(path.encode())}
        entry["lfs"] = {"oid": sha256(content).hexdigest(), "size": len(content), "pointerSize": 130}
    return entry


@contextmanager
def serving_hub(sets: Mapping[str, Mapping[str, bytes]], cache: Path) -> Iterator[Hub]:
    """Run a hub in threads of this process, whose client asks it and keeps files in `cache`."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            hub.answer(self)

        def do_HEAD(self) -> None:
            hub.answer(self)

        def log_message(self, *_: object) -> None:
            pass

    class Listening(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False

    listening = Listening(("127.0.0.1", 0), Handler)
    hub = Hub(f"http://127.0.0.1:{listening.server_port}", cache, sets)
    threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        with pytest.MonkeyPatch.context() as patch:
            # The client reads its settings when it is imported.
            patch.setattr("huggingface_hub.constants.ENDPOINT", hub.url)
            template = hub.url + "/{repo_id}/resolve/{revision}/{filename}"
            patch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
            patch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
            patch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
            yield hub
    finally:
        listening.shutdown()
        listening.server_close()
