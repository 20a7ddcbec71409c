"""Public weights that the user's own machine downloads once, verifies by hash and reads without pickle."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from napari_masktrack.errors import CheckpointError
from napari_masktrack.model.vgg16 import DeepLabVGG16, Start, adopt_imagenet, imagenet_names

Report = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class PublicWeights:
    """A file of weights that anybody can download, pinned by its content.

    Attributes
    ----------
    name : str
        File name in the cache.
    url : str
        Address (http or https).
    sha256 : str or None
        Hash of the whole file, 64 hexadecimal digits. Without it nothing is downloaded or read.
    licence : str
        SPDX identifier given by the publisher.
    """

    name: str
    url: str
    sha256: str | None
    licence: str = "unknown"


# torchvision's ImageNet VGG16 (vgg16-397923af.pth) as safetensors, 553 MB. The hash is the one that the Hub
# publishes for the file (Git LFS details, https://huggingface.co/timm/vgg16.tv_in1k/blob/main/model.safetensors).
IMAGENET_VGG16 = PublicWeights(
    name="vgg16-imagenet-57b02691.safetensors",
    url=(
        "https://huggingface.co/timm/vgg16.tv_in1k/resolve/"
        "3394518cba29aee1ea82a49d971be90d2dd1dab7/model.safetensors"
    ),
    sha256="57b026918159a6bf9faf8405c3a551903768e7138989d9c6224a14227203fad8",
    licence="BSD-3-Clause",
)


def load_imagenet_vgg16(
    network: DeepLabVGG16,
    path: Path | None = None,
    *,
    source: PublicWeights = IMAGENET_VGG16,
    fc: Start = "subsampled",
    report: Report | None = None,
) -> None:
    """Start the paper's network from the public ImageNet VGG16 weights, as its authors did.

    Parameters
    ----------
    network : DeepLabVGG16
        Changed in place; see `adopt_imagenet` for what goes where.
    path : Path, optional
        A copy of the file that is already here; without it the file is downloaded once into the cache.
    source : PublicWeights
        Where the file comes from, and its hash, which a given ``path`` must have as well.
    fc : {"subsampled", "gaussian"}
        Start of fc6 and fc7.
    report : callable, optional
        Called with the bytes done and the bytes in all while downloading.

    Raises
    ------
    CheckpointError
        The file cannot be had, has another hash, is not safetensors, or lacks a tensor.
    """
    if path is None:
        path = fetch_weights(source, report=report)
    else:
        verify_weights(path, source.sha256)
    adopt_imagenet(network, read_tensors(path, imagenet_names(fc)), fc=fc)


def fetch_weights(
    source: PublicWeights = IMAGENET_VGG16, *, folder: Path | None = None, report: Report | None = None
) -> Path:
    """Download a file of weights once, and verify it every time.

    A file in the cache with the right hash is used as it is; one with another hash is fetched anew.
    A download with another hash is deleted.

    Parameters
    ----------
    source : PublicWeights
        What to fetch.
    folder : Path, optional
        Cache; by default the user's cache folder of this package.
    report : callable, optional
        Called with the bytes done and the bytes in all.

    Returns
    -------
    Path
        The verified file.

    Raises
    ------
    CheckpointError
        No hash is known, the file cannot be downloaded or stored, or its hash differs.
    """
    import pooch

    folder = default_folder() if folder is None else folder
    target = folder / source.name
    known = _require_hash(source.sha256, source.name)
    meter = _Meter(report) if report is not None else False
    downloader = pooch.HTTPDownloader(progressbar=meter, chunk_size=1 << 20, timeout=30)
    try:
        found = pooch.retrieve(
            source.url, f"sha256:{known}", fname=source.name, path=folder, downloader=downloader
        )
    # Every failure of requests is an OSError; some are a ValueError too, so this comes first.
    except OSError as error:
        raise CheckpointError(
            f"Cannot download {source.url} to {target} ({_reason(error)}); "
            "go online, or put a copy of the file there yourself."
        ) from error
    except ValueError as error:
        raise CheckpointError(
            f"The file downloaded from {source.url} does not have the SHA-256 {known} and was deleted; "
            "try again, or give the hash of the file you trust."
        ) from error
    return Path(found)


def verify_weights(path: Path, sha256: str | None) -> None:
    """Compare a file's SHA-256 with the expected one.

    Raises
    ------
    CheckpointError
        There is no such file, no hash is known, or the hashes differ.
    """
    import pooch

    known = _require_hash(sha256, str(path))
    _require_file(path)
    found = pooch.file_hash(str(path), alg="sha256")
    if found != known:
        raise CheckpointError(f"{path} has the SHA-256 {found}, expected {known}; download the file again.")


def read_tensors(path: Path, names: tuple[str, ...]) -> dict[str, Tensor]:
    """Read tensors from a safetensors file, in float32.

    Parameters
    ----------
    path : Path
        The file. Pickles (``.pth``, ``.pt``, ``.bin``) are refused: loading one may run any code.
    names : tuple of str
        The tensors wanted; others are not read.

    Raises
    ------
    CheckpointError
        There is no such file, or it is a pickle, damaged, or lacks a tensor.
    """
    from safetensors import SafetensorError, safe_open

    _require_file(path)
    with path.open("rb") as stream:
        start = stream.read(9)
    # The ninth byte of a safetensors file opens its JSON header; before it stands a length that may look
    # like anything.
    if start[8:] != b"{" and start.startswith((b"PK", b"\x80")):
        raise CheckpointError(f"{path} is a pickle, which may run any code; give a safetensors file.")
    try:
        with safe_open(path, framework="pt") as file:
            missing = sorted(set(names) - set(file.keys()))
            if missing:
                raise CheckpointError(
                    f"{path} lacks {len(missing)} tensors, {missing[0]} first; use timm/vgg16.tv_in1k."
                )
            return {name: file.get_tensor(name).float() for name in names}
    except SafetensorError as error:
        raise CheckpointError(f"{path} is not a readable safetensors file; download it again.") from error


def default_folder() -> Path:
    """Return the folder in which downloads are kept: the user's cache, below ``weights``."""
    from platformdirs import user_cache_path

    return user_cache_path("napari-masktrack", appauthor=False) / "weights"


class _Meter:
    """What pooch expects of a progress bar, turned into calls of a function."""

    def __init__(self, report: Report) -> None:
        self.total = 0
        self._done = 0
        self._report = report

    def update(self, size: int) -> None:
        # pooch counts whole chunks, the last one too.
        self._done = min(self._done + size, self.total)
        self._report(self._done, self.total)

    def reset(self) -> None:
        self._done = 0

    def close(self) -> None:
        pass


def _require_hash(sha256: str | None, name: str) -> str:
    if sha256 is None or not re.fullmatch(r"[0-9a-fA-F]{64}", sha256):
        raise CheckpointError(
            f"No SHA-256 is known for {name}; give the 64 digits that its publisher states."
        )
    return sha256.lower()


def _require_file(path: Path) -> None:
    if not path.is_file():
        raise CheckpointError(f"There is no file {path}; give the path of the weights.")


def _reason(error: OSError) -> str:
    response = getattr(error, "response", None)
    if response is not None:
        return f"the server answers {response.status_code}"
    return error.strerror or type(error).__name__
