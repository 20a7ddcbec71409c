"""Signals: taken over and given back, held back while something is finished, never lost."""

import io
import signal
import sys
import threading
import warnings

import pytest

from napari_masktrack.cli import terminal as module
from napari_masktrack.cli.terminal import Interrupted, Terminal, one_line
from napari_masktrack.errors import MaskTrackWarning

pytestmark = pytest.mark.usefixtures("listening")


ENDINGS = [
    (getattr(signal, name), code)
    for name, code in (("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129), ("SIGBREAK", 149))
    if hasattr(signal, name)
]


@pytest.fixture(params=[number for number, _ in ENDINGS])
def ending(request):
    """Give one signal after the other, and what listened to it before back at the end."""
    before = signal.getsignal(request.param)
    yield request.param
    signal.signal(request.param, before)


@pytest.mark.parametrize(("number", "code"), ENDINGS)
def test_a_signal_stops_at_once(number, code):
    with Terminal(), pytest.raises(Interrupted) as stop:
        signal.raise_signal(number)
    assert stop.value.code == code


def test_a_signal_waits_for_what_is_being_finished():
    done = False
    with Terminal() as terminal:
        with terminal.finishing():
            signal.raise_signal(signal.SIGINT)
            done = True
        assert done
        with pytest.raises(Interrupted):
            terminal.check()


def test_an_impatient_second_signal_does_not_wait(monkeypatch):
    monkeypatch.setattr(module, "PATIENCE", -1.0)
    with Terminal() as terminal, terminal.finishing():
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(Interrupted):
            signal.raise_signal(signal.SIGINT)


def test_a_signal_that_comes_twice_at_once_counts_once():
    with Terminal() as terminal, terminal.finishing():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)


def test_without_a_signal_the_check_passes():
    with Terminal() as terminal:
        terminal.check()


def test_handlers_are_given_back():
    before = [signal.getsignal(number) for number, _ in ENDINGS]
    with Terminal():
        assert signal.getsignal(signal.SIGINT) != before[0]
    assert [signal.getsignal(number) for number, _ in ENDINGS] == before


def test_an_ignored_signal_stays_ignored(ending):
    signal.signal(ending, signal.SIG_IGN)  # as a shell does for jobs in the background, and nohup
    with Terminal() as terminal:
        signal.raise_signal(ending)
        terminal.check()


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="Windows has no such signal")
def test_a_terminal_that_is_closed_is_not_impatient(monkeypatch):
    monkeypatch.setattr(module, "PATIENCE", -1.0)
    with Terminal() as terminal:
        with terminal.finishing():
            signal.raise_signal(signal.SIGHUP)
            signal.raise_signal(signal.SIGHUP)
        with pytest.raises(Interrupted):
            terminal.check()


def test_other_threads_may_run_commands():
    passed = threading.Event()

    def work():
        with Terminal() as terminal:
            terminal.check()
        passed.set()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert passed.is_set()


@pytest.mark.parametrize(("debug", "seen"), [(False, 0), (True, 1)])
def test_warnings_of_libraries_are_shown_only_for_debugging(debug, seen):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with Terminal(debug=debug):
            warnings.warn("old", DeprecationWarning, stacklevel=1)
    assert len(caught) == seen


def test_our_own_warning_is_one_line_and_said_once(capsys):
    with Terminal():
        for _ in range(3):
            warnings.warn("An object is\ntoo large.", MaskTrackWarning, stacklevel=1)
    assert capsys.readouterr().err == "masktrack: An object is too large.\n"


def test_a_text_that_the_terminal_cannot_show_does_not_break_it(monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    Terminal().say("Zelle \u7d30\u80de")
    assert stream.buffer.getvalue().rstrip() == b"Zelle ??"


def test_an_error_stays_on_one_line():
    assert one_line("a\nb\t\x1b[31mc  d") == "a b ?[31mc d"
