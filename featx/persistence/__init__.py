"""Save a model as a folder that a colleague can load: no network, no pickle, no path of the machine it came from."""

from featx.persistence._save_load import load, read_scores, save

__all__ = ["load", "read_scores", "save"]
