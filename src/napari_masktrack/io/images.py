"""Folders of images: one file, one frame, sorted as a person would sort their names."""

import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_masktrack.errors import MovieError
from napari_masktrack.io.frames import Pages
from napari_masktrack.io.refusal import refusing, shown
from napari_masktrack.io.tiff import TIFF_ENDINGS, open_tiff, read_tiff

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile

PICTURE_ENDINGS = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp"})

_SAME_KIND = {".jpeg": ".jpg", **dict.fromkeys(TIFF_ENDINGS, ".tif")}
_GREY_MODES = {"1": "bool", "L": "uint8", "LA": "uint8", "I": "int32", "F": "float32"}
_FORMATS = ("PNG", "JPEG", "BMP", "WEBP")
_TAIL = 1024


class ImageFolder(Pages):
    """Frames that are files; each is read when it is asked for.

    Parameters
    ----------
    paths : sequence of Path
        The files, in the order of the frames.

    Raises
    ------
    MovieError
        A file cannot be read or is truncated, or one differs from the first in size or type.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        heads = [read_head(path) for path in paths]
        first = next((head for head in heads if head.colour), heads[0])
        for path, head in zip(paths, heads, strict=True):
            if not head.fits(first):
                raise MovieError(
                    f"{shown(path)} is {head}, but {shown(paths[heads.index(first)].name)} is {first}; "
                    f"give frames of one size and type."
                )
        super().__init__((len(paths),), first.shape, first.dtype)
        self.axes = f"t{first.axes}"
        self.frame_names = tuple(path.stem for path in paths)
        self._paths = tuple(paths)

    def read(self, number: int) -> NDArray[Any]:
        """Decode one file."""
        path, page = self._paths[number], self.shape[1:]
        with refusing(path, MovieError):
            image = read_image(path)
        if image.ndim == 2 and len(page) == 3:
            image = np.repeat(image[..., np.newaxis], page[-1], axis=-1)
        if image.shape != page or image.dtype.newbyteorder("=") != self.dtype:
            raise MovieError(f"{shown(path)} has changed since the movie was opened; open the movie again.")
        return image.astype(self.dtype, copy=False)


class Head(NamedTuple):
    """What a file says of its image before the pixels are decoded."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    axes: str

    @property
    def colour(self) -> bool:
        """Whether it is an RGB image."""
        return self.axes == "yxc"

    def fits(self, other: "Head") -> bool:
        """Whether both can be frames of a movie; grey ones may stand among colour ones."""
        grey = other.colour and self.axes == "yx" and self.dtype == other.dtype
        return self == other or (grey and self.shape == other.shape[:2])

    def __str__(self) -> str:
        """Size and type in words."""
        sizes = " x ".join(map(str, self.shape))
        return f"{sizes} ({', '.join(self.axes)}) of type {self.dtype}"


def list_images(folder: Path) -> list[Path]:
    """List the images of a folder in natural order, frame2 before frame10.

    Parameters
    ----------
    folder : Path
        Hidden files and files that are no images are left out.

    Raises
    ------
    MovieError
        There are none, or images of several kinds.
    """
    with refusing(folder, MovieError):
        files = [path for path in folder.iterdir() if not path.name.startswith(".")]
    images = [path for path in files if path.suffix.lower() in PICTURE_ENDINGS | TIFF_ENDINGS]
    kinds = sorted({_SAME_KIND.get(path.suffix.lower(), path.suffix.lower()) for path in images})
    if not images:
        raise MovieError(
            f"{shown(folder)} holds no images; give a folder of PNG, JPEG, TIFF, BMP or WebP files."
        )
    if len(kinds) > 1:
        raise MovieError(
            f"{shown(folder)} holds images of several kinds ({', '.join(kinds)}); keep only the frames in it."
        )
    return sorted((path for path in images if path.is_file()), key=natural_key)


def natural_key(path: Path) -> tuple[list[tuple[int, str]], str]:
    """Sort names so that numbers in them count as numbers."""
    parts = re.split(r"([0-9]+)", path.stem.casefold())
    numbered = [(int(part), "") if i % 2 else (-1, part) for i, part in enumerate(parts)]
    return numbered, path.name


def read_image(path: Path) -> NDArray[Any]:
    """Read one image.

    Parameters
    ----------
    path : Path
        PNG, JPEG, BMP, WebP or TIFF.

    Returns
    -------
    array, (Y, X) or (Y, X, C)
        Palettes become RGB; alpha is left out.
    """
    if path.suffix.lower() in TIFF_ENDINGS:
        image, _ = read_tiff(path)
        return image
    with open_picture(path) as picture:
        if is_deep(picture):
            return read_deep(path)
        return np.asarray(_as_plain(picture))


def read_head(path: Path) -> Head:
    """Read what a file says of its image, and whether the file is whole; pixels are not decoded.

    Raises
    ------
    MovieError
        The file cannot be read, is truncated, or holds more than one image.
    """
    if path.suffix.lower() in TIFF_ENDINGS:
        array, axes = open_tiff(path)
        axes = (axes or "?").replace("s", "c")
        if set(axes) - set("cyx"):
            raise MovieError(
                f"{shown(path)} has shape {tuple(array.shape)}; in a folder, give one plane per file."
            )
        return Head(tuple(array.shape), np.dtype(array.dtype).newbyteorder("="), axes)
    with refusing(path, MovieError):
        check_whole(path)
        with open_picture(path) as picture:
            size, deep = (picture.height, picture.width), is_deep(picture)
            grey = "uint16" if picture.mode.startswith("I;16") else _GREY_MODES.get(picture.mode)
            if grey:
                return Head(size, np.dtype("uint16" if deep else grey), "yx")
            return Head((*size, 3), np.dtype("uint16" if deep else "uint8"), "yxc")


def open_picture(path: Path, formats: tuple[str, ...] = _FORMATS) -> "ImageFile":
    """Open a picture with Pillow, however large; only its head is read.

    What Pillow's own `open` adds is a limit of 179 megapixels against files from strangers, which counts
    for the whole process: these are the user's, and other plugins may want it. For WebP it stays.
    """
    from PIL import Image, UnidentifiedImageError

    Image.init()
    with path.open("rb") as file:
        start = file.read(16)
    for name in formats:
        make: Any  # its types know of open files only; one that is given a path closes the file itself
        make, accepts = Image.OPEN.get(name, (None, None))
        if accepts is None or accepts(start) is not True:
            continue  # a text says that this Pillow was built without the format
        with suppress(SyntaxError):  # so it says that the rest does not fit the start
            picture: ImageFile = make(path, None)
            return picture
    raise UnidentifiedImageError(f"it is no {', '.join(formats[:-1])} or {formats[-1]} file")


def check_whole(path: Path) -> None:
    """Decode a picture if its end looks cut off; Pillow then says what is missing."""
    with path.open("rb") as file:
        start = file.read(12)
        size = file.seek(0, 2)
        file.seek(max(0, size - _TAIL))
        tail = file.read()
    if start.startswith(b"\x89PNG"):
        whole = b"IEND" in tail
    elif start.startswith(b"\xff\xd8"):
        whole = b"\xff\xd9" in tail
    elif start.startswith(b"RIFF"):
        whole = size >= int.from_bytes(start[4:8], "little") + 8
    else:
        whole = start.startswith(b"BM") and size >= int.from_bytes(start[2:6], "little")
    if not whole:
        with open_picture(path) as picture:
            picture.load()


def is_deep(picture: "ImageFile") -> bool:
    """Whether a PNG has 16 bits in several channels, which Pillow would cut to 8."""
    rawmode = picture.tile[0][3] if picture.tile else None
    return picture.format == "PNG" and rawmode in ("RGB;16B", "RGBA;16B", "LA;16B")


def read_deep(path: Path) -> NDArray[Any]:
    """Read a PNG with 16 bits in several channels; alpha is left out."""
    from imagecodecs import png_decode

    image: NDArray[Any] = png_decode(path.read_bytes())
    return image[..., 0] if image.shape[-1] == 2 else image[..., :3]


def _as_plain(picture: "Image") -> "Image":
    if picture.mode == "LA":
        return picture.getchannel(0)
    grey = picture.mode in _GREY_MODES or picture.mode.startswith("I;16")
    return picture if grey or picture.mode == "RGB" else picture.convert("RGB")
