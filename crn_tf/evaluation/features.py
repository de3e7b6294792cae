"""Networks whose features of whole pictures are compared as distributions: --features of the command."""

from pathlib import Path
from typing import Protocol

import numpy as np
from keras import ops

from crn_tf.errors import UsageError
from crn_tf.evaluation.feature_cache import FeatureCache
from crn_tf.evaluation.onnx_networks import OnnxNetwork, extra
from crn_tf.evaluation.pictures import Picture, Viewer
from crn_tf.tensors import Floats

EXPECTED = "expected vgg19, inception or FILE.onnx"


class FeatureNetwork(Protocol):
    """From a picture to a vector.

    Attributes:
        name: For tables.
        identity: Changes when its features do.
        shared: Whether they are those of the perceiver, which the training loss compares.
    """

    name: str
    identity: str
    shared: bool

    def __call__(self, picture: Picture) -> Floats:
        """Features float32 [d] of a picture."""


def open_features(asked: str, viewer: Viewer) -> FeatureNetwork:
    """Find a network of features.

    Args:
        asked: "vgg19", "inception" or FILE.onnx.
        viewer: The perceiver, for the first.

    Raises:
        UsageError: It is something else.
        UserError: What it needs is not installed, or its file is damaged.
    """
    if asked == "vgg19":
        return PooledTaps(viewer)
    if asked == "inception":
        return CleanInception()
    if asked.endswith(".onnx"):
        return OnnxFeatures(OnnxNetwork(Path(asked), f"--features {asked}"))
    raise UsageError(f"--features {asked}: {EXPECTED}")


class PooledTaps:
    """The perceiver's taps, each channel's mean over the picture, each tap's vector at the same length.

    So every tap has the same say, and what comes out does not depend on the scale of a perceiver's activations, on
    which KID's kernel would depend much. The mean square of all numbers is one.
    """

    shared = True

    def __init__(self, viewer: Viewer) -> None:
        """Take the perceiver."""
        self.name = f"vgg19 ({viewer.name})"
        self.identity = f"pooled taps of one length, {viewer.identity}"

    def __call__(self, picture: Picture) -> Floats:
        pooled = [np.asarray(ops.mean(tap, axis=(0, 1, 2)), np.float64) for tap in picture.taps]
        directions = np.concatenate([tap / np.maximum(np.linalg.norm(tap), 1e-12) for tap in pooled])
        return (directions * np.sqrt(len(directions) / len(pooled))).astype(np.float32)


class CleanInception:
    """The Inception of 2015 that FID is defined with, as clean-fid resizes pictures for it: the standard numbers."""

    name, identity, shared = "inception (clean-fid)", "clean-fid inception", False

    def __init__(self) -> None:
        """Load it; clean-fid fetches its weights on first use.

        Raises:
            UserError: clean-fid is not installed.
        """
        what_for = "--features inception"
        self._torch = extra("torch", "clean-fid", what_for)
        features = extra("cleanfid.features", "clean-fid", what_for)
        self._resize = extra("cleanfid.resize", "clean-fid", what_for).build_resizer("clean")
        self._model = features.build_feature_extractor("clean", self._torch.device("cpu"), use_dataparallel=False)

    def __call__(self, picture: Picture) -> Floats:
        resized = self._resize(picture.pixels)  # float32 [299, 299, 3], not rounded
        batch = self._torch.from_numpy(np.ascontiguousarray(resized.transpose(2, 0, 1))[None])
        with self._torch.no_grad():
            return np.asarray(self._model(batch).numpy()[0], np.float32)


class OnnxFeatures:
    """A network of the user's; of maps, each channel's mean."""

    shared = False

    def __init__(self, network: OnnxNetwork) -> None:
        """Take over an open network."""
        self._network = network
        self.name, self.identity = network.path.name, f"onnx {network.identity}"

    def __call__(self, picture: Picture) -> Floats:
        output = self._network(picture.pixels)
        if output.ndim == 3:
            output = output.mean((1, 2) if self._network.channels_first else (0, 1))
        return output.reshape(-1).astype(np.float32)


class RememberedFeatures:
    """Features, computed once for each picture there is, whatever its file is called."""

    def __init__(self, network: FeatureNetwork, cache: FeatureCache) -> None:
        """Put a cache in front of a network."""
        self._network, self._cache = network, cache
        self.computed = 0  # of this process

    def __call__(self, picture: Picture) -> Floats:
        """Features float32 [d] of a picture.

        Raises:
            UserError: The cache cannot be used.
        """
        known = self._cache.get(self._network.identity, picture.digest)
        if known is None:
            known = self._network(picture)
            self._cache.put(self._network.identity, picture.digest, known)
            self.computed += 1
        return known
