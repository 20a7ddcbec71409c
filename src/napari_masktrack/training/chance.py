"""Random numbers that torch draws for one training, apart from those of the process."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch


class Chance:
    """A sequence of random numbers of its own; what the rest of the process draws does not change.

    Layers such as dropout draw from torch's default generators. Within `drawn` these stand where this
    sequence ended the last time; afterwards they are again as the process left them.

    Parameters
    ----------
    seed : int
    device : torch.device
        Where the network is; the CPU's numbers are always part of it.
    """

    def __init__(self, seed: int, device: torch.device) -> None:
        self._generators = _default_generators(device)
        self._own: Sequence[torch.Tensor] = [
            torch.Generator(generator.device).manual_seed(seed).get_state() for generator in self._generators
        ]

    @contextmanager
    def drawn(self) -> Iterator[None]:
        """Draw from this sequence within the block."""
        before = self._exchange(self._own)
        try:
            yield
        finally:
            self._own = self._exchange(before)

    def _exchange(self, states: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        former = [generator.get_state() for generator in self._generators]
        for generator, state in zip(self._generators, states, strict=True):
            generator.set_state(state)
        return former


def _default_generators(device: torch.device) -> list[torch.Generator]:
    generators = [torch.default_generator]
    if device.type == "cuda":
        index = torch.cuda.current_device() if device.index is None else device.index
        generators.append(torch.cuda.default_generators[index])
    elif device.type == "mps":
        generators.append(torch.mps._get_default_mps_generator())
    return generators
