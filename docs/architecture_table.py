"""The networks of public libraries that are known to work, and their table in docs/encoders.md.

    python docs/architecture_table.py           write the table
    python docs/architecture_table.py --check   exit 1 where the page is out of date

tests/encoders/hub/test_round_trip.py takes every row through mimic and back to its library.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mimic.files import write_text

PAGE = Path(__file__).resolve().parent / "encoders.md"
BEGIN = "<!-- begin: written by docs/architecture_table.py -->"
END = "<!-- end: written by docs/architecture_table.py -->"


@dataclass(frozen=True, kw_only=True)
class Network:
    """A network as users name it, and a small relative that is quick to build.

    Attributes:
        library: timm, torchvision, open_clip or hf.
        name: of the model; of `hf` the `model_type` of its configuration.
        kind: of network.
        feature: what the feature is.
        settings: that make it small.
        size: height and width of the images in the test, in pixels.
    """

    library: str
    name: str
    kind: str
    feature: str = "mean over positions"
    settings: dict[str, Any]
    size: int = 64

    @property
    def title(self) -> str:
        """How it is named in the table and in tests."""
        pooled = f" ({self.settings['global_pool']})" if "global_pool" in self.settings else ""
        return f"{self.library}:{self.name}{pooled}"

    @property
    def encoder(self) -> str:
        """How users write it."""
        return f"hf:DIR, {self.name}" if self.library == "hf" else f"{self.library}:{self.name}"


def _timm(name: str, kind: str, feature: str = "mean over positions", **settings: Any) -> Network:
    size = settings.get("img_size", 64)
    return Network(
        library="timm", name=name, kind=kind, feature=feature, settings=settings, size=size
    )


def _torchvision(name: str, kind: str) -> Network:
    return Network(library="torchvision", name=name, kind=kind, settings={})


def _hf(name: str, kind: str, feature: str = "mean over positions", **settings: Any) -> Network:
    return Network(library="hf", name=name, kind=kind, feature=feature, settings=settings, size=32)


CLASS, MEAN, POOLED = "class token", "mean over tokens", "attention pooling"
_VIT = {"embed_dim": 32, "depth": 2, "num_heads": 2}
_TOKENS: dict[str, Any] = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
_TOKENS |= {"intermediate_size": 32, "image_size": 32, "patch_size": 8}
_MAPS: dict[str, Any] = {"hidden_sizes": [8, 16, 16, 16], "depths": [1, 1, 1, 1]}
_CLIP_TEXT = {"context_length": 8, "vocab_size": 32, "width": 16, "heads": 2, "layers": 1}

NETWORKS = (
    _timm("resnet10t", "CNN"),
    _timm("mobilenetv3_small_050", "CNN"),
    _timm("efficientnet_b0", "CNN"),
    _timm("regnetx_002", "CNN"),
    _timm("ghostnet_100", "CNN"),
    _timm("lcnet_035", "CNN"),
    _timm("convnext_atto", "ConvNeXt"),
    _timm("convnextv2_atto", "ConvNeXt"),
    _timm("vit_tiny_patch16_224", "ViT", CLASS, img_size=64, **_VIT),
    _timm("vit_tiny_patch16_224", "ViT", MEAN, img_size=64, global_pool="avg", **_VIT),
    _timm("deit_tiny_distilled_patch16_224", "ViT, distilled", "two tokens", img_size=64, **_VIT),
    _timm("vit_small_patch14_reg4_dinov2", "DINOv2, registers", CLASS, img_size=56, **_VIT),
    _timm("beit_base_patch16_224", "BEiT", MEAN, img_size=64, **_VIT),
    _timm("eva02_tiny_patch14_224", "EVA-02", MEAN, img_size=56, **_VIT),
    _timm("vit_base_patch16_clip_224", "CLIP ViT", CLASS, img_size=64, **_VIT),
    _timm("swin_tiny_patch4_window7_224", "Swin", img_size=64, embed_dim=24),
    _timm("pvt_v2_b0", "PVT v2"),
    _torchvision("resnet18", "CNN"),
    _torchvision("mobilenet_v3_small", "CNN"),
    _torchvision("squeezenet1_1", "CNN"),
    _torchvision("shufflenet_v2_x0_5", "CNN"),
    _torchvision("mnasnet0_5", "CNN"),
    _torchvision("regnet_y_400mf", "CNN"),
    _hf("vit", "ViT", CLASS, **_TOKENS),
    _hf("vit_mae", "ViT, masked autoencoder", CLASS, **_TOKENS),
    _hf("deit", "ViT, distilled", CLASS, **_TOKENS),
    _hf("beit", "BEiT", MEAN, **_TOKENS),
    _hf("dinov2", "DINOv2", CLASS, **_TOKENS),
    _hf("dinov2_with_registers", "DINOv2, registers", CLASS, num_register_tokens=4, **_TOKENS),
    _hf("clip", "CLIP ViT", CLASS, **_TOKENS),
    _hf("siglip", "SigLIP ViT", POOLED, **_TOKENS),
    _hf(
        "swin",
        "Swin",
        embed_dim=8,
        depths=[1, 1],
        num_heads=[2, 2],
        image_size=32,
        patch_size=4,
        window_size=4,
    ),
    _hf("resnet", "CNN", embedding_size=8, **_MAPS),
    _hf("convnext", "ConvNeXt", **_MAPS),
    Network(
        library="open_clip",
        name="RN50",
        kind="CLIP ResNet",
        feature=POOLED,
        settings={
            "embed_dim": 16,
            "vision_cfg": {"image_size": 64, "layers": [1, 1, 1, 1], "width": 8, "head_width": 8},
            "text_cfg": _CLIP_TEXT,
        },
    ),
    Network(
        library="open_clip",
        name="ViT-B-32",
        kind="CLIP ViT",
        feature="class token, projected",
        settings={
            "embed_dim": 16,
            "vision_cfg": {
                "image_size": 64,
                "layers": 2,
                "width": 32,
                "head_width": 16,
                "patch_size": 16,
            },
            "text_cfg": _CLIP_TEXT,
        },
    ),
)


def table() -> str:
    """The table in Markdown."""
    lines = ["| encoder | network | feature |", "|---|---|---|"]
    for network in NETWORKS:
        lines.append(f"| `{network.encoder}` | {network.kind} | {network.feature} |")
    return "\n".join(lines)


def page_with(block: str, text: str) -> str:
    """The text of the page with another table."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{block}\n{END}{after}"


def main() -> int:
    """Write the page, or compare it."""
    text = PAGE.read_text(encoding="utf-8")
    wanted = page_with(table(), text)
    if "--check" in sys.argv[1:]:
        return int(wanted != text)
    write_text(PAGE, wanted)
    return 0


if __name__ == "__main__":
    sys.exit(main())
