// Made by options/generate.py from the tables beside it: change those, and run `make options`.
// swift-format-ignore-file

import DPOBase

extension TrainingOptions.Method {
  /// `kl_coef` where it is not set.
  package var defaultKlCoef: Double {
    switch name {
    case "grpo": 0.0
    default: 0.05
    }
  }

  /// `num_ppo_epochs` where it is not set.
  package var defaultNumPpoEpochs: Int {
    switch name {
    case "ppo": 4
    default: 1
    }
  }

  /// `num_generations` where it is not set.
  package var defaultNumGenerations: Int {
    switch name {
    case "grpo": 8
    default: 2
    }
  }

  /// `max_completion_length` where it is not set.
  package var defaultMaxCompletionLength: Int {
    switch name {
    case "ppo": 53
    case "online_dpo": 64
    default: 512
    }
  }

  /// `temperature` where it is not set.
  package var defaultTemperature: Double {
    switch name {
    case "ppo": 0.7
    case "online_dpo": 0.9
    default: 1.0
    }
  }

  /// `learning_rate` where it is not set.
  package var defaultLearningRate: Double {
    switch name {
    case "sft": 2e-5
    case "pretrain": 5e-4
    case "reward": 1e-4
    case "ppo": 3e-6
    case "online_dpo": 5e-7
    default: 1e-6
    }
  }
}

extension TrainingMethod {
  /// The method that the options name, from its file in Training/Methods.
  static func make(_ options: TrainingOptions) throws -> TrainingMethod {
    switch options.method.name {
    case "dpo": try .dpo(options)
    case "ranked": try .ranked(options)
    case "sft": try .sft(options)
    case "pretrain": try .pretrain(options)
    case "kto": try .kto(options)
    case "bco": try .bco(options)
    case "cpo": try .cpo(options)
    case "orpo": try .orpo(options)
    case "unlikelihood": try .unlikelihood(options)
    case "reward": try .reward(options)
    case "ppo": try .ppo(options)
    case "rloo": try .rloo(options)
    case "grpo": try .grpo(options)
    case "online_dpo": try .onlineDpo(options)
    default:
      throw DPOError.argument(
        "method is \(options.method.name), expected one of \(TrainingOptions.Method.names.joined(separator: ", "))")
    }
  }
}

extension TrainingOptions {
  /// The option table, in the order of the C struct.
  public static let fields: [OptionField] = [
    .name(
      "method", \.method.name, Method.names,
      OptionField.About(
        .method,
        "What is trained, and on which rows.")),
    .names(
      "loss_type", \.method.lossType,
      ["sigmoid", "hinge", "ipo", "exo_pair", "nca_pair", "robust", "bco_pair", "sppo_hard", "aot", "aot_unpaired", "apo_zero", "apo_down", "discopop", "sft", "sigmoid_norm", "conservative", "simpo", "alphapo", "kto", "apo_zero_unpaired", "nll", "dft"],
      OptionField.About(
        .method, methods: ["dpo", "sft", "kto", "cpo", "online_dpo"], source: "paper, equation 7: sigmoid",
        "The loss; several are summed with loss_weights. dpo and online_dpo: the DPO losses. cpo: sigmoid, hinge, "
          + "ipo, simpo or alphapo. kto: kto or apo_zero_unpaired. sft: nll or dft. A method that finds the default "
          + "here takes its own.")),
    .reals(
      "loss_weights", \.method.lossWeights,
      OptionField.About(
        .method, methods: ["dpo", "online_dpo"],
        "Weight of each loss in loss_type; empty: 1 each.")),
    .real(
      "beta", \.method.beta, 0...OptionField.any, open: true,
      OptionField.About(
        .method, methods: ["dpo", "ranked", "kto", "bco", "cpo", "orpo", "online_dpo"], range: "more than 0",
        source: "paper, equation 3",
        "β, how strongly the policy is held to the reference model: the smaller, the further it may go. orpo: the "
          + "paper's λ.")),
    .real(
      "label_smoothing", \.method.labelSmoothing, 0...1,
      OptionField.About(
        .method, methods: ["dpo", "cpo", "online_dpo"],
        needs: OptionField.Need(
          "loss_type",
          ["exo_pair", "robust", "aot", "aot_unpaired", "conservative"],
          of: ["cpo": ["sigmoid", "simpo", "alphapo"]]),
        range: "0 to 1",
        "ε, the share of labels that are assumed to be swapped. For the losses exo_pair, robust, aot, "
          + "aot_unpaired and conservative, and for cpo.")),
    .choice(
      "f_divergence_type", \.method.fDivergenceType, ["reverse_kl", "forward_kl", "js_divergence", "alpha_divergence"],
      OptionField.About(
        .method, methods: ["dpo", "online_dpo"],
        "The divergence from the reference model that the loss assumes. The paper's is reverse_kl.")),
    .real(
      "f_alpha_divergence_coef", \.method.fAlphaDivergenceCoef, -OptionField.any...OptionField.any,
      OptionField.About(
        .method, methods: ["dpo", "online_dpo"], needs: OptionField.Need("f_divergence_type", ["alpha_divergence"]),
        "Coefficient of alpha_divergence.")),
    .real(
      "discopop_tau", \.method.discopopTau, 0...OptionField.any, open: true,
      OptionField.About(
        .method, methods: ["dpo", "online_dpo"], needs: OptionField.Need("loss_type", ["discopop"]),
        range: "more than 0",
        "Temperature of the discopop loss.")),
    .optionalReal(
      "ld_alpha", \.method.ldAlpha, 0...1,
      OptionField.About(
        .method, methods: ["dpo", "online_dpo"], unset: "1", range: "0 to 1",
        "LD-DPO: weight of the tokens that the longer completion has beyond the shorter one.")),
    .bool(
      "use_weighting", \.method.useWeighting,
      OptionField.About(
        .method, methods: ["dpo", "online_dpo"],
        "WPO: weight each pair by how likely the policy is to write it.")),
    .bool(
      "completion_only_loss", \.method.completionOnlyLoss,
      OptionField.About(
        .method, methods: ["sft"],
        "On rows of prompt and completion: learn the completion only.")),
    .bool(
      "assistant_only_loss", \.method.assistantOnlyLoss,
      OptionField.About(
        .method, methods: ["sft"],
        "On rows of messages: learn only what the chat template writes inside {% generation %}.")),
    .bool(
      "packing", \.method.packing,
      OptionField.About(
        .method, methods: ["sft"],
        "Fill sequences of max_length tokens with as many rows as fit, in TRL's order. Rows of one sequence never "
          + "see each other. Batches then count such sequences.")),
    .real(
      "desirable_weight", \.method.desirableWeight, 0...OptionField.any,
      OptionField.About(
        .method, methods: ["kto"], range: "at least 0",
        "Factor on the loss of rows with a thumb up.")),
    .real(
      "undesirable_weight", \.method.undesirableWeight, 0...OptionField.any,
      OptionField.About(
        .method, methods: ["kto"], range: "at least 0",
        "Factor on the loss of rows with a thumb down.")),
    .real(
      "cpo_alpha", \.method.cpoAlpha, 0...OptionField.any,
      OptionField.About(
        .method, methods: ["cpo"], range: "at least 0",
        "Weight of the chosen completions' negative log-likelihood. SimPO as published has none: 0.")),
    .real(
      "simpo_gamma", \.method.simpoGamma, -OptionField.any...OptionField.any,
      OptionField.About(
        .method, methods: ["cpo"],
        "simpo's γ: the margin between the rewards that the loss asks for.")),
    .real(
      "alpha", \.method.alpha, -OptionField.any...OptionField.any,
      OptionField.About(
        .method, methods: ["cpo"],
        "AlphaPO's shape of the reward, (1 − p^−alpha) / alpha; 0: the log-prob.")),
    .real(
      "unlikelihood_alpha", \.method.unlikelihoodAlpha, 0...1,
      OptionField.About(
        .method, methods: ["unlikelihood"], range: "0 to 1", source: "paper, appendix C.2; not in TRL",
        "Weight of the rejected completions' log-likelihood, which is taken from that of the chosen ones.")),
    .optionalReal(
      "center_rewards_coefficient", \.method.centerRewardsCoefficient, 0...OptionField.any,
      OptionField.About(
        .method, methods: ["reward"], unset: "none; 0.01 is usual", range: "at least 0",
        "Weight of the mean of (chosen + rejected)², which keeps a reward model's scores near 0.")),
    .bool(
      "reference_free", \.method.referenceFree,
      OptionField.About(
        .reference, methods: ["dpo", "ranked", "kto", "bco"],
        "Take the reference model's log-probs as 0.")),
    .bool(
      "precompute_ref_log_probs", \.method.precomputeRefLogProbs,
      OptionField.About(
        .reference, methods: ["dpo", "ranked", "kto", "bco"],
        "Compute the reference log-probs of all rows before the first step, and keep them in the output directory.")),
    .bool(
      "sync_ref_model", \.method.syncRefModel,
      OptionField.About(
        .reference, methods: ["dpo", "ranked", "kto", "bco"],
        "TR-DPO: move the reference model towards the policy every ref_model_sync_steps. Full training only.")),
    .real(
      "ref_model_mixup_alpha", \.method.refModelMixupAlpha, 0...1,
      OptionField.About(
        .reference, methods: ["dpo", "ranked", "kto", "bco"], needs: OptionField.Need("sync_ref_model"),
        range: "0 to 1",
        "TR-DPO: weight of the policy in the new reference model.")),
    .int(
      "ref_model_sync_steps", \.method.refModelSyncSteps, 1...OptionField.most,
      OptionField.About(
        .reference, methods: ["dpo", "ranked", "kto", "bco"], needs: OptionField.Need("sync_ref_model"),
        range: "at least 1",
        "TR-DPO: optimiser steps between two syncs.")),
    .optionalReal(
      "kl_coef", \.method.klCoef, 0...OptionField.any,
      OptionField.About(
        .rollout, methods: ["ppo", "rloo", "grpo"], onResume: .noted, unset: "0.05 for ppo and rloo, 0 for grpo",
        range: "at least 0",
        "β, the weight of the KL penalty: ppo takes it from the reward of every token, rloo from that of a "
          + "completion, grpo adds it to the loss.")),
    .choice(
      "kl_estimator", \.method.klEstimator, ["k1", "k3"],
      OptionField.About(
        .rollout, methods: ["ppo"],
        "KL of a token from k = log π − log π_ref. k1 is k, k3 is e^−k − 1 + k.")),
    .optionalReal(
      "kl_target", \.method.klTarget, 1e-9...OptionField.any,
      OptionField.About(
        .rollout, methods: ["ppo", "rloo"], onResume: .noted, unset: "kl_coef is fixed", range: "at least 1e-9",
        source: "Ziegler et al. 2019; not in TRL 1.16",
        "KL of a completion, in nats, that kl_coef is steered towards after each rollout.")),
    .real(
      "kl_horizon", \.method.klHorizon, 0...OptionField.any, open: true,
      OptionField.About(
        .rollout, methods: ["ppo", "rloo"], onResume: .noted, range: "more than 0",
        "Completions over which kl_coef adapts to kl_target.")),
    .optionalReal(
      "max_kl", \.method.maxKl, 0...OptionField.any,
      OptionField.About(
        .rollout, methods: ["ppo", "rloo", "grpo", "online_dpo"], onResume: .noted, unset: "never", range: "at least 0",
        source: "not in TRL",
        "Stop the run when the mean KL of a rollout's completions, in nats, is above this.")),
    .real(
      "cliprange", \.method.cliprange, 0...OptionField.any,
      OptionField.About(
        .rollout, methods: ["ppo", "rloo", "grpo"], range: "at least 0",
        "ε of PPO's clipped objective: how far the ratio π/π_old counts.")),
    .real(
      "cliprange_value", \.method.cliprangeValue, 0...OptionField.any,
      OptionField.About(
        .rollout, methods: ["ppo"], range: "at least 0",
        "How far a value may move from the rollout's before the loss stops following.")),
    .real(
      "vf_coef", \.method.vfCoef, 0...OptionField.any,
      OptionField.About(
        .rollout, methods: ["ppo"], range: "at least 0",
        "Weight of the value function's loss.")),
    .real(
      "gamma", \.method.gamma, 0...1,
      OptionField.About(
        .rollout, methods: ["ppo"], range: "0 to 1",
        "γ, discount of later rewards.")),
    .real(
      "lam", \.method.lam, 0...1,
      OptionField.About(
        .rollout, methods: ["ppo"], range: "0 to 1",
        "λ of generalised advantage estimation.")),
    .bool(
      "whiten_rewards", \.method.whitenRewards,
      OptionField.About(
        .rollout, methods: ["ppo"],
        "Scale the rewards of a rollout to variance 1.")),
    .optionalInt(
      "num_ppo_epochs", \.method.numPpoEpochs, 1...1000,
      OptionField.About(
        .rollout, methods: ["ppo", "rloo", "grpo", "online_dpo"], unset: "4 for ppo, 1 for rloo, grpo and online_dpo",
        range: "1 to 1000",
        "Passes over each rollout.")),
    .int(
      "num_mini_batches", \.method.numMiniBatches, 1...1000000,
      OptionField.About(
        .rollout, methods: ["ppo", "rloo", "grpo", "online_dpo"], range: "1 to 1000000",
        "Optimiser steps that a pass over a rollout is divided into. A rollout has per_device_train_batch_size × "
          + "gradient_accumulation_steps rows.")),
    .optionalInt(
      "num_generations", \.method.numGenerations, 2...1024,
      OptionField.About(
        .rollout, methods: ["rloo", "grpo", "online_dpo"], unset: "2 for rloo and online_dpo, 8 for grpo",
        range: "2 to 1024",
        "Completions of each prompt.")),
    .optionalInt(
      "max_completion_length", \.method.maxCompletionLength, 1...OptionField.most,
      OptionField.About(
        .rollout, methods: ["ppo", "rloo", "grpo", "online_dpo"],
        unset: "53 for ppo, 512 for rloo and grpo, 64 for online_dpo", range: "at least 1",
        "Most tokens of a completion that the policy draws.")),
    .optionalReal(
      "temperature", \.method.temperature, 0.001...1000,
      OptionField.About(
        .rollout, methods: ["ppo", "rloo", "grpo", "online_dpo"],
        unset: "0.7 for ppo, 1 for rloo and grpo, 0.9 for online_dpo", range: "0.001 to 1000",
        "Temperature of the policy's draws. ppo, rloo and grpo take all log-probs at it.")),
    .optionalReal(
      "missing_eos_penalty", \.method.missingEosPenalty, 0...OptionField.any,
      OptionField.About(
        .rollout, methods: ["ppo", "rloo", "grpo", "online_dpo"], unset: "none", range: "at least 0",
        "Taken from the score of a completion that does not end by itself.")),
    .optionalReal(
      "learning_rate", \.optimization.learningRate, 0...OptionField.any,
      OptionField.About(
        .optimization, onResume: .noted,
        unset: "2e-5 for sft, 5e-4 for pretrain, 1e-4 for reward, 3e-6 for ppo, 5e-7 for online_dpo, 1e-6 for the others",
        range: "at least 0",
        "Peak learning rate. With LoRA, 1e-4 to 2e-4 is usual for every method.")),
    .choice(
      "lr_scheduler_type", \.optimization.lrSchedulerType,
      ["linear", "cosine", "constant", "constant_with_warmup", "cosine_with_restarts", "polynomial", "inverse_sqrt"],
      OptionField.About(
        .optimization, onResume: .noted,
        "How the learning rate changes over the steps.")),
    .real(
      "warmup_steps", \.optimization.warmupSteps, 0...2147483647,
      OptionField.About(
        .optimization, onResume: .noted, range: "0 to 2147483647",
        "Steps over which the rate rises from 0; below 1: that fraction of all steps.")),
    .real(
      "weight_decay", \.optimization.weightDecay, 0...OptionField.any,
      OptionField.About(
        .optimization, onResume: .noted, range: "at least 0",
        "Decoupled weight decay; sgd adds it to the gradients. Biases and norms are exempt.")),
    .real(
      "adam_beta1", \.optimization.adamBeta1, 0...0.999999999,
      OptionField.About(
        .optimization, onResume: .noted, range: "0 to 0.999999999",
        "Decay of AdamW's first moment; Lion's β1.")),
    .real(
      "adam_beta2", \.optimization.adamBeta2, 0...0.999999999,
      OptionField.About(
        .optimization, onResume: .noted, range: "0 to 0.999999999",
        "Decay of AdamW's second moment; Lion's β2, which its paper has at 0.99.")),
    .real(
      "adam_epsilon", \.optimization.adamEpsilon, 0...OptionField.any,
      OptionField.About(
        .optimization, onResume: .noted, range: "at least 0",
        "Added to AdamW's denominator.")),
    .choice(
      "optim", \.optimization.optim,
      ["adamw_torch", "adamw_torch_fused", "adamw_8bit", "adamw_bnb_8bit", "adafactor", "lion_32bit", "lion_8bit", "sgd"],
      OptionField.About(
        .optimization,
        "The optimiser. adamw_torch, also called adamw_torch_fused, keeps 8 bytes for each number that is "
          + "trained; adamw_8bit, also called adamw_bnb_8bit, 2; adafactor next to none; lion_32bit 4; lion_8bit 1; "
          + "sgd none, or 4 with momentum. Others than AdamW want other learning rates: Lion a third to a tenth of "
          + "AdamW's, sgd a far higher one.")),
    .names(
      "optim_args", \.optimization.optimArgs, [],
      OptionField.About(
        .optimization,
        "Settings of sgd: momentum=0.9, dampening=0, nesterov=true. The other optimisers have none.")),
    .name(
      "optim_state_dtype", \.optimization.optimStateDtype, ["fp32", "bf16"],
      OptionField.About(
        .optimization, source: "not in TRL",
        "What adamw_torch, lion_32bit and sgd keep their states in: bf16 takes half as much memory. Numbers are "
          + "rounded up or down by chance, the same in every run.")),
    .real(
      "max_grad_norm", \.optimization.maxGradNorm, 0...OptionField.any,
      OptionField.About(
        .optimization, onResume: .noted, range: "at least 0",
        "Gradients are scaled down to this global norm; 0: never.")),
    .int(
      "per_device_train_batch_size", \.batches.perDeviceTrainBatchSize, 1...OptionField.most,
      OptionField.About(
        .batches, range: "at least 1",
        "Rows of a micro-batch. pretrain, and sft with packing: sequences of max_length tokens.")),
    .int(
      "per_device_eval_batch_size", \.batches.perDeviceEvalBatchSize, 1...OptionField.most,
      OptionField.About(
        .batches, onResume: .free, range: "at least 1",
        "Rows of an evaluation batch.")),
    .int(
      "gradient_accumulation_steps", \.batches.gradientAccumulationSteps, 1...OptionField.most,
      OptionField.About(
        .batches, range: "at least 1",
        "Micro-batches of an optimiser step.")),
    .real(
      "num_train_epochs", \.batches.numTrainEpochs, 0...1000000, open: true,
      OptionField.About(
        .batches, onResume: .noted, range: "more than 0, at most 1000000",
        "Passes over the data, unless max_steps is set.")),
    .int(
      "max_steps", \.batches.maxSteps, -1...OptionField.most,
      OptionField.About(
        .batches, onResume: .noted, range: "at least -1",
        "Optimiser steps; -1: as many as num_train_epochs gives.")),
    .bool(
      "shuffle", \.batches.shuffle,
      OptionField.About(
        .batches, source: "TRL: shuffle_dataset",
        "A new order of rows each epoch, as TRL draws it.")),
    .int(
      "seed", \.batches.seed, 0...4294967295,
      OptionField.About(
        .batches, range: "0 to 4294967295",
        "Seed of the row order, of LoRA's first weights and of dropout.")),
    .optionalInt(
      "data_seed", \.batches.dataSeed, 0...4294967295,
      OptionField.About(
        .batches, unset: "seed", range: "0 to 4294967295",
        "Seed of the row order alone.")),
    .optionalInt(
      "max_length", \.rows.maxLength, 1...OptionField.most,
      OptionField.About(
        .rows, unset: "all of them", range: "at least 1",
        "Tokens of prompt and completion that are kept. pretrain: longer documents are cut into such pieces.")),
    .name(
      "data_cache", \.rows.dataCache, [],
      OptionField.About(
        .rows, onResume: .free,
        "Where the tokens of files of rows are kept, so that the next run reads them from there, with hardly any "
          + "memory: a directory; none: rows are in memory; auto: files of more than 256 MB are cached in .dpo-cache "
          + "beside them. Results do not depend on it.")),
    .choice(
      "truncation_mode", \.rows.truncationMode, ["keep_start", "keep_end"],
      OptionField.About(
        .rows,
        "Which end of a row longer than max_length is kept.")),
    .int(
      "lora_r", \.lora.rank, 0...65536,
      OptionField.About(
        .lora, range: "0 to 65536", source: "PEFT: r",
        "Rank of a new LoRA adapter; 0: train every weight.")),
    .optionalReal(
      "lora_alpha", \.lora.alpha, 0...OptionField.any,
      OptionField.About(
        .lora, unset: "lora_r", range: "at least 0",
        "The adapter is scaled by lora_alpha / lora_r.")),
    .real(
      "lora_dropout", \.lora.dropout, 0...0.999999,
      OptionField.About(
        .lora, range: "0 to 0.999999",
        "Dropout before the adapter's matrix A. Needs disable_dropout off.")),
    .names(
      "lora_target_modules", \.lora.targetModules, [],
      OptionField.About(
        .lora, source: "PEFT: target_modules",
        "Modules that get an adapter: names such as q_proj, or all-linear; empty: PEFT's choice for the family.")),
    .bool(
      "use_rslora", \.lora.useRslora,
      OptionField.About(
        .lora,
        "Scale by lora_alpha / √lora_r instead.")),
    .choice(
      "init_lora_weights", \.lora.initLoraWeights, ["kaiming", "gaussian"],
      OptionField.About(
        .lora,
        "What the adapter's matrix A is drawn from. B starts at 0.")),
    .bool(
      "disable_dropout", \.lora.disableDropout,
      OptionField.About(
        .lora,
        "No dropout in policy and reference model.")),
    .int(
      "eval_steps", \.files.evalSteps, 0...OptionField.most,
      OptionField.About(
        .files, onResume: .free, range: "at least 0",
        "Steps between evaluations; 0: at the end of every epoch.")),
    .int(
      "save_steps", \.files.saveSteps, 0...OptionField.most,
      OptionField.About(
        .files, onResume: .free, range: "at least 0",
        "Steps between checkpoints; 0: only the final model.")),
    .optionalInt(
      "save_total_limit", \.files.saveTotalLimit, 1...OptionField.most,
      OptionField.About(
        .files, onResume: .free, unset: "all", range: "at least 1",
        "Checkpoints that are kept; the oldest go first.")),
    .int(
      "autosave_steps", \.files.autosaveSteps, -1...OptionField.most,
      OptionField.About(
        .files, onResume: .free, range: "at least -1", source: "not in TRL",
        "Steps between writes of the one file that a crashed run resumes from; 0: never, -1: every step for LoRA, "
          + "never for full training.")),
    .bool(
      "overwrite_output_dir", \.files.overwriteOutputDir,
      OptionField.About(
        .files, onResume: .free,
        "Start anew in a directory that holds an earlier run.")),
    .bool(
      "gradient_checkpointing", \.machine.gradientCheckpointing,
      OptionField.About(
        .machine, onResume: .free,
        "Keep each block's input alone and compute the rest again in the backward pass: less memory, the same "
          + "numbers.")),
    .optionalName(
      "offload", \.machine.offload, [],
      OptionField.About(
        .machine, onResume: .free, unset: "all is in memory",
        "Directory on a disk for the optimizer's states and for what the forward pass keeps for the backward "
          + "pass: memory holds of them what it has room for. Nothing remains there. Changes no number.")),
    .bool(
      "optimizer_in_backward", \.machine.optimizerInBackward,
      OptionField.About(
        .machine, onResume: .free, source: "torchtune: optimizer_in_bwd",
        "Update the weights of a layer as soon as the backward pass has its gradients, whose memory the next "
          + "layer then takes: full training without 4 bytes of gradients for each number. Needs max_grad_norm 0 and "
          + "steps of one micro-batch.")),
    .choice(
      "precision", \.machine.precision, ["fp32", "bf16"],
      OptionField.About(
        .machine,
        "Arithmetic of the linear layers. Weights, sums and log-probs are fp32 in both; bf16 is faster on "
          + "processors that have instructions for it and takes the time of fp32 elsewhere.")),
    .int(
      "threads", \.machine.threads, 0...1024,
      OptionField.About(
        .machine, onResume: .free, range: "0 to 1024",
        "Compute threads; 0: one a core, and at most that many. Results do not depend on it.")),
    .int(
      "memory_limit_mb", \.machine.memoryLimitMb, 0...OptionField.most,
      OptionField.About(
        .machine, onResume: .free, range: "at least 0",
        "Refuse a run whose plan needs more MiB; 0: what the machine has free.")),
    .name(
      "engine", \.machine.engine, ["auto", "avx512", "avx2", "neon", "portable", "openblas"],
      OptionField.About(
        .machine, onResume: .free,
        "Inner loops to compute with; auto: the best for this processor. Engines differ in the last bits of their "
          + "results.")),
    .bool(
      "reproducible_sums", \.batches.reproducibleSums,
      OptionField.About(
        .batches, source: "libdpo",
        "Adds up the gradients of a step's micro-batches in one order, so that a run ends in the same bits on any "
          + "number of ranks. Takes another buffer for them where a rank has several micro-batches a step. false: "
          + "each rank adds up its own first.")),
    .optionalReal(
      "router_aux_loss_coef", \.method.routerAuxLossCoef, 0...OptionField.any,
      OptionField.About(
        .method, methods: ["dpo", "sft", "pretrain", "kto", "rloo", "grpo"],
        unset: "what the model's config.json says, 0.01 or 0.001 without it", range: "at least 0",
        "Weight of the auxiliary loss of a mixture's routers, which is the lower the more evenly they use the "
          + "experts; 0: without it. Other models have none.")),
    .bool(
      "use_bias_correction_kl", \.method.useBiasCorrectionKl,
      OptionField.About(
        .rollout, methods: ["grpo"], source: "TRL; DeepSeek-V3.2",
        "Multiply the KL penalty of each token by its ratio π/π_old, so that its gradient is that of the KL from "
          + "the reference, without bias.")),
  ]
}
