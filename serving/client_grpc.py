"""Send a layout to a served model by gRPC, and write the pictures. Needs tensorflow-serving-api.

python serving/client_grpc.py layout.png picture.png
"""

import argparse
import os
import sys
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("layout", type=Path, help="PNG of class ids or palette colours, of any size")
    parser.add_argument("picture", type=Path, help="where to; several are numbered: picture_0.png, picture_1.png, ...")
    parser.add_argument("--address", default="localhost:8500", help="of the server")
    parser.add_argument("--model", default="crn", help="name of the model")
    parser.add_argument("--timeout", type=float, default=600, help="seconds to wait")
    arguments = parser.parse_args()
    if os.path.isdir(arguments.picture) or not os.path.isdir(
        arguments.picture.parent
    ):  # known before a server computes
        sys.exit(f"error: cannot write {arguments.picture}: expected a file's name in a folder that is there")
    try:
        png = arguments.layout.read_bytes()
    except OSError as error:
        sys.exit(f"error: cannot read the layout {arguments.layout}: {error.strerror}")

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import grpc  # only now: the API imports TensorFlow, which takes seconds
    from tensorflow.core.framework import tensor_pb2, types_pb2
    from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = arguments.model, "layout_png"
    layouts = tensor_pb2.TensorProto(dtype=types_pb2.DT_STRING, string_val=[png])
    layouts.tensor_shape.dim.add(size=1)
    request.inputs["layout_bytes"].CopyFrom(layouts)
    unlimited = [("grpc.max_receive_message_length", -1)]  # 4 MB by default
    with grpc.insecure_channel(arguments.address, options=unlimited) as channel:
        try:
            answer = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict(request, arguments.timeout)
        except grpc.RpcError as error:
            sys.exit(f"error: {error.code().name}: {reason(error.details())}")
    pictures = answer.outputs["image_bytes"].string_val
    for number, picture in enumerate(pictures):
        suffix = f"_{number}" if len(pictures) > 1 else ""
        path = arguments.picture.with_stem(arguments.picture.stem + suffix)
        try:
            path.write_bytes(picture)
        except OSError as error:
            sys.exit(f"error: cannot write {path}: {error.strerror}")
        print(path)


def reason(message: str) -> str:
    """What the model said of a request, without where in its graph it was, on one line."""
    return " ".join(message.rpartition("assertion failed: [")[2].partition("\n")[0].removesuffix("]").split())


if __name__ == "__main__":
    main()
