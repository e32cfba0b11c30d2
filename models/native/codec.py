"""The streaming codec decoder in native code, with the past of every slot."""

import ctypes
from collections.abc import Sequence

import torch
from torch import Tensor

from models.architecture import CodecPlan, Step, codec_plan
from models.codec import clipped
from models.language import KeyValueCache
from models.native.codec_packing import PackedCodec, codec_stack_dimensions
from models.native.library import Kernels, NativeError, check
from models.native.stack import NativeStack
from models.native.structures import CodecCallStructure, CodecStructure, LinearStructure, StepStructure


class NativeCodec:
    """Codes to samples, each frame decoded once; any number of slots and frames in one call without the interpreter's
    lock. Samples of a frame do not depend on the slots beside it, nor on how frames are cut into calls.

    One thread at a time may use a codec.
    """

    def __init__(self, packed: PackedCodec, slots: int, longest: int, kernels: Kernels) -> None:
        """`longest`: frames a sequence may have."""
        dims = packed.dimensions
        dtype = torch.float32 if packed.precision == "fp32" else torch.bfloat16
        self._packed = packed
        self._plan: CodecPlan = codec_plan(dims)
        self._library = kernels.library
        self.kernels = kernels
        self._cache = KeyValueCache(codec_stack_dimensions(dims), slots, dims.window, dtype)
        self._stack = NativeStack(
            codec_stack_dimensions(dims), packed.layers(), packed.norm, self._cache, kernels, longest
        )
        self.samples_per_frame = 1
        for step in self._plan.steps:
            self.samples_per_frame *= step.rate
        self.handle = self._create()
        self._state = torch.zeros(slots, self._library.speech_codec_state(self.handle), dtype=torch.uint8)
        self._done = [0] * slots  # frames each slot has decoded

    def _create(self) -> int:
        packed, plan = self._packed, self._plan
        steps = (StepStructure * len(plan.steps))(*(self._step(step) for step in plan.steps))
        tables = [packed.tensors[f"codebook.{group}"] for group in range(packed.dimensions.code_groups)]
        description = CodecStructure(
            *((ctypes.c_void_p * len(tables))(*(table.data_ptr() for table in tables)), steps),
            *(len(tables), *tables[0].shape, len(plan.entry), len(plan.middle), len(plan.late)),
            tables[0].dtype == torch.bfloat16,
        )
        handle = self._library.speech_codec_create(self._stack.handle, ctypes.byref(description))
        if not handle:
            raise MemoryError("native codec")
        return handle

    def _step(self, step: Step) -> StepStructure:
        def address(part: str) -> int | None:
            tensor = self._packed.tensors.get(f"{step.name}.{part}")
            return None if tensor is None else tensor.data_ptr()

        linear = LinearStructure() if step.depthwise else LinearStructure.of(self._packed.linear(step))
        return StepStructure(
            *(linear, address("bias"), address("frequency"), address("scale")),
            *(address("weight") if step.depthwise else None, address("norm"), address("norm_bias")),
            *(step.channels, step.taps, step.dilation, step.rate, step.activation, step.add, step.keep),
        )

    def __del__(self) -> None:
        if handle := self.__dict__.pop("handle", None):
            self._library.speech_codec_destroy(handle)

    @property
    def state_bytes(self) -> int:
        """Bytes reserved for the past of all slots."""
        return self._state.nbytes + self._cache.nbytes

    def clear(self, slot: int) -> None:
        """Forget a slot's past."""
        self._done[slot] = 0
        self._state[slot] = 0

    def snapshot(self, slot: int) -> tuple[Tensor, ...]:
        """A copy of a slot's past."""
        return self._state[slot].clone(), *self._cache.snapshot(slot, self._cache.positions)

    def restore(self, slot: int, state: Sequence[Tensor], done: int) -> None:
        """Give a slot the past that `snapshot` took after `done` frames."""
        past, keys, values = state
        self._state[slot] = past
        self._cache.restore(slot, (keys, values))
        self._done[slot] = done

    def decode(self, slots: Sequence[int], codes: Tensor) -> Tensor:
        """Codes int64 [slots, frames, groups] -> samples float32 [slots, frames * samples a frame], -1..1, or NaN.

        Raises NativeError for a slot or code that does not exist, or beyond the longest sequence."""
        samples = torch.empty(len(slots), codes.shape[1] * self.samples_per_frame)
        self._run(slots, codes, samples)
        return clipped(samples)

    def advance(self, slots: Sequence[int], codes: Tensor) -> None:
        """Move the transformer past `codes` without making samples: right for frames so long before the next one to be
        heard that the convolutions will have forgotten them."""
        self._run(slots, codes, None)

    def _run(self, slots: Sequence[int], codes: Tensor, samples: Tensor | None) -> None:
        count, frames, groups = codes.shape
        if count != len(slots) or groups != self._packed.dimensions.code_groups:
            raise NativeError(f"codes {tuple(codes.shape)} for {len(slots)} slots")
        if not all(0 <= slot < len(self._done) for slot in slots):
            raise NativeError(f"slots {list(slots)} of {len(self._done)}")
        codes = codes.to(torch.int64).contiguous()
        integers = ctypes.c_int32 * count
        call = CodecCallStructure(
            *(codes.data_ptr(), integers(*slots), integers(*(self._done[slot] for slot in slots))),
            *(self._state.data_ptr(), None if samples is None else samples.data_ptr(), count, frames),
        )
        check(self._library.speech_codec_run(self.handle, ctypes.byref(call), self.kernels.threads), "codec")
        for slot in slots:
            self._done[slot] += frames
