"""Models of a transformers ``config.json``: from a folder, or from the local cache by name. Never from the network.

The class is the one that the config's `architectures` names, where transformers itself has it (GPT2LMHeadModel, so
that the tied output is there), else the plain model that `AutoModel` chooses. A config's own code is never run.
"""

from __future__ import annotations

import contextlib
import importlib
import os
from collections.abc import Callable, Generator
from types import ModuleType
from typing import Any

from minform_cli.errors import InputError
from minform_cli.files import user_path


def hugging_face(name: str) -> tuple[Callable[[], object], list[str]]:
    """What builds the model of `name`, a folder or a cached name.

    Raises:
        InputError: there is no ``config.json``, or transformers is not installed.
    """
    folder = user_path(name)
    if folder.is_dir() and not (folder / "config.json").is_file():
        raise InputError(f"--model hf:{name}: the folder has no config.json")
    with offline():
        transformers = library("transformers")
        try:
            # An attention kernel's name can stand for code to download.
            config = transformers.AutoConfig.from_pretrained(
                str(folder) if folder.is_dir() else name,
                local_files_only=True,
                trust_remote_code=False,
                attn_implementation="eager",
            )
        except OSError as error:
            if folder.is_dir():
                raise
            raise InputError(
                f"--model hf:{name}: neither a folder with config.json nor a model in the local cache; nothing is "
                "downloaded, fetch its config.json first"
            ) from error
    if getattr(config, "use_pretrained_backbone", False):
        config.use_pretrained_backbone = False
    named = next((found for found in config.architectures or [] if _is_model(transformers, found)), None)

    def build() -> object:
        with offline():
            if named is None:
                return transformers.AutoModel.from_config(config, trust_remote_code=False)
            return getattr(transformers, named)(config)

    return build, []


def _is_model(transformers: ModuleType, name: object) -> bool:
    """Whether `name` is a model class of transformers itself."""
    found = getattr(transformers, name, None) if isinstance(name, str) else None
    return isinstance(found, type) and issubclass(found, transformers.PreTrainedModel)


@contextlib.contextmanager
def offline() -> Generator[None]:
    """``HF_HUB_OFFLINE=1``, which the libraries read when they are imported: a config may name a backbone to fetch."""
    before = os.environ.get("HF_HUB_OFFLINE")
    os.environ["HF_HUB_OFFLINE"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["HF_HUB_OFFLINE"]
        else:
            os.environ["HF_HUB_OFFLINE"] = before


def library(name: str) -> Any:
    """The optional library `name`.

    Raises:
        InputError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise InputError(f"--model: {name} is not installed; pip install 'minform[models]'") from None
