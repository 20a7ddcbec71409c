"""What the network sees on annotated frames and around them: examples to search the CRF's parameters on.

The network must not be shown the annotation that it is compared with: the mask is carried to a frame
beside and back again, so that a frame is guided by the result of its neighbour, as in a propagation.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress

import numpy as np

from napari_masktrack.config import PropagationConfig
from napari_masktrack.core.annotation import Annotation, Annotations, Mask
from napari_masktrack.core.carrier import Carrier, Piece
from napari_masktrack.core.crf_search import Example
from napari_masktrack.core.instances import BoolImage
from napari_masktrack.core.movie import Movie
from napari_masktrack.core.plan import Leg
from napari_masktrack.core.recall import Recollection
from napari_masktrack.core.resolver import Resolver
from napari_masktrack.core.segmenter import Segmenter
from napari_masktrack.errors import MovieError

MOST = 4
"""Examples; each takes part in every try."""
LIKELY = 0.5
"""J that the network must expect of a mask that it found in a box, for that to be an example."""


def crf_examples(
    movie: Movie, segment: Segmenter, *, annotations: Annotations, config: PropagationConfig, most: int = MOST
) -> Iterator[Example]:
    """Yield examples of painted objects, spread evenly over the annotations.

    Parameters
    ----------
    movie : Movie
    segment : callable
        See `Segmenter`.
    annotations : Annotations
        Boxes and scribbles say not where the outline is, and are left out.
    config : PropagationConfig
    most : int
        No more than so many.

    Yields
    ------
    Example
        None where the movie has one frame, the network loses the object, or a frame cannot be read.
    """
    for item in _spread(annotations.painted(movie.shape), most) if len(movie) > 1 else ():
        example = None
        with suppress(MovieError):  # for the propagation to meet, if it gets there
            example = _example(movie, segment, (item.label, item.frame, item.guidance(movie.shape)), config)
        if example is not None:
            yield example


def meant(
    movie: Movie, segment: Segmenter, *, annotations: Annotations, config: PropagationConfig, most: int = MOST
) -> Annotations:
    """Return the annotations if anything is painted, else the masks that the network finds for some of them.

    Those masks are no truth, but where the CRF harms a movie it spoils them, too (docs/benchmarks.md).

    Parameters
    ----------
    movie : Movie
    segment : callable
        See `Segmenter`.
    annotations : Annotations
    config : PropagationConfig
    most : int
        Of no more than so many boxes and strokes.

    Raises
    ------
    MovieError
        A frame cannot be read.
    """
    if annotations.painted(movie.shape):
        return annotations
    drawn = [item for item in annotations.items if not item.exact]
    resolver = Resolver(Recollection(segment, movie, wanted=config.reference), movie, annotations, config)
    found = ((item, *resolver.resolve(item, movie.image(item.frame))) for item in _spread(drawn, most))
    return Annotations(
        Mask(item.frame, item.label, region.to_mask(movie.shape))
        for item, region, confidence in found
        if region is not None and confidence >= LIKELY
    )


def _spread(items: Sequence[Annotation], most: int) -> list[Annotation]:
    """Return no more than so many of the items, evenly spread."""
    if not items:
        return []
    return [items[i] for i in np.unique(np.linspace(0, len(items) - 1, most).round().astype(int))]


def _example(
    movie: Movie, segment: Segmenter, item: tuple[int, int, BoolImage], config: PropagationConfig
) -> Example | None:
    """Carry a mask to the frame after (at the end: before), then back over its own frame and on."""
    label, frame, truth = item
    step = 1 if frame + 1 < len(movie) else -1
    beside = _carried(movie, segment, Mask(frame, label, truth), [frame, frame + step], config=config)
    mask = _mask(beside[-1], config.threshold, movie.shape)
    if not mask.any():
        return None
    path = [at for at in (frame + step, frame, frame - step) if 0 <= at < len(movie)]
    pieces = _carried(movie, segment, Mask(frame + step, label, mask), path, config=config)
    if not _mask(pieces[1], config.threshold, movie.shape).any():
        return None
    views = {
        at: piece for at, piece in zip(path, [beside[-1], *pieces[1:]], strict=True) if piece.values.size
    }
    order = sorted(views)
    return Example(
        [movie.image(at) for at in order],
        [(views[at].values, views[at].box) for at in order],
        order.index(frame),
        truth,
    )


def _carried(
    movie: Movie, segment: Segmenter, mask: Mask, path: Sequence[int], *, config: PropagationConfig
) -> list[Piece]:
    """Return an object's pieces on the frames of a path that starts at its mask."""
    carrier = Carrier(movie, Annotations([mask]), segment, config)
    leg = Leg(mask.label, path[0], path[-1])
    return [carrier.carry(frame, [leg])[0] for frame in path]


def _mask(piece: Piece, threshold: float, shape: tuple[int, int]) -> BoolImage:
    region = piece.region(threshold)
    return np.zeros(shape, bool) if region is None else region.to_mask(shape)
