"""How work ends: what is said and done then, and what is left of it."""

import gc
import weakref

import pytest

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
