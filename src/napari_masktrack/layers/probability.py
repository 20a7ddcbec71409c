"""How probable each pixel is some object: an image layer over the movie, one byte per pixel."""

from typing import Any

import numpy as np
from napari.components import Dims
from napari.layers import Image
from numpy.typing import NDArray

from napari_masktrack.errors import WorkError
from napari_masktrack.io.session import Session
from napari_masktrack.io.session_results import LabelStore
from napari_masktrack.layers.create import belonging
from napari_masktrack.layers.stored import StoredFrames

CERTAIN = 255
"""The value of a pixel that is certainly some object."""


class ProbabilityStore(StoredFrames):
    """The probability of the most probable object of each pixel, shown as an image over the movie.

    The largest over the objects takes one layer and one byte per pixel, however many objects there
    are; whose pixel it is, the result says. The layer has 0 to 255, 0 where nothing is known.
    """

    dtype = np.uint8
    layer: Image

    def _make_layer(self, array: Any) -> Image:
        return Image(
            array,
            contrast_limits=(0, CERTAIN),
            colormap="magma",
            blending="additive",
            opacity=0.7,
            **belonging(self.view, "probability"),
        )

    def _kept_in(self, session: Session) -> LabelStore:
        return session.probabilities

    def begin(self) -> None:
        """Start a propagation: from its first frame on frames are kept for `revert`."""
        self._begun = True

    def write_frame(
        self, frame: int, probability: NDArray[np.uint8] | None, dims: Dims | None = None
    ) -> None:
        """Put a frame into the layer; redraws only if it is shown.

        Parameters
        ----------
        frame : int
        probability : uint8 (Y, X) or None
            None if the frame has new masks but nothing is known of their probability.
        dims : napari.components.Dims, optional
            Of the viewer, ``viewer.dims``. Without it, the layer is redrawn each time.

        Raises
        ------
        WorkError
            It does not fit the movie, or the disk refused.
        """
        given = self.view.layout.size if probability is None else probability.shape
        if given != self.view.layout.size or not 0 <= frame < self.view.layout.frames:
            raise WorkError(
                f"The probabilities of frame {frame}, {given}, do not fit "
                f"{self.view.movie.name!r}; choose the movie again."
            )
        self._started()
        if probability is None and frame not in self._done | self._unread:
            return
        self._replace(frame, probability)
        self._redraw(frame, dims)
