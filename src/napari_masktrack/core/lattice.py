"""Gaussian filtering of scattered points in five or so dimensions, in time linear in their number.

The permutohedral lattice: each point hands its values to the corners of the simplex it lies in, the
corners are blurred with their neighbours along each axis of the lattice, and each point collects what
its corners have become (Adams, Baek and Davis, Eurographics 2010; as used for fully connected CRFs by
Krähenbühl and Koltun, NIPS 2011).
"""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from napari_masktrack.errors import InputError

Floats = NDArray[np.float32]
Keys = NDArray[np.int64]

_MOST_KEYS = 2.0**62


class TooFarApartError(InputError):
    """Points lie too many standard deviations apart for one lattice."""


class Lattice:
    """The lattice of one set of points; filters any values on them.

    Only corners that some point touches exist, so weight is lost where points are lonely. Divide by
    the filtered ones, or normalise symmetrically, to get weights that can be trusted.

    Parameters
    ----------
    features : float32 (D, N)
        Coordinates of the points in standard deviations of the Gaussian.

    Raises
    ------
    TooFarApartError
        The points lie too many standard deviations apart.
    """

    def __init__(self, features: Floats) -> None:
        elevated = _elevate(features)
        corner, rank, rest = _simplex(elevated)
        strides = _strides(corner)
        keys = _keys(corner, rank, strides)
        vertices, inverse = np.unique(keys, return_inverse=True)
        sides, count = keys.shape
        columns = np.ascontiguousarray(inverse.reshape(keys.shape).astype(np.int32).T)
        weights = np.ascontiguousarray(_weights(rest, rank).T)
        starts = np.arange(0, sides * count + 1, sides, dtype=np.int32)
        # One vertex more than there are: it stands for all that do not exist, and stays 0.
        shape = (count, len(vertices) + 1)
        self._slice = csr_array((weights.ravel(), columns.ravel(), starts), shape=shape)
        self._splat = self._slice.T
        self._neighbours = [_neighbours(vertices, step) for step in _steps(strides)]

    def filter(self, values: Floats) -> Floats:
        """Sum up the values of all points, weighted by the Gaussian of their distance.

        Parameters
        ----------
        values : float32 (N, C)

        Returns
        -------
        float32 (N, C)
            Up to a common factor the Gaussian sum, the point itself included; approximate.
        """
        level: Floats = self._splat @ values
        for after, before in self._neighbours:
            mean = np.take(level, after, axis=0, mode="clip")
            mean += np.take(level, before, axis=0, mode="clip")
            mean *= np.float32(0.5)
            level = np.add(level, mean, out=mean)
        filtered: Floats = self._slice @ level
        return filtered


def _elevate(features: Floats) -> Floats:
    """Map points (D, N) into the hyperplane of D + 1 coordinates with sum 0, scaled to the lattice."""
    sides = len(features) + 1
    elevated = np.zeros((sides, features.shape[1]), np.float32)
    for j in range(sides - 1, 0, -1):
        # The blur, and splat and slice beside it, add up to a standard deviation of sqrt(2/3) sides.
        scaled = features[j - 1] * np.float32(sides * np.sqrt(2 / 3) / np.sqrt(j * (j + 1)))
        elevated[j] = elevated[0] - j * scaled
        elevated[0] += scaled
    return elevated


def _simplex(elevated: Floats) -> tuple[NDArray[np.int64], NDArray[np.int8], Floats]:
    """Return the simplex of each point: its corner of remainder 0, the order of the rest, the rest."""
    sides = len(elevated)
    period = np.float32(sides)
    corner: Floats = np.round(elevated / period) * period
    rest = elevated - corner
    rank: NDArray[np.int8] = np.zeros(elevated.shape, np.int8)
    for i in range(sides):
        for j in range(i + 1, sides):
            less = rest[i] < rest[j]
            rank[i] += less
            rank[j] += ~less
    # Rounding may have left the hyperplane: move the coordinates that were rounded the most.
    rank += np.round(corner.sum(axis=0) / period).astype(np.int8)
    turn = (rank < 0).astype(np.int8) - (rank >= sides).astype(np.int8)
    rank += turn * np.int8(sides)
    corner += turn * period
    rest = elevated - corner
    return corner.astype(np.int64), rank, rest


def _weights(rest: Floats, rank: NDArray[np.int8]) -> Floats:
    """Return each point's barycentric weight of the corners of remainder 0 to D, (D + 1, N)."""
    ordered = np.empty_like(rest)
    np.put_along_axis(ordered, rank.astype(np.intp), rest / len(rest), axis=0)
    weights = np.empty_like(rest)
    weights[0] = 1 - (ordered[0] - ordered[-1])
    weights[1:] = ordered[-2::-1] - ordered[:0:-1]
    return weights


def _strides(corner: NDArray[np.int64]) -> Keys:
    """Return what one step along each of the first D coordinates adds to a vertex's number."""
    sides = len(corner)
    # The vertices of a simplex, and their neighbours, lie up to two periods away.
    lengths = (np.ptp(corner[:-1], axis=1) if corner.size else np.zeros(sides - 1)) + 4 * sides + 1
    if np.prod(lengths, dtype=np.float64) > _MOST_KEYS:
        raise TooFarApartError("The points lie too many standard deviations apart; give larger ones.")
    return np.cumprod(np.concatenate([[1], lengths[:-1]])).astype(np.int64)


def _keys(corner: NDArray[np.int64], rank: NDArray[np.int8], strides: Keys) -> Keys:
    """Give each vertex of the points' simplices, (D + 1, N), a number: the same vertex, the same one."""
    sides = len(corner)
    base = strides @ corner[:-1]
    keys = np.empty(corner.shape, np.int64)
    for remainder in range(sides):
        keys[remainder] = base + remainder * strides.sum()
        for place, stride in zip(rank[:-1], strides, strict=True):
            keys[remainder] -= (place >= sides - remainder) * (sides * stride)
    return keys


def _steps(strides: Keys) -> list[int]:
    """Return what leads from a vertex to the next one along each of the D + 1 axes of the lattice."""
    sides, diagonal = len(strides) + 1, int(strides.sum())
    return [*(diagonal - sides * int(stride) for stride in strides), diagonal]


def _neighbours(vertices: Keys, step: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the index of the vertex after and before each one; that of the missing is their number."""
    count = len(vertices)
    after = np.full(count + 1, count, np.intp)
    before = after.copy()
    found = np.searchsorted(vertices, vertices + step)
    found[found == count] = 0
    there = np.flatnonzero(vertices[found] == vertices + step) if count else found
    after[there] = found[there]
    before[found[there]] = there
    return after, before
