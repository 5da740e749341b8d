// The laboratory: a VAE that trains in the page, while the reader turns β, cuts the noise, kills and
// revives. laboratory-presets.js has the experiments, laboratory-bench.js drives the engine, and
// laboratory-charts.js draws.
Explorables.register("laboratory", function (stage, data, remember) {
  "use strict";

  var html = Explorables.html;
  var L = Laboratory;

  var BETAS = [0.02, 800];
  var SWEEP = [-3, -2.25, -1.5, -0.75, 0, 0.75, 1.5, 2.25, 3];
  var SWEPT = 3; // which of the pictures
  var PACES = { slow: 60, normal: 400, fast: Infinity }; // steps a second
  var SPOKEN = 4000; // ms between sentences while it plays
  var CLICKS = ["shows it", "waives its KL", "revives it", "kills it"];

  var home = stage.parentElement.dataset.preset || "one";
  var click = CLICKS[0];
  var selected = null; // none: the one with the largest gain
  var beta = 1;
  var guess = null;
  var told = false; // the outcome has been seen: guesses are closed
  var tally = { made: 0, right: 0 };

  var bench = L.bench(home, PACES.normal, {
    show: show,
    changed: describe,
    acted: remember,
    say: function (words) { status.say(words); },
    note: function (words) { outcome.textContent = words; },
    ended: score,
  });

  // --- what is on the stage -------------------------------------------------------------------------

  var experiments = Explorables.choice({
    label: "experiment",
    values: L.PRESETS.map(function (one) { return one.name; }),
    value: L.find(home).name,
    input: function (name) {
      var found = L.PRESETS.find(function (one) { return one.name === name; });
      another({ preset: found.key, seed: bench.network().seed });
    },
  });
  experiments.group.classList.add("lab-experiments");
  var why = html("p", { class: "lab-why" });
  var question = html("label", { for: "lab-guess-" + home });
  var field = html("input", {
    id: "lab-guess-" + home,
    type: "text",
    inputmode: "numeric",
    autocomplete: "off",
    size: 3,
    input: function () {
      var text = field.value.trim();
      guess = /^\d{1,2}$/.test(text) ? Number(text) : null;
    },
    keydown: function (event) {
      if (event.key === "Enter" && !bench.playing()) bench.play();
    },
  });
  var asking = html("p", { class: "lab-guess" }, html("b", {}, "Guess first. "), question, " ", field);

  var playButton = html("button", { type: "button", class: "tug-play is-main", click: function () { bench.playing() ? bench.pause() : bench.play(); } });
  var controls = html("div", { class: "explorable-controls" },
    Explorables.button("1 step", function () { bench.some(1); }),
    Explorables.button("20 steps", function () { bench.some(20); }),
    Explorables.button("reset", function () {
      bench.restart();
      status.say(bench.preset().name + ", at step 0.");
      remember();
    }),
    Explorables.button("another seed", function () { setting("seed", (bench.network().seed + 1) % 100); })
  );
  var answer = html("p", { class: "explorable-answer lab-answer", "aria-hidden": "true" });
  var outcome = html("p", { class: "lab-outcome", role: "status" });
  var status = Explorables.status();
  status.classList.add("unseen");

  var slider = Explorables.slider({
    label: "β",
    min: -1.7,
    max: 2.9,
    step: 0.05,
    value: 0,
    speak: function () { return "β = " + L.plain(beta); },
    input: function (power) {
      beta = Number(L.plain(Math.max(BETAS[0], Math.min(BETAS[1], Math.pow(10, power)))));
      slider.set(power);
      bench.intervene({ beta: beta });
    },
  });
  slider.row.classList.add("lab-beta");

  var clicks = Explorables.choice({
    label: "a click on a lane",
    values: CLICKS,
    value: click,
    input: function (value) { click = value; },
  });
  var noise = html("input", {
    type: "checkbox",
    change: function () { bench.intervene({ sample: noise.checked }); },
  });
  var noiseRow = html("label", { class: "lab-noise" }, noise, " noise");
  var lanes = L.lanes(pressed);
  var legend = html("p", { class: "lab-legend muted", "aria-hidden": "true" });
  var state = {
    latent: function () { return bench.measured() ? bench.measured().kl.length : bench.network().latent; },
    counted: function () { return L.counted(bench.network()); },
    runs: bench.histories,
    history: function () { return bench.histories().slice(-1)[0] || []; },
    until: function () { return bench.run().until; },
  };
  var trace = L.trace(state);
  var course = L.course(state);
  var originals = L.strip("eight held-out glyphs, and what becomes of them", 8);
  var rebuilt = L.strip("", 8);
  var drawn = L.strip("eight draws from the prior", 8);
  var swept = L.strip("", SWEEP.length);
  var theory = html("table", { class: "lab-theory" });
  var pictures = html("div", { class: "lab-album" },
    html("div", {}, originals.element, rebuilt.element), drawn.element, swept.element);
  rebuilt.caption.remove();
  label(originals, "Eight held-out glyphs");
  label(rebuilt, "The same as reconstructed now");
  label(drawn, "Eight draws from the prior, decoded now");

  function label(strip, words) {
    strip.row.setAttribute("role", "img");
    strip.row.setAttribute("aria-label", words);
  }

  // Anew, with something changed; guesses are open again.
  function another(to) {
    told = false;
    guess = null;
    field.value = "";
    bench.set(to);
    status.say(bench.preset().name + ", at step 0.");
    remember();
  }

  function setting(name, value) {
    another(Object.assign({ preset: bench.preset().key }, bench.network(), { [name]: value }));
  }

  var latents = Explorables.slider({
    label: "latent variables", min: 1, max: 32, step: 1, value: bench.network().latent, speak: String,
    input: function (value) { setting("latent", value); },
  });
  var depths = Explorables.slider({
    label: "hidden layers", min: 0, max: L.DEPTHS, step: 1, value: bench.network().depth, speak: String,
    input: function (value) { setting("depth", value); },
  });
  var bends = Explorables.choice({
    label: "bend", values: L.BENDS, value: bench.network().bend,
    input: function (value) { setting("bend", value); },
  });
  var kinds = Explorables.choice({
    label: "data", values: ["glyphs", "toy"], value: bench.network().data,
    input: function (value) {
      another({ preset: bench.preset().key, data: value, seed: bench.network().seed });
    },
  });
  var paces = Explorables.choice({
    label: "pace", values: Object.keys(PACES), value: "normal",
    input: function (value) { bench.pace(PACES[value]); },
  });
  var machine = html("p", { class: "muted" });
  var settings = html("details", { class: "lab-settings" },
    html("summary", {}, "the network, the data, the pace"),
    latents.row, depths.row, bends.group, kinds.group, paces.group, machine);

  stage.append(
    experiments.group, why, asking,
    html("div", { class: "lab-desk" }, playButton, slider.row, answer),
    controls, outcome, status,
    html("div", { class: "lab-bench" },
      html("div", { class: "lab-left" }, lanes.element, legend,
        html("div", { class: "lab-cuts" }, clicks.group, noiseRow)),
      html("div", { class: "lab-right" }, theory, trace.element, course.element)),
    pictures, settings
  );

  // --- what is said ---------------------------------------------------------------------------------

  // Texts and controls that depend on what is chosen and on whether it plays, not on the training.
  function describe() {
    var preset = bench.preset();
    var network = bench.network();
    var toy = network.data === "toy";
    playButton.textContent = bench.playing() ? "pause" : "play";
    playButton.classList.toggle("is-playing", bench.playing());
    why.textContent = preset.why;
    question.textContent = preset.ask(network);
    field.disabled = told || !!bench.own() || bench.playing() || bench.step() > 0;
    experiments.set(preset.name);
    latents.set(network.latent);
    depths.set(network.depth);
    bends.set(bench.current().bend);
    kinds.set(network.data);
    pictures.hidden = toy;
    theory.hidden = !toy;
    lanes.make(network.latent);
    machine.textContent = toy
      ? "Gaussian data with six eigenvalues, η² = 1; batches of 64, Adam. Alive: Var μ above " + Engine.ACTIVE + "."
      : "14 × 14 pixels, 196-" + L.settings(network).hidden.concat(network.latent).join("-") +
        ", 5,000 glyphs, batches of 64, Adam. Used: a gain above " + Engine.USED + " nats.";
  }

  // At the end of an experiment: the guess, and what came of it.
  function score() {
    var answer = bench.preset().answer(bench.kept(), bench.network());
    var said = bench.preset().tell(bench.kept(), bench.network());
    if (guess !== null && !told) {
      tally.made++;
      if (guess === answer) tally.right++;
      said = "You guessed " + guess + ", and it is " + answer + ". " + L.score(guess, answer) +
        (tally.made > 1 ? " (" + tally.right + " of " + tally.made + " guesses right.)" : "") + " " + said;
    }
    told = true;
    outcome.textContent = said;
  }

  var spoken = 0;
  var spokenCounts = "";

  function show(now) {
    // What is measured moves the controls, unless the reader is moving them.
    if (!bench.busy()) {
      beta = now.beta;
      slider.set(Math.log10(Math.max(BETAS[0], beta)));
      noise.checked = now.sample;
    }
    if (now.step) field.disabled = true;
    draw();
    if (bench.playing() && bench.counts() !== spokenCounts && performance.now() - spoken > SPOKEN) {
      spoken = performance.now();
      spokenCounts = bench.counts();
      status.say(spokenCounts + " at step " + L.thousands(now.step) + ".");
    }
  }

  var draw = Explorables.inFrame(function () {
    var now = bench.measured();
    if (!now) return;
    var run = bench.run();
    var network = bench.network();
    var toy = network.data === "toy";
    var lost = L.overtaken(now).length;
    answer.textContent =
      (run.name ? run.name + ": " : "seed " + network.seed + " · ") + "step " + L.thousands(now.step) +
      (run.until >= now.step ? " of " + L.thousands(run.until) : "") + " · " + bench.counts() +
      (lost ? " · " + lost + (lost > 1 ? " cost" : " costs") + " more than " + (lost > 1 ? "they bring" : "it brings") : "") +
      (now.finite ? "" : " · it has blown up");
    lanes.show(now, variable(), toy ? L.theory(now) : null);
    legend.textContent = [
      lost && "◂ costs more than it brings",
      now.free.length && "0 has no price",
      now.revived.length && "↑ revived",
      now.killed.length && "✕ killed",
      toy && "│ theory",
    ].filter(Boolean).join(" · ");
    trace.redraw();
    course.redraw();
    describeCharts(now);
    if (toy) L.fillTheory(theory, now);
    else if (now.images) {
      originals.paint(now.images, now.pixels);
      rebuilt.paint(now.reconstructions, now.pixels);
      drawn.paint(now.draws, now.pixels);
      sweep();
    }
  });

  function describeCharts(now) {
    trace.element.setAttribute("aria-label", "The way so far through β and the count: now β = " + L.plain(now.beta) + ", " + bench.counts() + ".");
    course.element.setAttribute("aria-label",
      "Over the steps: the count, and −ELBO " + Explorables.fixed(-now.elbo, 1) + " nats, of which reconstruction " +
      Explorables.fixed(-now.likelihood, 1) + " and KL " + Explorables.fixed(now.price, 1) + ".");
  }

  function variable() {
    var measured = bench.measured();
    if (selected !== null && selected < measured.kl.length) return selected;
    return measured.gain.indexOf(Math.max.apply(null, measured.gain));
  }

  // The chosen variable from end to end, around the code of one glyph.
  var sweeping = false;

  function sweep() {
    var now = bench.measured();
    if (sweeping || !now.images) return;
    sweeping = true;
    var latent = now.kl.length;
    var turned = variable();
    var image = now.images.subarray(SWEPT * now.pixels, (SWEPT + 1) * now.pixels);
    bench.encode(image).then(function (code) {
      var codes = new Float32Array(SWEEP.length * latent);
      SWEEP.forEach(function (value, place) {
        codes.set(code.mu.subarray(0, latent), place * latent);
        codes[place * latent + turned] = value;
      });
      return bench.decode(codes);
    }).then(function (pixels) {
      if (pixels.length === SWEEP.length * now.pixels) swept.paint(pixels, now.pixels);
      swept.caption.textContent = "a 3, with variable " + turned + " from −3 to 3: click a lane for another";
      label(swept, "A glyph of a 3 with variable " + turned + " turned from −3 to 3");
      sweeping = false;
      if (bench.measured() && turned !== variable()) sweep();
    }).catch(function () { sweeping = false; });
  }

  // --- what is done ---------------------------------------------------------------------------------

  function pressed(j) {
    if (!bench.measured()) return;
    selected = j;
    if (click === CLICKS[1]) bench.toggle("free", j);
    if (click === CLICKS[2]) bench.revive(j);
    if (click === CLICKS[3]) bench.toggle("killed", j);
    draw();
  }

  describe();
  bench.create();

  return {
    state: bench.state,
    measured: bench.measured,
    playing: bench.playing,
    finished: bench.finished,
    outcome: function () { return outcome.textContent; },
    set: another,
    address: {
      keys: bench.keys,
      write: bench.write,
      read: function (values) { another(bench.read(values)); },
    },
  };
});
