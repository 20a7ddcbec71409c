"""Pictures for people: a frame with its objects outlined, filled and numbered."""

import math
from collections.abc import Iterable
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from napari_masktrack.errors import OutputError
from napari_masktrack.io.targets import replacing

Picture = npt.NDArray[np.uint8]

# Okabe and Ito, "Color universal design" (2008): told apart by readers with any colour vision.
COLOURS = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (213, 94, 0),
    (204, 121, 167),
    (0, 114, 178),
)
FILL = 0.3
GAP = 4


def colour_of(label: int) -> tuple[int, int, int]:
    """Give an object's colour (red, green, blue); ids seven apart share one, so ids are written in too."""
    return COLOURS[(label - 1) % len(COLOURS)]


def draw_overlay(image: Picture, labels: npt.NDArray[Any]) -> Picture:
    """Draw objects over an image: outlines, translucent fills and ids.

    Parameters
    ----------
    image : ndarray
        (Y, X, 3), uint8.
    labels : ndarray
        (Y, X), integer, 0 for background.

    Returns
    -------
    ndarray
        (Y, X, 3), uint8, a new array.

    Raises
    ------
    OutputError
        The image is no RGB picture, or the labels have another size.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise OutputError(f"An image of {image.shape} {image.dtype} is no picture; give (Y, X, 3) uint8.")
    if labels.shape != image.shape[:2]:
        raise OutputError(
            f"Labels of {labels.shape} do not fit the image of {image.shape[:2]}; give the same size."
        )
    ids = [int(label) for label in np.unique(labels) if label]
    if not ids:
        return image.copy()
    index = np.searchsorted(np.array([0, *ids]), labels)
    paint = np.array([(0, 0, 0), *map(colour_of, ids)], np.float32)[index]
    filled = np.where((index > 0)[..., None], (1 - FILL) * image + FILL * paint, image)
    picture = np.where(_outlines(labels)[..., None], paint, filled).astype(np.uint8)
    return _write_ids(picture, labels, ids)


def save_overlay(path: str | PathLike[str], image: Picture, labels: npt.NDArray[Any]) -> None:
    """Save a frame with its objects drawn over it as a picture; an existing file is replaced.

    Parameters
    ----------
    path : path-like
        The picture, ``.png`` (or another format Pillow writes).
    image : ndarray
        (Y, X, 3), uint8.
    labels : ndarray
        (Y, X), integer, 0 for background.

    Raises
    ------
    OutputError
        Sizes differ, or the file cannot be written.
    """
    _save(Path(path), Image.fromarray(draw_overlay(image, labels)))


def overlay_sheet(
    path: str | PathLike[str],
    tiles: Iterable[tuple[int, Picture, npt.NDArray[Any]]],
    *,
    columns: int | None = None,
) -> None:
    """Save several frames with their objects side by side, each with its frame number.

    Parameters
    ----------
    path : path-like
        The picture; an existing file is replaced.
    tiles : iterable of (int, ndarray, ndarray)
        Frame index, image (Y, X, 3) uint8 and labels (Y, X), all of one size.
    columns : int, optional
        Tiles in a row; as square as possible by default.

    Raises
    ------
    OutputError
        There is no tile, sizes differ, or the file cannot be written.
    """
    drawn = [(frame, draw_overlay(image, labels)) for frame, image, labels in tiles]
    if len({picture.shape for _, picture in drawn}) != 1:
        raise OutputError(f"{path}: a sheet needs at least one frame, all of one size; choose other frames.")
    height, width = drawn[0][1].shape[:2]
    columns = columns or math.ceil(math.sqrt(len(drawn)))
    rows = math.ceil(len(drawn) / columns)
    sheet = Image.new("RGB", (columns * (width + GAP) - GAP, rows * (height + GAP) - GAP), "white")
    for place, (frame, picture) in enumerate(drawn):
        tile = Image.fromarray(picture)
        _put_text(ImageDraw.Draw(tile), (GAP, GAP), f"frame {frame}", anchor="la", size=_text_size(picture))
        sheet.paste(tile, (place % columns * (width + GAP), place // columns * (height + GAP)))
    _save(Path(path), sheet)


def _outlines(labels: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Mark the pixels of objects that lie beside something else; two pixels wide in large images."""
    outlines = np.zeros(labels.shape, bool)
    for axis in (0, 1):
        turned, marks = labels.swapaxes(0, axis), outlines.swapaxes(0, axis)  # views
        for reach in (1, 2) if min(labels.shape) >= 400 else (1,):
            differs = turned[reach:] != turned[:-reach]
            marks[reach:] |= differs
            marks[:-reach] |= differs
    return outlines & (labels > 0)


def _write_ids(picture: Picture, labels: npt.NDArray[Any], ids: list[int]) -> Picture:
    canvas = Image.fromarray(picture)
    draw = ImageDraw.Draw(canvas)
    for label in ids:
        y, x = np.nonzero(labels == label)
        inside = np.argmin(
            (y - y.mean()) ** 2 + (x - x.mean()) ** 2
        )  # the pixel of the object nearest its middle
        _put_text(draw, (int(x[inside]), int(y[inside])), str(label), anchor="mm", size=_text_size(picture))
    return np.asarray(canvas).copy()


def _put_text(
    draw: ImageDraw.ImageDraw, place: tuple[int, int], text: str, *, anchor: str, size: int
) -> None:
    font = ImageFont.load_default(size)
    draw.text(
        place,
        text,
        fill="white",
        font=font,
        anchor=anchor,
        stroke_width=max(1, size // 8),
        stroke_fill="black",
    )


def _text_size(picture: Picture) -> int:
    return max(11, int(min(picture.shape[:2])) // 30)


def _save(path: Path, picture: Image.Image) -> None:
    kind = Image.registered_extensions().get(path.suffix.lower())
    if kind not in Image.SAVE:
        raise OutputError(
            f"{path.name}: a picture cannot be saved as {path.suffix or 'that'}; end it in .png."
        )
    try:
        with replacing(path) as part:
            picture.save(part, format=kind)
    except OSError as error:
        raise OutputError(f"{path} cannot be written ({error.strerror}); choose another place.") from error
