"""Which frame to annotate next."""

import numpy as np

from napari_masktrack.core.suggestion import suggest


def test_the_least_certain_frame_far_from_annotations_is_suggested():
    confidence = np.ones(20)
    confidence[[5, 15]] = 0.4
    found = suggest({1: np.ones(20), 7: confidence}, annotated=[4])
    assert found.frame == 15
    assert "object 7" in found.reason


def test_annotated_frames_are_never_suggested():
    confidence = np.array([0.1, 0.2, 0.9])
    assert suggest({1: confidence}, annotated=[0, 1]).frame == 2
    assert suggest({1: confidence}, annotated=[0, 1, 2]) is None
    assert suggest({}, annotated=[]) is None


def test_frames_of_which_nothing_is_known_are_never_suggested():
    confidence = np.full(80, np.nan)
    confidence[:10] = 0.98
    confidence[3] = 0.9
    for jumps in ({}, {1: np.full(80, np.nan)}):
        assert suggest({1: confidence}, annotated=[0], jumps=jumps).frame == 3


def test_disagreement_between_before_and_after_is_a_reason():
    broken = np.zeros(9)
    broken[4] = 0.8
    found = suggest({1: np.full(9, 0.9)}, annotated=[0, 8], jumps={1: broken})
    assert found.frame == 4
    assert "disagree" in found.reason
