"""A stand-in for a model server: a SavedModel behind the real PredictionService stubs (gRPC) and behind HTTP.

It is what the tests have in place of TF Serving, whose program they cannot run: what clients send is taken apart by
the API's own messages, and run by TensorFlow. It shows nothing of TF Serving's own work: loading, queues, versions.

python serving_stand_in.py SAVED_MODEL    prints its ports and its process id, and serves until its input ends
"""

import base64
import json
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc
import numpy as np
import tensorflow as tf
from google.protobuf import json_format
from tensorflow.core.framework import types_pb2
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

MODEL = "crn"
DEFAULT_SIGNATURE = "serving_default"


class RefusedError(Exception):
    """A request that the model never sees."""

    def __init__(self, code: grpc.StatusCode, message: str):
        super().__init__(message)
        self.code = code


class Service(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Answers Predict with a SavedModel's signatures."""

    def __init__(self, saved_model: str):
        self._model = tf.saved_model.load(saved_model)  # the signatures do not keep it alive
        self.signatures = self._model.signatures

    def Predict(self, request, context):
        try:
            return self.predict(request)
        except RefusedError as error:
            context.abort(error.code, str(error))

    def predict(self, request: predict_pb2.PredictRequest) -> predict_pb2.PredictResponse:
        """Raises RefusedError."""
        name = request.model_spec.signature_name or DEFAULT_SIGNATURE
        if request.model_spec.name != MODEL:
            raise RefusedError(grpc.StatusCode.NOT_FOUND, f"no model {request.model_spec.name!r}")
        if name not in self.signatures:
            raise RefusedError(grpc.StatusCode.INVALID_ARGUMENT, f"no signature {name!r}")
        signature = self.signatures[name]
        expected = signature.structured_input_signature[1]
        if set(request.inputs) != set(expected):
            raise RefusedError(grpc.StatusCode.INVALID_ARGUMENT, f"inputs {sorted(request.inputs)} of {name}")
        inputs = {}
        for key, tensor in request.inputs.items():
            if tensor.dtype != expected[key].dtype.as_datatype_enum:
                raise RefusedError(grpc.StatusCode.INVALID_ARGUMENT, f"type of {key}")
            inputs[key] = tf.constant(tf.make_ndarray(tensor), expected[key].dtype)
        try:
            outputs = signature(**inputs)
        except tf.errors.OpError as error:
            raise RefusedError(grpc.StatusCode(_status(error.error_code)), error.message) from error
        response = predict_pb2.PredictResponse()
        response.model_spec.CopyFrom(request.model_spec)
        for key, value in outputs.items():
            response.outputs[key].CopyFrom(tf.make_tensor_proto(value.numpy()))
        return response


def _status(code: int) -> tuple[int, str]:
    """gRPC's status of TensorFlow's: they have the same numbers."""
    return next(status.value for status in grpc.StatusCode if status.value[0] == code)


def rest_to_request(body: dict, service: Service) -> predict_pb2.PredictRequest:
    """What TF Serving's REST interface makes of a body, by the rules of its documentation.

    Values become the tensor's JSON form, which the API's own protobuf mapping parses and checks.
    """
    if ("instances" in body) == ("inputs" in body) or set(body) - {"signature_name", "instances", "inputs"}:
        raise RefusedError(grpc.StatusCode.INVALID_ARGUMENT, "expected instances or inputs")
    name = body.get("signature_name", DEFAULT_SIGNATURE)
    if name not in service.signatures:
        raise RefusedError(grpc.StatusCode.INVALID_ARGUMENT, f"no signature {name!r}")
    ((key, spec),) = service.signatures[name].structured_input_signature[1].items()  # all of ours have one input
    value = body.get("inputs", body.get("instances"))
    if "instances" in body and value and isinstance(value[0], dict) and set(value[0]) == {key}:
        value = [instance[key] for instance in value]
    elif "inputs" in body and isinstance(value, dict) and set(value) == {key}:
        value = value[key]
    shape, flat = _flatten(value)
    tensor = {
        "dtype": types_pb2.DataType.Name(spec.dtype.as_datatype_enum),
        "tensorShape": {"dim": [{"size": str(side)} for side in shape]},
        {tf.string: "stringVal", tf.float32: "floatVal"}.get(spec.dtype, "intVal"): [_json_value(v) for v in flat],
    }
    message = {"modelSpec": {"name": MODEL, "signatureName": name}, "inputs": {key: tensor}}
    try:
        return json_format.ParseDict(message, predict_pb2.PredictRequest())
    except json_format.ParseError as error:
        raise RefusedError(grpc.StatusCode.INVALID_ARGUMENT, str(error)) from error


def _flatten(value) -> tuple[list[int], list]:
    """Sides and items of nested lists."""
    if not isinstance(value, list):
        return [], [value]
    parts = [_flatten(part) for part in value]
    if any(part[0] != parts[0][0] for part in parts):
        raise RefusedError(grpc.StatusCode.INVALID_ARGUMENT, "lists of different lengths")
    return [len(value), *(parts[0][0] if parts else [])], [item for part in parts for item in part[1]]


def _json_value(value):
    if isinstance(value, dict) and set(value) == {"b64"}:
        return value["b64"]  # bytes are base64 in JSON's mapping of messages, too
    return base64.b64encode(value.encode()).decode() if isinstance(value, str) else value


def response_to_rest(response: predict_pb2.PredictResponse, by_row: bool) -> dict:
    """What TF Serving's REST interface makes of an answer."""
    message = json_format.MessageToDict(response)
    ((key, tensor),) = message["outputs"].items()
    array = tf.make_ndarray(response.outputs[key])
    if "stringVal" in tensor:
        assert key.endswith("_bytes"), "other strings would be sent as text"
        array = np.array([{"b64": text} for text in tensor["stringVal"]], object).reshape(array.shape)
    return {"predictions" if by_row else "outputs": array.tolist()}


def http_handler(service: Service) -> type[BaseHTTPRequestHandler]:
    """POST /v1/models/crn:predict"""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            status, answer = 200, {}
            try:
                if self.path != f"/v1/models/{MODEL}:predict":
                    raise RefusedError(grpc.StatusCode.NOT_FOUND, f"no model at {self.path}")
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                answer = response_to_rest(service.predict(rest_to_request(body, service)), "instances" in body)
            except (RefusedError, ValueError) as error:
                missing = getattr(error, "code", None) == grpc.StatusCode.NOT_FOUND
                status, answer = 404 if missing else 400, {"error": str(error)}
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    return Handler


def main() -> None:
    service = Service(sys.argv[1])
    server = grpc.server(ThreadPoolExecutor(4), options=[("grpc.max_receive_message_length", -1)])
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(service, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    web = ThreadingHTTPServer(("127.0.0.1", 0), http_handler(service))
    threading.Thread(target=web.serve_forever, daemon=True).start()
    print(json.dumps({"grpc": port, "rest": web.server_port}), flush=True)
    sys.stdin.read()
    web.shutdown()
    server.stop(None)


if __name__ == "__main__":
    main()
