"""From a data set in memory to its batches, whatever it is of."""

from __future__ import annotations

import torch

from minform_cli.config.schema import TOKENIZERS, RunConfig
from minform_cli.data.batch import WHOLE, Batches, Share
from minform_cli.data.images.image_batches import ImageBatches
from minform_cli.data.images.pixels import ImageData
from minform_cli.data.load import Data
from minform_cli.data.spec import check_batch_tokens


def check_tokenizer(config: RunConfig) -> None:
    """Raises `InputError` for a tokenizer file without what the task hides tokens with: before a text is tokenised.

    What data need whatever the task, loading them asks for.
    """
    if config.task == "masked-tokens" and config.data.tokenizer not in TOKENIZERS:
        from minform_cli.data.text.tokenizer import loaded

        loaded(config.data.tokenizer, config.data.vocab_size, needs=("mask",))


def make_batches(dataset: Data, config: RunConfig, device: torch.device, share: Share = WHOLE) -> Batches:
    """The batches of one run.

    Args:
        dataset: what `load_data` returned for the config's data.
        config: of the run: normalisation and augmentation, what is hidden, batch sizes, seed of order and chance.
        device: where the batches are wanted.
        share: this process's part of every batch. Which examples a batch has and how each is changed is the same
            however many share it.

    Raises:
        InputError: `train.batch_tokens` is for other data, or less than a pair has.
    """
    check_batch_tokens(config, dataset.spec)
    if isinstance(dataset, ImageData):
        return ImageBatches(dataset, config.data, config.train, config.seed, device, share)
    from minform_cli.data.glue.sentence_batches import SentenceBatches
    from minform_cli.data.glue.sentences import SentenceData
    from minform_cli.data.pairs.pair_batches import PairBatches
    from minform_cli.data.pairs.pair_data import PairData
    from minform_cli.data.text.corpora import TextData
    from minform_cli.data.text.text_batches import TextBatches

    if isinstance(dataset, SentenceData):
        return SentenceBatches(dataset, config, device, share)
    if isinstance(dataset, PairData):
        return PairBatches(dataset, config, device, share)
    assert isinstance(dataset, TextData), "a data set is of images, sentences, pairs of them or text"
    return TextBatches(dataset, config, device, share)
