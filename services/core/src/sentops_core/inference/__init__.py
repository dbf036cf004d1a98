"""Answering from an artefact folder."""

from sentops_core.inference.golden import write_golden
from sentops_core.inference.scored import Scored
from sentops_core.inference.scorer import Scorer
from sentops_core.inference.vocabulary import Vocabulary

__all__ = ["Scored", "Scorer", "Vocabulary", "write_golden"]
