"""What the dock says when a propagation has ended, and of strokes that it could not use."""

from collections.abc import Mapping, Sequence

STOPPED = "Stopped. What was finished is kept; 'Revert' in 6 Save takes it back."
STOPPED_EARLY = "Stopped before a frame was finished; the masks are as they were."


def done(made: Mapping[str, int], *, left: int = 0, learned: bool = True) -> str:
    """Say what was done: frames that were computed, those that are the user's, those nothing leads to.

    Parameters
    ----------
    made : mapping of str to int
        How many frames were 'carried', how many are 'yours', and how many are 'unreached' and empty now;
        of yours, how many are 'partial': without objects that are drawn or absent on other frames only.
    left : int
        Frames that nothing leads to and that were left as they were.
    learned : bool
        Whether fine-tuning, if it was wanted, found something to learn from.
    """
    kinds = ("carried", "yours", "partial", "unreached")
    carried, yours, partial, unreached = (made.get(what, 0) for what in kinds)
    parts = [f"{carried} {_frames(carried)} computed"]
    if yours:
        parts.append(f"{yours} {_frames(yours)} kept as you annotated {'it' if yours == 1 else 'them'}")
    if partial:
        parts[-1] += (
            f" ({partial} without the objects that you did not draw there; 'Fill annotated frames' in "
            "4 Propagate > Details adds them)"
        )
    if unreached:
        parts.append(f"{unreached} {_frames(unreached)} without masks, because none was carried there")
    if left:
        parts.append(
            f"{left} {_frames(left)} left as {'it was' if left == 1 else 'they were'}, because "
            "nothing is carried there"
        )
    return f"Done: {', '.join(parts)}. {'' if learned else _not_learned()}Review shows where to look."


def alone(lonely: Sequence[tuple[int, int]]) -> str:
    """Say of the first frame and object with strokes beside the object only that these do nothing yet."""
    return "".join(
        f"Object {label} on frame {frame}: a stroke beside it counts only together with one on it; "
        "add a Scribble there, or press J."
        for frame, label in lonely[:1]
    )


def _not_learned() -> str:
    from napari_masktrack.training.lessons import NOT_LEARNED  # not while the window opens

    return f"Nothing was learned: {NOT_LEARNED} "


def _frames(count: int) -> str:
    return "frame" if count == 1 else "frames"
