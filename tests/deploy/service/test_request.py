from __future__ import annotations

import asyncio
import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from featx.deploy._columns import NULL
from featx.deploy.service._request import Limits, Reader, Refusal, Unreadable
from tests.deploy.service.serving import as_base64

IMAGE = {"name": "photo", "kind": "image"}
COUNT = {"name": "count", "kind": "integer", "missing": True, "known": None}
SHOP = {"name": "shop", "kind": "category", "missing": ["NaN"], "known": None}
FORM = "multipart/form-data; boundary=edge"


def read(body, kind="application/json", *, inputs=(IMAGE,), limits=None, cuts=1, headers=()):
    """Read a body that arrives in pieces."""
    size = max(1, -(-len(body) // cuts))
    pieces = [body[start : start + size] for start in range(0, len(body), size)] or [b""]
    return read_messages(
        [{"type": "http.request", "body": p, "more_body": i + 1 < len(pieces)} for i, p in enumerate(pieces)],
        *(kind, inputs, limits, headers),
    )


def read_messages(messages, kind="application/json", inputs=(IMAGE,), limits=None, headers=()):
    async def receive():
        if not messages:
            await asyncio.sleep(3600)
        return messages.pop(0)

    async def reading():
        headers_ = [(b"content-type", kind.encode()), *headers]
        scope = {"type": "http", "headers": headers_, "app": None}  # as from an application
        return await Reader(inputs, limits or Limits()).read(Request(scope, receive))

    return asyncio.run(reading())


def refused(*arguments, **options) -> Refusal:
    with pytest.raises(Refusal) as caught:
        read(*arguments, **options)
    return caught.value


def form_of(*fields, end=b"--edge--\r\n"):
    """A form; fields of bytes are files, those of str are text."""
    parts = []
    for name, content in fields:
        file = b'; filename="x"' if isinstance(content, bytes) else b""
        content = content if isinstance(content, bytes) else content.encode()
        disposition = b'Content-Disposition: form-data; name="%s"%s' % (name.encode(), file)
        parts.append(b"--edge\r\n%s\r\n\r\n%s\r\n" % (disposition, content))
    return b"".join(parts) + end


@given(st.lists(st.binary(min_size=1, max_size=100), min_size=1, max_size=5), st.integers(1, 9))
def test_images_come_back_from_both_kinds_of_body(images, cuts):
    body = json.dumps({"images": as_base64(*images)}).encode()
    assert read(body, cuts=cuts) == {"photo": images}
    assert read(form_of(*(("photo", image) for image in images)), FORM, cuts=cuts) == {"photo": images}


@given(st.binary(max_size=300))
def test_any_form_is_read_or_refused(body):
    status = 200
    try:
        read(b"--edge" + body, FORM)
    except Refusal as error:
        status = error.status
    assert status in (200, 413, 422)


def test_a_form_that_breaks_off_is_refused():
    whole = form_of(("photo", b"x"), ("photo", b"y"))
    assert "breaks off" in str(refused(whole[:-4], FORM))
    assert "breaks off" in str(refused(form_of(("photo", b"x"), end=b""), FORM))


@pytest.mark.parametrize(
    ("body", "kind", "reason"),
    [
        (form_of(("photo", b"x")), "multipart/form-data", "boundary"),
        (b"--edge\r\nContent-Type: image/jpeg\r\n\r\nx\r\n--edge--\r\n", FORM, '"name"'),
        (b"hello", FORM, "cannot be read"),
    ],
    ids=["no boundary", "no name", "no form"],
)
def test_a_malformed_form_is_refused(body, kind, reason):
    error = refused(body, kind)
    assert error.status == 422
    assert reason in str(error)


def test_the_image_beyond_the_limit_is_refused_before_the_others_are_read():
    form = form_of(*[("photo", b"x")] * 30)
    error = refused(form, FORM, limits=Limits(max_images=2), cuts=10)
    assert (error.status, error.unread) == (413, True)
    assert "2" in str(error)


def test_columns_without_end_are_refused():
    assert refused(form_of(*[(f"c{i}", "") for i in range(1001)]), FORM).status == 413


def test_text_is_short():
    size = {"name": "size", "kind": "number", "missing": True, "known": None}
    assert refused(form_of(("photo", b"x"), ("size", "1" * 2_000_000)), FORM, inputs=[IMAGE, size]).status == 422
    assert read(form_of(("photo", bytes(2_000_000))), FORM) == {"photo": [bytes(2_000_000)]}


def test_an_image_is_a_file_and_a_value_is_text():
    assert "Expected a file" in str(refused(form_of(("photo", "x")), FORM))
    assert "Expected text" in str(refused(form_of(("photo", b"x"), ("count", b"7")), FORM, inputs=[IMAGE, COUNT]))


CONTENT = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["images", "columns", "photo", "x"]), inner),
)


@given(CONTENT)
def test_any_json_is_read_or_refused_as_malformed(content):
    status = 200
    try:
        read(json.dumps(content).encode())
    except Refusal as error:
        status = error.status
    assert status in (200, 422)


def encoded(*values):
    return read(json.dumps({"images": list(values)}).encode())["photo"]


DATA = bytes(range(250, 256)) * 30  # in base64 with "+" and "/", of several lines


@pytest.mark.parametrize(
    "text",
    [
        base64.b64encode(DATA).decode(),
        base64.encodebytes(DATA).decode(),
        base64.encodebytes(DATA).decode().replace("\n", "\r\n"),
        base64.urlsafe_b64encode(DATA).decode(),
        f"data:image/png;base64,{base64.b64encode(DATA).decode()}",
        f"DATA:image/png;charset=x;BASE64,{base64.encodebytes(DATA).decode()}",
    ],
    ids=["one line", "MIME", "MIME, CRLF", "of URLs", "data:", "DATA:"],
)
def test_base64_is_read_in_each_of_its_forms(text):
    assert encoded(text) == [DATA]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (base64.b64encode(DATA).decode().replace("+", " "), "a space. Was it a '+' that a form or a URL has changed"),
        ("+/-_", "both '+/' and '-_'"),
        (base64.b64encode(b"x").decode().rstrip("="), "2 characters, not a multiple of 4. Is it whole, with its '='"),
        (base64.b64encode(DATA).decode()[:-1], "239 characters, not a multiple of 4"),
        ("data:image/svg+xml,%3Csvg%3E", "a data: URI without ';base64,'"),
        ("****", "not base64"),
        (3, "a int; expected an image file in base64"),
    ],
    ids=["a space", "two alphabets", "no padding", "cut", "no base64 data:", "no alphabet", "a number"],
)
def test_what_may_be_other_data_than_was_meant_is_no_image(text, reason):
    good, bad = encoded(base64.b64encode(DATA).decode(), text)
    assert good == DATA
    assert isinstance(bad, Unreadable)
    assert reason in bad


def test_an_image_that_is_null_or_empty_is_missing():
    assert encoded(None, "", "data:image/png;base64,") == [None] * 3


@pytest.mark.parametrize("others", [True, False])
def test_null_and_an_empty_field_of_a_category_are_the_missing_value_that_it_was_fitted_with(others):
    shop = {"name": "shop", "kind": "category", "missing": ["None"], "known": ["a"], "others": others}
    body = json.dumps({"images": ["eA=="] * 2, "columns": {"shop": [None, "None"]}}).encode()
    assert read(body, inputs=[IMAGE, shop])["shop"] == [NULL, "None"]
    fields = [("photo", b"x"), ("photo", b"x"), ("shop", ""), ("shop", "a")]
    assert read(form_of(*fields), FORM, inputs=[IMAGE, shop])["shop"] == [NULL, "a"]
    for own in ({**shop, "known": ["", "a"]}, {**shop, "missing": []}):
        assert read(form_of(*fields), FORM, inputs=[IMAGE, own])["shop"] == ["", "a"]


def test_a_missing_number_is_null_and_a_field_of_digits_a_number():
    size = {"name": "size", "kind": "number", "missing": True, "known": [1.5], "others": True}
    body = json.dumps({"images": ["eA=="] * 2, "columns": {"size": [None, 1.5]}}).encode()
    assert read(body, inputs=[IMAGE, size])["size"] == [None, 1.5]
    fields = [("photo", b"x")] * 4 + [("size", value) for value in ("1.5", "", "nan", "inf")]
    assert read(form_of(*fields), FORM, inputs=[IMAGE, size])["size"] == [1.5, None, "nan", "inf"]


@pytest.mark.parametrize("name", ["photo", "image", "images", "file", "files"])
def test_the_only_column_of_images_has_other_names(name):
    assert read(form_of((name, b"x")), FORM) == {"photo": [b"x"]}


def test_two_columns_of_images_have_no_other_names():
    inputs = [IMAGE, {"name": "back", "kind": "image"}]
    assert "unknown column 'file'" in str(refused(form_of(("photo", b"x"), ("file", b"x")), FORM, inputs=inputs))


def test_fields_become_what_their_column_holds():
    fields = [("photo", b"x")] * 3
    fields += [("count", value) for value in ("7", "", "many")] + [("shop", value) for value in ("", "1", "\xe9")]
    columns = read(form_of(*fields), FORM, inputs=[IMAGE, COUNT, SHOP])
    assert columns["count"] == [7, None, "many"]
    assert columns["shop"] == [NULL, "1", "\xe9"]


def as_records(*records, inputs=(IMAGE, COUNT, SHOP)):
    return read(json.dumps(records).encode(), inputs=inputs)


def test_records_are_rows_with_the_same_words_as_a_form():
    rows = [{"shop": "a", "photo": "eA==", "count": 1}, {"photo": None, "count": None, "shop": None}]
    assert as_records(*rows) == {"photo": [b"x", None], "count": [1, None], "shop": ["a", NULL]}
    fields = [("photo", b"x"), ("photo", b"y"), ("count", "1"), ("count", ""), ("shop", "a"), ("shop", "")]
    assert read(form_of(*fields), FORM, inputs=[IMAGE, COUNT, SHOP])["count"] == [1, None]


@pytest.mark.parametrize("name", ["photo", "image", "images", "file", "files"])
def test_the_only_column_of_images_has_the_same_names_in_json_as_in_a_form(name):
    assert read(json.dumps({name: ["eA=="]}).encode()) == {"photo": [b"x"]}
    assert as_records({name: "eA=="}, inputs=[IMAGE]) == {"photo": [b"x"]}


@pytest.mark.parametrize(
    ("records", "reason"),
    [
        ([{"photo": "eA==", "count": 1}], "no 'shop' in record 0"),
        ([{"photo": "eA==", "count": 1, "shop": "a"}, {}], "no 'photo', 'count', 'shop' in record 1"),
        ([{"photo": "eA==", "count": 1, "shop": "a", "prize": 2}], "unknown column 'prize' in record 0"),
        ([{"photo": "eA==", "image": "eA==", "count": 1, "shop": "a"}], "'photo' twice in record 0, as 'image' too"),
        ([["eA=="]], "a list as record 0"),
        ([], "no 'photo', 'count', 'shop'"),
    ],
    ids=["absent", "an empty one", "unknown", "twice", "a list", "none"],
)
def test_records_that_are_not_the_tables_are_refused_by_their_columns_names(records, reason):
    error = refused(json.dumps(records).encode(), inputs=[IMAGE, COUNT, SHOP])
    assert error.status == 422
    assert reason in str(error)


@pytest.mark.parametrize("body", [{"photo": ["eA=="], "image": ["eA=="]}, {"images": {"x": []}, "columns": {"x": []}}])
def test_a_column_that_is_given_twice_is_refused(body):
    assert "twice" in str(refused(json.dumps(body).encode()))


@pytest.mark.parametrize("kind", ["image/jpeg", "IMAGE/PNG; x=1", "image/x-anything", "application/octet-stream"])
@pytest.mark.parametrize("cuts", [1, 7])
def test_an_image_is_a_body(kind, cuts):
    assert read(DATA, kind, cuts=cuts) == {"photo": [DATA]}


def test_an_image_alone_is_no_row_of_a_table():
    error = refused(b"x", "image/jpeg", inputs=[IMAGE, COUNT])
    assert "'count' (integer)" in str(error)
    assert (error.status, error.unread) == (422, True)


def test_an_image_beyond_the_limit_is_refused_while_it_is_read():
    error = refused(bytes(1000), "image/png", limits=Limits(max_bytes=500), cuts=20)
    assert (error.status, error.unread) == (413, True)


def test_columns_are_in_the_bundles_order():
    body = json.dumps({"columns": {"shop": ["a"], "count": [1]}, "images": ["eA=="]}).encode()
    assert list(read(body, inputs=[IMAGE, COUNT, SHOP])) == ["photo", "count", "shop"]


@pytest.mark.parametrize("kind", ["application/json", "image/jpeg", FORM])
def test_a_client_that_leaves_is_let_go(kind):
    with pytest.raises(Refusal, match="left"):
        read_messages([{"type": "http.disconnect"}], kind)


def test_a_body_beyond_the_limit_is_refused_while_it_is_read():
    error = refused(bytes(1000), limits=Limits(max_bytes=100), cuts=20)
    assert error.status == 413
    assert error.unread
    assert "100 bytes" in str(error)


def test_a_declared_length_beyond_the_limit_is_refused_at_once():
    error = refused(b"", limits=Limits(max_bytes=100), headers=[(b"content-length", b"101")])
    assert error.status == 413
    assert error.unread


def test_a_form_beyond_the_limit_is_refused_while_it_is_read():
    error = refused(form_of(("photo", bytes(1000))), FORM, limits=Limits(max_bytes=500), cuts=20)
    assert (error.status, error.unread) == (413, True)


@pytest.mark.parametrize("kind", ["application/json", "image/jpeg", FORM])
def test_a_body_that_does_not_come_is_408(kind):
    with pytest.raises(Refusal, match=r"0\.05 seconds") as caught:
        read_messages([], kind, limits=Limits(timeout=0.05))
    assert caught.value.status == 408


@pytest.mark.parametrize("cell", [{"path": "/etc/hostname", "bytes": None}, ["a.jpg"], 7])
def test_a_cell_of_another_kind_is_never_a_path(cell):
    from featx.deploy.service._request import Unreadable, _of_base64

    assert isinstance(_of_base64(cell), Unreadable)


FRONT = {"name": "front", "kind": "image", "rows": "front_rows", "on_missing": "nan", "takes_none": True}
BACK = {"name": "back", "kind": "image", "on_missing": "nan"}
SIDE = {"name": "side", "kind": "image", "on_missing": "raise"}


def test_two_columns_of_images_are_two_fields():
    form = form_of(("side", b"1"), ("back", b"2"), ("side", b"3"), ("back", b"4"))
    assert read(form, FORM, inputs=(SIDE, BACK)) == {"side": [b"1", b"3"], "back": [b"2", b"4"]}
    body = json.dumps({"images": {"side": as_base64(b"1"), "back": [None]}}).encode()
    assert read(body, inputs=(SIDE, BACK)) == {"side": [b"1"], "back": [None]}


@pytest.mark.parametrize("empty", ["field", "no field"])
def test_an_image_that_may_be_missing_may_be_left_out_of_a_form_and_no_other(empty):
    nothing = form_of(("back", b""), end=b"").replace(b'"x"', b'""') if empty == "field" else b""
    assert read(nothing + form_of(("side", b"1")), FORM, inputs=(SIDE, BACK)) == {"side": [b"1"], "back": [None]}
    refusal = refused(form_of(("back", b"1")), FORM, inputs=(SIDE, BACK))
    assert "Got no 'side'" in str(refusal)


def test_all_files_of_a_field_are_one_row_where_a_row_may_have_several():
    inputs = (FRONT, BACK, COUNT)
    form = form_of(("front", b"1"), ("front", b"2"), ("back", b"3"), ("count", "7"))
    assert read(form, FORM, inputs=inputs) == {"front": [[b"1", b"2"]], "back": [b"3"], "count": [7]}
    assert read(form_of(("count", "7")), FORM, inputs=inputs) == {"front": [[]], "back": [None], "count": [7]}
    refusal = refused(form_of(("front", b"1"), ("count", "7"), ("count", "8")), FORM, inputs=inputs)
    assert "Got 2 values of 'count'. Expected one: a form is one row" in str(refusal)
    strict = {**FRONT, "on_missing": "raise"}
    assert "Got no 'front'" in str(refused(form_of(("count", "7")), FORM, inputs=(strict, COUNT)))


def test_rows_of_several_images_are_lists_in_json():
    images = [as_base64(b"1", b"2"), as_base64(b"3")[0], None, [None, 5]]
    (rows,) = read(json.dumps({"images": images}).encode(), inputs=(FRONT,)).values()
    assert rows[:3] == [[b"1", b"2"], b"3", None]
    assert rows[3][0] is None
    assert isinstance(rows[3][1], Unreadable)
    (rows,) = read(json.dumps({"images": [images[0]]}).encode(), inputs=(BACK,)).values()
    assert isinstance(rows[0], Unreadable)


def test_the_limit_counts_images_and_not_rows():
    body = json.dumps({"images": [as_base64(*[b"1"] * 3), as_base64(*[b"2"] * 2)]}).encode()
    assert read(body, inputs=(FRONT,), limits=Limits(max_images=5))
    assert refused(body, inputs=(FRONT,), limits=Limits(max_images=4)).status == 413
