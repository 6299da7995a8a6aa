"""What decoding JPEGs costs: simplejpeg, which tells of missing pixels, beside Pillow, which does not.

``python -m tests.benchmarks.jpeg`` prints the median ratio of times (featx / Pillow; CPU seconds) for each kind.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from statistics import median

from PIL import Image
from sklearn.datasets import load_sample_images

from featx.images import open_header
from featx.images._jpeg import load_jpeg

_ROUNDS = 11


def _seconds(run: Callable[[], object]) -> float:
    start = time.process_time()
    run()
    return time.process_time() - start


def _encode(image: Image.Image, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=88, **options)
    return file.getvalue()


def main() -> None:
    photo = Image.fromarray(load_sample_images().images[0])
    kinds = {"4:2:0": {}, "4:4:4": {"subsampling": 0}, "progressive": {"progressive": True}}
    for size in ((640, 427), (2400, 1600)):
        for name, options in kinds.items():
            data = _encode(photo.resize(size), **options)
            ratios = []
            for _ in range(_ROUNDS):
                pillow = _seconds(lambda data=data: open_header(data).load())
                ours = _seconds(lambda data=data: load_jpeg(open_header(data), data))
                ratios.append(ours / pillow)
            print(f"{size[0]} x {size[1]}, {name}: {median(ratios):.2f}")


if __name__ == "__main__":
    main()
