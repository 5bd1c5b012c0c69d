"""Small encoder-decoder networks with the signal path of StyleGAN2 and of ProGAN.

What gives a GAN image away is chiefly how its decoder upsamples. A decoder of the same build that
reconstructs photographs leaves the same kind of traces: the GAN simulator of Zhang, Karaman and
Chang, "Detecting and Simulating Artifacts in GAN Fake Images" (WIFS 2019, arXiv:1907.06515).

The encoder, one 4x4 convolution of stride 4, reduces an image to a latent of a quarter of its side
and half its numbers, enough to keep its sharpness; the decoder doubles the side twice.
Tensors are float32, (B, C, H, W); images are RGB in [0, 1].
"""

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d, interpolate, leaky_relu, pixel_unshuffle

LATENT = 24
WIDTHS = (48, 32, 16)  # channels at a quarter, a half and the whole of the image's side
LAYERS = ((LATENT, 48), (48, 32), (32, 32), (32, 16))  # inputs and outputs of the decoders' convs


class EqualisedConv(nn.Module):
    """A convolution whose weights are drawn from N(0, 1) and scaled at run time (ProGAN, 4.1).

    `gain` is the output's deviation when inputs have deviation 1.
    """

    def __init__(self, inputs: int, outputs: int, side: int = 3, gain: float = 2**0.5) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, side, side))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.scale = gain / (inputs * side * side) ** 0.5

    def forward(self, x: Tensor) -> Tensor:
        """Maps (B, inputs, H, W) to (B, outputs, H, W)."""
        return conv2d(x, self.weight * self.scale, self.bias, padding=self.weight.shape[-1] // 2)


class ModulatedConv(nn.Module):
    """StyleGAN2's convolution: the style scales input channels, demodulation evens the output.

    Injected noise of deviation `noise` and a leaky ReLU follow, as in StyleGAN2's synthesis layer.
    `styles` is the style's length.
    """

    def __init__(self, inputs: int, outputs: int, styles: int, noise: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 3, 3))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.affine = EqualisedConv(styles, inputs, 1, gain=0.2)  # (B, styles, 1, 1) at a time
        nn.init.ones_(self.affine.bias)
        self.noise = noise

    def forward(self, x: Tensor, style: Tensor, rng: Generator | None) -> Tensor:
        """Maps (B, inputs, H, W) to (B, outputs, H, W) under `style`, (B, styles, 1, 1)."""
        scale = self.affine(style)  # (B, inputs, 1, 1)
        squares = self.weight.square().sum((2, 3), keepdim=True)  # (outputs, inputs, 1, 1)
        demodulation = (conv2d(scale.square(), squares) + 1e-8).rsqrt()  # (B, outputs, 1, 1)
        # Scaling inputs and outputs is the same as scaling each image's weights, without groups.
        x = conv2d(x * scale, self.weight, padding=1) * demodulation
        noise = torch.randn((len(x), 1, *x.shape[2:]), generator=rng)
        return leaky_relu(x + self.noise * noise + self.bias[:, None, None], 0.2) * 2**0.5


def upsample_fir(x: Tensor) -> Tensor:
    """Doubles the side by inserting zeros and filtering with [1, 3, 3, 1] (StyleGAN2, appendix B).

    (B, C, H, W) to (B, C, 2H, 2W), of the same mean level away from the border.
    """
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 4  # sums to 2 a direction: makes up for the zeros
    kernel = torch.outer(taps, taps).expand(x.shape[1], 1, 4, 4)
    return conv_transpose2d(x, kernel, stride=2, padding=1, groups=x.shape[1])


def upsample_nearest(x: Tensor) -> Tensor:
    """Doubles the side by repeating every pixel (ProGAN): (B, C, H, W) to (B, C, 2H, 2W)."""
    return interpolate(x, scale_factor=2, mode="nearest")


def pixel_norm(x: Tensor) -> Tensor:
    """Scales the channels of each pixel to mean square 1 (ProGAN, 4.2); the shape is kept."""
    return x * (x.square().mean(1, keepdim=True) + 1e-8).rsqrt()


class StyleGAN2Decoder(nn.Module):
    """Modulated convolutions, noise, FIR upsampling, and an RGB image summed over resolutions."""

    def __init__(self, noise: float = 0.05) -> None:
        super().__init__()
        self.convs = nn.ModuleList(ModulatedConv(i, o, 2 * LATENT, noise) for i, o in LAYERS)
        self.to_rgb = nn.ModuleList(EqualisedConv(width, 3, 1, gain=0.3) for width in WIDTHS)

    def forward(self, latent: Tensor, rng: Generator | None = None) -> Tensor:
        """Maps latents (B, LATENT, H, W) to images (B, 3, 4H, 4W) about 0."""
        style = torch.cat([f((2, 3), keepdim=True) for f in (latent.mean, latent.std)], 1)
        x = self.convs[0](latent, style, rng)
        rgb = self.to_rgb[0](x)
        x = self.convs[1](upsample_fir(x), style, rng)
        x = self.convs[2](x, style, rng)
        rgb = upsample_fir(rgb) + self.to_rgb[1](x)
        x = self.convs[3](upsample_fir(x), style, rng)
        return upsample_fir(rgb) + self.to_rgb[2](x)


class ProGANDecoder(nn.Module):
    """Equalised convolutions with leaky ReLU and pixel normalisation, nearest upsampling."""

    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleList(EqualisedConv(i, o) for i, o in LAYERS)
        self.to_rgb = EqualisedConv(WIDTHS[-1], 3, 1, gain=1.0)

    def forward(self, latent: Tensor, rng: Generator | None = None) -> Tensor:
        """Maps latents (B, LATENT, H, W) to images (B, 3, 4H, 4W) about 0; `rng` is not used."""
        for conv, doubled in zip(self.convs, (False, True, False, True), strict=True):
            x = upsample_nearest(latent) if doubled else latent
            latent = pixel_norm(leaky_relu(conv(x), 0.2))
        return self.to_rgb(latent)


DECODERS = {"sim_stylegan2": StyleGAN2Decoder, "sim_progan": ProGANDecoder}


class Simulator(nn.Module):
    """An encoder and the decoder of one of `DECODERS`: photographs in, GAN-like images out."""

    def __init__(self, generator: str) -> None:
        super().__init__()
        self.encoder = EqualisedConv(48, LATENT, 1, gain=1.0)
        self.decoder = DECODERS[generator]()

    def forward(self, image: Tensor, rng: Generator | None = None) -> Tensor:
        """Reconstructs `image`, (B, 3, H, W) with sides divisible by 4; noise comes from `rng`."""
        return self.decoder(self.encoder(blocks(image)), rng) + 0.5


def blocks(image: Tensor) -> Tensor:
    """Lays out 4x4 blocks as channels: (B, 3, H, W) in [0, 1] to (B, 48, H/4, W/4) in [-1, 1]."""
    return pixel_unshuffle(image * 2 - 1, 4)
