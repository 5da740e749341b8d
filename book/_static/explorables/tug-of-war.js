// The tug of war: what each variable brings against what it costs, at each moment of training.
Explorables.register("tug-of-war", function (stage, data, remember) {
  "use strict";

  var html = Explorables.html;
  var svg = Explorables.svg;

  var USED = 0.05; // Var mu of a variable in use, as in the introduction
  var SILENT = 0.05; // nats: the gain is measured with noise, so less than this says nothing
  var ENDS = [-5, 70]; // nats
  var SIDE = 28;
  var EPOCHS = [0, 1, 5, 10, 15, 20]; // marked under the slider
  var FIRST_EPOCH = data.step.indexOf(data.steps_per_epoch);

  var ROWS = 432; // so that a row is never lower than a finger wants, 24 px
  var HEADING = 24; // above those that live, and above those that die

  var last = data.step.length - 1;
  var variables = data.kl[0].map(function (_, j) {
    return j;
  });
  var fate = variables.slice().sort(function (a, b) {
    return data.mu_variance[last][b] - data.mu_variance[last][a];
  });
  var survivors = variables.filter(lives).length;

  var moment = FIRST_EPOCH;
  var sorted = false; // by what becomes of them; that would give the answer away at first
  var bets = variables.map(function () {
    return false;
  });
  var looked = []; // rows that a link of the text points at
  var seen = false; // whether the reader has seen what becomes of them; then bets are closed

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
      remember();
    },
  });
  // Moments are close together at first, where much happens: so the epochs are marked.
  var epochs = html("div", { class: "tug-epochs muted", "aria-hidden": "true" });
  EPOCHS.forEach(function (epoch) {
    var at = data.step.indexOf(epoch * data.steps_per_epoch) / last;
    epochs.append(html("span", { style: "--at: " + at }, epoch));
  });
  slider.row.append(epochs, html("span", { class: "tug-unit muted", "aria-hidden": "true" }, "epochs"));
  var button = html("button", { type: "button", class: "tug-play", click: toggle });
  var order = Explorables.choice({
    label: "order",
    values: ["by number", "survivors first"],
    value: "by number",
    input: function (value) {
      sort(value !== "by number");
      remember();
    },
  });
  var ticks = variables.map(function (j) {
    var tick = html("input", {
      type: "checkbox",
      "aria-label": "variable " + j + " will live",
      change: function () {
        bets[j] = tick.checked;
        score();
        remember();
      },
    });
    return tick;
  });
  var labels = ticks.map(function (tick, j) {
    return html("label", { class: "tug-bet" }, tick, html("span", {}, String(j)));
  });
  var field = html("fieldset", { class: "tug-field" }, html("legend", { class: "unseen" }, "your bet"));
  var verdict = html("span", { role: "status" });
  var again = Explorables.button("bet again", function () {
    pause();
    seen = false;
    bets.fill(false);
    order.set("by number");
    sorted = false;
    place();
    slider.set(FIRST_EPOCH);
    go(FIRST_EPOCH);
    remember();
  });
  var chart = svg("svg", { class: "tug-chart", role: "img" });
  var ropes = Explorables.ropes(chart, ENDS);
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
    field,
    html("p", { class: "tug-score" }, verdict, again),
    answer,
    html("p", { class: "tug-caption muted", "aria-hidden": "true" }, "ten test digits as they are drawn now"),
    digits,
    status
  );

  field.append(chart);
  field.append.apply(field, labels);

  var film = new Image();
  film.src = "data:image/png;base64," + data.film;

  // --- the chart ----------------------------------------------------------------------------------

  var width = 640;
  var rows = []; // per variable: its group and what moves in it
  var headings = [];

  // Everything whose place depends on the width alone.
  function layout() {
    ropes.layout(width, Math.max(88, Math.min(170, 0.25 * width)), ROWS);
    chart.append(Explorables.text(0, 16, "tick", "start", "who lives?"));

    headings = [0, 1].map(function (lower) {
      var y = Explorables.HEAD + (lower ? HEADING + survivors * pitch(true) : 0);
      var heading = svg("g", { class: "heading" }, Explorables.text(0, y + 17, "", "start", ""));
      if (lower) heading.append(svg("line", { x1: 0, x2: width, y1: y + 1, y2: y + 1 }));
      return heading;
    });
    chart.append.apply(chart, headings);

    rows = variables.map(ropes.row);
    rows.forEach(function (row) {
      chart.append(row.group);
    });
    place();
    show();
  }

  function pitch(grouped) {
    return (ROWS - (grouped ? 2 * HEADING : 0)) / variables.length;
  }

  function sort(byFate) {
    sorted = byFate;
    place();
    score();
  }

  // Put the rows in their order.
  function place() {
    var sequence = sorted ? fate : variables;
    sequence.forEach(function (j, rank) {
      var headed = sorted ? HEADING * (rank < survivors ? 1 : 2) : 0;
      var y = Explorables.HEAD + headed + (rank + 0.5) * pitch(sorted);
      ropes.place(rows[j], y, width);
      labels[j].style.transform = "translateY(" + y + "px)";
      if (sequence === fate) field.append(labels[j]); // for those who go by the keyboard
    });
    if (sequence === variables) field.append.apply(field, labels);
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
      labels[j].classList.toggle("is-looked", looked.indexOf(j) >= 0);
      ropes.pull(row, data.kl[moment][j], data.gain[moment][j], data.mu_variance[moment][j], data.mean_variance[moment][j]);
      row.group.classList.toggle("is-losing", losing(j));
      row.group.classList.toggle("is-silent", silent(j));
    });
    headings.forEach(function (heading, lower) {
      var words = (moment === last ? ["alive: ", "dead: "] : ["will live: ", "will die: "])[lower];
      heading.firstChild.textContent = words + (lower ? variables.length - survivors : survivors);
    });
    if (film.complete) {
      canvases.forEach(function (canvas, at) {
        var ink = canvas.getContext("2d");
        ink.drawImage(film, at * SIDE, moment * SIDE, SIDE, SIDE, 0, 0, SIDE, SIDE);
      });
    }
    say();
    score();
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
    var near = looked.map(function (j) {
      var measured = [data.gain[moment][j], data.kl[moment][j]].map(function (nats) {
        return Explorables.fixed(nats, 2);
      });
      return "; variable " + j + " brings " + measured[0] + " nats and costs " + measured[1];
    });
    answer.textContent = words + (lost.length ? " ◂" : "") + near.join("");
    chart.setAttribute(
      "aria-label",
      "Minibatch " + data.step[moment] + ": " + words +
        ". In use: " + (living.join(", ") || "none") + ". At a loss: " + (lost.join(", ") || "none") + "."
    );
    status.say(words + near.join(""));
  }

  // Before the end: how many bets there are. Afterwards: what came of them.
  function score() {
    seen = seen || moment === last || sorted;
    var chosen = placed();
    var right = chosen.filter(lives);
    var missed = variables.filter(function (j) {
      return lives(j) && !bets[j];
    });
    var words = chosen.length
      ? chosen.length + " of " + variables.length + " bets placed. Now play."
      : "Bet: choose the rows of the variables that will live.";
    if (seen && chosen.length) {
      var blind = (chosen.length * survivors) / variables.length;
      words = "You bet on " + chosen.length + ", and " + (right.length || "none") + " of them lived";
      words += " (by chance " + blind.toFixed(1) + ").";
      words += missed.length
        ? " You did not see " + missed.length + " of the " + survivors + " survivors: " + missed.join(", ") + "."
        : " You saw all " + survivors + " survivors.";
    } else if (seen) {
      words = survivors + " live. Nobody had bet.";
    }
    if (verdict.textContent !== words) verdict.textContent = words;
    again.hidden = !seen;
    ticks.forEach(function (tick, j) {
      tick.checked = bets[j];
      tick.disabled = seen;
      labels[j].classList.toggle("is-right", seen && bets[j] && lives(j));
    });
  }

  function lives(j) {
    return data.mu_variance[last][j] > USED;
  }

  function go(at, rows) {
    moment = at;
    looked = rows || [];
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

  function stop() {
    pause();
    remember();
  }

  function tick() {
    if (moment === last) {
      stop();
      return;
    }
    slider.set(moment + 1);
    go(moment + 1);
    timer = setTimeout(tick, Explorables.calm.matches ? 700 : 200);
  }

  function toggle() {
    if (timer !== null) {
      stop();
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

  function set(to) {
    pause();
    if (to.moment !== undefined) {
      slider.set(to.moment);
      go(to.moment, to.looked);
    }
    if (to.bets !== undefined) {
      bets = variables.map(function (j) {
        return to.bets.indexOf(j) >= 0;
      });
    }
    if (to.seen !== undefined) seen = to.seen;
    if (to.sorted !== undefined) {
      order.set(to.sorted ? "survivors first" : "by number");
      sort(to.sorted);
    }
  }

  function placed() {
    return variables.filter(function (j) {
      return bets[j];
    });
  }

  // The moment whose minibatch is nearest.
  function momentOf(step) {
    var apart = data.step.map(function (each) {
      return Math.abs(each - step);
    });
    return apart.indexOf(Math.min.apply(null, apart));
  }

  return {
    moments: data.step.length,
    state: function () {
      return {
        moment: moment,
        sorted: sorted,
        bets: placed(),
        seen: seen,
        looked: looked,
        step: data.step[moment],
        kl: data.kl[moment],
        gain: data.gain[moment],
        mu_variance: data.mu_variance[moment],
        mean_variance: data.mean_variance[moment],
      };
    },
    survivors: variables.filter(lives),
    set: set,
    address: {
      // batch=1407, the minibatch; order=fate; bet=1,3,7; look=11, rows to be pointed at, which only
      // a link says
      keys: ["batch", "order", "bet", "look"],
      write: function () {
        return {
          batch: moment === FIRST_EPOCH ? null : String(data.step[moment]),
          order: sorted ? "fate" : null,
          bet: placed().join(",") || null,
          look: null,
        };
      },
      read: function (values) {
        var step = Explorables.within(values.get("batch"), 0, data.step[last], data.step[FIRST_EPOCH]);
        set({
          bets: Explorables.members(values.get("bet"), variables.length),
          sorted: values.get("order") === "fate",
          moment: momentOf(step),
          looked: Explorables.members(values.get("look"), variables.length),
        });
      },
    },
  };
});
