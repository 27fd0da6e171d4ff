"""Reads Parquet files: their columns, their rows by column, and the images that some rows hold."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mlbench.errors import DataError, MissingExtra
from mlbench.io.atomic import whole_file

if TYPE_CHECKING:
    from pyarrow import DataType
    from pyarrow.parquet import ParquetFile

PARQUET = ".parquet"
"""How the name of a Parquet file ends."""
IMAGE_COLUMNS = ("image", "img", "jpg", "png")
"""What a column of images may be called."""
_ID_COLUMNS = ("image_id", "img_id", "imgid", "id", "_id", "image_name", "filename", "file_name")
_BATCH = 1024
# Of images, so that few are in memory at once.
_FEW = 16
_BYTES = "bytes"


def columns_of(path: Path) -> tuple[str, ...]:
    """Return the names of the columns; raises `DataError` for a file that cannot be read, `MissingExtra`."""
    with _opened(path) as (file, _):
        return tuple(file.schema_arrow.names)


def has_images(path: Path) -> bool:
    """Say whether there is a column of images: bytes, or an object with `bytes`; raises as `columns_of` does."""
    with _opened(path) as (file, _):
        return _image_column(file) is not None


def keys_of(path: Path, column: str) -> tuple[str, ...]:
    """Return the names in the objects of a column; none where it holds no objects. Raises as `columns_of` does."""
    with _opened(path) as (file, _):
        kind = file.schema_arrow.field(column).type
        return tuple(kind.field(number).name for number in range(kind.num_fields)) if _is_object(kind) else ()


def parquet_rows(path: Path, columns: Sequence[str] | None = None) -> Iterator[tuple[str, dict[str, object]]]:
    """Yield the rows by column, or by those of `columns` that there are, each with its place: `data/a.parquet row 1`.

    Raises as `columns_of` does, with the row.
    """
    with _opened(path) as (file, rows):
        read = None if columns is None else [name for name in file.schema_arrow.names if name in columns]
        for batch in file.iter_batches(batch_size=_BATCH, columns=read):
            for row in batch.to_pylist():
                rows.done += 1
                yield f"{_name(path)} row {rows.done}", row


def image_ids(path: Path) -> list[str | None]:
    """Return for each row what its image is called in the file, None for a row without an image.

    It is what a column such as `image_id` or `id` says, else the number of the row, from 0. Without a column of images
    there are none. Raises as `columns_of` does.
    """
    with _opened(path) as (file, _):
        image, own_id = _image_column(file), id_column(file.schema_arrow.names)
        if image is None:
            return []
        found: list[str | None] = []
        for there in _presence(file, image):
            found.append(str(len(found)) if there else None)
        if own_id is None:
            return found
        ids = file.read(columns=[own_id]).column(0).to_pylist()
        return [None if number is None else str(own) for number, own in zip(found, ids, strict=True)]


def id_column(names: Sequence[str]) -> str | None:
    """Return the column that says what the image of a row is called, None where there is none."""
    return next((name for name in _ID_COLUMNS if name in names), None)


def unpack_images(path: Path, wanted: Mapping[str, Path]) -> Iterator[str]:
    """Write the wanted images, known as `image_ids` says, to their files; yield the name of each.

    The first of several rows is taken. Few images are in memory at once. Raises as `columns_of` does, and `DataError`
    for a file that cannot be written.
    """
    numbers: dict[str, int] = {}
    for number, name in enumerate(image_ids(path)):
        if name is not None and name in wanted:
            numbers.setdefault(name, number)
    names = {number: name for name, number in numbers.items()}
    if not names:
        return
    with _opened(path) as (file, rows):
        column, first, last = str(_image_column(file)), 0, max(names)
        for batch in file.iter_batches(batch_size=_FEW, columns=[column]):
            for number in range(first, first + len(batch)):
                if number in names:
                    entry = batch.column(0)[number - first].as_py()
                    _write(entry[_BYTES] if isinstance(entry, dict) else entry, wanted[names[number]])
                    yield names[number]
            first += len(batch)
            rows.done = first
            if first > last:
                return


def _write(content: bytes, target: Path) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(target) as unfinished:
            unfinished.write_bytes(content)
    except OSError as error:
        raise DataError(f"{target} cannot be written: {error.strerror or error}") from error


def _image_column(file: "ParquetFile") -> str | None:
    schema = file.schema_arrow
    for name in IMAGE_COLUMNS:
        if name in schema.names and _holds_bytes(schema.field(name).type):
            return name
    return None


def _holds_bytes(kind: "DataType") -> bool:
    from pyarrow import types

    if _is_object(kind) and kind.get_field_index(_BYTES) >= 0:
        kind = kind.field(_BYTES).type
    return bool(types.is_binary(kind) or types.is_large_binary(kind))


def _is_object(kind: "DataType") -> bool:
    from pyarrow import types

    return bool(types.is_struct(kind))


def _presence(file: "ParquetFile", column: str) -> Iterator[bool]:
    """Yield for each row whether it has an image, from what the file says of its columns where that tells."""
    place = next(
        number
        for number in range(len(file.schema.names))
        if file.schema.column(number).path in (column, f"{column}.{_BYTES}")
    )
    groups = [file.metadata.row_group(number) for number in range(file.metadata.num_row_groups)]
    for number, group in enumerate(groups):
        told = group.column(place).statistics
        if told is not None and told.has_null_count and told.null_count in (0, group.num_rows):
            yield from [told.null_count == 0] * group.num_rows
            continue
        for batch in file.iter_batches(batch_size=_FEW, row_groups=[number], columns=[column]):
            entries = batch.column(0).to_pylist()
            yield from ((entry.get(_BYTES) if isinstance(entry, dict) else entry) is not None for entry in entries)


def _name(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


@dataclass
class _Rows:
    """How many rows were read, for the message about one that cannot be."""

    done: int = 0


@contextmanager
def _opened(path: Path) -> "Iterator[tuple[ParquetFile, _Rows]]":
    """Give the file and a counter of rows; make one kind of error of those that damaged files raise."""
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    except ModuleNotFoundError as error:
        raise MissingExtra("Parquet files", "hf") from error
    rows = _Rows()
    try:
        with ParquetFile(path) as file:
            yield file, rows
    # Texts may be no UTF-8, and times none that Python knows.
    except (ArrowException, OSError, ValueError, OverflowError) as error:
        told = " ".join(str(error).split())
        raise DataError(
            f"{_name(path)} cannot be read after row {rows.done:,} ({told:.100}): fetch it again"
        ) from error
