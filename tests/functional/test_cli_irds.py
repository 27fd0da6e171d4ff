"""Collections of ir_datasets as tasks, in the places and formats in which it keeps them, and ours as its own."""

import gzip
import io
import json
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from command_line import CommandLine

pytest.importorskip("ir_datasets")
pytrec_eval = pytest.importorskip("pytrec_eval")

WORDS = {
    "sw": ["simba", "twiga", "mlima", "bahari", "ndege", "samaki"],
    "th": ["แมว", "หมา", "ปลา", "นกยูง", "ช้าง", "ควาย"],
}


def mr_tydi(home: Path, language: str, folder: str) -> None:
    """Write six documents and three topics as Mr. TyDi has them; the third topic asks for a document not there."""
    root = home / "mr-tydi" / f"{language}.data" / folder
    (root / "collection").mkdir(parents=True)
    words = WORDS[language]
    with gzip.open(root / "collection" / "docs.jsonl.gz", "wt", encoding="utf-8") as stream:
        for number, word in enumerate(words):
            other = words[(number + 1) % len(words)]
            stream.write(json.dumps({"id": f"{number}#0", "contents": f"{word} {word} {other}"}) + "\n")
    (root / "topic.test.tsv").write_text("".join(f"{n}\t{words[n]} {words[n + 1]}\n" for n in range(3)))
    (root / "qrels.test.txt").write_text("0 Q0 0#0 1\n1 Q0 2#0 1\n1 Q0 1#0 1\n2 Q0 9#9 1\n2 Q0 3#0 1\n")
    (home / "mr-tydi" / "irds_version.txt").write_text("v2")


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = "".join(json.dumps(row) + "\n" for row in rows).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def own_id(doc_id: str) -> str:
    """Return the id that a document has in ir_datasets."""
    return doc_id.split("-", 2)[2]


def scores(
    run: Path, qrels: Mapping[str, Mapping[str, int]], topic: Mapping[str, str] | None = None
) -> dict[str, float]:
    """Return trec_eval's means of a run over all judged topics."""
    lists: dict[str, dict[str, float]] = {}
    for line in run.read_text().splitlines():
        name, _, doc_id, _, score, _ = line.split()
        lists.setdefault(name, {})[doc_id] = float(score)
    names = {"map": "AP", "recip_rank": "RR@100", "recall_100": "R@100", "ndcg_cut_10": "nDCG@10"}
    found = pytrec_eval.RelevanceEvaluator(qrels, set(names)).evaluate(lists)
    assert found.keys() == qrels.keys()
    return {ours: sum(row[theirs] for row in found.values()) / len(found) for theirs, ours in names.items()}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of ir_datasets, which is imported anew, for then it settles where that is."""
    monkeypatch.setenv("IR_DATASETS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MLBENCH_OFFLINE", "1")
    before = forget_library()
    yield tmp_path / "home"
    forget_library()
    sys.modules.update(before)


def forget_library() -> dict[str, ModuleType]:
    """Let the next import of ir_datasets be the first; returns its modules."""
    known = [name for name in sys.modules if name.partition(".")[0] == "ir_datasets"]
    return {name: sys.modules.pop(name) for name in known}


def test_a_collection_end_to_end(mlbench: CommandLine, home: Path) -> None:
    mr_tydi(home, "th", "mrtydi-v1.0-thai")
    done = mlbench("run", "--model", "hashing", "--task", "irds:mr-tydi/th/test", "--save-run", "runs", "--out", "out")
    assert done.code == 0, done.err
    assert "1 relevant document is in no corpus" in done.err
    assert "warning: irds:mr-tydi/th/test gave 6 documents, ir_datasets knows of 568,855: is a file cut?" in done.err
    document = json.loads(next((mlbench.folder / "out").glob("*.json")).read_text())
    (setting,) = document["settings"]
    assert (setting["query_language"], setting["document_languages"]) == ("th", ["th"])
    # The judgments as ir_datasets has them, the run with the ids that it has.
    run = mlbench.folder / "runs" / "th-th.trec"
    lines = [line.split() for line in run.read_text().splitlines()]
    own = mlbench.folder / "own.trec"
    own.write_text("".join(" ".join([*line[:2], own_id(line[2]), *line[3:]]) + "\n" for line in lines))
    qrels = {"0": {"0#0": 1}, "1": {"2#0": 1, "1#0": 1}, "2": {"9#9": 1, "3#0": 1}}
    expected = scores(own, qrels)
    for name in ("AP", "R@100", "nDCG@10"):
        assert setting["measures"][name] == pytest.approx(expected[name], abs=1e-12)
    assert setting["measures"]["RR"] == pytest.approx(expected["RR@100"], abs=1e-12)
    # Topic 2 has one of its two documents in the corpus.
    assert setting["measures"]["R@100"] == pytest.approx((1 + 1 + 1 / 2) / 3)
    assert mlbench("verify", str(next((mlbench.folder / "out").glob("*.json")))).code == 0


def test_a_task_of_several_collections(mlbench: CommandLine, home: Path) -> None:
    mr_tydi(home, "th", "mrtydi-v1.0-thai")
    mr_tydi(home, "sw", "mrtydi-v1.0-swahili")
    document = mlbench.result("--model", "hashing", "--task", "mr-tydi", "--languages", "th,sw", "--save-run", "runs")
    assert [setting["query_language"] for setting in document["settings"]] == ["sw", "th"]
    assert document["task"]["partial"]
    for setting in document["settings"]:
        language = setting["query_language"]
        rows = [line.split() for line in (mlbench.folder / "runs" / f"{language}-{language}.qrels").open()]
        assert {row[0] for row in rows} == {f"{language}-{number}" for number in range(3)}
        qrels: dict[str, dict[str, int]] = {}
        for topic, _, doc_id, grade in rows:
            qrels.setdefault(topic, {})[doc_id] = int(grade)
        expected = scores(mlbench.folder / "runs" / f"{language}-{language}.trec", qrels)
        for name in ("AP", "RR@100", "R@100", "nDCG@10"):
            assert setting["measures"][name] == pytest.approx(expected[name], abs=1e-12)


def test_english_topics_against_three_languages_and_their_pool(mlbench: CommandLine, home: Path) -> None:
    topics = [("200", "red fox"), ("201", "blue whale")]
    queries = [
        {
            "topic_id": name,
            "languages_with_qrels": ["fas", "rus", "zho"],
            "topics": [
                {
                    "lang": "eng",
                    "source": "original",
                    "topic_title": title,
                    "topic_description": "d",
                    "topic_narrative": "n",
                },
                *(
                    {
                        "lang": tag,
                        "source": source,
                        "topic_title": "t",
                        "topic_description": "d",
                        "topic_narrative": "n",
                    }
                    for tag in ("fas", "rus", "zho")
                    for source in ("human translation", "google translation")
                ),
            ],
        }
        for name, title in topics
    ]
    write_rows(home / "neuclir" / "trec-2023" / "topics.jsonl", queries)
    judged = []
    for language in ("fas", "rus", "zho"):
        rows = [
            {"id": f"{language}-{name}", "title": title, "text": language, "url": "u", "time": "t", "cc_file": "c"}
            for name, title in (*topics, ("other", "green parrot"))
        ]
        write_rows(home / "neuclir" / "1" / language / "docs.jsonl.gz", rows)
        judged += [(f"qrels.final.gains.{language}", f"{name} 0 {language}-{name} 3\n") for name, _ in topics]
    archive(home / "neuclir" / "trec-2023" / "qrels.tar.gz", judged)
    # What ir_datasets 0.6 takes for the judged topics of 2023.
    write_rows(home / "neuclir" / "trec-2022" / "qrels", [])
    document = mlbench.result("--model", "hashing", "--task", "neuclir-2023")
    settings = {
        ("+".join(setting["document_languages"])): setting
        for setting in document["settings"]
        if setting["query_language"] == "en"
    }
    assert len(document["settings"]) == len(settings)
    assert settings.keys() == {"fa", "ru", "zh", "en+fa+ru+zh"}
    for tag in ("fa", "ru", "zh"):
        assert (settings[tag]["n_queries"], settings[tag]["n_documents"]) == (2, 3)
        assert settings[tag]["measures"]["AP"] == 1
    assert settings["en+fa+ru+zh"]["n_documents"] == 9
    assert settings["en+fa+ru+zh"]["measures"]["AP"] == 1


def test_topics_as_people_translated_them(mlbench: CommandLine, home: Path) -> None:
    titles = {"eng": "red fox", "fas": "روباه سرخ", "rus": "рыжая лиса", "zho": "赤狐"}
    parts = {"topic_title", "topic_description", "topic_narrative"}
    topic = {
        "topic_id": "7",
        "languages_with_qrels": ["fas", "rus", "zho"],
        "topics": [
            {"lang": tag, "source": source} | dict.fromkeys(parts, title)
            for tag, title in titles.items()
            for source in (("original",) if tag == "eng" else ("human translation", "google translation"))
        ],
        "narratives": {tag: {} for tag in titles},
        "report": {"text": "r", "url": "u", "date": "d"},
    }
    write_rows(home / "hc4" / "test.topics.v1-0.jsonl", [topic])
    for tag, title in titles.items():
        if tag != "eng":
            rows = [
                {"id": f"{tag}-{number}", "title": text, "text": text, "url": "u", "time": "t", "cc_file": "c"}
                for number, text in enumerate((f"{title} {titles['eng']}", "0", "1"))
            ]
            write_rows(home / "hc4" / tag / "hc4_docs.jsonl", rows)
            (home / "hc4" / tag / "test.qrels.v1-0.txt").write_text(f"7 0 {tag}-0 3\n7 0 {tag}-1 0\n")
    document = mlbench.result("--model", "hashing", "--task", "hc4", "--out", "out")
    kinds = [setting["kind"] for setting in document["settings"]]
    # Nobody asks in English for English documents, for there are none.
    assert {kind: kinds.count(kind) for kind in kinds} == {"monolingual": 3, "cross_lingual": 9, "multilingual": 4}
    for setting in document["settings"]:
        assert setting["n_queries"] == 1
        if setting["kind"] == "monolingual":
            assert setting["measures"]["RR@10"] == 1
    bias = {score["name"]: score for score in document["bias"]["scores"]}
    assert document["bias"]["n_topics"] == 1
    assert bias["own_language_preference"]["value"] == 1
    # Its documents are no translations of each other.
    assert document["task"]["documents"] == "native"
    assert "rank_distance" not in bias
    assert bias["own_language_exposure"]["value"] > 0
    assert mlbench("verify", str(next((mlbench.folder / "out").glob("*.json")))).code == 0


def archive(path: Path, members: list[tuple[str, str]]) -> None:
    contents: dict[str, str] = {}
    for name, line in members:
        contents[name] = contents.get(name, "") + line
    contents["qrels.final.gains"] = "".join(contents.values())
    with tarfile.open(path, "w:gz") as stream:
        for name, content in contents.items():
            info = tarfile.TarInfo(name)
            info.size = len(content.encode())
            stream.addfile(info, io.BytesIO(content.encode()))


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            ["irds:mr-tydi/tha/test"],
            "unknown collection of ir_datasets 'mr-tydi/tha/test': did you mean mr-tydi/th/test",
        ),
        (["irds:mr-tydi"], "irds:mr-tydi has no documents and no queries and no judgments: take one of mr-tydi/ar,"),
        (["irds:"], "irds: needs the id of a collection of ir_datasets, as in irds:mr-tydi/th/test"),
        (["irds:mr-tydi/th/test"], "irds:mr-tydi/th/test is not on this machine, and downloads are forbidden by"),
        (["irds:mr-tydi/th/test", "--languages", "en"], "unknown language of irds-mr-tydi-th-test 'en': known are th"),
        (
            ["irds:hc4/fa/test"],
            "irds:hc4/fa/test: ir_datasets does not know the language of its queries: add --languages",
        ),
        (["mmarco", "--languages", "de"], "irds:mmarco/v2/de/dev/small is not on this machine, and downloads are"),
        (["clirmatrix"], "irds:clirmatrix/de/multi8/ar/test1 is not on this machine, and downloads are forbidden"),
    ],
)
def test_faults_are_one_line(mlbench: CommandLine, home: Path, arguments: list[str], line: str) -> None:
    done = mlbench("run", "--model", "hashing", "--task", *arguments)
    assert done.code == 2
    assert len(done.err.splitlines()) == 1, done.err
    assert done.err.startswith(f"mlbench: error: {line}")


def test_a_changed_file_and_ids_with_blanks(mlbench: CommandLine, home: Path) -> None:
    mr_tydi(home, "th", "mrtydi-v1.0-thai")
    run = ("run", "-q", "--model", "hashing", "--task", "irds:mr-tydi/th/test")
    assert mlbench(*run).code == 0
    topics = home / "mr-tydi" / "th.data" / "mrtydi-v1.0-thai" / "topic.test.tsv"
    topics.write_text("0 0\tข้าว\n1\tน้ำ\n")
    done = mlbench(*run)
    assert done.code == 2
    assert "topic.test.tsv has changed since its first use" in done.err
    (record,) = (mlbench.cache / "irds").iterdir()
    record.unlink()
    assert mlbench(*run).code == 0
    done = mlbench(*run, "--save-run", "runs")
    assert done.code == 2
    assert "topic id '0 0' holds a blank, which TREC files cannot: rename it for --save-run" in done.err


def test_our_ids_in_a_process_of_its_own(mlbench: CommandLine, home: Path) -> None:
    """Another tool that knows ir_datasets finds the ids of our runs, and gets our numbers."""
    document = mlbench.result("--model", "hashing", "--task", "mini", "--save-run", "runs", "--depth", "528")
    pool = "+".join(document["task"]["languages"])
    code = f"""
import json, sys
import ir_datasets
import ir_measures
import mlbench.tasks.ir_datasets_export
from ir_measures import AP, R, nDCG
found = {{}}
for name, stem in (("th/en", "th-en"), ("th/th", "th-th"), ("th/pool", "th-{pool}")):
    dataset = ir_datasets.load(f"mlbench/mini/{{name}}")
    run = list(ir_measures.read_trec_run(f"runs/{{stem}}.trec"))
    assert {{row.doc_id for row in run}} <= {{row.doc_id for row in dataset.docs_iter()}}
    assert {{row.query_id for row in run}} == {{row.query_id for row in dataset.queries_iter()}}
    scores = ir_measures.calc_aggregate([AP, R @ 10, nDCG @ 10], dataset.qrels_iter(), run)
    found[name] = {{str(measure): value for measure, value in scores.items()}}
print(json.dumps(found))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=mlbench.folder, capture_output=True, encoding="utf-8", check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    ours = {(s["query_language"], tuple(s["document_languages"])): s["measures"] for s in document["settings"]}
    for name, languages in (("th/en", ("en",)), ("th/th", ("th",)), ("th/pool", tuple(document["task"]["languages"]))):
        for measure in ("AP", "R@10", "nDCG@10"):
            assert found[name][measure] == pytest.approx(ours["th", languages][measure], abs=1e-12)
