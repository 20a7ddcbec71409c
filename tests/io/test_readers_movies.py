"""Movies from folders of images, TIFF stacks and Zarr arrays come back as written; the rest is refused."""

import os
import subprocess
import sys

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from napari_masktrack.errors import MovieError
from napari_masktrack.io.readers import open_movie

RANDOM = np.random.default_rng(1)
FRAMES, HEIGHT, WIDTH = 5, 30, 26
STACK = RANDOM.integers(0, 4000, (FRAMES, HEIGHT, WIDTH)).astype(np.uint16)
CHANNELS = RANDOM.integers(0, 256, (FRAMES, 2, HEIGHT, WIDTH)).astype(np.uint8)
COLOUR = RANDOM.integers(0, 256, (FRAMES, HEIGHT, WIDTH, 3)).astype(np.uint8)
GREY = COLOUR[..., 0]

STACKS = {
    "plain": (STACK, {}),
    "big": (STACK, {"bigtiff": True}),
    "big endian": (STACK, {"byteorder": ">"}),
    "no metadata": (STACK, {"metadata": None}),
    "lzw": (STACK, {"compression": "lzw"}),
    "deflate": (STACK, {"compression": "zlib", "predictor": True}),
    "tiles": (STACK, {"tile": (16, 16), "compression": "zlib"}),
    "strips": (STACK, {"rowsperstrip": 7, "compression": "lzw"}),
    "volume in a page": (STACK, {"volumetric": True, "tile": (1, 16, 16), "compression": "zlib"}),
    "depth": (STACK, {"metadata": {"axes": "ZYX"}}),
    "imagej": (STACK, {"imagej": True, "metadata": {"axes": "TYX"}}),
    "float": (STACK.astype(np.float32), {"compression": "zlib"}),
    "bool": (STACK > 2000, {}),
    "colour": (COLOUR, {"photometric": "rgb"}),
    "colour lzw": (COLOUR, {"photometric": "rgb", "compression": "lzw"}),
    "imagej channels": (CHANNELS, {"imagej": True, "metadata": {"axes": "TCYX"}}),
    "ome channels": (CHANNELS, {"ome": True, "metadata": {"axes": "TCYX"}, "compression": "lzw"}),
}


def assert_shows(movie, frames):
    """Compare a movie with frames (T, Y, X) or (T, Y, X, C), forwards and backwards."""
    assert len(movie) == len(frames)
    assert movie.shape == frames.shape[1:3]
    assert movie.dtype.newbyteorder("=") == frames.dtype
    for frame in [*range(len(frames)), *reversed(range(len(frames)))]:
        np.testing.assert_array_equal(movie.raw(frame), frames[frame])
    assert movie.image(0).shape == (*movie.shape, 3)


def save_images(folder, frames, names):
    folder.mkdir(exist_ok=True)
    for frame, name in zip(frames, names, strict=True):
        if name.lower().endswith(("tif", "tiff")):
            tifffile.imwrite(folder / name, frame, compression="lzw")
        else:
            Image.fromarray(frame).save(
                folder / name, **({"lossless": True} if name.endswith("webp") else {})
            )
    return folder


def one_line(error):
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("ending", ["png", "PNG", "bmp", "webp", "tif", "TIFF"])
@pytest.mark.parametrize("frames", [GREY, COLOUR], ids=["grey", "colour"])
def test_a_folder_of_images_is_a_movie(tmp_path, ending, frames):
    if ending == "webp":
        frames = COLOUR
    folder = save_images(tmp_path / "cells v1.2", frames, [f"t{i:03}.{ending}" for i in range(FRAMES)])
    movie = open_movie(folder)
    assert_shows(movie, frames)
    assert movie.name == "cells v1.2"
    assert movie.frame_names == tuple(f"t00{i}" for i in range(FRAMES))


def test_frames_are_sorted_by_number_not_by_letter(tmp_path):
    names = ["frame2.png", "frame10.png", "Frame1.png", "frame0003.png", "frame3a.png"]
    assert open_movie(save_images(tmp_path, GREY, names)).frame_names == (
        "Frame1", "frame2", "frame0003", "frame3a", "frame10",
    )  # fmt: skip


@pytest.mark.parametrize("frames", [STACK, GREY > 100], ids=["16 bits", "1 bit"])
def test_png_keeps_its_depth(tmp_path, frames):
    assert_shows(open_movie(save_images(tmp_path, frames, [f"{i}.png" for i in range(FRAMES)])), frames)


def test_png_colour_of_16_bits_keeps_its_depth(tmp_path):
    from imagecodecs import png_encode

    deep = COLOUR.astype(np.uint16) * 250
    for i, frame in enumerate(deep):
        (tmp_path / f"{i}.png").write_bytes(png_encode(frame))
    assert_shows(open_movie(tmp_path), deep)


def test_jpeg_is_read(tmp_path):
    smooth = np.broadcast_to(np.linspace(0, 255, WIDTH).astype(np.uint8), GREY.shape)
    movie = open_movie(save_images(tmp_path, smooth, ["a.jpg", "b.JPG", "c.jpeg", "d.JPEG", "e.jpg"]))
    assert abs(movie.raw(1).astype(int) - smooth[1]).max() < 8


@pytest.mark.parametrize("ending", ["png", "jpg", "bmp"])
def test_frames_are_read_however_large(tmp_path, monkeypatch, ending):
    save_images(tmp_path, np.zeros((2, 20, 30), np.uint8), [f"a.{ending}", f"b.{ending}"])
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 200)  # Pillow itself refuses twice as many
    movie = open_movie(tmp_path)
    assert (len(movie), movie.shape) == (2, (20, 30))
    assert not movie.raw(1).any()


def test_a_palette_becomes_colour_and_alpha_is_left_out(tmp_path):
    picture = Image.fromarray(COLOUR[0] // 64 * 64).quantize(256)
    picture.save(tmp_path / "0.png")
    picture.convert("RGBA").save(tmp_path / "1.png")
    movie = open_movie(tmp_path)
    np.testing.assert_array_equal(movie.raw(0), np.asarray(picture.convert("RGB")))
    np.testing.assert_array_equal(movie.raw(1), movie.raw(0))


def test_a_grey_frame_may_stand_among_colour_frames(tmp_path):
    save_images(tmp_path, [GREY[0]], ["0.png"])
    save_images(tmp_path, [COLOUR[1]], ["1.png"])
    movie = open_movie(tmp_path)
    np.testing.assert_array_equal(movie.image(0), np.repeat(GREY[0][..., None], 3, -1))
    np.testing.assert_array_equal(movie.image(1), COLOUR[1])


def test_hidden_and_other_files_are_left_out(tmp_path):
    save_images(tmp_path, GREY[:2], ["0.png", "1.png"])
    for name in ("._0.png", "Thumbs.db", "man_track.txt"):
        (tmp_path / name).write_bytes(b"?")
    assert len(open_movie(tmp_path)) == 2


def test_one_image_is_a_movie_of_one_frame(tmp_path):
    save_images(tmp_path, GREY[:1], ["cell.png"])
    movie = open_movie(str(tmp_path / "cell.png"))
    assert_shows(movie, GREY[:1])
    assert (movie.name, movie.frame_names) == ("cell", ("cell",))


@pytest.mark.parametrize("kind", STACKS)
def test_a_tiff_stack_is_a_movie(tmp_path, kind):
    data, options = STACKS[kind]
    path = tmp_path / ("movie.ome.tif" if options.get("ome") else "movie.tif")
    tifffile.imwrite(path, data, **options)
    movie = open_movie(path)
    assert_shows(movie, np.moveaxis(data, 1, -1) if data is CHANNELS else data)
    assert movie.name == "movie"


@pytest.mark.parametrize("kind", STACKS)
@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.6, 0.9])
def test_a_truncated_tiff_is_refused_when_it_is_opened(tmp_path, kind, share, capfd):
    data, options = STACKS[kind]
    path = tmp_path / "movie.tif"
    tifffile.imwrite(path, data, **options)
    os.truncate(path, int(path.stat().st_size * share))
    with pytest.raises(MovieError, match=r"movie\.tif") as error:
        open_movie(path)
    one_line(error)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("compression", [None, "lzw"])
def test_pages_that_were_appended_one_by_one_are_frames(tmp_path, compression):
    with tifffile.TiffWriter(tmp_path / "movie.tif") as writer:
        for frame in STACK:
            writer.write(frame, compression=compression, contiguous=False)
    assert_shows(open_movie(tmp_path / "movie.tif"), STACK)


def test_of_a_pyramid_the_full_resolution_is_read(tmp_path):
    with tifffile.TiffWriter(tmp_path / "movie.tif") as writer:
        writer.write(STACK, subifds=1, tile=(16, 16))
        writer.write(STACK[:, ::2, ::2], subfiletype=1, tile=(16, 16))
    assert_shows(open_movie(tmp_path / "movie.tif"), STACK)


@pytest.mark.parametrize("axes", ["TZCYX", "TCZYX"])
def test_dimensions_of_size_one_in_the_metadata_are_left_out(tmp_path, axes):
    shape = {"T": FRAMES, "Z": 1, "C": 2, "Y": HEIGHT, "X": WIDTH}
    data = CHANNELS.reshape([shape[axis] for axis in axes])
    tifffile.imwrite(tmp_path / "movie.ome.tif", data, metadata={"axes": axes})
    assert_shows(open_movie(tmp_path / "movie.ome.tif"), np.moveaxis(CHANNELS, 1, -1))


@pytest.mark.parametrize("axes", [None, "tyx", "zyx"])
def test_a_tiff_of_one_frame_works(tmp_path, axes):
    tifffile.imwrite(tmp_path / "movie.tif", STACK[:1])
    assert_shows(open_movie(tmp_path / "movie.tif", axes=axes), STACK[:1])


def test_a_tiff_without_ending_is_recognised(tmp_path):
    tifffile.imwrite(tmp_path / "movie", STACK)
    assert_shows(open_movie(tmp_path / "movie"), STACK)


def test_given_axes_win_over_the_metadata(tmp_path):
    tifffile.imwrite(tmp_path / "movie.tif", np.moveaxis(CHANNELS, 0, 1), metadata={"axes": "ZTYX"})
    movie = open_movie(tmp_path / "movie.tif", axes="ctyx", channels=1)
    np.testing.assert_array_equal(movie.raw(2), np.moveaxis(CHANNELS[2], 0, -1))


@pytest.mark.parametrize(
    ("shape", "options", "said"),
    [
        ((5, 2, 30, 26), {}, r"\(5, 2, 30, 26\).* give its axes"),
        ((4, 2, 30, 26), {"metadata": {"axes": "TZYX"}}, "time and depth; choose one plane"),
        ((30, 26, 3), {"photometric": "minisblack", "metadata": None}, r"\(30, 26, 3\).*give its axes"),
        ((4, 9, 30, 26), {"metadata": {"axes": "TCYX"}}, "9 channels; choose"),
        ((9, 30, 26), {"imagej": True}, "one frame of 9 channels; give the axes, 'tyx' if"),
        ((3, 30, 26), {"photometric": "rgb"}, "one frame of 3 channels; give the axes, 'tyx' if"),
    ],
)
def test_axes_that_are_open_are_not_guessed(tmp_path, shape, options, said):
    tifffile.imwrite(tmp_path / "movie.tif", np.ones(shape, np.uint8), **options)
    with pytest.raises(MovieError, match=said) as error:
        open_movie(tmp_path / "movie.tif")
    one_line(error)


def test_several_movies_in_one_tiff_are_refused(tmp_path):
    with tifffile.TiffWriter(tmp_path / "movie.tif") as writer:
        writer.write(STACK)
        writer.write(STACK[:, :20])
        writer.write(np.tile(STACK, 2))
    with pytest.raises(MovieError, match="holds 3 movies"):
        open_movie(tmp_path / "movie.tif")


def test_reading_a_mapped_tiff_keeps_no_file_open(tmp_path):
    path = tmp_path / "movie.tif"
    tifffile.imwrite(path, STACK)
    movie = open_movie(path)
    movie.image(0)
    path.rename(tmp_path / "moved.tif")
    with pytest.raises(MovieError, match="Frame 1 of 'movie' cannot be read"):
        movie.image(1)


@pytest.mark.parametrize("version", [2, 3])
def test_a_zarr_array_is_a_movie(tmp_path, version):
    zarr.save_array(tmp_path / "movie.zarr", STACK, zarr_format=version)
    movie = open_movie(tmp_path / "movie.zarr")
    assert_shows(movie, STACK)
    assert movie.name == "movie"


def test_names_of_dimensions_in_a_zarr_are_heeded(tmp_path):
    options = {"shape": CHANNELS.shape, "dtype": "uint8"}
    new = zarr.create_array(tmp_path / "3.zarr", dimension_names=["time", "channel", "y", "x"], **options)
    old = zarr.create_array(tmp_path / "2.zarr", zarr_format=2, **options)
    old.attrs["_ARRAY_DIMENSIONS"] = ["t", "c", "y", "x"]
    for array in (new, old):
        array[:] = CHANNELS
    for name in ("2.zarr", "3.zarr"):
        assert_shows(open_movie(tmp_path / name), np.moveaxis(CHANNELS, 1, -1))


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("axes", ["tczyx", "tcyx"])
def test_of_an_ome_zarr_the_full_resolution_is_read(tmp_path, version, axes):
    data = CHANNELS.reshape(CHANNELS.shape[:2] + (1,) * (axes == "tczyx") + CHANNELS.shape[2:])
    group = zarr.open_group(tmp_path / "movie.ome.zarr", mode="w", zarr_format=version)
    for level, array in (("1", data[..., ::2, ::2]), ("0", data)):
        zarr.save_array(tmp_path / "movie.ome.zarr" / level, array, zarr_format=version)
    image = {"axes": [{"name": axis} for axis in axes], "datasets": [{"path": "0"}, {"path": "1"}]}
    meta = {"multiscales": [image]}
    group.attrs.update(meta if version == 2 else {"ome": {"version": "0.5", **meta}})
    movie = open_movie(tmp_path / "movie.ome.zarr")
    assert_shows(movie, np.moveaxis(CHANNELS, 1, -1))
    assert movie.name == "movie"


def test_a_group_with_one_array_is_that_array_and_with_two_it_is_refused(tmp_path):
    zarr.open_group(tmp_path / "movie.zarr", mode="w")
    zarr.save_array(tmp_path / "movie.zarr" / "raw", STACK)
    assert_shows(open_movie(tmp_path / "movie.zarr"), STACK)
    zarr.save_array(tmp_path / "movie.zarr" / "more", STACK)
    with pytest.raises(MovieError, match="Zarr group of more, raw; give the path of one") as error:
        open_movie(tmp_path / "movie.zarr")
    one_line(error)
    assert_shows(open_movie(tmp_path / "movie.zarr" / "more"), STACK)


@pytest.mark.parametrize("damage", ["empty folder", "metadata", "no array", "chunk"])
def test_a_damaged_zarr_is_refused(tmp_path, damage):
    path = tmp_path / "movie.zarr"
    if damage == "empty folder":
        path.mkdir()
    elif damage == "no array":
        zarr.open_group(path, mode="w")
    else:
        zarr.save_array(path, STACK)
        for file in path.rglob("*"):
            if file.is_file() and (damage == "chunk") == (file.name != "zarr.json"):
                file.write_bytes(b"damaged")
    with pytest.raises(MovieError, match="movie") as error:
        open_movie(path).image(0)
    one_line(error)


@pytest.mark.parametrize("ending", ["png", "jpg", "bmp", "webp", "tif"])
@pytest.mark.parametrize("share", [0.0, 0.2, 0.7])
def test_a_truncated_image_is_refused_when_the_folder_is_opened(tmp_path, ending, share):
    names = [f"{i}.{ending}" for i in range(FRAMES)]
    save_images(tmp_path, COLOUR, names)
    os.truncate(tmp_path / names[2], int((tmp_path / names[2]).stat().st_size * share))
    with pytest.raises(MovieError, match=rf"2\.{ending}") as error:
        open_movie(tmp_path)
    one_line(error)


@pytest.mark.parametrize("ending", ["png", "tif", "jpg", "mp4", "zarr", "txt", "tiff", "gif", "webm"])
def test_a_file_that_is_not_what_its_name_says_is_refused(tmp_path, ending):
    path = tmp_path / f"movie.{ending}"
    path.write_text("This is no movie.")
    with pytest.raises(MovieError, match=rf"movie\.{ending}") as error:
        open_movie(path)
    one_line(error)


@pytest.mark.parametrize(
    ("frames", "names", "said"),
    [
        ([], [], "holds no images"),
        (["txt"], ["notes.txt"], "holds no images"),
        ([GREY[0], GREY[1][:20]], ["0.png", "1.png"], r"1\.png is 20 x 26 .* 0\.png is 30 x 26"),
        ([GREY[0], STACK[1]], ["0.png", "1.png"], r"1\.png is .*uint16.* of one size and type"),
        ([GREY[0], GREY[1]], ["0.png", "1.tif"], r"several kinds \(\.png, \.tif\)"),
        ([STACK], ["0.tif"], r"0\.tif has shape \(5, 30, 26\); in a folder, give one plane per file"),
    ],
)
def test_a_folder_that_is_no_movie_is_refused(tmp_path, frames, names, said):
    for frame, name in zip(frames, names, strict=True):
        if isinstance(frame, str):
            (tmp_path / name).write_text(frame)
        else:
            save_images(tmp_path, [frame], [name])
    with pytest.raises(MovieError, match=said) as error:
        open_movie(tmp_path)
    one_line(error)


def test_a_path_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(MovieError, match=r"There is no .*nowhere"):
        open_movie(tmp_path / "nowhere")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows forbids such names")
@pytest.mark.parametrize(
    "name", ["50 % #1", "häuser:文", "-rf", "a\nb", "what?", "%03d", "'quoted\"", ".hidden"]
)
@pytest.mark.parametrize("kind", ["folder", "tif", "zarr"])
def test_odd_names_are_no_trouble(tmp_path, name, kind):
    path = tmp_path / (name if kind == "folder" else f"{name}.{kind}")
    if kind == "folder":
        save_images(path, STACK, [f"{name.lstrip('.')}{i}.png" for i in range(FRAMES)])
    elif kind == "tif":
        tifffile.imwrite(path, STACK, compression="lzw")
    else:
        zarr.save_array(path, STACK)
    assert_shows(open_movie(path), STACK)


def test_opening_loads_no_library_for_other_kinds_of_files():
    code = (
        "import sys, napari_masktrack.io.readers;"
        "print(sorted({'cv2', 'tifffile', 'zarr', 'av', 'PIL', 'torch', 'napari'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"
