"""Load, fine-tune, propagate, save: the whole method in one object."""

import gc
import weakref
from copy import deepcopy

import numpy as np
import pytest
import torch
from scipy.ndimage import binary_dilation

from napari_masktrack import __version__
from napari_masktrack import tracker as tracker_module
from napari_masktrack.config import FINETUNE, FinetuneConfig, PropagationConfig
from napari_masktrack.core.annotation import Annotations, Box, Mask
from napari_masktrack.core.crf import CrfConfig
from napari_masktrack.core.metrics import region_similarity
from napari_masktrack.core.movie import Movie
from napari_masktrack.core.synthetic import SyntheticConfig, synthetic_movie
from napari_masktrack.errors import (
    AnnotationError,
    CheckpointError,
    ConfigError,
    DeviceError,
    MovieError,
    OutputError,
    WorkError,
)
from napari_masktrack.model.checkpoint import DEFAULT_MODEL, build_network, embedded_models, save_checkpoint
from napari_masktrack.propagation import Headway
from napari_masktrack.tracker import Tracker, finetune_config, motion_path

SYNTHETIC = synthetic_movie(SyntheticConfig(frames=4, shape=(96, 128), objects=2))
MOVIE = Movie(SYNTHETIC.images)
TRUTH = Annotations.from_labels({1: SYNTHETIC.labels[1]})
QUICK = FinetuneConfig(steps=2, batch=1, size=64)
SMALL = PropagationConfig(crop_size=64)


@pytest.fixture
def weights(tmp_path):
    torch.manual_seed(0)
    path = tmp_path / "tiny.safetensors"
    save_checkpoint(path, build_network({"network": "vgg16", "width": 0.0625}), {"data": "none"})
    return path


@pytest.fixture
def tracker(weights):
    return Tracker(weights, device="cpu")


def state_of(tracker):
    return {k: v.clone() for k, v in tracker.network.state_dict().items()}


def test_it_fine_tunes_and_propagates_forwards_and_backwards(tracker):
    before = state_of(tracker)
    assert [step.step for step in tracker.finetune(MOVIE, TRUTH, QUICK)] == [1, 2]
    assert not all(torch.equal(v, before[k]) for k, v in state_of(tracker).items())
    results = {r.frame: r for r in tracker.propagate(MOVIE, TRUTH, SMALL)}
    assert sorted(results) == [0, 1, 2, 3]
    assert np.array_equal(results[1].labels, SYNTHETIC.labels[1])
    assert [r.frame for r in tracker.propagate(MOVIE, TRUTH, SMALL, frames=range(2, 4))] == [2, 3]


def test_it_tells_how_far_a_propagation_is_if_asked_to(tracker):
    items = list(tracker.propagate(MOVIE, TRUTH, SMALL, headway=True))
    shares = [item.share for item in items if isinstance(item, Headway)]
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert len(items) == len(shares) + len(MOVIE)


def test_propagating_changes_no_weights(tracker):
    before = state_of(tracker)
    list(tracker.propagate(MOVIE, TRUTH, SMALL))
    assert all(torch.equal(v, before[k]) for k, v in state_of(tracker).items())
    assert tracker.steps == 0


def test_it_goes_back_to_the_loaded_weights(tracker):
    before = state_of(tracker)
    list(tracker.finetune(MOVIE, TRUTH, QUICK))
    list(tracker.finetune(MOVIE, TRUTH, QUICK, stream="motion"))
    tracker.crf = CrfConfig(appearance=1)
    tracker.reset()
    assert all(torch.equal(v, before[k]) for k, v in state_of(tracker).items())
    assert (tracker.steps, tracker.motion, tracker.crf) == (0, None, CrfConfig())
    assert "motion_finetuning_steps" not in tracker.description()


class Seen:
    """Keeps what a network is shown, instead of computing."""

    def __init__(self, score):
        self.score, self.planes = score, []

    def __call__(self, x):
        self.planes.append(x[:, :3].clone())
        return torch.full_like(x[:, :1], self.score)

    def __deepcopy__(self, memo):
        return self  # what a copy of the network is shown counts as well


FLOW = PropagationConfig(crop_size=64, flow=True, flip=False, edges=False)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_with_flow_the_network_sees_image_and_motion(dtype, tracker, monkeypatch):
    made = synthetic_movie(SyntheticConfig(frames=3, shape=(96, 128), objects=1, dtype=dtype))
    seen = Seen(3.0)
    monkeypatch.setattr(tracker.network, "forward", seen)
    given = Annotations.from_labels({1: made.labels[1]})
    results = {r.frame: r for r in tracker.propagate(Movie(made.images), given, FLOW)}
    assert sorted(results) == [0, 1, 2]
    assert np.array_equal(results[1].labels, made.labels[1])
    assert len(seen.planes) == 4, "two frames, both streams"
    for image, motion in (seen.planes[:2], seen.planes[2:]):
        assert torch.equal(motion[:, 0], motion[:, 1])
        assert not torch.equal(image, motion)
        assert motion.max() > 0.5, "something moves"


def test_with_flow_a_movie_of_one_frame_comes_back(tracker):
    (result,) = tracker.propagate(
        Movie(SYNTHETIC.images[1:2]), Annotations.from_labels({0: SYNTHETIC.labels[1]}), FLOW
    )
    assert np.array_equal(result.labels, SYNTHETIC.labels[1])


def test_a_second_network_for_the_motion_starts_from_the_loaded_weights(tracker):
    before = state_of(tracker)
    list(tracker.finetune(MOVIE, TRUTH, QUICK))
    after = state_of(tracker)
    assert list(tracker.finetune(MOVIE, TRUTH, "off", stream="motion")) == []
    assert all(torch.equal(v, before[k]) for k, v in tracker.motion.state_dict().items())
    assert len(list(tracker.finetune(MOVIE, TRUTH, QUICK, stream="motion"))) == 2
    assert not all(torch.equal(v, before[k]) for k, v in tracker.motion.state_dict().items())
    assert all(torch.equal(v, after[k]) for k, v in state_of(tracker).items()), "the first one stays"
    description = tracker.description()
    assert (description["finetuning_steps"], description["motion_finetuning_steps"]) == ("2", "2")


def test_the_second_network_is_asked_about_the_motion_also_when_it_comes_after_the_call(tracker, monkeypatch):
    results = tracker.propagate(MOVIE, TRUTH, FLOW)
    list(tracker.finetune(MOVIE, TRUTH, "off", stream="motion"))
    first, second = Seen(-3.0), Seen(6.0)
    monkeypatch.setattr(tracker.network, "forward", first)
    monkeypatch.setattr(tracker.motion, "forward", second)
    masks = {r.frame: r.labels for r in results}
    assert len(first.planes) == len(second.planes) == 3
    assert all(torch.equal(planes[:, 0], planes[:, 1]) for planes in second.planes)
    assert masks[0].any(), "the mean of both is above the threshold"


def test_the_settings_of_the_crf_are_searched_on_the_annotated_frames(tracker, monkeypatch):
    monkeypatch.setattr(tracker.network, "forward", lambda x: 2 * x[:, 3:])
    before = tracker.crf
    steps = list(tracker.fit_crf(MOVIE, TRUTH, SMALL))
    assert [step.step for step in steps] == list(range(1, steps[0].steps + 1))
    assert steps[0].config == before
    assert steps[-1].similarity >= steps[0].similarity
    assert tracker.crf == steps[-1].config
    sharp = PropagationConfig(crop_size=64, crf=True)
    assert np.array_equal(next(iter(tracker.propagate(MOVIE, TRUTH, sharp))).labels, SYNTHETIC.labels[1])


def test_without_a_painted_mask_or_a_second_frame_the_crf_stays_as_it_is(tracker):
    box = Annotations([Box(0, 1, (10, 10, 60, 60))])
    assert list(tracker.fit_crf(MOVIE, box, SMALL)) == []
    one = Movie(SYNTHETIC.images[1:2])
    assert list(tracker.fit_crf(one, Annotations.from_labels({0: SYNTHETIC.labels[1]}), SMALL)) == []
    assert tracker.crf == CrfConfig()
    with pytest.raises(AnnotationError):
        tracker.fit_crf(MOVIE, Annotations([Mask(0, 1, np.ones((5, 5), bool))]))


@pytest.mark.parametrize("on_edges", [True, False])
def test_outlines_go_to_the_edges_if_painted_masks_do(tracker, monkeypatch, on_edges):
    """The network says too much beside the object; whether that is meant, the painted mask tells."""

    def blurred(x):
        return 6 * torch.nn.functional.avg_pool2d(x[:, 3:], 9, 1, 4) - 2

    monkeypatch.setattr(tracker.network, "forward", blurred)
    wide = np.array([binary_dilation(mask, iterations=5) for mask in SYNTHETIC.labels == 1])
    painted = SYNTHETIC.labels == 1 if on_edges else wide
    drawn = Annotations([Mask(1, 1, painted[1])])

    def masks(**options):
        config = PropagationConfig(crop_size=64, dilation=0, **options)
        return {r.frame: r.labels == 1 for r in tracker.propagate(MOVIE, drawn, config)}

    plain, edges = masks(edges=False), masks()
    assert tracker.on_edges == on_edges
    assert all(np.array_equal(plain[frame], edges[frame]) for frame in plain) != on_edges
    if on_edges:
        found, before = (region_similarity(painted[2], each[2]) for each in (edges, plain))
        assert found > before


def test_of_a_box_the_mask_found_in_it_tells_whether_outlines_belong_on_edges(tracker, monkeypatch):
    asked = []

    def suits(examples, crf, *, threshold):
        asked.extend(examples)
        return True

    monkeypatch.setattr("napari_masktrack.tracker.suits", suits)
    monkeypatch.setattr(tracker.network, "forward", lambda x: 6 * x[:, 3:])
    list(tracker.propagate(MOVIE, Annotations([Box(1, 1, (10, 10, 60, 60))]), SMALL, frames=range(1, 3)))
    (example,) = asked
    assert example.truth.any()
    assert not example.truth[:10].any()
    assert not example.truth[60:].any()


def test_a_frame_that_cannot_be_read_hinders_only_what_gets_there(tracker):
    images = np.broadcast_to(MOVIE.image(0), (100, *MOVIE.shape, 3))

    class Torn:
        shape, dtype = images.shape, images.dtype

        def __getitem__(self, key):
            if key[0] == 2:
                raise OSError("torn off")
            return images[key]

    results = tracker.propagate(Movie(Torn(), axes="tyxc"), TRUTH, SMALL, frames=range(2))
    assert [result.frame for result in results] == [1, 0]
    with pytest.raises(MovieError, match="torn off"):
        list(tracker.propagate(Movie(Torn(), axes="tyxc"), TRUTH, SMALL))


def test_without_fine_tuning_there_are_no_steps(tracker):
    assert list(tracker.finetune(MOVIE, TRUTH, "off")) == []
    assert tracker.description()["finetuning_steps"] == "0"


def test_steps_are_counted_over_several_calls(tracker):
    list(tracker.finetune(MOVIE, TRUTH, QUICK))
    more = TRUTH + Annotations.from_labels({3: SYNTHETIC.labels[3]})
    list(tracker.finetune(MOVIE, more, QUICK))
    assert tracker.steps == 4
    assert tracker.description()["finetuning_steps"] == "4"


def test_what_it_saves_gives_the_same_masks_when_loaded(tracker, tmp_path):
    list(tracker.finetune(MOVIE, TRUTH, QUICK))
    tracker.save(tmp_path / "mine.safetensors")
    again = Tracker(tmp_path / "mine.safetensors", device="cpu")
    for one, other in zip(
        tracker.propagate(MOVIE, TRUTH, SMALL), again.propagate(MOVIE, TRUTH, SMALL), strict=True
    ):
        assert np.array_equal(one.labels, other.labels)
        assert one.confidence == other.confidence
    assert again.name == "mine.safetensors"
    assert again.notes["data"] == "none", "what the training wrote down stays"
    assert again.notes["finetuning_steps"] == "2"


@pytest.fixture
def saved(tracker, tmp_path):
    """A tracker that learned both streams, and where it was saved."""
    list(tracker.finetune(MOVIE, TRUTH, QUICK))
    list(tracker.finetune(MOVIE, TRUTH, QUICK, stream="motion"))
    tracker.save(tmp_path / "mine.safetensors")
    return tmp_path / "mine.safetensors"


def test_the_network_of_the_motion_is_saved_beside_and_comes_back(tracker, saved):
    assert motion_path(saved).name == "mine.motion.safetensors"
    again = Tracker(saved, device="cpu")
    assert again.motion is not again.network
    for one, other in zip(
        tracker.propagate(MOVIE, TRUTH, FLOW), again.propagate(MOVIE, TRUTH, FLOW), strict=True
    ):
        assert np.array_equal(one.labels, other.labels)
        assert one.confidence == other.confidence
    kept = {k: v.clone() for k, v in again.motion.state_dict().items()}
    list(again.finetune(MOVIE, TRUTH, QUICK, stream="motion"))
    assert not all(torch.equal(v, kept[k]) for k, v in again.motion.state_dict().items())
    again.reset()
    assert all(torch.equal(v, kept[k]) for k, v in again.motion.state_dict().items())


def test_a_network_of_the_motion_that_was_loaded_learns_on_the_device_of_the_tracker(saved, monkeypatch):
    where = []

    def seen(network, *given, **options):
        where.append({parameter.device.type for parameter in network.parameters()})
        return iter(())

    monkeypatch.setattr(tracker_module, "finetune", seen)
    again = Tracker(saved, device="cpu")
    again.device = torch.device("meta")
    list(again.finetune(MOVIE, TRUTH, QUICK, stream="motion"))
    assert where == [{"meta"}]


@pytest.mark.parametrize("what", ["gone", "another", "damaged"])
def test_a_network_of_the_motion_that_is_not_the_one_saved_is_missed_only_with_the_flow(what, tracker, saved):
    if what == "gone":
        motion_path(saved).unlink()
    elif what == "damaged":
        motion_path(saved).write_bytes(motion_path(saved).read_bytes()[:1000])
    else:
        save_checkpoint(motion_path(saved), tracker.network)
    again = Tracker(saved, device="cpu")
    assert len(list(again.propagate(MOVIE, TRUTH, SMALL))) == 4
    with pytest.raises(CheckpointError, match=r"mine\.motion\.safetensors is not there as saved with mine"):
        again.propagate(MOVIE, TRUTH, FLOW)  # when it is called, before any fine-tuning
    list(again.finetune(MOVIE, TRUTH, "off", stream="motion"))
    assert len(list(again.propagate(MOVIE, TRUTH, FLOW))) == 4


def test_both_networks_of_before_stay_when_new_ones_cannot_be_saved(saved, monkeypatch):
    again, before = Tracker(saved, device="cpu"), sorted(saved.parent.iterdir())
    list(again.finetune(MOVIE, TRUTH, QUICK, stream="motion"))
    save = tracker_module.save_checkpoint

    def full(path, *given, **more):
        if path == saved:
            raise OutputError("The disk is full.")
        save(path, *given, **more)

    monkeypatch.setattr(tracker_module, "save_checkpoint", full)
    with pytest.raises(OutputError, match="full"):
        again.save(saved)
    assert sorted(saved.parent.iterdir()) == before
    assert Tracker(saved, device="cpu").motion is not None


def test_without_a_network_of_the_motion_one_beside_it_is_no_longer_meant(tracker, saved):
    tracker.reset()
    tracker.save(saved)
    again = Tracker(saved, device="cpu")
    assert again.motion is None
    assert len(list(again.propagate(MOVIE, TRUTH, FLOW))) == 4


def test_the_description_says_what_a_result_was_made_with(tracker, weights):
    description = tracker.description()
    assert description["model"] == "tiny.safetensors"
    assert len(description["weights_sha256"]) == 64
    assert description["device"] == "cpu"
    assert description["napari_masktrack"] == __version__
    assert all(isinstance(value, str) for value in description.values())


def test_an_unknown_model_device_or_mode_is_refused(tracker, weights):
    with pytest.raises(CheckpointError, match="no model or file"):
        Tracker("nonsense")
    with pytest.raises(DeviceError, match="unknown"):
        Tracker(weights, device="abacus")
    with pytest.raises(ConfigError, match="'slow' is unknown; choose one of off, quick, full"):
        tracker.finetune(MOVIE, TRUTH, "slow")


@pytest.mark.parametrize("mode", ["off", "quick", "full"])
def test_annotations_that_do_not_fit_are_refused_at_the_call_in_every_mode(mode, tracker):
    wrong = Annotations([Mask(0, 1, np.ones((5, 5), bool))])
    with pytest.raises(AnnotationError):
        tracker.finetune(MOVIE, wrong, mode)
    with pytest.raises(AnnotationError):
        tracker.propagate(MOVIE, wrong)


def test_modes_have_settings_that_can_be_changed():
    assert finetune_config("off") is None
    assert finetune_config("quick") == FINETUNE["quick"]
    assert finetune_config("full", seed=5).seed == 5
    assert finetune_config(QUICK) is QUICK
    assert FINETUNE["full"].steps == 200
    assert FINETUNE["full"].batch == 4


@pytest.mark.parametrize("box", [False, True])
def test_a_network_that_fails_is_reported_while_working_never_as_a_runtime_error(box, tracker, monkeypatch):
    def fails(x):
        raise RuntimeError("device lost")

    monkeypatch.setattr(tracker.network, "forward", fails)
    boxes = Annotations(Box(0, label, (10, 10, 60, 60)) for label in (1, 2, 3))
    annotations = boxes if box else TRUTH
    with pytest.raises(WorkError, match="device lost"):
        list(tracker.finetune(MOVIE, annotations, QUICK))
    with pytest.raises(WorkError, match="device lost"):
        list(tracker.propagate(MOVIE, annotations, SMALL))


def test_too_little_memory_is_reported_from_the_start(tracker, weights, monkeypatch):
    def full(network, device):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB")

    monkeypatch.setattr(tracker_module, "place", full)
    with pytest.raises(WorkError, match="smaller crop"):
        Tracker(weights, device="cpu")
    with pytest.raises(WorkError, match="smaller crop"):
        tracker.finetune(MOVIE, TRUTH, QUICK, stream="motion")


def test_nothing_of_a_propagation_stays_in_memory(tracker, monkeypatch):
    made = []

    def folded(network):
        made.append(weakref.ref(copy := deepcopy(network).eval()))
        return copy

    monkeypatch.setattr(tracker_module, "folded", folded)
    gc.collect()
    gc.disable()
    try:
        assert len(list(tracker.propagate(MOVIE, TRUTH, SMALL))) == 4
        assert [each() for each in made] == [None]
    finally:
        gc.enable()


def test_no_gradients_stay_after_fine_tuning(tracker):
    list(tracker.finetune(MOVIE, TRUTH, QUICK))
    assert all(parameter.grad is None for parameter in tracker.network.parameters())


@pytest.mark.skipif(DEFAULT_MODEL not in embedded_models(), reason="no embedded default model yet")
def test_the_embedded_model_tracks_a_synthetic_cell():
    cells = Annotations.from_labels({0: SYNTHETIC.labels[0]})
    results = list(Tracker(device="cpu").propagate(MOVIE, cells, PropagationConfig(crop_size=192)))
    assert len(results) == 4
    assert all((result.labels == label).any() for result in results for label in (1, 2))
