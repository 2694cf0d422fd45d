// Made by options/generate.py from the tables beside it: change those, and run `make options`.
// swift-format-ignore-file

import DPOBase
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
  /// AdamW and the learning rate's schedule.
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
    public package(set) var maxCompletionLength: Int = 53
    /// Temperature of the policy's draws. ppo, rloo and grpo take all log-probs at it.
    public package(set) var temperature: Double? = nil
    /// Taken from the score of a completion that does not end by itself.
    public package(set) var missingEosPenalty: Double? = nil

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
    public static func dpo(
      losses: [LossType] = [.sigmoid], lossWeights: [Double] = [], beta: Double = 0.1, labelSmoothing: Double = 0.0,
      fDivergenceType: FDivergence = .reverseKL, fAlphaDivergenceCoef: Double = 0.5, discopopTau: Double = 0.05,
      ldAlpha: Double? = nil, useWeighting: Bool = false, referenceFree: Bool = false,
      precomputeRefLogProbs: Bool = false, syncRefModel: Bool = false, refModelMixupAlpha: Double = 0.6,
      refModelSyncSteps: Int = 512
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
    public static func sft(
      loss: SFTLossKind = .nll, completionOnlyLoss: Bool = true, assistantOnlyLoss: Bool = false, packing: Bool = false
    ) -> Method {
      var method = Method("sft")
      method.lossType = [loss.rawValue]
      method.completionOnlyLoss = completionOnlyLoss
      method.assistantOnlyLoss = assistantOnlyLoss
      method.packing = packing
      return method
    }

    /// Next-token prediction on plain text.
    public static func pretrain() -> Method { Method("pretrain") }

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
    public static func kto(
      loss: KTOLossOptions.Kind = .kto, beta: Double = 0.1, desirableWeight: Double = 1.0,
      undesirableWeight: Double = 1.0, referenceFree: Bool = false, precomputeRefLogProbs: Bool = false,
      syncRefModel: Bool = false, refModelMixupAlpha: Double = 0.6, refModelSyncSteps: Int = 512
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
    ///   - alpha: alphaPO's shape of the reward, (1 − p^−alpha) / alpha; 0: the log-prob.
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
    ///   - maxCompletionLength: most tokens of a completion that the policy draws. At least 1.
    ///   - temperature: temperature of the policy's draws. ppo, rloo and grpo take all log-probs at it. 0.001 to 1000.
    ///     nil: 0.7.
    ///   - missingEosPenalty: taken from the score of a completion that does not end by itself. At least 0. nil: none.
    public static func ppo(
      klCoef: Double? = nil, klEstimator: KLEstimator = .k1, klTarget: Double? = nil, klHorizon: Double = 10000.0,
      maxKl: Double? = 200.0, cliprange: Double = 0.2, cliprangeValue: Double = 0.2, vfCoef: Double = 0.1,
      gamma: Double = 1.0, lam: Double = 0.95, whitenRewards: Bool = false, numPpoEpochs: Int? = nil,
      numMiniBatches: Int = 1, maxCompletionLength: Int = 53, temperature: Double? = nil,
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
    ///   - maxCompletionLength: most tokens of a completion that the policy draws. At least 1.
    ///   - temperature: temperature of the policy's draws. ppo, rloo and grpo take all log-probs at it. 0.001 to 1000.
    ///     nil: 1.
    ///   - missingEosPenalty: taken from the score of a completion that does not end by itself. At least 0. nil: none.
    public static func rloo(
      klCoef: Double? = nil, klTarget: Double? = nil, klHorizon: Double = 10000.0, maxKl: Double? = 200.0,
      cliprange: Double = 0.2, numPpoEpochs: Int? = nil, numMiniBatches: Int = 1, numGenerations: Int? = nil,
      maxCompletionLength: Int = 53, temperature: Double? = nil, missingEosPenalty: Double? = nil
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
    ///   - maxCompletionLength: most tokens of a completion that the policy draws. At least 1.
    ///   - temperature: temperature of the policy's draws. ppo, rloo and grpo take all log-probs at it. 0.001 to 1000.
    ///     nil: 1.
    ///   - missingEosPenalty: taken from the score of a completion that does not end by itself. At least 0. nil: none.
    public static func grpo(
      klCoef: Double? = nil, maxKl: Double? = 200.0, cliprange: Double = 0.2, numPpoEpochs: Int? = nil,
      numMiniBatches: Int = 1, numGenerations: Int? = nil, maxCompletionLength: Int = 53, temperature: Double? = nil,
      missingEosPenalty: Double? = nil
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
    ///   - maxCompletionLength: most tokens of a completion that the policy draws. At least 1.
    ///   - temperature: temperature of the policy's draws. ppo, rloo and grpo take all log-probs at it. 0.001 to 1000.
    ///     nil: 0.9.
    ///   - missingEosPenalty: taken from the score of a completion that does not end by itself. At least 0. nil: none.
    public static func onlineDpo(
      losses: [LossType] = [.sigmoid], lossWeights: [Double] = [], beta: Double = 0.1, labelSmoothing: Double = 0.0,
      fDivergenceType: FDivergence = .reverseKL, fAlphaDivergenceCoef: Double = 0.5, discopopTau: Double = 0.05,
      ldAlpha: Double? = nil, useWeighting: Bool = false, maxKl: Double? = 200.0, numPpoEpochs: Int? = nil,
      numMiniBatches: Int = 1, numGenerations: Int? = nil, maxCompletionLength: Int = 53, temperature: Double? = nil,
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

  /// AdamW and the learning rate's schedule.
  public struct Optimization: Sendable, Equatable {
    /// Peak learning rate. With LoRA, 1e-4 to 2e-4 is usual for every method. At least 0. nil: 2e-5 for sft, 5e-4 for
    /// pretrain, 1e-4 for reward, 3e-6 for ppo, 5e-7 for online_dpo, 1e-6 for the others.
    public var learningRate: Double?
    /// How the learning rate changes over the steps.
    public var lrSchedulerType: ScheduleKind
    /// Steps over which the rate rises from 0; below 1: that fraction of all steps. 0 to 2147483647.
    public var warmupSteps: Double
    /// AdamW's decoupled weight decay. Biases and norms are exempt. At least 0.
    public var weightDecay: Double
    /// Decay of AdamW's first moment. 0 to 0.999999999.
    public var adamBeta1: Double
    /// Decay of AdamW's second moment. 0 to 0.999999999.
    public var adamBeta2: Double
    /// Added to AdamW's denominator. At least 0.
    public var adamEpsilon: Double
    /// Gradients are scaled down to this global norm; 0: never. At least 0.
    public var maxGradNorm: Double

    /// Options that are left out have their defaults. `TrainingOptions.validate()` checks ranges.
    public init(
      learningRate: Double? = nil, lrSchedulerType: ScheduleKind = .linear, warmupSteps: Double = 0.0,
      weightDecay: Double = 0.0, adamBeta1: Double = 0.9, adamBeta2: Double = 0.999, adamEpsilon: Double = 1e-8,
      maxGradNorm: Double = 1.0
    ) {
      self.learningRate = learningRate
      self.lrSchedulerType = lrSchedulerType
      self.warmupSteps = warmupSteps
      self.weightDecay = weightDecay
      self.adamBeta1 = adamBeta1
      self.adamBeta2 = adamBeta2
      self.adamEpsilon = adamEpsilon
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

    /// Options that are left out have their defaults. `TrainingOptions.validate()` checks ranges.
    public init(
      perDeviceTrainBatchSize: Int = 8, perDeviceEvalBatchSize: Int = 8, gradientAccumulationSteps: Int = 1,
      numTrainEpochs: Double = 3.0, maxSteps: Int = -1, shuffle: Bool = true, seed: Int = 42, dataSeed: Int? = nil
    ) {
      self.perDeviceTrainBatchSize = perDeviceTrainBatchSize
      self.perDeviceEvalBatchSize = perDeviceEvalBatchSize
      self.gradientAccumulationSteps = gradientAccumulationSteps
      self.numTrainEpochs = numTrainEpochs
      self.maxSteps = maxSteps
      self.shuffle = shuffle
      self.seed = seed
      self.dataSeed = dataSeed
    }
  }

  /// How rows are cut.
  public struct Rows: Sendable, Equatable {
    /// Tokens of prompt and completion that are kept. pretrain: longer documents are cut into such pieces. At least 1.
    /// nil: all of them.
    public var maxLength: Int?
    /// Which end of a row longer than max_length is kept.
    public var truncationMode: TruncationMode

    /// Options that are left out have their defaults. `TrainingOptions.validate()` checks ranges.
    public init(
      maxLength: Int? = 1024, truncationMode: TruncationMode = .keepStart
    ) {
      self.maxLength = maxLength
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
    /// Arithmetic of the linear layers. Weights, sums and log-probs are fp32 in both; bf16 is faster on processors that
    /// have instructions for it and takes the time of fp32 elsewhere.
    public var precision: Precision
    /// Compute threads; 0: one a core. Results do not depend on it. 0 to 1024.
    public var threads: Int
    /// Refuse a run whose plan needs more MiB; 0: what the machine has free. At least 0.
    public var memoryLimitMb: Int
    /// Inner loops to compute with; auto: the best for this processor. Engines differ in the last bits of their
    /// results.
    public var engine: String

    /// Options that are left out have their defaults. `TrainingOptions.validate()` checks ranges.
    public init(
      gradientCheckpointing: Bool = false, precision: Precision = .fp32, threads: Int = 0, memoryLimitMb: Int = 0,
      engine: String = "auto"
    ) {
      self.gradientCheckpointing = gradientCheckpointing
      self.precision = precision
      self.threads = threads
      self.memoryLimitMb = memoryLimitMb
      self.engine = engine
    }
  }
}

extension TrainingOptions.Method {
  /// Name and summary of every method.
  package static let summaries = [
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
        .method, methods: ["dpo", "cpo", "online_dpo"], range: "0 to 1",
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
        .method, methods: ["dpo", "online_dpo"],
        "Coefficient of alpha_divergence.")),
    .real(
      "discopop_tau", \.method.discopopTau, 0...OptionField.any, open: true,
      OptionField.About(
        .method, methods: ["dpo", "online_dpo"], range: "more than 0",
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
        .reference, methods: ["dpo", "ranked", "kto", "bco"], range: "0 to 1",
        "TR-DPO: weight of the policy in the new reference model.")),
    .int(
      "ref_model_sync_steps", \.method.refModelSyncSteps, 1...OptionField.most,
      OptionField.About(
        .reference, methods: ["dpo", "ranked", "kto", "bco"], range: "at least 1",
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
    .int(
      "max_completion_length", \.method.maxCompletionLength, 1...OptionField.most,
      OptionField.About(
        .rollout, methods: ["ppo", "rloo", "grpo", "online_dpo"], range: "at least 1",
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
        "AdamW's decoupled weight decay. Biases and norms are exempt.")),
    .real(
      "adam_beta1", \.optimization.adamBeta1, 0...0.999999999,
      OptionField.About(
        .optimization, onResume: .noted, range: "0 to 0.999999999",
        "Decay of AdamW's first moment.")),
    .real(
      "adam_beta2", \.optimization.adamBeta2, 0...0.999999999,
      OptionField.About(
        .optimization, onResume: .noted, range: "0 to 0.999999999",
        "Decay of AdamW's second moment.")),
    .real(
      "adam_epsilon", \.optimization.adamEpsilon, 0...OptionField.any,
      OptionField.About(
        .optimization, onResume: .noted, range: "at least 0",
        "Added to AdamW's denominator.")),
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
        "Compute threads; 0: one a core. Results do not depend on it.")),
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
  ]
}
