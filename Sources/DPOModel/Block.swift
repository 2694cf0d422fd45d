/// What a block of the decoder computes, part by part. Training, scoring and generation walk it through `BlockExecutor`, and
/// the list of a model's parameters follows from it.
///
/// A block is some branches of the residual stream x, one after another:
///
///     x ← x + after(O f(I before(x)))
///
/// I and O are products with weights, f is attention or the MLP's activation, and either norm may be missing. Instead of the
/// norm behind it a branch may have a constant factor.
struct BlockDescription {
  struct Branch {
    let mixing: Mixing
    let normBefore: ModelPart?
    /// I: layers side by side.
    let inputs: [ModelPart]
    /// Norms of each head of q and k.
    let headNorms: [ModelPart]
    /// Vectors of a recurrence.
    var vectors: [ModelPart] = []
    /// O
    let output: ModelPart
    let normAfter: ModelPart?
    /// It reads x as the block got it, without what the branches before it have added.
    var isParallel = false

    var parts: [ModelPart] { [normBefore, normAfter, output].compactMap(\.self) + inputs + headNorms + vectors }
  }

  /// f
  enum Mixing {
    /// softmax(q kᵀ / √d) v. A row sees itself and the `window` − 1 positions before it; nil: all before it.
    case attention(window: Int?)
    /// f(gate) · up, or f(up)
    case activation
    /// What goes from position to position beside attention.
    case recurrence(Recurrence)
  }

  let branches: [Branch]
}

extension DecoderConfiguration {
  func block(_ layer: Int) -> BlockDescription {
    let (before, after) = (normPosition != .after, normPosition != .before)
    let mlp = BlockDescription.Branch(
      mixing: .activation, normBefore: before ? (sharesNorm ? .attentionNorm : .mlpNorm) : nil,
      inputs: fusedGateUp ? [.fusedGateUp] : gatedMLP ? [.gate, .up] : [.up], headNorms: [],
      output: .down, normAfter: after ? .mlpPostNorm : nil, isParallel: parallelBranches)
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
      let mixer = BlockDescription.Branch(
        mixing: .recurrence(recurrence), normBefore: before ? .attentionNorm : nil, inputs: inputs, headNorms: [],
        vectors: vectors, output: output, normAfter: after ? .attentionPostNorm : nil)
      return BlockDescription(branches: [mixer, mlp])
    }
    let attention = BlockDescription.Branch(
      mixing: .attention(window: window(layer)),
      normBefore: before ? .attentionNorm : nil, inputs: fusedQKV ? [.fusedQueryKeyValue] : [.query, .key, .value],
      headNorms: queryKeyNorm == nil ? [] : [.queryNorm, .keyNorm], output: .attentionOutput,
      normAfter: after ? .attentionPostNorm : nil)
    return BlockDescription(branches: [attention, mlp])
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
  var activates: Bool {
    if case .activation = mixing { return true }
    return false
  }

  /// Numbers of a row of all inputs side by side.
  var inputWidth: Int { inputs.reduce(0) { $0 + $1.weight.rows } }

  /// Something stands between the output and the sum with x: it takes the bias along.
  var finishes: Bool { normAfter != nil || factor != 1 }

  /// What has yet to be added to the output where it is added to x.
  var biasLeft: WeightVector? { finishes ? nil : output.bias }

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

  /// x ← x + the output of `before`, where there is one, and norm(x), or x without a norm; of a parallel branch norm(x) of the
  /// x before.
  func enter(_ place: BranchPlace, _ norm: NormWeights?, adding before: BranchPlace?) -> Rows
  /// Attention of what `inputs` make of the rows: [rows, width of all queries].
  func attend(_ place: BranchPlace, _ input: Rows, window: Int?) -> Rows
  /// The recurrence of what `inputs` make of the rows: [rows, width of its output].
  func recur(_ place: BranchPlace, _ input: Rows, _ kind: Recurrence) -> Rows
  /// The MLP's activation of what `inputs` make of the rows: [rows, width of the MLP].
  func activate(_ place: BranchPlace, _ input: Rows) -> Rows
  /// The branch's output, yet without its bias.
  func project(_ place: BranchPlace, _ mixed: Rows)
  /// norm(output + bias) takes the output's place.
  func normOutput(_ place: BranchPlace, _ norm: NormWeights)
  /// factor · (output + bias) takes the output's place.
  func scaleOutput(_ place: BranchPlace, _ factor: Float)
}

extension BlockExecutor {
  func run(_ place: BranchPlace, adding before: BranchPlace?) {
    let branch = decoder.branch(place)
    let input = enter(place, branch.normBefore, adding: before)
    let mixed =
      switch branch.mixing {
      case .attention(let window): attend(place, input, window: window)
      case .activation: activate(place, input)
      case .recurrence(let kind): recur(place, input, kind)
      }
    project(place, mixed)
    if let norm = branch.normAfter {
      normOutput(place, norm)
    } else if branch.factor != 1 {
      scaleOutput(place, branch.factor)
    }
  }

  func run(_ layer: Int) {
    for place in decoder.places(layer) { run(place, adding: decoder.place(before: place)) }
  }
}
