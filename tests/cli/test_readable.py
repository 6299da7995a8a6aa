from __future__ import annotations

import pytest

import featx
from featx.cli._readable import apply_to_readable
from featx.exceptions import ImageErrors


@pytest.fixture
def mixed(files, tmp_path) -> list[str]:
    (tmp_path / "bad.jpg").write_bytes(b"garbage")
    return [files[0], str(tmp_path / "bad.jpg"), files[1], "nowhere.jpg"]


def test_where_all_can_be_used_the_function_is_called_once(files):
    calls = []
    result, reasons = apply_to_readable(calls.append, files)
    assert (result, reasons, calls) == (None, {}, [files])


@pytest.mark.parametrize("on_error", ["raise", "nan"])
def test_the_others_are_used_and_these_have_their_reason(mixed, tiny, on_error):
    encoder = featx.ImageEncoder(tiny, cache=False, on_error=on_error)
    embeddings, reasons = apply_to_readable(encoder.transform, mixed)
    assert (embeddings == encoder.transform([mixed[0], mixed[2]])).all()
    assert reasons.keys() == {1, 3}
    assert "not an image" in reasons[1]
    assert reasons[3] == "no such file"


def test_where_none_can_be_used_there_is_no_result(tiny):
    assert apply_to_readable(featx.ImageEncoder(tiny, cache=False).transform, ["nowhere.jpg"]) == (
        *(None, {0: "no such file"}),
    )


def test_an_error_that_a_second_look_does_not_find_is_raised(files):
    def fail(images):
        raise ImageErrors([(0, 0, images[0], "changed")], len(images), None)

    with pytest.raises(ImageErrors, match="changed"):
        apply_to_readable(fail, files)
