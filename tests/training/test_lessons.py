"""Lessons: as many in memory as there is room for, the same whenever they are made."""

import functools
import weakref

import numpy as np
import pytest
import torch

from napari_masktrack.config import FinetuneConfig
from napari_masktrack.core.annotation import Annotations
from napari_masktrack.core.movie import Movie
from napari_masktrack.core.synthetic import SyntheticConfig, synthetic_movie
from napari_masktrack.model.checkpoint import build_network
from napari_masktrack.training import online
from napari_masktrack.training.lessons import Lessons

SYNTHETIC = synthetic_movie(SyntheticConfig(frames=4, shape=(96, 128), objects=2))
ITEMS = Annotations.from_labels(dict(enumerate(SYNTHETIC.labels))).items


class Counted(Movie):
    """Counts how often a frame is read."""

    reads = 0

    def image(self, frame):
        self.reads += 1
        return super().image(frame)


@pytest.fixture
def movie():
    return Counted(SYNTHETIC.images)


def test_no_more_lessons_stay_in_memory_than_there_is_room_for(movie):
    largest = max(lesson.nbytes for lesson in Lessons(ITEMS, movie))
    lessons = Lessons(ITEMS, movie, room=2 * largest)
    alive = [weakref.ref(lessons[index]) for index in (0, 1, 2, 5, 3, 4, 0)]
    assert sum(ref() is not None and ref().nbytes for ref in alive) <= 2 * largest
    assert alive[-1]() is not None


def test_a_lesson_made_anew_is_the_same(movie):
    lessons = Lessons(ITEMS, movie, room=1)
    first, _, again = lessons[3], lessons[0], lessons[3]
    assert again is not first
    assert np.array_equal(again.scene.image, first.scene.image)
    assert np.array_equal(again.scene.target, first.scene.target)
    assert np.array_equal(again.stage.background, first.stage.background)


def test_lessons_are_prepared_frame_by_frame_and_kept_while_there_is_room(movie):
    lessons = Lessons(ITEMS, movie)
    lessons.prepare()
    assert movie.reads == len({item.frame for item in ITEMS})
    assert len(list(lessons)) == len(ITEMS)
    assert movie.reads == len({item.frame for item in ITEMS})


def test_preparing_ends_where_the_room_does(movie):
    room = Lessons(ITEMS, movie)[0].nbytes
    lessons = Lessons(ITEMS, movie, room=2 * room)
    movie.reads = 0
    lessons.prepare()
    assert movie.reads <= 2


def test_what_is_kept_does_not_change_what_is_learnt(monkeypatch):
    learnt = []
    for room in (2**30, 1):
        monkeypatch.setattr(online, "Lessons", functools.partial(Lessons, room=room))
        torch.manual_seed(0)
        network = build_network({"network": "vgg16", "width": 0.0625})
        config = FinetuneConfig(steps=4, batch=2, size=64)
        list(online.finetune(network, Movie(SYNTHETIC.images), Annotations(ITEMS), config))
        learnt.append(network.state_dict())
    assert all(torch.equal(value, learnt[1][key]) for key, value in learnt[0].items())
