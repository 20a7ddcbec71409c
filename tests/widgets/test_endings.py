"""How work ends: what is said and done then, and what is left of it."""

import gc
import weakref

import pytest

from napari_masktrack.errors import InputError
from napari_masktrack.widgets.exports import export
from napari_masktrack.widgets.moving import save_as
from napari_masktrack.widgets.worker import Job


class Batch:
    """Stands for what work has in memory."""


@pytest.fixture
def worked(dock, paint, finish):
    """A dock with a result."""
    dock.finetune.set_value("off")
    paint(dock, 0)
    dock.bar.run.click()
    finish(dock)
    return dock


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(28, "No space left on device"), "The system refused to read or write"),
        (KeyError("x"), "Something unforeseen"),
    ],
)
def test_a_frame_that_cannot_be_put_into_the_layer_ends_the_work_as_failed(
    worked, paint, finish, monkeypatch, error, said
):
    def refuse(*_):
        tried.append(1)
        raise error

    tried = []
    paint(worked, 4)
    monkeypatch.setattr(worked.workspace.result, "write_frame", refuse)
    worked.bar.run.click()
    finish(worked)
    assert said in worked.bar.message.text()
    assert len(tried) == 1
    assert worked.commands.touched() is not None, "the correction is not propagated yet"
    assert worked.bar.run.isEnabled()
    assert worked.workspace.result.layer.editable


def test_a_full_folder_for_temporary_files_ends_the_work_in_words(worked, paint, finish, monkeypatch):
    def refuse(**_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("napari_masktrack.layers.former.tempfile.TemporaryFile", refuse)
    paint(worked, 4)
    worked.bar.run.click()
    finish(worked)
    assert "former masks could not be kept" in worked.bar.message.text()
    assert worked.commands.touched() is not None


def test_nothing_is_left_of_work_that_failed(dock, qtbot):
    def work():
        batch = Batch()
        batches.append(weakref.ref(batch))
        yield 1
        raise RuntimeError("CUDA out of memory")

    batches = []
    for _ in range(3):
        dock.runner.start(work, "a test", lambda _: None)
        qtbot.waitUntil(lambda: not dock.runner.is_running)
        assert "CUDA out of memory" in dock.bar.message.text()
        gc.collect()
    assert [batch() for batch in batches] == [None] * 3
    qtbot.waitUntil(lambda: dock.runner.findChildren(Job) == [dock.runner.job])


def test_each_work_is_told_its_own_end_once_and_nothing_else_is_begun_meanwhile(dock, qtbot):
    ends, items = [], []
    for name in ("first", "second"):
        dock.runner.start(
            lambda: iter([1, 2]), "a test", items.append, then=lambda end, n=name: ends.append((n, end))
        )
        with pytest.raises(InputError, match="being worked on"):
            dock.runner.start(lambda: iter([3]), "another", items.append, then=ends.append)
        qtbot.waitUntil(lambda: not dock.runner.is_running)
    assert ends == [("first", "done"), ("second", "done")]
    assert items == [1, 2, 1, 2]


def test_work_that_another_one_begins_at_its_end_is_told_its_own(dock, qtbot):
    def go_on(ending):
        ends.append(ending)
        dock.runner.start(lambda: iter([1 / 0]), "a test", ends.append, then=ends.append)

    ends = []
    dock.runner.start(lambda: iter([1]), "a test", lambda _: None, then=go_on)
    qtbot.waitUntil(lambda: len(ends) == 2)
    assert ends == ["done", "failed"]


def test_an_export_during_a_run_is_refused_and_never_called_done(worked, tracker, finish, tmp_path):
    tracker.frame_seconds = 0.05
    worked.bar.run.click()
    with pytest.raises(InputError, match="being worked on"):
        export(worked, tmp_path / "masks.tif", "tif")
    finish(worked)
    assert worked.bar.message.text().startswith("\N{CHECK MARK} Done")
    export(worked, tmp_path / "masks.tif", "tif")
    finish(worked)
    assert worked.bar.message.text() == f"\N{CHECK MARK} Exported 8 frames to {tmp_path / 'masks.tif'}."
    assert (tmp_path / "masks.tif").exists()


def test_a_session_is_copied_nowhere_during_a_run(worked, tracker, finish, tmp_path):
    tracker.frame_seconds = 0.05
    worked.sessions.create(tmp_path / "mine.masktrack")
    worked.bar.run.click()
    with pytest.raises(InputError, match="being worked on"):
        save_as(worked.sessions, tmp_path / "other.masktrack")
    finish(worked)
    assert not (tmp_path / "other.masktrack").exists()
    assert worked.sessions.session.folder == tmp_path / "mine.masktrack"


def test_the_weights_of_before_stay_within_reach_where_a_fine_tuning_is_cancelled(
    dock, tracker, paint, finish, qtbot, tmp_path
):
    dock.sessions.create(tmp_path / "mine.masktrack")
    qtbot.waitUntil(lambda: dock.workspace.session is not None)
    paint(dock, 0)
    dock.bar.run.click()
    finish(dock)
    assert dock.finetune.start.findText("Before the last fine-tuning") == -1
    tracker.step_seconds = 0.2
    dock.bar.run.click()
    qtbot.waitUntil(lambda: bool(dock.finetune.plot.value()))
    dock.bar.cancel.click()
    qtbot.waitUntil(lambda: dock.finetune.start.findText("Before the last fine-tuning") >= 0)
