"""SIGINT and SIGTERM in every phase of a run, two runs at once, and what the same command gives afterwards."""

import hashlib
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from command_line import CommandLine, own_task
from test_resume import wait_for, without_cost

# Runs the command line, but waits before a certain call of a certain function.
PAUSING = """
import importlib, sys, time
from pathlib import Path

module, name, call, *arguments = sys.argv[1:]
owner = importlib.import_module(module)
*path, last = name.split(".")
for step in path:
    owner = getattr(owner, step)
real, calls = getattr(owner, last), []

def waiting(*given, **named):
    calls.append(1)
    if len(calls) == int(call):
        Path("here").touch()
        time.sleep(60)
    return real(*given, **named)

setattr(owner, last, waiting)
from mlbench.cli import main
sys.argv[1:] = arguments
main()
"""
RUN = ("run", "-q", "--task", "own", "--model", "hashing", "--resamples", "20", "--json", "--save-run", "runs")
PHASES = {
    "open": ("mlbench.cli.model_options", "open_model", 1),
    "read": ("mlbench.evaluation.in_memory", "load_collection", 1),
    "read a file": ("mlbench.tasks.readers.parallel_jsonl", "_read_documents", 2),
    "encode": ("mlbench.retrievers.hashing", "HashingEncoder.encode", 1),
    "keep vectors": ("mlbench.embeddings.store", "write_whole", 1),
    "name kept vectors": ("pathlib", "Path.replace", 1),
    "rank": ("mlbench.ranking.rank_documents", "count_ahead", 1),
    "write run files": ("mlbench.ranking.run_files", "save_rankings", 1),
    "score": ("mlbench.evaluation.evaluate", "score", 1),
    "draw resamples": ("mlbench.statistics.resampling", "bootstrap_weights", 1),
    "write the ranks": ("mlbench.results", "write_beside", 1),
    "write the document": ("mlbench.results", "write_beside", 2),
}
INTERRUPTED = "mlbench: interrupted; what was saved is kept\n"


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def stop(process: subprocess.Popen[str], number: signal.Signals) -> None:
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, "", INTERRUPTED)


def stop_at(
    mlbench: CommandLine, phase: tuple[str, str, int], number: signal.Signals, run: tuple[str, ...] = RUN
) -> None:
    """Start the run, and send it the signal when it reaches the phase."""
    module, name, call = phase
    process = subprocess.Popen(
        [sys.executable, "-c", PAUSING, module, name, str(call), *run],
        cwd=mlbench.folder,
        env=mlbench.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )
    wait_for(lambda: (mlbench.folder / "here").exists() or process.poll() is not None)
    stop(process, number)
    (mlbench.folder / "here").unlink()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> CommandLine:
    """A folder in which the run came to its end."""
    mlbench = CommandLine(tmp_path_factory.mktemp("whole"))
    own_task(mlbench.folder / "own")
    assert mlbench(*RUN).code == 0
    return mlbench


def check_next_run(mlbench: CommandLine, whole: CommandLine) -> None:
    """Run again to the end: everything is as if nothing had happened, and no leftover lies about."""
    done = mlbench(*RUN)
    assert (done.code, done.err) == (0, "")
    found, expected = files(mlbench.folder), files(whole.folder)
    assert found.keys() == expected.keys()
    for name, content in found.items():
        if name.endswith(".json") and name.startswith("results"):
            assert without_cost(content) == without_cost(expected[name])
        elif not name.endswith("about.json"):
            assert content == expected[name], name
    (document,) = (mlbench.folder / "results").glob("*.json")
    assert mlbench("verify", str(document)).code == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
@pytest.mark.parametrize("phase", PHASES)
def test_an_interruption_leaves_nothing_half_written(
    mlbench: CommandLine, own: Path, whole: CommandLine, phase: str, number: signal.Signals
) -> None:
    stop_at(mlbench, PHASES[phase], number)
    left = files(mlbench.folder)
    assert {name for name in left if name.startswith("results") or name.endswith((".tmp", ".part"))} == set()
    # What has appeared by now is whole.
    assert (
        left.items() <= {**files(whole.folder), **{n: c for n, c in left.items() if n.endswith("about.json")}}.items()
    )
    check_next_run(mlbench, whole)


def test_an_interruption_between_two_files_of_a_result(mlbench: CommandLine, own: Path, whole: CommandLine) -> None:
    assert mlbench(*RUN).code == 0
    before = files(mlbench.folder / "results")
    own_task(mlbench.folder / "changed", topics=5)
    for path in (mlbench.folder / "changed").iterdir():
        path.replace(mlbench.folder / "own" / path.name)
    # All vectors are kept by now, so that the files of the result are the only ones to be renamed.
    stop_at(mlbench, ("pathlib", "Path.replace", 2), signal.SIGINT, RUN[:-2])
    after = files(mlbench.folder / "results")
    # A result on other data has files of its own.
    assert {name: after[name] for name in before} == before
    assert sorted(Path(name).suffix for name in after.keys() - before.keys()) == [".json", ".npz"]
    assert mlbench("verify", "results").code == 0


@contextmanager
def slow_server(contents: dict[str, bytes]) -> Iterator[tuple[str, threading.Event, list[str | None]]]:
    """Serve files; the first answer stops in the middle until the event is set. Yields address, event and ranges."""
    go_on, ranges = threading.Event(), list[str | None]()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content, wanted = contents[self.path.lstrip("/")], self.headers.get("Range")
            ranges.append(wanted)
            start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
            self.send_response(206 if wanted else 200)
            if wanted:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            half = start + (len(content) - start) // 2
            self.wfile.write(content[start:half])
            self.wfile.flush()
            if len(ranges) == 1:
                go_on.wait(60)
            self.wfile.write(content[half:])

        def log_message(self, format: str, *args: object) -> None:
            pass

        def handle_error(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.handle_error = lambda *args: None  # type: ignore[method-assign]
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", go_on, ranges
    finally:
        go_on.set()
        server.shutdown()
        server.server_close()


def declared(folder: Path, address: str) -> dict[str, bytes]:
    """Write `web.toml`, a task whose files are all at `address`; returns them."""
    own = own_task(folder / "web")
    # Large enough for some of it to be on disk when the server stops.
    with (own / "documents.de.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps({"id": "long", "text": "lang", "note": "x" * 400_000}) + "\n")
    contents = {path.name: path.read_bytes() for path in sorted(own.iterdir())}
    rows = ['name = "web"', 'reader = "parallel_jsonl"', 'languages = ["de", "en", "es"]']
    for name, content in contents.items():
        role, *language = name.split(".")[:-1]
        rows += ["[[files]]", f'path = "web/{name}"', f'role = "{role}"', f"bytes = {len(content)}"]
        rows += [f'url = "{address}/{name}"', f'sha256 = "{hashlib.sha256(content).hexdigest()}"']
        rows += [f'language = "{tag}"' for tag in language]
        (own / name).unlink()
    own.rmdir()
    (folder / "web.toml").write_text("\n".join(rows), encoding="utf-8")
    return contents


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_an_interrupted_download_goes_on(mlbench: CommandLine, number: signal.Signals) -> None:
    contents: dict[str, bytes] = {}
    run = ("run", "-q", "--task", "web.toml", "--model", "hashing", "--resamples", "2", "--json")
    with slow_server(contents) as (address, go_on, ranges):
        contents |= declared(mlbench.folder, address)
        process = mlbench.start(*run)
        wait_for(lambda: any(path.stat().st_size for path in mlbench.cache.rglob("*.part")), seconds=30)
        stop(process, number)
        (part,) = mlbench.cache.rglob("*.part")
        (first,) = (name for name in contents if part.name.startswith(name))
        size = part.stat().st_size
        assert contents[first].startswith(part.read_bytes())
        assert not (mlbench.folder / "results").exists()
        go_on.set()
        done = mlbench(*run)
    assert (done.code, done.err) == (0, "")
    assert ranges[1] == f"bytes={size}-"
    assert not list(mlbench.cache.rglob("*.part"))
    assert files(mlbench.cache / "data" / "web") == contents


def test_two_runs_at_once_share_cache_and_folder(mlbench: CommandLine, own: Path, whole: CommandLine) -> None:
    both = [mlbench.start(*RUN) for _ in range(2)]
    ended = [(*process.communicate(timeout=120), process.returncode) for process in both]
    (expected,) = (whole.folder / "results").glob("*.json")
    for out, err, code in ended:
        assert (code, err) == (0, "")
        assert without_cost(out) == without_cost(expected.read_bytes())
    check_next_run(mlbench, whole)
    assert json.loads(mlbench(*RUN).out)["cost"]["encoded_texts"] == 0
