"""The data and the protocol that a board accepts for a task."""

from collections.abc import Callable
from dataclasses import fields, replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.compare.cases import skilled
from unit.leaderboard.boards import honest
from unit.statistics.cases import ListRanker, make_collection, random_orders, ranks_of

from mlbench.collection.languages import settings_of
from mlbench.collection.records import Collection
from mlbench.errors import UserError
from mlbench.leaderboard import protocol
from mlbench.leaderboard.protocol import (
    AcceptedTask,
    accept,
    data_fault,
    describe,
    protocol_fault,
    shape_fault,
)
from mlbench.protocols import Silence
from mlbench.ranking.index_arrays import index_collection, to_ranks
from mlbench.ranking.rank_documents import rank_lists
from mlbench.ranking.ranks import MISSING, Ranks
from mlbench.results import Result

RANKS = skilled()
RESULT = honest(RANKS)
ACCEPTED = accept(RESULT, RANKS)


def told(change: Callable[[dict[str, Any]], object]) -> Result:
    plain = RESULT.model_dump(mode="json")
    change(plain)
    return Result.model_validate(plain)


def test_another_system_on_the_same_data_is_accepted() -> None:
    ranks = skilled(seed=7, skill=3)
    result = honest(ranks, spec="other")
    assert protocol_fault(ACCEPTED, result) == ""
    assert shape_fault(ACCEPTED, ranks) == ""
    assert data_fault(ACCEPTED, describe(ranks, result.settings)) == ""


def test_it_is_read_as_it_was_written() -> None:
    assert AcceptedTask.model_validate_json(ACCEPTED.model_dump_json(), strict=True) == ACCEPTED


def test_many_settings_of_the_same_sizes_are_said_once_for_each_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = {"n_queries": 5, "n_documents": 7}
    alike = ACCEPTED.model_copy(update={"settings": tuple(each.model_copy(update=sizes) for each in ACCEPTED.settings)})
    assert isinstance(alike.model_dump(mode="json")["settings"], list)
    monkeypatch.setattr(protocol, "_MOST_LISTED", len(ACCEPTED.settings) - 1)
    assert alike.model_dump(mode="json")["settings"] == {each.kind: sizes for each in ACCEPTED.settings}
    assert AcceptedTask.model_validate_json(alike.model_dump_json(), strict=True) == alike
    # What does not follow from languages and kinds is listed.
    for settings in (alike.settings[:-1], alike.settings[::-1], (ACCEPTED.settings[0], *alike.settings[1:])):
        other = alike.model_copy(update={"settings": settings})
        assert isinstance(other.model_dump(mode="json")["settings"], list)
        assert AcceptedTask.model_validate_json(other.model_dump_json(), strict=True) == other


def test_it_holds_no_text_of_the_data() -> None:
    text = ACCEPTED.model_dump_json()
    assert not any(str(topic) in text for topic in RANKS.topic_ids)
    assert not any(str(document) in text for document in RANKS.document_ids)


@pytest.mark.parametrize("part", [{"partial": True}, {"limit": 5}])
def test_a_part_of_a_task_is_not(part: dict[str, object]) -> None:
    result = honest(RANKS, **part)
    with pytest.raises(UserError, match="of a part of small"):
        accept(result, RANKS)
    assert "of a part" in protocol_fault(ACCEPTED, result)


OTHER_PROTOCOLS: dict[str, Callable[[dict[str, Any]], object]] = {
    "task.version": lambda plain: plain["task"].update(version="2"),
    "task.fingerprint": lambda plain: plain["task"].update(fingerprint="0" * 64),
    "task.fingerprints": lambda plain: plain["task"]["fingerprints"].update(ar="0" * 64),
    "task.document_text": lambda plain: plain["task"].update(document_text="sentence_in_context"),
    "task.measures": lambda plain: plain["task"]["measures"].pop(),
    "task.bias_scores": lambda plain: plain["task"]["bias_scores"].reverse(),
    "task.parallel": lambda plain: plain["task"].update(parallel=False),
    "statistics.resamples": lambda plain: plain["statistics"].update(resamples=10),
    "statistics.seed": lambda plain: plain["statistics"].update(seed=1),
    "statistics.confidence": lambda plain: plain["statistics"].update(confidence=0.9),
    "statistics.clustered_by": lambda plain: plain["statistics"].update(clustered_by="topic"),
    "settings, accepted are": lambda plain: plain["settings"].pop(),
    "settings[0]": lambda plain: plain["settings"].reverse(),
    "settings[2]": lambda plain: plain["settings"][2].update(n_queries=1),
    "settings[3]": lambda plain: plain["settings"][3].update(kind="multilingual"),
}


@pytest.mark.parametrize(("said", "change"), OTHER_PROTOCOLS.items(), ids=OTHER_PROTOCOLS)
def test_another_protocol_is_named(said: str, change: Callable[[dict[str, Any]], object]) -> None:
    assert said in protocol_fault(ACCEPTED, told(change))


def changed(name: str, index: int, value: object) -> Ranks:
    array = getattr(RANKS, name).copy()
    assert (array[index] != value).any() if array.ndim > 1 else array[index] != value
    array[index] = value
    return replace(RANKS, **{name: array})


OTHER_DATA = {
    "topics": changed("topic_ids", 0, "t99"),
    "clusters": changed("topic_clusters", 0, 5),
    "queries": changed("query_languages", 0, 1),
    "relevant documents": changed("row_grades", 0, 2),
    "missing documents": changed("ahead", 0, MISSING),
}


@pytest.mark.parametrize(("aspect", "ranks"), OTHER_DATA.items(), ids=OTHER_DATA)
def test_other_data_are_named(aspect: str, ranks: Ranks) -> None:
    assert (
        data_fault(ACCEPTED, describe(ranks, RESULT.settings))
        == f"its ranks are of other {aspect} than the accepted ones"
    )


def test_other_numbers_of_documents_are_named() -> None:
    result = told(lambda plain: plain["settings"][0].update(n_documents=1))
    assert "numbers of documents" in data_fault(ACCEPTED, describe(RANKS, result.settings))


@pytest.mark.parametrize(
    ("ranks", "said"),
    [
        (replace(RANKS, topic_ids=RANKS.topic_ids[:-1]), "topic_ids has 11 entries, accepted are 12"),
        (replace(RANKS, query_topics=RANKS.query_topics[:-1]), "query_topics"),
        (replace(RANKS, row_queries=np.tile(RANKS.row_queries, 1000)), "row_queries"),
        (replace(RANKS, top=RANKS.top[:, :5]), "top is 5 documents deep"),
        (replace(RANKS, document_ids=np.tile(RANKS.document_ids, 9)), "document_ids names"),
    ],
    ids=["topics", "queries", "rows", "top", "documents"],
)
def test_arrays_of_another_length_are_named(ranks: Ranks, said: str) -> None:
    assert said in shape_fault(ACCEPTED, ranks)


def of_ranker(collection: Collection, seed: int) -> Ranks:
    arrays, ranker = index_collection(collection), ListRanker(collection, random_orders(collection, seed))
    return to_ranks(arrays, rank_lists(arrays, ranker, settings_of(collection.languages), 20, Silence()))


@cache
def accepted_of_size(seed: int, several: bool, size: int) -> tuple[Collection, AcceptedTask]:
    collection = make_collection(seed, several=several, documents=size, topics=size)
    ranks = ranks_of(collection, random_orders(collection, 0))
    return collection, accept(honest(ranks, collection), ranks)


@pytest.mark.slow
@given(seed=st.integers(0, 2**16), several=st.booleans(), by_lists=st.booleans(), size=st.sampled_from([2, 10, 40]))
def test_honest_ranks_fit_into_the_largest(seed: int, several: bool, by_lists: bool, size: int) -> None:
    collection, accepted = accepted_of_size(seed % 5, several, size)
    ranks = of_ranker(collection, seed) if by_lists else ranks_of(collection, random_orders(collection, seed))
    arrays = [array for field in fields(ranks) if (array := getattr(ranks, field.name)) is not None]
    assert sum(array.nbytes + 256 for array in arrays) <= accepted.largest
    assert shape_fault(accepted, ranks) == ""
