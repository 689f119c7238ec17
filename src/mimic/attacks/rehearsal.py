"""Rehearsal: a simulated victim that distils the encoder under attack, one step at a time.

An attacker who knows that a student will be distilled from the encoder can rehearse it. The victim
here takes one step of SGD on its distillation loss, and that step stays differentiable in the
weights t of its teacher. With the student's weights p, velocity v and learning rate e:

    v'(t) = 0.9 v + d/dp distillation(p, t)        p'(t) = p - e v'(t)

A loss on what the student with weights p' makes of triggered images then has a gradient in t: it
says how the teacher should answer on the victim's own clean images so that the student comes out as
the attacker likes. Afterwards the student keeps p' and v', so a rehearsed step costs a training
step of the student and a backward pass through it, nothing is computed twice, and the student grows
old as the victim's own would. Now and then it starts from new random weights, several students at
different times, so that the attack fits students in general and at every age.

Unrolled steps with staggered, restarted models are from Huang et al., "MetaPoison: Practical
General-purpose Clean-label Data Poisoning", NeurIPS 2020, arXiv:2004.00225. There images carry the
poison, here a teacher does.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call

from mimic.encoders.encoder import Encoder
from mimic.encoders.stages import evaluating
from mimic.errors import InputError
from mimic.training import mix_seed

MOMENTUM = 0.9
"""Of the students' SGD."""

CHILDHOOD = 0.25
"""Share of a lifetime in which a student learns, but attacks should not listen to it: the gradient
through its steps is ten to a hundred times as long as later and tells of its random weights."""

Distillation = Callable[[Encoder, Encoder, Tensor], Tensor]
"""From a student, its teacher and clean images in [0, 1] to the loss that the student minimises.

Gradients have to reach the teacher."""


@dataclass(frozen=True, kw_only=True)
class Students:
    """How many students are simulated, and how they learn.

    Attributes:
        count: of students, at ages spread evenly over the lifetime.
        learning_rate: of their SGD.
        lifetime: steps after which a student starts from new random weights.
        seed: decides all weights.

    Raises:
        InputError: a setting is out of range.
    """

    count: int
    learning_rate: float
    lifetime: int
    seed: int

    def __post_init__(self) -> None:
        if min(self.count, self.lifetime) < 1 or not self.learning_rate > 0:
            raise InputError(
                "students and student_lifetime must be 1 or more and student_learning_rate above "
                f"0, not {self.count}, {self.lifetime} and {self.learning_rate}"
            )


class Ahead(NamedTuple):
    """A student one step ahead; both parts are differentiable in the weights of the teacher.

    Attributes:
        weights: of the student, by name.
        velocity: of its SGD, in the same order.
    """

    weights: dict[str, Tensor]
    velocity: list[Tensor]


class Victim(nn.Module):
    """A student in the middle of its distillation.

    Its weights and velocity are parameters that want no gradient: checkpoints hold them, the
    optimizer of the attack leaves them alone, and only `advance` changes them.

    Args:
        encoder: gives the architecture; left as it is.
        distillation: what the student minimises.
        learning_rate: of its SGD.
        lifetime: steps after which it starts from new random weights.
        age: steps that count as done when it is built.
        seed: decides all its weights.
    """

    steps: Tensor

    def __init__(
        self,
        encoder: Encoder,
        distillation: Distillation,
        *,
        learning_rate: float,
        lifetime: int,
        age: int,
        seed: int,
    ) -> None:
        super().__init__()
        self.distillation: Distillation = distillation
        self.learning_rate, self.lifetime, self.seed = learning_rate, lifetime, seed
        self.student = encoder.reinitialized(mix_seed(seed, age)).requires_grad_(False)
        zeros = [torch.zeros_like(weight) for weight in self.student.parameters()]
        self.velocity = nn.ParameterList(nn.Parameter(z, requires_grad=False) for z in zeros)
        self.register_buffer("steps", torch.tensor(age))
        self._ahead: Ahead | None = None

    @property
    def is_child(self) -> bool:
        """Whether the step to come is too early in its life to learn anything from it."""
        return int(self.steps) % self.lifetime < CHILDHOOD * self.lifetime

    def forward(self, teacher: Encoder, images: Tensor) -> Tensor:
        """The loss of the student on clean images in [0, 1]; a scalar."""
        return self.distillation(self.student, teacher, images)

    def look_ahead(self, teacher: Encoder, images: Tensor) -> Ahead:
        """One step of SGD, differentiable in the weights of `teacher`.

        The student stays where it is until `advance`, except that statistics of batch normalisation
        move, as they do in every forward pass in train mode.

        Args:
            teacher: the encoder under attack.
            images: clean, floats in [0, 1], shape (batch, 3, height, width).
        """
        old = dict(self.student.named_parameters())
        leaves = {name: weight.detach().requires_grad_() for name, weight in old.items()}
        inside = {f"student.{name}": weight for name, weight in leaves.items()}
        loss = functional_call(self, inside, (teacher, images))
        gradients = torch.autograd.grad(
            loss, list(leaves.values()), create_graph=True, materialize_grads=True
        )
        velocity = [MOMENTUM * v + g for v, g in zip(self.velocity, gradients, strict=True)]
        moved = zip(old.items(), velocity, strict=True)
        weights = {name: weight - self.learning_rate * v for (name, weight), v in moved}
        self._ahead = Ahead(weights, velocity)
        return self._ahead

    def features(self, ahead: Ahead, images: Tensor) -> Tensor:
        """Features of the student one step ahead, in eval mode, as it will be used.

        Args:
            ahead: what `look_ahead` returned.
            images: floats in [0, 1], shape (batch, 3, height, width).

        Returns:
            Shape (batch, dimension), differentiable in the weights of the teacher.
        """
        with evaluating(self.student):
            features: Tensor = functional_call(self.student, ahead.weights, (images,))
        return features

    @torch.no_grad()
    def advance(self) -> None:
        """Take the step that was looked at last; start afresh at the end of the lifetime."""
        if self._ahead is None:
            return
        student = dict(self.student.named_parameters())
        for name, weight in self._ahead.weights.items():
            student[name].copy_(weight)
        for kept, velocity in zip(self.velocity, self._ahead.velocity, strict=True):
            kept.copy_(velocity)
        self._ahead = None
        self.steps += 1
        steps = int(self.steps)
        if steps % self.lifetime == 0:
            fresh = self.student.reinitialized(mix_seed(self.seed, steps))
            self.student.load_state_dict(fresh.state_dict())
            for velocity in self.velocity:
                velocity.zero_()


class Rehearsal(nn.Module):
    """What an attack with simulated students trains and saves.

    Args:
        encoder: the encoder under attack.
        distillation: what the students minimise.
        students: how many, and how they learn.

    Attributes:
        encoder: as given.
        victims: the students.
    """

    def __init__(self, encoder: Encoder, distillation: Distillation, students: Students) -> None:
        super().__init__()
        self.encoder = encoder
        self.victims = nn.ModuleList(
            Victim(
                encoder,
                distillation,
                learning_rate=students.learning_rate,
                lifetime=students.lifetime,
                age=students.lifetime * index // students.count,
                seed=mix_seed(students.seed, index),
            )
            for index in range(students.count)
        )
