// What the laboratory draws: a lane for each variable, β against the count, and the loss over time.
Object.assign(Laboratory, (function () {
  "use strict";

  var html = Explorables.html;
  var svg = Explorables.svg;
  var text = Explorables.text;

  // --- lanes ----------------------------------------------------------------------------------------

  var ENDS = [-6, 80]; // nats
  var PITCH = 24; // px: what a finger wants

  // `click(j)`: a lane is pressed.
  function lanes(click) {
    var chart = svg("svg", { class: "tug-chart lab-chart", "aria-hidden": "true" });
    var buttons = html("div", { class: "lab-buttons", role: "group", "aria-label": "variables" });
    var element = html("div", { class: "lab-lanes" }, chart, buttons);
    var width = 0;
    var rows = [];
    var shown = null;
    var ropes = Explorables.ropes(chart, ENDS);

    function layout() {
      if (!width) return;
      ropes.layout(width, Math.max(88, Math.min(150, 0.27 * width)), rows.length * PITCH);
      rows.forEach(function (row, j) {
        ropes.place(row, Explorables.HEAD + (j + 0.5) * PITCH, width);
        chart.append(row.group);
      });
      if (shown) draw();
    }

    // Rows for so many variables, so that they have their place before they are measured.
    function make(count) {
      if (rows.length === count) return;
      shown = null;
      rows = Array.from({ length: count }, function (_, j) {
        var row = ropes.row();
        row.number = text(0, 5, "number", "start", String(j));
        row.mark = text(20, 5, "mark", "start", "");
        row.theory = svg("path", { class: "theory", d: "" });
        row.group.append(row.number, row.mark, row.theory);
        row.button = html("button", {
          type: "button",
          class: "lab-lane",
          style: "top: " + (Explorables.HEAD + j * PITCH) + "px",
          click: function () { click(j); },
        });
        return row;
      });
      buttons.replaceChildren.apply(buttons, rows.map(function (row) { return row.button; }));
      layout();
    }

    // `theory`: for each variable the Var μ that the closed form gives it, or null.
    function show(measured, selected, theory) {
      make(measured.kl.length);
      shown = { measured: measured, selected: selected, theory: theory };
      draw();
    }

    function draw() {
      if (!width) return;
      var measured = shown.measured;
      var lost = Laboratory.overtaken(measured);
      rows.forEach(function (row, j) {
        var mu = measured.varMu[j];
        var killed = measured.killed.includes(j);
        var free = measured.free.includes(j);
        var revived = measured.revived.includes(j);
        var idle = measured.kl[j] < 0.05 && measured.gain[j] < 0.05;
        ropes.pull(row, measured.kl[j], measured.gain[j], mu, measured.meanSigma2[j]);
        row.group.classList.toggle("is-losing", lost.includes(j));
        row.group.classList.toggle("is-silent", idle);
        row.group.classList.toggle("is-selected", j === shown.selected);
        row.mark.textContent = killed ? "✕" : free ? "0" : revived ? "↑" : "";
        var at = shown.theory && ropes.share(shown.theory[j]).toFixed(1);
        row.theory.setAttribute("d", at ? "M" + at + ",-10v20" : "");
        row.button.setAttribute(
          "aria-label",
          "variable " + j + ": " + (idle ? "does nothing" : "gain " + Explorables.fixed(measured.gain[j], 1) +
            ", KL " + Explorables.fixed(measured.kl[j], 1)) + ", Var μ " + Explorables.fixed(mu, 2) +
            (lost.includes(j) ? ", costs more than it brings" : "") +
            (killed ? ", killed" : free ? ", has no price" : revived ? ", revived" : "")
        );
        row.button.setAttribute("aria-pressed", String(j === shown.selected));
      });
    }

    new ResizeObserver(function () {
      var now = element.clientWidth;
      if (!now || now === width) return;
      width = now;
      layout();
    }).observe(element);
    return { element: element, make: make, show: show };
  }

  // --- lines ----------------------------------------------------------------------------------------

  var MARGIN = { left: 30, right: 18, top: 26, bottom: 34 };

  // A frame of fixed height that is drawn anew when its width changes.
  function frame(height, name, draw) {
    var chart = svg("svg", { class: "lab-plot " + name, height: height, role: "img" });
    var width = 0;
    var redraw = Explorables.inFrame(function () {
      if (!width) return;
      chart.replaceChildren();
      draw(chart, width, height);
    });
    new ResizeObserver(function () {
      var now = chart.getBoundingClientRect().width;
      if (!now || Math.abs(now - width) < 1) return;
      width = now;
      chart.setAttribute("viewBox", "0 0 " + width + " " + height);
      redraw();
    }).observe(chart);
    return { element: chart, redraw: redraw };
  }

  function path(points) {
    return points.length ? "M" + points.map(function (p) { return p[0].toFixed(1) + "," + p[1].toFixed(1); }).join("L") : "";
  }

  function grid(chart, values, along, across, vertical, words) {
    values.forEach(function (value) {
      var at = along(value);
      chart.append(
        vertical
          ? svg("line", { x1: at, x2: at, y1: across[0], y2: across[1], class: "grid" })
          : svg("line", { x1: across[0], x2: across[1], y1: at, y2: at, class: "grid" }),
        vertical
          ? text(at, across[1] + 15, "tick", "middle", words(value))
          : text(across[0] - 6, at + 4, "tick", "end", words(value))
      );
    });
  }

  var BETAS = [0.02, 0.1, 1, 10, 100, 800];

  // The way through (β, count). `runs` is a list of histories, the last one is drawn strong.
  function trace(state) {
    return frame(196, "lab-trace", function (chart, width, height) {
      var log = Explorables.scale([Math.log(0.018), Math.log(900)], [MARGIN.left, width - MARGIN.right]);
      var x = function (beta) { return log(Math.log(Math.max(0.018, Math.min(900, beta)))); };
      var most = state.latent();
      var y = Explorables.scale([0, most], [height - MARGIN.bottom, MARGIN.top + 4]);
      var every = most > 16 ? 8 : most > 8 ? 4 : most > 4 ? 2 : 1;
      var levels = [];
      for (var value = 0; value <= most; value += every) levels.push(value);
      grid(chart, BETAS, x, [MARGIN.top, height - MARGIN.bottom], true, String);
      grid(chart, levels, y, [MARGIN.left, width - MARGIN.right], false, String);
      chart.append(text(width - MARGIN.right, height - 4, "tick", "end", "β, logarithmic"));
      chart.append(text(0, 14, "name", "start", state.counted() + ", by β"));
      var runs = state.runs();
      runs.forEach(function (history, at) {
        var now = at === runs.length - 1;
        var points = history.map(function (one) { return [x(one.beta), y(one.count)]; });
        if (!points.length) return;
        var end = points[points.length - 1];
        chart.append(
          svg("path", { class: now ? "way" : "way before", d: path(points) }),
          svg("circle", { class: now ? "here" : "here before", cx: end[0], cy: end[1], r: now ? 5 : 4.5 })
        );
        if (history.name) {
          var left = end[0] > width / 2;
          chart.append(text(end[0] + (left ? -9 : 9), end[1] - 7, "tick", left ? "end" : "start", history.name));
        }
      });
    });
  }

  // Two panels over the steps: the count, and the two parts of the ELBO, one on the other.
  function course(state) {
    return frame(248, "lab-course", function (chart, width, height) {
      var history = state.history();
      var lastStep = Math.max(state.until() || 0, history.length ? history[history.length - 1].step : 0, 200);
      var x = Explorables.scale([0, lastStep], [MARGIN.left, width - MARGIN.right]);
      var most = state.latent();
      var middle = 92;
      var y = Explorables.scale([0, most], [middle, MARGIN.top + 4]);
      var least = Math.min.apply(null, history.map(function (one) { return -one.elbo; }).concat(1e9));
      if (least === 1e9) least = 50;
      var top = 1.5 * Math.max(least, 4);
      var foot = height - MARGIN.bottom;
      var z = Explorables.scale([0, top], [foot, middle + 36]);
      var cut = function (nats) { return z(Math.min(top, nats)); };
      var round = Math.pow(10, Math.floor(Math.log10(lastStep / 2)));
      var apart = [1, 2, 5, 10].map(function (k) { return k * round; }).find(function (k) { return lastStep / k <= 4.5; });
      var steps = [];
      for (var s = 0; s <= lastStep; s += apart) steps.push(s);
      grid(chart, [0, most], y, [MARGIN.left, width - MARGIN.right], false, String);
      grid(chart, steps, x, [MARGIN.top, foot], true, Laboratory.thousands);
      var tens = Math.pow(10, Math.floor(Math.log10(top / 2)));
      var unit = [1, 2, 5, 10].map(function (k) { return k * tens; }).find(function (k) { return top / k <= 3.5; });
      var levels = [];
      for (var nats = 0; nats < top; nats += unit) levels.push(nats);
      grid(chart, levels, z, [MARGIN.left, width - MARGIN.right], false, String);
      chart.append(text(width - MARGIN.right, height - 4, "tick", "end", "steps"));
      if (history.length) {
        var upper = history.map(function (one) { return [x(one.step), cut(-one.elbo)]; });
        var between = history.map(function (one) { return [x(one.step), cut(-one.likelihood)]; });
        var bottom = [[upper[upper.length - 1][0], foot], [upper[0][0], foot]];
        chart.append(
          svg("path", { class: "area loss", d: path(between.concat(bottom)) + "Z" }),
          svg("path", { class: "area kl", d: path(upper.concat(between.slice().reverse())) + "Z" }),
          svg("path", { class: "sum", d: path(upper) }),
          svg("path", { class: "moving", d: path(history.map(function (one) { return [x(one.step), y(one.active)]; })) }),
          svg("path", { class: "way", d: path(history.map(function (one) { return [x(one.step), y(one.count)]; })) })
        );
      }
      chart.append(
        svg("text", { x: 0, y: 14, class: "name" }, svg("tspan", { class: "mu" }, state.counted()),
          state.counted() === "used" ? svg("tspan", { class: "sigma" }, " ┄ and moving (Var μ > 0.05)") : ""),
        svg("text", { x: 0, y: middle + 24, class: "name" },
          "−ELBO = ", svg("tspan", { class: "gain" }, "reconstruction"), " + ", svg("tspan", { class: "kl" }, "KL"), ", nats")
      );
    });
  }

  // --- pictures -------------------------------------------------------------------------------------

  function strip(words, count, each) {
    var canvases = Array.from({ length: count }, function (_, at) {
      var canvas = html("canvas", { width: 14, height: 14 });
      return each ? each(canvas, at) : canvas;
    });
    var row = html("div", { class: "lab-strip" });
    row.style.setProperty("--count", count);
    row.append.apply(row, canvases);
    var caption = html("p", { class: "muted" }, words);
    return {
      element: html("div", { class: "lab-pictures" }, caption, row),
      caption: caption,
      row: row,
      paint: function (pixels, size) {
        var all = row.querySelectorAll("canvas");
        for (var at = 0; at < all.length; at++) {
          Explorables.paint(all[at], pixels.subarray(at * size, (at + 1) * size));
        }
      },
    };
  }

  // --- the closed form ------------------------------------------------------------------------------

  function fillTheory(table, measured) {
    var optimum = Engine.linearOptimum(Laboratory.EIGENVALUES, 1, Math.max(measured.beta, 1e-9));
    var trained = Array.from(measured.varMu).sort(function (a, b) { return b - a; });
    var head = ["eigenvalue", "Var μ in theory", "trained"].map(function (words) {
      return html("th", { scope: "col" }, words);
    });
    var rows = optimum.map(function (one, rank) {
      return html("tr", { class: one.varMu > 0 ? "" : "muted" },
        html("td", {}, String(Laboratory.EIGENVALUES[rank])),
        html("td", {}, Explorables.fixed(one.varMu, 2)),
        html("td", {}, rank < trained.length ? Explorables.fixed(trained[rank], 2) : "–"));
    });
    table.replaceChildren(
      html("caption", {}, "Trained against the closed form at this β; │ in the lanes is theory"),
      html("thead", {}, html("tr", {}, head[0], head[1], head[2])),
      html("tbody", {}));
    table.tBodies[0].append.apply(table.tBodies[0], rows);
  }

  return { fillTheory: fillTheory, lanes: lanes, trace: trace, course: course, strip: strip };
})());
