import CDPO
import DPO
import DPOBase

// Section 3 of dpo.h, first half: the option table as a struct.

extension dpo_train_options {
  static var defaults: dpo_train_options {
    let values = TrainingOptions()
    var options = dpo_train_options()
    options.struct_size = MemoryLayout<dpo_train_options>.stride
    options.method = staticText("dpo")
    options.loss_type = staticText("sigmoid")
    options.beta = values.beta
    options.label_smoothing = values.labelSmoothing
    options.f_divergence_type = staticText("reverse_kl")
    options.f_alpha_divergence_coef = values.fAlphaDivergenceCoef
    options.discopop_tau = values.discopopTau
    options.ld_alpha = values.ldAlpha ?? .nan
    options.use_weighting = flag(values.useWeighting)
    options.reference_free = flag(values.referenceFree)
    options.completion_only_loss = flag(values.completionOnlyLoss)
    options.assistant_only_loss = flag(values.assistantOnlyLoss)
    options.packing = flag(values.packing)
    options.desirable_weight = values.desirableWeight
    options.undesirable_weight = values.undesirableWeight
    options.cpo_alpha = values.cpoAlpha
    options.simpo_gamma = values.simpoGamma
    options.alpha = values.alpha
    options.unlikelihood_alpha = values.unlikelihoodAlpha
    options.center_rewards_coefficient = values.centerRewardsCoefficient ?? .nan
    options.kl_coef = values.klCoef ?? .nan
    options.kl_estimator = staticText("k1")
    options.kl_target = values.klTarget ?? .nan
    options.kl_horizon = values.klHorizon
    options.max_kl = values.maxKl ?? .nan
    options.cliprange = values.cliprange
    options.cliprange_value = values.cliprangeValue
    options.vf_coef = values.vfCoef
    options.gamma = values.gamma
    options.lam = values.lam
    options.whiten_rewards = flag(values.whitenRewards)
    options.num_ppo_epochs = Int32(clamping: values.numPpoEpochs ?? 0)
    options.num_mini_batches = Int32(clamping: values.numMiniBatches)
    options.num_generations = Int32(clamping: values.numGenerations ?? 0)
    options.max_completion_length = Int32(clamping: values.maxCompletionLength)
    options.temperature = values.temperature ?? .nan
    options.missing_eos_penalty = values.missingEosPenalty ?? .nan
    options.learning_rate = values.learningRate ?? .nan
    options.lr_scheduler_type = staticText("linear")
    options.warmup_steps = values.warmupSteps
    options.weight_decay = values.weightDecay
    options.adam_beta1 = values.adamBeta1
    options.adam_beta2 = values.adamBeta2
    options.adam_epsilon = values.adamEpsilon
    options.max_grad_norm = values.maxGradNorm
    options.per_device_train_batch_size = Int32(clamping: values.perDeviceTrainBatchSize)
    options.per_device_eval_batch_size = Int32(clamping: values.perDeviceEvalBatchSize)
    options.gradient_accumulation_steps = Int32(clamping: values.gradientAccumulationSteps)
    options.num_train_epochs = values.numTrainEpochs
    options.max_steps = Int32(clamping: values.maxSteps)
    options.shuffle = flag(values.shuffle)
    options.seed = UInt32(clamping: values.seed)
    options.data_seed = Int64(values.dataSeed ?? -1)
    options.max_length = Int32(clamping: values.maxLength ?? 0)
    options.truncation_mode = staticText("keep_start")
    options.lora_r = Int32(clamping: values.loraR)
    options.lora_alpha = values.loraAlpha ?? .nan
    options.lora_dropout = values.loraDropout
    options.use_rslora = flag(values.useRslora)
    options.init_lora_weights = staticText("kaiming")
    options.disable_dropout = flag(values.disableDropout)
    options.precompute_ref_log_probs = flag(values.precomputeRefLogProbs)
    options.sync_ref_model = flag(values.syncRefModel)
    options.ref_model_mixup_alpha = values.refModelMixupAlpha
    options.ref_model_sync_steps = Int32(clamping: values.refModelSyncSteps)
    options.eval_steps = Int32(clamping: values.evalSteps)
    options.save_steps = Int32(clamping: values.saveSteps)
    options.save_total_limit = Int32(clamping: values.saveTotalLimit ?? 0)
    options.autosave_steps = Int32(clamping: values.autosaveSteps)
    options.overwrite_output_dir = flag(values.overwriteOutputDir)
    options.gradient_checkpointing = flag(values.gradientCheckpointing)
    options.precision = staticText("fp32")
    options.engine = staticText("auto")
    options.threads = Int32(clamping: values.threads)
    options.memory_limit_mb = Int32(clamping: values.memoryLimitMb)
    return options
  }

  private static func flag(_ value: Bool) -> Int32 { value ? 1 : 0 }

  /// The values by the names of the option table, which checks them.
  func trainingOptions() throws -> TrainingOptions {
    let weights = try array(loss_weights, loss_weight_count, "loss_weights")
    let values: [(name: String, value: JSON?)] = [
      ("method", try string(method, "method")),
      ("loss_type", try names(loss_type, "loss_type")),
      ("loss_weights", .array(weights.map(JSON.real))),
      ("beta", .real(beta)),
      ("label_smoothing", .real(label_smoothing)),
      ("f_divergence_type", try string(f_divergence_type, "f_divergence_type")),
      ("f_alpha_divergence_coef", .real(f_alpha_divergence_coef)),
      ("discopop_tau", .real(discopop_tau)),
      ("ld_alpha", optional(ld_alpha)),
      ("use_weighting", .bool(use_weighting != 0)),
      ("reference_free", .bool(reference_free != 0)),
      ("completion_only_loss", .bool(completion_only_loss != 0)),
      ("assistant_only_loss", .bool(assistant_only_loss != 0)), ("packing", .bool(packing != 0)),
      ("desirable_weight", .real(desirable_weight)),
      ("undesirable_weight", .real(undesirable_weight)),
      ("cpo_alpha", .real(cpo_alpha)),
      ("simpo_gamma", .real(simpo_gamma)),
      ("alpha", .real(alpha)),
      ("unlikelihood_alpha", .real(unlikelihood_alpha)),
      ("center_rewards_coefficient", optional(center_rewards_coefficient)),
      ("kl_coef", optional(kl_coef)),
      ("kl_estimator", try string(kl_estimator, "kl_estimator")),
      ("kl_target", optional(kl_target)),
      ("kl_horizon", .real(kl_horizon)),
      ("max_kl", optional(max_kl)),
      ("cliprange", .real(cliprange)),
      ("cliprange_value", .real(cliprange_value)),
      ("vf_coef", .real(vf_coef)),
      ("gamma", .real(gamma)),
      ("lam", .real(lam)),
      ("whiten_rewards", .bool(whiten_rewards != 0)),
      ("num_ppo_epochs", num_ppo_epochs == 0 ? .null : .int(Int(num_ppo_epochs))),
      ("num_mini_batches", .int(Int(num_mini_batches))),
      ("num_generations", num_generations == 0 ? .null : .int(Int(num_generations))),
      ("max_completion_length", .int(Int(max_completion_length))),
      ("temperature", optional(temperature)),
      ("missing_eos_penalty", optional(missing_eos_penalty)),
      ("learning_rate", optional(learning_rate)),
      ("lr_scheduler_type", try string(lr_scheduler_type, "lr_scheduler_type")),
      ("warmup_steps", .real(warmup_steps)),
      ("weight_decay", .real(weight_decay)),
      ("adam_beta1", .real(adam_beta1)),
      ("adam_beta2", .real(adam_beta2)),
      ("adam_epsilon", .real(adam_epsilon)),
      ("max_grad_norm", .real(max_grad_norm)),
      ("per_device_train_batch_size", .int(Int(per_device_train_batch_size))),
      ("per_device_eval_batch_size", .int(Int(per_device_eval_batch_size))),
      ("gradient_accumulation_steps", .int(Int(gradient_accumulation_steps))),
      ("num_train_epochs", .real(num_train_epochs)),
      ("max_steps", .int(Int(max_steps))),
      ("shuffle", .bool(shuffle != 0)),
      ("seed", .int(Int(seed))),
      ("data_seed", data_seed == -1 ? .null : .int(Int(data_seed))),
      ("max_length", max_length == 0 ? .null : .int(Int(max_length))),
      ("truncation_mode", try string(truncation_mode, "truncation_mode")),
      ("lora_r", .int(Int(lora_r))),
      ("lora_alpha", optional(lora_alpha)),
      ("lora_dropout", .real(lora_dropout)),
      ("lora_target_modules", try names(lora_target_modules, "lora_target_modules")),
      ("use_rslora", .bool(use_rslora != 0)),
      ("init_lora_weights", try string(init_lora_weights, "init_lora_weights")),
      ("disable_dropout", .bool(disable_dropout != 0)),
      ("precompute_ref_log_probs", .bool(precompute_ref_log_probs != 0)),
      ("sync_ref_model", .bool(sync_ref_model != 0)),
      ("ref_model_mixup_alpha", .real(ref_model_mixup_alpha)),
      ("ref_model_sync_steps", .int(Int(ref_model_sync_steps))),
      ("eval_steps", .int(Int(eval_steps))),
      ("save_steps", .int(Int(save_steps))),
      ("save_total_limit", save_total_limit == 0 ? .null : .int(Int(save_total_limit))),
      ("autosave_steps", .int(Int(autosave_steps))),
      ("overwrite_output_dir", .bool(overwrite_output_dir != 0)),
      ("gradient_checkpointing", .bool(gradient_checkpointing != 0)),
      ("precision", try string(precision, "precision")),
      ("engine", try string(engine, "engine")),
      ("threads", .int(Int(threads))),
      ("memory_limit_mb", .int(Int(memory_limit_mb))),
    ]
    var options = TrainingOptions()
    for (name, value) in values {
      if let value { try options.set(name, to: value) }
    }
    return options
  }

  /// NULL leaves the default.
  private func string(_ pointer: UnsafePointer<CChar>?, _ name: String) throws -> JSON? {
    try optionalText(pointer, name).map(JSON.string)
  }

  /// Names joined by commas.
  private func names(_ pointer: UnsafePointer<CChar>?, _ name: String) throws -> JSON? {
    try optionalText(pointer, name).map { text in
      .array(text.split(separator: ",").map { .string(String($0.drop { $0 == " " })) })
    }
  }

  /// NaN: unset.
  private func optional(_ value: Double) -> JSON { value.isNaN ? .null : .real(value) }
}

func trainingOptions(_ options: UnsafePointer<dpo_train_options>?) throws -> TrainingOptions {
  try dpo_train_options.read(options, defaults: .defaults).trainingOptions()
}

@_cdecl("dpo_train_options_init") @implementation
public func dpo_train_options_init(_ options: UnsafeMutablePointer<dpo_train_options>?, _ struct_size: Int) -> Int32 {
  withStatus { try dpo_train_options.write(.defaults, to: options, size: struct_size) }
}

/// Made once, kept for the life of the program.
private nonisolated(unsafe) let description: UnsafePointer<CChar>? = {
  let fields = TrainingOptions.fields.map { field -> JSON in
    [
      "name": .string(field.name), "type": .string(field.kind.name), "default": field.defaultValue,
      "choices": .array(field.choices.map(JSON.string)), "help": .string(field.help),
    ]
  }
  return UnsafePointer(try? copiedText(JSON.array(fields).description).text)
}()

extension OptionField.Kind {
  fileprivate var name: String {
    switch self {
    case .bool: "bool"
    case .int: "int"
    case .real: "float"
    case .string: "string"
    case .strings: "strings"
    case .reals: "floats"
    }
  }
}

@_cdecl("dpo_train_options_describe") @implementation
public func dpo_train_options_describe() -> UnsafePointer<CChar>? { description ?? staticText("[]") }
