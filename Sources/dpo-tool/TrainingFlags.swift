import ArgumentParser
import DPO

/// Every option of a run as a flag. Name, default, range and help come from the option table (`TrainingOptions.fields`);
/// a test compares the two.
struct TrainingFlags: ParsableArguments {
  @Option(name: .customLong("method"), help: optionHelp("method"), transform: optionValue("method"))
  var method: JSON?
  @Option(name: .customLong("loss-type"), help: optionHelp("loss_type"), transform: optionValue("loss_type"))
  var lossType: JSON?
  @Option(name: .customLong("loss-weights"), help: optionHelp("loss_weights"), transform: optionValue("loss_weights"))
  var lossWeights: JSON?
  @Option(name: .customLong("beta"), help: optionHelp("beta"), transform: optionValue("beta"))
  var beta: JSON?
  @Option(
    name: .customLong("label-smoothing"), help: optionHelp("label_smoothing"), transform: optionValue("label_smoothing")
  )
  var labelSmoothing: JSON?
  @Option(
    name: .customLong("f-divergence-type"), help: optionHelp("f_divergence_type"),
    transform: optionValue("f_divergence_type"))
  var fDivergenceType: JSON?
  @Option(
    name: .customLong("f-alpha-divergence-coef"), help: optionHelp("f_alpha_divergence_coef"),
    transform: optionValue("f_alpha_divergence_coef"))
  var fAlphaDivergenceCoef: JSON?
  @Option(name: .customLong("discopop-tau"), help: optionHelp("discopop_tau"), transform: optionValue("discopop_tau"))
  var discopopTau: JSON?
  @Option(name: .customLong("ld-alpha"), help: optionHelp("ld_alpha"), transform: optionValue("ld_alpha"))
  var ldAlpha: JSON?
  @Flag(name: .customLong("use-weighting"), inversion: .prefixedNo, help: optionHelp("use_weighting"))
  var useWeighting: Bool?
  @Flag(name: .customLong("reference-free"), inversion: .prefixedNo, help: optionHelp("reference_free"))
  var referenceFree: Bool?
  @Flag(name: .customLong("completion-only-loss"), inversion: .prefixedNo, help: optionHelp("completion_only_loss"))
  var completionOnlyLoss: Bool?
  @Flag(name: .customLong("assistant-only-loss"), inversion: .prefixedNo, help: optionHelp("assistant_only_loss"))
  var assistantOnlyLoss: Bool?
  @Flag(name: .customLong("packing"), inversion: .prefixedNo, help: optionHelp("packing"))
  var packing: Bool?
  @Option(
    name: .customLong("desirable-weight"), help: optionHelp("desirable_weight"),
    transform: optionValue("desirable_weight"))
  var desirableWeight: JSON?
  @Option(
    name: .customLong("undesirable-weight"), help: optionHelp("undesirable_weight"),
    transform: optionValue("undesirable_weight"))
  var undesirableWeight: JSON?
  @Option(name: .customLong("cpo-alpha"), help: optionHelp("cpo_alpha"), transform: optionValue("cpo_alpha"))
  var cpoAlpha: JSON?
  @Option(name: .customLong("simpo-gamma"), help: optionHelp("simpo_gamma"), transform: optionValue("simpo_gamma"))
  var simpoGamma: JSON?
  @Option(name: .customLong("alpha"), help: optionHelp("alpha"), transform: optionValue("alpha"))
  var alpha: JSON?
  @Option(
    name: .customLong("unlikelihood-alpha"), help: optionHelp("unlikelihood_alpha"),
    transform: optionValue("unlikelihood_alpha"))
  var unlikelihoodAlpha: JSON?
  @Option(
    name: .customLong("center-rewards-coefficient"), help: optionHelp("center_rewards_coefficient"),
    transform: optionValue("center_rewards_coefficient"))
  var centerRewardsCoefficient: JSON?
  @Option(name: .customLong("kl-coef"), help: optionHelp("kl_coef"), transform: optionValue("kl_coef"))
  var klCoef: JSON?
  @Option(name: .customLong("kl-estimator"), help: optionHelp("kl_estimator"), transform: optionValue("kl_estimator"))
  var klEstimator: JSON?
  @Option(name: .customLong("kl-target"), help: optionHelp("kl_target"), transform: optionValue("kl_target"))
  var klTarget: JSON?
  @Option(name: .customLong("kl-horizon"), help: optionHelp("kl_horizon"), transform: optionValue("kl_horizon"))
  var klHorizon: JSON?
  @Option(name: .customLong("max-kl"), help: optionHelp("max_kl"), transform: optionValue("max_kl"))
  var maxKl: JSON?
  @Option(name: .customLong("cliprange"), help: optionHelp("cliprange"), transform: optionValue("cliprange"))
  var cliprange: JSON?
  @Option(
    name: .customLong("cliprange-value"), help: optionHelp("cliprange_value"),
    transform: optionValue("cliprange_value"))
  var cliprangeValue: JSON?
  @Option(name: .customLong("vf-coef"), help: optionHelp("vf_coef"), transform: optionValue("vf_coef"))
  var vfCoef: JSON?
  @Option(name: .customLong("gamma"), help: optionHelp("gamma"), transform: optionValue("gamma"))
  var gamma: JSON?
  @Option(name: .customLong("lam"), help: optionHelp("lam"), transform: optionValue("lam"))
  var lam: JSON?
  @Flag(name: .customLong("whiten-rewards"), inversion: .prefixedNo, help: optionHelp("whiten_rewards"))
  var whitenRewards: Bool?
  @Option(
    name: .customLong("num-ppo-epochs"), help: optionHelp("num_ppo_epochs"),
    transform: optionValue("num_ppo_epochs"))
  var numPpoEpochs: JSON?
  @Option(
    name: .customLong("num-mini-batches"), help: optionHelp("num_mini_batches"),
    transform: optionValue("num_mini_batches"))
  var numMiniBatches: JSON?
  @Option(
    name: .customLong("num-generations"), help: optionHelp("num_generations"),
    transform: optionValue("num_generations"))
  var numGenerations: JSON?
  @Option(
    name: .customLong("max-completion-length"), help: optionHelp("max_completion_length"),
    transform: optionValue("max_completion_length"))
  var maxCompletionLength: JSON?
  @Option(name: .customLong("temperature"), help: optionHelp("temperature"), transform: optionValue("temperature"))
  var temperature: JSON?
  @Option(
    name: .customLong("missing-eos-penalty"), help: optionHelp("missing_eos_penalty"),
    transform: optionValue("missing_eos_penalty"))
  var missingEosPenalty: JSON?
  @Option(
    name: .customLong("learning-rate"), help: optionHelp("learning_rate"), transform: optionValue("learning_rate"))
  var learningRate: JSON?
  @Option(
    name: .customLong("lr-scheduler-type"), help: optionHelp("lr_scheduler_type"),
    transform: optionValue("lr_scheduler_type"))
  var lrSchedulerType: JSON?
  @Option(name: .customLong("warmup-steps"), help: optionHelp("warmup_steps"), transform: optionValue("warmup_steps"))
  var warmupSteps: JSON?
  @Option(name: .customLong("weight-decay"), help: optionHelp("weight_decay"), transform: optionValue("weight_decay"))
  var weightDecay: JSON?
  @Option(name: .customLong("adam-beta1"), help: optionHelp("adam_beta1"), transform: optionValue("adam_beta1"))
  var adamBeta1: JSON?
  @Option(name: .customLong("adam-beta2"), help: optionHelp("adam_beta2"), transform: optionValue("adam_beta2"))
  var adamBeta2: JSON?
  @Option(name: .customLong("adam-epsilon"), help: optionHelp("adam_epsilon"), transform: optionValue("adam_epsilon"))
  var adamEpsilon: JSON?
  @Option(
    name: .customLong("max-grad-norm"), help: optionHelp("max_grad_norm"), transform: optionValue("max_grad_norm"))
  var maxGradNorm: JSON?
  @Option(
    name: .customLong("per-device-train-batch-size"), help: optionHelp("per_device_train_batch_size"),
    transform: optionValue("per_device_train_batch_size"))
  var perDeviceTrainBatchSize: JSON?
  @Option(
    name: .customLong("per-device-eval-batch-size"), help: optionHelp("per_device_eval_batch_size"),
    transform: optionValue("per_device_eval_batch_size"))
  var perDeviceEvalBatchSize: JSON?
  @Option(
    name: .customLong("gradient-accumulation-steps"), help: optionHelp("gradient_accumulation_steps"),
    transform: optionValue("gradient_accumulation_steps"))
  var gradientAccumulationSteps: JSON?
  @Option(
    name: .customLong("num-train-epochs"), help: optionHelp("num_train_epochs"),
    transform: optionValue("num_train_epochs"))
  var numTrainEpochs: JSON?
  @Option(name: .customLong("max-steps"), help: optionHelp("max_steps"), transform: optionValue("max_steps"))
  var maxSteps: JSON?
  @Flag(name: .customLong("shuffle"), inversion: .prefixedNo, help: optionHelp("shuffle"))
  var shuffle: Bool?
  @Option(name: .customLong("seed"), help: optionHelp("seed"), transform: optionValue("seed"))
  var seed: JSON?
  @Option(name: .customLong("data-seed"), help: optionHelp("data_seed"), transform: optionValue("data_seed"))
  var dataSeed: JSON?
  @Option(name: .customLong("max-length"), help: optionHelp("max_length"), transform: optionValue("max_length"))
  var maxLength: JSON?
  @Option(
    name: .customLong("truncation-mode"), help: optionHelp("truncation_mode"), transform: optionValue("truncation_mode")
  )
  var truncationMode: JSON?
  @Option(name: .customLong("lora-r"), help: optionHelp("lora_r"), transform: optionValue("lora_r"))
  var loraR: JSON?
  @Option(name: .customLong("lora-alpha"), help: optionHelp("lora_alpha"), transform: optionValue("lora_alpha"))
  var loraAlpha: JSON?
  @Option(name: .customLong("lora-dropout"), help: optionHelp("lora_dropout"), transform: optionValue("lora_dropout"))
  var loraDropout: JSON?
  @Option(
    name: .customLong("lora-target-modules"), help: optionHelp("lora_target_modules"),
    transform: optionValue("lora_target_modules"))
  var loraTargetModules: JSON?
  @Flag(name: .customLong("use-rslora"), inversion: .prefixedNo, help: optionHelp("use_rslora"))
  var useRslora: Bool?
  @Option(
    name: .customLong("init-lora-weights"), help: optionHelp("init_lora_weights"),
    transform: optionValue("init_lora_weights"))
  var initLoraWeights: JSON?
  @Flag(name: .customLong("disable-dropout"), inversion: .prefixedNo, help: optionHelp("disable_dropout"))
  var disableDropout: Bool?
  @Flag(
    name: .customLong("precompute-ref-log-probs"), inversion: .prefixedNo, help: optionHelp("precompute_ref_log_probs"))
  var precomputeRefLogProbs: Bool?
  @Flag(name: .customLong("sync-ref-model"), inversion: .prefixedNo, help: optionHelp("sync_ref_model"))
  var syncRefModel: Bool?
  @Option(
    name: .customLong("ref-model-mixup-alpha"), help: optionHelp("ref_model_mixup_alpha"),
    transform: optionValue("ref_model_mixup_alpha"))
  var refModelMixupAlpha: JSON?
  @Option(
    name: .customLong("ref-model-sync-steps"), help: optionHelp("ref_model_sync_steps"),
    transform: optionValue("ref_model_sync_steps"))
  var refModelSyncSteps: JSON?
  @Option(name: .customLong("eval-steps"), help: optionHelp("eval_steps"), transform: optionValue("eval_steps"))
  var evalSteps: JSON?
  @Option(name: .customLong("save-steps"), help: optionHelp("save_steps"), transform: optionValue("save_steps"))
  var saveSteps: JSON?
  @Option(
    name: .customLong("save-total-limit"), help: optionHelp("save_total_limit"),
    transform: optionValue("save_total_limit"))
  var saveTotalLimit: JSON?
  @Option(
    name: .customLong("autosave-steps"), help: optionHelp("autosave_steps"), transform: optionValue("autosave_steps"))
  var autosaveSteps: JSON?
  @Flag(name: .customLong("overwrite-output-dir"), inversion: .prefixedNo, help: optionHelp("overwrite_output_dir"))
  var overwriteOutputDir: Bool?
  @Flag(name: .customLong("gradient-checkpointing"), inversion: .prefixedNo, help: optionHelp("gradient_checkpointing"))
  var gradientCheckpointing: Bool?
  @Option(name: .customLong("precision"), help: optionHelp("precision"), transform: optionValue("precision"))
  var precision: JSON?
  @Option(name: .customLong("engine"), help: optionHelp("engine"), transform: optionValue("engine"))
  var engine: JSON?
  @Option(name: .customLong("threads"), help: optionHelp("threads"), transform: optionValue("threads"))
  var threads: JSON?
  @Option(
    name: .customLong("memory-limit-mb"), help: optionHelp("memory_limit_mb"), transform: optionValue("memory_limit_mb")
  )
  var memoryLimitMb: JSON?

  /// The flags that were given, by option name.
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
      ("reference_free", referenceFree.map(JSON.bool)),
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
      ("learning_rate", learningRate),
      ("lr_scheduler_type", lrSchedulerType),
      ("warmup_steps", warmupSteps),
      ("weight_decay", weightDecay),
      ("adam_beta1", adamBeta1),
      ("adam_beta2", adamBeta2),
      ("adam_epsilon", adamEpsilon),
      ("max_grad_norm", maxGradNorm),
      ("per_device_train_batch_size", perDeviceTrainBatchSize),
      ("per_device_eval_batch_size", perDeviceEvalBatchSize),
      ("gradient_accumulation_steps", gradientAccumulationSteps),
      ("num_train_epochs", numTrainEpochs),
      ("max_steps", maxSteps),
      ("shuffle", shuffle.map(JSON.bool)),
      ("seed", seed),
      ("data_seed", dataSeed),
      ("max_length", maxLength),
      ("truncation_mode", truncationMode),
      ("lora_r", loraR),
      ("lora_alpha", loraAlpha),
      ("lora_dropout", loraDropout),
      ("lora_target_modules", loraTargetModules),
      ("use_rslora", useRslora.map(JSON.bool)),
      ("init_lora_weights", initLoraWeights),
      ("disable_dropout", disableDropout.map(JSON.bool)),
      ("precompute_ref_log_probs", precomputeRefLogProbs.map(JSON.bool)),
      ("sync_ref_model", syncRefModel.map(JSON.bool)),
      ("ref_model_mixup_alpha", refModelMixupAlpha),
      ("ref_model_sync_steps", refModelSyncSteps),
      ("eval_steps", evalSteps),
      ("save_steps", saveSteps),
      ("save_total_limit", saveTotalLimit),
      ("autosave_steps", autosaveSteps),
      ("overwrite_output_dir", overwriteOutputDir.map(JSON.bool)),
      ("gradient_checkpointing", gradientCheckpointing.map(JSON.bool)),
      ("precision", precision),
      ("engine", engine),
      ("threads", threads),
      ("memory_limit_mb", memoryLimitMb),
    ]
    return all.compactMap { name, value in value.map { (name, $0) } }
  }

  func options() throws -> TrainingOptions {
    var options = TrainingOptions()
    for (name, value) in given { try options.set(name, to: value) }
    if options.threads > ThreadTeam.availableProcessors {
      Terminal.tell(
        "\(options.threads) threads on \(ThreadTeam.availableProcessors) processors: they will wait for each other")
    }
    return options
  }
}

/// Help of an option: what it does, what it may be, and its default.
private func optionHelp(_ name: String) -> ArgumentHelp {
  guard let field = TrainingOptions.field(name) else { return "" }
  var text = field.help
  if !field.choices.isEmpty { text += " (\(field.choices.joined(separator: ", ")))" }
  let value = field.defaultValue
  switch value {
  case .null, .array([]): break
  case .array(let items): text += " (default: \(items.map { $0.string ?? $0.description }.joined(separator: ",")))"
  case .string(let text_): text += " (default: \(text_))"
  case .bool(let flag): text += " (default: \(flag ? "on" : "off"))"
  default: text += " (default: \(value))"
  }
  let kind: String
  switch field.kind {
  case .bool: kind = ""
  case .int: kind = "N"
  case .real: kind = "X"
  case .string: kind = "NAME"
  case .strings: kind = "NAME,…"
  case .reals: kind = "X,…"
  }
  return ArgumentHelp(stringLiteral: text).named(kind)
}

extension ArgumentHelp {
  fileprivate func named(_ name: String) -> ArgumentHelp {
    var copy = self
    if !name.isEmpty { copy.valueName = name }
    return copy
  }
}

/// Reads a flag's text as the option's kind; "none" unsets an option that may be unset.
private func optionValue(_ name: String) -> @Sendable (String) throws -> JSON {
  { text in
    guard let field = TrainingOptions.field(name) else { throw DPOError.argument("there is no option \(name)") }
    let items = text.split(separator: ",").map { $0.trimmingBlanks }
    let value: JSON
    switch field.kind {
    case .bool: value = .bool(text == "true")
    case .int: value = Int(text).map(JSON.int) ?? (text == "none" ? .null : .string(text))
    case .real: value = Double(text).map(JSON.real) ?? (text == "none" ? .null : .string(text))
    case .string: value = .string(text)
    case .strings: value = .array(items.map(JSON.string))
    case .reals: value = .array(items.map { Double($0).map(JSON.real) ?? .string($0) })
    }
    var scratch = TrainingOptions()
    do { try scratch.set(name, to: value) } catch let error as DPOError { throw ValidationError(error.message) }
    return value
  }
}

extension Substring {
  fileprivate var trimmingBlanks: String {
    String(drop { $0 == " " }.reversed().drop { $0 == " " }.reversed())
  }
}
