"""Networks of users, as small as they can be, and the files that they come in."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mimic.encoders.architectures import build_backbone

ARCH = "resnet10:width=4"


class SimClr(nn.Module):
    """The layout of BadEncoder: a ResNet's children in `f.f`, a projector in `g`."""

    class Features(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            net = build_backbone(ARCH)
            stages = [net.get_submodule(f"layer{i}") for i in (1, 2, 3, 4)]
            pool = nn.AdaptiveAvgPool2d(1)
            self.f = nn.Sequential(net.conv1, net.bn1, nn.ReLU(), *stages, pool)

        def forward(self, images: Tensor) -> Tensor:
            return torch.flatten(self.f(images), 1)

    def __init__(self) -> None:
        super().__init__()
        self.f = self.Features()
        self.g = nn.Sequential(nn.Linear(32, 8, bias=False), nn.BatchNorm1d(8), nn.ReLU())


class TokenBlock(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(8)
        self.norm2 = nn.LayerNorm(8)
        self.mlp = nn.Sequential(
            nn.Linear(8, 8), nn.GELU(), nn.Linear(8, 8), nn.GELU(), nn.Linear(8, 8), nn.Tanh()
        )

    def forward(self, tokens: Tensor) -> Tensor:
        return tokens + self.mlp(self.norm2(self.norm1(tokens)))


class TinyViT(nn.Module):
    """A convolution cuts patches, four blocks follow."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 8, 4, 4)
        self.blocks = nn.Sequential(*(TokenBlock() for _ in range(4)))
        self.norm = nn.LayerNorm(8)

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.patch(images).flatten(2).transpose(1, 2)
        return self.norm(self.blocks(tokens)).mean(dim=1)


class Isotropic(nn.Module):
    """A CNN whose resolution never changes after its stem."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 4, 4)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())
            for _ in range(8)
        )

    def forward(self, images: Tensor) -> Tensor:
        x = self.stem(images)
        for block in self.blocks:
            x = block(x)
        return x.mean(dim=(2, 3))


class Vgg(nn.Module):
    """Convolutions and pooling in one long nn.Sequential, and a `view` where others flatten."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in ((3, 4), (4, 6), (6, 8)):
            layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs)]
            layers += [nn.ReLU(inplace=True), nn.MaxPool2d(2)]
        self.features = nn.Sequential(*layers)

    def forward(self, images: Tensor) -> Tensor:
        x = self.features(images)
        return x.view(x.shape[0], -1)


def randomized(module: nn.Module, seed: int = 0) -> nn.Module:
    """Every tensor gets values of its own, statistics of normalisation too."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in module.state_dict().values():
            if tensor.is_floating_point():
                tensor.copy_(torch.rand(tensor.shape, generator=generator) * 0.2 + 0.1)
            else:
                tensor.fill_(7)
    return module


@pytest.fixture
def backbone() -> nn.Module:
    return randomized(build_backbone(ARCH)).eval()


@pytest.fixture
def saved(tmp_path: Path) -> Callable[..., Path]:
    """Write anything with torch.save under a name in a folder of its own."""

    def save(content: Any, name: str = "encoder.pth", **settings: Any) -> Path:
        path = tmp_path / "came_in" / name
        path.parent.mkdir(exist_ok=True)
        torch.save(content, path, **settings)
        return path

    return save


@pytest.fixture(scope="session")
def networks() -> SimpleNamespace:
    """The classes above, for tests that build their own."""
    return SimpleNamespace(
        ARCH=ARCH,
        SimClr=SimClr,
        TinyViT=TinyViT,
        Isotropic=Isotropic,
        Vgg=Vgg,
        randomized=randomized,
    )
