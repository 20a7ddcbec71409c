"""Which frames a video holds, at which times, and where decoding can start; found without decoding it all."""

import os
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from napari_masktrack.errors import MovieError
from napari_masktrack.io.refusal import shown

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

_CHECKED_FRAMES = 32
_MOST_THREADS = 4
_EBML, _SEGMENT = b"\x1aE\xdf\xa3", b"\x18S\x80g"


@dataclass(frozen=True)
class VideoIndex:
    """Frames in the order in which they are shown.

    Attributes
    ----------
    count : int
        Number of frames.
    times : tuple of int
        Time stamp of each frame, rising; empty where the file's time stamps cannot be trusted and
        frames are counted from the start.
    starts : tuple of int
        Frames at which decoding can start, rising; the first is 0.
    """

    count: int
    times: tuple[int, ...]
    starts: tuple[int, ...]

    @cached_property
    def number_of(self) -> dict[int | None, int]:
        """Frame number by time stamp."""
        return {time: number for number, time in enumerate(self.times)}

    def start_before(self, frame: int) -> int:
        """Position in `starts` of the last start not after a frame."""
        return bisect_right(self.starts, frame) - 1


def open_video(path: Path) -> "tuple[InputContainer, VideoStream]":
    """Open a video for decoding.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    container, stream
        The file, which the caller closes, and its video.

    Raises
    ------
    MovieError
        It holds no video.
    """
    import av

    # Without the scheme, a colon in the name would be read as one.
    container = av.open(f"file:{path}")
    stream = container.streams.best("video")
    if not isinstance(stream, av.VideoStream):
        container.close()
        raise MovieError(f"{shown(path)} holds no video, or is truncated; give another file.")
    stream.thread_type = "AUTO"
    stream.codec_context.thread_count = min(_MOST_THREADS, os.cpu_count() or 1)
    return container, stream


def index_video(path: Path) -> VideoIndex:
    """Find all frames of a video.

    Packets are listed without being decoded. Their times are trusted if the first frames, decoded,
    bear them out; else everything is decoded once and counted.

    Parameters
    ----------
    path : Path
        The file.

    Raises
    ------
    MovieError
        The file is truncated or holds no frames.
    """
    container, stream = open_video(path)
    with container:
        stamps = [
            _Stamp(packet.pts, packet.is_keyframe, packet.is_discard, packet.is_corrupt)
            for packet in container.demux(stream)
            if packet.size
        ]
        _check_complete(path, stream, stamps)
    index = _index(stamps)
    if index is None or not _is_borne_out(path, index):
        container, stream = open_video(path)
        with container:
            index = VideoIndex(sum(1 for _ in container.decode(stream)), (), (0,))
    if not index.count:
        raise MovieError(f"{shown(path)} holds no frames; give another file.")
    return index


class _Stamp(NamedTuple):
    time: int | None
    key: bool
    discarded: bool
    corrupt: bool


def _index(stamps: list[_Stamp]) -> VideoIndex | None:
    shown_stamps = [stamp for stamp in stamps if not stamp.discarded]
    times = sorted(stamp.time for stamp in shown_stamps if stamp.time is not None)
    keys = sorted(stamp.time for stamp in shown_stamps if stamp.time is not None and stamp.key)
    if not keys or len(set(times)) != len(shown_stamps):
        return None
    # What comes before the first key frame cannot be decoded.
    times = times[bisect_left(times, keys[0]) :]
    return VideoIndex(len(times), tuple(times), tuple(bisect_left(times, key) for key in keys))


def _is_borne_out(path: Path, index: VideoIndex) -> bool:
    container, stream = open_video(path)
    with container:
        decoded = (frame.pts for frame in container.decode(stream))
        known = (time for time in decoded if time is None or time >= index.times[0])
        return tuple(islice(known, _CHECKED_FRAMES)) == index.times[:_CHECKED_FRAMES]


def _check_complete(path: Path, stream: "VideoStream", stamps: list[_Stamp]) -> None:
    """Compare what the file announces with what it holds."""
    held = len(stamps)
    if held < stream.frames or any(stamp.corrupt for stamp in stamps[-2:]) or _is_cut(path):
        raise MovieError(
            f"{shown(path)} is truncated: it ends after {held} frame(s); copy it again, "
            f"or save what is there with ffmpeg -i OLD -c copy NEW."
        )


def _is_cut(path: Path) -> bool:
    """Whether an AVI or Matroska file is shorter than its own head says; False where it does not say."""
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(12)
        if start.startswith(b"RIFF"):
            while start.startswith(b"RIFF"):
                end = file.seek(int.from_bytes(start[4:8], "little") - 4, 1)
                start = file.read(12)
            return end > size
        if not start.startswith(_EBML):
            return False
        file.seek(len(_EBML))
        file.seek(_ebml_size(file) or 0, 1)
        length = _ebml_size(file) if file.read(len(_SEGMENT)) == _SEGMENT else None
        return length is not None and file.tell() + length > size


def _ebml_size(file: BinaryIO) -> int | None:
    """Read a size as Matroska writes it; None if it was left open."""
    first = file.read(1)[0]
    more = 8 - first.bit_length()
    size = int.from_bytes(bytes([first & (0x7F >> more)]) + file.read(more), "big")
    return None if size == (1 << 7 * (more + 1)) - 1 else size
