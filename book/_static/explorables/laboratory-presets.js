// The experiments of the laboratory: what is trained, what is asked first, and what is said of it
// afterwards. All words about an outcome are made from what was measured.
//
// A preset has one or two runs, one after the other. A run has settings of the engine, acts
// [[step, changes], …] and a last step. `kept` has what was measured at each act, when it has been
// made, and at the end of each run: kept[run][step].
var Laboratory = (function () {
  "use strict";

  var PIXELS = 196;

  // Widths of the hidden layers by their number.
  var WIDTHS = {
    glyphs: [[], [64], [64, 32], [64, 48, 32], [64, 64, 32, 32]],
    toy: [[], [64], [64, 64], [64, 64, 64], [64, 64, 64, 64]],
  };
  var LEAKS = { ReLU: 0, leaky: 0.2, line: 1 };
  var EIGENVALUES = [5, 3, 1.5, 0.8, 0.4, 0.1];

  // A network as the reader chooses it -> settings of the engine.
  function settings(network) {
    var toy = network.data === "toy";
    var made = {
      data: network.data,
      hidden: WIDTHS[network.data][network.depth],
      latent: network.latent,
      leak: LEAKS[network.bend],
      seed: network.seed,
      pictures: toy ? 0 : 8,
      draws: toy ? 0 : 8,
    };
    return toy ? Object.assign(made, { eigenvalues: EIGENVALUES }) : made;
  }

  var GLYPHS = { data: "glyphs", latent: 16, depth: 2, bend: "ReLU" };
  var TOY = { data: "toy", latent: 6, depth: 0, bend: "line" };

  var BASES = { glyphs: GLYPHS, toy: TOY };
  var REVIVED_FOR = 400; // steps: about as many epochs as in the chapter on the vicious cycle

  // --- words ----------------------------------------------------------------------------------------

  function thousands(number) {
    return String(number).replace(/\B(?=(\d{3})+$)/g, ",");
  }

  function nats(value) {
    return Explorables.fixed(value, 1) + " nats";
  }

  function names(variables) {
    return variables.map(function (j) { return "z" + Explorables.subscript(j); }).join(" and ");
  }

  // Those that count: by the gain; of straight lines on the toy by Var μ, where theory speaks of it.
  function count(measured, network) {
    return network.data === "toy" ? measured.active : measured.used;
  }

  function counted(network) {
    return network.data === "toy" ? "alive" : "used";
  }

  function last(kept) {
    return kept[Math.max.apply(null, Object.keys(kept).map(Number))];
  }

  // Who costs more than it brings. Before the first step nobody has brought anything.
  function overtaken(measured) {
    if (!measured.step) return [];
    return Array.from(measured.kl.keys()).filter(function (j) {
      return measured.kl[j] > 0.05 && measured.noisyGain[j] < measured.kl[j];
    });
  }

  // --- presets --------------------------------------------------------------------------------------

  // One β from the first step to the last.
  function atOneBeta(key, name, beta, why, until, more) {
    return {
      key: key,
      name: name,
      why: why,
      network: GLYPHS,
      runs: [{ acts: [[0, { beta: beta }]], until: until }],
      ask: function (network) {
        return "How many of the " + network.latent + " variables will be " + counted(network) + " at step " + thousands(until) + "?";
      },
      answer: function (kept, network) {
        return count(last(kept[0]), network);
      },
      tell: function (kept, network) {
        var end = last(kept[0]);
        var used = count(end, network);
        return (
          used + " of " + network.latent + " are " + counted(network) + ", at " + nats(end.price) + " of KL in all. The ELBO is " +
          nats(end.elbo) + ". " + more(end, used, network)
        );
      },
    };
  }

  var PRESETS = [
    atOneBeta("one", "β = 1", 1, "The loss of a VAE, as it should be. Sixteen variables begin.", 2400,
      function (end, used, network) {
        var share = used / network.latent;
        if (share > 0.75) return "Hardly any has died.";
        return share > 0.45 ? "About half are dead." : used ? "Most are dead, and those that live carry the digit." : "All are dead.";
      }),
    atOneBeta("cheap", "a low β", 0.05, "The KL counts a twentieth: β = 0.05.", 1500,
      function (end, used, network) {
        return used > 0.75 * network.latent
          ? "Almost nothing dies where nothing costs. But look at the digits drawn from the prior."
          : "Even at this price some were not worth it.";
      }),
    atOneBeta("between", "between the two", 0.3, "The KL counts three tenths: β = 0.3.", 2400,
      function (end, used, network) {
        var share = used / network.latent;
        return share > 0.35 && share < 0.65 ? "About half: a count between that of β = 0.05 and that of β = 1." : "The price decides, and so does chance.";
      }),
    atOneBeta("averaged", "an averaged loss", PIXELS,
      "A slip: the reconstruction is averaged over the " + PIXELS + " pixels, the KL is summed. That is β = " + PIXELS + ". (On 28 × 28 pixels: 784.)", 800,
      function (end, used) {
        return used ? "Some have survived even that." : "All are dead: every picture is the mean of all. You averaged your loss.";
      }),
    {
      key: "noise",
      name: "cut the noise",
      why: "For 1,500 steps the decoder gets z = μ, without noise. Then the noise comes.",
      network: GLYPHS,
      runs: [{ acts: [[0, { sample: false }], [1500, { sample: true }]], until: 3000 }],
      ask: function (network) {
        return "How many of the " + network.latent + " will be used at step 3,000, after 1,500 steps with noise?";
      },
      answer: function (kept) {
        return kept[0][3000].used;
      },
      tell: function (kept, network) {
        var before = kept[0][1500];
        var after = kept[0][3000];
        return (
          "Without noise " + before.used + " of " + network.latent + " were used, for " + nats(before.price) +
          " in all: they whispered. With noise " + after.used + " are left" +
          (after.used < before.used ? ": noise kills what is alive and useful." : ".")
        );
      },
    },
    {
      key: "raise",
      name: "raise the dead",
      why: "At step 2,000 the two variables with the least Var μ get their KL for nothing, for 400 steps. Then the price returns.",
      network: GLYPHS,
      runs: [{ acts: [[0, {}], [2000, { revive: { variables: 2, steps: REVIVED_FOR } }], [2400, {}]], until: 4000 }],
      most: 2,
      ask: function () {
        return "How many of the two will be used at step 4,000?";
      },
      answer: function (kept) {
        return stayed(kept).length;
      },
      tell: function (kept) {
        var risen = kept[0][2400];
        var two = raised(kept);
        var stay = stayed(kept);
        var before = kept[0][2000];
        var after = kept[0][4000];
        var best = Math.max.apply(null, two.map(function (j) { return risen.gain[j]; }));
        var gone = Array.from(before.gain.keys()).filter(function (j) {
          return before.gain[j] > Engine.USED && after.gain[j] <= Engine.USED;
        });
        return (
          "Without a price " + names(two) + " came to bring " +
          two.map(function (j) { return Explorables.fixed(risen.gain[j], 1); }).join(" and ") + " nats" +
          (best > 1 ? ": a dead variable is not a useless one" : "") + ". The price came back, and " +
          ["both died again", "one of the two stays", "both stay"][stay.length] +
          (gone.length ? "; " + names(gone) + (gone.length > 1 ? " have" : " has") + " gone instead" : "") +
          ". " + before.used + " were used before, and " + after.used + " are now."
        );
      },
    },
    {
      key: "loop",
      name: "the loop",
      why: "Two networks end at β = 1, after as many steps. The first is there from the start. The second comes by β = 0.05, 0.2 and 0.5, 500 steps each.",
      network: GLYPHS,
      runs: [
        { name: "β = 1 from the start", acts: [[0, { beta: 1 }]], until: 4000 },
        {
          name: "by the low way",
          acts: [[0, { beta: 0.05 }], [500, { beta: 0.2 }], [1000, { beta: 0.5 }], [1500, { beta: 1 }]],
          until: 4000,
        },
      ],
      ask: function () {
        return "How many variables more does the second use at the end?";
      },
      answer: function (kept) {
        return last(kept[1]).used - last(kept[0]).used;
      },
      tell: function (kept) {
        var one = last(kept[0]);
        var low = last(kept[1]);
        var gap = low.elbo - one.elbo;
        return (
          "From the start: " + one.used + " used, ELBO " + nats(one.elbo) + ". By the low way: " + low.used +
          " used, ELBO " + nats(low.elbo) + ". One objective, two counts: the way decides. And the ELBO moves by " +
          nats(gap) + (Math.abs(gap) < 2 ? " only: it hardly cares how many carry the digit." : ".")
        );
      },
    },
    {
      key: "line",
      name: "straight lines",
      why: "The linear VAE on six directions with the eigenvalues 5, 3, 1.5, 0.8, 0.4 and 0.1. At β = 1 three of them pay. At step 2,000 β goes up to 8, at step 3,000 back to 1.",
      network: TOY,
      runs: [{ acts: [[0, { beta: 1 }], [2000, { beta: 8 }], [3000, { beta: 1 }]], until: 6000 }],
      ask: function () {
        return "At β = 8 all six are dead. How many are alive at the end?";
      },
      answer: function (kept) {
        return kept[0][6000].active;
      },
      tell: function (kept) {
        var before = kept[0][2000].active;
        var above = kept[0][3000].active;
        var after = kept[0][6000].active;
        return (
          before + " were alive at β = 1, " + (above || "none") + " at β = 8, and " + (after || "none") + " are alive now" +
          (after === before ? ": straight lines have no memory. There is one optimum, and the closed form says which." : ".")
        );
      },
    },
    {
      key: "bend",
      name: "bend and depth",
      why: "The same six directions, and four hidden layers. First all units are straight lines, then they bend (ReLU). Three eigenvalues are above β = 1.",
      network: { data: "toy", latent: 6, depth: 4, bend: "line" },
      runs: [
        { name: "straight", acts: [[0, {}]], until: 2000 },
        { name: "bent", bend: "ReLU", acts: [[0, {}]], until: 2000 },
      ],
      ask: function () {
        return "Straight, three are alive. How many with bends?";
      },
      answer: function (kept) {
        return last(kept[1]).active;
      },
      tell: function (kept) {
        var straight = last(kept[0]);
        var bent = last(kept[1]);
        return (
          "Straight: " + straight.active + " alive, ELBO " + Explorables.fixed(straight.elbo, 2) + ". Bent: " + bent.active +
          " alive, ELBO " + Explorables.fixed(bent.elbo, 2) + " nats. " +
          (bent.active < straight.active
            ? "Theory's count is a ceiling; bends and depth stay below it."
            : "Here the bends have taken none.")
        );
      },
    },
  ];

  // Of the preset that raises the dead: who was raised, and which of them is used at the end.
  function raised(kept) {
    return kept[0][2000].revived;
  }

  function stayed(kept) {
    return raised(kept).filter(function (j) {
      return kept[0][4000].gain[j] > Engine.USED;
    });
  }

  function find(key) {
    return PRESETS.find(function (one) { return one.key === key; }) || PRESETS[0];
  }

  // The network of a preset, but for what the reader has changed.
  function network(preset, changes) {
    var base = changes.data && changes.data !== preset.network.data ? BASES[changes.data] : preset.network;
    var made = { seed: 0 };
    ["data", "latent", "depth", "bend", "seed"].forEach(function (name) {
      if (name in base) made[name] = base[name];
      if (changes[name] !== undefined) made[name] = changes[name];
    });
    return made;
  }

  // What the closed form says of each variable; the largest eigenvalue goes to the most active one.
  function theory(measured) {
    var optimum = Engine.linearOptimum(EIGENVALUES, 1, Math.max(measured.beta, 1e-9));
    var ranks = Array.from(measured.varMu.keys()).sort(function (i, j) {
      return measured.varMu[j] - measured.varMu[i];
    });
    var found = measured.varMu.map(function () { return 0; });
    ranks.slice(0, optimum.length).forEach(function (j, rank) { found[j] = optimum[rank].varMu; });
    return found;
  }

  // --- what the reader did, in an address -----------------------------------------------------------

  // 800b4: at step 800 β = 4; s0: no noise; f1.3: variables 1 and 3 have no KL; k: killed; r: revived.
  var LETTERS = { beta: "b", sample: "s", free: "f", killed: "k", revive: "r" };

  function writeActs(acts) {
    return acts.map(function (act) {
      return Object.keys(act[1]).map(function (name) {
        var value = act[1][name];
        if (name === "sample") value = value ? 1 : 0;
        if (name === "revive") value = Array.isArray(value.variables) ? value.variables : "n" + value.variables;
        return act[0] + LETTERS[name] + (Array.isArray(value) ? value.join(".") : value);
      }).join(",");
    }).filter(Boolean).join(",");
  }

  function readActs(text, latent) {
    if (!text) return null;
    var acts = [];
    text.split(",").forEach(function (word) {
      var parts = /^(\d{1,6})([bsfkr])(n?[\d.]*)$/.exec(word);
      if (!parts) return;
      var list = parts[3].split(".").filter(Boolean).map(Number).filter(function (j) { return j < latent; });
      var made = {
        b: { beta: Math.min(1e6, Number(parts[3]) || 0) },
        s: { sample: parts[3] !== "0" },
        f: { free: list },
        k: { killed: list },
        r: { revive: { variables: parts[3][0] === "n" ? Math.min(latent, Number(parts[3].slice(1)) || 1) : list, steps: REVIVED_FOR } },
      };
      acts.push([Number(parts[1]), made[parts[2]]]);
    });
    return acts.length ? acts : null;
  }

  function plain(beta) {
    return String(beta >= 100 ? Math.round(beta) : Number(beta.toPrecision(2)));
  }

  // What happens at a step, in words.
  function words(due) {
    return due.map(function (act) {
      var changes = act[1];
      return [
        "beta" in changes && "β = " + plain(changes.beta),
        "sample" in changes && (changes.sample ? "noise on" : "noise off"),
        changes.revive && "the price is waived",
      ].filter(Boolean).join(", ") || "as before";
    }).join(", ");
  }

  // A guess against the answer.
  function score(guess, answer) {
    var off = Math.abs(guess - answer);
    return off === 0 ? "Right." : off === 1 ? "Off by one." : "Off by " + off + ".";
  }

  return {
    PRESETS: PRESETS,
    BASES: BASES,
    REVIVED_FOR: REVIVED_FOR,
    find: find,
    network: network,
    theory: theory,
    writeActs: writeActs,
    readActs: readActs,
    DEPTHS: 4,
    BENDS: Object.keys(LEAKS),
    EIGENVALUES: EIGENVALUES,
    settings: settings,
    count: count,
    counted: counted,
    overtaken: overtaken,
    thousands: thousands,
    plain: plain,
    words: words,
    score: score,
  };
})();
