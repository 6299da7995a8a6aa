"""How far embeddings are from the reference implementation, fed by plain Pillow: relative L2 on real photos."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.datasets import load_sample_images

import featx
from featx._image_encoder import extraction_of
from tests.encoders.test_efficientnet_lite import NAMES, normalize, pixels_of, reference_of


def main() -> None:
    photos = list(load_sample_images().images)
    for name in NAMES:
        reference = reference_of(name)
        size = extraction_of(featx.ImageEncoder(name)).spec.preprocess.size
        with torch.inference_mode():
            features = reference.extract_features(normalize(pixels_of(photos, size))).mean((2, 3)).numpy()
        rows = featx.ImageEncoder(name, cache=False, verbose=0).transform(photos)
        distance = np.linalg.norm(rows - features, axis=1) / np.linalg.norm(features, axis=1)
        print(f"{name}: relative L2 at most {distance.max():.1e}")


if __name__ == "__main__":
    main()
