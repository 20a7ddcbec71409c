"""What boxes and strokes mean, told by what is known of the same object from its other annotated frames."""

from napari_masktrack.config import PropagationConfig
from napari_masktrack.core.annotation import Annotation, Annotations
from napari_masktrack.core.instances import Image
from napari_masktrack.core.movie import Movie
from napari_masktrack.core.recall import MOST, Recollection
from napari_masktrack.core.refine import resolve
from napari_masktrack.core.region import Region

NEAR = 8
"""Other boxes and strokes of an object that are looked at to find the surest."""
_KEPT = 256


class Resolver:
    """Turn annotations into masks.

    What decides every pixel is taken as it is. A box or a stroke becomes a mask by the network, which
    compares it with the same object where it is painted nearest; where it is painted nowhere, with what
    the surest of its boxes and strokes means (docs/benchmarks.md, "Boxes on several frames").

    Parameters
    ----------
    recollection : Recollection
        The network, and how it remembers.
    movie : Movie
    annotations : Annotations
    config : PropagationConfig
    """

    def __init__(
        self, recollection: Recollection, movie: Movie, annotations: Annotations, config: PropagationConfig
    ) -> None:
        self._recollection, self._movie = recollection, movie
        self._annotations, self._config = annotations, config
        self._found: dict[tuple[int, int], tuple[Region | None, float]] = {}

    def resolve(self, item: Annotation, image: Image) -> tuple[Region | None, float]:
        """Return the mask that an annotation means, and how sure the network is of it.

        Parameters
        ----------
        item : Annotation
        image : uint8 (Y, X, C)
            The frame it was made on.

        Returns
        -------
        region : Region or None
            None if nothing is drawn.
        confidence : float
            In [0, 1]; 1 of what was painted.

        Raises
        ------
        AnnotationError
            The annotation does not fit the movie.
        MovieError
            Another annotated frame cannot be read.
        """
        if item.exact or not self._recollection.able:
            return resolve(item, image, self._recollection.segment, self._config)
        painted = self._annotations.painted_near(item.label, item.frame, self._movie.shape)
        known = painted[:MOST] or self._surest(item)
        if known == [item.frame]:
            return self._alone(item.label, item.frame)
        regions = ((self._alone(item.label, frame)[0], frame) for frame in known)
        seen = [(region, self._movie.image(frame)) for region, frame in regions if region is not None]
        return resolve(item, image, self._recollection.shown(seen), self._config)

    def _surest(self, item: Annotation) -> list[int]:
        """Return the frame near an item, or its own, on which the network is surest what its object is."""
        items = self._annotations.of(item.label)
        near = sorted(items, key=lambda frame: (abs(frame - item.frame), frame))[: NEAR + 1]
        found = {frame: self._alone(item.label, frame) for frame in near} if len(near) > 1 else {}
        sure = {frame: confidence for frame, (region, confidence) in found.items() if region is not None}
        return [max(sure, key=lambda frame: sure[frame])] if sure else [item.frame]

    def _alone(self, label: int, frame: int) -> tuple[Region | None, float]:
        """Resolve an item without the others; the last ones are kept."""
        if (label, frame) not in self._found:
            item, image = self._annotations.of(label)[frame], self._movie.image(frame)
            found = resolve(item, image, self._recollection.segment, self._config)
            if len(self._found) >= _KEPT:
                self._found.pop(next(iter(self._found)))
            self._found[label, frame] = found
        return self._found[label, frame]
