"""A wrong --model ends in one line; nothing is downloaded, and no code comes out of a model's folder."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys

import pytest
import torch
from torch import nn

from minform_cli.errors import InputError
from minform_cli.foreign.sources import MAX_MESSAGE, build_source

MODELS = """
import torch
from torch import nn
print("printed while importing")

def good():
    print("printed while building")
    return nn.TransformerEncoderLayer(32, 4, 64)

def needs_numbers():
    return nn.ModuleList(nn.Linear(4, 4) for rate in torch.linspace(0, 1, 3) if rate.item() >= 0)

def fails():
    raise ValueError("first line\\nsecond line" + "x" * 1000)

def leaves():
    raise SystemExit(7)

def lazy():
    return nn.Sequential(nn.LazyLinear(3))

def number():
    return 3

def needs_argument(width):
    return nn.Linear(width, width)

ready = nn.Linear(3, 4)
"""


@pytest.fixture
def package(tmp_path, monkeypatch):
    (tmp_path / "own_models.py").write_text(MODELS)
    (tmp_path / "broken_models.py").write_text("import surely_not_installed_xyz")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield "python:own_models"
    for name in ("own_models", "broken_models"):
        sys.modules.pop(name, None)


def message(source: str) -> str:
    with pytest.raises(InputError) as caught:
        build_source(source)
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("tim:vit", "unknown source of a model 'tim'; did you mean 'timm'?"),
        ("timm", "no name after the source"),
        ("timm:", "no name after the source"),
        ("timm:vit_smal_patch16_224", "vit_small_patch16_224"),
        ("timm:hf-hub:someone/model", "unknown model"),
        ("timm:vit_small_patch16_224.no_such_tag", "Invalid pretrained tag"),
        ("torchvision:vit_b16", "vit_b_16"),
        ("hf:no/such-model", "nothing is downloaded"),
        ("hf:no/such/model/anywhere", "nothing is downloaded"),
        ("python:json", "PACKAGE.MODULE:FUNCTION"),
        ("python:no_such_module_xyz:build", "no module 'no_such_module_xyz'"),
        (
            "python:./no_such_file_xyz.py:build",
            "no_such_file_xyz.py'; accepted: python:PACKAGE.MODULE:",
        ),
        ("python:C:\\models\\vit.py:build", "no such file"),
        ("python:./file.py", "python:FILE.py:FUNCTION"),
    ],
)
def test_a_wrong_source_is_one_line_that_says_what_is_accepted(source, expected):
    assert expected in message(source)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        ("fails", "ValueError: first line second line"),
        ("leaves", "SystemExit: 7"),
        ("lazy", "0.weight has no size"),
        ("number", "made int, not a torch.nn.Module"),
        ("needs_argument", "TypeError"),
        ("god", "nearest in own_models: good"),
    ],
)
def test_what_goes_wrong_in_the_users_function_is_one_line(package, function, expected):
    text = message(f"{package}:{function}")
    assert expected in text
    assert len(text) < MAX_MESSAGE + 100


def test_a_module_that_misses_another_is_told_apart_from_a_missing_module(package):
    assert "ModuleNotFoundError: No module named 'surely_not_installed_xyz'" in message("python:broken_models:build")


def test_the_users_function_is_found_in_the_working_directory_and_prints_nothing_to_stdout(package, capsys):
    before = list(sys.path)
    module = build_source(f"{package}:good").module
    assert isinstance(module, nn.TransformerEncoderLayer)
    assert {p.device.type for p in module.parameters()} == {"meta"}
    assert sys.path == before
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "printed while building" in printed.err


@pytest.mark.parametrize(
    "spelled", ["own_models.py", "./own_models.py", "{here}/own_models.py", ".\\own_models.py", "./own_models"]
)
def test_the_users_file_may_be_named_as_files_are(package, tmp_path, spelled):
    before = list(sys.path)
    module = build_source(f"python:{spelled.format(here=tmp_path)}:good").module
    assert isinstance(module, nn.TransformerEncoderLayer)
    assert sys.path == before


def test_a_file_elsewhere_or_of_the_name_of_a_known_module_is_that_file(package, tmp_path):
    for folder in (tmp_path, tmp_path / "a folder"):
        folder.mkdir(exist_ok=True)
        (folder / "beside_xyz.py").write_text("width = 5")
        (folder / "json.py").write_text(
            "from torch import nn\nfrom beside_xyz import width\ndef build():\n    return nn.Linear(width, 1)"
        )
        module = build_source(f"python:{folder / 'json.py'}:build").module
        assert module.in_features == 5
    assert "did you mean 'own_models.py'" in message("python:own_model.py:good")
    sys.modules.pop("beside_xyz", None)


def test_a_module_instead_of_a_function_is_taken_as_it_is(package):
    assert sum(p.numel() for p in build_source(f"{package}:ready").module.parameters()) == 16


def test_a_constructor_that_needs_numbers_is_built_all_the_same_and_says_so(package):
    built = build_source(f"{package}:needs_numbers")
    assert len(list(built.module)) == 3
    assert any("needs numbers" in note for note in built.notes)


def test_a_library_that_is_not_installed_names_the_extra(monkeypatch):
    monkeypatch.delitem(sys.modules, "timm", raising=False)
    monkeypatch.setattr(sys, "meta_path", [_Missing("timm"), *sys.meta_path])
    assert "minform[models]" in message("timm:vit_small_patch16_224")


class _Missing:
    """An import path on which one module is not to be found."""

    def __init__(self, name: str) -> None:
        self.name = name

    def find_spec(self, name, path=None, target=None):
        if name == self.name:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ("{", "JSON"),
        ("[]", "hf:"),
        ("{}", "model_type"),
        ('{"model_type": "no_such_type"}', "no_such_type"),
        ('{"model_type": "bert", "hidden_size": -1}', "hf:"),
        ('{"model_type": "bert", "hidden_size": "wide"}', "hf:"),
    ],
)
def test_a_damaged_config_is_one_line(tmp_path, config, expected):
    (tmp_path / "config.json").write_text(config)
    assert expected in message(f"hf:{tmp_path}")


def test_a_folder_without_a_config_is_one_line(tmp_path):
    assert "no config.json" in message(f"hf:{tmp_path}")


def test_code_in_a_model_folder_never_runs(tmp_path):
    proof = tmp_path / "ran"
    (tmp_path / "evil.py").write_text(f"open({str(proof)!r}, 'w')\nclass C: pass\n")
    auto = {"AutoConfig": "evil.C", "AutoModel": "evil.C"}
    config = {"model_type": "evil", "auto_map": auto, "architectures": ["C", "os.system", "__doc__"]}
    (tmp_path / "config.json").write_text(json.dumps(config))
    message(f"hf:{tmp_path}")
    config = {"model_type": "bert", "num_hidden_layers": 1, "auto_map": auto, "architectures": ["C", "AutoModel"]}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert type(build_source(f"hf:{tmp_path}").module).__name__ == "BertModel"
    assert not proof.exists()


def test_no_source_opens_a_connection(tmp_path, monkeypatch):
    def refuse(*_args, **_kwargs):
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    config = {"model_type": "detr", "use_timm_backbone": True, "use_pretrained_backbone": True, "backbone": "resnet18"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    for source in (f"hf:{tmp_path}", "torchvision:fasterrcnn_resnet50_fpn", "timm:vit_tiny_patch16_224"):
        assert isinstance(build_source(source).module, nn.Module)
    assert "nothing is downloaded" in message("hf:google/no-such-model")
    assert "HF_HUB_OFFLINE" not in os.environ


@pytest.mark.slow  # a process of its own: the libraries read the switch once, when they are imported
def test_a_backbone_that_a_config_names_is_not_fetched(tmp_path):
    config = {"model_type": "detr", "use_timm_backbone": False, "backbone": "microsoft/resnet-50"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    code = f"""
import socket, sys
def refuse(*args, **kwargs):
    sys.exit("a connection was opened")
socket.socket.connect = socket.getaddrinfo = refuse
from minform_cli.foreign.sources import build_source
from minform_cli.errors import InputError
try:
    build_source("hf:{tmp_path}")
except InputError as error:
    print(error)
"""
    environment = {key: value for key, value in os.environ.items() if key != "HF_HUB_OFFLINE"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert "a connection was opened" not in done.stdout + done.stderr


def test_the_default_device_is_left_as_it_was():
    build_source("torchvision:resnet18")
    assert torch.empty(1).device.type == "cpu"
