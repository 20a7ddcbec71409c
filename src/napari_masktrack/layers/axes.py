"""What the dimensions of an image layer mean: guessed in words, decided by the user."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import index
from typing import Any, Self

from napari.layers import Image

from napari_masktrack.errors import MovieError

_MOST_CHANNELS = 5  # a leading axis of at most this size is more often channels than frames

_FRAME_NAMES = ("t", "time", "frame", "frames")
_DEPTH_NAMES = ("z", "depth", "slice", "plane")
_CHANNEL_NAMES = ("c", "ch", "channel", "channels")


@dataclass(frozen=True, kw_only=True)
class LayerAxes:
    """Which dimension of an image layer's data is what; the other two are height and width.

    Attributes
    ----------
    frame : int or None
        Time or depth, along which masks are carried; None for a single image.
    channel : int or None
        Channels. Of an RGB layer it is always the last dimension of the data.
    planes : mapping of int to int
        Dimensions that are held at one index, for example one depth of a movie of volumes.
    """

    frame: int | None
    channel: int | None = None
    planes: Mapping[int, int] = field(default_factory=dict)

    def __hash__(self) -> int:
        """Equal axes are one key of a dict."""
        return hash((self.frame, self.channel, frozenset(self.planes.items())))

    @classmethod
    def from_letters(cls, letters: str, planes: Mapping[int, int], ndim: int) -> Self:
        """Take the axes of data of so many dimensions from what `letters` gave and from the held planes.

        Raises
        ------
        MovieError
            The letters are those of other data.
        """
        kept = [axis for axis in range(ndim) if axis not in planes]
        named = letters[1:] if len(letters) == len(kept) + 1 else letters  # a single image
        if len(named) != len(kept) or not set(planes) <= set(range(ndim)):
            raise MovieError(
                f"An image of {ndim} dimensions has no axes {letters!r} beside {len(planes)} that are held; "
                f"choose another image."
            )
        place = dict(zip(named, kept, strict=True))
        return cls(frame=place.get("t", place.get("z")), channel=place.get("c"), planes=dict(planes))

    def letters(self, ndim: int) -> str:
        """Give one letter per dimension of data of so many, without those that are held, as `Movie` wants."""
        rows, columns = self.spatial(ndim)
        names = {self.frame: "t", self.channel: "c", rows: "y", columns: "x"}
        kept = (axis for axis in range(ndim) if axis not in self.planes)
        return "t" * (self.frame is None) + "".join(names[axis] for axis in kept)

    def spatial(self, ndim: int) -> tuple[int, ...]:
        """Give the dimensions that are left for height and width."""
        taken = {self.frame, self.channel, *self.planes}
        return tuple(axis for axis in range(ndim) if axis not in taken)


@dataclass(frozen=True)
class AxesGuess:
    """A proposal for the axes of a layer.

    Attributes
    ----------
    axes : LayerAxes
    reason : str
        Why, in a sentence for the user.
    certain : bool
        False where another reading is as likely, so that the user should look.
    """

    axes: LayerAxes
    reason: str
    certain: bool


def full_resolution(layer: Any) -> Any:
    """Give a layer's array; of a multiscale layer the level of full resolution."""
    return layer.data[0] if layer.multiscale else layer.data


def axis_name(layer: Image, axis: int) -> str:
    """Give what a layer calls one of its axes; empty where it has napari's own default, a number."""
    name = str(layer.axis_labels[axis]) if axis < layer.ndim else "colour"
    return "" if name.lstrip("-").isdigit() else name


def middle(size: int) -> int:
    """Give the plane at which napari begins on an axis of so many."""
    return (size - 1) // 2


def guess_axes(layer: Image) -> AxesGuess:
    """Propose what the dimensions of an image layer are; reads no pixel.

    Names of axes that the layer carries are believed; otherwise the shape decides.

    Parameters
    ----------
    layer : napari.layers.Image

    Returns
    -------
    AxesGuess

    Raises
    ------
    MovieError
        It is no image layer, or has fewer than two or more than five dimensions.
    """
    shape = _shape(layer)
    rgb = len(shape) - 1 if layer.rgb else None
    if not 2 <= layer.ndim <= 5:
        raise MovieError(
            f"{layer.name!r} has {layer.ndim} dimensions {shape}; give an image of two to five, "
            f"one of them time or depth."
        )
    named = _by_name(layer, shape, rgb)
    if named is not None:
        return named
    open_axes = [axis for axis in range(layer.ndim - 2) if shape[axis] > 1]
    single = {axis: 0 for axis in range(layer.ndim - 2) if shape[axis] == 1}
    if shape[-1] in (3, 4) and rgb is None and layer.ndim >= 3 and min(shape[-3:-1]) > _MOST_CHANNELS:
        return _channels_last(layer, shape)
    if not open_axes:
        return _single(layer, single, rgb)
    if len(open_axes) == 1:
        return _one_axis(open_axes[0], shape, single, rgb)
    return _several_axes(open_axes, shape, single, rgb)


def check_axes(layer: Image, axes: LayerAxes) -> None:
    """Refuse axes that do not describe a layer.

    Raises
    ------
    MovieError
        An axis is missing, named twice, outside the layer, or left over.
    """
    shape = _shape(layer)
    ndim = len(shape)
    named = [axis for axis in (axes.frame, axes.channel, *axes.planes) if axis is not None]
    said = f"{layer.name!r} has shape {shape}"
    if any(not 0 <= index(axis) < ndim for axis in named) or len(set(named)) != len(named):
        raise MovieError(f"{said}; give each of its axes, 0 to {ndim - 1}, one meaning only.")
    if layer.rgb and axes.channel != ndim - 1:
        raise MovieError(f"{said} and is shown in colour; its channels are axis {ndim - 1}.")
    for axis, plane in axes.planes.items():
        if not 0 <= index(plane) < shape[axis]:
            raise MovieError(f"{said}; on axis {axis} choose a plane from 0 to {shape[axis] - 1}.")
    left = axes.spatial(ndim)
    if len(left) < 2:
        raise MovieError(f"{said}; leave two of its axes for height and width.")
    if len(left) > 2:
        spare = " or ".join(f"{axis} ({shape[axis]} entries)" for axis in left[:-2])
        raise MovieError(
            f"{said}, and axis {spare} is neither time or depth nor channels; choose one plane of it, "
            f"or make it the axis along which masks are carried."
        )


def _shape(layer: Image) -> tuple[int, ...]:
    if not isinstance(layer, Image):
        kind = type(layer).__name__.lower()
        raise MovieError(f"{layer.name!r} is a {kind} layer; choose an image layer as the movie.")
    return tuple(int(size) for size in full_resolution(layer).shape)


def _by_name(layer: Image, shape: Sequence[int], rgb: int | None) -> AxesGuess | None:
    """Believe names such as t, z, c, y, x; napari's own defaults are no names."""
    names = [str(name).strip().lower() for name in layer.axis_labels]
    roles = {**dict.fromkeys(_FRAME_NAMES, "t"), **dict.fromkeys(_DEPTH_NAMES, "z")}
    roles |= {**dict.fromkeys(_CHANNEL_NAMES, "c"), "y": "y", "x": "x"}
    letters = [roles.get(name, "?") for name in names]
    if "?" in letters or len(set(letters)) != len(letters) or not {"y", "x"} <= set(letters):
        return None
    place = {letter: axis for axis, letter in enumerate(letters)}
    frame = _frame_by_name(place, shape)
    channel = place.get("c", rgb)
    planes = {axis: 0 for letter, axis in place.items() if letter in "tz" and axis != frame}
    if channel is not None and channel != rgb and shape[channel] == 1:
        planes, channel = planes | {channel: 0}, None
    volume = any(shape[axis] > 1 for axis in planes)
    reason = f"The layer names its axes {', '.join(layer.axis_labels)}."
    if volume:
        reason += " It has time and depth: masks are carried along time on one plane; choose which."
        planes = {axis: middle(shape[axis]) for axis in planes}
    return AxesGuess(LayerAxes(frame=frame, channel=channel, planes=planes), reason, certain=not volume)


def _frame_by_name(place: Mapping[str, int], shape: Sequence[int]) -> int | None:
    candidates = [place[letter] for letter in "tz" if letter in place]
    return next((axis for axis in candidates if shape[axis] > 1), candidates[0] if candidates else None)


def _single(layer: Image, single: dict[int, int], rgb: int | None) -> AxesGuess:
    frame = min(single, default=None)
    planes = {axis: 0 for axis in single if axis != frame}
    reason = f"{layer.name!r} is one image, a movie of one frame."
    return AxesGuess(LayerAxes(frame=frame, channel=rgb, planes=planes), reason, certain=True)


def _one_axis(axis: int, shape: Sequence[int], single: dict[int, int], rgb: int | None) -> AxesGuess:
    reason = f"Axis {axis} with {shape[axis]} entries is taken for time or depth."
    certain = shape[axis] > _MOST_CHANNELS or rgb is not None
    if not certain:
        reason += " It is short: if these are channels, choose it as the channel axis."
    return AxesGuess(LayerAxes(frame=axis, channel=rgb, planes=single), reason, certain)


def _several_axes(
    open_axes: list[int], shape: Sequence[int], single: dict[int, int], rgb: int | None
) -> AxesGuess:
    short = [axis for axis in open_axes if shape[axis] <= _MOST_CHANNELS]
    channel = short[-1] if short and rgb is None else None
    rest = [axis for axis in open_axes if axis != channel]
    frame, volume = rest[0], {axis: middle(shape[axis]) for axis in rest[1:]}
    said = [f"Axis {frame} with {shape[frame]} entries is taken for time or depth"]
    if channel is not None:
        said.append(f"axis {channel} with {shape[channel]} for channels")
    said += [f"axis {axis} with {shape[axis]} is held at one plane" for axis in volume]
    axes = LayerAxes(frame=frame, channel=channel if rgb is None else rgb, planes=single | volume)
    hint = (
        " Masks are carried along one axis only; choose which, and the plane of the other." if volume else ""
    )
    return AxesGuess(axes, f"{', '.join(said)}.{hint}", certain=False)


def _channels_last(layer: Image, shape: Sequence[int]) -> AxesGuess:
    channel = len(shape) - 1
    leading = range(channel - 2)
    frame = next((axis for axis in leading if shape[axis] > 1), 0 if leading else None)
    planes = {axis: middle(shape[axis]) for axis in leading if axis != frame}
    reason = f"The last axis of {layer.name!r} has {shape[-1]} entries and is taken for colours."
    if frame is not None:
        reason += f" Axis {frame} with {shape[frame]} entries is taken for time or depth."
    return AxesGuess(LayerAxes(frame=frame, channel=channel, planes=planes), reason, certain=False)
