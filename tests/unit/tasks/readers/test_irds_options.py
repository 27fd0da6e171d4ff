import pytest

from mlbench.errors import DataError
from mlbench.protocols import Parameter
from mlbench.tasks.readers.ir_datasets import SourceCollection, parts_of
from mlbench.tasks.task import load_task

LANGUAGES = ("ar", "en", "th")

SHIPPED = {"clirmatrix": 56, "hc4": 6, "mmarco": 14, "mr-tydi": 11, "neuclir-2022": 6, "neuclir-2023": 4}
"""Tasks that are read through ir_datasets, and how many collections they have."""


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ({}, []),
        ({"th": "x/th"}, [SourceCollection("th", "th", "x/th")]),
        ({"en/th": "x/th#title"}, [SourceCollection("en", "th", "x/th", "title")]),
        ({"en/": "x"}, [SourceCollection("en", "", "x")]),
        ({"{language}": "x/{language}"}, [SourceCollection(tag, tag, f"x/{tag}") for tag in LANGUAGES]),
        ({"{language}/": "x/{language}"}, [SourceCollection(tag, "", f"x/{tag}") for tag in LANGUAGES]),
        (
            {"en/{document}": "x/{document}"},
            [SourceCollection("en", "ar", "x/ar"), SourceCollection("en", "th", "x/th")],
        ),
        (
            {"{query}/{document}": "{document}-{query}"},
            [SourceCollection(a, b, f"{b}-{a}") for a in LANGUAGES for b in LANGUAGES if a != b],
        ),
        # What is said of one language wins, wherever it stands.
        (
            {"en": "y", "{language}": "x/{language}", "th": "z"},
            [
                SourceCollection("ar", "ar", "x/ar"),
                SourceCollection("en", "en", "y"),
                SourceCollection("th", "th", "z"),
            ],
        ),
    ],
)
def test_parts(options: dict[str, Parameter], parts: list[SourceCollection]) -> None:
    assert list(parts_of(options, LANGUAGES)) == parts


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"de": "x"}, "options.de: unknown language 'de': did you mean en?"),
        ({"en/ht": "x"}, "options.en/ht: unknown language 'ht': did you mean th?"),
        ({"": "x"}, "options.: unknown language ''"),
        ({"en": 3}, "options.en: must be an id of ir_datasets, such as 'mr-tydi/th/test', not 3"),
        ({"en": " "}, "options.en: must be an id of ir_datasets"),
        ({"en": "x/{language}"}, "options.en: a key and its id have the same blanks"),
        ({"{lang}": "x/{lang}"}, "options.{lang}: a key and its id have the same blanks"),
    ],
)
def test_faults(options: dict[str, Parameter], message: str) -> None:
    with pytest.raises(DataError) as caught:
        parts_of(options, LANGUAGES)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(("name", "count"), SHIPPED.items())
def test_shipped_tasks_name_what_ir_datasets_has(name: str, count: int) -> None:
    ir_datasets = pytest.importorskip("ir_datasets")
    task = load_task(name)
    parts = parts_of(task.options, task.languages)
    assert len(parts) == count
    assert {tag for part in parts for tag in part[:2] if tag} == set(task.languages)
    patterns = [pattern for pattern, _ in ir_datasets.registry._patterns]
    for part in parts:
        # What a pattern makes would be downloaded on the way.
        assert part.dataset_id in set(ir_datasets.registry) or any(
            pattern.match(part.dataset_id) for pattern in patterns
        ), part


@pytest.mark.parametrize("name", [name for name in SHIPPED if name != "clirmatrix"])
def test_shipped_tasks_state_the_languages_of_their_collections(name: str) -> None:
    ir_datasets = pytest.importorskip("ir_datasets")
    task = load_task(name)
    for part in parts_of(task.options, task.languages):
        dataset = ir_datasets.load(part.dataset_id)
        if part.document_language:
            assert dataset.docs_lang() == {"nl": "dt"}.get(part.document_language, part.document_language)
        assert dataset.queries_lang() in (dataset.docs_lang(), None)
        assert all(map(dataset.has, ("docs", "queries", "qrels")))
        if part.query_field:
            assert part.query_field in dataset.queries_cls()._fields
