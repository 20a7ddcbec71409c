"""Videos, frame by frame in any order: exact, with a bounded number of decoded frames kept."""

import threading
import weakref
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_masktrack.errors import MovieError
from napari_masktrack.io.frames import Pages
from napari_masktrack.io.refusal import refusing, shown
from napari_masktrack.io.video_index import VideoIndex, index_video, open_video

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

VIDEO_ENDINGS = frozenset({".avi", ".gif", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts"})
VIDEO_ENDINGS |= {".flv", ".h264", ".m2ts", ".mjpeg", ".ogv", ".ts", ".webm", ".wmv"}

_KEPT_FRAMES = 64
_KEPT_BYTES = 64 * 2**20


class Video(Pages):
    """Frames of a video file.

    A frame is decoded from the last key frame before it. The frames decoded on the way are kept, the
    newest up to 64 and 64 MiB, so that reading backwards decodes each one a few times, not hundreds.

    Parameters
    ----------
    path : Path
        The file.

    Raises
    ------
    MovieError
        The file is no video, is truncated, or cannot be decoded.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, threading.Lock()
        self._opened = ExitStack()
        weakref.finalize(self, self._opened.close)
        self._kept: OrderedDict[int, VideoFrame] = OrderedDict()
        self._coming: Iterator[tuple[int, VideoFrame]] = iter(())
        self._next: int | None = None
        with refusing(path, MovieError):
            from av.video.reformatter import VideoReformatter

            self._index = index_video(path)
            first = self._find(0)
        self._reformatter = VideoReformatter()
        self._format = _format_for(first.format.name)
        self._size = first.width, first.height
        self._turns = int(first.rotation) // 90 % 4
        image = self._convert(first)
        super().__init__((self._index.count,), image.shape, image.dtype)

    @property
    def axes(self) -> str:
        """One letter per dimension."""
        return "tyx" if len(self.shape) == 3 else "tyxc"

    def read(self, number: int) -> NDArray[Any]:
        """Decode one frame."""
        with self._lock, refusing(self._path, MovieError):
            return self._convert(self._find(number))

    def _convert(self, frame: "VideoFrame") -> NDArray[Any]:
        width, height = self._size
        image = self._reformatter.reformat(frame, width, height, self._format).to_ndarray()
        return np.rot90(image, self._turns)

    def _find(self, number: int) -> "VideoFrame":
        """Give a frame that was kept, or decode up to it."""
        if number in self._kept:
            self._kept.move_to_end(number)
            return self._kept[number]
        start = self._index.start_before(number)
        near = self._next is not None and self._index.starts[start] <= self._next <= number
        found = self._advance(number) if near else None
        for earlier in sorted({start, max(start - 1, 0), 0}, reverse=True):
            if found is None:
                self._restart(self._index.starts[earlier])
                found = self._advance(number)
        if found is None:
            raise MovieError(f"Frame {number} of {shown(self._path)} cannot be decoded; convert it anew.")
        return found

    def _restart(self, frame: int) -> None:
        """Go to a frame at which decoding can start."""
        if frame == 0:
            self._opened.close()
            self._container, self._stream = open_video(self._path)
            self._opened.enter_context(self._container)
        else:
            self._container.seek(self._index.times[frame], stream=self._stream)
        self._coming = _decode(self._container, self._stream, self._index, frame)

    def _advance(self, number: int) -> "VideoFrame | None":
        """Decode on until a frame is there, or passed."""
        self._next = None
        for at, frame in self._coming:
            self._next = at + 1
            self._keep(at, frame)
            if at >= number:
                return frame if at == number else None
        return None

    def _keep(self, number: int, frame: "VideoFrame") -> None:
        self._kept[number] = frame
        size = sum(plane.buffer_size for plane in frame.planes)
        while len(self._kept) > max(2, min(_KEPT_FRAMES, _KEPT_BYTES // size)):
            self._kept.popitem(last=False)


def _decode(
    container: "InputContainer", stream: "VideoStream", index: VideoIndex, start: int
) -> "Iterator[tuple[int, VideoFrame]]":
    """Decode frames with their numbers, from a start on; nothing if the file was entered behind it."""
    entered = start == 0
    for count, frame in enumerate(container.decode(stream)):
        number = index.number_of.get(frame.pts) if index.times else count
        # Frames before the start may refer to others that were not decoded.
        if number is None or number < start:
            continue
        if not entered and number != start:
            return
        entered = True
        yield number, frame


def _format_for(stored: str) -> str:
    if stored.startswith("gray"):
        return "gray" if stored == "gray" else "gray16le"
    return "gray" if stored in ("monow", "monob") else "rgb24"
