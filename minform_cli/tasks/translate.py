"""Task `translate`: every token of a translation from the source sentence and the tokens before it.

The loss and its perplexity are means over the real target tokens, the end of the sentence included and filling left
out. (The perplexities that Anthe's authors publish appear to count filling too, which makes them smaller.)
Sources: Attention Is All You Need, arXiv 1706.03762, sections 3.4 and 5.4 (tied output, label smoothing); BLEU:
Papineni et al. 2002; chrF: Popovic 2015; both as sacrebleu computes them, arXiv 1804.08771.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from minform_cli.config.schema import BleuTokenizer
from minform_cli.data.spec import DataSpec
from minform_cli.tasks import Metric
from minform_cli.tasks.vocabulary import METRICS as OF_TOKENS
from minform_cli.tasks.vocabulary import TokenTask

METRICS: Mapping[str, Metric] = {
    **OF_TOKENS,
    "bleu": Metric("BLEU of the whole split over 100, 0 to 1", "higher"),
    "chrf": Metric("chrF2 of the whole split over 100, 0 to 1", "higher"),
}


class Translate(TokenTask):
    """One entry of the vocabulary for every place of the translation; whole translations are measured as texts."""

    @property
    def metrics(self) -> Mapping[str, Metric]:
        """`METRICS`."""
        return METRICS

    def measures(self, spec: DataSpec) -> tuple[str, ...]:  # noqa: ARG002  (other tasks ask the data)
        """BLEU first; accuracy is that of single tokens, each told the right ones before it."""
        return ("bleu", "chrf", "accuracy")

    def measure_texts(
        self, written: Sequence[str], references: Sequence[str], tokenizer: BleuTokenizer
    ) -> dict[str, float]:
        """`bleu`, over the words of `tokenizer`, and `chrf` of translations, in the order of their references."""
        from minform_cli.tasks.text_metrics import measured  # sacrebleu, which counting can do without

        return measured(written, references, tokenizer)

    def measured_by(self, tokenizer: BleuTokenizer) -> dict[str, str]:
        """What those two were computed with: the signature of each."""
        from minform_cli.tasks.text_metrics import signatures

        return signatures(tokenizer)


TASK = Translate()
