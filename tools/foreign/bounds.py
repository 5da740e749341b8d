"""A short training and its diagnosis, by arrays, by the model and on the command line.

Run where the wheel is installed, with the oldest versions it allows and with the newest.
"""

import json
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch

from vaelib import VAE, diagnose, elbo, encode_images, fit, load
from vaelib.lab import Experiment

images = load("glyphs").train_images[:2_000]
torch.manual_seed(0)
model = VAE((1, 28, 28), (64,), 8)
fit(model, images, lambda x, epoch: -elbo(model, x).mean(), epochs=20, batch_size=50)

whole = {"encode": model.encode, "decode": model.decoder, "likelihood": model.likelihood}
found = diagnose(data=images, **whole)
assert any(found.table["used"]), found
assert not [finding for finding in found.findings if finding.is_fault], found
found.plot()

mu, logvar = (part.numpy() for part in encode_images(model, images))
assert np.allclose(diagnose(mu, logvar).table["kl"], found.table["kl"], atol=1e-4)

for name, codes, status in (("right.npz", mu, 0), ("dead.npz", 0 * mu, 1)):
    np.savez(name, mu=codes, logvar=logvar)
    command = [sys.executable, "-m", "vaelib", name, "--json", "--fail-on", "total"]
    result = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    assert result.returncode == status, result
    assert json.loads(result.stdout)["table"]["var_mu"][0] > 0 or status

Experiment(dataset="tiles", hidden=(4,), latent=2, epochs=1, images=100, history=False).run()

versions = {"python": platform.python_version(), "numpy": np.__version__}
versions["torch"] = torch.__version__.partition("+")[0]
Path(sys.argv[1]).write_text(json.dumps([versions]), encoding="utf-8")
