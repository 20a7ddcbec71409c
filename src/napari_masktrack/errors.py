"""What can go wrong, in words for the user.

Every error says what is wrong, where, and what to do, in one line. None derives from
``RuntimeError``: an error of that kind, raised inside a napari generator worker, vanishes.
"""


class MaskTrackError(Exception):
    """Base of every error that this package raises on purpose."""


class InputError(MaskTrackError):
    """Something the user handed over cannot be used; nothing was started."""


class MovieError(InputError):
    """A movie cannot be opened, or its axes do not make sense."""


class AxesError(MovieError):
    """What a movie's dimensions mean is not known, or was said wrongly; other axes have to be given."""


class ChannelsError(MovieError):
    """Which of a movie's channels to show is not known, or was said wrongly; other ones have to be given."""


class AnnotationError(InputError):
    """An annotation does not fit the movie, or says nothing."""


class OutputError(InputError):
    """The place for the result is taken or cannot be written."""


class CheckpointError(InputError):
    """Weights are missing, damaged, or in a format that is not loaded."""


class DeviceError(InputError):
    """The device that was asked for is not available."""


class ConfigError(InputError):
    """A setting lies outside its limits."""


class WorkError(MaskTrackError):
    """A job failed after it had started; what was finished is kept."""


class MaskTrackWarning(UserWarning):
    """Something was left out, and the work goes on; in one line, as the errors."""
