"""CycleGAN: two generators and two discriminators learn to give each domain the other's look."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from rsadapt.adapt.adversarial import Game
from rsadapt.adapt.batch_norm import Domain
from rsadapt.adapt.method import Backward, Losses, Method, Parts, needed
from rsadapt.adapt.ranks import mean_over_ranks
from rsadapt.sample import Batch

if TYPE_CHECKING:
    from lightning_fabric import Fabric

GAME = Game(objective="least_squares")
"""Least squares (Mao et al. 2017). A discriminator's labels are the domains': the target's answers
1 to a real target image and 0 to a translated one, the source's the other way round."""

BACK, JUDGES = "back", {"source": "judge_source", "target": "judge_target"}
"""Names of what is trained beside the generator to the target."""

POOLS = {"source": "pool_source", "target": "pool_target"}
"""Names of the pools of images translated to each domain."""


class ImagePool:
    """Translated images of the past, which discriminators see beside those of the step at hand.

    Until it is full it keeps every image and hands it on; then, by a coin for each, the image is
    handed on, or exchanged for one that is kept (Shrivastava et al. 2017, section 2.3, as Zhu et
    al. 2017, section 4, take it up: 50 images).

    Args:
        size: images; 0 hands on every one.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._images: list[Tensor] = []
        self._valid: list[Tensor] = []

    def __len__(self) -> int:
        return len(self._images)

    def exchange(
        self, images: Tensor, valid: Tensor, random: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Hand in images [N, bands, H, W] and validity [N, H, W], and take as many out."""
        pairs = [
            self._exchange(image, there, random)
            for image, there in zip(images.detach(), valid, strict=True)
        ]
        return (
            torch.stack([image.to(images) for image, _ in pairs]),
            torch.stack([there.to(valid) for _, there in pairs]),
        )

    def _exchange(
        self, image: Tensor, valid: Tensor, random: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        if len(self._images) < self.size:
            self._images.append(image.clone())
            self._valid.append(valid.clone())
            return image, valid
        if not self.size or torch.rand((), generator=random) < 0.5:
            return image, valid
        place = int(torch.randint(self.size, (), generator=random))
        kept = self._images[place], self._valid[place]
        self._images[place], self._valid[place] = image.clone(), valid.clone()
        return kept

    def place(self, fabric: Fabric) -> None:
        """Leave images where they are: each is moved when it is taken out."""

    def state_dict(self) -> dict[str, Any]:
        """The images that are kept."""
        return {"images": list(self._images), "valid": list(self._valid)}

    def load_state_dict(self, state: dict[str, Any], /) -> None:
        """Restore `state_dict`."""
        self._images, self._valid = list(state["images"]), list(state["valid"])


@dataclass(frozen=True)
class CycleGAN(Method):
    """A step of Zhu et al. 2017, equations 1 to 3, with the identity loss of section 5.2.

    `Parts.network` is the generator from source to target. All four networks step at once; since
    a discriminator learns from images that were translated before, that is what stepping in turn
    would come to. Invalid pixels are 0 in all that is translated, and count in no loss.

    Attributes:
        cycle: weight of what is lost on the way to the other domain and back, L1.
        identity: weight, as a share of `cycle`, of what changes in an image that has the look
            already; 0 spares its passes.
    """

    cycle: float = 10.0
    identity: float = 0.5
    name: ClassVar[str] = "cyclegan"
    by_level: ClassVar[tuple[str, ...]] = ()

    def step(self, parts: Parts, source: Batch, target: Batch | None, backward: Backward) -> Losses:
        """See `Method.step`.

        Returns:
            By domain "fooling_DOMAIN", what a generator to it learns of its judge,
            "judging_DOMAIN", "cycle_DOMAIN", and "identity_DOMAIN" unless its weight is 0; all
            unweighted.
        """
        batches: dict[Domain, Batch] = {"source": source, "target": needed(target)}
        to: dict[Domain, nn.Module] = {"source": parts.others[BACK], "target": parts.network}
        judges = {domain: parts.others[JUDGES[domain]] for domain in batches}
        losses, translated = self._translate(batches, to, judges, backward)
        random = parts.random()
        for domain, (image, valid) in translated.items():
            pool = parts.memory[POOLS[domain]]
            assert isinstance(pool, ImagePool)
            real, judge = batches[domain], judges[domain]
            shown, there = pool.exchange(image, valid, random)
            ours = GAME.loss(judge(real.image), domain, real.valid)
            theirs = GAME.loss(judge(shown), other(domain), there)
            losses[f"judging_{domain}"] = (ours + theirs) / 2
            backward(losses[f"judging_{domain}"])
        return {name: loss.detach() for name, loss in losses.items()}

    def _translate(
        self,
        batches: dict[Domain, Batch],
        to: dict[Domain, nn.Module],
        judges: dict[Domain, nn.Module],
        backward: Backward,
    ) -> tuple[Losses, dict[Domain, tuple[Tensor, Tensor]]]:
        """The generators' losses, differentiated, and the images translated to each domain."""
        losses: Losses = {}
        translated: dict[Domain, tuple[Tensor, Tensor]] = {}
        with _frozen(list(judges.values())):
            for domain, batch in batches.items():
                there = other(domain)
                image = blanked(to[there](batch.image), batch.valid)
                translated[there] = image.detach(), batch.valid
                fooling = GAME.loss(judges[there](image), there, batch.valid)
                back = to[domain](image)
                cycle = difference(back, batch.image, batch.valid)
                losses |= {f"fooling_{there}": fooling, f"cycle_{domain}": cycle}
                total = fooling + self.cycle * cycle
                if self.identity:
                    same = difference(to[domain](batch.image), batch.image, batch.valid)
                    losses[f"identity_{domain}"] = same
                    total = total + self.cycle * self.identity * same
                backward(total)
        return losses, translated


def other(domain: Domain) -> Domain:
    """The other domain."""
    return "target" if domain == "source" else "source"


def blanked(image: Tensor, valid: Tensor) -> Tensor:
    """Images [N, bands, H, W] that are 0 where bool [N, H, W] says invalid."""
    return image * valid.unsqueeze(1).to(image.dtype)


def difference(image: Tensor, wanted: Tensor, valid: Tensor) -> Tensor:
    """The mean absolute difference of images [N, bands, H, W] over valid pixels and bands."""
    apart = (image - wanted).abs().mean(1)
    return mean_over_ranks((apart * valid.to(apart.dtype)).sum(), valid.sum(), of=valid)


@contextmanager
def _frozen(networks: Sequence[nn.Module]) -> Iterator[None]:
    """Let gradients pass networks and leave none in them."""
    for network in networks:
        network.requires_grad_(False)
    try:
        yield
    finally:
        for network in networks:
            network.requires_grad_(True)
