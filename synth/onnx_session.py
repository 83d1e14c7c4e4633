"""ONNX graphs that people bring along, opened in onnxruntime the same way for every use.

This module does not know what a graph is for.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from samplers.errors import DatasetError, MissingPackageError
from synth.backend import Backend
from synth.section import InputFile

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

_CUDA = "CUDAExecutionProvider"
#: No kernel chosen by timing (the default is), none that rounds to TF32.
_CUDA_OPTIONS = {"cudnn_conv_algo_search": "DEFAULT", "use_tf32": "0"}
_ERRORS_ONLY = 3  # of onnxruntime's own log


def open_session(model: InputFile, backend: Backend) -> "InferenceSession":
    """The graph in a file, loaded on the backend's device, with kernels that repeat themselves to the bit.

    Raises StorageError where the file cannot be had, DatasetError where it is no graph, MissingPackageError where
    onnxruntime is missing, or does not know the device.
    """
    path = model.fetch()
    try:
        import onnxruntime
    except ImportError as missing:
        raise MissingPackageError(
            f"{model.url}: running ONNX graphs needs onnxruntime: pip install 'hypersynth[models]'"
        ) from missing
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = backend.threads, 1
    options.use_deterministic_compute = True
    options.log_severity_level = _ERRORS_ONLY
    # Waiting threads would take the cores of what draws the next pictures.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    providers: list[Any] = ["CPUExecutionProvider"]
    if backend.device == "cuda":
        _require_cuda(onnxruntime.get_available_providers())
        providers.insert(0, (_CUDA, _CUDA_OPTIONS))
    with refused_plainly(model):
        session = onnxruntime.InferenceSession(str(path), options, providers=providers)
    if backend.device == "cuda":  # onnxruntime only logs that it goes on without
        _require_cuda(session.get_providers())
    return session


def _require_cuda(providers: Sequence[str]) -> None:
    if _CUDA not in providers:
        raise MissingPackageError(
            "backend.device is cuda, but this onnxruntime does not run on it: pip uninstall onnxruntime, then "
            "pip install onnxruntime-gpu, for the CUDA that is here; or use --set backend.device=cpu"
        )


@contextmanager
def refused_plainly(model: InputFile) -> Iterator[None]:
    """Tell onnxruntime's refusals of a graph as a mistake; they have no root of their own."""
    from onnxruntime.capi import onnxruntime_pybind11_state as states

    refusals = (
        *(states.Fail, states.InvalidArgument, states.InvalidGraph, states.InvalidProtobuf),
        *(states.NoSuchFile, states.NotImplemented, states.RuntimeException),
    )
    try:
        yield
    except refusals as refusal:
        # "[ONNXRuntimeError] : 7 : INVALID_PROTOBUF : what happened", and sometimes lines of detail.
        reason = str(refusal).strip().partition("\n")[0].split(" : ", 3)[-1]
        raise DatasetError(f"{model.url} is no ONNX graph that can be run: {reason}") from refusal
