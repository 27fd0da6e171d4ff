"""Batches as texts, against the rows of the file."""

import json
import re
from pathlib import Path

import pytest
from encoders import LANGUAGES, read_data, recipe_of, write_rows

pytest.importorskip("datasets")

WORD = re.compile(r"([a-z]{2})([0-9]+)")


def parse(text: str) -> tuple[str, list[int]]:
    """Return the language of a made-up text and its concepts."""
    found = WORD.findall(text)
    (language,) = {tag for tag, _ in found}
    return language, [int(concept) for _, concept in found]


def topics(path: Path, key: str) -> list[list[int]]:
    return [parse(json.loads(line)[key]["en"])[1] for line in path.read_text().splitlines()]


def holds(whole: list[int], part: list[int]) -> bool:
    return any(whole[i : i + len(part)] == part for i in range(len(whole)))


def test_parallel_texts_are_seen_through_two_views(tmp_path: Path) -> None:
    write_rows(tmp_path / "rows.jsonl", 60)
    whole = topics(tmp_path / "rows.jsonl", "texts")
    recipe = recipe_of(tmp_path, tmp_path / "rows.jsonl", views={"overlap": 0.0})
    examples = read_data(recipe).examples(recipe)
    assert not examples.has_negatives
    for number in range(20):
        batch = examples.sampler.batch(number)
        for slot, example in enumerate(examples.batch(number)):
            query_language, query = parse(example.query)
            document_language, document = parse(example.document)
            assert query_language == LANGUAGES[batch.query_languages[slot]]
            assert document_language == LANGUAGES[batch.document_languages[slot]]
            topic = whole[batch.rows[slot]]
            assert holds(topic, query)
            assert holds(topic, document)
            assert sorted(query + document) == sorted(topic)
            assert example.negative is None


def test_hard_negatives_are_whole_and_in_the_language_of_the_document(tmp_path: Path) -> None:
    write_rows(tmp_path / "rows.jsonl", 60, negatives=True)
    lines = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    recipe = recipe_of(tmp_path, tmp_path / "rows.jsonl")
    examples = read_data(recipe).examples(recipe)
    assert examples.has_negatives
    with_negative = 0
    for number in range(20):
        batch = examples.sampler.batch(number)
        for slot, example in enumerate(examples.batch(number)):
            line, language = lines[batch.rows[slot]], LANGUAGES[batch.document_languages[slot]]
            assert example.query == line["queries"][LANGUAGES[batch.query_languages[slot]]]
            assert example.document == line["passages"][language]
            assert example.negative == (line["negatives"][language][0] if "negatives" in line else None)
            with_negative += example.negative is not None
    assert 0 < with_negative < 20 * 8


def test_random_negatives_of_parallel_text_are_views_of_other_rows(tmp_path: Path) -> None:
    write_rows(tmp_path / "rows.jsonl", 60)
    whole = topics(tmp_path / "rows.jsonl", "texts")
    recipe = recipe_of(tmp_path, tmp_path / "rows.jsonl", loss={"negatives": "hard_only"}, views={"overlap": 0.0})
    for example in read_data(recipe).examples(recipe).batch(0):
        assert example.negative is not None
        language, negative = parse(example.negative)
        document_language, document = parse(example.document)
        assert language == document_language
        assert len(negative) == len(document) < 8
        assert any(holds(topic, negative) for topic in whole)
        assert negative != document
