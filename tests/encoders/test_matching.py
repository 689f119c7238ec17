import pytest
import torch

from mimic.encoders.architectures import build_backbone
from mimic.encoders.checkpoint import read_checkpoint
from mimic.encoders.matching import FileSpelling, match_backbone, recognize
from mimic.encoders.weights import matched_tensors
from mimic.errors import InputError


def prefixed(state, prefix):
    return {prefix + name: tensor for name, tensor in state.items()}


def filled(state, value):
    return {name: torch.full_like(tensor, value) for name, tensor in state.items()}


@pytest.fixture
def state(backbone):
    return {name: tensor.clone() for name, tensor in backbone.state_dict().items()}


@pytest.fixture
def match(saved, backbone):
    return lambda content: match_backbone(read_checkpoint(saved(content)), backbone)


@pytest.mark.parametrize(
    "prefix",
    ["", "module.", "f.", "module.f.", "encoder.", "backbone.", "visual.", "module.encoder_q.net."],
)
@pytest.mark.parametrize("container", [(), ("state_dict",), ("model", "weights")])
def test_any_prefix_in_any_container_is_found(match, state, prefix, container):
    content = prefixed(state, prefix)
    for key in reversed(container):
        content = {key: content, "epoch": 3}
    found = match(content)
    assert (found.container, found.prefix) == (container, prefix)


@pytest.mark.parametrize(
    ("preferred", "other"),
    [
        ("encoder_q.", "encoder_k."),
        ("online_encoder.net.", "target_encoder."),
        ("student.", "teacher."),
        ("backbone.", "backbone_momentum."),
        ("encoder.", "target."),
        ("f.", "module.f."),
        ("query.deep.er.", "plain."),
    ],
)
@pytest.mark.parametrize("turned", [True, False])
def test_of_two_that_fit_the_one_that_learns_goes_first(match, state, preferred, other, turned):
    prefixes = (other, preferred) if turned else (preferred, other)
    content = {}
    for prefix in prefixes:
        content |= prefixed(state, prefix)
    found = match(content)
    assert (found.prefix, found.others) == (preferred, (f": {other}",))


def test_of_two_containers_the_student_goes_before_the_teacher(match, state):
    assert match({"teacher": state, "student": dict(state)}).container == ("student",)


def test_the_layout_of_simclr_in_a_sequential_is_known(networks, saved, backbone):
    model = networks.randomized(networks.SimClr(), seed=5)
    content = {"state_dict": model.state_dict(), "optimizer": {"state": {}}}
    checkpoint = read_checkpoint(saved(content))
    match = match_backbone(checkpoint, backbone)
    backbone.load_state_dict(matched_tensors(checkpoint, match, backbone))
    images = torch.rand(2, 3, 16, 16)
    assert match.prefix == "f.f."
    torch.testing.assert_close(backbone(images), model.f.eval()(images))


def test_a_sequential_with_max_pooling_is_known(match, state):
    positions = {"conv1": "0", "bn1": "1"} | {f"layer{i}": str(i + 3) for i in (1, 2, 3, 4)}
    content = {}
    for name, tensor in state.items():
        first, _, rest = name.partition(".")
        content[f"{positions[first]}.{rest}"] = tensor
    assert match(content).layout == "sequential with max-pooling"


def test_shortcuts_by_another_name_are_known(match, state):
    content = {name.replace("downsample", "shortcut"): t for name, t in state.items()}
    assert match(content).layout == "shortcut"


@pytest.mark.parametrize(
    "head", ["fc.weight", "g.0.weight", "projector.1.bias", "queue", "head2.w"]
)
def test_heads_beside_the_encoder_are_tolerated(match, state, head):
    assert match({**state, head: torch.ones(3)}).names.keys() == state.keys()


def test_missing_tensors_are_listed(match, state):
    del state["bn1.weight"]
    with pytest.raises(InputError, match=r"missing: bn1\.weight; .*--arch"):
        match(state)


def test_tensors_under_the_prefix_that_fit_nothing_are_listed(match, state):
    with pytest.raises(InputError, match=r"unexpected: f\.layer9\.weight"):
        match(prefixed({**state, "layer9.weight": torch.ones(3)}, "f."))


def test_tensors_of_another_shape_are_listed(match, state):
    state["bn1.weight"] = torch.ones(5)
    with pytest.raises(InputError, match=r"of another shape: bn1\.weight \(5,\) for \(4,\)"):
        match(state)


def test_a_deeper_network_of_the_same_width_does_not_fit(match):
    with pytest.raises(InputError, match="they look like --arch resnet18:width=4"):
        match(build_backbone("resnet18:width=4").state_dict())


def test_long_lists_end_in_a_count(match, state):
    kept = {name: tensor for name, tensor in state.items() if name.startswith("conv1")}
    required = [name for name in state if not name.endswith("num_batches_tracked")]
    with pytest.raises(InputError, match=f"and {len(required) - 11} more"):
        match(kept)


def test_a_file_with_nothing_alike_says_what_it_holds(match):
    with pytest.raises(InputError, match=r"it holds only: some\.thing"):
        match({"some.thing": torch.ones(3)})


@pytest.mark.parametrize("name", ["resnet10:width=4", "resnet18:width=6", "resnet50:width=4"])
def test_our_architectures_are_recognised_by_shape(saved, name):
    state = build_backbone(name).state_dict()
    assert recognize(read_checkpoint(saved({"model": prefixed(state, "module.")}))) == name


def test_other_networks_are_not_recognised(saved, networks):
    assert recognize(read_checkpoint(saved(networks.Vgg().state_dict()))) is None


@pytest.mark.parametrize("channels", [0, 4097, 1 << 40])
def test_a_stem_of_a_width_that_no_network_has_is_passed_over(saved, channels):
    stem = torch.zeros(1, 1, 1, 1).expand(channels, 3, 3, 3)
    assert recognize(read_checkpoint(saved({"conv1.weight": stem}))) is None


def test_a_file_of_many_stems_does_not_make_many_networks(saved, monkeypatch):
    built = []

    def build(spelling):
        built.append(spelling)
        return build_backbone(spelling)

    monkeypatch.setattr("mimic.encoders.matching.build_backbone", build)
    stem = torch.zeros(1, 1, 1, 1)
    content = {str(width): stem.expand(width, 3, 3, 3) for width in range(1, 40)}
    assert recognize(read_checkpoint(saved(content))) is None
    assert len(built) == 8 * 4


def test_tensors_that_a_library_adds_are_tolerated(match, state, backbone):
    backbone.file_spelling = FileSpelling(left_out=("layer4.top.",))
    assert match({**state, "layer4.top.weight": torch.ones(1)}).prefix == ""


def test_other_tensors_inside_the_same_module_are_still_unexpected(match, state, backbone):
    backbone.file_spelling = FileSpelling(left_out=("layer4.top.",))
    with pytest.raises(InputError, match=r"unexpected: layer4\.topping"):
        match({**state, "layer4.topping": torch.ones(1)})


def test_the_names_that_a_library_writes_are_found_under_any_prefix(match, state, backbone):
    names = {name: name.replace("layer", "stage") for name in state}
    backbone.file_spelling = FileSpelling(names=names)
    found = match({"net." + names[name]: tensor for name, tensor in state.items()})
    assert (found.layout, found.prefix) == ("library", "net.")
    assert found.names["layer1.0.conv1.weight"] == "net.stage1.0.conv1.weight"
