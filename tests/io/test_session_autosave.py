"""Changes are saved after a pause, off the main thread, and not forgotten when the disk refuses."""

import threading

import pytest

from napari_masktrack.errors import WorkError
from napari_masktrack.io.session_autosave import Autosaver


class Disk:
    def __init__(self):
        self.now, self.content, self.saved, self.full, self.threads = 0.0, {}, [], False, set()
        self.saver = Autosaver(self.content.__getitem__, self.write, clock=lambda: self.now)

    def write(self, key, content):
        self.threads.add(threading.current_thread())
        if self.full:
            raise WorkError("The disk is full; make room.")
        self.saved.append((key, content))

    def change(self, key, content):
        self.content[key] = content
        self.saver.note_change(key)

    def poll(self, now):
        self.now = now
        self.saver.poll()
        for _, done in list(self.saver._running):
            done.exception()


@pytest.fixture
def disk():
    made = Disk()
    yield made
    made.full = False
    made.saver.close()


def test_a_change_is_saved_after_a_pause(disk):
    disk.change(3, "stroke")
    disk.poll(0.2)
    assert disk.saved == []
    assert disk.saver.pending == (3,)
    disk.poll(0.5)
    assert disk.saved == [(3, "stroke")]
    disk.poll(0.6)
    assert disk.saver.pending == ()


def test_many_strokes_are_saved_once_but_not_put_off_for_ever(disk):
    for step in range(20):
        disk.now = step * 0.1
        disk.change(3, step)
        disk.poll(disk.now)
    assert [content for _, content in disk.saved] == [12]
    disk.saver.flush()
    assert [content for _, content in disk.saved] == [12, 19]


def test_flush_saves_all_at_once(disk):
    disk.change(1, "a")
    disk.change(2, "b")
    disk.saver.flush()
    assert disk.saved == [(1, "a"), (2, "b")]
    assert disk.saver.pending == ()


def test_writing_does_not_happen_on_the_main_thread(disk):
    disk.change(1, "a")
    disk.saver.flush()
    assert threading.current_thread() not in disk.threads


def test_a_refusal_of_the_disk_is_reported_once_and_tried_again(disk):
    disk.full = True
    disk.change(1, "a")
    with pytest.raises(WorkError, match="full"):
        disk.saver.flush()
    disk.poll(1.0)
    assert disk.saver.pending == (1,)
    disk.full = False
    disk.poll(10.0)
    assert disk.saved == [(1, "a")]


def test_a_later_change_replaces_what_could_not_be_saved(disk):
    disk.full = True
    disk.change(1, "old")
    with pytest.raises(WorkError):
        disk.saver.flush()
    disk.full = False
    disk.change(1, "new")
    disk.saver.flush()
    assert disk.saved == [(1, "new")]


def test_what_is_gone_can_be_dropped(disk):
    disk.saver.note_change("deleted layer")
    disk.saver.drop("deleted layer")
    disk.saver.flush()
    assert disk.saved == []


def test_a_long_queue_is_saved_bit_by_bit(disk):
    for key in range(50):
        disk.change(key, key)
    disk.now = 1.0
    disk.saver.poll(budget=0.0)
    assert 0 < 50 - len(disk.saver._waiting) < 50
    disk.saver.flush()
    assert len(disk.saved) == 50


def test_closing_saves_the_rest(disk):
    disk.change(1, "a")
    disk.saver.close()
    assert disk.saved == [(1, "a")]
