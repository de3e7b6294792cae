"""Warm-up records: requests that TF Serving runs through a model before it answers the first real one."""

from pathlib import Path

import tensorflow as tf
from tensorflow.core.framework.tensor_pb2 import TensorProto

WARMUP_FILE = Path("assets.extra/tf_serving_warmup_requests")  # where TF Serving looks in a version's folder
MODEL_NAME = "crn"  # in serving/models.config, and in the URLs of requests


def write_warmup(folder: Path, requests: dict[str, dict[str, TensorProto]]) -> bool:
    """Write one request for each signature.

    Args:
        folder: The SavedModel's folder.
        requests: For each signature, its inputs by name.

    Returns:
        False if tensorflow-serving-api is not installed, and nothing was written.
    """
    try:
        from tensorflow_serving.apis import predict_pb2, prediction_log_pb2
    except ImportError:
        return False
    path = folder / WARMUP_FILE
    path.parent.mkdir()
    with tf.io.TFRecordWriter(str(path)) as writer:
        for signature, inputs in requests.items():
            request = predict_pb2.PredictRequest()
            request.model_spec.name, request.model_spec.signature_name = MODEL_NAME, signature
            for name, value in inputs.items():
                request.inputs[name].CopyFrom(value)
            log = prediction_log_pb2.PredictionLog(predict_log=prediction_log_pb2.PredictLog(request=request))
            writer.write(log.SerializeToString())
    return True
