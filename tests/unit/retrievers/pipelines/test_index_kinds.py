"""How indexes are named: kinds, keys, what is refused, and what becomes of keys in a pool."""

import pytest

from mlbench.errors import RetrieverError, UnknownName, UserError
from mlbench.retrievers.pipelines.declaration import (
    HNSW,
    IVFPQ,
    KINDS,
    Factory,
    Flat,
    Index,
    index_name,
    parse_index,
)


@pytest.mark.parametrize(
    ("text", "index", "name"),
    [
        ("flat", Flat(), "flat"),
        (" hnsw: ", HNSW(), "hnsw"),
        ("hnsw:ef_search=16,m=8", HNSW(ef_search=16, m=8), "hnsw:m=8,ef_search=16"),
        ("hnsw: m = 8 , ef_search = 16 ", HNSW(ef_search=16, m=8), "hnsw:m=8,ef_search=16"),
        ("ivfpq:nprobe=3,nlist=7,depth=5", IVFPQ(nprobe=3, nlist=7, depth=5), "ivfpq:depth=5,nlist=7,nprobe=3"),
        ("factory:IVF256,PQ32", Factory(factory="IVF256,PQ32"), "factory:IVF256,PQ32"),
        (
            "factory: OPQ16_64, IVF16(HNSW32,Flat) ,nprobe = 8, efSearch=20, depth=5,RFlat",
            Factory(factory="OPQ16_64,IVF16(HNSW32,Flat),RFlat", search="efSearch=20,nprobe=8", depth=5),
            "factory:OPQ16_64,IVF16(HNSW32,Flat),RFlat,efSearch=20,nprobe=8,depth=5",
        ),
    ],
)
def test_an_index_is_read_and_named(text: str, index: Index, name: str) -> None:
    assert parse_index(text) == index
    assert index_name(parse_index(text)) == name
    assert parse_index(name) == index


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("hnws", "unknown index 'hnws': did you mean hnsw?"),
        ("", "unknown index '': known are factory, flat, hnsw, ivfpq"),
        ("hnsw:ef_serch=16", "hnsw: unknown key 'ef_serch': did you mean ef_search?"),
        ("flat:m=4", "flat: unknown key 'm': known are depth"),
        ("hnsw:ef_search", "index hnsw: 'ef_search' is no KEY=VALUE: write it as in hnsw:ef_search=16,m=32"),
        ("hnsw:m=4,m=5", "index hnsw: m is there twice: write it as in hnsw:ef_search=16,m=32"),
        ("factory", "index factory: write what faiss's index_factory takes, as in factory:IVF256,PQ32,nprobe=8"),
        (
            "factory:nprobe=8",
            "index factory: write what faiss's index_factory takes, as in factory:IVF256,PQ32,nprobe=8",
        ),
        ("factory:RR0,Flat", "index factory: 'RR0,Flat' has a part of size 0: write sizes of at least 1"),
        ("factory:PQ8x00", "index factory: 'PQ8x00' has a part of size 0: write sizes of at least 1"),
        ("factory:Flat,nprobe=2,nprobe=2", "index factory: nprobe is there twice: give it one value"),
        *(
            (
                f"factory:Flat,{pair}",
                f"index factory: {pair!r} is no KEY=NUMBER: write whole numbers above 0, as in nprobe=8",
            )
            for pair in ("nprobe=0", "nprobe=-1", "nprobe=x", "nprobe=1.5", "nprobe=", "=3", f"nprobe={2**31}")
        ),
        ("factory:Flat,depth=20001", "factory: depth: input should be less than or equal to 20000, not '20001'"),
        ("hnsw:kind=flat", "hnsw: unknown key 'kind': known are depth, ef_construction, ef_search, m"),
    ],
)
def test_wrong_names_and_keys_are_told(text: str, fault: str) -> None:
    with pytest.raises(UserError) as raised:
        parse_index(text)
    assert str(raised.value) == fault
    assert isinstance(raised.value, UnknownName | RetrieverError)


def test_wrong_values_are_told_together() -> None:
    with pytest.raises(RetrieverError, match=r"ivfpq: nprobe: .* not '0'; nbits: .* not 'x'"):
        parse_index("ivfpq:nprobe=0,nbits=x")


@pytest.mark.parametrize("kind", KINDS)
def test_every_key_is_explained(kind: str) -> None:
    assert all(field.description for field in KINDS[kind].model_fields.values())


@pytest.mark.parametrize(
    ("n", "nlist"), [(1, 1), (38, 1), (78, 2), (1190, 30), (13_014, 333), (500_000, 2828), (10_000_000, 12_648)]
)
def test_cells_grow_with_the_root_of_the_pool(n: int, nlist: int) -> None:
    index = IVFPQ(nprobe=8)
    assert index.build_keys(n, 64)["nlist"] == nlist
    assert index.search_keys(n, 64) == {"nprobe": min(8, nlist)}


@pytest.mark.parametrize(("dim", "m"), [(64, 16), (384, 96), (7, 1), (3, 1), (50, 10)])
def test_codes_have_a_part_for_about_four_dims(dim: int, m: int) -> None:
    assert IVFPQ().build_keys(1000, dim)["m"] == m
    assert IVFPQ(m=dim).build_keys(1000, dim)["m"] == dim


def test_what_does_not_fit_a_pool_or_an_encoder_is_told() -> None:
    with pytest.raises(RetrieverError, match="m=7 does not divide the 64 dims of the encoder: take 4 or 8"):
        IVFPQ(m=7).build_keys(1000, 64)
    with pytest.raises(RetrieverError, match="nlist=51 cells need as many documents, a pool has 50: leave nlist out"):
        IVFPQ(nlist=51).build_keys(50, 64)


def test_parameters_of_a_string_count_while_building_or_searching() -> None:
    index = parse_index("factory:HNSW32,efSearch=64,efConstruction=80")
    assert (index.build_keys(9, 9), index.search_keys(9, 9)) == ({"efConstruction": 80}, {"efSearch": 64})
    assert (index.structure, parse_index("factory:Flat").structure, HNSW(m=4).structure) == ("HNSW32", "Flat", "hnsw")


def test_lists_end_where_nothing_more_is_seen() -> None:
    assert [index.length(500) for index in (Flat(), HNSW(), HNSW(ef_search=1000), IVFPQ(depth=7))] == [500, 64, 500, 7]
