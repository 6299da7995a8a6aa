"""One rule for all commands: an error becomes a line and an exit status."""

from __future__ import annotations

import warnings

import pytest

from featx._exit_status import run_command
from featx.exceptions import OutputError, ParameterError


def raiser(error):
    def command():
        raise error

    return command


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (ParameterError("Got a goat."), 2, "go: error: Got a goat.\n"),
        (OutputError("No room."), 2, "go: error: No room.\n"),
        (FileNotFoundError(2, "Not there", "a.jpg"), 2, "go: error: [Errno 2] Not there: 'a.jpg'\n"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_what_the_user_can_act_on_is_a_line_and_a_status(error, status, line, capsys):
    assert run_command("go", raiser(error)) == status
    assert capsys.readouterr() == ("", line)


def test_a_mistake_of_the_program_is_raised():
    with pytest.raises(ZeroDivisionError):
        run_command("go", raiser(ZeroDivisionError()))


def test_ctrl_c_that_became_another_error_is_still_ctrl_c():
    def be_imported():
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt as interrupt:
            raise ImportError("initialization failed") from interrupt

    assert run_command("go", be_imported) == 130


def test_warnings_and_errors_are_phrased_alike_and_filters_are_kept(capsys):
    def command():
        warnings.simplefilter("always")
        warnings.warn("It rains.", UserWarning, stacklevel=1)
        raise ParameterError("It pours.")

    before = warnings.showwarning, list(warnings.filters)
    assert run_command("go", command, str.upper) == 2
    assert capsys.readouterr().err == "go: warning: IT RAINS.\ngo: error: IT POURS.\n"
    assert (warnings.showwarning, list(warnings.filters)) == before
