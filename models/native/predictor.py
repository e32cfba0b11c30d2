"""The code predictor in native code: the interface of models.language.code_predictor.CodePredictor."""

import ctypes
from collections.abc import Sequence

import torch
from torch import Tensor

from models.language import SamplingRows, sum_embeddings
from models.native.library import check
from models.native.packing import PackedLinear
from models.native.stack import NativeStack
from models.native.structures import LinearStructure, PredictorCallStructure, PredictorStructure, SamplingStructure


class NativeCodePredictor:
    """All passes of a frame, sampling included, in one call without the interpreter's lock.

    After `predict`, `failed` (bool [rows]) tells in which rows a NaN or an infinity appeared; their codes mean nothing,
    other rows are not touched by it. The stack's cache has one slot a row and one position a code group.
    """

    def __init__(
        self,
        stack: NativeStack,
        embeddings: Sequence[Tensor],  # groups - 1 of [codebook, talker hidden], all float32 or all bfloat16
        heads: Sequence[PackedLinear],  # groups - 1 of hidden -> codebook
        projection: tuple[PackedLinear, Tensor] | None,  # talker hidden -> hidden and its bias, where the two differ
    ) -> None:
        self.stack = stack
        self.failed = torch.zeros(0, dtype=torch.bool)
        self._library = stack.kernels.library
        self._embeddings = [table.contiguous() for table in embeddings]
        self._heads = list(heads)
        self._projection = projection and (projection[0], projection[1].float().contiguous())
        self._talker_hidden = embeddings[0].shape[1]
        self.handle = self._create()

    def _create(self) -> int:
        groups, table = len(self._heads), self._embeddings[0]
        heads = (LinearStructure * groups)(*(LinearStructure.of(head) for head in self._heads))
        embeddings = (ctypes.c_void_p * groups)(*(table.data_ptr() for table in self._embeddings))
        projection = bias = None
        if self._projection is not None:
            projection, bias = ctypes.pointer(LinearStructure.of(self._projection[0])), self._projection[1].data_ptr()
        description = PredictorStructure(
            *(heads, embeddings, projection, bias),
            *(groups, *table.shape, table.dtype == torch.bfloat16),
        )
        handle = self._library.speech_predictor_create(self.stack.handle, ctypes.byref(description))
        if not handle:
            raise MemoryError("native code predictor")
        return handle

    def __del__(self) -> None:
        if handle := self.__dict__.pop("handle", None):
            self._library.speech_predictor_destroy(handle)

    def embed(self, codes: Tensor) -> Tensor:
        """Codes 1.. of frames, int64 [frames, groups - 1] -> the sum of their embeddings [frames, talker hidden]."""
        return sum_embeddings(self._embeddings, codes)

    def predict(self, hidden: Tensor, first: Tensor, uniforms: Tensor, rows: SamplingRows) -> tuple[Tensor, Tensor]:
        """See models.language.code_predictor.CodePredictor."""
        count, groups = len(hidden), len(self._heads)
        hidden, first = hidden.float().contiguous(), first.float().contiguous()
        uniforms = uniforms.double().contiguous()
        codes = torch.empty(count, groups, dtype=torch.int64)
        total = torch.empty(count, self._talker_hidden)
        self.failed = torch.zeros(count, dtype=torch.bool)
        settings = zip(rows.temperature.tolist(), rows.top_p.tolist(), rows.top_k.tolist(), strict=True)
        sampling = (SamplingStructure * count)(*(SamplingStructure(*row) for row in settings))
        call = PredictorCallStructure(
            *(tensor.data_ptr() for tensor in (hidden, first, uniforms)),
            sampling,
            *(tensor.data_ptr() for tensor in (codes, total, self.failed)),
            count,
        )
        check(
            self._library.speech_predictor_run(self.handle, ctypes.byref(call), self.stack.kernels.threads), "predictor"
        )
        return codes, total
