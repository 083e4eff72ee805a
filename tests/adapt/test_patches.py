"""Images hidden in patches: how many, which pixels, and the same again."""

import pytest
import torch

from rsadapt.adapt.patches import kept_patches


@pytest.mark.parametrize(
    ("height", "width", "patch", "grid"), [(8, 8, 2, (4, 4)), (10, 7, 4, (3, 2)), (5, 5, 5, (1, 1))]
)
@pytest.mark.parametrize("ratio", [0.0, 0.3, 0.7, 1.0])
def test_whole_patches_are_hidden_as_many_as_the_ratio_says(height, width, patch, grid, ratio):
    random = torch.Generator().manual_seed(0)
    kept = kept_patches((3, height, width), patch=patch, ratio=ratio, random=random)
    assert kept.shape == (3, height, width)
    for sample in range(3):
        hidden = 0
        for row in range(grid[0]):
            for col in range(grid[1]):
                part = kept[
                    sample, row * patch : (row + 1) * patch, col * patch : (col + 1) * patch
                ]
                assert part.all() or not part.any()
                hidden += not part.any()
        assert hidden == round(ratio * grid[0] * grid[1])


def test_the_generator_decides_and_images_differ():
    masks = [
        kept_patches((4, 64, 64), patch=8, ratio=0.7, random=torch.Generator().manual_seed(seed))
        for seed in (1, 1, 2)
    ]
    assert torch.equal(masks[0], masks[1])
    assert not torch.equal(masks[0], masks[2])
    assert not torch.equal(masks[0][0], masks[0][1])
    assert len({tuple(masks[0][n, ::8, ::8].flatten().tolist()) for n in range(4)}) == 4
