"""A bundle reads images as featx does: the same decoders, the same refusals."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import featx

BLOCKED = "import sys; sys.modules |= dict.fromkeys(('featx', 'torch', *{names}))"
ASK = "from predictor import Predictor; import json; print(json.dumps(Predictor(threads=1).predict_table({files})))"


def ask(bundle, files: list[str], without: tuple[str, ...] = ()) -> list[dict]:
    code = f"{BLOCKED.format(names=without)}; {ASK.format(files=files)}"
    done = subprocess.run([sys.executable, "-c", code], cwd=bundle.folder, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_a_cut_jpeg_is_damaged_in_a_bundle_too(bundle, files, tmp_path):
    data = Path(files[0]).read_bytes()
    cut = tmp_path / "cut.jpg"
    cut.write_bytes(data[: len(data) // 2] + b"\xff\xd9")
    rows = ask(bundle, [files[0], str(cut)])
    assert rows[0]["error"] == ""
    assert "pixels are missing" in rows[1]["error"]


def test_a_heic_photo_is_read_in_a_bundle_or_names_what_it_needs(bundle, model, crops, tmp_path):
    pillow_heif = pytest.importorskip("pillow_heif")
    file = io.BytesIO()
    pillow_heif.from_pillow(Image.fromarray(crops[0])).save(file, quality=90)
    photo = tmp_path / "photo.heic"
    photo.write_bytes(file.getvalue())
    (row,) = ask(bundle, [str(photo)])
    assert row["label"] == model.predict([photo])[0]
    (row,) = ask(bundle, [str(photo)], without=("pillow_heif",))
    assert "pip install pillow-heif" in row["error"]


def test_tensors_are_predicted_as_their_arrays(bundle, crops):
    predictor = featx.Predictor(bundle.folder)
    expected = predictor.embed(crops[:3])
    batch = torch.from_numpy(np.stack(crops[:3])).permute(0, 3, 1, 2)
    np.testing.assert_array_equal(predictor.embed(batch), expected)
    np.testing.assert_array_equal(predictor.embed(list(batch)), expected)
