from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import pytest

import featx
from featx.encoders import EncoderSpec, resolve

SPEC = EncoderSpec("tiny", "module:tiny", "state:0", featx.Preprocess(size=32))


def test_the_default_encoders_fingerprint_changes_only_on_purpose():
    (spec,) = resolve("efficientnet_lite0")
    assert spec.fingerprint() == "babf81232cdfedfa080a63493b19a122eb4c1576783ab71d29a0707d7f572281"


def test_the_squashed_default_encoders_fingerprint_changes_only_on_purpose():
    (spec,) = resolve("efficientnet_lite0", preprocess="squash")
    assert spec.fingerprint() == "cf81ccbffb6adcd361d140d6dbc7b7b981ac6539f1e08c3783757e1f40052c7f"


@pytest.mark.parametrize(
    "change",
    [
        {"architecture": "module:other"},
        {"weights": "state:1"},
        {"layer": "conv1"},
        {"pooling": "max"},
        {"precision": "bfloat16"},
        {"decode": "fast"},
        *(
            {"preprocess": featx.Preprocess(**{"size": 32, **change})}
            for change in (
                {"size": 33},
                {"resize": 40},
                {"fit": "pad"},
                {"interpolation": "bilinear"},
                {"mean": (0.5, 0.5, 0.5)},
                {"std": (0.5, 0.5, 0.5)},
            )
        ),
    ],
    ids=str,
)
def test_what_changes_the_numbers_changes_the_fingerprint(change):
    assert replace(SPEC, **change).fingerprint() != SPEC.fingerprint()


@pytest.mark.parametrize(
    "change", [{"name": "other"}, {"dim": 3}, {"licence": "MIT"}, {"classifier": "fc"}, {"build": dict}], ids=str
)
def test_what_changes_no_number_is_not_in_the_fingerprint(change):
    assert replace(SPEC, **change).fingerprint() == SPEC.fingerprint()


def test_the_fingerprint_is_the_digest_of_canonical_json():
    text = json.dumps(SPEC.identity(), sort_keys=True, separators=(",", ":"))
    assert SPEC.fingerprint() == hashlib.sha256(text.encode()).hexdigest()
    assert json.loads(text)["preprocess"]["size"] == 32
    assert json.loads(text)["policy"] == 2


def test_specs_that_differ_in_what_changes_no_number_are_equal():
    assert replace(SPEC, dim=3, licence="MIT", build=dict) == SPEC
