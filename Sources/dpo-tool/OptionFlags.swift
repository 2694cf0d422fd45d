// Made by options/generate.py from the tables beside it: change those, and run `make options`.
// swift-format-ignore-file

import ArgumentParser
import DPO

/// The option table as flags, in groups. Values are checked by the table.
struct TrainingFlags: ParsableArguments {
  @OptionGroup(title: "Method and loss") var method: MethodFlags
  @OptionGroup(title: "Reference model") var reference: ReferenceFlags
  @OptionGroup(title: "Rollouts: methods that learn from the policy's own answers") var rollout: RolloutFlags
  @OptionGroup(title: "Optimisation") var optimization: OptimizationFlags
  @OptionGroup(title: "Batches and steps") var batches: BatchesFlags
  @OptionGroup(title: "Rows") var rows: RowsFlags
  @OptionGroup(title: "LoRA") var lora: LoraFlags
  @OptionGroup(title: "Evaluation and files") var files: FilesFlags
  @OptionGroup(title: "Machine") var machine: MachineFlags

  /// The flags that were given, by option name.
  var given: [(name: String, value: JSON)] {
    method.given + reference.given + rollout.given + optimization.given + batches.given
      + rows.given + lora.given + files.given + machine.given
  }
}

/// What help shows of the table.
extension TrainingFlags {
  /// Options that are shown first.
  static let basics: Set<String> = [
    "method", "loss_type", "beta", "num_generations", "max_completion_length", "learning_rate",
    "per_device_train_batch_size", "gradient_accumulation_steps", "num_train_epochs", "max_steps", "max_length",
    "lora_r", "eval_steps",
  ]
  /// Methods, and what each learns from.
  static let methods: [(name: String, summary: String)] = [
    ("dpo", "on pairs"),
    ("ranked", "on ranked answers"),
    ("sft", "on demonstrations, or on the chosen side of pairs"),
    ("pretrain", "on plain text"),
    ("kto", "on thumbs up and down"),
    ("bco", "on thumbs up and down"),
    ("cpo", "CPO, SimPO or AlphaPO on pairs without a reference model"),
    ("orpo", "on pairs without a reference model"),
    ("unlikelihood", "on pairs, the DPO paper's baseline"),
    ("reward", "a reward model on pairs"),
    ("ppo", "on the policy's own answers to prompts, by a reward"),
    ("rloo", "the same without a value function, by leave-one-out means"),
    ("grpo", "the same by standardised groups"),
    ("online_dpo", "DPO on its best and worst answers"),
  ]
  /// Headings.
  static let titles: [OptionField.Group: String] = [
    .method: "Method and loss",
    .reference: "Reference model",
    .rollout: "Rollouts: methods that learn from the policy's own answers",
    .optimization: "Optimisation",
    .batches: "Batches and steps",
    .rows: "Rows",
    .lora: "LoRA",
    .files: "Evaluation and files",
    .machine: "Machine",
  ]
}

struct MethodFlags: ParsableArguments {
  @Option(
    name: .customLong("method"),
    help: ArgumentHelp(
      "What is trained, and on which rows. dpo: on pairs; ranked: on ranked answers; sft: on demonstrations, or "
        + "on the chosen side of pairs; pretrain: on plain text; kto: on thumbs up and down; bco: on thumbs up and "
        + "down; cpo: CPO, SimPO or AlphaPO on pairs without a reference model; orpo: on pairs without a reference "
        + "model; unlikelihood: on pairs, the DPO paper's baseline; reward: a reward model on pairs; ppo: on the "
        + "policy's own answers to prompts, by a reward; rloo: the same without a value function, by leave-one-out "
        + "means; grpo: the same by standardised groups; online_dpo: DPO on its best and worst answers. (default: "
        + "dpo)",
      valueName: "NAME"), completion: .list(["dpo", "ranked", "sft", "pretrain", "kto", "bco", "cpo", "orpo", "unlikelihood", "reward", "ppo", "rloo", "grpo", "online_dpo"]), transform: optionValue("method"))
  var method: JSON?

  @Option(
    name: .customLong("loss-type"),
    help: ArgumentHelp(
      "The loss; several are summed with loss_weights. dpo and online_dpo: the DPO losses. cpo: sigmoid, hinge, "
        + "ipo, simpo or alphapo. kto: kto or apo_zero_unpaired. sft: nll or dft. A method that finds the default "
        + "here takes its own. For dpo, sft, kto, cpo and online_dpo. (default: sigmoid)",
      valueName: "NAME,…"), transform: optionValue("loss_type"))
  var lossType: JSON?

  @Option(
    name: .customLong("loss-weights"),
    help: ArgumentHelp(
      "Weight of each loss in loss_type; empty: 1 each. For dpo and online_dpo.",
      valueName: "X,…"), transform: optionValue("loss_weights"))
  var lossWeights: JSON?

  @Option(
    name: .customLong("beta"),
    help: ArgumentHelp(
      "β, how strongly the policy is held to the reference model: the smaller, the further it may go. orpo: the "
        + "paper's λ. For dpo, ranked, kto, bco, cpo, orpo and online_dpo. More than 0. (default: 0.1)",
      valueName: "X"), transform: optionValue("beta"))
  var beta: JSON?

  @Option(
    name: .customLong("label-smoothing"),
    help: ArgumentHelp(
      "ε, the share of labels that are assumed to be swapped. For the losses exo_pair, robust, aot, aot_unpaired "
        + "and conservative, and for cpo. For dpo, cpo and online_dpo. 0 to 1. (default: 0)",
      valueName: "X"), transform: optionValue("label_smoothing"))
  var labelSmoothing: JSON?

  @Option(
    name: .customLong("f-divergence-type"),
    help: ArgumentHelp(
      "The divergence from the reference model that the loss assumes. The paper's is reverse_kl. One of "
        + "reverse_kl, forward_kl, js_divergence, alpha_divergence. For dpo and online_dpo. (default: reverse_kl)",
      valueName: "NAME"), completion: .list(["reverse_kl", "forward_kl", "js_divergence", "alpha_divergence"]), transform: optionValue("f_divergence_type"))
  var fDivergenceType: JSON?

  @Option(
    name: .customLong("f-alpha-divergence-coef"),
    help: ArgumentHelp(
      "Coefficient of alpha_divergence. For dpo and online_dpo. (default: 0.5)",
      valueName: "X"), transform: optionValue("f_alpha_divergence_coef"))
  var fAlphaDivergenceCoef: JSON?

  @Option(
    name: .customLong("discopop-tau"),
    help: ArgumentHelp(
      "Temperature of the discopop loss. For dpo and online_dpo. More than 0. (default: 0.05)",
      valueName: "X"), transform: optionValue("discopop_tau"))
  var discopopTau: JSON?

  @Option(
    name: .customLong("ld-alpha"),
    help: ArgumentHelp(
      "LD-DPO: weight of the tokens that the longer completion has beyond the shorter one. For dpo and "
        + "online_dpo. 0 to 1. (unset: 1)",
      valueName: "X"), transform: optionValue("ld_alpha"))
  var ldAlpha: JSON?

  @Flag(
    name: .customLong("use-weighting"), inversion: .prefixedNo,
    help: ArgumentHelp(
      "WPO: weight each pair by how likely the policy is to write it. For dpo and online_dpo. (default: off)"))
  var useWeighting: Bool?

  @Flag(
    name: .customLong("completion-only-loss"), inversion: .prefixedNo,
    help: ArgumentHelp(
      "On rows of prompt and completion: learn the completion only. For sft. (default: on)"))
  var completionOnlyLoss: Bool?

  @Flag(
    name: .customLong("assistant-only-loss"), inversion: .prefixedNo,
    help: ArgumentHelp(
      "On rows of messages: learn only what the chat template writes inside {% generation %}. For sft. (default: off)"))
  var assistantOnlyLoss: Bool?

  @Flag(
    name: .customLong("packing"), inversion: .prefixedNo,
    help: ArgumentHelp(
      "Fill sequences of max_length tokens with as many rows as fit, in TRL's order. Rows of one sequence never "
        + "see each other. Batches then count such sequences. For sft. (default: off)"))
  var packing: Bool?

  @Option(
    name: .customLong("desirable-weight"),
    help: ArgumentHelp(
      "Factor on the loss of rows with a thumb up. For kto. (default: 1)",
      valueName: "X"), transform: optionValue("desirable_weight"))
  var desirableWeight: JSON?

  @Option(
    name: .customLong("undesirable-weight"),
    help: ArgumentHelp(
      "Factor on the loss of rows with a thumb down. For kto. (default: 1)",
      valueName: "X"), transform: optionValue("undesirable_weight"))
  var undesirableWeight: JSON?

  @Option(
    name: .customLong("cpo-alpha"),
    help: ArgumentHelp(
      "Weight of the chosen completions' negative log-likelihood. SimPO as published has none: 0. For cpo. "
        + "(default: 1)",
      valueName: "X"), transform: optionValue("cpo_alpha"))
  var cpoAlpha: JSON?

  @Option(
    name: .customLong("simpo-gamma"),
    help: ArgumentHelp(
      "simpo's γ: the margin between the rewards that the loss asks for. For cpo. (default: 0.5)",
      valueName: "X"), transform: optionValue("simpo_gamma"))
  var simpoGamma: JSON?

  @Option(
    name: .customLong("alpha"),
    help: ArgumentHelp(
      "AlphaPO's shape of the reward, (1 − p^−alpha) / alpha; 0: the log-prob. For cpo. (default: 0)",
      valueName: "X"), transform: optionValue("alpha"))
  var alpha: JSON?

  @Option(
    name: .customLong("unlikelihood-alpha"),
    help: ArgumentHelp(
      "Weight of the rejected completions' log-likelihood, which is taken from that of the chosen ones. For "
        + "unlikelihood. 0 to 1. (default: 1)",
      valueName: "X"), transform: optionValue("unlikelihood_alpha"))
  var unlikelihoodAlpha: JSON?

  @Option(
    name: .customLong("center-rewards-coefficient"),
    help: ArgumentHelp(
      "Weight of the mean of (chosen + rejected)², which keeps a reward model's scores near 0. For reward. "
        + "(unset: none; 0.01 is usual)",
      valueName: "X"), transform: optionValue("center_rewards_coefficient"))
  var centerRewardsCoefficient: JSON?

  @Option(
    name: .customLong("router-aux-loss-coef"),
    help: ArgumentHelp(
      "Weight of the auxiliary loss of a mixture's routers, which is the lower the more evenly they use the "
        + "experts; 0: without it. Other models have none. For dpo, sft, pretrain, kto, rloo and grpo. (unset: what "
        + "the model's config.json says, 0.01 or 0.001 without it)",
      valueName: "X"), transform: optionValue("router_aux_loss_coef"))
  var routerAuxLossCoef: JSON?

  var given: [(name: String, value: JSON)] {
    let all: [(String, JSON?)] = [
      ("method", method),
      ("loss_type", lossType),
      ("loss_weights", lossWeights),
      ("beta", beta),
      ("label_smoothing", labelSmoothing),
      ("f_divergence_type", fDivergenceType),
      ("f_alpha_divergence_coef", fAlphaDivergenceCoef),
      ("discopop_tau", discopopTau),
      ("ld_alpha", ldAlpha),
      ("use_weighting", useWeighting.map(JSON.bool)),
      ("completion_only_loss", completionOnlyLoss.map(JSON.bool)),
      ("assistant_only_loss", assistantOnlyLoss.map(JSON.bool)),
      ("packing", packing.map(JSON.bool)),
      ("desirable_weight", desirableWeight),
      ("undesirable_weight", undesirableWeight),
      ("cpo_alpha", cpoAlpha),
      ("simpo_gamma", simpoGamma),
      ("alpha", alpha),
      ("unlikelihood_alpha", unlikelihoodAlpha),
      ("center_rewards_coefficient", centerRewardsCoefficient),
      ("router_aux_loss_coef", routerAuxLossCoef),
    ]
    return all.compactMap { name, value in value.map { (name, $0) } }
  }
}

struct ReferenceFlags: ParsableArguments {
  @Flag(
    name: .customLong("reference-free"), inversion: .prefixedNo,
    help: ArgumentHelp(
      "Take the reference model's log-probs as 0. For dpo, ranked, kto and bco. (default: off)"))
  var referenceFree: Bool?

  @Flag(
    name: .customLong("precompute-ref-log-probs"), inversion: .prefixedNo,
    help: ArgumentHelp(
      "Compute the reference log-probs of all rows before the first step, and keep them in the output directory. "
        + "For dpo, ranked, kto and bco. (default: off)"))
  var precomputeRefLogProbs: Bool?

  @Flag(
    name: .customLong("sync-ref-model"), inversion: .prefixedNo,
    help: ArgumentHelp(
      "TR-DPO: move the reference model towards the policy every ref_model_sync_steps. Full training only. For "
        + "dpo, ranked, kto and bco. (default: off)"))
  var syncRefModel: Bool?

  @Option(
    name: .customLong("ref-model-mixup-alpha"),
    help: ArgumentHelp(
      "TR-DPO: weight of the policy in the new reference model. For dpo, ranked, kto and bco. 0 to 1. (default: 0.6)",
      valueName: "X"), transform: optionValue("ref_model_mixup_alpha"))
  var refModelMixupAlpha: JSON?

  @Option(
    name: .customLong("ref-model-sync-steps"),
    help: ArgumentHelp(
      "TR-DPO: optimiser steps between two syncs. For dpo, ranked, kto and bco. (default: 512)",
      valueName: "N"), transform: optionValue("ref_model_sync_steps"))
  var refModelSyncSteps: JSON?

  var given: [(name: String, value: JSON)] {
    let all: [(String, JSON?)] = [
      ("reference_free", referenceFree.map(JSON.bool)),
      ("precompute_ref_log_probs", precomputeRefLogProbs.map(JSON.bool)),
      ("sync_ref_model", syncRefModel.map(JSON.bool)),
      ("ref_model_mixup_alpha", refModelMixupAlpha),
      ("ref_model_sync_steps", refModelSyncSteps),
    ]
    return all.compactMap { name, value in value.map { (name, $0) } }
  }
}

struct RolloutFlags: ParsableArguments {
  @Option(
    name: .customLong("kl-coef"),
    help: ArgumentHelp(
      "β, the weight of the KL penalty: ppo takes it from the reward of every token, rloo from that of a "
        + "completion, grpo adds it to the loss. For ppo, rloo and grpo. (unset: 0.05 for ppo and rloo, 0 for grpo)",
      valueName: "X"), transform: optionValue("kl_coef"))
  var klCoef: JSON?

  @Option(
    name: .customLong("kl-estimator"),
    help: ArgumentHelp(
      "KL of a token from k = log π − log π_ref. k1 is k, k3 is e^−k − 1 + k. One of k1, k3. For ppo. (default: k1)",
      valueName: "NAME"), completion: .list(["k1", "k3"]), transform: optionValue("kl_estimator"))
  var klEstimator: JSON?

  @Option(
    name: .customLong("kl-target"),
    help: ArgumentHelp(
      "KL of a completion, in nats, that kl_coef is steered towards after each rollout. For ppo and rloo. At "
        + "least 1e-9. (unset: kl_coef is fixed)",
      valueName: "X"), transform: optionValue("kl_target"))
  var klTarget: JSON?

  @Option(
    name: .customLong("kl-horizon"),
    help: ArgumentHelp(
      "Completions over which kl_coef adapts to kl_target. For ppo and rloo. More than 0. (default: 10000)",
      valueName: "X"), transform: optionValue("kl_horizon"))
  var klHorizon: JSON?

  @Option(
    name: .customLong("max-kl"),
    help: ArgumentHelp(
      "Stop the run when the mean KL of a rollout's completions, in nats, is above this. For ppo, rloo, grpo and "
        + "online_dpo. (default: 200; none: never)",
      valueName: "X"), transform: optionValue("max_kl"))
  var maxKl: JSON?

  @Option(
    name: .customLong("cliprange"),
    help: ArgumentHelp(
      "ε of PPO's clipped objective: how far the ratio π/π_old counts. For ppo, rloo and grpo. (default: 0.2)",
      valueName: "X"), transform: optionValue("cliprange"))
  var cliprange: JSON?

  @Option(
    name: .customLong("cliprange-value"),
    help: ArgumentHelp(
      "How far a value may move from the rollout's before the loss stops following. For ppo. (default: 0.2)",
      valueName: "X"), transform: optionValue("cliprange_value"))
  var cliprangeValue: JSON?

  @Option(
    name: .customLong("vf-coef"),
    help: ArgumentHelp(
      "Weight of the value function's loss. For ppo. (default: 0.1)",
      valueName: "X"), transform: optionValue("vf_coef"))
  var vfCoef: JSON?

  @Option(
    name: .customLong("gamma"),
    help: ArgumentHelp(
      "γ, discount of later rewards. For ppo. 0 to 1. (default: 1)",
      valueName: "X"), transform: optionValue("gamma"))
  var gamma: JSON?

  @Option(
    name: .customLong("lam"),
    help: ArgumentHelp(
      "λ of generalised advantage estimation. For ppo. 0 to 1. (default: 0.95)",
      valueName: "X"), transform: optionValue("lam"))
  var lam: JSON?

  @Flag(
    name: .customLong("whiten-rewards"), inversion: .prefixedNo,
    help: ArgumentHelp(
      "Scale the rewards of a rollout to variance 1. For ppo. (default: off)"))
  var whitenRewards: Bool?

  @Option(
    name: .customLong("num-ppo-epochs"),
    help: ArgumentHelp(
      "Passes over each rollout. For ppo, rloo, grpo and online_dpo. 1 to 1000. (unset: 4 for ppo, 1 for rloo, "
        + "grpo and online_dpo)",
      valueName: "N"), transform: optionValue("num_ppo_epochs"))
  var numPpoEpochs: JSON?

  @Option(
    name: .customLong("num-mini-batches"),
    help: ArgumentHelp(
      "Optimiser steps that a pass over a rollout is divided into. A rollout has per_device_train_batch_size × "
        + "gradient_accumulation_steps rows. For ppo, rloo, grpo and online_dpo. 1 to 1000000. (default: 1)",
      valueName: "N"), transform: optionValue("num_mini_batches"))
  var numMiniBatches: JSON?

  @Option(
    name: .customLong("num-generations"),
    help: ArgumentHelp(
      "Completions of each prompt. For rloo, grpo and online_dpo. 2 to 1024. (unset: 2 for rloo and online_dpo, 8 "
        + "for grpo)",
      valueName: "N"), transform: optionValue("num_generations"))
  var numGenerations: JSON?

  @Option(
    name: .customLong("max-completion-length"),
    help: ArgumentHelp(
      "Most tokens of a completion that the policy draws. For ppo, rloo, grpo and online_dpo. (unset: 53 for ppo, "
        + "512 for rloo and grpo, 64 for online_dpo)",
      valueName: "N"), transform: optionValue("max_completion_length"))
  var maxCompletionLength: JSON?

  @Option(
    name: .customLong("temperature"),
    help: ArgumentHelp(
      "Temperature of the policy's draws. ppo, rloo and grpo take all log-probs at it. For ppo, rloo, grpo and "
        + "online_dpo. 0.001 to 1000. (unset: 0.7 for ppo, 1 for rloo and grpo, 0.9 for online_dpo)",
      valueName: "X"), transform: optionValue("temperature"))
  var temperature: JSON?

  @Option(
    name: .customLong("missing-eos-penalty"),
    help: ArgumentHelp(
      "Taken from the score of a completion that does not end by itself. For ppo, rloo, grpo and online_dpo. "
        + "(unset: none)",
      valueName: "X"), transform: optionValue("missing_eos_penalty"))
  var missingEosPenalty: JSON?

  @Flag(
    name: .customLong("use-bias-correction-kl"), inversion: .prefixedNo,
    help: ArgumentHelp(
      "Multiply the KL penalty of each token by its ratio π/π_old, so that its gradient is that of the KL from "
        + "the reference, without bias. For grpo. (default: on)"))
  var useBiasCorrectionKl: Bool?

  var given: [(name: String, value: JSON)] {
    let all: [(String, JSON?)] = [
      ("kl_coef", klCoef),
      ("kl_estimator", klEstimator),
      ("kl_target", klTarget),
      ("kl_horizon", klHorizon),
      ("max_kl", maxKl),
      ("cliprange", cliprange),
      ("cliprange_value", cliprangeValue),
      ("vf_coef", vfCoef),
      ("gamma", gamma),
      ("lam", lam),
      ("whiten_rewards", whitenRewards.map(JSON.bool)),
      ("num_ppo_epochs", numPpoEpochs),
      ("num_mini_batches", numMiniBatches),
      ("num_generations", numGenerations),
      ("max_completion_length", maxCompletionLength),
      ("temperature", temperature),
      ("missing_eos_penalty", missingEosPenalty),
      ("use_bias_correction_kl", useBiasCorrectionKl.map(JSON.bool)),
    ]
    return all.compactMap { name, value in value.map { (name, $0) } }
  }
}

struct OptimizationFlags: ParsableArguments {
  @Option(
    name: .customLong("learning-rate"),
    help: ArgumentHelp(
      "Peak learning rate. With LoRA, 1e-4 to 2e-4 is usual for every method. (unset: 2e-5 for sft, 5e-4 for "
        + "pretrain, 1e-4 for reward, 3e-6 for ppo, 5e-7 for online_dpo, 1e-6 for the others)",
      valueName: "X"), transform: optionValue("learning_rate"))
  var learningRate: JSON?

  @Option(
    name: .customLong("lr-scheduler-type"),
    help: ArgumentHelp(
      "How the learning rate changes over the steps. One of linear, cosine, constant, constant_with_warmup, "
        + "cosine_with_restarts, polynomial, inverse_sqrt. (default: linear)",
      valueName: "NAME"), completion: .list(["linear", "cosine", "constant", "constant_with_warmup", "cosine_with_restarts", "polynomial", "inverse_sqrt"]), transform: optionValue("lr_scheduler_type"))
  var lrSchedulerType: JSON?

  @Option(
    name: .customLong("warmup-steps"),
    help: ArgumentHelp(
      "Steps over which the rate rises from 0; below 1: that fraction of all steps. 0 to 2147483647. (default: 0)",
      valueName: "X"), transform: optionValue("warmup_steps"))
  var warmupSteps: JSON?

  @Option(
    name: .customLong("weight-decay"),
    help: ArgumentHelp(
      "Decoupled weight decay; sgd adds it to the gradients. Biases and norms are exempt. (default: 0)",
      valueName: "X"), transform: optionValue("weight_decay"))
  var weightDecay: JSON?

  @Option(
    name: .customLong("adam-beta1"),
    help: ArgumentHelp(
      "Decay of AdamW's first moment; Lion's β1. 0 to 0.999999999. (default: 0.9)",
      valueName: "X"), transform: optionValue("adam_beta1"))
  var adamBeta1: JSON?

  @Option(
    name: .customLong("adam-beta2"),
    help: ArgumentHelp(
      "Decay of AdamW's second moment; Lion's β2, which its paper has at 0.99. 0 to 0.999999999. (default: 0.999)",
      valueName: "X"), transform: optionValue("adam_beta2"))
  var adamBeta2: JSON?

  @Option(
    name: .customLong("adam-epsilon"),
    help: ArgumentHelp(
      "Added to AdamW's denominator. (default: 1e-8)",
      valueName: "X"), transform: optionValue("adam_epsilon"))
  var adamEpsilon: JSON?

  @Option(
    name: .customLong("optim"),
    help: ArgumentHelp(
      "The optimiser. adamw_torch, also called adamw_torch_fused, keeps 8 bytes for each number that is trained; "
        + "adamw_8bit, also called adamw_bnb_8bit, 2; adafactor next to none; lion_32bit 4; lion_8bit 1; sgd none, or "
        + "4 with momentum. Others than AdamW want other learning rates: Lion a third to a tenth of AdamW's, sgd a "
        + "far higher one. One of adamw_torch, adamw_torch_fused, adamw_8bit, adamw_bnb_8bit, adafactor, lion_32bit, "
        + "lion_8bit, sgd. (default: adamw_torch)",
      valueName: "NAME"), completion: .list(["adamw_torch", "adamw_torch_fused", "adamw_8bit", "adamw_bnb_8bit", "adafactor", "lion_32bit", "lion_8bit", "sgd"]), transform: optionValue("optim"))
  var optim: JSON?

  @Option(
    name: .customLong("optim-args"),
    help: ArgumentHelp(
      "Settings of sgd: momentum=0.9, dampening=0, nesterov=true. The other optimisers have none.",
      valueName: "NAME,…"), transform: optionValue("optim_args"))
  var optimArgs: JSON?

  @Option(
    name: .customLong("optim-state-dtype"),
    help: ArgumentHelp(
      "What adamw_torch, lion_32bit and sgd keep their states in: bf16 takes half as much memory. Numbers are "
        + "rounded up or down by chance, the same in every run. One of fp32, bf16. (default: fp32)",
      valueName: "NAME"), completion: .list(["fp32", "bf16"]), transform: optionValue("optim_state_dtype"))
  var optimStateDtype: JSON?

  @Option(
    name: .customLong("max-grad-norm"),
    help: ArgumentHelp(
      "Gradients are scaled down to this global norm; 0: never. (default: 1)",
      valueName: "X"), transform: optionValue("max_grad_norm"))
  var maxGradNorm: JSON?

  var given: [(name: String, value: JSON)] {
    let all: [(String, JSON?)] = [
      ("learning_rate", learningRate),
      ("lr_scheduler_type", lrSchedulerType),
      ("warmup_steps", warmupSteps),
      ("weight_decay", weightDecay),
      ("adam_beta1", adamBeta1),
      ("adam_beta2", adamBeta2),
      ("adam_epsilon", adamEpsilon),
      ("optim", optim),
      ("optim_args", optimArgs),
      ("optim_state_dtype", optimStateDtype),
      ("max_grad_norm", maxGradNorm),
    ]
    return all.compactMap { name, value in value.map { (name, $0) } }
  }
}

struct BatchesFlags: ParsableArguments {
  @Option(
    name: .customLong("per-device-train-batch-size"),
    help: ArgumentHelp(
      "Rows of a micro-batch. pretrain, and sft with packing: sequences of max_length tokens. (default: 8)",
      valueName: "N"), transform: optionValue("per_device_train_batch_size"))
  var perDeviceTrainBatchSize: JSON?

  @Option(
    name: .customLong("per-device-eval-batch-size"),
    help: ArgumentHelp(
      "Rows of an evaluation batch. (default: 8)",
      valueName: "N"), transform: optionValue("per_device_eval_batch_size"))
  var perDeviceEvalBatchSize: JSON?

  @Option(
    name: .customLong("gradient-accumulation-steps"),
    help: ArgumentHelp(
      "Micro-batches of an optimiser step. (default: 1)",
      valueName: "N"), transform: optionValue("gradient_accumulation_steps"))
  var gradientAccumulationSteps: JSON?

  @Option(
    name: .customLong("num-train-epochs"),
    help: ArgumentHelp(
      "Passes over the data, unless max_steps is set. More than 0, at most 1000000. (default: 3)",
      valueName: "X"), transform: optionValue("num_train_epochs"))
  var numTrainEpochs: JSON?

  @Option(
    name: .customLong("max-steps"),
    help: ArgumentHelp(
      "Optimiser steps; -1: as many as num_train_epochs gives. At least -1. (default: -1)",
      valueName: "N"), transform: optionValue("max_steps"))
  var maxSteps: JSON?

  @Flag(
    name: .customLong("shuffle"), inversion: .prefixedNo,
    help: ArgumentHelp(
      "A new order of rows each epoch, as TRL draws it. (default: on)"))
  var shuffle: Bool?

  @Option(
    name: .customLong("seed"),
    help: ArgumentHelp(
      "Seed of the row order, of LoRA's first weights and of dropout. 0 to 4294967295. (default: 42)",
      valueName: "N"), transform: optionValue("seed"))
  var seed: JSON?

  @Option(
    name: .customLong("data-seed"),
    help: ArgumentHelp(
      "Seed of the row order alone. 0 to 4294967295. (unset: seed)",
      valueName: "N"), transform: optionValue("data_seed"))
  var dataSeed: JSON?

  @Flag(
    name: .customLong("reproducible-sums"), inversion: .prefixedNo,
    help: ArgumentHelp(
      "Adds up the gradients of a step's micro-batches in one order, so that a run ends in the same bits on any "
        + "number of ranks. Takes another buffer for them where a rank has several micro-batches a step. false: each "
        + "rank adds up its own first. (default: on)"))
  var reproducibleSums: Bool?

  var given: [(name: String, value: JSON)] {
    let all: [(String, JSON?)] = [
      ("per_device_train_batch_size", perDeviceTrainBatchSize),
      ("per_device_eval_batch_size", perDeviceEvalBatchSize),
      ("gradient_accumulation_steps", gradientAccumulationSteps),
      ("num_train_epochs", numTrainEpochs),
      ("max_steps", maxSteps),
      ("shuffle", shuffle.map(JSON.bool)),
      ("seed", seed),
      ("data_seed", dataSeed),
      ("reproducible_sums", reproducibleSums.map(JSON.bool)),
    ]
    return all.compactMap { name, value in value.map { (name, $0) } }
  }
}

struct RowsFlags: ParsableArguments {
  @Option(
    name: .customLong("max-length"),
    help: ArgumentHelp(
      "Tokens of prompt and completion that are kept. pretrain: longer documents are cut into such pieces. "
        + "(default: 1024; none: all of them)",
      valueName: "N"), transform: optionValue("max_length"))
  var maxLength: JSON?

  @Option(
    name: .customLong("data-cache"),
    help: ArgumentHelp(
      "Where the tokens of files of rows are kept, so that the next run reads them from there, with hardly any "
        + "memory: a directory; none: rows are in memory; auto: files of more than 256 MB are cached in .dpo-cache "
        + "beside them. Results do not depend on it. (default: auto)",
      valueName: "DIR"), completion: .directory, transform: optionValue("data_cache"))
  var dataCache: JSON?

  @Option(
    name: .customLong("truncation-mode"),
    help: ArgumentHelp(
      "Which end of a row longer than max_length is kept. One of keep_start, keep_end. (default: keep_start)",
      valueName: "NAME"), completion: .list(["keep_start", "keep_end"]), transform: optionValue("truncation_mode"))
  var truncationMode: JSON?

  var given: [(name: String, value: JSON)] {
    let all: [(String, JSON?)] = [
      ("max_length", maxLength),
      ("data_cache", dataCache),
      ("truncation_mode", truncationMode),
    ]
    return all.compactMap { name, value in value.map { (name, $0) } }
  }
}

struct LoraFlags: ParsableArguments {
  @Option(
    name: .customLong("lora-r"),
    help: ArgumentHelp(
      "Rank of a new LoRA adapter; 0: train every weight. 0 to 65536. (default: 0)",
      valueName: "N"), transform: optionValue("lora_r"))
  var loraR: JSON?

  @Option(
    name: .customLong("lora-alpha"),
    help: ArgumentHelp(
      "The adapter is scaled by lora_alpha / lora_r. (unset: lora_r)",
      valueName: "X"), transform: optionValue("lora_alpha"))
  var loraAlpha: JSON?

  @Option(
    name: .customLong("lora-dropout"),
    help: ArgumentHelp(
      "Dropout before the adapter's matrix A. Needs disable_dropout off. 0 to 0.999999. (default: 0)",
      valueName: "X"), transform: optionValue("lora_dropout"))
  var loraDropout: JSON?

  @Option(
    name: .customLong("lora-target-modules"),
    help: ArgumentHelp(
      "Modules that get an adapter: names such as q_proj, or all-linear; empty: PEFT's choice for the family.",
      valueName: "NAME,…"), transform: optionValue("lora_target_modules"))
  var loraTargetModules: JSON?

  @Flag(
    name: .customLong("use-rslora"), inversion: .prefixedNo,
    help: ArgumentHelp(
      "Scale by lora_alpha / √lora_r instead. (default: off)"))
  var useRslora: Bool?

  @Option(
    name: .customLong("init-lora-weights"),
    help: ArgumentHelp(
      "What the adapter's matrix A is drawn from. B starts at 0. One of kaiming, gaussian. (default: kaiming)",
      valueName: "NAME"), completion: .list(["kaiming", "gaussian"]), transform: optionValue("init_lora_weights"))
  var initLoraWeights: JSON?

  @Flag(
    name: .customLong("disable-dropout"), inversion: .prefixedNo,
    help: ArgumentHelp(
      "No dropout in policy and reference model. (default: on)"))
  var disableDropout: Bool?

  var given: [(name: String, value: JSON)] {
    let all: [(String, JSON?)] = [
      ("lora_r", loraR),
      ("lora_alpha", loraAlpha),
      ("lora_dropout", loraDropout),
      ("lora_target_modules", loraTargetModules),
      ("use_rslora", useRslora.map(JSON.bool)),
      ("init_lora_weights", initLoraWeights),
      ("disable_dropout", disableDropout.map(JSON.bool)),
    ]
    return all.compactMap { name, value in value.map { (name, $0) } }
  }
}

struct FilesFlags: ParsableArguments {
  @Option(
    name: .customLong("eval-steps"),
    help: ArgumentHelp(
      "Steps between evaluations; 0: at the end of every epoch. (default: 0)",
      valueName: "N"), transform: optionValue("eval_steps"))
  var evalSteps: JSON?

  @Option(
    name: .customLong("save-steps"),
    help: ArgumentHelp(
      "Steps between checkpoints; 0: only the final model. (default: 500)",
      valueName: "N"), transform: optionValue("save_steps"))
  var saveSteps: JSON?

  @Option(
    name: .customLong("save-total-limit"),
    help: ArgumentHelp(
      "Checkpoints that are kept; the oldest go first. (unset: all)",
      valueName: "N"), transform: optionValue("save_total_limit"))
  var saveTotalLimit: JSON?

  @Option(
    name: .customLong("autosave-steps"),
    help: ArgumentHelp(
      "Steps between writes of the one file that a crashed run resumes from; 0: never, -1: every step for LoRA, "
        + "never for full training. At least -1. (default: -1)",
      valueName: "N"), transform: optionValue("autosave_steps"))
  var autosaveSteps: JSON?

  @Flag(
    name: .customLong("overwrite-output-dir"), inversion: .prefixedNo,
    help: ArgumentHelp(
      "Start anew in a directory that holds an earlier run. (default: off)"))
  var overwriteOutputDir: Bool?

  var given: [(name: String, value: JSON)] {
    let all: [(String, JSON?)] = [
      ("eval_steps", evalSteps),
      ("save_steps", saveSteps),
      ("save_total_limit", saveTotalLimit),
      ("autosave_steps", autosaveSteps),
      ("overwrite_output_dir", overwriteOutputDir.map(JSON.bool)),
    ]
    return all.compactMap { name, value in value.map { (name, $0) } }
  }
}

struct MachineFlags: ParsableArguments {
  @Flag(
    name: .customLong("gradient-checkpointing"), inversion: .prefixedNo,
    help: ArgumentHelp(
      "Keep each block's input alone and compute the rest again in the backward pass: less memory, the same "
        + "numbers. (default: off)"))
  var gradientCheckpointing: Bool?

  @Option(
    name: .customLong("offload"),
    help: ArgumentHelp(
      "Directory on a disk for the optimizer's states and for what the forward pass keeps for the backward pass: "
        + "memory holds of them what it has room for. Nothing remains there. Changes no number. (unset: all is in "
        + "memory)",
      valueName: "DIR"), completion: .directory, transform: optionValue("offload"))
  var offload: JSON?

  @Flag(
    name: .customLong("optimizer-in-backward"), inversion: .prefixedNo,
    help: ArgumentHelp(
      "Update the weights of a layer as soon as the backward pass has its gradients, whose memory the next layer "
        + "then takes: full training without 4 bytes of gradients for each number. Needs max_grad_norm 0 and steps of "
        + "one micro-batch. (default: off)"))
  var optimizerInBackward: Bool?

  @Option(
    name: .customLong("precision"),
    help: ArgumentHelp(
      "Arithmetic of the linear layers. Weights, sums and log-probs are fp32 in both; bf16 is faster on "
        + "processors that have instructions for it and takes the time of fp32 elsewhere. One of fp32, bf16. "
        + "(default: fp32)",
      valueName: "NAME"), completion: .list(["fp32", "bf16"]), transform: optionValue("precision"))
  var precision: JSON?

  @Option(
    name: .customLong("threads"),
    help: ArgumentHelp(
      "Compute threads; 0: one a core, and at most that many. Results do not depend on it. 0 to 1024. (default: 0)",
      valueName: "N"), transform: optionValue("threads"))
  var threads: JSON?

  @Option(
    name: .customLong("memory-limit-mb"),
    help: ArgumentHelp(
      "Refuse a run whose plan needs more MiB; 0: what the machine has free. (default: 0)",
      valueName: "N"), transform: optionValue("memory_limit_mb"))
  var memoryLimitMb: JSON?

  @Option(
    name: .customLong("engine"),
    help: ArgumentHelp(
      "Inner loops to compute with; auto: the best for this processor. Engines differ in the last bits of their "
        + "results. One of auto, avx512, avx2, neon, portable, openblas. (default: auto)",
      valueName: "NAME"), completion: .list(["auto", "avx512", "avx2", "neon", "portable", "openblas"]), transform: optionValue("engine"))
  var engine: JSON?

  var given: [(name: String, value: JSON)] {
    let all: [(String, JSON?)] = [
      ("gradient_checkpointing", gradientCheckpointing.map(JSON.bool)),
      ("offload", offload),
      ("optimizer_in_backward", optimizerInBackward.map(JSON.bool)),
      ("precision", precision),
      ("threads", threads),
      ("memory_limit_mb", memoryLimitMb),
      ("engine", engine),
    ]
    return all.compactMap { name, value in value.map { (name, $0) } }
  }
}

/// How completions are drawn. Warpers apply in Hugging Face's order: temperature, top-k, top-p, min-p.
struct DrawingFlags: ParsableArguments {
  @Option(
    name: .customLong("max-new-tokens"),
    help: ArgumentHelp(
      "Most tokens of a completion.",
      valueName: "N"))
  var maxNewTokens = 128

  @Option(
    name: .customLong("temperature"),
    help: ArgumentHelp(
      "Sampling temperature; 0: greedy.",
      valueName: "X"))
  var temperature = 1.0

  @Option(
    name: .customLong("top-k"),
    help: ArgumentHelp(
      "Sample among so many of the likeliest tokens; 0: all.",
      valueName: "N"))
  var topK = 0

  @Option(
    name: .customLong("top-p"),
    help: ArgumentHelp(
      "Sample among the likeliest tokens that have this probability together; 1: all. More than 0, at most 1.",
      valueName: "X"))
  var topP = 1.0

  @Option(
    name: .customLong("min-p"),
    help: ArgumentHelp(
      "Leave out tokens less likely than this share of the likeliest one's probability; 0: none. 0 to 1.",
      valueName: "X"))
  var minP = 0.0

  /// Sets the options.
  func apply(to options: inout GenerationOptions) {
    options.maxNewTokens = maxNewTokens
    options.temperature = temperature
    options.topK = topK
    options.topP = topP
    options.minP = minP
  }
}

/// How completions are drawn. Warpers apply in Hugging Face's order: temperature, top-k, top-p, min-p.
struct GenerationOptionFlags: ParsableArguments {
  @OptionGroup var drawing: DrawingFlags

  @Option(
    name: .customLong("seed"),
    help: ArgumentHelp(
      "A completion depends on the seed and its indices alone, not on what else is in the batch.",
      valueName: "N"))
  var seed: UInt64 = 42

  @Option(
    name: .customLong("num-return-sequences"),
    help: ArgumentHelp(
      "Completions of each prompt. 1 to 4096.",
      valueName: "N"))
  var numReturnSequences = 1

  @Option(
    name: .customLong("precision"),
    help: ArgumentHelp(
      "Arithmetic of the products with weights; bf16 rounds both factors and reads half the bytes. One of fp32, bf16.",
      valueName: "NAME"), completion: .list(["fp32", "bf16"]))
  var precision = Precision.fp32

  /// Sets the options.
  func apply(to options: inout GenerationOptions) {
    drawing.apply(to: &options)
    options.seed = seed
    options.completionsPerPrompt = numReturnSequences
    options.precision = precision
  }
}

/// How feedback is trained on.
struct FeedbackTrainingOptionFlags: ParsableArguments {
  @Option(
    name: .customLong("max-seconds"),
    help: ArgumentHelp(
      "Stop after so many seconds. What was learned is kept, and the next call goes on. More than 0. (unset: no limit)",
      valueName: "X"))
  var maxSeconds: Double?

  @Option(
    name: .customLong("replay"),
    help: ArgumentHelp(
      "Older records that a session mixes in, drawn at random, for each new one; 1: as many old as new. 0 to 1000.",
      valueName: "X"))
  var replay = 0.0

  @Option(
    name: .customLong("min-records"),
    help: ArgumentHelp(
      "New records to wait for before a session begins.",
      valueName: "N"))
  var minRecords = 8

  @Flag(
    name: .customLong("retrain"),
    help: ArgumentHelp(
      "Start anew: a new adapter, to which every record is new."))
  var retrain = false

  /// Sets the options.
  func apply(to options: inout FeedbackOptions) {
    if let maxSeconds { options.maxSeconds = maxSeconds }
    options.replay = replay
    options.minRecords = minRecords
    options.retrain = retrain
  }
}

/// How a byte-level BPE tokenizer is learned from text.
struct TokenizerOptionFlags: ParsableArguments {
  @Option(
    name: .customLong("vocab-size"),
    help: ArgumentHelp(
      "Tokens, special ones and the 256 bytes included. There are fewer where the text has no more pairs.",
      valueName: "N"))
  var vocabSize = 8192

  @Option(
    name: .customLong("min-frequency"),
    help: ArgumentHelp(
      "Pairs that occur less often become no token.",
      valueName: "N"))
  var minFrequency = 2

  @Option(
    name: .customLong("pre-tokenizer"),
    help: ArgumentHelp(
      "How text is cut into words. One of gpt2, smollm, llama3, qwen2.",
      valueName: "NAME"), completion: .list(["gpt2", "smollm", "llama3", "qwen2"]))
  var preTokenizer = TokenizerTrainer.WordSplit.gpt2

  @Option(
    name: .customLong("chat-template"),
    help: ArgumentHelp(
      "\"chatml\", or Jinja. chatml also makes <|im_end|> the token that ends answers. (unset: none)",
      valueName: "TEXT"))
  var chatTemplate: String?

  @Option(
    name: .customLong("bos"),
    help: ArgumentHelp(
      "Begins a sequence. (unset: <|endoftext|>)",
      valueName: "TEXT"))
  var bos: String?

  @Option(
    name: .customLong("eos"),
    help: ArgumentHelp(
      "Ends documents and answers. (unset: <|endoftext|>, with chatml <|im_end|>)",
      valueName: "TEXT"))
  var eos: String?

  @Option(
    name: .customLong("pad"),
    help: ArgumentHelp(
      "Fills up batches in other programs. (unset: <|endoftext|>)",
      valueName: "TEXT"))
  var pad: String?

  @Option(
    name: .customLong("special"),
    help: ArgumentHelp(
      "More tokens that are never part of a word, in the order of their ids.",
      valueName: "TEXT"))
  var special: [String] = []

  @Flag(
    name: .customLong("overwrite"),
    help: ArgumentHelp(
      "Replace what stands there."))
  var overwrite = false

  /// Sets the options.
  func apply(to options: inout TokenizerTrainer.Options) {
    options.vocabularySize = vocabSize
    options.minimumFrequency = minFrequency
    options.wordSplit = preTokenizer
    if let chatTemplate { options.chatTemplate = chatTemplate }
    if let bos { options.bosToken = bos }
    if let eos { options.eosToken = eos }
    if let pad { options.padToken = pad }
    options.specialTokens = special
  }
}

/// The sizes of a new model. What is not set follows from the others as the family's models usually have it.
struct ShapeOptionFlags: ParsableArguments {
  @Option(
    name: .customLong("like"),
    help: ArgumentHelp(
      "Family of the model, by the model_type of Hugging Face's config.json.",
      valueName: "DIR"), completion: .directory)
  var like = "llama"

  @Option(
    name: .customLong("tokenizer"),
    help: ArgumentHelp(
      "A directory with tokenizer.json, or a model: the new model gets its tokenizer. (unset: none)",
      valueName: "PATH"), completion: .file())
  var tokenizer: String?

  @Option(
    name: .customLong("vocab"),
    help: ArgumentHelp(
      "Tokens of the vocabulary. (unset: the tokenizer's)",
      valueName: "N"))
  var vocab: Int?

  @Option(
    name: .customLong("hidden"),
    help: ArgumentHelp(
      "Width of the hidden states.",
      valueName: "N"))
  var hidden = 256

  @Option(
    name: .customLong("layers"),
    help: ArgumentHelp(
      "Number of blocks.",
      valueName: "N"))
  var layers = 4

  @Option(
    name: .customLong("heads"),
    help: ArgumentHelp(
      "Attention heads. (unset: one for every 64 of hidden_size)",
      valueName: "N"))
  var heads: Int?

  @Option(
    name: .customLong("kv-heads"),
    help: ArgumentHelp(
      "Heads of keys and values. (unset: heads)",
      valueName: "N"))
  var kvHeads: Int?

  @Option(
    name: .customLong("intermediate"),
    help: ArgumentHelp(
      "Width of the MLP. (unset: 8/3 of hidden_size, rounded up to a multiple of 32; gpt2: 4 times hidden_size)",
      valueName: "N"))
  var intermediate: Int?

  @Option(
    name: .customLong("context"),
    help: ArgumentHelp(
      "Tokens that the model reads at most.",
      valueName: "N"))
  var context = 1024

  @Flag(
    name: .customLong("tie"), inversion: .prefixedNo,
    help: ArgumentHelp(
      "The head is the token embedding."))
  var tie = true

  @Option(
    name: .customLong("initializer-range"),
    help: ArgumentHelp(
      "Standard deviation of the weights.",
      valueName: "X"))
  var initializerRange = 0.02

  @Option(
    name: .customLong("seed"),
    help: ArgumentHelp(
      "Seed of the weights: equal shapes and seeds give equal files.",
      valueName: "N"))
  var seed: UInt64 = 42

  @Flag(
    name: .customLong("overwrite"),
    help: ArgumentHelp(
      "Replace what stands there."))
  var overwrite = false

  /// Sets the options.
  func apply(to options: inout ModelShape) {
    options.family = like
    if let vocab { options.vocabularySize = vocab }
    options.hiddenSize = hidden
    options.layerCount = layers
    if let heads { options.headCount = heads }
    if let kvHeads { options.keyValueHeadCount = kvHeads }
    if let intermediate { options.intermediateSize = intermediate }
    options.contextLength = context
    options.tiedHead = tie
    options.initializerRange = initializerRange
  }
}

/// How a model or adapter is converted.
struct ExportOptionFlags: ParsableArguments {
  @Option(
    name: .customLong("adapter"),
    help: ArgumentHelp(
      "An adapter to put on the model. (unset: none)",
      valueName: "PATH"), completion: .file())
  var adapter: String?

  @Option(
    name: .customLong("dtype"),
    help: ArgumentHelp(
      "Number format of the weights. q8_0 is for GGUF models only; HDF5 is always f32. One of f32, f16, bf16, q8_0.",
      valueName: "NAME"), completion: .list(["f32", "f16", "bf16", "q8_0"]), transform: oneOf(["f32", "f16", "bf16", "q8_0"]))
  var dtype = "f32"

  @Flag(
    name: .customLong("merge"),
    help: ArgumentHelp(
      "Add the adapter into the weights."))
  var merge = false

  @Flag(
    name: .customLong("overwrite"),
    help: ArgumentHelp(
      "Replace what stands there."))
  var overwrite = false
}
