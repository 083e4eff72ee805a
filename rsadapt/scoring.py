"""A network scored, on labelled imagery and without labels, by all processes together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from rsadapt import build
from rsadapt.adapt import ranks
from rsadapt.adapt.batch_norm import Domain
from rsadapt.adapt.method import Parts
from rsadapt.data.imagery import Imagery, Places
from rsadapt.data.stream import Dealt, in_order
from rsadapt.infer.evaluate import evaluate_samples
from rsadapt.infer.validators import Validators, look
from rsadapt.model import Facts, answers
from rsadapt.progress import Progress, watched
from rsadapt.sample import Batch, collate


def score(
    scored: Mapping[Domain, Imagery],
    parts: Parts,
    facts: Facts,
    *,
    device: torch.device,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Score a network.

    Args:
        scored: what to score on, by domain.
        parts: the network.
        facts: what holds for it.
        device: where it is.
        progress: is told of the samples done.

    Returns:
        By domain, the report of `ConfusionMatrix.to_dict`, with the "initial_weights" that the
        run began with, and what the "statistics" were taken of that images are standardised by,
        where that is known.
    """
    reports: dict[str, Any] = {}
    scheme, precision = build.class_scheme(facts.settings), build.inference(facts.settings)
    for domain, imagery in scored.items():
        samples = build.evaluation_samples(facts.settings, imagery, facts.normalise[domain])
        batch_size = facts.settings.prediction.batch_on(device.type)
        mine = Dealt(samples, batch_size, rank=ranks.rank(), ranks=ranks.count())
        matrix = evaluate_samples(
            in_order(watched(mine, f"score {domain}", progress), batch_size),
            answers(parts, domain, precision),
            num_classes=len(scheme),
            device=device,
        )
        counts = ranks.total(torch.tensor([*matrix.counts.flat, matrix.missed]))
        matrix.counts = counts[:-1].numpy().reshape(matrix.counts.shape)
        matrix.missed = int(counts[-1])
        report = matrix.to_dict(scheme.names)
        weights = facts.record["initial_weights"]
        reports[domain] = report | {"initial_weights": weights, "precision": precision}
        if (basis := facts.basis(domain)) is not None:
            reports[domain]["statistics"] = basis
    return reports


def judge(
    places: Places[Imagery],
    parts: Parts,
    facts: Facts,
    *,
    device: torch.device,
    progress: Progress | None = None,
) -> dict[str, float | None] | None:
    """Judge a network by its answers to the target, without labels.

    Args:
        places: the imagery.
        parts: the network.
        facts: what holds for it.
        device: where it is.
        progress: is told of the batches done.

    Returns:
        See `Validators.figures`; None where the settings ask for none.
    """
    if not facts.settings.training.validators:
        return None
    samples, count = build.target_windows(facts.settings, places, facts.normalise)
    size = facts.settings.prediction.batch_on(device.type)
    groups = [range(first, min(first + size, count)) for first in range(0, count, size)]
    mine = groups[ranks.rank() :: ranks.count()]

    def batches() -> Iterator[tuple[Sequence[int], Batch]]:
        for numbers in watched(mine, "judge target", progress):
            yield numbers, collate([samples[number] for number in numbers])

    validators = Validators(len(build.class_scheme(facts.settings)), count)
    predict = answers(parts, "target", build.inference(facts.settings))
    look(validators, batches(), predict, device=device)
    validators.merge(ranks.total)
    return validators.figures()
