import DPOBase
import DPOKernels

extension TrainingOptions {
  private static let most = Int(Int32.max)
  private static let any = Double.greatestFiniteMagnitude

  /// Losses of all methods that have several.
  private static var lossTypes: [String] {
    var names = LossType.allCases.map(\.rawValue)
    for name in CPOLossOptions.names + KTOLossOptions.names + SFTLossKind.allCases.map(\.rawValue)
    where !names.contains(name) { names.append(name) }
    return names
  }

  /// The option table, in the order in which options are documented.
  public static let fields: [OptionField] = [
    .choice(
      "method", \.method, TrainingMethod.names,
      "what is trained: " + TrainingMethod.table.map { "\($0.name) \($0.summary)" }.joined(separator: ", ")
    ),
    .strings(
      "loss_type", \.lossType, lossTypes,
      "DPO losses, summed with loss_weights (paper, equation 7: sigmoid); cpo: one of sigmoid, hinge, ipo, simpo, alphapo; "
        + "kto: kto or apo_zero_unpaired; sft: nll or dft"
    ),
    .reals("loss_weights", \.lossWeights, "weight of each loss_type; empty: 1 each"),
    .real("beta", \.beta, 0...any, "β, strength of the pull to the reference model; more than 0", open: true),
    .real(
      "label_smoothing", \.labelSmoothing, 0...1,
      "ε, assumed rate of swapped labels, for exo_pair, robust, aot, aot_unpaired, conservative and cpo"
    ),
    .choice(
      "f_divergence_type", \.fDivergenceType, FDivergence.allCases.map(\.rawValue),
      "divergence from the reference model that the loss assumes"
    ),
    .real("f_alpha_divergence_coef", \.fAlphaDivergenceCoef, -any...any, "coefficient of alpha_divergence"),
    .real("discopop_tau", \.discopopTau, 0...any, "temperature of the discopop loss; more than 0", open: true),
    .optionalReal(
      "ld_alpha", \.ldAlpha, 0...1,
      "LD-DPO: weight of the tokens that the longer completion has beyond the shorter one; unset: 1"
    ),
    .bool("use_weighting", \.useWeighting, "WPO: weight each pair by the policy's probability of it"),
    .bool("reference_free", \.referenceFree, "take the reference model's log-probs as 0"),
    .bool("completion_only_loss", \.completionOnlyLoss, "sft on prompt and completion: learn the completion only"),
    .bool(
      "assistant_only_loss", \.assistantOnlyLoss,
      "sft on messages: learn only what the chat template writes inside {% generation %}"),
    .bool(
      "packing", \.packing,
      "sft: a row of a batch is as many rows of the data as fit into max_length, in TRL's order; they never see each other"
    ),
    .real("desirable_weight", \.desirableWeight, 0...any, "kto: factor on the loss of rows with a thumb up"),
    .real("undesirable_weight", \.undesirableWeight, 0...any, "kto: factor on the loss of rows with a thumb down"),
    .real("cpo_alpha", \.cpoAlpha, 0...any, "cpo: weight of the chosen completions' negative log-likelihood"),
    .real("simpo_gamma", \.simpoGamma, -any...any, "cpo with simpo: γ, the margin of rewards asked for"),
    .real(
      "alpha", \.alpha, -any...any,
      "cpo: AlphaPO's shape of the reward, (1 − p^−alpha) / alpha; 0: the log-prob"
    ),
    .real(
      "unlikelihood_alpha", \.unlikelihoodAlpha, 0...1,
      "unlikelihood: weight of the rejected completions' log-likelihood"
    ),
    .optionalReal(
      "center_rewards_coefficient", \.centerRewardsCoefficient, 0...any,
      "reward: weight of the mean of (chosen + rejected)², which keeps scores near 0; unset: none, usual: 0.01"
    ),

    .optionalReal(
      "kl_coef", \.klCoef, 0...any,
      "β of ppo, rloo and grpo: weight of the KL penalty (at every token, of a completion's reward, in the loss); unset: 0.05 "
        + "for ppo and rloo, 0 for grpo",
      .noted),
    .choice(
      "kl_estimator", \.klEstimator, KLEstimator.allCases.map(\.rawValue),
      "ppo: KL of a token from k = log π − log π_ref: k1 is k, k3 is e^−k − 1 + k"),
    .optionalReal(
      "kl_target", \.klTarget, 1e-9...any,
      "ppo, rloo: KL of a completion (nats) that kl_coef is steered towards after each rollout; unset: kl_coef is fixed",
      .noted),
    .real(
      "kl_horizon", \.klHorizon, 0...any, "completions over which kl_coef adapts to kl_target; more than 0", .noted,
      open: true),
    .optionalReal(
      "max_kl", \.maxKl, 0...any,
      "stop when the mean KL of a rollout's completions (nats) is above this; null: never", .noted),
    .real("cliprange", \.cliprange, 0...any, "ppo, rloo, grpo: ε, how far the ratio π/π_old counts"),
    .real("cliprange_value", \.cliprangeValue, 0...any, "ppo: how far a value may move from the rollout's"),
    .real("vf_coef", \.vfCoef, 0...any, "ppo: weight of the value function's loss"),
    .real("gamma", \.gamma, 0...1, "ppo: γ, discount of later rewards"),
    .real("lam", \.lam, 0...1, "ppo: λ of the generalised advantage estimation"),
    .bool("whiten_rewards", \.whitenRewards, "ppo: scale the rewards of a rollout to variance 1"),
    .optionalInt(
      "num_ppo_epochs", \.numPpoEpochs, 1...1000,
      "passes over each rollout; unset: 4 for ppo, 1 for rloo, grpo and online_dpo"),
    .int(
      "num_mini_batches", \.numMiniBatches, 1...1_000_000,
      "optimiser steps that a pass over a rollout of per_device_train_batch_size × gradient_accumulation_steps rows is divided into"
    ),
    .optionalInt(
      "num_generations", \.numGenerations, 2...1024,
      "rloo, grpo, online_dpo: completions of each prompt; unset: 2 for rloo and online_dpo, 8 for grpo"),
    .int("max_completion_length", \.maxCompletionLength, 1...most, "most tokens of a completion that the policy draws"),
    .optionalReal(
      "temperature", \.temperature, 0.001...1000,
      "of the policy's draws; ppo, rloo and grpo take all log-probs at it; unset: 0.7 for ppo, 1 for rloo and grpo, 0.9 for online_dpo"
    ),
    .optionalReal(
      "missing_eos_penalty", \.missingEosPenalty, 0...any,
      "taken from the score of a completion that does not end by itself; unset: none"),

    .optionalReal(
      "learning_rate", \.learningRate, 0...any,
      "peak learning rate; unset: 2e-5 for sft, 5e-4 for pretrain, 1e-4 for reward, 3e-6 for ppo, 5e-7 for online_dpo, "
        + "1e-6 for others", .noted),
    .choice(
      "lr_scheduler_type", \.lrSchedulerType, ScheduleKind.allCases.map(\.rawValue),
      "how the learning rate changes over the steps", .noted),
    .real(
      "warmup_steps", \.warmupSteps, 0...Double(most),
      "steps over which the rate rises from 0; below 1: that fraction of all steps", .noted),
    .real(
      "weight_decay", \.weightDecay, 0...any, "AdamW's decoupled weight decay; biases and norms are exempt", .noted),
    .real("adam_beta1", \.adamBeta1, 0...0.999999999, "decay of AdamW's first moment", .noted),
    .real("adam_beta2", \.adamBeta2, 0...0.999999999, "decay of AdamW's second moment", .noted),
    .real("adam_epsilon", \.adamEpsilon, 0...any, "added to AdamW's denominator", .noted),
    .real("max_grad_norm", \.maxGradNorm, 0...any, "gradients are scaled down to this global norm; 0: never", .noted),

    .int(
      "per_device_train_batch_size", \.perDeviceTrainBatchSize, 1...most,
      "rows of a micro-batch; for pretrain and with packing: sequences of max_length tokens"),
    .int("per_device_eval_batch_size", \.perDeviceEvalBatchSize, 1...most, "rows of an evaluation batch", .free),
    .int("gradient_accumulation_steps", \.gradientAccumulationSteps, 1...most, "micro-batches of an optimiser step"),
    .real(
      "num_train_epochs", \.numTrainEpochs, 0...1e6, "passes over the data, unless max_steps is set", .noted, open: true
    ),
    .int("max_steps", \.maxSteps, -1...most, "optimiser steps; -1: as many as num_train_epochs gives", .noted),
    .bool("shuffle", \.shuffle, "a new order of rows each epoch, as TRL draws it"),
    .int("seed", \.seed, 0...Int(UInt32.max), "seed of row order, LoRA initialisation and dropout"),
    .optionalInt("data_seed", \.dataSeed, 0...Int(UInt32.max), "seed of the row order; unset: seed"),

    .optionalInt(
      "max_length", \.maxLength, 1...most,
      "tokens of prompt and completion kept; null: all of them. pretrain: longer documents are cut into such pieces"),
    .choice("truncation_mode", \.truncationMode, ["keep_start", "keep_end"], "which end of a longer row is kept"),

    .int("lora_r", \.loraR, 0...65536, "rank of a new LoRA adapter; 0: train every weight"),
    .optionalReal("lora_alpha", \.loraAlpha, 0...any, "LoRA scale is lora_alpha / lora_r; unset: lora_r"),
    .real("lora_dropout", \.loraDropout, 0...0.999999, "dropout before A; needs disable_dropout off"),
    .strings(
      "lora_target_modules", \.loraTargetModules, [],
      "modules that get an adapter: names such as q_proj, or all-linear; empty: PEFT's choice for the family"),
    .bool("use_rslora", \.useRslora, "scale by lora_alpha / √lora_r"),
    .choice("init_lora_weights", \.initLoraWeights, ["kaiming", "gaussian"], "distribution of A; B starts at 0"),
    .bool("disable_dropout", \.disableDropout, "no dropout in policy and reference"),

    .bool(
      "precompute_ref_log_probs", \.precomputeRefLogProbs,
      "compute the reference log-probs of all rows before the first step and keep them in output_dir"),
    .bool("sync_ref_model", \.syncRefModel, "TR-DPO: move the reference towards the policy every ref_model_sync_steps"),
    .real("ref_model_mixup_alpha", \.refModelMixupAlpha, 0...1, "TR-DPO: weight of the policy in the new reference"),
    .int("ref_model_sync_steps", \.refModelSyncSteps, 1...most, "TR-DPO: steps between two syncs"),

    .int("eval_steps", \.evalSteps, 0...most, "steps between evaluations; 0: at the end of every epoch", .free),
    .int("save_steps", \.saveSteps, 0...most, "steps between checkpoints; 0: only the final model", .free),
    .optionalInt(
      "save_total_limit", \.saveTotalLimit, 1...most, "checkpoints kept, oldest removed first; null: all", .free),
    .int(
      "autosave_steps", \.autosaveSteps, -1...most,
      "steps between writes of the one file that a crashed run resumes from; 0: never, -1: 1 for LoRA, never for full training",
      .free),
    .bool("overwrite_output_dir", \.overwriteOutputDir, "start anew in a directory that holds an earlier run", .free),

    .bool(
      "gradient_checkpointing", \.gradientCheckpointing,
      "keep each block's input alone and compute the rest again in the backward pass: less memory, same numbers", .free),
    .choice(
      "precision", \.precision, Precision.allCases.map(\.rawValue),
      "arithmetic of the linear layers; bf16 is faster where `dpo version --verbose` says so, and takes the time of fp32 elsewhere. Weights, sums and log-probs are fp32 in both"
    ),
    .choice(
      "engine", \.engine, ["auto"] + Engine.names,
      "inner loops to compute with; auto: the best for this processor, see `dpo version --verbose`. Engines differ in the last bits",
      .free),
    .int("threads", \.threads, 0...1024, "compute threads; 0: one a core. Results do not depend on it", .free),
    .int(
      "memory_limit_mb", \.memoryLimitMb, 0...most,
      "refuse a run whose plan needs more MiB; 0: what the machine has free", .free),
  ]
}
