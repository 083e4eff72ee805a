"""Gram matrices by hand, their gradients, and images that take on a style."""

import pytest
import torch
from torch.nn import functional

from rsadapt.adapt.appearance import (
    Appearance,
    cell_weights,
    content_loss,
    gram_matrices,
    mean_gram_matrices,
    moved_by,
    seen_pixels,
    style_loss,
)

KERNEL = torch.randn(3, 2, 3, 3, generator=torch.Generator().manual_seed(1))


def layers(images):
    deep = functional.conv2d(images, KERNEL.to(images.dtype), stride=2, padding=1).tanh()
    return [images, deep]


def images(number=2, dtype=torch.float64, invalid=0):
    found = torch.randn(number, 2, 8, 8, dtype=dtype)
    found[..., :invalid] = 0
    return found


def test_gram_matrices_are_those_of_a_loop():
    features, seen = images(), seen_pixels(images(invalid=3))
    found = gram_matrices(features, seen)
    for number in range(2):
        for i in range(2):
            for j in range(2):
                products, total = 0.0, 0.0
                for row in range(8):
                    for col in range(8):
                        weight = float(seen[number, 0, row, col])
                        cell = features[number, :, row, col]
                        products += weight * float(cell[i] * cell[j])
                        total += weight
                assert float(found[number, i, j]) == pytest.approx(products / total)


def test_a_cell_weighs_as_much_as_is_valid_of_it():
    seen = torch.ones(1, 1, 4, 4)
    seen[..., 3] = 0
    assert cell_weights(torch.zeros(1, 5, 2, 2), seen).flatten().tolist() == [1, 0.5, 1, 0.5]


def test_gradients():
    features = [images().requires_grad_(), images().requires_grad_()]
    seen, wanted = seen_pixels(images(invalid=3)), [torch.randn(2, 2).double() for _ in range(2)]
    assert torch.autograd.gradcheck(lambda *each: style_loss(each, seen, wanted), features)
    other = images()
    assert torch.autograd.gradcheck(lambda one: content_loss(one, other, seen), features[:1])


def test_the_mean_style_counts_every_valid_pixel_once():
    batches = [images(2, invalid=4), images(1), images(3, invalid=8)]
    found, _ = mean_gram_matrices(batches, layers)
    pixels = torch.cat([each.permute(0, 2, 3, 1).reshape(-1, 2) for each in batches])
    pixels = pixels[(pixels != 0).any(1)]
    torch.testing.assert_close(found, pixels.T @ pixels / len(pixels))
    with pytest.raises(ValueError, match="at least one image"):
        mean_gram_matrices([images(1, invalid=8)], layers)


def test_an_image_comes_nearer_to_the_style_and_keeps_its_invalid_pixels():
    start = images(invalid=2)
    wanted = mean_gram_matrices([3 * images(8)], layers)
    with torch.inference_mode():  # as scenes are written
        found = Appearance(iterations=40, rate=0.2).repaint(start, layers, wanted)
    seen = seen_pixels(start)
    assert float(style_loss(layers(found), seen, wanted)) < 0.5 * float(
        style_loss(layers(start), seen, wanted)
    )
    assert (found[..., :2] == 0).all()
    assert not found.requires_grad


def test_each_image_is_changed_by_itself():
    start, wanted = images(3), mean_gram_matrices([images(8)], layers)
    change = Appearance(iterations=5)
    together = change.repaint(start, layers, wanted)
    alone = torch.cat([change.repaint(one[None], layers, wanted) for one in start])
    torch.testing.assert_close(together, alone)


def test_content_alone_changes_nothing():
    start, wanted = images(), mean_gram_matrices([images(8)], layers)
    assert torch.equal(Appearance(style=0.0).repaint(start, layers, wanted), start)


def test_every_place_of_a_cell_has_its_turn():
    image = torch.arange(256.0).reshape(1, 1, 16, 16)
    corners = {float(moved_by(image, number)[0, 0, 0, 0]) for number in range(64)}
    assert len(corners) == 64
