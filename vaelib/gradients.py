"""The gradient of the ELBO of a dense network, written out: quicker than autograd finds it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vaelib.models import VAE, Autoencoder, check_pixels

LARGE = 2**16  # weights of a layer, from which on a lower precision pays


@torch.no_grad()
def elbo_gradient(
    model: Autoencoder,
    x: Tensor,
    beta: float | Tensor = 1.0,
    generator: torch.Generator | None = None,
    sample: bool = True,
    precision: torch.dtype | None = None,
) -> None:
    """Set each parameter's ``grad`` to the gradient of the mean of −`elbo` over the batch.

    Autograd finds the same numbers, but keeps a graph of the computation and computes the loss
    itself, which the gradient does not need. Of an `Autoencoder`, which has no KL, it is the
    gradient of the mean of −log P(X|z) at its code.

    Parameters
    ----------
    model : Autoencoder or VAE
        Dense; its subclasses have other layers.
    x : Tensor (batch, channels, height, width)
        Pixels in [0, 1].
    beta, generator, sample
        As in `elbo`; the same generator gives the same noise.
    precision : dtype, optional
        In which the large layers, those that touch the pixels, are multiplied: the model's own by
        default. In bfloat16 their inputs, outputs and slopes are rounded to 8 bits. Their weights
        are kept as they are, and the small layers gain nothing by it.

    Raises
    ------
    ValueError
        If the model is not dense, there is no image, or a pixel is NaN or outside [0, 1].
    """
    if type(model) not in (Autoencoder, VAE):
        raise ValueError(f"model: expected a dense Autoencoder or VAE, got {type(model).__name__}")
    check_pixels(x, model.shape)
    if len(x) == 0:
        raise ValueError("x: expected at least one image, got none")
    own = model.mu.weight.dtype
    precision = precision or own
    x = x.flatten(1)
    share = 1 / len(x)  # of each image in the mean

    encoder = _Pass([*model.encoder, model.mu], precision)
    features = encoder.inputs
    mu = encoder.forward(x)
    if isinstance(model, VAE):
        head = _Pass([model.logvar], precision)
        logvar = head.forward(features[-1])
        sigma = (0.5 * logvar).exp_()
        noise = torch.zeros_like(mu)
        if sample:
            noise = torch.randn(mu.shape, generator=generator, dtype=own, device=mu.device)
        z = torch.addcmul(mu, sigma, noise)
    else:
        z = mu
    decoder = _Pass(list(model.decoder), precision)
    output = decoder.forward(z)

    # Of all three likelihoods the slope of −log P by the decoder's output is (mean − x) / variance.
    slope = model.mean(output).sub_(x)
    if model.likelihood == "gaussian":
        variance = model.decoder_variance
        if model.learned_variance:
            misfit = slope.square().sum() / variance
            model.log_decoder_variance.grad = 0.5 * (x.shape[1] - share * misfit)
        slope.div_(variance)
    by_z = decoder.backward(slope.mul_(share))

    if not isinstance(model, VAE):
        encoder.backward(by_z, to_input=False)
        return
    weight = beta * share
    by_mu = torch.addcmul(by_z, mu, torch.as_tensor(weight, dtype=own, device=mu.device))
    by_logvar = 0.5 * (by_z * sigma * noise + weight * (sigma.square() - 1))
    from_logvar = head.backward(by_logvar)
    encoder.backward(by_mu, join=from_logvar, to_input=False)


class _Pass:
    """Layers on the way forward, and the way back."""

    def __init__(self, modules: list[nn.Module], precision: torch.dtype) -> None:
        self.layers = [module for module in modules if isinstance(module, nn.Linear)]
        self.weights = [
            layer.weight.to(precision) if layer.weight.numel() >= LARGE else layer.weight
            for layer in self.layers
        ]
        self.tanh = any(isinstance(module, nn.Tanh) for module in modules)
        self.inputs: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        """Keep each layer's input, return the last one's output."""
        last = len(self.layers) - 1
        for depth, (layer, weight) in enumerate(zip(self.layers, self.weights, strict=True)):
            self.inputs.append(x)
            bias = layer.bias.to(weight.dtype)
            x = torch.addmm(bias, x.to(weight.dtype), weight.t()).to(layer.bias.dtype)
            if depth < last:
                x = x.tanh_() if self.tanh else x.relu_()
        return x

    def backward(self, slope: Tensor, join: Tensor | None = None, to_input: bool = True) -> Tensor:
        """Set the gradients, given the loss's slope by the output; return that by the input.

        ``join`` is what arrives from another head at the last layer's input.
        """
        for depth in reversed(range(len(self.layers))):
            layer, weight, x = self.layers[depth], self.weights[depth], self.inputs[depth]
            torch.sum(slope, 0, out=_gradient(layer.bias))
            slope = slope.to(weight.dtype)
            _multiply(slope.t(), x.to(weight.dtype), layer.weight)
            if depth == 0 and not to_input:
                break
            slope = torch.mm(slope, weight).to(x.dtype)
            if join is not None:
                slope, join = slope.add_(join), None
            if depth:
                slope = self._through_activation(slope, x)
        return slope

    def _through_activation(self, slope: Tensor, output: Tensor) -> Tensor:
        result: Tensor
        if self.tanh:
            result = torch.ops.aten.tanh_backward(slope, output)
        else:
            result = torch.ops.aten.threshold_backward(slope, output, 0)
        return result


def _gradient(parameter: Tensor) -> Tensor:
    """Where a parameter's gradient goes: one place for all steps, for new memory is slow."""
    if parameter.grad is None:
        parameter.grad = torch.empty_like(parameter)
    return parameter.grad


def _multiply(left: Tensor, right: Tensor, parameter: Tensor) -> None:
    gradient = _gradient(parameter)
    if left.dtype == gradient.dtype:
        torch.mm(left, right, out=gradient)
    else:
        gradient.copy_(left @ right)
