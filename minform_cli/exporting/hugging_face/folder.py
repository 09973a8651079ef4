"""Writes the folder: as a class of transformers, or with a class of ours, and reads it back."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor

from minform_cli.data.spec import ImageSpec
from minform_cli.errors import InputError
from minform_cli.exporting.files import CONFIG, MODEL
from minform_cli.exporting.hugging_face import images, ours, text
from minform_cli.exporting.hugging_face.loading import code
from minform_cli.exporting.hugging_face.names import Rendered
from minform_cli.exporting.hugging_face.sentences import write_modules
from minform_cli.exporting.hugging_face.standard import Ledger, NotStandard, as_standard
from minform_cli.exporting.hugging_face.tokenizing import tokenizer_config
from minform_cli.exporting.source import Batch, Exported, Written
from minform_cli.files import write_atomic, write_json
from minform_cli.foreign.hugging_face import offline
from minform_cli.models.parts.readout import MeanOfTokens, Pooler
from minform_cli.models.stack import ImageEncoder

HAS_GRAPH = True


def write(model: Exported, folder: Path) -> Written:
    """Writes weights, ``config.json`` and what prepares inputs.

    Raises:
        InputError: transformers is not installed, or `expand` is asked for and no class of it is the model.
    """
    transformers = library()
    ledger = Ledger()
    try:
        rendered = render(model, ledger)
    except NotStandard as error:
        if model.expand:
            raise InputError(f"--expand: no class of transformers is this model: {error}") from None
        return _ours(transformers, model, folder, f"no class of transformers is this model: {error}")
    numbers = sum(tensor.numel() for tensor in rendered.tensors.values())
    if ledger.expanded and numbers > model.numbers and not model.expand:
        larger = f"{rendered.architecture} would take {numbers:,} numbers; --expand writes it so"
        return _ours(transformers, model, folder, larger)
    _config(transformers, folder, rendered.architecture, rendered.config)
    _tensors(folder, rendered.tensors)
    _beside(model, folder)
    loaded = _read(getattr(transformers, rendered.architecture), folder)
    return Written(
        file=MODEL,
        numbers=numbers,
        loader=f"transformers.{rendered.architecture}",
        run=_outputs_of(model, loaded),
        load=code(model, rendered.auto, _pooling(model)),
        expanded=ledger.told(),
        filled=_filled(model, numbers, ledger),
    )


def render(model: Exported, ledger: Ledger) -> Rendered:
    """The model as a class of transformers.

    Raises:
        NotStandard: none is it.
    """
    encoder = as_standard(model)
    if isinstance(encoder, ImageEncoder):
        return images.render(model, encoder, ledger)
    return text.render(model, encoder, ledger)


def _outputs_of(model: Exported, loaded: Any, *, own: bool = False) -> Callable[[Batch], Tensor]:
    """What a model of transformers, of our `own` classes or its, gives for a batch, as our model gives it."""

    def run(batch: Batch) -> Tensor:
        given = dict(batch)
        if model.inside:
            given["pixel_values"] = given["pixel_values"].float() / 255
        if loaded.config.model_type == "distilbert":
            given.pop("token_type_ids", None)
        outputs = loaded(**given)
        if model.graph.output == "logits":
            return outputs.logits
        readout = as_standard(model).readout
        if own or isinstance(readout, Pooler):
            return outputs.pooler_output
        return readout(outputs.last_hidden_state, batch["attention_mask"].bool())

    return run


def library() -> Any:
    """transformers.

    Raises:
        InputError: it is not installed.
    """
    with offline():
        try:
            return importlib.import_module("transformers")
        except ModuleNotFoundError as error:
            if error.name != "transformers":
                raise
            raise InputError("--format hf: transformers is not installed; pip install 'minform[models]'") from None


def _ours(transformers: Any, model: Exported, folder: Path, why: str) -> Written:
    from minform_cli.exporting.hugging_face.classes import CLASSES  # which imports transformers

    found, auto = CLASSES[model.config.task]
    _config(transformers, folder, found.__name__, ours.settings(model, found.__name__, auto))
    _tensors(folder, ours.tensors(model))
    write_atomic(folder / ours.MODELING, ours.module(found.__name__).encode())
    _beside(model, folder)
    if model.config.task == "translate":
        write_json(folder / "generation_config.json", ours.generation(model))
    return Written(
        file=MODEL,
        numbers=model.numbers,
        loader=f"{found.__name__} of minform, by trust_remote_code",
        run=_outputs_of(model, _read(found, folder), own=True),
        load=code(model, auto, "pooler_output", trust=True),
        notes=(f"what loads it needs minform: {why}",),
    )


def _pooling(model: Exported) -> str:
    """What a vector is made of, where a class of transformers gives the last states: `loading` knows how."""
    if isinstance(model.spec, ImageSpec):
        return ""
    readout = as_standard(model).readout
    return {Pooler: "pooler_output", MeanOfTokens: "mean"}.get(type(readout), "first")


def _config(transformers: Any, folder: Path, architecture: str, settings: Mapping[str, Any]) -> None:
    written = {
        "architectures": [architecture],
        **settings,
        "dtype": "float32",
        "transformers_version": transformers.__version__,
    }
    write_json(folder / CONFIG, written)


def _tensors(folder: Path, tensors: Mapping[str, Tensor]) -> None:
    apart = {name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()}
    write_atomic(folder / MODEL, safetensors.torch.save(apart, {"format": "pt"}))


def _beside(model: Exported, folder: Path) -> None:
    """What makes inputs: of images their preprocessing, of text how the tokenizer is called."""
    if isinstance(model.spec, ImageSpec):
        write_json(folder / "preprocessor_config.json", images.preprocessor(model))
    elif model.tokenizer is not None:
        write_json(folder / "tokenizer_config.json", tokenizer_config(model))
        if model.config.task != "translate":
            write_modules(model, folder)


def _read(cls: Any, folder: Path) -> Any:
    """The model as `cls` reads it from the folder; every tensor must find its place."""
    with offline(), _quiet():
        loaded, found = cls.from_pretrained(folder, local_files_only=True, output_loading_info=True)
    lost = {key: sorted(names) for key, names in found.items() if names}
    assert not lost, f"{cls.__name__} does not take the tensors as they are: {lost}"
    return loaded.eval()


@contextlib.contextmanager
def _quiet() -> Generator[None]:
    """No bars and no advice of transformers while a folder is read back."""
    logging = library().utils.logging
    bars, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _filled(model: Exported, numbers: int, ledger: Ledger) -> dict[str, int]:
    """What was filled in; where nothing became larger, what is left of the difference are columns left out."""
    found = dict(ledger.filled)
    left = numbers - model.numbers - sum(found.values())
    if not ledger.expanded and left > 0:
        found["columns and rows that others imply"] = left
    return found
