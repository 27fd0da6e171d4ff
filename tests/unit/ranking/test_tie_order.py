import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mlbench.ranking.count_ahead import best_columns, by_id

IDS = st.lists(st.text("ab1-", min_size=1, max_size=4), unique=True, max_size=12)


@given(ids=IDS, data=st.data(), depth=st.integers(1, 14))
def test_lists_stand_by_score_then_id_both_descending(ids: list[str], data: st.DataObject, depth: int) -> None:
    scores = data.draw(st.lists(st.sampled_from([0.0, 1.0, 2.5, -1.0]), min_size=len(ids), max_size=len(ids)))
    order = by_id(ids)
    best = best_columns(np.array([[scores[index] for index in order]]).reshape(1, -1), depth)
    expected = sorted(zip(scores, ids, strict=True), reverse=True)[:depth]
    assert [ids[order[column]] for column in best[0]] == [doc_id for _, doc_id in expected]
