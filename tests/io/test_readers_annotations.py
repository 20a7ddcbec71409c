"""Label masks and boxes find their frames; what does not fit the movie is refused in one line."""

import os

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from napari_masktrack.core.annotation import Box, Mask
from napari_masktrack.core.movie import Movie
from napari_masktrack.errors import AnnotationError, MaskTrackWarning
from napari_masktrack.io.readers import open_movie, read_annotations, read_boxes

FRAMES, SHAPE = 12, (20, 30)
MOVIE = Movie(np.zeros((FRAMES, *SHAPE), np.uint8), name="cells")


def labels(*ids, dtype=np.uint8):
    """One bar per id."""
    image = np.zeros(SHAPE, dtype)
    for i, label in enumerate(ids):
        image[2:10, 1 + 5 * i : 4 + 5 * i] = label
    return image


def save(path, image, **options):
    path.parent.mkdir(exist_ok=True, parents=True)
    if path.suffix == ".tif":
        tifffile.imwrite(path, image, **options)
    else:
        Image.fromarray(image).save(path, **options)
    return path


def frames_named(tmp_path, *names):
    for name in names:
        save(tmp_path / "movie" / name, np.zeros(SHAPE, np.uint8))
    return open_movie(tmp_path / "movie")


def refusal(read, path, movie=MOVIE):
    with pytest.raises(AnnotationError) as error:
        read(path, movie)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    "name", ["00005.png", "5.png", "0005.PNG", "man_track005.tif", "mask005.tif", "5.bmp"]
)
def test_a_number_is_the_frames_index(tmp_path, name):
    path = save(tmp_path / "masks" / name.lower(), labels(1, 7))
    path.rename(path.with_name(name))
    found = read_annotations(tmp_path / "masks", MOVIE)
    assert (found.frames, found.labels) == ((5,), (1, 7))
    np.testing.assert_array_equal(found.label_image(5, SHAPE), labels(1, 7))
    assert all(isinstance(item, Mask) for item in found.items)


def test_the_name_of_a_frames_file_comes_before_its_index(tmp_path):
    movie = frames_named(tmp_path, "00001.jpg", "00002.jpg", "00003.jpg")
    save(tmp_path / "masks" / "00001.png", labels(1))
    said = (
        r"00001\.png is taken for the mask of frame 00001, as it has that name.*frame 00002 is meant, name it"
    )
    with pytest.warns(MaskTrackWarning, match=said):
        assert read_annotations(tmp_path / "masks", movie).frames == (0,)


@pytest.mark.parametrize(
    ("masks", "frames"),
    [
        ((0, 3), (0, 3)),  # no frame is called 0, so these are indices, as in a result
        (range(6), range(6)),
        ((3, 6), (2, 5)),  # no frame has the index 6, so these are names
        (range(1, 7), range(6)),
    ],
)
def test_one_name_in_a_folder_says_how_all_are_meant(tmp_path, masks, frames, recwarn):
    movie = frames_named(tmp_path, *(f"{number:05}.png" for number in range(1, 7)))
    for number in masks:
        save(tmp_path / "masks" / f"{number:05}.png", labels(1))
    assert read_annotations(tmp_path / "masks", movie).frames == tuple(frames)
    assert not recwarn


def test_a_number_that_may_mean_two_frames_is_an_index_and_warned_of(tmp_path):
    movie = frames_named(tmp_path, "0001.png", "0002.png", "0003.png", "0004.png")
    save(tmp_path / "masks" / "00002.png", labels(1))
    with pytest.warns(MaskTrackWarning, match=r"00002\.png is taken for the mask of frame 0003.*frame 0002"):
        assert read_annotations(tmp_path / "masks", movie).frames == (2,)


def test_masks_of_a_result_come_back_to_their_frames_without_a_word(tmp_path, recwarn):
    movie = frames_named(tmp_path, "0001.png", "0002.png", "0003.png")
    for index in range(3):
        save(tmp_path / "masks" / f"{index:05}.png", labels(1))
    assert read_annotations(tmp_path / "masks", movie).frames == (0, 1, 2)
    assert not recwarn


@pytest.mark.parametrize(
    ("frames", "mask", "frame"),
    [
        (("0000", "0001", "0002"), "00002", 2),  # numbers that are the indices, in another width
        (("0010", "0011", "0012"), "00012", 2),  # no frame has the index 12
        (("0010", "0011", "0012"), "00001", 1),  # no frame is called 1
        (("0001", "0002", "0003"), "0003", 2),  # a frame's name
        (("dawn", "day", "night"), "00002", 2),
    ],
)
def test_a_number_that_can_mean_one_frame_only_is_taken(tmp_path, frames, mask, frame):
    movie = frames_named(tmp_path, *(f"{name}.png" for name in frames))
    save(tmp_path / "masks" / f"{mask}.png", labels(1))
    assert read_annotations(tmp_path / "masks", movie).frames == (frame,)


def test_masks_are_found_by_name_whatever_the_names(tmp_path):
    movie = frames_named(tmp_path, "exp #1 t2.png", "exp #1 t10.png", "exp #1 t1.png")
    save(tmp_path / "masks" / "exp #1 t10.png", labels(3))
    assert read_annotations(tmp_path / "masks", movie).frames == (2,)


def test_a_single_mask_file_is_taken_by_its_name(tmp_path):
    assert read_annotations(save(tmp_path / "00002.png", labels(1)), MOVIE).frames == (2,)
    assert read_annotations(save(tmp_path / "00003.tif", labels(1)), MOVIE).frames == (3,)


def test_two_masks_of_one_frame_are_refused(tmp_path):
    movie = frames_named(tmp_path, "a.png", "b.png")
    save(tmp_path / "masks" / "b.png", labels(1))
    save(tmp_path / "masks" / "00001.png", labels(1))
    said = refusal(read_annotations, tmp_path / "masks", movie)
    assert "b.png and 00001.png both belong to frame 1" in said


@pytest.mark.parametrize("name", ["00012.png", "frame3.png", "overview.png", "-1.png", "1_2.png"])
def test_a_mask_of_no_frame_is_refused(tmp_path, name):
    save(tmp_path / "masks" / name, labels(1))
    said = refusal(read_annotations, tmp_path / "masks")
    assert name in said
    assert "none of the 12 frame(s) of 'cells'" in said
    assert "00000.png to 00011.png" in said


def palette(ids):
    picture = Image.fromarray(ids)
    picture.putpalette(list(np.random.default_rng(0).integers(0, 256, 768)))
    return picture


def test_of_a_palette_the_entries_numbers_are_the_ids(tmp_path):
    (tmp_path / "masks").mkdir()
    palette(labels(1, 200)).save(tmp_path / "masks" / "0.png")
    assert read_annotations(tmp_path / "masks", MOVIE).labels == (1, 200)


def test_masks_of_1_bit_mark_object_1(tmp_path):
    save(tmp_path / "masks" / "0.png", labels(1).astype(bool))
    assert read_annotations(tmp_path / "masks", MOVIE).labels == (1,)


@pytest.mark.parametrize("ids", [(7,), (300,)])
def test_masks_are_read_however_large(tmp_path, monkeypatch, ids):
    save(tmp_path / "masks" / "0.png", labels(*ids, dtype=np.uint16))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", SHAPE[0] * SHAPE[1] // 3)  # Pillow refuses twice as many
    with pytest.raises(Image.DecompressionBombError):
        Image.open(tmp_path / "masks" / "0.png")
    assert read_annotations(tmp_path / "masks", MOVIE).labels == ids


@pytest.mark.parametrize("name", ["0.png", "0.tif"])
def test_masks_of_16_bits_keep_their_ids(tmp_path, name):
    save(tmp_path / "masks" / name, labels(300, 65535, dtype=np.uint16))
    assert read_annotations(tmp_path / "masks", MOVIE).labels == (300, 65535)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA"])
def test_channels_that_are_equal_are_ids(tmp_path, mode):
    (tmp_path / "masks").mkdir()
    Image.fromarray(labels(5)).convert(mode).save(tmp_path / "masks" / "0.png")
    assert read_annotations(tmp_path / "masks", MOVIE).labels == (5,)


@pytest.mark.parametrize("name", ["0.png", "0.tif", "0.bmp"])
def test_colours_are_no_ids(tmp_path, name):
    save(tmp_path / "masks" / name, np.stack([labels(255), labels(0, 255), labels(9)], -1))
    assert "shows colours; save it with one channel" in refusal(read_annotations, tmp_path / "masks")


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (labels(1, dtype=np.float32), "float32; save label masks as whole numbers"),
        (labels(0.5, dtype=np.float64), "float64"),
        (labels(-1, dtype=np.int16), "values from -1 to 0; use 0 for the background"),
        (labels(70000, dtype=np.int32), "values from 0 to 70000"),
        (np.zeros((3, *SHAPE, 2), np.uint8), "give one plane per file"),
    ],
)
def test_values_that_are_no_ids_are_refused(tmp_path, image, said):
    save(tmp_path / "masks" / "0.tif", image, photometric="minisblack")
    message = refusal(read_annotations, tmp_path / "masks")
    assert said in message
    assert "0.tif" in message


@pytest.mark.parametrize("kind", ["folder", "tif", "zarr"])
def test_masks_of_another_size_than_the_movie_are_refused(tmp_path, kind):
    image = np.zeros((22, 30), np.uint8)
    image[3] = 1
    path = tmp_path / "masks"
    if kind == "folder":
        save(path / "0.png", image)
    else:
        path = path.with_suffix(f".{kind}")
        stack = np.stack([image] * FRAMES)
        tifffile.imwrite(path, stack) if kind == "tif" else zarr.save_array(path, stack)
    said = refusal(read_annotations, path)
    assert "22 x 30 pixels, but the frames of 'cells' have 20 x 30" in said


@pytest.mark.parametrize("kind", ["png", "folder", "tif", "zarr"])
def test_masks_without_a_painted_pixel_are_refused(tmp_path, kind):
    path = tmp_path / f"00000.{kind}"
    if kind in ("png", "folder"):
        save(path if kind == "png" else path / "00000.png", labels())
    else:
        stack = np.zeros((FRAMES, *SHAPE), np.uint8)
        tifffile.imwrite(path, stack) if kind == "tif" else zarr.save_array(path, stack)
    assert "has no painted pixel; paint an object" in refusal(read_annotations, path)


@pytest.mark.parametrize("names", [[], ["notes.txt"], [".hidden.png"]])
def test_a_folder_without_masks_is_refused(tmp_path, names):
    for name in names:
        (tmp_path / name).write_text("?")
    assert "holds no label masks; give PNG files" in refusal(read_annotations, tmp_path)


def test_jpeg_is_no_place_for_ids(tmp_path):
    save(tmp_path / "masks" / "0.jpg", labels(1))
    assert "holds 0.jpg, but no PNG" in refusal(read_annotations, tmp_path / "masks")
    assert "holds no label masks" in refusal(read_annotations, tmp_path / "masks" / "0.jpg")


def stack_with(frames, dtype=np.uint16):
    stack = np.zeros((FRAMES, *SHAPE), dtype)
    for frame, ids in frames.items():
        stack[frame] = labels(*ids, dtype=dtype)
    return stack


@pytest.mark.parametrize("kind", ["tif", "lzw.tif", "imagej.tif", "depth.tif", "zarr", "ome.zarr"])
def test_a_stack_annotates_its_painted_frames(tmp_path, kind):
    stack, path = stack_with({0: (1, 300), 7: (1,)}), tmp_path / f"masks.{kind}"
    if kind == "zarr":
        zarr.save_array(path, stack)
    elif kind == "ome.zarr":
        group = zarr.open_group(path, mode="w")
        zarr.save_array(path / "0", stack[:, None, None])
        group.attrs["ome"] = {"multiscales": [{"axes": list("tczyx"), "datasets": [{"path": "0"}]}]}
    else:
        options = {
            "lzw.tif": {"compression": "lzw"},
            "imagej.tif": {"imagej": True},
            "depth.tif": {"metadata": {"axes": "ZYX"}},
        }
        tifffile.imwrite(path, stack, **options.get(kind, {}))
    found = read_annotations(path, MOVIE)
    assert (found.frames, found.labels) == ((0, 7), (1, 300))
    np.testing.assert_array_equal(found.label_image(0, SHAPE), stack[0])


@pytest.mark.parametrize("frames", [1, 2, 3, 4])
def test_stacks_of_short_movies_are_not_taken_for_colours(tmp_path, frames):
    movie = Movie(np.zeros((frames, *SHAPE), np.uint8))
    stack = stack_with({0: (1, 2)})[:frames]
    options = {"photometric": "rgb"} if frames == 3 else {"photometric": "minisblack"}
    tifffile.imwrite(tmp_path / "masks.tif", stack, **options)
    assert read_annotations(tmp_path / "masks.tif", movie).labels == (1, 2)


@pytest.mark.parametrize(
    ("stack", "said"),
    [
        (stack_with({0: (1,)})[:10], "has 10 frame(s), but 'cells' has 12"),
        (stack_with({0: (1,)}, np.float32), "float32; save label masks as whole numbers"),
        (stack_with({0: (-4,)}, np.int16), "values from -4 to 0"),
        (np.zeros((FRAMES, *SHAPE, 3), np.uint8), "20 x 30 x 3 pixels, but the frames"),
        (np.zeros((2, 2, FRAMES, *SHAPE), np.uint8), "give its axes"),
    ],
)
def test_a_stack_that_does_not_fit_is_refused(tmp_path, stack, said):
    options = {"photometric": "rgb" if stack.shape[-1] == 3 else "minisblack"}
    tifffile.imwrite(tmp_path / "masks.tif", stack, **options)
    assert said in refusal(read_annotations, tmp_path / "masks.tif")


@pytest.mark.parametrize("name", ["0.png", "0.tif", "0.bmp"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_truncated_mask_is_refused(tmp_path, name, share):
    image = np.random.default_rng(0).integers(0, 200, SHAPE).astype(np.uint8)
    path = save(tmp_path / "masks" / name, image)
    os.truncate(path, int(path.stat().st_size * share))
    assert name in refusal(read_annotations, tmp_path / "masks")


@pytest.mark.parametrize("name", ["masks.tif", "masks.zarr", "0.png", "masks.mp4"])
def test_a_file_that_holds_no_masks_is_refused(tmp_path, name):
    (tmp_path / name).write_text("no masks")
    assert name in refusal(read_annotations, tmp_path / name)


@pytest.mark.parametrize("read", [read_annotations, read_boxes])
def test_a_path_that_does_not_exist_is_refused(tmp_path, read):
    assert "There is no" in refusal(read, tmp_path / "nowhere")


@pytest.mark.parametrize(
    "text",
    [
        "frame,label,y0,x0,y1,x1\n0,1,2,3,10,12\n7,300,0,0,20,30\n",
        "\ufeffFrame; Label; y0; x0; y1; x1\r\n0;1;2;3;10;12\r\n\r\n7;300;0;0;20;30",
        "name\tx1\ty1\tx0\ty0\tlabel\tframe\na\t12\t10\t3\t2\t1\t0\nb\t30\t20\t0\t0\t300\t7\n",
        'frame,label,y0,x0,y1,x1\n"0","1","2.0","3","10","12"\n7,300,0,0,20,30,surplus\n',
        '"","frame","label","y0","x0","y1","x1"\n"1",0,1,2,3,10,12\n"2",7,300,0,0,20,30\n',  # as R does
        '"frame"; "label"; "y0"; "x0"; "y1"; "x1"\n0; "1"; 2; 3; 10; 12\n7; 300; 0; 0; 20; 30\n',
    ],
)
def test_boxes_are_read_from_csv(tmp_path, text):
    (tmp_path / "boxes.csv").write_text(text, encoding="utf-8", newline="")
    found = read_boxes(tmp_path / "boxes.csv", MOVIE)
    assert found.items == (Box(0, 1, (2, 3, 10, 12)), Box(7, 300, (0, 0, 20, 30)))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty; give the columns frame, label, y0, x0, y1, x1"),
        ("frame,label,y0,x0,y1,x1\n", "lists no box"),
        ("frame,label,y0,x0\n0,1,2,3\n", "no column y1 or x1"),
        ("0,1,2,3,10,12\n", "no column frame or label"),
        ("frame,label,y0,x0,y1,x1\n0,1,2,3,10\n", "line 2 is incomplete"),
        ("frame,label,y0,x0,y1,x1\n\n0,one,2,3,10,12\n", "line 3 is incomplete or no number"),
        ("frame,label,y0,x0,y1,x1\n1.5,1,2,3,10,12\n", "line 2 is incomplete or no number"),
        ("frame,label,y0,x0,y1,x1\n0,1,2,3,nan,12\n", "line 2: "),
        ("frame,label,y0,x0,y1,x1\n12,1,2,3,10,12\n", "line 2 is of frame 12, outside 'cells'"),
        ("frame,label,y0,x0,y1,x1\n-1,1,2,3,10,12\n", "line 2 is of frame -1"),
        ("frame,label,y0,x0,y1,x1\n0,0,2,3,10,12\n", "line 2: Label 0"),
        ("frame,label,y0,x0,y1,x1\n0,1,10,3,2,12\n", "is empty; give y0 < y1"),
        ("frame,label,y0,x0,y1,x1\n0,1,40,3,50,12\n", "draw it within the frame"),
        (
            "frame,label,y0,x0,y1,x1\n0,1,2,3,9,9\n0,1,2,3,8,8\n",
            "line 3 is a second box of object 1 on frame 0",
        ),
    ],
)
def test_boxes_that_do_not_fit_are_refused_with_their_line(tmp_path, text, said):
    (tmp_path / "boxes.csv").write_text(text)
    message = refusal(read_boxes, tmp_path / "boxes.csv")
    assert said in message
    assert "boxes.csv" in message


@pytest.mark.parametrize("content", [b"\xff\xfe\x00\x01", None])
def test_a_box_file_that_is_no_text_is_refused(tmp_path, content):
    path = tmp_path / "boxes.csv"
    path.mkdir() if content is None else path.write_bytes(content)
    assert "boxes.csv cannot be read" in refusal(read_boxes, path)
