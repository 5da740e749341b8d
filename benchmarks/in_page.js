// The same VAE, trained by the laboratory's engine and by what one would take instead.
//
// 196-64-32-16 on glyphs, Bernoulli, batch 128, Adam with a rate of 0.003. Each contestant is
// {step(batch), loss()}: without a batch it draws images and noise itself, as in a training of its
// own; with {indices, noise} it takes those, and `loss` gives the mean loss of that step.
var Bench = (function () {
  "use strict";

  var BATCH = 128, PIXELS = 196, LATENT = 16, RATE = 0.003;
  var sets = {};

  async function load() {
    sets.glyphs = Engine.glyphs(await Explorables.fetchData("engine-glyphs"));
  }

  // Images, noise and losses of some steps of ours, and the weights before them.
  function reference(steps) {
    var network = Engine.network({ batch: BATCH, plain: true }, sets), batches = [];
    var weights = network.weights();
    for (var i = 0; i < steps; i++) {
      network.step();
      batches.push({ indices: network.batch().indices, noise: network.batch().noise, loss: network.loss() });
    }
    return { weights: weights, batches: batches };
  }

  function ours(plain) {
    var network = Engine.network({ batch: BATCH, plain: plain }, sets);
    return {
      name: network.backend,
      // It draws by its seed what the reference drew.
      step: async function () { network.step(); },
      loss: async function () { return network.loss(); },
    };
  }

  function drawn() {
    return Uint32Array.from({ length: BATCH }, function () { return Math.floor(5000 * Math.random()); });
  }

  // --- TensorFlow.js, as its own examples would write it ---------------------------------------------

  async function tensorflow(backend, weights, folder) {
    if (backend === "wasm") tf.wasm.setWasmPaths(folder);
    if (!(await tf.setBackend(backend))) throw new Error(backend + " does not run here");
    await tf.ready();
    var train = tf.tensor2d(Float32Array.from(sets.glyphs.train, function (level) { return level / 15; }),
      [5000, PIXELS]);
    var layers = weights.map(function (one) {
      return {
        weight: tf.variable(tf.tensor2d(one.weight, [one.inputs, one.outputs])),
        bias: tf.variable(tf.tensor1d(one.bias)),
      };
    });
    var adam = tf.train.adam(RATE, 0.9, 0.999, 1e-8), last;
    function dense(x, layer) { return x.matMul(layer.weight).add(layer.bias); }
    function lossOf(x, noise) {
      var inside = dense(dense(x, layers[0]).relu(), layers[1]).relu();
      var mu = dense(inside, layers[2]), logvar = dense(inside, layers[3]);
      var z = mu.add(logvar.mul(0.5).exp().mul(noise));
      var logits = dense(dense(dense(z, layers[4]).relu(), layers[5]).relu(), layers[6]);
      var entropy = logits.relu().sub(logits.mul(x)).add(logits.abs().neg().exp().log1p()).sum(1);
      var kl = mu.square().add(logvar.exp()).sub(logvar).sub(1).sum(1).mul(0.5);
      return entropy.add(kl).mean();
    }
    return {
      step: async function (batch, sync) {
        var value = tf.tidy(function () {
          var indices = tf.tensor1d(Int32Array.from(batch ? batch.indices : drawn()), "int32");
          var x = train.gather(indices);
          var noise = batch ? tf.tensor2d(batch.noise, [BATCH, LATENT]) : tf.randomNormal([BATCH, LATENT]);
          return adam.minimize(function () { return lossOf(x, noise); }, true);
        });
        if (batch || sync) last = (await value.data())[0];
        value.dispose();
      },
      loss: async function () { return last; },
    };
  }

  // --- image by image, as ConvNetJS does it -----------------------------------------------------------

  function convnet(weights) {
    var layers = weights.map(function (one) {
      var filters = [];
      for (var j = 0; j < one.outputs; j++) {
        var w = new Float64Array(one.inputs);
        for (var i = 0; i < one.inputs; i++) w[i] = one.weight[i * one.outputs + j];
        filters.push(vol(w));
      }
      return { filters: filters, biases: vol(Float64Array.from(one.bias)) };
    });
    var steps = 0, last = 0;
    layers.forEach(function (layer) {
      layer.filters.concat(layer.biases).forEach(function (one) {
        one.first = new Float64Array(one.w.length);
        one.second = new Float64Array(one.w.length);
      });
    });

    function vol(w) {
      return { w: w, dw: new Float64Array(w.length) };
    }
    function dense(layer, x, relu) {
      var y = vol(new Float64Array(layer.filters.length));
      for (var i = 0; i < y.w.length; i++) {
        var sum = layer.biases.w[i], w = layer.filters[i].w;
        for (var d = 0; d < x.w.length; d++) sum += x.w[d] * w[d];
        y.w[i] = relu && sum < 0 ? 0 : sum;
      }
      return y;
    }
    function back(layer, x, y, relu) {
      for (var i = 0; i < y.w.length; i++) {
        var chain = relu && y.w[i] <= 0 ? 0 : y.dw[i], filter = layer.filters[i];
        for (var d = 0; d < x.w.length; d++) {
          x.dw[d] += filter.w[d] * chain;
          filter.dw[d] += x.w[d] * chain;
        }
        layer.biases.dw[i] += chain;
      }
    }
    function image(number, noise) {
      var x = vol(new Float64Array(PIXELS)), z = vol(new Float64Array(LATENT)), loss = 0;
      for (var i = 0; i < PIXELS; i++) x.w[i] = sets.glyphs.train[number * PIXELS + i] / 15;
      var a = dense(layers[0], x, true), b = dense(layers[1], a, true);
      var mu = dense(layers[2], b, false), logvar = dense(layers[3], b, false);
      for (var j = 0; j < LATENT; j++) z.w[j] = mu.w[j] + Math.exp(0.5 * logvar.w[j]) * noise[j];
      var c = dense(layers[4], z, true), d = dense(layers[5], c, true), logits = dense(layers[6], d, false);
      for (var p = 0; p < PIXELS; p++) {
        var logit = logits.w[p];
        loss += Math.max(logit, 0) - x.w[p] * logit + Math.log1p(Math.exp(-Math.abs(logit)));
        logits.dw[p] = (1 / (1 + Math.exp(-logit)) - x.w[p]) / BATCH;
      }
      back(layers[6], d, logits, false);
      back(layers[5], c, d, true);
      back(layers[4], z, c, true);
      for (var k = 0; k < LATENT; k++) {
        var sigma = Math.exp(0.5 * logvar.w[k]);
        loss += 0.5 * (mu.w[k] * mu.w[k] + sigma * sigma - logvar.w[k] - 1);
        mu.dw[k] = z.dw[k] + mu.w[k] / BATCH;
        logvar.dw[k] = 0.5 * (z.dw[k] * sigma * noise[k] + (sigma * sigma - 1) / BATCH);
      }
      back(layers[2], b, mu, false);
      back(layers[3], b, logvar, false);
      back(layers[1], a, b, true);
      back(layers[0], x, a, true);
      return loss;
    }
    function adam(one) {
      for (var i = 0; i < one.w.length; i++) {
        one.first[i] += 0.1 * (one.dw[i] - one.first[i]);
        one.second[i] += 0.001 * (one.dw[i] * one.dw[i] - one.second[i]);
        one.w[i] -= (RATE * one.first[i] / (1 - Math.pow(0.9, steps))) /
          (Math.sqrt(one.second[i] / (1 - Math.pow(0.999, steps))) + 1e-8);
        one.dw[i] = 0;
      }
    }
    function normal() {
      return Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
    }
    return {
      step: async function (batch) {
        var indices = batch ? batch.indices : drawn(), sum = 0;
        for (var i = 0; i < BATCH; i++) {
          var noise = batch ? batch.noise.subarray(i * LATENT, (i + 1) * LATENT)
            : Float64Array.from({ length: LATENT }, normal);
          sum += image(indices[i], noise);
        }
        steps++;
        layers.forEach(function (layer) { layer.filters.concat(layer.biases).forEach(adam); });
        last = sum / BATCH;
      },
      loss: async function () { return last; },
    };
  }

  // --- what is measured -------------------------------------------------------------------------------

  var contestant;

  // Build one; return by how much its losses differ from ours, as a share, on the same batches.
  async function enter(kind, folder, steps) {
    await load();
    var expected = reference(steps);
    var makers = {
      simd: function () { return ours(false); },
      plain: function () { return ours(true); },
      convnet: function () { return convnet(expected.weights); },
    };
    contestant = makers[kind] ? makers[kind]() : await tensorflow(kind, expected.weights, folder);
    if (makers[kind] && contestant.name && contestant.name !== kind) throw new Error("no " + kind);
    var furthest = 0;
    for (var i = 0; i < steps; i++) {
      await contestant.step(expected.batches[i]);
      var loss = await contestant.loss();
      furthest = Math.max(furthest, Math.abs(loss / expected.batches[i].loss - 1));
    }
    return { apart: furthest, loss: expected.batches[steps - 1].loss };
  }

  // Milliseconds a step.
  async function time(steps) {
    var start = performance.now();
    for (var i = 0; i < steps; i++) await contestant.step(null, i === steps - 1);
    return (performance.now() - start) / steps;
  }

  // The laboratory's default, in its worker, while the page draws what comes: seconds until
  // so many steps are done, what was used then, and the times between frames.
  async function watch(steps) {
    var frames = [], context = document.querySelector("canvas").getContext("2d"), latest = null;
    await load();
    var engine = Engine.open(function (measured) { latest = measured; });
    await engine.data("glyphs", sets.glyphs);
    var going = true, previous = performance.now();
    requestAnimationFrame(function frame(now) {
      frames.push(now - previous);
      previous = now;
      if (latest) draw(context, latest);
      if (going) requestAnimationFrame(frame);
    });
    var start = performance.now();
    await engine.create({ pictures: 10, draws: 10 });
    var end = await engine.play({ until: steps });
    var seconds = (performance.now() - start) / 1000;
    await engine.play({ until: 3 * steps }); // for more frames
    going = false;
    engine.close();
    return { seconds: seconds, used: end.used, active: end.active, frames: frames.slice(1),
             perSecond: end.perSecond };
  }

  function draw(context, measured) {
    context.clearRect(0, 0, 400, 400);
    measured.varMu.forEach(function (value, j) {
      context.fillRect(0, 10 * j, 100 * value, 4);
      context.fillRect(0, 10 * j + 5, 10 * measured.gain[j], 4);
    });
    [measured.images, measured.reconstructions, measured.draws].forEach(function (pictures, row) {
      var picture = new ImageData(14, 14);
      for (var n = 0; n < 10; n++) {
        for (var i = 0; i < PIXELS; i++) {
          picture.data.fill(255 * pictures[n * PIXELS + i], 4 * i, 4 * i + 3);
          picture.data[4 * i + 3] = 255;
        }
        context.putImageData(picture, 20 * n, 200 + 20 * row);
      }
    });
  }

  return { enter: enter, time: time, watch: watch };
})();
