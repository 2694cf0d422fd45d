import DPOBase
import DPOKernels

/// How tokens are drawn. Warpers apply in Hugging Face's order: temperature, top-k, top-p, min-p.
public struct GenerationOptions: Sendable, Equatable {
  public var maxNewTokens = 128
  /// 0: greedy
  public var temperature = 1.0
  /// 0: off
  public var topK = 0
  /// 1: off
  public var topP = 1.0
  /// 0: off
  public var minP = 0.0
  public var seed: UInt64 = 0
  public var completionsPerPrompt = 1
  /// A completion ends with the first of these, which is part of it.
  public var stopTokens: [Int32] = []

  public init() {}

  /// Throws `.invalidArgument` for values out of range.
  public func validate() throws {
    guard maxNewTokens >= 1 else { throw DPOError.argument("max_new_tokens: \(maxNewTokens), expected at least 1") }
    guard temperature >= 0, temperature.isFinite else {
      throw DPOError.argument("temperature: \(temperature), expected 0 (greedy) or more")
    }
    guard topK >= 0 else { throw DPOError.argument("top_k: \(topK), expected 0 (off) or more") }
    guard topP > 0, topP <= 1 else { throw DPOError.argument("top_p: \(topP), expected 0 < p ≤ 1") }
    guard minP >= 0, minP <= 1 else { throw DPOError.argument("min_p: \(minP), expected 0 ≤ p ≤ 1") }
    guard completionsPerPrompt >= 1 else {
      throw DPOError.argument("num_return_sequences: \(completionsPerPrompt), expected at least 1")
    }
  }
}

public struct Completion: Sendable, Equatable {
  public enum Finish: String, Sendable { case stop, length }
  /// The stop token included.
  public let tokens: [Int32]
  public let finish: Finish
  /// log p of each token under the model itself (temperature 1, no warper).
  public let logProbs: [Float]
}

/// Samples completions with a key-value cache. Prompts are forwarded once, whatever the number of their completions.
///
/// A draw depends on (seed, prompt, completion, position) only, not on what else is in the batch.
public final class Generator {
  let decoder: Decoder
  let adapter: LoRAAdapter?
  let team: ThreadTeam

  public init(decoder: Decoder, adapter: LoRAAdapter? = nil, team: ThreadTeam) {
    self.decoder = decoder
    self.adapter = adapter
    self.team = team
  }

  /// Completions of each prompt. `onToken(prompt, completion, token)` sees every token as it is drawn, from the calling
  /// thread, and returns false to stop everything (the result then holds what there is).
  public func generate(
    prompts: [[Int32]], options: GenerationOptions, onToken: ((Int, Int, Int32) -> Bool)? = nil
  ) throws -> [[Completion]] {
    try options.validate()
    throw DPOError.unsupported("generation")
  }
}
