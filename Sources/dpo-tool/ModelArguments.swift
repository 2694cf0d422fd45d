import ArgumentParser
import DPO

/// A model on the command line, with an adapter on it.
struct ModelArguments: ParsableArguments {
  @Argument(help: "GGUF file, Hugging Face directory or HDF5 file.", completion: .file())
  var model: String

  @Option(help: "Adapter on the model: PEFT directory, HDF5 file or GGUF LoRA.", completion: .file())
  var adapter: String?

  @Option(help: ArgumentHelp("Compute threads; 0: one a core.", valueName: "N"))
  var threads = 0

  @Option(
    help: ArgumentHelp(
      "Inner loops to compute with: \(Engine.names.joined(separator: ", ")); auto: the best for this processor.",
      valueName: "NAME"))
  var engine = "auto"

  @OptionGroup var mapping: MappingFlags

  func open() throws -> LanguageModel {
    try LanguageModel(
      path: model, adapter: adapter, threads: threads, engine: Engine(named: engine), inMemory: mapping.noMmap)
  }
}

struct MappingFlags: ParsableArguments {
  @Flag(help: "Copy the weights into memory instead of mapping the file, which may then be written to.")
  var noMmap = false
}

/// How many rows are computed at once.
struct BatchArguments: ParsableArguments {
  @Option(help: ArgumentHelp("Rows of a batch.", valueName: "N"))
  var batchSize = 8

  func validate() throws {
    guard batchSize >= 1 else { throw ValidationError("--batch-size is \(batchSize), expected at least 1") }
  }

  /// Rows of a data set, batch after batch.
  func batches(of count: Int) -> [[Int]] {
    stride(from: 0, to: count, by: batchSize).map { Array($0..<min(count, $0 + batchSize)) }
  }
}

/// How rows become tokens: as in training, but nothing is cut unless that is asked for.
struct RowArguments: ParsableArguments {
  @Option(help: ArgumentHelp("Rows. \(DataSources.help)", valueName: "ROWS"), completion: .file())
  var data: String

  func source() throws -> DataSource { try DataSources.source(data) }

  @Option(help: ArgumentHelp("Tokens of prompt and completion kept; unset: all.", valueName: "N"))
  var maxLength: Int?

  var options: DatasetOptions {
    var options = DatasetOptions(.any)
    options.maxLength = maxLength
    return options
  }
}
