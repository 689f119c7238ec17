"""Zero-shot evaluation is what open_clip computes with the same model, texts and images."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from mimic.encoders.loading import load_encoder
from mimic.errors import InputError
from mimic.evaluation.features import extract_features
from mimic.evaluation.texts import read_text_embeddings
from mimic.evaluation.zero_shot import TextHead, evaluate_zero_shot
from mimic.images.imageset import ImageSet
from mimic.libraries import import_library
from mimic.training import Trainer

CPU = Trainer(device="cpu", precision="32-true")
CLASSES = ["cat", "dog", "ship", "frog", "truck"]
CONFIG = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8},
    "text_cfg": {"context_length": 8, "vocab_size": 32, "width": 16, "heads": 2, "layers": 1},
}


@pytest.fixture
def open_clip() -> Iterator[Any]:
    try:
        library = import_library("open_clip")
    except InputError as error:
        pytest.skip(str(error))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield library


def letters(texts: list[str]) -> torch.Tensor:
    """A tokenizer: letters, modulo the vocabulary; the end token is the largest number."""
    rows = [[1 + ord(letter) % 30 for letter in text[:7]] for text in texts]
    return torch.tensor([row + [31] + [0] * (7 - len(row)) for row in rows])


def test_accuracy_and_answers_are_those_of_open_clip(open_clip, tmp_path: Path):
    (tmp_path / "tiny-zero-shot.json").write_text(json.dumps(CONFIG))
    open_clip.add_model_config(tmp_path / "tiny-zero-shot.json")
    model = open_clip.CLIP(**CONFIG).eval()
    torch.save({"state_dict": model.state_dict()}, tmp_path / "clip.pt")
    pixels = torch.randint(0, 256, (60, 3, 32, 32), dtype=torch.uint8)
    templates = ["a photo of {}", "{}"]

    with torch.no_grad():
        classifier = open_clip.build_zero_shot_classifier(model, letters, CLASSES, templates)
        encoder = load_encoder(f"open_clip:tiny-zero-shot@{tmp_path / 'clip.pt'}")
        normalized = (pixels / 255 - encoder.mean) / encoder.std
        logits = 100 * F.normalize(model.encode_image(normalized), dim=1) @ classifier
    labels = logits.argmax(dim=1).where(torch.arange(60) % 3 > 0, torch.arange(60) % 5)

    np.savez(tmp_path / "texts.npz", embeddings=classifier.T.numpy(), classes=np.array(CLASSES))
    texts = read_text_embeddings(tmp_path / "texts.npz")
    images = ImageSet.from_tensor(pixels, labels, class_names=tuple(CLASSES))
    found = evaluate_zero_shot(encoder, images, texts, trainer=CPU)
    scores = TextHead(texts.vectors)(extract_features(encoder, images, trainer=CPU))
    torch.testing.assert_close(100 * scores, logits, rtol=1e-4, atol=1e-4)
    assert len(logits.argmax(dim=1).unique()) > 1
    assert found.accuracy == (logits.argmax(dim=1) == labels).double().mean().item()
