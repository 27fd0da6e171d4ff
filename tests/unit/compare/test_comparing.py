"""What indexes cost: every number against the results it comes from."""

import json
from dataclasses import replace

import pytest
from unit.compare.measured import INDEXES, LANGUAGES, costs, results

from mlbench.collection.languages import TEXT_KINDS
from mlbench.compare.index_costs import IndexCosts, IndexReport, compare_indexes
from mlbench.compare.pairing import ResultWithRanks
from mlbench.errors import UserError
from mlbench.io.document import to_json

pytest.importorskip("faiss")


def report(name: str) -> IndexReport:
    return next(each for each in costs().indexes if each.name.startswith(name))


def test_indexes_stand_by_kind_and_speed() -> None:
    found = costs()
    assert sorted(each.name for each in found.indexes) == sorted(
        ["flat", "hnsw:depth=100,ef_search=200", "hnsw:m=4,ef_search=10", "ivfpq:nprobe=1"]
    )
    assert [each.kind for each in found.indexes] == ["flat", "hnsw", "hnsw", "ivfpq"]
    speeds = [each.speed.queries_per_second for each in found.indexes]
    assert speeds[1] <= speeds[2]
    assert IndexCosts.model_validate(json.loads(to_json(found))) == found
    assert len(found.indexes) == len(INDEXES)


def test_values_are_those_of_the_results() -> None:
    exact, indexed = results()
    by_file = {each.path.name: each.result for each in indexed}
    for each in costs().indexes:
        result = by_file[each.file]
        for kind in TEXT_KINDS:
            for language in (None, *LANGUAGES):
                one, other = (r.aggregate(kind, query_language=language) for r in (exact.result, result))
                assert one
                assert other
                for measure in result.task.measures:
                    line = each.line(measure, kind, language)
                    assert line
                    assert (line.exact, line.value) == pytest.approx((one.measures[measure], other.measures[measure]))
                    assert line.change.difference == pytest.approx(line.value - line.exact)  # type: ignore[operator]
                    assert line.own.difference == pytest.approx(line.value - line.cut)  # type: ignore[operator]
        preference = each.line("own_language_preference")
        # A retriever that loses documents seems to prefer none of them.
        assert (preference is None) == (each.unretrieved["multilingual"] > 0.1)
        if preference is None:
            continue
        assert result.bias
        assert preference.value == pytest.approx(result.bias.score("own_language_preference").value)  # type: ignore[union-attr]


def test_a_cut_is_no_doing_of_the_index() -> None:
    # 144 documents in all, and 100 in a list.
    wide = report("hnsw:depth=100")
    line = wide.line("AP", "multilingual")
    assert line
    assert line.change.difference
    assert line.own.difference == pytest.approx(0, abs=1e-12)
    assert (line.own.interval.low, line.own.interval.high) == pytest.approx((0, 0), abs=1e-12)  # type: ignore[union-attr]
    assert wide.line("rank_distance") is None
    assert wide.unretrieved["multilingual"] > 0 == wide.unretrieved["monolingual"]


def test_brute_force_changes_nothing_but_ties() -> None:
    flat = report("flat")
    assert flat.speed.against_flat == 1
    assert (flat.overlap(10), flat.overlap(20)) == pytest.approx((1, 1), abs=0.02)
    for line in flat.lines:
        if line.kind:
            assert line.change.difference == pytest.approx(0, abs=0.01)


def test_speed_is_that_of_the_largest_pool() -> None:
    flat = {cost.document_languages: cost for cost in report("flat").pools}
    for each in costs().indexes:
        [pool] = [cost for cost in each.pools if cost.document_languages == LANGUAGES]
        assert each.speed.document_languages == (LANGUAGES,)
        assert each.speed.queries_per_second == pytest.approx(pool.n_queries / pool.search_seconds)
        brute = flat[LANGUAGES].n_queries / flat[LANGUAGES].search_seconds
        assert each.speed.against_flat == pytest.approx(each.speed.queries_per_second / brute)
    alone = compare_indexes(*_some(2))
    assert alone.indexes[0].speed.against_flat is None


def _some(number: int) -> tuple[ResultWithRanks, tuple[ResultWithRanks, ...]]:
    exact, indexed = results()
    return exact, (indexed[number],)


def test_a_pool_without_its_index_is_told() -> None:
    exact, (one,) = _some(0)
    costs = tuple(cost for cost in one.result.cost.indexes if len(cost.document_languages) == 1)
    single = one.result.model_copy(update={"cost": one.result.cost.model_copy(update={"indexes": costs})})
    with pytest.raises(UserError, match=r"1\.json says nothing of the index for de\+en\+th"):
        compare_indexes(exact, (replace(one, result=single),))


@pytest.mark.slow
def test_what_does_not_belong_together_is_told() -> None:
    exact, indexed = results()
    with pytest.raises(UserError, match=r"1\.json is of a ranker: give the result of the run without --index first"):
        compare_indexes(indexed[0], indexed[1:])
    with pytest.raises(UserError, match=r"0\.json is no result of an index: make one with mlbench run --index KIND"):
        compare_indexes(exact, (exact,))
    other, _ = results(128)
    with pytest.raises(UserError, match=r"1\.json is of an index over another encoder than 0\.json, hashing"):
        compare_indexes(other, indexed)
    fewer, _ = results(64, ("de", "en"))
    with pytest.raises(UserError, match="their languages are de, en and de, en, th"):
        compare_indexes(fewer, indexed[:1])
