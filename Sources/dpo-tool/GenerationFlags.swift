import ArgumentParser
import DPO

/// How tokens are drawn.
struct DrawingFlags: ParsableArguments {
  @Option(help: ArgumentHelp("Most tokens of a completion.", valueName: "N"))
  var maxNewTokens = 128

  @Option(help: ArgumentHelp("Sampling temperature; 0: greedy.", valueName: "T"))
  var temperature = 1.0

  @Option(help: ArgumentHelp("Sample among the K likeliest tokens; 0: all.", valueName: "K"))
  var topK = 0

  @Option(help: ArgumentHelp("Sample among the likeliest tokens that have probability P together.", valueName: "P"))
  var topP = 1.0

  @Option(help: ArgumentHelp("Leave out tokens less likely than P times the likeliest.", valueName: "P"))
  var minP = 0.0

  var options: GenerationOptions {
    var options = GenerationOptions()
    options.maxNewTokens = maxNewTokens
    options.temperature = temperature
    options.topK = topK
    options.topP = topP
    options.minP = minP
    return options
  }
}

/// How completions are drawn.
struct GenerationFlags: ParsableArguments {
  @OptionGroup var drawing: DrawingFlags

  @Option(help: ArgumentHelp("Seed; the same seed gives the same text.", valueName: "S"))
  var seed: UInt64 = 42

  @Option(help: ArgumentHelp("Completions a prompt.", valueName: "N"))
  var numReturnSequences = 1

  @Option(help: ArgumentHelp("Arithmetic of products with weights: fp32 or bf16.", valueName: "P"))
  var precision = Precision.fp32

  var options: GenerationOptions {
    var options = drawing.options
    options.seed = seed
    options.completionsPerPrompt = numReturnSequences
    options.precision = precision
    return options
  }
}

extension Precision: ExpressibleByArgument {}
