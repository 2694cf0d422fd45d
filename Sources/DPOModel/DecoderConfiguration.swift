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
  public func frequencies(base: Double, headSize: Int) -> [Double] {
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
  public var family: Family
  public var vocabularySize: Int
  public var hiddenSize: Int
  public var intermediateSize: Int
  public var layerCount: Int
  public var headCount: Int
  /// Divides `headCount`.
  public var keyValueHeadCount: Int
  public var headSize: Int
  /// The most positions a sequence may have.
  public var contextLength: Int
  public var norm: NormKind
  public var normPosition = NormPosition.before
  public var normEpsilon: Float
  /// nil: learned position embeddings instead of rotary ones.
  public var ropeBase: Double?
  public var ropeScaling: RopeScaling
  public var activation: Activation
  /// down(act(gate(x)) · up(x)) rather than down(act(up(x))).
  public var gatedMLP: Bool
  /// q, k and v are one linear layer, in this order along its rows.
  public var fusedQKV: Bool
  public var queryKeyValueBias: Bool
  public var outputBias: Bool
  public var mlpBias: Bool
  /// RMS norm over each head of q and k before the rotation.
  public var queryKeyNorm: Bool
  /// The head is the token embedding.
  public var tiedHead: Bool
  /// A token sees itself and the `slidingWindow` − 1 positions before it; nil: all before it.
  public var slidingWindow: Int?
  /// Blocks that have no window even so, counted from 0.
  public var layersWithoutWindow: Set<Int> = []
  /// Standard deviation of freshly made weights.
  public var initializerRange: Double
  public var bosToken: Int?
  public var eosTokens: [Int]
  public var heads = Heads.language
  /// A reward model reads its score at the last token that is not this one.
  public var padToken: Int?

  public init(
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
  public var queryWidth: Int { headCount * headSize }
  /// Width of all key heads together; that of the value heads as well.
  public var keyValueWidth: Int { keyValueHeadCount * headSize }
}
