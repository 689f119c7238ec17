import pytest
import torch

from mimic.encoders.checkpoint import read_checkpoint
from mimic.encoders.matching import match_backbone
from mimic.encoders.weights import matched_tensors
from mimic.errors import InputError


@pytest.fixture
def state(backbone):
    return {name: tensor.clone() for name, tensor in backbone.state_dict().items()}


@pytest.fixture
def loaded(saved, backbone):
    def load(content):
        checkpoint = read_checkpoint(saved(content))
        return matched_tensors(checkpoint, match_backbone(checkpoint, backbone), backbone)

    return load


def test_files_without_batch_counters_fit(loaded, state):
    content = {name: t for name, t in state.items() if not name.endswith("num_batches_tracked")}
    assert loaded(content)["bn1.num_batches_tracked"] == 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_tensors_come_in_the_dtype_of_the_network(loaded, state, dtype):
    content = {name: t.to(dtype) if t.is_floating_point() else t for name, t in state.items()}
    assert {tensor.dtype for tensor in loaded(content).values()} == {torch.float32, torch.int64}


@pytest.mark.parametrize(
    "tensor",
    [
        torch.full((4,), float("nan")),
        torch.full((4,), float("inf")),
        torch.ones(4, dtype=torch.complex64),
        torch.ones(4).to_sparse(),
        torch.ones(4, device="meta"),
    ],
)
def test_tensors_that_are_no_plain_finite_numbers_are_refused(loaded, state, tensor):
    with pytest.raises(InputError, match=r"'bn1\.weight'"):
        loaded({**state, "bn1.weight": tensor})


@pytest.mark.parametrize("dtype", ["int8", "uint16", "int64", "bool", "float8_e4m3fn"])
def test_weights_that_a_drop_in_would_destroy_are_refused(loaded, state, dtype):
    quantised = torch.ones(4).to(getattr(torch, dtype))
    with pytest.raises(InputError, match=rf"'bn1\.weight'.* holds {dtype} numbers.*dequantised"):
        loaded({**state, "bn1.weight": quantised})


def test_a_negative_variance_is_refused(loaded, state):
    state["layer2.0.bn1.running_var"][3] = -1e-3
    with pytest.raises(InputError, match=r"'layer2\.0\.bn1\.running_var'.*negative"):
        loaded(state)


def test_a_negative_mean_is_none_of_its_business(loaded, state):
    state["bn1.running_mean"].fill_(-1)
    assert torch.equal(loaded(state)["bn1.running_mean"], torch.full((4,), -1.0))
