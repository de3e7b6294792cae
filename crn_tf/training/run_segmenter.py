"""The segmenter that a run trains against: the evaluation's own kind, from another start than its judge."""

from dataclasses import replace
from pathlib import Path

from crn_tf.errors import UserError
from crn_tf.evaluation.kept_segmenters import read_about
from crn_tf.evaluation.pictures import Viewer
from crn_tf.evaluation.segmenter_training import Recipe, find_or_train, read_segmenter
from crn_tf.model.description import ModelDescription
from crn_tf.saved.run_folder import RunFolder
from crn_tf.training.adversarial import AdversarialTrainer
from crn_tf.training.run_data import RunData
from crn_tf.training.settings import TrainSettings

STEPS_SHARE = 10  # times the run's steps, at most: a short trial of a run is not kept waiting
START = 1  # of its fresh weights and its order of photographs; the judge's is 0


def give_segmenter(
    trainer: AdversarialTrainer,
    settings: TrainSettings,
    description: ModelDescription,
    data: RunData,
    folder: RunFolder,
    steps: int,
) -> Path:
    """Give a trainer its segmenter: that of the settings, else one that is trained now, and kept in the run's folder.

    Args:
        trainer: Whose loss asks for one.
        settings: Of the run.
        description: Of its model.
        data: Of the run: the training pairs are those of the segmenter too.
        folder: Of the run.
        steps: That the run will take: the segmenter is trained for at most ten times as many.

    Returns:
        Its folder.

    Raises:
        UserError: It is of other classes, or of another perceiver; or photographs cannot be read.
    """
    head = trainer.segmenter_head
    viewer = Viewer(settings.vgg_weights, settings.vgg_pool)
    if settings.segmenter:
        kept = read_about(settings.segmenter)["settings"]
        for name, expected in (("classes", list(description.classes.names)), ("perceiver", viewer.identity)):
            if kept.get(name) != expected:
                raise UserError(f"the segmenter {settings.segmenter} has other {name} than this run")
        read_segmenter(settings.segmenter, head)
        return settings.segmenter
    recipe = Recipe(start=START)
    recipe = replace(recipe, steps=min(recipe.steps, STEPS_SHARE * steps))
    pairs = data.pairs
    found = find_or_train(
        viewer, pairs, pairs.fingerprint(), data.held_out, settings.size, settings.fit, folder.path, recipe
    )
    head.set_weights(found.head.get_weights())
    return Path(found.about["folder"])
