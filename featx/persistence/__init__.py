"""Save a model as a folder that a colleague can load: no network, no pickle, no path of the machine it came from."""

from featx.persistence._load import load
from featx.persistence._save import save

__all__ = ["load", "save"]
