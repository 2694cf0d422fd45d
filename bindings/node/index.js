'use strict';
/**
 * libdpo for Node. index.d.ts says what each class does, and dpo.h is the manual.
 *
 * Long calls run on a thread of Node's pool and give a promise. Calls on one handle run one after the other. Callbacks run
 * on the main thread while the library waits for them.
 */

const { isMainThread } = require('node:worker_threads');
const native = require('./build/dpo.node');

const CANCELLED = -8;
const STATE = -9;
const FORMATS = ['hdf5', 'safetensors', 'gguf', 'peft', 'gguf-lora'];

/** What libdpo refuses or fails at. */
class DpoError extends Error {
  constructor(message, status, code) {
    super(message);
    this.name = 'DpoError';
    this.status = status;
    this.code = code;
  }
}

function translated(error) {
  return typeof error?.status === 'number' ? new DpoError(error.message, error.status, error.code) : error;
}

/** A call that ends at once. */
function now(name, ...args) {
  try {
    return native[name](...args);
  } catch (error) {
    throw translated(error);
  }
}

/** A call on another thread. */
async function later(name, ...args) {
  try {
    return await native[name](...args);
  } catch (error) {
    throw translated(error);
  }
}

/** How to stop what runs; for the end of the process, which would wait for it. */
const running = new Set();
process.once('exit', () => {
  for (const cancel of running) cancel();
  if (isMainThread) native.close();
});

/**
 * Of each object: its C handle, the call after which the next one comes, how many calls have not ended, and how many of its
 * callbacks are running.
 */
const states = new WeakMap();

function external(object) {
  return object == null ? null : state(object).external;
}

function state(object) {
  const found = states.get(object);
  if (!found) throw new TypeError('expected an object of libdpo');
  return found;
}

/** Calls on one handle wait for each other. From inside its own callback that would be for ever: there, C refuses. */
function inTurn(object, body) {
  const own = state(object);
  if (own.callbacks.running) return body();
  own.pending++;
  const turn = own.last.then(body).finally(() => own.pending--);
  own.last = turn.catch(() => {});
  return turn;
}

/** A call that ends at once, on a handle that no other call has or is about to take. */
function atOnce(object, name, ...args) {
  const own = state(object);
  if (own.pending) throw new DpoError(`this ${object.constructor.name} is at work`, STATE, 'DPO_ERROR_STATE');
  return now(name, own.external, ...args);
}

/** For calls that ask their callback also where there is none: a worker thread that is terminated stops them so. */
const nothing = () => {};

/** Runs body(ask) so that `signal` stops it by native[cancel], as a callback that throws does. */
async function cancellable(object, { signal, callback, convert, cancel }, body) {
  signal?.throwIfAborted();
  const own = state(object);
  const stop = () => now(cancel, own.external);
  const asker = callback ? makeAsker(own.callbacks, callback, convert) : null;
  signal?.addEventListener('abort', stop, { once: true });
  running.add(stop);
  try {
    return await body(asker?.ask);
  } catch (error) {
    if (error.status === CANCELLED && signal?.aborted) throw signal.reason;
    throw error;
  } finally {
    running.delete(stop);
    signal?.removeEventListener('abort', stop);
    asker?.rethrow();
  }
}

/**
 * What the addon calls to ask `callback`; it answers with native.answer, also after a promise. The addon keeps it, so it must
 * not keep the object.
 */
function makeAsker(callbacks, callback, convert) {
  let thrown = null;
  const ask = (what, token) => {
    callbacks.running++;
    const answer = (value) => {
      callbacks.running--;
      native.answer(token, !thrown, value);
    };
    const fail = (error) => {
      thrown ??= { error };
      answer();
    };
    if (thrown) return answer();
    try {
      const value = convert(what, callback);
      if (typeof value?.then === 'function') value.then(answer, fail).catch(fail);
      else answer(value);
    } catch (error) {
      fail(error);
    }
  };
  const rethrow = () => {
    if (!thrown) return;
    const { error } = thrown;
    thrown = null;
    throw error;
  };
  return { ask, rethrow };
}

function toEvent(event, callback) {
  if (event.metrics !== undefined) event.metrics = JSON.parse(event.metrics);
  return callback(event);
}

function toReading(reading, callback) {
  return callback(reading);
}

function toToken(token, callback) {
  return callback(token);
}

function toRewards(answers, callback) {
  for (const answer of answers) if (answer.promptIsChat) answer.prompt = JSON.parse(answer.prompt);
  const checked = (rewards) => {
    if (rewards?.length !== answers.length) throw new TypeError(`expected ${answers.length} rewards, got ${rewards?.length}`);
    return Float64Array.from(rewards);
  };
  const rewards = callback(answers);
  return typeof rewards?.then === 'function' ? rewards.then(checked) : checked(rewards);
}

/** The gradients that are to go on: those that `callback` returns, or what it made of its argument. */
function toGradients(gradients, callback) {
  const reduced = callback(gradients);
  if (typeof reduced?.then === 'function') return reduced.then((given) => floats(given ?? gradients));
  return floats(reduced ?? gradients);
}

/** Options as the addon takes them: their kind, and JSON. */
function given(kind, options) {
  return [kind, options == null ? null : JSON.stringify(options)];
}

function numbers(Type, values) {
  if (values == null || values instanceof Type) return values;
  if (!Array.isArray(values) && !ArrayBuffer.isView(values)) throw new TypeError('expected an array of numbers');
  return Type.from(values);
}

function floats(values) {
  return numbers(Float32Array, values);
}

function doubles(values) {
  return numbers(Float64Array, values);
}

function integers(values) {
  return numbers(Int32Array, values);
}

function flat(lists) {
  return [Int32Array.from(lists.map((list) => Array.from(list)).flat()), lists.map((list) => list.length)];
}

function jsonLines(rows) {
  return rows.map((row) => JSON.stringify(row) + '\n').join('');
}

class Handle {
  constructor(value) {
    if (value === undefined) throw new TypeError(`a ${this.constructor.name} is made by its static methods`);
    states.set(this, { external: value, last: Promise.resolve(), pending: 0, callbacks: { running: 0 } });
  }

  close() {
    now('release', external(this));
  }
}
Object.defineProperty(Handle.prototype, Symbol.dispose ?? Symbol.for('Symbol.dispose'), { value: Handle.prototype.close });

class Model extends Handle {
  /** Kept, because the handle may be at work when it is asked for. */
  info = Object.freeze(now('modelInfo', external(this)));

  static async open(path, { adapter = null, threads = 0, copy = false } = {}) {
    return new Model(await later('modelOpen', path, adapter, threads, copy));
  }

  setEngine(engine) {
    atOnce(this, 'modelSetEngine', engine);
  }

  encode(text, { addSpecialTokens = true } = {}) {
    return atOnce(this, 'modelEncode', text, addSpecialTokens);
  }

  decode(ids) {
    return atOnce(this, 'modelDecode', integers(ids));
  }

  applyChatTemplate(messages, { addGenerationPrompt = true } = {}) {
    return atOnce(this, 'modelApplyChatTemplate', JSON.stringify(messages), addGenerationPrompt);
  }

  async score(prompts, completions, { signal } = {}) {
    if (typeof prompts === 'string') return (await this.score([prompts], [completions], { signal })).sumLogps[0];
    return this.#call({ signal }, () => later('modelScore', external(this), prompts, completions));
  }

  async scoreTokens(prompts, completions, completionPrompts, { signal } = {}) {
    const args = [...flat(prompts), ...flat(completions), completionPrompts];
    return this.#call({ signal }, () => later('modelScoreTokens', external(this), ...args));
  }

  async reward(prompts, completions, { signal } = {}) {
    return this.#call({ signal }, () => later('modelReward', external(this), prompts, completions));
  }

  async rewardTokens(prompts, completions, completionPrompts, { signal } = {}) {
    const args = [...flat(prompts), ...flat(completions), completionPrompts];
    return this.#call({ signal }, () => later('modelRewardTokens', external(this), ...args));
  }

  async generate(prompts, options, { onToken, signal } = {}) {
    return this.#call({ signal, callback: onToken ?? nothing, convert: toToken }, (ask) =>
      later('modelGenerate', external(this), prompts, ...given('generation', options), ask),
    );
  }

  async evaluate(data, { options, samples, reference, classifier, rewardModel, signal } = {}) {
    return this.#call({ signal }, async () =>
      JSON.parse(
        await later(
          'modelEvaluate', external(this), external(reference), external(classifier), external(rewardModel), data,
          ...given('training', options), ...given('generation', samples), samples != null,
        ),
      ),
    );
  }

  #call(how, body) {
    return inTurn(this, () => cancellable(this, { ...how, cancel: 'modelCancel' }, body));
  }
}

class Dataset extends Handle {
  info = Object.freeze(now('datasetInfo', external(this)));

  static async open(model, paths, options, { onReading = nothing } = {}) {
    const asker = makeAsker(state(model).callbacks, onReading, toReading);
    const args = [[paths].flat(), ...given('training', options), asker.ask];
    try {
      return new Dataset(await inTurn(model, () => later('datasetOpen', external(model), ...args)));
    } finally {
      asker.rethrow();
    }
  }

  static async fromRows(model, rows, options) {
    const args = [jsonLines(rows), ...given('training', options)];
    return new Dataset(await inTurn(model, () => later('datasetFromJsonl', external(model), ...args)));
  }

  static async fromTokens(prompts, chosen, rejected, options) {
    const lists = [prompts, chosen, rejected].flatMap(flat);
    return new Dataset(await later('datasetFromTokens', ...lists, ...given('training', options)));
  }
}

class Classifier extends Handle {
  static async open(path) {
    return new Classifier(await later('classifierOpen', path));
  }

  static async train(texts, labels, { cost = 3, folds = 5 } = {}) {
    return new Classifier(await later('classifierTrain', texts, Int32Array.from(labels, Number), cost, folds));
  }

  async save(path) {
    return inTurn(this, () => later('classifierSave', external(this), path));
  }

  async score(texts) {
    return inTurn(this, () => later('classifierScore', external(this), texts));
  }
}

/** A host's own engine is not here: it would have to answer while the main thread waits for it. */
class Communicator extends Handle {
  static async mpi({ plugin = null, timeout = 1800 } = {}) {
    return new Communicator(await later('communicatorMpi', plugin, timeout));
  }

  get rank() {
    return now('communicatorRanks', external(this)).rank;
  }

  get size() {
    return now('communicatorRanks', external(this)).size;
  }

  abort(exitStatus) {
    now('communicatorAbort', external(this), exitStatus);
  }
}

class Trainer extends Handle {
  /** Functions that the trainer keeps; each knows what it threw, until the call that it stopped has ended. */
  #reward = null;
  #reduce = null;

  static async create({ model, dataset, reference, evaluation, options, ranks }) {
    const args = [...[model, reference, dataset, evaluation, ranks].map(external), ...given('training', options)];
    return new Trainer(await inTurn(model, () => later('trainerCreate', ...args)));
  }

  get plan() {
    return JSON.parse(atOnce(this, 'trainerPlan'));
  }

  get lastMetrics() {
    return JSON.parse(atOnce(this, 'trainerLastMetrics'));
  }

  setReward(reward, { completionOnly = false } = {}) {
    if (reward instanceof Model) return atOnce(this, 'trainerSetRewardModel', external(reward));
    if (reward instanceof Classifier)
      return atOnce(this, 'trainerSetRewardClassifier', external(reward), completionOnly);
    const asker = makeAsker(state(this).callbacks, reward, toRewards);
    atOnce(this, 'trainerSetReward', asker.ask);
    this.#reward = asker;
  }

  setReduce(reduce) {
    const asker = reduce ? makeAsker(state(this).callbacks, reduce, toGradients) : null;
    atOnce(this, 'trainerSetReduce', asker?.ask);
    this.#reduce = asker;
  }

  async run(directory, { resume = null, onEvent, signal } = {}) {
    return this.#call({ signal, callback: onEvent ?? nothing, convert: toEvent }, (ask) =>
      later('trainerRun', external(this), directory, resume, ask),
    );
  }

  async step({ signal } = {}) {
    return JSON.parse(await this.#call({ signal }, () => later('trainerStep', external(this))));
  }

  async evaluate({ dataset, signal } = {}) {
    const [name, ...args] = dataset ? ['trainerEvaluateData', external(dataset)] : ['trainerEvaluate'];
    return JSON.parse(await this.#call({ signal }, () => later(name, external(this), ...args)));
  }

  async score(dataset, { signal } = {}) {
    return this.#call({ signal }, () => later('trainerScoreData', external(this), external(dataset)));
  }

  async forward(rows, { signal } = {}) {
    return this.#call({ signal }, () => later('trainerForward', external(this), rows));
  }

  async backward(gradientChosen, gradientRejected) {
    const gradients = [doubles(gradientChosen), doubles(gradientRejected)];
    return inTurn(this, () => later('trainerBackward', external(this), ...gradients));
  }

  get tokenLogps() {
    return atOnce(this, 'trainerTokenLogps');
  }

  async backwardTokens(gradients) {
    return inTurn(this, () => later('trainerBackwardTokens', external(this), floats(gradients)));
  }

  async apply() {
    return JSON.parse(await this.#call({}, () => later('trainerApply', external(this))));
  }

  get parameters() {
    return atOnce(this, 'trainerParameters');
  }

  get parameterValues() {
    return atOnce(this, 'trainerValues', 0);
  }

  set parameterValues(values) {
    atOnce(this, 'trainerSetValues', floats(values));
  }

  get parameterGradients() {
    return atOnce(this, 'trainerValues', 1);
  }

  async save(path) {
    return inTurn(this, () => later('trainerSave', external(this), path));
  }

  async load(path) {
    return inTurn(this, () => later('trainerLoad', external(this), path));
  }

  async saveModel(path) {
    return inTurn(this, () => later('trainerSaveModel', external(this), path));
  }

  #call(how, body) {
    return inTurn(this, async () => {
      try {
        return await cancellable(this, { ...how, cancel: 'trainerCancel' }, body);
      } finally {
        this.#reward?.rethrow();
        this.#reduce?.rethrow();
      }
    });
  }
}

/** Its calls may run at once: C says so. */
class Feedback extends Handle {
  static async open(path) {
    return new Feedback(await later('feedbackOpen', path));
  }

  async recordThumb(prompt, answer, up, { weight = 1 } = {}) {
    return later('feedbackRecordThumb', external(this), prompt, answer, Boolean(up), weight);
  }

  async recordChoice(prompt, chosen, rejected, { weight = 1 } = {}) {
    return later('feedbackRecordChoice', external(this), prompt, chosen, rejected, weight);
  }

  async record(row) {
    return later('feedbackRecord', external(this), JSON.stringify(row));
  }

  async count() {
    return later('feedbackCount', external(this));
  }

  async status(directory = null) {
    return JSON.parse(await later('feedbackStatus', external(this), directory));
  }

  async train(model, directory, options, { onEvent, signal } = {}) {
    const how = { signal, callback: onEvent ?? nothing, convert: toEvent, cancel: 'feedbackCancel' };
    return cancellable(this, how, (ask) =>
      later('feedbackTrain', external(this), external(model), directory, ...given('feedback', options), ask),
    );
  }
}

function loss(logps, options) {
  return now(
    'loss', doubles(logps.policyChosen), doubles(logps.policyRejected), doubles(logps.referenceChosen),
    doubles(logps.referenceRejected), integers(logps.chosenTokens), integers(logps.rejectedTokens), doubles(logps.weights),
    ...given('loss', options),
  );
}

function rankedLoss(beta, counts, ranks, policy, { reference, weights } = {}) {
  return now('rankedLoss', beta, counts, ...[ranks, policy, reference, weights].map(doubles));
}

function policyOptimum(referenceLogps, rewards, options) {
  return now('policyOptimum', doubles(referenceLogps), doubles(rewards), ...given('loss', options));
}

function policyRewards(policyLogps, referenceLogps, options) {
  return now('policyRewards', doubles(policyLogps), doubles(referenceLogps), ...given('loss', options));
}

function policyDivergence(policyLogps, referenceLogps, options) {
  return now('policyDivergence', doubles(policyLogps), doubles(referenceLogps), ...given('loss', options));
}

function bradleyTerry(firstRewards, secondRewards) {
  return now('bradleyTerry', doubles(firstRewards), doubles(secondRewards));
}

function gae(rewards, values, counts, { gamma = 1, lam = 0.95 } = {}) {
  return now('gae', doubles(rewards), doubles(values), counts, gamma, lam);
}

function ppoLoss({ logps, oldLogps, advantages, values, oldValues, returns }, options) {
  const arrays = [logps, oldLogps, advantages, values, oldValues, returns].map(floats);
  return now('ppoLoss', ...arrays, ...given('ppo', options));
}

async function inspect(path) {
  return JSON.parse(await later('inspect', path));
}

async function trainTokenizer(paths, directory, options) {
  return later('trainTokenizer', paths, directory, ...given('tokenizer', options));
}

async function createModel(shape, output) {
  return later('createModel', output, ...given('shape', shape));
}

async function exportModel(input, format, output, options) {
  const number = FORMATS.indexOf(format);
  if (number < 0) throw new TypeError(`format is ${JSON.stringify(format)}, expected one of ${FORMATS.join(', ')}`);
  return later('exportModel', input, output, number, ...given('export', options));
}

async function checkExport(input, output, data, { reference = null, options } = {}) {
  return JSON.parse(await later('checkExport', input, output, data, reference, ...given('export', options)));
}

function describeOptions(kind) {
  return JSON.parse(now('describeOptions', kind, null));
}

module.exports = {
  version: native.version,
  DpoError, Model, Dataset, Classifier, Communicator, Trainer, Feedback,
  loss, rankedLoss, policyOptimum, policyRewards, policyDivergence, bradleyTerry, gae, ppoLoss,
  inspect, trainTokenizer, createModel, exportModel, checkExport, describeOptions,
};
