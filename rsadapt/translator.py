"""A translator from the source's look into the target's: trained, gone on with, and opened."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from rsadapt import build, checkpoints, config, model, weights
from rsadapt.adapt import checkpoint, state
from rsadapt.adapt.appearance import mean_gram_matrices
from rsadapt.adapt.batch_norm import Domain
from rsadapt.adapt.figures import Said
from rsadapt.adapt.trainer import Learner, train
from rsadapt.build import translation
from rsadapt.data.imagery import Places
from rsadapt.data.region import Region
from rsadapt.data.stream import in_order
from rsadapt.errors import CheckpointError, ConfigError, NonFiniteError
from rsadapt.geo.normalise import Normaliser
from rsadapt.nets.encoder import Encoder
from rsadapt.processes import started
from rsadapt.progress import Progress, Watch, watched
from rsadapt.run import RunFolder, environment
from rsadapt.watching import Watching
from rsadapt.whole import sync

DOMAINS: tuple[Domain, Domain] = ("source", "target")


@dataclass(frozen=True)
class Translator:
    """What gives images of the source the target's look.

    Attributes:
        translate: standardised images [N, bands, H, W] to standardised ones, on `device`.
        normalise: how each domain's images are standardised.
        settings: the configuration that it was trained with, see `translation_settings`.
        bands: 1-based numbers of the source's bands that it was trained on.
        dtype: of the target's scenes.
        file: the checkpoint that it was read from.
        step: training steps done.
        device: where it computes.
    """

    translate: Callable[[Tensor], Tensor]
    normalise: build.Normalisers
    settings: config.Configuration
    bands: tuple[int, ...]
    dtype: str
    file: Path
    step: int
    device: torch.device


@build.process_kept()
def train_translator(
    settings: config.Configuration,
    out: Path,
    *,
    resume: bool = False,
    progress: Progress | None = None,
    watch: Watch | None = None,
) -> None:
    """Train a translator into a folder, which holds what a run's does.

    All input is read and checked before the folder is made. No label is read.

    Args:
        settings: resolved configuration.
        out: folder of the run, new or empty.
        resume: go on in a folder that already holds the run.
        progress: is told of the steps done.
        watch: is told of every event of the run.

    Raises:
        RsadaptError: for anything wrong with the configuration, the data or the folder.
        InterruptedTrainingError: after Ctrl-C, once the state is saved.
        NonFiniteError: where a loss or a weight became NaN or infinite; nothing of that is saved.
    """
    if started().count > 1:
        raise ConfigError(
            f"a translator is trained by one process, and {started().launcher} started "
            f"{started().count}; start it alone"
        )
    settings = translation.translation_settings(settings)
    config.parse(settings.model_dump(), where="the translator's settings")  # as it is opened by
    run = RunFolder(out)
    resume = resume and not run.unbegun()
    if resume:
        run.check_run(config.dump(settings), renewed=config.renewed)
    else:
        run.check_free()
    found = checkpoints.load(run.path) if resume and checkpoints.candidates(run) else None
    places = build.geotiff_places(settings)
    known = build.read_statistics(run.statistics)
    taken = build.take_statistics(settings, places, known=known, progress=progress)
    normalise = build.normalisers(settings, places, taken)
    for domain in DOMAINS:  # what cannot give a first sample is refused before anything is made
        translation.translation_samples(settings, places, normalise, domain)[0]
    facts = _facts(settings, normalise, places)
    fcan = settings.translation.by == "fcan"
    seeing = _encoder(settings, places.bands) if fcan and found is None else None
    if not resume:
        record = {"translation": settings.translation.by, "seed": settings.seed, **environment()}
        statistics = {str(name): each.to_dict() for name, each in taken.items()}
        run.create(config.dump(settings), record, statistics)
    work = _Work(settings, places, normalise, run, facts, progress)
    if not fcan:
        work.train(found, watch)
    elif seeing is not None:
        work.keep_style(*seeing)


def _facts(
    settings: config.Configuration, normalise: build.Normalisers, places: Places[Region]
) -> str:
    """All that was decided once, as one text, for the checkpoint."""
    kinds = [scene.image.dtype for scene in places.target.training.scenes]
    return json.dumps(
        {
            "settings": settings.model_dump(),
            "normalise": {name: each.to_dict() for name, each in normalise.items()},
            "bands": places.bands,
            "source_bands": list(places.source.training.bands),
            "dtype": np.result_type(*kinds).name,
        }
    )


@dataclass(frozen=True)
class _Work:
    """A training whose folder is made."""

    settings: config.Configuration
    places: Places[Region]
    normalise: build.Normalisers
    run: RunFolder
    facts: str
    progress: Progress | None

    def train(self, found: checkpoints.Found | None, watch: Watch | None) -> None:
        """Take all of CycleGAN's steps that are left, from a checkpoint on where there is one."""
        learner = translation.cyclegan(self.settings, self.places.bands)
        learner.set_up()
        start = 0
        if found is not None:
            checkpoint.require(found.state, {"translator", *state.PARTS}, where=found.file)
            state.restore(learner, found.state)
            start = int(found.state["step"])
        self.run.rewind(start)
        training = self.settings.training
        keeper = checkpoints.Keeper(
            self.run, keep=training.keep, keep_every=training.keep_every, found=found
        )
        watching = Watching(
            self.run,
            [] if watch is None else [watch],
            steps=training.steps,
            images=2 * training.batch_size,
            classes=(),
        )

        def save(done: int) -> None:
            with watching.pause():
                sync(self.run.metrics)  # no step that is saved may be missing in the log
                kept = {"step": done, "translator": self.facts}
                keeper.write(done, kept | state.gather(learner))

        samples = {
            domain: translation.translation_samples(
                self.settings, self.places, self.normalise, domain, scratch=self.run.path
            )
            for domain in DOMAINS
        }

        def chosen(workers: int, reason: str) -> None:
            watching.tell({"step": start, "workers": workers, "reason": reason})

        with closing(build.supply(self.settings, samples, start, learner.fabric, chosen)) as supply:

            def log(done: int, said: Said) -> None:
                watching.log(done, said, _rates(learner), waited=supply.waited)
                if self.progress is not None:
                    self.progress("translate, steps", done, training.steps)

            watching.start(start)
            try:
                train(
                    learner,
                    schedule=translation.translation_schedule(self.settings),
                    start=start,
                    source=supply.batches("source"),
                    target=supply.batches("target"),
                    log=log,
                    validate=lambda done: None,
                    save=save,
                )
            except NonFiniteError as error:
                cure = "; lower translation.rate, and train anew"
                stop = NonFiniteError(error.step, error.what, cure)
                watching.tell({"step": error.step, "stopped": str(stop)})
                raise stop from None

    def keep_style(self, encoder: Encoder, made_by: config.NetworkSettings) -> None:
        """Take the target's style and write it down, with the network that saw it."""
        settings = self.settings
        device = build.device(settings)
        samples = translation.translation_samples(settings, self.places, self.normalise, "target")
        numbers = range(settings.translation.fcan.windows)
        windows = (samples[number] for number in watched(numbers, "read style", self.progress))
        batches = in_order(windows, settings.training.batch_size)
        grams = mean_gram_matrices(
            (batch.image.to(device) for batch in batches),
            translation.encoder_layers(encoder.to(device)),
        )
        kept = {
            "step": 1,
            "translator": self.facts,
            "style": [gram.cpu() for gram in grams],
            "encoder": encoder.state_dict(),
            "made_by": made_by.model_dump_json(),
        }
        checkpoint.save(self.run.checkpoint, kept)


def _rates(learner: Learner) -> dict[str, float]:
    optimisers = learner.optimisers
    return {name: float(each.param_groups[0]["lr"]) for name, each in optimisers.items()}


# Appearance adaptation


def _encoder(settings: config.Configuration, bands: int) -> tuple[Encoder, config.NetworkSettings]:
    """The frozen network that sees content and style, and the settings that it is made by.

    Raises:
        ConfigError: where none is named.
        MissingFileError, CheckpointError: for a file that is not there or does not fit.
    """
    named = settings.translation.fcan.weights
    if named is None:
        raise ConfigError(
            "translation.fcan.weights: fcan needs a frozen network; name a run, or a weight file "
            "of torchvision's for the encoder of 'network' (--set translation.fcan.weights=FILE)"
        )
    path = Path(named)
    if path.is_dir() or "facts" in weights.read(path):
        trained = model.load(path)
        encoder = model.network_of(trained.parts).encoder.to("cpu")
        return translation.frozen(encoder, bands), trained.facts.settings.network
    tensors = weights.read_weights(path)
    bare = settings.network.model_copy(update={"pretrained": False})
    for count in (bands, 3):  # of three bands the first layer is spread over those there are
        network = build.network(settings.model_copy(update={"network": bare}), count)
        try:
            weights.fit(network, tensors, where=path)
        except CheckpointError:
            if count == 3:
                raise
            continue
        break
    return translation.frozen(network.encoder, bands), bare


# Opened


def open_translator(path: Path) -> Translator:
    """A trained translator, from its folder or a checkpoint, on its run's device.

    Raises:
        MissingFileError: where there is none.
        CheckpointError: for a file that is damaged, or no translator's.
    """
    found = checkpoints.load(path)
    if "translator" not in found.state:
        raise CheckpointError(
            f"{found.file}: no translator's checkpoint; name a folder that rsadapt translate wrote"
        )
    facts = json.loads(found.state["translator"])
    settings = config.parse(facts["settings"], where=found.file)
    build.set_process(settings)
    device = build.device(settings)
    of = _seen_by if settings.translation.by == "fcan" else _generated
    return Translator(
        of(settings, facts["bands"], found, device),
        {domain: Normaliser.from_dict(facts["normalise"][domain]) for domain in DOMAINS},
        settings,
        tuple(facts["source_bands"]),
        facts["dtype"],
        found.file,
        found.state["step"],
        device,
    )


def _generated(
    settings: config.Configuration, bands: int, found: checkpoints.Found, device: torch.device
) -> Callable[[Tensor], Tensor]:
    """CycleGAN's generator to the target."""
    checkpoint.require(found.state, {"network"}, where=found.file)
    network = translation.generator(settings, bands)
    weights.load_all(network, found.state["network"], where=found.file)
    network.eval().to(device)

    def translate(images: Tensor) -> Tensor:
        own = next(network.parameters()).dtype
        with build.autocast(build.inference(settings), device):
            out: Tensor = network(images.to(own))
        return out.float()

    return translate


def _seen_by(
    settings: config.Configuration, bands: int, found: checkpoints.Found, device: torch.device
) -> Callable[[Tensor], Tensor]:
    """FCAN's descent to the target's style."""
    checkpoint.require(found.state, {"style", "encoder", "made_by"}, where=found.file)
    made_by = config.NetworkSettings.model_validate_json(found.state["made_by"])
    chosen = made_by.model_copy(update={"pretrained": False})  # the weights stand here
    network = build.network(settings.model_copy(update={"network": chosen}), bands)
    encoder = translation.frozen(network.encoder, bands)
    weights.load_all(encoder, found.state["encoder"], where=found.file)
    layers = translation.encoder_layers(encoder.to(device))
    style = [gram.to(device) for gram in found.state["style"]]
    change = translation.appearance(settings)
    return lambda images: change.repaint(images, layers, style)
