"""Translations from a trained model: token by token with what was computed kept, greedily or with a beam."""

from minform_cli.decoding.beam import Beams, beam_search
from minform_cli.decoding.cache import CachedDecoder
from minform_cli.decoding.greedy import greedy
from minform_cli.decoding.hypothesis import Hypothesis

__all__ = ["Beams", "CachedDecoder", "Hypothesis", "beam_search", "greedy"]
