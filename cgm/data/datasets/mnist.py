"""MNIST."""

import gzip
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cgm.data.datasets.base import OTHER_FOLDER, Dataset, data_folder, failure_of, first_file
from cgm.data.datasets.image_arrays import Arrays, image_dataset
from cgm.utils.settings import Settings

FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


@dataclass(frozen=True)
class MNIST(Settings):
    r"""The MNIST dataset: 70,000 images of handwritten digits.

    Images have the shape $(N, 1, 28, 28)$, with pixels in $[0, 1]$. Parties are made from the 60,000 training
    images; the 10,000 test images are held out. The four files, in the IDX format, gzipped or not, are expected in
    the folder `MNIST/raw` of the data folder, where torchvision stores them. The data folder is `data_dir`; if that
    is `None`, the environment variable `CGM_DATA`; if that is not set, `data`. Nothing is unpacked into it.

    Arguments:
        download: Whether to download the files (12 MB) with torchvision if they are missing.

    Raises:
        ValueError: On loading, if a file is damaged or has unexpected content.
        FileNotFoundError: On loading, if a file is missing.

    References:
        Gradient-Based Learning Applied to Document Recognition (LeCun et al., 1998)
    """

    section = "dataset"

    download: bool = False

    def load(self, data_dir: str | None, seed: int) -> Dataset:
        """Read the files. The seed has no effect, because the test images are fixed."""

        root = data_folder(data_dir)
        folder = root / "MNIST" / "raw"
        failed = failure_of(lambda: _download(root)) if self.download and _missing(folder) else ""
        if missing := _missing(folder):
            raise FileNotFoundError(
                f"dataset=mnist: no {missing[0]} or {missing[0]}.gz in {folder.absolute()}{failed}. Set "
                f"dataset.download=true; or put the files {', '.join(FILES)}, gzipped or not, into that folder "
                f"(available at https://ossci-datasets.s3.amazonaws.com/mnist/); {OTHER_FOLDER}"
            )
        train, test = (_read(folder, *names) for names in (FILES[:2], FILES[2:]))

        return image_dataset("mnist", train, test, map(str, range(10)))


def _download(root: Path) -> None:
    from torchvision import datasets  # takes a second to import

    datasets.MNIST(str(root), download=True)


def _places(folder: Path, name: str) -> list[Path]:
    return [folder / name, folder / f"{name}.gz"]


def _missing(folder: Path) -> list[str]:
    return [name for name in FILES if first_file(_places(folder, name)) is None]


def _read(folder: Path, images: str, labels: str) -> Arrays:
    """Read a file of images and a file of labels."""

    x, x_path = _read_idx(folder, images, dims=3)
    y, y_path = _read_idx(folder, labels, dims=1)
    if x.shape[1:] != (28, 28):
        raise ValueError(f"{x_path}: contains images of {x.shape[1]} × {x.shape[2]} pixels, expected 28 × 28")
    if len(x) != len(y) or len(x) == 0:
        raise ValueError(f"{y_path}: contains {len(y)} labels for the {len(x)} images of {x_path.name}")
    if y.max() > 9:
        raise ValueError(f"{y_path}: contains the label {y.max()}, expected digits from 0 to 9")

    return x[:, None], y


def _read_idx(folder: Path, name: str, dims: int) -> tuple[np.ndarray, Path]:
    """Read an IDX file of bytes, gzipped or not, and return its array and its path."""

    path = first_file(_places(folder, name)) or folder / name
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            data = file.read()
    except (EOFError, OSError, zlib.error) as error:
        raise ValueError(f"{path}: damaged or truncated ({error}); delete it and download it again") from error

    # Two zero bytes, 8 for bytes as the type, the number of dimensions; then the dimensions, big-endian
    magic = bytes([0, 0, 8, dims])
    if data[:4] != magic:
        raise ValueError(
            f"{path}: starts with the bytes {data[:4].hex(' ')}, expected {magic.hex(' ')}: not the IDX file {name}; "
            "download it again"
        )
    head = 4 + 4 * dims
    shape = tuple(int(size) for size in np.frombuffer(data[4:head], ">u4")) if len(data) >= head else (0,) * dims
    if len(shape) != dims or len(data) - head != int(np.prod(shape, dtype=object)):
        raise ValueError(
            f"{path}: contains {max(len(data) - head, 0)} bytes of data, but its header states "
            f"{' × '.join(map(str, shape))}; delete it and download it again"
        )

    return np.frombuffer(data, np.uint8, offset=head).reshape(shape), path
