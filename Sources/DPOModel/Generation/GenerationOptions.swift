// Made by options/generate.py from the tables beside it: change those, and run `make options`.
// swift-format-ignore-file

import DPOBase
import DPOKernels

/// How completions are drawn. Warpers apply in Hugging Face's order: temperature, top-k, top-p, min-p.
public struct GenerationOptions: Sendable, Equatable {
  /// Most tokens of a completion. At least 1.
  public var maxNewTokens = 128
  /// Sampling temperature; 0: greedy. At least 0.
  public var temperature = 1.0
  /// Sample among so many of the likeliest tokens; 0: all. At least 0.
  public var topK = 0
  /// Sample among the likeliest tokens that have this probability together; 1: all. More than 0, at most 1.
  public var topP = 1.0
  /// Leave out tokens less likely than this share of the likeliest one's probability; 0: none. 0 to 1.
  public var minP = 0.0
  /// A completion depends on the seed and its indices alone, not on what else is in the batch. At least 0.
  public var seed: UInt64 = 42
  /// Completions of each prompt. 1 to 4096.
  public var completionsPerPrompt = 1
  /// Arithmetic of the products with weights; bf16 rounds both factors and reads half the bytes.
  public var precision = Precision.fp32
  /// What the first prompt counts as in the draws: prompts of one list may come in several calls. At least 0.
  public var firstPrompt = 0
  /// A completion ends with the first of these, which is part of it.
  public var stopTokens: [Int32] = []

  /// The defaults.
  public init() {}

  /// Throws `.invalidArgument` for a value out of range.
  public func validate() throws {
    guard maxNewTokens >= 1 else {
      throw DPOError.argument("max_new_tokens is \(maxNewTokens), expected at least 1")
    }
    guard temperature >= 0, temperature.isFinite else {
      throw DPOError.argument("temperature is \(temperature), expected at least 0")
    }
    guard topK >= 0 else {
      throw DPOError.argument("top_k is \(topK), expected at least 0")
    }
    guard topP > 0, topP <= 1 else {
      throw DPOError.argument("top_p is \(topP), expected more than 0, at most 1")
    }
    guard minP >= 0, minP <= 1 else {
      throw DPOError.argument("min_p is \(minP), expected 0 to 1")
    }
    guard completionsPerPrompt >= 1, completionsPerPrompt <= 4096 else {
      throw DPOError.argument("num_return_sequences is \(completionsPerPrompt), expected 1 to 4096")
    }
    guard firstPrompt >= 0 else {
      throw DPOError.argument("first_prompt is \(firstPrompt), expected at least 0")
    }
  }
}
