// Made by options/generate.py from the tables beside it: change those, and run `make options`.
// swift-format-ignore-file

import DPOBase

/// The sizes of a new model. What is not set follows from the others as the family's models usually have it.
public struct ModelShape: Sendable, Equatable {
  /// Family of the model, by the model_type of Hugging Face's config.json.
  public var family = "llama"
  /// Tokens of the vocabulary. At least 1. nil: the tokenizer's.
  public var vocabularySize: Int?
  /// Width of the hidden states. At least 1.
  public var hiddenSize = 256
  /// Number of blocks. At least 1.
  public var layerCount = 4
  /// Attention heads. At least 1. nil: one for every 64 of hidden_size.
  public var headCount: Int?
  /// Heads of keys and values. At least 1. nil: heads.
  public var keyValueHeadCount: Int?
  /// Width of the MLP. At least 1. nil: 8/3 of hidden_size, rounded up to a multiple of 32; gpt2: 4 times hidden_size.
  public var intermediateSize: Int?
  /// Tokens that the model reads at most. At least 1.
  public var contextLength = 1024
  /// The head is the token embedding.
  public var tiedHead = true
  /// Standard deviation of the weights. At least 0.
  public var initializerRange = 0.02

  /// The defaults.
  public init() {}

  /// Throws `.invalidArgument` for a value out of range.
  public func validate() throws {
    if let vocabularySize, !(vocabularySize >= 1) {
      throw DPOError.argument("vocabulary_size is \(vocabularySize), expected at least 1")
    }
    guard hiddenSize >= 1 else {
      throw DPOError.argument("hidden_size is \(hiddenSize), expected at least 1")
    }
    guard layerCount >= 1 else {
      throw DPOError.argument("layers is \(layerCount), expected at least 1")
    }
    if let headCount, !(headCount >= 1) {
      throw DPOError.argument("heads is \(headCount), expected at least 1")
    }
    if let keyValueHeadCount, !(keyValueHeadCount >= 1) {
      throw DPOError.argument("kv_heads is \(keyValueHeadCount), expected at least 1")
    }
    if let intermediateSize, !(intermediateSize >= 1) {
      throw DPOError.argument("intermediate_size is \(intermediateSize), expected at least 1")
    }
    guard contextLength >= 1 else {
      throw DPOError.argument("context_length is \(contextLength), expected at least 1")
    }
    guard initializerRange >= 0, initializerRange.isFinite else {
      throw DPOError.argument("initializer_range is \(initializerRange), expected at least 0")
    }
  }
}
