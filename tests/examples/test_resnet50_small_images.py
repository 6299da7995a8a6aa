from __future__ import annotations

from tests.examples.test_retrieval import example
from tests.examples.test_shared_layers import accuracies
from tests.test_pipeline import photo_folder

SMALL = ["--epochs", "1", "--draws", "1", "--size", "64"]


def test_frozen_and_tuned_are_compared_at_both_sizes(root, tmp_path):
    arguments = ["--encoder", "efficientnet_lite0", "--limit", "100", *SMALL]
    found = accuracies(example(root, tmp_path, "resnet50_small_images.py", *arguments, in_torch=True))
    assert list(found) == ["32 px, frozen", "32 px, tuned", "64 px, frozen", "64 px, tuned"]
    assert found["64 px, frozen"] > found["32 px, frozen"] - 0.1
    assert min(found.values()) > 0.2


def test_a_network_of_torchvision_runs_on_another_folder(root, tmp_path, crops):
    photo_folder(tmp_path / "mine", crops, 12)
    arguments = ["mine", "--encoder", "resnet18", "--weights", "random", *SMALL]
    assert "resnet18: 12 images of mine" in example(
        root, tmp_path, "resnet50_small_images.py", *arguments, in_torch=True
    )
