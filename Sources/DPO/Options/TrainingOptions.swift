// Made by options/generate.py from the tables beside it: change those, and run `make options`.
// swift-format-ignore-file

import DPOKernels
import DPOModel

/// Every option of a training run. Names, defaults and meaning are those of TRL 1.16's configs (`DPOConfig`,
/// `SFTConfig`) and PEFT's `LoraConfig`.
///
/// ```swift
/// var options = TrainingOptions(method: .dpo(losses: [.sigmoid], beta: 0.1))
/// options.lora = .init(rank: 16, targetModules: ["all-linear"])
/// options.optimization.learningRate = 1e-4
/// ```
public struct TrainingOptions: Sendable, Equatable {
  /// What is trained, by which loss.
  public var method: Method
  /// The optimiser and the learning rate's schedule.
  public var optimization: Optimization
  /// What a step learns from, and how many steps there are.
  public var batches: Batches
  /// How rows are cut.
  public var rows: Rows
  /// The adapter that is trained instead of every weight. Rank 0: none.
  public var lora: LoRA
  /// When a run evaluates, and what it writes.
  public var files: Files
  /// How the run uses the machine. Changes no result but by rounding.
  public var machine: Machine

  /// Groups that are left out have their defaults. `validate()` checks ranges, and what goes together.
  public init(
    method: Method = .dpo(), optimization: Optimization = .init(), batches: Batches = .init(), rows: Rows = .init(),
    lora: LoRA = .init(), files: Files = .init(), machine: Machine = .init()
  ) {
    self.method = method
    self.optimization = optimization
    self.batches = batches
    self.rows = rows
    self.lora = lora
    self.files = files
    self.machine = machine
  }

  /// A training method with its options: one of the static functions, which have the options that the method has.
  public struct Method: Sendable, Equatable {
    /// The method's name, as options and reports write it.
    public package(set) var name: String
    /// The loss; several are summed with loss_weights. dpo and online_dpo: the DPO losses. cpo: sigmoid, hinge, ipo,
    /// simpo or alphapo. kto: kto or apo_zero_unpaired. sft: nll or dft. A method that finds the default here takes its
    /// own.
    public package(set) var lossType: [String] = ["sigmoid"]
    /// Weight of each loss in loss_type; empty: 1 each.
    public package(set) var lossWeights: [Double] = []
    /// β, how strongly the policy is held to the reference model: the smaller, the further it may go. orpo: the paper's
    /// λ.
    public package(set) var beta: Double = 0.1
    /// ε, the share of labels that are assumed to be swapped. For the losses exo_pair, robust, aot, aot_unpaired and
    /// conservative, and for cpo.
    public package(set) var labelSmoothing: Double = 0.0
    /// The divergence from the reference model that the loss assumes. The paper's is reverse_kl.
    public package(set) var fDivergenceType: FDivergence = .reverseKL
    /// Coefficient of alpha_divergence.
    public package(set) var fAlphaDivergenceCoef: Double = 0.5
    /// Temperature of the discopop loss.
    public package(set) var discopopTau: Double = 0.05
    /// LD-DPO: weight of the tokens that the longer completion has beyond the shorter one.
    public package(set) var ldAlpha: Double? = nil
    /// WPO: weight each pair by how likely the policy is to write it.
    public package(set) var useWeighting: Bool = false
    /// On rows of prompt and completion: learn the completion only.
    public package(set) var completionOnlyLoss: Bool = true
    /// On rows of messages: learn only what the chat template writes inside {% generation %}.
    public package(set) var assistantOnlyLoss: Bool = false
    /// Fill sequences of max_length tokens with as many rows as fit, in TRL's order. Rows of one sequence never see
    /// each other. Batches then count such sequences.
    public package(set) var packing: Bool = false
    /// Factor on the loss of rows with a thumb up.
    public package(set) var desirableWeight: Double = 1.0
    /// Factor on the loss of rows with a thumb down.
    public package(set) var undesirableWeight: Double = 1.0
    /// Weight of the chosen completions' negative log-likelihood. SimPO as published has none: 0.
    public package(set) var cpoAlpha: Double = 1.0
    /// simpo's γ: the margin between the rewards that the loss asks for.
    public package(set) var simpoGamma: Double = 0.5
    /// AlphaPO's shape of the reward, (1 − p^−alpha) / alpha; 0: the log-prob.
    public package(set) var alpha: Double = 0.0
    /// Weight of the rejected completions' log-likelihood, which is taken from that of the chosen ones.
    public package(set) var unlikelihoodAlpha: Double = 1.0
    /// Weight of the mean of (chosen + rejected)², which keeps a reward model's scores near 0.
    public package(set) var centerRewardsCoefficient: Double? = nil
    /// Take the reference model's log-probs as 0.
    public package(set) var referenceFree: Bool = false
    /// Compute the reference log-probs of all rows before the first step, and keep them in the output directory.
    public package(set) var precomputeRefLogProbs: Bool = false
    /// TR-DPO: move the reference model towards the policy every ref_model_sync_steps. Full training only.
    public package(set) var syncRefModel: Bool = false
    /// TR-DPO: weight of the policy in the new reference model.
    public package(set) var refModelMixupAlpha: Double = 0.6
    /// TR-DPO: optimiser steps between two syncs.
    public package(set) var refModelSyncSteps: Int = 512
    /// β, the weight of the KL penalty: ppo takes it from the reward of every token, rloo from that of a completion,
    /// grpo adds it to the loss.
    public package(set) var klCoef: Double? = nil
    /// KL of a token from k = log π − log π_ref. k1 is k, k3 is e^−k − 1 + k.
    public package(set) var klEstimator: KLEstimator = .k1
    /// KL of a completion, in nats, that kl_coef is steered towards after each rollout.
    public package(set) var klTarget: Double? = nil
    /// Completions over which kl_coef adapts to kl_target.
    public package(set) var klHorizon: Double = 10000.0
    /// Stop the run when the mean KL of a rollout's completions, in nats, is above this.
    public package(set) var maxKl: Double? = 200.0
    /// ε of PPO's clipped objective: how far the ratio π/π_old counts.
    public package(set) var cliprange: Double = 0.2
    /// How far a value may move from the rollout's before the loss stops following.
    public package(set) var cliprangeValue: Double = 0.2
    /// Weight of the value function's loss.
    public package(set) var vfCoef: Double = 0.1
    /// γ, discount of later rewards.
    public package(set) var gamma: Double = 1.0
    /// λ of generalised advantage estimation.
    public package(set) var lam: Double = 0.95
    /// Scale the rewards of a rollout to variance 1.
    public package(set) var whitenRewards: Bool = false
    /// Passes over each rollout.
    public package(set) var numPpoEpochs: Int? = nil
    /// Optimiser steps that a pass over a rollout is divided into. A rollout has per_device_train_batch_size ×
    /// gradient_accumulation_steps rows.
    public package(set) var numMiniBatches: Int = 1
    /// Completions of each prompt.
    public package(set) var numGenerations: Int? = nil
    /// Most tokens of a completion that the policy draws.
    public package(set) var maxCompletionLength: Int? = nil
    /// Temperature of the policy's draws. ppo, rloo and grpo take all log-probs at it.
    public package(set) var temperature: Double? = nil
    /// Taken from the score of a completion that does not end by itself.
    public package(set) var missingEosPenalty: Double? = nil
    /// Weight of the auxiliary loss of a mixture's routers, which is the lower the more evenly they use the experts; 0:
    /// without it. Other models have none.
    public package(set) var routerAuxLossCoef: Double? = nil
    /// Multiply the KL penalty of each token by its ratio π/π_old, so that its gradient is that of the KL from the
    /// reference, without bias.
    public package(set) var useBiasCorrectionKl: Bool = true

    /// A method with its defaults, by its name in the option table.
    package init(_ name: String = "dpo") { self.name = name }

    /// Every option at its default.
    public static let standard = Method()

    /// All names, in the order in which methods are documented.
    public static let names = [
      "dpo", "ranked", "sft", "pretrain", "kto", "bco", "cpo", "orpo", "unlikelihood", "reward", "ppo", "rloo", "grpo",
      "online_dpo",
    ]

    /// Direct preference optimisation on pairs. (Rafailov et al. 2023, equation 7.)
    ///
    /// - Parameters:
    ///   - losses: the losses, summed.
    ///   - lossWeights: weight of each loss in loss_type; empty: 1 each.
    ///   - beta: β, how strongly the policy is held to the reference model: the smaller, the further it may go. orpo:
    ///     the paper's λ. More than 0.
    ///   - labelSmoothing: ε, the share of labels that are assumed to be swapped. For the losses exo_pair, robust, aot,
    ///     aot_unpaired and conservative, and for cpo. 0 to 1.
    ///   - fDivergenceType: the divergence from the reference model that the loss assumes. The paper's is reverse_kl.
    ///   - fAlphaDivergenceCoef: coefficient of alpha_divergence.
    ///   - discopopTau: temperature of the discopop loss. More than 0.
    ///   - ldAlpha: LD-DPO: weight of the tokens that the longer completion has beyond the shorter one. 0 to 1. nil: 1.
    ///   - useWeighting: WPO: weight each pair by how likely the policy is to write it.
    ///   - referenceFree: take the reference model's log-probs as 0.
    ///   - precomputeRefLogProbs: compute the reference log-probs of all rows before the first step, and keep them in
    ///     the output directory.
    ///   - syncRefModel: TR-DPO: move the reference model towards the policy every ref_model_sync_steps. Full training
    ///     only.
    ///   - refModelMixupAlpha: TR-DPO: weight of the policy in the new reference model. 0 to 1.
    ///   - refModelSyncSteps: TR-DPO: optimiser steps between two syncs. At least 1.
    ///   - routerAuxLossCoef: weight of the auxiliary loss of a mixture's routers, which is the lower the more evenly
    ///     they use the experts; 0: without it. Other models have none. At least 0. nil: what the model's config.json
    ///     says, 0.01 or 0.001 without it.
    public static func dpo(
      losses: [LossType] = [.sigmoid], lossWeights: [Double] = [], beta: Double = 0.1, labelSmoothing: Double = 0.0,
      fDivergenceType: FDivergence = .reverseKL, fAlphaDivergenceCoef: Double = 0.5, discopopTau: Double = 0.05,
      ldAlpha: Double? = nil, useWeighting: Bool = false, referenceFree: Bool = false,
      precomputeRefLogProbs: Bool = false, syncRefModel: Bool = false, refModelMixupAlpha: Double = 0.6,
      refModelSyncSteps: Int = 512, routerAuxLossCoef: Double? = nil
    ) -> Method {
      var method = Method("dpo")
      method.lossType = losses.map(\.rawValue)
      method.lossWeights = lossWeights
      method.beta = beta
      method.labelSmoothing = labelSmoothing
      method.fDivergenceType = fDivergenceType
      method.fAlphaDivergenceCoef = fAlphaDivergenceCoef
      method.discopopTau = discopopTau
      method.ldAlpha = ldAlpha
      method.useWeighting = useWeighting
      method.referenceFree = referenceFree
      method.precomputeRefLogProbs = precomputeRefLogProbs
      method.syncRefModel = syncRefModel
      method.refModelMixupAlpha = refModelMixupAlpha
      method.refModelSyncSteps = refModelSyncSteps
      method.routerAuxLossCoef = routerAuxLossCoef
      return method
    }

    /// DPO on rankings of more than two answers, by the Plackett–Luce model. (Rafailov et al. 2023, appendix A.3.)
    ///
    /// - Parameters:
    ///   - beta: β, how strongly the policy is held to the reference model: the smaller, the further it may go. orpo:
    ///     the paper's λ. More than 0.
    ///   - referenceFree: take the reference model's log-probs as 0.
    ///   - precomputeRefLogProbs: compute the reference log-probs of all rows before the first step, and keep them in
    ///     the output directory.
    ///   - syncRefModel: TR-DPO: move the reference model towards the policy every ref_model_sync_steps. Full training
    ///     only.
    ///   - refModelMixupAlpha: TR-DPO: weight of the policy in the new reference model. 0 to 1.
    ///   - refModelSyncSteps: TR-DPO: optimiser steps between two syncs. At least 1.
    public static func ranked(
      beta: Double = 0.1, referenceFree: Bool = false, precomputeRefLogProbs: Bool = false, syncRefModel: Bool = false,
      refModelMixupAlpha: Double = 0.6, refModelSyncSteps: Int = 512
    ) -> Method {
      var method = Method("ranked")
      method.beta = beta
      method.referenceFree = referenceFree
      method.precomputeRefLogProbs = precomputeRefLogProbs
      method.syncRefModel = syncRefModel
      method.refModelMixupAlpha = refModelMixupAlpha
      method.refModelSyncSteps = refModelSyncSteps
      return method
    }

    /// Supervised fine-tuning on demonstrations, or on the chosen side of pairs.
    ///
    /// - Parameters:
    ///   - loss: the loss.
    ///   - completionOnlyLoss: on rows of prompt and completion: learn the completion only.
    ///   - assistantOnlyLoss: on rows of messages: learn only what the chat template writes inside {% generation %}.
    ///   - packing: fill sequences of max_length tokens with as many rows as fit, in TRL's order. Rows of one sequence
    ///     never see each other. Batches then count such sequences.
    ///   - routerAuxLossCoef: weight of the auxiliary loss of a mixture's routers, which is the lower the more evenly
    ///     they use the experts; 0: without it. Other models have none. At least 0. nil: what the model's config.json
    ///     says, 0.01 or 0.001 without it.
    public static func sft(
      loss: SFTLossKind = .nll, completionOnlyLoss: Bool = true, assistantOnlyLoss: Bool = false, packing: Bool = false,
      routerAuxLossCoef: Double? = nil
    ) -> Method {
      var method = Method("sft")
      method.lossType = [loss.rawValue]
      method.completionOnlyLoss = completionOnlyLoss
      method.assistantOnlyLoss = assistantOnlyLoss
      method.packing = packing
      method.routerAuxLossCoef = routerAuxLossCoef
      return method
    }

    /// Next-token prediction on plain text.
    ///
    /// - Parameters:
    ///   - routerAuxLossCoef: weight of the auxiliary loss of a mixture's routers, which is the lower the more evenly
    ///     they use the experts; 0: without it. Other models have none. At least 0. nil: what the model's config.json
    ///     says, 0.01 or 0.001 without it.
    public static func pretrain(
      routerAuxLossCoef: Double? = nil
    ) -> Method {
      var method = Method("pretrain")
      method.routerAuxLossCoef = routerAuxLossCoef
      return method
    }

    /// KTO on answers with a thumb up or down. (Ethayarajh et al. 2024.)
    ///
    /// - Parameters:
    ///   - loss: the loss.
    ///   - beta: β, how strongly the policy is held to the reference model: the smaller, the further it may go. orpo:
    ///     the paper's λ. More than 0.
    ///   - desirableWeight: factor on the loss of rows with a thumb up. At least 0.
    ///   - undesirableWeight: factor on the loss of rows with a thumb down. At least 0.
    ///   - referenceFree: take the reference model's log-probs as 0.
    ///   - precomputeRefLogProbs: compute the reference log-probs of all rows before the first step, and keep them in
    ///     the output directory.
    ///   - syncRefModel: TR-DPO: move the reference model towards the policy every ref_model_sync_steps. Full training
    ///     only.
    ///   - refModelMixupAlpha: TR-DPO: weight of the policy in the new reference model. 0 to 1.
    ///   - refModelSyncSteps: TR-DPO: optimiser steps between two syncs. At least 1.
    ///   - routerAuxLossCoef: weight of the auxiliary loss of a mixture's routers, which is the lower the more evenly
    ///     they use the experts; 0: without it. Other models have none. At least 0. nil: what the model's config.json
    ///     says, 0.01 or 0.001 without it.
    public static func kto(
      loss: KTOLossOptions.Kind = .kto, beta: Double = 0.1, desirableWeight: Double = 1.0,
      undesirableWeight: Double = 1.0, referenceFree: Bool = false, precomputeRefLogProbs: Bool = false,
      syncRefModel: Bool = false, refModelMixupAlpha: Double = 0.6, refModelSyncSteps: Int = 512,
      routerAuxLossCoef: Double? = nil
    ) -> Method {
      var method = Method("kto")
      method.lossType = [loss.rawValue]
      method.beta = beta
      method.desirableWeight = desirableWeight
      method.undesirableWeight = undesirableWeight
      method.referenceFree = referenceFree
      method.precomputeRefLogProbs = precomputeRefLogProbs
      method.syncRefModel = syncRefModel
      method.refModelMixupAlpha = refModelMixupAlpha
      method.refModelSyncSteps = refModelSyncSteps
      method.routerAuxLossCoef = routerAuxLossCoef
      return method
    }

    /// BCO on answers with a thumb up or down: a classifier between the two, whose logit is the implicit reward. (Jung
    /// et al. 2024.)
    ///
    /// - Parameters:
    ///   - beta: β, how strongly the policy is held to the reference model: the smaller, the further it may go. orpo:
    ///     the paper's λ. More than 0.
    ///   - referenceFree: take the reference model's log-probs as 0.
    ///   - precomputeRefLogProbs: compute the reference log-probs of all rows before the first step, and keep them in
    ///     the output directory.
    ///   - syncRefModel: TR-DPO: move the reference model towards the policy every ref_model_sync_steps. Full training
    ///     only.
    ///   - refModelMixupAlpha: TR-DPO: weight of the policy in the new reference model. 0 to 1.
    ///   - refModelSyncSteps: TR-DPO: optimiser steps between two syncs. At least 1.
    public static func bco(
      beta: Double = 0.1, referenceFree: Bool = false, precomputeRefLogProbs: Bool = false, syncRefModel: Bool = false,
      refModelMixupAlpha: Double = 0.6, refModelSyncSteps: Int = 512
    ) -> Method {
      var method = Method("bco")
      method.beta = beta
      method.referenceFree = referenceFree
      method.precomputeRefLogProbs = precomputeRefLogProbs
      method.syncRefModel = syncRefModel
      method.refModelMixupAlpha = refModelMixupAlpha
      method.refModelSyncSteps = refModelSyncSteps
      return method
    }

    /// CPO, SimPO or AlphaPO: pairs without a reference model. (Xu et al. 2024; Meng et al. 2024; Gupta et al. 2025.)
    ///
    /// - Parameters:
    ///   - loss: the loss.
    ///   - beta: β, how strongly the policy is held to the reference model: the smaller, the further it may go. orpo:
    ///     the paper's λ. More than 0.
    ///   - labelSmoothing: ε, the share of labels that are assumed to be swapped. For the losses exo_pair, robust, aot,
    ///     aot_unpaired and conservative, and for cpo. 0 to 1.
    ///   - cpoAlpha: weight of the chosen completions' negative log-likelihood. SimPO as published has none: 0. At
    ///     least 0.
    ///   - simpoGamma: simpo's γ: the margin between the rewards that the loss asks for.
    ///   - alpha: AlphaPO's shape of the reward, (1 − p^−alpha) / alpha; 0: the log-prob.
    public static func cpo(
      loss: CPOLossName = .sigmoid, beta: Double = 0.1, labelSmoothing: Double = 0.0, cpoAlpha: Double = 1.0,
      simpoGamma: Double = 0.5, alpha: Double = 0.0
    ) -> Method {
      var method = Method("cpo")
      method.lossType = [loss.rawValue]
      method.beta = beta
      method.labelSmoothing = labelSmoothing
      method.cpoAlpha = cpoAlpha
      method.simpoGamma = simpoGamma
      method.alpha = alpha
      return method
    }

    /// ORPO: likelihood and odds ratio of pairs, without a reference model. (Hong et al. 2024.)
    ///
    /// - Parameters:
    ///   - beta: β, how strongly the policy is held to the reference model: the smaller, the further it may go. orpo:
    ///     the paper's λ. More than 0.
    public static func orpo(
      beta: Double = 0.1
    ) -> Method {
      var method = Method("orpo")
      method.beta = beta
      return method
    }

    /// Log-likelihood of the chosen answer minus a part of that of the rejected one: the DPO paper's baseline.
    /// (Rafailov et al. 2023, section 6.)
    ///
    /// - Parameters:
    ///   - unlikelihoodAlpha: weight of the rejected completions' log-likelihood, which is taken from that of the
    ///     chosen ones. 0 to 1.
    public static func unlikelihood(
      unlikelihoodAlpha: Double = 1.0
    ) -> Method {
      var method = Method("unlikelihood")
      method.unlikelihoodAlpha = unlikelihoodAlpha
      return method
    }

    /// A reward model on pairs by the Bradley–Terry loss. Rows longer than max_length are left out. (Rafailov et al.
    /// 2023, equation 2.)
    ///
    /// - Parameters:
    ///   - centerRewardsCoefficient: weight of the mean of (chosen + rejected)², which keeps a reward model's scores
    ///     near 0. At least 0. nil: none; 0.01 is usual.
    public static func reward(
      centerRewardsCoefficient: Double? = nil
    ) -> Method {
      var method = Method("reward")
      method.centerRewardsCoefficient = centerRewardsCoefficient
      return method
    }

    /// PPO: the policy answers prompts itself and learns from a reward, held to the reference model by a KL penalty.
    /// (Schulman et al. 2017; Ziegler et al. 2019.)
    ///
    /// - Parameters:
    ///   - klCoef: β, the weight of the KL penalty: ppo takes it from the reward of every token, rloo from that of a
    ///     completion, grpo adds it to the loss. At least 0. nil: 0.05.
    ///   - klEstimator: KL of a token from k = log π − log π_ref. k1 is k, k3 is e^−k − 1 + k.
    ///   - klTarget: KL of a completion, in nats, that kl_coef is steered towards after each rollout. At least 1e-9.
    ///     nil: kl_coef is fixed.
    ///   - klHorizon: completions over which kl_coef adapts to kl_target. More than 0.
    ///   - maxKl: stop the run when the mean KL of a rollout's completions, in nats, is above this. At least 0. nil:
    ///     never.
    ///   - cliprange: ε of PPO's clipped objective: how far the ratio π/π_old counts. At least 0.
    ///   - cliprangeValue: how far a value may move from the rollout's before the loss stops following. At least 0.
    ///   - vfCoef: weight of the value function's loss. At least 0.
    ///   - gamma: γ, discount of later rewards. 0 to 1.
    ///   - lam: λ of generalised advantage estimation. 0 to 1.
    ///   - whitenRewards: scale the rewards of a rollout to variance 1.
    ///   - numPpoEpochs: passes over each rollout. 1 to 1000. nil: 4.
    ///   - numMiniBatches: optimiser steps that a pass over a rollout is divided into. A rollout has
    ///     per_device_train_batch_size × gradient_accumulation_steps rows. 1 to 1000000.
    ///   - maxCompletionLength: most tokens of a completion that the policy draws. At least 1. nil: 53.
    ///   - temperature: temperature of the policy's draws. ppo, rloo and grpo take all log-probs at it. 0.001 to 1000.
    ///     nil: 0.7.
    ///   - missingEosPenalty: taken from the score of a completion that does not end by itself. At least 0. nil: none.
    public static func ppo(
      klCoef: Double? = nil, klEstimator: KLEstimator = .k1, klTarget: Double? = nil, klHorizon: Double = 10000.0,
      maxKl: Double? = 200.0, cliprange: Double = 0.2, cliprangeValue: Double = 0.2, vfCoef: Double = 0.1,
      gamma: Double = 1.0, lam: Double = 0.95, whitenRewards: Bool = false, numPpoEpochs: Int? = nil,
      numMiniBatches: Int = 1, maxCompletionLength: Int? = nil, temperature: Double? = nil,
      missingEosPenalty: Double? = nil
    ) -> Method {
      var method = Method("ppo")
      method.klCoef = klCoef
      method.klEstimator = klEstimator
      method.klTarget = klTarget
      method.klHorizon = klHorizon
      method.maxKl = maxKl
      method.cliprange = cliprange
      method.cliprangeValue = cliprangeValue
      method.vfCoef = vfCoef
      method.gamma = gamma
      method.lam = lam
      method.whitenRewards = whitenRewards
      method.numPpoEpochs = numPpoEpochs
      method.numMiniBatches = numMiniBatches
      method.maxCompletionLength = maxCompletionLength
      method.temperature = temperature
      method.missingEosPenalty = missingEosPenalty
      return method
    }

    /// RLOO: PPO without a value function; an answer is compared with the mean of the prompt's other answers. (Ahmadian
    /// et al. 2024.)
    ///
    /// - Parameters:
    ///   - klCoef: β, the weight of the KL penalty: ppo takes it from the reward of every token, rloo from that of a
    ///     completion, grpo adds it to the loss. At least 0. nil: 0.05.
    ///   - klTarget: KL of a completion, in nats, that kl_coef is steered towards after each rollout. At least 1e-9.
    ///     nil: kl_coef is fixed.
    ///   - klHorizon: completions over which kl_coef adapts to kl_target. More than 0.
    ///   - maxKl: stop the run when the mean KL of a rollout's completions, in nats, is above this. At least 0. nil:
    ///     never.
    ///   - cliprange: ε of PPO's clipped objective: how far the ratio π/π_old counts. At least 0.
    ///   - numPpoEpochs: passes over each rollout. 1 to 1000. nil: 1.
    ///   - numMiniBatches: optimiser steps that a pass over a rollout is divided into. A rollout has
    ///     per_device_train_batch_size × gradient_accumulation_steps rows. 1 to 1000000.
    ///   - numGenerations: completions of each prompt. 2 to 1024. nil: 2.
    ///   - maxCompletionLength: most tokens of a completion that the policy draws. At least 1. nil: 512.
    ///   - temperature: temperature of the policy's draws. ppo, rloo and grpo take all log-probs at it. 0.001 to 1000.
    ///     nil: 1.
    ///   - missingEosPenalty: taken from the score of a completion that does not end by itself. At least 0. nil: none.
    ///   - routerAuxLossCoef: weight of the auxiliary loss of a mixture's routers, which is the lower the more evenly
    ///     they use the experts; 0: without it. Other models have none. At least 0. nil: what the model's config.json
    ///     says, 0.01 or 0.001 without it.
    public static func rloo(
      klCoef: Double? = nil, klTarget: Double? = nil, klHorizon: Double = 10000.0, maxKl: Double? = 200.0,
      cliprange: Double = 0.2, numPpoEpochs: Int? = nil, numMiniBatches: Int = 1, numGenerations: Int? = nil,
      maxCompletionLength: Int? = nil, temperature: Double? = nil, missingEosPenalty: Double? = nil,
      routerAuxLossCoef: Double? = nil
    ) -> Method {
      var method = Method("rloo")
      method.klCoef = klCoef
      method.klTarget = klTarget
      method.klHorizon = klHorizon
      method.maxKl = maxKl
      method.cliprange = cliprange
      method.numPpoEpochs = numPpoEpochs
      method.numMiniBatches = numMiniBatches
      method.numGenerations = numGenerations
      method.maxCompletionLength = maxCompletionLength
      method.temperature = temperature
      method.missingEosPenalty = missingEosPenalty
      method.routerAuxLossCoef = routerAuxLossCoef
      return method
    }

    /// GRPO: an answer's advantage is its reward, standardised among the answers to the same prompt. (Shao et al.
    /// 2024.)
    ///
    /// - Parameters:
    ///   - klCoef: β, the weight of the KL penalty: ppo takes it from the reward of every token, rloo from that of a
    ///     completion, grpo adds it to the loss. At least 0. nil: 0.
    ///   - maxKl: stop the run when the mean KL of a rollout's completions, in nats, is above this. At least 0. nil:
    ///     never.
    ///   - cliprange: ε of PPO's clipped objective: how far the ratio π/π_old counts. At least 0.
    ///   - numPpoEpochs: passes over each rollout. 1 to 1000. nil: 1.
    ///   - numMiniBatches: optimiser steps that a pass over a rollout is divided into. A rollout has
    ///     per_device_train_batch_size × gradient_accumulation_steps rows. 1 to 1000000.
    ///   - numGenerations: completions of each prompt. 2 to 1024. nil: 8.
    ///   - maxCompletionLength: most tokens of a completion that the policy draws. At least 1. nil: 512.
    ///   - temperature: temperature of the policy's draws. ppo, rloo and grpo take all log-probs at it. 0.001 to 1000.
    ///     nil: 1.
    ///   - missingEosPenalty: taken from the score of a completion that does not end by itself. At least 0. nil: none.
    ///   - routerAuxLossCoef: weight of the auxiliary loss of a mixture's routers, which is the lower the more evenly
    ///     they use the experts; 0: without it. Other models have none. At least 0. nil: what the model's config.json
    ///     says, 0.01 or 0.001 without it.
    ///   - useBiasCorrectionKl: multiply the KL penalty of each token by its ratio π/π_old, so that its gradient is
    ///     that of the KL from the reference, without bias.
    public static func grpo(
      klCoef: Double? = nil, maxKl: Double? = 200.0, cliprange: Double = 0.2, numPpoEpochs: Int? = nil,
      numMiniBatches: Int = 1, numGenerations: Int? = nil, maxCompletionLength: Int? = nil, temperature: Double? = nil,
      missingEosPenalty: Double? = nil, routerAuxLossCoef: Double? = nil, useBiasCorrectionKl: Bool = true
    ) -> Method {
      var method = Method("grpo")
      method.klCoef = klCoef
      method.maxKl = maxKl
      method.cliprange = cliprange
      method.numPpoEpochs = numPpoEpochs
      method.numMiniBatches = numMiniBatches
      method.numGenerations = numGenerations
      method.maxCompletionLength = maxCompletionLength
      method.temperature = temperature
      method.missingEosPenalty = missingEosPenalty
      method.routerAuxLossCoef = routerAuxLossCoef
      method.useBiasCorrectionKl = useBiasCorrectionKl
      return method
    }

    /// Online DPO: the policy answers each prompt several times, and DPO learns from its best and its worst answer.
    /// (Guo et al. 2024.)
    ///
    /// - Parameters:
    ///   - losses: the losses, summed.
    ///   - lossWeights: weight of each loss in loss_type; empty: 1 each.
    ///   - beta: β, how strongly the policy is held to the reference model: the smaller, the further it may go. orpo:
    ///     the paper's λ. More than 0.
    ///   - labelSmoothing: ε, the share of labels that are assumed to be swapped. For the losses exo_pair, robust, aot,
    ///     aot_unpaired and conservative, and for cpo. 0 to 1.
    ///   - fDivergenceType: the divergence from the reference model that the loss assumes. The paper's is reverse_kl.
    ///   - fAlphaDivergenceCoef: coefficient of alpha_divergence.
    ///   - discopopTau: temperature of the discopop loss. More than 0.
    ///   - ldAlpha: LD-DPO: weight of the tokens that the longer completion has beyond the shorter one. 0 to 1. nil: 1.
    ///   - useWeighting: WPO: weight each pair by how likely the policy is to write it.
    ///   - maxKl: stop the run when the mean KL of a rollout's completions, in nats, is above this. At least 0. nil:
    ///     never.
    ///   - numPpoEpochs: passes over each rollout. 1 to 1000. nil: 1.
    ///   - numMiniBatches: optimiser steps that a pass over a rollout is divided into. A rollout has
    ///     per_device_train_batch_size × gradient_accumulation_steps rows. 1 to 1000000.
    ///   - numGenerations: completions of each prompt. 2 to 1024. nil: 2.
    ///   - maxCompletionLength: most tokens of a completion that the policy draws. At least 1. nil: 64.
    ///   - temperature: temperature of the policy's draws. ppo, rloo and grpo take all log-probs at it. 0.001 to 1000.
    ///     nil: 0.9.
    ///   - missingEosPenalty: taken from the score of a completion that does not end by itself. At least 0. nil: none.
    public static func onlineDpo(
      losses: [LossType] = [.sigmoid], lossWeights: [Double] = [], beta: Double = 0.1, labelSmoothing: Double = 0.0,
      fDivergenceType: FDivergence = .reverseKL, fAlphaDivergenceCoef: Double = 0.5, discopopTau: Double = 0.05,
      ldAlpha: Double? = nil, useWeighting: Bool = false, maxKl: Double? = 200.0, numPpoEpochs: Int? = nil,
      numMiniBatches: Int = 1, numGenerations: Int? = nil, maxCompletionLength: Int? = nil, temperature: Double? = nil,
      missingEosPenalty: Double? = nil
    ) -> Method {
      var method = Method("online_dpo")
      method.lossType = losses.map(\.rawValue)
      method.lossWeights = lossWeights
      method.beta = beta
      method.labelSmoothing = labelSmoothing
      method.fDivergenceType = fDivergenceType
      method.fAlphaDivergenceCoef = fAlphaDivergenceCoef
      method.discopopTau = discopopTau
      method.ldAlpha = ldAlpha
      method.useWeighting = useWeighting
      method.maxKl = maxKl
      method.numPpoEpochs = numPpoEpochs
      method.numMiniBatches = numMiniBatches
      method.numGenerations = numGenerations
      method.maxCompletionLength = maxCompletionLength
      method.temperature = temperature
      method.missingEosPenalty = missingEosPenalty
      return method
    }
  }

  /// The optimiser and the learning rate's schedule.
  public struct Optimization: Sendable, Equatable {
    /// Peak learning rate. With LoRA, 1e-4 to 2e-4 is usual for every method. At least 0. nil: 2e-5 for sft, 5e-4 for
    /// pretrain, 1e-4 for reward, 3e-6 for ppo, 5e-7 for online_dpo, 1e-6 for the others.
    public var learningRate: Double?
    /// How the learning rate changes over the steps.
    public var lrSchedulerType: ScheduleKind
    /// Steps over which the rate rises from 0; below 1: that fraction of all steps. 0 to 2147483647.
    public var warmupSteps: Double
    /// Decoupled weight decay; sgd adds it to the gradients. Biases and norms are exempt. At least 0.
    public var weightDecay: Double
    /// Decay of AdamW's first moment; Lion's β1. 0 to 0.999999999.
    public var adamBeta1: Double
    /// Decay of AdamW's second moment; Lion's β2, which its paper has at 0.99. 0 to 0.999999999.
    public var adamBeta2: Double
    /// Added to AdamW's denominator. At least 0.
    public var adamEpsilon: Double
    /// The optimiser. adamw_torch, also called adamw_torch_fused, keeps 8 bytes for each number that is trained;
    /// adamw_8bit, also called adamw_bnb_8bit, 2; adafactor next to none; lion_32bit 4; lion_8bit 1; sgd none, or 4
    /// with momentum. Others than AdamW want other learning rates: Lion a third to a tenth of AdamW's, sgd a far higher
    /// one.
    public var optim: OptimizerName
    /// Settings of sgd: momentum=0.9, dampening=0, nesterov=true. The other optimisers have none.
    public var optimArgs: [String]
    /// What adamw_torch, lion_32bit and sgd keep their states in: bf16 takes half as much memory. Numbers are rounded
    /// up or down by chance, the same in every run. Source: not in TRL.
    public var optimStateDtype: String
    /// Gradients are scaled down to this global norm; 0: never. At least 0.
    public var maxGradNorm: Double

    /// Options that are left out have their defaults. `TrainingOptions.validate()` checks ranges.
    public init(
      learningRate: Double? = nil, lrSchedulerType: ScheduleKind = .linear, warmupSteps: Double = 0.0,
      weightDecay: Double = 0.0, adamBeta1: Double = 0.9, adamBeta2: Double = 0.999, adamEpsilon: Double = 1e-8,
      optim: OptimizerName = .adamwTorch, optimArgs: [String] = [], optimStateDtype: String = "fp32",
      maxGradNorm: Double = 1.0
    ) {
      self.learningRate = learningRate
      self.lrSchedulerType = lrSchedulerType
      self.warmupSteps = warmupSteps
      self.weightDecay = weightDecay
      self.adamBeta1 = adamBeta1
      self.adamBeta2 = adamBeta2
      self.adamEpsilon = adamEpsilon
      self.optim = optim
      self.optimArgs = optimArgs
      self.optimStateDtype = optimStateDtype
      self.maxGradNorm = maxGradNorm
    }
  }

  /// What a step learns from, and how many steps there are.
  public struct Batches: Sendable, Equatable {
    /// Rows of a micro-batch. pretrain, and sft with packing: sequences of max_length tokens. At least 1.
    public var perDeviceTrainBatchSize: Int
    /// Rows of an evaluation batch. At least 1.
    public var perDeviceEvalBatchSize: Int
    /// Micro-batches of an optimiser step. At least 1.
    public var gradientAccumulationSteps: Int
    /// Passes over the data, unless max_steps is set. More than 0, at most 1000000.
    public var numTrainEpochs: Double
    /// Optimiser steps; -1: as many as num_train_epochs gives. At least -1.
    public var maxSteps: Int
    /// A new order of rows each epoch, as TRL draws it. Source: TRL: shuffle_dataset.
    public var shuffle: Bool
    /// Seed of the row order, of LoRA's first weights and of dropout. 0 to 4294967295.
    public var seed: Int
    /// Seed of the row order alone. 0 to 4294967295. nil: seed.
    public var dataSeed: Int?
    /// Adds up the gradients of a step's micro-batches in one order, so that a run ends in the same bits on any number
    /// of ranks. Takes another buffer for them where a rank has several micro-batches a step. false: each rank adds up
    /// its own first. Source: libdpo.
    public var reproducibleSums: Bool

    /// Options that are left out have their defaults. `TrainingOptions.validate()` checks ranges.
    public init(
      perDeviceTrainBatchSize: Int = 8, perDeviceEvalBatchSize: Int = 8, gradientAccumulationSteps: Int = 1,
      numTrainEpochs: Double = 3.0, maxSteps: Int = -1, shuffle: Bool = true, seed: Int = 42, dataSeed: Int? = nil,
      reproducibleSums: Bool = true
    ) {
      self.perDeviceTrainBatchSize = perDeviceTrainBatchSize
      self.perDeviceEvalBatchSize = perDeviceEvalBatchSize
      self.gradientAccumulationSteps = gradientAccumulationSteps
      self.numTrainEpochs = numTrainEpochs
      self.maxSteps = maxSteps
      self.shuffle = shuffle
      self.seed = seed
      self.dataSeed = dataSeed
      self.reproducibleSums = reproducibleSums
    }
  }

  /// How rows are cut.
  public struct Rows: Sendable, Equatable {
    /// Tokens of prompt and completion that are kept. pretrain: longer documents are cut into such pieces. At least 1.
    /// nil: all of them.
    public var maxLength: Int?
    /// Where the tokens of files of rows are kept, so that the next run reads them from there, with hardly any memory:
    /// a directory; none: rows are in memory; auto: files of more than 256 MB are cached in .dpo-cache beside them.
    /// Results do not depend on it.
    public var dataCache: String
    /// Which end of a row longer than max_length is kept.
    public var truncationMode: TruncationMode

    /// Options that are left out have their defaults. `TrainingOptions.validate()` checks ranges.
    public init(
      maxLength: Int? = 1024, dataCache: String = "auto", truncationMode: TruncationMode = .keepStart
    ) {
      self.maxLength = maxLength
      self.dataCache = dataCache
      self.truncationMode = truncationMode
    }
  }

  /// The adapter that is trained instead of every weight. Rank 0: none.
  public struct LoRA: Sendable, Equatable {
    /// Rank of a new LoRA adapter; 0: train every weight. Source: PEFT: r. 0 to 65536.
    public var rank: Int
    /// The adapter is scaled by lora_alpha / lora_r. At least 0. nil: lora_r.
    public var alpha: Double?
    /// Dropout before the adapter's matrix A. Needs disable_dropout off. 0 to 0.999999.
    public var dropout: Double
    /// Modules that get an adapter: names such as q_proj, or all-linear; empty: PEFT's choice for the family. Source:
    /// PEFT: target_modules.
    public var targetModules: [String]
    /// Scale by lora_alpha / √lora_r instead.
    public var useRslora: Bool
    /// What the adapter's matrix A is drawn from. B starts at 0.
    public var initLoraWeights: LoRAConfiguration.Initialization
    /// No dropout in policy and reference model.
    public var disableDropout: Bool

    /// Options that are left out have their defaults. `TrainingOptions.validate()` checks ranges.
    public init(
      rank: Int = 0, alpha: Double? = nil, dropout: Double = 0.0, targetModules: [String] = [], useRslora: Bool = false,
      initLoraWeights: LoRAConfiguration.Initialization = .kaiming, disableDropout: Bool = true
    ) {
      self.rank = rank
      self.alpha = alpha
      self.dropout = dropout
      self.targetModules = targetModules
      self.useRslora = useRslora
      self.initLoraWeights = initLoraWeights
      self.disableDropout = disableDropout
    }
  }

  /// When a run evaluates, and what it writes.
  public struct Files: Sendable, Equatable {
    /// Steps between evaluations; 0: at the end of every epoch. At least 0.
    public var evalSteps: Int
    /// Steps between checkpoints; 0: only the final model. At least 0.
    public var saveSteps: Int
    /// Checkpoints that are kept; the oldest go first. At least 1. nil: all.
    public var saveTotalLimit: Int?
    /// Steps between writes of the one file that a crashed run resumes from; 0: never, -1: every step for LoRA, never
    /// for full training. Source: not in TRL. At least -1.
    public var autosaveSteps: Int
    /// Start anew in a directory that holds an earlier run.
    public var overwriteOutputDir: Bool

    /// Options that are left out have their defaults. `TrainingOptions.validate()` checks ranges.
    public init(
      evalSteps: Int = 0, saveSteps: Int = 500, saveTotalLimit: Int? = nil, autosaveSteps: Int = -1,
      overwriteOutputDir: Bool = false
    ) {
      self.evalSteps = evalSteps
      self.saveSteps = saveSteps
      self.saveTotalLimit = saveTotalLimit
      self.autosaveSteps = autosaveSteps
      self.overwriteOutputDir = overwriteOutputDir
    }
  }

  /// How the run uses the machine. Changes no result but by rounding.
  public struct Machine: Sendable, Equatable {
    /// Keep each block's input alone and compute the rest again in the backward pass: less memory, the same numbers.
    public var gradientCheckpointing: Bool
    /// Directory on a disk for the optimizer's states and for what the forward pass keeps for the backward pass: memory
    /// holds of them what it has room for. Nothing remains there. Changes no number. nil: all is in memory.
    public var offload: String?
    /// Update the weights of a layer as soon as the backward pass has its gradients, whose memory the next layer then
    /// takes: full training without 4 bytes of gradients for each number. Needs max_grad_norm 0 and steps of one
    /// micro-batch. Source: torchtune: optimizer_in_bwd.
    public var optimizerInBackward: Bool
    /// Arithmetic of the linear layers. Weights, sums and log-probs are fp32 in both; bf16 is faster on processors that
    /// have instructions for it and takes the time of fp32 elsewhere.
    public var precision: Precision
    /// Compute threads; 0: one a core, and at most that many. Results do not depend on it. 0 to 1024.
    public var threads: Int
    /// Refuse a run whose plan needs more MiB; 0: what the machine has free. At least 0.
    public var memoryLimitMb: Int
    /// Inner loops to compute with; auto: the best for this processor. Engines differ in the last bits of their
    /// results.
    public var engine: String

    /// Options that are left out have their defaults. `TrainingOptions.validate()` checks ranges.
    public init(
      gradientCheckpointing: Bool = false, offload: String? = nil, optimizerInBackward: Bool = false,
      precision: Precision = .fp32, threads: Int = 0, memoryLimitMb: Int = 0, engine: String = "auto"
    ) {
      self.gradientCheckpointing = gradientCheckpointing
      self.offload = offload
      self.optimizerInBackward = optimizerInBackward
      self.precision = precision
      self.threads = threads
      self.memoryLimitMb = memoryLimitMb
      self.engine = engine
    }
  }
}
