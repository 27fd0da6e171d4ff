"""Ranks files: compressed archives of counts, written alike for the same counts, and read with suspicion."""

import sys
from dataclasses import fields
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mlbench.collection.languages import IMAGE
from mlbench.collection.records import LARGEST_GRADE
from mlbench.errors import InvalidResult, UserError
from mlbench.io.untrusted import read_arrays
from mlbench.ranking.packed_ranks import OPTIONAL, PACKED, pack, unpack
from mlbench.ranking.ranks import UNKNOWN, UNLISTED, Ranks, Strings

LARGEST = 2**31
"""How many bytes the arrays of a ranks file take at most."""
_MOST_LANGUAGES, _MOST_COLUMNS = 1000, 10_000
_LARGEST_COSINE = 1 + 1e-5
ALIGNMENT, GRADE_SCALE, JUDGED = OPTIONAL
ARRAYS = tuple(field.name for field in fields(Ranks) if field.name not in OPTIONAL)


def arrays_of(ranks: Ranks) -> dict[str, NDArray[np.generic]]:
    """Return the arrays of a ranks file by name, in its order: those of `Ranks`, or compact ones as `pack` returns."""
    arrays = pack(ranks) if ranks.is_compact else {name: getattr(ranks, name) for name in ARRAYS}
    return arrays | {name: array for name in OPTIONAL if (array := getattr(ranks, name)) is not None}


def write_ranks(ranks: Ranks) -> bytes:
    """Return the ranks file's content: a compressed npz, the same bytes for the same counts."""
    arrays = arrays_of(ranks)
    size = sum(array.nbytes for array in arrays.values())
    if size > LARGEST:
        raise UserError(f"the counts take {size:,} bytes, a ranks file {LARGEST:,}: measure fewer languages at once")
    buffer = BytesIO()
    # With `allow_pickle=False`, numpy 2.0 would save an array of that name.
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def read_ranks(path: Path | str, largest: int = LARGEST) -> Ranks:
    """Read and check a ranks file whose arrays take at most `largest` bytes, in the file and as `Ranks`.

    Raises `InvalidResult` with what is wrong with it.
    """
    try:
        arrays = read_arrays(Path(path), ARRAYS, largest, otherwise=PACKED, optional=OPTIONAL)
        ranks = unpack(arrays, largest) if "asked" in arrays else Ranks(**arrays)  # type: ignore[arg-type]
    except FileNotFoundError as error:
        raise InvalidResult(f"{path} is missing: the ranks file must lie beside its result") from error
    except Exception as error:  # Broken archives make zipfile, zlib and numpy raise a dozen kinds.
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise InvalidResult(f"{path} is not a ranks file: {reason[:200]}") from error
    if faults := _faults(ranks, compact="asked" in arrays):
        raise InvalidResult(f"{path} is not a sound ranks file: {'; '.join(faults)}")
    return ranks


def _faults(ranks: Ranks, *, compact: bool = False) -> list[str]:
    return _shape_faults(ranks, compact) or _range_faults(ranks) or _order_faults(ranks)


def _shape_faults(ranks: Ranks, compact: bool) -> list[str]:
    shapes = {
        "columns": (ranks.column_sizes,),
        "topic_ids": (ranks.topic_clusters,),
        "query_topics": (ranks.query_languages, ranks.top, ranks.listed),
        "document_ids": (ranks.document_languages,),
        "row_queries": (ranks.row_documents, ranks.row_grades, ranks.ahead, ranks.ties),
    }
    faults = [
        f"arrays beside {name} differ in length"
        for name, others in shapes.items()
        if any(getattr(ranks, name).shape[:1] != other.shape[:1] for other in others)
    ]
    strings = ("languages", "columns", "topic_ids", "cluster_unit", "document_ids")
    faults += [
        f"{name} has dtype {getattr(ranks, name).dtype}"
        for name in ARRAYS
        if getattr(ranks, name).dtype.kind != ("U" if name in strings else "i")
    ]
    tables = ("ahead", "ties", "top", "listed")
    faults += [
        f"{name} has {getattr(ranks, name).ndim} dimensions"
        for name in ARRAYS
        if getattr(ranks, name).ndim != (2 if name in tables else 1)
    ]
    for name in (ALIGNMENT, JUDGED):
        cosines = getattr(ranks, name)
        if cosines is not None and (cosines.dtype != np.float32 or cosines.shape != (*ranks.row_queries.shape, 2)):
            faults.append(f"{name} is not float32 of shape (rows, 2)")
    if ranks.grade_scale is not None and (ranks.grade_scale.dtype.kind != "i" or ranks.grade_scale.shape != (1,)):
        faults.append("grade_scale is not one whole number")
    widths = [ranks.ahead.shape[1:], ranks.ties.shape[1:], ranks.listed.shape[1:]]
    if not faults and widths != _widths(ranks, compact):
        faults.append("ahead, ties, listed and columns differ in shape")
    for name, most in (("languages", _MOST_LANGUAGES), ("columns", _MOST_COLUMNS)):
        if getattr(ranks, name).size > most:
            faults.append(f"{name} has more than {most:,} names")
    faults += [f"{name} has what is no text" for name in strings if not faults and not _is_text(getattr(ranks, name))]
    return faults if ranks.cluster_unit.shape == (1,) else [*faults, "cluster_unit is not one word"]


def _widths(ranks: Ranks, compact: bool) -> list[tuple[int, ...]]:
    """Return how wide `ahead`, `ties` and `listed` must be."""
    columns = len(ranks.columns)
    counted = 1 + int(_holds_several(ranks).sum()) if compact else columns
    # Where nothing would be left out, ranks are not compact.
    return [(counted,), (counted,), (columns,)] if compact == (counted != columns) else []


def _holds_several(ranks: Ranks) -> NDArray[np.bool_]:
    """Say which columns hold several languages, bool (columns,)."""
    several: NDArray[np.bool_] = np.char.find(ranks.columns, "+") >= 0
    return several


def _is_text(values: Strings) -> bool:
    """Say whether strings hold characters only: numpy keeps any number in place of one, and fails when it is read."""
    codes = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("=")).view(np.uint32)
    return not ((codes > sys.maxunicode) | ((codes >= 0xD800) & (codes <= 0xDFFF))).any()


def _range_faults(ranks: Ranks) -> list[str]:
    sizes, counted = ranks.column_sizes.astype(np.int64), ranks.column_sizes.astype(np.int64)
    if ranks.is_compact:
        several = _holds_several(ranks)
        counted = np.append(sizes[~several].max(initial=0), sizes[several])
    indexes = (
        ("query_topics", ranks.query_topics, 0, len(ranks.topic_ids)),
        ("query_languages", ranks.query_languages, 0, len(ranks.languages)),
        ("document_languages", ranks.document_languages, 0, len(ranks.languages)),
        ("row_queries", ranks.row_queries, 0, len(ranks.query_topics)),
        ("row_documents", ranks.row_documents, 0, len(ranks.document_ids)),
        ("topic_clusters", ranks.topic_clusters, 0, len(np.unique(ranks.topic_clusters))),
        ("top", ranks.top, -1, len(ranks.document_ids)),
        ("row_grades", ranks.row_grades, 1, LARGEST_GRADE + 1),
        ("column_sizes", ranks.column_sizes, 0, 1 << 31),
        ("ties", ranks.ties, UNKNOWN, counted + 1),
        ("ahead", ranks.ahead, UNLISTED, counted + 1),
        ("listed", ranks.listed, -1, sizes + 1),
    )
    faults = [
        f"{name} is out of range" for name, values, low, high in indexes if ((values < low) | (values >= high)).any()
    ]
    for name in ("languages", "columns", "topic_ids", "document_ids"):
        if len(np.unique(getattr(ranks, name))) < len(getattr(ranks, name)):
            faults.append(f"{name} has one name twice")
    if ranks.grade_scale is not None and not 1 < ranks.grade_scale[0] <= LARGEST_GRADE:
        faults.append("grade_scale is out of range")
    if ranks.alignment is not None and _strays(ranks, ranks.alignment):
        faults.append("alignment has what is no cosine of an image and a caption")
    if ranks.judged is not None and (not ranks.has_images or (np.abs(ranks.judged) > _LARGEST_COSINE).any()):
        faults.append("judged has what is no cosine of an image and a caption")
    if not {language for column in ranks.columns for language in column.split("+")} <= set(ranks.languages):
        faults.append("columns has languages that languages has not")
    if ranks.is_compact and (np.diff(_holds_several(ranks).astype(np.int8)) < 0).any():
        faults.append("columns has a language behind a pool")
    return faults


def _strays(ranks: Ranks, alignment: NDArray[np.float32]) -> bool:
    """Say whether there are numbers beyond the range of cosines, or where no image asks for captions in the corpus."""
    image = np.flatnonzero(ranks.languages == IMAGE)
    asked = np.isin(ranks.query_languages[ranks.row_queries], image) & (ranks.ahead >= 0).any(axis=1)
    known = ~np.isnan(alignment)
    beyond = (np.abs(alignment[known]) > _LARGEST_COSINE).any()
    return bool(beyond or (known[:, 0] != asked).any() or (known[:, 1] & ~asked).any())


def _order_faults(ranks: Ranks) -> list[str]:
    """Say where the counts follow from no order of documents."""
    if (np.diff(ranks.query_languages) < 0).any():
        return ["queries are not sorted by language"]
    if (np.diff(ranks.row_queries) < 0).any():
        return ["rows are not sorted by query"]
    return _compact_faults(ranks) if ranks.is_compact else _dense_faults(ranks)


def _dense_faults(ranks: Ranks) -> list[str]:
    own = ranks.columns_hold[ranks.row_languages] & (ranks.ahead >= 0)
    for name, counts in (("stand ahead", ranks.ahead), ("tie", ranks.ties)):
        if (own & (counts >= ranks.column_sizes)).any():
            return [f"more documents {name} than there are others"]
    positions = np.where(own, ranks.ahead, -1).astype(np.int64)
    if not _holds_several(ranks).any():
        # Images are in no pool but their own.
        ahead = ranks.ahead[:, ranks.columns != IMAGE]
        counted = (ahead >= 0).all(axis=1, keepdims=True)
        positions = np.hstack([positions, np.where(counted, ahead.sum(axis=1, dtype=np.int64, keepdims=True), -1)])
    for ahead in positions.T:
        taken = (ranks.row_queries.astype(np.int64) << 32 | ahead)[ahead >= 0]
        if len(np.unique(taken)) < len(taken):
            return ["two relevant documents of one query have the same rank"]
    return []


def _compact_faults(ranks: Ranks) -> list[str]:
    """Say the same of compact ranks, the queries of one language at a time."""
    inside = ranks.columns_hold
    for part in ranks.parts():
        queries, languages = part.row_queries.astype(np.int64), part.row_languages
        for place, ahead in enumerate(part.ahead.T):
            columns = part.columns_at(place)
            own, most = inside[languages, columns] & (ahead >= 0), part.column_sizes[columns]
            if (own & (ahead >= most)).any() or (own & (part.ties[:, place] >= most)).any():
                return ["more documents stand ahead of one, or tie with it, than there are others"]
            if not place and ((ahead >= 0) & (columns < 0)).any():
                return ["documents are counted in a language that no column is of"]
            lists = queries if place else queries * len(ranks.languages) + languages
            taken = np.sort((lists << 32 | ahead)[own])
            if (taken[1:] == taken[:-1]).any():
                return ["two relevant documents of one query have the same rank"]
    return []
