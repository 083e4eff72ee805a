"""A network scored on labelled imagery, by all processes together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from rsadapt import build
from rsadapt.adapt import ranks
from rsadapt.adapt.batch_norm import Domain
from rsadapt.adapt.method import Parts
from rsadapt.data.imagery import Imagery
from rsadapt.data.stream import Dealt, in_order
from rsadapt.infer.evaluate import evaluate_samples
from rsadapt.model import Facts, answers
from rsadapt.progress import Progress, watched


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
