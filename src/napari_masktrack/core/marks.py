"""What can be said about one object on one frame: mask, scribble, box, polygon or absent.

Every kind answers two questions. Its *guidance* is the rough mask from which propagation starts;
its *supervision* says which pixels may teach the network, and what.
"""

from dataclasses import dataclass
from math import floor, isfinite
from operator import index
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_masktrack.core.bitmap import Bitmap, BoolImage, Shape, painted, size_text
from napari_masktrack.errors import AnnotationError

LARGEST_LABEL = 65535


@dataclass(frozen=True)
class Annotation:
    """Base of the kinds: one object on one frame. Equal content is equal; nothing can be changed.

    Parameters
    ----------
    frame : int
        Index of the frame, from 0.
    label : int
        Id of the object, 1 to 65535.

    Raises
    ------
    AnnotationError
        The frame is negative, or the label cannot be an object id.
    """

    frame: int
    label: int

    exact: ClassVar[bool] = False
    """Whether the user decided every pixel of the frame for this object."""

    def __post_init__(self) -> None:
        """Refuse impossible frames and labels; take NumPy integers as integers."""
        object.__setattr__(self, "frame", index(self.frame))
        object.__setattr__(self, "label", index(self.label))
        if self.frame < 0:
            raise AnnotationError(f"Frame {self.frame} is before the first one; count frames from 0.")
        if not 1 <= self.label <= LARGEST_LABEL:
            raise AnnotationError(
                f"Label {self.label} on frame {self.frame} is no object id; use 1 to {LARGEST_LABEL}."
            )

    @property
    def where(self) -> str:
        """Object and frame in words, for messages."""
        return f"object {self.label} on frame {self.frame}"

    def guidance(self, shape: Shape) -> BoolImage:
        """Rough mask from which propagation starts.

        Parameters
        ----------
        shape : tuple of int
            Height and width of the movie's frames.

        Returns
        -------
        array, (Y, X), bool
            Fresh; the caller may write to it.

        Raises
        ------
        AnnotationError
            The annotation does not fit frames of this shape.
        """
        raise NotImplementedError

    def supervision(self, shape: Shape) -> tuple[BoolImage, BoolImage]:
        """Tell what may be learnt from it.

        Parameters
        ----------
        shape : tuple of int
            Height and width of the movie's frames.

        Returns
        -------
        target, known : arrays, (Y, X), bool
            Where the object is, and where that is certain. Fresh arrays.

        Raises
        ------
        AnnotationError
            The annotation does not fit frames of this shape.
        """
        target = self.guidance(shape)
        return target, np.ones(target.shape, bool)

    def is_painted(self, shape: Shape) -> bool:
        """Tell whether at least one pixel is called object; refuses what `guidance` refuses."""
        return bool(self.guidance(shape).any())

    def paint(self, image: NDArray[np.integer]) -> None:
        """Write the object's id into a label image (Y, X) of the frame; refuses what `guidance` refuses."""
        image[self.guidance((image.shape[0], image.shape[1]))] = self.label

    def _unpack(self, bitmap: Bitmap, shape: Shape) -> BoolImage:
        self._require(bitmap, shape)
        return bitmap.unpack()

    def _require(self, bitmap: Bitmap, shape: Shape) -> None:
        if bitmap.shape != tuple(shape):
            raise AnnotationError(
                f"The {type(self).__name__.lower()} of {self.where} has {size_text(bitmap.shape)} but the "
                f"movie's frames have {size_text(shape)}; draw it on this movie at full resolution."
            )


@dataclass(frozen=True, init=False)
class Mask(Annotation):
    """A painted mask: every pixel is decided.

    Parameters
    ----------
    frame, label : int
        Index of the frame and id of the object.
    mask : array, (Y, X), bool or integer
        Other than 0 where the object is; copied.

    Raises
    ------
    AnnotationError
        The mask is not two-dimensional, or neither bool nor integer.
    """

    bitmap: Bitmap
    exact: ClassVar[bool] = True

    def __init__(self, frame: int, label: int, mask: ArrayLike | Bitmap) -> None:
        super().__init__(frame, label)
        bitmap = mask if isinstance(mask, Bitmap) else Bitmap.pack(painted(mask, f"mask of {self.where}"))
        object.__setattr__(self, "bitmap", bitmap)

    @property
    def mask(self) -> BoolImage:
        """The mask, a fresh bool (Y, X) array."""
        return self.bitmap.unpack()

    def guidance(self, shape: Shape) -> BoolImage:
        """Give the mask itself."""
        return self._unpack(self.bitmap, shape)

    def is_painted(self, shape: Shape) -> bool:
        """Tell whether anything is painted; the mask need not be unpacked for that."""
        self._require(self.bitmap, shape)
        return bool(self.bitmap.bits)

    def paint(self, image: NDArray[np.integer]) -> None:
        """Write the object's id where it is; the mask is unpacked only there."""
        self._require(self.bitmap, (image.shape[0], image.shape[1]))
        image[self.bitmap.place][self.bitmap.unpack_part()] = self.label


@dataclass(frozen=True, init=False)
class Scribble(Annotation):
    """Strokes on the object and strokes beside it; nothing is said about the other pixels.

    Parameters
    ----------
    frame, label : int
        Index of the frame and id of the object.
    inside, outside : array, (Y, X), bool or integer
        Other than 0 on the strokes; copied. No `outside` means no strokes beside the object.

    Raises
    ------
    AnnotationError
        The two differ in shape or overlap, or are not masks.
    """

    on: Bitmap
    beside: Bitmap

    def __init__(self, frame: int, label: int, inside: ArrayLike, outside: ArrayLike | None = None) -> None:
        super().__init__(frame, label)
        on = painted(inside, f"scribble of {self.where}")
        beside = np.zeros_like(on) if outside is None else painted(outside, f"scribble of {self.where}")
        if on.shape != beside.shape:
            raise AnnotationError(
                f"The scribble of {self.where} has strokes on images of {size_text(on.shape)} and "
                f"{size_text(beside.shape)}; give both in the size of the frame."
            )
        if (on & beside).any():
            raise AnnotationError(
                f"The scribble of {self.where} calls some pixels inside and outside; erase one of the two."
            )
        object.__setattr__(self, "on", Bitmap.pack(on))
        object.__setattr__(self, "beside", Bitmap.pack(beside))

    @property
    def inside(self) -> BoolImage:
        """Strokes on the object, a fresh bool (Y, X) array."""
        return self.on.unpack()

    @property
    def outside(self) -> BoolImage:
        """Strokes beside the object, a fresh bool (Y, X) array."""
        return self.beside.unpack()

    def guidance(self, shape: Shape) -> BoolImage:
        """Give the strokes on the object."""
        return self._unpack(self.on, shape)

    def supervision(self, shape: Shape) -> tuple[BoolImage, BoolImage]:
        """Call known only what was drawn."""
        inside = self.guidance(shape)
        return inside, inside | self.outside


@dataclass(frozen=True)
class Box(Annotation):
    """A box around the object; only its outside is certain.

    Parameters
    ----------
    frame, label : int
        Index of the frame and id of the object.
    box : four numbers
        ``(y0, x0, y1, x1)`` in pixels, end excluded; rounded to whole pixels, clipped to the frame.

    Raises
    ------
    AnnotationError
        The box is not four finite numbers, or is empty.
    """

    box: tuple[float, float, float, float]

    def __post_init__(self) -> None:
        """Take any four numbers in order; refuse an empty box."""
        super().__post_init__()
        sides = tuple(float(side) for side in self.box)
        if len(sides) != 4 or not all(map(isfinite, sides)):
            raise AnnotationError(f"The box of {self.where} is {sides}; give four numbers y0, x0, y1, x1.")
        if not (sides[0] < sides[2] and sides[1] < sides[3]):
            raise AnnotationError(f"The box of {self.where}, {sides}, is empty; give y0 < y1 and x0 < x1.")
        object.__setattr__(self, "box", sides)

    def clip(self, shape: Shape) -> tuple[int, int, int, int]:
        """Give the box in whole pixels within frames of a shape (Y, X).

        Raises
        ------
        AnnotationError
            Nothing of it is left.
        """
        y0, x0, y1, x1 = (floor(side + 0.5) for side in self.box)
        y0, x0, y1, x1 = max(y0, 0), max(x0, 0), min(y1, shape[0]), min(x1, shape[1])
        if y0 >= y1 or x0 >= x1:
            raise AnnotationError(
                f"The box of {self.where}, {self.box}, covers no pixel of a frame of {size_text(shape)}; "
                f"draw it within the frame."
            )
        return y0, x0, y1, x1

    def guidance(self, shape: Shape) -> BoolImage:
        """Give the whole box."""
        y0, x0, y1, x1 = self.clip(shape)
        image = np.zeros(shape, bool)
        image[y0:y1, x0:x1] = True
        return image

    def supervision(self, shape: Shape) -> tuple[BoolImage, BoolImage]:
        """Call known only the outside of the box: not the object."""
        return np.zeros(shape, bool), ~self.guidance(shape)


@dataclass(frozen=True)
class Polygon(Annotation):
    """An outline that is filled: every pixel is decided.

    Parameters
    ----------
    frame, label : int
        Index of the frame and id of the object.
    vertices : array-like, (N, 2)
        Corners as y, x in pixels; whole numbers are pixel centres. Kept as a tuple of pairs.

    Raises
    ------
    AnnotationError
        There are fewer than three corners, or they are not finite y, x pairs.
    """

    vertices: ArrayLike
    exact: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Take any sequence of pairs."""
        super().__post_init__()
        corners = np.asarray(self.vertices, float)
        if corners.ndim != 2 or corners.shape[1] != 2 or len(corners) < 3 or not np.isfinite(corners).all():
            raise AnnotationError(f"The polygon of {self.where} needs at least three corners y, x; add some.")
        object.__setattr__(self, "vertices", tuple((float(y), float(x)) for y, x in corners))

    def guidance(self, shape: Shape) -> BoolImage:
        """Fill the outline."""
        from skimage.draw import polygon2mask

        image: BoolImage = polygon2mask(shape, np.asarray(self.vertices))  # type: ignore[no-untyped-call]
        if not image.any():
            raise AnnotationError(
                f"The polygon of {self.where} covers no pixel of a frame of {size_text(shape)}; "
                f"draw it larger and within the frame."
            )
        return image


@dataclass(frozen=True)
class Absent(Annotation):
    """The object is not on this frame: every pixel is decided, none is the object."""

    exact: ClassVar[bool] = True

    def guidance(self, shape: Shape) -> BoolImage:
        """Give an empty mask."""
        return np.zeros(shape, bool)


@dataclass(frozen=True)
class Combined(Annotation):
    """Several annotations of one object on one frame, read as one.

    Masks and polygons add up, and so do boxes, which count only where there is neither. Scribbles
    correct the sum in the order given: the last stroke on a pixel is right.

    Raises
    ------
    AnnotationError
        The object is said to be absent and to be there.
    """

    parts: tuple[Annotation, ...]

    def __post_init__(self) -> None:
        """Refuse contradictions."""
        super().__post_init__()
        if any(isinstance(part, Absent) for part in self.parts):
            raise AnnotationError(
                f"There is a drawing of {self.where}, which is also called absent; remove one of the two."
            )

    @property
    def exact(self) -> bool:  # type: ignore[override]
        """Whether a mask or a polygon decides every pixel."""
        return any(part.exact for part in self.parts)

    def guidance(self, shape: Shape) -> BoolImage:
        """Add up the areas, then correct them by the scribbles."""
        areas = [part for part in self.parts if part.exact]
        areas = areas or [part for part in self.parts if isinstance(part, Box)]
        image = np.zeros(shape, bool)
        for area in areas:
            image |= area.guidance(shape)
        return self._scribbled(image)[0]

    def supervision(self, shape: Shape) -> tuple[BoolImage, BoolImage]:
        """Call everything known with a mask or polygon, else outside the boxes and on the strokes."""
        if self.exact:
            return super().supervision(shape)
        target, known = self._scribbled(np.zeros(shape, bool))
        boxes = [part.guidance(shape) for part in self.parts if isinstance(part, Box)]
        if boxes:
            known |= ~np.logical_or.reduce(boxes)
        return target, known

    def _scribbled(self, image: BoolImage) -> tuple[BoolImage, BoolImage]:
        touched = np.zeros_like(image)
        for part in self.parts:
            if isinstance(part, Scribble):
                inside, known = part.supervision((image.shape[0], image.shape[1]))
                image, touched = np.where(known, inside, image), touched | known
        return image, touched
