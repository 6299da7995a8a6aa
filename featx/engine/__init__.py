"""Where a store is filled, batch by batch: in this process, or in workers of Ray."""

from featx.engine._here import fill_here
from featx.engine._on_ray import OnRay, is_dataset
from featx.engine._worker import Answer, CountingStore, Worker

__all__ = ["Answer", "CountingStore", "OnRay", "Worker", "fill_here", "is_dataset"]
