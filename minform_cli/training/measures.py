"""With what translations are measured: chosen once, when a run begins, told, and kept in ``run.json``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from minform_cli.config.schema import BleuTokenizer, RunConfig
from minform_cli.data.load import Data
from minform_cli.errors import counted
from minform_cli.tasks import TASKS

if TYPE_CHECKING:
    from minform_cli.data.text.tokenizer import Vocabulary

LONGEST_NGRAM = 4
"""Of words, that BLEU counts; a split whose sentences are all shorter has none right."""


def with_measures(config: RunConfig, data: Data) -> tuple[RunConfig, tuple[str, ...]]:
    """`config` with the tokeniser that BLEU is counted with chosen, and what the user should know of the figures."""
    if not TASKS.info(config.task).decodes:
        return config, ()
    from minform_cli.data.pairs.pair_data import PairData
    from minform_cli.data.text.tokenizer import from_json
    from minform_cli.tasks.text_metrics import chosen_for, num_words

    assert isinstance(data, PairData), "what is translated comes in pairs"
    notes: list[str] = []
    if config.data.bleu_tokenizer == "auto":
        chosen, said = chosen_for(data.script)
        config, notes = config.with_bleu_tokenizer(chosen), [said] if said else []
    words, references = config.data.bleu_tokenizer, data.val.references
    if not any(num_words(text, words) >= LONGEST_NGRAM for text in references):
        notes.append(
            f"BLEU is 0 whatever is written: in the eyes of sacrebleu's tokeniser {words} no validation sentence has "
            f"{LONGEST_NGRAM} words; chrF2 still tells, and data.bleu_tokenizer sets another"
        )
    if spelled := _spelled(from_json(data.tokenizer, "tokenizer"), references, words):
        notes.append(spelled)
    return config, tuple(notes)


def _spelled(vocabulary: Vocabulary, references: Sequence[str], words: BleuTokenizer) -> str:
    """What the tokenizer costs at most, as it may know no capitals or not every letter; empty for nothing."""
    from minform_cli.tasks.text_metrics import PERCENT, measured

    respelled = [vocabulary.tokenizer.decode(tokens) for tokens in vocabulary.encode(list(references))]
    num = sum(ours.split() != theirs.split() for ours, theirs in zip(respelled, references, strict=True))
    best = measured(respelled, references, words) if num else {"bleu": 1.0}
    if min(best.values()) == 1:
        return ""
    scores = f"BLEU {PERCENT * best['bleu']:.2f} and chrF2 {PERCENT * best['chrf']:.2f}"
    return (
        f"a translation without a mistake has {scores}: the tokenizer cannot spell {num:,} of "
        f"{counted(len(references), 'validation sentence')} as they stand (capitals, accents, unknown letters); "
        "data.tokenizer byte-bpe keeps everything"
    )
