import math

import torch
from torch.distributions import Normal

from mimic.information.critics import ConcatenatedCritic, GaussianCritic, SeparableCritic


def test_a_separable_critic_scores_every_pair():
    critic = SeparableCritic(3, 5)
    assert critic(torch.randn(4, 3), torch.randn(6, 5)).shape == (4, 6)


def test_a_concatenated_critic_scores_partners():
    assert ConcatenatedCritic(3, 5)(torch.randn(4, 3), torch.randn(4, 5)).shape == (4,)


def test_the_gaussian_critic_agrees_with_the_density_of_torch():
    torch.manual_seed(0)
    critic = GaussianCritic(3, 2).double()
    x, y = torch.randn(4, 3).double(), torch.randn(6, 2).double()
    mean, raw = critic.network(x).chunk(2, dim=1)
    deviation = (12 * torch.tanh(raw / 12) / 2).exp()
    density = Normal(mean.unsqueeze(1), deviation.unsqueeze(1)).log_prob(y.unsqueeze(0)).sum(dim=2)
    torch.testing.assert_close(critic(x, y), density)


def test_the_log_variance_of_the_gaussian_critic_reaches_far_below_minus_one():
    critic = GaussianCritic(1, 1)
    with torch.no_grad():
        critic.network[-1].weight.zero_()
        critic.network[-1].bias.copy_(torch.tensor([0.0, -8.0]))
    at_the_mean = critic(torch.zeros(1, 1), torch.zeros(1, 1)).item()
    assert at_the_mean > 3 - 0.5 * math.log(2 * math.pi) - 0.1
