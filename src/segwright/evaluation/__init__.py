"""How good a model is: exact counts, and the usual scores."""

from segwright.evaluation.boundary import BoundaryCounts, BoundaryScores, ClassBoundaryScores
from segwright.evaluation.metrics import ClassScores, ConfusionMatrix, Scores
from segwright.evaluation.predictions import predict_pairs
from segwright.evaluation.run import evaluate, print_scores
from segwright.evaluation.scoring import labelled_pairs, score

__all__ = [
    "BoundaryCounts",
    "BoundaryScores",
    "ClassBoundaryScores",
    "ClassScores",
    "ConfusionMatrix",
    "Scores",
    "evaluate",
    "labelled_pairs",
    "predict_pairs",
    "print_scores",
    "score",
]
