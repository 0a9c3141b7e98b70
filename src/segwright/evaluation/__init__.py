"""How good a model is: exact counts, and the scores that people compare."""

from segwright.evaluation.confusion import ClassScores, ConfusionMatrix, Scores
from segwright.evaluation.folders import evaluate, show
from segwright.evaluation.scoring import count_pairs

__all__ = ["ClassScores", "ConfusionMatrix", "Scores", "count_pairs", "evaluate", "show"]
