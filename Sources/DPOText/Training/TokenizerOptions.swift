// Made by options/generate.py from the tables beside it: change those, and run `make options`.
// swift-format-ignore-file

import DPOBase

extension TokenizerTrainer {
  /// How a byte-level BPE tokenizer is learned from text.
  public struct Options: Sendable, Equatable {
    /// Tokens, special ones and the 256 bytes included. There are fewer where the text has no more pairs. At least 1.
    public var vocabularySize = 8192
    /// Pairs that occur less often become no token. At least 0.
    public var minimumFrequency = 2
    /// How text is cut into words.
    public var wordSplit = TokenizerTrainer.WordSplit.gpt2
    /// "chatml", or Jinja. chatml also makes <|im_end|> the token that ends answers. nil: none.
    public var chatTemplate: String?
    /// Begins a sequence. nil: <|endoftext|>.
    public var bosToken: String?
    /// Ends documents and answers. nil: <|endoftext|>, with chatml <|im_end|>.
    public var eosToken: String?
    /// Fills up batches in other programs. nil: <|endoftext|>.
    public var padToken: String?
    /// More tokens that are never part of a word, in the order of their ids.
    public var specialTokens: [String] = []

    /// The defaults.
    public init() {}

    /// Throws `.invalidArgument` for a value out of range.
    public func validate() throws {
      guard vocabularySize >= 1 else {
        throw DPOError.argument("vocabulary_size is \(vocabularySize), expected at least 1")
      }
      guard minimumFrequency >= 0 else {
        throw DPOError.argument("minimum_frequency is \(minimumFrequency), expected at least 0")
      }
    }
  }
}
