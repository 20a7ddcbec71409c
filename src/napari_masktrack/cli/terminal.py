"""What a command has of its terminal: lines, progress, and signals that cut no file in two."""

import errno
import logging
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from types import FrameType
from typing import Self, TextIO

from napari_masktrack.cli.progress import Progress, open_progress
from napari_masktrack.errors import MaskTrackWarning, WorkError
from napari_masktrack.evaluation.signals import REASONS
from napari_masktrack.io.refusal import shown

PATIENCE = 1.0
"""Seconds after which a second Ctrl-C no longer waits for what is being written."""
_NOBODY = (errno.EPIPE, errno.EIO, errno.EINVAL)
"""What a system says where nobody reads any more: of a pipe, of a terminal, and Windows of a pipe."""


class Interrupted(KeyboardInterrupt):
    """The work was stopped from outside.

    Parameters
    ----------
    number : int
        Of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(REASONS.get(signal.Signals(number), "Stopped"))
        self.code = 128 + number


class UnheardError(WorkError):
    """Whoever read standard output has closed it, as `head` does."""


class Terminal:
    """Standard output and error of one command; a context manager that listens to signals.

    Parameters
    ----------
    debug : bool
        Show what libraries warn of.
    """

    def __init__(self, *, debug: bool = False) -> None:
        self.debug = debug
        self._received: int | None = None
        self._since = 0.0
        self._finishing = 0
        self._undo = ExitStack()

    def __enter__(self) -> Self:
        """Take over the signals that end work; silence libraries' warnings, give ours as one line, once."""
        if threading.current_thread() is threading.main_thread():
            for number in REASONS:
                before = signal.getsignal(number)
                if before not in (signal.SIG_IGN, None):
                    signal.signal(number, self._receive)
                    self._undo.callback(signal.signal, number, before)
        if not self.debug:
            self._undo.enter_context(warnings.catch_warnings())
            warnings.simplefilter("ignore")
            warnings.simplefilter("once", MaskTrackWarning)
            warnings.showwarning = self._warn
            self._undo.callback(logging.disable, logging.root.manager.disable)
            logging.disable(logging.CRITICAL)
        return self

    def __exit__(self, *_: object) -> None:
        """Give the signals back."""
        self._undo.close()

    def say(self, text: str) -> None:
        """Write a line of the result to standard output.

        Raises
        ------
        UnheardError
            Nobody reads it any more.
        """
        try:
            _write(sys.stdout, text)
        except OSError as error:
            if error.errno not in _NOBODY:
                raise
            _let_go(sys.stdout)
            raise UnheardError("Standard output was closed before all was said.") from error

    def complain(self, text: str) -> None:
        """Write a line to standard error; a terminal that was closed needs to be told nothing."""
        try:
            _write(sys.stderr, text)
        except OSError:
            _let_go(sys.stderr)

    def progress(self, title: str) -> Progress:
        """Open a progress bar, or lines where there is no terminal."""
        return open_progress(title, sys.stderr)

    @contextmanager
    def telling(self, kept: str) -> Iterator[None]:
        """Say what was kept, in standard error, where nobody reads to its end what the block says."""
        try:
            yield
        except UnheardError as error:
            error.add_note(kept)
            raise

    @contextmanager
    def finishing(self) -> Iterator[None]:
        """Let the block end before a signal takes effect; `check` then raises it."""
        self._finishing += 1
        try:
            yield
        finally:
            self._finishing -= 1

    def check(self) -> None:
        """Stop here if a signal has come.

        Raises
        ------
        Interrupted
        """
        stop = self.interruption()
        if stop is not None:
            raise stop

    def interruption(self) -> Interrupted | None:
        """Return the signal that has come, if one has."""
        return None if self._received is None else Interrupted(self._received)

    def _warn(self, message: Warning | str, *_: object, **__: object) -> None:
        self.complain(one_line(f"masktrack: {message}"))

    def _receive(self, number: int, _frame: FrameType | None) -> None:
        now = time.monotonic()
        first = self._received is None
        if first:
            self._received, self._since = number, now
        elif number == getattr(signal, "SIGHUP", None):
            return  # shell and system both say it when a terminal closes; nobody has lost patience
        if not self._finishing or (not first and now - self._since > PATIENCE):
            raise Interrupted(number)


def one_line(text: str) -> str:
    """Write a text so that it stays on one line."""
    return shown(" ".join(text.split()))


def _write(stream: TextIO, text: str) -> None:
    encoding = stream.encoding or "utf-8"
    stream.write(text.encode(encoding, "replace").decode(encoding) + "\n")
    stream.flush()


def _let_go(stream: TextIO) -> None:
    """Send nowhere what is still to come, so that nothing fails when the process ends."""
    with suppress(OSError, ValueError), open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), stream.fileno())
