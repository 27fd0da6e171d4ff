import gzip
import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlbench.tasks.load import load_collection
from mlbench.tasks.task import load_task
from mlbench.training.contamination import (
    MOST_EXAMPLES,
    Findings,
    Hit,
    Kind,
    Origin,
    Probe,
    SearchedTexts,
    TextLocation,
    Threshold,
    load_texts,
)
from mlbench.training.ngrams import fold, squeeze

WORDS = "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho sigma tau upsilon phi"


def evaluated(kind: Kind, *texts: str, language: str = "en", task: str = "own") -> list[tuple[Origin, str]]:
    return [(Origin(task, kind, language, f"{kind[0]}{i}"), text) for i, text in enumerate(texts)]


def training(*texts: str, dataset: str = "data") -> list[tuple[TextLocation, str]]:
    return [(TextLocation(dataset, row, "document", "en"), text) for row, text in enumerate(texts)]


def hits(texts: list[tuple[Origin, str]], *trained: str) -> list[tuple[str, int]]:
    return [(origin.id, place.row) for place, origin in Probe.of(texts).scan(training(*trained)).hits]


@pytest.mark.parametrize(
    ("text", "trained"),
    [
        pytest.param("Where is the ocean?", "where is the ocean", id="equal"),
        pytest.param("Where is the ocean?", "He asked: WHERE IS\nTHE OCEAN — and left.", id="contained"),
        pytest.param("Where is the ocean?", "whereis the oceanic", id="blanks"),
        pytest.param("سأل أين يقع البحر الأبيض؟", "ثم سَأَلَ: أيـــن يقع البحر الأبيض؟ ومضى.", id="ar"),
        pytest.param("ทะเลอันดามันอยู่ที่ไหน", "เขาถามว่า “ทะเล อันดามัน อยู่ที่ไหน” แล้วไป", id="th"),
        pytest.param("中国最长的河流是长江还是黄河呢？", "他问：中国最长的河流是长江，还是黄河呢？她笑了。", id="zh"),
        pytest.param("हिन्दी कहाँ बोली जाती है?", "उसने पूछा — हिन्दी कहाँ बोली जाती है। फिर गया।", id="hi"),
        pytest.param("Πού είναι οι θάλασσες;", "Ρώτησε: ΠΟΎ ΕΊΝΑΙ ΟΙ ΘΆΛΑΣΣΕΣ; Κι έφυγε.", id="el"),
        pytest.param("Где находится Россия?", "Он спросил, где нахо\u0301дится Росси\u0301я.", id="ru"),
        pytest.param("İstanbul ne zaman kuruldu?", "(i\u0307stanbul ne zaman KURULDU)", id="tr"),
        pytest.param(
            "Tiếng Việt nói ở đâu?", "Tie\u0302\u0301ng Vie\u0323\u0302t no\u0301i o\u031b\u0309 đa\u0302u", id="vi"
        ),
    ],
)
def test_a_copy_is_seen_in_any_script(text: str, trained: str) -> None:
    assert hits(evaluated("question", text), trained) == [("q0", 0)]


@pytest.mark.parametrize(
    ("text", "trained"),
    [
        pytest.param("Where is the Black Sea?", "Where is the Black", id="part of an evaluation text"),
        pytest.param(
            "Who was the first king of Norway before that war?",
            "Who was the first king of France before that war?",
            id="same beginning, end and length",
        ),
        pytest.param("ปีนี้ทะเลอยู่ที่ไหน", "ปูนี้ทะเลอยู่ที่ไหน", id="another vowel in Thai"),
        pytest.param("वह कल बाज़ार में मिल गया", "वह कल बाज़ार में मील गया", id="another vowel in Hindi"),
        pytest.param("…—!?…—!?…—!?…—!?", "…—!?…—!?…—!?…—!?", id="nothing but signs"),
    ],
)
def test_another_text_is_no_hit(text: str, trained: str) -> None:
    assert hits(evaluated("sentence", text), trained) == []


def test_a_text_across_two_training_texts_is_no_hit() -> None:
    probe = Probe.of(evaluated("sentence", "Where is the ocean?") + evaluated("paragraph", WORDS))
    assert probe.scan(training("Where is", "the ocean?", WORDS[:60], WORDS[60:])).hits == ()


def test_every_language_is_looked_for_in_every_text() -> None:
    texts = evaluated("question", "Where is the ocean?", language="de") + evaluated(
        "sentence", "中" * 15, language="zh"
    )
    findings = Probe.of(texts).scan([(TextLocation("data", 7, "query", "ar"), "where is the ocean 中" + "中" * 20)])
    assert {hit.origin.language for hit in findings.hits} == {"de", "zh"}
    assert {hit.place for hit in findings.hits} == {TextLocation("data", 7, "query", "ar")}


@pytest.mark.parametrize(("length", "found"), [(14, False), (15, True)])
def test_short_strings_are_counted_only(length: int, found: bool) -> None:
    text = "a b-c!" * 5
    text = text[: next(i for i in range(len(text)) if len(squeeze(fold(text[:i]))) == length)]
    findings = Probe.of(evaluated("question", text, "?")).scan(training(text, f"{text} and more", "none", "!"))
    assert len(findings.hits) == (2 if found else 0)
    assert findings.short_equal == (0 if found else 1)
    assert findings.evaluated == {("own", "question"): SearchedTexts(1, 1) if found else SearchedTexts(0, 2)}


@pytest.mark.parametrize(
    ("paragraph", "share", "found"),
    [
        # n words have n - 12 shingles.
        pytest.param(WORDS.split(), 17, True, id="5 of 9"),
        pytest.param(WORDS.split(), 16, False, id="4 of 9"),
        pytest.param(WORDS.split()[:20], 16, True, id="4 of 8"),
        pytest.param(WORDS.split()[:20], 15, False, id="3 of 8"),
        pytest.param(WORDS.split()[:13], 13, True, id="1 of 1"),
        pytest.param(WORDS.split()[:12], 12, False, id="no shingle"),
    ],
)
def test_half_of_the_shingles_of_words(paragraph: list[str], share: int, found: bool) -> None:
    trained = f"before {', '.join(paragraph[:share])}; after"
    assert hits(evaluated("paragraph", " ".join(paragraph)), trained) == ([("p0", 0)] if found else [])


@pytest.mark.parametrize("first", ["ก", "一"])
@pytest.mark.parametrize(
    ("length", "share", "found"), [(32, 28, True), (32, 27, False), (25, 25, True), (24, 24, False)]
)
def test_half_of_the_shingles_of_characters(first: str, length: int, share: int, found: bool) -> None:
    text = "".join(chr(ord(first) + i) for i in range(length))
    trained = f"The word {text[:10]} {text[10:share]}, and more of it"
    assert hits(evaluated("paragraph", text), trained) == ([("p0", 0)] if found else [])


def test_half_of_a_paragraph_in_two_texts_is_no_hit() -> None:
    words = WORDS.split()
    assert hits(evaluated("paragraph", WORDS), " ".join(words[:16]), " ".join(words[-16:])) == []


def test_repeated_shingles_count_once() -> None:
    words = WORDS.split()[:13]
    twice = evaluated("paragraph", " ".join(words * 2))
    assert hits(twice, " x ".join([" ".join(words)] * 7)) == []
    assert hits(twice, " ".join(words * 2)) == [("p0", 0)]


SOME = st.text("abé กี中 .", max_size=30)
KINDS = st.sampled_from(["question", "sentence"])


@pytest.mark.slow
@given(st.lists(st.tuples(KINDS, SOME), max_size=6), st.lists(SOME, max_size=6), st.integers(1, 200), st.randoms())
def test_hits_are_those_of_in_for_any_order_and_blocks(
    texts: list[tuple[Kind, str]], trained: list[str], block: int, chance: random.Random
) -> None:
    threshold = Threshold(characters=3)
    origins = [(Origin("own", kind, "en", str(i)), text) for i, (kind, text) in enumerate(texts)]
    trained += [f"{text} {other}" for (_, text), other in zip(texts, trained, strict=False)]
    places = training(*trained)
    naive = sorted(
        Hit(place, origin)
        for place, text in places
        for origin, wanted in origins
        if len(squeeze(fold(wanted))) >= 3 and squeeze(fold(wanted)) in squeeze(fold(text))
    )
    whole = Probe.of(origins, threshold=threshold).scan(places)
    assert list(whole.hits) == naive
    chance.shuffle(places)
    chance.shuffle(origins)
    assert Probe.of(origins, threshold=threshold).scan(iter(places), block=block) == whole


def test_paragraphs_are_found_in_blocks_of_any_size() -> None:
    probe = Probe.of(evaluated("paragraph", WORDS, "".join(chr(0x4E00 + i) for i in range(40))))
    trained = training("none", WORDS, "x", "".join(chr(0x4E00 + i) for i in range(3, 40)), f"{WORDS} again", "")
    whole = probe.scan(trained)
    assert [(hit.origin.id, hit.place.row) for hit in whole.hits] == [("p0", 1), ("p1", 3), ("p0", 4)]
    assert all(probe.scan(trained, block=block) == whole for block in (1, 50, 130))


def small_findings() -> Findings:
    probe = Probe.of(
        evaluated("question", "Where is the ocean?", "Why?")
        + evaluated("sentence", "Here lies the ocean.", language="de")
    )
    return probe.scan(
        [
            (TextLocation("qa", 0, "query", "en"), "Where is the ocean?"),
            (TextLocation("qa", 0, "document", "en"), "nothing"),
            (TextLocation("qa", 1, "query", "en"), "why"),
            (TextLocation("pairs", 5, "text", "de"), "Where is the ocean? Here lies the ocean."),
            (TextLocation("pairs", 6, "text", "de"), "where is the ocean, where is the ocean"),
            (TextLocation("pairs", 5, "text", "en"), "nothing"),
        ]
    )


def test_findings_say_which_rows_and_how_many() -> None:
    findings = small_findings()
    assert findings.rows() == {"pairs": {5, 6}, "qa": {0}}
    assert findings.counts() == {
        ("pairs", "de", "text"): {("own", "question"): 2, ("own", "sentence"): 1},
        ("qa", "en", "query"): {("own", "question"): 1},
    }
    assert findings.describe() == (
        "training text contains text of own: rows of pairs 2, qa 1",
        "pairs, de, text: own question in 2, own sentence in 1 of 2 texts",
        "qa, en, query: own question in 1 of 2 texts",
    )


def test_the_summary_for_a_manifest() -> None:
    summary = json.loads(json.dumps(small_findings().as_json()))
    assert summary["threshold"] == {"characters": 15, "share": 0.5, "words": 13, "stretch": 25}
    assert summary["evaluation"] == [
        {"task": "own", "kind": "question", "texts": 1, "short": 1},
        {"task": "own", "kind": "sentence", "texts": 1, "short": 0},
    ]
    assert (summary["texts"], summary["short_equal"], summary["rows"]) == (6, 1, {"pairs": 2, "qa": 1})
    assert summary["counts"][-1] == (
        {"dataset": "qa", "language": "en", "role": "query", "task": "own", "kind": "question", "texts": 1}
    )
    assert summary["examples"][-1] == {
        "task": "own",
        "kind": "question",
        "language": "en",
        "id": "q0",
        "place": {"dataset": "qa", "row": 0, "role": "query", "language": "en"},
    }


def test_the_summary_is_bounded() -> None:
    findings = Probe.of(evaluated("question", "Where is the ocean?")).scan(training(*["Where is the ocean?"] * 500))
    summary = findings.as_json()
    assert summary["hits"] == 500
    assert len(json.dumps(summary)) < 5000
    assert summary["examples"] == findings.as_json()["examples"]
    assert len(str(summary["examples"]).split("'place'")) == MOST_EXAMPLES + 1


def test_nothing_to_look_for_and_nothing_to_look_in() -> None:
    assert Probe.of([]).scan(training("Where is the ocean?")).describe() == (
        "none of 1 training texts contains text of no task",
    )
    empty = Probe.of(evaluated("question", "Where is the ocean?")).scan([])
    assert (empty.hits, empty.rows(), empty.counts()) == ((), {}, {})
    assert empty.describe() == ("none of 0 training texts contains text of own",)


@pytest.mark.parametrize("threshold", [{"characters": 0}, {"words": 0}, {"stretch": 0}, {"share": 0.0}, {"share": 1.1}])
def test_a_threshold_that_hits_everything_or_nothing_is_refused(threshold: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="1 or more"):
        Threshold(**threshold)  # type: ignore[arg-type]


def test_documents_without_context_are_their_own_paragraphs() -> None:
    texts = load_texts(load_task("mini"))
    sentences = {origin.id: text for origin, text in texts if origin.kind == "sentence"}
    paragraphs = {origin.id: text for origin, text in texts if origin.kind == "paragraph"}
    assert sentences == paragraphs
    assert {origin.task for origin, _ in texts} == {"mini"}


def test_a_task_finds_itself() -> None:
    texts = load_texts(load_task("mini"))
    probe = Probe.of(texts)
    trained = [(TextLocation(origin.kind, i, "text", origin.language), text) for i, (origin, text) in enumerate(texts)]
    findings = probe.scan(trained)
    own = {hit for hit in findings.hits if texts[hit.place.row][0] == hit.origin}
    assert len(own) == sum(looked.texts for looked in probe.evaluated.values()) > 0


def test_sentences_of_one_context_are_a_paragraph(tmp_path: Path) -> None:
    context = "First one.\nSecond  one. Third."
    breaks = [[0, 10], [11, 22], [23, 29]]
    questions = [{"id": "t", "question": "Which?", "answers": [{"text": "First", "answer_start": 0}]}]
    paragraph = {"context": context, "sentence_breaks": breaks, "qas": questions}
    other = {"context": "Other.", "sentence_breaks": [[0, 6]], "qas": []}
    (tmp_path / "en.json").write_text(json.dumps({"data": [{"paragraphs": [paragraph, other]}]}))
    (tmp_path / "own.toml").write_text(
        'name = "own"\nreader = "squad_sentences"\nlanguages = ["en"]\nsettings = ["monolingual"]\n'
        '[[files]]\npath = "en.json"\nlanguage = "en"\n'
    )
    texts = load_texts(load_task(str(tmp_path / "own.toml")))
    assert [(origin.kind, text) for origin, text in texts] == [
        ("question", "Which?"),
        ("sentence", "First one."),
        ("sentence", "Second  one"),
        ("sentence", " Third"),
        ("sentence", "Other."),
        ("paragraph", "First one. Second  one  Third"),
        ("paragraph", "Other."),
    ]


def rows_of(folder: Path) -> Iterator[tuple[TextLocation, str]]:
    for path in sorted((folder / "train").glob("*/*.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            for number, line in enumerate(lines):
                row = json.loads(line)
                own = {row["lang"]: row["query"]} if "query" in row else row.get("queries", {})
                passages = {row["lang"]: row["passage"]} if "passage" in row else row.get("passages", {})
                for role, texts in (("query", own), ("document", passages), ("text", row.get("texts", {}))):
                    yield from (
                        (TextLocation(path.parent.name, number, role, tag), text) for tag, text in texts.items()
                    )


@pytest.mark.data
def test_hits_of_the_real_training_data(data_dir: Path) -> None:
    texts = [pair for name in ("xquad-r", "mlqa-r") for pair in load_texts(load_task(name), data_dir=data_dir)]
    findings = Probe.of(texts).scan(rows_of(data_dir))
    # FACTS of the data: nothing of XQuAD-R, about a dozen sentences of MLQA-R in tydiqa; the others are phrases.
    assert {hit.origin.task for hit in findings.hits} == {"mlqa-r"}
    assert findings.rows() == {
        "flores-sib200-11way": {98},
        "iapp-wiki-qa-th": {6091, 6092, 6093},
        "tydiqa-goldp-mono": {486, 1863, 1878, 2408, 2738, 2879, 3276, 3923, 4394, 4465},
    }
    assert findings.counts() == {
        ("flores-sib200-11way", "vi", "text"): {("mlqa-r", "sentence"): 1},
        ("iapp-wiki-qa-th", "th", "document"): {("mlqa-r", "sentence"): 3},
        ("tydiqa-goldp-mono", "ar", "document"): {("mlqa-r", "paragraph"): 1, ("mlqa-r", "sentence"): 2},
        ("tydiqa-goldp-mono", "en", "document"): {("mlqa-r", "paragraph"): 2, ("mlqa-r", "sentence"): 8},
    }
    assert sum(findings.scanned.values()) == 278_838


@pytest.mark.data
def test_real_evaluation_texts_are_found_in_their_paragraphs(data_dir: Path) -> None:
    task = load_task("xquad-r-context")
    texts = [(origin, text) for origin, text in load_texts(task, data_dir=data_dir) if origin.kind != "question"]
    assert sum(origin.kind == "paragraph" for origin, _ in texts) == 240 * len(task.languages)
    contexts = load_collection(task, data_dir=data_dir)
    places = [(TextLocation("own", i, "document", "th"), row.text) for i, row in enumerate(contexts.documents["th"])]
    findings = Probe.of(texts).scan(places)
    found = {(hit.origin.kind, hit.origin.id) for hit in findings.hits if hit.origin.language == "th"}
    long = {
        (origin.kind, origin.id)
        for origin, text in texts
        if origin.language == "th" and len(squeeze(fold(text))) >= (15 if origin.kind == "sentence" else 25)
    }
    assert found == long
