"""Pictures of a trained model, synthesized to be judged, and how long that takes."""

import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from tqdm import tqdm

from crn_tf.data.images import Fit, write_image
from crn_tf.evaluation.methods import Judged, PictureFiles
from crn_tf.model.synthesizer import Synthesizer


def synthesize(
    name: str,
    synthesizer: Synthesizer,
    fit: Fit,
    judged: Judged,
    folder: Path,
    about: Mapping[str, object],
) -> PictureFiles:
    """Synthesize pictures of all judged layouts, one layout at a time, and write them.

    Args:
        name: Of the method.
        synthesizer: Of the model, at its own size.
        fit: How the model takes layouts of another shape.
        judged: The pairs.
        folder: For the pictures; PNG, since what is lost in a JPEG is measured.
        about: What there is to say about the model.

    Returns:
        The pictures, and the seconds that one layout took: the median, without reading, writing and the first layout,
        for which the graph is built.

    Raises:
        UserError: A layout cannot be read, or a picture cannot be written.
    """
    paths, seconds = [], []
    for position, index in enumerate(tqdm(judged.indices, f"synthesizing {name}", unit="layout", disable=None)):
        layout = judged.data.load_layout(index, synthesizer.size, fit)
        start = time.perf_counter()
        images = synthesizer(layout[None])[0]
        if position or len(judged) == 1:
            seconds.append(time.perf_counter() - start)
        several = len(images) > 1
        stem = judged.data.name(index)
        paths.append([folder / f"{stem}_{u}.png" if several else folder / f"{stem}.png" for u in range(len(images))])
        for path, image in zip(paths[-1], images, strict=True):
            write_image(path, image)
    return PictureFiles(name, paths, synthesizer.size, judged.size, float(np.median(seconds)), about)
