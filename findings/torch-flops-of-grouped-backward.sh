#!/usr/bin/env bash
# torch 2.14.1: FlopCounterMode counts the backward pass of grouped convolutions as if they had no groups.
#
# Guess: forward and backward together take about three times the forward pass, for MobileNetV3 as for ResNet-18.
# Seen:  ResNet-18 takes 2.9 times, MobileNetV3 small 35 times, ConvNeXt tiny 9 times. A depthwise convolution of 8 channels,
#        whose forward pass is counted right, is said to take 9 times as much backward as forward, one of 64 channels 65 times.
# So:    trainings of depthwise networks look ten times as dear as they are, beside those of others.
# Works: pip in a temporary folder (6 GB); exit 0 while this is so.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check numpy==2.4.6 torch==2.14.1 torchvision==0.29.1
"$work/venv/bin/python" -W ignore - <<'PY'
import torch
import torchvision
from torch.utils.flop_counter import FlopCounterMode


def count(network, x, *, backward):
    with FlopCounterMode(display=False) as counter:
        output = network(x)
        if backward:
            output.sum().backward()
    return counter.get_total_flops()


def times(network, x):
    return count(network, x, backward=True) / count(network, x, backward=False)


def depthwise(n):
    return times(torch.nn.Conv2d(n, n, 3, groups=n), torch.zeros(1, n, 10, 10, requires_grad=True))


x = torch.zeros(1, 3, 224, 224)
networks = ("resnet18", "mobilenet_v3_small", "convnext_tiny")
found = {name: times(getattr(torchvision.models, name)().eval(), x) for name in networks}
found |= {f"{n} channels, depthwise": depthwise(n) for n in (8, 64)}
for name, value in found.items():
    print(f"{name:24} forward and backward: {value:.1f} times forward")
assert 2.5 < found["resnet18"] < 3.1, "it was another behaviour"
assert found["mobilenet_v3_small"] > 30 and found["convnext_tiny"] > 8, "it was another behaviour"
assert found["64 channels, depthwise"] > 60, "it was another behaviour"
PY
