"""Reading and writing of images: folders of PNG files or of files of numpy arrays, one for each party."""

from __future__ import annotations

import io
import logging
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from cgm.data.datasets.image_arrays import read_images
from cgm.data.tables.files import Source, party_names
from cgm.utils.files import check_bytes, check_file_name, folder_digest, read_plain
from cgm.utils.text import shortened

log = logging.getLogger(__name__)

KINDS = (".png", ".npz")
MAX_PIXELS = 2**24  # of an image, 4096 x 4096
PLAIN = {"1": "L", "L": "L", "RGB": "RGB"}  # modes of PNG files, and those in which they are read


def read_image_parties(
    folders: Sequence[str | Path], names: Sequence[str] | None = None
) -> tuple[dict[str, np.ndarray], list[Source]]:
    """Read the images of the parties.

    Arguments:
        folders: A folder for each party, with PNG files or with `.npz` files.
        names: The names of the parties. `None`: the names of the folders.

    Returns:
        The images of each party by its name, of shape (N, C, H, W), uint8 or numbers in [0, 1]; and where they came
        from.

    Raises:
        FileNotFoundError: If a folder does not exist.
        ValueError: If a folder has no images, an image cannot be read, or images differ in size or colours.
    """

    if len(folders) == 1:
        raise ValueError(f"{folders[0]}: one folder; give one for each party")
    read = [read_image_folder(Path(folder)) for folder in folders]
    first, shape = folders[0], read[0][0].shape[1:]
    for folder, (images, _) in zip(folders, read, strict=True):
        if images.shape[1:] != shape:
            raise ValueError(
                f"{folder}: its images are {_size(images.shape[1:])}, but those of {first} are {_size(shape)}; all "
                "parties need images of the same size and colours"
            )
    given = party_names([source.file for _, source in read], names)

    return {name: images for name, (images, _) in zip(given, read, strict=True)}, [source for _, source in read]


def read_image_folder(folder: Path) -> tuple[np.ndarray, Source]:
    """Return the images of a folder, of shape (N, C, H, W), and their source.

    Raises:
        FileNotFoundError: If it does not exist.
        ValueError: If it has no images, or one cannot be read.
    """

    if folder.is_symlink():
        raise ValueError(f"{folder}: a link; expected the folder itself, a copy of what the link leads to")
    if not folder.exists():
        raise FileNotFoundError(f"{folder}: there is no such folder")
    if not folder.is_dir():
        raise ValueError(f"{folder}: a file; if one party gives a folder of images, all do")
    found = sorted((path for path in folder.iterdir() if path.suffix.lower() in KINDS), key=lambda path: path.name)
    kinds = Counter(path.suffix.lower() for path in found)
    if not found:
        others = sorted(path.name for path in folder.iterdir())[:3]
        has = f"it has {', '.join(others)}, ..." if others else "it is empty"
        raise ValueError(f"{folder}: no images; expected files that end in .png or .npz, {has}")
    if len(kinds) > 1:
        raise ValueError(f"{folder}: has files of both kinds, .png and .npz; keep those of one kind")

    try:
        for path in found:
            check_file_name(path.name)
    except ValueError as error:
        raise ValueError(f"{folder}: {error}") from None
    contents: dict[str, bytes] = {}
    size = 0
    for path in found:
        contents[path.name] = read_plain(path)
        size += len(contents[path.name])
        check_bytes(folder, size, "its files take")
    (kind,) = kinds
    layout = ""
    values = 0  # of all images
    parts: list[np.ndarray] = []
    for path in found:
        if kind == ".npz":
            part, axes, others = read_images(path)
            layout = layout or f"{axes} {part.dtype if part.dtype == np.uint8 else 'float32'}"
            if others:
                log.info("%s: only the array images is used, not %s", path, ", ".join(others))
        else:
            part = read_png(path, contents[path.name])[None]
        if parts and part.shape[1:] != parts[0].shape[1:]:
            raise ValueError(
                f"{path}: {_size(part.shape[1:])}, but {found[0].name} is {_size(parts[0].shape[1:])}; all images need "
                "the same size and colours, convert this one or leave it out"
            )
        values += part.size
        check_bytes(folder, 4 * values, "its images take")  # as float32
        parts.append(part)
    if len({part.dtype == np.uint8 for part in parts}) > 1:
        raise ValueError(f"{folder}: some images are uint8 and others are floating-point numbers; use one of them")
    name = folder.resolve().name

    return np.concatenate(parts), Source(name, folder_digest(contents), kind, layout=layout)


def read_png(path: Path, content: bytes) -> np.ndarray:
    """Return a PNG image, of shape (C, H, W), uint8, with one colour or three.

    Raises:
        ValueError: If it is damaged, transparent, too large, or has more than 8 bits for a colour.
    """

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of large images, which are refused below
            opened = Image.open(io.BytesIO(content), formats=["PNG"])
        with opened as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise _Refused(f"has {width} x {height} pixels, at most {MAX_PIXELS:,} are possible; make it smaller")
            image.load()
            mode = image.mode
            if mode == "P":
                mode = "RGBA" if "transparency" in image.info else "RGB"
            if mode in ("RGBA", "LA"):
                pixels = image.convert("RGBA")
                if pixels.getextrema()[3] != (255, 255):
                    raise _Refused("has transparent pixels; save it without transparency")
                mode = "L" if mode == "LA" else "RGB"
            if mode not in PLAIN:
                raise _Refused(f"has pixels of the kind {mode}; save it with 8 bits per colour, grey or RGB")
            pixels = np.asarray(image.convert(PLAIN[mode]))
    except _Refused as error:
        raise ValueError(f"{path}: {error}") from None
    except Exception as error:  # of Pillow, of many classes
        reason = shortened(str(error), 200)
        raise ValueError(
            f"{path}: not a PNG image, or a damaged or truncated one ({reason}); save it again or leave it out"
        ) from error

    return pixels[None] if pixels.ndim == 2 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


class _Refused(Exception):
    pass


def write_png(image: np.ndarray) -> bytes:
    """Return an image of shape (C, H, W), uint8, as a PNG file."""

    file = io.BytesIO()
    Image.fromarray(image[0] if len(image) == 1 else np.ascontiguousarray(image.transpose(1, 2, 0))).save(file, "PNG")
    return file.getvalue()


def write_npz(images: np.ndarray, layout: str) -> bytes:
    """Return images of shape (N, C, H, W), uint8, as a file of arrays with some axes and type, see `Source.layout`."""

    axes, _, dtype = (layout or "NCHW uint8").partition(" ")
    if axes == "NHW":
        images = images[:, 0]
    elif axes == "NHWC":
        images = images.transpose(0, 2, 3, 1)
    if dtype != "uint8":
        images = images.astype(np.float32) / np.float32(255)
    file = io.BytesIO()
    np.savez_compressed(file, images=np.ascontiguousarray(images))
    return file.getvalue()


def _size(shape: Sequence[int]) -> str:
    colours, height, width = shape
    return f"{width} x {height} pixels in {'grey' if colours == 1 else 'colour'}"
