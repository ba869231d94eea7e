"""The net of `smalti.models.multi_frame`: features of two frames, then a frame for each time."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, conv2d, interpolate, pixel_shuffle

from smalti.models.video import warp

KEYS, REACH = 8, 15  # of lambda layers: channels, and pixels from one border to the other
MOVES = 7  # places where a pixel is looked for in the other frame, along each side


def _conv(inputs: int, outputs: int, stride: int = 1) -> nn.Module:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, 1), nn.PReLU(outputs))


def _last(inputs: int, outputs: int) -> nn.Module:
    """Of a net that begins with no flow and nothing to retouch: the mean of both frames."""
    conv = nn.Conv2d(inputs, outputs, 3, 1, 1)
    for parameter in conv.parameters():
        nn.init.zeros_(parameter)
    return conv


class Residual(nn.Sequential):
    """x + f(x)."""

    def __init__(self, width: int) -> None:
        super().__init__(_conv(width, width), _conv(width, width))

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, width, H, W), kept in shape."""
        y = x
        for part in self:
            y = part(y)
        return x + y


class Lambdas(nn.Module):
    """x + maps of each pixel's query: by the content of all pixels, and by those within REACH."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.queries, self.keys = nn.Conv2d(width, KEYS, 1), nn.Conv2d(width, KEYS, 1)
        self.values = nn.Conv2d(width, width, 1)
        self.places = nn.Parameter(0.02 * torch.randn(KEYS, 1, REACH, REACH))

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, width, H, W), kept in shape."""
        n, width, height, across = x.shape
        queries, values = self.queries(x).flatten(2), self.values(x)
        keys = self.keys(x).flatten(2).softmax(-1)
        content = torch.matmul(values.flatten(2), keys.transpose(1, 2))  # (N, width, KEYS)
        single = values.reshape(n * width, 1, height, across)
        near = conv2d(single, self.places, padding=REACH // 2).reshape(n, width, KEYS, -1)
        found = torch.matmul(content, queries) + (near * queries.unsqueeze(1)).sum(2)
        result: Tensor = x + found.reshape(x.shape)
        return result


class Flows(nn.Module):
    """Changes of flows and mask, from features at 1 / shrink of the resolution."""

    def __init__(self, inputs: int, width: int, shrink: int) -> None:
        super().__init__()
        self.shrink = shrink
        self.net = nn.Sequential(_conv(inputs, width), _conv(width, width), _last(width, 20))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x: (N, inputs, H, W) -> flows (N, 4, shrink H, shrink W), in pixels, and mask."""
        found = pixel_shuffle(self.net(x), 2)
        found = interpolate(found, scale_factor=self.shrink // 2, mode="bilinear")
        return found[:, :4] * self.shrink, found[:, 4:]


class Matches(nn.Module):
    """How well the first frame fits the last one, moved by up to MOVES // 2 pixels."""

    moves: Tensor  # (MOVES**2, 2, MOVES, MOVES): each takes a pixel, less the central one

    def __init__(self) -> None:
        super().__init__()
        moved = torch.eye(MOVES**2).reshape(-1, 1, MOVES, MOVES)
        still = moved[MOVES**2 // 2].expand(moved.shape)
        self.register_buffer("moves", torch.cat([moved, -still], 1), persistent=False)

    def forward(self, first: Tensor, last: Tensor, shrink: int) -> Tensor:
        """first, last: (N, 3, H, W) -> differences (N, MOVES**2, H / shrink, W / shrink)."""
        both = torch.stack([avg_pool2d(last, shrink), avg_pool2d(first, shrink)], 2)
        n, colours, _, height, width = both.shape
        pairs = both.reshape(n * colours, 2, height, width)
        off = conv2d(pairs, self.moves, padding=MOVES // 2).abs()
        return 8 * off.reshape(n, colours, -1, height, width).mean(1)  # about as large as features


class MultiFrame(nn.Module):
    """Two frames and times between them -> the frames at these times."""

    def __init__(self, w: int) -> None:
        """w: channels of the finest features."""
        super().__init__()
        fine = (_conv(6, w, 2), _conv(w, 2 * w, 2), Residual(2 * w), Residual(2 * w))
        coarse = (_conv(2 * w, 4 * w, 2), Residual(4 * w), Lambdas(4 * w), Residual(4 * w))
        self.fine, self.coarse = nn.Sequential(*fine), nn.Sequential(*coarse)
        self.matches, many = Matches(), MOVES**2
        self.coarse_flows = Flows(4 * w + 1 + many, 2 * w, 8)
        self.fine_flows = Flows(2 * w + 12 + many, 2 * w, 4)
        self.retouch = nn.Sequential(_conv(10, w, 2), _conv(w, w), _last(w, 12))

    def forward(self, first: Tensor, last: Tensor, times: Tensor) -> Tensor:
        """first, last: (1, 3, H, W) in 0..1; times: (T, 1, 1, 1) -> (T, 3, H, W).

        H and W are multiples of 8. Or T pairs (T, 3, H, W), one for each time.
        """
        return self.stages(first, last, times)[-1]

    def stages(self, first: Tensor, last: Tensor, times: Tensor) -> list[Tensor]:
        """Return what flows of the coarse scale give, of the fine one, and that retouched."""
        fine = self.fine(torch.cat([first, last], 1))
        coarse, each = self.coarse(fine), torch.ones_like(times)
        matches = [self.matches(first, last, shrink) for shrink in (8, 4)]
        first, last, fine, coarse = (x * each for x in (first, last, fine, coarse))
        far, near = (x * each for x in matches)
        flow, mask = self.coarse_flows(torch.cat([coarse, _everywhere(times, coarse), far], 1))
        moved, rough = _blend(first, last, flow, mask, times)
        seen = interpolate(
            torch.cat([*moved, mask, flow / 4], 1), scale_factor=0.25, mode="bilinear"
        )
        change, more = self.fine_flows(torch.cat([fine, _everywhere(times, fine), seen, near], 1))
        moved, blend = _blend(first, last, flow + change, mask + more, times)
        return [rough, blend, blend + self._retouched(moved, blend, mask + more)]

    def _retouched(self, moved: list[Tensor], blend: Tensor, mask: Tensor) -> Tensor:
        return pixel_shuffle(self.retouch(torch.cat([*moved, blend, mask], 1)), 2)


def _everywhere(times: Tensor, x: Tensor) -> Tensor:
    """Return one channel of times for pixels like x's; LiteRT's converter gets expand() wrong."""
    return times * torch.ones_like(x[:1, :1])


def _blend(
    first: Tensor, last: Tensor, flow: Tensor, mask: Tensor, times: Tensor
) -> tuple[list[Tensor], Tensor]:
    """Return both frames as the flows move them, and their mean by mask and time."""
    moved = [warp(first, flow[:, :2]), warp(last, flow[:, 2:])]
    of_last = (mask + torch.log(times / (1 - times))).sigmoid()  # without a mask: the time
    return moved, moved[0] + (moved[1] - moved[0]) * of_last
