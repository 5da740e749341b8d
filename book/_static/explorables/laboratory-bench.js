// The laboratory's bench: which network is on it, what is done to it at which step, and what was
// measured. It drives the engine and knows nothing of the page, which it tells what happens:
//
//   show(measured)    at each measurement
//   changed()         what is chosen, or whether it plays, is another
//   acted()           the reader has done something that an address should hold
//   say(words)        for those who listen
//   note(words)       what came of it, or why there is no score
//   ended()           the preset is over
Laboratory.bench = function (home, pace, told) {
  "use strict";

  var L = Laboratory;
  var FAR = 20000; // steps after which a run without an end stops
  var ACTS = 300; // as many as an address holds

  var preset = L.find(home);
  var network = L.network(preset, {});
  var at = 0; // which of the preset's runs
  var own = null; // {acts, until}: the reader has taken over, or a link has

  var made = 0; // networks
  var turn = 0; // of whoever asks the engine for something; a later one makes the earlier stop
  var playing = false;
  var starting = true; // what is measured now is of a network that goes
  var creating = null;
  var measured = null;
  var histories = []; // of this run, and before it of one that is over
  var kept = []; // measured at acts and ends, for the preset's words
  var finished = false;

  function run() {
    return own || preset.runs[at];
  }

  // The network of this run.
  function current() {
    var bend = preset.runs[at].bend;
    return bend ? Object.assign({}, network, { bend: bend }) : network;
  }

  function step() {
    return measured ? measured.step : 0;
  }

  function counts() {
    return measured ? L.count(measured, network) + " of " + measured.kl.length + " " + L.counted(network) : "";
  }

  // --- a network ------------------------------------------------------------------------------------

  var engine = Engine.open(function (now) {
    if (!starting) show(now);
  });
  var ready = Explorables.fetchData("engine-glyphs").then(function (packed) {
    return engine.data("glyphs", Engine.glyphs(packed));
  });

  function show(now) {
    measured = now;
    var line = histories[histories.length - 1];
    line.push({
      step: now.step, beta: now.beta, count: L.count(now, network), active: now.active,
      likelihood: now.likelihood, price: now.price, elbo: now.elbo,
    });
    if (line.length > 2000) {
      var thinned = line.filter(function (_, i) { return i % 2 === 0 || i === line.length - 1; });
      histories[histories.length - 1] = Object.assign(thinned, { name: line.name });
    }
    told.show(now);
  }

  // A new network, at step 0.
  function create() {
    creating = begin();
    creating.catch(function (error) {
      told.note("The laboratory could not start: " + error.message);
    });
    return creating;
  }

  async function begin() {
    var mine = ++turn;
    made++;
    starting = true;
    finished = false;
    await ready;
    if (mine !== turn) return;
    var settings = L.settings(current());
    settings.pace = pace;
    settings.interval = Explorables.calm.matches ? 700 : 100;
    run().acts.forEach(function (act) {
      if (act[0] === 0) Object.assign(settings, fitting(act[1]));
    });
    var first = await engine.create(settings);
    if (mine !== turn) return;
    var name = preset.runs.length > 1 && !own ? preset.runs[at].name : "";
    var before = histories.filter(function (one) { return one.length > 1; }).slice(-1);
    histories = before.concat([Object.assign([], { name: name })]);
    starting = false;
    kept[at] = { 0: first };
    show(first);
  }

  // A preset may revive more variables than a reader has left.
  function fitting(changes) {
    var revive = changes.revive;
    if (!revive || !(revive.variables > network.latent)) return changes;
    return Object.assign({}, changes, { revive: Object.assign({}, revive, { variables: network.latent }) });
  }

  // Anew from the first run; with acts of somebody's own, if there are any.
  function restart(theirs) {
    at = 0;
    playing = false;
    measured = null;
    kept = [];
    own = theirs || null;
    told.note(own ? "This link repeats what was done up to step " + L.thousands(own.until) + ". Press play." : "");
    told.changed();
    return create();
  }

  // --- training -------------------------------------------------------------------------------------

  // Where training has to stop next.
  function stop() {
    var ends = run().acts.map(function (act) { return act[0]; }).concat(run().until || []);
    return Math.min.apply(null, ends.filter(function (end) { return end > step(); }).concat(step() + FAR));
  }

  function play() {
    playing = true;
    told.changed();
    told.say("Training, from step " + L.thousands(step()) + ".");
    Promise.all([creating, settled]).then(train);
  }

  async function train() {
    var mine = ++turn;
    while (playing && mine === turn) {
      var end = stop();
      var now = await engine.play({ until: end });
      if (mine !== turn) return;
      if (!now.finite) return pause();
      if (now.step === end && !(await arrive(mine))) return mine === turn && pause();
    }
  }

  // At a step where something is due. False: it is over.
  async function arrive(mine) {
    var here = step();
    var due = run().acts.filter(function (act) { return act[0] === here; });
    var now = measured;
    for (var act of due) {
      now = await engine.set(fitting(act[1]));
      if (mine !== turn) return false;
    }
    if (!own) kept[at][here] = now;
    if (due.length && playing) told.say("Step " + L.thousands(here) + ": " + L.words(due) + ". " + counts() + ".");
    if (here !== run().until) return due.length > 0;
    if (!own && at + 1 < preset.runs.length) {
      at++;
      told.changed();
      await create();
      if (playing) train();
      return true;
    }
    finished = true;
    if (own) told.note("That was all that the link holds. From here it is yours.");
    else told.ended();
    return false;
  }

  // What came of it is being said; nobody should talk at the same time.
  function justEnded() {
    return finished && step() === run().until;
  }

  async function pause() {
    turn++;
    playing = false;
    told.changed();
    told.acted();
    await engine.pause();
    if (!justEnded()) told.say("Paused at step " + L.thousands(step()) + ". " + counts() + ".");
  }

  async function some(steps) {
    if (starting) return;
    var mine = ++turn;
    playing = false;
    told.changed();
    await engine.pause();
    if (mine !== turn) return;
    await engine.step(Math.min(steps, stop() - step()));
    if (mine !== turn) return;
    await arrive(mine);
    if (!justEnded()) told.say("Step " + L.thousands(step()) + ". " + counts() + ".");
    told.acted();
  }

  // --- what the reader does to it -------------------------------------------------------------------

  // It comes at a step that is noted, so that a link can repeat it. Changes that come faster than the
  // engine stops are one.
  var wanted = null;
  var underWay = 0;
  var settled = Promise.resolve();
  var lists = {}; // free and killed, as they will be

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
      if (underWay) return;
      lists = {};
      if (network !== made) return;
      told.show(measured);
      if (playing) train();
      told.acted();
    });
  }

  // Put a variable on a list, or take it off.
  function toggle(name, j) {
    var list = lists[name] || measured[name];
    lists[name] = list.includes(j) ? list.filter(function (each) { return each !== j; }) : list.concat([j]);
    intervene({ [name]: lists[name] });
  }

  function revive(j) {
    var already = wanted && wanted.revive ? wanted.revive.variables : [];
    intervene({ revive: { variables: already.concat([j]), steps: L.REVIVED_FOR } });
    told.say("Variable " + j + " has no price for " + L.REVIVED_FOR + " steps.");
  }

  function takeOver() {
    own = { acts: run().acts.filter(function (act) { return act[0] <= step(); }), until: null };
    if (!finished) {
      told.note("You have taken over, at step " + L.thousands(step()) +
        ". There is no score for that, but a link: the address holds what you do.");
    }
    told.changed();
  }

  // --- what is chosen -------------------------------------------------------------------------------

  // Another preset, or another network; `to` names what is to be set of the preset and its network.
  function set(to) {
    preset = L.find(to.preset || preset.key);
    network = L.network(preset, to);
    histories = [];
    return restart(to.acts ? { acts: to.acts, until: to.until || 0 } : null);
  }

  function state() {
    return Object.assign({ preset: preset.key }, network, { acts: own ? own.acts : null });
  }

  // laboratory=loop, the experiment; lab-acts=800b4,1000k3: at step 800 β = 4, at 1,000 variable 3 dies.
  function write() {
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
  }

  function read(values) {
    var found = L.find(values.get("laboratory") || home);
    var data = values.get("lab-data");
    var base = L.network(found, { data: L.BASES[data] ? data : undefined });
    var whole = function (name, least, most) {
      return Math.round(Explorables.within(values.get("lab-" + name), least, most, base[name] || 0));
    };
    var bend = values.get("lab-bend");
    var latent = whole("latent", 1, 32);
    return {
      preset: found.key,
      data: base.data,
      seed: whole("seed", 0, 99),
      latent: latent,
      depth: whole("depth", 0, L.DEPTHS),
      bend: L.BENDS.includes(bend) ? bend : base.bend,
      acts: L.readActs(values.get("lab-acts"), latent),
      until: whole("steps", 0, 1e6),
    };
  }

  return {
    preset: function () { return preset; },
    network: function () { return network; },
    current: current,
    run: run,
    own: function () { return own; },
    playing: function () { return playing; },
    finished: function () { return finished; },
    busy: function () { return underWay > 0; },
    measured: function () { return measured; },
    histories: function () { return histories; },
    kept: function () { return kept; },
    step: step,
    counts: counts,
    create: create,
    restart: restart,
    set: set,
    play: play,
    pause: pause,
    some: some,
    intervene: intervene,
    toggle: toggle,
    revive: revive,
    pace: function (value) {
      pace = value;
      if (!starting) engine.set({ pace: pace });
    },
    encode: engine.encode,
    decode: engine.decode,
    state: state,
    keys: ["laboratory", "lab-seed", "lab-latent", "lab-depth", "lab-bend", "lab-data", "lab-acts", "lab-steps"],
    write: write,
    read: read,
  };
};
