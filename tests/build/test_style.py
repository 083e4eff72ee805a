"""Styles from the configuration: whose look samples get, of regions and of image folders."""

import numpy as np
import pytest
import torch

from rsadapt import build, config
from rsadapt.data.procedural.look import bend
from rsadapt.data.procedural.street import write_streets
from rsadapt.data.procedural.world import BENT
from rsadapt.data.stream import stream
from rsadapt.data.style import changed, fit_covariance, fit_histogram, fit_moments, match
from rsadapt.data.styling import pool
from rsadapt.errors import ConfigError
from rsadapt.geo.grid import Window
from rsadapt.geo.raster import Raster
from rsadapt.geo.writer import write_raster

STYLES = [
    "{name: histogram}",
    "{name: histogram, scope: domain}",
    "{name: reinhard, match: covariance}",
    "{name: fda, beta: 0.05}",
]
NUMBERS = range(4)


@pytest.fixture(scope="session")
def streets(tmp_path_factory):
    """Values of the streets' recipe on tiny frames."""
    folder = tmp_path_factory.mktemp("streets")
    write_streets(
        folder, seed=0, source_frames=3, target_frames=3, validation_frames=1, height=64, width=96
    )
    small = {"source.size": {"height": 40, "width": 64}, "target.size": {"height": 32, "width": 60}}
    recipe = config.load_yaml(config.recipe("streets"))
    return config.change(recipe, small | {"root": str(folder)})


def samples(values, *assignments):
    """The source's training samples, and how both domains are standardised."""
    settings = config.parse(config.assign(values, list(assignments)), where="test")
    places = build.places(settings)
    normalise = build.normalisers(settings, places, build.take_statistics(settings, places))
    return build.training_samples(settings, places, normalise, "source"), normalise


def scaled(standard, normaliser):
    """What standardised values were of."""
    return standard * np.reshape(normaliser.std, (-1, 1, 1)) + np.reshape(
        normaliser.mean, (-1, 1, 1)
    )


@pytest.mark.parametrize(
    ("style", "fit"),
    [
        ("{name: histogram}", fit_histogram),
        ("{name: reinhard}", fit_moments),
        ("{name: reinhard, match: covariance}", fit_covariance),
    ],
)
@pytest.mark.parametrize("by", ["region", "source", "given"])
def test_a_sample_is_its_own_in_the_look_of_a_target_window(values, style, fit, by):
    if by == "given":
        values["normalisation"] = {"mean": [500.0] * 4, "std": [300.0] * 4}
    changes = ["training.augment=[]", f"normalise_by={by}"]
    plain, normalise = samples(values, *changes)
    styled, _ = samples(values, *changes, f"style={style}")
    looks = styled.styling.restyle.looks
    assert (looks.region.name, looks.scheme, looks.augment) == ("target", None, None)
    names = set()
    for number in NUMBERS:
        before, after, look = plain[number], styled[number], looks[number]
        assert torch.equal(after.label, before.label)
        assert torch.equal(after.valid, before.valid)
        valid = before.valid.numpy()
        values = np.rint(scaled(before.image.numpy().astype(float), normalise["source"]))
        values = scaled(normalise["source"](values, valid), normalise["target"])
        target = look.image.numpy().astype(float), look.valid.numpy()
        found = match(values, valid, *target, fit=fit)
        expected = normalise["target"](found, valid)
        assert np.allclose(after.image.numpy(), expected, atol=2e-3)
        names.add(look.name)
    assert len(names) == len(NUMBERS)


def test_one_change_for_all_is_that_of_pools_of_both_domains(values):
    changes = ["training.augment=[]", "normalise_by=source"]
    plain, normalise = samples(values, *changes)
    styled, _ = samples(values, *changes, "style={name: histogram, scope: domain}")
    target = pool(samples(values, *changes, "style={name: fda}")[0].styling.restyle.looks)
    before, after = plain[0], styled[0]
    standard = normalise["target"]
    curves = styled.styling.restyle.change
    values, valid = scaled(before.image.numpy().astype(float), standard), before.valid.numpy()
    expected = standard(changed(np.rint(values), valid, curves), valid)
    assert np.allclose(after.image.numpy(), expected, atol=2e-3)
    many = np.concatenate([styled[n].image.numpy()[:, styled[n].valid] for n in range(40)], axis=1)
    goal = (target.mean(1) - standard.mean) / standard.std
    assert np.abs(many.mean(1) - goal).max() < 0.15


def test_one_change_for_all_bends_bands_as_the_target_does(values, world, tmp_path):
    source = Raster(world.source_images[0])
    numbers = source.read(Window(0, 0, *source.grid.shape))[0]
    write_raster(tmp_path / "bent.tif", bend(numbers, BENT.curves), source.grid, nodata=0)
    values["target"] = {"scenes": [str(tmp_path / "bent.tif")]}
    plain, normalise = samples(values, "training.augment=[]")
    styled, _ = samples(values, "training.augment=[]", "style={name: histogram, scope: domain}")
    left, before = [], []
    for number in NUMBERS:
        image, valid = plain[number].image.numpy(), plain[number].valid.numpy()
        raw = np.rint(scaled(image.astype(float), normalise["source"])).astype(np.uint16)
        truth = normalise["target"](bend(raw, BENT.curves), valid)
        left.append(np.abs(styled[number].image.numpy() - truth).mean())
        before.append(np.abs(image - truth).mean())
    assert np.mean(left) < 0.7 * np.mean(before)  # pools of random windows differ a little


@pytest.mark.parametrize("style", [*STYLES, "{name: reinhard, share: 0.5}"])
def test_styled_samples_depend_on_seed_and_number_alone(values, style):
    changes = [f"style={style}", "training.augment=[dihedral, noise]"]
    once, again, other = (samples(values, *changes, f"seed={seed}")[0] for seed in (1, 1, 2))
    for number in reversed(NUMBERS):
        assert torch.equal(once[number].image, again[number].image)
        assert not torch.equal(once[number].image, other[number].image)
        assert torch.isfinite(once[number].image).all()
        assert (once[number].image[:, ~once[number].valid] == 0).all()
    here, there = (stream(once, batch_size=2, start=3, workers=workers) for workers in (0, 1))
    assert torch.equal(next(here).image, next(there).image)
    for batches in (here, there):
        batches.close()


@pytest.mark.parametrize("style", STYLES)
def test_a_share_of_the_samples_is_styled_and_the_others_stay(values, style):
    """In numbers that each domain standardises by itself."""
    changes = ["training.augment=[]", "normalise_by=region"]
    plain, _ = samples(values, *changes)
    styled, _ = samples(values, *changes, f"style={style}")
    some, _ = samples(values, *changes, f"style={style[:-1]}, share: 0.25}}")
    drawn = 0
    for number in range(40):
        image = some[number].image
        if torch.equal(image, styled[number].image):
            drawn += 1
        else:
            assert torch.allclose(image, plain[number].image, atol=1e-5)
    assert 4 <= drawn <= 16  # 10 are to be expected; two standard deviations are 5.5


@pytest.mark.parametrize("style", STYLES)
def test_frames_get_the_look_of_frames_of_another_size(streets, style):
    plain, _ = samples(streets)
    styled, normalise = samples(streets, f"style={style}")
    assert styled.normalise == normalise["target"]
    for number in NUMBERS:
        assert torch.equal(styled[number].label, plain[number].label)
        assert styled[number].image.shape == plain[number].image.shape
        assert not torch.allclose(styled[number].image, plain[number].image, atol=0.1)
    ours = torch.stack([styled[number].image for number in NUMBERS])
    assert ours.mean().abs() < 0.3  # as the target's own are


def test_no_style_is_the_default_and_the_record_says_which_there_is(values):
    settings = config.parse(values, where="test")
    assert settings.style is None
    assert samples(values)[0].styling is None
    only_source = ["method={name: source_only}", "network.batch_norm=source"]
    for style, seen in (("null", "statistics of its images at most"), (STYLES[0], "trained on")):
        chosen = config.parse(config.assign(values, [*only_source, f"style={style}"]), where="test")
        assert build.target_split(chosen).startswith(seen)


@pytest.mark.parametrize(
    ("style", "message"),
    [
        ("{name: fda, betta: 0.1}", r"unknown key 'style\.betta'; did you mean 'beta'\?"),
        ("{name: fda, beta: 0.5}", r"'style\.beta': input should be less than 0\.5, found 0\.5"),
        ("{name: fda, share: 0}", r"'style\.share': input should be greater than 0, found 0"),
        ("{name: cyclegan}", "'histogram', 'reinhard', 'fda'"),
        ("{beta: 0.1}", "'style'.*'name'"),
        ("histogram", "'style'"),
    ],
)
def test_wrong_styles_are_named(values, style, message):
    with pytest.raises(ConfigError, match=message):
        config.parse(config.assign(values, [f"style={style}"]), where="test")
