from __future__ import annotations

import os
import re
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import featx
from featx import list_encoders
from featx.encoders import resolve
from featx.exceptions import FeatxError, ParameterError
from tests.bench.test_bench import line_of, make_result
from tests.benchmarks import libraries, processes
from tests.benchmarks.candidates import ABSENT, BROKEN, GOOD
from tests.benchmarks.counter import Counter
from tests.benchmarks.libraries import BATCH, EMBETTER, IMG2VEC, LIBRARIES, TIMM, TORCH_LOOP, TRANSFORMERS, Task
from tests.benchmarks.processes import Worker
from tests.benchmarks.side_by_side import (
    Comparison,
    LibraryResult,
    compare,
    draw_chart,
    format_comparison,
    markdown,
)

# The comparison.


def make_comparison(**rates: float) -> Comparison:
    slow = LibraryResult("slow", "1.0", "net", rates=(18.0, 20.0, 21.0))
    absent = LibraryResult("absent", reason="not installed: pip install 'absent'")
    return Comparison(make_result(**rates), (slow, absent))


def test_featx_and_the_libraries_take_turns_in_their_own_processes(files):
    result = compare(Task(tuple(files), "efficientnet_lite0", "random", 2), (GOOD, BROKEN, ABSENT), runs=2)
    assert [(part, len(rates)) for part, rates in result.featx.rates.items()] == [
        *(("decode", 2), ("encode", 2), ("whole", 2), ("warm", 2))
    ]
    assert result.featx.difference < 1e-4
    good, broken, absent = result.libraries
    assert (len(good.rates), good.network, good.version, good.reason) == (2, "lite", np.__version__, "")
    assert broken.reason == "failed: no weights"
    assert absent.reason == "not installed: pip install 'featx-absent[all]'"


@pytest.mark.parametrize("library", LIBRARIES, ids=lambda library: library.name)
def test_every_library_is_measured_or_says_why_not(library):
    reason = library.missing(Task((), "googlenet", "random", 1))
    assert reason == "" or reason.startswith(("not installed: pip install", "has no googlenet"))


def test_the_table_has_the_fastest_first_and_what_was_not_measured_last():
    table = format_comparison(make_comparison())
    assert "20.0   featx is 3.0 times as fast" in line_of(table, "slow 1.0")
    last = table.splitlines()[-1]
    assert last.startswith("absent")
    assert last.endswith("not installed: pip install 'absent'")
    table = format_comparison(make_comparison(whole=10))
    assert table.index("slow 1.0") < table.index("featx 0")


def test_the_markdown_has_a_row_for_each_network():
    comparison = make_comparison()
    rows = markdown([comparison, comparison]).splitlines()
    assert rows[0] == "| images/s | featx | slow 1.0 | absent | of featx's limit | relative L2 to eager torch |"
    assert rows[2:] == ["| resnet18 | 60.0 | 20.0 | - | 80% | 3e-07 |"] * 2


def test_the_data_keeps_each_run_and_the_reasons():
    measured, absent = make_comparison().to_dict()["libraries"]
    assert (measured["median"], measured["rates"]) == (20, (18.0, 20.0, 21.0))
    assert (absent["median"], absent["reason"]) == (None, "not installed: pip install 'absent'")


def test_the_chart_has_a_panel_for_each_network_and_labels_its_bars(tmp_path):
    draw_chart([make_comparison()], tmp_path / "one.png")
    draw_chart([make_comparison(), make_comparison()], tmp_path / "two.PNG")
    with Image.open(tmp_path / "one.png") as one, Image.open(tmp_path / "two.PNG") as two:
        assert two.height > 1.5 * one.height
        assert one.getpixel((2, 2))[:3] == (255, 255, 255)
        assert len(np.unique(np.asarray(one).reshape(-1, 4), axis=0)) > 10
    draw_chart([make_comparison()], tmp_path / "a.svg")
    words = set(re.findall(r"<!-- (.*?) -->", (tmp_path / "a.svg").read_text()))
    assert {"resnet18", "featx", "60.0", "slow 1.0", "20.0   3.0\N{MULTIPLICATION SIGN} slower"} <= words
    assert not any("absent" in word for word in words)


# Processes.


def test_an_object_lives_in_another_process_keeps_its_state_and_survives_errors(capfd):
    with Worker(Counter, 5, quiet=True) as worker:
        assert [worker.call("count"), worker.call("count")] == [6, 7]
        assert worker.call("process") != os.getpid()
        with pytest.raises(ParameterError, match=r"No\."):
            worker.call("fail")
        with pytest.raises(RuntimeError, match="LocalError: cannot be pickled"):
            worker.call("fail_strangely")
        assert worker.call("count") == 8
        with pytest.raises(FeatxError, match="exit code 3"):
            worker.call("die")
    assert capfd.readouterr().out == ""


def test_an_error_of_the_factory_is_raised_here():
    with pytest.raises(ParameterError, match="start=-1"):
        Worker(Counter, start=-1)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="reads /proc")
def test_the_process_is_gone_after_closing():
    with Worker(Counter, 0) as worker:
        process = worker.call("process")
        assert Path(f"/proc/{process}").exists()
    assert not Path(f"/proc/{process}").exists()


def test_a_busy_process_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(processes, "_PATIENCE", 0.1)
    started = time.perf_counter()
    with Worker(Counter, 0) as worker:
        worker._connection.send("work_long")
    assert time.perf_counter() - started < 30


# The libraries, where they are installed.


@pytest.fixture
def loading():
    seen = []

    def forward(batch):
        seen.append(len(batch))
        return batch.float().mean((1, 2))

    return libraries.batched(lambda image: torch.from_numpy(np.array(image)), forward, 0), seen


def test_rows_come_in_the_order_of_the_paths_in_full_batches(loading, files):
    embed, seen = loading
    rows = embed(files * 3)
    assert seen == [BATCH, 36 - BATCH]
    assert rows.shape == (36, 3)
    np.testing.assert_array_equal(rows[:12], rows[12:24])
    assert len(np.unique(rows, axis=0)) == 12
    np.testing.assert_array_equal(embed(files)[[3, 5]], embed([files[3], files[5]]))


@pytest.mark.parametrize("encoder", ["resnet18", "efficientnet_lite0"])
def test_the_torch_loop_has_the_embeddings_of_featx_up_to_rounding_of_the_resize(encoder, files):
    embeddings = TORCH_LOOP.build(encoder, Task(tuple(files), encoder, "random", 0))(files)
    expected = featx.ImageEncoder(encoder, weights="random", cache=False, verbose=0).transform(files)
    assert embeddings.shape == expected.shape
    assert np.linalg.norm(embeddings - expected) < 0.05 * np.linalg.norm(expected)


def test_the_torch_loop_runs_with_its_own_workers(files):
    task = Task(tuple(files), "resnet18", "random", 1)
    with Worker(libraries.LibraryBench, TORCH_LOOP, task, quiet=True) as worker:
        assert worker.call("whole") > 0


@pytest.mark.parametrize("encoder", ["efficientnet_lite0", "resnet18", "convnext_tiny", "densenet121", "vit_b_16"])
def test_timm_has_the_same_network_under_its_name(encoder):
    timm = pytest.importorskip("timm")
    with torch.device("meta"):  # to be counted, not run
        network = timm.create_model(libraries.timm_name(encoder), pretrained=False)
    listed = list_encoders().set_index("name")["parameters"].loc[[encoder]].iloc[0]
    assert count(network) / 1e6 == pytest.approx(listed, abs=0.01)


def test_a_network_of_timm_keeps_its_name_without_the_tag_and_others_have_none():
    assert libraries.timm_name("timm:vit_small_patch14_dinov2.lvd142m") == "vit_small_patch14_dinov2"
    assert libraries.timm_name("googlenet") is None


def test_timm_embeds(files):
    pytest.importorskip("timm")
    check_embeddings(TIMM, "resnet18", 512, files)


# Libraries of the extra "benchmarks", which the tests do not need.
if find_spec("img2vec_pytorch"):

    @pytest.mark.parametrize(("encoder", "dim"), [("resnet18", 512), ("efficientnet_lite0", 1280)])
    @pytest.mark.filterwarnings("ignore")  # from within the library
    def test_transformers_embeds_without_a_hub(encoder, dim, files, monkeypatch):
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        pytest.importorskip("transformers")
        pytest.importorskip("timm")
        check_embeddings(TRANSFORMERS, encoder, dim, files[:3])

    @pytest.mark.parametrize("encoder", ["resnet50", "convnext_tiny"])
    @pytest.mark.filterwarnings("ignore")
    def test_the_networks_of_transformers_are_those_of_featx(encoder):
        pytest.importorskip("transformers")
        ours = resolve(encoder, weights="random")[0]
        with torch.device("meta"):
            network = ours.build()
            theirs, _ = libraries.transformers_network(TRANSFORMERS.network(encoder))
        assert count(theirs) == count(network) - count(network.get_submodule(ours.classifier))

    @pytest.mark.parametrize(("encoder", "dim"), [("resnet18", 512), ("densenet121", 1024), ("efficientnet_b0", 1280)])
    def test_img2vec_embeds_without_a_hub(encoder, dim, files):
        check_embeddings(IMG2VEC, encoder, dim, files[:2])


def test_img2vec_has_few_networks():
    names = [name for name in list_encoders()["name"].unique() if IMG2VEC.network(name)]
    assert {"resnet50", "vgg16_bn", "efficientnet_b7"} <= set(names)
    assert not {"efficientnet_lite0", "vgg16", "vit_b_16", "convnext_tiny"} & set(names)


if find_spec("embetter"):

    def test_embetter_embeds_without_a_hub_and_leaves_timm_as_it_was(files):
        import timm

        create = timm.create_model
        check_embeddings(EMBETTER, "efficientnet_lite0", 1280, files[:3])
        assert timm.create_model is create


def check_embeddings(library, encoder: str, dim: int, files: list[str]) -> None:
    embeddings = library.build(library.network(encoder), Task(tuple(files), encoder, "random", 0))(files)
    assert embeddings.shape == (len(files), dim)
    assert np.isfinite(embeddings).all()


def count(network) -> int:
    return sum(parameter.numel() for parameter in network.parameters())
