import DPOBase
import DPOModel
import DPOStorage
import DPOTensor
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(10))) struct AdapterFileTests {
  @Test(arguments: ["llama-tied", "llama-untied", "mistral", "qwen2", "qwen3", "gpt2", "llama-biased"])
  func anAdapterThatPEFTWroteFitsItsModel(name: String) throws {
    let model = try ModelFile.open(Fixtures.path("models/\(name)")).configuration
    let file = try AdapterFile.open(Fixtures.path("adapters/\(name)-random"), for: model)
    #expect(try file.tensors.count == 2 * file.configuration.resolve(model).count)
    #expect(file.basePath?.hasSuffix(name) == true)
    _ = try LoRAAdapter(file.configuration, model: model, tensors: file.tensors)
  }

  @Test func anAdapterOfAnotherModelIsRefused() throws {
    let model = try ModelFile.open(Fixtures.path("models/gpt2")).configuration
    #expect(throws: DPOError.self) { try AdapterFile.open(Fixtures.path("adapters/qwen3-random"), for: model) }
    let llama = try ModelFile.open(Fixtures.path("models/llama-tied")).configuration
    let error = #expect(throws: DPOError.self) {
      try AdapterFile.open(Fixtures.path("hdf5/gpt2-adapter.h5"), for: llama)
    }
    #expect(error?.message.contains("gpt2") == true)
  }

  @Test(
    arguments: [
      ("use_dora", JSON.bool(true)), ("bias", "all"), ("lora_bias", true), ("layer_replication", [[0, 1]]),
      ("target_parameters", ["x"]), ("trainable_token_indices", [1]), ("modules_to_save", ["lm_head"]),
      ("init_lora_weights", "pissa"), ("peft_type", "IA3"), ("task_type", "TOKEN_CLS"), ("r", 0), ("r", .null),
      ("lora_alpha", "x"), ("target_modules", []), ("rank_pattern", ["q_proj": 0]),
    ] as [(String, JSON)])
  func settingsThatLibdpoDoesNotKnowAreRefusedByName(key: String, value: JSON) throws {
    let source = Fixtures.path("adapters/llama-tied-random")
    let directory = try TemporaryDirectory()
    var settings = try #require(Fixtures.json("adapters/llama-tied-random/adapter_config.json").object)
    settings[key] = value
    try writeFile(directory.path + "/adapter_config.json", JSON.object(settings).pretty)
    let weights = try readFile(source + "/adapter_model.safetensors", limit: 1 << 24)
    let copy = try AtomicFile(directory.path + "/adapter_model.safetensors")
    try weights.withUnsafeBytes { try copy.write($0) }
    try copy.commit()
    let model = try ModelFile.open(Fixtures.path("models/llama-tied")).configuration
    let error = #expect(throws: DPOError.self) { try AdapterFile.open(directory.path, for: model) }
    #expect(error?.message.contains(key) == true, "\(error?.message ?? "")")
  }
}
