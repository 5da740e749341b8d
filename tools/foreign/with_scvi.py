"""scvi-tools: its SCVI on counts that three factors made."""

import anndata
import numpy as np
import scvi
import torch
from common import keep

from vaelib import diagnose

CELLS, GENES, FACTORS, LATENT, EPOCHS = 2_000, 100, 3, 10, 40

random = np.random.default_rng(0)
factors = random.standard_normal((CELLS, FACTORS))
rates = np.exp(0.5 * factors @ random.standard_normal((FACTORS, GENES)) + 1)
counts = random.poisson(random.gamma(5.0, rates / 5.0)).astype(np.float32)  # negative binomial

scvi.settings.seed = 0
adata = anndata.AnnData(counts)
scvi.model.SCVI.setup_anndata(adata)
library = np.log(counts.sum(1, keepdims=True))
data = f"counts: {CELLS:,} cells, {GENES} genes, {FACTORS} factors"


def batch(z):
    return torch.zeros(len(z), 1)


def train_and_diagnose(name, warmup):
    model = scvi.model.SCVI(adata, n_latent=LATENT)
    model.train(
        max_epochs=EPOCHS,
        accelerator="cpu",
        enable_progress_bar=False,
        plan_kwargs={"n_epochs_kl_warmup": warmup},
    )
    module, about = model.module, {"data": data, "epochs": EPOCHS}

    mean, variance = model.get_latent_representation(return_dist=True)
    keep("scvi-tools", name, "arrays", diagnose(mean, variance=variance), **about)

    found = diagnose(
        encode=lambda x: module.inference(x, batch_index=batch(x)),
        decode=lambda z, library: module.generative(z, library, batch_index=batch(z))["px"],
        data=(counts, library),
    )
    keep("scvi-tools", name, "model", found, **about)


# The first is the default; the training stops long before its end.
train_and_diagnose("SCVI, KL rises for 400 epochs", 400)
train_and_diagnose("SCVI, KL rises for 20 epochs", 20)
