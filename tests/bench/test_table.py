from __future__ import annotations

from featx.bench import format_table
from tests.bench.results import make_result


def line_of(table: str, start: str) -> str:
    (line,) = [line for line in table.splitlines() if line.startswith(start)]
    return line


def test_it_says_what_ran_and_how_it_compares():
    table = format_table(make_result())
    assert table.startswith("resnet18, weights random, float32: torch on cpu, 2 threads, batches of 8\n12 images")
    assert line_of(table, "limit").split()[1] == "75.0"
    assert "80% of the limit" in line_of(table, "whole  ")
    assert "9,000" in line_of(table, "whole, all cached")
    assert "3e-07" in line_of(table, "relative L2")
    assert "20.0   featx is 3.0 times as fast" in line_of(table, "slow 1.0")


def test_a_peer_without_a_figure_is_listed_last_with_its_reason():
    last = format_table(make_result()).splitlines()[-1]
    assert last.startswith("absent")
    assert last.endswith("not installed: pip install 'absent'")


def test_a_peer_that_is_faster_comes_first():
    table = format_table(make_result(whole=10))
    assert table.index("slow 1.0") < table.index("featx 0")


def test_the_limit_says_what_it_is_on_either_device():
    assert "share the cores" in line_of(format_table(make_result()), "limit")
    assert "slower of the two" in line_of(format_table(make_result(device="cuda:0")), "limit")


def test_files_that_were_left_out_are_counted_and_the_first_are_named():
    table = format_table(make_result(left_out=tuple((f"{i}.jpg", "is broken") for i in range(7))))
    assert "7 files left out:\n  0.jpg: is broken" in table
    assert "5.jpg" not in table
    assert "... and 2 more" in table


def test_without_peers_there_is_no_side_by_side():
    assert "side by side" not in format_table(make_result(peers=()))


def test_runs_that_differ_much_are_told():
    result = make_result()
    assert "Measure again" not in format_table(result)
    result.rates["whole"] = (60.0, 30.0, 61.0)
    assert format_table(result).endswith(
        "differ by up to 2.0 times: the machine is busy. Measure again when it is not."
    )
