// Made by options/generate.py from the tables beside it.

use crate::native::{Object, Options};

/// DPO's losses by TRL's names. Formulas: docs/losses.md.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum Loss {
    /// DPO (Rafailov et al. 2023, equation 7).
    Sigmoid = 0,
    /// SLiC-HF's hinge on the DPO margin (Zhao et al. 2023).
    Hinge = 1,
    /// IPO (Azar et al. 2023, equation 17), on length-normalised log-ratios as in TRL.
    Ipo = 2,
    /// EXO for pairs (Ji et al. 2024, equation 16).
    ExoPair = 3,
    /// NCA for pairs (Chen et al. 2024).
    NcaPair = 4,
    /// Robust DPO, unbiased under flipped labels (Chowdhury et al. 2024).
    Robust = 5,
    /// BCO on pairs (Jung et al. 2024), without the running mean.
    BcoPair = 6,
    /// SPPO with hard labels (Wu et al. 2024).
    SppoHard = 7,
    /// AOT: stochastic dominance over the batch, paired (Melnyk et al. 2024).
    Aot = 8,
    /// AOT over unpaired samples.
    AotUnpaired = 9,
    /// APO-zero (D'Oosterlinck et al. 2024): raises chosen, lowers rejected.
    ApoZero = 10,
    /// APO-down: lowers both, the rejected more.
    ApoDown = 11,
    /// DiscoPOP, the log-ratio modulated loss (Lu et al. 2024).
    Discopop = 12,
    /// Negative log-likelihood of the chosen completion, token mean over the micro-batch (the RPO term).
    Sft = 13,
    /// DPO on length-normalised log-ratios.
    SigmoidNorm = 14,
    /// cDPO: sigmoid with labels flipped with probability label_smoothing (Mitchell 2023).
    Conservative = 15,
}

impl Loss {
    /// All of them.
    pub const ALL: &'static [Loss] = &[
        Loss::Sigmoid, Loss::Hinge, Loss::Ipo, Loss::ExoPair, Loss::NcaPair, Loss::Robust, Loss::BcoPair,
        Loss::SppoHard, Loss::Aot, Loss::AotUnpaired, Loss::ApoZero, Loss::ApoDown, Loss::Discopop, Loss::Sft,
        Loss::SigmoidNorm, Loss::Conservative,
    ];

    /// What `loss_type` calls it.
    pub fn name(self) -> &'static str {
        match self {
            Loss::Sigmoid => "sigmoid",
            Loss::Hinge => "hinge",
            Loss::Ipo => "ipo",
            Loss::ExoPair => "exo_pair",
            Loss::NcaPair => "nca_pair",
            Loss::Robust => "robust",
            Loss::BcoPair => "bco_pair",
            Loss::SppoHard => "sppo_hard",
            Loss::Aot => "aot",
            Loss::AotUnpaired => "aot_unpaired",
            Loss::ApoZero => "apo_zero",
            Loss::ApoDown => "apo_down",
            Loss::Discopop => "discopop",
            Loss::Sft => "sft",
            Loss::SigmoidNorm => "sigmoid_norm",
            Loss::Conservative => "conservative",
        }
    }
}

/// How a model is trained.
/// `None` is the default.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TrainOptions {
    /// What is trained, and on which rows. "dpo" on pairs; "ranked" on ranked answers; "sft" on demonstrations, or on
    /// the chosen side of pairs; "pretrain" on plain text; "kto" on thumbs up and down; "bco" on thumbs up and down;
    /// "cpo" CPO, SimPO or AlphaPO on pairs without a reference model; "orpo" on pairs without a reference model;
    /// "unlikelihood" on pairs, the DPO paper's baseline; "reward" a reward model on pairs; "ppo" on the policy's own
    /// answers to prompts, by a reward; "rloo" the same without a value function, by leave-one-out means; "grpo" the
    /// same by standardised groups; "online_dpo" DPO on its best and worst answers. `None`: "dpo".
    pub method: Option<String>,
    /// The loss; several are summed with loss_weights. dpo and online_dpo: the DPO losses. cpo: sigmoid, hinge, ipo,
    /// simpo or alphapo. kto: kto or apo_zero_unpaired. sft: nll or dft. A method that finds the default here takes its
    /// own. Source: paper, equation 7: sigmoid. `None`: "sigmoid". For dpo, sft, kto, cpo and online_dpo.
    pub loss_type: Option<Vec<String>>,
    /// Weight of each loss in loss_type; empty: 1 each. For dpo and online_dpo.
    pub loss_weights: Option<Vec<f64>>,
    /// β, how strongly the policy is held to the reference model: the smaller, the further it may go. orpo: the paper's
    /// λ. Source: paper, equation 3. More than 0. `None`: 0.1. For dpo, ranked, kto, bco, cpo, orpo and online_dpo.
    pub beta: Option<f64>,
    /// ε, the share of labels that are assumed to be swapped. For the losses exo_pair, robust, aot, aot_unpaired and
    /// conservative, and for cpo. 0 to 1. `None`: 0. For dpo, cpo and online_dpo.
    pub label_smoothing: Option<f64>,
    /// The divergence from the reference model that the loss assumes. The paper's is reverse_kl. One of "reverse_kl",
    /// "forward_kl", "js_divergence", "alpha_divergence". `None`: "reverse_kl". For dpo and online_dpo.
    pub f_divergence_type: Option<String>,
    /// Coefficient of alpha_divergence. `None`: 0.5. For dpo and online_dpo.
    pub f_alpha_divergence_coef: Option<f64>,
    /// Temperature of the discopop loss. More than 0. `None`: 0.05. For dpo and online_dpo.
    pub discopop_tau: Option<f64>,
    /// LD-DPO: weight of the tokens that the longer completion has beyond the shorter one. 0 to 1. `None`: 1. For dpo
    /// and online_dpo.
    pub ld_alpha: Option<f64>,
    /// WPO: weight each pair by how likely the policy is to write it. `None`: off. For dpo and online_dpo.
    pub use_weighting: Option<bool>,
    /// On rows of prompt and completion: learn the completion only. `None`: on. For sft.
    pub completion_only_loss: Option<bool>,
    /// On rows of messages: learn only what the chat template writes inside {% generation %}. `None`: off. For sft.
    pub assistant_only_loss: Option<bool>,
    /// Fill sequences of max_length tokens with as many rows as fit, in TRL's order. Rows of one sequence never see
    /// each other. Batches then count such sequences. `None`: off. For sft.
    pub packing: Option<bool>,
    /// Factor on the loss of rows with a thumb up. At least 0. `None`: 1. For kto.
    pub desirable_weight: Option<f64>,
    /// Factor on the loss of rows with a thumb down. At least 0. `None`: 1. For kto.
    pub undesirable_weight: Option<f64>,
    /// Weight of the chosen completions' negative log-likelihood. SimPO as published has none: 0. At least 0. `None`:
    /// 1. For cpo.
    pub cpo_alpha: Option<f64>,
    /// simpo's γ: the margin between the rewards that the loss asks for. `None`: 0.5. For cpo.
    pub simpo_gamma: Option<f64>,
    /// AlphaPO's shape of the reward, (1 − p^−alpha) / alpha; 0: the log-prob. `None`: 0. For cpo.
    pub alpha: Option<f64>,
    /// Weight of the rejected completions' log-likelihood, which is taken from that of the chosen ones. Source: paper,
    /// appendix C.2; not in TRL. 0 to 1. `None`: 1. For unlikelihood.
    pub unlikelihood_alpha: Option<f64>,
    /// Weight of the mean of (chosen + rejected)², which keeps a reward model's scores near 0. At least 0. `None`:
    /// none; 0.01 is usual. For reward.
    pub center_rewards_coefficient: Option<f64>,
    /// Take the reference model's log-probs as 0. `None`: off. For dpo, ranked, kto and bco.
    pub reference_free: Option<bool>,
    /// Compute the reference log-probs of all rows before the first step, and keep them in the output directory.
    /// `None`: off. For dpo, ranked, kto and bco.
    pub precompute_ref_log_probs: Option<bool>,
    /// TR-DPO: move the reference model towards the policy every ref_model_sync_steps. Full training only. `None`: off.
    /// For dpo, ranked, kto and bco.
    pub sync_ref_model: Option<bool>,
    /// TR-DPO: weight of the policy in the new reference model. 0 to 1. `None`: 0.6. For dpo, ranked, kto and bco.
    pub ref_model_mixup_alpha: Option<f64>,
    /// TR-DPO: optimiser steps between two syncs. At least 1. `None`: 512. For dpo, ranked, kto and bco.
    pub ref_model_sync_steps: Option<i32>,
    /// β, the weight of the KL penalty: ppo takes it from the reward of every token, rloo from that of a completion,
    /// grpo adds it to the loss. At least 0. `None`: 0.05 for ppo and rloo, 0 for grpo. For ppo, rloo and grpo.
    pub kl_coef: Option<f64>,
    /// KL of a token from k = log π − log π_ref. k1 is k, k3 is e^−k − 1 + k. One of "k1", "k3". `None`: "k1". For ppo.
    pub kl_estimator: Option<String>,
    /// KL of a completion, in nats, that kl_coef is steered towards after each rollout. Source: Ziegler et al. 2019;
    /// not in TRL 1.16. At least 1e-9. `None`: kl_coef is fixed. For ppo and rloo.
    pub kl_target: Option<f64>,
    /// Completions over which kl_coef adapts to kl_target. More than 0. `None`: 10000. For ppo and rloo.
    pub kl_horizon: Option<f64>,
    /// Stop the run when the mean KL of a rollout's completions, in nats, is above this. Source: not in TRL. At least
    /// 0. `None`: 200; `f64::NAN`: never. For ppo, rloo, grpo and online_dpo.
    pub max_kl: Option<f64>,
    /// ε of PPO's clipped objective: how far the ratio π/π_old counts. At least 0. `None`: 0.2. For ppo, rloo and grpo.
    pub cliprange: Option<f64>,
    /// How far a value may move from the rollout's before the loss stops following. At least 0. `None`: 0.2. For ppo.
    pub cliprange_value: Option<f64>,
    /// Weight of the value function's loss. At least 0. `None`: 0.1. For ppo.
    pub vf_coef: Option<f64>,
    /// γ, discount of later rewards. 0 to 1. `None`: 1. For ppo.
    pub gamma: Option<f64>,
    /// λ of generalised advantage estimation. 0 to 1. `None`: 0.95. For ppo.
    pub lam: Option<f64>,
    /// Scale the rewards of a rollout to variance 1. `None`: off. For ppo.
    pub whiten_rewards: Option<bool>,
    /// Passes over each rollout. 1 to 1000. `None`: 4 for ppo, 1 for rloo, grpo and online_dpo. For ppo, rloo, grpo and
    /// online_dpo.
    pub num_ppo_epochs: Option<i32>,
    /// Optimiser steps that a pass over a rollout is divided into. A rollout has per_device_train_batch_size ×
    /// gradient_accumulation_steps rows. 1 to 1000000. `None`: 1. For ppo, rloo, grpo and online_dpo.
    pub num_mini_batches: Option<i32>,
    /// Completions of each prompt. 2 to 1024. `None`: 2 for rloo and online_dpo, 8 for grpo. For rloo, grpo and
    /// online_dpo.
    pub num_generations: Option<i32>,
    /// Most tokens of a completion that the policy draws. At least 1. `None`: 53 for ppo, 512 for rloo and grpo, 64 for
    /// online_dpo. For ppo, rloo, grpo and online_dpo.
    pub max_completion_length: Option<i32>,
    /// Temperature of the policy's draws. ppo, rloo and grpo take all log-probs at it. 0.001 to 1000. `None`: 0.7 for
    /// ppo, 1 for rloo and grpo, 0.9 for online_dpo. For ppo, rloo, grpo and online_dpo.
    pub temperature: Option<f64>,
    /// Taken from the score of a completion that does not end by itself. At least 0. `None`: none. For ppo, rloo, grpo
    /// and online_dpo.
    pub missing_eos_penalty: Option<f64>,
    /// Peak learning rate. With LoRA, 1e-4 to 2e-4 is usual for every method. At least 0. `None`: 2e-5 for sft, 5e-4
    /// for pretrain, 1e-4 for reward, 3e-6 for ppo, 5e-7 for online_dpo, 1e-6 for the others.
    pub learning_rate: Option<f64>,
    /// How the learning rate changes over the steps. One of "linear", "cosine", "constant", "constant_with_warmup",
    /// "cosine_with_restarts", "polynomial", "inverse_sqrt". `None`: "linear".
    pub lr_scheduler_type: Option<String>,
    /// Steps over which the rate rises from 0; below 1: that fraction of all steps. 0 to 2147483647. `None`: 0.
    pub warmup_steps: Option<f64>,
    /// Decoupled weight decay; sgd adds it to the gradients. Biases and norms are exempt. At least 0. `None`: 0.
    pub weight_decay: Option<f64>,
    /// Decay of AdamW's first moment; Lion's β1. 0 to 0.999999999. `None`: 0.9.
    pub adam_beta1: Option<f64>,
    /// Decay of AdamW's second moment; Lion's β2, which its paper has at 0.99. 0 to 0.999999999. `None`: 0.999.
    pub adam_beta2: Option<f64>,
    /// Added to AdamW's denominator. At least 0. `None`: 1e-8.
    pub adam_epsilon: Option<f64>,
    /// The optimiser. adamw_torch, also called adamw_torch_fused, keeps 8 bytes for each number that is trained;
    /// adamw_8bit, also called adamw_bnb_8bit, 2; adafactor next to none; lion_32bit 4; lion_8bit 1; sgd none, or 4
    /// with momentum. Others than AdamW want other learning rates: Lion a third to a tenth of AdamW's, sgd a far higher
    /// one. One of "adamw_torch", "adamw_torch_fused", "adamw_8bit", "adamw_bnb_8bit", "adafactor", "lion_32bit",
    /// "lion_8bit", "sgd". `None`: "adamw_torch".
    pub optim: Option<String>,
    /// Settings of sgd: momentum=0.9, dampening=0, nesterov=true. The other optimisers have none.
    pub optim_args: Option<Vec<String>>,
    /// What adamw_torch, lion_32bit and sgd keep their states in: bf16 takes half as much memory. Numbers are rounded
    /// up or down by chance, the same in every run. One of "fp32", "bf16". Source: not in TRL. `None`: "fp32".
    pub optim_state_dtype: Option<String>,
    /// Gradients are scaled down to this global norm; 0: never. At least 0. `None`: 1.
    pub max_grad_norm: Option<f64>,
    /// Rows of a micro-batch. pretrain, and sft with packing: sequences of max_length tokens. At least 1. `None`: 8.
    pub per_device_train_batch_size: Option<i32>,
    /// Rows of an evaluation batch. At least 1. `None`: 8.
    pub per_device_eval_batch_size: Option<i32>,
    /// Micro-batches of an optimiser step. At least 1. `None`: 1.
    pub gradient_accumulation_steps: Option<i32>,
    /// Passes over the data, unless max_steps is set. More than 0, at most 1000000. `None`: 3.
    pub num_train_epochs: Option<f64>,
    /// Optimiser steps; -1: as many as num_train_epochs gives. At least -1. `None`: -1.
    pub max_steps: Option<i32>,
    /// A new order of rows each epoch, as TRL draws it. Source: TRL: shuffle_dataset. `None`: on.
    pub shuffle: Option<bool>,
    /// Seed of the row order, of LoRA's first weights and of dropout. 0 to 4294967295. `None`: 42.
    pub seed: Option<u32>,
    /// Seed of the row order alone. 0 to 4294967295. `None`: seed.
    pub data_seed: Option<i64>,
    /// Tokens of prompt and completion that are kept. pretrain: longer documents are cut into such pieces. At least 1.
    /// `None`: 1024; 0: all of them.
    pub max_length: Option<i32>,
    /// Where the tokens of files of rows are kept, so that the next run reads them from there, with hardly any memory:
    /// a directory; none: rows are in memory; auto: files of more than 256 MB are cached in .dpo-cache beside them.
    /// Results do not depend on it. `None`: "auto".
    pub data_cache: Option<String>,
    /// Which end of a row longer than max_length is kept. One of "keep_start", "keep_end". `None`: "keep_start".
    pub truncation_mode: Option<String>,
    /// Rank of a new LoRA adapter; 0: train every weight. Source: PEFT: r. 0 to 65536. `None`: 0.
    pub lora_r: Option<i32>,
    /// The adapter is scaled by lora_alpha / lora_r. At least 0. `None`: lora_r.
    pub lora_alpha: Option<f64>,
    /// Dropout before the adapter's matrix A. Needs disable_dropout off. 0 to 0.999999. `None`: 0.
    pub lora_dropout: Option<f64>,
    /// Modules that get an adapter: names such as q_proj, or all-linear; empty: PEFT's choice for the family. Source:
    /// PEFT: target_modules.
    pub lora_target_modules: Option<Vec<String>>,
    /// Scale by lora_alpha / √lora_r instead. `None`: off.
    pub use_rslora: Option<bool>,
    /// What the adapter's matrix A is drawn from. B starts at 0. One of "kaiming", "gaussian". `None`: "kaiming".
    pub init_lora_weights: Option<String>,
    /// No dropout in policy and reference model. `None`: on.
    pub disable_dropout: Option<bool>,
    /// Steps between evaluations; 0: at the end of every epoch. At least 0. `None`: 0.
    pub eval_steps: Option<i32>,
    /// Steps between checkpoints; 0: only the final model. At least 0. `None`: 500.
    pub save_steps: Option<i32>,
    /// Checkpoints that are kept; the oldest go first. At least 1. `None`: all.
    pub save_total_limit: Option<i32>,
    /// Steps between writes of the one file that a crashed run resumes from; 0: never, -1: every step for LoRA, never
    /// for full training. Source: not in TRL. At least -1. `None`: -1.
    pub autosave_steps: Option<i32>,
    /// Start anew in a directory that holds an earlier run. `None`: off.
    pub overwrite_output_dir: Option<bool>,
    /// Keep each block's input alone and compute the rest again in the backward pass: less memory, the same numbers.
    /// `None`: off.
    pub gradient_checkpointing: Option<bool>,
    /// Directory on a disk for the optimizer's states and for what the forward pass keeps for the backward pass: memory
    /// holds of them what it has room for. Nothing remains there. Changes no number. `None`: all is in memory.
    pub offload: Option<String>,
    /// Update the weights of a layer as soon as the backward pass has its gradients, whose memory the next layer then
    /// takes: full training without 4 bytes of gradients for each number. Needs max_grad_norm 0 and steps of one
    /// micro-batch. Source: torchtune: optimizer_in_bwd. `None`: off.
    pub optimizer_in_backward: Option<bool>,
    /// Arithmetic of the linear layers. Weights, sums and log-probs are fp32 in both; bf16 is faster on processors that
    /// have instructions for it and takes the time of fp32 elsewhere. One of "fp32", "bf16". `None`: "fp32".
    pub precision: Option<String>,
    /// Compute threads; 0: one a core, and at most that many. Results do not depend on it. 0 to 1024. `None`: 0.
    pub threads: Option<i32>,
    /// Refuse a run whose plan needs more MiB; 0: what the machine has free. At least 0. `None`: 0.
    pub memory_limit_mb: Option<i32>,
    /// Inner loops to compute with; auto: the best for this processor. Engines differ in the last bits of their
    /// results. One of "auto", "avx512", "avx2", "neon", "portable", "openblas". `None`: "auto".
    pub engine: Option<String>,
    /// Adds up the gradients of a step's micro-batches in one order, so that a run ends in the same bits on any number
    /// of ranks. Takes another buffer for them where a rank has several micro-batches a step. false: each rank adds up
    /// its own first. Source: libdpo. `None`: on.
    pub reproducible_sums: Option<bool>,
    /// Weight of the auxiliary loss of a mixture's routers, which is the lower the more evenly they use the experts; 0:
    /// without it. Other models have none. At least 0. `None`: what the model's config.json says, 0.01 or 0.001 without
    /// it. For dpo, sft, pretrain, kto, rloo and grpo.
    pub router_aux_loss_coef: Option<f64>,
    /// Multiply the KL penalty of each token by its ratio π/π_old, so that its gradient is that of the KL from the
    /// reference, without bias. Source: TRL; DeepSeek-V3.2. `None`: on. For grpo.
    pub use_bias_correction_kl: Option<bool>,
}

impl Options for TrainOptions {
    const KIND: &'static str = "training";

    fn write(&self, object: &mut Object) {
        object.field("method", &self.method);
        object.field("loss_type", &self.loss_type);
        object.field("loss_weights", &self.loss_weights);
        object.field("beta", &self.beta);
        object.field("label_smoothing", &self.label_smoothing);
        object.field("f_divergence_type", &self.f_divergence_type);
        object.field("f_alpha_divergence_coef", &self.f_alpha_divergence_coef);
        object.field("discopop_tau", &self.discopop_tau);
        object.field("ld_alpha", &self.ld_alpha);
        object.field("use_weighting", &self.use_weighting);
        object.field("completion_only_loss", &self.completion_only_loss);
        object.field("assistant_only_loss", &self.assistant_only_loss);
        object.field("packing", &self.packing);
        object.field("desirable_weight", &self.desirable_weight);
        object.field("undesirable_weight", &self.undesirable_weight);
        object.field("cpo_alpha", &self.cpo_alpha);
        object.field("simpo_gamma", &self.simpo_gamma);
        object.field("alpha", &self.alpha);
        object.field("unlikelihood_alpha", &self.unlikelihood_alpha);
        object.field("center_rewards_coefficient", &self.center_rewards_coefficient);
        object.field("reference_free", &self.reference_free);
        object.field("precompute_ref_log_probs", &self.precompute_ref_log_probs);
        object.field("sync_ref_model", &self.sync_ref_model);
        object.field("ref_model_mixup_alpha", &self.ref_model_mixup_alpha);
        object.field("ref_model_sync_steps", &self.ref_model_sync_steps);
        object.field("kl_coef", &self.kl_coef);
        object.field("kl_estimator", &self.kl_estimator);
        object.field("kl_target", &self.kl_target);
        object.field("kl_horizon", &self.kl_horizon);
        object.field("max_kl", &self.max_kl);
        object.field("cliprange", &self.cliprange);
        object.field("cliprange_value", &self.cliprange_value);
        object.field("vf_coef", &self.vf_coef);
        object.field("gamma", &self.gamma);
        object.field("lam", &self.lam);
        object.field("whiten_rewards", &self.whiten_rewards);
        object.field_or_null("num_ppo_epochs", self.num_ppo_epochs, 0);
        object.field("num_mini_batches", &self.num_mini_batches);
        object.field_or_null("num_generations", self.num_generations, 0);
        object.field_or_null("max_completion_length", self.max_completion_length, 0);
        object.field("temperature", &self.temperature);
        object.field("missing_eos_penalty", &self.missing_eos_penalty);
        object.field("learning_rate", &self.learning_rate);
        object.field("lr_scheduler_type", &self.lr_scheduler_type);
        object.field("warmup_steps", &self.warmup_steps);
        object.field("weight_decay", &self.weight_decay);
        object.field("adam_beta1", &self.adam_beta1);
        object.field("adam_beta2", &self.adam_beta2);
        object.field("adam_epsilon", &self.adam_epsilon);
        object.field("optim", &self.optim);
        object.field("optim_args", &self.optim_args);
        object.field("optim_state_dtype", &self.optim_state_dtype);
        object.field("max_grad_norm", &self.max_grad_norm);
        object.field("per_device_train_batch_size", &self.per_device_train_batch_size);
        object.field("per_device_eval_batch_size", &self.per_device_eval_batch_size);
        object.field("gradient_accumulation_steps", &self.gradient_accumulation_steps);
        object.field("num_train_epochs", &self.num_train_epochs);
        object.field("max_steps", &self.max_steps);
        object.field("shuffle", &self.shuffle);
        object.field("seed", &self.seed);
        object.field_or_null("data_seed", self.data_seed, -1);
        object.field_or_null("max_length", self.max_length, 0);
        object.field("data_cache", &self.data_cache);
        object.field("truncation_mode", &self.truncation_mode);
        object.field("lora_r", &self.lora_r);
        object.field("lora_alpha", &self.lora_alpha);
        object.field("lora_dropout", &self.lora_dropout);
        object.field("lora_target_modules", &self.lora_target_modules);
        object.field("use_rslora", &self.use_rslora);
        object.field("init_lora_weights", &self.init_lora_weights);
        object.field("disable_dropout", &self.disable_dropout);
        object.field("eval_steps", &self.eval_steps);
        object.field("save_steps", &self.save_steps);
        object.field_or_null("save_total_limit", self.save_total_limit, 0);
        object.field("autosave_steps", &self.autosave_steps);
        object.field("overwrite_output_dir", &self.overwrite_output_dir);
        object.field("gradient_checkpointing", &self.gradient_checkpointing);
        object.field("offload", &self.offload);
        object.field("optimizer_in_backward", &self.optimizer_in_backward);
        object.field("precision", &self.precision);
        object.field("threads", &self.threads);
        object.field("memory_limit_mb", &self.memory_limit_mb);
        object.field("engine", &self.engine);
        object.field("reproducible_sums", &self.reproducible_sums);
        object.field("router_aux_loss_coef", &self.router_aux_loss_coef);
        object.field("use_bias_correction_kl", &self.use_bias_correction_kl);
    }
}

/// How completions are drawn. Warpers apply in Hugging Face's order: temperature, top-k, top-p, min-p.
/// `None` is the default.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GenerationOptions {
    /// Most tokens of a completion. At least 1. `None`: 128.
    pub max_new_tokens: Option<i32>,
    /// Sampling temperature; 0: greedy. At least 0. `None`: 1.
    pub temperature: Option<f64>,
    /// Sample among so many of the likeliest tokens; 0: all. At least 0. `None`: 0.
    pub top_k: Option<i32>,
    /// Sample among the likeliest tokens that have this probability together; 1: all. More than 0, at most 1. `None`:
    /// 1.
    pub top_p: Option<f64>,
    /// Leave out tokens less likely than this share of the likeliest one's probability; 0: none. 0 to 1. `None`: 0.
    pub min_p: Option<f64>,
    /// A completion depends on the seed and its indices alone, not on what else is in the batch. At least 0. `None`:
    /// 42.
    pub seed: Option<u64>,
    /// Completions of each prompt. 1 to 4096. `None`: 1.
    pub num_return_sequences: Option<i32>,
    /// Off for prompts that a chat template wrote: they hold their special tokens already. `None`: on.
    pub add_special_tokens: Option<bool>,
    /// Arithmetic of the products with weights; bf16 rounds both factors and reads half the bytes. One of "fp32",
    /// "bf16". `None`: "fp32".
    pub precision: Option<String>,
}

impl Options for GenerationOptions {
    const KIND: &'static str = "generation";

    fn write(&self, object: &mut Object) {
        object.field("max_new_tokens", &self.max_new_tokens);
        object.field("temperature", &self.temperature);
        object.field("top_k", &self.top_k);
        object.field("top_p", &self.top_p);
        object.field("min_p", &self.min_p);
        object.field("seed", &self.seed);
        object.field("num_return_sequences", &self.num_return_sequences);
        object.field("add_special_tokens", &self.add_special_tokens);
        object.field("precision", &self.precision);
    }
}

/// How feedback is trained on.
/// `None` is the default.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FeedbackOptions {
    /// Stop after so many seconds. What was learned is kept, and the next call goes on. More than 0. `None`: no limit.
    pub max_seconds: Option<f64>,
    /// Older records that a session mixes in, drawn at random, for each new one; 1: as many old as new. 0 to 1000.
    /// `None`: 0.
    pub replay: Option<f64>,
    /// New records to wait for before a session begins. At least 1. `None`: 8.
    pub min_records: Option<i32>,
    /// Start anew: a new adapter, to which every record is new. `None`: off.
    pub retrain: Option<bool>,
    /// Options of the runs, with feedback's own defaults. The records decide the method.
    pub training: Option<TrainOptions>,
}

impl Options for FeedbackOptions {
    const KIND: &'static str = "feedback";

    fn write(&self, object: &mut Object) {
        object.field_or_null("max_seconds", self.max_seconds, 0.0);
        object.field("replay", &self.replay);
        object.field("min_records", &self.min_records);
        object.field("retrain", &self.retrain);
        object.field("training", &self.training);
    }
}

/// How a byte-level BPE tokenizer is learned from text.
/// `None` is the default.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TokenizerOptions {
    /// Tokens, special ones and the 256 bytes included. There are fewer where the text has no more pairs. At least 1.
    /// `None`: 8192.
    pub vocabulary_size: Option<i32>,
    /// Pairs that occur less often become no token. At least 0. `None`: 2.
    pub minimum_frequency: Option<i32>,
    /// How text is cut into words. One of "gpt2", "smollm", "llama3", "qwen2". `None`: "gpt2".
    pub pre_tokenizer: Option<String>,
    /// "chatml", or Jinja. chatml also makes \<|im_end|> the token that ends answers. `None`: none.
    pub chat_template: Option<String>,
    /// Begins a sequence. `None`: \<|endoftext|>.
    pub bos_token: Option<String>,
    /// Ends documents and answers. `None`: \<|endoftext|>, with chatml \<|im_end|>.
    pub eos_token: Option<String>,
    /// Fills up batches in other programs. `None`: \<|endoftext|>.
    pub pad_token: Option<String>,
    /// More tokens that are never part of a word, in the order of their ids.
    pub special_tokens: Option<Vec<String>>,
    /// Replace what stands there. `None`: off.
    pub overwrite: Option<bool>,
}

impl Options for TokenizerOptions {
    const KIND: &'static str = "tokenizer";

    fn write(&self, object: &mut Object) {
        object.field("vocabulary_size", &self.vocabulary_size);
        object.field("minimum_frequency", &self.minimum_frequency);
        object.field("pre_tokenizer", &self.pre_tokenizer);
        object.field("chat_template", &self.chat_template);
        object.field("bos_token", &self.bos_token);
        object.field("eos_token", &self.eos_token);
        object.field("pad_token", &self.pad_token);
        object.field("special_tokens", &self.special_tokens);
        object.field("overwrite", &self.overwrite);
    }
}

/// The sizes of a new model. What is not set follows from the others as the family's models usually have it.
/// `None` is the default.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ModelShape {
    /// Family of the model, by the model_type of Hugging Face's config.json. `None`: "llama".
    pub family: Option<String>,
    /// A directory with tokenizer.json, or a model: the new model gets its tokenizer. `None`: none.
    pub tokenizer: Option<String>,
    /// Tokens of the vocabulary. At least 1. `None`: the tokenizer's.
    pub vocabulary_size: Option<i32>,
    /// Width of the hidden states. At least 1. `None`: 256.
    pub hidden_size: Option<i32>,
    /// Number of blocks. At least 1. `None`: 4.
    pub layers: Option<i32>,
    /// Attention heads. At least 1. `None`: one for every 64 of hidden_size.
    pub heads: Option<i32>,
    /// Heads of keys and values. At least 1. `None`: heads.
    pub kv_heads: Option<i32>,
    /// Width of the MLP. At least 1. `None`: 8/3 of hidden_size, rounded up to a multiple of 32; gpt2: 4 times
    /// hidden_size.
    pub intermediate_size: Option<i32>,
    /// Tokens that the model reads at most. At least 1. `None`: 1024.
    pub context_length: Option<i32>,
    /// The head is the token embedding. `None`: on.
    pub tie_word_embeddings: Option<bool>,
    /// Standard deviation of the weights. At least 0. `None`: 0.02.
    pub initializer_range: Option<f64>,
    /// Seed of the weights: equal shapes and seeds give equal files. At least 0. `None`: 42.
    pub seed: Option<u64>,
    /// Replace what stands there. `None`: off.
    pub overwrite: Option<bool>,
}

impl Options for ModelShape {
    const KIND: &'static str = "shape";

    fn write(&self, object: &mut Object) {
        object.field("family", &self.family);
        object.field("tokenizer", &self.tokenizer);
        object.field_or_null("vocabulary_size", self.vocabulary_size, 0);
        object.field("hidden_size", &self.hidden_size);
        object.field("layers", &self.layers);
        object.field_or_null("heads", self.heads, 0);
        object.field_or_null("kv_heads", self.kv_heads, 0);
        object.field_or_null("intermediate_size", self.intermediate_size, 0);
        object.field("context_length", &self.context_length);
        object.field("tie_word_embeddings", &self.tie_word_embeddings);
        object.field("initializer_range", &self.initializer_range);
        object.field("seed", &self.seed);
        object.field("overwrite", &self.overwrite);
    }
}

/// How a model or adapter is converted.
/// `None` is the default.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ExportOptions {
    /// An adapter to put on the model. `None`: none.
    pub adapter: Option<String>,
    /// The model of an adapter whose file names it no more. `None`: the one that the adapter's file names.
    pub base: Option<String>,
    /// Number format of the weights. q8_0 is for GGUF models only; HDF5 is always f32. One of "f32", "f16", "bf16",
    /// "q8_0". `None`: "f32".
    pub dtype: Option<String>,
    /// Add the adapter into the weights. `None`: off.
    pub merge: Option<bool>,
    /// Replace what stands there. `None`: off.
    pub overwrite: Option<bool>,
}

impl Options for ExportOptions {
    const KIND: &'static str = "export";

    fn write(&self, object: &mut Object) {
        object.field("adapter", &self.adapter);
        object.field("base", &self.base);
        object.field("dtype", &self.dtype);
        object.field("merge", &self.merge);
        object.field("overwrite", &self.overwrite);
    }
}
