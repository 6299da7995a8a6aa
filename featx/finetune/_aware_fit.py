"""One fit of a TargetAwareEncoder: tuned once for each content, and found again by every head, grid and process."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.decomposition import PCA

from featx._image_encoder import ImageEncoder, extraction_of
from featx._warnings import warn
from featx.auditing import copy_groups, crossing_groups, merge_groups
from featx.encoders import Encoder
from featx.evaluation import Folds, make_folds
from featx.exceptions import InputError, ParameterError, StoreError, StoreWarning
from featx.finetune._checkpoint import training_key
from featx.finetune._estimator import BaseFineTuner
from featx.finetune._joined import JoinedRecipe, Linear, changed_tensors
from featx.finetune._targets import ClassTargets, Targets
from featx.images import ImageColumn
from featx.store import EmbeddingStore

logger = logging.getLogger("featx")
# A change of what a fit is, or of how its numbers come about, takes another number.
_FORMAT = 1
_PACKAGES = ("numpy", "scikit-learn", "skorch", "torch")
_AWARE = "-aware"
_TUNED = "tuned:"

Record = tuple[dict[str, np.ndarray], dict[str, Any]]


@dataclass
class AwareFit:
    """The images and labels of a fit, and all that decides its numbers.

    Attributes
    ----------
    column : ImageColumn
        n images.
    y : ndarray of shape (n,) or (n, n_outputs)
        Classes, or numbers to predict.
    groups : ndarray of shape (n,) or None
        Rows that belong together.
    sample_weight : array of shape (n,) or None
        Weights of the images in the loss.
    tuner : FineTuneClassifier or FineTuneRegressor
        What tunes; its encoder is the one that is tuned.
    encoder : ImageEncoder
        The frozen encoder.
    reduce : int
        How many principal components of its embeddings are handed on.
    cv : int, splitter or list of (train, test)
        How rows are divided for `features`.
    """

    column: ImageColumn
    y: np.ndarray
    groups: np.ndarray | None
    sample_weight: Any
    tuner: BaseFineTuner
    encoder: ImageEncoder
    reduce: int
    cv: Any
    targets: Targets = field(init=False)
    key: str = field(init=False)

    def __post_init__(self):
        self.targets = self.tuner._make_targets(self.y, len(self.column), self.sample_weight)
        extraction = extraction_of(self.encoder)
        self._store = extraction.store if isinstance(extraction.store, EmbeddingStore) else None
        self._name = extraction.spec.name + _AWARE
        self.key = self._identify() if self._store else ""
        self._records: dict[str, Record] = {}
        self._built: Encoder | None = None

    def network(self) -> Encoder:
        """Return the encoder tuned to all rows beside the frozen one, as one network."""
        with self._turn():
            arrays, described = self._kept("network", self._tune_all)
        if self._built:
            return self._built
        return Encoder.from_recipe(self._recipe(arrays), described, extraction_of(self.encoder).spec.preprocess)

    def features(self) -> np.ndarray:
        """Return the training rows' own features, each of networks that have not seen its label.

        Returns
        -------
        ndarray of shape (n, n_features), float32
            NaN where an image cannot be used.
        """
        with self._turn():
            return self._kept("features", self._cross_fit)[0]["features"]

    # --- what is computed

    def _tune_all(self) -> Record:
        usable, frozen = self._frozen()
        logger.info("%s: tuned to %d images", self._name, len(usable))
        tuned, outputs, _ = self._tune(np.arange(len(self.column)))
        n_components = min(self.reduce, *frozen[usable].shape)
        reduction = Linear(np.zeros((0, frozen.shape[1])), np.zeros(0))
        if n_components:
            pca = PCA(n_components, random_state=0).fit(frozen[usable].astype(np.float64))
            reduction = Linear(pca.components_, -pca.components_ @ pca.mean_)
        arrays = {
            **{f"{_TUNED}{name}": values for name, values in changed_tensors(self.encoder, tuned).items()},
            "outputs.weight": outputs.weight,
            "outputs.bias": outputs.bias,
            "reduction.weight": reduction.weight,
            "reduction.bias": reduction.bias,
        }
        spec = extraction_of(self.encoder).spec
        # Two networks may have equal tensors, and differ in where they are joined.
        self._built = Encoder(
            self._recipe(arrays), spec.preprocess, self._name, f"{spec.fingerprint()}:{self.tuner.unfreeze}"
        )
        return arrays, self._built.identity

    def _cross_fit(self) -> Record:
        folds = self._folds()
        _, frozen = self._frozen()
        reduction = self._kept("network", self._tune_all)[0]
        reduced = Linear(reduction["reduction.weight"], reduction["reduction.bias"])(frozen)
        outputs = np.empty((len(self.column), len(reduction["outputs.bias"])))
        for i, (train, test) in enumerate(folds):
            logger.info("%s: fold %d of %d", self._name, i + 1, len(folds))
            outputs[test] = self._kept(f"fold-{i}", partial(self._tune_fold, train, test))[0]["outputs"]
        return {"features": np.hstack([outputs, reduced]).astype(np.float32)}, {}

    def _tune_fold(self, train: np.ndarray, test: np.ndarray) -> Record:
        _, outputs, embeddings = self._tune(train, self._some(test))
        return {"outputs": outputs(embeddings)}, {}

    def _tune(self, rows: np.ndarray, unseen: Any = None) -> tuple[Encoder, Linear, np.ndarray | None]:
        """Tune to some rows.

        Returns
        -------
        Encoder, Linear, ndarray or None
            The tuned encoder, the map from its embeddings to comparable outputs, and embeddings of unseen images.
        """
        weight = None if self.sample_weight is None else np.asarray(self.sample_weight)[rows]
        model = clone(self.tuner)
        embeddings = model._fit(self._some(rows), self.y[rows], weight, unseen=unseen)
        coef, intercept = np.atleast_2d(model.head_.coef_), np.atleast_1d(model.head_.intercept_)
        if isinstance(self.targets, ClassTargets):
            if len(coef) > 1:  # probabilities do not depend on what all logits have in common
                coef, intercept = coef - coef.mean(axis=0), intercept - intercept.mean()
            return model.encoder_, Linear(coef, intercept), embeddings
        # In units of the deviations of y: as wide as they are in every network.
        mean, scale = self.targets.center, self.targets.scale
        return model.encoder_, Linear(coef / scale[:, None], (intercept - mean) / scale), embeddings

    def _frozen(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows that can be used, and all embeddings of the frozen encoder."""
        frozen = np.asarray(clone(self.encoder).transform(list(self.column.sources)))
        return np.flatnonzero(~np.isnan(frozen[:, 0])), frozen

    def _folds(self) -> Folds:
        """Divide the rows, copies and groups whole; refuse what is no cross-fitting."""
        n, regression = len(self.column), not isinstance(self.targets, ClassTargets)
        groups = copy_groups(list(self.column.sources), max_pixels=self.encoder.max_pixels, n_jobs=self.encoder.n_jobs)
        given = self.groups is not None or len(np.unique(groups)) < n
        if self.groups is not None:
            groups = merge_groups(groups, self.groups)
        y = self.y if self.y.ndim == 1 else self.y[:, 0]
        folds = make_folds(y, self.cv, groups if given else None, regression=regression)
        times = np.bincount(np.concatenate([test for _, test in folds]), minlength=n)
        if not (times == 1).all():
            bad = int(np.flatnonzero(times != 1)[0])
            raise ParameterError(
                f"Got cv={self.cv!r}, which tests row {bad} {times[bad]} times. Expected each row in one test set: an "
                "integer, or a splitter such as KFold."
            )
        if crossed := crossing_groups(groups, folds):
            raise InputError(
                f"Got cv={self.cv!r}, which has {crossed} groups (or copies of one image) on both sides of a fold. "
                "Expected an integer, or a splitter that takes groups, such as GroupKFold or StratifiedGroupKFold."
            )
        if not regression:
            self._check_classes(folds)
        return folds

    def _check_classes(self, folds: Folds) -> None:
        assert isinstance(self.targets, ClassTargets)
        for i, (train, _) in enumerate(folds):
            counts = np.bincount(self.targets.values[train], minlength=len(self.targets.classes))
            if not counts.all():
                rare = self.targets.classes[int(counts.argmin())].item()
                raise InputError(
                    f"Got a class, {rare!r}, that is only in the test rows of fold {i + 1} of {len(folds)}: all its "
                    "rows are in one group, or are copies of one image. Expected each class in two groups or more: "
                    "lower cv, or leave the class out."
                )

    # --- what is kept

    def _kept(self, name: str, compute: Callable[[], Record]) -> Record:
        """Look a result up, or compute and keep it."""
        if name not in self._records:
            found = self._store.get_record(self.key, name) if self._store else None
            self._records[name] = found or self._keep(name, *compute())
        return self._records[name]

    def _keep(self, name: str, arrays: dict[str, np.ndarray], described: dict[str, Any]) -> Record:
        try:
            if self._store:
                self._store.put_record(self.key, name, arrays, described, {"name": self._name})
        except StoreError as error:
            warn(f"{error} The fit is not kept: it is tuned again next time.", StoreWarning)
        return arrays, described

    def _turn(self) -> AbstractContextManager[None]:
        """Have other processes wait for this fit, and find it then."""
        return nullcontext() if self._store is None else self._store.lock(self.key)

    def _identify(self) -> str:
        extraction = extraction_of(self.encoder)
        settings = self.tuner._check_settings(extraction.spec)
        described = {
            **settings.identity(),
            "format": _FORMAT,
            "fingerprint": extraction.spec.fingerprint(),
            "reduce": self.reduce,
            "cv": self._describe_cv(),
            "kind": type(self.tuner).__name__,
            "on_error": self.encoder.on_error,
            "on_missing": self.encoder.on_missing,
            "versions": {package: version(package) for package in _PACKAGES},
        }
        labels = self.targets.classes if isinstance(self.targets, ClassTargets) else np.empty(0)
        arrays = [self.targets.values, self.targets.weights, labels, np.empty(0)]
        if self.groups is not None:
            arrays[-1] = self.groups
        return training_key([self.column], arrays, described, self.encoder.max_pixels)

    def _describe_cv(self) -> str:
        import joblib

        return repr(self.cv) if isinstance(self.cv, int) else joblib.hash(self.cv)

    def _recipe(self, arrays: dict[str, np.ndarray]) -> JoinedRecipe:
        tuned = {name.removeprefix(_TUNED): array for name, array in arrays.items() if name.startswith(_TUNED)}
        outputs = Linear(arrays["outputs.weight"], arrays["outputs.bias"])
        reduction = Linear(arrays["reduction.weight"], arrays["reduction.bias"])
        return JoinedRecipe(clone(self.encoder), self.tuner.unfreeze, tuned, outputs, reduction)

    def _some(self, rows: np.ndarray) -> list[Any]:
        return [self.column.sources[i] for i in rows]
