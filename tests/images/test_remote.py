from __future__ import annotations

import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import fsspec
import numpy as np
import pandas as pd
import pytest

import featx
from featx.exceptions import ImageReadError, InputError, MissingDependencyError, ParameterError
from featx.images import Doors, _remote, open_column
from featx.images._remote import RemoteImage
from tests.object_store import count_requests, serve_s3

BUCKET = "photos"


@pytest.fixture(scope="module")
def s3(tmp_path_factory):
    with serve_s3(tmp_path_factory.mktemp("aws")):
        system = fsspec.filesystem("s3", skip_instance_cache=True)
        system.mkdir(BUCKET)
        yield system


@pytest.fixture
def requests(s3) -> Iterator[Counter[str]]:
    with count_requests() as asked:
        yield asked


def upload(s3, files: list[str], folder: str) -> list[str]:
    urls = [f"s3://{BUCKET}/{folder}/{Path(file).name}" for file in files]
    for url, file in zip(urls, files, strict=True):
        s3.pipe_file(url, Path(file).read_bytes())
    return urls


def test_images_of_an_object_store_are_embedded_as_their_files_are(s3, files, tiny):
    urls = upload(s3, files[:6], "rows")
    rows = featx.ImageEncoder(tiny, cache=False).transform(pd.Series(urls, name="photo"))
    np.testing.assert_array_equal(rows, featx.ImageEncoder(tiny, cache=False).transform(files[:6]))


def test_a_warm_run_lists_and_reads_nothing(s3, requests, files, store, tiny, monkeypatch):
    monkeypatch.setattr(_remote, "_LISTED_FROM", len(files))
    urls = upload(s3, files, "many")
    requests.clear()
    encoder = featx.ImageEncoder(tiny, cache=store)
    rows = encoder.transform(urls)
    assert requests["get_object"] == len(urls)
    requests.clear()
    np.testing.assert_array_equal(encoder.transform(urls), rows)
    assert requests["get_object"] == 0
    assert sum(requests.values()) < len(urls) / 2
    assert not requests["head_object"]


def test_a_few_objects_are_asked_for_one_by_one(s3, requests, files, store, tiny):
    urls = upload(s3, files[:3], "few")
    encoder = featx.ImageEncoder(tiny, cache=store)
    rows = encoder.transform(urls)
    requests.clear()
    np.testing.assert_array_equal(encoder.transform(urls), rows)
    assert requests == {"head_object": 3}


def test_an_object_that_was_replaced_is_read_again(s3, files, store, tiny):
    urls = upload(s3, files[:2], "replaced")
    encoder = featx.ImageEncoder(tiny, cache=store)
    encoder.transform(urls)
    s3.pipe_file(urls[0], Path(files[5]).read_bytes())
    np.testing.assert_array_equal(encoder.transform(urls), encoder.transform([files[5], files[1]]))


def test_an_etag_that_changes_in_mid_run_never_names_the_old_content(s3, files, store, tiny, monkeypatch):
    (url,) = upload(s3, files[:1], "changing")
    encoder = featx.ImageEncoder(tiny, cache=store)
    read = RemoteImage.read

    def then_replaced(self) -> bytes:
        content = read(self)
        s3.pipe_file(url, Path(files[5]).read_bytes())
        return content

    monkeypatch.setattr(RemoteImage, "read", then_replaced)
    np.testing.assert_array_equal(encoder.transform([url]), encoder.transform(files[:1]))
    monkeypatch.undo()
    np.testing.assert_array_equal(encoder.transform([url]), encoder.transform(files[5:6]))


@pytest.mark.parametrize("n", [1, 6], ids=["asked for", "listed"])
def test_an_object_that_is_not_there_is_one_bad_row(n, s3, files, tiny, monkeypatch):
    monkeypatch.setattr(_remote, "_LISTED_FROM", 5)
    urls = upload(s3, files[:n], f"absent{n}")
    missing = f"s3://{BUCKET}/absent{n}/nowhere.jpg"
    with pytest.raises(ImageReadError, match=r"nowhere.jpg': no such file") as raised:
        featx.ImageEncoder(tiny, cache=False).transform([*urls, missing])
    assert raised.value.table["position"].tolist() == [n]


@pytest.mark.parametrize("n", [1, 30])
def test_a_bucket_that_is_not_there_has_a_reason(n, s3, tiny):
    with pytest.raises(ImageReadError, match=r"no such file|cannot be read|no permission"):
        featx.ImageEncoder(tiny, cache=False).transform([f"s3://elsewhere/{i}.jpg" for i in range(n)])


def test_a_folder_and_an_empty_object_are_no_images(s3, files, tiny):
    upload(s3, files[:1], "tree/folder")
    s3.pipe_file(f"s3://{BUCKET}/tree/empty.jpg", b"")
    urls = [f"s3://{BUCKET}/tree/folder", f"s3://{BUCKET}/tree/empty.jpg"]
    with pytest.raises(ImageReadError, match=r"(?s)is a folder.*0 bytes"):
        featx.ImageEncoder(tiny, cache=False).transform(urls)


def test_relative_paths_lie_below_the_url_of_a_root(s3, files, tiny):
    upload(s3, files[:2], "rooted")
    encoder = featx.ImageEncoder(tiny, cache=False, root=f"s3://{BUCKET}/rooted/")
    rows = encoder.transform([Path(file).name for file in files[:2]])
    np.testing.assert_array_equal(rows, featx.ImageEncoder(tiny, cache=False).transform(files[:2]))


def test_the_dicts_of_hugging_face_may_hold_urls(s3, files, tiny):
    (url,) = upload(s3, files[:1], "dicts")
    rows = featx.ImageEncoder(tiny, cache=False).transform([{"bytes": None, "path": url}])
    np.testing.assert_array_equal(rows, featx.ImageEncoder(tiny, cache=False).transform(files[:1]))


def test_checks_and_audits_read_from_a_store(s3, files):
    urls = upload(s3, files[:3], "checked")
    assert featx.check_images(urls)["ok"].all()
    audited = featx.audit([*urls, files[0]], verbose=0, encoder=featx.ImageEncoder(cache=False))
    assert audited.groups.tolist() == [0, 1, 2, 0]


def test_content_that_is_in_the_cache_is_read_only_to_be_known(s3, requests, files, store, tiny):
    """The digest is of the content: the same image at another place is no second row."""
    encoder = featx.ImageEncoder(tiny, cache=store)
    rows = encoder.transform(files[:2])
    urls = upload(s3, files[:2], "again")
    np.testing.assert_array_equal(encoder.transform(urls), rows)
    assert requests["get_object"] == 2


def test_an_object_that_is_known_and_not_in_this_store_is_read(s3, files, store, tiny, tmp_path):
    urls = upload(s3, files[:2], "elsewhere")
    rows = featx.ImageEncoder(tiny, cache=store).transform(urls)
    np.testing.assert_array_equal(featx.ImageEncoder(tiny, cache=tmp_path / "other").transform(urls), rows)


def test_other_stores_of_fsspec_are_read_too(files, tiny):
    memory = fsspec.filesystem("memory")
    memory.pipe_file("/photos/a.jpg", Path(files[0]).read_bytes())
    rows = featx.ImageEncoder(tiny, cache=False).transform(["memory://photos/a.jpg"])
    np.testing.assert_array_equal(rows, featx.ImageEncoder(tiny, cache=False).transform(files[:1]))


def test_what_a_store_does_not_version_is_read_each_time(files, store, tiny):
    memory, encoder = fsspec.filesystem("memory"), featx.ImageEncoder(tiny, cache=store)
    for file in files[:2]:
        memory.pipe_file("/photos/b.jpg", Path(file).read_bytes())
        np.testing.assert_array_equal(encoder.transform(["memory://photos/b.jpg"]), encoder.transform([file]))


def test_urls_of_files_are_paths(files):
    (path,) = open_column([Path(files[0]).as_uri()]).sources
    assert path == files[0]
    (other,) = open_column(["file://elsewhere/a.jpg"]).sources
    assert "a file of the host elsewhere" in other.reason


def test_the_next_images_are_read_while_others_are_encoded(files, tiny, monkeypatch):
    """With parts of one image each, the second is under way when the first is embedded."""
    from featx.extraction import _extract

    memory, events, come = fsspec.filesystem("memory"), [], threading.Condition()
    for i, file in enumerate(files[:4]):
        memory.pipe_file(f"/ahead/{i}.jpg", Path(file).read_bytes())
    monkeypatch.setattr("featx.images._source._PART_FILES", 1)
    read, make = RemoteImage.read, _extract._make_part

    def reading(self) -> bytes:
        content = read(self)
        with come:
            events.append(self.url)
            come.notify_all()
        return content

    def embedding(*args):
        with come:  # until the next one has been read, which nothing here asks for
            assert come.wait_for(lambda: len(events) >= min(4, len(embedded) + 2), timeout=60)
        embedded.append(1)
        return make(*args)

    embedded: list[int] = []
    monkeypatch.setattr(RemoteImage, "read", reading)
    monkeypatch.setattr(_extract, "_make_part", embedding)
    rows = featx.ImageEncoder(tiny, cache=False).transform([f"memory://ahead/{i}.jpg" for i in range(4)])
    assert len(rows) == len(embedded) == 4


def test_a_package_that_is_missing_is_named(monkeypatch, tiny):
    def absent(url):
        raise ImportError("Please install gcsfs")

    monkeypatch.setattr(fsspec.core, "url_to_fs", absent)
    with pytest.raises(MissingDependencyError, match=r"needs fsspec's package for gs: Please install gcsfs"):
        featx.ImageEncoder(tiny, cache=False).transform(["gs://bucket/a.jpg"])
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(MissingDependencyError, match=r"featx\[remote\]"):
        featx.ImageEncoder(tiny, cache=False).transform(["s3://bucket/a.jpg"])


def test_paths_on_this_machine_load_nothing_of_it(files):
    code = (
        "import sys, featx; featx.check_images(sys.argv[1:]);"
        "print([name for name in ('fsspec', 'ssl', 'http.client', 's3fs') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, *files[:2]], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_bundle_and_its_service_never_follow_a_url(tmp_path):
    from featx.deploy._columns import read_columns

    inputs = [{"name": "image", "kind": "image", "missing": [], "known": None}]
    for cell in ("memory://photos/a.jpg", "https://example.org/a.jpg", {"bytes": None, "path": "s3://bucket/a.jpg"}):
        (source,) = read_columns([cell], inputs).first.sources
        with pytest.raises(featx.images.DecodeError, match="URLs are not read"):
            featx.images.load(source)


def test_a_root_and_texts_of_another_kind_are_parameters(tmp_path, files, tiny):
    import base64

    name, data = Path(files[0]).name, Path(files[0]).read_bytes()
    expected = featx.ImageEncoder(tiny, cache=False).transform(files[:1])
    below = featx.ImageEncoder(tiny, cache=False, root=Path(files[0]).parent)
    for cell in (name, Path(name), {"bytes": None, "path": name}, files[0]):
        np.testing.assert_array_equal(below.transform([cell]), expected)
    texts = featx.ImageEncoder(tiny, cache=False, strings="base64")
    text = base64.b64encode(data).decode()
    for cell in (text, f"data:image/jpeg;base64,{text}", {"bytes": data, "path": None}):
        np.testing.assert_array_equal(texts.transform([cell]), expected)
    with pytest.raises(ImageReadError, match="not base64"):
        texts.transform([files[0]])
    with pytest.raises(ImageReadError, match="no such file"):
        featx.ImageEncoder(tiny, cache=False).transform([text[:80]])


def test_none_of_them_is_part_of_the_fingerprint(tiny):
    from featx._image_encoder import extraction_of

    plain = featx.ImageEncoder(tiny)
    other = featx.ImageEncoder(tiny, root="/photos", strings="base64", allow_http=True)
    assert extraction_of(plain).fingerprints() == extraction_of(other).fingerprints()


def test_opening_a_column_twice_changes_nothing():
    for doors, cells in (
        (Doors(root="/photos"), ["a.jpg", "s3://b/a.jpg", b"x", ""]),
        (Doors(strings="base64"), ["aGk="]),
    ):
        once = open_column(cells, doors)
        assert list(open_column(once, doors).sources) == list(once.sources)


def test_states_that_fail_have_reasons(monkeypatch):
    monkeypatch.setattr(_remote, "_open", lambda url: (_Failing(), url))
    assert RemoteImage.states([RemoteImage("s3://b/a.jpg")]) == ["no permission to read the file: no"]
    many = [RemoteImage(f"s3://b/{i}.jpg") for i in range(30)]
    assert set(RemoteImage.states(many)) == {"no permission to read the file: no"}


class _Failing:
    def invalidate_cache(self, path: str) -> None:
        raise PermissionError("no")


@pytest.mark.parametrize("hosts", [["https://example.org"], ["example.org:8080"], ["example.org/photos"]])
def test_hosts_are_named_without_scheme_port_and_path(hosts):
    with pytest.raises(ParameterError, match="Expected hosts alone"):
        Doors(allow_http=hosts)
    Doors(allow_http=["example.org", "::1", "10.0.0.1"])


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("memory://bucket/none.csv", "which is no file"),
        ("nowhere://bucket/table.csv", "which cannot be read as a table"),
    ],
)
def test_a_table_that_a_store_does_not_give_is_refused(table, message):
    with pytest.raises(InputError, match=f"Got {table}, {message}"):
        featx.read_image_table(table)
