"""Frames of videos are exact in whatever order they are read; damaged videos are refused."""

import gc
import os
import random
import shutil
import sys
import threading
from pathlib import Path

import av
import numpy as np
import pytest

from napari_masktrack.errors import MovieError
from napari_masktrack.io.readers import open_movie
from napari_masktrack.io.video_index import open_video

HEIGHT, WIDTH, FRAMES = 64, 96, 90

FORMATS = {
    "mp4, one key frame": ("a.mp4", "libx264", "yuv420p", 250, {"bf": "3"}),
    "mp4, open groups": ("a.mp4", "libx264", "yuv420p", 20, {"x264-params": "open-gop=1:bframes=3"}),
    "mkv": ("a.mkv", "libx264", "yuv420p", 20, {}),
    "transport stream": ("a.ts", "libx264", "yuv420p", 20, {"x264-params": "open-gop=1"}),
    "avi without usable times": ("a.avi", "libx264", "yuv420p", 20, {"bf": "3"}),
    "avi, motion jpeg": ("a.avi", "mjpeg", "yuvj420p", 1, {}),
    "avi, mpeg4": ("a.avi", "mpeg4", "yuv420p", 15, {"bf": "2"}),
    "mpeg": ("a.mpg", "mpeg2video", "yuv420p", 15, {"bf": "2"}),
    "webm": (
        "a.webm",
        "libvpx-vp9",
        "yuv420p",
        30,
        {"auto-alt-ref": "1", "lag-in-frames": "16", "cpu-used": "6"},
    ),
    "no container": ("a.h264", "libx264", "yuv420p", 20, {}),
    "gif": ("a.gif", "gif", "rgb8", 30, {}),
}


def draw(number):
    """A frame that shows its number as ten blocks, black or white."""
    frame = np.full((HEIGHT, WIDTH, 3), 60, np.uint8)
    for bit in range(10):
        frame[8:40, 8 + 8 * bit : 16 + 8 * bit] = 230 if number >> bit & 1 else 10
    frame[48:60, number % 80 : number % 80 + 12] = (220, 40, 40)
    return frame


def number_in(frame):
    grey = frame.reshape(*frame.shape[:2], -1).mean(-1)
    low, high = float(grey.min()), float(grey.max())
    return sum(
        1 << bit for bit in range(10) if grey[14:34, 10 + 8 * bit : 14 + 8 * bit].mean() > (low + high) / 2
    )


def save_video(
    path, codec="libx264", pixels="yuv420p", group=20, *, options=None, frames=FRAMES, container=None
):
    with av.open(str(path), "w", options=container or {}) as file:
        stream = file.add_stream(codec, rate=25, options=options or {})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, pixels
        stream.codec_context.gop_size = group
        for number in range(frames):
            file.mux(stream.encode(av.VideoFrame.from_ndarray(draw(number), format="rgb24")))
        file.mux(stream.encode())
    return path


@pytest.fixture(scope="module", params=FORMATS)
def video(request, tmp_path_factory):
    name, codec, pixels, group, options = FORMATS[request.param]
    if codec not in av.codecs_available:
        pytest.skip(f"this PyAV has no {codec}")
    return save_video(tmp_path_factory.mktemp("video") / name, codec, pixels, group, options=options)


def orders():
    shuffled = random.Random(0).sample(range(FRAMES), FRAMES)
    return {
        "forwards": range(FRAMES),
        "backwards": range(FRAMES - 1, -1, -1),
        "in pairs backwards": [i for frame in range(FRAMES - 2, -1, -1) for i in (frame + 1, frame)],
        "at random": shuffled,
        "every seventh": range(0, FRAMES, 7),
    }


@pytest.mark.parametrize("order", orders())
def test_every_frame_is_exact_in_every_order(video, order):
    movie = open_movie(video)
    numbers = list(orders()[order])
    assert len(movie) == FRAMES
    assert movie.shape == (HEIGHT, WIDTH)
    assert [number_in(movie.raw(number)) for number in numbers] == numbers


def test_colours_are_red_green_blue(video):
    frame = open_movie(video).image(40).astype(int)
    assert abs(frame[52:56, 44:48].mean((0, 1)) - (220, 40, 40)).max() < 25


@pytest.mark.parametrize(
    ("pixels", "dtype"), [("gray", "uint8"), ("gray16le", "uint16"), ("gray10le", "uint16")]
)
def test_grey_video_keeps_its_depth(tmp_path, pixels, dtype):
    movie = open_movie(save_video(tmp_path / "a.mkv", "ffv1", pixels, frames=12))
    assert movie.dtype == dtype
    assert movie.raw(3).shape == (HEIGHT, WIDTH)
    assert [number_in(movie.raw(number)) for number in range(11, -1, -1)] == list(range(11, -1, -1))


def test_a_video_that_was_turned_by_the_camera_stands_upright(tmp_path):
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as file:
        stream = file.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        if not hasattr(stream, "set_display_rotation"):
            pytest.skip("this PyAV writes no turned videos")
        stream.set_display_rotation(90)
        file.mux(stream.encode(av.VideoFrame.from_ndarray(draw(5), format="rgb24")))
        file.mux(stream.encode())
    movie = open_movie(path)
    assert movie.shape == (WIDTH, HEIGHT)
    assert number_in(np.rot90(movie.raw(0), -1)) == 5


def test_a_video_of_one_frame_works(tmp_path):
    movie = open_movie(save_video(tmp_path / "one.mp4", frames=1))
    assert (len(movie), movie.name, number_in(movie.raw(0))) == (1, "one", 0)


class Counting:
    """A container that counts the frames it decodes."""

    decoded = 0

    def __init__(self, container):
        self.container = container

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.container.close()

    def __getattr__(self, name):
        return getattr(self.container, name)

    def decode(self, stream):
        for frame in self.container.decode(stream):
            Counting.decoded += 1
            yield frame


def test_reading_backwards_decodes_each_frame_a_few_times_only(tmp_path, monkeypatch):
    movie = open_movie(save_video(tmp_path / "a.mp4", group=300, frames=300))
    monkeypatch.setattr(Counting, "decoded", 0)
    monkeypatch.setattr(
        "napari_masktrack.io.video.open_video",
        lambda path: (lambda container, stream: (Counting(container), stream))(*open_video(path)),
    )
    for number in range(299, -1, -1):
        movie.raw(number)
    assert 300 <= Counting.decoded < 4 * 300


def test_several_threads_may_read_one_video(tmp_path):
    movie = open_movie(save_video(tmp_path / "a.mp4"))
    wrong = []

    def read(numbers):
        wrong.extend(number for number in numbers if number_in(movie.raw(number)) != number)

    threads = [threading.Thread(target=read, args=[numbers]) for numbers in (range(40), range(89, 40, -1))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="open files are listed on Linux only")
def test_the_file_is_let_go_with_the_movie(tmp_path):
    path = save_video(tmp_path / "a.mp4")
    movie = open_movie(path)
    movie.image(5)
    assert is_open(path)
    del movie
    gc.collect()
    assert not is_open(path)


def is_open(path):
    return any(
        each.is_symlink() and os.readlink(each) == str(path) for each in Path("/proc/self/fd").iterdir()
    )


@pytest.mark.parametrize("name", ["a.mp4", "fast.mp4", "a.mkv", "a.avi", "a.webm"])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.9])
def test_a_truncated_video_is_refused_when_it_is_opened(tmp_path, name, share, capfd):
    codec = {"webm": "libvpx", "avi": "mpeg4"}.get(name.split(".")[1], "libx264")
    options = {"movflags": "faststart"} if name == "fast.mp4" else None
    path = save_video(tmp_path / name, codec, container=options)
    os.truncate(path, int(path.stat().st_size * share))
    capfd.readouterr()
    with pytest.raises(MovieError, match=name) as error:
        open_movie(path)
    assert "\n" not in str(error.value)
    assert capfd.readouterr().err == ""


def test_a_video_damaged_in_the_middle_names_the_frame(tmp_path):
    path = save_video(tmp_path / "a.avi", "rawvideo", "bgr24", frames=3)
    movie = open_movie(path)
    path.write_bytes(b"")
    with pytest.raises(MovieError, match=r"a\.avi"):
        [movie.raw(frame) for frame in (2, 0, 2, 1)]


def test_a_file_with_sound_only_is_refused(tmp_path):
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as file:
        stream = file.add_stream("aac", rate=44100)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        sound.sample_rate = 44100
        file.mux(stream.encode(sound))
        file.mux(stream.encode())
    with pytest.raises(MovieError, match="holds no video"):
        open_movie(path)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows forbids such names")
@pytest.mark.parametrize(
    "name", ["50 % #1.mp4", "häuser:文.MP4", "-rf.mp4", "a\nb.mp4", "what?.mp4", "%03d.mp4"]
)
def test_odd_names_are_no_trouble(tmp_path, name, monkeypatch):
    save_video(tmp_path / "a.mp4", frames=3)
    shutil.move(tmp_path / "a.mp4", tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert number_in(open_movie(name).raw(2)) == 2
