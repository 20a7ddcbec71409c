"""Random numbers of one training: their own, whatever else the process draws."""

import torch

from napari_masktrack.training.chance import Chance

CPU = torch.device("cpu")


def test_the_process_draws_as_if_nothing_had_been_drawn_in_between():
    torch.manual_seed(5)
    expected = torch.rand(4)
    torch.manual_seed(5)
    with Chance(0, CPU).drawn():
        torch.rand(7)
    assert torch.equal(torch.rand(4), expected)


def test_it_goes_on_where_it_ended_and_equals_a_seeded_process():
    torch.manual_seed(3)
    expected = torch.randn(5)
    torch.manual_seed(99)
    chance, numbers = Chance(3, CPU), []
    for _ in range(5):
        with chance.drawn():
            numbers.append(torch.randn(1))
        torch.rand(2)
    assert torch.equal(torch.cat(numbers), expected)


def test_an_error_within_gives_the_process_its_numbers_back():
    before = torch.get_rng_state()
    try:
        with Chance(0, CPU).drawn():
            torch.rand(1)
            raise ValueError
    except ValueError:
        pass
    assert torch.equal(torch.get_rng_state(), before)
