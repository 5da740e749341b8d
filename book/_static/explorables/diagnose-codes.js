// Diagnose in the page: what `vaelib.diagnose(mu, logvar)` says of arrays, computed here, in float64.

// All that reads and computes. It refers to nothing outside, for it also runs in a worker, which is
// made of its text. `given` are the names, words and constants of vaelib: none stands here twice.
Explorables.diagnoseCodes = function (given) {
  "use strict";

  var phrases = given.phrases;

  function fault(words) {
    var error = new Error(words);
    error.plain = true; // said to the reader as it is
    return error;
  }

  // --- words, as Python writes them -----------------------------------------------------------------

  // The digits of |value| as "1.234e+5", ties to even: toExponential takes them upwards.
  function exponential(value, decimals) {
    var rounded = value.toExponential(decimals);
    var exact = value.toExponential(Math.min(100, decimals + 60));
    var rest = exact.slice(exact.indexOf(".") + 1 + decimals, exact.indexOf("e"));
    if (!/^50*$/.test(rest)) return rounded;
    var down = exact.slice(0, exact.indexOf(".") + (decimals ? 1 + decimals : 0));
    return /[02468]$/.test(down) ? down + exact.slice(exact.indexOf("e")) : rounded;
  }

  function fixed(value, decimals) {
    if (value >= 1e21) return BigInt(value).toString() + (decimals ? "." + "0".repeat(decimals) : "");
    var exact = value.toFixed(Math.min(100, decimals + 60));
    var cut = exact.indexOf(".") + 1 + decimals;
    if (!/^50*$/.test(exact.slice(cut))) return value.toFixed(decimals);
    var down = exact.slice(0, decimals ? cut : cut - 1);
    return /[02468]$/.test(down) ? down : value.toFixed(decimals);
  }

  function general(value, digits) {
    var parts = exponential(value, digits - 1).split("e");
    var power = Number(parts[1]);
    if (value && (power < -4 || power >= digits)) {
      var size = Math.abs(power) < 10 ? "0" + Math.abs(power) : String(Math.abs(power));
      return stripped(parts[0]) + "e" + (power < 0 ? "-" : "+") + size;
    }
    return stripped(fixed(value, value ? digits - 1 - power : 0));
  }

  function stripped(text) {
    return text.includes(".") ? text.replace(/\.?0+$/, "") : text;
  }

  function word(value, spec) {
    if (typeof value === "string" || spec === undefined) return String(value);
    if (spec === ",") return String(value).replace(/\B(?=(\d{3})+$)/g, ",");
    if (isNaN(value)) return "nan";
    var sign = value < 0 || Object.is(value, -0) ? "-" : "";
    if (Math.abs(value) === Infinity) return sign + "inf";
    var digits = /\d/.test(spec) ? Number(spec.replace(/\D/g, "")) : 6;
    var kind = spec.slice(-1);
    if (kind === "f") return sign + fixed(Math.abs(value), digits);
    if (kind === "e") return sign + exponential(Math.abs(value), digits).replace(/([+-])(\d)$/, "$10$2");
    return sign + general(Math.abs(value), digits);
  }

  // "{count} of {all:.3g}" with these numbers in it.
  function fill(template, numbers) {
    return template.replace(/\{(\w+)(?::([^}]*))?\}/g, function (_, name, spec) {
      return word(numbers[name], spec);
    });
  }

  // A number in the table.
  function cell(value) {
    if (!isFinite(value)) return "–";
    var size = Math.abs(value);
    if (value === 0 || (size >= 1e-3 && size < 1e4)) return word(value, size < 10 ? ".3f" : ".1f");
    return word(value, ".1e");
  }

  // --- PyTorch's random numbers ---------------------------------------------------------------------

  // Its generator on the CPU, a Mersenne Twister, from a seed on: so that an estimate is the same
  // number here and there.
  function random(seed) {
    var state = new Uint32Array(624);
    var at = 624;
    state[0] = seed;
    for (var i = 1; i < 624; i++) {
      state[i] = Math.imul(1812433253, state[i - 1] ^ (state[i - 1] >>> 30)) + i;
    }

    function next() {
      if (at === 624) {
        for (var k = 0; k < 624; k++) {
          var y = (state[k] & 0x80000000) | (state[(k + 1) % 624] & 0x7fffffff);
          state[k] = state[(k + 397) % 624] ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
        }
        at = 0;
      }
      var x = state[at++];
      x ^= x >>> 11;
      x ^= (x << 7) & 0x9d2c5680;
      x ^= (x << 15) & 0xefc60000;
      return (x ^ (x >>> 18)) >>> 0;
    }

    // torch.rand in float64: the lower 53 of 64 bits.
    function uniform() {
      var high = next() & 0x1fffff;
      return (high * 4294967296 + next()) / 9007199254740992;
    }

    function pair(first, second) {
      var radius = Math.sqrt(-2 * Math.log1p(-first));
      return [radius * Math.cos(2 * Math.PI * second), radius * Math.sin(2 * Math.PI * second)];
    }

    // torch.randn in float64. From 16 on it fills blocks of 16, the last of which may be drawn anew.
    function normals(count) {
      var drawn = new Float64Array(count);
      if (count < 16) {
        for (var i = 0; i < count; i += 2) {
          var angle = uniform();
          drawn.set(pair(uniform(), angle).slice(0, count - i), i);
        }
        return drawn;
      }
      for (var j = 0; j < count; j++) drawn[j] = uniform();
      function block(from) {
        for (var j = from; j < from + 8; j++) {
          var two = pair(drawn[j], drawn[j + 8]);
          drawn[j] = two[0];
          drawn[j + 8] = two[1];
        }
      }
      for (var from = 0; from + 16 <= count; from += 16) block(from);
      if (count % 16) {
        for (var k = count - 16; k < count; k++) drawn[k] = uniform();
        block(count - 16);
      }
      return drawn;
    }

    return { uniform: uniform, normals: normals };
  }

  // --- sums over the codes: vaelib/diagnosis/codes.py -------------------------------------------------

  function times(shape) {
    return shape.reduce(function (product, more) {
      return product * more;
    }, 1);
  }

  function said(shape) {
    return "(" + shape.join(", ") + (shape.length === 1 ? ",)" : ")");
  }

  function check(mu, second, kind) {
    if (String(mu.shape) !== String(second.shape) || mu.shape.length < 2) {
      throw fault(fill(phrases.shapes, [kind, said(mu.shape), said(second.shape)]));
    }
    if (!times(mu.shape)) throw fault("mu: expected at least one row and one variable, got " + said(mu.shape));
    if (kind === "logvar") return;
    var least = Infinity;
    for (var i = 0; i < second.data.length; i++) if (second.data[i] < least) least = second.data[i];
    if (least < 0) throw fault(fill(phrases.negative, [kind, least]));
  }

  function zeros(count, value) {
    return new Array(count).fill(value || 0);
  }

  // log σ² of the second of the pair.
  function logarithm(kind) {
    if (kind === "logvar") return Number;
    if (kind === "variance") return Math.log;
    return function (std) {
      return 2 * Math.log(std);
    };
  }

  function price(mu, logvar) {
    return 0.5 * (mu * mu + (Math.expm1(logvar) - logvar));
  }

  function tally(mu, second, kind, progress) {
    check(mu, second, kind);
    var images = mu.shape[0];
    var latent = mu.shape[1];
    var positions = times(mu.shape.slice(2));
    var all = images * positions;
    var log = logarithm(kind);
    var generator = random(0);
    var t = {
      images: images, positions: positions, rows: 0, broken: zeros(latent), mean: zeros(latent),
      squares: zeros(latent), sigma2: zeros(latent), kl: zeros(latent), logvar: zeros(latent),
      logvar2: zeros(latent), lowest: zeros(latent, Infinity), highest: zeros(latent, -Infinity),
      least_mu: zeros(latent, Infinity),
    };
    var sample = []; // [random number, row]: those with the smallest are kept
    // Of an image and a position, all channels: (images, channels, positions).
    function place(row, j) {
      return (Math.floor(row / positions) * latent + j) * positions + (row % positions);
    }
    for (var first = 0; first < all; first += given.piece) {
      var rows = [];
      for (var row = first; row < Math.min(all, first + given.piece); row++) {
        var whole = true;
        for (var j = 0; j < latent; j++) {
          var at = place(row, j);
          if (isFinite(mu.data[at]) && log(second.data[at]) < Infinity) continue;
          whole = false;
          t.broken[j]++;
        }
        if (whole) rows.push(row);
      }
      if (rows.length) add(rows);
      progress(Math.min(1, (first + given.piece) / all) / 2); // of all there is to do
    }

    function add(rows) {
      var n = rows.length;
      var total = t.rows + n;
      for (var j = 0; j < latent; j++) {
        var mean = 0;
        for (var i = 0; i < n; i++) mean += mu.data[place(rows[i], j)];
        mean /= n;
        var squares = 0;
        for (i = 0; i < n; i++) {
          var m = mu.data[place(rows[i], j)];
          var v = log(second.data[place(rows[i], j)]);
          var bounded = Math.max(v, -700);
          squares += (m - mean) * (m - mean);
          t.sigma2[j] += Math.exp(v);
          t.kl[j] += price(m, v);
          t.logvar[j] += bounded;
          t.logvar2[j] += bounded * bounded;
          if (v < t.lowest[j]) t.lowest[j] = v;
          if (v > t.highest[j]) t.highest[j] = v;
          if (m < t.least_mu[j]) t.least_mu[j] = m;
        }
        // Chan et al. 1979: sums of squares about the mean, so that no digit is lost.
        var shift = mean - t.mean[j];
        t.squares[j] += squares + shift * shift * ((t.rows * n) / total);
        t.mean[j] += shift * (n / total);
      }
      t.rows = total;
      rows.forEach(function (row) {
        sample.push([generator.uniform(), row]);
      });
      if (sample.length > 4 * given.kept) cut();
    }

    function cut() {
      sample.sort(function (a, b) {
        return a[0] - b[0];
      });
      sample.length = Math.min(sample.length, given.kept);
    }

    cut();
    t.kept = sample.map(function (pair) {
      var code = { mu: [], logvar: [] };
      for (var j = 0; j < latent; j++) {
        code.mu.push(mu.data[place(pair[1], j)]);
        code.logvar.push(log(second.data[place(pair[1], j)]));
      }
      return code;
    });
    return t;
  }

  // --- mutual information: marginal_decomposition in vaelib/estimates.py ------------------------------

  function decomposition(kept, progress) {
    var n = kept.length;
    var latent = kept[0].mu.length;
    var noise = random(0).normals(n * latent);
    var LOG_2PI = Math.log(2 * Math.PI);
    var mu = new Float64Array(n * latent);
    var narrow = new Float64Array(n * latent); // 1 / σ
    var constant = new Float64Array(n);
    kept.forEach(function (code, i) {
      for (var j = 0; j < latent; j++) {
        mu[i * latent + j] = code.mu[j];
        narrow[i * latent + j] = Math.exp(-0.5 * code.logvar[j]);
        constant[i] -= 0.5 * (code.logvar[j] + LOG_2PI);
      }
    });
    var information = [];
    var divergence = [];
    var z = new Float64Array(latent);
    var pairs = new Float64Array(n);
    for (var a = 0; a < n; a++) {
      var posterior = constant[a];
      var prior = 0;
      for (var j = 0; j < latent; j++) {
        var epsilon = noise[a * latent + j];
        z[j] = mu[a * latent + j] + Math.exp(0.5 * kept[a].logvar[j]) * epsilon;
        posterior -= 0.5 * epsilon * epsilon;
        prior -= 0.5 * (z[j] * z[j] + LOG_2PI);
      }
      var most = -Infinity;
      for (var b = 0; b < n; b++) {
        var sum = 0;
        for (var k = 0, at = b * latent; k < latent; k++, at++) {
          var apart = (z[k] - mu[at]) * narrow[at];
          sum += apart * apart;
        }
        // From the noise itself: where σ is tiny beside μ, z − μ has lost its digits.
        pairs[b] = b === a ? posterior : constant[b] - 0.5 * sum;
        if (pairs[b] > most) most = pairs[b];
      }
      var shares = 0;
      for (b = 0; b < n; b++) shares += Math.exp(pairs[b] - most);
      var marginal = most + Math.log(shares) - Math.log(n);
      information.push(posterior - marginal);
      divergence.push(marginal - prior);
      if (a % 100 === 0) progress(0.5 + a / n / 2);
    }
    return {
      mutual_information: average(information),
      information_error: Math.sqrt(variance(information, 0) / n),
      marginal_kl: average(divergence),
    };
  }

  // --- what the findings are made of ------------------------------------------------------------------

  function sum(values) {
    return values.reduce(function (total, value) {
      return total + value;
    }, 0);
  }

  function average(values) {
    return sum(values) / values.length;
  }

  function variance(values, correction) {
    var mean = average(values);
    return sum(values.map(function (value) {
      return (value - mean) * (value - mean);
    })) / (values.length - correction);
  }

  // torch takes the lower of two in the middle; NaN is never passed over.
  function median(values) {
    if (values.some(isNaN)) return NaN;
    return values.slice().sort(function (a, b) {
      return a - b;
    })[(values.length - 1) >> 1];
  }

  function largest(values) {
    return values.reduce(function (a, b) {
      return Math.max(a, b);
    });
  }

  function smallest(values) {
    return values.reduce(function (a, b) {
      return Math.min(a, b);
    });
  }

  function chosen(values, marks) {
    return values.filter(function (_, j) {
      return marks[j];
    });
  }

  function any(marks) {
    return marks.some(Boolean);
  }

  function every(marks) {
    return marks.every(Boolean);
  }

  function share(marks) {
    return marks.filter(Boolean).length / marks.length;
  }

  // How far the middle of some values is from what the law of variances says.
  function off(law) {
    return median(law.map(function (value) {
      return Math.abs(value - 1);
    }));
  }

  function column(kept, name, j) {
    return kept.map(function (code) {
      return code[name][j];
    });
  }

  function factsOf(t, progress) {
    if (t.rows === 0) throw fault(phrases.all_broken);
    var n = t.rows;
    function mean(values) {
      return values.map(function (value) {
        return value / n;
      });
    }
    var f = {
      images: t.images, rows: n, broken: t.broken, mean: t.mean, least_mu: t.least_mu,
      var_mu: mean(t.squares), sigma2: mean(t.sigma2), lowest: t.lowest, highest: t.highest,
      kl: t.kl.map(function (value) {
        return (value / n) * t.positions;
      }),
      logvar_mean: mean(t.logvar), kept: t.kept, decomposition: null,
    };
    f.logvar_std = mean(t.logvar2).map(function (value, j) {
      return Math.sqrt(Math.max(0, value - f.logvar_mean[j] * f.logvar_mean[j]));
    });
    f.active = f.var_mu.map(function (value) {
      return value > given.active;
    });
    f.speaking = f.var_mu.map(function (value) {
      return value > 0.1;
    });
    f.law = f.var_mu.map(function (value, j) {
      return value + f.sigma2[j];
    });
    var within = t.kept.every(function (code) {
      return code.logvar.every(function (value) {
        return Math.abs(value) <= 700;
      });
    });
    if (t.positions === 1 && t.kept.length > 1 && within) f.decomposition = decomposition(t.kept, progress);
    return f;
  }

  function found(code, sure, variables, numbers) {
    var marked = [];
    (variables || []).forEach(function (mark, j) {
      if (mark) marked.push(j);
    });
    var more = marked.length > 8 ? " and " + (marked.length - 8) + " more" : "";
    var text = given.texts[code];
    var all = Object.assign({ count: marked.length, names: marked.slice(0, 8).join(", ") + more }, numbers);
    return {
      code: code,
      what: fill(text.what, all),
      evidence: fill(text.evidence, all),
      to_do: fill(text.to_do, all),
      chapter: text.chapter,
      sure: sure,
      is_fault: text.fault !== false,
      variables: marked,
    };
  }

  function laws(f) {
    var law = chosen(f.law, f.speaking);
    return fill(phrases.laws, [smallest(law), largest(law)]);
  }

  // --- the findings, by the names of their functions in vaelib/diagnosis ------------------------------

  // A test compares each with its function in Python, number by number. Those that need a decoder or
  // a loss are null.
  var findings = {
    broken: function (f) {
      var bad = f.broken.map(function (count) {
        return count > 0;
      });
      var worst = largest(f.broken);
      if (!any(bad)) return null;
      return found("not_finite", "certain", bad, { all: bad.length, worst: worst, rows: f.rows + worst });
    },
    broken_output: null,
    wrong_sign: null,
    exploded: function (f) {
      var far = f.kl.map(function (kl, j) {
        return f.highest[j] > 20 || kl > 1e4;
      });
      if (!any(far)) return null;
      return found("exploded", "certain", far, { logvar: largest(f.highest), kl: largest(f.kl) });
    },
    one_head: function (f) {
      var same = f.kept.every(function (code) {
        return code.mu.every(function (mu, j) {
          return Math.abs(mu - code.logvar[j]) <= 1e-6 + 1e-4 * Math.abs(code.logvar[j]) && isFinite(code.logvar[j]);
        });
      });
      return any(f.active) && same ? found("same_head", "certain", null, { rows: f.kept.length }) : null;
    },
    draw_for_mean: function (f) {
      var alike = f.var_mu.every(function (value) { return Math.abs(value - 1) < 0.15; });
      var loud = f.sigma2.some(function (value) { return value > 0.5; });
      if (f.var_mu.length < 3 || !alike || !loud) return null;
      var reason = fill(phrases.draw_for_mean, [smallest(f.sigma2), largest(f.sigma2)]);
      return found("draw_for_mean", "likely", null, { reason: reason });
    },
    other_likelihood: null,
    swapped: function (f) {
      var columns = f.kl.map(function (_, j) {
        return { mu: column(f.kept, "mu", j), logvar: column(f.kept, "logvar", j) };
      });
      var law = columns.map(function (c) {
        return variance(c.logvar, 0) + average(c.mu.map(Math.exp));
      });
      var negative = columns.some(function (c) {
        return average(c.mu) < -0.5;
      });
      if (!(negative && off(f.law) > 0.3 && off(law) < 0.15)) return null;
      var like = columns.map(function (c) {
        return Math.abs(average(c.logvar)) < 0.5 * Math.sqrt(variance(c.logvar, 1)) + 0.2;
      });
      if (!(share(like) > 0.7)) return null;
      return found("swapped", "likely", null, { reason: fill(phrases.swapped, [median(f.law), median(law)]) });
    },
    variance_as_logvar: function (f) {
      if (!f.lowest.every(function (value) { return value >= 0; })) return null;
      var lowest = smallest(f.lowest);
      var readings = given.readings.map(function (reading, at) {
        return {
          words: reading,
          law: f.var_mu.map(function (value, j) {
            var mean = f.logvar_mean[j];
            return value + (at === 0 ? mean : mean * mean + f.logvar_std[j] * f.logvar_std[j]);
          }),
        };
      });
      // The law of variances tells which of the two it is.
      var best = off(readings[1].law) < off(readings[0].law) ? readings[1] : readings[0];
      var dead = f.active.map(function (mark) { return !mark; });
      var large = chosen(f.logvar_mean, dead).every(function (value) { return value > 0.5; });
      if (off(best.law) < 0.25 && large) {
        var numbers = Object.assign({ lowest: lowest, law: median(best.law) }, best.words);
        return found("variance_as_logvar", "likely", null, numbers);
      }
      if (!any(f.speaking) || (largest(f.highest) === 0 && findings.no_noise(f))) return null;
      return found("variance_at_least_one", "likely", null, { lowest: lowest, laws: laws(f) });
    },
    no_noise: function (f) {
      var idle = f.sigma2.map(function (value, j) {
        return value > 0.8 && f.logvar_std[j] < 0.3;
      });
      if (!any(f.active) || !(share(chosen(idle, f.active)) > 0.8)) return null;
      if (!f.var_mu.some(function (value) { return value > 0.3; })) return null;
      var sigma2 = chosen(f.sigma2, f.active);
      return found("no_noise", "likely", f.active, {
        low: smallest(sigma2), high: largest(sigma2), reason: fill(phrases.no_noise, [largest(f.var_mu)]),
      });
    },
    no_code_at_all: function (f) {
      if (any(f.active)) return null;
      return found("collapse_training", "possible", null, {
        all: f.kl.length, var_mu: largest(f.var_mu), kl: sum(f.kl), linear: "",
      });
    },
    wrong_kl: null,
    log_sigma: null,
    mean_not_priced: function (f) {
      var law = chosen(f.law, f.speaking);
      var sigma2 = chosen(f.sigma2, f.speaking);
      if (!law.length || median(law) < 3 || median(sigma2) < 0.1) return null;
      return found("mean_not_priced", "likely", null, { laws: laws(f), sigma2: median(sigma2) });
    },
    weight: null,
    near_deterministic: function (f) {
      var sharp = f.active.map(function (active, j) {
        return active && f.sigma2[j] < 1e-3 * f.var_mu[j];
      });
      var active = f.active.filter(Boolean).length;
      if (!(active && sharp.filter(Boolean).length * 2 > active)) return null;
      var shares = f.sigma2.map(function (value, j) {
        return value / f.var_mu[j];
      });
      return found("near_deterministic", "certain", sharp, {
        active: active,
        share: median(chosen(shares, sharp)),
        scale: 1 / Math.sqrt(average(chosen(f.var_mu, f.active))),
        price: "",
      });
    },
    clamped: function (f) {
      function stops(ends, end, less) {
        var near = ends.map(function (_, j) {
          return share(column(f.kept, "logvar", j).map(function (value) {
            return Math.abs(value - end) < 0.02;
          }));
        });
        var there = ends.map(function (value, j) {
          return Math.abs(value - end) < 0.02 && near[j] > 0.02;
        });
        var count = there.filter(Boolean).length;
        if (count < 3 || largest(f.logvar_std) < 0.02 || Math.abs(end) < 0.1) return null;
        return found("clamped", "likely", there, {
          less: less, end: end, sigma2: Math.exp(end), share: 100 * average(chosen(near, there)),
        });
      }
      return stops(f.lowest, smallest(f.lowest), "less") || stops(f.highest, largest(f.highest), "more");
    },
    other_noise: null,
    lagging: null,
    redundant: null,
    one_sided: function (f) {
      if (f.rows < 50 || !any(f.active)) return null;
      if (!f.least_mu.every(function (value) { return value >= 0; })) return null;
      return found("mean_not_negative", "likely", null, {
        least: smallest(f.least_mu), rows: f.rows, mean: largest(f.mean),
      });
    },
    constant: function (f) {
      var wasted = f.mean.map(function (value) {
        return 0.5 * value * value;
      });
      var stuck = wasted.map(function (value, j) {
        return !f.active[j] && value > 0.1;
      });
      if (!any(stuck)) return null;
      return found("constant_mean", "certain", stuck, {
        mean: largest(chosen(f.mean, stuck).map(Math.abs)), wasted: sum(chosen(wasted, stuck)), active: given.active,
      });
    },
    idle: null,
    unfinished: function (f) {
      var away = f.law.map(function (value, j) {
        return f.speaking[j] && Math.abs(value - 1) > 0.15;
      });
      if (!any(away)) return null;
      var law = chosen(f.law, away);
      return found("unfinished", "possible", away, {
        cause: phrases.unfinished, low: smallest(law), high: largest(law), backing: "",
      });
    },
    dead: function (f) {
      if (every(f.active) || !any(f.active)) return null;
      var dead = f.active.map(function (mark) { return !mark; });
      return found("dead", "certain", dead, {
        all: f.kl.length, kl: sum(chosen(f.kl, dead)), linear: "", active: given.active,
      });
    },
    ceiling: function (f) {
      var top = Math.log(f.kept.length);
      if (!f.decomposition || f.decomposition.mutual_information < 0.95 * top) return null;
      return found("information_ceiling", "certain", null, {
        information: f.decomposition.mutual_information, rows: f.kept.length, top: top,
      });
    },
    few_rows: function (f) {
      if (f.images >= 500) return null;
      return found("few_rows", "certain", null, { rows: f.images, error: 100 * Math.sqrt(2 / f.images) });
    },
  };

  // --- the diagnosis ------------------------------------------------------------------------------------

  // What `Diagnosis.to_dict()` holds, and its first line.
  function diagnose(mu, second, kind, progress) {
    progress = progress || Number;
    var f = factsOf(tally(mu, second, kind, progress), progress);
    var seen = given.order.map(function (name) {
      return findings[name] && findings[name](f);
    }).filter(Boolean);
    var explained = seen.flatMap(function (finding) {
      return given.explained[finding.code] || [];
    });
    seen = seen.filter(function (finding) {
      return !explained.includes(finding.code);
    });
    seen.sort(function (a, b) {
      return b.is_fault - a.is_fault; // stable
    });
    var totals = { rows: f.images, kl: sum(f.kl) };
    if (f.decomposition) {
      totals = Object.assign(totals, f.decomposition, { information_ceiling: Math.log(f.kept.length) });
    }
    var table = { var_mu: f.var_mu, sigma2: f.sigma2, sum: f.law, kl: f.kl, active: f.active };
    table.kl_active = f.kl.map(function (value) { return value > 0.01; });
    table.narrow = f.sigma2.map(function (value) { return value < 0.95; });
    return { version: given.version, totals: totals, table: table, findings: seen, headline: headline(totals, table) };
  }

  function headline(t, table) {
    var active = table.active.filter(Boolean).length;
    var words = fill(phrases.variables, [table.kl.length, t.rows, active]) + fill(phrases.kl, [t.kl]);
    if (t.mutual_information !== undefined) {
      words += fill(phrases.information, [t.mutual_information, t.information_error, t.information_ceiling]);
    }
    var apart = table.kl.map(Number.call, Number).filter(function (j) {
      return table.active[j] !== table.kl_active[j] || table.active[j] !== table.narrow[j];
    });
    if (!apart.length) return words;
    return words + " " + fill(phrases.disagree, [apart.slice(0, 8).join(", ") + (apart.length > 8 ? ", …" : "")]);
  }

  // --- files ---------------------------------------------------------------------------------------------

  var KINDS = {
    f2: [2, "getUint16", Float32Array, half], f4: [4, "getFloat32", Float32Array], f8: [8, "getFloat64", Float64Array],
    i1: [1, "getInt8", Int8Array], i2: [2, "getInt16", Int16Array], i4: [4, "getInt32", Int32Array],
    i8: [8, "getBigInt64", Float64Array, Number], u1: [1, "getUint8", Uint8Array],
    u2: [2, "getUint16", Uint16Array], u4: [4, "getUint32", Uint32Array],
    u8: [8, "getBigUint64", Float64Array, Number], b1: [1, "getUint8", Uint8Array],
  };

  function half(bits) {
    var sign = bits & 0x8000 ? -1 : 1;
    var power = (bits >> 10) & 31;
    var part = bits & 1023;
    if (power === 31) return part ? NaN : sign * Infinity;
    return sign * (power ? Math.pow(2, power - 15) * (1 + part / 1024) : Math.pow(2, -24) * part);
  }

  // An array of NumPy's, in its order for C.
  function npy(buffer, name) {
    var view = new DataView(buffer);
    var bytes = new Uint8Array(buffer);
    var begins = [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59].every(function (byte, i) {
      return bytes[i] === byte;
    });
    var version = bytes[6];
    if (!begins || bytes.length < 12) throw fault(name + ": no array of NumPy's, for it does not begin as one");
    if (!(version >= 1 && version <= 3)) throw fault(name + ": version " + version + " of NumPy's format; known are 1 to 3");
    var start = version === 1 ? 10 : 12;
    var length = version === 1 ? view.getUint16(8, true) : view.getUint32(8, true);
    if (start + length > bytes.length) throw fault(name + ": ends within its header");
    var header = new TextDecoder().decode(bytes.subarray(start, start + length));
    var descr = /'descr':\s*'([<>|=]?)([a-zA-Z])(\d*)'/.exec(header);
    var order = /'fortran_order':\s*(True|False)/.exec(header);
    var shape = /'shape':\s*\(([^)]*)\)/.exec(header);
    if (!order || !shape || !/'descr'/.test(header)) throw fault(name + ": a header without descr, fortran_order and shape");
    var kind = descr && KINDS[descr[2] + descr[3]];
    if (!kind) {
      var type = (/'descr':\s*('[^']*'|\[.*\])/.exec(header) || [0, "?"])[1];
      throw fault(name + ": numbers of type " + type + "; expected float16, float32, float64 or whole numbers");
    }
    shape = shape[1].split(",").map(function (part) {
      return part.trim();
    }).filter(Boolean).map(Number);
    var count = times(shape);
    var missing = count * kind[0] - (bytes.length - start - length);
    if (missing > 0) throw fault(name + ": " + said(shape) + " numbers are promised, and " + missing + " bytes of them are missing");
    var little = descr[1] !== ">";
    var data;
    if (little && !kind[3] && kind[0] > 1) {
      data = new kind[2](buffer.slice(start + length, start + length + count * kind[0]));
    } else {
      data = new kind[2](count);
      for (var i = 0; i < count; i++) {
        var number = view[kind[1]](start + length + i * kind[0], little);
        data[i] = kind[3] ? kind[3](number) : number;
      }
    }
    if (order[1] === "True" && shape.length > 1) data = transposed(data, shape);
    return { name: name, shape: shape, data: data };
  }

  // From the order of Fortran, first index fastest, to that of C.
  function transposed(data, shape) {
    var out = new data.constructor(data.length);
    var strides = [];
    shape.reduce(function (stride, size, axis) {
      strides[axis] = stride;
      return stride * size;
    }, 1);
    var index = shape.map(function () { return 0; });
    for (var i = 0, from = 0; i < out.length; i++) {
      out[i] = data[from];
      for (var axis = shape.length - 1; axis >= 0; axis--) {
        from += strides[axis];
        if (++index[axis] < shape[axis]) break;
        from -= strides[axis] * shape[axis];
        index[axis] = 0;
      }
    }
    return out;
  }

  var crcTable = null;

  function crc32(bytes) {
    if (!crcTable) {
      crcTable = new Uint32Array(256).map(function (_, n) {
        for (var k = 0; k < 8; k++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
        return n;
      });
    }
    var crc = -1;
    for (var i = 0; i < bytes.length; i++) crc = crcTable[(crc ^ bytes[i]) & 255] ^ (crc >>> 8);
    return ~crc >>> 0;
  }

  async function bufferOf(blob, from, to) {
    return blob.slice(from, to).arrayBuffer();
  }

  // A zip of arrays, stored or deflated.
  async function npz(file) {
    var from = Math.max(0, file.size - 65557);
    var tail = new DataView(await bufferOf(file, from, file.size));
    var end = tail.byteLength - 22;
    while (end >= 0 && tail.getUint32(end, true) !== 0x06054b50) end--;
    if (end < 0) throw fault(file.name + ": a zip without its end; was it copied to the end?");
    var count = tail.getUint16(end + 10, true);
    var size = tail.getUint32(end + 12, true);
    var offset = tail.getUint32(end + 16, true);
    if (offset === 0xffffffff) throw fault(file.name + ": more than a page can read; take some thousands of rows");
    var list = new DataView(await bufferOf(file, offset, offset + size));
    var arrays = [];
    for (var at = 0, k = 0; k < count; k++) {
      if (at + 46 > list.byteLength || list.getUint32(at, true) !== 0x02014b50) throw fault(file.name + ": the list of what is in it is damaged");
      var lengths = [28, 30, 32].map(function (place) {
        return list.getUint16(at + place, true);
      });
      var name = new TextDecoder().decode(new Uint8Array(list.buffer, at + 46, lengths[0]));
      if (/\.npy$/.test(name)) arrays.push(await member(file, list, at, name));
      at += 46 + sum(lengths);
    }
    if (!arrays.length) throw fault(file.name + ": a zip without an array of NumPy's in it");
    return arrays;
  }

  async function member(file, list, at, name) {
    var label = file.name + ", " + name;
    if (list.getUint16(at + 8, true) & 1) throw fault(label + ": locked by a password");
    var method = list.getUint16(at + 10, true);
    var packed = list.getUint32(at + 20, true);
    var whole = list.getUint32(at + 24, true);
    var offset = list.getUint32(at + 42, true);
    if (whole === 0xffffffff || packed === 0xffffffff) throw fault(label + ": more than a page can read; take some thousands of rows");
    var local = new DataView(await bufferOf(file, offset, offset + 30));
    if (local.byteLength < 30 || local.getUint32(0, true) !== 0x04034b50) throw fault(label + ": is not where the list says");
    var start = offset + 30 + local.getUint16(26, true) + local.getUint16(28, true);
    var blob = file.slice(start, start + packed);
    if (method !== 0 && method !== 8) throw fault(label + ": packed by method " + method + "; known are stored and deflated");
    var buffer;
    try {
      if (method === 8) blob = new Response(blob.stream().pipeThrough(new DecompressionStream("deflate-raw")));
      buffer = await blob.arrayBuffer();
    } catch (error) {
      throw fault(label + ": is damaged, it cannot be unpacked");
    }
    if (buffer.byteLength !== whole || crc32(new Uint8Array(buffer)) !== list.getUint32(at + 16, true)) {
      throw fault(label + ": is damaged, its checksum is another");
    }
    return npy(buffer, name.replace(/\.npy$/, ""));
  }

  // --- text ------------------------------------------------------------------------------------------------

  // Columns of numbers, with or without a line of names above them: mu_0, mu_1, ..., logvar_0, ...
  function reader(name) {
    var split, columns, kept; // kept: [column, name]
    var named = false;
    var data = new Float64Array(1024);
    var used = 0;
    var line = 0;

    function fields(text) {
      var parts = split === " " ? text.trim().split(/\s+/) : text.split(split);
      return parts.map(function (part) {
        return part.trim().replace(/^(["'])(.*)\1$/, "$2").trim();
      });
    }

    function number(text) {
      if (split !== ",") text = text.replace(",", ".");
      if (/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text)) return Number(text);
      if (/^([+-]?nan|)$/i.test(text)) return NaN;
      var infinite = /^([+-]?)inf(inity)?$/i.exec(text);
      return infinite ? (infinite[1] === "-" ? -Infinity : Infinity) : null;
    }

    function begin(text) {
      split = ["\t", ";", ","].find(function (sign) {
        return text.includes(sign);
      }) || " ";
      var words = fields(text.replace(/^#\s*/, ""));
      columns = words.length;
      kept = words.map(function (word, column) { return [column, word]; });
      named = words.some(function (word) { return number(word) === null; });
      if (named) {
        kept = kept.filter(function (pair) { return role(base(pair[1])).kind; }); // no label, no index
        if (kept.length) return true;
        throw fault(name + ": no column is called mu or logvar, as mu_0 and logvar_0; got " + words.slice(0, 6).join(", "));
      }
      // 0, 1, 2, ...: what pandas writes above columns without names, with or without one of rows.
      var index = words[0] === "" && columns > 1 ? 1 : 0;
      var counted = words.length > 2 && words.slice(index).every(function (word, i) { return word === String(i); });
      if (counted && index) kept.shift();
      return counted;
    }

    // mu of mu_0, mu[0] or "mu 0".
    function base(word) {
      return word.replace(/[\s_.\-[(]*\d+[\])]*$/, "");
    }

    function add(text) {
      line++;
      if (line === 1) text = text.replace(/^\ufeff/, "");
      if (!text.trim()) return;
      if (!split && begin(text)) return;
      if (text[0] === "#") return;
      var words = fields(text);
      if (words.length !== columns) {
        throw fault(name + ", line " + line + ": expected " + columns + " numbers, got " + words.length);
      }
      if (used + kept.length > data.length) {
        var more = new Float64Array(2 * data.length + kept.length);
        more.set(data);
        data = more;
      }
      kept.forEach(function (pair) {
        var value = number(words[pair[0]]);
        if (value === null) {
          var where = ", line " + line + ", column " + (pair[0] + 1);
          throw fault(name + where + ": expected a number, got “" + words[pair[0]].slice(0, 20) + "”");
        }
        data[used++] = value;
      });
    }

    // Of the kept columns some, as an array.
    function part(label, which) {
      var rows = used / kept.length;
      var out = new Float64Array(rows * which.length);
      for (var r = 0, to = 0; r < rows; r++) {
        for (var c = 0; c < which.length; c++) out[to++] = data[r * kept.length + which[c]];
      }
      return { name: label, shape: [rows, which.length], data: out };
    }

    function arrays() {
      if (!used) throw fault(name + ": no numbers in it");
      if (!named) return [part(name.replace(/\.\w+$/, ""), kept.map(function (_, i) { return i; }))];
      var groups = new Map();
      kept.forEach(function (pair, i) {
        var order = Number((/(\d+)\D*$/.exec(pair[1]) || [0, 0])[1]);
        groups.set(base(pair[1]), (groups.get(base(pair[1])) || []).concat([[order, i]]));
      });
      return Array.from(groups, function (group) {
        group[1].sort(function (a, b) { return a[0] - b[0]; });
        return part(group[0], group[1].map(function (pair) { return pair[1]; }));
      });
    }

    return { add: add, arrays: arrays };
  }

  function ofText(text, name) {
    var lines = reader(name);
    text.split(/\r\n|\n|\r/).forEach(lines.add);
    return lines.arrays();
  }

  // A large file is read in pieces.
  async function ofTextFile(file, progress) {
    var lines = reader(file.name);
    var decoder = new TextDecoder();
    var rest = "";
    for (var from = 0; from < file.size; from += 4e6) {
      var parts = (rest + decoder.decode(await bufferOf(file, from, from + 4e6), { stream: true })).split(/\r\n|\n|\r(?!$)/);
      rest = parts.pop();
      parts.forEach(lines.add);
      progress(Math.min(1, (from + 4e6) / file.size));
    }
    lines.add(rest);
    return lines.arrays();
  }

  async function read(file, progress) {
    if (!file.size) throw fault(file.name + ": an empty file");
    if (file.size > 2e9) throw fault(file.name + ": more than a page can read; take some thousands of rows");
    var ending = (/\.(\w+)$/.exec(file.name) || ["", ""])[1].toLowerCase();
    var head = new Uint8Array(await bufferOf(file, 0, 8));
    if (/^(pt|pth|ckpt|pkl|pickle|safetensors|h5|hdf5|h5ad|mat|parquet|arrow|feather|xlsx|tar|gz|7z)$/.test(ending)) {
      throw fault(file.name + ": a ." + ending + " file is not read here. Save with np.savez(\"codes.npz\", mu=mu, logvar=logvar)");
    }
    if (head[0] === 0x50 && head[1] === 0x4b) return npz(file);
    if (head[0] === 0x93) return [npy(await file.arrayBuffer(), file.name.replace(/\.npy$/i, ""))];
    if (ending === "npz") throw fault(file.name + ": no zip, which an .npz file is");
    if (ending === "npy" || Array.from(head).some(function (byte) { return byte === 0; })) {
      throw fault(file.name + ": no array of NumPy's, for it does not begin as one");
    }
    return ofTextFile(file, progress);
  }

  // --- which array is what -----------------------------------------------------------------------------------

  // μ, or how the noise is given, by a name that is known: the whole of it, or its end.
  function role(name) {
    var best = { length: 0 };
    var whole = name.toLowerCase();
    [["mu", given.means]].concat(Object.entries(given.spreads)).forEach(function (pair) {
      pair[1].forEach(function (known, rank) {
        var match = whole === known || new RegExp("[^a-z0-9]" + known + "$").test(whole);
        if (match && known.length > best.length) best = { kind: pair[0], length: known.length, rank: rank };
      });
    });
    return best;
  }

  // Two arrays of several: by their names, else by their order.
  function choose(arrays, wanted, label) {
    function best(test) {
      return arrays.filter(function (array) {
        return test(role(array.name).kind);
      }).sort(function (a, b) {
        return role(a.name).rank - role(b.name).rank;
      })[0];
    }
    var mu = best(function (kind) { return kind === "mu"; });
    var second = Object.keys(given.spreads).map(function (kind) {
      return best(function (other) { return other === kind; });
    }).find(Boolean);
    if (mu && second) return { mu: mu, second: second, kind: role(second.name).kind };
    if (arrays.length === 1) return halves(arrays[0], wanted);
    if (arrays.length === 2 && !mu && !second) return { mu: arrays[0], second: arrays[1], kind: wanted, guessed: true };
    var names = arrays.map(function (array) {
      return array.name;
    });
    throw fault(fill(phrases.names, [label, names.join(", ")]));
  }

  // One array: (2, n, latent), or twice as many columns as variables.
  function halves(array, wanted) {
    var shape = array.shape;
    var data = array.data;
    var middle = data.length / 2;
    if (role(array.name).kind) throw fault(array.name + ": only one array; expected mu and one of logvar, variance and std");
    if (shape.length > 2 && shape[0] === 2) {
      return {
        mu: { name: "the first half", shape: shape.slice(1), data: data.slice(0, middle) },
        second: { name: "the second half", shape: shape.slice(1), data: data.slice(middle) },
        kind: wanted, guessed: true,
      };
    }
    if (shape.length !== 2 || shape[1] % 2) {
      var got = shape.length === 2 ? shape[1] + " columns" : "one array of shape " + said(shape);
      throw fault("expected μ and as many columns of log σ² beside them, or names such as mu_0 and logvar_0, got " + got);
    }
    function columns(name, from) {
      var latent = shape[1] / 2;
      return {
        name: name, shape: [shape[0], latent],
        data: Float64Array.from({ length: shape[0] * latent }, function (_, i) {
          return data[Math.floor(i / latent) * shape[1] + from + (i % latent)];
        }),
      };
    }
    return { mu: columns("the first half of the columns", 0), second: columns("the second half", shape[1] / 2), kind: wanted, guessed: true };
  }

  // A job: {files} or {text} or {arrays}, what the second is if no name tells, or even if one does.
  async function run(job, progress) {
    progress = progress || Number; // or nobody listens
    var arrays = job.arrays || (job.text !== undefined ? ofText(job.text, "the text") : []);
    for (var file of job.files || []) arrays = arrays.concat(await read(file, progress));
    var label = (job.files || []).map(function (file) {
      return file.name;
    }).join(", ");
    var pair = choose(arrays, job.kind || job.assumed || "logvar", label || "the text");
    var kind = job.kind || pair.kind;
    var answer = diagnose(pair.mu, pair.second, kind, progress);
    answer.from = { mu: pair.mu.name, second: pair.second.name, kind: kind, shape: pair.mu.shape };
    return answer;
  }

  return { run: run, diagnose: diagnose, random: random, cell: cell, word: word };
};

Explorables.register("diagnose-codes", function (stage, data, remember) {
  "use strict";

  var html = Explorables.html;

  var KINDS = { "log σ²": "logvar", "σ²": "variance", "σ": "std" };
  // How the book's own codes are handed over: rightly, and with slips.
  var SLIPS = {
    "as they are": function (mu, logvar) { return [mu, logvar]; },
    "σ² for log σ²": function (mu, logvar) { return [mu, logvar.map(Math.exp)]; },
    "swapped": function (mu, logvar) { return [logvar, mu]; },
    "from one layer": function (mu) { return [mu, mu]; },
  };
  var FIRST = Object.keys(SLIPS)[0];
  var FILE = "diagnose-codes-sample";
  var LAW_ENDS = 2; // of the bars: a longer one is cut, and its number stands beside it

  var machine = Explorables.diagnoseCodes(data);
  var worker = null;
  var source = null; // its script
  var job = null; // the last one: asked again when the reader says what the second array is
  var answer = null;
  var busy = false;
  var slip = null; // of the sample, while it is what is shown

  // --- what is on the stage -----------------------------------------------------------------------

  var file = html("input", { type: "file", multiple: "", hidden: "", "aria-label": "files with codes" });
  var area = html("textarea", {
    rows: 5, spellcheck: "false", "aria-label": "numbers to diagnose",
    placeholder: "mu_0, mu_1, logvar_0, logvar_1\n0.31, -1.2, -2.4, -0.1\n…",
  });
  var pasted = html("div", { class: "codes-pasted", hidden: "" }, area, Explorables.button("diagnose these numbers", ofArea));
  var paste = Explorables.button("paste numbers", function () {
    pasted.hidden = !pasted.hidden;
    paste.setAttribute("aria-expanded", String(!pasted.hidden));
    if (!pasted.hidden) area.focus();
  });
  paste.setAttribute("aria-expanded", "false");
  var own = Explorables.button("use the book’s own codes", function () {
    sample(FIRST);
    remember();
  });
  own.classList.add("is-main");
  var drop = html("div", { class: "codes-drop" },
    html("p", {}, html("strong", {}, "Drop a file here"), ": .npz, .npy or .csv, with μ and log σ² of some hundred rows or more."),
    html("div", { class: "explorable-controls" }, Explorables.button("choose a file", function () {
      file.click();
    }), paste, own),
    pasted,
    html("p", { class: "codes-private muted" }, "The file stays on your machine. This page reads it, and asks no server for anything.")
  );
  var kind = Explorables.choice({
    label: "the second array is",
    values: Object.keys(KINDS),
    value: "log σ²",
    input: function (name) {
      if (job) start(Object.assign({}, job, { kind: KINDS[name] }));
    },
  });
  var slips = Explorables.choice({
    label: "hand them over",
    values: Object.keys(SLIPS),
    value: FIRST,
    input: function (name) {
      sample(name);
      remember();
    },
  });
  slips.group.hidden = true;
  var status = Explorables.status();
  var progress = html("progress", { max: 1, value: 0, hidden: "", "aria-label": "how much is done" });
  var wrong = html("p", { class: "codes-wrong", role: "alert" });
  var result = html("div", { class: "codes-result", hidden: "" });
  stage.append(file, drop, kind.group, slips.group, status, progress, wrong, result);

  file.addEventListener("change", function () {
    ofFiles(file.files);
    file.value = ""; // so that the same one can be chosen again
  });
  area.addEventListener("paste", function () {
    setTimeout(ofArea);
  });
  stage.addEventListener("dragover", function (event) {
    event.preventDefault();
    drop.classList.add("is-over");
  });
  ["dragleave", "drop"].forEach(function (name) {
    stage.addEventListener(name, function () {
      drop.classList.remove("is-over");
    });
  });
  stage.addEventListener("drop", function (event) {
    event.preventDefault(); // else the browser would leave the page for the file
    if (event.dataTransfer.files.length) ofFiles(event.dataTransfer.files);
    else ofText(event.dataTransfer.getData("text"));
  });

  // --- jobs -----------------------------------------------------------------------------------------

  function ofFiles(files) {
    if (!files.length) return;
    leaveSample();
    start({ files: Array.from(files) });
  }

  function ofText(text) {
    leaveSample();
    if (text.trim()) start({ text: text, assumed: KINDS[chosenKind()] });
    else fail("no numbers to diagnose");
  }

  function ofArea() {
    ofText(area.value);
  }

  function chosenKind() {
    return kind.group.querySelector("input:checked").value;
  }

  function leaveSample() {
    if (slip === null) return;
    slip = null;
    slips.group.hidden = true;
    remember();
  }

  function sample(name) {
    slip = name;
    slips.group.hidden = false;
    slips.set(name);
    Explorables.fetchData(FILE).then(function (kept) {
      if (slip !== name) return;
      var arrays = ["mu", "logvar"].map(function (part) {
        return Float64Array.from(Explorables.numbers(kept[part]), function (steps) {
          return steps * kept.step;
        });
      });
      start({
        arrays: SLIPS[name](arrays[0], arrays[1]).map(function (numbers, at) {
          return { name: ["mu", "logvar"][at], shape: [kept.rows, numbers.length / kept.rows], data: numbers };
        }),
      });
    }, function (error) {
      fail(error.message);
    });
  }

  // In a worker, so that the page goes on; in the page itself where there can be none.
  function start(next) {
    stop();
    job = next;
    busy = true;
    wrong.textContent = "";
    result.classList.add("is-old");
    status.say("reading …");
    try {
      source = URL.createObjectURL(new Blob([
        "var machine = (" + Explorables.diagnoseCodes + ")(" + JSON.stringify(data) + ");" +
        "onmessage = function (event) {" +
        "  machine.run(event.data, function (share) { postMessage({ share: share }); }).then(" +
        "    function (answer) { postMessage({ answer: answer }); }," +
        "    function (error) { postMessage({ wrong: error.message }); });" +
        "};",
      ]));
      worker = new Worker(source);
      worker.onmessage = function (event) {
        hear(event.data);
      };
      worker.onerror = function (event) {
        event.preventDefault();
        inPage(next);
      };
      worker.postMessage(next);
    } catch (error) {
      inPage(next);
    }
  }

  function inPage(next) {
    machine.run(next).then(function (said) {
      if (next === job) hear({ answer: said });
    }, function (error) {
      if (next === job) hear({ wrong: error.message });
    });
  }

  function stop() {
    if (worker) worker.terminate();
    if (source) URL.revokeObjectURL(source);
    worker = source = null;
    progress.hidden = true;
    progress.value = 0;
    busy = false;
  }

  function hear(message) {
    if (message.share !== undefined) {
      progress.hidden = false;
      progress.value = message.share;
    }
    if (message.answer) show(message.answer);
    if (message.wrong) fail(message.wrong);
  }

  function fail(words) {
    stop();
    answer = null;
    result.hidden = true;
    result.classList.remove("is-old");
    status.say("");
    wrong.textContent = "This cannot be diagnosed. " + words;
  }

  function reset() {
    stop();
    job = answer = slip = null;
    result.hidden = slips.group.hidden = true;
    status.say("");
    wrong.textContent = "";
    kind.set("log σ²");
  }

  // --- what is found ----------------------------------------------------------------------------------

  function show(next) {
    stop();
    answer = next;
    var from = next.from;
    var named = Object.keys(KINDS).find(function (name) {
      return KINDS[name] === from.kind;
    });
    kind.set(named);
    var origin = slip !== null ? "the book’s own codes" : job.files ? job.files.map(function (one) {
      return one.name;
    }).join(", ") : "the text";
    var faults = next.findings.filter(function (finding) {
      return finding.is_fault;
    }).length;
    result.replaceChildren(
      html("p", { class: "muted" }, origin + ": μ is “" + from.mu + "”, " + named + " is “" + from.second + "”, " + from.shape.map(function (size) {
        return machine.word(size, ",");
      }).join(" × ")),
      html("p", {}, html("strong", {}, next.headline), marginal(next.totals)),
      next.findings.length ? html("ol", { class: "codes-findings" }) : html("p", {}, data.phrases.nothing),
      table(next.table),
      Explorables.button("save as JSON", save)
    );
    next.findings.forEach(function (finding) {
      result.querySelector("ol").append(item(finding));
    });
    result.hidden = false;
    result.classList.remove("is-old");
    var count = next.findings.length;
    status.say(next.table.kl.length + " variables diagnosed: " + (count === 1 ? "one finding" : count + " findings") +
      ", " + (faults === 0 ? "no fault" : faults === 1 ? "one of them a fault" : faults + " of them faults") + ".");
  }

  function marginal(totals) {
    if (totals.marginal_kl === undefined) return "";
    return "; KL(Q(z) ‖ P) is " + machine.word(totals.marginal_kl, ".2f") + " nats";
  }

  function item(finding) {
    return html("li", { class: finding.is_fault ? "is-fault" : "" },
      html("strong", {}, finding.what), " (" + finding.sure + (finding.is_fault ? "" : ", not a fault") + ").",
      html("br", {}), finding.evidence + ".",
      html("br", {}), html("em", {}, finding.to_do),
      " See ", html("a", { href: finding.chapter + ".html" }, data.titles[finding.chapter]), "."
    );
  }

  function table(columns) {
    var heads = ["z", "Var μ", "mean σ²", "sum", "KL", "verdict"];
    var ends = Math.min(LAW_ENDS, Math.max.apply(null, columns.sum.concat(1.2)));
    var head = html("tr", {});
    heads.forEach(function (name) {
      head.append(html("th", { scope: "col" }, name));
    });
    // The bars say what stands beside them.
    head.lastChild.before(html("td", { class: "codes-bar", "aria-hidden": "true" }, "Var μ and σ², against 1"));
    var rows = html("tbody", {});
    columns.kl.forEach(function (_, j) {
      var verdict = data.verdicts[columns.active[j] ? 0 : 1];
      var row = html("tr", { class: columns.active[j] ? "active" : "inactive" }, html("th", { scope: "row" }, String(j)));
      ["var_mu", "sigma2", "sum", "kl"].forEach(function (name) {
        row.append(html("td", {}, machine.cell(columns[name][j])));
      });
      var bar = html("span", {});
      bar.style.setProperty("--mu", Math.min(1, columns.var_mu[j] / ends) || 0);
      bar.style.setProperty("--both", Math.min(1, columns.sum[j] / ends) || 0);
      bar.style.setProperty("--law", 1 / ends);
      row.append(html("td", { class: "codes-bar", "aria-hidden": "true" }, bar), html("td", {}, verdict));
      rows.append(row);
    });
    return html("div", { class: "codes-table", tabindex: "0", role: "region", "aria-label": "one line for each variable" },
      html("table", {}, html("thead", {}, head), rows));
  }

  // What `to_json` gives.
  function save() {
    var kept = { version: answer.version, totals: answer.totals, table: answer.table, findings: answer.findings };
    var address = URL.createObjectURL(new Blob([JSON.stringify(kept)], { type: "application/json" }));
    html("a", { href: address, download: "diagnosis.json" }).click();
    setTimeout(function () {
      URL.revokeObjectURL(address);
    }, 1000);
  }

  return {
    machine: machine,
    state: function () {
      return { slip: slip, kind: chosenKind(), busy: busy, wrong: wrong.textContent, headline: answer && answer.headline, findings: answer && answer.findings };
    },
    answer: function () {
      return answer;
    },
    start: start,
    set: function (to) {
      if (to.slip) sample(to.slip);
      else reset();
    },
    address: {
      // codes=book, codes=book-2 with the slip of that number
      keys: ["codes"],
      write: function () {
        var at = Object.keys(SLIPS).indexOf(slip);
        return { codes: slip === null ? null : at ? "book-" + at : "book" };
      },
      read: function (values) {
        var at = /^book(?:-(\d+))?$/.exec(values.get("codes") || "");
        if (at) sample(Object.keys(SLIPS)[Number(at[1] || 0)] || FIRST);
        else reset();
      },
    },
  };
});
