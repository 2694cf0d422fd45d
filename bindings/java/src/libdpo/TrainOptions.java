// Made by options/generate.py from the tables beside it.
package libdpo;

/** How a model is trained. What is not set keeps its default. */
public final class TrainOptions extends Options {
  public TrainOptions() {
    super("training");
  }

  /**
   * What is trained, and on which rows. "dpo" on pairs; "ranked" on ranked answers; "sft" on demonstrations, or on the
   * chosen side of pairs; "pretrain" on plain text; "kto" on thumbs up and down; "bco" on thumbs up and down; "cpo"
   * CPO, SimPO or AlphaPO on pairs without a reference model; "orpo" on pairs without a reference model; "unlikelihood"
   * on pairs, the DPO paper's baseline; "reward" a reward model on pairs; "ppo" on the policy's own answers to prompts,
   * by a reward; "rloo" the same without a value function, by leave-one-out means; "grpo" the same by standardised
   * groups; "online_dpo" DPO on its best and worst answers. Default: "dpo".
   */
  public TrainOptions method(String value) {
    set("method", value);
    return this;
  }

  /**
   * The loss; several are summed with loss_weights. dpo and online_dpo: the DPO losses. cpo: sigmoid, hinge, ipo, simpo
   * or alphapo. kto: kto or apo_zero_unpaired. sft: nll or dft. A method that finds the default here takes its own.
   * Source: paper, equation 7: sigmoid. Default: "sigmoid". For dpo, sft, kto, cpo and online_dpo.
   */
  public TrainOptions lossType(String... value) {
    set("loss_type", value);
    return this;
  }

  /** Weight of each loss in loss_type; empty: 1 each. For dpo and online_dpo. */
  public TrainOptions lossWeights(double... value) {
    set("loss_weights", value);
    return this;
  }

  /**
   * β, how strongly the policy is held to the reference model: the smaller, the further it may go. orpo: the paper's λ.
   * Source: paper, equation 3. More than 0. Default: 0.1. For dpo, ranked, kto, bco, cpo, orpo and online_dpo.
   */
  public TrainOptions beta(double value) {
    set("beta", value);
    return this;
  }

  /**
   * ε, the share of labels that are assumed to be swapped. For the losses exo_pair, robust, aot, aot_unpaired and
   * conservative, and for cpo. 0 to 1. Default: 0. For dpo, cpo and online_dpo.
   */
  public TrainOptions labelSmoothing(double value) {
    set("label_smoothing", value);
    return this;
  }

  /**
   * The divergence from the reference model that the loss assumes. The paper's is reverse_kl. One of "reverse_kl",
   * "forward_kl", "js_divergence", "alpha_divergence". Default: "reverse_kl". For dpo and online_dpo.
   */
  public TrainOptions fDivergenceType(String value) {
    set("f_divergence_type", value);
    return this;
  }

  /** Coefficient of alpha_divergence. Default: 0.5. For dpo and online_dpo. */
  public TrainOptions fAlphaDivergenceCoef(double value) {
    set("f_alpha_divergence_coef", value);
    return this;
  }

  /** Temperature of the discopop loss. More than 0. Default: 0.05. For dpo and online_dpo. */
  public TrainOptions discopopTau(double value) {
    set("discopop_tau", value);
    return this;
  }

  /**
   * LD-DPO: weight of the tokens that the longer completion has beyond the shorter one. 0 to 1. Default: 1. For dpo and
   * online_dpo.
   */
  public TrainOptions ldAlpha(double value) {
    set("ld_alpha", value);
    return this;
  }

  /** WPO: weight each pair by how likely the policy is to write it. Default: off. For dpo and online_dpo. */
  public TrainOptions useWeighting(boolean value) {
    set("use_weighting", value);
    return this;
  }

  /** On rows of prompt and completion: learn the completion only. Default: on. For sft. */
  public TrainOptions completionOnlyLoss(boolean value) {
    set("completion_only_loss", value);
    return this;
  }

  /** On rows of messages: learn only what the chat template writes inside {% generation %}. Default: off. For sft. */
  public TrainOptions assistantOnlyLoss(boolean value) {
    set("assistant_only_loss", value);
    return this;
  }

  /**
   * Fill sequences of max_length tokens with as many rows as fit, in TRL's order. Rows of one sequence never see each
   * other. Batches then count such sequences. Default: off. For sft.
   */
  public TrainOptions packing(boolean value) {
    set("packing", value);
    return this;
  }

  /** Factor on the loss of rows with a thumb up. At least 0. Default: 1. For kto. */
  public TrainOptions desirableWeight(double value) {
    set("desirable_weight", value);
    return this;
  }

  /** Factor on the loss of rows with a thumb down. At least 0. Default: 1. For kto. */
  public TrainOptions undesirableWeight(double value) {
    set("undesirable_weight", value);
    return this;
  }

  /**
   * Weight of the chosen completions' negative log-likelihood. SimPO as published has none: 0. At least 0. Default: 1.
   * For cpo.
   */
  public TrainOptions cpoAlpha(double value) {
    set("cpo_alpha", value);
    return this;
  }

  /** simpo's γ: the margin between the rewards that the loss asks for. Default: 0.5. For cpo. */
  public TrainOptions simpoGamma(double value) {
    set("simpo_gamma", value);
    return this;
  }

  /** AlphaPO's shape of the reward, (1 − p^−alpha) / alpha; 0: the log-prob. Default: 0. For cpo. */
  public TrainOptions alpha(double value) {
    set("alpha", value);
    return this;
  }

  /**
   * Weight of the rejected completions' log-likelihood, which is taken from that of the chosen ones. Source: paper,
   * appendix C.2; not in TRL. 0 to 1. Default: 1. For unlikelihood.
   */
  public TrainOptions unlikelihoodAlpha(double value) {
    set("unlikelihood_alpha", value);
    return this;
  }

  /**
   * Weight of the mean of (chosen + rejected)², which keeps a reward model's scores near 0. At least 0. Default: none;
   * 0.01 is usual. For reward.
   */
  public TrainOptions centerRewardsCoefficient(double value) {
    set("center_rewards_coefficient", value);
    return this;
  }

  /** Take the reference model's log-probs as 0. Default: off. For dpo, ranked, kto and bco. */
  public TrainOptions referenceFree(boolean value) {
    set("reference_free", value);
    return this;
  }

  /**
   * Compute the reference log-probs of all rows before the first step, and keep them in the output directory. Default:
   * off. For dpo, ranked, kto and bco.
   */
  public TrainOptions precomputeRefLogProbs(boolean value) {
    set("precompute_ref_log_probs", value);
    return this;
  }

  /**
   * TR-DPO: move the reference model towards the policy every ref_model_sync_steps. Full training only. Default: off.
   * For dpo, ranked, kto and bco.
   */
  public TrainOptions syncRefModel(boolean value) {
    set("sync_ref_model", value);
    return this;
  }

  /** TR-DPO: weight of the policy in the new reference model. 0 to 1. Default: 0.6. For dpo, ranked, kto and bco. */
  public TrainOptions refModelMixupAlpha(double value) {
    set("ref_model_mixup_alpha", value);
    return this;
  }

  /** TR-DPO: optimiser steps between two syncs. At least 1. Default: 512. For dpo, ranked, kto and bco. */
  public TrainOptions refModelSyncSteps(int value) {
    set("ref_model_sync_steps", value);
    return this;
  }

  /**
   * β, the weight of the KL penalty: ppo takes it from the reward of every token, rloo from that of a completion, grpo
   * adds it to the loss. At least 0. Default: 0.05 for ppo and rloo, 0 for grpo. For ppo, rloo and grpo.
   */
  public TrainOptions klCoef(double value) {
    set("kl_coef", value);
    return this;
  }

  /**
   * KL of a token from k = log π − log π_ref. k1 is k, k3 is e^−k − 1 + k. One of "k1", "k3". Default: "k1". For ppo.
   */
  public TrainOptions klEstimator(String value) {
    set("kl_estimator", value);
    return this;
  }

  /**
   * KL of a completion, in nats, that kl_coef is steered towards after each rollout. Source: Ziegler et al. 2019; not
   * in TRL 1.16. At least 1e-9. Default: kl_coef is fixed. For ppo and rloo.
   */
  public TrainOptions klTarget(double value) {
    set("kl_target", value);
    return this;
  }

  /** Completions over which kl_coef adapts to kl_target. More than 0. Default: 10000. For ppo and rloo. */
  public TrainOptions klHorizon(double value) {
    set("kl_horizon", value);
    return this;
  }

  /**
   * Stop the run when the mean KL of a rollout's completions, in nats, is above this. Source: not in TRL. At least 0.
   * Default: 200; NaN: never. For ppo, rloo, grpo and online_dpo.
   */
  public TrainOptions maxKl(double value) {
    set("max_kl", value);
    return this;
  }

  /**
   * ε of PPO's clipped objective: how far the ratio π/π_old counts. At least 0. Default: 0.2. For ppo, rloo and grpo.
   */
  public TrainOptions cliprange(double value) {
    set("cliprange", value);
    return this;
  }

  /** How far a value may move from the rollout's before the loss stops following. At least 0. Default: 0.2. For ppo. */
  public TrainOptions cliprangeValue(double value) {
    set("cliprange_value", value);
    return this;
  }

  /** Weight of the value function's loss. At least 0. Default: 0.1. For ppo. */
  public TrainOptions vfCoef(double value) {
    set("vf_coef", value);
    return this;
  }

  /** γ, discount of later rewards. 0 to 1. Default: 1. For ppo. */
  public TrainOptions gamma(double value) {
    set("gamma", value);
    return this;
  }

  /** λ of generalised advantage estimation. 0 to 1. Default: 0.95. For ppo. */
  public TrainOptions lam(double value) {
    set("lam", value);
    return this;
  }

  /** Scale the rewards of a rollout to variance 1. Default: off. For ppo. */
  public TrainOptions whitenRewards(boolean value) {
    set("whiten_rewards", value);
    return this;
  }

  /**
   * Passes over each rollout. 1 to 1000. Default: 4 for ppo, 1 for rloo, grpo and online_dpo. For ppo, rloo, grpo and
   * online_dpo.
   */
  public TrainOptions numPpoEpochs(int value) {
    set("num_ppo_epochs", value);
    return this;
  }

  /**
   * Optimiser steps that a pass over a rollout is divided into. A rollout has per_device_train_batch_size ×
   * gradient_accumulation_steps rows. 1 to 1000000. Default: 1. For ppo, rloo, grpo and online_dpo.
   */
  public TrainOptions numMiniBatches(int value) {
    set("num_mini_batches", value);
    return this;
  }

  /**
   * Completions of each prompt. 2 to 1024. Default: 2 for rloo and online_dpo, 8 for grpo. For rloo, grpo and
   * online_dpo.
   */
  public TrainOptions numGenerations(int value) {
    set("num_generations", value);
    return this;
  }

  /**
   * Most tokens of a completion that the policy draws. At least 1. Default: 53 for ppo, 512 for rloo and grpo, 64 for
   * online_dpo. For ppo, rloo, grpo and online_dpo.
   */
  public TrainOptions maxCompletionLength(int value) {
    set("max_completion_length", value);
    return this;
  }

  /**
   * Temperature of the policy's draws. ppo, rloo and grpo take all log-probs at it. 0.001 to 1000. Default: 0.7 for
   * ppo, 1 for rloo and grpo, 0.9 for online_dpo. For ppo, rloo, grpo and online_dpo.
   */
  public TrainOptions temperature(double value) {
    set("temperature", value);
    return this;
  }

  /**
   * Taken from the score of a completion that does not end by itself. At least 0. Default: none. For ppo, rloo, grpo
   * and online_dpo.
   */
  public TrainOptions missingEosPenalty(double value) {
    set("missing_eos_penalty", value);
    return this;
  }

  /**
   * Peak learning rate. With LoRA, 1e-4 to 2e-4 is usual for every method. At least 0. Default: 2e-5 for sft, 5e-4 for
   * pretrain, 1e-4 for reward, 3e-6 for ppo, 5e-7 for online_dpo, 1e-6 for the others.
   */
  public TrainOptions learningRate(double value) {
    set("learning_rate", value);
    return this;
  }

  /**
   * How the learning rate changes over the steps. One of "linear", "cosine", "constant", "constant_with_warmup",
   * "cosine_with_restarts", "polynomial", "inverse_sqrt". Default: "linear".
   */
  public TrainOptions lrSchedulerType(String value) {
    set("lr_scheduler_type", value);
    return this;
  }

  /** Steps over which the rate rises from 0; below 1: that fraction of all steps. 0 to 2147483647. Default: 0. */
  public TrainOptions warmupSteps(double value) {
    set("warmup_steps", value);
    return this;
  }

  /** Decoupled weight decay; sgd adds it to the gradients. Biases and norms are exempt. At least 0. Default: 0. */
  public TrainOptions weightDecay(double value) {
    set("weight_decay", value);
    return this;
  }

  /** Decay of AdamW's first moment; Lion's β1. 0 to 0.999999999. Default: 0.9. */
  public TrainOptions adamBeta1(double value) {
    set("adam_beta1", value);
    return this;
  }

  /** Decay of AdamW's second moment; Lion's β2, which its paper has at 0.99. 0 to 0.999999999. Default: 0.999. */
  public TrainOptions adamBeta2(double value) {
    set("adam_beta2", value);
    return this;
  }

  /** Added to AdamW's denominator. At least 0. Default: 1e-8. */
  public TrainOptions adamEpsilon(double value) {
    set("adam_epsilon", value);
    return this;
  }

  /**
   * The optimiser. adamw_torch, also called adamw_torch_fused, keeps 8 bytes for each number that is trained;
   * adamw_8bit, also called adamw_bnb_8bit, 2; adafactor next to none; lion_32bit 4; lion_8bit 1; sgd none, or 4 with
   * momentum. Others than AdamW want other learning rates: Lion a third to a tenth of AdamW's, sgd a far higher one.
   * One of "adamw_torch", "adamw_torch_fused", "adamw_8bit", "adamw_bnb_8bit", "adafactor", "lion_32bit", "lion_8bit",
   * "sgd". Default: "adamw_torch".
   */
  public TrainOptions optim(String value) {
    set("optim", value);
    return this;
  }

  /** Settings of sgd: momentum=0.9, dampening=0, nesterov=true. The other optimisers have none. */
  public TrainOptions optimArgs(String... value) {
    set("optim_args", value);
    return this;
  }

  /**
   * What adamw_torch, lion_32bit and sgd keep their states in: bf16 takes half as much memory. Numbers are rounded up
   * or down by chance, the same in every run. One of "fp32", "bf16". Source: not in TRL. Default: "fp32".
   */
  public TrainOptions optimStateDtype(String value) {
    set("optim_state_dtype", value);
    return this;
  }

  /** Gradients are scaled down to this global norm; 0: never. At least 0. Default: 1. */
  public TrainOptions maxGradNorm(double value) {
    set("max_grad_norm", value);
    return this;
  }

  /** Rows of a micro-batch. pretrain, and sft with packing: sequences of max_length tokens. At least 1. Default: 8. */
  public TrainOptions perDeviceTrainBatchSize(int value) {
    set("per_device_train_batch_size", value);
    return this;
  }

  /** Rows of an evaluation batch. At least 1. Default: 8. */
  public TrainOptions perDeviceEvalBatchSize(int value) {
    set("per_device_eval_batch_size", value);
    return this;
  }

  /** Micro-batches of an optimiser step. At least 1. Default: 1. */
  public TrainOptions gradientAccumulationSteps(int value) {
    set("gradient_accumulation_steps", value);
    return this;
  }

  /** Passes over the data, unless max_steps is set. More than 0, at most 1000000. Default: 3. */
  public TrainOptions numTrainEpochs(double value) {
    set("num_train_epochs", value);
    return this;
  }

  /** Optimiser steps; -1: as many as num_train_epochs gives. At least -1. Default: -1. */
  public TrainOptions maxSteps(int value) {
    set("max_steps", value);
    return this;
  }

  /** A new order of rows each epoch, as TRL draws it. Source: TRL: shuffle_dataset. Default: on. */
  public TrainOptions shuffle(boolean value) {
    set("shuffle", value);
    return this;
  }

  /** Seed of the row order, of LoRA's first weights and of dropout. 0 to 4294967295. Default: 42. */
  public TrainOptions seed(long value) {
    set("seed", value);
    return this;
  }

  /** Seed of the row order alone. 0 to 4294967295. Default: seed. */
  public TrainOptions dataSeed(long value) {
    set("data_seed", value);
    return this;
  }

  /**
   * Tokens of prompt and completion that are kept. pretrain: longer documents are cut into such pieces. At least 1.
   * Default: 1024; 0: all of them.
   */
  public TrainOptions maxLength(int value) {
    set("max_length", value);
    return this;
  }

  /**
   * Where the tokens of files of rows are kept, so that the next run reads them from there, with hardly any memory: a
   * directory; none: rows are in memory; auto: files of more than 256 MB are cached in .dpo-cache beside them. Results
   * do not depend on it. Default: "auto".
   */
  public TrainOptions dataCache(String value) {
    set("data_cache", value);
    return this;
  }

  /** Which end of a row longer than max_length is kept. One of "keep_start", "keep_end". Default: "keep_start". */
  public TrainOptions truncationMode(String value) {
    set("truncation_mode", value);
    return this;
  }

  /** Rank of a new LoRA adapter; 0: train every weight. Source: PEFT: r. 0 to 65536. Default: 0. */
  public TrainOptions loraR(int value) {
    set("lora_r", value);
    return this;
  }

  /** The adapter is scaled by lora_alpha / lora_r. At least 0. Default: lora_r. */
  public TrainOptions loraAlpha(double value) {
    set("lora_alpha", value);
    return this;
  }

  /** Dropout before the adapter's matrix A. Needs disable_dropout off. 0 to 0.999999. Default: 0. */
  public TrainOptions loraDropout(double value) {
    set("lora_dropout", value);
    return this;
  }

  /**
   * Modules that get an adapter: names such as q_proj, or all-linear; empty: PEFT's choice for the family. Source:
   * PEFT: target_modules.
   */
  public TrainOptions loraTargetModules(String... value) {
    set("lora_target_modules", value);
    return this;
  }

  /** Scale by lora_alpha / √lora_r instead. Default: off. */
  public TrainOptions useRslora(boolean value) {
    set("use_rslora", value);
    return this;
  }

  /** What the adapter's matrix A is drawn from. B starts at 0. One of "kaiming", "gaussian". Default: "kaiming". */
  public TrainOptions initLoraWeights(String value) {
    set("init_lora_weights", value);
    return this;
  }

  /** No dropout in policy and reference model. Default: on. */
  public TrainOptions disableDropout(boolean value) {
    set("disable_dropout", value);
    return this;
  }

  /** Steps between evaluations; 0: at the end of every epoch. At least 0. Default: 0. */
  public TrainOptions evalSteps(int value) {
    set("eval_steps", value);
    return this;
  }

  /** Steps between checkpoints; 0: only the final model. At least 0. Default: 500. */
  public TrainOptions saveSteps(int value) {
    set("save_steps", value);
    return this;
  }

  /** Checkpoints that are kept; the oldest go first. At least 1. Default: all. */
  public TrainOptions saveTotalLimit(int value) {
    set("save_total_limit", value);
    return this;
  }

  /**
   * Steps between writes of the one file that a crashed run resumes from; 0: never, -1: every step for LoRA, never for
   * full training. Source: not in TRL. At least -1. Default: -1.
   */
  public TrainOptions autosaveSteps(int value) {
    set("autosave_steps", value);
    return this;
  }

  /** Start anew in a directory that holds an earlier run. Default: off. */
  public TrainOptions overwriteOutputDir(boolean value) {
    set("overwrite_output_dir", value);
    return this;
  }

  /**
   * Keep each block's input alone and compute the rest again in the backward pass: less memory, the same numbers.
   * Default: off.
   */
  public TrainOptions gradientCheckpointing(boolean value) {
    set("gradient_checkpointing", value);
    return this;
  }

  /**
   * Directory on a disk for the optimizer's states and for what the forward pass keeps for the backward pass: memory
   * holds of them what it has room for. Nothing remains there. Changes no number. Default: all is in memory.
   */
  public TrainOptions offload(String value) {
    set("offload", value);
    return this;
  }

  /**
   * Update the weights of a layer as soon as the backward pass has its gradients, whose memory the next layer then
   * takes: full training without 4 bytes of gradients for each number. Needs max_grad_norm 0 and steps of one
   * micro-batch. Source: torchtune: optimizer_in_bwd. Default: off.
   */
  public TrainOptions optimizerInBackward(boolean value) {
    set("optimizer_in_backward", value);
    return this;
  }

  /**
   * Arithmetic of the linear layers. Weights, sums and log-probs are fp32 in both; bf16 is faster on processors that
   * have instructions for it and takes the time of fp32 elsewhere. One of "fp32", "bf16". Default: "fp32".
   */
  public TrainOptions precision(String value) {
    set("precision", value);
    return this;
  }

  /** Compute threads; 0: one a core, and at most that many. Results do not depend on it. 0 to 1024. Default: 0. */
  public TrainOptions threads(int value) {
    set("threads", value);
    return this;
  }

  /** Refuse a run whose plan needs more MiB; 0: what the machine has free. At least 0. Default: 0. */
  public TrainOptions memoryLimitMb(int value) {
    set("memory_limit_mb", value);
    return this;
  }

  /**
   * Inner loops to compute with; auto: the best for this processor. Engines differ in the last bits of their results.
   * One of "auto", "avx512", "avx2", "neon", "portable", "openblas". Default: "auto".
   */
  public TrainOptions engine(String value) {
    set("engine", value);
    return this;
  }

  /**
   * Adds up the gradients of a step's micro-batches in one order, so that a run ends in the same bits on any number of
   * ranks. Takes another buffer for them where a rank has several micro-batches a step. false: each rank adds up its
   * own first. Source: libdpo. Default: on.
   */
  public TrainOptions reproducibleSums(boolean value) {
    set("reproducible_sums", value);
    return this;
  }

  /**
   * Weight of the auxiliary loss of a mixture's routers, which is the lower the more evenly they use the experts; 0:
   * without it. Other models have none. At least 0. Default: what the model's config.json says, 0.01 or 0.001 without
   * it. For dpo, sft, pretrain, kto, rloo and grpo.
   */
  public TrainOptions routerAuxLossCoef(double value) {
    set("router_aux_loss_coef", value);
    return this;
  }

  /**
   * Multiply the KL penalty of each token by its ratio π/π_old, so that its gradient is that of the KL from the
   * reference, without bias. Source: TRL; DeepSeek-V3.2. Default: on. For grpo.
   */
  public TrainOptions useBiasCorrectionKl(boolean value) {
    set("use_bias_correction_kl", value);
    return this;
  }
}
