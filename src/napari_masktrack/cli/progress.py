"""How far the work is: a bar with the time left on a terminal, now and then a line elsewhere."""

import os
import time
from collections.abc import Callable
from typing import Protocol, Self, TextIO

EVERY_SECONDS, EVERY_SHARE = 5.0, 0.05
"""Lines are this far apart, in time and in work."""
LONGEST_SILENCE = 60.0


class Progress(Protocol):
    """A context manager that is told how far the work is."""

    def __enter__(self) -> Self:
        """Begin."""
        ...

    def __exit__(self, *_: object) -> None:
        """End; the bar goes away."""
        ...

    def update(self, share: float, text: str) -> None:
        """Show that this share of the work is done, in words `text`."""
        ...


def open_progress(title: str, stream: TextIO) -> Progress:
    """Return a bar where the stream is a terminal that can draw one, else lines."""
    drawing = stream.isatty() and os.environ.get("TERM", "") != "dumb"
    return Bar(title, stream) if drawing else Lines(title, stream)


class Lines:
    """Plain lines for files and pipes.

    Parameters
    ----------
    title : str
    stream : text stream
    clock : callable, optional
        Returns seconds.
    """

    def __init__(self, title: str, stream: TextIO, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.title, self._stream, self._clock = title, stream, clock
        self._start = self._last = clock()
        self._share = 0.0
        self._found: float | None = None

    def __enter__(self) -> Self:
        """Begin to count the time."""
        self._start = self._last = self._clock()
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to clear away."""

    def update(self, share: float, text: str) -> None:
        """Write a line if enough has happened since the last one."""
        now = self._clock()
        if self._found is None:
            self._found = 0.0
            if share > EVERY_SHARE:  # work that goes on: what was there tells nothing of the time
                self._start, self._found = now, share
        silence = now - self._last
        if silence < EVERY_SECONDS or (share - self._share < EVERY_SHARE and silence < LONGEST_SILENCE):
            return
        self._last, self._share = now, share
        done = share - self._found
        left = f", {duration((1 - share) / done * (now - self._start))} left" if done > 0 else ""
        self._stream.write(f"{self.title}: {text}{left}\n")
        self._stream.flush()


class Bar:
    """A bar that is drawn over and over on one line of a terminal."""

    def __init__(self, title: str, stream: TextIO) -> None:
        from rich import progress
        from rich.console import Console

        self._bar = progress.Progress(
            progress.TextColumn("{task.description}", markup=False),
            progress.BarColumn(),
            progress.TextColumn("{task.fields[text]}", markup=False),
            progress.TimeRemainingColumn(),
            progress.TextColumn("left"),
            console=Console(file=stream),
            transient=True,
        )
        self._task = self._bar.add_task(title, total=1.0, text="")

    def __enter__(self) -> Self:
        """Begin to draw."""
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Clear the line."""
        self._bar.stop()

    def update(self, share: float, text: str) -> None:
        """Move the bar."""
        self._bar.update(self._task, completed=share, text=text)


def duration(seconds: float) -> str:
    """Write a duration as minutes and seconds, with hours where there are any."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
