from ._image_encoder import ImageEncoder
from ._pipeline import image_pipeline
from ._precompute import precompute
from ._score_model import score_model
from ._version import __version__
from .adapt import AdaptationReport, adaptation_report
from .auditing import Audit, OODDetector, audit
from .compare import ColumnReport, TransferReport, compare_columns, transfer_report
from .deploy import Predictor
from .deploy.export import export_bundle
from .encoders import Encoder, list_encoders, list_layers
from .evaluation import ModelScores
from .exceptions import FeatxError, FeatxWarning, ImageErrors, ImageReadError, NonFiniteEmbeddingError
from .finetune import FineTuneClassifier, FineTuneRegressor, TargetAwareEncoder
from .heads import EmbeddingNormalizer, PrototypeClassifier, linear_probe
from .images import Preprocess, attach_images, check_images, known_paths, read_image_folder, read_image_table
from .persistence import load, save
from .precision import compare_precisions, precision_by_layer, quantize_encoder
from .ranking import rank_encoders
from .store import EmbeddingStore
from .table import TableEncoder, tabular_pipeline
from .text import TextEncoder

__all__ = [
    "AdaptationReport",
    "Audit",
    "ColumnReport",
    "EmbeddingNormalizer",
    "EmbeddingStore",
    "Encoder",
    "FeatxError",
    "FeatxWarning",
    "FineTuneClassifier",
    "FineTuneRegressor",
    "ImageEncoder",
    "ImageErrors",
    "ImageReadError",
    "ModelScores",
    "NonFiniteEmbeddingError",
    "OODDetector",
    "Predictor",
    "Preprocess",
    "PrototypeClassifier",
    "TableEncoder",
    "TargetAwareEncoder",
    "TextEncoder",
    "TransferReport",
    "__version__",
    "adaptation_report",
    "attach_images",
    "audit",
    "check_images",
    "compare_columns",
    "compare_precisions",
    "export_bundle",
    "image_pipeline",
    "known_paths",
    "linear_probe",
    "list_encoders",
    "list_layers",
    "load",
    "precision_by_layer",
    "precompute",
    "quantize_encoder",
    "rank_encoders",
    "read_image_folder",
    "read_image_table",
    "save",
    "score_model",
    "tabular_pipeline",
    "transfer_report",
]
