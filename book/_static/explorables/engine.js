// The engine of the laboratory: a dense VAE that trains in the page.
//
// Classic scripts, for a page opened from disk loads no modules. Before this one comes
// engine-products.js, which has the matrix products in WebAssembly; without it, or where a browser
// lacks SIMD, plain JavaScript multiplies.
//
//
// In the page
//
//   var engine = Engine.open(show);      a worker; `show(measured)` is called at each measurement
//   engine.data("glyphs", Engine.glyphs(packed));     packed: what engine-glyphs.data.js provides
//   engine.create(settings)              a new network; whatever was there is gone
//   engine.reset({seed: 1})              the same again, with some settings changed or none
//   engine.play({until: 2000})           train; to that step, if one is given
//   engine.pause()
//   engine.step(20)                      train so many steps
//   engine.set({beta: 4})                change what may change while it trains, at the next step
//   engine.measure()
//   engine.decode(codes)                 pixels of codes, one code after another in one array
//   engine.encode(images)                {mu, logvar} of images in [0, 1], one after another
//   engine.close()
//
// All but `data` and `close` return a promise. Those of `create`, `reset`, `set`, `measure`, `pause`
// and `step` give what was measured then; `play` gives what was measured when it stopped, for
// whatever reason; `decode` and `encode` give the numbers. An error of the engine rejects the
// promise. `create`, `reset`, `step`, `pause` and `play` stop what plays.
//
// Settings that make a network (defaults behind the colon)
//
//   data: "glyphs"          or "toy": Gaussian data, drawn by the seed, with these eigenvalues
//   eigenvalues: [5, 3, 1.5, 0.8, 0.4, 0.1]
//   hidden: [64, 32]        widths of the encoder's hidden layers, none to four; the decoder has
//                           them in reverse. With none, encoder and decoder are straight lines
//   latent: 16              1 to 32
//   leak: 0                 slope of a hidden unit for negative inputs: 0 is a ReLU, 1 a line
//   likelihood: "bernoulli" or "gaussian", with decoderVariance: 1 (η², fixed)
//   initialisation: "glorot" or "torch"
//   seed: 0                 of the first weights, the order of the images and the noise
//   batch: 64               a multiple of 4
//   gainImages: 200         of the held-out images, for the two gains
//   pictures: 0             that many held-out images, one of each label first, are reconstructed
//   draws: 0                at each measurement, and that many fixed draws from the prior decoded
//   plain: false            true: no WebAssembly
//
// Settings that may change at any step, by `set`; `create` takes them too
//
//   beta: 1                 weight of the KL
//   path: []                [[step, beta], …]: at that step β becomes that
//   learningRate: 0.003     of Adam
//   sample: true            false: z is the posterior mean, without noise (cut 1; cut 2 if it comes)
//   free: []                these variables have no KL (cut 3)
//   revive: {variables: [3], steps: 400}     they have no KL for so many steps from now (cut 5);
//                           `variables: 2` takes the two with the least Var μ
//   killed: []              of these the encoder says μ = 0 and log σ² = 0, whatever the image: they
//                           are at the prior and stay there until they leave the list
//   interval: 100           ms between measurements while it plays
//   pace: Infinity          steps a second, at most
//
// What is measured, on held-out images; arrays have an entry for each latent variable
//
//   step, beta              steps done, and β at the last of them
//   sample, free, killed    as set
//   revived                 variables that have no KL for the time being
//   varMu, meanSigma2, kl   over all held-out images; nats
//   gain                    nats lost when the variable is replaced by its mean, at z = μ
//   noisyGain               the same where z is drawn: below `kl`, the variable does not pay
//   used                    how many have a gain above Engine.USED = 0.5 nats
//   active                  how many have a Var μ above Engine.ACTIVE = 0.05
//   likelihood, price, elbo mean log P(X|z), mean KL of all variables, and the difference: nats
//   weights                 weight of each variable's KL now: β, or 0 where it has no price
//   finite                  false: training has blown up; it stops by itself
//   playing, perSecond      whether it plays on, and the steps a second while it last trained
//   backend                 "simd" or "plain"
//   images, reconstructions, draws      Float32Array, pictures of `pixels` pixels in a row
//
// Training is the same on every machine and in every browser, to rounding: numbers are drawn by whole
// numbers, from streams of their own for weights, order and noise, and measuring draws none of them.
// What is changed by `set` while it plays comes at a step that depends on the machine; `path`,
// and `set` while it stands, do not.
//
// Without a worker: `Engine.network(settings, sets)` is the network itself, for tests.
