"""The network of the convolutional autoencoder."""

import torch
from torch import nn

from cgm.utils.models.networks import convolution_block, principal_directions


class AutoencoderNetwork(nn.Module):
    r"""Network that maps images to codes and back: four convolutions of stride 2, a linear map, and their mirror image.

    Without batch norm between the convolutions, a training on few images makes hardly any progress.

    Arguments:
        components: The number $d$ of dimensions of the code.
        width: The number $w$ of channels of the first convolution; the others have $2w$, $4w$, $8w$.
        shape: The shape $(C, H, W)$ of the images.
    """

    def __init__(self, components: int, width: int, shape: tuple[int, int, int]) -> None:
        super().__init__()
        channels = [shape[0], *(width * 2**k for k in range(4))]
        sizes = [[-(-side // 2**k) for side in shape[1:]] for k in range(5)]  # before, between, after convolutions
        flat = channels[4] * sizes[4][0] * sizes[4][1]

        blocks = [convolution_block(channels[k], channels[k + 1], kernel=5, stride=2) for k in range(4)]
        self.encoder = nn.Sequential(*blocks, nn.Flatten())
        self.code = nn.Linear(flat, components)

        self.decode_code = nn.Linear(components, flat)
        layers: list[nn.Module] = [nn.Unflatten(1, (channels[4], *sizes[4]))]
        for k in (3, 2, 1, 0):
            extra = tuple(small - (2 * large - 1) for small, large in zip(sizes[k], sizes[k + 1], strict=True))
            layers += [
                nn.BatchNorm2d(channels[k + 1]),
                nn.ReLU(),
                nn.ConvTranspose2d(
                    channels[k + 1], channels[k], 5, stride=2, padding=2, output_padding=extra, bias=k == 0
                ),
            ]
        *layers, self.pixels = layers
        self.decoder = nn.Sequential(*layers)

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        """Map images of shape (B, C, H, W) to codes of shape (B, d)."""

        return self.code(self.encoder(x))

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        """Map codes of shape (B, d) to the logits of pixels, of shape (B, C, H, W)."""

        return self.pixels(self.decoder(self.decode_code(z)))

    @torch.no_grad()
    def whiten(self, z: torch.Tensor) -> int:
        r"""Transform the code to mean zero and covariance $I$, and let the decoder undo this.

        Arguments:
            z: The codes of images, of shape $(N, d)$, float64.

        Returns:
            The number of directions in which the codes vary. If it is below $d$, nothing is changed.
        """

        mean, variances, directions, rank = principal_directions(z)

        if rank == len(variances):
            # The symmetric square root changes the code as little as possible
            root = directions * variances.sqrt() @ directions.T
            inverse = directions / variances.sqrt() @ directions.T
            weight, undo = self.code.weight.double(), self.decode_code.weight.double()
            self.code.weight.copy_(inverse @ weight)
            self.code.bias.copy_(inverse @ (self.code.bias.double() - mean))
            self.decode_code.weight.copy_(undo @ root)
            self.decode_code.bias.add_(undo @ mean)

        return rank
