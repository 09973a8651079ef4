"""Translations of a split: written by the model itself, measured as texts.

Validation after every epoch writes greedily; the test split, read once, is written by beam search, as published figures
are. ``minform eval`` does each likewise unless it is told a number of beams.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from minform_cli.config.schema import BleuTokenizer, RunConfig
from minform_cli.data.batch import Batch, Split
from minform_cli.data.load import Data
from minform_cli.decoding.beam import Beams, beam_search
from minform_cli.decoding.greedy import greedy
from minform_cli.models.stack import EncoderDecoder
from minform_cli.runs.records import TranslationRecord
from minform_cli.tasks import TASKS
from minform_cli.tasks.translate import Translate
from minform_cli.training.team import Team

if TYPE_CHECKING:
    from minform_cli.data.pairs.pair_data import PairSplit
    from minform_cli.data.text.tokenizer import Vocabulary

TEST_BEAMS = 4

LENGTH_PENALTY = 1.0
"""Hypotheses are compared by their mean log-probability a token."""

LONGER = 50
"""A translation has at most so many tokens more than its source (arXiv 1706.03762, section 6.1)."""


@dataclass
class Translations:
    """What the model wrote so far of one split. Every process of a run has its own part until `measured` joins them.

    Attributes:
        task: measures texts.
        split: the pairs.
        vocabulary: from tokens to text and back.
        longest: most tokens the model can write, its end included.
        beams: 1 writes greedily.
        words: what cuts them into the words that BLEU compares.
    """

    task: Translate
    split: PairSplit
    vocabulary: Vocabulary
    longest: int
    beams: int
    words: BleuTokenizer
    _numbers: list[Tensor] = field(default_factory=list)
    _lengths: list[Tensor] = field(default_factory=list)
    _tokens: list[Tensor] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)

    def write(self, model: nn.Module, batch: Batch) -> None:
        """Translates the sources of `batch`."""
        assert isinstance(model, EncoderDecoder) and batch.numbers is not None, "a batch of pairs"
        source, real = cast(Tensor, batch.inputs[0]), batch.inputs[2]
        special = self.vocabulary.special
        lengths = torch.full((len(source),), source.shape[1]) if real is None else real.sum(1).cpu()
        most = (lengths + LONGER).clamp_(max=self.longest)
        banned = tuple(each for each in special.numbers if each != special.sep)
        if self.beams == 1:
            written = greedy(model, source, real, start=special.cls, end=special.sep, most=most, banned=banned)
        else:
            found = beam_search(
                model,
                source,
                real,
                start=special.cls,
                end=special.sep,
                most=most,
                beams=Beams(self.beams, LENGTH_PENALTY),
                banned=banned,
            )
            written = [best for best, *_ in found]
        tokens = [each.tokens for each in written]
        self._numbers.append(batch.numbers)
        self._lengths.append(torch.tensor([len(each) for each in tokens]))
        self._tokens.append(torch.tensor([token for each in tokens for token in each], dtype=torch.int64))

    def measured(self, team: Team) -> dict[str, float]:
        """BLEU and chrF of all that the processes wrote; afterwards `texts` are in the split's order."""
        numbers, lengths = team.gathered(self._numbers), team.gathered(self._lengths)
        pieces = team.gathered(self._tokens).split(lengths.tolist())
        self.texts = [self._text(pieces[place].tolist()) for place in numbers.argsort().tolist()]
        assert len(self.texts) == len(self.split), "every sentence is translated once"
        return self.task.measure_texts(self.texts, self.split.references, self.words)

    def each(self) -> list[float]:
        """chrF2 of each translation by itself, 0 to 1, in the split's order; once they are `measured`."""
        from minform_cli.tasks.text_metrics import each_chrf  # sacrebleu, which counting can do without

        return each_chrf(self.texts, self.split.references)

    def shown(self, number: int) -> list[TranslationRecord]:
        """The first `number` translations beside their sources and references."""
        return [
            TranslationRecord(
                source=self._text(self.split.source[place].tolist()),
                reference=self.split.references[place],
                translation=self.texts[place],
            )
            for place in range(min(number, len(self.texts)))
        ]

    def described(self) -> str:
        """How it was written, for people."""
        if self.beams == 1:
            return "written greedily"
        return f"written by beam search, {self.beams} beams, length penalty {LENGTH_PENALTY:g}"

    def _text(self, tokens: Sequence[int]) -> str:
        return self.vocabulary.tokenizer.decode(list(tokens), skip_special_tokens=True)


def translations_of(config: RunConfig, data: Data, split: Split, beams: int | None = None) -> Translations | None:
    """What takes the translations of a split; None for a task that writes no texts.

    Args:
        config: of the run.
        data: its data.
        split: one that has references: `val` or `test`; None is returned for `train`.
        beams: None: 1 in validation, `TEST_BEAMS` on the test split.
    """
    task = TASKS.get(config.task)
    if not isinstance(task, Translate) or split == "train":
        return None
    from minform_cli.data.pairs.pair_data import PairData  # the tokenizers, which runs on images can do without
    from minform_cli.data.text.tokenizer import from_json

    assert isinstance(data, PairData), "what is translated comes in pairs"
    pairs: PairSplit | None = getattr(data, split)
    assert pairs is not None, "the split is there"
    vocabulary = from_json(data.tokenizer, "tokenizer")
    beams = beams or (TEST_BEAMS if split == "test" else 1)
    return Translations(task, pairs, vocabulary, data.spec.seq_len, beams, config.data.bleu_tokenizer)
