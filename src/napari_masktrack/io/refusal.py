"""What a library says when it cannot read a file, as one line in our words."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from napari_masktrack.errors import InputError, MaskTrackError


@contextmanager
def refusing(path: Path, kind: type[InputError]) -> Iterator[None]:
    """Turn whatever a library raises while it reads a file into an error of ours.

    Parameters
    ----------
    path : Path
        The file that is read.
    kind : type of InputError
        The error to raise instead.

    Raises
    ------
    InputError
        Of that kind, naming the file and the library's reason in one line; what we said already is
        kept in its words. A lack of memory passes as it is.
    """
    try:
        yield
    except MaskTrackError as error:
        if isinstance(error, kind):
            raise
        raise kind(str(error)) from error
    except MemoryError:
        raise
    except Exception as error:
        # The libraries raise anything from SyntaxError (Pillow) to RuntimeError (codecs).
        raise kind(
            f"{shown(path)} cannot be read ({reason(error)}); check that it is complete and of the kind "
            f"its name says."
        ) from error


def shown(path: Path | str) -> str:
    """Write a path so that it stays on one line and can be printed anywhere."""
    return "".join(letter if letter.isprintable() else "?" for letter in str(path))


def reason(error: Exception) -> str:
    """Say in one short line what an exception says."""
    text = getattr(error, "strerror", None) or str(error)
    line = shown(" ".join(text.split())) or type(error).__name__
    return line if len(line) <= 160 else f"{line[:157]}..."
