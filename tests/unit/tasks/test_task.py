import json
import re
import time
from pathlib import Path

import pytest
from pydantic import ValidationError

from mlbench import entry_points
from mlbench.collection.languages import IMAGE, IMAGE_KINDS, settings_of
from mlbench.collection.records import Collection
from mlbench.errors import DataError, InvalidTask, UnknownName
from mlbench.measures.bias import BIAS_SCORES
from mlbench.protocols import ReadRequest
from mlbench.tasks.task import DEFAULT_MEASURES, Expected, load_task, task_names

XQUAD = ("ar", "de", "el", "en", "es", "hi", "ru", "th", "tr", "vi", "zh")
MLQA = ("ar", "de", "en", "es", "hi", "vi", "zh")

MINIMAL = """
name = "own"
reader = "squad_sentences"
languages = ["en", "de"]
[[files]]
language = "en"
path = "own/en.json"
"""


def write(folder: Path, text: str, name: str = "own.toml") -> str:
    (folder / name).write_text(text, encoding="utf-8")
    return str(folder / name)


def faults(folder: Path, text: str) -> tuple[str, ...]:
    with pytest.raises(InvalidTask) as caught:
        load_task(write(folder, text))
    assert "\n" not in str(caught.value)
    return caught.value.faults


def own_folder(folder: Path, languages: tuple[str, ...] = ("de", "en")) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for language in languages:
        (folder / f"queries.{language}.jsonl").write_text('{"id": "t1", "text": "q"}\n')
        (folder / f"documents.{language}.jsonl").write_text('{"id": "d1", "text": "d"}\n')
    (folder / "qrels.tsv").write_text("t1\t0\td1\t1\n")
    return folder


@pytest.mark.parametrize(
    ("name", "languages", "queries", "documents", "document_text"),
    [
        ("mini", XQUAD, 264, 528, "sentence"),
        ("xquad-r", XQUAD, 13_090, 13_014, "sentence"),
        ("xquad-r-context", XQUAD, 13_090, 13_014, "sentence_in_context"),
        ("mlqa-r", MLQA, 4_199, 20_534, "sentence"),
        ("mlqa-r-context", MLQA, 4_199, 20_534, "sentence_in_context"),
    ],
)
def test_shipped_tasks(name: str, languages: tuple[str, ...], queries: int, documents: int, document_text: str) -> None:
    task = load_task(name)
    assert (task.name, task.languages, task.document_text) == (name, languages, document_text)
    assert sum(task.expected.queries.values()) == queries
    assert sum(task.expected.documents.values()) == documents
    n = len(languages)
    assert task.expected.settings == {"monolingual": n, "cross_lingual": n * (n - 1), "multilingual": n}
    assert len(settings_of(task.languages, task.settings)) == n * (n + 1)
    assert task.measures == DEFAULT_MEASURES
    assert task.primary_measure == "AP"
    assert task.bias_scores == tuple(BIAS_SCORES)
    assert task.licence_url.startswith("https://creativecommons.org/")


def test_every_shipped_task_is_named() -> None:
    own = {"flores", "mini", "miracl", "miracl-15", "mlqa-r", "mlqa-r-context", "ntrex", "tatoeba", "xnli", "xquad-r"}
    assert own | {"xquad-r-context"} <= set(task_names())


@pytest.mark.parametrize(
    ("name", "commit"),
    [
        ("xquad-r", "9bc8c7fb6dd8d01d72a05a93c2cb96882b0d299c"),
        ("mlqa-r", "354d67d1cd066854cdfbf5ad0e6105528976141d"),
    ],
)
def test_files_are_pinned_to_a_commit(name: str, commit: str) -> None:
    for variant in (name, f"{name}-context"):
        for file in load_task(variant).files:
            assert file.path == f"{name}/{file.language}.json"
            raw = "https://raw.githubusercontent.com/google-research-datasets/lareqa"
            assert file.url == f"{raw}/{commit}/{name}/{file.language}.json"
            assert file.sha256 is not None
            assert file.bytes is not None


def test_a_variant_says_only_what_differs() -> None:
    differing = {"name", "title", "document_text", "citation"}
    base, variant = (load_task(name).model_dump(exclude=differing) for name in ("xquad-r", "xquad-r-context"))
    assert base == variant


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "marked.toml"
    text = 'name = "marked"\nreader = "parallel_jsonl"\nlanguages = ["en"]\nfiles = [{path = "a.jsonl"}]\n'
    path.write_text(text, encoding="utf-8-sig")
    assert load_task(str(path)).name == "marked"


def test_a_task_is_frozen_and_can_be_written_as_json() -> None:
    task = load_task("mini")
    with pytest.raises(ValidationError, match="frozen"):
        task.name = "other"  # type: ignore[misc]
    dumped = json.loads(json.dumps(task.model_dump(mode="json")))
    assert "root" not in dumped
    assert "_root" not in dumped


def test_defaults_of_a_minimal_file(tmp_path: Path) -> None:
    task = load_task(write(tmp_path, MINIMAL))
    assert task.root == tmp_path
    assert task.languages == ("de", "en")
    assert (task.kind, task.parallel, task.document_text, task.version) == ("text", True, "sentence", "1")
    assert task.licence == "not stated"


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ('licens = "x"', "licens: unknown key: did you mean licence"),
        ('measures = ["AP", "nDGC@10"]', "measures[1]: unknown measure 'nDGC@10': did you mean nDCG@10"),
        (
            'bias_scores = ["rank_distence"]',
            "bias_scores[0]: unknown bias score 'rank_distence': did you mean rank_dist",
        ),
        (
            'settings = ["monolingual", "crosslingual"]',
            "settings[1]: unknown value 'crosslingual': did you mean cross_",
        ),
        ('kind = "image"', "kind: unknown value 'image': did you mean image_text?"),
        ('document_text = "paragraph"', "document_text: unknown value 'paragraph': known are sentence, sentence_in_"),
        ('primary_measure = "RR@3"', "primary_measure: 'RR@3' must be among measures"),
        ('parallel = "yes"', "parallel: input should be a valid boolean, not 'yes'"),
        ("version = 1", "version: input should be a valid string, not 1"),
        ("version = 1979-05-27", "version: input should be a valid string"),
        ('measures = "AP"', 'measures: must be a list, such as ["a", "b"], not \'AP\''),
        ("expected = 3", "expected: must be a table, not 3"),
        ('options = ["a"]', "options: must be a table, not ['a']"),
        ("measures = []", "measures: must not be empty"),
        ("[options]\na = [1]", "options.a: must be a string, a number or a truth value, not [1]"),
        ("[expected.queries]\nfr = 3", "expected: queries.fr: not among languages"),
        ("[expected.queries]\nde = 3.5", "expected.queries.de: input should be a valid integer"),
        ("[expected.query]\nde = 3", "expected.query: unknown key: did you mean queries?"),
        ("[expected.settings]\nmono = 2", "expected.settings.mono: unknown value 'mono': did you mean monolingual?"),
        ("[expected.settings]\nmonolingual = 3", "expected: settings.monolingual: 3, but the languages and settings"),
        ('[[files]]\npath = "a"\nsha = "0"', "files[1].sha: unknown key: did you mean sha256?"),
        ('[[files]]\npath = "a"\nurl = "https://e.org/a"', "files[1]: a file with a url needs sha256"),
        ('[[files]]\npath = "a"\nbytes = 3', "files[1]: bytes goes with sha256"),
        ('[[files]]\npath = "a"\nsha256 = "ab"\nbytes = 3', "files[1].sha256: string should match pattern"),
        (
            f'[[files]]\npath = "a"\nmd5 = "{"0" * 32}"\nsha256 = "{"0" * 64}"\nbytes = 3',
            "files[1]: md5 is for a file without sha256",
        ),
        (
            f'[[files]]\npath = "a"\nunchecked = true\nmd5 = "{"0" * 32}"\nbytes = 3',
            "files[1]: unchecked is for a file without a checksum",
        ),
        (
            f'[[files]]\npath = "a"\nurl = "https://e.org/a"\nmd5 = "{"0" * 32}"\nreason = "too large"',
            "files[1]: reason is for a file that is not downloaded",
        ),
        (
            '[[files]]\npath = "a"\nurl = "file:///etc/passwd"',
            "files[1].url: must be an address such as https://example.org/file or hf://",
        ),
        ('[[files]]\nurl = "https://e.org/a"', "files[1].path: is missing"),
        ('read_here = ["topics"]', "read_here: no file has the role 'topics': known are data"),
        ('read_here = ["data", "data"]', "read_here: 'data' is there twice"),
        ('[[files]]\npath = "a"\nlanguage = "jp"', "files[1].language: 'jp' is not a language tag"),
    ],
)
def test_a_fault_names_its_key_and_the_nearest_known_name(tmp_path: Path, line: str, fault: str) -> None:
    top, _, table = line.partition("[") if line.startswith("[") else (line, "", "")
    text = f"{top}\n{MINIMAL}\n[{table}" if table else f"{top}\n{MINIMAL}"
    (found,) = faults(tmp_path, text)
    assert found.startswith(fault)


@pytest.mark.parametrize(
    "path", ["../up.json", "/etc/passwd", "a/../../b", "", ".", "C:/x", "C:x", "a\\b", "a\\u0000b"]
)
def test_a_path_stays_inside_its_folder(tmp_path: Path, path: str) -> None:
    escaped = path.replace("\\b", "\\\\b")
    (fault,) = faults(tmp_path, MINIMAL.replace("own/en.json", escaped))
    assert fault.startswith("files[0].path: ")
    assert "must be a relative path that stays inside its folder" in fault


def test_all_faults_are_reported_at_once(tmp_path: Path) -> None:
    text = """
name = "Own Task"
reader = "squad_sentence"
languages = ["en", "Deutsch", "en"]
measures = ["MAP@", "RR"]
settings = ["monolinqual"]
kin = "text"
[[files]]
path = "../x"
"""
    found = faults(tmp_path, text)
    keys = ("name", "reader", "languages[1]", "settings[0]", "measures[0]", "files[0].path", "kin")
    assert sorted(fault.partition(":")[0] for fault in found) == sorted(keys)
    assert any("did you mean squad_sentences?" in fault for fault in found)


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ('settings = ["monolingual", "monolingual"]', "settings: 'monolingual' is there twice"),
        ('measures = ["AP", "AP"]', "measures: 'AP' is there twice"),
        ('bias_scores = ["max_rank", "max_rank"]', "bias_scores: 'max_rank' is there twice"),
    ],
)
def test_nothing_is_named_twice(tmp_path: Path, line: str, fault: str) -> None:
    assert faults(tmp_path, line + MINIMAL) == (fault,)
    assert faults(tmp_path, MINIMAL.replace('"de"', '"en"')) == ("languages: 'en' is there twice",)


def test_bias_scores_may_be_none_at_all(tmp_path: Path) -> None:
    assert load_task(write(tmp_path, "bias_scores = []" + MINIMAL)).bias_scores == ()


@pytest.mark.parametrize(
    ("content", "said"),
    [(b'name = "own"\nreader = \n', "line 2"), (b"name = '\xff'", "utf-8"), (b"a=" + b"[" * 9999, "not valid TOML")],
)
def test_a_file_that_is_no_toml(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "own.toml").write_bytes(content)
    with pytest.raises(InvalidTask, match=said) as caught:
        load_task(str(tmp_path / "own.toml"))
    assert len(caught.value.faults) == 1
    assert "\n" not in str(caught.value)


def test_extends_a_shipped_task(tmp_path: Path) -> None:
    task = load_task(
        write(tmp_path, 'extends = "mini"\nname = "mini-short"\nmeasures = ["RR", "P@5"]\nprimary_measure = "RR"')
    )
    assert (task.name, task.measures) == ("mini-short", ("RR", "P@5"))
    assert task.files == load_task("mini").files
    assert task.root == load_task("mini").root


def test_options_are_added_to_those_of_the_base(tmp_path: Path) -> None:
    text = 'extends = "coco-captions"\nname = "own"\n[options]\nsplit = "val"\ncaptions_per_image = 1\n'
    task = load_task(write(tmp_path, text))
    assert task.options == {"member": "dataset_coco.json", "split": "val", "captions_per_image": 1}
    assert task.expected == Expected()


def test_the_files_of_a_variant_lie_beside_it(tmp_path: Path) -> None:
    text = 'extends = "mini"\nname = "own"\n[[files]]\nlanguage = "en"\nrole = "queries"\npath = "own.jsonl"\n'
    task = load_task(write(tmp_path, text))
    assert [file.path for file in task.files] == ["own.jsonl"]
    assert task.root == tmp_path


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('extends = "xquadr"\nname = "a"', "extends: unknown task 'xquadr': did you mean xquad-r"),
        ('extends = "xquad-r"', "name: is missing"),
        ('name = "a"\nfolder = "absent"', "folder: there are no files "),
        ('name = "a"\nfolder = "../x"', "folder: '../x' must be a relative path"),
    ],
)
def test_faults_of_extends_and_folder(tmp_path: Path, text: str, fault: str) -> None:
    (found,) = faults(tmp_path, text)
    assert found.startswith(fault)


def test_a_folder_is_a_task(tmp_path: Path) -> None:
    folder = own_folder(tmp_path / "My Data!", ("th", "en"))
    (folder / "README.txt").write_text("nothing")
    task = load_task(str(folder))
    assert (task.name, task.languages, task.reader, task.root) == ("my-data", ("en", "th"), "parallel_jsonl", folder)
    assert [(file.path, file.role, file.language) for file in task.files] == [
        ("documents.en.jsonl", "documents", "en"),
        ("documents.th.jsonl", "documents", "th"),
        ("qrels.tsv", "qrels", None),
        ("queries.en.jsonl", "queries", "en"),
        ("queries.th.jsonl", "queries", "th"),
    ]


def test_language_tags_of_any_common_form(tmp_path: Path) -> None:
    task = load_task(str(own_folder(tmp_path / "own", ("arb_Arab", "zh-CN", "por-BR", "por"))))
    assert task.languages == ("ar", "pt", "pt-br", "zh")
    assert {file.path: file.language for file in task.files if file.role == "queries"} == {
        "queries.arb_Arab.jsonl": "ar",
        "queries.por-BR.jsonl": "pt-br",
        "queries.por.jsonl": "pt",
        "queries.zh-CN.jsonl": "zh",
    }
    text = 'languages = ["ZH-cn", "iw"]\n[expected.queries]\nzho_Hans = 3\n[[files]]\npath = "a"\nlanguage = "cmn"\n'
    task = load_task(write(tmp_path, f'name = "own"\nreader = "miracl"\n{text}'))
    assert (task.languages, task.expected.queries, task.files[0].language) == (("he", "zh"), {"zh": 3}, "zh")
    assert task.choose(["heb_Hebr", "zh-Hans"]) == task.choose(None) == ("he", "zh")
    with pytest.raises(UnknownName, match="unknown language of own 'zh-TW': did you mean zh"):
        task.choose(["zh-TW"])


LISTED = """
name = "own"
reader = "parallel_lines"
languages = ["en", "de"]
[file_list]
table = "own.tsv"
folder = "own/data"
url = "https://e.org/raw/1"
"""


def test_files_that_are_listed_beside_the_task_file(tmp_path: Path) -> None:
    rows = f"\tids.txt\t3\t{'a' * 64}\tclusters\nen\ttext/eng.txt\t4\t{'b' * 64}\nde\ttext/deu.txt\t5\t{'c' * 64}\n"
    write(tmp_path, rows, "own.tsv")
    clusters, english, german = load_task(write(tmp_path, LISTED)).files
    assert (clusters.language, clusters.role, clusters.bytes) == (None, "clusters", 3)
    assert (english.path, english.url) == ("own/data/text/eng.txt", "https://e.org/raw/1/text/eng.txt")
    assert (german.language, german.role, german.sha256, german.bytes) == ("de", "data", "c" * 64, 5)


@pytest.mark.parametrize(
    ("rows", "changed", "fault"),
    [
        (None, LISTED, "file_list: .*own.tsv cannot be read: No such file"),
        ("en\ta.txt\t4\n", LISTED, "file_list: own.tsv line 1: must be 'language TAB path TAB bytes TAB sha256'"),
        ("en\ta.txt\tx\tb\n", LISTED, "file_list: own.tsv line 1: must be"),
        ("en\ta.txt\t4\tb\n", LISTED, r"files\[0\].sha256: string should match pattern"),
        ("", LISTED.replace("folder", "folders"), "file_list.folder: is missing"),
        ("", LISTED.replace("https", "ftp"), "file_list.url: string should match"),
    ],
)
def test_faults_of_listed_files(tmp_path: Path, rows: str | None, changed: str, fault: str) -> None:
    if rows is not None:
        write(tmp_path, rows, "own.tsv")
    assert re.match(fault, faults(tmp_path, changed)[0])


@pytest.mark.parametrize(
    ("name", "languages", "files", "size"),
    [
        ("ntrex", 11, 12, 1_997),
        ("ntrex-128", 128, 129, 1_997),
        ("flores", 11, 33, 1_004),
        ("flores-200", 205, 615, 1_004),
        ("flores-200-devtest", 204, 1, 1_012),
        ("tatoeba", 11, 20, 1_000),
        ("tatoeba-112", 113, 224, 1_000),
        ("xnli", 11, 1, 10_000),
        ("xnli-15", 15, 1, 10_000),
    ],
)
def test_sentences_come_from_their_publishers(name: str, languages: int, files: int, size: int) -> None:
    task = load_task(name)
    assert (len(task.languages), len(task.files), task.expected.documents["ar"]) == (languages, files, size)
    assert all(file.downloadable and file.sha256 and file.bytes for file in task.files)
    for file in task.files:
        assert file.url is not None
        assert re.search("/[0-9a-f]{40}/|/nllb/flores200_dataset.tar.gz$|/XNLI-1.0.zip$", file.url)


def test_a_variety_of_a_base_is_not_taken_for_another(tmp_path: Path) -> None:
    text = 'extends = "ntrex-128"\nname = "own"\nlanguages = ["eng-US", "pt-BR", "fra-CA", "zh_Hans"]\n'
    task = load_task(write(tmp_path, text))
    assert task.languages == ("en-us", "fr-ca", "pt-br", "zh")
    assert [file.path.rpartition(".txt")[0].rpartition(".")[2] for file in task.files if file.language] == [
        *("eng-US", "fra-CA", "por-BR", "zho-CN"),
    ]


def test_two_tags_of_one_language_are_not_merged(tmp_path: Path) -> None:
    with pytest.raises(InvalidTask, match="languages: 'zh' is there twice"):
        load_task(str(own_folder(tmp_path / "own", ("cmn", "en", "zh"))))


def test_task_toml_overrides_the_defaults_of_its_folder(tmp_path: Path) -> None:
    folder = own_folder(tmp_path / "data")
    write(folder, 'name = "faq"\nlicence = "MIT"\n[expected.queries]\nde = 1\n', "task.toml")
    for spec in (folder, folder / "task.toml"):
        task = load_task(str(spec))
        assert (task.name, task.licence, task.languages) == ("faq", "MIT", ("de", "en"))
    write(folder, 'languages = ["en"]\n', "task.toml")
    assert load_task(str(folder)).languages == ("en",)


def test_a_folder_without_such_files(tmp_path: Path) -> None:
    with pytest.raises(InvalidTask, match=r"no files .*queries\.<lang>\.jsonl"):
        load_task(str(tmp_path))
    own_folder(tmp_path / "x", ("jp",))
    with pytest.raises(InvalidTask, match="'jp' is not a language tag"):
        load_task(str(tmp_path / "x"))


def test_what_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnknownName, match=r"unknown task 'xquad': did you mean xquad-r"):
        load_task("xquad")
    for spec in (str(tmp_path / "absent"), "./absent", "absent.toml"):
        with pytest.raises(DataError, match=r"there is no task file or folder \S+$"):
            load_task(spec)
    with pytest.raises(DataError, match="on the hub it would be hf://datasets/mteb/scifact, in ir_datasets irds:mteb/"):
        load_task("mteb/scifact")
    (tmp_path / "corpus.jsonl").write_text("{}")
    with pytest.raises(DataError, match=r"corpus\.jsonl is no task file: name a file in TOML, or the folder"):
        load_task(str(tmp_path / "corpus.jsonl"))
    monkeypatch.chdir(own_folder(tmp_path / "mini").parent)
    assert load_task("mini").expected.queries["th"] == 24
    assert load_task("./mini").languages == ("de", "en")


DEEP = "maximum recursion depth"
LONG = "Exceeds the limit"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (f"version = 0x{'f' * 5000}", LONG),
        (f"options = {{a = 0x{'f' * 5000}}}", LONG),
        (f"options.{'a.' * 2000}b = 1", DEEP),
        (f"files.{'a.' * 2000}b = 1", DEEP),
        (f"options = {'[' * 5000}", DEEP),
        ("#" * 2**22, "the file is larger than 4 MiB"),
    ],
)
def test_what_could_not_be_shown_is_no_toml_for_us(tmp_path: Path, line: str, says: str) -> None:
    (fault,) = faults(tmp_path, f"{line}\n")
    assert fault.startswith("not valid TOML: ")
    assert says in fault


@pytest.mark.slow
def test_many_names_take_no_time(tmp_path: Path) -> None:
    names = ", ".join(f'"R@{n}"' for n in range(1, 20_001))
    begin = time.process_time()
    (fault,) = faults(tmp_path, f'measures = [{names}, "R@1"]\nprimary_measure = "R@1"\n{MINIMAL}')
    assert fault == "measures: 'R@1' is there twice"
    assert time.process_time() - begin < 10


@pytest.mark.parametrize("change", ['settings = ["multilingual"]', 'languages = ["de", "en"]'])
def test_a_variant_with_other_settings_does_not_inherit_what_was_expected_of_its_base(
    change: str, tmp_path: Path
) -> None:
    path = tmp_path / "variant.toml"
    path.write_text(f'extends = "xquad-r-context"\nname = "variant"\n{change}\n')
    assert load_task(str(path)).expected == Expected()


class Finding:
    """A reader that finds its data itself."""

    def __call__(self, request: ReadRequest) -> Collection:
        raise NotImplementedError

    def declare(self, locator: str, languages: tuple[str, ...] | None) -> dict[str, object]:
        if not locator:
            raise DataError("finding: needs a locator")
        return {"name": locator, "languages": languages or ("en",), "options": {"place": locator}}


@pytest.fixture
def finding(monkeypatch: pytest.MonkeyPatch) -> None:
    readers = {"finding": Finding(), "plain": lambda request: request}
    monkeypatch.setattr(entry_points, "names", lambda group: tuple(readers))
    monkeypatch.setattr(entry_points, "load", lambda group, name: readers[name])


@pytest.mark.usefixtures("finding")
class TestAReaderThatFindsItsDataItself:
    def test_makes_a_task_of_a_locator(self) -> None:
        task = load_task("finding:here")
        assert (task.name, task.reader, task.languages) == ("here", "finding", ("en",))
        assert (task.files, dict(task.options)) == ((), {"place": "here"})
        assert load_task("finding:here", languages=["th", "de"]).languages == ("de", "th")

    def test_says_what_is_wrong(self) -> None:
        with pytest.raises(DataError, match="finding: needs a locator"):
            load_task("finding:")
        with pytest.raises(InvalidTask, match=r"finding:No Name: 1 fault: name: string should match pattern"):
            load_task("finding:No Name")

    @pytest.mark.parametrize("spec", ["plain:here", "found:here"])
    def test_is_not_any_reader(self, spec: str) -> None:
        with pytest.raises(UnknownName, match=f"unknown task '{spec}'"):
            load_task(spec)

    def test_needs_no_files_in_a_task_file(self, tmp_path: Path) -> None:
        path = tmp_path / "own.toml"
        path.write_text('name = "a"\nreader = "finding"\nlanguages = ["en"]\nfiles = []\n')
        assert load_task(str(path)).files == ()
        path.write_text('name = "a"\nreader = "plain"\nlanguages = ["en"]\n')
        with pytest.raises(InvalidTask, match="1 fault: files: is missing"):
            load_task(str(path))


class PairsReader:
    """A reader of folders with a file `pairs.tsv`."""

    looks_for = "pairs.tsv"

    def __call__(self, request: ReadRequest) -> Collection:
        raise NotImplementedError

    def recognises(self, folder: Path) -> bool:
        return (folder / "pairs.tsv").exists()

    def declare_folder(self, folder: Path, languages: tuple[str, ...] | None) -> dict[str, object]:
        if not (folder / "pairs.tsv").stat().st_size:
            raise DataError("pairs.tsv is empty")
        unknown = (folder / "language-unknown").exists()
        declared = {
            "languages": languages or (None if unknown else ("en",)),
            "files": [{"path": "pairs.tsv"}],
            "parallel": False,
        }
        return declared | {"images": {"folder": "photos"}, "kind": "image_text"}


@pytest.fixture
def pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    genuine_names, genuine_load = entry_points.names, entry_points.load
    readers = {"pairs": PairsReader()}
    monkeypatch.setattr(entry_points, "names", lambda group: (*genuine_names(group), "broken", "pairs"))
    monkeypatch.setattr(
        entry_points, "load", lambda group, name: readers[name] if name in readers else genuine_load(group, name)
    )


@pytest.mark.usefixtures("pairs")
class TestAReaderThatRecognisesFolders:
    def test_makes_a_task_of_its_folder(self, tmp_path: Path) -> None:
        (tmp_path / "data").mkdir()
        (tmp_path / "data" / "pairs.tsv").write_text("a\tb\n")
        task = load_task(str(tmp_path / "data"))
        assert (task.name, task.reader, task.languages, task.parallel) == ("data", "pairs", ("en",), False)
        assert task.root == tmp_path / "data"
        assert load_task(str(tmp_path / "data"), languages=["th"]).languages == ("th",)

    def test_declares_paths_inside_the_folder(self, tmp_path: Path) -> None:
        (tmp_path / "data").mkdir()
        (tmp_path / "data" / "pairs.tsv").write_text("a\tb\n")
        task = load_task(write(tmp_path, 'name = "own"\nfolder = "data"\nlanguages = ["de"]'))
        assert (task.languages, task.root) == (("de",), tmp_path)
        assert [file.path for file in task.files] == ["data/pairs.tsv"]
        assert task.images is not None
        assert task.images.folder == "data/photos"

    def test_says_what_is_wrong_with_the_folder(self, tmp_path: Path) -> None:
        (tmp_path / "pairs.tsv").touch()
        with pytest.raises(InvalidTask, match=r"1 fault: folder: pairs\.tsv is empty"):
            load_task(str(tmp_path))

    def test_needs_a_language_where_the_data_do_not_say_theirs(self, tmp_path: Path) -> None:
        (tmp_path / "pairs.tsv").write_text("a\tb\n")
        (tmp_path / "language-unknown").touch()
        with pytest.raises(
            InvalidTask, match=r'languages: .* add --languages TAG, or languages = \["TAG"\] in task.toml'
        ):
            load_task(str(tmp_path))
        assert load_task(str(tmp_path), languages=["th"]).languages == ("th",)
        write(tmp_path, 'languages = ["de"]', "task.toml")
        assert load_task(str(tmp_path)).languages == ("de",)

    def test_that_cannot_be_read_is_told(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(reader: PairsReader, folder: Path) -> bool:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(PairsReader, "recognises", refuse)
        with pytest.raises(InvalidTask, match=r"1 fault: folder: .* cannot be read: Permission denied"):
            load_task(str(tmp_path))

    def test_is_named_where_nothing_is_recognised(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidTask, match=r"there are no files (?=.*, or pairs\.tsv).*queries\.<lang>"):
            load_task(str(tmp_path))

    def test_is_chosen_by_name_where_two_recognise_a_folder(self, tmp_path: Path) -> None:
        folder = own_folder(tmp_path / "both")
        (folder / "pairs.tsv").write_text("a\tb\n")
        with pytest.raises(InvalidTask, match="has files for the readers pairs and parallel_jsonl: keep them in two"):
            load_task(str(folder))
        write(folder, 'reader = "parallel_jsonl"\n', "task.toml")
        assert load_task(str(folder)).reader == "parallel_jsonl"
        write(folder, 'reader = "pairs"\n', "task.toml")
        assert [file.path for file in load_task(str(folder)).files] == ["pairs.tsv"]


def test_a_file_wins_over_a_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "irds:x.toml").write_text(MINIMAL)
    assert load_task("irds:x.toml").reader != "irds"


def test_a_long_value_is_cut(tmp_path: Path) -> None:
    (fault,) = faults(tmp_path, f'kind = "{"x" * 50_000}"\n{MINIMAL}')
    assert fault.startswith("kind: unknown value 'xxx")
    assert len(fault) < 200


CAPTIONS = """
name = "own"
kind = "image_text"
reader = "captions_jsonl"
languages = ["en", "de"]
files = [{ path = "captions.en.jsonl", role = "captions", language = "en" }]
"""


class TestImages:
    def test_a_folder_of_captions_is_a_task(self, tmp_path: Path) -> None:
        for language in ("th", "en"):
            (tmp_path / f"captions.{language}.jsonl").write_text("{}")
        task = load_task(str(tmp_path))
        assert (task.reader, task.kind, task.languages, task.corpora) == (
            "captions_jsonl",
            "image_text",
            ("en", "th"),
            ("en", IMAGE, "th"),
        )
        assert [(file.path, file.role, file.language) for file in task.files] == [
            ("captions.en.jsonl", "captions", "en"),
            ("captions.th.jsonl", "captions", "th"),
        ]
        assert task.images is not None
        assert task.images.folder == "images"
        assert (task.primary_measure, task.settings) == ("Success@1", IMAGE_KINDS)

    def test_a_file_may_name_such_a_folder_and_override_it(self, tmp_path: Path) -> None:
        (tmp_path / "pets").mkdir()
        (tmp_path / "pets" / "captions.en.jsonl").write_text("{}")
        task = load_task(write(tmp_path, 'name = "pets"\nfolder = "pets"\nmeasures = ["RR", "AP"]'))
        assert task.images is not None
        assert (task.images.folder, task.files[0].path) == ("pets/images", "pets/captions.en.jsonl")
        assert (task.primary_measure, task.kind) == ("RR", "image_text")
        task = load_task(write(tmp_path, 'name = "pets"\nfolder = "pets"\n[images]\nfolder = "photos"'))
        assert task.images is not None
        assert task.images.folder == "photos"

    def test_captions_beside_judgments_are_refused(self, tmp_path: Path) -> None:
        (tmp_path / "captions.en.jsonl").write_text("{}")
        (tmp_path / "qrels.tsv").touch()
        with pytest.raises(InvalidTask, match="has both captions and qrels: keep them in two folders"):
            load_task(str(tmp_path))

    def test_a_folder_of_both_kinds_is_refused(self, tmp_path: Path) -> None:
        folder = own_folder(tmp_path / "both", ("en",))
        (folder / "captions.en.jsonl").write_text("{}")
        with pytest.raises(InvalidTask, match="has files for the readers captions_jsonl and parallel_jsonl: keep"):
            load_task(str(folder))

    @pytest.mark.parametrize(
        ("text", "fault"),
        [
            (CAPTIONS, 'images: must say where the images are, as in [images] folder = "my-data/images"'),
            (MINIMAL + '[images]\nfolder = "x"', 'images: are for tasks of kind "image_text"'),
            (
                'settings = ["monolingual"]' + CAPTIONS + '[images]\nfolder = "x"',
                "settings: 'monolingual' is no kind of setting of a task like this: text_to_image, ",
            ),
            (
                CAPTIONS + '[images]\nfolder = "x"\n[expected.queries]\nth = 3\nimage = 2',
                "expected: queries.th: not among languages",
            ),
        ],
    )
    def test_faults(self, tmp_path: Path, text: str, fault: str) -> None:
        (found,) = faults(tmp_path, text)
        assert found.startswith(fault)

    @pytest.mark.parametrize("measures", ["measures = 5", "measures = true", "[measures]\nAP = 1"])
    def test_measures_that_are_no_list(self, tmp_path: Path, measures: str) -> None:
        found = faults(tmp_path, measures + "\n" + CAPTIONS if measures[0] == "m" else CAPTIONS + measures)
        assert any(fault.startswith("measures: must be a list") for fault in found)

    @pytest.mark.parametrize(
        ("name", "images", "captions"),
        [
            ("xtd10", 1000, 11 * 1000),
            ("multi30k", 1000, 12_000),
            ("multi30k-translations", 1000, 4000),
            ("flickr30k", 1000, 5000),
            ("coco-captions", 5000, 25_010),
            ("xflickrco", 2000, 15_998),
            ("xcoco", 1000, 7999),
            ("xtd200", 1000, 201_000),
            ("flickr30k-200", 1000, 201_000),
        ],
    )
    def test_shipped_tasks_of_captioned_images(self, name: str, images: int, captions: int) -> None:
        task = load_task(name)
        assert task.expected.queries == task.expected.documents
        assert task.expected.queries[IMAGE] == images
        assert sum(task.expected.queries[language] for language in task.languages) == captions
        assert task.expected.settings["text_to_image"] == len(task.languages)
        assert task.images is not None
        assert all(file.unchecked or file.checksum for file in (*task.files, *task.images.archives))

    def test_crossmodal_3600_has_36_languages(self) -> None:
        task = load_task("xm3600")
        assert len(task.languages) == task.expected.settings["image_to_text"] == 36
        assert task.expected.documents == {IMAGE: 3600}
