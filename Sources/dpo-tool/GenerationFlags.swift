import ArgumentParser
import DPO

extension DrawingFlags {
  var options: GenerationOptions {
    var options = GenerationOptions()
    apply(to: &options)
    return options
  }
}

extension GenerationOptionFlags {
  var options: GenerationOptions {
    var options = GenerationOptions()
    apply(to: &options)
    return options
  }
}

extension Precision: ExpressibleByArgument {}
extension TokenizerTrainer.WordSplit: ExpressibleByArgument {}
