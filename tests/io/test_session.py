"""A session folder: what is saved comes back, damage and other movies are named, nobody writes twice."""

import errno
import json
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tifffile
import zarr

from napari_masktrack.core.annotation import Absent, Annotations, Box, Mask, Scribble
from napari_masktrack.core.movie import Movie
from napari_masktrack.errors import InputError, MovieError, OutputError
from napari_masktrack.io.session import MovieReference, Session, SessionObject, is_session
from napari_masktrack.io.session_drawings import DrawnShape

SHAPE = (24, 32)


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 4000, (9, *SHAPE), np.uint16)


@pytest.fixture
def movie(pixels):
    return Movie(pixels, name="cells")


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "cells.masktrack"


@pytest.fixture
def session(folder, movie):
    with Session.create(folder, MovieReference.of(movie), settings={"model": "default"}) as made:
        yield made


def labels(*ids):
    image = np.zeros(SHAPE, np.int32)
    for number, label in enumerate(ids):
        image[3 + 5 * number : 7 + 5 * number, 4:20] = label
    return image


def reopened(session, **options):
    session.close()
    return Session.open(session.folder, **options)


def test_everything_that_is_saved_comes_back(session, movie):
    session.save_annotation(2, labels(1, 300, 65535))
    session.save_annotation(3, labels(7), kind="scribbles")
    session.save_annotation(3, labels(0, 7), kind="beside")
    shape = DrawnShape("rectangle", 4, 2, ((1.5, 2.5), (1.5, 9.5), (8.5, 9.5), (8.5, 2.5)))
    session.save_shapes([shape])
    session.save_absent([(5, 1), (4, 300)])
    session.save_settings({"model": "mine", "range": [0, 5]})
    session.save_objects({7: SessionObject("bud", (1.0, 0.5, 0.0, 1.0)), 1: SessionObject("mother")})
    session.results.write(6, labels(1, 2))
    session.numbers.save_metrics([{"frame": 6, "label": 1, "confidence": 0.5, "iou": float("nan")}])
    with reopened(session) as again:
        assert again.annotated_frames() == (2,)
        np.testing.assert_array_equal(dict(again.label_images())[2], labels(1, 300, 65535))
        assert again.shapes() == (shape,)
        assert again.absent == ((4, 300), (5, 1))
        assert again.settings == {"model": "mine", "range": [0, 5]}
        assert again.objects[7] == SessionObject("bud", (1.0, 0.5, 0.0, 1.0))
        assert again.results.written == (6,)
        np.testing.assert_array_equal(again.results.read(6), labels(1, 2))
        assert not again.results.read(5).any()
        assert again.numbers.metrics() == [{"frame": "6", "label": "1", "confidence": "0.5", "iou": ""}]
        assert again.problems == []
        again.check_movie(movie)


def test_the_annotations_are_those_of_the_engine(session):
    session.save_annotation(2, labels(1, 2))
    session.save_annotation(3, labels(7), kind="scribbles")
    session.save_annotation(3, labels(0, 7), kind="beside")
    session.save_shapes([DrawnShape("rectangle", 4, 2, ((1.5, 2.5), (1.5, 9.5), (8.5, 9.5), (8.5, 2.5)))])
    session.save_absent([(5, 1)])
    expected = Annotations.from_labels({2: labels(1, 2)}) + Annotations(
        [Scribble(3, 7, labels(7) == 7, labels(0, 7) == 7), Box(4, 2, (2, 3, 9, 10)), Absent(5, 1)]
    )
    assert session.annotations() == expected


def test_an_erased_frame_is_no_annotation_any_more(session):
    session.save_annotation(2, labels(1))
    session.save_annotation(2, labels())
    assert session.annotated_frames() == ()


def test_a_damaged_frame_is_kept_when_its_layer_is_empty(session):
    session.save_annotation(2, labels(1))
    path = session.folder / "annotations" / "masks" / "00002.png"
    path.write_bytes(b"half")
    session.save_annotation(2, labels())
    assert session.annotated_frames() == ()
    assert path.with_name("00002.png.damaged").read_bytes() == b"half"


def test_the_weights_lie_in_the_session(session):
    session.weights.write_bytes(b"weights")
    with reopened(session) as again:
        assert again.weights.name == "finetuned.safetensors"
        assert again.weights.read_bytes() == b"weights"


@pytest.mark.parametrize(
    ("frame", "image", "kind"),
    [
        (9, labels(1), "masks"),
        (-1, labels(1), "masks"),
        (0, labels(1)[1:], "masks"),
        (0, labels(1), "points"),
    ],
)
def test_labels_that_do_not_fit_are_refused(session, frame, image, kind):
    with pytest.raises(OutputError, match=r"do not fit|no annotations of kind"):
        session.save_annotation(frame, image, kind=kind)


@pytest.mark.parametrize("image", [labels(70000), labels(-3), labels(1).astype(float)])
def test_values_that_cannot_be_ids_are_refused(session, image):
    with pytest.raises(InputError, match="label"):
        session.save_annotation(0, image)
    assert session.annotated_frames() == ()


def test_a_folder_with_other_things_is_not_taken(tmp_path, movie):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(OutputError, match="not an empty folder"):
        Session.create(tmp_path, MovieReference.of(movie))
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_folder_without_a_session_is_named(tmp_path):
    assert not is_session(tmp_path)
    with pytest.raises(InputError, match="no session in"):
        Session.open(tmp_path)


def test_a_session_that_was_killed_while_it_was_made_can_be_made_again(folder, movie):
    folder.mkdir()
    (folder / "session.lock").write_text('{"pid": 1')
    (folder / ".session.json.0123.part").write_text("{")
    Session.create(folder, MovieReference.of(movie)).close()
    assert is_session(folder)


# Another movie


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda a: a[:-1], r"frames 9 there, 8 here"),
        (lambda a: a[:, 2:], r"height and width \(24, 32\) there, \(22, 32\) here"),
        (lambda a: a.astype(np.float32), r"uint16 there, float32 here"),
        (lambda a: a + 1, r"other pixels"),
    ],
)
def test_another_movie_is_refused_and_told_apart(session, pixels, change, said):
    with pytest.raises(MovieError, match=said):
        session.check_movie(Movie(change(pixels), name="others"))


def test_the_same_movie_in_another_file_is_accepted(session, pixels):
    session.check_movie(Movie(pixels.astype(">u2"), name="renamed"))


def test_the_movie_is_opened_from_its_file_also_when_moved_with_the_session(tmp_path, pixels):
    place = tmp_path / "lab"
    place.mkdir()
    tifffile.imwrite(place / "cells.tif", pixels, metadata={"axes": "TYX"})
    movie = Movie(pixels, name="cells")
    Session.create(place / "s.masktrack", MovieReference.of(movie, path=place / "cells.tif")).close()
    moved = place.rename(tmp_path / "archive")
    with Session.open(moved / "s.masktrack") as session:
        np.testing.assert_array_equal(session.open_movie().raw(3), pixels[3])


def test_a_single_image_is_opened_again(tmp_path, pixels):
    tifffile.imwrite(tmp_path / "one.tif", pixels[0])
    reference = MovieReference.of(Movie(pixels[:1], name="one"), path=tmp_path / "one.tif")
    with Session.create(tmp_path / "s", reference) as session:
        assert len(session.open_movie()) == 1


def test_a_missing_movie_is_named(tmp_path, folder, movie):
    session = Session.create(folder, MovieReference.of(movie, path=tmp_path / "gone.tif"))
    with session, pytest.raises(MovieError, match=r"gone\.tif.*not there any more"):
        session.open_movie()


def test_a_movie_that_was_in_memory_only_is_asked_for(session):
    with pytest.raises(MovieError, match="in memory only"):
        session.open_movie()


# Damage


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n rubbish", b"not a picture"])
def test_a_damaged_frame_is_named_and_kept_and_the_rest_loads(session, content):
    session.save_annotation(1, labels(1))
    session.save_annotation(2, labels(2))
    path = session.folder / "annotations" / "masks" / "00001.png"
    path.write_bytes(content)
    with reopened(session) as again:
        assert again.annotations() == Annotations.from_labels({2: labels(2)})
        assert len(again.problems) == 1
        assert "00001.png" in again.problems[0]
        again.save_annotation(1, labels(5))
        assert (path.parent / "00001.png.damaged").read_bytes() == content
        assert again.annotated_frames() == (1, 2)


def test_damaged_shapes_are_named_and_kept(session):
    session.save_annotation(1, labels(1))
    session.save_shapes([DrawnShape("polygon", 0, 1, ((1, 1), (1, 9), (9, 9)))])
    (session.folder / "annotations" / "shapes.json").write_text('{"shapes": [{"kind"')
    with reopened(session) as again:
        assert again.annotations().frames == (1,)
        assert "shapes.json" in again.problems[0]
        assert (again.folder / "annotations" / "shapes.json.damaged").exists()


def test_a_damaged_head_is_replaced_by_its_copy(session):
    session.save_settings({"model": "mine"})
    (session.folder / "session.json").write_text("{")
    with reopened(session) as again:
        assert again.settings == {"model": "mine"}
        assert "backup" in again.problems[0]
        again.save_settings({"model": "other"})
    assert (session.folder / "session.json.damaged").read_text() == "{"
    with Session.open(session.folder, read_only=True) as again:
        assert (again.settings, again.problems) == ({"model": "other"}, [])


def test_looking_at_a_damaged_head_changes_no_file(session):
    (session.folder / "session.json").write_text("{")
    with Session.open(session.folder, read_only=True) as other:
        assert "backup" in other.problems[0]
    assert (session.folder / "session.json").read_text() == "{"
    assert not (session.folder / "session.json.damaged").exists()
    with reopened(session) as again:
        assert again.problems == other.problems  # the window looks first, then opens


def test_two_damaged_heads_are_refused_in_words(session):
    for name in ("session.json", "session.backup.json"):
        (session.folder / name).write_text("[]")
    with pytest.raises(InputError, match=r"session\.json.*cannot be read"):
        reopened(session)
    (session.folder / "session.json").unlink()
    with pytest.raises(InputError, match=r"session\.json"):
        Session.open(session.folder)


def test_a_session_of_a_later_version_is_refused(session):
    for name in ("session.json", "session.backup.json"):
        content = json.loads((session.folder / name).read_text())
        (session.folder / name).write_text(json.dumps(content | {"version": 2, "napari_masktrack": "9.1"}))
    with pytest.raises(InputError, match=r"made by napari-masktrack 9\.1; update"):
        reopened(session)


def test_damaged_results_are_named_and_do_not_stop_the_rest(session):
    session.save_annotation(1, labels(1))
    session.results.write(0, labels(1))
    (session.folder / "results.zarr" / ".zarray").write_text("{")
    with reopened(session) as again:
        assert again.results.written == ()
        assert "results.zarr" in again.problems[0]
        again.results.write(3, labels(2))
        assert again.results.written == (3,)
        assert again.annotations().frames == (1,)


def test_a_damaged_frame_of_the_results_is_named(session):
    for frame in (0, 1, 2):
        session.results.write(frame, labels(1))
    (session.folder / "results.zarr" / "0.0.0").write_bytes(b"rubbish")
    (session.folder / "results.zarr" / "1.0.0").write_bytes(b"")
    with reopened(session) as again:
        assert again.results.written == (0, 2)
        with pytest.raises(InputError, match=r"Frame 0 of .* is damaged"):
            again.results.read(0)
        assert not again.results.read(1).any()
        assert again.results.read(2).any()


@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES, errno.EMFILE])
@pytest.mark.parametrize("name", ["00001.png", "shapes.json", "metrics.csv", ".zarray", "session.json"])
def test_what_cannot_be_read_for_a_moment_is_not_put_aside(session, monkeypatch, name, number):
    session.save_annotation(1, labels(1))
    session.save_shapes([DrawnShape("polygon", 0, 1, ((1, 1), (1, 9), (9, 9)))])
    session.results.write(0, labels(1))
    session.numbers.save_metrics([{"frame": 0, "label": 1}])
    session.close()
    before = sorted(session.folder.rglob("*"))
    with monkeypatch.context() as refusing:
        refuse_to_open(refusing, name, number)
        with pytest.raises(InputError, match=rf"cannot be read \({os.strerror(number)}\).*try again"):
            read_all(session.folder)
    assert sorted(session.folder.rglob("*")) == before
    assert read_all(session.folder) == (2, [{"frame": "0", "label": "1"}], (0,), [])


def refuse_to_open(monkeypatch, name, number):
    """As the system does when the drive hiccups, or too many files are open."""

    def opening(file, *args, usual=open, **options):
        if str(file).endswith(name):
            raise OSError(number, os.strerror(number), str(file))
        return usual(file, *args, **options)

    monkeypatch.setattr("builtins.open", opening)
    monkeypatch.setattr("io.open", opening)


def read_all(folder):
    with Session.open(folder) as session:
        count = len(session.annotations().items)
        return count, session.numbers.metrics(), session.results.written, session.problems


def test_results_that_cannot_be_read_for_a_moment_are_no_zeros(session, monkeypatch):
    session.results.write(0, labels(1))
    with reopened(session) as again:
        with monkeypatch.context() as refusing:
            refuse_to_open(refusing, "0.0.0", errno.EIO)
            with pytest.raises(InputError, match=r"Frame 0 of .* cannot be read now"):
                again.results.read(0)
        assert again.results.read(0).any()


@pytest.mark.parametrize("name", ["5.png", "000006.png"])
def test_an_image_with_another_name_than_the_session_gives_is_left_out_in_words(session, name):
    session.save_annotation(1, labels(1))
    stray = session.folder / "annotations" / "masks" / name
    stray.write_bytes((stray.parent / "00001.png").read_bytes())
    with reopened(session) as again:
        assert again.annotations().frames == (1,)
        assert [re.search(r"name it (0000[56]\.png)", said) is not None for said in again.problems] == [True]
    assert stray.exists()


def test_an_empty_frame_of_the_results_differs_from_a_missing_one(session):
    session.results.write(4, labels())
    assert session.results.written == (4,)
    session.results.forget(4)
    assert session.results.written == ()


def test_an_empty_frame_written_after_reopening_is_there(session):
    session.results.write(2, labels(1))
    with reopened(session) as again:
        again.results.write(2, labels())
        again.results.write(4, labels())
        assert again.results.written == (2, 4)


def test_results_of_another_movie_are_put_aside(session):
    import zarr

    zarr.create_array(str(session.folder / "results.zarr"), shape=(2, 5, 5), dtype="uint8", zarr_format=2)
    session.results.write(0, labels(1))
    assert session.results.written == (0,)
    assert "another movie" in session.problems[0]
    session.results.clear()
    assert session.results.written == ()
    session.results.write(1, labels(1))
    assert session.results.written == (1,)


# One writer at a time


def test_a_second_window_is_told_who_has_the_session(session):
    with pytest.raises(OutputError, match=r"open elsewhere \(process \d+ on .* since"):
        Session.open(session.folder)


def test_a_session_that_is_open_can_be_looked_at(session):
    session.save_annotation(2, labels(1))
    with Session.open(session.folder, read_only=True) as other:
        assert other.annotations().frames == (2,)
        with pytest.raises(OutputError, match="read only"):
            other.save_annotation(2, labels(1))
        with pytest.raises(OutputError, match="read only"):
            other.results.write(2, labels(1))
    assert not session.read_only


def test_looking_changes_no_file(session):
    path = session.folder / "annotations" / "masks" / "00001.png"
    session.save_annotation(1, labels(1))
    path.write_bytes(b"")
    with Session.open(session.folder, read_only=True) as other:
        assert list(other.label_images()) == list(other.label_images()) == []
        assert len(other.problems) == 1
    assert path.exists()


def _hold(folder, ready):
    Session.open(folder)
    ready.set()
    time.sleep(60)


@pytest.mark.skipif(sys.platform == "win32", reason="starts by forking")
def test_another_process_is_kept_out_until_it_is_killed(session):
    session.close()
    context = multiprocessing.get_context("fork")
    ready = context.Event()
    other = context.Process(target=_hold, args=(session.folder, ready))
    other.start()
    assert ready.wait(20)
    with pytest.raises(OutputError, match=f"process {other.pid} on"):
        Session.open(session.folder)
    other.kill()
    other.join()
    with Session.open(session.folder) as again:
        assert again.interrupted


def test_an_orderly_end_is_no_interruption(session):
    with reopened(session) as again:
        assert not again.interrupted


# Killed at any moment

WRITER = """
import os, sys
import numpy as np
import zarr
from napari_masktrack.io.session import Session
from napari_masktrack.io.session_autosave import Autosaver
from napari_masktrack.io.session_drawings import DrawnShape

def say(what, first, second):
    os.write(1, f"{what} {first} {second}\\n".encode())  # in one piece, whichever thread speaks

def work(folder, start):
    session = Session.open(folder)
    painted = {}

    def image(stroke):
        return np.full(session.movie.shape, stroke, np.uint16)

    def write(frame, labels):
        session.save_annotation(frame, labels)
        say("saved", frame, int(labels[0, 0]))

    saver = Autosaver(painted.__getitem__, write, pause=0.0, at_most=0.0)
    say("pid", os.getpid(), 0)
    for stroke in range(start, start + 1000):
        frame = stroke % session.movie.frames
        painted[frame] = image(stroke)
        saver.note_change(frame)
        saver.poll()
        session.results.write(frame, image(stroke))
        say("result", frame, stroke)
        if not stroke % 3:
            session.save_settings({"stroke": stroke, "filler": "x" * 5000})
            session.save_shapes([DrawnShape("polygon", 0, 1, ((1, 1), (1, 9), (9, stroke)))] * 20)

for line in sys.stdin:
    if hasattr(os, "fork") and os.fork():  # what was imported serves all rounds
        os.wait()
        say("dead", 0, 0)
    else:
        work(sys.argv[1], int(line))
"""


class Writer:
    """A process that writes into a session until it is killed, again and again."""

    def __init__(self, folder):
        self.command = [sys.executable, "-c", WRITER, str(folder)]
        self.process = None

    def lines(self, start):
        """Begin to write; give what the process says, as words."""
        if self.process is None or self.process.poll() is not None:
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
            )
        self.process.stdin.write(f"{start}\n")
        self.process.stdin.flush()
        for line in self.process.stdout:
            what, first, second = line.split()
            yield what, int(first), int(second)
            if what == "dead":
                return

    def close(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


def test_a_kill_at_any_moment_loses_at_most_the_last_stroke(session):
    session.close()
    rng = np.random.default_rng(0)
    said = {"saved": {}, "result": {}, "dead": {}}
    writer = Writer(session.folder)
    for start in range(1000, 21000, 1000):
        patience = rng.integers(0, 30)
        for number, (what, frame, value) in enumerate(writer.lines(start)):
            if what == "pid":
                pid = frame
                continue
            said[what][frame] = value
            if number == patience + 1:
                time.sleep(rng.uniform(0, 0.01))
                os.kill(pid, signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
        with Session.open(session.folder) as again:
            assert again.interrupted
            _check(dict(again.label_images()), said["saved"], start)
            _check(
                {frame: again.results.read(frame) for frame in again.results.written}, said["result"], start
            )
            assert len(again.shapes()) in (0, 20)
            assert again.settings.keys() & {"model", "stroke"}
            assert again.problems == []
        assert not list(session.folder.rglob("*.part*"))
    writer.close()
    assert len(said["saved"]) == len(said["result"]) == 9


def _check(found, said, start):
    """Whole images only, and none older than what was said to be on disk."""
    for frame, value in said.items():
        assert len(np.unique(found[frame])) == 1
        assert value <= found[frame][0, 0] < start + 1000


def test_masks_of_a_session_are_plain_png_files(session):
    from PIL import Image

    session.save_annotation(0, labels(1, 255))
    session.save_annotation(1, labels(256))
    for frame, dtype in ((0, np.uint8), (1, np.uint16)):
        image = np.asarray(Image.open(session.folder / "annotations" / "masks" / f"{frame:05d}.png"))
        assert image.dtype == dtype
    assert isinstance(session.annotations().items[0], Mask)


@pytest.mark.parametrize("path", ["movie.tif", "movie.zarr"])
def test_a_session_of_one_plane_opens_the_file_at_that_plane(tmp_path, pixels, folder, path):
    volume = np.stack([pixels, pixels // 2, pixels // 3], axis=1)
    if path.endswith("tif"):
        tifffile.imwrite(tmp_path / path, volume, photometric="minisblack", metadata={"axes": "TZYX"})
    else:
        zarr.save_array(tmp_path / path, volume)
    movie = Movie(volume[:, 1], name="cells (axis 1 at 1)")
    reference = MovieReference.of(movie, path=tmp_path / path, planes=((1, 1),))
    with Session.create(folder, reference) as session:
        opened = session.open_movie()
    np.testing.assert_array_equal(opened.raw(4), volume[4, 1])
    assert opened.data.source.shape == volume.shape


def test_other_channels_are_noted_for_good_and_others_are_named(tmp_path, pixels, folder):
    colours = np.stack([pixels, pixels, pixels], axis=1)
    first, other = (Movie(colours, axes="tcyx", channels=each) for each in (None, 1))
    with Session.create(folder, MovieReference.of(first)) as session:
        with pytest.raises(MovieError, match="channels 0, 1, 2 there, 1 here"):
            session.check_movie(other)
        session.save_movie(MovieReference.of(other))
        session.check_movie(other)
    with Session.open(folder, read_only=True) as session:
        session.check_movie(other)
