from __future__ import annotations

import base64
import io
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from PIL import Image

import featx
from featx.exceptions import ImageReadError, InputError
from featx.images import DecodeError, Preprocess, as_column, is_missing, load, open_cell, open_column


@pytest.fixture(scope="session")
def gif(crops) -> bytes:
    return encode(crops[0], "GIF")


@pytest.fixture(scope="session")
def pngs(crops) -> list[bytes]:
    return [encode(crop, "PNG") for crop in crops[:3]]


def encode(pixels: np.ndarray, kind: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def as_uri(data: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(data).decode()


CELLS = {
    "bytes": lambda data, path: data,
    "bytearray": lambda data, path: bytearray(data),
    "memoryview": lambda data, path: memoryview(data),
    "str": lambda data, path: str(path),
    "Path": lambda data, path: path,
    "dict of bytes": lambda data, path: {"bytes": data, "path": None},
    "dict of bytes and the name they had": lambda data, path: {"bytes": data, "path": "elsewhere.png"},
    "dict of bytes alone": lambda data, path: {"bytes": data},
    "dict of a path": lambda data, path: {"bytes": None, "path": str(path)},
    "data: URI": lambda data, path: as_uri(data),
    "DATA: URI": lambda data, path: as_uri(data).replace("data:", "DATA:"),
    "percent-encoded data: URI": lambda data, path: "data:image/png," + "".join(f"%{byte:02x}" for byte in data),
    "BytesIO": lambda data, path: io.BytesIO(data),
    "open file": lambda data, path: path.open("rb"),
    "pyarrow scalar": lambda data, path: pa.scalar(data),
    "pyarrow struct": lambda data, path: pa.scalar({"bytes": data, "path": None}),
    "member of a zip": lambda data, path: zipped(data, path.parent),
}


def zipped(data: bytes, folder: Path) -> zipfile.Path:
    with zipfile.ZipFile(folder / "photos.zip", "w") as archive:
        archive.writestr("a.png", data)
    return zipfile.Path(folder / "photos.zip", "a.png")


@pytest.mark.parametrize("kind", CELLS)
def test_every_cell_that_holds_an_encoded_image_has_the_digest_of_its_bytes(kind, pngs, crops, tmp_path):
    (tmp_path / "a.png").write_bytes(pngs[0])
    cell = CELLS[kind](pngs[0], tmp_path / "a.png")
    digest, image = load(cell)
    assert digest == load(pngs[0])[0]
    np.testing.assert_array_equal(np.asarray(image), crops[0])
    assert load(cell)[0] == digest  # a file can be read again
    close(cell)


def close(*cells: object) -> None:
    for cell in cells:
        if hasattr(cell, "close"):
            cell.close()


@pytest.mark.parametrize("container", [list, pd.Series, lambda cells: np.array(cells, dtype=object)])
def test_cells_of_all_kinds_are_mixed_in_one_column(container, pngs, tmp_path, tiny):
    (tmp_path / "a.png").write_bytes(pngs[0])
    cells = [make(pngs[0], tmp_path / "a.png") for make in CELLS.values()]
    rows = featx.ImageEncoder(tiny, cache=False).transform(container(cells))
    assert len(rows) == len(CELLS)
    assert (rows == rows[0]).all()
    close(*cells)


def structs(data: list[bytes | None], **options) -> list[dict | None]:
    return [None if one is None else {"bytes": one, "path": None} for one in data]


CONTAINERS = {
    "pandas object": lambda data: pd.Series(structs(data), dtype=object),
    "pandas Arrow struct": lambda data: pd.Series(
        pa.array(structs(data)), dtype=pd.ArrowDtype(pa.array(structs(data)).type)
    ),
    "pandas Arrow binary": lambda data: pd.Series(data, dtype=pd.ArrowDtype(pa.binary())),
    "pandas Arrow string": lambda data: pd.Series(uris(data), dtype=pd.ArrowDtype(pa.string())),
    "pandas string": lambda data: pd.Series(uris(data), dtype="string"),
    "pandas category": lambda data: pd.Series(uris(data), dtype="category"),
    "polars String": lambda data: pl.Series("photo", uris(data)),
    "polars Categorical": lambda data: pl.Series("photo", uris(data), dtype=pl.Categorical),
    "polars Binary": lambda data: pl.Series("photo", data, dtype=pl.Binary),
    "polars Struct": lambda data: pl.Series("photo", structs(data)),
    "polars Object": lambda data: pl.Series(
        "photo", [None if d is None else bytearray(d) for d in data], dtype=pl.Object
    ),
    "pyarrow Array": lambda data: pa.array(structs(data)),
    "pyarrow ChunkedArray": lambda data: pa.chunked_array([pa.array(structs(data[:1])), pa.array(structs(data[1:]))]),
    "pyarrow binary": lambda data: pa.array(data, pa.large_binary()),
    "pyarrow dictionary": lambda data: pa.array(uris(data)).dictionary_encode(),
    "pandas frame": lambda data: pd.DataFrame({"photo": structs(data)}),
    "polars frame": lambda data: pl.DataFrame({"photo": structs(data)}),
    "pyarrow table": lambda data: pa.table({"photo": structs(data)}),
}


def uris(data: list[bytes | None]) -> list[str | None]:
    return [None if one is None else as_uri(one) for one in data]


@pytest.mark.parametrize("container", CONTAINERS)
def test_every_container_gives_the_rows_that_bytes_give(container, pngs, tiny):
    expected = featx.ImageEncoder(tiny, cache=False).transform(pngs)
    column = CONTAINERS[container]([pngs[0], None, *pngs[1:]])
    with pytest.warns(featx.FeatxWarning, match="1 of 4 images became NaN"):
        rows = featx.ImageEncoder(tiny, cache=False, on_missing="nan").transform(column)
    np.testing.assert_array_equal(np.delete(rows, 1, axis=0), expected)
    assert np.isnan(rows[1]).all()


@pytest.fixture(scope="module")
def dataset(pngs):
    datasets = pytest.importorskip("datasets")
    cells = [*({"bytes": data, "path": None} for data in pngs), None]
    return datasets.Dataset.from_dict({"photo": cells}, features=datasets.Features({"photo": datasets.Image()}))


def test_a_column_of_a_dataset_is_read_as_it_is_stored(dataset, pngs, tiny):
    column = as_column(dataset["photo"])
    assert column.name == "photo"
    assert [None if cell is None else bytes(cell) for cell in column.sources] == [*pngs, None]


def test_a_shuffled_dataset_keeps_its_order(dataset, pngs):
    column = as_column(dataset.select([2, 0])["photo"])
    assert [load(cell)[0] for cell in column.sources] == [load(pngs[2])[0], load(pngs[0])[0]]


def test_a_dataset_whose_images_are_converted_is_decoded_by_it(dataset, crops):
    import datasets

    gray = dataset.select(range(3)).cast_column("photo", datasets.Image(mode="L"))
    image = load(as_column(gray["photo"]).sources[0])[1]
    expected = Image.fromarray(crops[0]).convert("L").convert("RGB")
    np.testing.assert_array_equal(np.asarray(image), np.asarray(expected))


def test_images_that_a_dataset_decoded_are_images(dataset, crops):
    np.testing.assert_array_equal(np.asarray(load(dataset[0]["photo"])[1]), crops[0])


@pytest.mark.parametrize(("channels", "mode"), [(1, 1), (3, 3), (4, 4), (3, None)])
def test_the_decoded_images_of_daft_are_pixels(channels, mode):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, channels)).astype(np.uint8)
    for data in (pixels.ravel(), pixels.ravel().tolist()):
        cell = {"data": data, "channel": float(channels), "height": 5.0, "width": 7.0, "mode": mode}
        assert load(cell) == load(pixels)


def test_gray_with_alpha_from_daft_is_laid_on_white():
    cell = {"data": np.array([10, 0, 10, 255], np.uint8), "channel": 2, "height": 1, "width": 2, "mode": 2}
    assert np.asarray(load(cell)[1])[0, :, 0].tolist() == [255, 10]


def test_the_columns_of_daft_are_read(pngs, crops):
    daft = pytest.importorskip("daft")
    frame = daft.from_pydict({"photo": [pngs[0], None]})
    decoded = frame.with_column("photo", frame["photo"].decode_image()).to_pandas()["photo"]
    column = as_column(decoded)
    assert [is_missing(cell) for cell in column.sources] == [False, True]
    np.testing.assert_array_equal(np.asarray(load(column.sources[0])[1]), crops[0])
    series = frame.to_arrow()["photo"]
    assert load(as_column(series).sources[0])[0] == load(pngs[0])[0]


def test_a_tensor_among_other_cells_is_an_image(crops, pngs, tiny):
    tensor = torch.from_numpy(crops[0]).permute(2, 0, 1)
    rows = featx.ImageEncoder(tiny, cache=False).transform([tensor, pngs[0], crops[0]])
    assert (rows == rows[0]).all()


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ({"path": None, "bytes": "a.jpg"}, "a dict with a str as 'bytes'; expected 'bytes'"),
        ({"path": 3, "bytes": None}, "a dict with a int as 'path'"),
        (
            {"url": "a.jpg", "width": 3},
            r"a dict with the keys 'url', 'width'; expected 'bytes' \(an encoded image\) or 'path'",
        ),
        ({}, r"a dict with the keys \(none\)"),
        ({"bytes": b"", "path": "a.jpg"}, "0 bytes"),
        ({"data": [1, 2], "channel": 3, "height": 1, "width": 1, "mode": 3}, "2 values; expected 1 x 1 x 3"),
        ({"data": [1.5], "channel": 1, "height": 1, "width": 1, "mode": 1}, "expected 8 bits a channel"),
        ({"data": [300], "channel": 1, "height": 1, "width": 1, "mode": 5}, "daft's mode 5; expected 8 bits a channel"),
        ("data:image/png;base64", "a data: URI without a comma"),
        ("data:image/png;base64,%%%", "not base64"),
        ("data:image/png;base64,aGVsbG8=", "not an image"),
        ("data:,hello", "not an image"),
        (io.StringIO("text"), "a file of text"),
        (["a.jpg", "b.jpg"], "a list of 2; expected one image. Several images a row"),
        ((), "a tuple of 0"),
        (object(), "a object; expected a path"),
        (bytearray(), "0 bytes"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_a_cell_that_holds_no_image_has_a_reason_and_disturbs_no_other(cell, reason, pngs, tiny, tmp_path):
    with pytest.raises(ImageReadError, match=reason) as raised:
        featx.ImageEncoder(tiny, cache=False).transform([*pngs, cell, *pngs])
    assert raised.value.table["position"].tolist() == [3]
    with pytest.raises(DecodeError, match=reason):
        load(cell)


def test_a_closed_file_and_a_stream_are_refused_with_what_to_do(tmp_path, pngs):
    (tmp_path / "a.png").write_bytes(pngs[0])
    with (tmp_path / "a.png").open("rb") as file:
        pass
    with pytest.raises(DecodeError, match="the file is closed"):
        load(file)

    class Stream(io.RawIOBase):
        def seekable(self) -> bool:
            return False

    with pytest.raises(DecodeError, match="read only once"):
        load(Stream())


def test_a_file_that_was_read_halfway_is_read_whole_and_left_where_it_was(pngs):
    file = io.BytesIO(pngs[0])
    file.seek(10)
    assert load(file)[0] == load(pngs[0])[0]
    assert file.tell() == 10


def test_a_dict_of_nothing_is_a_missing_image(tiny):
    assert is_missing({"bytes": None, "path": None})
    assert not is_missing({"bytes": b"", "path": None})
    with pytest.raises(ImageReadError, match="missing"):
        featx.ImageEncoder(tiny, cache=False).transform([{"bytes": None, "path": None}])


def test_one_dict_is_a_single_image(pngs):
    with pytest.raises(InputError, match=r"Got a single dict.*Pass it in a list: \[image\]"):
        as_column({"bytes": pngs[0], "path": None})


def test_what_is_in_memory_is_never_read_in_the_name_of_its_path(pngs, tmp_path):
    (tmp_path / "a.png").write_bytes(pngs[1])
    assert open_cell({"bytes": pngs[0], "path": str(tmp_path / "a.png")}) == pngs[0]


def test_a_bundle_reads_the_same_cells(pngs, tmp_path):
    from featx.images import PixelPath

    (tmp_path / "a.png").write_bytes(pngs[0])
    path = PixelPath(Preprocess(size=8))
    expected = path(pngs[0])[1]
    for make in CELLS.values():
        cell = make(pngs[0], tmp_path / "a.png")
        np.testing.assert_array_equal(path.pixels(cell), expected)
        close(cell)


def test_bytes_of_pyarrow_are_viewed_where_they_are(pngs):
    column = open_column(pa.array([{"bytes": pngs[0], "path": None}, {"bytes": None, "path": "a.jpg"}, None]))
    assert [cell if isinstance(cell, str | None) else bytes(cell) for cell in column.sources] == [
        pngs[0],
        "a.jpg",
        None,
    ]
    assert isinstance(column.sources[0], memoryview)
    scalars = [pa.scalar("a.jpg"), pa.scalar(["a.jpg", "b.jpg"]), pa.scalar({"bytes": b"x", "path": None})]
    path, several, struct = open_column(scalars).sources
    assert (path, several) == ("a.jpg", ["a.jpg", "b.jpg"])
    assert struct is scalars[2]
