"""Run a SavedModel with TensorFlow's C API, the loader that servers use: Python only fetches and carries bytes.

python run_saved_model_in_c.py LIBRARIES SAVED_MODEL INPUT OUTPUT RESULT < REQUEST
LIBRARIES is tensorflow's folder; INPUT and OUTPUT are the names of tensors. The request is a .npy file of uint8, or
else the bytes of one string. The result, likewise, is written to the file RESULT. A failure's text goes to standard
error.
"""

import ctypes
import io
import sys
from pathlib import Path

import numpy as np

UINT8, STRING, STRING_BYTES = 4, 7, 24


class Output(ctypes.Structure):
    """TF_Output: an operation, and which of its outputs."""

    _fields_ = (("operation", ctypes.c_void_p), ("index", ctypes.c_int))


class CApi:
    """The C API's functions; all of ours take and return pointers and 64-bit integers."""

    def __init__(self, libraries: Path):
        names = ("libtensorflow_cc.so.2", "libtensorflow_framework.so.2")
        self._libraries = [ctypes.CDLL(str(libraries / name), mode=ctypes.RTLD_GLOBAL) for name in names]
        self.status = self("TF_NewStatus")

    def __call__(self, name: str, *arguments):
        function = next(getattr(library, name) for library in self._libraries if hasattr(library, name))
        function.restype = ctypes.c_void_p
        return function(*(ctypes.c_int64(a) if isinstance(a, int) else a for a in arguments))

    def checked(self, name: str, *arguments):
        """Call a function whose last argument is the status."""
        result = self(name, *arguments, ctypes.c_void_p(self.status))
        if ctypes.c_int(self("TF_GetCode", ctypes.c_void_p(self.status)) or 0).value:
            sys.exit(ctypes.string_at(self("TF_Message", ctypes.c_void_p(self.status))).decode())
        return result


def main() -> None:
    libraries, saved_model, input_name, output_name, result = sys.argv[1:]
    api = CApi(Path(libraries))
    graph = ctypes.c_void_p(api("TF_NewGraph"))
    tags = (ctypes.c_char_p * 1)(b"serve")
    options = ctypes.c_void_p(api("TF_NewSessionOptions"))
    session = api.checked(
        "TF_LoadSessionFromSavedModel", options, None, saved_model.encode(), tags, 1, graph, None
    )  # fmt: skip
    source, target = (endpoint(api, graph, name) for name in (input_name, output_name))
    tensor = (ctypes.c_void_p * 1)(to_tensor(api, sys.stdin.buffer.read()))
    answer = (ctypes.c_void_p * 1)()
    api.checked(
        "TF_SessionRun", ctypes.c_void_p(session), None, ctypes.byref(source), tensor, 1, ctypes.byref(target), answer,
        1, None, 0, None,
    )  # fmt: skip
    Path(result).write_bytes(from_tensor(api, ctypes.c_void_p(answer[0])))


def endpoint(api: CApi, graph: ctypes.c_void_p, name: str) -> Output:
    """NAME:0 as the C API has it."""
    operation, _, index = name.partition(":")
    found = api("TF_GraphOperationByName", graph, operation.encode())
    if not found:
        sys.exit(f"no operation {operation}")
    return Output(found, int(index))


def to_tensor(api: CApi, request: bytes) -> int:
    if request.startswith(b"\x93NUMPY"):
        array = np.load(io.BytesIO(request))
        assert array.dtype == np.uint8
        sides = (ctypes.c_int64 * array.ndim)(*array.shape)
        tensor = api("TF_AllocateTensor", UINT8, sides, array.ndim, array.nbytes)
        ctypes.memmove(api("TF_TensorData", ctypes.c_void_p(tensor)), array.tobytes(), array.nbytes)
        return tensor
    tensor = api("TF_AllocateTensor", STRING, (ctypes.c_int64 * 1)(1), 1, STRING_BYTES)
    string = ctypes.c_void_p(api("TF_TensorData", ctypes.c_void_p(tensor)))
    api("TF_StringInit", string)
    api("TF_StringCopy", string, request, len(request))
    return tensor


def from_tensor(api: CApi, tensor: ctypes.c_void_p) -> bytes:
    data = api("TF_TensorData", tensor)
    if ctypes.c_int(api("TF_TensorType", tensor)).value == STRING:
        string = ctypes.c_void_p(data)
        return ctypes.string_at(api("TF_StringGetDataPointer", string), api("TF_StringGetSize", string))
    axes = ctypes.c_int(api("TF_NumDims", tensor)).value
    sides = [api("TF_Dim", tensor, axis) or 0 for axis in range(axes)]
    array = np.frombuffer(ctypes.string_at(data, api("TF_TensorByteSize", tensor)), np.uint8).reshape(sides)
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


if __name__ == "__main__":
    main()
