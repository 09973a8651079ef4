"""A new data set of text is one file, as this one is: `spec`, `load`, and three lines that say what it is."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
import torch

from minform_cli.config.schema import DataConfig
from minform_cli.data.batches import make_batches
from minform_cli.data.load import load_data
from minform_cli.data.sample import sample_digest, sampled
from minform_cli.data.spec import DATA_SETS, TextSpec
from minform_cli.data.text.corpora import TextData, load_corpora
from minform_cli.data.text.corpus import look_through
from minform_cli.data.text.lines import TextFile
from minform_cli.data.text.places import Texts
from tests.data.text.prose import prose, run_config

SUMMARY = "made-up prose"
SOURCE = "this file"
TAKES: tuple[str, ...] = ()


def spec(data: DataConfig) -> TextSpec:
    return TextSpec(name="made-up", title="made up", source=SOURCE, vocab_size=data.vocab_size, seq_len=data.seq_len)


def load(data: DataConfig, tell: Callable[[str], None]) -> TextData:
    corpora = [
        look_through(f"made up {seed}", f"made up {seed}", [TextFile("made up", lambda t=text: io.BytesIO(t.encode()))])
        for seed, text in ((0, prose(60)), (1, prose(20, seed=1)))
    ]
    return load_corpora(data, spec(data), Texts(corpora[0], corpora[1], None, ()), tell)


def test_it_is_loaded_batched_sampled_and_kept_in_the_cache_by_what_is_there(own_cache, monkeypatch) -> None:
    modules = {name: DATA_SETS.get(name).__name__ for name in DATA_SETS.names()} | {"made-up": __name__}
    monkeypatch.setattr(DATA_SETS, "_modules", modules)
    config = run_config("next-token", name="made-up", vocab_size=120)
    data = load_data(config.data)
    assert isinstance(data, TextData)
    assert (data.spec.num_train, data.spec.num_val, data.spec.own_val) == (len(data.train), len(data.val), True)
    (first, *_) = make_batches(data, config, torch.device("cpu")).epoch(0)
    assert first.inputs[0] is not None
    assert first.inputs[0].shape == (16, 11)
    assert sample_digest(sampled(data, 5, 0)) != sample_digest(sampled(data, 5, 1))
    assert len(list((own_cache / "tokens").glob("*.bin"))) == 3  # the tokenizer, and two texts
    again = load_data(config.data)
    assert again.fingerprint == data.fingerprint
    assert np.array_equal(again.train.take(np.arange(3)), data.train.take(np.arange(3)))


def test_without_being_registered_it_is_not_known() -> None:
    with pytest.raises(Exception, match="unknown data set 'made-up'"):
        load_data(DataConfig(name="made-up"))
