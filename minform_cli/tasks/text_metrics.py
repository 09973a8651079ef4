"""BLEU and chrF of a whole split, by sacrebleu, and the signatures without which such figures cannot be compared.

Source: A Call for Clarity in Reporting BLEU Scores, arXiv 1804.08771.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

PERCENT = 100
"""sacrebleu's scores are 0 to 100."""


def measured(written: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """`bleu` and `chrf` (chrF2), 0 to 1; one reference for each text."""
    assert len(written) == len(references), "one reference for each text"
    return {
        name: min(1.0, metric.corpus_score(list(written), [list(references)]).score / PERCENT)
        for name, metric in _metrics().items()
    }


def signatures() -> dict[str, str]:
    """Settings and version of both, as sacrebleu writes them."""
    found: dict[str, str] = {}
    for name, metric in _metrics().items():
        metric.corpus_score([""], [[""]])  # it knows how many references there are only then
        found[name] = str(metric.get_signature())
    return found


def _metrics() -> Mapping[str, BLEU | CHRF]:
    # Told that it is forced, sacrebleu does not print its advice on sentences that end in " .": they are the user's.
    return {"bleu": BLEU(force=True), "chrf": CHRF()}
