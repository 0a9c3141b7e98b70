"""How good a model is: exact counts, and the scores that people compare."""

from segwright.evaluation.count import count_pairs
from segwright.evaluation.metrics import ClassScores, ConfusionMatrix, Scores
from segwright.evaluation.run import evaluate, show

__all__ = ["ClassScores", "ConfusionMatrix", "Scores", "count_pairs", "evaluate", "show"]
