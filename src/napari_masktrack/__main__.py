"""``python -m napari_masktrack`` is the command ``masktrack``."""

import sys

from napari_masktrack.cli import main

if __name__ == "__main__":
    sys.exit(main())
