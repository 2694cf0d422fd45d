import ArgumentParser
import DPO

struct Export: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Convert a model, an adapter or a checkpoint.",
    discussion: """
      hdf5: libdpo's own file. safetensors: a Hugging Face directory. gguf: a model for llama.cpp. peft: an adapter \
      directory. gguf-lora: an adapter for llama.cpp.
      """)

  @Argument(help: "Model, adapter or checkpoint.")
  var input: String

  @Option(help: "Format to write.")
  var to: ExportFormat

  @Option(help: "Adapter to put on the model; needs --merge.")
  var adapter: String?

  @Flag(help: "Add the adapter into the weights.")
  var merge = false

  @Option(help: "Number format of the weights: f32, f16, bf16, or q8_0 (gguf only).")
  var dtype = "f32"

  @Option(name: [.short, .customLong("output")], help: "File or directory to write.")
  var output: String

  @Flag(help: "Replace what stands there.")
  var overwrite = false

  @Flag(help: "One JSON document on stdout.")
  var json = false

  func run() throws {
    guard let type = DType(rawValue: dtype.uppercased()) else {
      throw ValidationError("--dtype is \(dtype), expected f32, f16, bf16 or q8_0")
    }
    try export(
      input: input, adapter: adapter, to: to, dtype: type, merge: merge, output: output, overwrite: overwrite)
    if json {
      printJSON(["output": .string(output), "format": .string(to.rawValue)])
    } else {
      print("wrote \(output)")
    }
  }
}

extension ExportFormat: ExpressibleByArgument {}
