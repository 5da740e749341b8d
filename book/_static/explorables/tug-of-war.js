// The tug of war: what each variable brings against what it costs, at each moment of training.
Explorables.register("tug-of-war", function (stage, data) {
  "use strict";

  var html = Explorables.html;
  var svg = Explorables.svg;

  var USED = 0.05; // Var mu of a variable in use, as in the introduction
  var SILENT = 0.05; // nats: the gain is measured with noise, so less than this says nothing
  var TICKS = [-4, -1, 0, 1, 10, 50]; // nats; KL to the left, gain to the right
  var ENDS = [-5, 70];
  var WIDEST = 1.6; // of Var mu + sigma^2; more than that is cut, and marked
  var SIDE = 28;
  var FIRST_EPOCH = data.step.indexOf(data.steps_per_epoch);

  var HEAD = 30;
  var ROWS = 360;
  var HEADING = 24; // above those that live, and above those that die
  var BAR = 14;
  var HEIGHT = HEAD + ROWS + 26;

  var last = data.step.length - 1;
  var variables = data.kl[0].map(function (_, j) {
    return j;
  });
  var fate = variables.slice().sort(function (a, b) {
    return data.mu_variance[last][b] - data.mu_variance[last][a];
  });
  var survivors = variables.filter(function (j) {
    return data.mu_variance[last][j] > USED;
  }).length;

  var moment = FIRST_EPOCH;
  var sorted = false; // by what becomes of them; that would give the answer away at first

  // --- what is on the stage -----------------------------------------------------------------------

  var slider = Explorables.slider({
    label: "training",
    min: 0,
    max: last,
    step: 1,
    value: moment,
    speak: function (at) {
      return "minibatch " + data.step[at] + ", epoch " + (data.step[at] / data.steps_per_epoch).toFixed(1);
    },
    input: function (at) {
      pause();
      go(at);
    },
  });
  var button = html("button", { type: "button", class: "tug-play", click: toggle });
  var order = Explorables.choice({
    label: "order",
    values: ["by number", "survivors first"],
    value: "by number",
    input: function (value) {
      sorted = value !== "by number";
      place();
    },
  });
  var chart = svg("svg", { class: "tug-chart", height: HEIGHT, role: "img" });
  var canvases = data.labels.map(function () {
    return html("canvas", { width: SIDE, height: SIDE });
  });
  var digits = html("div", {
    class: "tug-digits",
    role: "img",
    "aria-label": "The test digits " + data.labels.join(", ") + " as reconstructed at this moment",
  });
  canvases.forEach(function (canvas, at) {
    digits.append(html("div", {}, canvas, String(data.labels[at])));
  });
  // The same words twice: at once for the eye, and for the ear when the reader has stopped moving.
  var answer = html("p", { class: "explorable-answer", "aria-hidden": "true" });
  var status = Explorables.status();
  status.classList.add("unseen");
  stage.append(
    html("div", { class: "tug-controls" }, button, slider.row),
    order.group,
    chart,
    answer,
    html("p", { class: "tug-caption muted", "aria-hidden": "true" }, "ten test digits as they are drawn now"),
    digits,
    status
  );

  var film = new Image();
  film.src = "data:image/png;base64," + data.film;

  // --- the chart ----------------------------------------------------------------------------------

  var width = 640;
  var rows = []; // per variable: its group and what moves in it
  var headings = [];
  var rope, share; // nats and variances -> px

  function squeeze(nats) {
    return Math.sign(nats) * Math.log1p(Math.abs(nats));
  }

  function text(x, y, name, anchor, words) {
    return svg("text", { x: x, y: y, class: name, "text-anchor": anchor }, words);
  }

  // Everything whose place depends on the width alone.
  function layout() {
    var bars = Math.max(88, Math.min(170, 0.25 * width)); // the room of the variances
    var left = 40;
    var linear = Explorables.scale(ENDS.map(squeeze), [left, width - bars - 14]);
    rope = function (nats) {
      return linear(squeeze(nats));
    };
    share = Explorables.scale([0, WIDEST], [width - bars, width - 8]);
    var foot = HEAD + ROWS + 18;
    chart.setAttribute("viewBox", "0 0 " + width + " " + HEIGHT);
    chart.replaceChildren();

    TICKS.forEach(function (nats) {
      var x = rope(nats);
      chart.append(
        svg("line", { x1: x, x2: x, y1: HEAD - 6, y2: HEAD + ROWS, class: nats ? "grid" : "axis" }),
        text(x, foot, "tick", "middle", Math.abs(nats))
      );
    });
    [0, 1].forEach(function (variance) {
      var x = share(variance);
      chart.append(
        svg("line", { x1: x, x2: x, y1: HEAD - 6, y2: HEAD + ROWS, class: variance ? "law" : "axis" }),
        text(x, foot, "tick", "middle", variance)
      );
    });
    chart.append(
      text(0, 16, "tick", "start", "variable"),
      text(rope(0) - 8, 16, "name kl", "end", "← KL"),
      text(rope(0) + 8, 16, "name gain", "start", "gain, nats →"),
      svg(
        "text",
        { x: share(0), y: 16, class: "name" },
        svg("tspan", { class: "mu" }, "Var μ"),
        svg("tspan", { class: "sigma" }, " + σ²")
      )
    );

    headings = ["will live: " + survivors, "will die: " + (variables.length - survivors)].map(
      function (words, lower) {
        var y = HEAD + (lower ? HEADING + survivors * pitch(true) : 0);
        var heading = svg("g", { class: "heading" }, text(0, y + 17, "", "start", words));
        if (lower) heading.append(svg("line", { x1: 0, x2: width, y1: y + 1, y2: y + 1 }));
        return heading;
      }
    );
    chart.append.apply(chart, headings);

    rows = variables.map(function (j) {
      var parts = {
        kl: bar("kl"),
        gain: bar("gain"),
        mu: bar("mu"),
        sigma: bar("sigma"),
        cut: svg("path", { class: "cut", d: "M" + (width - 6) + ",-5l5,5l-5,5z" }),
        losing: svg("path", { class: "losing", d: "M" + (left - 8) + ",-5l-7,5l7,5z" }),
      };
      var ground = svg("rect", { class: "ground", x: 0, y: -BAR / 2 - 2, width: width, height: BAR + 4, rx: 3 });
      parts.group = svg("g", { class: "tug-row" }, ground, text(20, 5, "number", "end", j));
      ["kl", "gain", "mu", "sigma", "cut", "losing"].forEach(function (name) {
        parts.group.append(parts[name]);
      });
      return parts;
    });
    rows.forEach(function (row) {
      chart.append(row.group);
    });
    place();
    show();
  }

  // A bar one pixel long; it is stretched by a transform, which eases without laying out anew.
  function bar(name) {
    return svg("rect", { class: "bar " + name, y: -BAR / 2, width: 1, height: BAR });
  }

  function stretch(rect, from, to) {
    rect.style.transform = "translateX(" + from.toFixed(1) + "px) scaleX(" + (to - from).toFixed(2) + ")";
  }

  function pitch(grouped) {
    return (ROWS - (grouped ? 2 * HEADING : 0)) / variables.length;
  }

  // Put the rows in their order.
  function place() {
    var sequence = sorted ? fate : variables;
    sequence.forEach(function (j, rank) {
      var headed = sorted ? HEADING * (rank < survivors ? 1 : 2) : 0;
      var y = HEAD + headed + (rank + 0.5) * pitch(sorted);
      rows[j].group.style.transform = "translateY(" + y + "px)";
    });
    headings.forEach(function (heading) {
      heading.style.display = sorted ? "" : "none";
    });
  }

  // --- one moment ---------------------------------------------------------------------------------

  function silent(j) {
    return data.kl[moment][j] < SILENT && data.gain[moment][j] < SILENT;
  }

  function losing(j) {
    return !silent(j) && data.gain[moment][j] < data.kl[moment][j];
  }

  function used(j) {
    return data.mu_variance[moment][j] > USED;
  }

  function show() {
    variables.forEach(function (j) {
      var row = rows[j];
      var mu = data.mu_variance[moment][j];
      var sum = mu + data.mean_variance[moment][j];
      stretch(row.kl, rope(0), rope(-data.kl[moment][j]));
      stretch(row.gain, rope(0), rope(Math.max(0, data.gain[moment][j])));
      stretch(row.mu, share(0), share(Math.min(mu, WIDEST)));
      stretch(row.sigma, share(Math.min(mu, WIDEST)), share(Math.min(sum, WIDEST)));
      row.group.classList.toggle("is-cut", sum > WIDEST);
      row.group.classList.toggle("is-losing", losing(j));
      row.group.classList.toggle("is-silent", silent(j));
    });
    if (film.complete) {
      canvases.forEach(function (canvas, at) {
        var ink = canvas.getContext("2d");
        ink.drawImage(film, at * SIDE, moment * SIDE, SIDE, SIDE, 0, 0, SIDE, SIDE);
      });
    }
    say();
  }

  var draw = Explorables.inFrame(show);

  function say() {
    var all = data.kl[moment].reduce(function (sum, kl) {
      return sum + kl;
    });
    var living = variables.filter(used);
    var lost = variables.filter(losing);
    var loss =
      lost.length > 1
        ? lost.length + " cost more than they gain"
        : (lost.length || "none") + " costs more than it gains";
    var words =
      living.length + " of " + variables.length + " variables in use; KL in all " + all.toFixed(1) +
      " nats; " + loss;
    answer.textContent = words + (lost.length ? " ◂" : "");
    chart.setAttribute(
      "aria-label",
      "Minibatch " + data.step[moment] + ": " + words +
        ". In use: " + (living.join(", ") || "none") + ". At a loss: " + (lost.join(", ") || "none") + "."
    );
    status.say(words);
  }

  function go(at) {
    moment = at;
    draw();
  }

  // --- play ---------------------------------------------------------------------------------------

  var timer = null;

  function pause() {
    clearTimeout(timer);
    timer = null;
    button.textContent = "play";
    button.classList.remove("is-playing");
  }

  function tick() {
    if (moment === last) {
      pause();
      return;
    }
    slider.set(moment + 1);
    go(moment + 1);
    timer = setTimeout(tick, Explorables.calm.matches ? 700 : 200);
  }

  function toggle() {
    if (timer !== null) {
      pause();
      return;
    }
    if (moment === last) go(0);
    button.textContent = "pause";
    button.classList.add("is-playing");
    tick();
  }

  film.onload = draw;
  pause();
  layout();
  new ResizeObserver(function () {
    var now = chart.getBoundingClientRect().width;
    if (!now || now === width) return;
    width = now;
    layout();
  }).observe(stage);

  return {
    moments: data.step.length,
    state: function () {
      return {
        moment: moment,
        step: data.step[moment],
        kl: data.kl[moment],
        gain: data.gain[moment],
        mu_variance: data.mu_variance[moment],
        mean_variance: data.mean_variance[moment],
      };
    },
    set: function (to) {
      pause();
      slider.set(to.moment);
      go(to.moment);
    },
  };
});
