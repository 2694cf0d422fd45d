import ArgumentParser
import DPO

struct Init: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Make a model with fresh weights, to be trained with `dpo train --method pretrain`.",
    discussion: "Weights are drawn as transformers draws them; equal sizes and seed give equal files.")

  @Option(help: ArgumentHelp("Family of the model: llama, mistral, qwen2, qwen3 or gpt2.", valueName: "FAMILY"))
  var like = "llama"

  @Option(help: "Directory with tokenizer.json, or a model, whose tokenizer the new model gets.")
  var tokenizer: String?

  @Option(help: ArgumentHelp("Tokens of the vocabulary; unset: the tokenizer's.", valueName: "N"))
  var vocab: Int?

  @Option(help: ArgumentHelp("Hidden size.", valueName: "N"))
  var hidden = ModelShape().hiddenSize

  @Option(help: ArgumentHelp("Number of layers.", valueName: "N"))
  var layers = ModelShape().layerCount

  @Option(help: ArgumentHelp("Attention heads; unset: one for every 64 of the hidden size.", valueName: "N"))
  var heads: Int?

  @Option(help: ArgumentHelp("Key and value heads; unset: as many as heads.", valueName: "N"))
  var kvHeads: Int?

  @Option(
    help: ArgumentHelp(
      "Width of the MLP; unset: 8/3 of the hidden size, rounded up to a multiple of 32 (gpt2: 4 times it).",
      valueName: "N"))
  var intermediate: Int?

  @Option(help: ArgumentHelp("Tokens that the model reads at most.", valueName: "N"))
  var context = ModelShape().contextLength

  @Flag(inversion: .prefixedNo, help: "Use the token embedding as the head.")
  var tie = true

  @Option(help: ArgumentHelp("Standard deviation of the weights.", valueName: "X"))
  var initializerRange = ModelShape().initializerRange

  @Option(help: ArgumentHelp("Seed of the weights.", valueName: "N"))
  var seed: UInt64 = 42

  @Option(name: .shortAndLong, help: "Where the model goes: NAME.h5, or a Hugging Face directory.")
  var output: String

  @Flag(help: "Replace what stands there.")
  var overwrite = false

  @Flag(help: "One JSON document on stdout.")
  var json = false

  func validate() throws {
    guard tokenizer != nil || vocab != nil else { throw ValidationError("expected --tokenizer or --vocab") }
  }

  func run() throws {
    var shape = ModelShape()
    shape.family = like
    shape.hiddenSize = hidden
    shape.layerCount = layers
    shape.headCount = heads
    shape.keyValueHeadCount = kvHeads
    shape.intermediateSize = intermediate
    shape.vocabularySize = vocab
    shape.contextLength = context
    shape.tiedHead = tie
    shape.initializerRange = initializerRange
    let model = try ModelFile.make(shape, tokenizer: tokenizer.map(Tokenizer.open), seed: seed)
    try model.save(to: output, overwrite: overwrite)
    if json {
      printJSON([
        "output": .string(output), "architecture": .string(like), "parameters": .int(model.parameterCount),
        "vocabulary": .int(model.configuration.vocabularySize),
      ])
    } else {
      print("wrote \(output): \(like), \(model.parameterCount) parameters")
    }
  }
}
