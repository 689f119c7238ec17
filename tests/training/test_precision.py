"""Devices and precisions: what is picked, and what is refused."""

import pytest
import torch

from mimic.errors import InputError
from mimic.training.precision import best_precision, open_fabric


def test_a_cpu_without_native_bfloat16_computes_in_float32(monkeypatch):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    assert best_precision("cpu") == "32-true"


def test_a_cpu_with_native_bfloat16_uses_it(monkeypatch):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True, raising=False)
    assert best_precision("cpu") == "bf16-mixed"


def test_apple_gpus_compute_in_float32():
    assert best_precision("mps") == "32-true"


def test_the_cpu_can_be_asked_for():
    assert open_fabric("cpu", "32-true").device == torch.device("cpu")


@pytest.mark.parametrize("device", ["gpu", "cpu:1", "cuda:x", ""])
def test_an_unknown_device_is_refused(device):
    with pytest.raises(InputError, match="unknown"):
        open_fabric(device)


def test_a_device_that_is_not_there_is_refused():
    with pytest.raises(InputError, match=r"'cuda:99' is not available on this machine"):
        open_fabric("cuda:99")


def test_an_unknown_precision_is_refused():
    with pytest.raises(InputError, match="precision 'bf17' is not understood"):
        open_fabric("cpu", "bf17")
