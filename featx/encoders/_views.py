"""Views of an image, whose embeddings are averaged: mirrored, or cut from its corners and its center."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from featx._validate import check_choice
from featx.encoders._spec import VIEWS, EncoderSpec
from featx.exceptions import ParameterError

if TYPE_CHECKING:
    import torch

# Of the side that is embedded, as 256 is of 224 (Krizhevsky, Sutskever & Hinton 2012, section 4.1).
_WIDER = 8 / 7


@dataclass(frozen=True)
class Views:
    """How a batch of images becomes a batch of views, and back.

    Attributes
    ----------
    kind : {"flip", "five_crops"} or None
        None: each image is its only view.
    size : int or None
        Side of the crops.
    """

    kind: str | None = None
    size: int | None = None

    def split(self, images: torch.Tensor) -> torch.Tensor:
        """Make the views of images (n, 3, side, side): those of the first kind, then those of the next."""
        import torch

        if self.kind is None:
            return images
        if self.kind == "flip":
            return torch.cat([images, images.flip(3)])
        size = self.size or images.shape[2]
        far = images.shape[2] - size
        corners = ((0, 0), (0, far), (far, 0), (far, far), (far // 2, far // 2))
        return torch.cat([images[:, :, top : top + size, left : left + size] for top, left in corners])

    def mean(self, rows: torch.Tensor) -> torch.Tensor:
        """Average the embeddings of views (n_views * n, dim) to (n, dim)."""
        if self.kind is None:
            return rows
        return rows.reshape(VIEWS[self.kind], -1, rows.shape[1]).mean(0)


def with_views(spec: EncoderSpec, views: str | None) -> EncoderSpec:
    """Have an encoder average views of each image.

    Parameters
    ----------
    spec : EncoderSpec
        An encoder.
    views : {"flip", "five_crops"} or None
        As in `ImageEncoder`.

    Returns
    -------
    EncoderSpec
        For crops, its images are larger than the network's: the side that its preprocessing resizes to, or 8/7 of its
        size where that cuts nothing away.

    Raises
    ------
    ParameterError
        If there are no such views, or the encoder is a graph in a file.
    """
    check_choice("views", views, (None, *VIEWS))
    if views is None:
        return spec
    if spec.graph is not None:
        raise ParameterError(f"Got views={views!r} with {spec.name!r}, a graph in a file. Expected None.")
    if views == "flip":
        return replace(spec, views=views)
    size = spec.preprocess.size
    side = spec.preprocess.resize or round(size * _WIDER)
    return replace(spec, views=views, view_size=size, preprocess=replace(spec.preprocess, size=side, resize=None))
