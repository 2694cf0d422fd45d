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
  /// max(x, 0)²
  case reluSquared
  /// x · σ(1.702 x) with x ≤ 7, and it multiplies 1 + up with −7 ≤ up ≤ 7: gpt-oss, gated only.
  case clampedSwish
}

/// What stands in the place of attention in some blocks.
public enum Recurrence: Sendable, Equatable {
  /// LFM2's: with B, C and x from one layer, C ∘ (a causal convolution of B ∘ x), channel by channel.
  case convolution(kernel: Int)
  /// Qwen 3.5's.
  case deltaNet(DeltaNet)
}

/// Gated DeltaNet, arXiv 2412.06464. q, k and v go through a causal convolution and SiLU, q and k are brought to length 1, each
/// head of values keeps a state S of [keySize, valueSize] numbers, and what is read from it goes through a norm and a gate.
public struct DeltaNet: Sendable, Equatable {
  /// Heads of q and k.
  public package(set) var keyHeads: Int
  /// Heads of v, each with a state; a multiple of `keyHeads`.
  public package(set) var valueHeads: Int
  /// Width of a head of q and k.
  public package(set) var keySize: Int
  /// Width of a head of v.
  public package(set) var valueSize: Int
  /// Positions that the convolution sees.
  public package(set) var kernel: Int
  /// Value head h belongs to key head h mod `keyHeads`, as in GGUF files, rather than to h / (valueHeads / keyHeads).
  public package(set) var isTiled: Bool

  var keyWidth: Int { keyHeads * keySize }
  var valueWidth: Int { valueHeads * valueSize }
  /// q, k and v side by side, which the convolution goes over.
  var convolved: Int { 2 * keyWidth + valueWidth }
  /// Of a row of all inputs: q, k and v, the gate, β and the decay.
  var inputWidth: Int { convolved + valueWidth + 2 * valueHeads }

  /// Heads of values that a head of keys belongs to, in their order.
  func values(ofKeyHead head: Int) -> [Int] {
    let count = valueHeads / keyHeads
    return (0..<count).map { isTiled ? $0 * keyHeads + head : head * count + $0 }
  }
}

/// A mixture of experts in the place of an MLP: a router gives each row a score of each expert, and the row goes through those
/// with the highest ones, whose outputs it weighs.
public struct Experts: Sendable, Equatable {
  /// Experts of a block.
  public package(set) var count: Int
  /// Experts that a row goes through.
  public package(set) var active: Int
  /// Weights are the softmax of the scores of a row's own experts; otherwise of all experts' scores, as in OLMoE.
  public package(set) var weighsActiveOnly: Bool
  /// What the auxiliary loss of the routers is multiplied by in training, unless an option says something else.
  public package(set) var lossCoefficient = 0.001
  /// An MLP beside the experts that all rows go through.
  public package(set) var shared: SharedExpert?
}

/// An MLP beside a mixture of experts, which reads what the mixture reads.
public struct SharedExpert: Sendable, Equatable {
  /// Width between its two products.
  public package(set) var width: Int
  /// Its output is multiplied by σ of a number that a layer makes of each row.
  public package(set) var isGated: Bool
}

/// RMS norms of q and k.
public enum QueryKeyNorm: Sendable, Equatable {
  /// Of each head, before its rotation: Qwen 3.
  case heads
  /// Of each head, after its rotation: Hunyuan.
  case turnedHeads
  /// Of all heads together, before their rotation: OLMo 2.
  case whole
}

/// Heads that keys and values have in some blocks.
public struct KeyValueHeads: Sendable, Equatable {
  /// How many; a divisor of the heads of q.
  public package(set) var count: Int
  /// Width of each head, also of q.
  public package(set) var size: Int
}

/// Attention that grows sharper with the position p of the query, as in Llama 4: q is multiplied by
/// 1 + β·log(1 + ⌊p / originalContext⌋).
public struct QueryGrowth: Sendable, Equatable {
  /// β
  public package(set) var beta: Double
  /// Positions from which on it grows.
  public package(set) var originalContext: Int

  func factor(at position: Int) -> Double { 1 + beta * log(1 + Double(position / max(1, originalContext))) }
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
  /// Width of the MLP between its two products, or of each expert.
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
  /// Layer norms have a bias.
  public package(set) var normBias = true
  /// Attention and MLP of a block read the same x, x + attention(norm(x)) + MLP(norm′(x)), rather than one after the other.
  public package(set) var parallelBranches = false
  /// norm′ is norm: one norm for both.
  public package(set) var sharesNorm = false
  /// ε of all norms.
  public package(set) var normEpsilon: Float
  /// Rotary positions; nil: learned position embeddings instead.
  public package(set) var rope: Rope?
  /// Those of blocks with a window where they are others.
  public package(set) var windowedRope: Rope?
  /// Blocks without any, counted from 0.
  public package(set) var layersWithoutRope: Set<Int> = []
  /// How q grows with its position.
  public package(set) var queryGrowth: QueryGrowth?
  /// What q kᵀ is multiplied by; nil: 1/√headSize.
  public package(set) var attentionScale: Double?
  /// c of c·tanh(q kᵀ/c), which the softmax of attention then sees.
  public package(set) var attentionSoftCap: Double?
  /// What the embedding of a token is multiplied by.
  public package(set) var embeddingScale = 1.0
  /// What attention and MLP are multiplied by before they are added to x.
  public package(set) var residualScale = 1.0
  /// Attention is multiplied by σ of a gate, which the layer of q makes beside q.
  public package(set) var gatedAttention = false
  /// What some blocks have instead of attention.
  public package(set) var recurrence: Recurrence?
  /// Those blocks, counted from 0.
  public package(set) var layersWithRecurrence: Set<Int> = []
  /// What blocks have instead of one MLP.
  public package(set) var experts: Experts?
  /// Each head of q has one score more, which takes part in the softmax of attention: gpt-oss.
  public package(set) var attentionSinks = false
  /// What the logits are multiplied by.
  public package(set) var logitScale = 1.0
  /// c of c·tanh(logits/c).
  public package(set) var logitSoftCap: Double?
  /// Of the MLP.
  public package(set) var activation: Activation
  /// down(act(gate(x)) · up(x)) rather than down(act(up(x))).
  public package(set) var gatedMLP: Bool
  /// q, k and v are one linear layer, in this order along its rows.
  public package(set) var fusedQKV: Bool
  /// So are gate and up.
  public package(set) var fusedGateUp = false
  /// The layers of q, k and v have biases.
  public package(set) var queryKeyValueBias: Bool
  /// The layer behind attention has a bias.
  public package(set) var outputBias: Bool
  /// The layers of the MLP have biases.
  public package(set) var mlpBias: Bool
  /// RMS norms of q and k.
  public package(set) var queryKeyNorm: QueryKeyNorm?
  /// The head is the token embedding.
  public package(set) var tiedHead: Bool
  /// The head has a bias.
  public package(set) var headBias = false
  /// A token sees itself and the `slidingWindow` − 1 positions before it; nil: all before it.
  public package(set) var slidingWindow: Int?
  /// Blocks that have no window even so, counted from 0.
  public package(set) var layersWithoutWindow: Set<Int> = []
  /// Heads of keys and values of blocks without a window where these are others.
  public package(set) var fullHeads: KeyValueHeads?
  /// In blocks without a window the values are the keys before their norm and rotation: one linear layer makes both.
  public package(set) var valuesAreKeys = false
  /// Each head of values goes through an RMS norm without weights.
  public package(set) var valueNorm = false
  /// So many last blocks have no keys and values of their own: they read those of the last block before them that has a window
  /// if they have one.
  public package(set) var sharingLayers = 0
  /// The MLPs of those blocks are twice as wide.
  public package(set) var widensSharingLayers = false
  /// Numbers of a token that each block gets beside x; 0: none.
  public package(set) var perLayerInputSize = 0
  /// x is multiplied by a number behind each block, which is not trained.
  public package(set) var scalesBlocks = false
  /// Standard deviation of freshly made weights.
  public package(set) var initializerRange: Double
  /// Id of the token that begins a text; nil: none.
  public package(set) var bosToken: Int?
  /// Ids of the tokens that end a text.
  public package(set) var eosTokens: [Int]
  /// Ids of the tokens that are never drawn.
  public package(set) var suppressedTokens: [Int] = []
  /// Blocks of the file behind those of the decoder, which predict more than one token.
  public package(set) var predictingLayers = 0
  /// It is the text part of a model with more than text, in which Hugging Face's modules have longer names.
  public package(set) var isTextPart = false
  /// What reads the hidden states after the last norm.
  public package(set) var heads = Heads.language
  /// Id of the padding token: a reward model reads its score at the last token that is not this one. nil: at the last.
  public package(set) var padToken: Int?

  package init(
    family: Family, vocabularySize: Int, hiddenSize: Int, intermediateSize: Int, layerCount: Int, headCount: Int,
    keyValueHeadCount: Int, headSize: Int, contextLength: Int, norm: NormKind = .rms, normEpsilon: Float = 1e-6,
    rope: Rope?, activation: Activation = .silu, gatedMLP: Bool = true,
    fusedQKV: Bool = false, queryKeyValueBias: Bool = false, outputBias: Bool = false, mlpBias: Bool = false,
    queryKeyNorm: QueryKeyNorm? = nil, tiedHead: Bool = false, slidingWindow: Int? = nil,
    initializerRange: Double = 0.02,
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
    self.rope = rope
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

  /// Blocks with attention.
  package var layersWithAttention: [Int] { (0..<layerCount).filter { !layersWithRecurrence.contains($0) } }

  /// Whether a block has the window.
  package func isWindowed(_ layer: Int) -> Bool { slidingWindow != nil && !layersWithoutWindow.contains(layer) }
  /// Positions that a row of a block sees, its own among them; nil: all before it.
  func window(_ layer: Int) -> Int? { isWindowed(layer) ? slidingWindow : nil }
  /// The block whose keys and values a block reads; nil: its own.
  package func keySource(_ layer: Int) -> Int? {
    let first = layerCount - sharingLayers
    return layer < first ? nil : (0..<first).last { isWindowed($0) == isWindowed(layer) }
  }
  /// Blocks whose keys and values others read.
  var keySources: Set<Int> { Set((layerCount - sharingLayers..<layerCount).compactMap(keySource)) }
  /// Width of a block's MLP between its two products.
  package func mlpWidth(_ layer: Int) -> Int {
    widensSharingLayers && layer >= layerCount - sharingLayers ? 2 * intermediateSize : intermediateSize
  }
  var widestMLP: Int { max(mlpWidth(layerCount - 1), experts?.shared?.width ?? 0) }
  /// Rotary positions of a block; nil: it has none.
  package func rope(_ layer: Int) -> Rope? {
    layersWithoutRope.contains(layer) ? nil : isWindowed(layer) ? windowedRope ?? rope : rope
  }
}
