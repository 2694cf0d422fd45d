import DPO
import Testing

/// The option table, and what Swift may set without it.
@Suite(.timeLimit(.minutes(5))) struct OptionTests {
  @Test func everyChoiceCanBeSetAndReadBack() throws {
    for field in TrainingOptions.fields where !field.choices.isEmpty {
      for choice in field.choices {
        var options = TrainingOptions()
        try options.set(field.name, to: field.kind == .strings ? .array([.string(choice)]) : .string(choice))
        let found = field.value(in: options)
        // Some optimisers have two names.
        let name = field.name == "optim" ? OptimizerName(rawValue: choice)?.rawValue : choice
        #expect(found.string == name || found == .array([.string(choice)]), "\(field.name)")
      }
      #expect(throws: DPOError.self) {
        var options = TrainingOptions()
        try options.set(field.name, to: "none of them")
      }
    }
  }

  @Test func choicesOfTheTableAreTheCasesOfTheTypes() throws {
    func check<Value: RawRepresentable<String> & CaseIterable>(_ name: String, _: Value.Type) throws {
      #expect(try #require(TrainingOptions.field(name)).choices == Value.allCases.map(\.rawValue), "\(name)")
    }
    try check("f_divergence_type", FDivergence.self)
    try check("kl_estimator", KLEstimator.self)
    try check("lr_scheduler_type", ScheduleKind.self)
    try check("truncation_mode", TruncationMode.self)
    try check("precision", Precision.self)
    try check("init_lora_weights", LoRAConfiguration.Initialization.self)
    #expect(try #require(TrainingOptions.field("engine")).choices == ["auto"] + Engine.names)
    let losses = try #require(TrainingOptions.field("loss_type")).choices
    #expect(Array(losses.prefix(LossType.allCases.count)) == LossType.allCases.map(\.rawValue))
    #expect(LossType.allCases.map(\.number) == Array(0..<Int32(LossType.allCases.count)))
  }

  @Test func everyMethodIsMadeOfItsDefaults() throws {
    let methods: [TrainingOptions.Method] = [
      .dpo(), .ranked(), .sft(), .pretrain(), .kto(), .bco(), .cpo(), .orpo(), .unlikelihood(), .reward(), .ppo(),
      .rloo(), .grpo(), .onlineDpo(),
    ]
    #expect(methods.map(\.name) == TrainingOptions.Method.names)
    for method in methods {
      let options = TrainingOptions(method: method)
      try options.validate()
      _ = try options.dataset()
      #expect(try TrainingOptions(json: options.json, file: "json") == options)
    }
  }

  @Test func optionsOfOtherMethodsAreRefusedByName() throws {
    var options = TrainingOptions(method: .sft())
    try options.set("beta", to: 0.5)
    let error = #expect(throws: DPOError.self) { try options.validate() }
    #expect(
      error?.message
        == "beta is 0.5, but method sft has no such option; it is one of dpo, ranked, kto, bco, cpo, orpo, online_dpo")
  }

  @Test func valuesOutOfRangeSetFromSwiftAreErrors() throws {
    let changes: [(String, (inout TrainingOptions) -> Void)] = [
      ("seed", { $0.batches.seed = -1 }), ("data_seed", { $0.batches.dataSeed = -5 }),
      ("num_mini_batches", { $0.method = .ppo(numMiniBatches: 0) }),
      ("ref_model_sync_steps", { $0.method = .dpo(syncRefModel: true, refModelSyncSteps: 0) }),
      ("per_device_train_batch_size", { $0.batches.perDeviceTrainBatchSize = 0 }),
      ("num_train_epochs", { $0.batches.numTrainEpochs = .nan }), ("threads", { $0.machine.threads = -1 }),
      ("lora_r", { $0.lora.rank = -1 }), ("beta", { $0.method = .dpo(beta: 0) }),
      ("engine", { $0.machine.engine = "abacus" }), ("max_length", { $0.rows.maxLength = 0 }),
    ]
    for (name, change) in changes {
      var options = TrainingOptions()
      change(&options)
      let error = #expect(throws: DPOError.self) { try options.dataset() }
      #expect(error?.code == .invalidArgument)
      #expect(error?.message.hasPrefix("\(name) is ") == true, "\(error?.message ?? "")")
    }
  }
}
