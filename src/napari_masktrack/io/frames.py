"""Array-likes that read one page of a file at a time, and views that rename their dimensions."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_masktrack.core.movie import LazyArray


class Pages(ABC):
    """An array-like of pages; indexing it reads the pages that are asked for, nothing else.

    Attributes
    ----------
    shape : tuple of int
        Leading dimensions, which number the pages in C order, then those of one page.
    dtype : dtype
        Type of the values.
    frame_names : tuple of str
        Name of each page without ending, where pages are files.
    """

    def __init__(self, leading: tuple[int, ...], page: tuple[int, ...], dtype: Any) -> None:
        self.shape = (*leading, *page)
        self.dtype = np.dtype(dtype)
        self.frame_names: tuple[str, ...] = ()
        self._leading = leading

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    def __len__(self) -> int:
        """Size of the first dimension."""
        return self.shape[0]

    def __getitem__(self, key: Any, /) -> NDArray[Any]:
        """Read a part; integers and slices, as NumPy takes them."""
        keys = key if isinstance(key, tuple) else (key,)
        among, within = keys[: len(self._leading)], keys[len(self._leading) :]
        numbers = np.arange(prod(self._leading)).reshape(self._leading)[among]
        if not np.ndim(numbers):
            return self.read(int(numbers))[within]
        pages = [self.read(int(number)) for number in np.ravel(numbers)]
        page = self.shape[len(self._leading) :]
        joined = np.stack(pages) if pages else np.empty((0, *page), self.dtype)
        return joined.reshape(*np.shape(numbers), *page)[(*(slice(None),) * np.ndim(numbers), *within)]

    @abstractmethod
    def read(self, number: int) -> NDArray[Any]:
        """Read one page by its number, which lies inside."""


class View:
    """Another array-like with dimensions of size one left out, or one put in front.

    Parameters
    ----------
    source : array-like
        What is read.
    kept : sequence of int
        The source's dimensions that stay, in order; the others have size one.
    alone : bool, default: False
        Whether a first dimension of size one is put in front.
    """

    def __init__(self, source: LazyArray, kept: Sequence[int], *, alone: bool = False) -> None:
        self._source, self._kept, self._alone = source, tuple(kept), alone
        self.shape = (1,) * alone + tuple(int(source.shape[i]) for i in kept)
        self.dtype = np.dtype(source.dtype)
        self.frame_names: tuple[str, ...] = tuple(getattr(source, "frame_names", ()))

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    def __getitem__(self, key: Any, /) -> NDArray[Any]:
        """Read a part; integers and slices, as NumPy takes them."""
        keys = key if isinstance(key, tuple) else (key,)
        first, rest = keys[: self._alone], keys[self._alone :]
        wanted: list[Any] = [0] * len(self._source.shape)
        for i, dimension in enumerate(self._kept):
            wanted[dimension] = rest[i] if i < len(rest) else slice(None)
        part = np.asarray(self._source[tuple(wanted)])
        return part[np.newaxis][first] if self._alone else part
