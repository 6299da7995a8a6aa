from __future__ import annotations

from tests.examples.test_retrieval import example
from tests.examples.test_shared_layers import accuracies


def test_the_pipeline_and_the_network_are_within_noise(root, tmp_path):
    arguments = ["--weights", "random", "--limit", "600", "--size", "32", "--epochs", "20", "--draws", "1"]
    found = accuracies(example(root, tmp_path, "vgg16_frozen.py", *arguments, in_torch=True))
    assert list(found) == ["Pipeline with MLPClassifier", "FineTuneClassifier"]
    assert abs(found["FineTuneClassifier"] - found["Pipeline with MLPClassifier"]) < 0.2
    assert min(found.values()) > 0.25
