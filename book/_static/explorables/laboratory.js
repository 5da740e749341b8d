// The laboratory: a VAE that trains in the page, while the reader turns β, cuts the noise, kills and
// revives. laboratory-presets.js has the experiments, laboratory-charts.js the pictures.
Explorables.register("laboratory", function (stage, data, remember) {
  "use strict";

  var html = Explorables.html;
  var L = Laboratory;

  var BETAS = [0.02, 800];
  var SWEEP = [-3, -2.25, -1.5, -0.75, 0, 0.75, 1.5, 2.25, 3];
  var SWEPT = 3; // which of the pictures
  var FAR = 20000; // steps after which a run without an end stops
  var ACTS = 300; // as many as an address holds
  var PACES = { slow: 60, normal: 400, fast: Infinity }; // steps a second
  var SPOKEN = 4000; // ms between sentences while it plays
  var CLICKS = ["shows it", "waives its KL", "revives it", "kills it"];

  var home = stage.parentElement.dataset.preset || "one";

  // --- what the reader has chosen -------------------------------------------------------------------

  var preset = L.find(home);
  var network = L.network(preset, {});
  var at = 0; // which of the preset's runs
  var own = null; // {acts, until}: the reader has taken over
  var click = CLICKS[0];
  var selected = 0;
  var pace = "normal";
  var guess = null;
  var told = false; // the outcome has been seen: guesses are closed
  var tally = { made: 0, right: 0 };

  // --- what has happened ----------------------------------------------------------------------------

  var made = 0; // networks
  var turn = 0; // of whoever asks the engine for something; a later one makes the earlier stop
  var playing = false;
  var measured = null;
  var beta = 1;
  var histories = []; // of this run, and before it of one that is over
  var kept = []; // measured at acts and ends, for the preset's words
  var finished = false;

  function run() {
    return own || preset.runs[at];
  }

  function history() {
    return histories[histories.length - 1] || [];
  }

  // The network of the run that is next.
  function current() {
    var bend = preset.runs[at].bend;
    return bend ? Object.assign({}, network, { bend: bend }) : network;
  }

  function acts() {
    return run().acts;
  }

  function step() {
    return measured ? measured.step : 0;
  }

  // --- the engine -----------------------------------------------------------------------------------

  var engine = Engine.open(function (now) {
    if (starting) return;
    show(now);
  });
  var starting = true; // what is measured now is of a network that goes
  var ready = Explorables.fetchData("engine-glyphs").then(function (packed) {
    return engine.data("glyphs", Engine.glyphs(packed));
  });

  // A new network, at step 0.
  async function create() {
    var mine = ++turn;
    made++;
    starting = true;
    finished = false;
    await ready;
    if (mine !== turn) return;
    var settings = L.settings(current());
    settings.pace = PACES[pace];
    settings.interval = Explorables.calm.matches ? 700 : 100;
    acts().forEach(function (act) {
      if (act[0] === 0) Object.assign(settings, act[1]);
    });
    var reply = engine.create(settings);
    var name = preset.runs.length > 1 && !own ? preset.runs[at].name : "";
    var before = histories.filter(function (one) { return one.length > 1; }).slice(-1);
    histories = before.concat([Object.assign([], { name: name })]);
    var first = await reply;
    if (mine !== turn) return;
    starting = false;
    kept[at] = {};
    kept[at][0] = first;
    show(first);
  }

  // Anew from the first run.
  function restart() {
    at = 0;
    playing = false;
    measured = null;
    press();
    own = null;
    kept = [];
    outcome.textContent = "";
    describe();
    status.say(preset.name + ", at step 0.");
    return create();
  }

  function stops() {
    var ends = acts().map(function (act) { return act[0]; }).concat(run().until || []);
    return Math.min.apply(null, ends.filter(function (end) { return end > step(); }).concat(step() + FAR));
  }

  function play() {
    playing = true;
    press();
    closeGuess();
    status.say("Training, from step " + step() + ".");
    settled.then(train);
  }

  async function train() {
    var mine = ++turn;
    while (playing && mine === turn) {
      var end = stops();
      var now = await engine.play({ until: end });
      if (mine !== turn) return;
      if (!now.finite) return pause();
      if (now.step === end && !(await arrive(mine))) return mine === turn && pause();
    }
  }

  // At a step where something is due. False: it is over.
  async function arrive(mine) {
    var here = step();
    var due = acts().filter(function (act) { return act[0] === here; });
    var now = measured;
    for (var act of due) {
      now = await engine.set(act[1]);
      if (mine !== turn) return false;
    }
    if (!own) kept[at][here] = now;
    if (due.length && playing) status.say("Step " + L.thousands(here) + ": " + words(due) + ". " + counts() + ".");
    if (here !== run().until) return due.length > 0;
    if (!own && at + 1 < preset.runs.length) {
      at++;
      await create();
      if (playing) train();
      return true;
    }
    finish();
    return false;
  }

  function pause() {
    turn++;
    playing = false;
    press();
    remember();
    return engine.pause().then(function () {
      if (!outcome.textContent) status.say("Paused at step " + step() + ". " + counts() + ".");
    });
  }

  async function some(steps) {
    if (starting) return;
    var mine = ++turn;
    playing = false;
    press();
    closeGuess();
    await engine.pause();
    if (mine !== turn) return;
    var end = Math.min(step() + steps, stops());
    await engine.step(end - step());
    if (mine !== turn) return;
    await arrive(mine);
    if (!outcome.textContent) status.say("Step " + step() + ". " + counts() + ".");
    remember();
  }

  // What the reader changes comes at a step that is noted, so that a link can repeat it. Changes that
  // come faster than the engine stops are one.
  var wanted = null;
  var underWay = 0;
  var settled = Promise.resolve();

  function intervene(changes) {
    if (starting) return;
    if (wanted) {
      Object.assign(wanted, changes);
      return;
    }
    wanted = Object.assign({}, changes);
    turn++;
    underWay++;
    var network = made;
    settled = settled.then(engine.pause).then(function (now) {
      var asked = wanted;
      wanted = null;
      if (network !== made) return; // it has gone
      if (!own) takeOver();
      own.acts = own.acts.filter(function (act) { return act[0] <= now.step; });
      own.until = null;
      own.acts.push([now.step, asked]);
      return engine.set(asked);
    }).then(function () {
      underWay--;
      if (network !== made || underWay) return;
      controlsFrom(measured);
      if (playing) train();
      remember();
    });
  }

  // What is measured moves the controls, unless the reader is moving them.
  function controlsFrom(now) {
    beta = now.beta;
    slider.set(Math.log10(Math.max(BETAS[0], beta)));
    noise.checked = now.sample;
  }

  function takeOver() {
    own = { acts: acts().filter(function (act) { return act[0] <= step(); }), until: null };
    if (!finished) outcome.textContent = "You have taken over, at step " + L.thousands(step()) + ". There is no score for that, but a link: the address holds what you do.";
    describe();
  }

  function finish() {
    finished = true;
    if (own) {
      outcome.textContent = "";
      return;
    }
    var answer = preset.answer(kept, network);
    var said = preset.tell(kept, network);
    if (guess !== null && !told) {
      tally.made++;
      if (guess === answer) tally.right++;
      said = "You guessed " + guess + ", and it is " + answer + ". " + L.score(guess, answer) +
        (tally.made > 1 ? " (" + tally.right + " of " + tally.made + " guesses right.)" : "") + " " + said;
    }
    told = true;
    outcome.textContent = said;
    closeGuess();
  }

  // --- what is on the stage -------------------------------------------------------------------------

  var experiments = Explorables.choice({
    label: "experiment",
    values: L.PRESETS.map(function (one) { return one.name; }),
    value: preset.name,
    input: function (name) {
      choose(L.PRESETS.find(function (one) { return one.name === name; }));
      remember();
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
      if (event.key === "Enter" && !playing) play();
    },
  });
  var asking = html("p", { class: "lab-guess" }, html("b", {}, "Guess first. "), question, " ", field);

  var playButton = html("button", { type: "button", class: "tug-play is-main", click: function () { playing ? pause() : play(); } });
  var seedButton = Explorables.button("another seed", function () {
    network.seed = (network.seed + 1) % 100;
    anew();
  });
  var controls = html("div", { class: "explorable-controls" },
    playButton,
    Explorables.button("1 step", function () { some(1); }),
    Explorables.button("20 steps", function () { some(20); }),
    Explorables.button("reset", function () { restart(); remember(); }),
    seedButton
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
    speak: function () { return "β = " + plain(beta); },
    input: function (power) {
      beta = two(Math.max(BETAS[0], Math.min(BETAS[1], Math.pow(10, power))));
      slider.set(power);
      intervene({ beta: beta });
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
    change: function () { intervene({ sample: noise.checked }); },
  });
  var noiseRow = html("label", { class: "lab-noise" }, noise, " noise");
  var lanes = L.lanes(pressed);
  var legend = html("p", { class: "lab-legend muted", "aria-hidden": "true" });
  var state = {
    latent: function () { return measured ? measured.kl.length : network.latent; },
    counted: function () { return L.counted(network); },
    runs: function () { return histories; },
    history: history,
    until: function () { return run().until; },
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

  function setting(name, value) {
    network[name] = value;
    anew();
  }

  var latents = Explorables.slider({
    label: "latent variables", min: 1, max: 32, step: 1, value: network.latent, speak: String,
    input: function (value) { setting("latent", value); },
  });
  var depths = Explorables.slider({
    label: "hidden layers", min: 0, max: L.DEPTHS, step: 1, value: network.depth, speak: String,
    input: function (value) { setting("depth", value); },
  });
  var bends = Explorables.choice({
    label: "bend", values: L.BENDS, value: network.bend,
    input: function (value) { setting("bend", value); },
  });
  var kinds = Explorables.choice({
    label: "data", values: ["glyphs", "toy"], value: network.data,
    input: function (value) {
      network = L.network({ network: L.BASES[value] }, { seed: network.seed });
      anew();
    },
  });
  var paces = Explorables.choice({
    label: "pace", values: Object.keys(PACES), value: pace,
    input: function (value) {
      pace = value;
      ready.then(function () { if (!starting) engine.set({ pace: PACES[pace] }); });
    },
  });
  var machine = html("p", { class: "muted" });
  var settings = html("details", { class: "lab-settings" },
    html("summary", {}, "the network, the data, the pace"),
    latents.row, depths.row, bends.group, kinds.group, paces.group, machine);

  stage.append(
    experiments.group, why, asking, controls, slider.row, answer, outcome, status,
    html("div", { class: "lab-bench" },
      html("div", { class: "lab-left" }, lanes.element, legend,
        html("div", { class: "lab-cuts" }, clicks.group, noiseRow)),
      html("div", { class: "lab-right" }, theory, trace.element, course.element)),
    pictures, settings
  );

  // --- what is said ---------------------------------------------------------------------------------

  function two(value) {
    return Number(value.toPrecision(2));
  }

  function plain(value) {
    return String(value >= 100 ? Math.round(value) : two(value));
  }

  function counts() {
    if (!measured) return "";
    return L.count(measured, network) + " of " + measured.kl.length + " " + L.counted(network);
  }

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

  function press() {
    playButton.textContent = playing ? "pause" : "play";
    playButton.classList.toggle("is-playing", playing);
  }

  // Texts and controls that depend on what is chosen, not on the training.
  function describe() {
    why.textContent = preset.why;
    question.textContent = preset.ask(network);
    asking.hidden = !!own;
    field.disabled = told || step() > 0;
    experiments.set(preset.name);
    latents.set(network.latent);
    depths.set(network.depth);
    bends.set(current().bend);
    kinds.set(network.data);
    var toy = network.data === "toy";
    pictures.hidden = toy;
    theory.hidden = !toy;
    machine.textContent = toy
      ? "Gaussian data with six eigenvalues, η² = 1; batches of 64, Adam."
      : "14 × 14 pixels, 196-" + L.settings(current()).hidden.concat(network.latent).join("-") +
        ", 5,000 glyphs, batches of 64, Adam. Used: a gain above " + Engine.USED + " nats.";
  }

  function closeGuess() {
    field.disabled = true;
  }

  function openGuess() {
    told = false;
    guess = null;
    field.value = "";
    field.disabled = false;
  }

  var spoken = 0;
  var spokenCount = -1;

  function show(now) {
    measured = now;
    if (!underWay) controlsFrom(now);
    var count = L.count(now, network);
    var line = history();
    line.push({
      step: now.step, beta: now.beta, count: count, active: now.active,
      likelihood: now.likelihood, price: now.price, elbo: now.elbo,
    });
    if (line.length > 2000) {
      histories[histories.length - 1] = Object.assign(
        line.filter(function (_, i) { return i % 2 === 0 || i === line.length - 1; }), { name: line.name });
    }
    draw();
    if (playing && count !== spokenCount && performance.now() - spoken > SPOKEN) {
      spoken = performance.now();
      spokenCount = count;
      status.say(counts() + " at step " + now.step + ".");
    }
  }

  var draw = Explorables.inFrame(function () {
    if (!measured) return;
    var now = measured;
    var toy = network.data === "toy";
    var lost = L.overtaken(now).length;
    answer.textContent =
      (run().name ? run().name + ": " : "seed " + network.seed + " · ") + "step " + L.thousands(now.step) +
      (run().until ? " of " + L.thousands(run().until) : "") + " · " + counts() +
      (lost ? " · " + lost + (lost > 1 ? " cost" : " costs") + " more than " + (lost > 1 ? "they bring" : "it brings") : "") +
      (now.finite ? "" : " · it has blown up");
    lanes.show(now, selected, toy ? L.theory(now) : null);
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
    trace.element.setAttribute("aria-label", "The way so far through β and the count: now β = " + plain(now.beta) + ", " + counts() + ".");
    course.element.setAttribute("aria-label",
      "Over the steps: the count, and −ELBO " + Explorables.fixed(-now.elbo, 1) + " nats, of which reconstruction " +
      Explorables.fixed(-now.likelihood, 1) + " and KL " + Explorables.fixed(now.price, 1) + ".");
  }

  // The chosen variable from end to end, around the code of one glyph.
  var sweeping = false;

  function sweep() {
    if (sweeping || !measured.images) return;
    sweeping = true;
    var now = measured;
    var latent = now.kl.length;
    var variable = Math.min(selected, latent - 1);
    var image = now.images.subarray(SWEPT * now.pixels, (SWEPT + 1) * now.pixels);
    engine.encode(image).then(function (code) {
      var codes = new Float32Array(SWEEP.length * latent);
      SWEEP.forEach(function (value, place) {
        codes.set(code.mu.subarray(0, latent), place * latent);
        codes[place * latent + variable] = value;
      });
      return engine.decode(codes);
    }).then(function (pixels) {
      if (pixels.length === SWEEP.length * now.pixels) swept.paint(pixels, now.pixels);
      swept.caption.textContent = "a 3, with variable " + variable + " from −3 to 3: click a lane for another";
      label(swept, "A glyph of a 3 with variable " + variable + " turned from −3 to 3");
      sweeping = false;
      if (variable !== selected) sweep();
    }).catch(function () { sweeping = false; });
  }

  // --- what is done ---------------------------------------------------------------------------------

  function toggled(list, j) {
    return list.includes(j) ? list.filter(function (each) { return each !== j; }) : list.concat([j]);
  }

  function pressed(j) {
    if (!measured) return;
    selected = j;
    if (click === CLICKS[1]) intervene({ free: toggled(measured.free, j) });
    if (click === CLICKS[2]) {
      intervene({ revive: { variables: [j], steps: L.REVIVED_FOR } });
      status.say("Variable " + j + " has no price for " + L.REVIVED_FOR + " steps.");
    }
    if (click === CLICKS[3]) intervene({ killed: toggled(measured.killed, j) });
    draw();
  }

  function choose(one) {
    preset = one;
    network = L.network(preset, { seed: network.seed });
    histories = [];
    openGuess();
    restart();
  }

  // The network has been changed.
  function anew() {
    histories = [];
    openGuess();
    restart();
    remember();
  }

  press();
  describe();
  create().catch(function (error) {
    answer.textContent = "The laboratory could not start: " + error.message;
  });

  // Only what is chosen; `measured` is what the engine says.
  function chosen() {
    return {
      preset: preset.key,
      seed: network.seed,
      latent: network.latent,
      depth: network.depth,
      bend: network.bend,
      data: network.data,
      acts: own ? own.acts : null,
    };
  }

  // Everything that `chosen` names, at step 0; acts that were the reader's come again.
  function set(to) {
    preset = L.find(to.preset || preset.key);
    network = L.network(preset, to);
    histories = [];
    openGuess();
    restart();
    if (to.acts) {
      own = { acts: to.acts, until: to.until || null };
      describe();
      create();
    }
  }

  return {
    state: chosen,
    measured: function () { return measured; },
    playing: function () { return playing; },
    finished: function () { return finished; },
    kept: function () { return kept; },
    outcome: function () { return outcome.textContent; },
    set: set,
    intervene: intervene,
    address: {
      // laboratory=loop, the experiment; lab-acts=800b4,1000k3: at step 800 β = 4, at 1,000 variable 3 dies
      keys: ["laboratory", "lab-seed", "lab-latent", "lab-depth", "lab-bend", "lab-data", "lab-acts", "lab-steps"],
      write: function () {
        var base = L.network(preset, {});
        var written = {};
        ["seed", "latent", "depth", "bend", "data"].forEach(function (name) {
          written["lab-" + name] = network[name] === base[name] ? null : String(network[name]);
        });
        var acted = own && own.acts.length <= ACTS;
        written["lab-acts"] = acted ? L.writeActs(own.acts) : null;
        written["lab-steps"] = acted ? String(Math.max(step(), own.until || 0)) : null;
        var any = preset.key !== home || Object.values(written).some(Boolean);
        written.laboratory = any ? preset.key : null;
        return written;
      },
      read: function (values) {
        var found = L.find(values.get("laboratory") || home);
        var base = L.network(found, { data: L.BASES[values.get("lab-data")] && values.get("lab-data") });
        var whole = function (name, least, most) {
          return Math.round(Explorables.within(values.get("lab-" + name), least, most, base[name]));
        };
        var bend = values.get("lab-bend");
        var latent = whole("latent", 1, 32);
        set({
          preset: found.key,
          data: base.data,
          seed: whole("seed", 0, 99),
          latent: latent,
          depth: whole("depth", 0, L.DEPTHS),
          bend: L.BENDS.includes(bend) ? bend : base.bend,
          acts: L.readActs(values.get("lab-acts"), latent),
          until: whole("steps", 0, 1e6),
        });
      },
    },
  };
});
