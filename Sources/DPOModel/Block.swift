/// What a block of the decoder computes, part by part. Training, scoring and generation walk it through `BlockExecutor`, and
/// the list of a model's parameters follows from it.
///
/// A block is some branches of the residual stream x, one after another:
///
///     x ← g · (x + after(O f(I before(x))))
///
/// I and O are products with weights, f is attention or the MLP's activation, and either norm may be missing. Instead of the
/// norm behind it a branch may have a constant factor, and σ of a number that one more product makes of each row. g is 1 but
/// behind the last branch of some models' blocks.
struct BlockDescription {
  struct Branch {
    let mixing: Mixing
    let normBefore: ModelPart?
    /// Of a mixture of experts; inputs and output are those of each expert.
    var router: ModelPart?
    /// I: layers side by side.
    let inputs: [ModelPart]
    /// Makes the number of each row whose σ the output is multiplied by.
    var rowGate: ModelPart?
    /// Norms of each head of q and k.
    let headNorms: [ModelPart]
    /// Vectors of a recurrence, or of attention beside its heads' norms.
    var vectors: [ModelPart] = []
    /// O
    let output: ModelPart
    let normAfter: ModelPart?
    /// It reads x as the branch before it did, without what that one adds.
    var isParallel = false
    /// g
    var scale: ModelPart?

    var parts: [ModelPart] {
      [normBefore, normAfter, router, rowGate, output, scale].compactMap(\.self) + inputs + headNorms + vectors
    }
  }

  /// f
  enum Mixing {
    /// softmax(q kᵀ / √d) v
    case attention(AttentionShape)
    /// f(gate) · up, or f(up)
    case activation
    /// The same of each of a row's experts, whose outputs come weighed.
    case experts(Experts)
    /// What goes from position to position beside attention.
    case recurrence(Recurrence)
    /// f(gate) · the numbers that the block gets of the token.
    case perLayerInput

    /// Its inputs are gate and up.
    var activates: Bool {
      switch self {
      case .activation, .experts: true
      case .attention, .recurrence, .perLayerInput: false
      }
    }
  }

  let branches: [Branch]
}

extension DecoderConfiguration {
  func block(_ layer: Int) -> BlockDescription {
    var branches = [mixer(layer), mlp] + (sharedExpert.map { [$0] } ?? [])
    if perLayerInputSize > 0 {
      branches.append(
        BlockDescription.Branch(
          mixing: .perLayerInput, normBefore: nil, inputs: [.inputGate], headNorms: [], output: .inputProjection,
          normAfter: .inputPostNorm))
    }
    if scalesBlocks { branches[branches.count - 1].scale = .blockScale }
    return BlockDescription(branches: branches)
  }

  private var hasNorms: (before: Bool, after: Bool) { (normPosition != .after, normPosition != .before) }

  /// What goes from position to position.
  private func mixer(_ layer: Int) -> BlockDescription.Branch {
    let (before, after): (ModelPart?, ModelPart?) = (
      hasNorms.before ? .attentionNorm : nil, hasNorms.after ? .attentionPostNorm : nil
    )
    if let recurrence, layersWithRecurrence.contains(layer) {
      let (inputs, vectors, output): ([ModelPart], [ModelPart], ModelPart) =
        switch recurrence {
        case .convolution: ([.convolutionInput], [.convolution], .convolutionOutput)
        case .deltaNet:
          (
            [.deltaQueryKeyValue, .deltaGate, .deltaBeta, .deltaAlpha],
            [.deltaConvolution, .deltaDecay, .deltaTimeBias, .deltaNorm], .deltaOutput
          )
        }
      return BlockDescription.Branch(
        mixing: .recurrence(recurrence), normBefore: before, inputs: inputs, headNorms: [], vectors: vectors,
        output: output, normAfter: after)
    }
    let shape = attention(layer)
    let keys: [ModelPart] = shape.keySource != nil ? [] : shape.valuesAreKeys ? [.key] : [.key, .value]
    let norms: [ModelPart] = shape.keySource == nil ? [.queryNorm, .keyNorm] : [.queryNorm]
    return BlockDescription.Branch(
      mixing: .attention(shape), normBefore: before, inputs: fusedQKV ? [.fusedQueryKeyValue] : [.query] + keys,
      headNorms: queryKeyNorm == nil ? [] : norms, vectors: attentionSinks ? [.attentionSinks] : [],
      output: .attentionOutput, normAfter: after)
  }

  private var mlp: BlockDescription.Branch {
    let before: ModelPart? = hasNorms.before ? (sharesNorm ? .attentionNorm : .mlpNorm) : nil
    let after: ModelPart? = hasNorms.after ? .mlpPostNorm : nil
    if let experts {
      return BlockDescription.Branch(
        mixing: .experts(experts), normBefore: before, router: .router, inputs: [.expertGate, .expertUp], headNorms: [],
        output: .expertDown, normAfter: after)
    }
    return BlockDescription.Branch(
      mixing: .activation, normBefore: before,
      inputs: fusedGateUp ? [.fusedGateUp] : gatedMLP ? [.gate, .up] : [.up], headNorms: [],
      output: .down, normAfter: after, isParallel: parallelBranches)
  }

  /// The MLP that all rows go through beside the mixture.
  private var sharedExpert: BlockDescription.Branch? {
    guard let shared = experts?.shared else { return nil }
    return BlockDescription.Branch(
      mixing: .activation, normBefore: mlp.normBefore, inputs: [.sharedGate, .sharedUp],
      rowGate: shared.isGated ? .sharedRowGate : nil, headNorms: [], output: .sharedDown, normAfter: mlp.normAfter,
      isParallel: true)
  }

  /// Numbers of a row that the activation of a block's branch reads and makes, in a mixture of all experts of the row; 0: it has
  /// none.
  func activation(_ branch: BlockDescription.Branch, layer: Int) -> (input: Int, output: Int) {
    let visits =
      switch branch.mixing {
      case .experts(let experts): experts.active
      case .activation, .perLayerInput: 1
      case .attention, .recurrence: 0
      }
    let inputs = branch.inputs + [branch.rowGate].compactMap(\.self)
    return (
      visits * inputs.reduce(0) { $0 + shape(of: $1, layer: layer)[0] },
      visits * shape(of: branch.output, layer: layer)[1]
    )
  }

  /// The most that any activation reads and makes.
  var widestActivation: (input: Int, output: Int) {
    (0..<layerCount).reduce((0, 0)) { most, layer in
      block(layer).branches.reduce(most) { most, branch in
        let own = activation(branch, layer: layer)
        return (max(most.input, own.input), max(most.output, own.output))
      }
    }
  }

  /// What all blocks have in common: where they have branches and norms.
  var branches: [BlockDescription.Branch] { block(0).branches }

  /// The most positions that a row of any block sees.
  var widestWindow: Int { layersWithoutWindow.isEmpty ? slidingWindow ?? Int(Int32.max) : Int(Int32.max) }
}

/// A branch of a decoder.
struct BranchPlace {
  let layer, branch: Int
}

extension DecoderBranch {
  var activates: Bool { mixing.activates }

  /// Layers that read the branch's input side by side, the gate of rows last: a mixture's router.
  var entries: [Linear] { experts.map { [$0.router] } ?? inputs + (rowGate.map { [$0] } ?? []) }
  var entryWidth: Int { experts == nil ? inputWidth : entries.reduce(0) { $0 + $1.weight.rows } }

  /// Numbers of a row that f reads: of all inputs side by side, with the gate of rows, and of attention the values that are keys.
  var inputWidth: Int {
    if case .attention(let shape) = mixing { return shape.width }
    return (experts?.inputs.first ?? entries).reduce(0) { $0 + $1.weight.rows }
  }

  /// The layer whose output is the branch's; none of a mixture.
  var outputs: [Linear] { output.map { [$0] } ?? [] }

  /// Numbers of a row that f makes.
  var mixedWidth: Int { (output ?? experts?.outputs.first)?.weight.columns ?? 0 }

  /// Something stands between the output and the sum with x: it takes the bias along.
  var finishes: Bool { normAfter != nil || factor != 1 || rowGate != nil }

  /// The gradient of x behind the branch is that of its output.
  var passesGradient: Bool { !finishes && scale == nil }

  /// What has yet to be added to the output where it is added to x.
  var biasLeft: WeightVector? { finishes ? nil : output?.bias }

  /// The bias of a column of the inputs side by side, whether they are one layer or several.
  func inputBias(at column: Int) -> UnsafePointer<Float>? {
    var start = 0
    for linear in inputs {
      if column < start + linear.weight.rows { return linear.bias.map { $0.values + (column - start) } }
      start += linear.weight.rows
    }
    return nil
  }
}

extension Decoder {
  func branch(_ place: BranchPlace) -> DecoderBranch { blocks[place.layer].branches[place.branch] }

  /// The branch behind it reads what it reads.
  func isReadInParallel(_ place: BranchPlace) -> Bool {
    let branches = blocks[place.layer].branches
    return place.branch + 1 < branches.count && branches[place.branch + 1].isParallel
  }

  func places(_ layer: Int) -> LazyMapCollection<Range<Int>, BranchPlace> {
    blocks[layer].branches.indices.lazy.map { BranchPlace(layer: layer, branch: $0) }
  }

  /// The branch whose output a branch adds to x; nil: it is the first one.
  func place(before place: BranchPlace) -> BranchPlace? {
    if place.branch > 0 { return BranchPlace(layer: place.layer, branch: place.branch - 1) }
    return place.layer > 0 ? places(place.layer - 1).last : nil
  }

  var lastPlace: BranchPlace? { blocks.isEmpty ? nil : places(blocks.count - 1).last }
}

/// Carries out the operations of a block. Their order is `run`'s and stands nowhere else.
///
/// A branch leaves its output beside x: adding it is one operation with the norm that follows.
protocol BlockExecutor {
  /// The input of a product, [rows, its width].
  associatedtype Rows

  var decoder: Decoder { get }

  /// x ← g · (x + the output of `before`), where there is one, and norm(x), or x without a norm; of a parallel branch norm(x)
  /// of the x without that output.
  func enter(_ place: BranchPlace, _ norm: NormWeights?, adding before: BranchPlace?) -> Rows
  /// Attention of what `inputs` make of the rows: [rows, width of all queries].
  func attend(_ place: BranchPlace, _ input: Rows, _ shape: AttentionShape) -> Rows
  /// The recurrence of what `inputs` make of the rows: [rows, width of its output].
  func recur(_ place: BranchPlace, _ input: Rows, _ kind: Recurrence) -> Rows
  /// The MLP's activation of what `inputs` make of the rows: [rows, width of the MLP].
  func activate(_ place: BranchPlace, _ input: Rows) -> Rows
  /// f(what `inputs` make of the rows) · the block's own numbers of each token: [rows, their count].
  func takePerLayerInput(_ place: BranchPlace, _ input: Rows) -> Rows
  /// What the experts of each row make of it, weighed and summed, as the branch's output.
  func mix(_ place: BranchPlace, _ input: Rows, _ experts: Experts)
  /// The branch's output, yet without its bias.
  func project(_ place: BranchPlace, _ mixed: Rows)
  /// norm(output + bias) takes the output's place.
  func normOutput(_ place: BranchPlace, _ norm: NormWeights)
  /// factor · σ(gates of rows) · (output + bias) takes the output's place.
  func scaleOutput(_ place: BranchPlace)
}

extension BlockExecutor {
  func run(_ place: BranchPlace, adding before: BranchPlace?) {
    let branch = decoder.branch(place)
    let input = enter(place, branch.normBefore, adding: before)
    switch branch.mixing {
    case .attention(let shape): project(place, attend(place, input, shape))
    case .activation: project(place, activate(place, input))
    case .experts(let experts): mix(place, input, experts)
    case .recurrence(let kind): project(place, recur(place, input, kind))
    case .perLayerInput: project(place, takePerLayerInput(place, input))
    }
    if let norm = branch.normAfter {
      normOutput(place, norm)
    } else if branch.finishes {
      scaleOutput(place)
    }
  }

  func run(_ layer: Int) {
    for place in decoder.places(layer) { run(place, adding: decoder.place(before: place)) }
  }
}
