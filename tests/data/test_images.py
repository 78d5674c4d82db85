"""Folders of images."""

import io
import os

import numpy as np
import pytest
from PIL import Image

from cgm.data.images import read_image_parties, write_npz, write_png
from cgm.utils.files import folder_digest

RANDOM = np.random.default_rng(0)
GREY = RANDOM.integers(0, 256, (6, 5, 4), dtype=np.uint8)
COLOUR = RANDOM.integers(0, 256, (6, 5, 4, 3), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path):
    for name, images in (("north", GREY[:4]), ("south", GREY[4:])):
        (tmp_path / name).mkdir()
        for k, image in enumerate(images):
            Image.fromarray(image).save(tmp_path / name / f"{k}.png")
    return tmp_path


def read(folder):
    return read_image_parties([folder / "north", folder / "south"])


def test_png_files(folder):
    (folder / "north" / ".DS_Store").write_bytes(b"x")
    parties, sources = read(folder)
    assert list(parties) == ["north", "south"]
    assert np.array_equal(parties["north"], GREY[:4, None])
    assert [source.suffix for source in sources] == [".png"] * 2
    contents = {path.name: path.read_bytes() for path in (folder / "north").glob("*.png")}
    assert sources[0].sha256 == folder_digest(contents)
    again, _ = read_image_parties([folder / "north", folder / "south"], names=["a", "b"])
    assert list(again) == ["a", "b"]


def test_kinds_of_png_files(tmp_path):
    for mode in ("1", "P", "RGB", "RGBA", "LA"):
        grey = mode in ("1", "LA")
        for name in ("a", "b"):
            (tmp_path / name).mkdir(exist_ok=True)
            image = Image.fromarray(COLOUR[0]).convert("L" if grey else "RGB").convert(mode)
            image.save(tmp_path / name / "x.PNG")
        parties, _ = read_image_parties([tmp_path / "a", tmp_path / "b"])
        assert parties["a"].shape == (1, 1 if grey else 3, 5, 4)
        if mode in ("RGB", "RGBA"):
            assert np.array_equal(parties["a"][0].transpose(1, 2, 0), COLOUR[0])


@pytest.mark.parametrize(
    ("images", "layout"),
    [
        (GREY, "NHW uint8"),
        (COLOUR, "NHWC uint8"),
        (COLOUR.transpose(0, 3, 1, 2), "NCHW uint8"),
        (GREY.astype(np.float32) / np.float32(255), "NHW float32"),
    ],
)
def test_files_of_arrays(tmp_path, images, layout):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        np.savez(tmp_path / name / "1.npz", images=images[:2], labels=[0, 1])
        np.savez(tmp_path / name / "2.npz", images=images[2:])
    parties, sources = read_image_parties([tmp_path / "a", tmp_path / "b"])
    assert sources[0].layout == layout
    pixels = parties["a"] if parties["a"].dtype == np.uint8 else (255 * parties["a"]).round().astype(np.uint8)
    with np.load(io.BytesIO(write_npz(pixels, layout))) as file:  # rewards come in the form of the party's own files
        assert file["images"].dtype == images.dtype
        assert np.array_equal(file["images"], images)


def test_png_files_are_read_as_they_are_written(tmp_path):
    for images in (GREY[:, None], COLOUR.transpose(0, 3, 1, 2)):
        with Image.open(io.BytesIO(write_png(images[0]))) as image:
            assert np.array_equal(np.asarray(image), images[0].transpose(1, 2, 0).squeeze())
    assert write_png(GREY[:1]) == write_png(GREY[:1])


def spoil(folder, name):
    path = folder / "south" / "1.png"
    whole = path.read_bytes()
    if name == "truncated":
        path.write_bytes(whole[: len(whole) // 2])
    elif name == "flipped":
        path.write_bytes(whole[:60] + bytes([whole[60] ^ 255]) + whole[61:])
    elif name == "text":
        path.write_text("not an image")
    elif name == "size":
        Image.fromarray(GREY[0, :3]).save(path)
    elif name == "colour":
        Image.fromarray(COLOUR[0]).save(path)
    elif name == "party":
        for each in (folder / "south").glob("*.png"):
            Image.fromarray(GREY[0, :3]).save(each)
    elif name == "transparent":
        Image.fromarray(np.dstack([COLOUR[0], np.zeros((5, 4), np.uint8)])).save(path)
    elif name == "deep":
        Image.fromarray(np.full((5, 4), 60_000, np.uint16)).save(path)
    elif name == "both":
        np.savez(folder / "south" / "x.npz", images=GREY)
    elif name == "npz":
        for each in (folder / "south").glob("*.png"):
            each.unlink()
        np.savez(folder / "south" / "x.npz", pictures=GREY)
    elif name == "broken npz":
        for each in (folder / "south").glob("*.png"):
            each.unlink()
        (folder / "south" / "x.npz").write_bytes(b"PK\x03\x04 no zip")
    elif name in ("empty", "other files"):
        for each in (folder / "south").glob("*.png"):
            each.rename(each.with_suffix(".jpg")) if name == "other files" else each.unlink()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "truncated",
            r"south/1\.png: not a PNG image, or a damaged or truncated one \(.*; save it again or leave it out",
        ),
        ("flipped", r"south/1\.png: not a PNG image, or a damaged or truncated one"),
        ("text", r"south/1\.png: not a PNG image"),
        ("size", r"south/1\.png: 4 x 3 pixels in grey, but 0\.png is 4 x 5 pixels in grey; all images need the same"),
        ("colour", r"south/1\.png: 4 x 5 pixels in colour, but 0\.png is 4 x 5 pixels in grey"),
        ("party", r"south: its images are 4 x 3 pixels in grey, but those of .*north are 4 x 5 pixels in grey"),
        ("transparent", r"south/1\.png: has transparent pixels; save it without"),
        ("deep", r"south/1\.png: has pixels of the kind I;16; save it with 8 bits per colour"),
        ("both", r"south: has files of both kinds, \.png and \.npz"),
        ("npz", r"south/x\.npz: lacks the array 'images'; it has pictures"),
        ("broken npz", r"south/x\.npz: not a file of arrays"),
        ("empty", r"south: no images; expected files that end in \.png or \.npz, it is empty"),
        ("other files", r"south: no images; .* it has 0\.jpg, 1\.jpg"),
    ],
)
def test_what_is_refused(folder, name, message):
    spoil(folder, name)
    with pytest.raises(ValueError, match=message):
        read(folder)


def test_what_strangers_put_in_a_folder(folder, tmp_path, monkeypatch):
    south = folder / "south"

    def refused(message: str, name: str = "") -> None:
        with pytest.raises(ValueError, match=message) as error:
            read(folder)
        assert "\n" not in str(error.value)
        if name:
            (south / name).unlink()

    (south / "z.png").symlink_to(folder / "north" / "0.png")
    refused(r"south/z\.png: a link; expected the file itself", "z.png")
    os.mkfifo(south / "z.png")
    refused(r"south/z\.png: a pipe or a device; expected a plain file", "z.png")
    (south / "a\n0  b.png").write_bytes((south / "1.png").read_bytes())
    refused(r"south: a\\n0  b\.png: a name with a control character or a backslash; rename the file", "a\n0  b.png")
    Image.new("1", (13_000, 13_000)).save(south / "z.png")
    refused(r"z\.png: has 13000 x 13000 pixels, at most 16,777,216 are possible", "z.png")
    monkeypatch.setenv("CGM_MAX_GIB", "0.0000001")
    refused(r"its files take .* GiB of memory or more, the limit is .*CGM_MAX_GIB")
    monkeypatch.delenv("CGM_MAX_GIB")
    read(folder)
    (tmp_path / "linked").symlink_to(south)
    with pytest.raises(ValueError, match="linked: a link; expected the folder itself"):
        read_image_parties([folder / "north", tmp_path / "linked"])


def test_folders_that_are_none(folder):
    with pytest.raises(FileNotFoundError, match="west: there is no such folder"):
        read_image_parties([folder / "north", folder / "west"])
    with pytest.raises(ValueError, match=r"0\.png: a file; if one party gives a folder of images, all do"):
        read_image_parties([folder / "north", folder / "north" / "0.png"])
    with pytest.raises(ValueError, match="one folder; give one for each party"):
        read_image_parties([folder / "north"])
    with pytest.raises(ValueError, match="the name north occurs more than once"):
        read_image_parties([folder / "north", folder / "north"])


def test_an_empty_layout_has_all_axes():
    with np.load(io.BytesIO(write_npz(GREY[:, None], ""))) as file:
        assert file["images"].shape == (6, 1, 5, 4)
