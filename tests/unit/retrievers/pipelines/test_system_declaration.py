"""System files: what they declare, and every fault of one in one line."""

from pathlib import Path

import pytest

from mlbench.errors import DataError, InvalidSystem
from mlbench.open_model import describe, parse
from mlbench.retrievers.pipelines.declaration import Fusion, Rerank, read_system

FUSION = 'kind = "fusion"\nsystems = ["toy", {model = "listing", weight = 2, set = {seed = 3}}]\n'


def write(folder: Path, text: str, name: str = "system.toml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def faults(folder: Path, text: str) -> tuple[str, ...]:
    with pytest.raises(InvalidSystem) as caught:
        read_system(write(folder, text))
    assert "\n" not in str(caught.value)
    return caught.value.faults


def test_fusion(tmp_path: Path) -> None:
    declared = read_system(write(tmp_path, FUSION + "k = 10\ndepth = 100\n"))
    assert isinstance(declared, Fusion)
    assert (declared.k, declared.depth) == (10, 100)
    assert [(part.model, part.weight, part.settings) for part in declared.systems] == [
        ("toy:", 1, {}),
        ("listing:", 2, {"seed": "3"}),
    ]


def test_tables_are_another_way_of_writing_the_same(tmp_path: Path) -> None:
    tables = 'kind = "fusion"\n[[systems]]\nmodel = "toy"\n[[systems]]\nmodel = "listing"\nweight = 2.0\nset.seed = 3\n'
    assert read_system(write(tmp_path, tables)) == read_system(write(tmp_path, FUSION))


def test_defaults(tmp_path: Path) -> None:
    declared = read_system(write(tmp_path, FUSION))
    assert isinstance(declared, Fusion)
    assert (declared.k, declared.depth) == (60, None)
    second = read_system(write(tmp_path, 'kind = "rerank"\nfirst = "toy"\nreranker = "some/model"'))
    assert isinstance(second, Rerank)
    assert (second.n, second.first.model, second.reranker.model) == (100, "toy:", "some/model")


def test_paths_are_read_from_the_folder_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("inside/checkpoint", "inside/runs", "inside/reader", "toy"):
        (tmp_path / name).mkdir(parents=True)
    write(tmp_path / "inside", FUSION, "nested.toml")
    text = 'kind = "fusion"\nsystems = ["checkpoint", "listing:runs", "./nested.toml", "toy", "org/name"]'
    path = write(tmp_path / "inside", text)
    rerank = write(tmp_path / "inside", 'kind = "rerank"\nfirst = "nested.toml"\nreranker = "reader"', "rerank.toml")
    monkeypatch.chdir(tmp_path)
    for file in (path, path.relative_to(tmp_path)):
        declared = read_system(file)
        assert isinstance(declared, Fusion)
        base = file.parent
        assert [part.model for part in declared.systems] == [
            str(base / "checkpoint"),
            f"listing:{base / 'runs'}",
            str(base / "nested.toml"),
            "toy:",
            "org/name",
        ]
    second = read_system(rerank)
    assert isinstance(second, Rerank)
    assert (second.first.model, second.reranker.model) == (
        str(tmp_path / "inside/nested.toml"),
        str(tmp_path / "inside/reader"),
    )
    for value, read in (("./reader", str(tmp_path / "inside/reader")), ("reader", "reader"), ("./gone", "./gone")):
        table = f'{{ model = "image_text:reader", set = {{ tokenizer = "{value}", image_size = 9 }} }}'
        third = read_system(write(tmp_path / "inside", f'kind = "rerank"\nfirst = "toy"\nreranker = {table}'))
        assert isinstance(third, Rerank)
        assert third.reranker.set == {"tokenizer": read, "image_size": 9}


FAULTS = {
    "": ['kind: is missing: write kind = "fusion", "rerank" or "index"'],
    'kind = "fuson"': ["kind: unknown value: did you mean fusion?"],
    "kind = ": ["not valid TOML: Invalid value (at end of document)"],
    'kind = "fusion"': ["systems: is missing"],
    'kind = "fusion"\nsystems = ["toy"]': ["systems: a fusion needs at least two systems"],
    'kind = "fusion"\nsystems = "toy"': ['systems: must be a list, such as ["a", "b"], not \'toy\''],
    'kind = "fusion"\nsystems = ["toy", " "]': ["systems[1].model: string should match pattern '\\S', not ' '"],
    'kind = "rerank"\nfirst = "toy"': ["reranker: is missing"],
    'kind = "rerank"\nfirst = "toy"\nreranker = "a/b"\nn = 0\ndeep = 1': [
        "n: input should be greater than or equal to 1, not 0",
        "deep: unknown key: known are first, kind, n, reranker",
    ],
    FUSION + 'method = "combsm"': ["method: unknown value 'combsm': did you mean combsum or combmnz or combanz?"],
    FUSION + 'method = "combsum"\nnormalisation = "minmax"': [
        "normalisation: unknown value 'minmax': did you mean min_max?"
    ],
    FUSION + 'method = "combsum"\nk = 5': ["k has no part in combsum: leave it out"],
    FUSION + 'normalisation = "sum"': ["normalisation has no part in rrf: leave it out"],
    FUSION + '[tuned]\ntask = "mini"\nfingerprint = "x"\nmeasure = "AP"\nvalue = 0.5\nqueries = []': [
        "tuned.fingerprint: string should match pattern '^[0-9a-f]{64}$', not 'x'"
    ],
    FUSION + "k = -1\ndepth = 0\ndept = 5": [
        "k: input should be greater than or equal to 0, not -1",
        "depth: input should be greater than or equal to 1, not 0",
        "dept: unknown key: did you mean depth?",
    ],
    'kind = "fusion"\nsystems = [{model = "toy", weight = 0, sets = {}}, {set = {seed = [1]}}]': [
        "systems[0].weight: input should be greater than 0, not 0",
        "systems[0].sets: unknown key: did you mean set?",
        "systems[1].model: is missing",
        "systems[1].set.seed: must be a string, a number or a truth value, not [1]",
    ],
    'kind = "fusion"\nsystems = ["tooy:", "./gone", {model = "toy", set = {sed = 1, seed = "x"}}, "gone.toml"]': [
        "systems[0]: unknown retriever 'tooy': did you mean toy?",
        "systems[1]: there is no './gone' in the folder of the file: paths are read from there",
        "systems[2]: toy: unknown key 'sed': did you mean seed?; "
        "seed: input should be a valid integer, unable to parse string as an integer, not 'x'",
        "systems[3]: there is no 'gone.toml' in the folder of the file: paths are read from there",
    ],
    'kind = "rerank"\nfirst = "system.toml"\nreranker = {model = "read:x"}': [
        "first: system.toml: 1 fault: it is a part of itself",
        "reranker: unknown reranker 'read': did you mean reading?",
    ],
    'kind = "rerank"\nfirst = {model = "toy", weight = 2.0}\nreranker = {model = "./gone", set = {n = 1}}': [
        "first.weight: unknown key: known are model, set"
    ],
}


@pytest.mark.parametrize("text", FAULTS, ids=range(len(FAULTS)))
def test_faults(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert list(faults(tmp_path, text)) == FAULTS[text]


def test_a_circle_of_files_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    one = write(tmp_path, 'kind = "fusion"\nsystems = ["toy", "two.toml"]', "one.toml")
    write(tmp_path, 'kind = "fusion"\nsystems = ["toy", "one.toml"]', "two.toml")
    with pytest.raises(InvalidSystem) as caught:
        read_system(one)
    assert str(caught.value) == (
        "one.toml: 1 fault: systems[1]: two.toml: 1 fault: systems[1]: one.toml: 1 fault: it is a part of itself"
    )


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone.toml cannot be read: No such file or directory"):
        read_system(tmp_path / "gone.toml")


def test_a_toml_file_is_a_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, FUSION)
    (tmp_path / "folder.toml").mkdir()
    assert parse("system.toml") == ("system", "system.toml")
    assert parse("folder.toml") == ("dense", "folder.toml")
    assert parse("gone.toml") == ("dense", "gone.toml")
    assert describe("system.toml") == describe("system:system.toml") == "system.toml"
    assert describe(str(tmp_path / "system.toml")) == f"{tmp_path.name}/system.toml"
