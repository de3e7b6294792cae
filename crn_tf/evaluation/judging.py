"""The pass over all pictures: each is read once, looked at by segmenter, features and perceiver, and forgotten."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from tqdm import tqdm

from crn_tf.evaluation.confusion import Counts, Tallies, confusion_matrix
from crn_tf.evaluation.methods import Judged, Method
from crn_tf.evaluation.paired import PairedScores, compare
from crn_tf.evaluation.pictures import Picture, Viewer
from crn_tf.evaluation.segmenters import Segmenter
from crn_tf.tensors import Floats


@dataclass
class Evidence:
    """What is kept of a method's pictures: a few numbers for each.

    Attributes:
        method: Whose.
        confusion: The confusion matrix of all pictures [classes, classes].
        tallies: Of each layout's pictures together, in the order of layouts.
        features: Of each layout's pictures, float32 [k, d].
        paired: Scores of each layout's pictures.
        digest: SHA-256 of all pictures' content.
    """

    method: Method
    confusion: Counts
    tallies: list[Tallies] = field(default_factory=list)
    features: list[Floats] = field(default_factory=list)
    paired: list[PairedScores] = field(default_factory=list)
    digest: str = ""

    def stacked(self, name: str) -> Floats:
        """A paired score of all layouts [layouts, k, ...]."""
        return np.stack([getattr(scores, name) for scores in self.paired])


def judge(
    methods: Sequence[Method],
    judged: Judged,
    viewer: Viewer,
    segmenter: Segmenter,
    features: Callable[[Picture], Floats],
    loss_weights: Sequence[float],
) -> list[Evidence]:
    """Look at all pictures of all methods.

    Args:
        methods: What is judged.
        judged: Layouts and photographs.
        viewer: The perceiver.
        segmenter: Reads classes.
        features: Of a picture, float32 [d].
        loss_weights: A weight for each tap of the content loss.

    Raises:
        UserError: A file cannot be read.
    """
    num_classes = len(judged.data.classes.names)
    found = [Evidence(method, np.zeros((num_classes, num_classes), np.int64)) for method in methods]
    digests = [hashlib.sha256() for _ in methods]
    total = len(judged) * sum(method.images for method in methods)
    with tqdm(total=total, desc="judging", unit="picture", disable=None) as bar:
        for position in range(len(judged)):
            pixels, layout = judged.load(position)
            photo = Picture(pixels, viewer)
            for evidence, digest in zip(found, digests, strict=True):
                pictures = [Picture(each, viewer) for each in evidence.method.read(position, pixels, layout)]
                pictures = [photo if each.pixels is pixels else each for each in pictures]  # it was looked at already
                matrix = np.sum([confusion_matrix(layout, segmenter(each), num_classes) for each in pictures], axis=0)
                evidence.confusion += matrix
                evidence.tallies.append(Tallies.of(matrix))
                evidence.features.append(np.stack([features(each) for each in pictures]))
                evidence.paired.append(compare(photo, pictures, loss_weights))
                for each in pictures:
                    digest.update(each.digest.encode())
                bar.update(len(pictures))
    for evidence, digest in zip(found, digests, strict=True):
        evidence.digest = digest.hexdigest()
    return found
