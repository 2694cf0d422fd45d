import ArgumentParser
import DPO

struct Init: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Make a model with fresh weights, to be trained with `dpo train --method pretrain`.",
    discussion: "Weights are drawn as transformers draws them; equal sizes and seed give equal files.")

  @OptionGroup var flags: ShapeOptionFlags

  @Option(name: .shortAndLong, help: "Where the model goes: NAME.h5, or a Hugging Face directory.", completion: .file())
  var output: String

  @Flag(help: "One JSON document on stdout.")
  var json = false

  func validate() throws {
    guard flags.tokenizer != nil || flags.vocab != nil else { throw ValidationError("expected --tokenizer or --vocab") }
  }

  func run() throws {
    var shape = ModelShape()
    flags.apply(to: &shape)
    let model = try ModelFile.make(shape, tokenizer: flags.tokenizer.map(Tokenizer.open), seed: flags.seed)
    try model.save(to: output, overwrite: flags.overwrite)
    if json {
      printJSON([
        "output": .string(output), "architecture": .string(shape.family), "parameters": .int(model.parameterCount),
        "vocabulary": .int(model.configuration.vocabularySize),
      ])
    } else {
      print("wrote \(output): \(shape.family), \(model.parameterCount) parameters")
    }
  }
}
