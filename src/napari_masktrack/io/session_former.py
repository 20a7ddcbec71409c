"""What left a session is kept beside it: drawings of deleted layers, former weights, the result before."""

import os
import shutil
import time
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from napari_masktrack.io.session_files import write_json
from napari_masktrack.io.session_head import marks_to_json
from napari_masktrack.io.session_numbers import METRICS, SCORES
from napari_masktrack.io.targets import saving

if TYPE_CHECKING:
    from napari_masktrack.io.session import Session

_MASKS = "results.zarr"
_WEIGHTS = ("weights/finetuned.safetensors", "weights/finetuned.motion.safetensors")
RESULT = (_MASKS, "probability.zarr", METRICS, SCORES, *_WEIGHTS)
"""What belongs to one propagation."""


class FormerWork:
    """The folder ``former`` of a session.

    Parameters
    ----------
    session : Session
    """

    def __init__(self, session: "Session") -> None:
        self._session = session

    @property
    def folder(self) -> Path:
        """Where it is kept, which may not exist."""
        return self._session.folder / "former"

    @property
    def drawings(self) -> tuple[Path, ...]:
        """The folders of drawings that left, the latest last."""
        parent = self.folder / "annotations"
        return tuple(sorted(path for path in parent.iterdir() if path.is_dir())) if parent.is_dir() else ()

    @property
    def weights(self) -> tuple[Path, ...]:
        """The files of weights that were replaced by later ones, the latest last."""
        return tuple(sorted((self.folder / "weights").glob(f"*/{Path(_WEIGHTS[0]).name}")))

    @property
    def latest_weights(self) -> Path | None:
        """The weights before those of now."""
        return self.weights[-1] if self.weights else None

    @property
    def has_result(self) -> bool:
        """Whether a result is kept, or the weights before the last ones."""
        return any((self.folder / name).exists() for name in (_MASKS, *_WEIGHTS))

    def take_drawings(self, kind: str) -> Path | None:
        """Take the drawings of a kind out of the session.

        Parameters
        ----------
        kind : str
            One of `session.LAYERS`, or 'shapes'. With the masks go the absent marks.

        Returns
        -------
        Path or None
            The new folder that holds them now; None if there were none.

        Raises
        ------
        OutputError
            The session is open to read only.
        WorkError
            The disk refused.
        """
        session = self._session
        session.require_writable()
        absent = session.absent if kind == "masks" else ()
        if not (session.shapes() if kind == "shapes" else session.annotated_frames(kind) or absent):
            return None
        stored = session.folder / "annotations" / ("shapes.json" if kind == "shapes" else kind)
        with saving(stored):
            place = self._new_place("annotations", kind)
            if stored.is_dir():
                os.replace(stored, place)
            else:
                place.mkdir()
                if stored.exists():
                    os.replace(stored, place / stored.name)
        if absent:
            write_json(place / "absent.json", {"absent": marks_to_json(absent)})
            session.save_absent(())
        return place

    def keep_weights(self) -> Path | None:
        """Copy the weights of now, before others take their place; gives the file, None without weights.

        Raises as `take_drawings`.
        """
        session = self._session
        session.require_writable()
        now = [path for name in reversed(_WEIGHTS) if (path := session.folder / name).exists()]
        if not now:
            return None
        with saving(self.folder):
            place = self._new_place("weights")
            place.mkdir()
            for path in now:  # the main one last, which tells that all are there
                part = place / f"{path.name}.part"
                shutil.copyfile(path, part)
                os.replace(part, place / path.name)
        return place / now[-1].name

    def keep_result(self, *, moved: bool = False) -> None:
        """Keep masks, probabilities, numbers and weights of now, in place of those kept before.

        Without masks only the weights are kept, and masks that were kept before stay; without weights
        either, everything stays.

        Parameters
        ----------
        moved : bool, default: False
            Take all but the weights away instead of copying them.

        Raises
        ------
        OutputError
            The session is open to read only.
        WorkError
            The disk refused.
        """
        self._session.require_writable()
        names = [name for name in RESULT if (self._session.folder / name).exists()]
        if _MASKS in names:
            names = list(RESULT)
        elif any(name in names for name in _WEIGHTS):
            names = list(_WEIGHTS)
        else:
            return
        with saving(self.folder):
            for name in names:
                now, kept = self._session.folder / name, self.folder / name
                part = kept.with_name(f"{kept.name}.part")
                _delete(part)
                kept.parent.mkdir(parents=True, exist_ok=True)
                if now.exists() and not (moved and name not in _WEIGHTS):
                    shutil.copytree(now, part) if now.is_dir() else shutil.copyfile(now, part)
                    now = part
                _delete(kept)
                if now.exists():
                    os.replace(now, kept)
        self._session.reread()

    def swap_result(self) -> bool:
        """Change the result against the one that is kept; tells whether there was one.

        Done twice, everything is as before.

        Raises
        ------
        OutputError
            The session is open to read only.
        WorkError
            The disk refused.
        """
        self._session.require_writable()
        if not self.has_result:
            return False
        with saving(self.folder):
            for name in RESULT:
                now, kept = self._session.folder / name, self.folder / name
                aside = kept.with_name(f"{kept.name}.swapped")
                begun = aside.exists()  # somebody was killed in the middle: only end it
                for source, target in ((now, aside), (kept, now), (aside, kept))[begun:]:
                    if source.exists() and not target.exists():
                        target.parent.mkdir(parents=True, exist_ok=True)
                        os.replace(source, target)
        self._session.reread()
        return True

    def _new_place(self, folder: str, kind: str = "") -> Path:
        """Give a new place, named after the moment, so that the latest is the last."""
        parent = self.folder / folder
        parent.mkdir(parents=True, exist_ok=True)
        moment, ending = time.strftime("%Y%m%d-%H%M%S"), kind and f"-{kind}"
        names = (f"{moment}-{number}{ending}" for number in count(1))
        return next(path for name in names if not (path := parent / name).exists())


def _delete(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
