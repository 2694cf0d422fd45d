import DPOBase
import DPOKernels

/// What a forward pass is for.
public enum ComputationMode: Sendable, Equatable {
  /// Scores only: nothing is kept.
  case score
  /// Gradients of all weights.
  case full
  /// Gradients of an adapter's weights.
  case lora(LoRAConfiguration)
}

/// Forward and backward of one decoder over token forests. Owns the memory that this takes, sized by a plan and reused
/// from call to call. Not for use from two threads at once.
public final class ForwardPass {
  public let decoder: Decoder
  public let team: ThreadTeam
  /// Keeps only each block's input and computes the rest again in the backward pass.
  public var recomputesBlocks = false

  public init(decoder: Decoder, team: ThreadTeam) {
    self.decoder = decoder
    self.team = team
  }

  /// Bytes that a forest of at most so many `tokens` and `targets` takes, by part, beside the weights, their gradients
  /// and the optimiser. `maxLength` bounds the positions of any sequence.
  public static func plan(
    _ configuration: DecoderConfiguration, tokens: Int, targets: Int, maxLength: Int, mode: ComputationMode, threads: Int,
    recomputesBlocks: Bool = false, frozen: Bool = false
  ) throws -> MemoryPlan {
    MemoryPlan()
  }

  /// Scores without keeping anything.
  public func score(_ forest: TokenForest, adapter: LoRAAdapter? = nil, extras: ScoreExtras = []) throws -> TokenScores {
    throw DPOError.unsupported("score")
  }

  /// Scores, and keeps what `backward` needs. With an adapter its gradients are what backward computes, otherwise those of
  /// a trainable decoder. `dropout` switches on the adapter's dropout; equal keys draw equal masks.
  public func forward(
    _ forest: TokenForest, adapter: LoRAAdapter? = nil, extras: ScoreExtras = [], dropout: CounterRandom? = nil
  ) throws -> TokenScores {
    throw DPOError.unsupported("forward")
  }

  /// Adds to the gradients of `decoder.parameters` or of the adapter: `logProbGradients` are d loss / d log-prob, one a
  /// target of the last `forward`, which it uses up.
  public func backward(logProbGradients: [Float]) throws {
    throw DPOError.unsupported("backward")
  }
}
