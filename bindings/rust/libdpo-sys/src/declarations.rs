// Made by options/generate.py from include/dpo.h.

use std::marker::{PhantomData, PhantomPinned};
use std::os::raw::{c_char, c_void};

pub const DPO_VERSION_MAJOR: i32 = 0;

pub const DPO_VERSION_MINOR: i32 = 1;

pub const DPO_VERSION_PATCH: i32 = 0;

/// To compare versions: 10000 major + 100 minor + patch.
pub const DPO_VERSION_NUMBER: i32 = DPO_VERSION_MAJOR * 10000 + DPO_VERSION_MINOR * 100 + DPO_VERSION_PATCH;

/// Equals the number in the soname, libdpo.so.0.
pub const DPO_ABI_VERSION: i32 = 0;

pub const DPO_OK: i32 = 0;
/// an argument or option is out of range, NULL, or does not go with another
pub const DPO_ERROR_INVALID_ARGUMENT: i32 = -1;
/// the operating system refused to read or write a file
pub const DPO_ERROR_IO: i32 = -2;
/// a file or text is damaged or of another kind than expected
pub const DPO_ERROR_FORMAT: i32 = -3;
/// valid, but not served by this version
pub const DPO_ERROR_UNSUPPORTED: i32 = -4;
/// things that do not belong together: an adapter of another model, …
pub const DPO_ERROR_MISMATCH: i32 = -5;
/// the plan exceeds the limit, or memory could not be had
pub const DPO_ERROR_MEMORY: i32 = -6;
/// NaN or infinity in a loss, gradient or weight; the step was not applied
pub const DPO_ERROR_NON_FINITE: i32 = -7;
/// a callback or a _cancel function asked to stop
pub const DPO_ERROR_CANCELLED: i32 = -8;
/// the call does not fit the handle's state, or another thread is using it
pub const DPO_ERROR_STATE: i32 = -9;
/// a defect in libdpo
pub const DPO_ERROR_INTERNAL: i32 = -10;
/// training left its bounds: the policy went too far from its reference (max_kl)
pub const DPO_ERROR_DIVERGED: i32 = -11;

/// Options by name, for languages that do not read this header: a handle instead of a struct whose fields have to be
/// counted.
///
///     dpo_options *options;
///     check(dpo_options_create("training", &options));
///     check(dpo_options_set(options, "lora_r", "16"));
///     check(dpo_options_set_json(options, "{\"lora_target_modules\": [\"q_proj\", \"v_proj\"], \"learning_rate\": 1e-4}"));
///     check(dpo_trainer_create(model, NULL, data, NULL, dpo_options_struct(options), &trainer));
///     dpo_options_release(options);
#[repr(C)]
pub struct dpo_options {
    _data: [u8; 0],
    _marker: PhantomData<(*mut u8, PhantomPinned)>,
}

/// DPO losses by TRL's names. Formulas: docs/losses.md; SIGMOID is the paper's equation 7.
pub type dpo_loss_type = i32;
/// DPO (Rafailov et al. 2023, equation 7)
pub const DPO_LOSS_SIGMOID: i32 = 0;
/// SLiC-HF's hinge on the DPO margin (Zhao et al. 2023)
pub const DPO_LOSS_HINGE: i32 = 1;
/// IPO (Azar et al. 2023, equation 17), on length-normalised log-ratios as in TRL
pub const DPO_LOSS_IPO: i32 = 2;
/// EXO for pairs (Ji et al. 2024, equation 16)
pub const DPO_LOSS_EXO_PAIR: i32 = 3;
/// NCA for pairs (Chen et al. 2024)
pub const DPO_LOSS_NCA_PAIR: i32 = 4;
/// Robust DPO, unbiased under flipped labels (Chowdhury et al. 2024)
pub const DPO_LOSS_ROBUST: i32 = 5;
/// BCO on pairs (Jung et al. 2024), without the running mean
pub const DPO_LOSS_BCO_PAIR: i32 = 6;
/// SPPO with hard labels (Wu et al. 2024)
pub const DPO_LOSS_SPPO_HARD: i32 = 7;
/// AOT: stochastic dominance over the batch, paired (Melnyk et al. 2024)
pub const DPO_LOSS_AOT: i32 = 8;
/// AOT over unpaired samples
pub const DPO_LOSS_AOT_UNPAIRED: i32 = 9;
/// APO-zero (D'Oosterlinck et al. 2024): raises chosen, lowers rejected
pub const DPO_LOSS_APO_ZERO: i32 = 10;
/// APO-down: lowers both, the rejected more
pub const DPO_LOSS_APO_DOWN: i32 = 11;
/// DiscoPOP, the log-ratio modulated loss (Lu et al. 2024)
pub const DPO_LOSS_DISCOPOP: i32 = 12;
/// Negative log-likelihood of the chosen completion, token mean over the micro-batch (the RPO term)
pub const DPO_LOSS_SFT: i32 = 13;
/// DPO on length-normalised log-ratios
pub const DPO_LOSS_SIGMOID_NORM: i32 = 14;
/// cDPO: sigmoid with labels flipped with probability label_smoothing (Mitchell 2023)
pub const DPO_LOSS_CONSERVATIVE: i32 = 15;

pub type dpo_f_divergence = i32;
/// f(t) = t: the divergence of DPO itself
pub const DPO_F_REVERSE_KL: i32 = 0;
/// f(t) = 1 − e^−t
pub const DPO_F_FORWARD_KL: i32 = 1;
/// f(t) = log 2 + log σ(t)
pub const DPO_F_JS_DIVERGENCE: i32 = 2;
/// f(t) = (e^((c−1)t) − 1)/(c − 1), c = f_alpha_divergence_coef; t itself where c is 1
pub const DPO_F_ALPHA_DIVERGENCE: i32 = 3;

#[repr(C)]
#[derive(Clone, Copy)]
pub struct dpo_loss_options {
    /// sizeof, set by the init function
    pub struct_size: usize,
    /// β, how strongly the policy is held to the reference model: the smaller, the further it may go. More than 0.
    /// Default 0.1.
    pub beta: f64,
    /// ε, the share of labels that are assumed to be swapped. For the losses exo_pair, which needs (0, 1), robust,
    /// which needs \[0, 0.5), aot, aot_unpaired and conservative. 0 to 1. Default 0.
    pub label_smoothing: f64,
    /// Temperature of the discopop loss. More than 0. Default 0.05.
    pub discopop_tau: f64,
    /// Coefficient of alpha_divergence. Default 0.5.
    pub f_alpha_divergence_coef: f64,
    /// The divergence from the reference model that the loss assumes. The paper's is reverse_kl. One of
    /// dpo_f_divergence. Default DPO_F_REVERSE_KL.
    pub f_divergence: i32,
    /// Reference log-probs count as 0, and may be left out. Default 0.
    pub reference_free: i32,
    /// The losses, summed. Values of dpo_loss_type. Default NULL: DPO_LOSS_SIGMOID.
    pub loss_types: *const i32,
    /// Weight of each of the loss_types; empty: 1 each. Default NULL.
    pub loss_weights: *const f64,
    /// length of both; 0 when loss_types is NULL
    pub loss_count: usize,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct dpo_ppo_options {
    /// sizeof, set by the init function
    pub struct_size: usize,
    /// ε of PPO's clipped objective: how far the ratio π/π_old counts. At least 0. Default 0.2.
    pub cliprange: f64,
    /// How far a value may move from the rollout's before the loss stops following. At least 0. Default 0.2.
    pub cliprange_value: f64,
    /// Weight of the value function's loss. At least 0. Default 0.1.
    pub vf_coef: f64,
}

#[repr(C)]
pub struct dpo_model {
    _data: [u8; 0],
    _marker: PhantomData<(*mut u8, PhantomPinned)>,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct dpo_model_info {
    /// set by the caller to sizeof(dpo_model_info)
    pub struct_size: usize,
    /// numbers in the model, tied ones once
    pub parameters: u64,
    /// size of the weights as they lie in the file
    pub mapped_bytes: u64,
    pub vocabulary_size: i32,
    pub hidden_size: i32,
    pub layers: i32,
    /// tokens
    pub context_length: i32,
    /// -1: none
    pub eos_token: i32,
    /// -1: none
    pub bos_token: i32,
    pub has_chat_template: i32,
    pub has_adapter: i32,
    /// the family: "llama", "qwen3", "gemma3", ... (docs/models.md)
    pub architecture: [c_char; 32],
    /// "gguf", "huggingface", "hdf5"
    pub format: [c_char; 16],
    /// it scores text (dpo_model_reward_…) and has no log-probs
    pub is_reward_model: i32,
}

#[repr(C)]
pub struct dpo_dataset {
    _data: [u8; 0],
    _marker: PhantomData<(*mut u8, PhantomPinned)>,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct dpo_dataset_info {
    /// set by the caller
    pub struct_size: usize,
    pub rows: u64,
    /// prompt not shorter than max_length
    pub dropped_rows: u64,
    pub truncated_rows: u64,
    /// chosen equals rejected, or all ranked tie: no gradient from them
    pub identical_rows: u64,
    pub duplicate_rows: u64,
    /// the same pair the other way round
    pub contradicting_rows: u64,
    /// distinct tokens, prompts counted once a pair
    pub tokens: u64,
    /// tokens of the longest prompt + completion
    pub longest_row: u64,
    /// fraction of pairs; 0.5 is no length bias
    pub longer_is_chosen: f64,
}

/// Is told how far rows were read, a few times a second, on the calling thread. `phase`: "tokenising" and others;
/// bytes done and
/// of all, 0 where they are unknown; rows done. What it returns other than 0 ends the reading (CANCELLED).
pub type dpo_reading_callback =
    Option<unsafe extern "C" fn(phase: *const c_char, done: u64, total: u64, rows: u64, user_data: *mut c_void) -> i32>;

/// Names, defaults and ranges are those of `dpo train --help` and of TrainingOptions in Swift. Leave options that the
/// method
/// does not use at their defaults.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct dpo_train_options {
    /// sizeof, set by the init function
    pub struct_size: usize,
    /// What is trained, and on which rows. "dpo" on pairs; "ranked" on ranked answers; "sft" on demonstrations, or on
    /// the chosen side of pairs; "pretrain" on plain text; "kto" on thumbs up and down; "bco" on thumbs up and down;
    /// "cpo" CPO, SimPO or AlphaPO on pairs without a reference model; "orpo" on pairs without a reference model;
    /// "unlikelihood" on pairs, the DPO paper's baseline; "reward" a reward model on pairs; "ppo" on the policy's own
    /// answers to prompts, by a reward; "rloo" the same without a value function, by leave-one-out means; "grpo" the
    /// same by standardised groups; "online_dpo" DPO on its best and worst answers. Default "dpo".
    pub method: *const c_char,
    /// The loss; several are summed with loss_weights. dpo and online_dpo: the DPO losses. cpo: sigmoid, hinge, ipo,
    /// simpo or alphapo. kto: kto or apo_zero_unpaired. sft: nll or dft. A method that finds the default here takes
    /// its own. Source: paper, equation 7: sigmoid. Names are joined by commas. Default "sigmoid". For dpo, sft, kto,
    /// cpo and online_dpo.
    pub loss_type: *const c_char,
    /// Weight of each loss in loss_type; empty: 1 each. Default NULL. For dpo and online_dpo.
    pub loss_weights: *const f64,
    pub loss_weight_count: usize,
    /// β, how strongly the policy is held to the reference model: the smaller, the further it may go. orpo: the
    /// paper's λ. Source: paper, equation 3. More than 0. Default 0.1. For dpo, ranked, kto, bco, cpo, orpo and
    /// online_dpo.
    pub beta: f64,
    /// ε, the share of labels that are assumed to be swapped. For the losses exo_pair, robust, aot, aot_unpaired and
    /// conservative, and for cpo. 0 to 1. Default 0. For dpo, cpo and online_dpo.
    pub label_smoothing: f64,
    /// The divergence from the reference model that the loss assumes. The paper's is reverse_kl. One of "reverse_kl",
    /// "forward_kl", "js_divergence", "alpha_divergence". Default "reverse_kl". For dpo and online_dpo.
    pub f_divergence_type: *const c_char,
    /// Coefficient of alpha_divergence. Default 0.5. For dpo and online_dpo.
    pub f_alpha_divergence_coef: f64,
    /// Temperature of the discopop loss. More than 0. Default 0.05. For dpo and online_dpo.
    pub discopop_tau: f64,
    /// LD-DPO: weight of the tokens that the longer completion has beyond the shorter one. 0 to 1. Default NaN: 1.
    /// For dpo and online_dpo.
    pub ld_alpha: f64,
    /// WPO: weight each pair by how likely the policy is to write it. Default 0. For dpo and online_dpo.
    pub use_weighting: i32,
    /// On rows of prompt and completion: learn the completion only. Default 1. For sft.
    pub completion_only_loss: i32,
    /// On rows of messages: learn only what the chat template writes inside {% generation %}. Default 0. For sft.
    pub assistant_only_loss: i32,
    /// Fill sequences of max_length tokens with as many rows as fit, in TRL's order. Rows of one sequence never see
    /// each other. Batches then count such sequences. Default 0. For sft.
    pub packing: i32,
    /// Factor on the loss of rows with a thumb up. At least 0. Default 1. For kto.
    pub desirable_weight: f64,
    /// Factor on the loss of rows with a thumb down. At least 0. Default 1. For kto.
    pub undesirable_weight: f64,
    /// Weight of the chosen completions' negative log-likelihood. SimPO as published has none: 0. At least 0. Default
    /// 1. For cpo.
    pub cpo_alpha: f64,
    /// simpo's γ: the margin between the rewards that the loss asks for. Default 0.5. For cpo.
    pub simpo_gamma: f64,
    /// AlphaPO's shape of the reward, (1 − p^−alpha) / alpha; 0: the log-prob. Default 0. For cpo.
    pub alpha: f64,
    /// Weight of the rejected completions' log-likelihood, which is taken from that of the chosen ones. Source:
    /// paper, appendix C.2; not in TRL. 0 to 1. Default 1. For unlikelihood.
    pub unlikelihood_alpha: f64,
    /// Weight of the mean of (chosen + rejected)², which keeps a reward model's scores near 0. At least 0. Default
    /// NaN: none; 0.01 is usual. For reward.
    pub center_rewards_coefficient: f64,
    /// Take the reference model's log-probs as 0. Default 0. For dpo, ranked, kto and bco.
    pub reference_free: i32,
    /// Compute the reference log-probs of all rows before the first step, and keep them in the output directory.
    /// Default 0. For dpo, ranked, kto and bco.
    pub precompute_ref_log_probs: i32,
    /// TR-DPO: move the reference model towards the policy every ref_model_sync_steps. Full training only. Default 0.
    /// For dpo, ranked, kto and bco.
    pub sync_ref_model: i32,
    /// TR-DPO: weight of the policy in the new reference model. 0 to 1. Default 0.6. For dpo, ranked, kto and bco.
    pub ref_model_mixup_alpha: f64,
    /// TR-DPO: optimiser steps between two syncs. At least 1. Default 512. For dpo, ranked, kto and bco.
    pub ref_model_sync_steps: i32,
    /// β, the weight of the KL penalty: ppo takes it from the reward of every token, rloo from that of a completion,
    /// grpo adds it to the loss. At least 0. Default NaN: 0.05 for ppo and rloo, 0 for grpo. For ppo, rloo and grpo.
    pub kl_coef: f64,
    /// KL of a token from k = log π − log π_ref. k1 is k, k3 is e^−k − 1 + k. One of "k1", "k3". Default "k1". For
    /// ppo.
    pub kl_estimator: *const c_char,
    /// KL of a completion, in nats, that kl_coef is steered towards after each rollout. Source: Ziegler et al. 2019;
    /// not in TRL 1.16. At least 1e-9. Default NaN: kl_coef is fixed. For ppo and rloo.
    pub kl_target: f64,
    /// Completions over which kl_coef adapts to kl_target. More than 0. Default 10000. For ppo and rloo.
    pub kl_horizon: f64,
    /// Stop the run when the mean KL of a rollout's completions, in nats, is above this. Source: not in TRL. At least
    /// 0. Default 200; NaN: never. For ppo, rloo, grpo and online_dpo.
    pub max_kl: f64,
    /// ε of PPO's clipped objective: how far the ratio π/π_old counts. At least 0. Default 0.2. For ppo, rloo and
    /// grpo.
    pub cliprange: f64,
    /// How far a value may move from the rollout's before the loss stops following. At least 0. Default 0.2. For ppo.
    pub cliprange_value: f64,
    /// Weight of the value function's loss. At least 0. Default 0.1. For ppo.
    pub vf_coef: f64,
    /// γ, discount of later rewards. 0 to 1. Default 1. For ppo.
    pub gamma: f64,
    /// λ of generalised advantage estimation. 0 to 1. Default 0.95. For ppo.
    pub lam: f64,
    /// Scale the rewards of a rollout to variance 1. Default 0. For ppo.
    pub whiten_rewards: i32,
    /// Passes over each rollout. 1 to 1000. Default 0: 4 for ppo, 1 for rloo, grpo and online_dpo. For ppo, rloo,
    /// grpo and online_dpo.
    pub num_ppo_epochs: i32,
    /// Optimiser steps that a pass over a rollout is divided into. A rollout has per_device_train_batch_size ×
    /// gradient_accumulation_steps rows. 1 to 1000000. Default 1. For ppo, rloo, grpo and online_dpo.
    pub num_mini_batches: i32,
    /// Completions of each prompt. 2 to 1024. Default 0: 2 for rloo and online_dpo, 8 for grpo. For rloo, grpo and
    /// online_dpo.
    pub num_generations: i32,
    /// Most tokens of a completion that the policy draws. At least 1. Default 0: 53 for ppo, 512 for rloo and grpo,
    /// 64 for online_dpo. For ppo, rloo, grpo and online_dpo.
    pub max_completion_length: i32,
    /// Temperature of the policy's draws. ppo, rloo and grpo take all log-probs at it. 0.001 to 1000. Default NaN:
    /// 0.7 for ppo, 1 for rloo and grpo, 0.9 for online_dpo. For ppo, rloo, grpo and online_dpo.
    pub temperature: f64,
    /// Taken from the score of a completion that does not end by itself. At least 0. Default NaN: none. For ppo,
    /// rloo, grpo and online_dpo.
    pub missing_eos_penalty: f64,
    /// Peak learning rate. With LoRA, 1e-4 to 2e-4 is usual for every method. At least 0. Default NaN: 2e-5 for sft,
    /// 5e-4 for pretrain, 1e-4 for reward, 3e-6 for ppo, 5e-7 for online_dpo, 1e-6 for the others.
    pub learning_rate: f64,
    /// How the learning rate changes over the steps. One of "linear", "cosine", "constant", "constant_with_warmup",
    /// "cosine_with_restarts", "polynomial", "inverse_sqrt". Default "linear".
    pub lr_scheduler_type: *const c_char,
    /// Steps over which the rate rises from 0; below 1: that fraction of all steps. 0 to 2147483647. Default 0.
    pub warmup_steps: f64,
    /// Decoupled weight decay; sgd adds it to the gradients. Biases and norms are exempt. At least 0. Default 0.
    pub weight_decay: f64,
    /// Decay of AdamW's first moment; Lion's β1. 0 to 0.999999999. Default 0.9.
    pub adam_beta1: f64,
    /// Decay of AdamW's second moment; Lion's β2, which its paper has at 0.99. 0 to 0.999999999. Default 0.999.
    pub adam_beta2: f64,
    /// Added to AdamW's denominator. At least 0. Default 1e-8.
    pub adam_epsilon: f64,
    /// The optimiser. adamw_torch, also called adamw_torch_fused, keeps 8 bytes for each number that is trained;
    /// adamw_8bit, also called adamw_bnb_8bit, 2; adafactor next to none; lion_32bit 4; lion_8bit 1; sgd none, or 4
    /// with momentum. Others than AdamW want other learning rates: Lion a third to a tenth of AdamW's, sgd a far
    /// higher one. One of "adamw_torch", "adamw_torch_fused", "adamw_8bit", "adamw_bnb_8bit", "adafactor",
    /// "lion_32bit", "lion_8bit", "sgd". Default "adamw_torch".
    pub optim: *const c_char,
    /// Settings of sgd: momentum=0.9, dampening=0, nesterov=true. The other optimisers have none. Names are joined by
    /// commas. Default NULL.
    pub optim_args: *const c_char,
    /// What adamw_torch, lion_32bit and sgd keep their states in: bf16 takes half as much memory. Numbers are rounded
    /// up or down by chance, the same in every run. Source: not in TRL. One of "fp32", "bf16". Default "fp32".
    pub optim_state_dtype: *const c_char,
    /// Gradients are scaled down to this global norm; 0: never. At least 0. Default 1.
    pub max_grad_norm: f64,
    /// Rows of a micro-batch. pretrain, and sft with packing: sequences of max_length tokens. At least 1. Default 8.
    pub per_device_train_batch_size: i32,
    /// Rows of an evaluation batch. At least 1. Default 8.
    pub per_device_eval_batch_size: i32,
    /// Micro-batches of an optimiser step. At least 1. Default 1.
    pub gradient_accumulation_steps: i32,
    /// Passes over the data, unless max_steps is set. More than 0, at most 1000000. Default 3.
    pub num_train_epochs: f64,
    /// Optimiser steps; -1: as many as num_train_epochs gives. At least -1. Default -1.
    pub max_steps: i32,
    /// A new order of rows each epoch, as TRL draws it. Source: TRL: shuffle_dataset. Default 1.
    pub shuffle: i32,
    /// Seed of the row order, of LoRA's first weights and of dropout. 0 to 4294967295. Default 42.
    pub seed: u32,
    /// Seed of the row order alone. 0 to 4294967295. Default -1: seed.
    pub data_seed: i64,
    /// Tokens of prompt and completion that are kept. pretrain: longer documents are cut into such pieces. At least
    /// 1. Default 1024; 0: all of them.
    pub max_length: i32,
    /// Where the tokens of files of rows are kept, so that the next run reads them from there, with hardly any
    /// memory: a directory; none: rows are in memory; auto: files of more than 256 MB are cached in .dpo-cache beside
    /// them. Results do not depend on it. Default "auto".
    pub data_cache: *const c_char,
    /// Which end of a row longer than max_length is kept. One of "keep_start", "keep_end". Default "keep_start".
    pub truncation_mode: *const c_char,
    /// Rank of a new LoRA adapter; 0: train every weight. Source: PEFT: r. 0 to 65536. Default 0.
    pub lora_r: i32,
    /// The adapter is scaled by lora_alpha / lora_r. At least 0. Default NaN: lora_r.
    pub lora_alpha: f64,
    /// Dropout before the adapter's matrix A. Needs disable_dropout off. 0 to 0.999999. Default 0.
    pub lora_dropout: f64,
    /// Modules that get an adapter: names such as q_proj, or all-linear; empty: PEFT's choice for the family. Source:
    /// PEFT: target_modules. Names are joined by commas. Default NULL.
    pub lora_target_modules: *const c_char,
    /// Scale by lora_alpha / √lora_r instead. Default 0.
    pub use_rslora: i32,
    /// What the adapter's matrix A is drawn from. B starts at 0. One of "kaiming", "gaussian". Default "kaiming".
    pub init_lora_weights: *const c_char,
    /// No dropout in policy and reference model. Default 1.
    pub disable_dropout: i32,
    /// Steps between evaluations; 0: at the end of every epoch. At least 0. Default 0.
    pub eval_steps: i32,
    /// Steps between checkpoints; 0: only the final model. At least 0. Default 500.
    pub save_steps: i32,
    /// Checkpoints that are kept; the oldest go first. At least 1. Default 0: all.
    pub save_total_limit: i32,
    /// Steps between writes of the one file that a crashed run resumes from; 0: never, -1: every step for LoRA, never
    /// for full training. Source: not in TRL. At least -1. Default -1.
    pub autosave_steps: i32,
    /// Start anew in a directory that holds an earlier run. Default 0.
    pub overwrite_output_dir: i32,
    /// Keep each block's input alone and compute the rest again in the backward pass: less memory, the same numbers.
    /// Default 0.
    pub gradient_checkpointing: i32,
    /// Directory on a disk for the optimizer's states and for what the forward pass keeps for the backward pass:
    /// memory holds of them what it has room for. Nothing remains there. Changes no number. Default NULL: all is in
    /// memory.
    pub offload: *const c_char,
    /// Update the weights of a layer as soon as the backward pass has its gradients, whose memory the next layer then
    /// takes: full training without 4 bytes of gradients for each number. Needs max_grad_norm 0 and steps of one
    /// micro-batch. Source: torchtune: optimizer_in_bwd. Default 0.
    pub optimizer_in_backward: i32,
    /// Arithmetic of the linear layers. Weights, sums and log-probs are fp32 in both; bf16 is faster on processors
    /// that have instructions for it and takes the time of fp32 elsewhere. One of "fp32", "bf16". Default "fp32".
    pub precision: *const c_char,
    /// Compute threads; 0: one a core, and at most that many. Results do not depend on it. 0 to 1024. Default 0.
    pub threads: i32,
    /// Refuse a run whose plan needs more MiB; 0: what the machine has free. At least 0. Default 0.
    pub memory_limit_mb: i32,
    /// Inner loops to compute with; auto: the best for this processor. Engines differ in the last bits of their
    /// results. One of "auto", "avx512", "avx2", "neon", "portable", "openblas". Default "auto".
    pub engine: *const c_char,
    /// Adds up the gradients of a step's micro-batches in one order, so that a run ends in the same bits on any
    /// number of ranks. Takes another buffer for them where a rank has several micro-batches a step. false: each rank
    /// adds up its own first. Source: libdpo. Default 1.
    pub reproducible_sums: i32,
    /// Weight of the auxiliary loss of a mixture's routers, which is the lower the more evenly they use the experts;
    /// 0: without it. Other models have none. At least 0. Default NaN: what the model's config.json says, 0.01 or
    /// 0.001 without it. For dpo, sft, pretrain, kto, rloo and grpo.
    pub router_aux_loss_coef: f64,
    /// Multiply the KL penalty of each token by its ratio π/π_old, so that its gradient is that of the KL from the
    /// reference, without bias. Source: TRL; DeepSeek-V3.2. Default 1. For grpo.
    pub use_bias_correction_kl: i32,
}

#[repr(C)]
pub struct dpo_trainer {
    _data: [u8; 0],
    _marker: PhantomData<(*mut u8, PhantomPinned)>,
}

/// section 5
#[repr(C)]
pub struct dpo_classifier {
    _data: [u8; 0],
    _marker: PhantomData<(*mut u8, PhantomPinned)>,
}

/// Ranks: several processes that train one model together, on one machine or many (data parallelism). Every rank
/// opens the same
/// model and data and makes a trainer with the same options; the micro-batches of each optimiser step are dealt to
/// the ranks,
/// and what they find is put together in one fixed order: a run ends in the same bits for any number of ranks, if the
/// micro-batches of a step, ranks × gradient_accumulation_steps, are as many. Calls on a distributed trainer are made
/// by all
/// ranks, in the same order; an error on one is returned on all. Rank 0 writes the files. docs/scaling.md tells more.
pub const DPO_COLLECTIVES_VERSION: i32 = 1;

/// `receive` gets bytes\[r\] bytes of each rank r, one after the other; `send` are this rank's.
pub type dpo_all_gather_callback =
    Option<unsafe extern "C" fn(context: *mut c_void, send: *const c_void, receive: *mut c_void, bytes: *const usize) -> i32>;

/// `send` holds send_bytes\[r\] bytes for each rank r, one after the other; `receive` gets receive_bytes\[r\] from
/// it.
pub type dpo_all_to_all_callback =
    Option<unsafe extern "C" fn(context: *mut c_void, send: *const c_void, send_bytes: *const usize, receive: *mut c_void, receive_bytes: *const usize) -> i32>;

/// Why the last call failed, valid until the next; NULL: nothing is known.
pub type dpo_collectives_error_callback =
    Option<unsafe extern "C" fn(context: *mut c_void) -> *const c_char>;

/// Ends every rank, this one too.
pub type dpo_abort_callback =
    Option<unsafe extern "C" fn(context: *mut c_void, exit_status: i32)>;

/// Called once, when nothing uses the context any more. `healthy`: no function has failed.
pub type dpo_collectives_release_callback =
    Option<unsafe extern "C" fn(context: *mut c_void, healthy: i32)>;

/// What ranks talk through: libdpo-mpi.so's, or a host's own. The first two functions are called by all ranks in the
/// same order,
/// one at a time, from threads of the library's own; each returns 0, or another number when it failed or a rank did
/// not answer
/// in time: the ranks are then lost to each other. A call moves at most 1 GiB in each direction.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct dpo_collectives {
    /// sizeof(dpo_collectives)
    pub struct_size: usize,
    /// DPO_COLLECTIVES_VERSION
    pub version: i32,
    /// of this process, 0 … size − 1
    pub rank: i32,
    /// number of ranks
    pub size: i32,
    /// the engine and its version, for messages; NULL: none
    pub name: *const c_char,
    /// what the functions are called with
    pub context: *mut c_void,
    pub all_gather: dpo_all_gather_callback,
    pub all_to_all: dpo_all_to_all_callback,
    /// may be NULL
    pub last_error: dpo_collectives_error_callback,
    /// may be NULL: cannot be
    pub abort: dpo_abort_callback,
    /// may be NULL: nothing to do
    pub release: dpo_collectives_release_callback,
}

#[repr(C)]
pub struct dpo_communicator {
    _data: [u8; 0],
    _marker: PhantomData<(*mut u8, PhantomPinned)>,
}

/// Metrics of one optimiser step, under TRL's names. Means over the step's micro-batches. NaN where a method has
/// none.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct dpo_metrics {
    /// set by the caller, or by the library in events
    pub struct_size: usize,
    /// optimiser steps done
    pub step: i64,
    pub total_steps: i64,
    pub epoch: f64,
    pub loss: f64,
    /// before clipping
    pub grad_norm: f64,
    pub learning_rate: f64,
    pub rewards_chosen: f64,
    pub rewards_rejected: f64,
    /// ties count as wrong
    pub rewards_accuracies: f64,
    pub rewards_margins: f64,
    pub logps_chosen: f64,
    pub logps_rejected: f64,
    pub logits_chosen: f64,
    pub logits_rejected: f64,
    /// nats a token
    pub entropy: f64,
    pub mean_token_accuracy: f64,
    pub num_tokens: f64,
    /// wall time of the step
    pub seconds: f64,
}

/// Methods that learn from the policy's own completions (ppo, rloo, grpo, online_dpo) need a reward, by one of the
/// three functions
/// below, before the first step; the last one that was set counts.
///
/// Answers that the policy gave. Pointers are valid during the callback.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct dpo_answers {
    /// set by the library
    pub struct_size: usize,
    pub count: usize,
    /// text, or a JSON array of chat messages; NULL entries where the model has no tokenizer
    pub prompts: *const *const c_char,
    /// text without special tokens; NULL entries likewise
    pub completions: *const *const c_char,
    /// \[count\]: 1 where the prompt is messages
    pub prompt_is_chat: *const i32,
    /// \[count\]: 1 if the completion ended by itself, 0 if at max_completion_length
    pub stopped: *const i32,
    /// \[count\] lists of token ids and their lengths
    pub prompt_ids: *const *const i32,
    pub prompt_lengths: *const usize,
    pub completion_ids: *const *const i32,
    pub completion_lengths: *const usize,
    /// \[count\]: the prompt's row in the data, from 1; of a file its line
    pub rows: *const usize,
    /// 1 while the trainer evaluates: the rows are those of the evaluation data
    pub is_evaluation: i32,
    /// \[count\]: the other columns of the prompt's row, a JSON object
    pub columns: *const *const c_char,
}

/// Writes a finite reward for each answer, \[count\]. Non-zero fails the step with DPO_ERROR_CANCELLED, unapplied; a
/// reward
/// that is not finite with DPO_ERROR_FORMAT. Called on the thread that takes the step.
pub type dpo_reward_callback =
    Option<unsafe extern "C" fn(answers: *const dpo_answers, rewards: *mut f64, user_data: *mut c_void) -> i32>;

/// Called once an optimiser step with the flat gradient, before clipping: the place for an all-reduce over machines
/// (make
/// it the mean). Non-zero stops the step with DPO_ERROR_CANCELLED, unapplied. NULL removes it.
pub type dpo_reduce_callback =
    Option<unsafe extern "C" fn(gradients: *mut f32, count: usize, user_data: *mut c_void) -> i32>;

pub type dpo_event_kind = i32;
/// metrics of the step
pub const DPO_EVENT_STEP: i32 = 1;
/// metrics of the evaluation
pub const DPO_EVENT_EVALUATION: i32 = 2;
/// text is the file's path
pub const DPO_EVENT_CHECKPOINT: i32 = 3;
/// text is a sentence for the user
pub const DPO_EVENT_NOTE: i32 = 4;
/// rows done of total, in a long phase that text names
pub const DPO_EVENT_PROGRESS: i32 = 5;

#[repr(C)]
#[derive(Clone, Copy)]
pub struct dpo_event {
    /// set by the library
    pub struct_size: usize,
    pub kind: i32,
    /// NULL where there are none. Pointers are valid during the callback
    pub metrics: *const dpo_metrics,
    /// "" where there is none
    pub text: *const c_char,
    pub done: u64,
    pub total: u64,
    /// all metrics by name, as dpo_trainer_last_metrics has them; NULL where there are none
    pub metrics_json: *const c_char,
}

/// Non-zero stops the run cleanly after a checkpoint; the run returns DPO_ERROR_CANCELLED. Called on the thread that
/// called
/// dpo_trainer_run.
pub type dpo_event_callback =
    Option<unsafe extern "C" fn(event: *const dpo_event, user_data: *mut c_void) -> i32>;

#[repr(C)]
#[derive(Clone, Copy)]
pub struct dpo_generation_options {
    /// sizeof, set by the init function
    pub struct_size: usize,
    /// Most tokens of a completion. At least 1. Default 128.
    pub max_new_tokens: i32,
    /// Sampling temperature; 0: greedy. At least 0. Default 1.
    pub temperature: f64,
    /// Sample among so many of the likeliest tokens; 0: all. At least 0. Default 0.
    pub top_k: i32,
    /// Sample among the likeliest tokens that have this probability together; 1: all. More than 0, at most 1. Default
    /// 1.
    pub top_p: f64,
    /// Leave out tokens less likely than this share of the likeliest one's probability; 0: none. 0 to 1. Default 0.
    pub min_p: f64,
    /// A completion depends on the seed and its indices alone, not on what else is in the batch. At least 0. Default
    /// 42.
    pub seed: u64,
    /// Completions of each prompt. 1 to 4096. Default 1.
    pub num_return_sequences: i32,
    /// Off for prompts that a chat template wrote: they hold their special tokens already. Default 1.
    pub add_special_tokens: i32,
    /// Arithmetic of the products with weights; bf16 rounds both factors and reads half the bytes. One of "fp32",
    /// "bf16". Default "fp32".
    pub precision: *const c_char,
}

/// A token as it is made; text may be empty while a character is incomplete. Non-zero stops all generation.
pub type dpo_token_callback =
    Option<unsafe extern "C" fn(prompt: usize, completion: usize, token: i32, text: *const c_char, user_data: *mut c_void) -> i32>;

#[repr(C)]
pub struct dpo_completions {
    _data: [u8; 0],
    _marker: PhantomData<(*mut u8, PhantomPinned)>,
}

/// Learns a byte-level BPE tokenizer from text, as Hugging Face's BpeTrainer does: special tokens, 256 bytes, merges.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct dpo_tokenizer_options {
    /// sizeof, set by the init function
    pub struct_size: usize,
    /// Tokens, special ones and the 256 bytes included. There are fewer where the text has no more pairs. At least 1.
    /// Default 8192.
    pub vocabulary_size: i32,
    /// Pairs that occur less often become no token. At least 0. Default 2.
    pub minimum_frequency: i32,
    /// How text is cut into words. One of "gpt2", "smollm", "llama3", "qwen2". Default "gpt2".
    pub pre_tokenizer: *const c_char,
    /// "chatml", or Jinja. chatml also makes \<|im_end|> the token that ends answers. Default NULL: none.
    pub chat_template: *const c_char,
    /// Begins a sequence. Default NULL: \<|endoftext|>.
    pub bos_token: *const c_char,
    /// Ends documents and answers. Default NULL: \<|endoftext|>, with chatml \<|im_end|>.
    pub eos_token: *const c_char,
    /// Fills up batches in other programs. Default NULL: \<|endoftext|>.
    pub pad_token: *const c_char,
    /// More tokens that are never part of a word, in the order of their ids. Default NULL.
    pub special_tokens: *const *const c_char,
    pub special_token_count: usize,
    /// Replace what stands there. Default 0.
    pub overwrite: i32,
}

/// The sizes of a new model.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct dpo_model_shape {
    /// sizeof, set by the init function
    pub struct_size: usize,
    /// Family of the model, by the model_type of Hugging Face's config.json. Default "llama".
    pub family: *const c_char,
    /// A directory with tokenizer.json, or a model: the new model gets its tokenizer. Default NULL: none.
    pub tokenizer: *const c_char,
    /// Tokens of the vocabulary. At least 1. Default 0: the tokenizer's.
    pub vocabulary_size: i32,
    /// Width of the hidden states. At least 1. Default 256.
    pub hidden_size: i32,
    /// Number of blocks. At least 1. Default 4.
    pub layers: i32,
    /// Attention heads. At least 1. Default 0: one for every 64 of hidden_size.
    pub heads: i32,
    /// Heads of keys and values. At least 1. Default 0: heads.
    pub kv_heads: i32,
    /// Width of the MLP. At least 1. Default 0: 8/3 of hidden_size, rounded up to a multiple of 32; gpt2: 4 times
    /// hidden_size.
    pub intermediate_size: i32,
    /// Tokens that the model reads at most. At least 1. Default 1024.
    pub context_length: i32,
    /// The head is the token embedding. Default 1.
    pub tie_word_embeddings: i32,
    /// Standard deviation of the weights. At least 0. Default 0.02.
    pub initializer_range: f64,
    /// Seed of the weights: equal shapes and seeds give equal files. At least 0. Default 42.
    pub seed: u64,
    /// Replace what stands there. Default 0.
    pub overwrite: i32,
}

pub type dpo_export_format = i32;
pub const DPO_EXPORT_HDF5: i32 = 0;
/// a Hugging Face directory
pub const DPO_EXPORT_SAFETENSORS: i32 = 1;
pub const DPO_EXPORT_GGUF: i32 = 2;
/// an adapter directory for PEFT
pub const DPO_EXPORT_PEFT: i32 = 3;
/// an adapter that llama.cpp loads
pub const DPO_EXPORT_GGUF_LORA: i32 = 4;

#[repr(C)]
#[derive(Clone, Copy)]
pub struct dpo_export_options {
    /// sizeof, set by the init function
    pub struct_size: usize,
    /// An adapter to put on the model. Default NULL: none.
    pub adapter: *const c_char,
    /// The model of an adapter whose file names it no more. Default NULL: the one that the adapter's file names.
    pub base: *const c_char,
    /// Number format of the weights. q8_0 is for GGUF models only; HDF5 is always f32. One of "f32", "f16", "bf16",
    /// "q8_0". Default "f32".
    pub dtype: *const c_char,
    /// Add the adapter into the weights. Default 0.
    pub merge: i32,
    /// Replace what stands there. Default 0.
    pub overwrite: i32,
}

/// A file of what people said of a model's answers: JSON lines, {"id", "time", "prompt", "completion", "label"} for a
/// thumb,
/// {"id", "time", "prompt", "chosen", "rejected"} for a choice, each perhaps with a "weight". It only grows. The last
/// word on
/// an answer counts, and one of weight 0 takes back what was said before. docs/feedback.md tells more.
///
/// Every function below may be called from any thread at any time, also on one handle at once and while it trains.
/// Other
/// processes may record into the same file.
#[repr(C)]
pub struct dpo_feedback {
    _data: [u8; 0],
    _marker: PhantomData<(*mut u8, PhantomPinned)>,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct dpo_feedback_options {
    /// sizeof, set by the init function
    pub struct_size: usize,
    /// Stop after so many seconds. What was learned is kept, and the next call goes on. More than 0. Default 0: no
    /// limit.
    pub max_seconds: f64,
    /// Older records that a session mixes in, drawn at random, for each new one; 1: as many old as new. 0 to 1000.
    /// Default 0.
    pub replay: f64,
    /// New records to wait for before a session begins. At least 1. Default 8.
    pub min_records: i32,
    /// Start anew: a new adapter, to which every record is new. Default 0.
    pub retrain: i32,
    /// Options of the runs; NULL: as dpo_feedback_training_init sets them. The records decide the method.
    pub training: *const dpo_train_options,
}

pub type dpo_feedback_outcome = i32;
/// nothing was changed
pub const DPO_FEEDBACK_NOTHING_NEW: i32 = 0;
/// fewer new records than min_records: nothing was changed
pub const DPO_FEEDBACK_WAITING: i32 = 1;
/// everything is trained on
pub const DPO_FEEDBACK_FINISHED: i32 = 2;
/// max_seconds are over: the next call goes on
pub const DPO_FEEDBACK_STOPPED: i32 = 3;

#[repr(C)]
#[derive(Clone, Copy)]
pub struct dpo_feedback_result {
    /// set by the caller
    pub struct_size: usize,
    /// DPO_FEEDBACK_…
    pub outcome: i32,
    /// of the session, or waiting for one
    pub new_records: u64,
    /// older ones that the session mixed in
    pub replayed: u64,
    /// new ones that cannot be trained on, such as a prompt longer than max_length
    pub skipped: u64,
    /// optimiser steps of this call
    pub steps: i64,
}

extern "C" {
    /// "0.1.0"; static. Any thread.
    pub fn dpo_version() -> *const c_char;

    /// The DPO_VERSION_NUMBER of the library that runs. Any thread.
    pub fn dpo_version_number() -> i32;

    /// The DPO_ABI_VERSION of the library that runs. Any thread.
    pub fn dpo_abi_version() -> i32;

    /// What went wrong in the last failed call of this thread: one sentence that names the file, the place and what
    /// was
    /// expected. Never NULL; "" before the first failure. Valid until the thread's next failing call.
    pub fn dpo_last_error() -> *const c_char;

    /// "DPO_ERROR_FORMAT" and so on; "unknown status" for other numbers. Static. Any thread.
    pub fn dpo_status_name(status: i32) -> *const c_char;

    /// The same for a handle of any kind, whatever thread's call failed: for hosts whose tasks move from thread to
    /// thread, such
    /// as Go's. Calls that return a handle have none yet: for them take dpo_last_error on the thread that called. ""
    /// before the
    /// first failure. Free *text with dpo_string_free. Any thread, also while the handle is in use.
    ///
    /// Errors: none but the common ones.
    pub fn dpo_handle_last_error(handle: *const c_void, text: *mut *mut c_char) -> i32;

    /// How many seconds a call on this handle waits while another thread's call has it, instead of failing with
    /// DPO_ERROR_STATE; 0, as handles begin: not at all; INFINITY: for ever. Who waits longest does not always come
    /// first. Inside
    /// a callback calls never wait. Any thread.
    ///
    /// Errors: INVALID_ARGUMENT (NaN, less than 0).
    pub fn dpo_handle_set_wait(handle: *mut c_void, seconds: f64) -> i32;

    /// Frees text that a function returned through a `char **`. NULL is fine. Any thread.
    pub fn dpo_string_free(text: *mut c_char);

    /// Every default. kind: the struct they stand for, "training" (dpo_train_options), "feedback_training" (the same
    /// with the
    /// defaults of dpo_feedback_training_init), "feedback", "generation", "tokenizer", "shape", "export", "loss" or
    /// "ppo".
    ///
    /// Errors: INVALID_ARGUMENT (another kind).
    pub fn dpo_options_create(kind: *const c_char, options: *mut *mut dpo_options) -> i32;

    /// Sets an option. value: a number, "true" or "false", a text, items of a list joined by commas; "none" for a
    /// number that may
    /// be unset; NULL: the default. The runs' options of "feedback" are "training.lora_r" and so on.
    ///
    /// Errors: INVALID_ARGUMENT (no such option, or a value of another kind or out of range). The options are then as
    /// they were.
    pub fn dpo_options_set(options: *mut dpo_options, name: *const c_char, value: *const c_char) -> i32;

    /// The same for every member of a JSON object, all or nothing. null: unset, or the default of what cannot be
    /// unset. "feedback"
    /// has the runs' options as an object under "training".
    ///
    /// Errors: FORMAT (no JSON object), INVALID_ARGUMENT as above.
    pub fn dpo_options_set_json(options: *mut dpo_options, json: *const c_char) -> i32;

    /// The options as JSON: \[{"name", "type", "default", "value", "choices", "help"}\], "type" being "bool", "int",
    /// "float",
    /// "string", "strings" or "floats". Free *json with dpo_string_free.
    ///
    /// Errors: none but the common ones.
    pub fn dpo_options_describe(options: *mut dpo_options, json: *mut *mut c_char) -> i32;

    /// The struct, for the functions that take one; they copy it. It and what it points to are valid until the
    /// options are set again
    /// or released. Of a handle that cannot be used: a struct that every function refuses. Never NULL.
    pub fn dpo_options_struct(options: *mut dpo_options) -> *const c_void;

    pub fn dpo_options_release(options: *mut dpo_options);

    /// Every default. struct_size: sizeof(dpo_loss_options); DPO_ERROR_INVALID_ARGUMENT if it is smaller than in any
    /// version, or
    /// above 4096. What only a newer header's struct has becomes zero.
    ///
    /// Errors: INVALID_ARGUMENT.
    pub fn dpo_loss_options_init(options: *mut dpo_loss_options, struct_size: usize) -> i32;

    /// The loss of `pairs` preference pairs and its gradient.
    ///
    /// Inputs, each \[pairs\]: summed log-probs of the chosen and rejected completions under the policy and the
    /// reference;
    /// their token counts (needed by IPO, SIGMOID_NORM and SFT, else they may be NULL); pair weights (NULL: 1 each),
    /// by which
    /// a pair's loss is multiplied before the mean.
    ///
    /// Outputs: *loss, the mean over the pairs; and, each \[pairs\] or NULL when not wanted: losses (before the
    /// mean),
    /// gradients d loss / d policy log-prob (the mean's 1/pairs included), and rewards β·log(π/π_ref).
    ///
    /// Every completion token receives its sequence's gradient: d loss / d logp(token) = gradient of the sum.
    ///
    /// Errors: INVALID_ARGUMENT (an option out of range, or one that the losses do not use; token counts that are
    /// missing), NON_FINITE.
    pub fn dpo_loss_compute(options: *const dpo_loss_options, pairs: usize, policy_chosen: *const f64, policy_rejected: *const f64, reference_chosen: *const f64, reference_rejected: *const f64, chosen_tokens: *const i32, rejected_tokens: *const i32, weights: *const f64, loss: *mut f64, losses: *mut f64, gradient_chosen: *mut f64, gradient_rejected: *mut f64, reward_chosen: *mut f64, reward_rejected: *mut f64) -> i32;

    /// The loss of ranked answers by the Plackett-Luce model (the paper's appendix A.3, equation 20), of which a pair
    /// is the case
    /// of two. `rows` prompts; row i has counts\[i\] >= 2 completions, whose numbers stand one after the other, row
    /// after row:
    /// log-probs under policy and reference (NULL: 0) and ranks, of which only the order counts: lower is better,
    /// equal ranks
    /// are not compared with each other. weights: \[rows\] or NULL.
    ///
    /// Outputs: *loss, the mean over the rows; losses: \[rows\]; gradients d loss / d policy log-prob and rewards
    /// beta * log(pi / pi_ref), one for each completion. All but loss may be NULL.
    ///
    /// Errors: INVALID_ARGUMENT (beta, a row of fewer than two completions), NON_FINITE.
    pub fn dpo_loss_compute_ranked(beta: f64, rows: usize, counts: *const usize, ranks: *const f64, policy: *const f64, reference: *const f64, weights: *const f64, loss: *mut f64, losses: *mut f64, gradients: *mut f64, rewards: *mut f64) -> i32;

    /// The closed form of what RLHF and DPO maximise, where all answers to a prompt can be listed: the policy that
    /// maximises
    /// E\[r\] - beta D_f(policy || reference). Of the options these functions read beta, f_divergence and
    /// f_alpha_divergence_coef;
    /// NULL: defaults, with which D_f is the KL divergence. Distributions are `count` log-probs whose probabilities
    /// sum to 1
    /// (within 1e-4), -INFINITY where an answer has none. Equations: docs/closed-form.md.
    ///
    /// Outputs, NULL when not wanted: the best policy's log-probs \[count\], reference * f'^-1((r - lambda) / beta),
    /// for KL
    /// reference * exp(r / beta) / Z; and its normaliser lambda, for KL beta log Z.
    ///
    /// Errors: INVALID_ARGUMENT (beta, probabilities that do not sum to 1), NON_FINITE.
    pub fn dpo_policy_optimum(options: *const dpo_loss_options, count: usize, reference_logps: *const f64, rewards: *const f64, policy_logps: *mut f64, normalizer: *mut f64) -> i32;

    /// The rewards for which a policy is the best one, up to lambda: beta f'(policy / reference), for KL beta
    /// log(policy /
    /// reference). rewards: \[count\]. DPO_ERROR_NON_FINITE where one of the two never gives an answer.
    ///
    /// Errors: INVALID_ARGUMENT, NON_FINITE.
    pub fn dpo_policy_rewards(options: *const dpo_loss_options, count: usize, policy_logps: *const f64, reference_logps: *const f64, rewards: *mut f64) -> i32;

    /// D_f(policy || reference), for KL the sum of policy * log(policy / reference); INFINITY is possible.
    ///
    /// Errors: INVALID_ARGUMENT.
    pub fn dpo_policy_divergence(options: *const dpo_loss_options, count: usize, policy_logps: *const f64, reference_logps: *const f64, divergence: *mut f64) -> i32;

    /// Bradley-Terry: probabilities that answers of the first rewards are preferred to those of the second,
    /// \[count\];
    /// sigmoid(first - second).
    ///
    /// Errors: INVALID_ARGUMENT.
    pub fn dpo_bradley_terry(count: usize, first_rewards: *const f64, second_rewards: *const f64, probabilities: *mut f64) -> i32;

    /// Generalised advantage estimation over completions that stand one after the other; completion i has counts\[i\]
    /// tokens, all
    /// arrays but counts one number a token. With v and A beyond a completion's last token 0:
    ///
    ///     delta_t = reward_t + gamma v_{t+1} - v_t;  A_t = delta_t + gamma lam A_{t+1};  return_t = A_t + v_t
    ///
    /// Errors: INVALID_ARGUMENT (gamma or lam outside 0 to 1, counts).
    pub fn dpo_gae(rewards: *const f64, values: *const f64, counts: *const usize, completions: usize, gamma: f64, lam: f64, advantages: *mut f64, returns: *mut f64) -> i32;

    /// Every default. struct_size: sizeof(dpo_ppo_options).
    ///
    /// Errors: INVALID_ARGUMENT.
    pub fn dpo_ppo_options_init(options: *mut dpo_ppo_options, struct_size: usize) -> i32;

    /// PPO's loss over `tokens` tokens and its gradient, with r = exp(logp - old_logp), means over the tokens:
    ///
    ///     mean max(-A r, -A clip(r, 1 - cliprange, 1 + cliprange))
    ///       + vf_coef / 2 mean max((V - return)^2, (clip(V, old - cliprange_value, old + cliprange_value) - return)^2)
    ///
    /// Inputs, each \[tokens\]: log-probs now and when the tokens were drawn, and advantages; values now and then,
    /// and returns
    /// (all three NULL: no value function). Outputs: *loss; each \[tokens\] or NULL: d loss / d logp and d loss / d
    /// value.
    ///
    /// Errors: INVALID_ARGUMENT (an option, or only some of values, old_values and returns), NON_FINITE.
    pub fn dpo_ppo_loss(options: *const dpo_ppo_options, tokens: usize, logps: *const f32, old_logps: *const f32, advantages: *const f32, values: *const f32, old_values: *const f32, returns: *const f32, loss: *mut f64, gradient_logps: *mut f64, gradient_values: *mut f64) -> i32;

    /// Opens a GGUF file, a Hugging Face directory or a libdpo HDF5 file. Weights stay where they are, memory-mapped,
    /// and the file must not be written to while the handle lives. Each pass over the model looks before it starts:
    /// if size or
    /// time of change differ, the call fails with DPO_ERROR_IO and a message that names the file. A file that is cut
    /// while a pass
    /// reads it ends the process with SIGBUS, as the library installs no handlers (dpo_model_load avoids that).
    /// Removing the
    /// file or renaming another one over it is safe: the handle keeps the old one. `adapter`: a PEFT directory, a
    /// libdpo adapter
    /// (HDF5) or a GGUF LoRA that is put on top; NULL: none. `threads`: 0 = one a core, and at most that many.
    ///
    /// Errors: IO, FORMAT (a damaged file), UNSUPPORTED (a family, tokenizer or number format that is not served),
    /// MISMATCH (an adapter of another model).
    pub fn dpo_model_open(path: *const c_char, adapter: *const c_char, threads: i32, model: *mut *mut dpo_model) -> i32;

    /// The same with the weights copied into memory, as llama.cpp does with --no-mmap: what is done to the file
    /// afterwards does
    /// not matter. It takes mapped_bytes that are shared with no other process that has the file mapped.
    ///
    /// Errors: as dpo_model_open.
    pub fn dpo_model_load(path: *const c_char, adapter: *const c_char, threads: i32, model: *mut *mut dpo_model) -> i32;

    /// Computes with another engine from now on: the inner loops for one kind of processor. "auto": the best that
    /// this processor
    /// has, which is what a model starts with; "avx512", "avx2", "neon", "portable" (any processor); "openblas":
    /// products through
    /// OpenBLAS, which is loaded when it is first asked for and has its process-wide thread count set to 1. One
    /// engine gives the
    /// same bits on every machine and for any number of threads; engines differ in the last bits.
    ///
    /// Errors: INVALID_ARGUMENT (there is no such engine), UNSUPPORTED (the processor cannot run it, OpenBLAS cannot
    /// be loaded).
    pub fn dpo_model_set_engine(model: *mut dpo_model, engine: *const c_char) -> i32;

    pub fn dpo_model_release(model: *mut dpo_model);

    /// Ends a running dpo_model_score_…, _reward_…, _generate or _evaluate of this handle with DPO_ERROR_CANCELLED,
    /// before its next
    /// pass over the model or its next token. Does nothing if none is running. Any thread, and safe in a signal
    /// handler.
    pub fn dpo_model_cancel(model: *mut dpo_model);

    /// Errors: INVALID_ARGUMENT (struct_size).
    pub fn dpo_model_get_info(model: *const dpo_model, info: *mut dpo_model_info) -> i32;

    /// What a model, adapter, checkpoint or data file holds, as JSON ({"kind", "format", "architecture",
    /// "parameters",
    /// "tensors": \[{"name", "dtype", "shape"}\], …}; of rows {"kind": "data", "format": "jsonl", "json", "csv" or
    /// "tsv", "rows",
    /// "row_kind", "conversational", "columns"}). Free *json with dpo_string_free.
    ///
    /// Errors: IO, FORMAT, UNSUPPORTED.
    pub fn dpo_inspect(path: *const c_char, json: *mut *mut c_char) -> i32;

    /// Token ids of `size` bytes of text. `add_special_tokens`: as the tokenizer does by default (BOS, where it has
    /// one).
    /// Writes at most `capacity` ids; *count is the number there are: call again with more room if it is larger.
    ///
    /// Errors: INVALID_ARGUMENT (not UTF-8), UNSUPPORTED (the model has no tokenizer).
    pub fn dpo_model_encode(model: *mut dpo_model, text: *const c_char, size: usize, add_special_tokens: i32, ids: *mut i32, capacity: usize, count: *mut usize) -> i32;

    /// The text of token ids, special tokens included. Free *text with dpo_string_free; *size is its length in bytes.
    ///
    /// Errors: INVALID_ARGUMENT (an id beyond the vocabulary), UNSUPPORTED (the model has no tokenizer).
    pub fn dpo_model_decode(model: *mut dpo_model, ids: *const i32, count: usize, text: *mut *mut c_char, size: *mut usize) -> i32;

    /// The model's chat template over messages, a JSON array of {"role", "content"}. Free *text with dpo_string_free.
    ///
    /// Errors: FORMAT (not JSON, or the template refuses the messages), UNSUPPORTED (no template).
    pub fn dpo_model_apply_chat_template(model: *mut dpo_model, messages_json: *const c_char, add_generation_prompt: i32, text: *mut *mut c_char, size: *mut usize) -> i32;

    /// Log-probs of completions given their prompts, all in one pass; a prompt is computed once for all its
    /// completions.
    ///
    ///
    /// prompts:     `prompt_count` lists of token ids, one after the other in prompt_ids; list i has
    /// prompt_lengths\[i\].
    /// completions: `completion_count` lists likewise; completion j continues prompt completion_prompts\[j\]. Append
    /// the EOS
    ///              token if its probability shall count.
    /// token_logps: NULL or one number for each completion token, in order. The first token of a completion whose
    /// prompt is
    ///              empty is not predicted by anything: it counts 0.
    ///
    /// sum_logps:   NULL or \[completion_count\] sums.
    ///
    /// Errors: INVALID_ARGUMENT (an id beyond the vocabulary, a prompt that does not exist, a row beyond the
    /// context),
    /// UNSUPPORTED (a reward model), IO (the file was changed), CANCELLED.
    pub fn dpo_model_score_tokens(model: *mut dpo_model, prompt_ids: *const i32, prompt_lengths: *const usize, prompt_count: usize, completion_ids: *const i32, completion_lengths: *const usize, completion_prompts: *const usize, completion_count: usize, token_logps: *mut f32, sum_logps: *mut f64) -> i32;

    /// Sums of log-probs for texts: completion i after prompt i, EOS appended, boundaries as in training.
    /// token_counts may
    /// be NULL.
    ///
    /// Errors: as dpo_model_score_tokens, and UNSUPPORTED without a tokenizer.
    pub fn dpo_model_score_texts(model: *mut dpo_model, prompts: *const *const c_char, completions: *const *const c_char, count: usize, sum_logps: *mut f64, token_counts: *mut i32) -> i32;

    /// A reward model's scores of completions after their prompts, \[completion_count\]; arguments as in
    /// dpo_model_score_tokens.
    /// A higher score is a better answer to the same prompt; zero and unit mean nothing by themselves. The score is
    /// read at the
    /// last token that is not the model's padding token. DPO_ERROR_UNSUPPORTED for a model that is no reward model.
    ///
    /// Errors: as dpo_model_score_tokens, and NON_FINITE.
    pub fn dpo_model_reward_tokens(model: *mut dpo_model, prompt_ids: *const i32, prompt_lengths: *const usize, prompt_count: usize, completion_ids: *const i32, completion_lengths: *const usize, completion_prompts: *const usize, completion_count: usize, rewards: *mut f64) -> i32;

    /// The same for texts: completion i after prompt i, EOS appended, tokenised together as in training. rewards:
    /// \[count\].
    ///
    /// Errors: as dpo_model_reward_tokens, and UNSUPPORTED without a tokenizer.
    pub fn dpo_model_reward_texts(model: *mut dpo_model, prompts: *const *const c_char, completions: *const *const c_char, count: usize, rewards: *mut f64) -> i32;

    /// Reads and tokenises rows for the options' method, max_length and truncation_mode (NULL: defaults). `path`: a
    /// file of JSON
    /// lines, a JSON array (.json), comma- or tab-separated values (.csv, .tsv), each perhaps packed by gzip (.gz),
    /// or a directory
    /// of such files, which are read by name. A row is
    /// {"prompt", "chosen", "rejected"} as text or chat messages, {"prompt", "completion"}, {"text"} or {"messages"};
    /// kto and bco:
    /// {"prompt", "completion", "label"}; ranked: {"prompt", "completions", "ranks"} (lower is better) or {…,
    /// "scores"} (higher is
    /// better); methods that answer prompts: {"prompt"}. For the method pretrain `path` may
    /// also be a text file, and the directory may hold .txt files.
    ///
    /// Errors: IO, FORMAT (a row that is damaged or has another form than the method reads; the message names file
    /// and
    /// line), INVALID_ARGUMENT (options), UNSUPPORTED (no tokenizer).
    pub fn dpo_dataset_open_jsonl(model: *const dpo_model, path: *const c_char, options: *const dpo_train_options, dataset: *mut *mut dpo_dataset) -> i32;

    /// The same of `count` files or directories, one after the other, and with a callback (NULL: none). Rows that do
    /// not fit into
    /// memory are read from a file: see data_cache.
    ///
    /// Errors: as dpo_dataset_open_jsonl; CANCELLED; IO also where data_cache names a directory that cannot be
    /// written, or is full.
    pub fn dpo_dataset_open(model: *const dpo_model, paths: *const *const c_char, count: usize, options: *const dpo_train_options, callback: dpo_reading_callback, user_data: *mut c_void, dataset: *mut *mut dpo_dataset) -> i32;

    /// The same from `size` bytes of JSON lines in memory.
    ///
    /// Errors: as dpo_dataset_open_jsonl, without IO.
    pub fn dpo_dataset_from_jsonl(model: *const dpo_model, text: *const c_char, size: usize, options: *const dpo_train_options, dataset: *mut *mut dpo_dataset) -> i32;

    /// The same from arrays of NUL-terminated texts.
    ///
    /// Errors: as dpo_dataset_open_jsonl, without IO.
    pub fn dpo_dataset_from_pairs(model: *const dpo_model, prompts: *const *const c_char, chosen: *const *const c_char, rejected: *const *const c_char, count: usize, options: *const dpo_train_options, dataset: *mut *mut dpo_dataset) -> i32;

    /// The same from token ids (EOS included where it shall count): row i is prompt_lengths\[i\], chosen_lengths\[i\]
    /// and
    /// rejected_lengths\[i\] ids, taken from the three arrays in order. No model is needed. Methods that answer
    /// prompts themselves
    /// take the prompts; the other lengths are then 0.
    ///
    /// Errors: INVALID_ARGUMENT.
    pub fn dpo_dataset_from_tokens(prompt_ids: *const i32, prompt_lengths: *const usize, chosen_ids: *const i32, chosen_lengths: *const usize, rejected_ids: *const i32, rejected_lengths: *const usize, count: usize, options: *const dpo_train_options, dataset: *mut *mut dpo_dataset) -> i32;

    /// Errors: none but the common ones.
    pub fn dpo_dataset_get_info(dataset: *const dpo_dataset, info: *mut dpo_dataset_info) -> i32;

    pub fn dpo_dataset_release(dataset: *mut dpo_dataset);

    /// Every default. struct_size: sizeof(dpo_train_options). Text that is NULL later means its default, too.
    ///
    /// Errors: INVALID_ARGUMENT.
    pub fn dpo_train_options_init(options: *mut dpo_train_options, struct_size: usize) -> i32;

    /// The option table as JSON: \[{"name", "type", "default", "choices", "help"}\]. Static. Any thread.
    pub fn dpo_train_options_describe() -> *const c_char;

    /// A trainer of `model` on `dataset`. If the model was opened with an adapter, training goes on from it and its
    /// own frozen
    /// copy is the reference; otherwise lora_r decides between a new adapter and every weight.
    /// `reference`: another model to compare with; NULL: the model as it was opened (adapter off, or the mapped
    /// file).
    /// The rows are cut as they were read: a max_length in `options` that is not the default has to be the data
    /// set's.
    /// `evaluation` may be NULL. The plan is made here: DPO_ERROR_MEMORY before any large allocation if it does not
    /// fit.
    ///
    /// Errors: INVALID_ARGUMENT (options that do not go together, or data of another kind than the method reads),
    /// MISMATCH
    /// (tokenizers that differ), UNSUPPORTED, MEMORY, IO.
    pub fn dpo_trainer_create(model: *mut dpo_model, reference: *mut dpo_model, dataset: *mut dpo_dataset, evaluation: *mut dpo_dataset, options: *const dpo_train_options, trainer: *mut *mut dpo_trainer) -> i32;

    pub fn dpo_trainer_release(trainer: *mut dpo_trainer);

    /// From a host's own engine, whose functions are copied. The communicator owns the context once this has returned
    /// DPO_OK.
    ///
    /// Errors: INVALID_ARGUMENT (a rank outside of 0 … size − 1, or a function that is missing), UNSUPPORTED
    /// (version).
    pub fn dpo_communicator_create(collectives: *const dpo_collectives, communicator: *mut *mut dpo_communicator) -> i32;

    /// MPI, by the plug-in libdpo-mpi.so: for processes that mpirun or srun started. It calls MPI_Init_thread unless
    /// the host has, and
    /// uses a duplicate of MPI_COMM_WORLD. path: the plug-in's file; NULL: libdpo-mpi.so beside libdpo.so, or where
    /// the loader
    /// finds it. timeout: seconds that a rank may keep the others waiting, more than 0.
    ///
    /// Errors: IO (no plug-in, or it cannot be loaded), UNSUPPORTED (a plug-in of another version), STATE (processes
    /// started by
    /// another make of MPI than the plug-in's), INVALID_ARGUMENT.
    pub fn dpo_communicator_open_mpi(path: *const c_char, timeout: f64, communicator: *mut *mut dpo_communicator) -> i32;

    /// This process's rank and the number of ranks. Either may be NULL.
    ///
    /// Errors: none but the common ones.
    pub fn dpo_communicator_ranks(communicator: *mut dpo_communicator, rank: *mut i32, size: *mut i32) -> i32;

    /// Ends every rank, this one too, where the engine can: for a host that cannot go on. Returns only if it cannot.
    ///
    /// Errors: none but the common ones.
    pub fn dpo_communicator_abort(communicator: *mut dpo_communicator, exit_status: i32) -> i32;

    /// Trainers that use it keep it.
    pub fn dpo_communicator_release(communicator: *mut dpo_communicator);

    /// dpo_trainer_create for one of several ranks. threads = 0: the processors of the machine, divided among the
    /// ranks on it.
    /// dpo_trainer_apply sums the gradients of all ranks; the callback of dpo_trainer_set_reduce comes after that, on
    /// every rank. In
    /// full training each rank then has the gradients that it updates, and 0 for the others; such a callback is
    /// UNSUPPORTED there.
    ///
    /// Errors: those of dpo_trainer_create, and MISMATCH (ranks with other data, models, options, engines or
    /// versions).
    pub fn dpo_trainer_create_distributed(communicator: *mut dpo_communicator, model: *mut dpo_model, reference: *mut dpo_model, dataset: *mut dpo_dataset, evaluation: *mut dpo_dataset, options: *const dpo_train_options, trainer: *mut *mut dpo_trainer) -> i32;

    /// The plan as JSON: steps, tokens (distinct and as padded trainers count them), memory by part in bytes,
    /// options. Free
    /// *json with dpo_string_free.
    ///
    /// Errors: none but the common ones.
    pub fn dpo_trainer_plan(trainer: *mut dpo_trainer, json: *mut *mut c_char) -> i32;

    /// Everything that the last step or evaluation measured, as a JSON object by TRL's names (evaluations with the
    /// prefix
    /// eval_): also what dpo_metrics has no field for. "{}" before the first. Free *json with dpo_string_free.
    ///
    /// Errors: none but the common ones.
    pub fn dpo_trainer_last_metrics(trainer: *mut dpo_trainer, json: *mut *mut c_char) -> i32;

    /// Errors: INVALID_ARGUMENT (a method that draws no completions).
    pub fn dpo_trainer_set_reward(trainer: *mut dpo_trainer, callback: dpo_reward_callback, user_data: *mut c_void) -> i32;

    /// A reward model with the policy's tokenizer (DPO_ERROR_MISMATCH for another), or a classifier's log-odds; with
    /// `completion_only` the classifier does not see the prompt. The trainer keeps what it needs: the handles may be
    /// released.
    ///
    /// Errors: INVALID_ARGUMENT (a method that draws no completions), MISMATCH.
    pub fn dpo_trainer_set_reward_model(trainer: *mut dpo_trainer, reward_model: *mut dpo_model) -> i32;

    /// Errors: INVALID_ARGUMENT (a method that draws no completions).
    pub fn dpo_trainer_set_reward_classifier(trainer: *mut dpo_trainer, classifier: *mut dpo_classifier, completion_only: i32) -> i32;

    /// The next optimiser step of the plan. After the last one: DPO_ERROR_STATE. `metrics` may be NULL.
    ///
    /// Errors: NON_FINITE, CANCELLED, DIVERGED (max_kl), STATE (the plan is done), IO (the model's file was changed).
    /// On
    /// any error no parameter has changed.
    pub fn dpo_trainer_step(trainer: *mut dpo_trainer, metrics: *mut dpo_metrics) -> i32;

    /// The same in parts, for a host with its own loss:
    ///
    ///   dpo_trainer_forward     policy log-probs of chosen rows of the data set
    ///   your loss               d loss / d log-prob for each completion
    ///   dpo_trainer_backward    adds to the gradients; forward and backward may repeat, that is gradient
    /// accumulation
    ///   dpo_trainer_apply       clip, AdamW with the schedule's next rate, gradients to zero
    ///
    /// forward: rows \[count\] of the data set; outputs, each \[count\] or NULL: summed log-probs of chosen and
    /// rejected under the
    /// policy and the reference. (For sft rows: the completion under "chosen", rejected 0. Rows of ranked answers
    /// have no place
    /// here: DPO_ERROR_UNSUPPORTED.)
    ///
    /// Errors: INVALID_ARGUMENT (a row that does not exist), UNSUPPORTED, CANCELLED, IO.
    pub fn dpo_trainer_forward(trainer: *mut dpo_trainer, rows: *const usize, count: usize, policy_chosen: *mut f64, policy_rejected: *mut f64, reference_chosen: *mut f64, reference_rejected: *mut f64) -> i32;

    /// Number of scored tokens of the last forward, and, \[that many\], their log-probs: for each row chosen, then
    /// rejected.
    ///
    /// Errors: STATE (no forward before it).
    pub fn dpo_trainer_token_count(trainer: *mut dpo_trainer, count: *mut usize) -> i32;

    /// Errors: STATE, INVALID_ARGUMENT (count).
    pub fn dpo_trainer_token_logps(trainer: *mut dpo_trainer, token_logps: *mut f32, count: usize) -> i32;

    /// Gradients of your loss with respect to the summed log-probs, \[count\] as in the last forward.
    ///
    /// Errors: STATE (no forward before it), INVALID_ARGUMENT (count), NON_FINITE.
    pub fn dpo_trainer_backward(trainer: *mut dpo_trainer, gradient_chosen: *const f64, gradient_rejected: *const f64, count: usize) -> i32;

    /// The same with one gradient for each scored token, as dpo_trainer_token_logps orders them.
    ///
    /// Errors: as dpo_trainer_backward.
    pub fn dpo_trainer_backward_tokens(trainer: *mut dpo_trainer, gradients: *const f32, count: usize) -> i32;

    /// Metrics without loss and rewards: those are your loss's own.
    ///
    /// Errors: STATE (nothing was accumulated), NON_FINITE, CANCELLED (by the reduce callback).
    pub fn dpo_trainer_apply(trainer: *mut dpo_trainer, metrics: *mut dpo_metrics) -> i32;

    /// Parameters: the trained ones, flat. Pointers are valid while the trainer lives, and must not be used while a
    /// call on it
    /// runs. *values and *gradients have *count elements each.
    ///
    /// Errors: none but the common ones.
    pub fn dpo_trainer_parameters(trainer: *mut dpo_trainer, values: *mut *mut f32, gradients: *mut *mut f32, count: *mut usize) -> i32;

    /// Where a parameter lies in them. Names are Hugging Face's, or PEFT's for an adapter. shape has room for 4
    /// numbers.
    ///
    /// Errors: none but the common ones.
    pub fn dpo_trainer_parameter_count(trainer: *mut dpo_trainer, count: *mut usize) -> i32;

    /// Errors: INVALID_ARGUMENT (index).
    pub fn dpo_trainer_parameter_at(trainer: *mut dpo_trainer, index: usize, name: *mut *const c_char, offset: *mut usize, size: *mut usize, shape: *mut i64, dimensions: *mut usize) -> i32;

    /// Errors: INVALID_ARGUMENT (no parameter of this name).
    pub fn dpo_trainer_parameter_find(trainer: *mut dpo_trainer, name: *const c_char, index: *mut usize) -> i32;

    /// Errors: none but the common ones.
    pub fn dpo_trainer_set_reduce(trainer: *mut dpo_trainer, callback: dpo_reduce_callback, user_data: *mut c_void) -> i32;

    /// Runs what remains of the plan. `output_dir` gets metrics.jsonl, checkpoints, final.h5 and report.html; it must
    /// be empty
    /// or new unless the run is resumed or overwrite_output_dir is set. `resume`: NULL, a checkpoint file, or "last",
    /// which
    /// starts from the beginning where there is none yet. `callback` may be NULL.
    /// A resumed run ends in the same bits as one that was never stopped.
    ///
    /// Errors: those of dpo_trainer_step, and STATE (output_dir holds another run), IO, FORMAT and MISMATCH (the
    /// checkpoint), CANCELLED (after a checkpoint).
    pub fn dpo_trainer_run(trainer: *mut dpo_trainer, output_dir: *const c_char, resume: *const c_char, callback: dpo_event_callback, user_data: *mut c_void) -> i32;

    /// Asks a running dpo_trainer_run, _step, _forward or _evaluate to stop: it does within one micro-batch and
    /// returns
    /// DPO_ERROR_CANCELLED. If none is running, the next one stops at once. Any thread, and safe in a signal handler.
    pub fn dpo_trainer_cancel(trainer: *mut dpo_trainer);

    /// Metrics of the evaluation data set now.
    ///
    /// Errors: STATE (no evaluation data), CANCELLED, IO.
    pub fn dpo_trainer_evaluate(trainer: *mut dpo_trainer, metrics: *mut dpo_metrics) -> i32;

    /// The same of another data set, read with the options of this trainer.
    ///
    /// Errors: INVALID_ARGUMENT (data of another kind than the method reads), CANCELLED, IO.
    pub fn dpo_trainer_evaluate_data(trainer: *mut dpo_trainer, dataset: *mut dpo_dataset, metrics: *mut dpo_metrics) -> i32;

    /// Summed log-probs of every row of a data set now, under the policy and the reference: the outputs of
    /// dpo_trainer_forward, each \[count\] or NULL; of a reward model its scores. `count` is the number of rows
    /// (dpo_dataset_get_info). A forward before it cannot be followed by its backward.
    ///
    /// Errors: INVALID_ARGUMENT (count, or data of another kind than the method reads), UNSUPPORTED (ranked answers;
    /// methods that answer prompts), CANCELLED, IO.
    pub fn dpo_trainer_score_data(trainer: *mut dpo_trainer, dataset: *mut dpo_dataset, count: usize, policy_chosen: *mut f64, policy_rejected: *mut f64, reference_chosen: *mut f64, reference_rejected: *mut f64) -> i32;

    /// Writes parameters, optimiser, position and options crash-safely; reads them back. A checkpoint of another
    /// model,
    /// reference or data set, or with another value of an option that decides the run, is refused with
    /// DPO_ERROR_MISMATCH.
    ///
    /// Errors: IO.
    pub fn dpo_trainer_save(trainer: *mut dpo_trainer, path: *const c_char) -> i32;

    /// Errors: IO, FORMAT, MISMATCH; the trainer is then as it was.
    pub fn dpo_trainer_load(trainer: *mut dpo_trainer, path: *const c_char) -> i32;

    /// Writes the trained adapter or model alone, as dpo_trainer_run does in final.h5. dpo_export converts it.
    ///
    /// Errors: IO.
    pub fn dpo_trainer_save_model(trainer: *mut dpo_trainer, path: *const c_char) -> i32;

    /// Every default. struct_size: sizeof(dpo_generation_options).
    ///
    /// Errors: INVALID_ARGUMENT.
    pub fn dpo_generation_options_init(options: *mut dpo_generation_options, struct_size: usize) -> i32;

    /// Completions of NUL-terminated prompts. Generation ends at an end-of-sequence token of the model or at
    /// max_new_tokens.
    /// `callback` may be NULL.
    ///
    /// Errors: INVALID_ARGUMENT (an option, an empty prompt or one that fills the context), UNSUPPORTED (a reward
    /// model,
    /// no tokenizer), IO, CANCELLED (by the callback or dpo_model_cancel).
    pub fn dpo_model_generate(model: *mut dpo_model, prompts: *const *const c_char, count: usize, options: *const dpo_generation_options, callback: dpo_token_callback, user_data: *mut c_void, completions: *mut *mut dpo_completions) -> i32;

    /// Completion `index` of prompt `prompt`: text without special tokens, ids, and whether it ended by itself (1) or
    /// at the
    /// length (0). Any output may be NULL. Pointers live as long as the handle.
    ///
    /// Errors: INVALID_ARGUMENT (indices).
    pub fn dpo_completions_get(completions: *const dpo_completions, prompt: usize, index: usize, text: *mut *const c_char, ids: *mut *const i32, count: *mut usize, stopped: *mut i32) -> i32;

    pub fn dpo_completions_release(completions: *mut dpo_completions);

    /// A text classifier (dpo_classifier): tf-idf of words and characters under logistic regression, a judge of
    /// answers
    /// (`dpo classifier`).
    ///
    /// Learns from `count` texts and their labels, 1 or 0, and calibrates the probabilities on `folds` (2 or more, 5
    /// is usual)
    /// held-out folds; 0: without calibration. `cost` is the weight of the data against the regulariser, 3 is usual.
    ///
    /// Errors: INVALID_ARGUMENT (labels other than 0 and 1, one label only, folds, cost).
    pub fn dpo_classifier_train(texts: *const *const c_char, labels: *const i32, count: usize, cost: f64, folds: i32, classifier: *mut *mut dpo_classifier) -> i32;

    /// What `dpo classifier train` or dpo_classifier_save wrote.
    ///
    /// Errors: IO, FORMAT.
    pub fn dpo_classifier_open(path: *const c_char, classifier: *mut *mut dpo_classifier) -> i32;

    /// Errors: IO.
    pub fn dpo_classifier_save(classifier: *const dpo_classifier, path: *const c_char) -> i32;

    /// ln(p / (1 - p)) of label 1 for each text; log_odds: \[count\].
    ///
    /// Errors: INVALID_ARGUMENT (not UTF-8).
    pub fn dpo_classifier_score(classifier: *const dpo_classifier, texts: *const *const c_char, count: usize, log_odds: *mut f64) -> i32;

    pub fn dpo_classifier_release(classifier: *mut dpo_classifier);

    /// Measures a model on pairs of a JSON-lines file (or on the rows of another method of `options`; NULL:
    /// defaults), against
    /// `reference` (NULL: the model without its adapter), as JSON: metrics by TRL's names, and "standard_errors" of
    /// those that are
    /// means over rows.
    ///
    /// `samples` (NULL: none) tells how to draw num_return_sequences answers to each distinct prompt of the pairs;
    /// its
    /// add_special_tokens is not looked at. "samples" of the JSON then tells "kl", the mean of log policy - log
    /// reference over
    /// answers, in nats (null unless temperature is 1 and nothing is cut off), "prediction_kl", the same from whole
    /// predictions with
    /// less error, "length" in tokens and "finished", the share that ended by itself. With a judge, `classifier` or
    /// `reward_model`
    /// (at most one; else NULL): "win_rate" of answers against the chosen ones, where a tie counts half, the share of
    /// "ties", mean
    /// "score" and "chosen_score". Each is {"value", "standard_error", "low", "high"}, with a 95 % interval,
    /// bootstrapped over prompts.
    /// Free *json with dpo_string_free.
    ///
    /// Errors: INVALID_ARGUMENT, IO, FORMAT (the rows), MISMATCH, UNSUPPORTED (methods that draw their own answers),
    /// CANCELLED.
    pub fn dpo_model_evaluate(model: *mut dpo_model, reference: *mut dpo_model, data: *const c_char, options: *const dpo_train_options, samples: *const dpo_generation_options, classifier: *mut dpo_classifier, reward_model: *mut dpo_model, json: *mut *mut c_char) -> i32;

    /// Every default. struct_size: sizeof(dpo_tokenizer_options).
    ///
    /// Errors: INVALID_ARGUMENT.
    pub fn dpo_tokenizer_options_init(options: *mut dpo_tokenizer_options, struct_size: usize) -> i32;

    /// paths, \[count\]: .jsonl files with "text" in their rows, text files, or directories of such files. Writes
    /// tokenizer.json
    /// and tokenizer_config.json, which transformers loads as well. The result has fewer tokens where the text has no
    /// more
    /// pairs. `options` may be NULL.
    ///
    /// Errors: INVALID_ARGUMENT (an option), IO, FORMAT (no text, a template that cannot be read), STATE (output_dir
    /// is
    /// there and overwrite is 0).
    pub fn dpo_tokenizer_train(paths: *const *const c_char, count: usize, options: *const dpo_tokenizer_options, output_dir: *const c_char) -> i32;

    /// Every default. struct_size: sizeof(dpo_model_shape).
    ///
    /// Errors: INVALID_ARGUMENT.
    pub fn dpo_model_shape_init(shape: *mut dpo_model_shape, struct_size: usize) -> i32;

    /// Writes a model with fresh weights, drawn as transformers does, to be trained with the method "pretrain": a
    /// Hugging Face
    /// directory, or libdpo's file if `output` ends in .h5. Equal shapes and seeds give equal files.
    ///
    /// Errors: INVALID_ARGUMENT (sizes that do not go together), IO, FORMAT (the tokenizer).
    pub fn dpo_model_create(shape: *const dpo_model_shape, output: *const c_char) -> i32;

    /// Every default. struct_size: sizeof(dpo_export_options).
    ///
    /// Errors: INVALID_ARGUMENT.
    pub fn dpo_export_options_init(options: *mut dpo_export_options, struct_size: usize) -> i32;

    /// Converts a model, adapter or checkpoint file. The output appears whole or not at all. `options` may be NULL.
    ///
    /// Errors: INVALID_ARGUMENT, IO, FORMAT, UNSUPPORTED (what the format cannot hold), MISMATCH. The output is then
    /// as it
    /// was.
    pub fn dpo_export(input: *const c_char, format: i32, output: *const c_char, options: *const dpo_export_options) -> i32;

    /// Does what was learned survive an export? Scores pairs of a JSON-lines file under the trained model (`input`
    /// and options as
    /// for dpo_export; dtype, merge and overwrite are not looked at) and under `output`, which dpo_export wrote of
    /// it. `reference`: the
    /// model that was trained from; NULL: the adapter's base, or the model that the file names.
    ///
    /// JSON: "pairs"; "trained" and "exported", each {"rewards/accuracies", "rewards/margins"} at beta 0.1
    /// ({"accuracy", "margin"} of
    /// reward models); "mean_abs_logp_change" and "kl", of a token; "lost" = sqrt(sum (e - m)^2 / sum m^2), where m
    /// is what training
    /// added to a pair's margin and e what of that the output has (null: training changed nothing here); "survives",
    /// whether that is
    /// at most the "limit". Free *json with dpo_string_free.
    ///
    /// Errors: INVALID_ARGUMENT, IO, FORMAT, MISMATCH, UNSUPPORTED.
    pub fn dpo_export_check(input: *const c_char, output: *const c_char, data: *const c_char, reference: *const c_char, options: *const dpo_export_options, json: *mut *mut c_char) -> i32;

    /// Reads the file and checks every line, if it is there; the first record makes it. What a crash left of a last
    /// line is passed
    /// over, and goes with the next record.
    ///
    /// Errors: IO, FORMAT (a line that is no record).
    pub fn dpo_feedback_open(path: *const c_char, feedback: *mut *mut dpo_feedback) -> i32;

    pub fn dpo_feedback_release(feedback: *mut dpo_feedback);

    /// Records a thumb on an answer: up 1, down 0. The record is on the disk when the call returns (fsync: some
    /// milliseconds).
    /// `prompt` and `answer` are what the model read and wrote, NUL-terminated, the answer without its
    /// end-of-sequence token.
    /// `weight` multiplies the record's loss; 1 is usual. `id`: NULL, or where the record's number goes.
    ///
    /// Errors: INVALID_ARGUMENT, IO.
    pub fn dpo_feedback_record_thumb(feedback: *mut dpo_feedback, prompt: *const c_char, answer: *const c_char, up: i32, weight: f64, id: *mut u64) -> i32;

    /// Records that the answer `chosen` was liked better than `rejected`.
    ///
    /// Errors: INVALID_ARGUMENT, IO.
    pub fn dpo_feedback_record_choice(feedback: *mut dpo_feedback, prompt: *const c_char, chosen: *const c_char, rejected: *const c_char, weight: f64, id: *mut u64) -> i32;

    /// Records a row, a JSON object with the keys above but "id": for chat prompts ("prompt": \[{"role", "content"},
    /// …\], answers as
    /// text or messages), for a "time" of your own (seconds since 1970), and with whatever other keys you want to
    /// keep.
    ///
    /// Errors: INVALID_ARGUMENT, FORMAT (not JSON, or no record), IO.
    pub fn dpo_feedback_record_json(feedback: *mut dpo_feedback, row: *const c_char, id: *mut u64) -> i32;

    /// Records in the file.
    ///
    /// Errors: IO.
    pub fn dpo_feedback_count(feedback: *mut dpo_feedback, count: *mut u64) -> i32;

    /// What the file holds and, with `output_dir` (NULL: without), what of it is trained on, as JSON: {"records",
    /// "thumbs_up",
    /// "thumbs_down", "choices", "replaced", "taken_back", "new", "unfinished", "trained_to", "sessions", "adapter",
    /// "gguf_adapter"}. Free *json with dpo_string_free.
    ///
    /// Errors: IO, FORMAT.
    pub fn dpo_feedback_status(feedback: *mut dpo_feedback, output_dir: *const c_char, json: *mut *mut c_char) -> i32;

    /// Every default. struct_size: sizeof(dpo_feedback_options).
    ///
    /// Errors: INVALID_ARGUMENT.
    pub fn dpo_feedback_options_init(options: *mut dpo_feedback_options, struct_size: usize) -> i32;

    /// dpo_train_options_init with the defaults of feedback: learning_rate 2e-4, num_train_epochs 4,
    /// per_device_train_batch_size 4,
    /// lora_r 16, lora_alpha 32, lora_target_modules "all-linear". threads 0 leaves the host a core. The records
    /// decide the
    /// method: choices train with DPO, then thumbs with KTO.
    ///
    /// Errors: INVALID_ARGUMENT.
    pub fn dpo_feedback_training_init(training: *mut dpo_train_options, struct_size: usize) -> i32;

    /// Trains the adapter in `output_dir` on what is new in the file, within max_seconds and
    /// training->memory_limit_mb. Meant for a
    /// thread of its own, at a priority that the host chooses.
    ///
    /// Afterwards output_dir holds adapter.h5 and, for llama.cpp, adapter.gguf. Each is replaced at once: a reader
    /// sees the old or
    /// the new one whole. DPO_EVENT_CHECKPOINT tells when, with the path. Records that come in meanwhile are for the
    /// next call.
    ///
    /// The call stops within one micro-batch when max_seconds are over (DPO_OK, outcome STOPPED) and when the
    /// callback returns
    /// non-zero or dpo_feedback_cancel was called (DPO_ERROR_CANCELLED). What was learned is in the adapter then, and
    /// the next call
    /// goes on in the same bits; a killed process loses at most the step it was in. What a finished session has seen
    /// is not trained
    /// on again, unless `replay` or `retrain` says so. The losses compare with the model itself, without any adapter,
    /// however
    /// often the adapter is trained on.
    ///
    /// `model` may be used by other calls meanwhile (if one is running when training begins, its end is waited for);
    /// an adapter that
    /// it was opened with does not matter. One call at a time trains in a
    /// directory: DPO_ERROR_STATE for others. DPO_ERROR_MISMATCH if the directory belongs to another model or file.
    /// `options`,
    /// `callback` and `result` may be NULL.
    ///
    /// Errors: INVALID_ARGUMENT (options), IO, FORMAT, MISMATCH (the directory belongs to another model or file),
    /// STATE
    /// (another call trains there), CANCELLED, and those of dpo_trainer_step.
    pub fn dpo_feedback_train(feedback: *mut dpo_feedback, model: *mut dpo_model, output_dir: *const c_char, options: *const dpo_feedback_options, callback: dpo_event_callback, user_data: *mut c_void, result: *mut dpo_feedback_result) -> i32;

    /// Asks a running dpo_feedback_train of this handle to stop; if none is running, the next one stops at once. Safe
    /// in a signal
    /// handler.
    pub fn dpo_feedback_cancel(feedback: *mut dpo_feedback);
}
