"""Progress: seldom a line in files, a bar on terminals, always the time left."""

import io

import pytest

from napari_masktrack.cli.progress import Lines, duration, open_progress


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


class Screen(io.StringIO):
    def isatty(self):
        return True


def lines(seconds, steps, *, made=0):
    clock, stream = Clock(), io.StringIO()
    with Lines("Working", stream, clock=clock) as progress:
        for step in range(made + 1, steps + 1):
            clock.now += seconds / (steps - made)
            progress.update(step / steps, f"step {step}")
    return stream.getvalue().splitlines()


def test_short_work_says_nothing():
    assert lines(seconds=4, steps=100) == []


def test_lines_are_five_seconds_apart():
    assert len(lines(seconds=60, steps=600)) in (11, 12)


def test_lines_are_five_per_cent_apart():
    assert len(lines(seconds=600, steps=6000)) in (19, 20)


def test_long_work_is_not_silent_for_long():
    assert len(lines(seconds=6000, steps=6000)) in (99, 100)


def test_a_line_tells_the_time_left():
    first = lines(seconds=200, steps=20)[0]
    assert first == "Working: step 1, 3:10 left"


def test_work_that_goes_on_tells_the_time_that_is_really_left():
    said = lines(seconds=1000, steps=100, made=50)  # 20 s a step
    assert "Working: step 60, 13:20 left" in said


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0:00"), (59.6, "1:00"), (754, "12:34"), (3600, "1:00:00"), (36065, "10:01:05")],
)
def test_durations_are_easy_to_read(seconds, text):
    assert duration(seconds) == text


def test_a_terminal_gets_a_bar_that_goes_away(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    screen = Screen()
    with open_progress("Working [1]", screen) as progress:
        progress.update(0.5, "frame 2 of 4")
    drawn = screen.getvalue()
    assert "Working [1]" in drawn
    assert "frame 2 of 4" in drawn
    assert drawn.endswith("\x1b[2K")  # the line is erased


@pytest.mark.parametrize(("screen", "term"), [(Screen(), "dumb"), (io.StringIO(), "xterm")])
def test_lines_where_no_bar_can_be_drawn(monkeypatch, screen, term):
    monkeypatch.setenv("TERM", term)
    assert isinstance(open_progress("Working", screen), Lines)
