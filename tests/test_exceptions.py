from __future__ import annotations

import os
import pickle
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from featx import exceptions
from featx.exceptions import (
    FeatxError,
    FeatxWarning,
    ImageReadError,
    NonFiniteEmbeddingError,
    ParameterError,
    UnknownNameError,
    describe,
)

STANDARD = {
    "ParameterError": (ValueError,),
    "UnknownNameError": (ValueError, KeyError),
    "InputError": (TypeError, ValueError),
    "ImageReadError": (ValueError,),
    "WeightsError": (ValueError,),
    "DeviceError": (RuntimeError,),
    "ConversionError": (RuntimeError,),
    "NonFiniteEmbeddingError": (ArithmeticError,),
    "TrainingError": (ArithmeticError,),
    "StoreError": (OSError,),
    "ExportError": (ValueError,),
    "BundleError": (ValueError,),
    "ModelError": (ValueError,),
    "OutputError": (OSError,),
    "MissingDependencyError": (ImportError,),
}


def bad_rows(n: int) -> list[tuple]:
    return [(i, f"label{i}", f"{i}.jpg", "no such file") for i in range(n)]


def own_classes() -> list[type]:
    return [value for value in vars(exceptions).values() if isinstance(value, type) and issubclass(value, Exception)]


def test_every_error_is_a_featx_error_and_what_callers_already_catch():
    errors = {kind.__name__: kind for kind in own_classes() if not issubclass(kind, Warning)}
    assert errors.keys() - {"FeatxError"} == STANDARD.keys()
    for name, bases in STANDARD.items():
        assert all(issubclass(errors[name], base) for base in (FeatxError, *bases))


def test_every_warning_is_a_featx_warning():
    warnings = [kind for kind in own_classes() if issubclass(kind, Warning)]
    assert len(warnings) == 4
    assert all(issubclass(kind, FeatxWarning) and issubclass(kind, UserWarning) for kind in warnings)


def test_the_tree_in_the_docstring_names_every_class():
    drawn = set(re.findall(r"── (\w+)", exceptions.__doc__)) | {"FeatxWarning"}
    assert drawn == {kind.__name__ for kind in own_classes()}


@pytest.mark.parametrize("name", sorted(STANDARD))
def test_errors_come_back_from_another_process(name):
    kind = getattr(exceptions, name)
    error = {
        "UnknownNameError": lambda: kind("encoder", "resnet5", ["resnet50", "vgg16"]),
        "ImageReadError": lambda: kind(bad_rows(2), n_images=4, n_stored=2),
        "NonFiniteEmbeddingError": lambda: kind("resnet50", "float16", bad_rows(2), n_rows=4),
    }.get(name, lambda: kind("the message"))()
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert str(again) == str(error)


def test_an_unknown_name_gets_its_close_matches():
    error = UnknownNameError("encoder", "resnet5", ["resnet50", "vgg16"], hint="See featx.list_encoders().")
    assert str(error) == "Unknown encoder 'resnet5'. Did you mean 'resnet50'? See featx.list_encoders()."
    assert isinstance(error, ParameterError)


def test_an_unknown_name_like_no_other_gets_the_first_that_exist():
    error = UnknownNameError("layer", "zzz", (f"block{i}" for i in range(20)))
    assert "Expected one of 'block0', 'block1'" in str(error)
    assert str(error).endswith("'block7', ....")


def test_image_errors_say_how_many_which_and_what_to_do():
    error = ImageReadError(bad_rows(7), n_images=3000, n_stored=2993)
    lines = str(error).splitlines()
    assert lines[0] == "7 of 3,000 images unreadable; 2,993 embeddings stored."
    assert lines[1] == "  row 0: '0.jpg': no such file"
    assert lines[6] == "  ... and 2 more"
    assert 'on_error="nan"' in lines[-1]
    assert "stored" not in str(ImageReadError(bad_rows(1), n_images=2, n_stored=None))


def test_image_errors_that_stopped_early_name_one_and_its_whole_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    message = str(ImageReadError(bad_rows(190), n_images=9000, n_stored=None, stopped_after=200))
    assert "Stopped after 200 of 9,000 images: 190 of them are unreadable" in message
    assert f"row 0: no such file ({tmp_path / '0.jpg'})" in message


def test_numbers_that_are_none_name_encoder_rows_and_precision_and_what_to_do():
    lines = str(NonFiniteEmbeddingError("resnet50", "float16", bad_rows(7), n_rows=3000)).splitlines()
    assert lines[0].startswith("The encoder 'resnet50' gives NaN or infinite numbers for 7 of 3,000 rows, in float16")
    assert lines[1].startswith("  row 0: '0.jpg'")
    assert 'precision="float32"' in lines[-1]
    error = NonFiniteEmbeddingError("mine", "float32", bad_rows(2), n_rows=2)
    assert "weights" in str(error).splitlines()[-1]
    assert error.table["index"].tolist() == ["label0", "label1"]


def test_the_table_has_a_row_for_each_bad_image():
    table = ImageReadError(bad_rows(7), n_images=9, n_stored=None).table
    assert list(table) == ["position", "index", "source", "reason"]
    assert table["position"].tolist() == list(range(7))
    series = pd.Series(range(9), index=[f"label{i}" for i in range(9)])
    assert series.drop(table["index"]).tolist() == [7, 8]


def test_the_table_holds_sources_of_every_kind():
    pixels = np.zeros((2, 2, 3), np.uint8)
    sources = [pixels, pixels, Image.new("L", (2, 2)), b"", None, 3, os.fsdecode(b"\xff.jpg"), Path("a.jpg")]
    table = ImageReadError([(i, i, source, "bad") for i, source in enumerate(sources)], n_images=9, n_stored=None).table
    assert all(got is given for got, given in zip(table["source"], sources, strict=True))
    assert len(ImageReadError([(0, 0, os.fsdecode(b"\xff.jpg"), "bad")], n_images=1, n_stored=None).table) == 1


@pytest.mark.parametrize(
    ("source", "text"),
    [
        (b"x" * 1234, "<1,234 bytes>"),
        ("a.jpg", "'a.jpg'"),
        (np.str_("a.jpg"), "'a.jpg'"),
        (Path("folder/a.jpg"), repr(os.path.join("folder", "a.jpg"))),
        (None, "None"),
        (float("nan"), "nan"),
        (np.zeros((4, 5, 3)), "<array (4, 5, 3) float64>"),
        (Image.new("L", (5, 4)), "<PIL image (5, 4) L>"),
        ({"a": 1}, "{'a': 1}"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_source_is_named_in_a_few_words(source, text):
    assert describe(source) == text


@pytest.mark.parametrize("source", ["A" * 100_000, list(range(100_000)), pd.DataFrame({"a": range(5)})], ids=type)
def test_content_is_never_shown_at_length(source):
    assert len(describe(source)) <= 300


def test_the_older_name_of_an_error_is_caught_too():
    assert exceptions.ImageErrors is exceptions.ImageReadError
