import DPOTensor

/// A part of the decoder that holds a weight, and perhaps a bias. Raw values are llama.cpp's names of the parts.
package enum ModelPart: String, Sendable, CaseIterable {
  case tokenEmbedding = "token_embd"
  case positionEmbedding = "position_embd"
  /// Of each token the numbers that all blocks get beside x; what makes their other half of the embedding; its norm.
  case perLayerEmbedding = "per_layer_token_embd"
  case perLayerProjection = "per_layer_model_proj"
  case perLayerNorm = "per_layer_proj_norm"
  case attentionNorm = "attn_norm"
  case query = "attn_q"
  case key = "attn_k"
  case value = "attn_v"
  case fusedQueryKeyValue = "attn_qkv"
  case queryNorm = "attn_q_norm"
  case keyNorm = "attn_k_norm"
  case attentionOutput = "attn_output"
  /// Of each head of q, a score that takes part in the softmax and has no value.
  case attentionSinks = "attn_sinks"
  case attentionPostNorm = "post_attention_norm"
  /// B, C and x of LFM2's convolution, one after the other along its rows.
  case convolutionInput = "shortconv.in_proj"
  case convolution = "shortconv.conv"
  case convolutionOutput = "shortconv.out_proj"
  /// q, k and v of a delta net, one after the other along its rows.
  case deltaQueryKeyValue = "ssm_qkv"
  case deltaGate = "ssm_gate"
  case deltaBeta = "ssm_beta"
  case deltaAlpha = "ssm_alpha"
  case deltaConvolution = "ssm_conv1d"
  /// log of the decay's speed.
  case deltaDecay = "ssm_a"
  case deltaTimeBias = "ssm_dt"
  case deltaNorm = "ssm_norm"
  case deltaOutput = "ssm_out"
  case mlpNorm = "ffn_norm"
  case gate = "ffn_gate"
  /// Gate and up, one after the other along its rows.
  case fusedGateUp = "ffn_gate_up"
  case up = "ffn_up"
  case down = "ffn_down"
  /// Says how much each expert counts for a row.
  case router = "ffn_gate_inp"
  case expertGate = "ffn_gate_exps"
  case expertUp = "ffn_up_exps"
  case expertDown = "ffn_down_exps"
  /// The MLP beside a mixture, and what its rows' gates are made with.
  case sharedGate = "ffn_gate_shexp"
  case sharedUp = "ffn_up_shexp"
  case sharedDown = "ffn_down_shexp"
  case sharedRowGate = "ffn_gate_inp_shexp"
  case mlpPostNorm = "post_ffw_norm"
  /// The branch that takes a block's own numbers of each token.
  case inputGate = "inp_gate"
  case inputProjection = "proj"
  case inputPostNorm = "post_norm"
  /// What x is multiplied by behind the block: a constant.
  case blockScale = "layer_output_scale"
  case finalNorm = "output_norm"
  case head = "output"
  /// A reward model's linear layer to one number.
  case scoreHead = "cls.output"
  /// The same of a policy's value function; in no file but checkpoints.
  case valueHead = "value_head"

  /// Stands once in every block.
  package var isInBlock: Bool {
    switch self {
    case .tokenEmbedding, .positionEmbedding, .finalNorm, .head, .scoreHead, .valueHead: false
    case .perLayerEmbedding, .perLayerProjection, .perLayerNorm: false
    default: true
    }
  }

  /// Has a row of each token of the vocabulary.
  package var isOfVocabulary: Bool { self == .tokenEmbedding || self == .head || self == .perLayerEmbedding }

  /// A linear layer from the last norm to one number.
  package var isScalarHead: Bool { self == .scoreHead || self == .valueHead }

  /// A normalisation over the hidden size.
  package var isNorm: Bool {
    switch self {
    case .attentionNorm, .attentionPostNorm, .mlpNorm, .mlpPostNorm, .inputPostNorm, .finalNorm: true
    default: false
    }
  }

  /// Stands once for each expert of a block.
  package var isExpert: Bool { self == .expertGate || self == .expertUp || self == .expertDown }

  /// A linear layer, but for the heads.
  package var isLinear: Bool {
    switch self {
    case .query, .key, .value, .fusedQueryKeyValue, .attentionOutput, .gate, .fusedGateUp, .up, .down: true
    case .expertGate, .expertUp, .expertDown, .sharedGate, .sharedUp, .sharedDown, .sharedRowGate: true
    case .convolutionInput, .convolutionOutput, .deltaQueryKeyValue, .deltaGate, .deltaBeta, .deltaAlpha, .deltaOutput:
      true
    case .perLayerProjection, .inputGate, .inputProjection: true
    default: false
    }
  }

  /// The kernels of a convolution, channel by channel: [channels, kernel], and [channels, 1, kernel] in Hugging Face's files.
  package var isConvolution: Bool { self == .convolution || self == .deltaConvolution }

  /// Behind the module's name in Hugging Face's files.
  var suffix: String { [.deltaDecay, .deltaTimeBias, .blockScale, .attentionSinks].contains(self) ? "" : ".weight" }

  /// The same in GGUF files.
  var ggufSuffix: String {
    switch self {
    case .deltaTimeBias: ".bias"
    case .blockScale, .attentionSinks: ".weight"
    default: suffix
    }
  }

  /// No gradient reaches it: it stays as it is when all weights are trained.
  package var isConstant: Bool { self == .blockScale }
}

/// One parameter of a model: where it belongs, what it is called in files, and what it looks like.
package struct ParameterDescription: Sendable, Equatable {
  package let part: ModelPart
  /// The block, nil outside of blocks.
  package let layer: Int?
  /// The expert of that block, nil for what is no expert's, and how many there are.
  package let expert: Int?
  let expertCount: Int
  package let isBias: Bool
  /// Hugging Face's name of the module, such as `model.layers.0.self_attn.q_proj`.
  package let module: String
  /// [out, in] for matrices, whatever the file has; [count] for vectors.
  package let shape: [Int]
  /// Hugging Face's files hold the transpose (GPT-2's Conv1D).
  package let transposedInFile: Bool
  /// AdamW's weight decay applies (losses: section 9).
  package let decays: Bool
  /// Order of the rows in a GGUF file.
  package let rowOrderInGGUF: RowOrder
  /// Order of the rows in Hugging Face's files.
  package let rowOrderInFile: RowOrder
  /// The same of a matrix's columns.
  package let columnOrderInGGUF, columnOrderInFile: RowOrder
  /// What is added to the numbers of Hugging Face's files.
  package let offset: Float
  /// The part's name in GGUF files.
  let ggufPart: String
  /// Where it stands in a tensor with others in Hugging Face's files; nil: it has one of its own.
  package let shareInFile: TensorShare?
  /// The same in files that do not have it by itself.
  package let shareInSomeFiles: TensorShare?

  /// Hugging Face's name of the parameter.
  package var name: String { module + (isBias ? ".bias" : part.suffix) }
  /// The name in a GGUF file.
  package var ggufName: String {
    (layer.map { "blk.\($0)." } ?? "") + ggufPart + (isBias ? ".bias" : part.ggufSuffix)
  }
  /// The same as `shareInFile` in GGUF files.
  package var shareInGGUF: TensorShare? {
    expert.map { TensorShare(tensor: ggufName, expert: $0, experts: expertCount) }
  }
  /// The shape in Hugging Face's files.
  package var fileShape: [Int] {
    part.isConvolution ? [shape[0], 1, shape[1]] : transposedInFile ? shape.reversed() : shape
  }
}

/// Where a parameter stands in a tensor of all experts, [experts, rows, columns], or [experts, rows] of biases, or in a matrix with
/// others.
package struct TensorShare: Sendable, Equatable {
  /// The tensor's name in the file.
  package let tensor: String
  /// nil: it is no tensor of experts.
  package let expert: Int?
  package let experts: Int
  /// Of an expert's, or of all, rows those of the parameter are row `first` and every `step`-th behind it; there are `parts` times as many.
  package let first, step, parts: Int
  /// The tensor is [experts, columns, rows].
  package let isTransposed: Bool

  package init(
    tensor: String, expert: Int?, experts: Int, first: Int = 0, step: Int = 1, parts: Int = 1,
    isTransposed: Bool = false
  ) {
    (self.tensor, self.expert, self.experts) = (tensor, expert, experts)
    (self.first, self.step, self.parts, self.isTransposed) = (first, step, parts, isTransposed)
  }

  /// Shape of the tensor that holds parameters of this shape.
  package func shape(holding shape: [Int]) -> [Int] {
    let whole = [parts * (shape.first ?? 0)] + shape.dropFirst()
    return (expert == nil ? [] : [experts]) + (isTransposed ? whole.reversed() : whole)
  }

  /// Where in the tensor an element of a parameter of this shape is.
  package func place(row: Int, column: Int, in shape: [Int]) -> Int {
    let (rows, columns) = (parts * (shape.first ?? 0), shape.dropFirst().reduce(1, *))
    let inTensor = first + row * step
    return (expert ?? 0) * rows * columns + (isTransposed ? column * rows + inTensor : inTensor * columns + column)
  }
}

/// A linear layer, the place of a LoRA adapter.
package struct LinearModule: Sendable, Equatable {
  package let path: String
  package let part: ModelPart
  /// The block, nil outside of blocks.
  package let layer: Int?
  /// The expert of that block, nil for what is no expert's.
  package let expert: Int?
  package let inputSize: Int
  package let outputSize: Int
  /// Hugging Face's files hold the transpose (`fan_in_fan_out` in PEFT's terms).
  package let transposedInFile: Bool
}

extension DecoderConfiguration {
  /// Shape of a part's weight as [out, in] or [count]; of a block's where `layer` says which one.
  func shape(of part: ModelPart, layer: Int?) -> [Int] {
    let (attention, mlpWidth) = (attention(layer ?? 0), mlpWidth(layer ?? 0))
    return switch part {
    case .tokenEmbedding, .head: [vocabularySize, hiddenSize]
    case .scoreHead, .valueHead: [1, hiddenSize]
    case .positionEmbedding: [contextLength, hiddenSize]
    case .perLayerEmbedding: [vocabularySize, layerCount * perLayerInputSize]
    case .perLayerProjection: [layerCount * perLayerInputSize, hiddenSize]
    case .perLayerNorm: [perLayerInputSize]
    case .inputGate: [perLayerInputSize, hiddenSize]
    case .inputProjection: [hiddenSize, perLayerInputSize]
    case .blockScale: [1]
    case .attentionNorm, .attentionPostNorm, .mlpNorm, .mlpPostNorm, .inputPostNorm, .finalNorm: [hiddenSize]
    case .query: [attention.keyColumn, hiddenSize]
    case .key, .value: [attention.keyValueWidth, hiddenSize]
    case .fusedQueryKeyValue: [attention.width, hiddenSize]
    case .queryNorm: [queryKeyNorm == .whole ? attention.queryWidth : attention.headSize]
    case .keyNorm: [queryKeyNorm == .whole ? attention.keyValueWidth : attention.headSize]
    case .attentionOutput: [hiddenSize, attention.queryWidth]
    case .convolutionInput: [3 * hiddenSize, hiddenSize]
    case .convolution: [hiddenSize, convolutionKernel]
    case .convolutionOutput: [hiddenSize, hiddenSize]
    case .deltaQueryKeyValue: [deltaNet?.convolved ?? 0, hiddenSize]
    case .deltaGate: [deltaNet?.valueWidth ?? 0, hiddenSize]
    case .deltaBeta, .deltaAlpha: [deltaNet?.valueHeads ?? 0, hiddenSize]
    case .deltaConvolution: [deltaNet?.convolved ?? 0, deltaNet?.kernel ?? 0]
    case .deltaDecay, .deltaTimeBias: [deltaNet?.valueHeads ?? 0]
    case .deltaNorm: [deltaNet?.valueSize ?? 0]
    case .deltaOutput: [hiddenSize, deltaNet?.valueWidth ?? 0]
    case .gate, .up: [mlpWidth, hiddenSize]
    case .fusedGateUp: [2 * mlpWidth, hiddenSize]
    case .down: [hiddenSize, mlpWidth]
    case .expertDown: [hiddenSize, intermediateSize]
    case .expertGate, .expertUp: [intermediateSize, hiddenSize]
    case .router: [experts?.count ?? 0, hiddenSize]
    case .sharedGate, .sharedUp: [experts?.shared?.width ?? 0, hiddenSize]
    case .sharedDown: [hiddenSize, experts?.shared?.width ?? 0]
    case .sharedRowGate: [1, hiddenSize]
    case .attentionSinks: [headCount]
    }
  }

  private var deltaNet: DeltaNet? { if case .deltaNet(let net) = recurrence { net } else { nil } }
  private var convolutionKernel: Int { if case .convolution(let kernel) = recurrence { kernel } else { 0 } }

  func hasWeight(_ part: ModelPart, layer: Int?) -> Bool {
    switch part {
    case _ where part.isInBlock: block(layer ?? 0).branches.contains { $0.parts.contains(part) }
    case .positionEmbedding: rope == nil
    case .perLayerEmbedding, .perLayerProjection, .perLayerNorm: perLayerInputSize > 0
    case .head: !tiedHead && heads != .score
    case .scoreHead: heads == .score
    case .valueHead: heads == .languageAndValue
    default: true
    }
  }

  func hasBias(_ part: ModelPart) -> Bool {
    switch part {
    case _ where part.isNorm: norm == .layer && normBias
    case .query, .key, .value, .fusedQueryKeyValue: queryKeyValueBias
    case .attentionOutput: outputBias
    case .gate, .fusedGateUp, .up, .down, .router, .expertGate, .expertUp, .expertDown: mlpBias
    case .head: headBias
    default: false
    }
  }
}
