from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import time
import warnings

import pytest

import featx
from featx.cli import _main, main
from featx.exceptions import ParameterError
from tests.cli.processes import COMMAND, environment, featx_command
from tests.test_init import HEAVY, modules_after


@pytest.fixture
def running(monkeypatch):
    """Makes `featx go` run a function."""

    def let(function) -> None:
        def add(commands):
            commands.add_parser("go").set_defaults(run=function)

        monkeypatch.setattr(_main, "_COMMANDS", (argparse.Namespace(add=add),))

    return let


def test_the_version_is_printed():
    assert featx_command("--version").stdout == f"featx {featx.__version__}\n"


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["bench", "--help"]])
def test_help_needs_nothing_heavy(arguments):
    modules = modules_after(f"from featx.cli import main\ntry: main({arguments})\nexcept SystemExit: pass")
    assert not modules & {"sklearn", "pandas", "numpy", "PIL", *HEAVY}


def test_every_command_shows_examples_of_itself(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    listed = capsys.readouterr().out
    for module in _main._COMMANDS:
        name = module.__name__.rpartition("._")[2]
        assert f"    {name} " in listed
        with pytest.raises(SystemExit, match="0"):
            main([name, "--help"])
        assert f"examples:\n  featx {name}" in capsys.readouterr().out


def test_an_unknown_option_shows_the_usage(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["bench", "--fast"])
    assert "usage: featx" in capsys.readouterr().err


def test_the_command_is_installed_under_its_name(root):
    assert 'featx = "featx.cli:main"' in (root / "pyproject.toml").read_text()


@pytest.mark.parametrize(("answer", "status"), [(None, 0), (0, 0), (1, 1)])
def test_a_command_says_its_exit_status(running, answer, status):
    running(lambda parsed: answer)
    assert main(["go"]) == status


def test_an_error_of_featx_is_a_line_on_stderr(running, capsys):
    def fail(parsed):
        raise ParameterError("Got a goat.")

    running(fail)
    assert main(["go"]) == 2
    assert capsys.readouterr() == ("", "featx: error: Got a goat.\n")


def test_an_error_of_the_system_is_a_line_too(running, capsys):
    running(lambda parsed: os.listdir("nowhere"))
    assert main(["go"]) == 2
    assert capsys.readouterr().err == "featx: error: [Errno 2] No such file or directory: 'nowhere'\n"


def test_another_error_is_shown_in_full(running):
    def fail(parsed):
        raise ZeroDivisionError

    running(fail)
    with pytest.raises(ZeroDivisionError):
        main(["go"])


def test_a_warning_is_a_line_on_stderr(running, capsys):
    def warn(parsed):
        warnings.simplefilter("always")
        warnings.warn("It rains.", UserWarning, stacklevel=1)

    before = warnings.showwarning
    running(warn)
    assert main(["go"]) == 0
    assert capsys.readouterr().err == "featx: warning: It rains.\n"
    assert warnings.showwarning is before


def test_ctrl_c_ends_a_process_quietly(tmp_path):
    process = subprocess.Popen(
        [*COMMAND, "bench", "--images", "2000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(TMPDIR=str(tmp_path)),
        text=True,
    )
    deadline = time.monotonic() + 600
    while (
        not any(tmp_path.iterdir()) and process.poll() is None and time.monotonic() < deadline
    ):  # until it writes its photos
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=600)
    # An interrupt inside of exec() makes CPython end itself by the signal, which a shell calls 130 too.
    assert process.returncode in (130, -signal.SIGINT)
    assert (out, err) == ("", "")
    assert not any(tmp_path.iterdir())


def test_a_reader_that_leaves_early_is_no_error():
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run(
            [*COMMAND, "encoders"], stdout=write, stderr=subprocess.PIPE, env=environment(), check=False, text=True
        )
    finally:
        os.close(write)
    assert (done.returncode, done.stderr) == (141, "")


def test_a_document_is_json_also_where_a_name_is_no_text(running, capsys):
    from featx.cli._command import print_json

    running(lambda parsed: print_json({"image": os.fsdecode(b"caf\xe9.jpg")}))
    assert main(["go"]) == 0
    assert os.fsencode(json.loads(capsys.readouterr().out)["image"]) == b"caf\xe9.jpg"
