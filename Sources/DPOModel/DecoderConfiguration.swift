import DPOPlatform

/// Normalisation in the blocks and after the last one.
public enum NormKind: Sendable, Equatable {
  /// y = w · x / √(mean(x²) + ε)
  case rms
  /// y = w · (x − mean(x)) / √(var(x) + ε) + b
  case layer
}

/// Where a block has its norms.
public enum NormPosition: Sendable, Equatable {
  /// x + f(norm(x)), as Llama and GPT-2.
  case before
  /// x + norm(f(x)), as OLMo 2.
  case after
  /// x + norm(f(norm(x))), as Gemma 2.
  case around
}

/// Non-linearity of the MLP.
public enum Activation: Sendable, Equatable {
  /// x · σ(x)
  case silu
  /// ½ x (1 + tanh(√(2/π) (x + 0.044715 x³)))
  case geluTanh
  /// x · Φ(x)
  case gelu
}

/// How the rotary frequencies f_i = base^(−2i/d), i = 0 … d/2 − 1, are changed for contexts longer than first trained on.
public enum RopeScaling: Sendable, Equatable {
  /// f_i
  case none
  /// f_i / factor
  case linear(factor: Double)
  /// With the wavelength λ = 2π/f_i and n = originalContext: f_i if λ < n/highFrequencyFactor; f_i/factor if
  /// λ > n/lowFrequencyFactor; between them (1−s)·f_i/factor + s·f_i with
  /// s = (n/λ − lowFrequencyFactor)/(highFrequencyFactor − lowFrequencyFactor).
  case llama3(factor: Double, lowFrequencyFactor: Double, highFrequencyFactor: Double, originalContext: Int)
  /// f_i / factors[i]: the tensor `rope_freqs.weight` of a GGUF file.
  case divisors([Float])

  /// The d/2 frequencies for heads of `headSize` = d numbers.
  package func frequencies(base: Double, headSize: Int) -> [Double] {
    (0..<headSize / 2).map { index in
      let frequency = pow(base, -2 * Double(index) / Double(headSize))
      switch self {
      case .none: return frequency
      case .linear(let factor): return frequency / factor
      case .divisors(let divisors): return index < divisors.count ? frequency / Double(divisors[index]) : frequency
      case .llama3(let factor, let low, let high, let originalContext):
        let turns = Double(originalContext) * frequency / (2 * Double.pi)
        if turns > high { return frequency }
        if turns < low { return frequency / factor }
        let smooth = (turns - low) / (high - low)
        return (1 - smooth) * frequency / factor + smooth * frequency
      }
    }
  }
}

/// What reads the hidden states after the last norm.
public enum Heads: Sendable, Equatable {
  /// Log-probs of tokens.
  case language
  /// One number a sequence, read at its last token: a reward model.
  case score
  /// Log-probs, and one number at every row that predicts a token: a policy with its value function.
  case languageAndValue
}

/// Everything that the decoder needs to know about a model besides its weights. Sizes count elements.
public struct DecoderConfiguration: Sendable, Equatable {
  /// The row of the table of families that the model belongs to.
  public package(set) var family: Family
  /// Tokens that the model knows: rows of the embedding, and logits of the head.
  public package(set) var vocabularySize: Int
  /// Width of the residual stream, the hidden states.
  public package(set) var hiddenSize: Int
  /// Width of the MLP between its two products.
  public package(set) var intermediateSize: Int
  /// Number of blocks.
  public package(set) var layerCount: Int
  /// Attention heads of a block.
  public package(set) var headCount: Int
  /// Heads of keys and of values; a divisor of `headCount`, as many heads share one.
  public package(set) var keyValueHeadCount: Int
  /// Width of each head of q, k and v.
  public package(set) var headSize: Int
  /// The most positions a sequence may have.
  public package(set) var contextLength: Int
  /// Of all norms but those of heads.
  public package(set) var norm: NormKind
  /// Where a block has its norms.
  public package(set) var normPosition = NormPosition.before
  /// ε of all norms.
  public package(set) var normEpsilon: Float
  /// Base of the rotary frequencies; nil: learned position embeddings instead.
  public package(set) var ropeBase: Double?
  /// How those frequencies are changed.
  public package(set) var ropeScaling: RopeScaling
  /// Of the MLP.
  public package(set) var activation: Activation
  /// down(act(gate(x)) · up(x)) rather than down(act(up(x))).
  public package(set) var gatedMLP: Bool
  /// q, k and v are one linear layer, in this order along its rows.
  public package(set) var fusedQKV: Bool
  /// The layers of q, k and v have biases.
  public package(set) var queryKeyValueBias: Bool
  /// The layer behind attention has a bias.
  public package(set) var outputBias: Bool
  /// The layers of the MLP have biases.
  public package(set) var mlpBias: Bool
  /// RMS norm over each head of q and k before the rotation.
  public package(set) var queryKeyNorm: Bool
  /// The head is the token embedding.
  public package(set) var tiedHead: Bool
  /// A token sees itself and the `slidingWindow` − 1 positions before it; nil: all before it.
  public package(set) var slidingWindow: Int?
  /// Blocks that have no window even so, counted from 0.
  public package(set) var layersWithoutWindow: Set<Int> = []
  /// Standard deviation of freshly made weights.
  public package(set) var initializerRange: Double
  /// Id of the token that begins a text; nil: none.
  public package(set) var bosToken: Int?
  /// Ids of the tokens that end a text.
  public package(set) var eosTokens: [Int]
  /// What reads the hidden states after the last norm.
  public package(set) var heads = Heads.language
  /// Id of the padding token: a reward model reads its score at the last token that is not this one. nil: at the last.
  public package(set) var padToken: Int?

  package init(
    family: Family, vocabularySize: Int, hiddenSize: Int, intermediateSize: Int, layerCount: Int, headCount: Int,
    keyValueHeadCount: Int, headSize: Int, contextLength: Int, norm: NormKind = .rms, normEpsilon: Float = 1e-6,
    ropeBase: Double? = 10_000, ropeScaling: RopeScaling = .none, activation: Activation = .silu, gatedMLP: Bool = true,
    fusedQKV: Bool = false, queryKeyValueBias: Bool = false, outputBias: Bool = false, mlpBias: Bool = false,
    queryKeyNorm: Bool = false, tiedHead: Bool = false, slidingWindow: Int? = nil, initializerRange: Double = 0.02,
    bosToken: Int? = nil, eosTokens: [Int] = []
  ) {
    self.family = family
    self.vocabularySize = vocabularySize
    self.hiddenSize = hiddenSize
    self.intermediateSize = intermediateSize
    self.layerCount = layerCount
    self.headCount = headCount
    self.keyValueHeadCount = keyValueHeadCount
    self.headSize = headSize
    self.contextLength = contextLength
    self.norm = norm
    self.normEpsilon = normEpsilon
    self.ropeBase = ropeBase
    self.ropeScaling = ropeScaling
    self.activation = activation
    self.gatedMLP = gatedMLP
    self.fusedQKV = fusedQKV
    self.queryKeyValueBias = queryKeyValueBias
    self.outputBias = outputBias
    self.mlpBias = mlpBias
    self.queryKeyNorm = queryKeyNorm
    self.tiedHead = tiedHead
    self.slidingWindow = slidingWindow
    self.initializerRange = initializerRange
    self.bosToken = bosToken
    self.eosTokens = eosTokens
  }

  /// Width of all query heads together.
  package var queryWidth: Int { headCount * headSize }
  /// Width of all key heads together; that of the value heads as well.
  package var keyValueWidth: Int { keyValueHeadCount * headSize }
}
