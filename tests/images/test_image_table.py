from __future__ import annotations

import io
import json
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import featx
from featx.exceptions import FeatxError, ImageReadError, InputError, ParameterError, UnknownNameError
from featx.extraction import _extract
from featx.images import DigestMemo, is_table_name, load, open_table
from featx.images import _archive as archive


@pytest.fixture
def data(files) -> list[bytes]:
    return [Path(file).read_bytes() for file in files]


@pytest.fixture
def expected(files, tiny) -> np.ndarray:
    return featx.ImageEncoder(tiny, cache=False).transform(files)


def embed(table: pd.DataFrame, tiny, **parameters) -> np.ndarray:
    return featx.ImageEncoder(tiny, cache=False, **parameters).transform(table["image"])


def names(files) -> list[str]:
    return [Path(file).name for file in files]


@pytest.mark.parametrize(("suffix", "separator"), [(".csv", ","), (".tsv", "\t"), (".csv.gz", ",")])
def test_a_table_of_text_beside_its_images_is_read(suffix, separator, files, expected, tiny):
    table = pd.DataFrame({"sku": range(12), "photo": names(files), "price": np.arange(12) / 2})
    file = Path(files[0]).with_name(f"products{suffix}")
    table.to_csv(file, sep=separator, index=False)
    found = featx.read_image_table(file, image="photo", label="price")
    assert found.columns.tolist() == ["image", "label", "sku"]
    assert found["label"].tolist() == table["price"].tolist()
    assert found["image"].tolist() == files
    np.testing.assert_array_equal(embed(found, tiny), expected)


def test_a_root_says_below_which_folder_paths_lie(files, tmp_path):
    (tmp_path / "tables").mkdir()
    file = tmp_path / "tables" / "products.csv"
    pd.DataFrame({"image": ["00.jpg", files[1], "https://example.org/a.jpg", None]}).to_csv(file, index=False)
    found = featx.read_image_table(file, root=Path(files[0]).parent)["image"].tolist()
    assert found[:3] == [files[0], files[1], "https://example.org/a.jpg"]
    assert pd.isna(found[3])


@pytest.mark.parametrize("rows_in_a_group", [12, 5])
@pytest.mark.parametrize("form", ["bytes", "dicts"])
def test_images_in_parquet_stay_there_until_they_are_needed(form, rows_in_a_group, data, expected, tiny, tmp_path):
    cells = data if form == "bytes" else [{"bytes": one, "path": f"{i}.jpg"} for i, one in enumerate(data)]
    file = tmp_path / "photos.parquet"
    pq.write_table(
        pa.table({"n": range(12), "image": cells, "label": list("abcabcabcabc")}), file, row_group_size=rows_in_a_group
    )
    table = featx.read_image_table(file, label="label")
    assert table.columns.tolist() == ["image", "label", "n"]
    assert all(isinstance(cell, archive.ParquetImage) for cell in table["image"])
    np.testing.assert_array_equal(embed(table, tiny), expected)
    shuffled = table.sample(frac=1, random_state=0)
    np.testing.assert_array_equal(embed(shuffled, tiny), expected[shuffled.index])
    assert [load(cell)[0] for cell in table["image"][::-1]] == [load(one)[0] for one in data[::-1]]


def test_a_row_group_is_read_in_small_pieces(data, tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "_ROWS", 2)
    monkeypatch.setattr(archive, "_KEPT", 2)
    file = tmp_path / "photos.parquet"
    pq.write_table(pa.table({"image": data}), file)
    cells = featx.read_image_table(file)["image"].tolist()
    for i in (0, 5, 4, 11, 10, 3, 3, 0):
        assert cells[i].read() == data[i]


def test_what_is_missing_in_parquet_is_missing_in_the_table(data, tmp_path):
    for cells in ([data[0], None], [{"bytes": data[0], "path": None}, None], [{"bytes": data[0]}, {"bytes": None}]):
        pq.write_table(pa.table({"image": cells}), tmp_path / "photos.parquet")
        table = featx.read_image_table(tmp_path / "photos.parquet")
        assert featx.images.is_missing(table["image"][1])
        assert load(table["image"][0])[0] == load(data[0])[0]


def test_paths_in_parquet_are_paths(files, tmp_path):
    folder = Path(files[0]).parent
    for cells in (names(files), [{"bytes": None, "path": name} for name in names(files)]):
        pq.write_table(pa.table({"image": cells}), folder / "photos.parquet")
        assert featx.read_image_table(folder / "photos.parquet")["image"].tolist() == files


def write_tar(file: Path, members: dict[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(file, mode) as opened:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            opened.addfile(info, io.BytesIO(content))
    return file


def test_archives_of_webdataset_are_read(data, expected, tiny, tmp_path):
    for shard in (0, 1):
        members = {}
        for i in range(6 * shard, 6 * shard + 6):
            key = f"train/{i:04}"
            members[f"{key}.jpg"] = data[i]
            members[f"{key}.cls"] = str(i % 3).encode()
            members[f"{key}.json"] = json.dumps({"price": i / 2, "color": "red"}).encode()
        write_tar(tmp_path / f"shard-{shard}.tar", members)
    table = featx.read_image_table(tmp_path / "shard-*.tar", label="cls")
    assert table.columns.tolist() == ["image", "label", "key", "price", "color"]
    assert table["label"].tolist() == [i % 3 for i in range(12)]
    assert table["price"].tolist() == [i / 2 for i in range(12)]
    np.testing.assert_array_equal(embed(table, tiny), expected)
    assert str(table["image"][0]).endswith("shard-0.tar::train/0000.jpg")
    by_name = featx.read_image_table([tmp_path / "shard-0.tar"], image="jpg", label="price")
    assert by_name["image"].tolist() == table["image"].tolist()[:6]


def test_a_sample_of_several_images_or_of_none(data, tmp_path):
    file = write_tar(tmp_path / "a.tar", {"1.left.jpg": data[0], "1.right.jpg": data[1], "2.left.jpg": data[2]})
    with pytest.raises(InputError, match=r"'1' with the images left.jpg, right.jpg"):
        featx.read_image_table(file)
    table = featx.read_image_table(file, image="right.jpg")
    assert [featx.images.is_missing(cell) for cell in table["image"]] == [False, True]


def test_images_in_files_are_remembered_by_the_state_of_the_file(data, tiny, store, tmp_path, monkeypatch):
    monkeypatch.setattr("featx.images._memo._RACY_NS", -(10**12))
    write_tar(tmp_path / "a.tar", {f"{i}.jpg": one for i, one in enumerate(data)})
    pq.write_table(pa.table({"image": data}), tmp_path / "a.parquet")
    encoder = featx.ImageEncoder(tiny, cache=store)
    for name, kind in (("a.tar", archive.TarImage), ("a.parquet", archive.ParquetImage)):
        table = featx.read_image_table(tmp_path / name)
        rows = encoder.transform(table["image"])
        with monkeypatch.context() as patch:
            patch.setattr(kind, "read", lambda self: pytest.fail("it is known"))
            np.testing.assert_array_equal(encoder.transform(table["image"]), rows)
    write_tar(tmp_path / "a.tar", {f"{i}.jpg": one for i, one in enumerate(data[::-1])})
    table = featx.read_image_table(tmp_path / "a.tar")
    np.testing.assert_array_equal(encoder.transform(table["image"]), rows[::-1])
    assert len(DigestMemo().lookup([cell.name for cell in table["image"]])) == 12


def test_a_second_encoder_reads_them_again_in_their_order(data, tiny, store, tmp_path, monkeypatch):
    monkeypatch.setattr("featx.images._memo._RACY_NS", -(10**12))
    pq.write_table(pa.table({"image": data}), tmp_path / "a.parquet")
    table = featx.read_image_table(tmp_path / "a.parquet").sample(frac=1, random_state=0)
    featx.ImageEncoder(tiny, cache=store).transform(table["image"])
    read, encode_ahead = [], _extract.encode_ahead

    def noting(images, *given, **options):
        read.extend(cell.row for cell, _ in images)
        return encode_ahead(images, *given, **options)

    monkeypatch.setattr(_extract, "encode_ahead", noting)
    rows = featx.ImageEncoder(tiny, layers="conv1", cache=store).transform(table["image"])
    assert read == list(range(12))
    monkeypatch.undo()
    encoder = featx.ImageEncoder(tiny, layers="conv1", cache=False)
    np.testing.assert_array_equal(rows, encoder.transform([data[i] for i in table.index]))


def test_a_file_that_is_gone_or_cut_is_the_reason_of_its_rows(data, tiny, tmp_path):
    file = write_tar(tmp_path / "a.tar", {"1.jpg": data[0], "2.jpg": data[1]})
    table = featx.read_image_table(file)
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(ImageReadError, match=r"a.tar::1.jpg': .*a.tar ends within it"):
        embed(table, tiny)
    file.unlink()
    with pytest.raises(ImageReadError, match="no such file"):
        embed(table, tiny)
    pq.write_table(pa.table({"image": data}), tmp_path / "a.parquet")
    table = featx.read_image_table(tmp_path / "a.parquet")
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    with pytest.raises(ImageReadError, match=r"a.parquet cannot be read"):
        embed(table, tiny)


def test_cells_travel_to_other_processes(data, tmp_path):
    cells = featx.read_image_table(write_tar(tmp_path / "a.tar", {"1.jpg": data[0]}))["image"].tolist()
    pq.write_table(pa.table({"image": data}), tmp_path / "a.parquet")
    cells += featx.read_image_table(tmp_path / "a.parquet")["image"].tolist()
    assert pickle.loads(pickle.dumps(cells)) == cells
    assert len(set(cells)) == len(cells) == 13


@pytest.fixture
def dataset(data):
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        {"photo": datasets.Image(), "kind": datasets.ClassLabel(names=["cat", "dog"]), "n": datasets.Value("int64")}
    )
    cells = [{"bytes": one, "path": None} for one in data]
    return datasets.Dataset.from_dict({"photo": cells, "kind": [0, 1] * 6, "n": range(12)}, features=features)


def test_datasets_of_hugging_face_are_read(dataset, expected, tiny):
    table = featx.read_image_table(dataset, image="photo", label="kind")
    assert table.columns.tolist() == ["image", "label", "n"]
    assert table["label"].tolist() == ["cat", "dog"] * 6
    np.testing.assert_array_equal(embed(table, tiny), expected)
    assert isinstance(table["image"][0], pa.StructScalar)  # a reference: the bytes are in the dataset
    half = featx.read_image_table(dataset.select([3, 1]), image="photo")
    np.testing.assert_array_equal(embed(half, tiny), expected[[3, 1]])


def test_the_splits_of_a_dataset_are_a_column(dataset):
    import datasets

    both = datasets.DatasetDict({"train": dataset.select(range(8)), "test": dataset.select(range(8, 12))})
    table = featx.read_image_table(both, image="photo", label="kind")
    assert table.columns.tolist() == ["image", "label", "split", "n"]
    assert table["split"].tolist() == ["train"] * 8 + ["test"] * 4
    with pytest.raises(InputError, match="not a stream"):
        featx.read_image_table(dataset.to_iterable_dataset(), image="photo")


def test_frames_are_read_too(files, data):
    for frame in (pd.DataFrame({"photo": files, "n": range(12)}), pl.DataFrame({"photo": files, "n": range(12)})):
        table = featx.read_image_table(frame, image="photo")
        assert table.columns.tolist() == ["image", "n"]
        assert table["image"].tolist() == files
    table = featx.read_image_table(pl.DataFrame({"image": [{"bytes": one, "path": None} for one in data]}))
    assert load(table["image"][3])[0] == load(data[3])[0]


def test_a_table_of_several_columns_of_images_is_read_once(files, tmp_path, monkeypatch):
    read, paths = pd.read_csv, []
    monkeypatch.setattr(pd, "read_csv", lambda file, **options: (paths.append(file), read(file, **options))[1])
    file = tmp_path / "goods.csv"
    pd.DataFrame({"front": names(files), "back": names(files)[::-1], "n": range(12)}).to_csv(file, index=False)
    frame, first = open_table(str(file), ["front", "back"], root=Path(files[0]).parent)
    assert (first, paths) == ("front", [str(file)])
    assert frame.columns.tolist() == ["front", "back", "n"]
    assert (frame["front"].tolist(), frame["back"].tolist()) == (files, files[::-1])
    with pytest.raises(UnknownNameError, match="'side'"):
        open_table(str(file), ["front", "side"])


def test_several_columns_of_images_stay_where_they_are(data, dataset, tmp_path):
    shuffled = data[::-1]
    pq.write_table(pa.table({"front": data, "n": range(12), "back": shuffled}), tmp_path / "goods.parquet")
    members = {f"{i:02}.{side}": (data, shuffled)[side == "b.jpg"][i] for i in range(12) for side in ("a.jpg", "b.jpg")}
    tables = [
        (str(tmp_path / "goods.parquet"), ["front", "back"]),
        (write_tar(tmp_path / "goods.tar", members), ["a.jpg", "b.jpg"]),
        (pl.DataFrame({"front": data, "back": shuffled}), ["front", "back"]),
        (dataset.add_column("back", shuffled), ["photo", "back"]),
    ]
    for table, columns in tables:
        frame, first = open_table(table, columns)
        assert first == columns[0]
        for column, expected in zip(columns, (data, shuffled), strict=True):
            assert [load(cell)[0] for cell in frame[column]] == [load(one)[0] for one in expected]


@pytest.mark.parametrize(
    ("content", "parameters", "error", "message"),
    [
        ("photo,price\na.jpg,1\n", {}, UnknownNameError, "Unknown column 'image'"),
        ("photo,price\na.jpg,1\n", {"image": "photo", "label": "prize"}, UnknownNameError, "'price'"),
        ("photo,image\na.jpg,1\n", {"image": "photo"}, InputError, "a column 'image' beside 'photo'"),
        ("image\na.jpg\n", {"label": "image"}, ParameterError, "Expected two columns"),
        ("", {}, InputError, "cannot be read as a table"),
        ("a,b\n1,2,3,4\n5\n1,2,3,4,5\n", {}, InputError, "cannot be read as a table"),
        ("image,n\na.jpg,1,2\n", {}, InputError, "cannot be read as a table"),
    ],
)
def test_a_wrong_table_is_refused_with_what_was_expected(content, parameters, error, message, tmp_path):
    (tmp_path / "table.csv").write_text(content)
    with pytest.raises(error, match=message):
        featx.read_image_table(tmp_path / "table.csv", **parameters)


def test_other_files_are_refused_with_what_was_expected(tmp_path, data):
    (tmp_path / "table.xlsx").write_bytes(b"x")
    (tmp_path / "table.parquet").write_bytes(b"x")
    (tmp_path / "table.csv").write_text("image\n")
    write_tar(tmp_path / "a.tar.gz", {"1.jpg": data[0]}, "w:gz").rename(tmp_path / "b.tar")
    for given, message in (
        ("nowhere.csv", r"nowhere.csv, which is no file"),
        ("table.xlsx", r"ends in .csv, .tsv"),
        ("table.parquet", "cannot be read as Parquet"),
        ("b.tar", "Decompress it first"),
        ("no-*.tar", "no-.*which is no file"),
    ):
        with pytest.raises(FeatxError, match=message):
            featx.read_image_table(tmp_path / given)
    with pytest.raises(InputError, match=r"several kinds: .csv, .parquet"):
        featx.read_image_table([tmp_path / "table.csv", tmp_path / "table.parquet"])
    with pytest.raises(InputError, match="Got a int"):
        featx.read_image_table(3)


@pytest.mark.parametrize("suffix", [".csv.gz", ".csv.bz2", ".csv.xz", ".csv.zip", ".TSV"])
def test_a_name_that_is_read_is_a_table_s(suffix, files):
    file = Path(files[0]).with_name(f"products{suffix}")
    pd.DataFrame({"image": names(files), "n": range(12)}).to_csv(file, sep="\t" if suffix == ".TSV" else ",")
    assert is_table_name(str(file))
    assert featx.read_image_table(file)["image"].tolist() == files


def test_paths_of_several_tables_are_relative_to_each(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "table.csv").write_text("image\n1.jpg\n")
    expected = [str(tmp_path / "a" / "1.jpg"), str(tmp_path / "b" / "1.jpg")]
    for tables in (tmp_path / "*" / "table.csv", [tmp_path / "a" / "table.csv", f"file://{tmp_path}/b/table.csv"]):
        assert featx.read_image_table(tables)["image"].tolist() == expected


def test_an_absolute_path_in_a_table_of_a_url_is_where_it_says(files, tmp_path):
    (tmp_path / "table.csv").write_text(f"image\n{files[0]}\n1.jpg\n")
    found = featx.read_image_table(f"file://{tmp_path}/table.csv")["image"].tolist()
    assert found == [files[0], str(tmp_path / "1.jpg")]


def test_names_of_digits_are_names(tmp_path):
    (tmp_path / "table.csv").write_text("image,sku\n0017,1\n,2\n")
    found = featx.read_image_table(tmp_path / "table.csv")["image"].tolist()
    assert found[0] == str(tmp_path / "0017")
    assert featx.images.is_missing(found[1])


def test_rows_that_end_in_a_separator_are_read(tmp_path):
    (tmp_path / "table.csv").write_text("image,n\na.jpg,1,\nb.jpg,2,\n")
    assert featx.read_image_table(tmp_path / "table.csv")["n"].tolist() == [1, 2]


def test_tables_of_pyarrow_are_read(files, data):
    table = featx.read_image_table(pa.table({"photo": files, "n": range(12)}), image="photo", label="n")
    assert table.columns.tolist() == ["image", "label"]
    assert table["image"].tolist() == files
    table = featx.read_image_table(pa.table({"image": data}))
    assert load(table["image"][3])[0] == load(data[3])[0]


def test_frames_that_hold_no_one_column_of_images_are_refused(files):
    frame = pd.DataFrame({"image": files, "n": range(12)})
    with pytest.raises(InputError, match=r"several columns of one name: \['image', 'n'\]"):
        featx.read_image_table(pd.concat([frame, frame], axis=1))
    with pytest.raises(InputError, match=r"Got a LazyFrame.*collect"):
        featx.read_image_table(pl.DataFrame({"image": files}).lazy())
    with pytest.raises(ParameterError, match="Got image=0"):
        featx.read_image_table(frame, image=0)


@pytest.mark.parametrize("name", ["a.tar", "a.parquet"])
def test_an_archive_elsewhere_is_to_be_downloaded(name, data, monkeypatch, tmp_path):
    write_tar(tmp_path / "a.tar", {"1.jpg": data[0]})
    pq.write_table(pa.table({"image": data}), tmp_path / "a.parquet")
    read = pq.ParquetFile
    monkeypatch.setattr(pq, "ParquetFile", lambda file, **options: read(tmp_path / Path(file).name, **options))
    with pytest.raises(InputError, match="download it"):
        featx.read_image_table(f"s3://bucket/{name}")


def test_memory_does_not_grow_with_what_parquet_and_polars_hold(tmp_path):
    """Arrow reads pages as they come, and views what polars has."""
    cells = [bytes([i % 251]) * 5_000 for i in range(4096)]  # 20 MB, in four pages
    pq.write_table(pa.table({"image": cells}), tmp_path / "a.parquet", compression="none", use_dictionary=False)
    images = featx.read_image_table(tmp_path / "a.parquet")["image"]
    before = pa.total_allocated_bytes()
    assert images[0].read() == cells[0]
    assert pa.total_allocated_bytes() - before < 10e6
    series = pl.Series("image", cells)
    before = pa.total_allocated_bytes()
    assert bytes(featx.images.as_column(series).sources[5]) == cells[5]
    assert pa.total_allocated_bytes() - before < 1e5
