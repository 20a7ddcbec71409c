"""MaskTrack for napari: paint one frame, get the masks of the whole movie."""

from importlib.metadata import version

__version__ = version("napari-masktrack")
