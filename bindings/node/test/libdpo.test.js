'use strict';
// The binding gives what C gives, errors come as they are thrown, and what runs can be stopped. LIBDPO_FIXTURES: Tests/Fixtures.
const assert = require('node:assert');
const { execFileSync, spawnSync } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const test = require('node:test');
const dpo = require('..');

const fixtures = process.env.LIBDPO_FIXTURES ?? path.join(__dirname, '../../../Tests/Fixtures');
const LLAMA = path.join(fixtures, 'models/llama-tied');
const QWEN = path.join(fixtures, 'models/qwen2');
const PAIRS = path.join(fixtures, 'data/pairs.jsonl');
const OPTIONS = {
  lora_r: 4, lora_target_modules: ['all-linear'], learning_rate: 5e-3, per_device_train_batch_size: 4, max_steps: 6, max_length: 256,
};
const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'dpo-node-'));
test.after(() => fs.rmSync(directory, { recursive: true }));

const status = (code) => (error) => error instanceof dpo.DpoError && error.code === code && error.message.length > 0;

test('losses', () => {
  const one = { policyChosen: [-12.5], policyRejected: [-14.25], referenceChosen: [-13], referenceRejected: [-13.75] };
  const expected = Math.log(1 + Math.exp(-0.1 * (-12.5 + 14.25 - (-13 + 13.75))));
  const { loss, rewardChosen, gradientChosen } = dpo.loss(one, { beta: 0.1 });
  assert.ok(Math.abs(loss - expected) < 1e-12);
  assert.ok(Math.abs(rewardChosen[0] - 0.05) < 1e-12 && gradientChosen[0] < 0);
  const weighted = dpo.loss({ ...one, weights: [0.5] }, { loss_types: ['sigmoid', 'hinge'], loss_weights: [1, 0] });
  assert.ok(Math.abs(weighted.loss - expected / 2) < 1e-12);
  assert.throws(() => dpo.loss({ ...one, referenceChosen: [1, 2] }), /referenceChosen has 2 elements, expected 1/);
  assert.throws(() => dpo.loss(one, { beta: -1 }), status('DPO_ERROR_INVALID_ARGUMENT'));
  assert.throws(() => dpo.loss(one, { no_such_option: 1 }), /no_such_option/);
  assert.throws(() => dpo.loss({ ...one, policyChosen: 'text' }), TypeError);
});

const near = (found, expected, tolerance = 1e-9) =>
  assert.ok(Math.abs(found - expected) <= tolerance * Math.max(1, Math.abs(expected)), `${found} is not ${expected}`);

test('ranked answers, closed forms and PPO', () => {
  const pair = dpo.loss({ policyChosen: [-12.5], policyRejected: [-14.25], referenceChosen: [-13], referenceRejected: [-13.75] });
  const ranked = dpo.rankedLoss(0.1, [2], [1, 2], [-12.5, -14.25], { reference: [-13, -13.75] });
  near(ranked.loss, pair.loss); // a pair is the ranking of two
  near(ranked.gradients[0], pair.gradientChosen[0]);
  assert.throws(() => dpo.rankedLoss(0.1, [3], [1, 2], [0, 0]), /ranks has 2 elements, expected 3/);

  const prior = [0.5, 0.3, 0.2].map(Math.log);
  const rewards = [1, 2, 0.5];
  const best = dpo.policyOptimum(prior, rewards);
  near(best.normalizer, 0.1 * Math.log(0.5 * Math.exp(10) + 0.3 * Math.exp(20) + 0.2 * Math.exp(5)));
  near(dpo.policyRewards(best.policyLogps, prior)[1], 2 - best.normalizer);
  near(dpo.policyDivergence(prior, prior), 0);
  near(dpo.bradleyTerry([1], [2])[0], 1 / (1 + Math.exp(1)));

  const { advantages, returns } = dpo.gae([0, 0, 1], [0.2, 0.4, 0.6], [3], { lam: 1 });
  near(advantages[0], 0.8); // lam 1: the return is the sum of what comes
  near(returns[2], 1);
  const ppo = dpo.ppoLoss({ logps: [-1, -2], oldLogps: [-1, -2], advantages: [1, -1] });
  near(ppo.loss, 0); // ratio 1: minus the mean advantage
  near(ppo.gradientLogps[0], -0.5, 1e-6);
  assert.equal(ppo.gradientValues.length, 0);
  const valued = dpo.ppoLoss({ logps: [-1], oldLogps: [-1], advantages: [0], values: [2], oldValues: [2], returns: [1] }, { vf_coef: 1 });
  near(valued.loss, 0.5);
  near(valued.gradientValues[0], 1);
});

test('scoring', async () => {
  await assert.rejects(dpo.Model.open('no/such/model'), status('DPO_ERROR_IO'));
  const model = await dpo.Model.open(LLAMA, { threads: 2 });
  assert.equal(model.info.architecture, 'llama');
  const text = 'The harbour was quiet – très bien! 👍🏽';
  const ids = model.encode(text);
  assert.ok(model.decode(ids).includes(text));
  assert.ok(model.decode(model.encode('a\0b')).includes('a\0b')); // a length goes with the text
  await assert.rejects(model.score('a\0b', 'c'), /NUL/);

  // Calls on one model wait for each other.
  const prompts = ['The film was', 'The film was'];
  const [both, good, bad] = await Promise.all([
    model.score(prompts, [' good.', ' bad.']), model.score('The film was', ' good.'), model.score('The film was', ' bad.'),
  ]);
  assert.ok(Math.abs(both.sumLogps[0] - good) < 1e-5 && Math.abs(both.sumLogps[1] - bad) < 1e-5);
  assert.ok(both.tokenCounts[0] > 0);
  const tokens = await model.scoreTokens([[...ids.slice(0, 4)], ids.slice(0, 3)], [[ids[4], ids[5]], [ids[4]]], [1, 0]);
  assert.equal(tokens.tokenLogps.length, 3);
  assert.ok(Math.abs(tokens.tokenLogps[0] + tokens.tokenLogps[1] - tokens.sumLogps[0]) < 1e-5);
  await assert.rejects(model.score(['a'], ['b', 'c']), /completions has 2 elements, expected 1/);
  await assert.rejects(model.reward(['a'], ['b']), status('DPO_ERROR_UNSUPPORTED'));

  model.close();
  await assert.rejects(model.score('a', 'b'), dpo.DpoError);
  assert.throws(() => model.encode('a'), /released/);
  model.close();
});

test('generation', async () => {
  const model = await dpo.Model.open(LLAMA);
  const options = { max_new_tokens: 5, num_return_sequences: 2 };
  const prompts = ['The film was', 'She said:'];
  let seen = 0;
  const answers = await model.generate(prompts, options, { onToken: async () => void seen++ });
  const made = answers.flat().reduce((sum, { ids }) => sum + ids.length, 0);
  assert.deepEqual([answers.length, answers[1].length, seen], [2, 2, made]);

  const own = new RangeError('enough');
  const throwing = (onToken) => model.generate(prompts, options, { onToken });
  await assert.rejects(throwing(() => { throw own; }), (error) => error === own);
  await assert.rejects(throwing(async () => { throw own; }), (error) => error === own);
  await assert.rejects(throwing(async () => model.score('a', 'b')), status('DPO_ERROR_STATE')); // not for ever
  const [[again]] = await model.generate(prompts, options);
  assert.deepEqual(again.ids, answers[0][0].ids);

  await assert.rejects(model.generate(prompts, options, { signal: AbortSignal.abort() }), { name: 'AbortError' });
  const abort = new AbortController();
  const reason = new Error('the user left');
  const long = model.generate(prompts, { max_new_tokens: 200 }, { onToken: () => abort.abort(reason), signal: abort.signal });
  await assert.rejects(long, (error) => error === reason);
});

test('a run stops, goes on and is exported', async () => {
  const model = await dpo.Model.open(QWEN);
  const dataset = await dpo.Dataset.open(model, PAIRS, OPTIONS);
  assert.ok(dataset.info.rows > 4);
  const trainer = await dpo.Trainer.create({ model, dataset, evaluation: dataset, options: OPTIONS });
  assert.equal(trainer.plan.steps, 6);
  const own = new Error('mine');
  const run = path.join(directory, 'run');
  const stopAt = (number) => ({ step }) => { if (step === number) throw own; };
  await assert.rejects(trainer.run(run, { onEvent: stopAt(2) }), (error) => error === own);
  const steps = [];
  await trainer.run(run, {
    resume: 'last',
    onEvent: async ({ kind, step, totalSteps, metrics }) => {
      if (kind === 'step') steps.push([step, totalSteps, typeof metrics['rewards/margins']]);
    },
  });
  assert.deepEqual(steps, [3, 4, 5, 6].map((step) => [step, 6, 'number']));
  assert.ok((await trainer.evaluate()).eval_loss < Math.log(2));
  await assert.rejects(trainer.step(), status('DPO_ERROR_STATE'));
  const final = path.join(run, 'final.h5');
  assert.equal((await dpo.inspect(final)).kind, 'adapter');
  await dpo.exportModel(final, 'peft', path.join(run, 'peft'));
  assert.ok(fs.existsSync(path.join(run, 'peft/adapter_config.json')));
  await assert.rejects(dpo.exportModel(final, 'word', 'x'), TypeError);
  assert.equal(typeof (await dpo.checkExport(final, path.join(run, 'peft'), PAIRS)).survives, 'boolean');
});

test('what a callback throws is not lost when nothing is left to stop', async () => {
  const model = await dpo.Model.open(QWEN);
  const dataset = await dpo.Dataset.open(model, PAIRS, OPTIONS);
  const trainer = await dpo.Trainer.create({ model, dataset, options: OPTIONS });
  const own = new Error('late');
  const onEvent = ({ text }) => { if (text.endsWith('final.h5')) throw own; };
  await assert.rejects(trainer.run(path.join(directory, 'late'), { onEvent }), (error) => error === own);
});

test('a signal stops the call that it was given to, and no other', async () => {
  const model = await dpo.Model.open(QWEN);
  const dataset = await dpo.Dataset.open(model, PAIRS, OPTIONS);
  const trainer = await dpo.Trainer.create({ model, dataset, options: OPTIONS });
  const early = new AbortController();
  const stopped = trainer.step({ signal: early.signal });
  early.abort();
  await assert.rejects(stopped, { name: 'AbortError' });
  assert.equal((await trainer.step()).step, 1);

  // What ends at once does not get in the way of a call that begins.
  const busy = trainer.step();
  assert.throws(() => trainer.plan, status('DPO_ERROR_STATE'));
  assert.equal((await busy).step, 2);
  assert.equal(trainer.plan.steps, 6);

  // The step is done, but nobody knows yet.
  const late = new AbortController();
  const done = trainer.step({ signal: late.signal });
  await new Promise(setImmediate);
  const end = Date.now() + 2000;
  while (Date.now() < end);
  late.abort();
  assert.equal((await done).step, 3);
  assert.equal((await trainer.step()).step, 4);
});

test('other data is evaluated and scored', async () => {
  const model = await dpo.Model.open(QWEN);
  const extra = path.join(directory, 'own.csv');
  fs.writeFileSync(extra, 'prompt,chosen,rejected\nA, good, bad\nB, fine, no\n');
  const read = [];
  const both = await dpo.Dataset.open(model, [PAIRS, extra], OPTIONS, { onReading: (reading) => void read.push(reading) });
  const dataset = await dpo.Dataset.open(model, PAIRS, OPTIONS);
  const own = await dpo.Dataset.open(model, [extra], OPTIONS);
  assert.equal(both.info.rows, dataset.info.rows + 2);
  assert.ok(read.at(-1).rows > 0 && read.at(-1).phase);
  const enough = new Error('enough');
  const throwing = dpo.Dataset.open(model, PAIRS, OPTIONS, { onReading: async () => { throw enough; } });
  await assert.rejects(throwing, (error) => error === enough);

  const trainer = await dpo.Trainer.create({ model, dataset, evaluation: dataset, options: OPTIONS });
  await trainer.step();
  const { eval_loss: loss } = await trainer.evaluate();
  assert.equal((await trainer.evaluate({ dataset })).eval_loss, loss);
  assert.notEqual((await trainer.evaluate({ dataset: own })).eval_loss, loss);
  const scores = await trainer.score(own);
  assert.equal(scores.policyRejected.length, 2);
  near(scores.referenceChosen[1], await model.score('B', ' fine'), 1e-4); // the model without an adapter
});

const MPI = ['mpirun', '-n', '2', '--oversubscribe', '--allow-run-as-root'];

test('ranks end in the same bits', async (context) => {
  await assert.rejects(dpo.Communicator.mpi({ plugin: '/no/plug-in.so' }), /no\/plug-in\.so/);
  const script = `
    const dpo = require(${JSON.stringify(path.join(__dirname, '..'))});
    (async () => {
      const ranks = await dpo.Communicator.mpi({ timeout: 60 });
      const options = {
        per_device_train_batch_size: 1, gradient_accumulation_steps: 4 / ranks.size, learning_rate: 1e-3, threads: 1,
      };
      const model = await dpo.Model.open(${JSON.stringify(LLAMA)});
      const dataset = await dpo.Dataset.open(model, ${JSON.stringify(PAIRS)}, options);
      const trainer = await dpo.Trainer.create({ model, dataset, options, ranks });
      await trainer.step();
      await trainer.step();
      const digest = require('node:crypto').createHash('sha256').update(trainer.parameterValues).digest('hex');
      console.log(ranks.rank + '/' + ranks.size + ' ' + digest);
    })();`;
  if (spawnSync('mpirun', ['--version']).error) return context.skip('mpirun is not installed (apt-get install openmpi-bin)');
  const run = (command, ...args) => execFileSync(command, [...args, '-e', script], { encoding: 'utf8', timeout: 120000 });
  const [alone] = run(process.execPath).trim().split('\n');
  const lines = run(MPI[0], ...MPI.slice(1), process.execPath).trim().split('\n').sort();
  const digest = alone.split(' ')[1];
  assert.deepEqual([alone, ...lines], ['0/1', '0/2', '1/2'].map((rank) => `${rank} ${digest}`));
});

test('a loss of our own', async () => {
  const model = await dpo.Model.open(QWEN);
  const rows = [{ prompt: 'A', chosen: ' good', rejected: ' bad' }, { prompt: 'B', chosen: ' fine', rejected: ' no' }];
  const dataset = await dpo.Dataset.fromRows(model, rows, OPTIONS);
  const trainer = await dpo.Trainer.create({ model, dataset, options: { ...OPTIONS, per_device_train_batch_size: 2 } });
  const logps = await trainer.forward([0, 1]);
  const { gradientChosen, gradientRejected } = dpo.loss(logps);
  await trainer.backward(gradientChosen, gradientRejected);
  const metrics = await trainer.apply();
  assert.ok(metrics.grad_norm > 0 && metrics.step === 1);
  assert.notDeepEqual((await trainer.forward([0, 1])).policyChosen, logps.policyChosen);

  const tokens = trainer.tokenLogps;
  await trainer.backwardTokens(tokens.map(() => 0.01));
  const norm = Math.hypot(...trainer.parameterGradients);
  const parameters = trainer.parameters;
  assert.equal(parameters.reduce((sum, { size }) => sum + size, 0), trainer.parameterValues.length);
  assert.deepEqual(parameters[0].shape.reduce((product, length) => product * length), parameters[0].size);
  trainer.setReduce((gradients) => gradients.map((gradient) => gradient / 2));
  near((await trainer.apply()).grad_norm, norm / 2, 1e-4);
  const own = new Error('the other machine is gone');
  trainer.setReduce(async () => { throw own; });
  await assert.rejects(trainer.step(), (error) => error === own);
  trainer.setReduce(null);
  assert.equal((await trainer.step()).step, 3);
  trainer.parameterValues = trainer.parameterValues.fill(0);
  const { policyChosen, referenceChosen } = await trainer.forward([0, 1]);
  near(policyChosen[0], referenceChosen[0], 1e-5); // an adapter of zeros adds nothing
  assert.throws(() => { trainer.parameterValues = new Float32Array(1); }, /values has 1 elements/);
});

test('rows and rewards of token ids', async () => {
  const model = await dpo.Model.open(QWEN);
  const ids = (text) => model.encode(text, { addSpecialTokens: false });
  const options = { ...OPTIONS, per_device_train_batch_size: 1 };
  const dataset = await dpo.Dataset.fromTokens([ids('A')], [[...ids(' good'), 0]], [ids(' bad')], options);
  assert.equal(dataset.info.rows, 1);
  await assert.rejects(dpo.Dataset.fromTokens([ids('A')], [], [], options), /chosen has 0 elements, expected 1/);
  await assert.rejects(model.rewardTokens([ids('A')], [ids(' b')], [0]), status('DPO_ERROR_UNSUPPORTED'));
});

test('rewards of a function and of a classifier', async () => {
  const options = {
    method: 'rloo', lora_r: 2, per_device_train_batch_size: 2, max_steps: 3, max_completion_length: 4,
  };
  const model = await dpo.Model.open(QWEN);
  const dataset = await dpo.Dataset.fromRows(model, [{ prompt: 'The film' }, { prompt: 'She said' }], options);
  const trainer = await dpo.Trainer.create({ model, dataset, options });
  let asked = [];
  trainer.setReward(async (answers) => {
    asked = answers;
    return answers.map((_, i) => i % 2);
  });
  assert.equal((await trainer.step()).step, 1);
  assert.ok(asked.length > 0 && ['The film', 'She said'].includes(asked[0].prompt) && asked[0].promptIsChat === false);
  const own = new Error('no idea');
  trainer.setReward(() => { throw own; });
  await assert.rejects(trainer.step(), (error) => error === own);
  trainer.setReward(() => [1]);
  await assert.rejects(trainer.step(), /rewards, got 1/);
  const texts = ['a fine day', 'a good day', 'a bad day', 'a vile day'];
  const judge = await dpo.Classifier.train(texts, [true, true, false, false], { folds: 0 });
  const odds = await judge.score(texts);
  assert.ok(odds[0] > 0 && odds[3] < 0);
  trainer.setReward(judge);
  assert.equal((await trainer.step()).step, 2);
});

test('feedback', async () => {
  const feedback = await dpo.Feedback.open(path.join(directory, 'feedback.jsonl'));
  const ids = await Promise.all([0, 1, 2, 3].map((i) => feedback.recordThumb(`Question ${i}`, ' good', i % 2)));
  assert.deepEqual([...ids].sort(), [1, 2, 3, 4]);
  await feedback.recordChoice('Question', ' good', ' bad', { weight: 2 });
  await feedback.record({ prompt: 'Question 9', completion: ' so', label: false });
  assert.equal(await feedback.count(), 6);
  assert.equal((await feedback.status()).choices, 1);
  await assert.rejects(feedback.record({ prompt: 1 }), status('DPO_ERROR_INVALID_ARGUMENT'));
  const model = await dpo.Model.open(QWEN);
  const adapters = path.join(directory, 'adapters');
  const options = { min_records: 2, training: { lora_r: 2, num_train_epochs: 1 } };
  const abort = new AbortController();
  const how = { onEvent: ({ kind }) => kind === 'step' && abort.abort(), signal: abort.signal };
  await assert.rejects(feedback.train(model, adapters, options, how), { name: 'AbortError' });
  const { outcome, steps } = await feedback.train(model, adapters, options);
  assert.ok(outcome === 'finished' && steps > 0);
  assert.equal((await feedback.train(model, adapters, options)).outcome, 'nothing new');
});

test('options are described', () => {
  const names = dpo.describeOptions('training').map(({ name }) => name);
  assert.ok(names.includes('lora_r') && names.includes('learning_rate'));
  assert.throws(() => dpo.describeOptions('no such kind'), /no such kind/);
});

test('a process that ends while a run waits for its callback does not hang', () => {
  const script = `
    const dpo = require(${JSON.stringify(path.join(__dirname, '..'))});
    (async () => {
      const model = await dpo.Model.open(${JSON.stringify(QWEN)});
      const options = ${JSON.stringify({ ...OPTIONS, max_steps: 100000 })};
      const dataset = await dpo.Dataset.open(model, ${JSON.stringify(PAIRS)}, options);
      const trainer = await dpo.Trainer.create({ model, dataset, options });
      const onEvent = ({ kind }) => kind === 'step' && process.exit(7);
      await trainer.run(${JSON.stringify(path.join(directory, 'exits'))}, { onEvent });
    })();`;
  const ended = spawnSync(process.execPath, ['-e', script], { timeout: 60000 });
  assert.equal(ended.status, 7, String(ended.stderr));
});

test('a worker thread that ends does not stop the others', async () => {
  const { Worker } = require('node:worker_threads');
  const model = await dpo.Model.open(QWEN);
  const dataset = await dpo.Dataset.open(model, PAIRS, OPTIONS);
  const trainer = await dpo.Trainer.create({ model, dataset, options: OPTIONS });
  let worker;
  await trainer.run(path.join(directory, 'beside'), {
    onEvent: async ({ step }) => {
      if (step !== 2) return;
      const script = `
        const dpo = require(${JSON.stringify(path.join(__dirname, '..'))});
        dpo.Model.open(${JSON.stringify(LLAMA)})
          .then((model) => model.generate(['a'], { max_new_tokens: 50 }, { onToken: () => process.exit(3) }));`;
      worker = new Worker(script, { eval: true });
      assert.deepEqual(await require('node:events').once(worker, 'exit'), [3]);
    },
  });
  assert.ok(worker && trainer.lastMetrics.step === 6);
});

test('a worker thread that is terminated ends what it runs', { timeout: 120000 }, async () => {
  const { Worker } = require('node:worker_threads');
  const { once } = require('node:events');
  const started = "parentPort.postMessage('started')";
  const runs = {
    'a run': `await trainer.run(DIRECTORY, { onEvent: ({ kind }) => { if (kind === 'step') ${started}; } });`,
    'a run that tells nobody': `setTimeout(() => ${started}, 200); await trainer.run(DIRECTORY);`,
    'a promise that is never kept': `await trainer.run(DIRECTORY, { onEvent: () => { ${started}; return new Promise(() => {}); } });`,
    'a reduction': `trainer.setReduce(() => { ${started}; return new Promise(() => {}); }); await trainer.step();`,
    'answers': `setTimeout(() => ${started}, 200); await model.generate(['a'], { max_new_tokens: 1e6, num_return_sequences: 64 });`,
  };
  const options = { ...OPTIONS, max_steps: 100000, autosave_steps: 0 };
  for (const [name, body] of Object.entries(runs)) {
    const script = `
      const dpo = require(${JSON.stringify(path.join(__dirname, '..'))});
      const { parentPort } = require('node:worker_threads');
      (async () => {
        const DIRECTORY = ${JSON.stringify(path.join(directory, name))}, options = ${JSON.stringify(options)};
        const model = await dpo.Model.open(${JSON.stringify(QWEN)});
        const dataset = await dpo.Dataset.open(model, ${JSON.stringify(PAIRS)}, options);
        const trainer = await dpo.Trainer.create({ model, dataset, options });
        ${body}
      })();`;
    const worker = new Worker(script, { eval: true });
    await once(worker, 'message');
    await new Promise((resolve) => setTimeout(resolve, 50)); // the promise is waited for
    assert.equal(await worker.terminate(), 1, name);
  }
  assert.ok(Number.isFinite(await (await dpo.Model.open(QWEN)).score('a', ' b')));
});

test('a worker thread that alone has loaded it may end', () => {
  const worker = `
    const dpo = require(${JSON.stringify(path.join(__dirname, '..'))});
    dpo.Model.open(${JSON.stringify(LLAMA)}).then((model) => model.score('a', ' b'));`;
  const script = `new (require('node:worker_threads').Worker)(${JSON.stringify(worker)}, { eval: true });`;
  const ended = spawnSync(process.execPath, ['-e', script], { timeout: 60000 });
  assert.deepEqual([ended.status, ended.signal], [0, null], String(ended.stderr));
});

test('the types are those of the classes', (context) => {
  const tsc = spawnSync('tsc', ['--noEmit', '--strict', '--target', 'es2022', '--module', 'commonjs', path.join(__dirname, 'types.ts')]);
  if (tsc.error) return context.skip('tsc is not installed (apt-get install node-typescript)');
  assert.equal(tsc.status, 0, String(tsc.stdout));
});

test('memory comes back', () => {
  const script = `
    const dpo = require(${JSON.stringify(path.join(__dirname, '..'))});
    (async () => {
      const kept = [];
      for (let i = 0; i < 60; i++) {
        const model = await dpo.Model.open(${JSON.stringify(QWEN)}, { copy: true });
        await model.score('a', ' b');
        if (i % 10 === 0) { global.gc(); await new Promise(setImmediate); kept.push(process.memoryUsage().rss); }
      }
      const grown = (kept.at(-1) - kept[1]) / 2 ** 20;
      if (grown > 64) throw new Error('grew by ' + grown + ' MiB');
    })();`;
  execFileSync(process.execPath, ['--expose-gc', '-e', script], { timeout: 120000 });
});
