import numpy as np

from rsadapt.data.images import write_png
from rsadapt.data.synscapes import SYNSCAPES


def test_documented_layout_is_found(tmp_path):
    for folder, shape in [("rgb", (2, 4, 3)), ("rgb-2k", (3, 6, 3)), ("class", (2, 4))]:
        write_png(tmp_path / f"img/{folder}/17.png", np.zeros(shape, np.uint8))
    (frame,) = SYNSCAPES.frames(tmp_path, "all")
    assert frame.image == tmp_path / "img/rgb/17.png"
    assert frame.label == tmp_path / "img/class/17.png"
