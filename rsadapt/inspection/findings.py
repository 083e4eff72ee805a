"""Findings: what the facts about both regions mean for training, most grave first, with cures."""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import get_args

from rsadapt.geo.edges import NEARLY
from rsadapt.geo.place import sizes_differ
from rsadapt.inspection.band_order import Order, likely_order, named_order
from rsadapt.inspection.facts import BandFacts, Facts, Finding, Gravity, RegionFacts

RARE = 0.001
"""Share of the labelled pixels below which a class is hardly ever in a window."""

SHARES_DIFFER = 0.25
"""Part of the labelled pixels that would have to change class for the regions' shares to agree."""

MUCH_NODATA = 0.25
"""Share of the pixels."""

MUCH_UNLABELLED = 0.5
"""Share of the valid pixels."""

BORDER = 0.02
"""Share of the pixels along the scenes' edges, where no scene has a wide one."""

FEW_WINDOWS = 16
"""Training windows side by side: with fewer, every batch shows the same places."""

TILE_STEP = 32
"""Sides of windows that are suggested are multiples of it, the stride of the discriminators."""

REPEATED = 0.01
"""Share of the pixels; grids that merely touch overlap by less."""

SHIFT = 1.0
"""Deviations of the source by which values lie apart: then most are where the source has few."""

OWN_SHIFT = 0.25
"""The same after each region's own standardisation. Kampala and Banepa come to 0.09 in the worst
band, three of the demo's worlds to 0.15, September and December of Suncheon to 0.41."""

UINT8_END = 255
"""White in 8 bits."""

SHOWN = 5
"""Names that a finding lists."""


def find(facts: Facts) -> tuple[Finding, ...]:
    """Return all findings, most grave first."""
    found = [finding for rule in RULES for finding in rule(facts)]
    return tuple(sorted(found, key=lambda finding: get_args(Gravity).index(finding.gravity)))


# Scenes


def _left_out(facts: Facts) -> Iterator[Finding]:
    for name, region in facts.regions().items():
        for words in region.left_out:
            yield Finding(
                "warning",
                "scenes left out",
                words,
                f"copy or download those files again, or take them out of {name}.scenes",
            )


def _unplaced(facts: Facts) -> Iterator[Finding]:
    for name, region in facts.regions().items():
        lost = [scene for scene in region.scenes if scene.ground_size is None]
        if lost:
            example = Path(lost[0].path).name
            yield Finding(
                "note",
                "place unknown",
                f"{name}: {len(lost)} of {len(region.scenes)} scenes do not say where on Earth "
                f"they lie, such as {example}, so that ground sizes cannot be compared "
                f"and maps have no place",
                f"name their CRS, as with: gdal_edit.py -a_srs EPSG:32633 {shlex.quote(example)}",
            )


def _windows(facts: Facts) -> Iterator[Finding]:
    """Whether training windows fit, and whether there are enough."""
    tile = facts.choices.tile
    for name, region in facts.regions().items():
        pixels = region.training.pixels * region.valid_share
        if region.holds < tile:
            yield Finding(
                "error",
                "scenes too small",
                f"{name}: training windows are of {tile} pixels, and not every scene, or no "
                f"training part, holds one of more than {region.holds}",
                f"--set training.tile={region.holds}, or leave small scenes out",
            )
        elif pixels < FEW_WINDOWS * tile**2:
            smaller = math.isqrt(round(pixels / FEW_WINDOWS)) // TILE_STEP * TILE_STEP
            yield Finding(
                "warning",
                "little to train on",
                f"{name}: its valid training pixels fill {pixels / tile**2:.1f} windows of {tile} "
                f"pixels; "
                f"fewer than {FEW_WINDOWS} are learned by heart",
                f"add scenes, or draw smaller windows: --set training.tile={smaller}"
                if smaller
                else "add scenes",
            )


def _overlaps(facts: Facts) -> Iterator[Finding]:
    for name, region in facts.regions().items():
        if region.coverage is not None and region.coverage.repeated >= REPEATED:
            yield Finding(
                "note",
                "overlapping scenes",
                f"{name}: {region.coverage.repeated:.0%} of the pixels show ground that another "
                f"pixel shows too; such places count more often in statistics and training",
                f"keep the better one of scenes that lie over each other in {name}.scenes; for "
                f"validation split by a line ({name}.validation), not by files",
            )


def _ground_sizes(facts: Facts) -> Iterator[Finding]:
    """Whether a pixel is as large in the source as in the target."""
    ours, theirs = facts.source.ground_pixel, facts.target.ground_pixel
    if ours is None or theirs is None or not sizes_differ(ours, theirs):
        return
    finer = "target" if theirs < ours else "source"
    yield Finding(
        "warning",
        "pixel size",
        f"a pixel is {ours:.3g} m on the ground in the source and {theirs:.3g} m in the target, "
        f"{max(ours, theirs) / min(ours, theirs):.3g} times as large in one as in the other, so "
        f"that things look of other sizes",
        f"bring them to one: --set {finer}.pixel={max(ours, theirs):.3g}",
    )


# Bands


def _band_order(facts: Facts) -> Iterator[Finding]:
    ours, theirs = facts.source.bands, facts.target.bands
    named = named_order(_given_names(ours), _given_names(theirs))
    if named is not None:
        listed = [", ".join(map(str, _given_names(bands))) for bands in (ours, theirs)]
        text = f"bands are called {listed[0]} in the source and {listed[1]} in the target"
        yield Finding("warning", "band order", text, _reordering(facts, named))
        return
    likely = likely_order(ours, theirs)
    if likely is not None:
        numbers = [theirs[place].number for place in likely]
        text = (
            f"the source's bands {[band.number for band in ours]} look like the target's in the "
            f"order {numbers}, more than in the order {[band.number for band in theirs]}: one "
            f"region's order seems swapped"
        )
        yield Finding("warning", "band order", text, _reordering(facts, likely))


def _given_names(bands: Sequence[BandFacts]) -> list[str | None]:
    """What files call the bands, else the colours that they say bands show."""
    return [band.colour if band.name == f"band {band.number}" else band.name for band in bands]


def _reordering(facts: Facts, order: Order) -> str:
    numbers = [facts.target.bands[place].number for place in order]
    return f"look at the example windows (--html), and if so: --set 'target.bands={numbers}'"


def _constant_bands(facts: Facts) -> Iterator[Finding]:
    pairs = list(zip(facts.source.bands, facts.target.bands, strict=True))
    varying = [n for n, pair in enumerate(pairs) if not any(band.constant for band in pair)]
    for ours, theirs in pairs:
        where = [
            f"{band.mean:g} everywhere in the {name}"
            for name, band in (("source", ours), ("target", theirs))
            if band.constant
        ]
        if where:
            yield Finding(
                "warning",
                "constant band",
                f"{_called(ours)} is {' and '.join(where)}; it tells nothing apart there, and is "
                f"often an alpha band",
                _without(facts, varying),
            )


def _without(facts: Facts, kept: Sequence[int]) -> str:
    if not kept:
        return "check the files: no band is left that varies in both regions"
    ours, theirs = ([r.bands[n].number for n in kept] for r in facts.regions().values())
    if ours == theirs:
        return f"leave it out of both regions: --set 'bands={ours}'"
    return f"leave it out of both: --set 'source.bands={ours}' --set 'target.bands={theirs}'"


def _types(facts: Facts) -> Iterator[Finding]:
    ours, theirs = (_listed(scene.dtype for scene in r.scenes) for r in facts.regions().values())
    if ours == theirs:
        return
    own = facts.choices.normalise_by == "region"
    yield Finding(
        "note" if own else "warning",
        "value types",
        f"values are {ours} in the source and {theirs} in the target, from "
        f"{_range(facts.source)} and {_range(facts.target)}",
        "normalise_by: region, as set, brings both to one scale"
        if own
        else "standardise each by its own statistics: --set normalise_by=region",
    )


def _shifts(facts: Facts) -> Iterator[Finding]:
    """Whether a band's values lie elsewhere in the target than in the source."""
    own = facts.choices.normalise_by == "region"
    far, remain = [], []
    for band, distance in zip(facts.source.bands, facts.distances, strict=True):
        if distance.wasserstein is not None and distance.wasserstein > SHIFT:
            far.append(f"{_called(band)} by {distance.wasserstein:.2g}")
        if distance.own_wasserstein > OWN_SHIFT:
            remain.append(f"{_called(band)} by {distance.own_wasserstein:.2g}")
    if far:
        yield Finding(
            "note" if own else "warning",
            "values shifted",
            f"values lie far apart, in standard deviations of the source: {', '.join(far)}",
            "normalise_by: region, as set, takes out what mean and deviation explain"
            if own
            else "standardise each by its own statistics: --set normalise_by=region",
        )
    if remain:
        yield Finding(
            "warning",
            "values shaped otherwise",
            f"even after each region is standardised by its own statistics values lie apart: "
            f"{', '.join(remain)} standard deviations; look for clouds, borders or other bands",
            "if the imagery is meant, let the target have batch-norm statistics of its own, as set"
            if facts.choices.batch_norm == "per_domain"
            else "let the target have batch-norm statistics of its own: "
            "--set network.batch_norm=per_domain",
        )


# Validity


def _nodata(facts: Facts) -> Iterator[Finding]:
    for name, region in facts.regions().items():
        missing = 1 - region.valid_share
        if missing >= MUCH_NODATA:
            yield Finding(
                "warning",
                "nodata",
                f"{name}: {missing:.0%} of the training pixels are nodata or masked",
                f"if it is meant, ask for fuller windows than {facts.choices.least_valid:g}: "
                f"--set training.least_valid={min(1.0, facts.choices.least_valid + 0.25):g}; if "
                f"not, check the nodata value and the masks",
            )


def _borders(facts: Facts) -> Iterator[Finding]:
    for name, region in facts.regions().items():
        if _one_colour(region):
            continue
        for colour, border in (("white", region.borders.white), ("black", region.borders.black)):
            if border.share >= BORDER or border.scenes:
                yield Finding(
                    "warning",
                    "unflagged border",
                    f"{name}: {border.share:.1%} of the pixels along the scenes' edges are pure "
                    f"{colour} that runs in from the edge and counts as imagery; {border.scenes} "
                    f"of the {region.borders.scenes} scenes looked at have a wide border of it",
                    f"count it as missing: --set {name}.border={colour}",
                )


def _one_colour(region: RegionFacts) -> bool:
    """Whether all of a region is of one colour, as borders tell colours: that is no border."""
    low, high = min(b.minimum for b in region.bands), max(b.maximum for b in region.bands)
    nearly = all(scene.dtype == "uint8" and scene.nodata is None for scene in region.scenes)
    even = all(band.constant for band in region.bands)
    return even or (nearly and (high <= NEARLY or low >= UINT8_END - NEARLY))


# Classes


def _classes(facts: Facts) -> Iterator[Finding]:
    """What the source's labels can teach."""
    shares = facts.source.training.classes or {}
    if not any(shares.values()):
        yield Finding(
            "error",
            "no labels",
            "source: no valid pixel of the training part has a class",
            "check 'classes' and 'ignored_ids', and whether the labels lie on the scenes",
        )
        return
    absent = [name for name, share in shares.items() if share == 0]
    if absent:
        yield Finding(
            "warning",
            "class absent",
            f"source: no training pixel is labelled {_some(absent)}, so it cannot be learned",
            "add scenes that show it, move the line of source.validation, or take it out of "
            "'classes'",
        )
    for name, share in shares.items():
        if 0 < share < RARE:
            yield Finding(
                "note",
                "class rare",
                f"source: {name} takes {share:.2g} of the labelled training pixels, less than a "
                f"thousandth; most windows lack it",
                "draw more windows where it is: --set training.sampling=class_rarity; or join it "
                "with a class alike (id: [3, 4] in 'classes')",
            )


def _class_shares(facts: Facts) -> Iterator[Finding]:
    """Whether classes are as frequent in the target, where its labels tell."""
    ours, theirs = (_labelled_shares(region) for region in facts.regions().values())
    if ours is None or theirs is None:
        return
    apart = {name: theirs[name] - ours[name] for name in ours}
    total = sum(map(abs, apart.values())) / 2
    if total < SHARES_DIFFER:
        return
    greatest = sorted(apart, key=lambda name: -abs(apart[name]))[:3]
    listed = ", ".join(f"{name} {ours[name]:.0%} and {theirs[name]:.0%}" for name in greatest)
    yield Finding(
        "warning",
        "class shares",
        f"{total:.0%} of the labelled pixels would have to change class for the regions to agree "
        f"(source and target: {listed}); adversarial methods pull the target's shares towards "
        f"the source's",
        "choose a source that is more alike, or lower method.adversarial and compare with "
        "--set 'method={name: source_only}'"
        if facts.choices.adapts
        else "choose a source that is more alike",
    )


def _labelled_shares(region: RegionFacts) -> dict[str, float] | None:
    """Of the training part, else of the validation part; None where neither has labels."""
    for part in (region.training, region.validation):
        if part is not None and part.classes is not None and any(part.classes.values()):
            return part.classes
    return None


def _unlabelled(facts: Facts) -> Iterator[Finding]:
    share = facts.source.training.unlabelled
    if share is not None and MUCH_UNLABELLED <= share < 1:
        yield Finding(
            "note",
            "unlabelled",
            f"source: {share:.0%} of the valid training pixels have no class; losses leave "
            f"them out",
            "if an id of 'ignored_ids' is a class, such as background, move it to 'classes'",
        )


RULES: tuple[Callable[[Facts], Iterable[Finding]], ...] = (
    _classes,
    _windows,
    _left_out,
    _ground_sizes,
    _band_order,
    _constant_bands,
    _borders,
    _nodata,
    _types,
    _shifts,
    _class_shares,
    _unlabelled,
    _overlaps,
    _unplaced,
)
"""In the order in which findings of one gravity stand."""


# Words


def _called(band: BandFacts) -> str:
    if band.name == f"band {band.number}":
        return band.name
    return f"band {band.number} ({band.name})"


def _range(region: RegionFacts) -> str:
    low, high = min(b.minimum for b in region.bands), max(b.maximum for b in region.bands)
    return f"{low:.4g} to {high:.4g}"


def _listed(words: Iterable[str]) -> str:
    return " and ".join(sorted(set(words)))


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
