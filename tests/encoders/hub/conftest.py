"""Networks of public libraries, tiny and with random weights, in files that the libraries wrote."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mimic.errors import InputError
from mimic.libraries import import_library

MODULES = {"hf": "transformers"}


def library(name: str) -> Any:
    """The library, or a skipped test where it is not installed."""
    try:
        return import_library(MODULES.get(name, name))
    except InputError as error:
        pytest.skip(str(error))


@pytest.fixture
def import_or_skip() -> Callable[[str], Any]:
    return library


@pytest.fixture(autouse=True)
def _quiet_and_offline(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No test may depend on a network, and none gets far if it tries."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


class Timm:
    """`create_model` with the classifier; the feature is what the classifier would be given."""

    def create(self, network: Any) -> nn.Module:
        return library("timm").create_model(network.name, **network.settings)

    def write(self, network: Any, model: nn.Module, folder: Path) -> str:
        torch.save({"state_dict": model.state_dict()}, folder / "checkpoint.pth")
        settings = ",".join(f"{key}={value}" for key, value in network.settings.items())
        name = f"timm:{network.name}:{settings}" if settings else f"timm:{network.name}"
        return f"{name}@{folder / 'checkpoint.pth'}"

    def reload(self, network: Any, folder: Path) -> nn.Module:
        return library("timm").create_model(
            network.name, checkpoint_path=str(folder / "checkpoint.pth"), **network.settings
        )

    def features(self, model: nn.Module, images: Tensor) -> Tensor:
        return model.forward_head(model.forward_features(images), pre_logits=True)


class Torchvision:
    """`get_model`; the feature is what the last layer with weights is given."""

    def create(self, network: Any) -> nn.Module:
        return library("torchvision").models.get_model(network.name, weights=None)

    def write(self, network: Any, model: nn.Module, folder: Path) -> str:
        torch.save(model.state_dict(), folder / "weights.pth")
        return f"torchvision:{network.name}@{folder / 'weights.pth'}"

    def reload(self, network: Any, folder: Path) -> nn.Module:
        model = self.create(network)
        model.load_state_dict(torch.load(folder / "weights.pth", weights_only=True))
        return model

    def features(self, model: nn.Module, images: Tensor) -> Tensor:
        for last in ("fc", "classifier.3" if hasattr(model, "avgpool") else "classifier.1"):
            if last in dict(model.named_modules()):
                model.set_submodule(last, nn.Identity())
        return model(images)


class HuggingFace:
    """`save_pretrained` and `from_pretrained`; of CLIP and SigLIP the whole model with its text."""

    def create(self, network: Any) -> nn.Module:
        transformers = library("hf")
        if network.name in ("clip", "siglip"):
            text = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
            text |= {"vocab_size": 32, "bos_token_id": 0, "eos_token_id": 1}
            config = transformers.AutoConfig.for_model(
                network.name, vision_config=network.settings, text_config=text
            )
        else:
            config = transformers.AutoConfig.for_model(network.name, **network.settings)
        return transformers.AutoModel.from_config(config)

    def write(self, network: Any, model: nn.Module, folder: Path) -> str:
        model.save_pretrained(folder)
        processor = {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.2, 0.3], "size": 32}
        (folder / "preprocessor_config.json").write_text(json.dumps(processor))
        return f"hf:{folder}"

    def reload(self, network: Any, folder: Path) -> nn.Module:
        model, report = library("hf").AutoModel.from_pretrained(folder, output_loading_info=True)
        assert not any(report.values())
        return model

    def features(self, model: nn.Module, images: Tensor) -> Tensor:
        model = getattr(model, "vision_model", model)
        if model.config.model_type == "vit_mae":
            model.config.mask_ratio = 0.0
        output = model(pixel_values=images)
        if hasattr(getattr(model, "pooler", None), "dense") or "pooler_output" not in output:
            return output.last_hidden_state[:, 0]
        return output.pooler_output.flatten(1)


class OpenClip:
    """A whole CLIP model, text included; the feature is the embedding of an image."""

    def _register(self, network: Any, folder: Path) -> None:
        config = folder / f"tiny-{network.name}.json"
        config.write_text(json.dumps(network.settings))
        library("open_clip").add_model_config(config)

    def create(self, network: Any) -> nn.Module:
        return library("open_clip").CLIP(**network.settings)

    def write(self, network: Any, model: nn.Module, folder: Path) -> str:
        self._register(network, folder)
        torch.save({"state_dict": model.state_dict()}, folder / "clip.pt")
        return f"open_clip:tiny-{network.name}@{folder / 'clip.pt'}"

    def reload(self, network: Any, folder: Path) -> nn.Module:
        return library("open_clip").create_model(
            f"tiny-{network.name}", pretrained=str(folder / "clip.pt")
        )

    def features(self, model: nn.Module, images: Tensor) -> Tensor:
        return model.encode_image(images)


@pytest.fixture(scope="session")
def libraries() -> dict[str, Any]:
    """How each library creates, writes, reads and runs its models."""
    return {
        "timm": Timm(),
        "torchvision": Torchvision(),
        "hf": HuggingFace(),
        "open_clip": OpenClip(),
    }
