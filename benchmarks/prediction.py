"""What a map costs: memory at any size, time beside the bare network and torchgeo, seams.

    python benchmarks/prediction.py                      # all of it
    python benchmarks/prediction.py memory speed         # parts of it
    python benchmarks/prediction.py torchgeo             # where torchgeo is installed, too

memory: the peak resident size of a prediction above that after loading the network, for taller
and taller scenes and a wide one, every tile predicted by a tiny network. speed: `rsadapt predict`
with a DeepLab on ResNet-18 beside nothing but the forward passes of the same tiles, by turns.
torchgeo: the same network driven through torchgeo's GridGeoSampler and a DataLoader into an array
of the scene's size, as its users do; and its memory. seams: a trained network's class pixels that
differ between tile sizes, along the borders of tiles and elsewhere.

Every figure of memory is taken in a process of its own. Results: results/prediction.json, part by
part; a part that is measured again replaces its older figures.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import rasterio
import torch
from affine import Affine
from numpy.typing import NDArray
from timing import machine
from torch import Tensor, nn

from rsadapt import build, config
from rsadapt.classes import ClassScheme
from rsadapt.config import PredictionSettings
from rsadapt.data.procedural.world import write_world
from rsadapt.geo.grid import Grid, Window
from rsadapt.geo.maps import Bands, PartWriter
from rsadapt.geo.normalise import Normaliser
from rsadapt.geo.raster import Raster
from rsadapt.infer.layers import layers
from rsadapt.infer.pipeline import Network
from rsadapt.infer.predict import Tiling, predict_scene
from rsadapt.infer.tiling import Blending, Span, spans
from rsadapt.model import load, network_of, open_model, probabilities
from rsadapt.training import train_run
from rsadapt.verbs.predict import predict

RESULTS = Path(__file__).parent / "results" / "prediction.json"

Values = dict[str, Any]

BANDS, CLASSES = 4, 6
BATCH = PredictionSettings().batch_on("cpu")
TILE, OVERLAP = 512, 128
NORMALISE = Normaliser((100.0,) * BANDS, (50.0,) * BANDS)
SCHEME = ClassScheme(
    names=("water", "forest", "field", "grass", "bare", "building"),
    ids=tuple((code,) for code in range(1, CLASSES + 1)),
    colours=tuple((40 * code, 90, 255 - 40 * code) for code in range(1, CLASSES + 1)),
)


def main() -> None:
    """Measure the parts asked for, print them and write them down."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--scratch", type=Path, help="a folder for 3 GB, the system's unless given")
    options = parser.parse_args()
    unknown = set(options.parts) - PARTS.keys()
    if unknown:
        parser.error(f"expected parts among {', '.join(PARTS)}, found {', '.join(unknown)}")
    record = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    for name in options.parts or PARTS:
        started = time.perf_counter()
        with TemporaryDirectory(dir=options.scratch) as folder:
            found = PARTS[name](Path(folder))
        found |= {
            "command": f"python benchmarks/prediction.py {name}",
            "minutes": round((time.perf_counter() - started) / 60, 1),
            "machine": machine("rsadapt", "numpy", "rasterio", "torch"),
        }
        print(f"{name}: {json.dumps(found, indent=1)}", flush=True)
        record[name] = found
        RESULTS.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(f"written to {RESULTS}")


# Scenes, and the processes that figures are taken in


def draw(path: Path, height: int, width: int) -> Path:
    """Write a scene of 4 bands, uint8, in blocks of 512, without a pixel of nodata."""
    random = np.random.default_rng(0)
    pool = (random.integers(0, 32, (16, BANDS, 512, 512)) * 8 + 1).astype(np.uint8)
    columns = -(-width // 512)
    grid = Grid(height, width, Affine(0.5, 0, 4e5, 0, -0.5, 5.6e6), rasterio.CRS.from_epsg(32632))
    bands = Bands(tuple(f"band {number}" for number in range(1, BANDS + 1)), "uint8", 0)
    with PartWriter(path, grid, bands) as writer:
        for row in range(0, height, 512):
            blocks = pool[random.integers(len(pool), size=columns)]
            rows = np.concatenate(list(blocks), axis=2)[:, : min(512, height - row), :width]
            writer.write_rows(rows)
    return path


def alone(function: Callable[..., Any], *arguments: Any) -> Any:
    """What a function returns in a new process of its own."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=context) as pool:
        return pool.submit(function, *arguments).result()


def resident(field: str) -> int:
    """Bytes of this process: "VmRSS" now, "VmHWM" at most since `forget_peak`."""
    status = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    (line,) = [line for line in status if line.startswith(f"{field}:")]
    return 1024 * int(line.split()[1])


def forget_peak() -> None:
    """Let the peak resident size begin anew with what is resident now."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


# Memory


class Tiny(nn.Module):
    """A network of one layer that sees single pixels: nothing but the pipeline takes memory."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Conv2d(BANDS, CLASSES, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Images [N, bands, H, W] to probabilities [N, classes, H, W]."""
        return self.layer(images).softmax(1)


def memory(folder: Path) -> Values:
    """Peaks of scenes of several heights, and of a wide one, with the tiles that users get."""
    usual = PredictionSettings()
    tiling = Tiling(usual.tile, usual.overlap, usual.blending)
    rows = {}
    for height, width in ((4096, 12000), (16384, 12000), (40000, 12000), (4096, 40000)):
        scene = draw(folder / "scene.tif", height, width)
        rows[f"{height} x {width}"] = found = alone(
            predicted_memory, scene, folder / "maps", tiling
        )
        print(f"{height} x {width}: {found}", flush=True)
    first, *_, tallest, _ = (row["peak_mb"] for row in rows.values())
    return {
        "what": "peak resident size above that after loading the network, MB of 10^6 bytes; "
        f"classes and confidence of {BANDS} bands uint8, {CLASSES} classes, tiles of {usual.tile}, "
        f"overlap {usual.overlap}, {usual.blending}, {BATCH} at once",
        "rasters": rows,
        "growth from the first to the tallest": round(tallest / first - 1, 3),
    }


def predicted_memory(scene: Path, out: Path, tiling: Tiling) -> Values:
    """Peak of predicting a scene, with what it took in time."""
    torch.set_num_threads(1)
    network = Network(
        Tiny().eval(), NORMALISE, tuple(range(1, BANDS + 1)), CLASSES, batch_size=BATCH
    )
    loaded = resident("VmRSS")
    forget_peak()
    started = time.perf_counter()
    with TemporaryDirectory(dir=scene.parent) as folder:
        written = predict_scene(
            Raster(scene),
            Path(folder) / out.name,
            network=network,
            layers=layers(["classes", "confidence"], SCHEME),
            tiling=tiling,
            facts={},
        )
    passed = time.perf_counter() - started
    return {
        "after_loading_mb": round(loaded / 1e6),
        "peak_mb": round((resident("VmHWM") - loaded) / 1e6),
        "seconds": {
            "to the last row": round(written.seconds, 1),
            "joining to COG": round(passed - written.seconds, 1),
        },
        "megapixels_a_second": round(written.pixels / written.seconds / 1e6, 1),
    }


# Speed

SPEED_SHAPE = (1280, 2048)
TURNS = 3


def speed(folder: Path) -> Values:
    """The command beside the bare forward passes, by turns, with one thread and with two."""
    scene, weights, recipe = prepared(folder)
    found: Values = {
        "what": "seconds; DeepLab on ResNet-18 as `build` makes it, float32 on the CPU, "
        f"{SPEED_SHAPE[0]} x {SPEED_SHAPE[1]} pixels of {BANDS} bands, {CLASSES} classes, tiles of "
        f"{TILE}, overlap {OVERLAP}, {BATCH} at once; {TURNS} turns; rows: until the last row "
        "is written; bare: forward passes of the same batches, to logits before they are brought "
        "to the image's size",
    }
    for threads in (1, 2):
        turns = alone(take_turns, ("command", "bare"), scene, weights, recipe, threads)
        rows, bare = (turns[kind]["rows"] for kind in ("command", "bare"))
        found[f"{threads} threads"] = turns | ratio_of(rows, bare)
        print(f"{threads} threads: {found[f'{threads} threads']}", flush=True)
    whole = run_command(scene, weights, recipe, folder / "whole")
    rest = found["1 threads"]["command"]
    took = statistics.median(rest["rows"]) + statistics.median(rest["joined"])
    found["whole command, 1 thread"] = {"all": round(whole, 1), "start-up": round(whole - took, 1)}
    return found


def ratio_of(ones: Sequence[float], others: Sequence[float]) -> Values:
    """How long some took beside others that were measured by turns with them."""
    ratios = [one / other for one, other in zip(ones, others, strict=True)]
    return {
        "ratio": round(statistics.median(ratios), 3),
        "of each turn": [round(ratio, 3) for ratio in ratios],
    }


def prepared(folder: Path) -> tuple[Path, Path, Path]:
    """A scene, random weights of the network, and the recipe that they belong to."""
    scene = draw(folder / "scene.tif", *SPEED_SHAPE)
    values = {
        "classes": [
            {"name": name, "id": ids[0], "colour": "#{:02x}{:02x}{:02x}".format(*colour)}
            for name, ids, colour in zip(SCHEME.names, SCHEME.ids, SCHEME.colours, strict=True)
        ],
        "bands": list(range(1, BANDS + 1)),
        "normalise_by": "given",
        "normalisation": {"mean": list(NORMALISE.mean), "std": list(NORMALISE.std)},
        "source": {"scenes": ["scene.tif"], "labels": ["scene.tif"]},
        "target": {"scenes": ["scene.tif"]},
        "network": {"encoder": "resnet18"},
        "method": {"name": "source_only"},
        "prediction": {"tile": TILE, "overlap": OVERLAP},
        "device": {"accelerator": "cpu"},
    }
    recipe, weights = folder / "recipe.yaml", folder / "weights.pt"
    recipe.write_text(json.dumps(values), encoding="utf-8")  # JSON is YAML
    torch.manual_seed(0)
    torch.save(build.network(config.parse(values, where=recipe), BANDS).state_dict(), weights)
    return scene, weights, recipe


def take_turns(
    kinds: Sequence[str], scene: Path, weights: Path, recipe: Path, threads: int
) -> dict[str, dict[str, list[float]]]:
    """Seconds of each kind of prediction, turn by turn after one to warm up."""
    times: dict[str, dict[str, list[float]]] = {kind: {} for kind in kinds}
    threaded = [f"device.threads={threads}"]
    model = open_model(weights, recipe=recipe, assignments=threaded)
    batches = list(tiles(scene))
    for turn in range(TURNS + 1):
        for kind in kinds:
            with TemporaryDirectory(dir=scene.parent) as folder:
                if kind == "command":
                    took = timed_command(scene, weights, recipe, Path(folder), threaded)
                elif kind == "bare":
                    took = {"rows": bare(network_of(model.parts), batches)}
                else:
                    driven = probabilities(model.parts, "target")
                    took = {"rows": with_torchgeo(scene, driven, Path(folder) / "map.tif")}
            if turn:
                for part, seconds in took.items():
                    times[kind].setdefault(part, []).append(round(seconds, 2))
    return times


def timed_command(
    scene: Path, weights: Path, recipe: Path, out: Path, assignments: Sequence[str]
) -> dict[str, float]:
    """Seconds of the command until its last row was written, and from there on."""
    last = 0.0

    def told(_: str, done: int, total: int) -> None:
        nonlocal last
        if done == total:
            last = time.perf_counter()

    (written,) = predict(
        weights, [scene], out, recipe=recipe, assignments=assignments, progress=told
    )
    return {"rows": written.seconds, "joined": time.perf_counter() - last}


def tiles(scene: Path) -> Iterator[Tensor]:
    """The batches of images that a prediction shows to its network."""
    raster = Raster(scene)
    height, width = raster.grid.shape
    for row in spans(height, TILE, OVERLAP):
        images = []
        for column in spans(width, TILE, OVERLAP):
            values, valid = raster.read(Window(row.tile, column.tile, TILE, TILE))
            images.append(torch.from_numpy(NORMALISE(values, valid)))
        yield from torch.stack(images).split(BATCH)


def bare(network: nn.Module, batches: Sequence[Tensor]) -> float:
    """Seconds of the forward passes alone."""
    network.eval()
    started = time.perf_counter()
    with torch.inference_mode():
        for images in batches:
            network(images)
    return time.perf_counter() - started


def run_command(scene: Path, weights: Path, recipe: Path, out: Path) -> float:
    """Seconds of `rsadapt predict` from its start to its end, with one thread."""
    started = time.perf_counter()
    subprocess.run(
        [
            *(sys.executable, "-c", "from rsadapt.cli import main; main()", "predict"),
            *(str(weights), "--scene", str(scene), "--out", str(out), "--recipe", str(recipe)),
            *("--set", "device.threads=1"),
        ],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return time.perf_counter() - started


# torchgeo

MEMORY_SHAPE = (12000, 12000)


def torchgeo(folder: Path) -> Values:
    """Time and memory beside a prediction as torchgeo's users write it."""
    try:
        import torchgeo as library
    except ImportError:
        raise SystemExit("torchgeo is not installed here; run this part where it is") from None
    scene, weights, recipe = prepared(folder)
    turns = alone(take_turns, ("command", "torchgeo"), scene, weights, recipe, 1)
    command, theirs = turns["command"], turns["torchgeo"]["rows"]
    print(turns, flush=True)
    large = draw(folder / "large.tif", *MEMORY_SHAPE)
    ours_memory = alone(predicted_memory, large, folder / "maps", Tiling(TILE, OVERLAP))
    their_memory = alone(torchgeo_memory, large)
    return {
        "version": library.__version__,
        "what": "GridGeoSampler, a DataLoader with one worker, probabilities added up in an array "
        "float32 [classes, height, width], their number in another, classes and confidence written "
        "as GeoTIFF at the end. Seconds as in speed, one thread; memory as in memory, of the main "
        f"process alone, {MEMORY_SHAPE[0]} x {MEMORY_SHAPE[1]} pixels, tiny network",
        "seconds": turns,
        "time, to the last row": ratio_of(command["rows"], theirs),
        "time, with joining to COG": ratio_of(
            list(map(sum, zip(*command.values(), strict=True))), theirs
        ),
        "memory_mb": {"rsadapt": ours_memory, "torchgeo": their_memory},
        "memory": round(ours_memory["peak_mb"] / their_memory["peak_mb"], 3),
    }


def torchgeo_memory(scene: Path) -> Values:
    """Peak of the main process with torchgeo, with what it took in time."""
    torch.set_num_threads(1)
    network = Tiny().eval()
    loaded = resident("VmRSS")
    forget_peak()
    with TemporaryDirectory(dir=scene.parent) as folder:
        seconds = with_torchgeo(scene, network, Path(folder) / "map.tif")
    return {
        "after_loading_mb": round(loaded / 1e6),
        "peak_mb": round((resident("VmHWM") - loaded) / 1e6),
        "seconds": round(seconds, 1),
    }


def with_torchgeo(scene: Path, predict: Callable[[Tensor], Tensor], out: Path) -> float:
    """Seconds of a prediction through torchgeo's sampler, from opening to the written map."""
    from torch.utils.data import DataLoader
    from torchgeo.datasets import RasterDataset, stack_samples
    from torchgeo.samplers import GridGeoSampler

    started = time.perf_counter()
    dataset = RasterDataset(paths=str(scene))
    sampler = GridGeoSampler(dataset, size=TILE, stride=TILE - OVERLAP)
    loader = DataLoader(
        dataset, batch_size=BATCH, sampler=sampler, num_workers=1, collate_fn=stack_samples
    )
    with rasterio.open(scene) as source:
        profile, transform = source.profile, source.transform
        height, width = source.shape
    total = np.zeros((CLASSES, height, width), np.float32)
    number = np.zeros((height, width), np.float32)
    mean = torch.tensor(NORMALISE.mean)[:, None, None]
    std = torch.tensor(NORMALISE.std)[:, None, None]
    for batch in loader:
        with torch.inference_mode():
            answers = predict((batch["image"] - mean) / std).numpy()
        for answer, bounds in zip(answers, batch["bounds"], strict=True):
            left, bottom = ~transform * (float(bounds[0].start), float(bounds[1].start))
            row, col = max(0, round(bottom) - TILE), round(left)
            cut = max(0, TILE - round(bottom))  # where the chip begins above the scene
            rows, cols = slice(row, row + TILE - cut), slice(col, min(col + TILE, width))
            total[:, rows, cols] += answer[:, cut:, : cols.stop - col]
            number[rows, cols] += 1
    total /= number
    profile |= {"count": 2, "dtype": "uint8", "nodata": 255}
    with rasterio.open(out, "w", **profile) as target:
        target.write((total.argmax(axis=0) + 1).astype(np.uint8), 1)
        target.write((total.max(axis=0) * 254).round().astype(np.uint8), 2)
    return time.perf_counter() - started


# Seams

SEAM_SIDE = 1500  # no whole number of cells of 8 pixels less a tile: the last tiles are moved
SEAM_TILES = (256, 512, 1024)
SEAM_OVERLAPS = (128, 192)
SEAM_SEEDS = (200, 201, 202, 203)
"""Of the worlds whose scenes are counted together; the first is trained on."""

NEAR = 8
"""Pixels from a border within which a pixel lies along it."""


SEAM_NETWORKS: dict[str, Values] = {
    "sees as far as it was trained": {"network.rates": [1, 3, 6], "training.tile": 128},
    "the default's rates, which reach farther": {"training.tile": 256},
}


def seams(folder: Path) -> Values:
    """Train networks briefly, and hold their maps from tiles of several sizes together."""
    worlds = [folder / f"world-{seed}" for seed in SEAM_SEEDS]
    for world, seed in zip(worlds, SEAM_SEEDS, strict=True):
        write_world(world, seed=seed, size=SEAM_SIDE)
    return {
        "what": f"class pixels of {len(SEAM_SEEDS)} scenes of {SEAM_SIDE} x {SEAM_SIDE} that "
        "differ, as shares of all; and farther from the scene's own edge than tiles overlap, where "
        f"all maps see the same edge and no border of tiles lies, of those within {NEAR} pixels of "
        "a border of tiles of either map (hann: where a share begins, ends, or passes one half) "
        "and of the others; 'whole' is the scene as one tile; DeepLab on ResNet-18, trained on "
        "windows of the first scene",
        "networks": {
            name: alone(measured_seams, worlds, folder / f"run-{number}", changes)
            for number, (name, changes) in enumerate(SEAM_NETWORKS.items())
        },
    }


def measured_seams(
    worlds: Sequence[Path], run: Path, changes: Values, overlaps: Sequence[int] = SEAM_OVERLAPS
) -> Values:
    """Differing class pixels of scenes along the borders of tiles and elsewhere.

    Args:
        worlds: pairs of regions; of each the source's scene is mapped. The first is trained on.
        run: folder for what is trained.
        changes: of the network and its training.
        overlaps: of tiles, pixels.
    """
    settings = seam_settings(worlds[0], changes)
    train_run(settings, run)
    model = load(run)
    cell = network_of(model.parts).stride
    scenes = [world / "source" / "scene_1.tif" for world in worlds]
    answers = [remembering(probabilities(model.parts, "source")) for _ in scenes]

    def classes(
        number: int, tile: int, overlap: int, blending: Blending = "hann"
    ) -> NDArray[np.uint8]:
        network = Network(
            answers[number],
            model.facts.normalise["source"],
            model.facts.bands,
            len(model.scheme),
            batch_size=1,
        )
        with TemporaryDirectory(dir=run) as out:
            written = predict_scene(
                Raster(scenes[number]),
                Path(out) / "maps",
                network=network,
                layers=layers(["classes"], model.scheme),
                tiling=Tiling(tile, overlap, blending, cell),
                facts={},
            )
            return Raster(written.layers["classes"]).read()[0][0]

    numbers = range(len(scenes))
    whole = [classes(number, SEAM_SIDE, 0) for number in numbers]
    label = Raster(scenes[0].parent / "labels" / scenes[0].name).read()[0][0]
    labelled = np.isin(label, model.scheme.codes)
    found: Values = {
        "rates": list(settings.network.rates),
        "training": {
            "windows": settings.training.tile,
            "steps": settings.training.steps,
            "right pixels of the whole image at once": round(
                float((whole[0] == label)[labelled].mean()), 4
            ),
        },
        "rows": [],
    }
    for overlap in overlaps:
        for blending in ("crop", "hann"):
            maps = {
                tile: [classes(number, tile, overlap, blending) for number in numbers]
                for tile in SEAM_TILES
            } | {"whole": whole}
            borders = {tile: along_borders(tile, overlap, blending, cell) for tile in SEAM_TILES}
            for one, other in (*((tile, "whole") for tile in SEAM_TILES), *pairwise(SEAM_TILES)):
                near = borders[one] | borders.get(other, False)
                differing = np.stack([a != b for a, b in zip(maps[one], maps[other], strict=True)])
                row = {"overlap": overlap, "blending": blending, "tiles": [one, other]}
                found["rows"].append(row | shares(differing, near, edge=overlap))
                print(found["rows"][-1], flush=True)
    return found


def seam_settings(world: Path, changes: Values) -> config.Configuration:
    """The demo's recipe with a ResNet-18 of one level, trained without adaptation."""
    recipe = config.load_yaml(config.recipe("demo"))
    common: Values = {
        "root": str(world),
        "network": {"encoder": "resnet18", "levels": 1},
        "method": {"name": "source_only", "segmentation": [1.0]},
        "training.steps": 150,
        "training.workers": 0,
        "device": {"accelerator": "cpu", "threads": 2},
    }
    return config.parse(config.change(recipe, common | changes), where="demo")


def remembering(answer: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """A function that answers an image it has seen from memory: "crop" and "hann" ask the same."""
    known: dict[bytes, Tensor] = {}

    def predict(images: Tensor) -> Tensor:
        key = hashlib.sha256(images.numpy().tobytes()).digest()
        if key not in known:
            known[key] = answer(images)
        return known[key]

    return predict


def along_borders(tile: int, overlap: int, blending: Blending, cell: int) -> NDArray[np.bool_]:
    """Which pixels lie near a border of tiles."""
    near = np.zeros(SEAM_SIDE, bool)
    for before, after in pairwise(spans(SEAM_SIDE, tile, overlap, blending, cell=cell)):
        for edge in borders_between(before, after):
            near[max(0, edge - NEAR) : edge + NEAR] = True
    return near[:, None] | near


def borders_between(before: Span, after: Span) -> set[int]:
    """Where the share of the second begins, where that of the first ends, and the middle."""
    return {after.start, before.stop, (after.start + before.stop) // 2}


def shares(differing: NDArray[np.bool_], near: NDArray[np.bool_], *, edge: int) -> Values:
    """Shares of differing pixels [scenes, rows, cols], of all and of those away from the edge."""
    inner = slice(edge, -edge)
    inside, near = differing[:, inner, inner], near[inner, inner]
    along, elsewhere = inside[:, near].mean(), inside[:, ~near].mean()
    return {
        "pixels": int(differing.sum()),
        "share": round(float(differing.mean()), 5),
        "along borders": round(float(along), 5),
        "elsewhere": round(float(elsewhere), 5),
        "ratio": round(float(along / elsewhere), 2) if elsewhere else None,
    }


PARTS: dict[str, Callable[[Path], Values]] = {
    "memory": memory,
    "speed": speed,
    "torchgeo": torchgeo,
    "seams": seams,
}

if __name__ == "__main__":
    main()
