"""Pretrained vision for scikit-learn: images in, cached embeddings, scikit-learn estimators out."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from featx._version import __version__

if TYPE_CHECKING:
    from featx._image_encoder import ImageEncoder
    from featx._image_folder import check_images, read_image_folder
    from featx._pipeline import image_pipeline
    from featx.adapt import AdaptationReport, adaptation_report
    from featx.deploy._predictor import Predictor
    from featx.deploy.export import export_bundle
    from featx.encoders import Encoder, list_encoders, list_layers
    from featx.exceptions import FeatxError, FeatxWarning, ImageErrors, NonFiniteEmbeddingError
    from featx.finetune import FineTuneClassifier, FineTuneRegressor
    from featx.heads import EmbeddingNormalizer, PrototypeClassifier, linear_probe
    from featx.images import Preprocess
    from featx.persistence import load, save
    from featx.precision import compare_precisions, quantize_encoder
    from featx.store import EmbeddingStore
    from featx.text import TextEncoder
    from featx.transfer import (
        Audit,
        OODDetector,
        TransferReport,
        audit,
        precompute,
        rank_encoders,
        transfer_report,
    )

# Name -> the module that has it: imported at first use, so that `import featx` costs nothing.
_HOMES = {
    "AdaptationReport": "featx.adapt",
    "Audit": "featx.transfer",
    "EmbeddingNormalizer": "featx.heads",
    "EmbeddingStore": "featx.store",
    "Encoder": "featx.encoders",
    "FeatxError": "featx.exceptions",
    "FeatxWarning": "featx.exceptions",
    "FineTuneClassifier": "featx.finetune",
    "FineTuneRegressor": "featx.finetune",
    "ImageEncoder": "featx._image_encoder",
    "ImageErrors": "featx.exceptions",
    "NonFiniteEmbeddingError": "featx.exceptions",
    "OODDetector": "featx.transfer",
    "Predictor": "featx.deploy._predictor",
    "Preprocess": "featx.images",
    "PrototypeClassifier": "featx.heads",
    "TextEncoder": "featx.text",
    "TransferReport": "featx.transfer",
    "adaptation_report": "featx.adapt",
    "audit": "featx.transfer",
    "check_images": "featx._image_folder",
    "compare_precisions": "featx.precision",
    "export_bundle": "featx.deploy.export",
    "image_pipeline": "featx._pipeline",
    "linear_probe": "featx.heads",
    "list_encoders": "featx.encoders",
    "list_layers": "featx.encoders",
    "load": "featx.persistence",
    "precompute": "featx.transfer",
    "quantize_encoder": "featx.precision",
    "rank_encoders": "featx.transfer",
    "read_image_folder": "featx._image_folder",
    "save": "featx.persistence",
    "transfer_report": "featx.transfer",
}

__all__ = [
    "AdaptationReport",
    "Audit",
    "EmbeddingNormalizer",
    "EmbeddingStore",
    "Encoder",
    "FeatxError",
    "FeatxWarning",
    "FineTuneClassifier",
    "FineTuneRegressor",
    "ImageEncoder",
    "ImageErrors",
    "NonFiniteEmbeddingError",
    "OODDetector",
    "Predictor",
    "Preprocess",
    "PrototypeClassifier",
    "TextEncoder",
    "TransferReport",
    "__version__",
    "adaptation_report",
    "audit",
    "check_images",
    "compare_precisions",
    "export_bundle",
    "image_pipeline",
    "linear_probe",
    "list_encoders",
    "list_layers",
    "load",
    "precompute",
    "quantize_encoder",
    "rank_encoders",
    "read_image_folder",
    "save",
    "transfer_report",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(importlib.import_module(_HOMES[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'featx' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
