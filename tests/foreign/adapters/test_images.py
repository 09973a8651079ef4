"""Imported models of images do what the library's own do, to the rounding of float64, and hold as many numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torchvision
import transformers
from safetensors.torch import load_file, save_file
from torch import nn

from minform_cli.foreign.adapters.base import Imported, adapt
from minform_cli.foreign.adapters.given import Options, read_source
from minform_cli.foreign.adapters.pixels import FILE
from minform_cli.runs.stored import Normalisation
from tests.foreign.adapters.folders import changed
from tests.foreign.adapters.test_parity import built, check

SIZES = {
    "hidden_size": 12, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 20, "image_size": 8,
    "patch_size": 4,
}  # fmt: skip
ARCHITECTURES = (
    "ViTForImageClassification",
    "DeiTForImageClassification",
    "DeiTForImageClassificationWithTeacher",
)
SMALL: dict[str, Any] = {"img_size": 8, "patch_size": 4, "num_classes": 5}
"""Of timm, beside what a name stands for."""


def randomised(model: nn.Module, seed: int = 0) -> nn.Module:
    """With norms that are not ones and zeros, and a head that is no zeros, which would hide a mistake."""
    chance = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=chance) * 0.1)
    return model.eval()


def vit(folder: Path, architecture: str = "ViTForImageClassification", **settings: Any) -> nn.Module:
    """The library's model of this class with random weights, saved in `folder`."""
    family = architecture.partition("For")[0]
    classes = {} if "id2label" in settings else {"num_labels": 4}
    config = getattr(transformers, f"{family}Config")(**(SIZES | classes | settings))
    model = randomised(getattr(transformers, architecture)(config))
    model.save_pretrained(folder)  # type: ignore[operator]
    return model


def of_file(source: str, model: nn.Module, path: Path) -> Imported:
    """What becomes of a file of the model's weights under that name."""
    (save_file if path.suffix == ".safetensors" else torch.save)(model.state_dict(), path)
    return found(source, weights=path)


def found(source: str, **options: Any) -> Imported:
    read = read_source(source, Options(**options))
    made = adapt(read.kind, read.given)
    left = sum(read.given.tensors.numbers[name] for name in made.left_over)
    numbers = sum(read.given.tensors.numbers.values())
    assert sum(p.numel() for p in built(made).parameters()) + left == numbers
    return made


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize(
    "settings", [{}, {"hidden_act": "gelu_new", "num_channels": 1, "image_size": [8, 12]}], ids=str
)
def test_models_of_transformers(tmp_path: Path, architecture: str, settings: dict[str, Any]) -> None:
    model = vit(tmp_path, architecture, **settings)
    made = found(f"hf:{tmp_path}")
    check(made)
    assert not made.left_over
    assert sum(tensor.numel() for tensor in made.weights.values()) == sum(p.numel() for p in model.parameters())


def test_the_mask_token_a_pooler_and_names_of_version_5_change_nothing(tmp_path: Path) -> None:
    model = vit(tmp_path)
    expected = found(f"hf:{tmp_path}").weights
    extra = {"embeddings.mask_token": torch.ones(1, 1, 12), "pooler.dense.weight": torch.ones(12, 12)}
    newer = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    assert any(".q_proj." in name for name in newer)
    save_file(newer | {f"vit.{name}": tensor for name, tensor in extra.items()}, tmp_path / "model.safetensors")
    made = found(f"hf:{tmp_path}")
    assert made.left_over == {
        "vit.embeddings.mask_token": "stands for hidden patches, and none are hidden",
        "vit.pooler.dense.weight": "the pooler: the class token is read as it is",
    }
    assert all(torch.equal(made.weights[name], tensor) for name, tensor in expected.items())


def test_blocks_beyond_the_settings_are_left_over(tmp_path: Path) -> None:
    vit(tmp_path)
    made = found(f"hf:{changed(tmp_path, num_hidden_layers=1)}")
    assert len(made.left_over) == 16
    assert set(made.left_over.values()) == {"beyond the blocks of the settings"}


def test_class_names_are_those_of_the_settings(tmp_path: Path) -> None:
    vit(tmp_path, id2label={0: "cat", 1: "dog", 2: "emu"}, label2id={"cat": 0, "dog": 1, "emu": 2})
    assert found(f"hf:{tmp_path}").spec.class_names == ("cat", "dog", "emu")


def test_pixels_are_normalised_as_the_folder_says(tmp_path: Path) -> None:
    vit(tmp_path)
    made = found(f"hf:{tmp_path}")
    assert made.normalisation == Normalisation((0.5,) * 3, (0.5,) * 3)
    assert any(note.startswith(f"no {FILE}: ") for note in made.notes)
    mean, std = [0.1, 0.2, 0.3], [0.4, 0.5, 0.6]
    said: dict[str, Any] = {"image_mean": mean, "image_std": std, "size": {"height": 8, "width": 8}, "resample": 3}
    (tmp_path / FILE).write_text(json.dumps(said), encoding="utf-8")
    made = found(f"hf:{tmp_path}")
    assert made.normalisation == Normalisation(tuple(mean), tuple(std))
    assert "images are resized bicubic there, and bilinear in a run" in made.notes
    # Pixels of -1..1: 2 x - 1, and (2 x - 1 - mean) / std of it where that is done too.
    for settings, expected in (
        ({"rescale_factor": 2 / 255}, ((0.05, 0.1, 0.15), (0.2, 0.25, 0.3))),
        ({"do_normalize": False}, ((0.0,) * 3, (1.0,) * 3)),
    ):
        (tmp_path / FILE).write_text(json.dumps(said | settings), encoding="utf-8")
        near(found(f"hf:{tmp_path}"), *expected)


def near(made: Imported, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
    assert made.normalisation is not None
    assert made.normalisation.mean == pytest.approx(mean)
    assert made.normalisation.std == pytest.approx(std)


TIMM: list[tuple[str, dict[str, Any]]] = [
    ("vit_tiny_patch16_224", {"in_chans": 1}),
    ("deit_tiny_distilled_patch16_224", {}),
]


@pytest.mark.parametrize(("name", "settings"), TIMM, ids=str)
def test_models_of_timm(tmp_path: Path, name: str, settings: dict[str, Any]) -> None:
    model = timm.create_model(name, **SMALL, **settings)
    made = of_file(f"timm:{name}", randomised(model), tmp_path / "weights.safetensors")
    check(made)
    assert not made.left_over
    assert made.spec.class_names == ("0", "1", "2", "3", "4")
    mean, std = (model.pretrained_cfg[key][: settings.get("in_chans", 3)] for key in ("mean", "std"))
    near(made, mean, std)


REGISTERED = "vit_of_a_test"


@pytest.mark.parametrize(
    ("settings", "readout"),
    [
        ({"reg_tokens": 2}, {"kind": "class-token", "beside": 2}),
        ({"class_token": False, "global_pool": "avg", "fc_norm": False}, "mean"),
        ({"act_layer": "gelu_tanh"}, "class-token"),
    ],
    ids=str,
)
def test_what_timm_can_vary_and_our_parts_can_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], readout: object
) -> None:
    registered(monkeypatch, **settings)
    model = timm.create_model(REGISTERED, **SMALL)
    made = of_file(f"timm:{REGISTERED}", randomised(model), tmp_path / "weights.safetensors")
    check(made)
    assert made.config.model.model_dump(mode="json")["readout"] == readout


def registered(monkeypatch: pytest.MonkeyPatch, **settings: Any) -> None:
    """A small model of timm with such settings, under the name `REGISTERED`."""
    sizes = {"embed_dim": 12, "depth": 2, "num_heads": 3, "img_size": 8, "patch_size": 4}

    def create(name: str, pretrained: bool = False, **asked: Any) -> nn.Module:
        model = timm.models.VisionTransformer(**(sizes | settings | asked))
        model.pretrained_cfg = {"mean": (0.5,) * 3, "std": (0.5,) * 3}
        return model

    known = timm.is_model
    monkeypatch.setattr(timm, "is_model", lambda name: name == REGISTERED or known(name))
    monkeypatch.setattr(timm, "create_model", create)


@pytest.mark.parametrize("ending", [".safetensors", ".pth"])
def test_models_of_torchvision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str) -> None:
    smaller(monkeypatch)
    model = randomised(torchvision.models.get_model("vit_b_32", image_size=64, num_classes=7))
    made = of_file("torchvision:vit_b_32", model, tmp_path / f"weights{ending}")
    check(made)
    assert not made.left_over
    assert (made.spec.height, made.spec.num_classes) == (64, 7)  # type: ignore[attr-defined]
    read = read_source("torchvision:vit_b_32", Options(weights=tmp_path / f"weights{ending}"))
    assert any("read with weights_only" in note for note in read.notes) == (ending == ".pth")


def smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    """The names of torchvision, for models that a test can build in no time."""
    module = torchvision.models.vision_transformer
    whole = module.VisionTransformer.__init__

    def init(self: nn.Module, **settings: Any) -> None:
        whole(self, **(settings | {"num_layers": 2, "num_heads": 3, "hidden_dim": 12, "mlp_dim": 20}))

    monkeypatch.setattr(module.VisionTransformer, "__init__", init)


def test_old_names_of_torchvision_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    smaller(monkeypatch)
    model = randomised(torchvision.models.get_model("vit_b_32", image_size=64))
    expected = of_file("torchvision:vit_b_32", model, tmp_path / "weights.safetensors").weights
    tensors = load_file(tmp_path / "weights.safetensors")
    old = {
        name.replace("mlp.0.", "mlp.linear_1.").replace("mlp.3.", "mlp.linear_2."): each
        for name, each in tensors.items()
    }
    assert old.keys() != tensors.keys()
    save_file(old, tmp_path / "old.safetensors")
    made = found("torchvision:vit_b_32", weights=tmp_path / "old.safetensors")
    assert all(torch.equal(made.weights[name], tensor) for name, tensor in expected.items())
    check(made)
