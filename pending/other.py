md("other-network", """
## Which network was the paper's?

The network of this book, 784-256-64-32-24-16, is the paper's dense one as we remember it. A repository that re-implements the paper says 784-256-32-24-16. We trained both with the settings of {ref}`chap-sparsity`: Bernoulli, 20 epochs.
""")
code("train-other", """
base = {"dataset": "mnist", "epochs": 20}
as_ours = sweep(Experiment(**base).with_seeds(SEEDS))
as_others = sweep(Experiment(hidden=(256, 32, 24), history=False, **base).with_seeds(SEEDS))
both = {"784-256-64-32-24-16": as_ours, "784-256-32-24-16": as_others}
table(
    {
        "network": list(both),
        "active": [each(count_active(runs), ".0f") for runs in both.values()],
        "used": [each(count_used(runs), ".0f") for runs in both.values()],
        "ELBO (nats)": [each(gather(runs, "elbo"), ".1f") for runs in both.values()],
    },
    caption="Two readings of the paper's dense network, three seeds",
)
""")
