"""How probable each pixel is some object: an image layer over the movie, one byte per pixel."""

import tempfile
import weakref
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from napari.components import Dims
from napari.layers import Image
from numpy.typing import NDArray

from napari_masktrack.errors import WorkError
from napari_masktrack.layers.create import belonging
from napari_masktrack.layers.movie import LayerMovie
from napari_masktrack.layers.result import IN_MEMORY_UP_TO

CERTAIN = 255
"""The value of a pixel that is certainly some object."""


class ProbabilityStore:
    """The probability of the most probable object of each pixel, shown as an image over the movie.

    The largest over the objects takes one layer and one byte per pixel, however many objects there
    are; whose pixel it is, the result says. Only for the main thread.

    Parameters
    ----------
    view : LayerMovie
    in_memory_up_to : int, optional
        Bytes from which on the pixels lie in a Zarr array on disk, which goes with the layer.

    Attributes
    ----------
    layer : napari.layers.Image
        Named after the movie; to be added to the viewer. 0 to 255, 0 where nothing is known.
    """

    def __init__(self, view: LayerMovie, *, in_memory_up_to: int = IN_MEMORY_UP_TO) -> None:
        self.view = view
        self.on_disk = int(np.prod(view.layout.shape, dtype=np.int64)) > in_memory_up_to
        folder = tempfile.TemporaryDirectory(prefix="masktrack-", ignore_cleanup_errors=True)
        array = _stored(view, Path(folder.name)) if self.on_disk else np.zeros(view.layout.shape, np.uint8)
        self.layer = Image(
            array,
            contrast_limits=(0, CERTAIN),
            colormap="magma",
            blending="additive",
            opacity=0.7,
            **belonging(view, "probability"),
        )
        weakref.finalize(self.layer, folder.cleanup)

    def write_frame(self, frame: int, probability: NDArray[np.uint8], dims: Dims | None = None) -> None:
        """Put a frame into the layer; redraws only if it is shown.

        Parameters
        ----------
        frame : int
        probability : uint8 (Y, X)
        dims : napari.components.Dims, optional
            Of the viewer, ``viewer.dims``. Without it, the layer is redrawn each time.

        Raises
        ------
        WorkError
            It does not fit the movie, or the disk refused.
        """
        if probability.shape != self.view.layout.size or not 0 <= frame < self.view.layout.frames:
            raise WorkError(
                f"The probabilities of frame {frame}, {probability.shape}, do not fit "
                f"{self.view.movie.name!r}; choose the movie again."
            )
        try:
            self.layer.data[self.view.layout.key(frame)] = probability
        except OSError as error:
            raise WorkError(
                f"The probabilities of frame {frame} cannot be stored ({error}); make room, or go without."
            ) from error
        if dims is None or (dims.ndisplay == 2 and self.view.shows_frame(dims, frame)):
            self.layer.refresh(extent=False, highlight=False)

    def forget(self, frames: Iterable[int]) -> None:
        """Take frames away, for example because their propagation was taken back."""
        for frame in frames:
            self.layer.data[self.view.layout.key(frame)] = 0
        self.layer.refresh(extent=False, highlight=False)


def _stored(view: LayerMovie, folder: Path) -> Any:
    import zarr

    layout = view.layout
    chunk = tuple(1 if axis == layout.frame else size for axis, size in enumerate(layout.shape))
    return zarr.create_array(folder / "probability.zarr", shape=layout.shape, chunks=chunk, dtype="uint8")
