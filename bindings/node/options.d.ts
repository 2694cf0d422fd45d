// Made by options/generate.py from the tables beside it.

/** What the losses of dpo.h are called: docs/losses.md. */
export type LossType =
  | 'sigmoid' | 'hinge' | 'ipo' | 'exo_pair' | 'nca_pair' | 'robust' | 'bco_pair' | 'sppo_hard' | 'aot' | 'aot_unpaired'
  | 'apo_zero' | 'apo_down' | 'discopop' | 'sft' | 'sigmoid_norm' | 'conservative';

/** How losses of pairs, and the closed form of what they maximise, are computed. */
export interface LossOptions {
  /**
   * β, how strongly the policy is held to the reference model: the smaller, the further it may go. More than 0. Left
   * out: 0.1.
   */
  beta?: number;
  /**
   * ε, the share of labels that are assumed to be swapped. For the losses exo_pair, which needs (0, 1), robust, which
   * needs [0, 0.5), aot, aot_unpaired and conservative. 0 to 1. Left out: 0.
   */
  label_smoothing?: number;
  /** Temperature of the discopop loss. More than 0. Left out: 0.05. */
  discopop_tau?: number;
  /** Coefficient of alpha_divergence. Left out: 0.5. */
  f_alpha_divergence_coef?: number;
  /**
   * The divergence from the reference model that the loss assumes. The paper's is reverse_kl. One of "reverse_kl",
   * "forward_kl", "js_divergence", "alpha_divergence". Left out: "reverse_kl".
   */
  f_divergence?: 'reverse_kl' | 'forward_kl' | 'js_divergence' | 'alpha_divergence';
  /** Reference log-probs count as 0, and may be left out. Left out: off. */
  reference_free?: boolean;
  /** The losses, summed. Left out: "sigmoid". */
  loss_types?: LossType[];
  /** Weight of each of the loss_types; empty: 1 each. */
  loss_weights?: number[];
}

/** How PPO's loss of tokens is computed. */
export interface PpoOptions {
  /** ε of PPO's clipped objective: how far the ratio π/π_old counts. At least 0. Left out: 0.2. */
  cliprange?: number;
  /** How far a value may move from the rollout's before the loss stops following. At least 0. Left out: 0.2. */
  cliprange_value?: number;
  /** Weight of the value function's loss. At least 0. Left out: 0.1. */
  vf_coef?: number;
}

/** How a model is trained. */
export interface TrainOptions {
  /**
   * What is trained, and on which rows. "dpo" on pairs; "ranked" on ranked answers; "sft" on demonstrations, or on the
   * chosen side of pairs; "pretrain" on plain text; "kto" on thumbs up and down; "bco" on thumbs up and down; "cpo"
   * CPO, SimPO or AlphaPO on pairs without a reference model; "orpo" on pairs without a reference model; "unlikelihood"
   * on pairs, the DPO paper's baseline; "reward" a reward model on pairs; "ppo" on the policy's own answers to prompts,
   * by a reward; "rloo" the same without a value function, by leave-one-out means; "grpo" the same by standardised
   * groups; "online_dpo" DPO on its best and worst answers. Left out: "dpo".
   */
  method?:
    | 'dpo' | 'ranked' | 'sft' | 'pretrain' | 'kto' | 'bco' | 'cpo' | 'orpo' | 'unlikelihood' | 'reward' | 'ppo' |
    'rloo' | 'grpo' | 'online_dpo';
  /**
   * The loss; several are summed with loss_weights. dpo and online_dpo: the DPO losses. cpo: sigmoid, hinge, ipo, simpo
   * or alphapo. kto: kto or apo_zero_unpaired. sft: nll or dft. A method that finds the default here takes its own.
   * Source: paper, equation 7: sigmoid. Left out: "sigmoid". For dpo, sft, kto, cpo and online_dpo.
   */
  loss_type?: string[];
  /** Weight of each loss in loss_type; empty: 1 each. For dpo and online_dpo. */
  loss_weights?: number[];
  /**
   * β, how strongly the policy is held to the reference model: the smaller, the further it may go. orpo: the paper's λ.
   * Source: paper, equation 3. More than 0. Left out: 0.1. For dpo, ranked, kto, bco, cpo, orpo and online_dpo.
   */
  beta?: number;
  /**
   * ε, the share of labels that are assumed to be swapped. For the losses exo_pair, robust, aot, aot_unpaired and
   * conservative, and for cpo. 0 to 1. Left out: 0. For dpo, cpo and online_dpo.
   */
  label_smoothing?: number;
  /**
   * The divergence from the reference model that the loss assumes. The paper's is reverse_kl. One of "reverse_kl",
   * "forward_kl", "js_divergence", "alpha_divergence". Left out: "reverse_kl". For dpo and online_dpo.
   */
  f_divergence_type?: 'reverse_kl' | 'forward_kl' | 'js_divergence' | 'alpha_divergence';
  /** Coefficient of alpha_divergence. Left out: 0.5. For dpo and online_dpo. */
  f_alpha_divergence_coef?: number;
  /** Temperature of the discopop loss. More than 0. Left out: 0.05. For dpo and online_dpo. */
  discopop_tau?: number;
  /**
   * LD-DPO: weight of the tokens that the longer completion has beyond the shorter one. 0 to 1. Left out: 1. For dpo
   * and online_dpo.
   */
  ld_alpha?: number | null;
  /** WPO: weight each pair by how likely the policy is to write it. Left out: off. For dpo and online_dpo. */
  use_weighting?: boolean;
  /** On rows of prompt and completion: learn the completion only. Left out: on. For sft. */
  completion_only_loss?: boolean;
  /** On rows of messages: learn only what the chat template writes inside {% generation %}. Left out: off. For sft. */
  assistant_only_loss?: boolean;
  /**
   * Fill sequences of max_length tokens with as many rows as fit, in TRL's order. Rows of one sequence never see each
   * other. Batches then count such sequences. Left out: off. For sft.
   */
  packing?: boolean;
  /** Factor on the loss of rows with a thumb up. At least 0. Left out: 1. For kto. */
  desirable_weight?: number;
  /** Factor on the loss of rows with a thumb down. At least 0. Left out: 1. For kto. */
  undesirable_weight?: number;
  /**
   * Weight of the chosen completions' negative log-likelihood. SimPO as published has none: 0. At least 0. Left out: 1.
   * For cpo.
   */
  cpo_alpha?: number;
  /** simpo's γ: the margin between the rewards that the loss asks for. Left out: 0.5. For cpo. */
  simpo_gamma?: number;
  /** AlphaPO's shape of the reward, (1 − p^−alpha) / alpha; 0: the log-prob. Left out: 0. For cpo. */
  alpha?: number;
  /**
   * Weight of the rejected completions' log-likelihood, which is taken from that of the chosen ones. Source: paper,
   * appendix C.2; not in TRL. 0 to 1. Left out: 1. For unlikelihood.
   */
  unlikelihood_alpha?: number;
  /**
   * Weight of the mean of (chosen + rejected)², which keeps a reward model's scores near 0. At least 0. Left out: none;
   * 0.01 is usual. For reward.
   */
  center_rewards_coefficient?: number | null;
  /** Take the reference model's log-probs as 0. Left out: off. For dpo, ranked, kto and bco. */
  reference_free?: boolean;
  /**
   * Compute the reference log-probs of all rows before the first step, and keep them in the output directory. Left out:
   * off. For dpo, ranked, kto and bco.
   */
  precompute_ref_log_probs?: boolean;
  /**
   * TR-DPO: move the reference model towards the policy every ref_model_sync_steps. Full training only. Left out: off.
   * For dpo, ranked, kto and bco.
   */
  sync_ref_model?: boolean;
  /** TR-DPO: weight of the policy in the new reference model. 0 to 1. Left out: 0.6. For dpo, ranked, kto and bco. */
  ref_model_mixup_alpha?: number;
  /** TR-DPO: optimiser steps between two syncs. At least 1. Left out: 512. For dpo, ranked, kto and bco. */
  ref_model_sync_steps?: number;
  /**
   * β, the weight of the KL penalty: ppo takes it from the reward of every token, rloo from that of a completion, grpo
   * adds it to the loss. At least 0. Left out: 0.05 for ppo and rloo, 0 for grpo. For ppo, rloo and grpo.
   */
  kl_coef?: number | null;
  /**
   * KL of a token from k = log π − log π_ref. k1 is k, k3 is e^−k − 1 + k. One of "k1", "k3". Left out: "k1". For ppo.
   */
  kl_estimator?: 'k1' | 'k3';
  /**
   * KL of a completion, in nats, that kl_coef is steered towards after each rollout. Source: Ziegler et al. 2019; not
   * in TRL 1.16. At least 1e-9. Left out: kl_coef is fixed. For ppo and rloo.
   */
  kl_target?: number | null;
  /** Completions over which kl_coef adapts to kl_target. More than 0. Left out: 10000. For ppo and rloo. */
  kl_horizon?: number;
  /**
   * Stop the run when the mean KL of a rollout's completions, in nats, is above this. Source: not in TRL. At least 0.
   * Left out: 200; null: never. For ppo, rloo, grpo and online_dpo.
   */
  max_kl?: number | null;
  /**
   * ε of PPO's clipped objective: how far the ratio π/π_old counts. At least 0. Left out: 0.2. For ppo, rloo and grpo.
   */
  cliprange?: number;
  /**
   * How far a value may move from the rollout's before the loss stops following. At least 0. Left out: 0.2. For ppo.
   */
  cliprange_value?: number;
  /** Weight of the value function's loss. At least 0. Left out: 0.1. For ppo. */
  vf_coef?: number;
  /** γ, discount of later rewards. 0 to 1. Left out: 1. For ppo. */
  gamma?: number;
  /** λ of generalised advantage estimation. 0 to 1. Left out: 0.95. For ppo. */
  lam?: number;
  /** Scale the rewards of a rollout to variance 1. Left out: off. For ppo. */
  whiten_rewards?: boolean;
  /**
   * Passes over each rollout. 1 to 1000. Left out: 4 for ppo, 1 for rloo, grpo and online_dpo. For ppo, rloo, grpo and
   * online_dpo.
   */
  num_ppo_epochs?: number | null;
  /**
   * Optimiser steps that a pass over a rollout is divided into. A rollout has per_device_train_batch_size ×
   * gradient_accumulation_steps rows. 1 to 1000000. Left out: 1. For ppo, rloo, grpo and online_dpo.
   */
  num_mini_batches?: number;
  /**
   * Completions of each prompt. 2 to 1024. Left out: 2 for rloo and online_dpo, 8 for grpo. For rloo, grpo and
   * online_dpo.
   */
  num_generations?: number | null;
  /**
   * Most tokens of a completion that the policy draws. At least 1. Left out: 53 for ppo, 512 for rloo and grpo, 64 for
   * online_dpo. For ppo, rloo, grpo and online_dpo.
   */
  max_completion_length?: number | null;
  /**
   * Temperature of the policy's draws. ppo, rloo and grpo take all log-probs at it. 0.001 to 1000. Left out: 0.7 for
   * ppo, 1 for rloo and grpo, 0.9 for online_dpo. For ppo, rloo, grpo and online_dpo.
   */
  temperature?: number | null;
  /**
   * Taken from the score of a completion that does not end by itself. At least 0. Left out: none. For ppo, rloo, grpo
   * and online_dpo.
   */
  missing_eos_penalty?: number | null;
  /**
   * Peak learning rate. With LoRA, 1e-4 to 2e-4 is usual for every method. At least 0. Left out: 2e-5 for sft, 5e-4 for
   * pretrain, 1e-4 for reward, 3e-6 for ppo, 5e-7 for online_dpo, 1e-6 for the others.
   */
  learning_rate?: number | null;
  /**
   * How the learning rate changes over the steps. One of "linear", "cosine", "constant", "constant_with_warmup",
   * "cosine_with_restarts", "polynomial", "inverse_sqrt". Left out: "linear".
   */
  lr_scheduler_type?:
    | 'linear' | 'cosine' | 'constant' | 'constant_with_warmup' | 'cosine_with_restarts' | 'polynomial' | 'inverse_sqrt';
  /** Steps over which the rate rises from 0; below 1: that fraction of all steps. 0 to 2147483647. Left out: 0. */
  warmup_steps?: number;
  /** Decoupled weight decay; sgd adds it to the gradients. Biases and norms are exempt. At least 0. Left out: 0. */
  weight_decay?: number;
  /** Decay of AdamW's first moment; Lion's β1. 0 to 0.999999999. Left out: 0.9. */
  adam_beta1?: number;
  /** Decay of AdamW's second moment; Lion's β2, which its paper has at 0.99. 0 to 0.999999999. Left out: 0.999. */
  adam_beta2?: number;
  /** Added to AdamW's denominator. At least 0. Left out: 1e-8. */
  adam_epsilon?: number;
  /**
   * The optimiser. adamw_torch, also called adamw_torch_fused, keeps 8 bytes for each number that is trained;
   * adamw_8bit, also called adamw_bnb_8bit, 2; adafactor next to none; lion_32bit 4; lion_8bit 1; sgd none, or 4 with
   * momentum. Others than AdamW want other learning rates: Lion a third to a tenth of AdamW's, sgd a far higher one.
   * One of "adamw_torch", "adamw_torch_fused", "adamw_8bit", "adamw_bnb_8bit", "adafactor", "lion_32bit", "lion_8bit",
   * "sgd". Left out: "adamw_torch".
   */
  optim?:
    | 'adamw_torch' | 'adamw_torch_fused' | 'adamw_8bit' | 'adamw_bnb_8bit' | 'adafactor' | 'lion_32bit' | 'lion_8bit' |
    'sgd';
  /** Settings of sgd: momentum=0.9, dampening=0, nesterov=true. The other optimisers have none. */
  optim_args?: string[];
  /**
   * What adamw_torch, lion_32bit and sgd keep their states in: bf16 takes half as much memory. Numbers are rounded up
   * or down by chance, the same in every run. One of "fp32", "bf16". Source: not in TRL. Left out: "fp32".
   */
  optim_state_dtype?: 'fp32' | 'bf16';
  /** Gradients are scaled down to this global norm; 0: never. At least 0. Left out: 1. */
  max_grad_norm?: number;
  /** Rows of a micro-batch. pretrain, and sft with packing: sequences of max_length tokens. At least 1. Left out: 8. */
  per_device_train_batch_size?: number;
  /** Rows of an evaluation batch. At least 1. Left out: 8. */
  per_device_eval_batch_size?: number;
  /** Micro-batches of an optimiser step. At least 1. Left out: 1. */
  gradient_accumulation_steps?: number;
  /** Passes over the data, unless max_steps is set. More than 0, at most 1000000. Left out: 3. */
  num_train_epochs?: number;
  /** Optimiser steps; -1: as many as num_train_epochs gives. At least -1. Left out: -1. */
  max_steps?: number;
  /** A new order of rows each epoch, as TRL draws it. Source: TRL: shuffle_dataset. Left out: on. */
  shuffle?: boolean;
  /** Seed of the row order, of LoRA's first weights and of dropout. 0 to 4294967295. Left out: 42. */
  seed?: number;
  /** Seed of the row order alone. 0 to 4294967295. Left out: seed. */
  data_seed?: number | null;
  /**
   * Tokens of prompt and completion that are kept. pretrain: longer documents are cut into such pieces. At least 1.
   * Left out: 1024; 0: all of them.
   */
  max_length?: number | null;
  /**
   * Where the tokens of files of rows are kept, so that the next run reads them from there, with hardly any memory: a
   * directory; none: rows are in memory; auto: files of more than 256 MB are cached in .dpo-cache beside them. Results
   * do not depend on it. Left out: "auto".
   */
  data_cache?: string;
  /** Which end of a row longer than max_length is kept. One of "keep_start", "keep_end". Left out: "keep_start". */
  truncation_mode?: 'keep_start' | 'keep_end';
  /** Rank of a new LoRA adapter; 0: train every weight. Source: PEFT: r. 0 to 65536. Left out: 0. */
  lora_r?: number;
  /** The adapter is scaled by lora_alpha / lora_r. At least 0. Left out: lora_r. */
  lora_alpha?: number | null;
  /** Dropout before the adapter's matrix A. Needs disable_dropout off. 0 to 0.999999. Left out: 0. */
  lora_dropout?: number;
  /**
   * Modules that get an adapter: names such as q_proj, or all-linear; empty: PEFT's choice for the family. Source:
   * PEFT: target_modules.
   */
  lora_target_modules?: string[];
  /** Scale by lora_alpha / √lora_r instead. Left out: off. */
  use_rslora?: boolean;
  /** What the adapter's matrix A is drawn from. B starts at 0. One of "kaiming", "gaussian". Left out: "kaiming". */
  init_lora_weights?: 'kaiming' | 'gaussian';
  /** No dropout in policy and reference model. Left out: on. */
  disable_dropout?: boolean;
  /** Steps between evaluations; 0: at the end of every epoch. At least 0. Left out: 0. */
  eval_steps?: number;
  /** Steps between checkpoints; 0: only the final model. At least 0. Left out: 500. */
  save_steps?: number;
  /** Checkpoints that are kept; the oldest go first. At least 1. Left out: all. */
  save_total_limit?: number | null;
  /**
   * Steps between writes of the one file that a crashed run resumes from; 0: never, -1: every step for LoRA, never for
   * full training. Source: not in TRL. At least -1. Left out: -1.
   */
  autosave_steps?: number;
  /** Start anew in a directory that holds an earlier run. Left out: off. */
  overwrite_output_dir?: boolean;
  /**
   * Keep each block's input alone and compute the rest again in the backward pass: less memory, the same numbers. Left
   * out: off.
   */
  gradient_checkpointing?: boolean;
  /**
   * Directory on a disk for the optimizer's states and for what the forward pass keeps for the backward pass: memory
   * holds of them what it has room for. Nothing remains there. Changes no number. Left out: all is in memory.
   */
  offload?: string;
  /**
   * Update the weights of a layer as soon as the backward pass has its gradients, whose memory the next layer then
   * takes: full training without 4 bytes of gradients for each number. Needs max_grad_norm 0 and steps of one
   * micro-batch. Source: torchtune: optimizer_in_bwd. Left out: off.
   */
  optimizer_in_backward?: boolean;
  /**
   * Arithmetic of the linear layers. Weights, sums and log-probs are fp32 in both; bf16 is faster on processors that
   * have instructions for it and takes the time of fp32 elsewhere. One of "fp32", "bf16". Left out: "fp32".
   */
  precision?: 'fp32' | 'bf16';
  /** Compute threads; 0: one a core, and at most that many. Results do not depend on it. 0 to 1024. Left out: 0. */
  threads?: number;
  /** Refuse a run whose plan needs more MiB; 0: what the machine has free. At least 0. Left out: 0. */
  memory_limit_mb?: number;
  /**
   * Inner loops to compute with; auto: the best for this processor. Engines differ in the last bits of their results.
   * One of "auto", "avx512", "avx2", "neon", "portable", "openblas". Left out: "auto".
   */
  engine?: 'auto' | 'avx512' | 'avx2' | 'neon' | 'portable' | 'openblas';
  /**
   * Adds up the gradients of a step's micro-batches in one order, so that a run ends in the same bits on any number of
   * ranks. Takes another buffer for them where a rank has several micro-batches a step. false: each rank adds up its
   * own first. Source: libdpo. Left out: on.
   */
  reproducible_sums?: boolean;
  /**
   * Weight of the auxiliary loss of a mixture's routers, which is the lower the more evenly they use the experts; 0:
   * without it. Other models have none. At least 0. Left out: what the model's config.json says, 0.01 or 0.001 without
   * it. For dpo, sft, pretrain, kto, rloo and grpo.
   */
  router_aux_loss_coef?: number | null;
  /**
   * Multiply the KL penalty of each token by its ratio π/π_old, so that its gradient is that of the KL from the
   * reference, without bias. Source: TRL; DeepSeek-V3.2. Left out: on. For grpo.
   */
  use_bias_correction_kl?: boolean;
}

/** How completions are drawn. Warpers apply in Hugging Face's order: temperature, top-k, top-p, min-p. */
export interface GenerationOptions {
  /** Most tokens of a completion. At least 1. Left out: 128. */
  max_new_tokens?: number;
  /** Sampling temperature; 0: greedy. At least 0. Left out: 1. */
  temperature?: number;
  /** Sample among so many of the likeliest tokens; 0: all. At least 0. Left out: 0. */
  top_k?: number;
  /**
   * Sample among the likeliest tokens that have this probability together; 1: all. More than 0, at most 1. Left out: 1.
   */
  top_p?: number;
  /** Leave out tokens less likely than this share of the likeliest one's probability; 0: none. 0 to 1. Left out: 0. */
  min_p?: number;
  /**
   * A completion depends on the seed and its indices alone, not on what else is in the batch. At least 0. Left out: 42.
   */
  seed?: number;
  /** Completions of each prompt. 1 to 4096. Left out: 1. */
  num_return_sequences?: number;
  /** Off for prompts that a chat template wrote: they hold their special tokens already. Left out: on. */
  add_special_tokens?: boolean;
  /**
   * Arithmetic of the products with weights; bf16 rounds both factors and reads half the bytes. One of "fp32", "bf16".
   * Left out: "fp32".
   */
  precision?: 'fp32' | 'bf16';
}

/** How feedback is trained on. */
export interface FeedbackOptions {
  /**
   * Stop after so many seconds. What was learned is kept, and the next call goes on. More than 0. Left out: no limit.
   */
  max_seconds?: number | null;
  /**
   * Older records that a session mixes in, drawn at random, for each new one; 1: as many old as new. 0 to 1000. Left
   * out: 0.
   */
  replay?: number;
  /** New records to wait for before a session begins. At least 1. Left out: 8. */
  min_records?: number;
  /** Start anew: a new adapter, to which every record is new. Left out: off. */
  retrain?: boolean;
  /** Options of the runs, with feedback's own defaults. The records decide the method. */
  training?: TrainOptions;
}

/** How a byte-level BPE tokenizer is learned from text. */
export interface TokenizerOptions {
  /**
   * Tokens, special ones and the 256 bytes included. There are fewer where the text has no more pairs. At least 1. Left
   * out: 8192.
   */
  vocabulary_size?: number;
  /** Pairs that occur less often become no token. At least 0. Left out: 2. */
  minimum_frequency?: number;
  /** How text is cut into words. One of "gpt2", "smollm", "llama3", "qwen2". Left out: "gpt2". */
  pre_tokenizer?: 'gpt2' | 'smollm' | 'llama3' | 'qwen2';
  /** "chatml", or Jinja. chatml also makes <|im_end|> the token that ends answers. Left out: none. */
  chat_template?: string;
  /** Begins a sequence. Left out: <|endoftext|>. */
  bos_token?: string;
  /** Ends documents and answers. Left out: <|endoftext|>, with chatml <|im_end|>. */
  eos_token?: string;
  /** Fills up batches in other programs. Left out: <|endoftext|>. */
  pad_token?: string;
  /** More tokens that are never part of a word, in the order of their ids. */
  special_tokens?: string[];
  /** Replace what stands there. Left out: off. */
  overwrite?: boolean;
}

/** The sizes of a new model. What is not set follows from the others as the family's models usually have it. */
export interface ModelShape {
  /** Family of the model, by the model_type of Hugging Face's config.json. Left out: "llama". */
  family?: string;
  /** A directory with tokenizer.json, or a model: the new model gets its tokenizer. Left out: none. */
  tokenizer?: string;
  /** Tokens of the vocabulary. At least 1. Left out: the tokenizer's. */
  vocabulary_size?: number | null;
  /** Width of the hidden states. At least 1. Left out: 256. */
  hidden_size?: number;
  /** Number of blocks. At least 1. Left out: 4. */
  layers?: number;
  /** Attention heads. At least 1. Left out: one for every 64 of hidden_size. */
  heads?: number | null;
  /** Heads of keys and values. At least 1. Left out: heads. */
  kv_heads?: number | null;
  /**
   * Width of the MLP. At least 1. Left out: 8/3 of hidden_size, rounded up to a multiple of 32; gpt2: 4 times
   * hidden_size.
   */
  intermediate_size?: number | null;
  /** Tokens that the model reads at most. At least 1. Left out: 1024. */
  context_length?: number;
  /** The head is the token embedding. Left out: on. */
  tie_word_embeddings?: boolean;
  /** Standard deviation of the weights. At least 0. Left out: 0.02. */
  initializer_range?: number;
  /** Seed of the weights: equal shapes and seeds give equal files. At least 0. Left out: 42. */
  seed?: number;
  /** Replace what stands there. Left out: off. */
  overwrite?: boolean;
}

/** How a model or adapter is converted. */
export interface ExportOptions {
  /** An adapter to put on the model. Left out: none. */
  adapter?: string;
  /** The model of an adapter whose file names it no more. Left out: the one that the adapter's file names. */
  base?: string;
  /**
   * Number format of the weights. q8_0 is for GGUF models only; HDF5 is always f32. One of "f32", "f16", "bf16",
   * "q8_0". Left out: "f32".
   */
  dtype?: 'f32' | 'f16' | 'bf16' | 'q8_0';
  /** Add the adapter into the weights. Left out: off. */
  merge?: boolean;
  /** Replace what stands there. Left out: off. */
  overwrite?: boolean;
}
