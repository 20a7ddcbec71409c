"""What a user who knows the truth would annotate on some frames: segments or boxes, and what is not there."""

from collections.abc import Iterable

from napari_masktrack.config import Drawing
from napari_masktrack.core.annotation import Absent, Annotations
from napari_masktrack.errors import ConfigError
from napari_masktrack.evaluation.methods import Settings, as_boxes
from napari_masktrack.evaluation.problems import OpenProblem

CARRYING = ("masktrack", "box", "copy", "warp")
"""Methods that make use of annotations; oracles do not."""


def refuse_oracles(settings: Settings) -> None:
    """Refuse a method for which annotations make no difference.

    Raises
    ------
    ConfigError
        It is such a method.
    """
    if settings.method not in CARRYING:
        raise ConfigError(
            f"The method {settings.method!r} makes no use of annotations; "
            f"choose one of {', '.join(CARRYING)}."
        )


def frames_apart(opened: OpenProblem, every: int | None) -> tuple[int, ...]:
    """List every n-th frame from the given one on, as far as it has truth; for None that one alone."""
    if every is None:
        return (opened.given,)
    wanted = opened.frames[::every]
    return tuple(frame for frame in opened.true_frames if frame in wanted)


def annotate(opened: OpenProblem, frames: Iterable[int], drawing: Drawing = "segments") -> Annotations:
    """Annotate the judged objects on some frames from the truth.

    Parameters
    ----------
    opened : OpenProblem
    frames : iterable of int
        Frames with truth.
    drawing : {"segments", "boxes"}

    Returns
    -------
    Annotations
        Of objects that are not on a frame it is said that they are absent, unless the truth may leave
        objects out.
    """
    frames = tuple(frames)
    known = opened.annotate(frames)
    drawn = Annotations(item for item in known.items if item.label in opened.labels)
    seen = {(item.frame, item.label) for item in drawn.items}
    if drawing == "boxes":
        drawn = as_boxes(drawn, opened.movie.shape)
    if opened.problem.only_present:
        return drawn
    places = ((frame, label) for frame in frames for label in opened.labels)
    return drawn + Annotations(Absent(*place) for place in places if place not in seen)
