// Which β did I choose? What sums and means of a loss amount to, and what is left above the water.
Explorables.register("which-beta", function (stage, data, remember) {
  "use strict";

  var html = Explorables.html;
  var svg = Explorables.svg;

  var OWN = "your own";
  var TERMS = { BCE: "bce", "Gaussian, η²": "gaussian", squares: "mse" };
  // Losses to begin with: what was read in public code (chapter of questions).
  var PRESETS = {
    "PyTorch’s example": { term: "bce", pixels_by: "sum", rows_by: "sum", variables_by: "sum", kl_rows_by: "sum", factor: 1 },
    'reduction="mean"': { term: "bce", pixels_by: "mean", rows_by: "mean", variables_by: "sum", kl_rows_by: "mean", factor: 1 },
    "two means": { term: "bce", pixels_by: "mean", rows_by: "mean", variables_by: "mean", kl_rows_by: "mean", factor: 1 },
    "mse with a weight": { term: "mse", pixels_by: "mean", rows_by: "mean", variables_by: "sum", kl_rows_by: "mean", factor: 0.00025 },
  };
  var BERNOULLI = 0.25; // the largest variance of a pixel that is 0 or 1
  var LINE = { left: 8, right: 8, top: 24, axis: 52, height: 74, ends: [1e-3, 1e3] };

  var start = {
    data: data.spectra[0].name, pixels: data.spectra[0].pixels, channels: 1, latent: 16, batch: 128, eta2: 0.1,
    eigenvalues: [],
  };
  var now = Object.assign({}, start, PRESETS['reduction="mean"']);

  // --- what a loss implies ----------------------------------------------------------------------------

  // The loss is a times -log P(x|z), with the variance eta2 if it is a Gaussian, plus b times the KL.
  function implied(loss) {
    var numbers = loss.pixels * loss.channels;
    var a = (loss.pixels_by === "mean" ? 1 / numbers : 1) * (loss.rows_by === "sum" ? loss.batch : 1);
    var b = (loss.variables_by === "mean" ? 1 / loss.latent : 1) * (loss.kl_rows_by === "sum" ? loss.batch : 1);
    var beta = (loss.factor * b) / a;
    // A square without its half is that of a Gaussian of variance ½.
    var eta2 = { bce: null, gaussian: loss.eta2, mse: 0.5 }[loss.term];
    return { beta: beta, eta2: eta2, water: beta * (eta2 === null ? BERNOULLI : eta2), code: code(loss) };
  }

  function code(loss) {
    var term = { bce: "F.binary_cross_entropy", gaussian: "F.mse_loss", mse: "F.mse_loss" }[loss.term];
    var first = {
      sumsum: term + '(output, x, reduction="sum")',
      summean: term + '(output, x, reduction="sum") / len(x)',
      meanmean: term + "(output, x)",
      meansum: term + "(output, x) * len(x)",
    }[loss.pixels_by + loss.rows_by];
    if (loss.term === "gaussian") first += " / (2 * " + loss.eta2 + ")";
    var second = {
      sumsum: "kl.sum()", summean: "kl.sum(1).mean()", meanmean: "kl.mean()", meansum: "kl.mean(1).sum()",
    }[loss.variables_by + loss.kl_rows_by];
    return first + " + " + (loss.factor === 1 ? "" : loss.factor + " * ") + second;
  }

  function spectrum() {
    var kept = data.spectra.find(function (each) {
      return each.name === now.data;
    });
    return kept ? kept.eigenvalues : now.eigenvalues;
  }

  function above(water) {
    return spectrum().filter(function (value) {
      return value > water;
    }).length;
  }

  // --- words --------------------------------------------------------------------------------------------

  function number(value) {
    if (value >= 1000 || value === 0) return String(Math.round(value)).replace(/\B(?=(\d{3})+$)/g, ",");
    if (value < 1e-4) return value.toExponential(1).replace("e-", " · 10⁻").replace(/⁻(\d+)/, function (_, power) {
      return "⁻" + power.replace(/\d/g, function (figure) { return "⁰¹²³⁴⁵⁶⁷⁸⁹"[figure]; });
    });
    return String(Number(value.toPrecision(3)));
  }

  function reasons() {
    var seen = [];
    var both = now.rows_by === now.kl_rows_by;
    if (now.pixels_by === "mean") {
      seen.push("averages over " + number(now.pixels * now.channels) + (now.channels === 1 ? " pixels" : " pixels and channels"));
    }
    if (now.variables_by === "mean") seen.push("averages the KL over " + number(now.latent) + " variables");
    if (!both) seen.push("sums the " + (now.rows_by === "sum" ? "log P(x|z)" : "KL") + " over a batch of " + number(now.batch) + ", and not the other");
    if (now.factor !== 1) seen.push("weighs the KL by " + number(now.factor));
    if (!seen.length) return "Your loss sums over pixels and variables, and reduces the batch alike in both";
    return "Your loss " + seen.join(", ").replace(/, ([^,]*)$/, function (whole, last) {
      return seen.length > 1 && !/^ ?and not/.test(last) ? " and " + last : whole;
    });
  }

  function verdict(found) {
    var all = spectrum().length;
    var guess = found.eta2 === null; // then the water has no level of its own
    var words = (guess ?
      "BCE has no η². A pixel that is 0 or 1 has a variance of at most ¼, so the water stands at β/4 = " :
      "The water stands at βη² = ") + number(found.water) + (guess ? " at most. " : ". ");
    if (!all) return words + "Paste the eigenvalues of your data, and see how many stand above.";
    var count = above(found.water);
    var kept = Math.min(count, now.latent);
    words += "Of " + (now.data === OWN ? "your " : now.data + "’s ") + all + " eigenvalues " + (count || "none");
    words += (count > 1 ? " stand" : " stands") + " above" + (guess ? " that" : "");
    if (!count && guess) return words + ": total collapse, or close to it.";
    if (!count) return words + ": a linear VAE would keep no variable. This is total collapse, and it is the optimum.";
    return words + ": a linear VAE would keep " + (kept === now.latent ? "all " : kept + " of ") + now.latent + ".";
  }

  // --- what is on the stage -----------------------------------------------------------------------------

  function field(name, label, whole) {
    var input = html("input", { type: "number", min: whole ? 1 : 0, step: whole ? 1 : "any", inputmode: whole ? "numeric" : "decimal", value: now[name] });
    input.addEventListener("input", function () {
      var value = Number(input.value);
      var right = input.value !== "" && (whole ? Number.isInteger(value) && value >= 1 : value > 0 && isFinite(value));
      if (right) input.removeAttribute("aria-invalid");
      else input.setAttribute("aria-invalid", "true");
      if (!right) {
        status.say("");
        answer.textContent = label + ": expected a " + (whole ? "whole number from 1 on" : "number above 0") + ".";
        return;
      }
      now[name] = value;
      // Other sizes, other data.
      var kept = data.spectra.find(function (each) { return each.name === now.data; });
      if (kept && kept.pixels !== now.pixels * now.channels) now.data = OWN;
      show();
      remember();
    });
    return { row: html("label", { class: "beta-field" }, label, input), input: input };
  }

  function choice(name, label, values) {
    var made = Explorables.choice({
      label: label,
      values: Object.keys(values),
      value: Object.keys(values).find(function (key) { return values[key] === now[name]; }),
      input: function (key) {
        now[name] = values[key];
        if (name === "data" && now.data !== OWN) {
          now.pixels = data.spectra.find(function (each) { return each.name === now.data; }).pixels;
          now.channels = 1;
        }
        show();
        remember();
      },
    });
    return {
      row: made.group,
      set: function () {
        made.set(Object.keys(values).find(function (key) { return values[key] === now[name]; }));
      },
    };
  }

  var BY = { sum: "sum", mean: "mean" };
  var names = {};
  data.spectra.concat({ name: OWN }).forEach(function (each) {
    names[each.name] = each.name;
  });
  var choices = {
    data: choice("data", "data", names),
    term: choice("term", "−log P(x|z)", TERMS),
    pixels_by: choice("pixels_by", "pixels", BY),
    rows_by: choice("rows_by", "batch", BY),
    variables_by: choice("variables_by", "variables", BY),
    kl_rows_by: choice("kl_rows_by", "batch", BY),
  };
  var fields = {
    pixels: field("pixels", "pixels", true),
    channels: field("channels", "channels", true),
    latent: field("latent", "variables", true),
    batch: field("batch", "batch", true),
    eta2: field("eta2", "η²", false),
    factor: field("factor", "times", false),
  };
  var presets = Object.keys(PRESETS).map(function (name) {
    return Explorables.button(name, function () {
      Object.assign(now, PRESETS[name]);
      show();
      remember();
    });
  });
  var area = html("textarea", { rows: 2, spellcheck: "false", "aria-label": "eigenvalues of your data", placeholder: "eigenvalues of your data: 5.1, 3.7, 3.3, …" });
  area.addEventListener("input", function () {
    now.eigenvalues = (area.value.match(/[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?/gi) || []).map(Number);
    show();
  });
  var line = html("code", {});
  var big = html("p", { class: "beta-big" });
  // The same words twice: at once for the eye, and for the ear when the reader has stopped moving.
  var answer = html("p", { class: "explorable-answer beta-answer" });
  var status = Explorables.status();
  status.classList.add("unseen");
  var chart = svg("svg", { class: "beta-line", height: LINE.height, role: "img" });

  function group(label) {
    var parts = [].slice.call(arguments, 1);
    var controls = html("div", { class: "explorable-controls" });
    controls.append.apply(controls, parts);
    return html("div", { class: "beta-group", role: "group", "aria-label": label }, html("p", { class: "beta-name" }, label), controls);
  }

  stage.append(html("div", { class: "beta" },
    group.apply(null, ["begin with"].concat(presets)),
    group("sizes", choices.data.row, fields.pixels.row, fields.channels.row, fields.latent.row, fields.batch.row, area),
    group("reconstruction", choices.term.row, fields.eta2.row, choices.pixels_by.row, choices.rows_by.row),
    group("KL", fields.factor.row, choices.variables_by.row, choices.kl_rows_by.row),
    html("p", { class: "beta-code" }, line),
    big, answer, chart, status
  ));

  // --- the eigenvalues on a line ------------------------------------------------------------------------

  var width = 640;

  function draw(water) {
    var ends = LINE.ends;
    chart.style.visibility = spectrum().length ? "" : "hidden";
    var place = Explorables.scale(ends.map(Math.log10), [LINE.left, width - LINE.right]);
    function x(value) {
      return place(Math.log10(Math.min(ends[1], Math.max(ends[0], value))));
    }
    chart.setAttribute("viewBox", "0 0 " + width + " " + LINE.height);
    chart.replaceChildren(svg("rect", { class: "water", x: 0, width: x(water), y: LINE.top, height: LINE.axis - LINE.top }));
    spectrum().slice(0, 400).forEach(function (value) {
      if (value >= ends[0]) {
        chart.append(svg("line", { class: value > water ? "above" : "drowned", x1: x(value), x2: x(value), y1: LINE.top + 4, y2: LINE.axis }));
      }
    });
    var late = x(water) > width / 2;
    chart.append(
      svg("line", { class: "level", x1: x(water), x2: x(water), y1: LINE.top - 8, y2: LINE.axis }),
      svg("text", { x: x(water), y: 12, "text-anchor": late ? "end" : "start" }, "water"),
      svg("text", { class: "tick", x: late ? 0 : width, y: 12, "text-anchor": late ? "start" : "end" }, "eigenvalues")
    );
    [0.001, 0.01, 0.1, 1, 10, 100, 1000].forEach(function (tick) {
      var side = tick === ends[0] ? "start" : tick === ends[1] ? "end" : "middle";
      chart.append(svg("text", { class: "tick", x: x(tick), y: LINE.height - 6, "text-anchor": side }, tick >= 1000 ? "1,000" : String(tick)));
    });
    chart.setAttribute("aria-label", "The eigenvalues on a line from 0.001 to 1,000, and the water at " + number(water) + ".");
  }

  function show() {
    var found = implied(now);
    Object.values(choices).forEach(function (each) { each.set(); });
    Object.keys(fields).forEach(function (name) {
      var input = fields[name].input;
      input.removeAttribute("aria-invalid");
      if (Number(input.value) !== now[name]) input.value = now[name];
    });
    fields.eta2.row.hidden = now.term !== "gaussian";
    area.hidden = now.data !== OWN;
    line.textContent = found.code;
    big.textContent = "β = " + number(found.beta);
    var elbo = Math.abs(found.beta - 1) < 1e-3; // as far as three digits tell
    var words = reasons() + ": it is " + (elbo ? "the ELBO, β = 1. " : "a VAE with β = " + number(found.beta) + ". ") + verdict(found);
    answer.textContent = words;
    status.say(words);
    draw(found.water);
  }

  show();
  new ResizeObserver(function () {
    var wide = chart.getBoundingClientRect().width;
    if (!wide || wide === width) return;
    width = wide;
    draw(implied(now).water);
  }).observe(stage);

  function set(to) {
    Object.assign(now, to);
    if (to.eigenvalues) area.value = to.eigenvalues.join(", ");
    show();
  }

  var SIZES = ["pixels", "channels", "latent", "batch", "eta2", "factor"];
  var WAYS = ["term", "pixels_by", "rows_by", "variables_by", "kl_rows_by"];
  var first = Object.assign({}, now);

  return {
    implied: implied,
    state: function () {
      var found = implied(now);
      return Object.assign({}, now, { beta: found.beta, water: found.water, above: above(found.water), words: answer.textContent });
    },
    set: set,
    address: {
      // loss=mse.mean.mean.sum.mean, sizes=784,1,16,128,0.1,1
      keys: ["loss", "sizes", "spectrum"],
      write: function () {
        function changed(names, sign) {
          var text = names.map(function (name) { return now[name]; }).join(sign);
          return text === names.map(function (name) { return first[name]; }).join(sign) ? null : text;
        }
        return { loss: changed(WAYS, "."), sizes: changed(SIZES, ","), spectrum: now.data === first.data ? null : now.data };
      },
      read: function (values) {
        var to = Object.assign({}, first);
        var ways = (values.get("loss") || "").split(".");
        WAYS.forEach(function (name, at) {
          var known = name === "term" ? Object.values(TERMS) : Object.keys(BY);
          if (known.includes(ways[at])) to[name] = ways[at];
        });
        var sizes = (values.get("sizes") || "").split(",");
        SIZES.forEach(function (name, at) {
          var value = Explorables.within(sizes[at], 0, 1e12, first[name]);
          if (at > 3 ? value > 0 : value >= 1) to[name] = at > 3 ? value : Math.round(value);
        });
        to.data = names[values.get("spectrum")] || first.data;
        set(to);
      },
    },
  };
});
