// Made by options/generate.py from the tables beside it: change those, and run `make options`.
// swift-format-ignore-file

import CDPO
import DPO
import DPOBase

extension dpo_loss_options: SizedStruct {
  static var name: String { "dpo_loss_options" }
  static var firstSize: Int { MemoryLayout<Self>.stride }

  static var defaults: dpo_loss_options {
    var options = dpo_loss_options()
    options.struct_size = MemoryLayout<dpo_loss_options>.stride
    options.beta = 0.1
    options.label_smoothing = 0.0
    options.discopop_tau = 0.05
    options.f_alpha_divergence_coef = 0.5
    return options
  }
}

extension dpo_loss_options: NamedStruct {
  static var fields: [NamedField<dpo_loss_options>] {
    var fields: [NamedField<dpo_loss_options>] = []
    fields.append(
      .real(
        "beta", \.beta,
        "β, how strongly the policy is held to the reference model: the smaller, the further it may go."))
    fields.append(
      .real(
        "label_smoothing", \.label_smoothing,
        "ε, the share of labels that are assumed to be swapped. For the losses exo_pair, which needs (0, 1), "
          + "robust, which needs [0, 0.5), aot, aot_unpaired and conservative."))
    fields.append(
      .real(
        "discopop_tau", \.discopop_tau,
        "Temperature of the discopop loss."))
    fields.append(
      .real(
        "f_alpha_divergence_coef", \.f_alpha_divergence_coef,
        "Coefficient of alpha_divergence."))
    fields.append(
      .number(
        "f_divergence", \.f_divergence, of: FDivergence.self,
        "The divergence from the reference model that the loss assumes. The paper's is reverse_kl."))
    fields.append(
      .bool(
        "reference_free", \.reference_free,
        "Reference log-probs count as 0, and may be left out."))
    fields.append(
      .numbers(
        "loss_types", \.loss_types, count: \.loss_count, none: [.sigmoid], of: LossType.self,
        "The losses, summed."))
    fields.append(
      .reals(
        "loss_weights", \.loss_weights, count: \.loss_count, beside: "loss_types",
        "Weight of each of the loss_types; empty: 1 each."))
    return fields
  }

  func check() throws { _ = try lossOptions() }
}

extension dpo_ppo_options: SizedStruct {
  static var name: String { "dpo_ppo_options" }
  static var firstSize: Int { MemoryLayout<Self>.stride }

  static var defaults: dpo_ppo_options {
    var options = dpo_ppo_options()
    options.struct_size = MemoryLayout<dpo_ppo_options>.stride
    options.cliprange = 0.2
    options.cliprange_value = 0.2
    options.vf_coef = 0.1
    return options
  }
}

extension dpo_ppo_options: NamedStruct {
  static var fields: [NamedField<dpo_ppo_options>] {
    var fields: [NamedField<dpo_ppo_options>] = []
    fields.append(
      .real(
        "cliprange", \.cliprange,
        "ε of PPO's clipped objective: how far the ratio π/π_old counts."))
    fields.append(
      .real(
        "cliprange_value", \.cliprange_value,
        "How far a value may move from the rollout's before the loss stops following."))
    fields.append(
      .real(
        "vf_coef", \.vf_coef,
        "Weight of the value function's loss."))
    return fields
  }

  func check() throws { try lossOptions().validate() }
}

extension dpo_train_options: SizedStruct {
  static var name: String { "dpo_train_options" }
  static var firstSize: Int { MemoryLayout<Self>.stride }

  static var defaults: dpo_train_options {
    var options = dpo_train_options()
    options.struct_size = MemoryLayout<dpo_train_options>.stride
    options.method = staticText("dpo")
    options.loss_type = staticText("sigmoid")
    options.beta = 0.1
    options.label_smoothing = 0.0
    options.f_divergence_type = staticText("reverse_kl")
    options.f_alpha_divergence_coef = 0.5
    options.discopop_tau = 0.05
    options.ld_alpha = .nan
    options.completion_only_loss = 1
    options.desirable_weight = 1.0
    options.undesirable_weight = 1.0
    options.cpo_alpha = 1.0
    options.simpo_gamma = 0.5
    options.alpha = 0.0
    options.unlikelihood_alpha = 1.0
    options.center_rewards_coefficient = .nan
    options.ref_model_mixup_alpha = 0.6
    options.ref_model_sync_steps = 512
    options.kl_coef = .nan
    options.kl_estimator = staticText("k1")
    options.kl_target = .nan
    options.kl_horizon = 10000.0
    options.max_kl = 200.0
    options.cliprange = 0.2
    options.cliprange_value = 0.2
    options.vf_coef = 0.1
    options.gamma = 1.0
    options.lam = 0.95
    options.num_mini_batches = 1
    options.temperature = .nan
    options.missing_eos_penalty = .nan
    options.learning_rate = .nan
    options.lr_scheduler_type = staticText("linear")
    options.warmup_steps = 0.0
    options.weight_decay = 0.0
    options.adam_beta1 = 0.9
    options.adam_beta2 = 0.999
    options.adam_epsilon = 1e-8
    options.optim = staticText("adamw_torch")
    options.optim_state_dtype = staticText("fp32")
    options.max_grad_norm = 1.0
    options.per_device_train_batch_size = 8
    options.per_device_eval_batch_size = 8
    options.gradient_accumulation_steps = 1
    options.num_train_epochs = 3.0
    options.max_steps = -1
    options.shuffle = 1
    options.seed = 42
    options.data_seed = -1
    options.max_length = 1024
    options.data_cache = staticText("auto")
    options.truncation_mode = staticText("keep_start")
    options.lora_alpha = .nan
    options.lora_dropout = 0.0
    options.init_lora_weights = staticText("kaiming")
    options.disable_dropout = 1
    options.save_steps = 500
    options.autosave_steps = -1
    options.precision = staticText("fp32")
    options.engine = staticText("auto")
    options.reproducible_sums = 1
    options.router_aux_loss_coef = .nan
    options.use_bias_correction_kl = 1
    return options
  }

  /// The values by the names of the option table, which checks them. NULL text is the default.
  func trainingOptions() throws -> TrainingOptions {
    var options = TrainingOptions()
    let values: [(name: String, value: JSON?)] = [
      ("method", try textValue(method, "method")),
      ("loss_type", try namesValue(loss_type, "loss_type")),
      ("loss_weights", .array(try array(loss_weights, loss_weight_count, "loss_weights").map(JSON.real))),
      ("beta", .real(beta)),
      ("label_smoothing", .real(label_smoothing)),
      ("f_divergence_type", try textValue(f_divergence_type, "f_divergence_type")),
      ("f_alpha_divergence_coef", .real(f_alpha_divergence_coef)),
      ("discopop_tau", .real(discopop_tau)),
      ("ld_alpha", ld_alpha.isNaN ? .null : .real(ld_alpha)),
      ("use_weighting", .bool(use_weighting != 0)),
      ("completion_only_loss", .bool(completion_only_loss != 0)),
      ("assistant_only_loss", .bool(assistant_only_loss != 0)),
      ("packing", .bool(packing != 0)),
      ("desirable_weight", .real(desirable_weight)),
      ("undesirable_weight", .real(undesirable_weight)),
      ("cpo_alpha", .real(cpo_alpha)),
      ("simpo_gamma", .real(simpo_gamma)),
      ("alpha", .real(alpha)),
      ("unlikelihood_alpha", .real(unlikelihood_alpha)),
      ("center_rewards_coefficient", center_rewards_coefficient.isNaN ? .null : .real(center_rewards_coefficient)),
      ("reference_free", .bool(reference_free != 0)),
      ("precompute_ref_log_probs", .bool(precompute_ref_log_probs != 0)),
      ("sync_ref_model", .bool(sync_ref_model != 0)),
      ("ref_model_mixup_alpha", .real(ref_model_mixup_alpha)),
      ("ref_model_sync_steps", .int(Int(ref_model_sync_steps))),
      ("kl_coef", kl_coef.isNaN ? .null : .real(kl_coef)),
      ("kl_estimator", try textValue(kl_estimator, "kl_estimator")),
      ("kl_target", kl_target.isNaN ? .null : .real(kl_target)),
      ("kl_horizon", .real(kl_horizon)),
      ("max_kl", max_kl.isNaN ? .null : .real(max_kl)),
      ("cliprange", .real(cliprange)),
      ("cliprange_value", .real(cliprange_value)),
      ("vf_coef", .real(vf_coef)),
      ("gamma", .real(gamma)),
      ("lam", .real(lam)),
      ("whiten_rewards", .bool(whiten_rewards != 0)),
      ("num_ppo_epochs", num_ppo_epochs == 0 ? .null : .int(Int(num_ppo_epochs))),
      ("num_mini_batches", .int(Int(num_mini_batches))),
      ("num_generations", num_generations == 0 ? .null : .int(Int(num_generations))),
      ("max_completion_length", max_completion_length == 0 ? .null : .int(Int(max_completion_length))),
      ("temperature", temperature.isNaN ? .null : .real(temperature)),
      ("missing_eos_penalty", missing_eos_penalty.isNaN ? .null : .real(missing_eos_penalty)),
      ("learning_rate", learning_rate.isNaN ? .null : .real(learning_rate)),
      ("lr_scheduler_type", try textValue(lr_scheduler_type, "lr_scheduler_type")),
      ("warmup_steps", .real(warmup_steps)),
      ("weight_decay", .real(weight_decay)),
      ("adam_beta1", .real(adam_beta1)),
      ("adam_beta2", .real(adam_beta2)),
      ("adam_epsilon", .real(adam_epsilon)),
      ("optim", try textValue(optim, "optim")),
      ("optim_args", try namesValue(optim_args, "optim_args")),
      ("optim_state_dtype", try textValue(optim_state_dtype, "optim_state_dtype")),
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
      ("data_cache", try textValue(data_cache, "data_cache")),
      ("truncation_mode", try textValue(truncation_mode, "truncation_mode")),
      ("lora_r", .int(Int(lora_r))),
      ("lora_alpha", lora_alpha.isNaN ? .null : .real(lora_alpha)),
      ("lora_dropout", .real(lora_dropout)),
      ("lora_target_modules", try namesValue(lora_target_modules, "lora_target_modules")),
      ("use_rslora", .bool(use_rslora != 0)),
      ("init_lora_weights", try textValue(init_lora_weights, "init_lora_weights")),
      ("disable_dropout", .bool(disable_dropout != 0)),
      ("eval_steps", .int(Int(eval_steps))),
      ("save_steps", .int(Int(save_steps))),
      ("save_total_limit", save_total_limit == 0 ? .null : .int(Int(save_total_limit))),
      ("autosave_steps", .int(Int(autosave_steps))),
      ("overwrite_output_dir", .bool(overwrite_output_dir != 0)),
      ("gradient_checkpointing", .bool(gradient_checkpointing != 0)),
      ("offload", try textValue(offload, "offload")),
      ("optimizer_in_backward", .bool(optimizer_in_backward != 0)),
      ("precision", try textValue(precision, "precision")),
      ("threads", .int(Int(threads))),
      ("memory_limit_mb", .int(Int(memory_limit_mb))),
      ("engine", try textValue(engine, "engine")),
      ("reproducible_sums", .bool(reproducible_sums != 0)),
      ("router_aux_loss_coef", router_aux_loss_coef.isNaN ? .null : .real(router_aux_loss_coef)),
      ("use_bias_correction_kl", .bool(use_bias_correction_kl != 0)),
    ]
    for (name, value) in values {
      if let value { try options.set(name, to: value) }
    }
    return options
  }
}

extension dpo_train_options: NamedStruct {
  static var fields: [NamedField<dpo_train_options>] {
    var fields: [NamedField<dpo_train_options>] = []
    func choices(_ name: String) -> [String] { TrainingOptions.field(name)?.choices ?? [] }
    func help(_ name: String) -> String { TrainingOptions.field(name)?.help ?? "" }
    fields.append(.text("method", \.method, choices: choices("method"), help("method")))
    fields.append(.names("loss_type", \.loss_type, choices: choices("loss_type"), help("loss_type")))
    fields.append(.reals("loss_weights", \.loss_weights, count: \.loss_weight_count, help("loss_weights")))
    fields.append(.real("beta", \.beta, help("beta")))
    fields.append(.real("label_smoothing", \.label_smoothing, help("label_smoothing")))
    fields.append(.text("f_divergence_type", \.f_divergence_type, choices: choices("f_divergence_type"), help("f_divergence_type")))
    fields.append(.real("f_alpha_divergence_coef", \.f_alpha_divergence_coef, help("f_alpha_divergence_coef")))
    fields.append(.real("discopop_tau", \.discopop_tau, help("discopop_tau")))
    fields.append(.real("ld_alpha", \.ld_alpha, unset: .nan, help("ld_alpha")))
    fields.append(.bool("use_weighting", \.use_weighting, help("use_weighting")))
    fields.append(.bool("completion_only_loss", \.completion_only_loss, help("completion_only_loss")))
    fields.append(.bool("assistant_only_loss", \.assistant_only_loss, help("assistant_only_loss")))
    fields.append(.bool("packing", \.packing, help("packing")))
    fields.append(.real("desirable_weight", \.desirable_weight, help("desirable_weight")))
    fields.append(.real("undesirable_weight", \.undesirable_weight, help("undesirable_weight")))
    fields.append(.real("cpo_alpha", \.cpo_alpha, help("cpo_alpha")))
    fields.append(.real("simpo_gamma", \.simpo_gamma, help("simpo_gamma")))
    fields.append(.real("alpha", \.alpha, help("alpha")))
    fields.append(.real("unlikelihood_alpha", \.unlikelihood_alpha, help("unlikelihood_alpha")))
    fields.append(.real("center_rewards_coefficient", \.center_rewards_coefficient, unset: .nan, help("center_rewards_coefficient")))
    fields.append(.bool("reference_free", \.reference_free, help("reference_free")))
    fields.append(.bool("precompute_ref_log_probs", \.precompute_ref_log_probs, help("precompute_ref_log_probs")))
    fields.append(.bool("sync_ref_model", \.sync_ref_model, help("sync_ref_model")))
    fields.append(.real("ref_model_mixup_alpha", \.ref_model_mixup_alpha, help("ref_model_mixup_alpha")))
    fields.append(.int("ref_model_sync_steps", \.ref_model_sync_steps, help("ref_model_sync_steps")))
    fields.append(.real("kl_coef", \.kl_coef, unset: .nan, help("kl_coef")))
    fields.append(.text("kl_estimator", \.kl_estimator, choices: choices("kl_estimator"), help("kl_estimator")))
    fields.append(.real("kl_target", \.kl_target, unset: .nan, help("kl_target")))
    fields.append(.real("kl_horizon", \.kl_horizon, help("kl_horizon")))
    fields.append(.real("max_kl", \.max_kl, unset: .nan, help("max_kl")))
    fields.append(.real("cliprange", \.cliprange, help("cliprange")))
    fields.append(.real("cliprange_value", \.cliprange_value, help("cliprange_value")))
    fields.append(.real("vf_coef", \.vf_coef, help("vf_coef")))
    fields.append(.real("gamma", \.gamma, help("gamma")))
    fields.append(.real("lam", \.lam, help("lam")))
    fields.append(.bool("whiten_rewards", \.whiten_rewards, help("whiten_rewards")))
    fields.append(.int("num_ppo_epochs", \.num_ppo_epochs, unset: 0, help("num_ppo_epochs")))
    fields.append(.int("num_mini_batches", \.num_mini_batches, help("num_mini_batches")))
    fields.append(.int("num_generations", \.num_generations, unset: 0, help("num_generations")))
    fields.append(.int("max_completion_length", \.max_completion_length, unset: 0, help("max_completion_length")))
    fields.append(.real("temperature", \.temperature, unset: .nan, help("temperature")))
    fields.append(.real("missing_eos_penalty", \.missing_eos_penalty, unset: .nan, help("missing_eos_penalty")))
    fields.append(.real("learning_rate", \.learning_rate, unset: .nan, help("learning_rate")))
    fields.append(.text("lr_scheduler_type", \.lr_scheduler_type, choices: choices("lr_scheduler_type"), help("lr_scheduler_type")))
    fields.append(.real("warmup_steps", \.warmup_steps, help("warmup_steps")))
    fields.append(.real("weight_decay", \.weight_decay, help("weight_decay")))
    fields.append(.real("adam_beta1", \.adam_beta1, help("adam_beta1")))
    fields.append(.real("adam_beta2", \.adam_beta2, help("adam_beta2")))
    fields.append(.real("adam_epsilon", \.adam_epsilon, help("adam_epsilon")))
    fields.append(.text("optim", \.optim, choices: choices("optim"), help("optim")))
    fields.append(.names("optim_args", \.optim_args, help("optim_args")))
    fields.append(.text("optim_state_dtype", \.optim_state_dtype, choices: choices("optim_state_dtype"), help("optim_state_dtype")))
    fields.append(.real("max_grad_norm", \.max_grad_norm, help("max_grad_norm")))
    fields.append(.int("per_device_train_batch_size", \.per_device_train_batch_size, help("per_device_train_batch_size")))
    fields.append(.int("per_device_eval_batch_size", \.per_device_eval_batch_size, help("per_device_eval_batch_size")))
    fields.append(.int("gradient_accumulation_steps", \.gradient_accumulation_steps, help("gradient_accumulation_steps")))
    fields.append(.real("num_train_epochs", \.num_train_epochs, help("num_train_epochs")))
    fields.append(.int("max_steps", \.max_steps, help("max_steps")))
    fields.append(.bool("shuffle", \.shuffle, help("shuffle")))
    fields.append(.int("seed", \.seed, help("seed")))
    fields.append(.int("data_seed", \.data_seed, unset: -1, help("data_seed")))
    fields.append(.int("max_length", \.max_length, unset: 0, help("max_length")))
    fields.append(.text("data_cache", \.data_cache, help("data_cache")))
    fields.append(.text("truncation_mode", \.truncation_mode, choices: choices("truncation_mode"), help("truncation_mode")))
    fields.append(.int("lora_r", \.lora_r, help("lora_r")))
    fields.append(.real("lora_alpha", \.lora_alpha, unset: .nan, help("lora_alpha")))
    fields.append(.real("lora_dropout", \.lora_dropout, help("lora_dropout")))
    fields.append(.names("lora_target_modules", \.lora_target_modules, help("lora_target_modules")))
    fields.append(.bool("use_rslora", \.use_rslora, help("use_rslora")))
    fields.append(.text("init_lora_weights", \.init_lora_weights, choices: choices("init_lora_weights"), help("init_lora_weights")))
    fields.append(.bool("disable_dropout", \.disable_dropout, help("disable_dropout")))
    fields.append(.int("eval_steps", \.eval_steps, help("eval_steps")))
    fields.append(.int("save_steps", \.save_steps, help("save_steps")))
    fields.append(.int("save_total_limit", \.save_total_limit, unset: 0, help("save_total_limit")))
    fields.append(.int("autosave_steps", \.autosave_steps, help("autosave_steps")))
    fields.append(.bool("overwrite_output_dir", \.overwrite_output_dir, help("overwrite_output_dir")))
    fields.append(.bool("gradient_checkpointing", \.gradient_checkpointing, help("gradient_checkpointing")))
    fields.append(.text("offload", \.offload, help("offload")))
    fields.append(.bool("optimizer_in_backward", \.optimizer_in_backward, help("optimizer_in_backward")))
    fields.append(.text("precision", \.precision, choices: choices("precision"), help("precision")))
    fields.append(.int("threads", \.threads, help("threads")))
    fields.append(.int("memory_limit_mb", \.memory_limit_mb, help("memory_limit_mb")))
    fields.append(.text("engine", \.engine, choices: choices("engine"), help("engine")))
    fields.append(.bool("reproducible_sums", \.reproducible_sums, help("reproducible_sums")))
    fields.append(.real("router_aux_loss_coef", \.router_aux_loss_coef, unset: .nan, help("router_aux_loss_coef")))
    fields.append(.bool("use_bias_correction_kl", \.use_bias_correction_kl, help("use_bias_correction_kl")))
    return fields
  }

  func check() throws { _ = try trainingOptions() }
}

extension dpo_generation_options: SizedStruct {
  static var name: String { "dpo_generation_options" }
  static var firstSize: Int { MemoryLayout<Self>.stride }

  static var defaults: dpo_generation_options {
    var options = dpo_generation_options()
    options.struct_size = MemoryLayout<dpo_generation_options>.stride
    options.max_new_tokens = 128
    options.temperature = 1.0
    options.top_p = 1.0
    options.min_p = 0.0
    options.seed = 42
    options.num_return_sequences = 1
    options.add_special_tokens = 1
    options.precision = staticText("fp32")
    return options
  }

  /// The values, unchecked; NULL text is the default.
  func generationOptions() throws -> GenerationOptions {
    var options = GenerationOptions()
    options.maxNewTokens = Int(max_new_tokens)
    options.temperature = temperature
    options.topK = Int(top_k)
    options.topP = top_p
    options.minP = min_p
    options.seed = seed
    options.completionsPerPrompt = Int(num_return_sequences)
    if let name = try optionalText(precision, "precision") {
      guard let value = Precision(rawValue: name) else {
        throw DPOError.argument("precision is \(DPOError.printable(name)), expected one of fp32, bf16")
      }
      options.precision = value
    }
    return options
  }
}

extension dpo_generation_options: NamedStruct {
  static var fields: [NamedField<dpo_generation_options>] {
    var fields: [NamedField<dpo_generation_options>] = []
    fields.append(
      .int(
        "max_new_tokens", \.max_new_tokens,
        "Most tokens of a completion."))
    fields.append(
      .real(
        "temperature", \.temperature,
        "Sampling temperature; 0: greedy."))
    fields.append(
      .int(
        "top_k", \.top_k,
        "Sample among so many of the likeliest tokens; 0: all."))
    fields.append(
      .real(
        "top_p", \.top_p,
        "Sample among the likeliest tokens that have this probability together; 1: all."))
    fields.append(
      .real(
        "min_p", \.min_p,
        "Leave out tokens less likely than this share of the likeliest one's probability; 0: none."))
    fields.append(
      .int(
        "seed", \.seed,
        "A completion depends on the seed and its indices alone, not on what else is in the batch."))
    fields.append(
      .int(
        "num_return_sequences", \.num_return_sequences,
        "Completions of each prompt."))
    fields.append(
      .bool(
        "add_special_tokens", \.add_special_tokens,
        "Off for prompts that a chat template wrote: they hold their special tokens already."))
    fields.append(
      .text(
        "precision", \.precision, choices: ["fp32", "bf16"],
        "Arithmetic of the products with weights; bf16 rounds both factors and reads half the bytes."))
    return fields
  }

  func check() throws { try generationOptions().validate() }
}

extension dpo_feedback_options: SizedStruct {
  static var name: String { "dpo_feedback_options" }
  static var firstSize: Int { MemoryLayout<Self>.stride }

  static var defaults: dpo_feedback_options {
    var options = dpo_feedback_options()
    options.struct_size = MemoryLayout<dpo_feedback_options>.stride
    options.replay = 0.0
    options.min_records = 8
    return options
  }

  /// The values, unchecked; NULL text is the default.
  func feedbackOptions() throws -> FeedbackOptions {
    var options = FeedbackOptions()
    options.maxSeconds = max_seconds == 0 ? nil : max_seconds
    options.replay = replay
    options.minRecords = Int(min_records)
    options.retrain = retrain != 0
    if let training { options.training = try DPOCABI.trainingOptions(training) }
    return options
  }
}

extension dpo_feedback_options: NamedStruct {
  static var fields: [NamedField<dpo_feedback_options>] {
    var fields: [NamedField<dpo_feedback_options>] = []
    fields.append(
      .real(
        "max_seconds", \.max_seconds, unset: 0,
        "Stop after so many seconds. What was learned is kept, and the next call goes on."))
    fields.append(
      .real(
        "replay", \.replay,
        "Older records that a session mixes in, drawn at random, for each new one; 1: as many old as new."))
    fields.append(
      .int(
        "min_records", \.min_records,
        "New records to wait for before a session begins."))
    fields.append(
      .bool(
        "retrain", \.retrain,
        "Start anew: a new adapter, to which every record is new."))
    return fields
  }

  func check() throws { try feedbackOptions().validate() }
}

extension dpo_tokenizer_options: SizedStruct {
  static var name: String { "dpo_tokenizer_options" }
  static var firstSize: Int { MemoryLayout<Self>.stride }

  static var defaults: dpo_tokenizer_options {
    var options = dpo_tokenizer_options()
    options.struct_size = MemoryLayout<dpo_tokenizer_options>.stride
    options.vocabulary_size = 8192
    options.minimum_frequency = 2
    options.pre_tokenizer = staticText("gpt2")
    return options
  }

  /// The values, unchecked; NULL text is the default.
  func trainerOptions() throws -> TokenizerTrainer.Options {
    var options = TokenizerTrainer.Options()
    options.vocabularySize = Int(vocabulary_size)
    options.minimumFrequency = Int(minimum_frequency)
    if let name = try optionalText(pre_tokenizer, "pre_tokenizer") {
      guard let value = TokenizerTrainer.WordSplit(rawValue: name) else {
        throw DPOError.argument("pre_tokenizer is \(DPOError.printable(name)), expected one of gpt2, smollm, llama3, qwen2")
      }
      options.wordSplit = value
    }
    if let text = try optionalText(chat_template, "chat_template") { options.chatTemplate = text }
    if let text = try optionalText(bos_token, "bos_token") { options.bosToken = text }
    if let text = try optionalText(eos_token, "eos_token") { options.eosToken = text }
    if let text = try optionalText(pad_token, "pad_token") { options.padToken = text }
    options.specialTokens = try texts(special_tokens, special_token_count, "special_tokens")
    return options
  }
}

extension dpo_tokenizer_options: NamedStruct {
  static var fields: [NamedField<dpo_tokenizer_options>] {
    var fields: [NamedField<dpo_tokenizer_options>] = []
    fields.append(
      .int(
        "vocabulary_size", \.vocabulary_size,
        "Tokens, special ones and the 256 bytes included. There are fewer where the text has no more pairs."))
    fields.append(
      .int(
        "minimum_frequency", \.minimum_frequency,
        "Pairs that occur less often become no token."))
    fields.append(
      .text(
        "pre_tokenizer", \.pre_tokenizer, choices: ["gpt2", "smollm", "llama3", "qwen2"],
        "How text is cut into words."))
    fields.append(
      .text(
        "chat_template", \.chat_template,
        "\"chatml\", or Jinja. chatml also makes <|im_end|> the token that ends answers."))
    fields.append(
      .text(
        "bos_token", \.bos_token,
        "Begins a sequence."))
    fields.append(
      .text(
        "eos_token", \.eos_token,
        "Ends documents and answers."))
    fields.append(
      .text(
        "pad_token", \.pad_token,
        "Fills up batches in other programs."))
    fields.append(
      .texts(
        "special_tokens", \.special_tokens, count: \.special_token_count,
        "More tokens that are never part of a word, in the order of their ids."))
    fields.append(
      .bool(
        "overwrite", \.overwrite,
        "Replace what stands there."))
    return fields
  }

  func check() throws { try trainerOptions().validate() }
}

extension dpo_model_shape: SizedStruct {
  static var name: String { "dpo_model_shape" }
  static var firstSize: Int { MemoryLayout<Self>.stride }

  static var defaults: dpo_model_shape {
    var options = dpo_model_shape()
    options.struct_size = MemoryLayout<dpo_model_shape>.stride
    options.family = staticText("llama")
    options.hidden_size = 256
    options.layers = 4
    options.context_length = 1024
    options.tie_word_embeddings = 1
    options.initializer_range = 0.02
    options.seed = 42
    return options
  }

  /// The values, unchecked; NULL text is the default.
  func modelShape() throws -> ModelShape {
    var options = ModelShape()
    if let text = try optionalText(family, "family") { options.family = text }
    options.vocabularySize = vocabulary_size == 0 ? nil : Int(vocabulary_size)
    options.hiddenSize = Int(hidden_size)
    options.layerCount = Int(layers)
    options.headCount = heads == 0 ? nil : Int(heads)
    options.keyValueHeadCount = kv_heads == 0 ? nil : Int(kv_heads)
    options.intermediateSize = intermediate_size == 0 ? nil : Int(intermediate_size)
    options.contextLength = Int(context_length)
    options.tiedHead = tie_word_embeddings != 0
    options.initializerRange = initializer_range
    return options
  }
}

extension dpo_model_shape: NamedStruct {
  static var fields: [NamedField<dpo_model_shape>] {
    var fields: [NamedField<dpo_model_shape>] = []
    fields.append(
      .text(
        "family", \.family,
        "Family of the model, by the model_type of Hugging Face's config.json."))
    fields.append(
      .text(
        "tokenizer", \.tokenizer,
        "A directory with tokenizer.json, or a model: the new model gets its tokenizer."))
    fields.append(
      .int(
        "vocabulary_size", \.vocabulary_size, unset: 0,
        "Tokens of the vocabulary."))
    fields.append(
      .int(
        "hidden_size", \.hidden_size,
        "Width of the hidden states."))
    fields.append(
      .int(
        "layers", \.layers,
        "Number of blocks."))
    fields.append(
      .int(
        "heads", \.heads, unset: 0,
        "Attention heads."))
    fields.append(
      .int(
        "kv_heads", \.kv_heads, unset: 0,
        "Heads of keys and values."))
    fields.append(
      .int(
        "intermediate_size", \.intermediate_size, unset: 0,
        "Width of the MLP."))
    fields.append(
      .int(
        "context_length", \.context_length,
        "Tokens that the model reads at most."))
    fields.append(
      .bool(
        "tie_word_embeddings", \.tie_word_embeddings,
        "The head is the token embedding."))
    fields.append(
      .real(
        "initializer_range", \.initializer_range,
        "Standard deviation of the weights."))
    fields.append(
      .int(
        "seed", \.seed,
        "Seed of the weights: equal shapes and seeds give equal files."))
    fields.append(
      .bool(
        "overwrite", \.overwrite,
        "Replace what stands there."))
    return fields
  }

  func check() throws { try modelShape().validate() }
}

extension dpo_export_options: SizedStruct {
  static var name: String { "dpo_export_options" }
  static var firstSize: Int { MemoryLayout<Self>.stride }

  static var defaults: dpo_export_options {
    var options = dpo_export_options()
    options.struct_size = MemoryLayout<dpo_export_options>.stride
    options.dtype = staticText("f32")
    return options
  }
}

extension dpo_export_options: NamedStruct {
  static var fields: [NamedField<dpo_export_options>] {
    var fields: [NamedField<dpo_export_options>] = []
    fields.append(
      .text(
        "adapter", \.adapter,
        "An adapter to put on the model."))
    fields.append(
      .text(
        "base", \.base,
        "The model of an adapter whose file names it no more."))
    fields.append(
      .text(
        "dtype", \.dtype, choices: ["f32", "f16", "bf16", "q8_0"],
        "Number format of the weights. q8_0 is for GGUF models only; HDF5 is always f32."))
    fields.append(
      .bool(
        "merge", \.merge,
        "Add the adapter into the weights."))
    fields.append(
      .bool(
        "overwrite", \.overwrite,
        "Replace what stands there."))
    return fields
  }

  func check() throws {}
}

extension dpo_train_options {
  /// Those of feedback.
  static var feedbackDefaults: dpo_train_options {
    var options = defaults
    options.learning_rate = 2e-4
    options.num_train_epochs = 4.0
    options.per_device_train_batch_size = 4
    options.lora_r = 16
    options.lora_alpha = 32.0
    options.lora_target_modules = staticText("all-linear")
    return options
  }
}
