"""The diagnosis of any VAE: what goes in, what is measured, and what is found."""

import json
import math
import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from oracles import normal, seeded
from torch import distributions as D
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import vaelib.__main__ as command
from vaelib import Bernoulli, Gaussian, diagnose, latent_statistics, marginal_decomposition
from vaelib.diagnosis.codes import read_code

# ---- codes --------------------------------------------------------------------------------------


def codes(n=600, latent=4):
    """Codes that keep to the law of variances; the last variable is dead."""
    sigma2 = torch.linspace(0.1, 0.7, latent, dtype=torch.float64)
    mu = normal(n, latent)
    mu = (mu - mu.mean(0)) / mu.std(0, correction=0) * (1 - sigma2).sqrt()
    mu[:, -1], sigma2[-1] = 0, 1
    return mu, sigma2.log().expand(n, latent).clone()


def the_same(found, expected, tolerance=1e-9):
    for name, column in expected.table.items():
        assert found.table[name] == pytest.approx(column, abs=tolerance), name


def test_columns_and_totals_are_those_of_the_measures():
    mu, logvar = codes()
    found, expected = diagnose(mu, logvar), latent_statistics(mu, logvar)
    assert found.table["var_mu"] == pytest.approx(expected.var_mu.tolist(), abs=1e-12)
    assert found.table["sigma2"] == pytest.approx(expected.mean_sigma2.tolist(), abs=1e-12)
    assert found.table["sum"] == pytest.approx(expected.variance_sum.tolist(), abs=1e-12)
    assert found.table["kl"] == pytest.approx(expected.kl.tolist(), abs=1e-12)
    assert found.table["active"] == [True, True, True, False]
    assert "gain" not in found.table
    parts = marginal_decomposition(mu, logvar, seeded(3))
    assert found.totals["kl"] == pytest.approx(parts.mean_kl.item())
    error = parts.information_error.item()
    assert abs(found.totals["mutual_information"] - parts.mutual_information) < 4 * error
    assert found.totals["information_ceiling"] == pytest.approx(math.log(600))


FORMS = {
    "arrays": lambda mu, logvar: diagnose(mu.numpy(), logvar.numpy()),
    "float32": lambda mu, logvar: diagnose(mu.float(), logvar.float()),
    "variance": lambda mu, logvar: diagnose(mu, variance=logvar.exp()),
    "std": lambda mu, logvar: diagnose(mu.numpy(), std=(logvar / 2).exp().numpy()),
    "prior": lambda mu, logvar: diagnose(3 + 2 * mu, logvar + math.log(4), prior=(3, 2)),
}


@pytest.mark.parametrize("form", FORMS)
def test_codes_in_any_form(form):
    mu, logvar = codes()
    found, expected = FORMS[form](mu, logvar), diagnose(mu, logvar)
    if form == "prior":  # in the units of the codes, but for the KL
        for name in ("var_mu", "sigma2", "sum"):
            found.table[name] = [value / 4 for value in found.table[name]]
    the_same(found, expected, 1e-6)


def test_spatial_codes_are_taken_by_channel():
    mu, logvar = codes(600 * 6)
    images = [part.reshape(600, 2, 3, 4).movedim(3, 1) for part in (mu, logvar)]
    found, expected = diagnose(*images), diagnose(mu, logvar)
    found.table["kl"] = [kl / 6 for kl in found.table["kl"]]  # per image there are six
    the_same(found, expected)
    assert found.totals["rows"] == 600
    assert "mutual_information" not in found.totals


def test_pieces_give_what_all_rows_at_once_give():
    mu, logvar = codes(25_000)
    expected = latent_statistics(mu, logvar)
    assert diagnose(mu + 1000, logvar).table["var_mu"] == pytest.approx(
        expected.var_mu.tolist(), abs=1e-9
    )


MU, LOGVAR = codes(5)
STD = (LOGVAR / 2).exp()
OUTPUTS = {
    "pair": (MU, LOGVAR),
    "list": [MU, LOGVAR],
    "Normal": D.Normal(MU, STD),
    "Independent": D.Independent(D.Normal(MU, STD), 1),
    "diffusers": SimpleNamespace(latent_dist=SimpleNamespace(mean=MU, logvar=LOGVAR)),
    "pythae": {"embedding": MU, "log_covariance": LOGVAR},
    "scvi": {"qz_m": MU, "qz_v": LOGVAR.exp()},
    "scvi, now": {"qz": D.Normal(MU, STD), "z": MU},
}


@pytest.mark.parametrize("name", OUTPUTS)
def test_what_encoders_of_others_return(name):
    torch.testing.assert_close(read_code(OUTPUTS[name]), (MU, LOGVAR), rtol=0, atol=1e-12)


@pytest.mark.parametrize("spread", ["variance", "std"])
def test_the_second_of_a_pair_may_be_named(spread):
    second = LOGVAR.exp() if spread == "variance" else STD
    torch.testing.assert_close(read_code((MU, second), spread), (MU, LOGVAR), rtol=0, atol=1e-12)


BAD = [
    (lambda: diagnose(MU), TypeError, "diagnose"),
    (lambda: diagnose(MU, LOGVAR, std=STD), TypeError, "diagnose"),
    (lambda: diagnose(MU, LOGVAR, decode=len), TypeError, "diagnose"),
    (lambda: diagnose(encode=len, data=MU, loss=len), TypeError, "loss"),
    (lambda: diagnose(encode=lambda x: (x, x)), TypeError, "diagnose"),
    (lambda: diagnose(MU, LOGVAR[:3]), ValueError, "mu and logvar"),
    (lambda: diagnose(MU[0], LOGVAR[0]), ValueError, "mu and logvar"),
    (lambda: diagnose(MU, variance=-STD), ValueError, "variance"),
    (lambda: diagnose(MU, LOGVAR, prior=(0, 0)), ValueError, "prior"),
    (lambda: diagnose(MU * math.nan, LOGVAR), ValueError, "mu and logvar"),
    (lambda: read_code((MU, LOGVAR, MU)), TypeError, "encode: .* 3 values"),
    (lambda: read_code(MU), TypeError, "encode: .* Tensor"),
    (lambda: read_code(D.Laplace(MU, STD)), TypeError, "encode: .* Laplace"),
    (lambda: read_code((MU, STD), "sigma"), ValueError, "spread"),
]


@pytest.mark.parametrize("number", range(len(BAD)))
def test_bad_input_is_an_error_that_names_it(number):
    call, error, words = BAD[number]
    with pytest.raises(error, match=f"^{words}"):
        call()


# ---- a model whose optimum is known, with a slip or without -------------------------------------

SPECTRUM = torch.tensor([9.0, 6.0, 4.0, 2.5, 1.6, 0.5]).double()  # the last is under water
SAMPLERS = {
    "exp": lambda v: v.exp(),
    "none": lambda v: 0 * v,
    "third": lambda v: (v / 2).exp() / 3,
}
PRICES = {
    "log σ": lambda s, v: 0.5 * (s + (2 * v).exp() - 2 * v - 1),
    "no μ²": lambda s, v: 0.5 * (1e-3 * s + v.exp() - v - 1),
    "sign": lambda s, v: -0.01 * (s + v.exp() - v - 1),
}


class Linear:
    """x̂ = a z, z = m x + σ ε, one variable for each direction; trained on the expected loss."""

    def __init__(self, sampler="", price="", beta=1.0):
        noise = SAMPLERS.get(sampler, lambda v: (v / 2).exp())
        kl = PRICES.get(price, lambda s, v: 0.5 * (s + v.exp() - v - 1))
        shape = SPECTRUM.shape
        leaves = [torch.full(shape, value).double().requires_grad_() for value in (0.7, 0.7, -0.5)]
        a, m, v = leaves
        optimiser = torch.optim.LBFGS(
            leaves,
            max_iter=1000,
            tolerance_grad=1e-10,
            tolerance_change=1e-14,
            line_search_fn="strong_wolfe",
        )

        def loss():
            optimiser.zero_grad()
            misfit = SPECTRUM * (1 - a * m).square() + (a * noise(v)).square()
            value = (0.5 * misfit + beta * kl(m.square() * SPECTRUM, v)).sum()
            value.backward()
            return value

        optimiser.step(loss)
        self.a, self.m, self.logvar = (leaf.detach() for leaf in leaves)
        x = normal(1000, len(shape) * len(SPECTRUM))
        self.x = (x - x.mean(0)) / x.std(0, correction=0) * SPECTRUM.sqrt()

    def encode(self, x):
        return x * self.m, self.logvar.expand_as(x)

    def decode(self, z):
        return z * self.a

    def diagnose(self, **more):
        return diagnose(
            **{"encode": self.encode, "decode": self.decode, "data": self.x, "likelihood": ETA2}
            | more
        )


ETA2 = Gaussian(1.0)


def right_loss(x, output, mu, logvar):
    misfit = 0.5 * (x - output).square().sum()
    return (misfit + 0.5 * (mu.square() + logvar.exp() - logvar - 1).sum()) / len(x)


def faults(diagnosis):
    return [finding.code for finding in diagnosis.findings if finding.is_fault]


def test_every_number_of_the_exact_linear_vae():
    found = Linear().diagnose(loss=right_loss)
    above = SPECTRUM[:5]
    assert found.table["sigma2"] == pytest.approx([*(1 / above).tolist(), 1], abs=1e-5)
    assert found.table["sum"] == pytest.approx([1] * 6, abs=1e-5)
    assert found.table["gain"] == pytest.approx([*((above - 1 / above) / 2).tolist(), 0], abs=1e-4)
    assert found.table["kl"] == pytest.approx([*(0.5 * above.log()).tolist(), 0], abs=1e-5)
    assert found.table["active"] == [True] * 5 + [False]
    assert found.totals["beta"] == pytest.approx(1, abs=1e-6)
    assert abs(found.totals["inference_gap"]) < 0.05
    whole = -0.5 * ((1 / above).sum() + 0.5 + 6 * math.log(2 * math.pi))
    assert found.totals["log_likelihood"] == pytest.approx(whole.item(), abs=1e-4)
    assert found.totals["without_code"] == pytest.approx(
        whole.item() - sum(found.table["gain"]), abs=1e-4
    )
    assert faults(found) == []
    # The fifth direction is above the water, and worth less than a nat.
    assert [finding.code for finding in found.findings] == ["active_unused", "dead"]
    assert [finding.variables for finding in found.findings] == [(4,), (5,)]
    assert "would keep 5" in found.findings[1].evidence


@pytest.mark.parametrize("beta", [0.2, 5.0])
def test_a_beta_that_the_codes_imply_without_a_loss(beta):
    found = Linear(beta=beta).diagnose()
    (first, *_) = found.findings
    assert first.code == "weight_by_noise"
    assert float(re.search(r"β = ([\d.]+)", first.what)[1]) == pytest.approx(beta, rel=0.1)


def charged(price, beta=1.0):
    """The loss that a Linear with this price was trained on."""

    def loss(x, output, mu, logvar):
        kl = PRICES[price] if price else lambda s, v: 0.5 * (s + v.exp() - v - 1)
        return 0.5 * (x - output).square().sum() + beta * kl(mu.square(), logvar).sum()

    return loss


def test_a_beta_that_was_chosen_is_said_and_explains_the_noise():
    found = Linear(beta=5.0).diagnose(loss=charged("", 5))
    assert faults(found) == ["weight"]
    assert "β = 5" in found.findings[0].what


def test_a_price_that_lacks_the_mean():
    model = Linear(price="no μ²")
    assert faults(model.diagnose())[0] == "mean_not_priced"
    assert faults(model.diagnose(loss=charged("no μ²")))[0] == "kl_formula"


def test_a_kl_that_is_rewarded():
    assert faults(Linear().diagnose(loss=charged("sign")))[0] == "kl_sign"


def test_off_the_law_with_the_right_noise_is_unfinished_and_no_fault():
    model = Linear()
    model.m, model.a = 1.25 * model.m, model.a / 1.25
    found = model.diagnose()
    assert faults(found) == []
    (unfinished,) = (finding for finding in found.findings if finding.code == "unfinished")
    assert "so the noise is right" in unfinished.evidence
    assert unfinished.variables == (0, 1, 2, 3)  # the fifth is worth less than a nat


def test_one_sigma_for_all_may_be_a_weight_that_has_just_begun():
    model = Linear()
    model.logvar = 0 * model.logvar - 0.5
    found = model.diagnose()
    assert "other_noise" not in faults(found)
    assert "one σ for all" in next(f.what for f in found.findings if f.code == "unfinished")


SLIPS = {
    "log_sigma": {"sampler": "exp"},
    "no_noise": {"sampler": "none"},
    "other_noise": {"sampler": "third"},
    "kl_formula": {"price": "log σ"},
}


@pytest.mark.parametrize("code", SLIPS)
def test_a_slip_comes_first(code):
    def loss(x, output, mu, logvar):
        if "price" not in SLIPS[code]:
            return right_loss(x, output, mu, logvar)
        kl = PRICES[SLIPS[code]["price"]](mu.square(), logvar).sum()
        return (0.5 * (x - output).square().sum() + kl) / len(x)

    model = Linear(**SLIPS[code])
    assert faults(model.diagnose(loss=loss))[0] == code
    if code in ("log_sigma", "no_noise"):
        assert faults(model.diagnose())[0] == code


def handed_over(first, second):
    model = Linear()
    mu, logvar = model.encode(model.x)
    logvar = logvar + 0.1 * normal(*logvar.shape, key=1)  # as in a network, it differs by image
    return diagnose(first(mu, logvar), second(mu, logvar))


HANDED = {
    "variance_as_logvar": (lambda mu, logvar: mu, lambda mu, logvar: logvar.exp()),
    "swapped": (lambda mu, logvar: logvar, lambda mu, logvar: mu),
    "same_head": (lambda mu, logvar: mu, lambda mu, logvar: mu),
    "variance_at_least_one": (lambda mu, logvar: 3 * mu, lambda mu, logvar: mu.abs()),
    "mean_not_negative": (lambda mu, logvar: mu.relu(), lambda mu, logvar: logvar),
    "constant_mean": (lambda mu, logvar: mu + 2 * (mu.std(0) < 0.1), lambda mu, logvar: logvar),
    "near_deterministic": (lambda mu, logvar: mu, lambda mu, logvar: logvar - 12),
    "exploded": (lambda mu, logvar: mu, lambda mu, logvar: logvar + 30),
    "collapse_training": (lambda mu, logvar: 0.01 * mu, lambda mu, logvar: 0.01 * logvar),
}


@pytest.mark.parametrize("code", HANDED)
def test_a_slip_is_seen_in_the_codes_alone(code):
    assert faults(handed_over(*HANDED[code]))[0] == code


BOUNDS = {"less": lambda v: v.clamp(min=-0.7), "more": lambda v: v.clamp(max=-0.8)}


@pytest.mark.parametrize("word", BOUNDS)
def test_a_bound_on_the_variance_is_seen_where_codes_end(word):
    bounded = handed_over(lambda mu, logvar: mu, lambda mu, logvar: BOUNDS[word](logvar))
    (finding,) = (f for f in bounded.findings if f.code == "clamped")
    assert f"can have {word} noise than σ² = 0." in finding.what
    free = handed_over(lambda mu, logvar: mu, lambda mu, logvar: logvar)
    assert "clamped" not in faults(free)


def test_a_draw_that_is_handed_over_for_the_mean():
    model, noise = Linear(), normal(1000, 6, key=2)

    def drawn(mu, logvar):
        return mu + (0.5 * logvar).exp() * noise, logvar

    assert faults(diagnose(*drawn(*model.encode(model.x))))[0] == "draw_for_mean"

    def encode(x):
        mu, logvar = model.encode(x)
        return mu + (0.5 * logvar).exp() * torch.randn_like(mu), logvar

    first, *_ = diagnose(encode=encode, data=model.x).findings
    assert first.code == "draw_for_mean"
    assert float(re.search(r"variance is ([\d.]+) σ²", first.evidence)[1]) == pytest.approx(1, 0.1)


@pytest.mark.parametrize(("power", "quantity"), [(1, "σ²"), (0.5, "σ")])
def test_which_of_variance_and_deviation_was_handed_over(power, quantity):
    (first, *_) = handed_over(lambda mu, _: mu, lambda _, logvar: (power * logvar).exp()).findings
    assert f"is {quantity} itself" in first.what


def test_rows_with_nan_are_left_out_and_named():
    mu, logvar = codes()
    mu[7, 2] = math.nan
    found = diagnose(mu, logvar)
    assert found.findings[0].code == "not_finite"
    assert found.findings[0].variables == (2,)
    keep = torch.arange(600) != 7
    the_same(found, diagnose(mu[keep], logvar[keep]))


def test_a_first_piece_without_a_finite_row_is_counted_too():
    mu, logvar = codes(10_600)
    mu[:10_000] = math.nan
    found = diagnose(mu, logvar)
    assert "10000 of 10600 rows" in found.findings[0].evidence
    the_same(found, diagnose(mu[10_000:], logvar[10_000:]))


def test_few_rows_and_an_information_at_its_ceiling_are_said():
    mu = 1000 * normal(100, 3)
    found = {finding.code for finding in diagnose(mu, torch.zeros(100, 3)).findings}
    assert {"few_rows", "information_ceiling"} <= found
    assert not {"few_rows", "information_ceiling"} & {f.code for f in diagnose(*codes()).findings}


# ---- what needs a decoder -----------------------------------------------------------------------


def test_what_noise_costs_is_that_of_all_positions():
    model = Linear()

    def encode(x):
        mu, logvar = model.encode(x)
        return (part.reshape(-1, 10, 6).movedim(2, 1) for part in (mu, logvar))

    found = diagnose(
        encode=lambda x: tuple(encode(x)),
        decode=lambda z: model.decode(z.movedim(1, 2)),
        data=model.x.reshape(100, 10, 6),
        likelihood=ETA2,
    )
    assert faults(found) == []
    exact = 10 * 0.5 * SPECTRUM[:5].log()
    assert found.table["kl"] == pytest.approx([*exact.tolist(), 0], abs=1e-4)


def test_variables_that_say_the_same_are_found_together():
    model = Linear()
    found = diagnose(
        encode=lambda x: (
            x[:, :1] * model.m[0] * torch.ones(12),
            model.logvar[:1].expand(len(x), 12),
        ),
        decode=lambda z: torch.cat([z.mean(1, keepdim=True) * model.a[0], 0 * z[:, :5]], 1),
        data=model.x,
        likelihood=ETA2,
    )
    assert max(found.table["gain"]) < 1
    assert "redundant" in faults(found)
    assert "active_unused" not in {finding.code for finding in found.findings}


def test_an_encoder_behind_its_decoder():
    model = Linear()
    found = diagnose(
        encode=lambda x: (0.2 * x * model.m, model.logvar.expand_as(x)),
        decode=model.decode,
        data=model.x,
        likelihood=ETA2,
    )
    assert "lagging_encoder" in faults(found)
    misfit = 0.5 * SPECTRUM * ((1 - 0.2 * model.a * model.m) ** 2 - (1 - model.a * model.m) ** 2)
    price = 0.5 * SPECTRUM * model.m**2 * (1 - 0.2**2)
    assert found.totals["inference_gap"] == pytest.approx((misfit - price).sum().item(), rel=0.25)


def silent(x, *_):
    return torch.zeros(len(x), 2), torch.zeros(len(x), 2)


def test_three_kinds_of_total_collapse():
    model, c = Linear(), 3 * normal(1000, 6)

    def averaged(x, output, mu, logvar):
        return 0.5 * (x - output).square().mean() + right_loss(0 * x, 0 * output, mu, logvar)

    nothing = {"encode": silent, "decode": lambda z: z[:, :1] * torch.zeros(6), "data": model.x}
    (first, *_) = diagnose(**nothing, likelihood=ETA2, loss=averaged).findings
    assert (first.code, "β = 6" in first.evidence) == ("collapse_weight", True)
    assert faults(diagnose(**nothing, likelihood=Gaussian(20.0)))[0] == "collapse_variance"
    assert faults(diagnose(**nothing, likelihood=ETA2))[0] == "collapse_training"
    strong = diagnose(
        encode=silent,
        decode=lambda z, c: c + z[:, :1] * torch.zeros(6),
        data=(c + normal(1000, 6, key=1), c),
        likelihood=ETA2,
    )
    assert faults(strong)[0] == "collapse_decoder"


LOSSES = {
    "sum": (1.0, lambda fit, kl: fit.sum() + kl.sum()),
    "mean over the batch of both": (1.0, lambda fit, kl: (fit.sum() + kl.sum()) / len(fit)),
    "mean over pixels": (6.0, lambda fit, kl: fit.mean() + kl.sum(1).mean()),
    "mean over variables": (0.25, lambda fit, kl: fit.sum(1).mean() + kl.mean()),
    "batch twice": (1 / 50, lambda fit, kl: fit.sum(1).mean() + kl.sum(1).mean() / len(kl)),
    "β": (4.0, lambda fit, kl: fit.sum() + 4 * kl.sum()),
    "in a dictionary": (2.0, lambda fit, kl: {"loss": fit.sum() + 2 * kl.sum()}),
    "first of several": (2.0, lambda fit, kl: (fit.sum() + 2 * kl.sum(), kl)),
}


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("likelihood", ["bernoulli", "bernoulli_logits", "gaussian"])
def test_the_beta_of_a_loss(name, likelihood):
    beta, reduce = LOSSES[name]
    torch.manual_seed(0)
    encoder, decoder = nn.Linear(6, 8), nn.Linear(4, 6)
    fit = {
        "bernoulli": nn.functional.binary_cross_entropy,
        "bernoulli_logits": nn.functional.binary_cross_entropy_with_logits,
        "gaussian": lambda out, x, reduction: 0.5 * (out - x) ** 2,
    }[likelihood]

    def loss(x, output, mu, logvar):
        kl = -0.5 * (1 + logvar - mu**2 - logvar.exp())
        return reduce(fit(output, x, reduction="none"), kl)

    found = diagnose(
        encode=lambda x: encoder(x).chunk(2, 1),
        decode=lambda z: decoder(z).sigmoid() if likelihood == "bernoulli" else decoder(z),
        data=torch.rand(50, 6, generator=seeded()),
        likelihood=likelihood,
        loss=loss,
    )
    assert found.totals["beta"] == pytest.approx(beta, rel=1e-4)


def test_the_beta_of_a_loss_that_takes_a_distribution():
    model = Linear()

    def loss(x, output, mu, logvar):
        kl = 0.5 * (mu.square() + logvar.exp() - logvar - 1)
        return -output.log_prob(x).sum(1).mean() + 3 * kl.sum(1).mean()

    found = model.diagnose(decode=lambda z: D.Normal(z * model.a, 1.0), likelihood=None, loss=loss)
    assert found.totals["beta"] == pytest.approx(3, rel=1e-6)


def test_a_loss_that_is_not_that_of_the_likelihood():
    def loss(x, output, mu, logvar):
        return (x - output).abs().sum() + charged("")(x, x, mu, logvar)

    model = Linear()
    assert faults(model.diagnose(loss=loss))[0] == "other_likelihood"
    laplace = lambda out, x: D.Laplace(out, 1.0).log_prob(x)  # noqa: E731
    found = model.diagnose(loss=loss, likelihood=laplace)
    assert "other_likelihood" not in faults(found)
    assert found.totals["beta"] == pytest.approx(1, rel=1e-6)


def test_a_decoder_that_returns_nan_for_some_is_named():
    model = Linear()

    def decode(z):
        return torch.where(z[:, :1] > 1.5, math.nan, z * model.a)

    first, *_ = model.diagnose(decode=decode).findings
    assert first.code == "output_not_finite"
    bad = int((model.encode(model.x)[0][:, 0] > 1.5).sum())
    assert f"for {bad} of 1000 rows" in first.evidence


class Net(nn.Module):
    """Somebody's conditional VAE, with layers whose mode matters."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Linear(9, 8), nn.BatchNorm1d(8), nn.Dropout())
        self.out = nn.Linear(7, 6)

    def encode(self, x, c):
        return self.body(torch.cat([x, c], 1)).chunk(2, 1)

    def decode(self, z, c):
        return self.out(torch.cat([z, c], 1)).sigmoid()


X, C = torch.rand(120, 6, generator=seeded()), torch.rand(120, 3, generator=seeded(1))
DATA = {
    "tuple": (X, C),
    "arrays": (X.numpy(), C.numpy()),
    "doubles": (X.double(), C),
    "dataset": TensorDataset(X, C),
    "loader": DataLoader(TensorDataset(X, C), 50),
    "list of batches": [(X[:70], C[:70]), (X[70:], C[70:])],
}


@pytest.mark.parametrize("form", DATA)
def test_data_in_any_form_and_conditions_are_passed_on(form):
    net = Net()
    found = diagnose(encode=net.encode, decode=net.decode, data=DATA[form], likelihood="bernoulli")
    net.eval()
    mu, logvar = net.encode(X, C)
    assert found.table["var_mu"] == pytest.approx(diagnose(mu, logvar).table["var_mu"], abs=1e-6)
    whole = Bernoulli().log_prob(torch.logit(net.decode(mu, C)), X).mean().item()
    assert found.totals["log_likelihood"] == pytest.approx(whole, abs=1e-4)


def test_bytes_are_pixels_and_a_batch_may_be_a_dictionary():
    net = nn.Linear(6, 8)
    images = (255 * X).byte()
    encode = lambda x: net(x).chunk(2, 1)  # noqa: E731
    expected = diagnose(encode=encode, data=images.float() / 255)
    the_same(diagnose(encode=encode, data=images), expected, 1e-6)
    the_same(diagnose(encode=encode, data=[{"pixel_values": images}]), expected, 1e-6)
    with pytest.raises(TypeError, match=r"^data: .*'colour'"):
        diagnose(encode=encode, data=[{"colour": images}])


def test_the_model_is_left_as_it_was_and_so_are_the_random_numbers():
    net = Net()
    net.out.eval()
    net.out.bias.requires_grad_(False)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    modes = [module.training for module in net.modules()]
    wanted = [weight.requires_grad for weight in net.parameters()]
    state = torch.get_rng_state()
    diagnose(encode=net.encode, decode=net.decode, data=(X, C), likelihood="bernoulli")
    assert [module.training for module in net.modules()] == modes
    assert [weight.requires_grad for weight in net.parameters()] == wanted
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    assert all(weight.grad is None for weight in net.parameters())


def test_weights_that_nobody_sees_are_taken_to_be_float32():
    """A model in a closure's list: its data say in which precision it is called."""
    net = Net().eval()
    hidden = [net]
    call = {
        "encode": lambda x, c: hidden[0].encode(x, c),
        "decode": lambda z, c: hidden[0].decode(z, c),
        "likelihood": "bernoulli",
    }
    expected = diagnose(**call, data=(X, C))
    torch.set_default_dtype(torch.float64)
    try:
        the_same(diagnose(**call, data=(X, C)), expected)
    finally:
        torch.set_default_dtype(torch.float32)


DECODED = {
    "a distribution": (lambda p: D.Bernoulli(p), None),
    "an object": (lambda p: SimpleNamespace(sample=p), "bernoulli"),
    "a dictionary": (lambda p: {"reconstruction": p}, "bernoulli"),
    "several": (lambda p: (p, 1), "bernoulli"),
    "logits": (lambda p: p.logit(), "bernoulli_logits"),
    "logits, ours": (lambda p: p.logit(), Bernoulli()),
    "a function": (lambda p: p, lambda p, x: D.Bernoulli(p).log_prob(x)),
    "a function of rows": (lambda p: p, lambda p, x: D.Bernoulli(p).log_prob(x).sum(1)),
}


@pytest.mark.parametrize("form", DECODED)
def test_what_decoders_of_others_return(form):
    net, (wrap, likelihood) = Net().eval(), DECODED[form]
    x = X.round()
    plain = {"encode": net.encode, "data": (x, C)}
    expected = diagnose(**plain, decode=net.decode, likelihood="bernoulli")
    found = diagnose(**plain, decode=lambda z, c: wrap(net.decode(z, c)), likelihood=likelihood)
    the_same(found, expected, 1e-4)


@pytest.mark.parametrize(
    ("likelihood", "words"),
    [(None, "likelihood"), ("poisson", "likelihood"), ("bernoulli", "likelihood: .*logits")],
)
def test_a_likelihood_that_cannot_be_is_named(likelihood, words):
    net = Net()
    with pytest.raises(ValueError, match=f"^{words}"):
        diagnose(
            encode=net.encode,
            decode=lambda z, c: 5 * net.decode(z, c) - 2,
            data=(X, C),
            likelihood=likelihood,
        )


# ---- to read and keep ---------------------------------------------------------------------------


def test_a_diagnosis_can_be_read_and_kept():
    found = Linear().diagnose(loss=right_loss)
    kept = json.loads(found.to_json())
    assert kept["version"] == 1
    assert kept["table"]["kl"] == pytest.approx(found.table["kl"])
    assert [finding["code"] for finding in kept["findings"]] == ["active_unused", "dead"]
    text, page = str(found), found._repr_html_()
    for word in ("6 variables, 1,000 rows: 5 active, 5 used", "1 of 6 variables are dead"):
        assert word.partition(":")[0] in text
        assert word.partition(":")[0] in page
    assert text.count("\n   5 ") == 1
    figure = found.plot()
    assert len(figure.axes) == 2
    assert len(found.plot().axes[0].patches) == 12


def test_the_criteria_may_disagree():
    mu, logvar = codes()
    logvar[:, -1] = math.log(0.9)  # narrower than the prior, and says nothing
    found = diagnose(mu, logvar)
    assert found.disagree == [3]
    assert "do not agree on variables 3" in str(found)


def model_for_the_command():
    model = Linear()
    return {"encode": model.encode, "decode": model.decode, "data": model.x, "likelihood": ETA2}


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        ([], 0),
        (["--fail-on", "dead:2,total"], 0),
        (["--fail-on", "dead:1"], 1),
        (["--fail-on", "fault"], 0),
        (["--fail-on", "few_rows"], 0),
        (["--fail-on", "dead"], 1),
    ],
)
def test_the_command_line(tmp_path, capsys, arguments, status):
    mu, logvar = codes()
    np.savez(tmp_path / "codes.npz", mu=mu.numpy(), variance=logvar.exp().numpy())
    assert command.main([str(tmp_path / "codes.npz"), *arguments]) == status
    assert "4 variables, 600 rows" in capsys.readouterr().out


def test_the_command_line_takes_a_function_and_prints_json(capsys, monkeypatch):
    assert command.main([f"{__name__}:model_for_the_command", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["totals"]["rows"] == 1000


@pytest.mark.parametrize("source", ["gone.npz", "no_such_module:f", f"{__name__}:nothing"])
def test_what_the_command_cannot_read_is_said(source, capsys):
    assert command.main([source]) == 2
    assert "vaelib: " in capsys.readouterr().err


# ---- models of other libraries, as `make foreign` met them ---------------------------------------


def test_of_three_values_the_user_says_which_two():
    keras = lambda x: [MU, LOGVAR, MU]  # noqa: E731
    with pytest.raises(TypeError, match=r"^encode: .*3 values.*\[:2\]"):
        diagnose(encode=keras, data=MU)
    the_same(diagnose(encode=lambda x: keras(x)[:2], data=MU), diagnose(MU, LOGVAR))


@pytest.mark.parametrize("likelihood", ["gaussian", ETA2])
def test_a_kl_that_weighs_next_to_nothing_is_said_while_noise_is_still_large(likelihood):
    """AutoencoderKL of diffusers after two epochs: σ² is on its way down, and far from there."""

    def loss(x, output, mu, logvar):
        misfit = (x - output).square().sum()
        return (misfit + 1e-6 * 0.5 * (mu.square() + logvar.exp() - logvar - 1).sum()) / len(x)

    found = Linear().diagnose(likelihood=likelihood, loss=loss)
    assert found.totals["beta"] == pytest.approx(5e-7)
    expected = ["near_deterministic"] if likelihood == "gaussian" else ["weight"]
    assert faults(found)[: len(expected)] == expected
    assert "other_noise" not in faults(found)
    near = next(f for f in found.findings if f.code == "near_deterministic")
    assert "β = 5e-07" in near.evidence


def test_scvi_tools_has_counts_a_distribution_of_them_and_the_size_of_a_cell():
    torch.manual_seed(0)
    counts, weights = torch.poisson(torch.full((200, 6), 4.0)), torch.randn(3, 6)
    size = counts.sum(1, keepdim=True).log()

    def inference(x):
        mu = x.log1p() @ weights.T
        return {"z": mu, "qz": D.Normal(mu, torch.full_like(mu, 0.1)), "library": None}

    def generative(z, library):
        return D.Poisson(library.exp() * (z @ weights).softmax(1))

    found = diagnose(encode=inference, decode=generative, data=(counts, size.numpy()))
    mu = inference(counts)["z"]
    expected = generative(mu, size).log_prob(counts).sum(1).mean().item()
    assert found.totals["log_likelihood"] == pytest.approx(expected, abs=1e-4)
