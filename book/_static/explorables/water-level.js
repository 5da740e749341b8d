// The water level: the optimum of the linear VAE. What lies under beta * eta^2 drowns.
Explorables.register("water-level", function (stage, data, remember) {
  "use strict";

  var html = Explorables.html;
  var svg = Explorables.svg;

  var NOISE_VARIANCE = 1; // eta^2, so that the water stands at beta
  var LOWEST = 0.05; // beta
  var HIGHEST = 10;

  // Panels, from top to bottom, in px. On a logarithmic axis the height above the water is twice
  // the KL, and equal steps of the slider raise the water equally.
  var LANDSCAPE = { top: 26, bottom: 246, ends: [0.04, 14], ticks: [0.1, 0.3, 1, 3, 10], log: true };
  var VARIANCES = { top: 284, bottom: 356, ends: [0, 1.2], ticks: [0, 1] };
  var PRICES = { top: 394, bottom: 474, ends: [0, 2.4], ticks: [0, 1, 2] };
  var HEIGHT = 516;
  var LEFT = 30;
  var RIGHT = 4;

  var spectrum = data.spectra[0];
  var beta = 1;

  // What a variable does at the optimum, given the variance of the data along its direction.
  function optimum(eigenvalue, beta) {
    var water = beta * NOISE_VARIANCE;
    var above = Math.max(eigenvalue, water) / water; // 1 for one that has drowned
    return { mu_variance: 1 - 1 / above, variance: 1 / above, kl: 0.5 * Math.log(above) };
  }

  function variables(beta) {
    return spectrum.eigenvalues.map(function (eigenvalue) {
      return optimum(eigenvalue, beta);
    });
  }

  function above(beta) {
    return spectrum.eigenvalues.filter(function (eigenvalue) {
      return eigenvalue > beta * NOISE_VARIANCE;
    }).length;
  }

  function count(beta) {
    return above(beta) + " of " + spectrum.eigenvalues.length;
  }

  function each(name) {
    return variables(beta).map(function (variable) {
      return variable[name];
    });
  }

  // --- what is on the stage -----------------------------------------------------------------------

  // The slider moves in hundredths of a decade; a beta set from code may lie between two of them.
  var slider = Explorables.slider({
    label: "β",
    min: Math.round(100 * Math.log10(LOWEST)),
    max: 100 * Math.log10(HIGHEST),
    step: 1,
    value: 0,
    speak: function (notch) {
      var there = notch === notchOf(beta) ? beta : Math.pow(10, notch / 100);
      return there.toFixed(2) + ", " + count(there) + " above water";
    },
    input: function (notch) {
      beta = Math.pow(10, notch / 100);
      draw();
      remember();
    },
  });
  var choice = Explorables.choice({
    label: "data",
    values: data.spectra.map(function (each) {
      return each.name;
    }),
    value: spectrum.name,
    input: function (name) {
      choose(name);
      remember();
    },
  });
  var chart = svg("svg", { height: HEIGHT, role: "img" });
  var pill = html("span", {});
  // The surface can be taken hold of. It is no control of its own: the slider does the same.
  var surface = html("div", { class: "water-surface", "aria-hidden": "true" }, pill);
  // The same words twice: at once for the eye, and for the ear when the reader has stopped moving.
  var answer = html("p", { class: "explorable-answer", "aria-hidden": "true" });
  var status = Explorables.status();
  status.classList.add("unseen");
  var panel = html("div", { class: "water-chart" }, chart, surface);
  var digits = html("div", { class: "water-digits", role: "img" });
  var caption = html("p", { class: "water-caption muted", "aria-hidden": "true" });
  slider.row.classList.add("water-slider");
  stage.append(
    slider.row,
    choice.group,
    caption,
    digits,
    panel,
    answer,
    status
  );

  function notchOf(beta) {
    return Math.round(100 * Math.log10(beta));
  }

  function raise(to) {
    beta = Math.min(HIGHEST, Math.max(LOWEST, to));
    slider.set(notchOf(beta));
    draw();
  }

  function choose(name) {
    spectrum = data.spectra.find(function (each) {
      return each.name === name;
    });
    slider.set(notchOf(beta));
    layout();
  }

  // --- the digits ---------------------------------------------------------------------------------

  // Ten images as they are, and below each what the network makes of it: the mean, and of each
  // direction that lives the share Var μ. The toy has no pictures.
  var pictures = data.pictures;
  var mean = Explorables.numbers(pictures.mean);
  var directions = Explorables.numbers(pictures.directions);
  var rebuilt = pictures.codes.map(function (code, at) {
    var image = Explorables.numbers(pictures.images).slice(at * mean.length, (at + 1) * mean.length);
    var canvas = html("canvas", {});
    Explorables.paint(canvas, Array.from(image, share));
    digits.append(canvas);
    return { code: code, canvas: html("canvas", {}) };
  });
  rebuilt.forEach(function (digit) {
    digits.append(digit.canvas);
  });

  function share(byte) {
    return byte / 255;
  }

  function rebuild(code) {
    var shares = each("mu_variance");
    var pixels = Array.from(mean, share);
    code.forEach(function (steps, direction) {
      var size = steps * shares[direction];
      if (!size) return;
      var from = direction * pixels.length;
      for (var i = 0; i < pixels.length; i++) pixels[i] += size * directions[from + i];
    });
    return pixels.map(function (value) {
      return Math.min(1, Math.max(0, value));
    });
  }

  function showDigits() {
    var has = spectrum === data.spectra[0];
    digits.style.visibility = caption.style.visibility = has ? "" : "hidden";
    if (!has) return;
    rebuilt.forEach(function (digit) {
      Explorables.paint(digit.canvas, rebuild(digit.code));
    });
    var alive = above(beta);
    var left = alive ? alive + (alive > 1 ? " directions keep" : " direction keeps") : "their mean keeps";
    caption.textContent = "ten test digits, and what " + left + " of them";
    digits.setAttribute("aria-label", "Ten test digits, 0 to 9; below each what " + left + " of it.");
  }

  // --- the chart ----------------------------------------------------------------------------------

  var width = 640;
  var water;
  var columns = []; // per variable: its bars

  function height(panel) {
    var map = panel.log ? Math.log : Number;
    var linear = Explorables.scale(panel.ends.map(map), [panel.bottom, panel.top]);
    return function (value) {
      return linear(map(value));
    };
  }

  var heightIn = {
    landscape: height(LANDSCAPE),
    variances: height(VARIANCES),
    prices: height(PRICES),
  };

  function text(x, y, name, anchor) {
    var words = [].slice.call(arguments, 4);
    var element = svg("text", { x: x, y: y, class: name, "text-anchor": anchor });
    element.append.apply(element, words);
    return element;
  }

  function tspan(name, words) {
    return svg("tspan", { class: name }, words);
  }

  function axis(panel) {
    panel.ticks.forEach(function (tick) {
      var y = height(panel)(tick);
      chart.append(
        svg("line", { class: "grid", x1: LEFT, x2: width, y1: y, y2: y }),
        text(LEFT - 6, y + 4, "tick", "end", tick)
      );
    });
  }

  // Everything whose place depends on the width and on the number of variables alone.
  function layout() {
    var size = spectrum.eigenvalues.length;
    var band = (width - LEFT - RIGHT) / size;
    var wide = Math.min(0.74 * band, 48);
    chart.setAttribute("viewBox", "0 0 " + width + " " + HEIGHT);
    chart.replaceChildren();
    [LANDSCAPE, VARIANCES, PRICES].forEach(axis);
    chart.append(
      text(0, 14, "name", "start", "variance of the data, λ (log scale)"),
      text(0, VARIANCES.top - 12, "name", "start", tspan("mu", "Var μ"), tspan("sigma", " + σ²"), " = 1"),
      text(0, PRICES.top - 12, "name", "start", tspan("kl", "KL"), ", nats")
    );
    columns = spectrum.eigenvalues.map(function (eigenvalue, at) {
      var middle = LEFT + (at + 0.5) * band;
      var number = at + 1;
      if (size < 10 || number === 1 || number % 10 === 0) {
        chart.append(text(middle, PRICES.bottom + 16, "tick", "middle", number));
      }
      function bar(name) {
        var rect = svg("rect", { class: name, x: middle - wide / 2, width: wide });
        chart.append(rect);
        return rect;
      }
      var ground = bar("eigenvalue");
      span(ground, heightIn.landscape(eigenvalue), LANDSCAPE.bottom);
      return { eigenvalue: ground, mu: bar("mu"), sigma: bar("sigma"), kl: bar("kl") };
    });
    water = svg("rect", { class: "water", x: LEFT, width: width - LEFT });
    chart.append(
      water,
      text((LEFT + width) / 2, HEIGHT - 4, "tick", "middle", "variable, from the largest direction on")
    );
    show();
  }

  function span(rect, top, bottom) {
    rect.setAttribute("y", top);
    rect.setAttribute("height", Math.max(0, bottom - top));
  }

  function show() {
    var level = heightIn.landscape(beta * NOISE_VARIANCE);
    span(water, level, LANDSCAPE.bottom);
    surface.style.transform = "translateY(" + level + "px)";
    pill.textContent = "\u2195\ufe0e β η² = " + beta.toFixed(2);
    variables(beta).forEach(function (variable, at) {
      var column = columns[at];
      var border = heightIn.variances(variable.mu_variance);
      column.eigenvalue.classList.toggle("drowned", variable.kl === 0);
      span(column.mu, border, VARIANCES.bottom);
      span(column.sigma, heightIn.variances(1), border);
      span(column.kl, heightIn.prices(variable.kl), PRICES.bottom);
    });
    showDigits();
    say();
  }

  var draw = Explorables.inFrame(show);

  function say() {
    var kl = each("kl").reduce(function (sum, more) {
      return sum + more;
    });
    var price = kl ? "together they cost " + kl.toFixed(1) + " nats" : "the code costs nothing and says nothing";
    var words = count(beta) + " variables live; " + price + ".";
    answer.textContent = words;
    chart.setAttribute("aria-label", spectrum.name + ", water level " + beta.toFixed(2) + ": " + words);
    status.say(words);
  }

  // --- the hand in the water ------------------------------------------------------------------------

  var hold = null; // from the pointer to the surface, while it is held
  var tap = null; // where a finger came down; it may still scroll the page

  function heightOf(event) {
    return event.clientY - chart.getBoundingClientRect().top;
  }

  function raiseTo(y) {
    var share = (LANDSCAPE.bottom - y) / (LANDSCAPE.bottom - LANDSCAPE.top);
    var ends = LANDSCAPE.ends;
    raise((ends[0] * Math.pow(ends[1] / ends[0], share)) / NOISE_VARIANCE);
    remember();
  }

  // A mouse takes hold of the surface anywhere. A finger drags its handle alone; elsewhere in the
  // landscape it taps, or scrolls.
  surface.addEventListener("pointerdown", function (event) {
    if (event.button !== 0 || (event.pointerType === "touch" && event.target !== pill)) return;
    surface.setPointerCapture(event.pointerId);
    hold = heightIn.landscape(beta * NOISE_VARIANCE) - heightOf(event);
    event.preventDefault(); // no selection of text
  });
  surface.addEventListener("pointermove", function (event) {
    if (hold !== null) raiseTo(heightOf(event) + hold);
  });
  ["pointerup", "pointercancel"].forEach(function (name) {
    surface.addEventListener(name, function () {
      hold = null;
    });
  });

  panel.addEventListener("pointerdown", function (event) {
    var tapped = event.pointerType === "touch" && event.target !== pill;
    tap = tapped ? [event.clientX, event.clientY] : null;
  });
  panel.addEventListener("pointerup", function (event) {
    if (!tap) return;
    var strayed = Math.hypot(event.clientX - tap[0], event.clientY - tap[1]);
    var y = heightOf(event);
    tap = null;
    if (strayed < Explorables.STRAY && LANDSCAPE.top <= y && y <= LANDSCAPE.bottom) raiseTo(y);
  });

  layout();
  new ResizeObserver(function () {
    var now = chart.getBoundingClientRect().width;
    if (!now || now === width) return;
    width = now;
    layout();
  }).observe(stage);

  function set(to) {
    if (to.spectrum !== undefined) {
      choice.set(to.spectrum);
      choose(to.spectrum);
    }
    if (to.beta !== undefined) raise(to.beta);
  }

  return {
    spectra: data.spectra.map(function (each) {
      return each.name;
    }),
    optimum: optimum,
    state: function () {
      return {
        spectrum: spectrum.name,
        beta: beta,
        alive: each("kl").filter(Boolean).length,
        mu_variance: each("mu_variance"),
        variance: each("variance"),
        kl: each("kl"),
      };
    },
    set: set,
    address: {
      // beta=3.00, data=toy
      keys: ["beta", "data"],
      write: function () {
        return {
          beta: beta === 1 ? null : beta.toFixed(2),
          data: spectrum === data.spectra[0] ? null : spectrum.name.toLowerCase(),
        };
      },
      read: function (values) {
        var named = data.spectra.find(function (each) {
          return each.name.toLowerCase() === values.get("data");
        });
        set({
          spectrum: (named || data.spectra[0]).name,
          beta: Explorables.within(values.get("beta"), LOWEST, HIGHEST, 1),
        });
      },
    },
  };
});
