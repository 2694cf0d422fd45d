import ArgumentParser
import DPO

struct Export: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Convert a model, an adapter or a checkpoint.",
    discussion: """
      hdf5: libdpo's own file. safetensors: a Hugging Face directory. gguf: a model for llama.cpp. peft: an adapter \
      directory. gguf-lora: an adapter for llama.cpp.

      --check scores pairs under the trained model and under the file that was written, and exits with 1 if rounding has eaten what was \
      learnt: if the margins are off by more than a quarter of what training changed, √(Σ (e − m)² / Σ m²) with m what training \
      added to the margin of a pair (in nats) and e what of that the file has.
      """)

  @Argument(help: "Model, adapter or checkpoint.", completion: .file())
  var input: String

  @Option(help: "Format to write.")
  var to: ExportFormat

  @OptionGroup var options: ExportOptionFlags

  @Option(name: [.short, .customLong("output")], help: "File or directory to write.", completion: .file())
  var output: String

  @Option(help: "Pairs: does what was learnt survive?", completion: .file())
  var check: String?

  @Option(
    help: "What was trained from, for --check; unset: the adapter's base, or what the file names.", completion: .file())
  var refModel: String?

  @Option(help: ArgumentHelp("Factor of the rewards of --check.", valueName: "B"))
  var beta = TrainingOptions.Method.standard.beta

  @Option(help: ArgumentHelp("Compute threads of --check; 0: one a core.", valueName: "N"))
  var threads = 0

  @Flag(help: "One JSON document on stdout.")
  var json = false

  func validate() throws {
    guard check != nil || refModel == nil else { throw ValidationError("--ref-model needs --check") }
  }

  func run() throws {
    let type = try DType(exportNamed: options.dtype)
    // What is wrong with the pairs shows before anything is written.
    let check = try check.map {
      try ExportCheck(
        input: input, adapter: options.adapter, referenceModel: refModel, data: $0, beta: beta, threads: threads)
    }
    let notes = try ModelFile.export(
      input: input, adapter: options.adapter, to: to, dtype: type, merge: options.merge, output: output,
      overwrite: options.overwrite)
    for note in notes { Terminal.tell("\(output): \(note)") }
    let result = try check?.measure(output)
    if json {
      var object: JSONObject = ["output": .string(output), "format": .string(to.rawValue)]
      if let result { object["check"] = result.json }
      printJSON(.object(object))
    } else {
      print("wrote \(output)")
      if let result { show(result) }
    }
    if let warning = result?.warning { throw DPOError.mismatch("\(output): \(warning)") }
  }

  private func show(_ result: ExportCheck.Result) {
    func number(_ value: Double) -> String { Terminal.short(value) }
    print("\(result.pairs) pairs\ttrained\texported")
    print("accuracy\t\(number(result.trained.accuracy))\t\(number(result.exported.accuracy))")
    print("margin\t\(number(result.trained.margin))\t\(number(result.exported.margin))")
    if let kl = result.divergence, let change = result.logProbChange {
      print("a token's KL \(number(kl)) nats, its log-prob off by \(number(change))")
    }
    print(result.lost.map { "lost: \(number(100 * $0)) % of what was learnt" } ?? "training changed nothing here")
  }
}

extension ExportFormat: ExpressibleByArgument {}
