from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

import fsspec
import numpy as np
import pandas as pd
import pytest
from PIL import Image

import featx
from featx import precompute
from featx.engine import _on_ray
from featx.engine._on_ray import Pool, plan_pool
from featx.exceptions import DeviceError, InputError, MissingDependencyError, ParameterError, UnknownNameError
from tests.cells import Deadly, DeadlyOnce, Rooted
from tests.cli.processes import featx_command
from tests.networks import tiny_encoder
from tests.object_store import serve_s3

KINDS = ("ResourceWarning", "DeprecationWarning", "FutureWarning")
# Ray's own, of its processes and of what it will rename.
pytestmark = [pytest.mark.filterwarnings(f"ignore::{kind}") for kind in KINDS]


@pytest.fixture(scope="module")
def ray(tmp_path_factory, graphs):
    """Two processors of Ray, whose processes find the same converted networks and none of this user's caches."""
    module = pytest.importorskip("ray")
    cache = tmp_path_factory.mktemp("ray") / "cache"
    (cache / "featx").mkdir(parents=True)
    (cache / "featx" / "graphs").symlink_to(graphs)
    folder = tempfile.mkdtemp(prefix="ray")  # its sockets take no long paths
    # Ray's processes are told where S3 is when they are started.
    with pytest.MonkeyPatch.context() as patch, serve_s3(cache):
        patch.setenv("XDG_CACHE_HOME", str(cache))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_AUTH_MODE", "disabled")  # else it keeps a token in this user's home
        module.init(
            "local",
            num_cpus=2,
            num_gpus=0,
            object_store_memory=100_000_000,
            include_dashboard=False,
            log_to_driver=False,
            logging_level="ERROR",
            _temp_dir=folder,
        )
        yield module
        module.shutdown()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def mixed(files) -> Path:
    """A folder with gray images among those in color, and one that is none."""
    for file in files[::3]:
        with Image.open(file) as image:
            image.convert("L").save(file)
    folder = Path(files[0]).parent
    (folder / "bad.jpg").write_bytes(b"garbage")
    return folder


def encoded(table: pd.DataFrame) -> list[int]:
    return [row["encoded"] for row in table.attrs["encoders"]]


def test_workers_fill_the_store_that_a_pipeline_reads(ray, mixed, tiny, store, monkeypatch):
    monkeypatch.chdir(mixed.parent)
    table = precompute("photos", tiny, ["feature", "conv2"], cache="store", engine="ray", verbose=0)
    here = precompute("photos", tiny, ["feature", "conv2"], cache="here", engine=None, verbose=0)
    pd.testing.assert_frame_equal(table, here)
    assert table["image"].tolist() == [f"photos/{i:02}.jpg" for i in range(12)] + ["photos/bad.jpg"]
    assert table["ok"].tolist() == [True] * 12 + [False]
    assert table["error"][12].startswith("not an image")
    assert encoded(table) == encoded(here) == [12, 12]
    good = table["image"][table["ok"]]
    warm = featx.ImageEncoder(tiny, layers="conv2", cache="store", verbose=0).fit(good)
    monkeypatch.setattr("featx.runtimes.get_runtime", None)  # nothing is left to encode
    rows = warm.transform(good)
    np.testing.assert_array_equal(rows, featx.ImageEncoder(tiny, layers="conv2", cache="here").transform(good))


def test_images_and_embeddings_may_lie_in_object_stores(ray, mixed, tiny):
    buckets = fsspec.filesystem("s3")
    for bucket in ("ray-photos", "ray-embeddings"):
        buckets.mkdir(bucket)
    buckets.put(str(mixed), "ray-photos/shop", recursive=True)
    where = {"cache": "s3://ray-embeddings/shop", "verbose": 0}
    table = precompute("s3://ray-photos/shop/", tiny, engine="ray", concurrency=1, **where)
    assert table["image"].tolist()[::11] == ["s3://ray-photos/shop/00.jpg", "s3://ray-photos/shop/11.jpg"]
    assert table["ok"].tolist() == [True] * 12 + [False]
    assert featx.EmbeddingStore("s3://ray-embeddings/shop").info()["unique_rows"].tolist() == [12]
    assert encoded(precompute(sorted(mixed.glob("[0-9]*.jpg")), tiny, engine=None, **where)) == [0]


def test_a_killed_worker_costs_only_its_batch(ray, files, tiny, tmp_path):
    deadly = DeadlyOnce(tmp_path / "store")
    table = precompute(files, tiny, cache=deadly, engine="ray", concurrency=2, verbose=0)
    killed = int(Path(f"{deadly.location}.died").read_text())
    assert killed != os.getpid()
    assert table["ok"].tolist() == [True] * 12
    # What it had written was found again.
    assert deadly.info()[["rows", "unique_rows"]].to_numpy().tolist() == [[12, 12]]


def test_an_image_that_kills_its_workers_costs_only_itself(ray, files, tiny, store, monkeypatch):
    monkeypatch.setattr(_on_ray, "TRIES", 1)
    table = precompute([*files[:6], Deadly(), *files[6:]], tiny, cache=store, engine="ray", concurrency=1, verbose=0)
    assert table.index[~table["ok"]].tolist() == [6]
    assert table["error"][6] == "whichever worker encodes it is killed"
    assert store.info()["unique_rows"].tolist() == [12]


def test_run_again_it_encodes_only_what_is_missing_as_here_out_of_parquet(ray, files, store, tmp_path):
    mine = featx.ImageEncoder(tiny_encoder(1), preprocess="pad", on_error="raise")
    precompute(files[:8], mine, cache=store, verbose=0)
    content = [Path(file).read_bytes() for file in files]
    pd.DataFrame({"photo": [*content, None, b"garbage"]}).to_parquet(tmp_path / "bytes.parquet")
    options = {"cache": store, "image": "photo", "verbose": 0}
    table = precompute(str(tmp_path / "bytes.parquet"), mine, engine="ray", concurrency=1, **options)
    assert table["ok"].tolist() == [True] * 12 + [False] * 2
    assert table["error"].tolist()[-2] == "missing (None)"
    pd.DataFrame({"photo": [f"photos/{Path(file).name}" for file in files]}).to_parquet(tmp_path / "paths.parquet")
    paths = precompute(tmp_path / "paths.parquet", mine, engine=None, **options)
    assert paths["image"].tolist() == files
    assert (encoded(table), encoded(paths)) == ([4], [0])
    for engine in ("ray", None):
        with pytest.raises(UnknownNameError, match=r"Unknown column 'photos'\. Did you mean 'photo'"):
            precompute(tmp_path / "paths.parquet", mine, cache=store, engine=engine, image="photos")


def test_a_dataset_of_ray_gives_files_and_tells_their_paths(ray, mixed, tiny, store):
    dataset = ray.data.read_binary_files(str(mixed), include_paths=True)
    table = precompute(dataset, tiny, cache=store, engine="ray", concurrency=1, verbose=0)
    assert sorted(map(os.path.basename, table["image"])) == [*(f"{i:02}.jpg" for i in range(12)), "bad.jpg"]
    assert [os.path.basename(image) for image in table["image"][~table["ok"]]] == ["bad.jpg"]
    assert encoded(table) == [12]
    assert not dataset.context.execution_options.preserve_order  # the user's, and as it was
    with pytest.raises(UnknownNameError, match="Unknown column 'photo'"):
        precompute(dataset, tiny, cache=store, engine="ray", image="photo")
    with pytest.raises(InputError, match=r"decoded images .*read_binary_files"):
        precompute(ray.data.read_images(sorted(map(str, mixed.glob("0*")))), tiny, cache=store, engine="ray")
    with pytest.raises(ParameterError, match='Expected engine="ray"'):
        precompute(dataset, tiny, cache=store, engine=None)


def test_what_a_worker_cannot_do_is_raised_as_it_is(ray, files, tiny, store):
    with pytest.raises(DeviceError, match="cuda"):
        precompute(files, tiny, cache=store, engine="ray", device="cuda", num_gpus=0, concurrency=1)
    assert ray.is_initialized()


@pytest.mark.parametrize(
    ("nodes", "n_jobs", "num_gpus", "concurrency", "expected"),
    [
        ([(2, 0)], -1, 0, None, Pool(2, 2, 1, 0)),
        ([(2, 0)], -1, 0, (2, 2), Pool(2, 2, 1, 0)),
        ([(2, 0)], -1, 0, (1, 1), Pool(1, 1, 2, 0)),
        ([(2, 0)], -1, 0, (5, 5), Pool(5, 5, 1, 0)),
        ([(6, 0), (2, 0)], -1, 0, (2, 2), Pool(2, 2, 3, 0)),  # two of four would find no place
        ([(8, 0)], -1, 0, (1, 4), Pool(1, 4, 2, 0)),
        ([(8, 0), (3, 0)], 2, 0, None, Pool(5, 5, 2, 0)),
        ([(8, 0)], None, 0, None, Pool(8, 8, 1, 0)),
        ([(16, 2), (64, 0)], -1, 1, None, Pool(2, 2, 8, 1)),
        ([(16, 2)], -1, 0.5, None, Pool(4, 4, 4, 0.5)),
        ([(4, 0)], -1, 1, None, Pool(1, 1, 1, 1)),  # a cluster that will grow
    ],
)
def test_workers_share_the_processors(nodes, n_jobs, num_gpus, concurrency, expected):
    assert plan_pool(nodes, n_jobs, num_gpus, concurrency) == expected


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"concurrency": 0}, "Got concurrency=0"),
        ({"concurrency": (3, 2)}, "Expected a number of workers, or \\(fewest, most\\)"),
        ({"num_gpus": -1}, "Got num_gpus=-1"),
    ],
)
def test_pools_that_cannot_be_are_refused(ray, files, tiny, store, parameters, message):
    with pytest.raises(ParameterError, match=message):
        precompute(files, tiny, cache=store, engine="ray", **parameters)


def test_a_store_that_cannot_travel_is_refused(ray, files, tiny, tmp_path):
    store = Rooted(tmp_path / "store")
    with pytest.raises(ParameterError, match="cannot be handed to workers of Ray: cannot pickle"):
        precompute(files, tiny, cache=store, engine="ray")


def test_without_ray_the_extra_is_named(files, tiny, store, monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "ray"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'featx\[ray\]'"):
        precompute(files, tiny, cache=store, engine="ray")


def test_the_command_starts_ray_itself(files, tmp_path):
    pytest.importorskip("ray")
    (tmp_path / "photos" / "bad.jpg").write_bytes(b"garbage")
    tiny = ["--encoder", "squeezenet1_1", "--weights", "random", "--cache", "store"]
    done = featx_command("embed", "photos", *tiny, "--engine", "ray", "--concurrency", "1", cwd=tmp_path)
    assert (done.returncode, done.stdout[:14]) == (1, "photos/bad.jpg")
    assert done.stderr.endswith("13 images: 1 bad, 12 embeddings are new in the cache\n")
