"""A mask kept as packed bits of its bounding box: small, unchangeable, equal when the content is."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_masktrack.errors import AnnotationError

Shape = tuple[int, int]
BoolImage = NDArray[np.bool_]


@dataclass(frozen=True)
class Bitmap:
    """A boolean image.

    Attributes
    ----------
    shape : tuple of int
        Height and width of the whole image.
    corner : tuple of int
        Row and column where the part with content begins.
    size : tuple of int
        Height and width of that part, (0, 0) when the image is empty.
    bits : bytes
        Its pixels, row by row, eight to a byte.
    """

    shape: Shape
    corner: Shape
    size: Shape
    bits: bytes

    @classmethod
    def pack(cls, image: BoolImage, *, corner: Shape = (0, 0), shape: Shape | None = None) -> "Bitmap":
        """Keep an image, or the part of a larger one that has content.

        Parameters
        ----------
        image : array, (Y, X), bool
            The pixels; copied.
        corner : tuple of int
            Row and column of its first pixel in the larger image.
        shape : tuple of int, optional
            Height and width of the larger image.
        """
        height, width = image.shape
        whole = (height, width) if shape is None else shape
        rows, columns = np.flatnonzero(image.any(axis=1)), np.flatnonzero(image.any(axis=0))
        if not rows.size:
            return cls(whole, (0, 0), (0, 0), b"")
        y, x = int(rows[0]), int(columns[0])
        part = image[y : rows[-1] + 1, x : columns[-1] + 1]
        size = part.shape[0], part.shape[1]
        return cls(whole, (corner[0] + y, corner[1] + x), size, np.packbits(part).tobytes())

    def unpack(self) -> BoolImage:
        """Give the image back, bool (Y, X), as a fresh array."""
        image = np.zeros(self.shape, bool)
        image[self.place] = self.unpack_part()
        return image

    @property
    def place(self) -> tuple[slice, slice]:
        """Rows and columns of the part with content."""
        (y, x), (height, width) = self.corner, self.size
        return slice(y, y + height), slice(x, x + width)

    def unpack_part(self) -> BoolImage:
        """Give back only the part with content, bool, as a fresh array."""
        height, width = self.size
        bits = np.unpackbits(np.frombuffer(self.bits, np.uint8), count=height * width)
        return bits.view(bool).reshape(height, width)


def painted(image: ArrayLike, what: str) -> BoolImage:
    """Where an image of whole numbers is not 0.

    Parameters
    ----------
    image : array, (Y, X), bool or integer
        What was painted.
    what : str
        Its name for the message.

    Returns
    -------
    array, (Y, X), bool

    Raises
    ------
    AnnotationError
        The image is not two-dimensional, or its pixels are not whole numbers.
    """
    array = np.asarray(image)
    if array.ndim != 2 or 0 in array.shape:
        raise AnnotationError(f"The {what} has shape {array.shape}; give one image (Y, X).")
    if array.dtype.kind not in "bui":
        raise AnnotationError(
            f"The {what} has pixels of type {array.dtype}; give bool or integer ones, "
            f"for example `probability > 0.5`."
        )
    return np.asarray(array, bool)


def size_text(shape: tuple[int, ...]) -> str:
    """Height and width in words, for messages."""
    return f"{shape[0]} x {shape[1]} pixels (height x width)"
