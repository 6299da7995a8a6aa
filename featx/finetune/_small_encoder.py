"""A small network with random weights, to train a source model from scratch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from featx.encoders import Encoder
from featx.exceptions import ParameterError
from featx.images import Preprocess

if TYPE_CHECKING:
    import torch


def small_encoder(size: int = 28, channels: int = 32, random_state: int = 0) -> Encoder:
    """Build a small convolutional network with random weights, for small images.

    It has six 3 x 3 convolutions with batch normalization and ReLU, two each of `channels`, twice and four times as
    many; the third and the fifth halve the resolution. Their mean over the image is the embedding. ``unfreeze=`` counts
    each convolution as a block. It has 0.3 million weights by default.

    Parameters
    ----------
    size : int, default=28
        Side of the images, which are squashed to it; 8 or more.
    channels : int, default=32
        Channels of the first two convolutions.
    random_state : int, default=0
        Seeds the weights.

    Returns
    -------
    Encoder
        To be trained by ``FineTuneClassifier(encoder, unfreeze="all", train_batch_norm=True)``.

    Raises
    ------
    ParameterError
        If a value is too small.

    Examples
    --------
    >>> from featx.finetune import small_encoder
    >>> small_encoder(28).dim
    128
    """
    import torch
    from torch import nn

    if size < 8 or channels < 1:
        raise ParameterError(
            f"Got size={size} and channels={channels}. Expected a size of 8 or more, 1 channel or more."
        )
    widths = [3, channels, 2 * channels, 4 * channels]
    blocks = [_block(widths[i], widths[i + 1], stride=1 if i == 0 else 2) for i in range(3)]
    network = nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    generator = torch.Generator().manual_seed(random_state)  # another thread may be training with the shared one
    for node in network.modules():
        if isinstance(node, nn.Conv2d):
            nn.init.kaiming_uniform_(node.weight, a=5**0.5, generator=generator)  # as torch does
    preprocess = Preprocess(size=size, fit="squash", mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    return Encoder.from_module(network, preprocess=preprocess, name=f"small{size}")


def _block(inputs: int, outputs: int, stride: int) -> torch.nn.Sequential:
    from torch import nn

    layers: list[nn.Module] = []
    for width, step in ((inputs, stride), (outputs, 1)):
        convolution = nn.utils.skip_init(nn.Conv2d, width, outputs, 3, step, 1, bias=False)
        layers += [convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)
