md("others", """
(sec-others)=
## Another's numbers

{cite:t}`wang2022` published the code of their paper, and with it raw numbers of a non-linear VAE on MNIST: one hidden layer of 1,024 ReLUs, 64 variables, half the squared error plus $\\beta$ times the KL. We read $\\sigma^2$ there at twelve values of β and count a variable where it is below 0.95. Then we trained our own:

| | {cite:t}`wang2022` | here |
|---|---|---|
| hidden layer of 1,024 | one for $\\mu$, one for $\\log \\sigma^2$ | one for both |
| batches, epochs | 16, 256 | 128, 10 |
| $\\sigma^2$ averaged over | the training images, during the last epoch | the test images |
| likelihood, optimiser, start | Gaussian with $\\eta^2 = 1$, Adam, 0.001, PyTorch's | the same |

So they took more than 200 times as many steps.
""")
code("train-published", """
THEIRS = {0.15: 36, 0.3: 24, 0.6: 15, 0.75: 13, 0.9: 11, 1.05: 10}
THEIRS |= {1.5: 6, 1.95: 5, 2.55: 3, 3.0: 1, 3.75: 1, 4.5: 0}
ABOVE = (54, 35, 20, 16, 13, 12, 8, 6, 5, 3, 1, 1)  # eigenvalues of MNIST above each β
wide = {"hidden": (1024,), "latent": 64, "initialisation": "torch", **common}
ours = sweep(Experiment(dataset="mnist", beta=beta, **wide) for beta in THEIRS)
our_count = (gather(ours, "mean_sigma2") < 0.95).sum(1)
""")
code("draw-published", """
figure, ax = plt.subplots(figsize=(7, 3.2))
ax.plot(THEIRS, ABOVE, "_", ms=12, color=COLOURS["prior"], label="eigenvalues above β")
ax.plot(THEIRS, THEIRS.values(), "x", ms=7, color="black", label="Wang & Ziyin, σ² < 0.95")
ax.plot(THEIRS, our_count, "o", ms=7, mfc="none", color=COLOURS["active"], label="ours")
ax.set(xscale="log", xlabel="β", ylabel="variables of 64")
ax.set_xticks((0.15, 0.3, 0.6, 1.05, 1.95, 4.5), ("0.15", "0.3", "0.6", "1.05", "1.95", "4.5"))
ax.set_xticks([], minor=True)
ax.legend()
plt.show()
""", fig="fig-published", caption="One hidden layer of 1,024 on MNIST: living variables against β, theirs and ours, and the number of directions above the water.", alt=ALT_PUBLISHED)
code("numbers-published", """
table(
    {
        "β": list(THEIRS),
        "eigenvalues above β": ABOVE,
        "theirs, σ² < 0.95": THEIRS.values(),
        "ours, σ² < 0.95": our_count,
        "ours − theirs": our_count - torch.tensor(list(THEIRS.values())),
        "our KL": gather(ours, "kl").sum(1),
    },
    decimals={"β": 2, "our KL": 2},
)
""", tags=["numbers"])
md("look-published", LOOK_PUBLISHED)
