"""The network of features of points that is trained without labels."""

import torch
from torch import nn

SLOPE = 0.1  # of the activation, for negative inputs


class DeepNetwork(nn.Module):
    r"""Network that maps points to features: a linear map plus a network of two hidden layers.

    The linear map is given at the start, and the last layer of the network is zero: at first, the features are those
    of the linear map, from which a training departs.

    Arguments:
        components: The number $d$ of features.
        width: The number of units of each hidden layer.
        inputs: The number $D$ of columns of the points.
    """

    def __init__(self, components: int, width: int, inputs: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, components)
        self.hidden = nn.Sequential(
            nn.Linear(inputs, width), nn.LeakyReLU(SLOPE), nn.Linear(width, width), nn.LeakyReLU(SLOPE)
        )
        self.last = nn.Linear(width, components)
        self.register_buffer("mean", torch.zeros(inputs))
        self.register_buffer("scale", torch.ones(()))

    mean: torch.Tensor
    scale: torch.Tensor

    @torch.no_grad()
    def start(self, mean: torch.Tensor, scale: float, directions: torch.Tensor, unit: float) -> None:
        r"""Set the inputs' units, and let the features be projections.

        Arguments:
            mean: The mean of the points, of shape $(D)$.
            scale: The unit of the points.
            directions: The directions of the projections, of shape $(d, D)$.
            unit: The unit of the projections.
        """

        self.mean.copy_(mean)
        self.scale.fill_(scale)
        self.linear.weight.copy_(directions * scale / unit)
        self.linear.bias.zero_()
        self.last.weight.zero_()
        self.last.bias.zero_()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map points of shape (B, D) to features of shape (B, d)."""

        x = (x - self.mean) / self.scale

        return self.linear(x) + self.last(self.hidden(x))
