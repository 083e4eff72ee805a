"""How a scene is cut."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsadapt.errors import ConfigError
from rsadapt.infer.tiling import BLOCK, PANEL_ROWS, plan, spans


@st.composite
def tilings(draw):
    tile = draw(st.integers(1, 12))
    return tile, draw(st.integers(0, tile - 1)), draw(st.sampled_from(["hann", "crop"]))


@given(st.integers(1, 60), tilings(), st.integers(1, 5))
def test_weights_are_positive_and_sum_to_one(length, tiling, cell):
    tile, overlap, blending = tiling
    total, covered = np.zeros(length), np.zeros(length, int)
    for span in spans(length, tile, overlap, blending, cell=cell):
        assert (span.weights > 0).all()
        assert span.tile <= span.start < span.stop <= min(span.tile + tile, length)
        assert span.tile % cell == 0 or tile - overlap < cell
        assert span.tile + tile < max(length, tile) + cell
        assert span.inside == slice(span.start - span.tile, span.stop - span.tile)
        total[span.start : span.stop] += span.weights
        covered[span.start : span.stop] += 1
    np.testing.assert_allclose(total, 1, atol=1e-6)
    assert (total[covered == 1] == 1).all()
    if blending == "crop":
        assert (covered == 1).all()


def test_blending_weights_are_flat_but_on_the_overlap():
    first, second, last = (span.weights for span in spans(40, 16, 4))
    assert (first[:12] == 1).all()
    assert (second[4:12] == 1).all()
    assert (last[4:] == 1).all()
    assert (np.diff(first[11:]) < 0).all()
    np.testing.assert_allclose(first[12:] + second[:4], 1, atol=1e-6)


@given(st.integers(1, 200), tilings())
def test_neighbours_share_the_overlap_alone_in_the_middle_of_what_both_see(length, tiling):
    tile, overlap, blending = tiling
    shared = overlap if blending == "hann" else 0
    for before, after in pairwise(spans(length, tile, overlap, blending)):
        assert before.stop - after.start == shared
        left, right = after.start - after.tile, before.tile + tile - before.stop
        assert right - left in (0, 1)


@given(st.integers(1, 200), tilings())
def test_a_cropped_pixel_is_far_from_the_edges_of_its_tile(length, tiling):
    tile, overlap, _ = tiling
    for span in spans(length, tile, overlap, "crop"):
        if span.start > 0:
            assert span.start - span.tile >= overlap // 2
        if span.stop < length:
            assert span.tile + tile - span.stop >= overlap // 2


@pytest.mark.parametrize(("tile", "overlap"), [(16, 16), (16, 20), (16, -1), (0, 0)])
def test_overlap_must_be_smaller_than_the_tile(tile, overlap):
    with pytest.raises(ConfigError, match=f"overlap .* found {overlap}"):
        spans(8, tile, overlap)


@given(
    st.integers(1, 5000),
    st.integers(1, 5000),
    st.integers(1, 700).flatmap(lambda t: st.tuples(st.just(t), st.integers(0, t - 1))),
    st.sampled_from(["hann", "crop"]),
    st.integers(1, 3000),
)
def test_panels_cover_a_scene_once_and_end_with_blocks(height, width, tiling, blending, widest):
    tile, overlap = tiling
    if tile - overlap < 40:
        overlap = 0  # else tens of thousands of tiles, which take long and show nothing more
    cut = plan(
        (height, width), tile=max(40, tile), overlap=overlap, blending=blending, widest=widest
    )
    column = 0
    for lane in cut.lanes:
        assert lane.start == column
        assert lane.start % BLOCK == 0
        assert lane.width <= max(widest, BLOCK)
        column = lane.stop
        shares = np.zeros(lane.width)
        for span in lane.spans:
            assert lane.read_start <= span.tile
            assert min(span.tile + cut.tile, width) <= lane.read_stop
            shares[span.start - lane.start : span.stop - lane.start] += span.weights
        np.testing.assert_allclose(shares, 1, atol=1e-6)
        row = 0
        for number in range(cut.panels):
            window = cut.panel(lane, number)
            assert (window.row, window.col, window.width) == (row, lane.start, lane.width)
            assert window.row % PANEL_ROWS == 0
            row = window.row_stop
        assert row == height
    assert column == width
