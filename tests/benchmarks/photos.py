"""Many distinct photos, quickly."""

from __future__ import annotations

from pathlib import Path

from featx.bench import write_photos

_PHOTOS = 200


def write_distinct(folder: Path, n: int) -> list[str]:
    """JPEG files of 500 x 375 pixels; the same 200 pictures, each file of its own content."""
    (folder / "pictures").mkdir()
    pictures = [Path(path).read_bytes() for path in write_photos(folder / "pictures", min(n, _PHOTOS))]
    paths = [folder / f"{i:06}.jpg" for i in range(n)]
    for i, path in enumerate(paths):
        path.write_bytes(pictures[i % len(pictures)] + i.to_bytes(4, "little"))  # decoders stop at the picture's end
    return [str(path) for path in paths]
