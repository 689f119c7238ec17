import json
from collections import OrderedDict

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from mimic.encoders.encoder import Encoder
from mimic.encoders.export import check_destination, export_purified, save_encoder
from mimic.encoders.loading import load_encoder
from mimic.errors import InputError, RunError
from mimic.files import sha256

IMAGES = torch.rand(2, 3, 16, 16)


@pytest.fixture
def purified(backbone, networks):
    return Encoder(networks.randomized(backbone, seed=9), architecture=networks.ARCH).eval()


@pytest.fixture
def model(networks):
    return networks.randomized(networks.SimClr(), seed=1).eval()


@pytest.fixture
def content(model):
    return {
        "epoch": 1000,
        "state_dict": model.state_dict(),
        "optimizer": {"state": {0: {"exp_avg": torch.ones(3)}}, "param_groups": [{"lr": 0.1}]},
    }


@pytest.fixture
def export(purified, tmp_path):
    def run(original, **manifest):
        return export_purified(
            purified, original=original, directory=tmp_path / "out", manifest=manifest
        )

    return run


def test_saving_gives_the_hash_of_the_file(purified, tmp_path):
    assert save_encoder(purified, tmp_path / "a.safetensors") == sha256(tmp_path / "a.safetensors")


def test_saving_twice_gives_the_same_bytes(purified, tmp_path):
    first = save_encoder(purified, tmp_path / "a.safetensors", extra={"b": 1, "a": 2})
    assert first == save_encoder(purified, tmp_path / "b.safetensors", extra={"b": 1, "a": 2})


def test_a_saved_file_is_a_plain_state_dict_of_the_backbone(purified, tmp_path, networks):
    save_encoder(purified, tmp_path / "a.safetensors")
    state = load_file(tmp_path / "a.safetensors")
    assert state.keys() == purified.backbone.state_dict().keys()


def test_half_stores_floats_in_sixteen_bits(purified, tmp_path):
    save_encoder(purified, tmp_path / "a.safetensors", half=True)
    dtypes = {tensor.dtype for tensor in load_file(tmp_path / "a.safetensors").values()}
    assert dtypes == {torch.float16, torch.int64}


def test_extra_values_are_kept_in_the_header(purified, tmp_path):
    save_encoder(purified, tmp_path / "a.safetensors", extra={"seed": 3})
    with safe_open(tmp_path / "a.safetensors", framework="pt") as file:
        assert json.loads(file.metadata()["mimic"])["extra"] == {"seed": 3}


def test_normalisation_is_written_in_short_decimals(backbone, tmp_path):
    save_encoder(Encoder(backbone, mean=(0.4914, 0.4822, 0.4465)), tmp_path / "a.safetensors")
    with safe_open(tmp_path / "a.safetensors", framework="pt") as file:
        assert json.loads(file.metadata()["mimic"])["mean"] == [0.4914, 0.4822, 0.4465]


def test_weights_in_any_memory_layout_are_saved(purified, tmp_path, networks):
    purified.backbone.to(memory_format=torch.channels_last)
    save_encoder(purified, tmp_path / "a.safetensors")
    loaded = load_encoder(tmp_path / "a.safetensors").state_dict()
    assert all(torch.equal(loaded[name], weight) for name, weight in purified.state_dict().items())


@pytest.mark.parametrize(("value", "half"), [(float("nan"), False), (1e6, True)])
def test_weights_that_are_not_finite_are_not_written(purified, tmp_path, value, half):
    purified.backbone.bn1.running_var.fill_(value)
    with pytest.raises(RunError, match=r"'bn1\.running_var' is not finite"):
        save_encoder(purified, tmp_path / "a.safetensors", half=half)
    assert not list(tmp_path.iterdir())


def test_a_drop_in_loads_into_the_users_own_class(export, saved, content, networks, purified):
    out = export(saved(content, "model_1000.pth"))
    user = networks.SimClr()
    loaded = torch.load(out.drop_in, weights_only=True)
    user.load_state_dict(loaded["state_dict"], strict=True)
    torch.testing.assert_close(user.eval().f(IMAGES), purified(IMAGES))


def test_a_drop_in_has_the_name_of_the_file_that_came_in(export, saved, content):
    assert export(saved(content, "model_1000.pth")).drop_in.name == "model_1000.pth"


def test_a_drop_in_keeps_the_shape_of_the_whole_file(export, saved, content):
    def outline(value):
        if isinstance(value, torch.Tensor):
            return value.dtype, tuple(value.shape), value.stride()
        if isinstance(value, dict):
            return type(value), [(key, outline(inner)) for key, inner in value.items()]
        return value

    out = export(saved(content))
    assert outline(torch.load(out.drop_in, weights_only=True)) == outline(content)


def test_a_drop_in_keeps_everything_outside_the_encoder(export, saved, content):
    loaded = torch.load(export(saved(content)).drop_in, weights_only=True)
    assert torch.equal(loaded["state_dict"]["g.0.weight"], content["state_dict"]["g.0.weight"])
    assert torch.equal(loaded["optimizer"]["state"][0]["exp_avg"], torch.ones(3))


def test_a_drop_in_keeps_the_versions_that_modules_wrote(export, saved, content):
    loaded = torch.load(export(saved(content)).drop_in, weights_only=True)["state_dict"]
    assert isinstance(loaded, OrderedDict)
    assert loaded._metadata == content["state_dict"]._metadata


def test_the_same_export_twice_gives_the_same_bytes(purified, saved, content, tmp_path):
    path = saved(content)
    one, two = (
        export_purified(purified, original=path, directory=tmp_path / name, manifest={})
        for name in ("one", "two")
    )
    assert (one.drop_in_sha256, one.encoder_sha256) == (two.drop_in_sha256, two.encoder_sha256)


def test_an_old_torch_file_gets_a_drop_in(export, saved, model, networks):
    path = saved(model.state_dict(), _use_new_zipfile_serialization=False)
    networks.SimClr().load_state_dict(torch.load(export(path).drop_in, weights_only=True))


def test_a_drop_in_has_the_dtype_of_the_file(export, saved, model):
    loaded = torch.load(export(saved(model.half().state_dict())).drop_in, weights_only=True)
    assert loaded["f.f.0.weight"].dtype == torch.float16


def test_parameters_stay_parameters(export, saved, backbone):
    state = {**backbone.state_dict(), "conv1.weight": nn.Parameter(backbone.conv1.weight.clone())}
    loaded = torch.load(export(saved(state)).drop_in, weights_only=True)
    assert isinstance(loaded["conv1.weight"], nn.Parameter)


def test_absent_batch_counters_stay_absent(export, saved, backbone):
    state = {k: v for k, v in backbone.state_dict().items() if "num_batches" not in k}
    assert torch.load(export(saved(state)).drop_in, weights_only=True).keys() == state.keys()


def test_a_safetensors_drop_in_keeps_keys_and_header(export, model, tmp_path):
    path = tmp_path / "model.safetensors"
    save_file(model.state_dict(), path, metadata={"format": "pt"})
    with safe_open(export(path).drop_in, framework="pt") as file:
        assert (set(file.keys()), file.metadata()) == (set(model.state_dict()), {"format": "pt"})


def test_a_safetensors_drop_in_holds_the_new_weights(export, model, tmp_path, networks, purified):
    path = tmp_path / "model.safetensors"
    save_file(model.state_dict(), path)
    user = networks.SimClr()
    user.load_state_dict(load_file(export(path).drop_in), strict=True)
    torch.testing.assert_close(user.eval().f(IMAGES), purified(IMAGES))


def test_where_names_collide_one_file_does_both_duties(export, purified, model, tmp_path):
    path = tmp_path / "encoder.safetensors"
    save_file(model.state_dict(), path, metadata={"format": "pt"})
    out = export(path)
    assert out.encoder == out.drop_in
    assert load_file(out.drop_in).keys() == model.state_dict().keys()
    assert torch.equal(load_encoder(tmp_path / "out")(IMAGES), purified(IMAGES))


def test_a_purified_folder_can_be_purified_again(export, purified, tmp_path):
    first = export(None)
    again = export_purified(
        purified, original=first.encoder, directory=tmp_path / "again", manifest={}
    )
    assert again.drop_in_sha256 == first.encoder_sha256


def test_a_module_has_no_drop_in(export):
    assert export(None).drop_in is None


def test_the_manifest_knows_what_went_in_and_what_came_out(export, saved, content):
    path = saved(content)
    out = export(path, seed=3, settings={"epochs": 2})
    manifest = json.loads(out.manifest.read_text())
    assert manifest["input"]["sha256"] == sha256(path)
    assert manifest["output"] == {
        "encoder": {"file": "encoder.safetensors", "sha256": sha256(out.encoder)},
        "drop_in": {"file": "encoder.pth", "sha256": sha256(out.drop_in)},
    }
    assert (manifest["seed"], manifest["settings"]) == (3, {"epochs": 2})
    assert manifest["versions"].keys() == {"mimic", "torch", "python"}


def test_the_manifest_lists_what_was_kept(export, saved, content):
    manifest = json.loads(export(saved(content)).manifest.read_text())
    assert set(manifest["kept_unchanged"]) == {
        *(f"state_dict.{name}" for name in content["state_dict"] if name.startswith("g.")),
        "optimizer.state.0.exp_avg",
    }


def test_the_manifest_warns_of_another_encoder_in_the_file(export, saved, backbone):
    state = backbone.state_dict()
    both = {f"encoder_{x}.{name}": tensor for x in "qk" for name, tensor in state.items()}
    out = export(saved(both))
    assert json.loads(out.manifest.read_text())["other_encoders_unchanged"] == [": encoder_k."]
    assert out.others == (": encoder_k.",)


def test_a_file_of_one_encoder_has_no_others(export, saved, content):
    assert export(saved(content)).others == ()


def test_a_file_that_changed_since_it_was_loaded_gets_no_drop_in(saved, backbone, networks):
    path = saved(backbone.state_dict())
    purified = load_encoder(path, arch=networks.ARCH).reinitialized(0)
    saved(networks.randomized(backbone, seed=1).state_dict())
    out = path.parent.parent / "out"
    with pytest.raises(InputError, match="was changed after the encoder was loaded from it"):
        export_purified(purified, original=path, directory=out, manifest={})
    assert [file.name for file in out.iterdir()] == ["encoder.safetensors"]


def test_an_export_does_not_overwrite_what_came_in(purified, saved, content):
    path = saved(content)
    with pytest.raises(InputError, match="would overwrite"):
        export_purified(purified, original=path, directory=path.parent, manifest={})


def test_a_destination_can_be_checked_beforehand(tmp_path):
    check_destination(tmp_path / "a.pth", tmp_path / "out")
    with pytest.raises(InputError):
        check_destination(tmp_path / "a.pth", tmp_path / "out" / "..")


def test_a_failed_drop_in_leaves_the_encoder_but_no_manifest(export, saved, model, purified):
    path = saved(model.half().state_dict())
    purified.backbone.bn1.running_var.fill_(1e6)
    with pytest.raises(RunError):
        export(path)
    assert [p.name for p in (path.parent.parent / "out").iterdir()] == ["encoder.safetensors"]
