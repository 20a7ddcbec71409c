"""A second stream that sees motion instead of appearance; both answers are averaged (paper, section 3.3).

The picture of the motion rides along as a fourth plane of the images, so that cropping, searching
and refining treat both streams alike, and only the segmenter tells them apart.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_masktrack.core._opencv import cv2
from napari_masktrack.core.flow import LONGEST_SIDE, Preset, flow_magnitude_image
from napari_masktrack.core.instances import BoolImage, Image, Probability
from napari_masktrack.core.movie import Movie
from napari_masktrack.core.segmenter import Recalling, Segmenter
from napari_masktrack.errors import InputError


class MotionMovie(Movie):
    """Shows how much everything moves in another movie; to fine-tune the second stream on.

    Parameters
    ----------
    movie : Movie
        Length, size and stored values stay; only its images become pictures of motion.
    preset : {"ultrafast", "fine", "finest", "medium"}
        Of the optical flow; see `flow.optical_flow`.
    """

    def __init__(self, movie: Movie, *, preset: Preset = "medium") -> None:
        super().__init__(movie.data, axes=movie.axes, channels=movie.channels or None, name=movie.name)
        self._movie = movie
        self._preset: Preset = preset
        self._recent: dict[int, Image] = {}

    def image(self, frame: int) -> Image:
        """Picture the motion of one frame, from the frame before and to the frame after.

        Parameters
        ----------
        frame : int
            Index from 0.

        Returns
        -------
        array, (Y, X, 3), uint8
            Three equal planes: 255 for what moves most, relative to the frame's median motion.

        Raises
        ------
        MovieError
            The frame lies outside the movie or cannot be read.
        """
        return np.repeat(self._motion(frame)[1], 3, axis=2)

    def _motion(self, frame: int) -> tuple[Image, Image]:
        """Return the frame's image (Y, X, 3), which is not to be written to, and its motion (Y, X, 1)."""
        current = self._seen(frame)
        previous = self._seen(frame - 1) if frame > 0 else None
        following = self._seen(frame + 1) if frame + 1 < len(self) else None
        self._recent = {near: image for near, image in self._recent.items() if abs(near - frame) <= 1}
        small = (None if image is None else _reduced(image) for image in (previous, current, following))
        before, now, after = small
        assert now is not None, "the frame itself was read"
        plane = flow_magnitude_image(before, now, after, preset=self._preset)[..., 0]
        if plane.shape != self.shape:
            plane = cv2().resize(plane, self.shape[::-1], interpolation=cv2().INTER_LINEAR)
        return current, plane[..., None]

    def _seen(self, frame: int) -> Image:
        # masks are carried frame by frame: each is read and decoded once, not three times
        if frame not in self._recent:
            self._recent[frame] = self._movie.image(frame)
        return self._recent[frame]


class TwoStreamMovie(MotionMovie):
    """Shows a movie's images with the picture of their motion as a fourth plane; for `TwoStreams`."""

    def image(self, frame: int) -> Image:
        """Read one frame as the two streams see it.

        Parameters
        ----------
        frame : int
            Index from 0.

        Returns
        -------
        array, (Y, X, 4), uint8
            The movie's image, then the motion.

        Raises
        ------
        MovieError
            The frame lies outside the movie or cannot be read.
        """
        return np.concatenate(self._motion(frame), axis=2)


@dataclass(frozen=True)
class TwoStreams:
    """A segmenter that averages what is seen in the image and in the motion (MaskTrack + Flow).

    Parameters
    ----------
    appearance : callable
        Segmenter of images; see `Segmenter`.
    motion : callable, optional
        Segmenter of pictures of motion; by default the same, as it is.
    """

    appearance: Segmenter
    motion: Segmenter | None = None

    def remember(self, image: Image, mask: BoolImage) -> tuple[Any, Any] | None:
        """Return what both segmenters remember of the object in a crop (S, S, 4); None unless both can."""
        one, other = self._both
        if not (isinstance(one, Recalling) and isinstance(other, Recalling)):
            return None
        seen, moving = self._planes(image)
        pair = one.remember(seen, mask), other.remember(moving, mask)
        return None if any(memory is None for memory in pair) else pair

    def recalling(self, memories: Sequence[Sequence[tuple[Any, Any]]]) -> "TwoStreams":
        """Return the two streams for crops whose objects are remembered, pairs of memories for each."""
        one, other = self._both
        assert isinstance(one, Recalling), "something was remembered"
        assert isinstance(other, Recalling), "something was remembered"
        seen, moving = ([[pair[stream] for pair in each] for each in memories] for stream in (0, 1))
        return TwoStreams(one.recalling(seen), other.recalling(moving))

    @property
    def _both(self) -> tuple[Segmenter, Segmenter]:
        return self.appearance, self.motion or self.appearance

    def _planes(self, images: Image) -> tuple[Image, Image]:
        """Return what each stream sees, as three planes."""
        return np.ascontiguousarray(images[..., :3]), np.repeat(images[..., 3:], 3, axis=-1)

    def __call__(self, images: Image, guidance: BoolImage) -> Probability:
        """Segment one object in each crop.

        Parameters
        ----------
        images : uint8 (B, S, S, 4)
            Crops of a `TwoStreamMovie`.
        guidance : bool (B, S, S)

        Returns
        -------
        float32 (B, S, S)
            Mean of the two probabilities.

        Raises
        ------
        InputError
            The images carry no motion.
        """
        if images.shape[-1] != 4:
            raise InputError(
                f"The crops have {images.shape[-1]} planes, without motion; propagate on a TwoStreamMovie."
            )
        seen, moving = (
            each(view, guidance) for each, view in zip(self._both, self._planes(images), strict=True)
        )
        return np.asarray((seen + moving) / 2, np.float32)


def _reduced(image: Image) -> Image:
    """Return an image no larger than the flow needs."""
    scale = LONGEST_SIDE / max(image.shape[:2])
    if scale >= 1:
        return image
    size = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
    return np.asarray(cv2().resize(image, size, interpolation=cv2().INTER_AREA), np.uint8)
