"""One image is encoded: the proof, and where it runs."""

from __future__ import annotations

import json

from featx.doctor._child import run
from featx.doctor._finding import Finding

_CODE = """
import json, numpy
from featx._image_encoder import ImageEncoder, extraction_of
from featx._machine import count_threads
encoder = ImageEncoder(cache=False, verbose=0)
row = encoder.transform([numpy.zeros((32, 32, 3), "uint8")])
assert numpy.isfinite(row).all(), "the embedding is not finite"
runtime = extraction_of(encoder).runtime()
print(json.dumps([runtime.name, runtime.device, count_threads(None)]))
"""


def check_encoding() -> Finding:
    """Encode an image by the default encoder, in a process of its own."""
    outcome = run(_CODE)
    if outcome.reason:
        return Finding("bad", "encoding", outcome.reason, "mend what is bad above, or report this with all lines")
    runtime, device, n = json.loads(outcome.output.splitlines()[-1])
    where = f"the CPU, {n} processor{'s'[: n > 1]}" if device == "cpu" else device
    value = f"will run in {runtime} on {where}"
    if "FallbackWarning" in outcome.warnings:
        return Finding("warn", "encoding", value, outcome.warnings.splitlines()[0].partition("FallbackWarning: ")[2])
    return Finding("ok", "encoding", value)
