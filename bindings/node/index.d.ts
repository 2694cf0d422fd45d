/**
 * libdpo for Node: preference-tune the language model that your program runs, inside your program.
 *
 * Long calls run on a thread of Node's pool (UV_THREADPOOL_SIZE, 4 by default) and give a promise. Calls on one object run one
 * after the other; those on a `Feedback` may run at once. A synchronous call on an object that is busy throws `DPO_ERROR_STATE`.
 * Callbacks run on the main thread, and the library waits for them, promises included. What one throws stops the call, and is
 * what its promise is rejected with. `signal` stops a call, which is then rejected with the signal's reason. `close()` (or
 * `using`) frees memory at once; otherwise the garbage collector does.
 *
 * What the numbers mean stands in dpo.h.
 */

import {
  ExportOptions, FeedbackOptions, GenerationOptions, LossOptions, ModelShape, PpoOptions, TokenizerOptions, TrainOptions,
} from './options';

export * from './options';

/** What libdpo refuses or fails at: `message` names the file, the place and what was expected. */
export class DpoError extends Error {
  /** A DPO_ERROR_ number of dpo.h. */
  readonly status: number;
  /** Its name, such as `'DPO_ERROR_FORMAT'`. */
  readonly code: string;
}

export const version: string;

type Numbers = readonly number[] | Float64Array;
type Floats = readonly number[] | Float32Array;
type Integers = readonly number[] | Int32Array;
/** What `JSON.parse` gives. */
export type Json = { [name: string]: any };
/** By TRL's names: `loss`, `rewards/margins`, `eval_loss`. null where a method has none. */
export type Metrics = { [name: string]: number | null };

export interface Cancellable {
  signal?: AbortSignal;
}

declare class Handle {
  protected constructor();
  /** Releases it now. Objects may be closed in any order, also while a call runs. */
  close(): void;
}

export interface ModelInfo {
  parameters: number;
  mappedBytes: number;
  vocabularySize: number;
  hiddenSize: number;
  layers: number;
  contextLength: number;
  /** -1: none */
  eosToken: number;
  /** -1: none */
  bosToken: number;
  hasChatTemplate: boolean;
  hasAdapter: boolean;
  isRewardModel: boolean;
  architecture: string;
  format: string;
}

export interface ChatMessage {
  role: string;
  content: string;
  [key: string]: any;
}

export interface Completion {
  /** Without special tokens. */
  text: string;
  ids: Int32Array;
  /** It ended by itself, not at `max_new_tokens`. */
  stopped: boolean;
}

export interface TokenEvent {
  /** Index of the prompt. */
  prompt: number;
  /** Index of the completion of this prompt. */
  completion: number;
  token: number;
  /** Empty while a character is incomplete. */
  text: string;
}

export class Model extends Handle {
  /**
   * A GGUF file, a Hugging Face directory or libdpo's HDF5 file, with an adapter on top. `threads`: 0 is one a core. `copy`: the
   * weights are copied into memory instead of mapped.
   */
  static open(path: string, options?: { adapter?: string | null; threads?: number; copy?: boolean }): Promise<Model>;
  readonly info: ModelInfo;
  setEngine(engine: 'auto' | 'avx512' | 'avx2' | 'neon' | 'portable' | 'openblas'): void;
  encode(text: string, options?: { addSpecialTokens?: boolean }): Int32Array;
  decode(ids: Integers): string;
  applyChatTemplate(messages: ChatMessage[], options?: { addGenerationPrompt?: boolean }): string;
  /** The log-prob of a completion after a prompt, its end-of-sequence token included. */
  score(prompt: string, completion: string, how?: Cancellable): Promise<number>;
  score(
    prompts: readonly string[], completions: readonly string[], how?: Cancellable,
  ): Promise<{ sumLogps: Float64Array; tokenCounts: Int32Array }>;
  /** Completion j after prompt `completionPrompts[j]`, as token ids. */
  scoreTokens(
    prompts: readonly Integers[], completions: readonly Integers[], completionPrompts: readonly number[], how?: Cancellable,
  ): Promise<{ sumLogps: Float64Array; tokenLogps: Float32Array }>;
  /** A reward model's scores. */
  reward(prompts: readonly string[], completions: readonly string[], how?: Cancellable): Promise<Float64Array>;
  rewardTokens(
    prompts: readonly Integers[], completions: readonly Integers[], completionPrompts: readonly number[], how?: Cancellable,
  ): Promise<Float64Array>;
  /** A list a prompt of `num_return_sequences` completions. */
  generate(
    prompts: readonly string[], options?: GenerationOptions,
    how?: Cancellable & { onToken?: (token: TokenEvent) => void | Promise<void> },
  ): Promise<Completion[][]>;
  /** Metrics on the rows of a file, and with `samples` of drawn answers: dpo_model_evaluate. */
  evaluate(
    data: string,
    how?: Cancellable & {
      options?: TrainOptions; samples?: GenerationOptions; reference?: Model; classifier?: Classifier; rewardModel?: Model;
    },
  ): Promise<Json>;
}

export interface DatasetInfo {
  rows: number;
  droppedRows: number;
  truncatedRows: number;
  identicalRows: number;
  duplicateRows: number;
  contradictingRows: number;
  tokens: number;
  longestRow: number;
  longerIsChosen: number;
}

export interface Reading {
  /** `tokenising` and others. */
  phase: string;
  /** Bytes; 0 where they are unknown. */
  done: number;
  total: number;
  rows: number;
}

export class Dataset extends Handle {
  /**
   * Files or directories, one after the other, read for the options' method: JSON lines, or what else docs/data.md tells of.
   * `onReading` is told how far they were read, a few times a second; what it throws ends the reading.
   */
  static open(
    model: Model, paths: string | readonly string[], options?: TrainOptions,
    how?: { onReading?: (reading: Reading) => void | Promise<void> },
  ): Promise<Dataset>;
  /** Rows such as `{prompt, chosen, rejected}`: docs/data.md. */
  static fromRows(model: Model, rows: readonly object[], options?: TrainOptions): Promise<Dataset>;
  /** Token ids, the end-of-sequence token included where it shall count. */
  static fromTokens(
    prompts: readonly Integers[], chosen: readonly Integers[], rejected: readonly Integers[], options?: TrainOptions,
  ): Promise<Dataset>;
  readonly info: DatasetInfo;
}

/** tf-idf and logistic regression: a judge of answers. */
export class Classifier extends Handle {
  static open(path: string): Promise<Classifier>;
  static train(
    texts: readonly string[], labels: readonly (boolean | number)[], options?: { cost?: number; folds?: number },
  ): Promise<Classifier>;
  save(path: string): Promise<void>;
  /** Log-odds of label 1. */
  score(texts: readonly string[]): Promise<Float64Array>;
}

export interface TrainEvent {
  kind: 'step' | 'evaluation' | 'checkpoint' | 'note' | 'progress' | 'other';
  /** The path of a checkpoint, a note's sentence, or the phase of which `done` of `total` rows are done. */
  text: string;
  done: number;
  total: number;
  /** Of steps and evaluations. */
  step?: number;
  totalSteps?: number;
  metrics?: Metrics;
}

type OnEvent = (event: TrainEvent) => void | Promise<void>;

export interface Answer {
  prompt: string | ChatMessage[];
  completion: string;
  promptIsChat: boolean;
  /** It ended by itself. */
  stopped: boolean;
}

export type RewardFunction = (answers: Answer[]) => Numbers | Promise<Numbers>;

/** The mean over machines of a step's flat gradient: what it returns, or what it made of its argument. */
export type ReduceFunction = (gradients: Float32Array) => Float32Array | void | Promise<Float32Array | void>;

export interface Parameter {
  /** Hugging Face's, or PEFT's for an adapter. */
  name: string;
  /** Where it begins in `parameterValues`. */
  offset: number;
  size: number;
  shape: number[];
}

export interface ForwardLogps {
  policyChosen: Float64Array;
  policyRejected: Float64Array;
  referenceChosen: Float64Array;
  referenceRejected: Float64Array;
}

/** The ranks of a training: several processes that train one model together (docs/scaling.md). */
export class Communicator extends Handle {
  /**
   * The processes that mpirun or srun started. `plugin`: the file of libdpo-mpi.so; by default the one beside libdpo.so, or where the
   * loader finds it. `timeout`: seconds that a rank may keep the others waiting.
   */
  static mpi(options?: { plugin?: string | null; timeout?: number }): Promise<Communicator>;
  /** Of this process, from 0. */
  readonly rank: number;
  readonly size: number;
  /** Ends every rank, this one too. */
  abort(exitStatus: number): void;
}

export class Trainer extends Handle {
  /**
   * `reference`: another model to compare with; by default the model as it was opened. `ranks`: where several processes train: all of
   * them make the trainer, and call its methods in the same order.
   */
  static create(what: {
    model: Model; dataset: Dataset; reference?: Model; evaluation?: Dataset; options?: TrainOptions; ranks?: Communicator;
  }): Promise<Trainer>;
  /** Steps, tokens, memory by part. */
  readonly plan: Json;
  readonly lastMetrics: Metrics;
  /** For methods that learn from the policy's own answers. */
  setReward(reward: RewardFunction | Model | Classifier, options?: { completionOnly?: boolean }): void;
  /**
   * What remains of the plan. `directory` gets checkpoints, final.h5 and report.html. `resume`: a checkpoint, or `'last'`. When
   * it is stopped it writes a checkpoint first.
   */
  run(directory: string, how?: Cancellable & { resume?: string | null; onEvent?: OnEvent }): Promise<void>;
  step(how?: Cancellable): Promise<Metrics>;
  /** Of the evaluation data set, or of another one that was read with the options of this trainer. */
  evaluate(how?: Cancellable & { dataset?: Dataset }): Promise<Metrics>;
  /** Log-probs of every row of a data set now; of a reward model its scores. No `backward` can follow. */
  score(dataset: Dataset, how?: Cancellable): Promise<ForwardLogps>;
  /** Log-probs of chosen rows, for a loss of your own: then `backward` and `apply`. */
  forward(rows: readonly number[], how?: Cancellable): Promise<ForwardLogps>;
  backward(gradientChosen: Numbers, gradientRejected: Numbers): Promise<void>;
  /** Of the last `forward`: for each row chosen, then rejected. */
  readonly tokenLogps: Float32Array;
  backwardTokens(gradients: Floats): Promise<void>;
  apply(): Promise<Metrics>;
  readonly parameters: Parameter[];
  /** A copy. What is assigned is copied as well. */
  parameterValues: Float32Array;
  /** A copy. */
  readonly parameterGradients: Float32Array;
  /** For training on several machines. null removes it. */
  setReduce(reduce: ReduceFunction | null): void;
  save(path: string): Promise<void>;
  load(path: string): Promise<void>;
  saveModel(path: string): Promise<void>;
}

export interface FeedbackResult {
  outcome: 'nothing new' | 'waiting' | 'finished' | 'stopped' | 'other';
  newRecords: number;
  replayed: number;
  skipped: number;
  steps: number;
}

/** A file of what people said of a model's answers. */
export class Feedback extends Handle {
  static open(path: string): Promise<Feedback>;
  /** The record's number; the record is on the disk then. */
  recordThumb(prompt: string, answer: string, up: boolean, options?: { weight?: number }): Promise<number>;
  recordChoice(prompt: string, chosen: string, rejected: string, options?: { weight?: number }): Promise<number>;
  record(row: object): Promise<number>;
  count(): Promise<number>;
  status(directory?: string | null): Promise<Json>;
  /** Trains the adapter in `directory` on what is new; adapter.h5 and adapter.gguf are there afterwards. */
  train(
    model: Model, directory: string, options?: FeedbackOptions, how?: Cancellable & { onEvent?: OnEvent },
  ): Promise<FeedbackResult>;
}

/** Summed log-probs of pairs, all of one length. */
export interface PairLogps {
  policyChosen: Numbers;
  policyRejected: Numbers;
  referenceChosen?: Numbers;
  referenceRejected?: Numbers;
  chosenTokens?: Integers;
  rejectedTokens?: Integers;
  weights?: Numbers;
}

export interface PairLosses {
  /** The mean. */
  loss: number;
  losses: Float64Array;
  gradientChosen: Float64Array;
  gradientRejected: Float64Array;
  rewardChosen: Float64Array;
  rewardRejected: Float64Array;
}

/** The loss of preference pairs, its gradient and rewards. */
export function loss(logps: PairLogps, options?: LossOptions): PairLosses;

/**
 * The loss of ranked answers (Plackett-Luce). Row i has `counts[i]` answers, which stand one after the other; lower ranks are
 * better.
 */
export function rankedLoss(
  beta: number, counts: readonly number[], ranks: Numbers, policy: Numbers,
  more?: { reference?: Numbers; weights?: Numbers },
): { loss: number; losses: Float64Array; gradients: Float64Array; rewards: Float64Array };

/** The closed form, where all answers can be listed: docs/closed-form.md. */
export function policyOptimum(
  referenceLogps: Numbers, rewards: Numbers, options?: LossOptions,
): { policyLogps: Float64Array; normalizer: number };
export function policyRewards(policyLogps: Numbers, referenceLogps: Numbers, options?: LossOptions): Float64Array;
export function policyDivergence(policyLogps: Numbers, referenceLogps: Numbers, options?: LossOptions): number;
/** Probabilities that the first answers are preferred. */
export function bradleyTerry(firstRewards: Numbers, secondRewards: Numbers): Float64Array;

/** Generalised advantage estimation over completions of `counts[i]` tokens. */
export function gae(
  rewards: Numbers, values: Numbers, counts: readonly number[], how?: { gamma?: number; lam?: number },
): { advantages: Float64Array; returns: Float64Array };
export interface PpoTokens {
  logps: Floats;
  oldLogps: Floats;
  advantages: Floats;
  /** All three, or none. */
  values?: Floats;
  oldValues?: Floats;
  returns?: Floats;
}
export function ppoLoss(
  tokens: PpoTokens, options?: PpoOptions,
): { loss: number; gradientLogps: Float64Array; gradientValues: Float64Array };

/** What a model, adapter, checkpoint or data file holds. */
export function inspect(path: string): Promise<Json>;
export function trainTokenizer(paths: readonly string[], directory: string, options?: TokenizerOptions): Promise<void>;
export function createModel(shape: ModelShape, output: string): Promise<void>;
export type ExportFormat = 'hdf5' | 'safetensors' | 'gguf' | 'peft' | 'gguf-lora';
export function exportModel(input: string, format: ExportFormat, output: string, options?: ExportOptions): Promise<void>;
/** Whether what was learned survives an export. */
export function checkExport(
  input: string, output: string, data: string, how?: { reference?: string | null; options?: ExportOptions },
): Promise<Json>;
/** Name, type, default, choices and help of every option. */
export function describeOptions(
  kind: 'training' | 'feedback_training' | 'generation' | 'feedback' | 'tokenizer' | 'shape' | 'export' | 'loss' | 'ppo',
): Json[];
