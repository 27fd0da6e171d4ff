"""`mlbench run --model system.toml`: fusion and re-ranking as their users meet them."""

import json
from pathlib import Path

import pytest
from command_line import CommandLine

FUSION = 'kind = "fusion"\nsystems = ["hashing", {model = "static", weight = 2}]\n'
FEW = ("--resamples", "20", "--languages", "de,en,th")


def write(mlbench: CommandLine, text: str, name: str = "system.toml") -> str:
    path = mlbench.folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return name


def test_a_fusion_is_measured_verified_and_compared(mlbench: CommandLine) -> None:
    write(mlbench, FUSION)
    fused = mlbench.result("--model", "system.toml", "--resamples", "20")
    assert (
        mlbench("verify", *(f"results/{path.name}" for path in (mlbench.folder / "results").glob("*.json"))).code == 0
    )
    retriever = fused["retriever"]
    assert (retriever["spec"], retriever["kind"]) == ("system.toml", "ranker")
    assert (
        retriever["parameters"] | {"kind": "fusion", "k": 60, "systems[1].model": "static"} == retriever["parameters"]
    )
    alone = [mlbench.result("--model", model, "--resamples", "20") for model in ("hashing", "static")]
    parts = [retriever["parameters"][f"systems[{n}].fingerprint"] for n in (0, 1)]
    assert parts == [document["retriever"]["fingerprint"] for document in alone]
    assert fused["bias"].keys() == alone[0]["bias"].keys()


def test_the_same_file_gives_the_same_ranks_and_encodes_nothing_twice(mlbench: CommandLine) -> None:
    write(mlbench, FUSION)
    first = mlbench("run", "--model", "system.toml", *FEW)
    second = mlbench("run", "--model", "system.toml", *FEW, "--out", "again")
    assert (first.code, second.code) == (0, 0), first.err
    phases = [[line.partition(":")[0] for line in done.err.splitlines()] for done in (first, second)]
    assert [names.count("encode") for names in phases] == [2, 0]
    digests = [
        json.loads(next((mlbench.folder / name).glob("*.json")).read_bytes())["ranks"]["sha256"]
        for name in ("results", "again")
    ]
    assert digests[0] == digests[1]


def test_a_saved_run_of_a_fusion_gives_its_numbers(mlbench: CommandLine) -> None:
    write(mlbench, FUSION)
    fused = mlbench.result("--model", "system.toml", *FEW, "--save-run", "runs", "--depth", "1000")
    again = mlbench.result("--model", "run:runs", *FEW)
    # A saved run has positions in place of scores.
    assert {row.pop("tied_share") for row in again["settings"]} == {None}
    assert all(0 <= row.pop("tied_share") < 1 for row in fused["settings"])
    assert again["settings"] == fused["settings"]
    assert "it is unknown how many" in again["bias"].pop("warning")
    fused["bias"].pop("warning")
    assert again["bias"] == fused["bias"]


def test_a_file_in_another_folder_and_nested_in_a_second(mlbench: CommandLine) -> None:
    write(mlbench, FUSION, "deep/inner.toml")
    write(mlbench, 'kind = "fusion"\nsystems = ["inner.toml", "hashing"]', "deep/outer.toml")
    assert mlbench.result("--model", "deep/inner.toml", *FEW)["retriever"]["spec"] == "deep/inner.toml"
    outer = mlbench.result("--model", "deep/outer.toml", *FEW)["retriever"]["parameters"]
    assert outer["systems[0].model"] == "deep/inner.toml"
    assert outer["systems[0].systems[1].model"] == "static"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (
            'kind = "fusion"\nsystems = ["hasing:", {model = "static", wight = 1}]',
            "mlbench: error: system.toml: 1 fault: systems[1].wight: unknown key: did you mean weight?",
        ),
        (
            'kind = "fusion"\nsystems = ["hasing:", "./gone"]',
            "mlbench: error: system.toml: 2 faults: systems[0]: unknown retriever 'hasing': did you mean hashing?; "
            "systems[1]: there is no './gone' in the folder of the file: paths are read from there",
        ),
        ("kind = fusion", "mlbench: error: system.toml: 1 fault: not valid TOML: Invalid value (at line 1, column 8)"),
    ],
)
def test_faults_are_one_line(mlbench: CommandLine, text: str, fault: str) -> None:
    write(mlbench, text)
    done = mlbench("run", "--model", "system.toml")
    assert (done.code, done.out, done.err.splitlines()) == (2, "", [fault])


def test_keys_belong_into_the_file(mlbench: CommandLine) -> None:
    write(mlbench, FUSION)
    done = mlbench("run", "--model", "system.toml", "--set", "k=1")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "unknown key 'k': it takes no keys" in done.err


def test_reranking_with_a_network(mlbench: CommandLine, own: Path) -> None:
    pytest.importorskip("sentence_transformers")
    from unit.retrievers.tiny import save_bert

    save_bert(mlbench.folder / "reader", "BertForSequenceClassification", num_labels=1)
    write(mlbench, 'kind = "rerank"\nfirst = "hashing"\nreranker = "reader"\nn = 3')
    options = ("--task", "own", "--resamples", "20")
    first, second = (mlbench.result("--model", model, *options) for model in ("hashing", "system.toml"))
    assert second["retriever"]["parameters"]["reranker.model"] == "reader"
    for before, after in zip(first["settings"], second["settings"], strict=True):
        # The first three are the same three, in another order.
        assert after["measures"]["R@10"] == before["measures"]["R@10"]
    assert [row["measures"]["AP"] for row in first["settings"]] != [row["measures"]["AP"] for row in second["settings"]]
    assert mlbench("verify", f"results/{next((mlbench.folder / 'results').glob('own.system*.json')).name}").code == 0
