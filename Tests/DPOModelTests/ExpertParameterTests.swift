import DPOBase
import DPOKernels
import DPOModel
import DPOPlatform
import DPOStorage
import TestSupport
import Testing

/// Adapters of parameters that hold all experts of a block, as PEFT saves them (make_expert_parameters.py). That PEFT reads ours is
/// seen by Tests/peers/families.py.
@Suite(.timeLimit(.minutes(10))) struct ExpertParameterTests {
  static let names = ["olmoe", "qwen3_moe", "granitemoe", "gpt_oss"]

  private let directory: TemporaryDirectory
  private let file: (String) -> String

  init() throws {
    let directory = try TemporaryDirectory()
    (self.directory, file) = (directory, { "\(directory.path)/\($0)" })
    for name in ["model", "adapter"] { mkdir(file(name), 0o755) }
  }

  /// A family's golden adapter at "adapter", with other settings or tensors, beside its model at "model".
  private func write(
    _ name: String, settings changes: JSONObject = [:], change: (inout [GoldenFamily.Tensor]) -> Void = { _ in }
  ) throws -> (family: GoldenFamily, model: ModelFile, logps: JSON) {
    let golden = try #require(Fixtures.json("golden/expert_parameters.json")[name])
    let family = try GoldenFamily(name)
    try family.writeModel(file("model"))
    var settings = try #require(golden["settings"]?.object)
    settings["peft_type"] = "LORA"
    settings["task_type"] = "CAUSAL_LM"
    settings["base_model_name_or_path"] = .string(file("model"))
    try writeFile(file("adapter/adapter_config.json"), JSON.object(settings.with(changes)).pretty)
    var tensors = GoldenFamily.tensors(golden["tensors"])
    change(&tensors)
    try GoldenFamily.writeSafetensors(file("adapter/adapter_model.safetensors"), tensors)
    return (family, try ModelFile.open(file("model")), try #require(golden["logps"]))
  }

  private func expectScores(_ family: GoldenFamily, _ model: ModelFile, _ path: String, _ logps: JSON) throws {
    let adapter = try AdapterFile.open(path, for: model)
    let runner = ModelRunner(
      decoder: try Decoder(configuration: model.configuration, tensors: model.tensors, trainable: false),
      team: try ThreadTeam(threads: 2))
    let found = try runner.score(
      family.forest.forest,
      adapter: try LoRAAdapter(adapter.configuration, model: model.configuration, tensors: adapter.tensors))
    #expect(difference(found.logProbs, family.numbers(logps)).error < 2e-4, "\(path)")
  }

  @Test(arguments: names) func scoresArePEFTs(name: String) throws {
    let (family, model, logps) = try write(name)
    try expectScores(family, model, file("adapter"), logps)
    // By way of the other formats, and of ours of each expert's layers back into one of all.
    for (format, output) in [(ExportFormat.hdf5, "a.h5"), (.peft, "peft"), (.ggufLoRA, "a.gguf")] {
      try ModelFile.export(input: file("model"), adapter: file("adapter"), to: format, output: file(output))
      try expectScores(family, model, file(output), logps)
    }
  }

  @Test(arguments: ["granitemoe", "gpt_oss"]) func weWriteThemAsPEFTDoes(name: String) throws {
    let (_, model, _) = try write(name)
    try ModelFile.export(input: file("model"), adapter: file("adapter"), to: .peft, output: file("peft"))
    func shapes(_ directory: String) throws -> [String: [Int]] {
      Dictionary(
        try SafetensorsFile(file("\(directory)/adapter_model.safetensors")).tensors.map { ($0.name, $0.shape) },
        uniquingKeysWith: { first, _ in first })
    }
    var expected = try shapes("adapter")
    // Gate and up, whose A we have twice, have both ranks.
    for (tensor, shape) in expected where tensor.contains("experts.base_layer.lora_A") {
      expected[tensor] = [2 * shape[0], shape[1]]
      let b = tensor.replacing("lora_A", with: "lora_B")
      let other = try #require(expected[b])
      expected[b] = [other[0], 2 * other[1]]
    }
    #expect(try shapes("peft") == expected)
    let settings = try JSON.parse(readFile(file("peft/adapter_config.json"), limit: 1 << 20), file: "config")
    let path = name == "gpt_oss" ? "model.layers.0.mlp.experts" : "model.layers.0.block_sparse_moe.experts"
    #expect(
      settings["target_parameters"]?.array?.prefix(2) == [
        .string("\(path).gate_up_proj"), .string("\(path).down_proj"),
      ])
    #expect(settings["rank_pattern"]?["\(path).gate_up_proj"] == 6)
    #expect(settings["rank_pattern"]?["\(path).down_proj"] == 2)
    #expect(settings["target_modules"]?.array?.count == model.configuration.layerCount)
  }

  @Test func whatCannotBeReadIsRefused() throws {
    func refusal(
      settings: JSONObject = [:], change: (inout [GoldenFamily.Tensor]) -> Void = { _ in }
    ) throws -> String {
      let (_, model, _) = try write("granitemoe", settings: settings, change: change)
      do {
        _ = try AdapterFile.open(file("adapter"), for: model)
        return "none"
      } catch let error as DPOError {
        return error.message
      }
    }
    #expect(try refusal() == "none")
    #expect(
      try refusal(settings: ["target_parameters": ["router.weight"]]).contains(
        "LoRA on router.weight is not supported, only on the experts of a mixture"))
    #expect(try refusal(settings: ["target_parameters": 7]).contains("target_parameters: expected a list of names"))
    #expect(
      try refusal(settings: ["target_parameters": ["experts.down_proj"]]).contains("does not belong to a module"))
    #expect(try refusal(settings: ["rank_pattern": [:]]).contains("6 experts of rank 3"))
    #expect(
      try refusal { tensors in tensors.removeAll { $0.name.contains("layers.1") && $0.name.contains("experts.lora_B") }
      }
      .contains("layers.1.block_sparse_moe.experts.lora_B.weight is missing"))
    #expect(
      try refusal { tensors in
        tensors[0].shape = [tensors[0].shape[0] / 2, tensors[0].shape[1] * 2]
      }.contains("but adapter_config.json and the model ask for 6 experts of rank"))
  }
}
