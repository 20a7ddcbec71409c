"""What is written comes back as it was, interrupted work keeps what is finished, bad targets are refused."""

import csv
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from napari_masktrack.errors import OutputError, WorkError
from napari_masktrack.io import coco
from napari_masktrack.io.ctc import split_tracks
from napari_masktrack.io.exporters import EXPORTERS, open_writer, save_metrics_csv

SHAPE = (24, 40)
NAMES = {"png": "masks", "tif": "masks.tif", "zarr": "masks.zarr", "ctc": "RES", "coco": "masks.json"}
STACKS = ("png", "tif", "zarr")


def movie(*ids, frames=3):
    """Squares that move to the right, one row of them for each id; frame 1 shows the first id only."""
    labels = np.zeros((frames, *SHAPE), np.uint16)
    for frame in range(frames):
        for row, label in enumerate(ids if frame != 1 else ids[:1]):
            labels[frame, 7 * row + 1 : 7 * row + 6, 4 * frame + 2 : 4 * frame + 12] = label
    return labels


def needs(kind):
    if kind == "coco":
        pytest.importorskip("pycocotools")


def save(kind, path, labels, order=None, **layout):
    layout = {"frames": len(labels), "shape": SHAPE, "labels_max": int(labels.max())} | layout
    first = layout.get("first", 0)
    frames = order if order is not None else range(len(labels))
    return EXPORTERS[kind](path, ((first + frame, labels[frame]) for frame in frames), **layout)


def load(kind, path):
    if kind == "png":
        return np.stack([np.asarray(Image.open(file)) for file in sorted(path.iterdir())])
    if kind == "tif":
        return tifffile.imread(path)
    if kind == "zarr":
        return zarr.open(path, mode="r")[:]
    if kind == "ctc":
        return np.stack([tifffile.imread(file) for file in sorted(path.glob("mask*.tif"))])
    return decode(json.loads(path.read_text()))


def decode(content):
    from pycocotools import mask

    places = {image["id"]: place for place, image in enumerate(content["images"])}
    labels = np.zeros((len(places), *SHAPE), np.uint16)
    for each in content["annotations"]:
        labels[places[each["image_id"]]][mask.decode(each["segmentation"]) > 0] = each["track_id"]
    return labels


@pytest.mark.parametrize("kind", ["png", "tif", "zarr", "coco"])
@pytest.mark.parametrize("ids", [(1,), (1, 255), (1, 300), (1, 300, 65535)])
def test_every_id_comes_back_from_every_format(tmp_path, kind, ids):
    needs(kind)
    labels = movie(*ids)
    assert save(kind, tmp_path / NAMES[kind], labels, order=(2, 0, 1)) == ()
    assert np.array_equal(load(kind, tmp_path / NAMES[kind]), labels)
    assert [file.name for file in tmp_path.iterdir()] == [NAMES[kind]], "no temporary file stays behind"


@pytest.mark.parametrize("kind", STACKS)
@pytest.mark.parametrize(
    ("largest", "dtype"), [(1, "uint8"), (255, "uint8"), (256, "uint16"), (65535, "uint16")]
)
def test_the_largest_id_chooses_the_depth(tmp_path, kind, largest, dtype):
    save(kind, tmp_path / NAMES[kind], movie(1), labels_max=largest)
    assert load(kind, tmp_path / NAMES[kind]).dtype == dtype


@pytest.mark.parametrize("frames", [1, 3, 4])
@pytest.mark.parametrize("kind", STACKS)
def test_stacks_of_any_length_keep_three_axes(tmp_path, kind, frames):
    labels = movie(1, 300, frames=frames)
    save(kind, tmp_path / NAMES[kind], labels)
    if kind == "tif":
        with tifffile.TiffFile(tmp_path / NAMES[kind]) as stack:
            assert (stack.series[0].axes, stack.series[0].shape) == ("TYX", labels.shape)
            assert len(stack.pages) == frames
    if kind == "zarr":
        array = zarr.open(tmp_path / NAMES[kind], mode="r")
        assert (array.shape, array.chunks) == (labels.shape, (1, *SHAPE))
        assert array.attrs["_ARRAY_DIMENSIONS"] == ["t", "y", "x"]


def test_dask_reads_the_zarr_array_as_napari_does(tmp_path):
    dask = pytest.importorskip("dask.array")
    save("zarr", tmp_path / "a.zarr", movie(1, 300))
    assert np.array_equal(dask.from_zarr(str(tmp_path / "a.zarr")).compute(), movie(1, 300))


def test_stacks_beyond_four_gigabytes_get_long_offsets(tmp_path, monkeypatch):
    monkeypatch.setattr("napari_masktrack.io.writers.CLASSIC_TIFF", 0)
    save("tif", tmp_path / "a.tif", movie(1, 300))
    with tifffile.TiffFile(tmp_path / "a.tif") as stack:
        assert stack.is_bigtiff
        assert np.array_equal(stack.asarray(), movie(1, 300))


@pytest.mark.parametrize(
    ("name", "kind"),
    [("out", "png"), ("run.2", "png"), ("a.TIFF", "tif"), ("a.ome.tif", "tif"), ("a.zarr", "zarr")],
)
def test_the_path_chooses_the_format(tmp_path, name, kind):
    writer = open_writer(tmp_path / name, frames=1, shape=SHAPE, labels_max=1)
    assert type(writer) is EXPORTERS[kind].writer


def test_masks_are_named_by_the_index_in_the_movie(tmp_path):
    save("png", tmp_path / "part", movie(1), first=99_998)
    assert sorted(os.listdir(tmp_path / "part")) == ["099998.png", "099999.png", "100000.png"]
    save("png", tmp_path / "all", movie(1))
    assert sorted(os.listdir(tmp_path / "all")) == ["00000.png", "00001.png", "00002.png"]


@pytest.mark.parametrize("kind", STACKS)
def test_a_frame_written_again_keeps_the_later_labels(tmp_path, kind):
    old, new = movie(1, 2), movie(1, 2)[:, ::-1]
    with open_writer(tmp_path / NAMES[kind], frames=3, shape=SHAPE, labels_max=2) as writer:
        for labels in (old, new):
            for frame in range(3):
                writer.write(frame, labels[frame])
    assert np.array_equal(load(kind, tmp_path / NAMES[kind]), new)


@pytest.mark.parametrize("kind", NAMES)
def test_interrupted_work_keeps_what_is_finished(tmp_path, kind):
    needs(kind)
    labels, path = movie(1, 200), tmp_path / NAMES[kind]
    with pytest.raises(KeyboardInterrupt):  # noqa: PT012, SIM117
        with open_writer(path, frames=3, shape=SHAPE, labels_max=200, kind=kind) as writer:
            writer.write(2, labels[2])
            raise KeyboardInterrupt
    assert writer.missing == (0, 1)
    kept = load(kind, path)
    assert np.array_equal(kept[-1], labels[2])
    if kind in ("png", "coco"):
        assert len(kept) == 1
    else:
        assert len(kept) == 3
        assert not kept[:2].any(), "missing frames are zero"


@pytest.mark.parametrize("kind", NAMES)
def test_nothing_is_left_behind_when_nothing_was_written(tmp_path, kind):
    needs(kind)
    with open_writer(tmp_path / NAMES[kind], frames=3, shape=SHAPE, labels_max=1, kind=kind) as writer:
        pass
    assert writer.missing == (0, 1, 2)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["png", "zarr"])
def test_a_killed_process_loses_no_finished_frame(tmp_path, kind):
    script = (
        "import os, sys, numpy as np\n"
        "from napari_masktrack.io.exporters import open_writer\n"
        f"writer = open_writer(sys.argv[1], frames=3, shape={SHAPE}, labels_max=300)\n"
        f"writer.write(0, np.full({SHAPE}, 300))\n"
        "os._exit(9)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, tmp_path / NAMES[kind]], check=False, timeout=120)
    assert done.returncode == 9
    assert (load(kind, tmp_path / NAMES[kind])[0] == 300).all()


def test_a_failed_write_says_which_frame_and_keeps_the_others(tmp_path, monkeypatch):
    labels = movie(1)
    with open_writer(tmp_path / "out", frames=3, shape=SHAPE, labels_max=1) as writer:
        writer.write(0, labels[0])
        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", full_disk)
            with pytest.raises(WorkError, match=r"Frame 1 .*No space left"):
                writer.write(1, labels[1])
    assert writer.missing == (1, 2)
    assert os.listdir(tmp_path / "out") == ["00000.png"]


def full_disk(*_):
    raise OSError(28, "No space left on device")


def no_room_in(*folders):
    """As a disk that is full, also for what takes its place at the end."""

    def replace(source, target, *, usual=os.replace):
        if Path(target).parent in folders:
            full_disk()
        usual(source, target)

    return replace


@pytest.mark.parametrize("kind", ["tif", "coco"])
def test_a_file_that_finds_no_room_at_the_end_goes_where_there_is_some(tmp_path, monkeypatch, kind):
    needs(kind)
    target, spare = tmp_path / "full" / NAMES[kind], tmp_path / "spare"
    target.parent.mkdir()
    spare.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(spare))
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", no_room_in(target.parent))
        with pytest.raises(WorkError, match=r"not completed \(No space left.* was written to") as failed:
            save(kind, target, movie(1, 2))
    (rescued,) = spare.rglob("masks.*")
    assert f" {rescued} " in str(failed.value)
    assert np.array_equal(load(kind, rescued), movie(1, 2))
    assert list(target.parent.iterdir()) == []


def test_frames_that_find_no_room_at_all_are_said_to_be_lost(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(os, "replace", full_disk)
    with pytest.raises(WorkError, match=r"No space left.*nor could .*No space left.*frames are lost"):
        save("tif", tmp_path / "a.tif", movie(1))
    assert list(tmp_path.iterdir()) == []


class NearlyFull:
    """A file with room for two small frames and a bit, taken in little pieces."""

    def __init__(self, file):
        self.file, self.room = file, 60

    def write(self, data):
        if not self.room:
            full_disk()
        taken = self.file.write(data[: min(10, self.room)])
        self.room -= taken
        return taken

    def __getattr__(self, name):
        return getattr(self.file, name)


@pytest.fixture
def nearly_full(tmp_path, monkeypatch):
    """Open a writer of a stack whose disk takes two frames, but not the third."""
    usual = tempfile.TemporaryFile
    writer = open_writer(tmp_path / "a.tif", frames=3, shape=SHAPE, labels_max=1)
    monkeypatch.setattr("tempfile.TemporaryFile", lambda **options: NearlyFull(usual(**options)))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return writer


def write_all(writer):
    for frame in range(3):
        writer.write(frame, movie(1)[frame])


def test_a_full_disk_refuses_the_frame_that_finds_no_room_and_no_other(nearly_full):
    with pytest.raises(WorkError, match=r"Frame 2 was not saved in .*No space left"):
        write_all(nearly_full)
    nearly_full.close()
    assert nearly_full.missing == (2,)
    assert np.array_equal(tifffile.imread(nearly_full.path)[:2], movie(1)[:2])


def test_the_frame_that_was_refused_is_named_also_when_the_closing_fails(nearly_full, monkeypatch):
    monkeypatch.setattr(os, "replace", full_disk)
    refused = pytest.raises(WorkError, match=r"Frame 2 was not saved.* not completed .*are lost")
    with refused as failed, nearly_full:
        write_all(nearly_full)
    assert str(failed.value).count("Frame 2") == 1


def test_closing_by_hand_names_the_frame_too(nearly_full, monkeypatch):
    monkeypatch.setattr(os, "replace", full_disk)
    with pytest.raises(WorkError, match=r"Frame 2 was not saved"):
        write_all(nearly_full)
    with pytest.raises(WorkError, match=r"Frame 2 was not saved.* not completed .*are lost"):
        nearly_full.close()


def test_an_error_of_the_work_stays_when_the_closing_fails(nearly_full, monkeypatch):
    monkeypatch.setattr(os, "replace", full_disk)
    with pytest.raises(ValueError, match="of the work") as failed, nearly_full:  # noqa: PT012
        nearly_full.write(0, movie(1)[0])
        raise ValueError("of the work")
    assert "frames are lost" in failed.value.__notes__[0]


@pytest.mark.parametrize("there", [True, False])
def test_an_array_whose_first_frame_was_refused_leaves_its_place_free(tmp_path, monkeypatch, there):
    path = tmp_path / "a.zarr"
    if there:
        path.mkdir()
    with monkeypatch.context() as patch:
        patch.setattr("zarr.Array.__setitem__", full_disk)
        with pytest.raises(WorkError, match="Frame 0"):
            save("zarr", path, movie(1))
    assert path.exists() == there
    assert save("zarr", path, movie(1)) == ()


def test_the_stack_is_not_held_in_memory(tmp_path):
    frame = np.random.default_rng(0).integers(0, 60_000, (500, 500))
    import tracemalloc

    with open_writer(tmp_path / "a.tif", frames=30, shape=frame.shape, labels_max=65535) as writer:
        tracemalloc.start()
        for index in range(30):
            writer.write(index, frame)
        writer.close()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert (tmp_path / "a.tif").stat().st_size > 10e6
    assert peak < 8e6


# refusals


@pytest.mark.parametrize("kind", NAMES)
def test_a_taken_target_is_refused_before_work(tmp_path, kind):
    needs(kind)
    save(kind, tmp_path / NAMES[kind], movie(1))
    with pytest.raises(OutputError, match=r"not empty|exists already"):
        open_writer(tmp_path / NAMES[kind], frames=3, shape=SHAPE, labels_max=1, kind=kind)


@pytest.mark.parametrize("kind", NAMES)
def test_a_missing_parent_folder_is_refused(tmp_path, kind):
    needs(kind)
    with pytest.raises(OutputError, match="does not exist; create it"):
        open_writer(tmp_path / "nowhere" / NAMES[kind], frames=3, shape=SHAPE, labels_max=1, kind=kind)


@pytest.mark.parametrize("kind", NAMES)
def test_a_file_for_a_folder_and_a_folder_for_a_file_are_refused(tmp_path, kind):
    needs(kind)
    path = tmp_path / NAMES[kind]
    if kind in ("tif", "coco"):
        path.mkdir()
    else:
        path.write_text("mine")
    with pytest.raises(OutputError, match=r"is a folder, but a file|is a file, but a folder"):
        open_writer(path, frames=3, shape=SHAPE, labels_max=1, kind=kind)


@pytest.mark.parametrize("kind", NAMES)
def test_a_place_that_cannot_be_written_is_refused(tmp_path, kind, monkeypatch):
    needs(kind)
    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    with pytest.raises(OutputError, match=r"cannot be written \(Permission denied\)"):
        open_writer(tmp_path / NAMES[kind], frames=3, shape=SHAPE, labels_max=1, kind=kind)
    assert list(tmp_path.iterdir()) == []


def refuse(**_):
    raise PermissionError(13, "Permission denied")


def test_an_empty_folder_is_welcome(tmp_path):
    (tmp_path / "out").mkdir()
    assert save("png", tmp_path / "out", movie(1)) == ()


@pytest.mark.parametrize("name", ["a.png", "a.npy", "a.mp4"])
def test_an_ending_that_is_no_label_format_is_refused(tmp_path, name):
    with pytest.raises(OutputError, match=r"give a folder, \.tif, \.zarr"):
        open_writer(tmp_path / name, frames=1, shape=SHAPE, labels_max=1)


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        ({"labels_max": 65536}, "Label 65536"),
        ({"frames": 0}, "at least one frame"),
        ({"kind": "mpeg"}, "no export format 'mpeg'"),
    ],
)
def test_what_no_format_can_hold_is_refused(tmp_path, layout, message):
    with pytest.raises(OutputError, match=message):
        open_writer(tmp_path / "out", **({"frames": 1, "shape": SHAPE, "labels_max": 1} | layout))


@pytest.mark.parametrize(
    ("frame", "labels", "message"),
    [
        (5, np.zeros(SHAPE, int), r"Frame 5 .* 0 to 2"),
        (0, np.zeros((3, 3), int), r"shape \(3, 3\); give \(24, 40\)"),
        (0, np.zeros(SHAPE), "float64; give whole numbers"),
        (0, np.full(SHAPE, 300), "label 300; give labels from 0 to 255"),
        (0, np.full(SHAPE, -1), "label -1"),
    ],
)
def test_a_frame_that_does_not_fit_is_refused_and_never_wrapped(tmp_path, frame, labels, message):
    writer = open_writer(tmp_path / "out", frames=3, shape=SHAPE, labels_max=255)
    with writer, pytest.raises(OutputError, match=message):
        writer.write(frame, labels)
    assert writer.missing == (0, 1, 2)


def test_a_closed_writer_takes_no_frame(tmp_path):
    writer = open_writer(tmp_path / "out", frames=3, shape=SHAPE, labels_max=255)
    writer.close()
    writer.close()
    with pytest.raises(OutputError, match="closed already"):
        writer.write(0, np.zeros(SHAPE, int))


# Cell Tracking Challenge


def test_a_track_with_a_gap_becomes_two_and_the_second_names_its_parent(tmp_path):
    labels = movie(1, 7)  # 7 is not seen on frame 1
    save("ctc", tmp_path / "RES", labels, order=(2, 1, 0))
    assert (tmp_path / "RES" / "res_track.txt").read_text() == "1 0 2 0\n7 0 0 0\n8 2 2 7\n"
    expected = labels.copy()
    expected[2][expected[2] == 7] = 8
    assert np.array_equal(load("ctc", tmp_path / "RES"), expected)


def test_challenge_masks_are_sixteen_bit_lzw_files_with_three_digits(tmp_path):
    save("ctc", tmp_path / "RES", movie(1))
    names = ["mask000.tif", "mask001.tif", "mask002.tif", "res_track.txt"]
    assert sorted(os.listdir(tmp_path / "RES")) == names
    with tifffile.TiffFile(tmp_path / "RES" / "mask001.tif") as file:
        assert file.pages[0].compression.name == "LZW"
        assert file.pages[0].dtype == np.uint16


def test_the_track_table_agrees_with_the_masks(tmp_path):
    random = np.random.default_rng(3)
    labels = random.integers(0, 9, (12, *SHAPE)) * random.integers(0, 2, (12, 1, 1))
    labels[labels == 5] = 65535
    save("ctc", tmp_path / "RES", labels)
    masks = load("ctc", tmp_path / "RES")
    table = np.loadtxt(tmp_path / "RES" / "res_track.txt", int)
    for label, begin, end, parent in table:
        seen = np.flatnonzero((masks == label).any(axis=(1, 2)))
        assert seen.tolist() == list(range(begin, end + 1))
        assert parent == 0 or table[table[:, 0] == parent][0, 2] < begin
    assert set(np.unique(masks)) - {0} == set(table[:, 0])


def test_more_tracks_than_ids_is_an_error():
    everything = range(1, 65536)
    with pytest.raises(WorkError, match="65535 tracks"):
        split_tracks({0: everything, 2: [1]})


# COCO


def test_coco_boxes_areas_and_track_ids(tmp_path):
    needs("coco")
    save("coco", tmp_path / "a.json", movie(1, 300))
    content = json.loads((tmp_path / "a.json").read_text())
    assert [image["file_name"] for image in content["images"]] == ["00000.png", "00001.png", "00002.png"]
    first, second = content["annotations"][:2]
    assert (first["track_id"], first["bbox"], first["area"]) == (1, [2, 1, 10, 5], 50)
    assert (second["track_id"], second["bbox"]) == (300, [2, 8, 10, 5])


def test_the_coco_library_reads_the_file(tmp_path, capsys):
    needs("coco")
    from pycocotools.coco import COCO

    save("coco", tmp_path / "a.json", movie(1, 300))
    loaded = COCO(str(tmp_path / "a.json"))
    assert loaded.annToMask(loaded.loadAnns([2])[0]).sum() == 50


def test_coco_without_its_package_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pycocotools", None)
    monkeypatch.setitem(sys.modules, "pycocotools.mask", None)
    with pytest.raises(OutputError, match="pip install pycocotools"):
        EXPORTERS["coco"].writer(tmp_path / "a.json", None)
    assert coco.CocoWriter is EXPORTERS["coco"].writer


# tables


def test_metrics_become_a_table(tmp_path):
    rows = [
        {"frame": 0, "object": np.int64(1234567), "J": np.float32(0.853089)},
        {"frame": 1, "J": float("nan"), "F": 1},
    ]
    save_metrics_csv(tmp_path / "metrics.csv", rows)
    save_metrics_csv(tmp_path / "metrics.csv", rows)
    with Path(tmp_path / "metrics.csv").open(newline="") as stream:
        assert list(csv.reader(stream)) == [
            ["frame", "object", "J", "F"],
            ["0", "1234567", "0.853089", ""],
            ["1", "", "", "1"],
        ]


def test_no_metrics_are_refused(tmp_path):
    with pytest.raises(OutputError, match="no metrics"):
        save_metrics_csv(tmp_path / "a.csv", [])


def test_a_table_that_finds_no_room_is_a_failure_and_no_bad_input(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "replace", full_disk)
    with pytest.raises(WorkError, match=r"a\.csv was not saved \(No space left on device\)"):
        save_metrics_csv(tmp_path / "a.csv", [{"J": 1}])
    assert list(tmp_path.iterdir()) == []
