from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from featx.deploy.service._form import FormReader, TooManyParts

TYPE = "multipart/form-data; boundary=edge"


def reader(content_type=TYPE, max_images=5):
    return FormReader(content_type, lambda name: name == "image", max_images)


def form_of(fields, end=b"--edge--\r\n"):
    head = b'--edge\r\nContent-Disposition: form-data; name="%s"; filename="x"\r\n\r\n%s\r\n'
    return b"".join(head % (name.encode(), content) for name, content in fields) + end


@given(
    st.lists(st.tuples(st.sampled_from(["image", "price"]), st.binary(max_size=200)), max_size=5),
    st.integers(1, 50),
)
def test_fields_come_back_however_the_body_is_cut(fields, size):
    body, form = form_of(fields), reader()
    for start in range(0, len(body), size):
        form.write(body[start : start + size])
    assert form.close() == fields


@given(st.binary(max_size=300))
def test_anything_is_read_or_refused(body):
    form = reader()
    try:
        form.write(b"--edge" + body)
        form.close()
    except ValueError:
        pass


def test_a_form_that_breaks_off_is_refused():
    form = reader()
    form.write(form_of([("image", b"x")], end=b""))
    with pytest.raises(ValueError, match="breaks off"):
        form.close()


def test_a_form_without_a_boundary_is_refused():
    with pytest.raises(ValueError, match="boundary"):
        reader("multipart/form-data")


def test_a_part_without_a_name_is_refused():
    with pytest.raises(ValueError, match="no name"):
        reader().write(b"--edge\r\nContent-Type: image/jpeg\r\n\r\nx\r\n--edge--\r\n")


def test_the_image_beyond_the_limit_is_refused_before_the_others_are_read():
    with pytest.raises(TooManyParts, match="more than 2 of 'image'"):
        reader(max_images=2).write(form_of([("image", b"x")] * 3, end=b""))


def test_columns_without_end_are_refused():
    with pytest.raises(TooManyParts, match="1000 columns"):
        reader().write(form_of([(f"c{i}", b"") for i in range(1001)]))


def test_text_is_short():
    with pytest.raises(ValueError, match="'price' is longer"):
        reader().write(form_of([("price", bytes(20_000))]))
    reader().write(form_of([("image", bytes(20_000))]))
