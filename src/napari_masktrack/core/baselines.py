"""What needs no network: copies of the annotations, and what the true boxes alone would give.

Copies know the annotated frames only. Oracles know the truth's box on every frame (paper, table 2).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_masktrack.core._opencv import cv2
from napari_masktrack.core.annotation import Annotations
from napari_masktrack.core.bitmap import Bitmap
from napari_masktrack.core.flow import MaskWarp, Preset, warp_mask
from napari_masktrack.core.instances import BoolImage, BoundingBox, Image, Labels, bounding_box
from napari_masktrack.core.movie import Movie
from napari_masktrack.core.plan import Leg, itinerary, nearest, plan
from napari_masktrack.errors import AnnotationError

Truth = Iterable[tuple[int, npt.NDArray[np.integer]]]
"""Frames and their label images (Y, X), 0 is background."""


@dataclass(frozen=True)
class BaselineFrame:
    """The masks of one frame.

    Attributes
    ----------
    frame : int
    labels : uint16 (Y, X)
        Object ids; 0 is background. Where objects overlap, as `Annotations.label_image` has it: the
        larger id.
    """

    frame: int
    labels: Labels


def copy_nearest(movie: Movie, annotations: Annotations) -> Iterator[BaselineFrame]:
    """Give every frame the masks of the annotated frame nearest in time, object by object.

    Parameters
    ----------
    movie : Movie
        Only its length and size are used.
    annotations : Annotations
        A box stands for all its pixels, a scribble for its strokes.

    Yields
    ------
    BaselineFrame
        All frames in order.

    Raises
    ------
    AnnotationError
        An annotation does not fit the movie; before any work.
    """
    annotations.check(len(movie), movie.shape)
    return _copy_nearest(movie, annotations)


def _copy_nearest(movie: Movie, annotations: Annotations) -> Iterator[BaselineFrame]:
    anchors = annotations.anchors(movie.shape)
    shown: dict[int, tuple[int, Bitmap]] = {}
    for frame in range(len(movie)):
        for label, places in anchors.items():
            source = nearest(places, frame)
            if label not in shown or shown[label][0] != source:
                mask = annotations.of(label)[source].guidance(movie.shape)
                shown[label] = source, Bitmap.pack(mask)
        yield BaselineFrame(frame, _drawn([(label, mask) for label, (_, mask) in shown.items()], movie))


def copy_warped(
    movie: Movie, annotations: Annotations, *, preset: Preset = "medium"
) -> Iterator[BaselineFrame]:
    """Give every frame the masks of the nearest annotated one, carried along the optical flow.

    Parameters
    ----------
    movie : Movie
    annotations : Annotations
        As for `copy_nearest`.
    preset : {"ultrafast", "fine", "finest", "medium"}
        Of the optical flow; see `flow.optical_flow`. The flow is followed wherever it leads.

    Yields
    ------
    BaselineFrame
        All frames in order.

    Raises
    ------
    AnnotationError
        An annotation does not fit the movie; before any work.
    """
    annotations.check(len(movie), movie.shape)
    return _copy_warped(movie, annotations, preset)


def _copy_warped(movie: Movie, annotations: Annotations, preset: Preset) -> Iterator[BaselineFrame]:
    whole = range(len(movie))
    legs = plan(annotations.anchors(movie.shape), frames=len(movie), direction="both", wanted=whole)
    backwards: dict[int, list[tuple[int, Bitmap]]] = {}
    for frame, masks in _carried(movie, annotations, legs, ascending=False, preset=preset):
        backwards[frame] = masks
    forwards = _carried(movie, annotations, legs, ascending=True, preset=preset)
    ahead = next(forwards, None)
    for frame in whole:
        masks = backwards.pop(frame, [])
        if ahead is not None and ahead[0] == frame:
            masks, ahead = masks + ahead[1], next(forwards, None)
        yield BaselineFrame(frame, _drawn(masks, movie))


def _carried(
    movie: Movie, annotations: Annotations, legs: Sequence[Leg], *, ascending: bool, preset: Preset
) -> Iterator[tuple[int, list[tuple[int, Bitmap]]]]:
    """Yield each frame of one direction with the masks that its legs give it."""
    masks: dict[int, BoolImage] = {}
    before: Image | None = None
    for frame, active in itinerary(legs, ascending=ascending):
        image = movie.image(frame)
        going = [leg.label for leg in active if leg.anchor != frame]
        if going:
            assert before is not None, "a leg starts at its anchor"
            flow = MaskWarp(before, image, preset=preset).flow
            masks.update({label: warp_mask(masks[label], flow) for label in going})
        for leg in active:
            if leg.anchor == frame:
                masks[leg.label] = annotations.of(leg.label)[frame].guidance(movie.shape)
        before = image
        yield frame, [(leg.label, Bitmap.pack(masks[leg.label])) for leg in active if leg.covers(frame)]


def box_oracle(movie: Movie, truth: Truth) -> Iterator[BaselineFrame]:
    """Fill the box of each true mask.

    Parameters
    ----------
    movie : Movie
        Only its size is used.
    truth : iterable of (frame, integer (Y, X))
        Label images, read one at a time.

    Yields
    ------
    BaselineFrame
        One for each frame of the truth. Smaller boxes lie in front.

    Raises
    ------
    AnnotationError
        A label image does not have the size of the frames.
    """
    for frame, labels, boxes in _boxes(movie, truth):
        for label, (y0, x0, y1, x1) in boxes:
            labels[y0:y1, x0:x1] = label
        yield BaselineFrame(frame, labels)


def grabcut_oracle(movie: Movie, truth: Truth, *, iterations: int = 5) -> Iterator[BaselineFrame]:
    """Segment each true box by GrabCut: colour models of what is outside the box and of what is not.

    Parameters
    ----------
    movie : Movie
    truth : iterable of (frame, integer (Y, X))
        Label images, read one at a time.
    iterations : int
        Of GrabCut on the whole frame; each takes 0.1 to 0.9 seconds at 480p.

    Yields
    ------
    BaselineFrame
        One for each frame of the truth. Objects with smaller boxes lie in front.

    Raises
    ------
    AnnotationError
        A label image does not have the size of the frames.

    References
    ----------
    Rother et al., GrabCut: interactive foreground extraction using iterated graph cuts, SIGGRAPH 2004.
    """
    for frame, labels, boxes in _boxes(movie, truth):
        image = movie.image(frame)
        for label, box in boxes:
            labels[_grabcut(image, box, iterations)] = label
        yield BaselineFrame(frame, labels)


def _grabcut(image: Image, box: BoundingBox, iterations: int) -> BoolImage:
    y0, x0, y1, x1 = box
    mask = np.zeros(image.shape[:2], np.uint8)
    if (y1 - y0) * (x1 - x0) == mask.size:
        # no pixel is known to be background: there is nothing to tell apart
        return np.ones(mask.shape, bool)
    library = cv2()
    library.setRNGSeed(0)
    library.grabCut(
        image, mask, (x0, y0, x1 - x0, y1 - y0), None, None, iterations, library.GC_INIT_WITH_RECT
    )
    return np.asarray((mask == library.GC_FGD) | (mask == library.GC_PR_FGD))


def _boxes(movie: Movie, truth: Truth) -> Iterator[tuple[int, Labels, list[tuple[int, BoundingBox]]]]:
    """Yield each frame with an empty label image and the true boxes, the largest first."""
    for frame, image in truth:
        if image.shape != movie.shape:
            raise AnnotationError(
                f"The truth of frame {frame} has shape {image.shape}, the movie {movie.shape}; "
                "give label images of the movie's size."
            )
        boxes = [(int(label), bounding_box(image == label)) for label in np.unique(image[image > 0])]
        found = [(label, box) for label, box in boxes if box is not None]
        found.sort(key=lambda pair: (pair[1][0] - pair[1][2]) * (pair[1][3] - pair[1][1]))
        yield frame, np.zeros(movie.shape, np.uint16), found


def _drawn(masks: Iterable[tuple[int, Bitmap]], movie: Movie) -> Labels:
    labels = np.zeros(movie.shape, np.uint16)
    for label, mask in sorted(masks, key=lambda pair: pair[0]):
        labels[mask.place][mask.unpack_part()] = label
    return labels


COPIES: dict[str, Callable[[Movie, Annotations], Iterator[BaselineFrame]]] = {
    "copy": copy_nearest,
    "flow": copy_warped,
}
ORACLES: dict[str, Callable[[Movie, Truth], Iterator[BaselineFrame]]] = {
    "box": box_oracle,
    "grabcut": grabcut_oracle,
}
