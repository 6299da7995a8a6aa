"""quantize_encoder: float32 -> int8, calibrated on the user's images."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from featx._image_encoder import ImageEncoder, column_of, extraction_of
from featx._optional import import_optional
from featx._process import no_telemetry
from featx.encoders import Encoder, GraphEncoder
from featx.exceptions import InputError, ParameterError
from featx.extraction import decode_some
from featx.precision._rounding import round_together

_CALIBRATION = 300  # images: the default of NNCF
_FEWEST = 10


def quantize_encoder(
    encoder: str | Encoder | ImageEncoder, images: Any, *, path: str | Path | None = None
) -> GraphEncoder:
    """Convert an encoder from float32 to int8: faster on a CPU, a quarter of the size, less exact.

    Ranges of activations are calibrated on up to 300 of the images, evenly spaced. Weights are rounded such that their
    errors cancel on up to 100 of them (Frantar et al. 2022, GPTQ, arXiv:2210.17323): images like those that the encoder
    will get matter. `compare_precisions` measures on labels whether the loss that remains matters.

    Parameters
    ----------
    encoder : str, Encoder or ImageEncoder
        The weights and the preprocessing of an ImageEncoder are used.
    images : container of images
        Images like those that the encoder will get; as for `ImageEncoder`. At least 10 must be readable.
    path : str or Path, default=None
        Where the graph is written. None is the user's cache folder, with a name from its content.

    Returns
    -------
    Encoder
        For ``ImageEncoder(encoder=...)``. It has a separate file, digest and fingerprint, and runs on the CPU, in
        OpenVINO.

    Raises
    ------
    MissingDependencyError
        If NNCF is not installed. The message names the extra.
    InputError
        If fewer than 10 images can be read.
    ParameterError
        If the encoder is already in int8, or has layers other than its feature.
    ConversionError
        If OpenVINO cannot convert the network.

    Examples
    --------
    >>> import featx
    >>> from sklearn.datasets import load_sample_images
    >>> photo = load_sample_images().images[0]
    >>> crops = [photo[i : i + 240, 2 * i : 2 * i + 240] for i in range(20)]
    >>> small = featx.quantize_encoder("efficientnet_lite0", crops)  # doctest: +SKIP
    >>> featx.ImageEncoder(small).transform(crops).shape  # doctest: +SKIP
    (20, 1280)
    """
    with_parameters = encoder if isinstance(encoder, ImageEncoder) else ImageEncoder(encoder)
    specs = extraction_of(with_parameters).specs
    if len(specs) > 1 or specs[0].layer != "feature" or specs[0].weights.startswith("int8:"):
        raise ParameterError(f"Got {encoder!r}. Expected an encoder in float32, with layers=None: its own feature.")
    nncf = import_nncf("quantize_encoder")
    from featx.runtimes import graphs_folder, load_graph, write_graph

    pixels = decode_some(specs[0], column_of(with_parameters, images), _CALIBRATION)
    if len(pixels) < _FEWEST:
        raise InputError(f"Got {len(pixels)} readable images. Expected at least {_FEWEST}, better {_CALIBRATION}.")
    graph, feeds = load_graph(specs), [image[None] for image in pixels]
    quantized = quantize_graph(nncf, graph, feeds, correct_bias=False)
    round_together(quantized, graph, feeds)
    # A name from its content needs none from the user, and equal graphs are one file.
    file = graphs_folder() / "int8" if path is None else Path(path).expanduser().absolute()
    file, digest = write_graph(file, quantized, name_by_content=path is None)
    own = replace(specs[0], name=f"{specs[0].name}-int8", weights=f"int8:{digest}")
    return GraphEncoder(file, digest, own, quantized.outputs[0].get_partial_shape()[1].get_length())


def import_nncf(purpose: str) -> ModuleType:
    """Import NNCF, without its telemetry."""
    with no_telemetry():
        return import_optional("nncf", extra="quantize", purpose=purpose)


def quantize_graph(nncf: ModuleType, graph: Any, feeds: Sequence[Any], *, correct_bias: bool = True) -> Any:
    """Quantize an OpenVINO or ONNX graph to int8, calibrated on the given inputs."""
    from nncf.quantization.advanced_parameters import AdvancedQuantizationParameters, OverflowFix

    nncf.set_log_level(logging.ERROR)
    with no_telemetry(), redirect_stdout(sys.stderr):  # its progress bars would be among a command's output
        return nncf.quantize(
            graph,
            nncf.Dataset(feeds),
            subset_size=len(feeds),
            preset=nncf.QuantizationPreset.MIXED,
            fast_bias_correction=False,  # slower to make, but with a smaller worst error
            # Processors without VNNI add products in 16 bits, which saturate unless weights have 7 bits.
            advanced_parameters=AdvancedQuantizationParameters(
                overflow_fix=OverflowFix.ENABLE, disable_bias_correction=not correct_bias
            ),
        )
