"""What the dimensions of a file mean: what its metadata or the user say, else only what is beyond doubt."""

from napari_masktrack.core.movie import LazyArray
from napari_masktrack.errors import AxesError
from napari_masktrack.io.frames import View

_MOST_COLOURS = 4


def settle_axes(
    array: LazyArray, found: str | None, given: str | None, *, name: str
) -> tuple[LazyArray, str]:
    """Name the dimensions of an array so that a movie can be made of it.

    Parameters
    ----------
    array : array-like
        Any number of dimensions.
    found : str, optional
        One letter per dimension from the file's metadata; ``s`` may be channels or frames, other
        letters than ``tzcyx`` are unknown dimensions.
    given : str, optional
        What the user says; for all dimensions, or for those of a size above one.
    name : str
        The file in messages.

    Returns
    -------
    array : array-like
        Dimensions of size one that a movie has no use for are left out; a single image got a first
        dimension.
    axes : str
        One letter per dimension.

    Raises
    ------
    AxesError
        Nobody says what the dimensions are, and more than one reading is possible.
    """
    shape = tuple(array.shape)
    if given is not None:
        return _settle_given(array, given.lower(), name)
    if found is None or found.strip("qi") == "yx":
        found = _only_reading(shape, name)
    kept = _useful(shape, found)
    letters = [found[i] for i in kept]
    channels = max((shape[i] for i in kept if found[i] in "cs"), default=1)
    if "s" in letters or (set(letters) <= set("cyx") and channels > _MOST_COLOURS):
        raise AxesError(
            f"{name} has shape {shape}, by its metadata one frame of {channels} channels; give the axes, "
            f"'tyx' if these are frames, 'cyx' if they are channels."
        )
    unknown = [i for i, letter in enumerate(letters) if letter not in "tzcyx"]
    if len(unknown) == 1 and not {"t", "z"} & set(letters):
        letters[unknown[0]] = "t"
    elif unknown:
        raise AxesError(f"{name} has shape {shape}, of which the meaning is open; {_advice(len(kept))}.")
    return _view(array, kept, "".join(letters))


def _settle_given(array: LazyArray, given: str, name: str) -> tuple[LazyArray, str]:
    shape = tuple(array.shape)
    kept = list(range(len(shape)))
    if len(given) != len(shape):
        kept = [i for i, size in enumerate(shape) if size > 1]
    if len(given) != len(kept):
        raise AxesError(
            f"{name} has shape {shape}, but the axes {given!r} name {len(given)} dimension(s); "
            f"give one letter per dimension."
        )
    if set(given) <= set("tzcyx") and len(set(given)) == len(given):
        useful = [kept[i] for i in _useful(tuple(shape[i] for i in kept), given)]
        given = "".join(given[kept.index(i)] for i in useful)
        kept = useful
    return _view(array, kept, given)


def _useful(shape: tuple[int, ...], axes: str) -> list[int]:
    """Choose the dimensions to keep: the named ones, and unknown ones with more than one entry."""
    kept = [i for i, axis in enumerate(axes) if axis in "tzcyx" or shape[i] > 1]
    for extra in ("z", "t"):
        both = {"t", "z"} <= {axes[i] for i in kept}
        kept = [i for i in kept if not (both and axes[i] == extra and shape[i] == 1)]
    channels = [i for i in kept if axes[i] == "c"]
    if len(channels) > 1:
        spare = [i for i in channels if shape[i] == 1][: len(channels) - 1]
        kept = [i for i in kept if i not in spare]
    return kept


def _view(array: LazyArray, kept: list[int], axes: str) -> tuple[LazyArray, str]:
    alone = not {"t", "z"} & set(axes)
    if not alone and len(kept) == len(array.shape):
        return array, axes
    return View(array, kept, alone=alone), "t" * alone + axes


def _only_reading(shape: tuple[int, ...], name: str) -> str:
    """Name dimensions without metadata, where one reading alone makes sense."""
    leading = [size for size in shape[:-2] if size > 1]
    if len(shape) >= 2 and len(leading) <= 1 and (len(shape) == 2 or shape[-1] > _MOST_COLOURS):
        return "q" * (len(shape) - 2) + "yx"
    raise AxesError(f"{name} has shape {shape}, which can be read in several ways; {_advice(len(shape))}.")


def _advice(count: int) -> str:
    example = {3: "'tyx' or 'yxc'", 4: "'tcyx' or 'tyxc'"}.get(count, "'tzcyx'")
    return f"give its axes, one letter each (t or z, c, y, x), e.g. {example}"
