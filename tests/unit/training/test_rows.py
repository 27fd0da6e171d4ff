"""Rows made ready: their texts, what they share, and that it is done once."""

import json
import os
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.training.row_cases import (
    Families,
    RawRow,
    documents_of,
    negatives_of,
    prepared,
    queries_of,
    read,
    repetitive,
    texts,
    write,
)

from mlbench.errors import DataError
from mlbench.io.cache import cache_dir
from mlbench.protocols import Silence
from mlbench.training import rows as rows_module
from mlbench.training.index import ABSENT
from mlbench.training.ngrams import normalise
from mlbench.training.recipe_tables import DataSet
from mlbench.training.rows import DatasetRows, prepare
from mlbench.training.sources import find_source

LANGUAGES = ("ar", "de", "en", "th")
FORMS: dict[str, RawRow] = {
    "texts": {"id": "a", "texts": {"en": "one", "de": "eins", "zh-hant": "一"}},
    "pairs": {
        "id": "b",
        "queries": {"en": "who?", "th": "ใคร"},
        "passages": {"en": "she", "de": "sie"},
        "negatives": {"de": ["er", "es"], "en": ["he"]},
    },
    "single": {"id": "c", "lang": "ar", "query": "من", "passage": "هي", "negatives": ["هو"]},
    "no id": {"lang": "en", "query": "what?", "passage": "this\nand that "},
    "of texts with negatives": {"texts": {"en": "yes", "de": "ja"}, "negatives": {"de": ["nein"]}},
}


def contents(rows: DatasetRows) -> list[tuple[dict[str, str], dict[str, str], list[tuple[str, str]]]]:
    """Return queries, documents and negatives of each row, by way of the index and the texts on disk."""
    index, every = rows.index, range(len(rows.languages))
    found = []
    for row in range(len(index)):
        number, pattern = np.array([row]), index.pattern[row]
        queries, documents = (
            {
                rows.languages[tag]: rows.read(lookup(number, np.array([tag])))[0]
                for tag in every
                if places[pattern, tag] != ABSENT
            }
            for places, lookup in (
                (index.query_places, index.query_texts),
                (index.document_places, index.document_texts),
            )
        )
        own = slice(index.first_negative[row], index.first_negative[row + 1])
        tags = [rows.languages[tag] for tag in index.negative_languages[own].tolist()]
        negatives = list(zip(tags, rows.read(index.negative_texts[own]), strict=True))
        found.append((queries, documents, negatives))
    return found


def expected(rows: list[RawRow]) -> list[tuple[dict[str, str], dict[str, str], list[tuple[str, str]]]]:
    return [(queries_of(row), documents_of(row), negatives_of(row)) for row in rows]


class TestTexts:
    @pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz"])
    @pytest.mark.parametrize("form", FORMS)
    def test_come_back_in_every_form(self, tmp_path: Path, form: str, suffix: str) -> None:
        found = prepared(write(tmp_path / f"rows{suffix}", [FORMS[form]]))
        assert contents(found) == expected([FORMS[form]])
        assert found.index.is_text.tolist() == ["texts" in FORMS[form]]

    def test_come_back_in_their_order_from_several_files(self, tmp_path: Path) -> None:
        rows = [*FORMS.values(), *repetitive(3, 200, LANGUAGES)]
        found = prepared(write(tmp_path / "b.jsonl", rows[:90]), write(tmp_path / "a.jsonl.gz", rows[90:]))
        assert contents(found) == expected(rows)
        assert found.languages == tuple(sorted(found.languages))
        assert set(found.languages) == {*LANGUAGES, "zh-hant"}

    def test_come_back_across_blocks(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(rows_module, "_BLOCK_TEXTS", 7)
        rows = repetitive(4, 60, LANGUAGES)
        assert contents(prepared(write(tmp_path / "rows.jsonl", rows))) == expected(rows)

    def test_are_read_in_any_order_and_repeatedly(self, tmp_path: Path) -> None:
        found = prepared(write(tmp_path / "rows.jsonl", texts(30, ("de", "en"))))
        every = found.read(np.arange(60))
        numbers = np.random.RandomState(0).randint(0, 60, 200)
        assert found.read(numbers) == [every[number] for number in numbers]
        assert found.read(np.zeros(0, np.int64)) == []

    def test_blank_ones_are_left_out(self, tmp_path: Path) -> None:
        rows = [
            {"texts": {"en": "one", "de": " \n", "th": "", "ar": None}},
            {"texts": {"en": "\u3000", "de": ""}},
            {
                "queries": {"en": "who?", "de": " "},
                "passages": {"en": "", "de": "sie"},
                "negatives": {"de": [" ", "x"]},
            },
            {"lang": "en", "query": "  ", "passage": "nobody asks"},
            {"lang": "en", "query": "nobody answers", "passage": None},
            {"queries": {"en": "who?"}, "passages": {}},
        ]
        path = write(tmp_path / "rows.jsonl", rows)
        path.write_bytes(b"\n  \n" + path.read_bytes() + b"\n")
        assert contents(prepared(path)) == [
            ({"en": "one"}, {"en": "one"}, []),
            ({"en": "who?"}, {"de": "sie"}, [("de", "x")]),
        ]

    def test_a_byte_order_mark_is_no_fault(self, tmp_path: Path) -> None:
        path = write(tmp_path / "rows.jsonl", [FORMS["texts"]])
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
        assert contents(prepared(path)) == expected([FORMS["texts"]])


FAULTS = {
    "{": "rows.jsonl:2: not a line of JSON: ",
    "[" * 100_000: "rows.jsonl:2: not a line of JSON: ",
    "[1]": "rows.jsonl:2: a row is an object such as ",
    '"a"': "rows.jsonl:2: a row is an object such as ",
    "{}": "rows.jsonl:2: a row has texts, or queries and passages, or lang, query and passage",
    '{"queries": {"en": "a"}}': "rows.jsonl:2: a row has texts, or ",
    '{"texts": ["a"]}': "rows.jsonl:2: texts must map languages to texts",
    '{"texts": {"en": 1}}': "rows.jsonl:2: texts must map languages to texts",
    '{"texts": {"english": "a"}}': "rows.jsonl:2: 'english' is not a language tag: ",
    '{"texts": {"EN": "a", "eng": "b"}}': "rows.jsonl:2: texts has one language twice: EN, eng",
    '{"queries": {"en": "a"}, "passages": "b"}': "rows.jsonl:2: passages must map languages to texts",
    '{"lang": "en", "query": 5, "passage": "b"}': "rows.jsonl:2: query must be a text",
    '{"lang": null, "query": "a", "passage": "b"}': "rows.jsonl:2: 'None' is not a language tag: ",
    '{"lang": "en", "query": "a", "passage": "b", "negatives": [1]}': "rows.jsonl:2: a negative must be a text",
    '{"lang": "en", "query": "a", "passage": "b", "negatives": "c"}': "rows.jsonl:2: negatives must be a list of texts",
    '{"texts": {"en": "a"}, "negatives": ["b"]}': "rows.jsonl:2: negatives must be a list of texts, or map ",
    '{"texts": {"en": "a"}, "negatives": {"e": ["b"]}}': "rows.jsonl:2: 'e' is not a language tag: ",
    '{"texts": {"en": "a \\ud800"}}': "rows.jsonl:2: a text holds half a character: ",
    '{"texts": {"en": "a"}, "negatives": {"en": ["\\udfff"]}}': "rows.jsonl:2: a text holds half a character: ",
}


class TestFaults:
    @pytest.mark.parametrize("line", FAULTS, ids=[line[:60] for line in FAULTS])
    def test_name_the_line(self, tmp_path: Path, line: str) -> None:
        path = tmp_path / "rows.jsonl"
        path.write_text(f'{{"texts": {{"en": "fine"}}}}\n{line}\n', encoding="utf-8")
        with pytest.raises(DataError) as raised:
            prepared(path)
        assert str(raised.value).startswith(FAULTS[line])
        assert "\n" not in str(raised.value)
        assert left_behind() == []

    def test_bytes_that_are_no_text(self, tmp_path: Path) -> None:
        path = tmp_path / "rows.jsonl"
        path.write_bytes(b'{"texts": {"en": "\xff"}}')
        with pytest.raises(DataError, match=r"\Arows.jsonl:1: not a line of JSON: "):
            prepared(path)

    @pytest.mark.parametrize("damage", ["cut", "altered", "not gzip"])
    def test_damaged_files(self, tmp_path: Path, damage: str) -> None:
        path = write(tmp_path / "rows.jsonl.gz", repetitive(1, 400, LANGUAGES))
        whole = path.read_bytes()
        altered = whole[:20] + b"\xff" * 64 + whole[84:]
        path.write_bytes({"cut": whole[:-100], "altered": altered, "not gzip": b"plain\n"}[damage])
        with pytest.raises(DataError, match=r"\A(.*rows.jsonl.gz cannot be read: |rows.jsonl.gz:\d+: )[^\n]*\Z"):
            prepared(path)
        assert left_behind() == []

    @pytest.mark.parametrize("rows", [[], [{"texts": {"en": " "}}]])
    def test_no_rows(self, tmp_path: Path, rows: list[RawRow]) -> None:
        with pytest.raises(DataError, match=r"\Arows: no row has a query and a document\Z"):
            prepared(write(tmp_path / "rows.jsonl", rows))

    def test_a_cache_that_cannot_be_written(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "file").write_text("")
        monkeypatch.setenv("MLBENCH_CACHE", str(tmp_path / "file"))
        with pytest.raises(DataError, match=r"\A.* cannot be written: [^\n]*\Z"):
            prepared(write(tmp_path / "rows.jsonl", texts(2, ("en",))))


def left_behind() -> list[str]:
    folder = cache_dir() / "training"
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def refuse_to_read(*_: object) -> None:
    raise AssertionError("rows were read again")


class Told(Silence):
    done = 0

    def advance(self, done: int) -> None:
        self.done += done


class TestOnce:
    def test_a_second_time_reads_nothing(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = write(tmp_path / "rows.jsonl", list(FORMS.values()))
        first = prepared(path)
        monkeypatch.setattr(rows_module, "read_rows", refuse_to_read)
        second = prepared(path)
        assert (contents(second), second.content) == (contents(first), first.content)
        assert len(left_behind()) == 1

    def test_progress_is_told_the_first_time(self, tmp_path: Path) -> None:
        write(tmp_path / "rows.jsonl", texts(5, LANGUAGES))
        source = find_source(DataSet(name="rows", files=[{"path": "rows.jsonl"}]), tmp_path, None)
        for advanced in (5 * len(LANGUAGES), 0):
            told = Told()
            prepare(source, told)
            assert told.done == advanced

    def test_changed_rows_are_read_again(self, tmp_path: Path) -> None:
        path = tmp_path / "rows.jsonl"
        before = prepared(write(path, texts(3, ("en",))))
        after = prepared(write(path, texts(4, ("en",))))
        assert (len(before.index), len(after.index)) == (3, 4)
        assert len(contents(before)) == 3

    @pytest.mark.slow
    def test_what_is_left_of_a_killed_process_is_not_used(self, tmp_path: Path) -> None:
        path = write(tmp_path / "rows.jsonl", list(FORMS.values()))
        # It stops for good when it has read half of the rows.
        program = (
            "import itertools, time; from unit.training.row_cases import *; from mlbench.training import rows\n"
            "read = rows.read_rows\n"
            "def half(source, progress):\n"
            "    yield from itertools.islice(read(source, progress), 2)\n"
            "    print('half', flush=True)\n"
            "    time.sleep(600)\n"
            "rows.read_rows = half\n"
            f"prepared(Path({str(path)!r}))"
        )
        with subprocess.Popen(
            [sys.executable, "-c", program], cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout
            assert process.stdout.readline() == "half\n"
            os.kill(process.pid, signal.SIGKILL)
        assert len(left_behind()) == 1
        assert contents(prepared(path)) == expected(list(FORMS.values()))

    def test_a_broken_folder_is_made_again(self, tmp_path: Path) -> None:
        path = write(tmp_path / "rows.jsonl", list(FORMS.values()))
        folder = prepared(path).folder
        (folder / "about.json").unlink()
        assert contents(prepared(path)) == expected(list(FORMS.values()))

    @pytest.mark.slow
    def test_several_processes_at_once(self, tmp_path: Path) -> None:
        path = write(tmp_path / "rows.jsonl", repetitive(2, 300, LANGUAGES))
        # Processes of their own, not forked ones: a thread of the tests could hold a lock while it is copied. All begin
        # at the same time, or there is no race.
        program = (
            "import sys; from unit.training.row_cases import *\n"
            "print('ready', flush=True)\n"
            "sys.stdin.readline()\n"
            f"rows = prepared(Path({str(path)!r}))\n"
            "print(rows.content)"
        )
        with ExitStack() as stack:
            processes = [
                stack.enter_context(
                    subprocess.Popen(
                        [sys.executable, "-c", program],
                        cwd=Path(__file__).parents[2],
                        stdin=subprocess.PIPE,
                        stdout=subprocess.PIPE,
                        text=True,
                    )
                )
                for _ in range(4)
            ]
            assert [process.stdout.readline() for process in processes if process.stdout] == ["ready\n"] * 4
            for process in processes:
                assert process.stdin
                process.stdin.write("go\n")
                process.stdin.flush()
            found = {process.communicate()[0].strip() for process in processes}
        assert found == {prepared(path).content}
        assert len(left_behind()) == 1

    def test_rows_in_use_are_not_taken_away(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = write(tmp_path / "rows.jsonl", list(FORMS.values()))
        source = find_source(DataSet(name="rows", files=[{"path": path.name}]), tmp_path, None)
        write_slowly, faster = rows_module._write, []

        def overtaken(source: object, folder: Path, progress: object) -> None:
            write_slowly(source, folder, progress)
            monkeypatch.setattr(rows_module, "_write", write_slowly)
            rows = prepare(source)
            faster.append((rows, (rows.folder / "about.json").stat().st_ino))

        monkeypatch.setattr(rows_module, "_write", overtaken)
        slower = prepare(source)
        rows, inode = faster[0]
        assert (slower.folder / "about.json").stat().st_ino == inode
        assert contents(rows) == contents(slower) == expected(list(FORMS.values()))
        assert len(left_behind()) == 1


class TestContent:
    ROWS = (*FORMS.values(), *texts(5, ("de", "en")))

    def content(self, folder: Path, rows: list[RawRow], name: str = "rows.jsonl") -> str:
        folder.mkdir(exist_ok=True)
        return prepared(write(folder / name, rows)).content

    def test_does_not_depend_on_the_file(self, tmp_path: Path) -> None:
        rows = list(self.ROWS)
        first = self.content(tmp_path / "a", rows)
        assert self.content(tmp_path / "b", rows, "other.jsonl.gz") == first
        halves = write(tmp_path / "1.jsonl", rows[:4]), write(tmp_path / "2.jsonl", rows[4:])
        assert prepared(*halves).content == first
        reordered = [dict(reversed(row.items())) for row in rows]
        assert self.content(tmp_path / "c", reordered) == first
        path = tmp_path / "spaced.jsonl"
        path.write_text("\n\n".join(json.dumps(row, indent=None, ensure_ascii=True) for row in rows))
        assert prepared(path).content == first

    def test_changes_with_all_that_rows_say(self, tmp_path: Path) -> None:
        pairs = FORMS["pairs"]
        changed = [
            {**pairs, "id": "other"},
            {**pairs, "queries": {"en": "who?", "de": "ใคร"}},
            {**pairs, "queries": {"en": "who", "th": "ใคร"}},
            {**pairs, "passages": {"en": "sie", "de": "she"}},
            {**pairs, "negatives": {"en": ["er", "es"], "de": ["he"]}},
            {**pairs, "negatives": {"de": ["es", "er"], "en": ["he"]}},
            {**pairs, "negatives": {"de": ["er"], "en": ["es", "he"]}},
            {**pairs, "negatives": {}},
            {"id": "b", "texts": pairs["queries"]},
            {"id": "b", "queries": pairs["queries"], "passages": pairs["queries"]},
        ]
        found = [self.content(tmp_path / str(i), [row]) for i, row in enumerate([pairs, *changed])]
        assert len(set(found)) == len(found)
        rows = list(self.ROWS)
        assert self.content(tmp_path / "forth", rows) != self.content(tmp_path / "back", rows[::-1])


class TestGroups:
    @given(seed=st.integers(0, 10_000), n=st.integers(1, 60))
    @settings(max_examples=40)
    def test_are_those_of_a_plain_union_find(self, tmp_path_factory: pytest.TempPathFactory, seed: int, n: int) -> None:
        rows = repetitive(seed, n, LANGUAGES)
        index = prepared(write(tmp_path_factory.mktemp("rows") / "rows.jsonl", rows)).index
        for numbers, part in ((index.query_group, queries_of), (index.document_group, documents_of)):
            families = Families(part(row).values() for row in rows)
            names = [families.of(next(iter(part(row).values()))) for row in rows]
            assert numbers.tolist() == in_order_of_first(names)
        topics = [row.get("id", f"#{number}") for number, row in enumerate(rows)]
        assert in_order_of_first(index.topic.tolist()) == in_order_of_first(topics)
        families = Families(documents_of(row).values() for row in rows)
        group_of = {
            families.of(text): group
            for row, group in zip(rows, index.document_group.tolist(), strict=True)
            for text in documents_of(row).values()
        }
        negatives = [text for row in rows for _, text in negatives_of(row)]
        assert index.negative_groups.tolist() == [group_of.get(families.of(text), ABSENT) for text in negatives]

    def test_a_chain_of_translations_is_one_group(self, tmp_path: Path) -> None:
        n = 3_000
        rows = [{"texts": {"en": f"text {i // 2}", "de": f"Text Nummer {(i + 1) // 2}"}} for i in range(n)]
        assert not prepared(write(tmp_path / "rows.jsonl", rows)).index.document_group.any()

    def test_rows_without_an_id_have_topics_of_their_own(self, tmp_path: Path) -> None:
        rows = [{"id": None, "texts": {"en": f"a {i}"}} for i in range(3)] + [
            {"texts": {"en": f"b {i}"}} for i in range(3)
        ]
        files = write(tmp_path / "1.jsonl", rows), write(tmp_path / "2.jsonl", [{"texts": {"en": "c"}}])
        assert len(set(prepared(*files).index.topic.tolist())) == 7

    @pytest.mark.data
    def test_documents_of_arcd(self, data_dir: Path) -> None:
        path = data_dir / "train" / "arcd-ar" / "arcd_ar.jsonl.gz"
        index = prepared(path).index
        assert (len(index), len(set(index.document_group.tolist()))) == (1_395, 460)
        assert in_order_of_first([normalise(row["passage"]) for row in read(path)]) == index.document_group.tolist()


def in_order_of_first(names: list[object]) -> list[int]:
    numbers: dict[object, int] = {}
    return [numbers.setdefault(name, len(numbers)) for name in names]


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("A  text\n", "a text", True),
        ("Straße", "STRASSE", True),
        ("ﬁne", "fine", True),
        ("é", "e\u0301", True),
        ("ａｂｃ", "abc", True),
        ("a text.", "a text", False),
        ("résumé", "resume", False),
    ],
)
def test_texts_are_the_same_up_to_case_width_and_blanks(first: str, second: str, same: bool) -> None:
    assert (normalise(first) == normalise(second)) == same
