"""Lets several processes together compute exactly what one process would compute for the whole batch.

Each process takes its share of a batch's rows. Operations across rows, such as a contrastive loss or batch statistics,
gather the rows of all processes, and gradients flow back to each row's process. The parameters' gradients are then
summed. All this works on GPUs (nccl) and on CPUs (gloo), unlike torch's own ``SyncBatchNorm``, and with shares of
different sizes. A single process exchanges nothing.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import Any, Iterable, Iterator

import torch
from torch import Tensor, distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm


def size() -> int:
    """How many processes there are."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def rank() -> int:
    """Which of them this one is, counted from 0."""
    return distributed.get_rank() if size() > 1 else 0


def share(n: int) -> slice:
    """This process's rows of a batch of ``n``; shares are as even as can be and in the order of the ranks."""
    return slice(n * rank() // size(), n * (rank() + 1) // size())


def gather(x: Tensor, n: int) -> Tensor:
    """The whole batch (n, ...) of which ``x`` is this process's share; a gradient of it returns to every share."""
    if size() == 1:
        return x
    mine = share(n)
    before, after = x.new_zeros(mine.start, *x.shape[1:]), x.new_zeros(n - mine.stop, *x.shape[1:])
    return _Sum.apply(torch.cat([before, x, after]))  # an all_gather would ask for equal shares


def add_up(tensors: Iterable[Tensor]) -> None:
    """Replaces each tensor, such as a parameter's gradient, by its sum over all processes."""
    if size() == 1:
        return
    tensors = list(tensors)
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
    distributed.all_reduce(flat)
    for tensor, total in zip(tensors, flat.split([tensor.numel() for tensor in tensors])):
        tensor.copy_(total.reshape(tensor.shape))


def copy_from_first(module: nn.Module) -> None:
    """Gives the module in each process the parameters and buffers that it has in the first process."""
    if size() == 1:
        return
    for tensor in module.state_dict().values():
        whole = tensor.contiguous()
        distributed.broadcast(whole, 0)
        tensor.copy_(whole)


def bytes_from(source: int, content: bytes, device: torch.device) -> bytes:
    """What the process of rank ``source`` has, on all of them; the tensors travel through ``device``."""
    if size() == 1:
        return content
    length = torch.tensor([len(content)], device=device)
    distributed.broadcast(length, source)
    buffer = torch.zeros(int(length), dtype=torch.uint8, device=device)
    if rank() == source and content:
        buffer.copy_(torch.frombuffer(bytearray(content), dtype=torch.uint8))
    distributed.broadcast(buffer, source)
    return buffer.cpu().numpy().tobytes()


def bytes_of_all(content: bytes, device: torch.device) -> list[bytes]:
    """What each process has, by rank, on all of them."""
    return [bytes_from(source, content, device) for source in range(size())]


@contextmanager
def statistics_of_whole_batch(*networks: nn.Module) -> Iterator[None]:
    """While it lasts, batch normalisation takes its statistics from all processes' shares together.

    The modules stay what they are, with their parameters and buffers; only how they compute is replaced and put back.
    """
    norms = [m for network in networks for m in network.modules() if isinstance(m, _BatchNorm)] if size() > 1 else []
    for norm in norms:
        norm.forward = partial(_normalise, norm)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for norm in norms:
            del norm.forward


class _Sum(torch.autograd.Function):
    """The sum over all processes; each process's loss depends on it, so gradients add up over all of them as well."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _Sum.apply(gradient)


def _normalise(norm: _BatchNorm, x: Tensor) -> Tensor:
    """Batch normalisation of a share (n, C, ...) by mean and variance of the whole batch, which it also keeps."""
    if not norm.training:
        return type(norm).forward(norm, x)
    assert norm.running_mean is not None and norm.running_var is not None and norm.num_batches_tracked is not None
    assert norm.momentum is not None
    channels = x.shape[1]
    wide = x.to(norm.weight.dtype)  # statistics of half precision would be too coarse
    variance, mean = torch.var_mean(wide, [0, *range(2, x.ndim)], unbiased=False)
    own = torch.cat([mean, variance, mean.new_tensor([x.numel() / channels])])
    means, variances, counts = gather(own.unsqueeze(0), size()).split([channels, channels, 1], dim=1)
    count = counts.sum()
    mean = (counts * means).sum(0) / count
    # Of means and deviations, not of squares, whose difference loses digits where the mean is large.
    variance = (counts * (variances + (means - mean) ** 2)).sum(0) / count

    with torch.no_grad():
        norm.num_batches_tracked += 1
        norm.running_mean.lerp_(mean, norm.momentum)
        norm.running_var.lerp_(variance * count / (count - 1), norm.momentum)
    channel = (1, channels, *[1] * (x.ndim - 2))
    scale = norm.weight * torch.rsqrt(variance + norm.eps)
    return ((wide - mean.reshape(channel)) * scale.reshape(channel) + norm.bias.reshape(channel)).to(x.dtype)
