"""MoCo v2: a view finds the other view of its image among thousands of earlier images.

He et al., "Momentum Contrast for Unsupervised Visual Representation Learning", CVPR 2020,
arXiv:1911.05722, and Chen et al., "Improved Baselines with Momentum Contrastive Learning",
arXiv:2003.04297; constants as in the encoders of SSL-Backdoor (Saha et al., CVPR 2022).
"""

from dataclasses import dataclass
from typing import ClassVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mimic.encoders.encoder import Encoder
from mimic.errors import InputError
from mimic.images.imageset import ImageSet
from mimic.pretraining.base import Pretraining, TwoViews
from mimic.pretraining.heads import plain_head
from mimic.pretraining.momentum import MomentumCopy, check_momentum
from mimic.training import Objective, Plan, joint

_DIMENSION = 128


class KeyQueue(nn.Module):
    """The most recent keys; new ones take the place of the oldest.

    Args:
        length: number of keys.
        dimension: of a key.
    """

    keys: Tensor
    pointer: Tensor

    def __init__(self, length: int, dimension: int) -> None:
        super().__init__()
        # Random directions until the first batches have come in.
        self.register_buffer("keys", F.normalize(torch.randn(length, dimension), dim=1))
        self.register_buffer("pointer", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def put(self, keys: Tensor) -> None:
        """Take in `keys`, shape (n, dimension) with n at most the length."""
        places = torch.arange(len(keys), device=keys.device) + self.pointer
        self.keys[places % len(self.keys)] = keys.to(self.keys.dtype)
        self.pointer += len(keys)
        self.pointer %= len(self.keys)


def info_nce(queries: Tensor, keys: Tensor, queue: Tensor, temperature: float) -> Tensor:
    """Cross-entropy of finding each query's own key among all keys of the batch and the queue.

    The published loss has no other keys of the batch. With batch normalisation over the whole batch
    they are needed: all keys of a batch share its statistics and those of the queue do not, so that
    "is of this batch" would be enough to tell the right key (see docs/pretraining.md).

    Args:
        queries: shape (batch, dimension); normalised here.
        keys: of unit length, shape (batch, dimension), in the order of the queries.
        queue: earlier keys of unit length, shape (length, dimension).
        temperature: divisor of the cosine similarities, above 0.

    Returns:
        A scalar; log(batch + length) where all similarities are equal.
    """
    queries = F.normalize(queries.float(), dim=1)
    # autocast would round the similarities to bfloat16
    with torch.autocast(queries.device.type, enabled=False):
        logits = queries @ torch.cat([keys, queue]).T / temperature
    return F.cross_entropy(logits, torch.arange(len(queries), device=queries.device))


class MocoObjective(TwoViews, divisible=True, blockwise=True):
    """InfoNCE between first views and a slower network's keys of second views.

    Args:
        encoder: what is trained.
        size: height and width of the images, in pixels.
        queue: number of earlier keys, at least the number of images of a batch.
        momentum: of the network that makes the keys.
        temperature: of InfoNCE.
        min_scale: smallest share of an image that a view shows.
    """

    def __init__(
        self,
        encoder: Encoder,
        size: tuple[int, int],
        *,
        queue: int,
        momentum: float = 0.999,
        temperature: float = 0.2,
        min_scale: float = 0.2,
    ) -> None:
        head = plain_head(encoder.feature_dimension(size), outputs=_DIMENSION)
        parts = {
            "encoder": encoder,
            "head": head,
            "key_network": MomentumCopy(encoder, head),
            "queue": KeyQueue(queue, _DIMENSION),
        }
        super().__init__(parts, size, min_scale=min_scale)
        self.momentum, self.temperature = momentum, temperature
        self._new_keys: list[Tensor] = []

    @property
    def key_network(self) -> MomentumCopy:
        """The network that makes the keys."""
        return cast(MomentumCopy, self.learner["key_network"])

    @property
    def queue(self) -> KeyQueue:
        """The earlier keys."""
        return cast(KeyQueue, self.learner["queue"])

    def prepare(self) -> None:
        """A step that is repeated leaves no keys behind."""
        super().prepare()
        self._new_keys.clear()

    def forward(self, batch: Tensor) -> dict[str, Tensor]:
        """The encoder sees the first views, the slower network the second ones.

        Keys are those of all processes, so that all hold the same queue.
        """
        first, second = self.views(batch).chunk(2)
        queries = joint(self.learner["head"](self.encoder(first)))
        keys = joint(F.normalize(self.key_network(second).float(), dim=1))
        self._new_keys.append(keys)
        return {"contrastive": info_nce(queries, keys, self.queue.keys, self.temperature)}

    def after_step(self) -> None:
        """Let the key network follow, and the queue take in the keys of all parts of this step."""
        self.key_network.follow(self.encoder, self.learner["head"], momentum=self.momentum)
        for keys in self._new_keys:
            self.queue.put(keys)
        self._new_keys.clear()


@dataclass(frozen=True, kw_only=True)
class MoCo(Pretraining):
    """MoCo v2 pre-training from random weights, by SGD with a cosine schedule.

    Attributes:
        queue: number of earlier keys, at least `batch_size`; lowered to the number of images where
            there are fewer, since a longer one would hold each image more than once.
        momentum: of the network that makes the keys.
        temperature: of the contrastive loss.
    """

    name: ClassVar[str] = "moco"
    summary: ClassVar[str] = "MoCo v2: two views attract, a queue of earlier images repels"

    learning_rate: float = 0.06
    weight_decay: float = 1e-4
    min_scale: float = 0.2
    queue: int = 4096
    momentum: float = 0.999
    temperature: float = 0.2

    def __post_init__(self) -> None:
        check_momentum(self.momentum)
        if self.queue < self.batch_size:
            raise InputError(
                f"the queue must hold at least one batch, {self.batch_size} keys, not "
                f"{self.queue}; lower the batch size or lengthen the queue"
            )
        if not self.temperature > 0:
            raise InputError(f"the temperature must be above 0, not {self.temperature}")

    def objective(self, encoder: Encoder, images: ImageSet) -> Objective:
        """A fresh projection head, a key network that starts as a copy, and a random queue."""
        return MocoObjective(
            encoder,
            images.size,
            queue=min(self.queue, len(images)),
            momentum=self.momentum,
            temperature=self.temperature,
            min_scale=self.min_scale,
        )

    def plan(self) -> Plan:
        """SGD."""
        return Plan(
            epochs=self.epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            optimizer="sgd",
            weight_decay=self.weight_decay,
            seed=self.seed,
        )
