import re
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import md5, sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing import get_context
from pathlib import Path

import pytest

from mlbench.errors import DataError
from mlbench.tasks import files
from mlbench.tasks.task import DeclaredFile, Task, load_task

CONTENT = bytes(i * i % 251 for i in range(300_000))
PATH = "own/en.json"


@dataclass
class Behaviour:
    """How the server answers: `cuts` are numbers of bytes after which an answer ends, one for each request.

    An answer to a range begins `shift` bytes after the place that was asked for. Without `states_length`, an
    answer does not say where it ends.
    """

    content: bytes = CONTENT
    status: int = 200
    heed_range: bool = True
    shift: int = 0
    states_length: bool = True
    cuts: list[int] = field(default_factory=list)
    failures: int = 0
    ranges: list[str | None] = field(default_factory=list)


@contextmanager
def served(behaviour: Behaviour) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            behaviour.ranges.append(wanted)
            if behaviour.status != 200 or behaviour.failures > 0:
                behaviour.failures -= 1
                self.send_error(behaviour.status if behaviour.status != 200 else 503)
                return
            match = re.fullmatch(r"bytes=(\d+)-", wanted or "")
            start = int(match[1]) + behaviour.shift if match and behaviour.heed_range else 0
            if start and start >= len(behaviour.content):
                self.send_error(416)
                return
            body = behaviour.content[start:]
            self.send_response(206 if start else 200)
            if start:
                self.send_header(
                    "Content-Range", f"bytes {start}-{len(behaviour.content) - 1}/{len(behaviour.content)}"
                )
            if behaviour.states_length:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: behaviour.cuts.pop(0)] if behaviour.cuts else body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/en.json"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Heard:
    """A `Progress` that remembers what it was told."""

    def __init__(self) -> None:
        self.phases: list[tuple[str, int]] = []
        self.done = 0
        self.notes: list[str] = []

    def start(self, phase: str, total: int) -> None:
        self.phases.append((phase, total))

    def advance(self, done: int) -> None:
        self.done += done

    def finish(self) -> None:
        pass

    def note(self, message: str) -> None:
        self.notes.append(message)


def a_file(url: str | None = "http://127.0.0.1:1/en.json", content: bytes = CONTENT) -> DeclaredFile:
    return DeclaredFile(path=PATH, language="en", url=url, sha256=sha256(content).hexdigest(), bytes=len(content))


def a_task(url: str) -> Task:
    file = a_file(url).model_dump()
    facts = {"licence": "CC BY 4.0", "citation": "Somebody\n2020"}
    return Task.model_validate(
        {"name": "own", "reader": "squad_sentences", "languages": ["en"], "files": [file]} | facts
    )


def put(folder: Path, content: bytes = CONTENT, path: str = PATH) -> Path:
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    (folder / path).write_bytes(content)
    return folder / path


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MLBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")
    for name in ("MLBENCH_OFFLINE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(files, "PAUSE_SECONDS", 0.0)


def part_of(target: Path) -> Path:
    return target.with_name(f"{target.name}.{sha256(CONTENT).hexdigest()[:12]}.part")


def left_over(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_order_data_dir_then_environment_then_beside_then_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = [tmp_path / name for name in ("given", "environment", "beside", "cache/data")]
    for place in places:
        put(place)
    monkeypatch.setenv("MLBENCH_DATA", str(places[1]))
    for place in places:
        found = files.find(a_file(), data_dir=places[0], root=places[2])
        assert found == place / PATH
        found.unlink()
    with pytest.raises(DataError, match="is not on this machine"):
        files.find(a_file(), data_dir=places[0], root=places[2])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (CONTENT[:100], "is truncated: 100 of 300,000 bytes"),
        (b"", "is truncated: 0 of 300,000 bytes"),
        (CONTENT + b"x", "is altered: 300,001 bytes instead of 300,000"),
        (b"x" + CONTENT[1:], "is altered: its SHA-256 is "),
    ],
)
@pytest.mark.parametrize("place", ["--data-dir", "$MLBENCH_DATA", "beside"])
def test_a_wrong_file_of_the_user_is_never_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, said: str, place: str
) -> None:
    wrong = put(tmp_path / "wrong", content)
    put(tmp_path / "cache" / "data")
    if place == "$MLBENCH_DATA":
        monkeypatch.setenv("MLBENCH_DATA", str(tmp_path / "wrong"))
    data_dir = tmp_path / "wrong" if place == "--data-dir" else None
    root = tmp_path / "wrong" if place == "beside" else tmp_path / "nowhere"
    with pytest.raises(DataError) as caught:
        files.find(a_file(), data_dir=data_dir, root=root)
    assert str(caught.value).startswith(f"{wrong} {said}")
    assert str(caught.value).endswith("replace it by the original, or remove it")


@pytest.mark.parametrize("content", [CONTENT[:100], b"x" + CONTENT[1:]])
def test_a_wrong_file_in_the_cache_is_fetched_again(tmp_path: Path, content: bytes) -> None:
    cached = put(tmp_path / "cache" / "data", content)
    with served(Behaviour()) as url:
        assert files.find(a_file(url)) == cached
    assert cached.read_bytes() == CONTENT


def test_a_file_without_checksum_lies_beside_its_task_only(tmp_path: Path) -> None:
    file = DeclaredFile(path=PATH)
    put(tmp_path / "data")
    with pytest.raises(DataError, match="is missing: it belongs beside the file that names it"):
        files.find(file, data_dir=tmp_path / "data", root=tmp_path / "root")
    beside = put(tmp_path / "root", b"anything")
    assert files.find(file, data_dir=tmp_path / "data", root=tmp_path / "root") == beside


def test_a_file_that_is_published_with_an_md5_alone(tmp_path: Path) -> None:
    with served(Behaviour()) as url:
        file = DeclaredFile(path=PATH, url=url, md5=md5(CONTENT).hexdigest(), bytes=len(CONTENT))
        assert files.find(file).read_bytes() == CONTENT
    wrong = put(tmp_path / "data", b"x" + CONTENT[1:])
    with pytest.raises(
        DataError, match=f"{wrong} is altered: its MD5 is .* instead of {md5(CONTENT).hexdigest()[:12]}"
    ):
        files.find(file, data_dir=tmp_path / "data")


def test_an_unchecked_file_is_taken_from_the_user_s_folders_as_it_is(tmp_path: Path) -> None:
    file = DeclaredFile(path=PATH, unchecked=True)
    put(tmp_path / "root")
    with pytest.raises(DataError, match=f"{PATH} is not on this machine .*has no address.* pass --data-dir DIR"):
        files.find(file, root=tmp_path / "root")
    assert files.find(file, data_dir=put(tmp_path / "data", b"anything").parents[1]).read_bytes() == b"anything"


@pytest.mark.parametrize("variable", [None, "MLBENCH_DATA"])
def test_a_data_folder_that_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str | None) -> None:
    absent = tmp_path / "absent"
    if variable:
        monkeypatch.setenv(variable, str(absent))
    with pytest.raises(DataError, match=r"(--data-dir|\$MLBENCH_DATA) .*absent is not a folder"):
        files.find(a_file(), data_dir=None if variable else absent)


def test_cache_dir(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert files.cache_dir() == tmp_path / "cache"
    monkeypatch.delenv("MLBENCH_CACHE")
    assert files.cache_dir().name == "mlbench"


def test_download_in_one_go(tmp_path: Path) -> None:
    heard, behaviour = Heard(), Behaviour()
    with served(behaviour) as url:
        target = files.download(a_file(url), tmp_path / "data", progress=heard)
    assert target == tmp_path / "data" / PATH
    assert target.read_bytes() == CONTENT
    assert left_over(tmp_path / "data") == ["en.json"]
    assert heard.done == len(CONTENT)
    assert behaviour.ranges == [None]


@pytest.mark.parametrize("heed_range", [True, False])
def test_download_continues_a_part(tmp_path: Path, heed_range: bool) -> None:
    target = tmp_path / PATH
    put(tmp_path, CONTENT[:123_456], str(part_of(target).relative_to(tmp_path)))
    heard, behaviour = Heard(), Behaviour(heed_range=heed_range)
    with served(behaviour) as url:
        assert files.download(a_file(url), tmp_path, progress=heard).read_bytes() == CONTENT
    assert behaviour.ranges == ["bytes=123456-"]
    assert heard.done == len(CONTENT)
    assert left_over(tmp_path) == ["en.json"]


@pytest.mark.parametrize("shift", [-70_000, 1_000])
def test_another_range_than_was_asked_for_is_not_taken(tmp_path: Path, shift: int) -> None:
    put(tmp_path, CONTENT[:123_456], str(part_of(tmp_path / PATH).relative_to(tmp_path)))
    heard, behaviour = Heard(), Behaviour(shift=shift)
    with served(behaviour) as url:
        assert files.download(a_file(url), tmp_path, progress=heard).read_bytes() == CONTENT
    assert behaviour.ranges == ["bytes=123456-", None]
    assert heard.done == len(CONTENT)


def test_a_complete_part_needs_no_server(tmp_path: Path) -> None:
    put(tmp_path, CONTENT, str(part_of(tmp_path / PATH).relative_to(tmp_path)))
    assert files.download(a_file(), tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize("heed_range", [True, False])
@pytest.mark.parametrize("part", [b"x" * 1000, b"x" * len(CONTENT), b"x" * (len(CONTENT) + 1)])
def test_a_spoilt_part_is_started_again(tmp_path: Path, part: bytes, heed_range: bool) -> None:
    put(tmp_path, part, str(part_of(tmp_path / PATH).relative_to(tmp_path)))
    with served(Behaviour(heed_range=heed_range)) as url:
        assert files.download(a_file(url), tmp_path).read_bytes() == CONTENT
    assert left_over(tmp_path) == ["en.json"]


def test_a_connection_that_is_cut_is_taken_up_where_it_broke(tmp_path: Path) -> None:
    heard, behaviour = Heard(), Behaviour(cuts=[100_000, 50_000])
    with served(behaviour) as url:
        assert files.download(a_file(url), tmp_path, progress=heard).read_bytes() == CONTENT
    assert behaviour.ranges == [None, "bytes=100000-", "bytes=150000-"]
    assert heard.done == len(CONTENT)


def test_what_arrived_is_kept_for_the_next_time(tmp_path: Path) -> None:
    with served(Behaviour(cuts=[10_000, 10_000, 10_000, 10_000])) as url:
        with pytest.raises(DataError, match=r"cut after 40,000 of 300,000 bytes"):
            files.download(a_file(url), tmp_path)
        assert part_of(tmp_path / PATH).read_bytes() == CONTENT[:40_000]
        assert files.download(a_file(url), tmp_path).read_bytes() == CONTENT


def test_a_busy_server_is_asked_again(tmp_path: Path) -> None:
    behaviour = Behaviour(failures=2)
    with served(behaviour) as url:
        assert files.download(a_file(url), tmp_path).read_bytes() == CONTENT
    assert len(behaviour.ranges) == 3


@pytest.mark.parametrize(("status", "requests"), [(404, 1), (403, 1), (500, files.ATTEMPTS)])
def test_a_refusal(tmp_path: Path, status: int, requests: int) -> None:
    behaviour = Behaviour(status=status)
    with served(behaviour) as url, pytest.raises(DataError, match=f"HTTP {status}") as caught:
        files.download(a_file(url), tmp_path)
    assert len(behaviour.ranges) == requests
    assert url in str(caught.value)
    assert left_over(tmp_path) == []


@pytest.mark.parametrize(
    "content", [b"y" * len(CONTENT), CONTENT + b"more", CONTENT[:1000], b"<html>log in first</html>", b""]
)
def test_wrong_content_is_never_kept(tmp_path: Path, content: bytes) -> None:
    with served(Behaviour(content=content)) as url, pytest.raises(DataError, match="cannot be downloaded"):
        files.download(a_file(url), tmp_path)
    assert "en.json" not in left_over(tmp_path)
    with served(Behaviour()) as url:
        assert files.download(a_file(url), tmp_path).read_bytes() == CONTENT


def test_no_network_is_one_line_that_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        files.find(a_file())
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(
        f"{PATH} is not on this machine and cannot be downloaded from http://127.0.0.1:1/en.json ("
    )
    assert message.endswith(f"put it into a folder as DIR/{PATH} and pass --data-dir DIR")


@pytest.mark.parametrize("variable", ["MLBENCH_OFFLINE", "HF_HUB_OFFLINE"])
def test_offline_forbids_downloads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, "1")
    behaviour = Behaviour()
    with served(behaviour) as url:
        with pytest.raises(DataError, match="downloads are forbidden"):
            files.find(a_file(url))
        assert behaviour.ranges == []
        monkeypatch.setenv(variable, "0")
        assert files.find(a_file(url)).read_bytes() == CONTENT


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "own").write_text("a file where a folder should be")
    with served(Behaviour()) as url, pytest.raises(DataError, match="cannot be written"):
        files.download(a_file(url), tmp_path)


def test_threads_at_once(tmp_path: Path) -> None:
    behaviour = Behaviour(cuts=[70_000, 250_000])
    with served(behaviour) as url, ThreadPoolExecutor(6) as pool:
        targets = list(pool.map(lambda _: files.download(a_file(url), tmp_path), range(6)))
    assert {target.read_bytes() for target in targets} == {CONTENT}
    assert left_over(tmp_path) == ["en.json"]


@pytest.mark.slow
def test_processes_at_once(tmp_path: Path) -> None:
    with served(Behaviour(cuts=[70_000])) as url, ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        targets = list(pool.map(files.download, [a_file(url)] * 4, [tmp_path] * 4))
    assert {target.read_bytes() for target in targets} == {CONTENT}
    assert left_over(tmp_path) == ["en.json"]


def test_licence_and_citation_are_shown_before_a_download_only() -> None:
    with served(Behaviour()) as url:
        first, second = Heard(), Heard()
        task = a_task(url)
        (source,) = files.find_all(task, progress=first)
        files.find_all(task, progress=second)
    assert first.notes == ["own: licence CC BY 4.0", "own: please cite Somebody 2020"]
    assert first.phases == [("download own", len(CONTENT))]
    assert (source.language, source.role, source.path.read_bytes()) == ("en", "data", CONTENT)
    assert (second.notes, second.phases) == ([], [])


def test_provide_copies_what_is_here_and_downloads_the_rest(tmp_path: Path) -> None:
    behaviour = Behaviour()
    with served(behaviour) as url:
        assert files.provide(a_task(url), tmp_path / "one") == (tmp_path / "one" / PATH,)
        files.find_all(a_task(url))
        assert files.provide(a_task(url), tmp_path / "two") == (tmp_path / "two" / PATH,)
    assert len(behaviour.ranges) == 2
    assert left_over(tmp_path / "one") == left_over(tmp_path / "two") == ["en.json"]
    assert (tmp_path / "two" / PATH).read_bytes() == CONTENT


def test_mini_is_found_in_the_package_without_a_network() -> None:
    task = load_task("mini")
    assert len(files.find_all(task)) == 23
    assert files.provide(task, Path("unused")) == ()


@pytest.mark.data
@pytest.mark.parametrize("name", ["xquad-r", "mlqa-r"])
def test_checksums_are_those_of_the_real_files(data_dir: Path, name: str) -> None:
    task = load_task(name)
    found = files.find_all(task, data_dir=data_dir)
    assert [source.path for source in found] == [data_dir / file.path for file in task.files]


class TestUnknownSize:
    """What is published with an MD5 alone."""

    def file(self, url: str) -> DeclaredFile:
        return DeclaredFile(path=PATH, url=url, md5=md5(CONTENT).hexdigest())

    def test_a_download_ends_where_the_server_says(self, tmp_path: Path) -> None:
        behaviour = Behaviour(cuts=[100_000])
        with served(behaviour) as url:
            assert files.download(self.file(url), tmp_path).read_bytes() == CONTENT
        assert behaviour.ranges == [None, "bytes=100000-"]

    def test_what_arrives_is_verified(self, tmp_path: Path) -> None:
        with served(Behaviour(CONTENT[:-1] + b"x")) as url, pytest.raises(DataError, match="its MD5 is"):
            files.download(self.file(url), tmp_path)
        assert list(tmp_path.rglob("*.json")) == []

    @pytest.mark.parametrize(("states_length", "free"), [(True, len(CONTENT) - 1), (False, 2**30 - 1)])
    def test_a_disk_is_never_filled(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, states_length: bool, free: int
    ) -> None:
        usage = shutil.disk_usage(tmp_path)._replace(free=free)
        monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
        with served(Behaviour(states_length=states_length)) as url, pytest.raises(DataError, match="No space left"):
            files.download(self.file(url), tmp_path)
        assert left_over(tmp_path) == []

    def test_an_answer_without_a_length_is_taken(self, tmp_path: Path) -> None:
        with served(Behaviour(states_length=False)) as url:
            assert files.download(self.file(url), tmp_path).read_bytes() == CONTENT

    def test_a_whole_part_file_is_fetched_again(self, tmp_path: Path) -> None:
        behaviour = Behaviour()
        with served(behaviour) as url:
            file = self.file(url)
            put(tmp_path, path=f"{PATH}.{file.checksum[:12] if file.checksum else ''}.part")
            assert files.download(file, tmp_path).read_bytes() == CONTENT


def test_what_has_no_checksum_is_not_downloaded(tmp_path: Path) -> None:
    file = DeclaredFile(path=PATH, url="http://127.0.0.1:1/en.json", unchecked=True)
    with pytest.raises(DataError) as caught:
        files.find(file, data_dir=tmp_path)
    assert str(caught.value) == (
        "own/en.json is not on this machine, and not downloaded, as no checksum of it is known: "
        "fetch http://127.0.0.1:1/en.json, put it into a folder as DIR/own/en.json and pass --data-dir DIR"
    )
    assert files.find(file, data_dir=put(tmp_path).parents[1]) == tmp_path / PATH


@pytest.mark.parametrize("url", [None, "http://127.0.0.1:1/en.json"])
def test_the_stated_reason_stands_in_the_message(tmp_path: Path, url: str | None) -> None:
    file = DeclaredFile(path=PATH, url=url, unchecked=True, reason="its licence must be accepted first")
    with pytest.raises(DataError, match=r"own/en.json is not on this machine.*\(its licence must be accepted first\)"):
        files.find(file, data_dir=tmp_path)
