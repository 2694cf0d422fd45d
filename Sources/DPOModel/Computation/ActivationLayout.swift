import CKernels
import DPOBase

/// Where everything that a run computes stands in two blocks of memory, and what each part of it takes: what it keeps for its
/// backward pass, all `Slot`s, and the rest. The same code plans and places, so a plan is what is allocated.
struct ActivationLayout {
  /// A matrix per block of the decoder.
  struct Slot {
    var offsets: [Int] = []

    func offset(_ layer: Int) -> Int { layer < offsets.count ? offsets[layer] : 0 }
  }

  private(set) var plan = MemoryPlan()
  /// Numbers of 4 bytes of the slots, and of the rest.
  private(set) var kept = 0
  private(set) var total = 0

  /// x before each branch of a block; the first branch's goes on to what stands behind the last block.
  private(set) var streams: [Slot] = []
  /// Of the norm before each branch.
  private(set) var statistics: [Slot] = []
  /// What the norm behind a branch reads, and its statistics.
  private(set) var outputs: [Slot] = []
  private(set) var outputStatistics: [Slot] = []
  private(set) var queryKeyValue = Slot()
  /// What the norms of heads read, and their statistics.
  private(set) var rawHeads = Slot()
  private(set) var headNormStatistics = Slot()
  private(set) var attended = Slot()
  private(set) var attentionLSE = Slot()
  /// What the activation of each branch reads: of the rows of each expert, one group of them after another, in a mixture of
  /// experts.
  private(set) var gateUps: [Slot] = []
  private(set) var perLayerGate = Slot()
  private(set) var perLayerInputs = 0
  private(set) var perLayerProjected = 0
  private(set) var perLayerStatistics = 0
  private(set) var perLayerRoom = 0
  /// Of k and v that other blocks read, by these.
  private(set) var gradientOfSharedKeys = Slot()
  private(set) var routerScores = Slot()
  /// What the inputs of a recurrence are, and what the recurrence makes of them before its gate.
  private(set) var recurrentInputs = Slot()
  private(set) var recurrentOutputs = Slot()
  private(set) var recurrentWeights = 0
  private(set) var convolved = 0
  private(set) var recurrentRows = 0
  private(set) var coefficients = 0
  private(set) var recurrentNormed = 0
  private(set) var recurrentStatistics = 0
  private(set) var recurrentMixed = 0
  private(set) var gradientOfRecurrentRows = 0
  private(set) var gradientOfCoefficients = 0
  private(set) var recurrentScratch = 0
  private(set) var recurrentScratchCount = 0
  private(set) var gated = 0
  private(set) var gradientOfGated = 0
  /// Blocks that keep it for the backward pass.
  let keptGateUps: Int
  /// One a place of an adapter. Places of the experts of a block share one: its rows are theirs, one group after another, and
  /// begin at their number times `rank`.
  private(set) var adapterHidden: [(slot: Slot, rank: Int)] = []

  private(set) var normed = 0
  private(set) var output = 0
  private(set) var activated = 0
  /// Inputs and outputs of experts, or their gradients, and that of the router's scores.
  private(set) var expertInput = 0
  private(set) var expertOutput = 0
  private(set) var gradientOfRouterScores = 0
  private(set) var gradientOfRouting = 0
  private(set) var dropped = 0
  private(set) var gradient = 0
  private(set) var gradientOfNormed = 0
  /// Of x, by a branch that is parallel to the one before it.
  private(set) var gradientOfParallel = 0
  private(set) var gradientOfActivated = 0
  private(set) var gradientOfQueryKeyValue = 0
  private(set) var gradientOfAttended = 0
  private(set) var gradientOfRecurrentInputs = 0
  private(set) var gradientOfMixed = 0
  private(set) var delta = 0
  private(set) var gradientOfAdapterHidden = 0
  private(set) var attentionScratch = 0
  private(set) var attentionScratchCount = 0
  private(set) var rotationPlaces = 0
  private(set) var headInput = 0
  private(set) var headNormed = 0
  private(set) var headStatistics = 0
  private(set) var headGradient = 0
  private(set) var headPartials = 0
  private(set) var headMeans: Int?
  private(set) var targetLogits = 0
  private(set) var headMaxima = 0
  private(set) var headTiles = 0
  let headShape: HeadShape
  private(set) var headRowNumbers = 0

  /// Rows of a matrix and what the run is for.
  init(
    _ c: DecoderConfiguration, tokens: Int, targets: Int, headRows: Int, mostKeys: Int,
    mostTreeBlocks: Int,
    places: [LoRAConfiguration.Place]?,
    dropout: Bool, trains: Bool, recomputes: Bool, threads: Int
  ) {
    headShape = HeadShape(rows: headRows, width: c.hiddenSize)
    let keeps = trains && !recomputes
    keptGateUps = !keeps ? 0 : places == nil ? c.layerCount : c.layerCount / 3
    let hidden = c.hiddenSize
    // Of a row of the residual stream, which goes through several experts.
    let visits = c.experts?.active ?? 1
    let inner = c.widestActivation.output
    let (qkvWidth, queryWidth) = (c.widest(\.width), c.widest(\.queryWidth))
    let statistics = c.norm == .layer ? 2 * tokens : tokens
    /// Of each block, or each with attention, or with a recurrence.
    func each(_ count: Int) -> [Int] { [Int](repeating: count, count: c.layerCount) }
    func each(_ width: (AttentionShape) -> Int) -> [Int] {
      (0..<c.layerCount).map { c.layersWithRecurrence.contains($0) ? 0 : tokens * width(c.attention($0)) }
    }
    func eachRecurrence(_ width: Int) -> [Int] {
      (0..<c.layerCount).map { c.layersWithRecurrence.contains($0) ? tokens * width : 0 }
    }
    let (branches, sources) = (c.branches, c.keySources)
    streams = [slot([Int](repeating: tokens * hidden, count: c.layerCount + 1)) { _ in trains }]
    for branch in branches.dropFirst() {
      streams.append(trains ? slot(each(tokens * hidden)) { _ in keeps && !branch.isParallel } : streams[0])
    }
    for branch in branches {
      self.statistics.append(branch.normBefore == nil ? Slot() : slot(each(statistics)) { _ in keeps })
    }
    for branch in branches {
      outputs.append(branch.normAfter == nil ? Slot() : slot(each(tokens * hidden)) { _ in keeps })
      outputStatistics.append(branch.normAfter == nil ? Slot() : slot(each(statistics)) { _ in keeps })
    }
    // What other blocks read has to stay.
    queryKeyValue = slot(each(\.width)) { keeps || sources.contains($0) }
    if c.queryKeyNorm != nil {
      rawHeads = slot(each(\.normedWidth)) { _ in keeps }
      headNormStatistics = slot(each(\.normedHeads)) { _ in keeps }
    }
    attended = slot(each(\.queryWidth)) { _ in keeps }
    attentionLSE = slot(each(\.headCount)) { _ in keeps }
    let recurrence = c.recurrence.map { RecurrenceWidths($0, hidden: hidden) }
    if let recurrence {
      recurrentInputs = slot(eachRecurrence(recurrence.inputs)) { _ in keeps }
      recurrentOutputs = slot(eachRecurrence(recurrence.outputs)) { _ in keeps }
    }
    let keptGateUps = keptGateUps
    for branch in branches {
      let widths = (0..<c.layerCount).map { tokens * c.activation(branch, layer: $0).input }
      gateUps.append(branch.mixing.activates ? slot(widths) { $0 < keptGateUps } : Slot())
    }
    if let experts = c.experts { routerScores = slot(each(tokens * experts.count)) { _ in keeps } }
    let expertRanks = Dictionary(
      (places ?? []).lazy.filter { $0.module.expert != nil }.map { (ExpertPart($0.module), $0.rank) },
      uniquingKeysWith: max)
    var expertSlots: [ExpertPart: Slot] = [:]
    for place in places ?? [] {
      let part = ExpertPart(place.module)
      guard let rank = expertRanks[part] else {
        adapterHidden.append((slot([tokens * place.rank]) { _ in true }, place.rank))
        continue
      }
      if expertSlots[part] == nil { expertSlots[part] = slot([tokens * visits * rank]) { _ in true } }
      if let shared = expertSlots[part] { adapterHidden.append((shared, rank)) }
    }
    if c.perLayerInputSize > 0 {
      let width = c.layerCount * c.perLayerInputSize
      perLayerGate = slot(each(tokens * c.perLayerInputSize)) { _ in keeps }
      perLayerInputs = take("per-layer inputs", tokens * width)
      perLayerProjected = take("per-layer inputs", tokens * width)
      perLayerStatistics = take("per-layer inputs", tokens * c.layerCount)
      perLayerRoom = take("threads", threads * width)
    }
    if trains {
      gradientOfSharedKeys = slot(
        (0..<c.layerCount).map { sources.contains($0) ? 2 * tokens * c.attention($0).keyValueWidth : 0 }
      ) { _ in true }
    }

    rotationPlaces = take("working memory", tokens)
    attentionScratchCount = AttentionScratch(keys: mostKeys, size: c.widest(\.headSize)).total
    attentionScratch = take("threads", threads * attentionScratchCount)
    if let recurrence {
      recurrentWeights = take("recurrence", recurrence.weights)
      convolved = take("recurrence", tokens * recurrence.convolved)
      recurrentRows = take("recurrence", tokens * recurrence.rows)
      coefficients = take("recurrence", tokens * recurrence.coefficients)
      recurrentNormed = take("recurrence", tokens * recurrence.outputs)
      recurrentStatistics = take("recurrence", tokens * recurrence.coefficients)
      recurrentMixed = take("recurrence", tokens * recurrence.mixed)
      if trains {
        gradientOfRecurrentRows = take("recurrence", tokens * recurrence.rows)
        gradientOfCoefficients = take("recurrence", tokens * recurrence.coefficients)
      }
      recurrentScratchCount = recurrence.scratch(blocks: mostTreeBlocks, trains: trains)
      recurrentScratch = take("threads", threads * recurrentScratchCount)
    }
    if c.gatedAttention {
      gated = take("working memory", tokens * queryWidth)
      if trains { gradientOfGated = take("working memory", tokens * queryWidth) }
    }
    let working = total
    normed = take("working memory", tokens * hidden)
    output = take("working memory", tokens * hidden)
    activated = take("working memory", tokens * inner)
    if let experts = c.experts {
      expertInput = take("working memory", tokens * visits * hidden)
      expertOutput = take("working memory", tokens * visits * hidden)
      if trains {
        gradientOfRouterScores = take("working memory", tokens * experts.count)
        gradientOfRouting = take("working memory", tokens * visits)
      }
    }
    if dropout {
      let widest = max(visits * hidden, inner, queryWidth, recurrence?.mixed ?? 0)
      dropped = take("working memory", tokens * widest)
    }
    if trains {
      gradient = take("working memory", tokens * hidden)
      gradientOfNormed = output
      if branches.contains(where: \.isParallel) { gradientOfParallel = take("working memory", tokens * hidden) }
      // The MLP's and the attention's gradients are never needed together.
      let recurring = recurrence.map { $0.inputs + $0.mixed } ?? 0
      let shared = take("working memory", tokens * max(inner, qkvWidth + queryWidth, recurring) + 32)
      gradientOfActivated = shared
      gradientOfQueryKeyValue = shared
      gradientOfAttended = shared + (tokens * qkvWidth + 15) / 16 * 16
      gradientOfRecurrentInputs = shared
      gradientOfMixed = shared + (tokens * (recurrence?.inputs ?? 0) + 15) / 16 * 16
      delta = take("working memory", tokens * c.headCount)
      if let places {
        // All places of one block at once is a safe bound for those that share an input.
        var (ranks, most) = ([Int?: Int](), 0)
        for place in places where place.module.expert == nil { ranks[place.module.layer, default: 0] += place.rank }
        for (part, rank) in expertRanks { ranks[part.layer, default: 0] += visits * rank }
        for place in Dictionary(grouping: places, by: \.module.layer).values { most = max(most, place.count) }
        gradientOfAdapterHidden = take("working memory", tokens * (ranks.values.max() ?? 0) + 16 * (most + 8))
      }
    }

    if trains, c.heads != .score {
      // The head works between the blocks' passes, when their working memory is free.
      headPartials = working
      let missing = LanguageHead.slots * headShape.rows * hidden - (total - working)
      if missing > 0 { _ = take("head", missing) }
    }
    headInput = take("head", headRows * hidden)
    headNormed = take("head", headRows * hidden)
    headRowNumbers = take("head", 8 * (headRows + 16))
    if trains { headGradient = take("head", headRows * hidden) }
    guard c.heads != .score else { return }
    let tiles = (c.vocabularySize + headShape.columns - 1) / headShape.columns
    headStatistics = take("head", tiles * headRows * LanguageHead.statisticsFloats)
    headTiles = take("threads", threads * headShape.tileCount)
    targetLogits = take("head", targets)
    if trains, places != nil {
      headMeans = take("head", headRows * hidden)
      headMaxima = take("head", LanguageHead.slots * headShape.rows)
    }
  }

  /// A matrix of so many numbers for each block, 0: none; blocks that do not keep theirs share one.
  private mutating func slot(_ counts: [Int], keeps: (Int) -> Bool) -> Slot {
    let common = keep(counts.indices.reduce(0) { keeps($1) ? $0 : max($0, counts[$1]) })
    return Slot(offsets: counts.indices.map { keeps($0) && counts[$0] > 0 ? keep(counts[$0]) : common })
  }

  private mutating func keep(_ count: Int) -> Int {
    let offset = kept
    let padded = (count + 15) / 16 * 16
    kept += padded
    plan.add("activations", bytes: padded * 4)
    return offset
  }

  private mutating func take(_ part: String, _ count: Int) -> Int {
    let offset = total
    let padded = (count + 15) / 16 * 16
    total += padded
    plan.add(part, bytes: padded * 4)
    return offset
  }
}

/// A linear layer of all experts of a block.
private struct ExpertPart: Hashable {
  let layer: Int?
  let part: ModelPart

  init(_ module: LinearModule) { (layer, part) = (module.layer, module.part) }
}

/// Numbers of a row of each of a recurrence's matrices.
struct RecurrenceWidths {
  /// Of its layers; what it makes before its gate; what goes to its output.
  let inputs, outputs, mixed: Int
  /// What the convolution reads or makes, and what follows it.
  let convolved, rows: Int
  let coefficients: Int
  /// Of all the convolution's weights.
  let weights: Int
  /// Of one state and of what a chunk is made in.
  private let state, chunk: Int

  init(_ recurrence: Recurrence, hidden: Int) {
    switch recurrence {
    case .convolution(let kernel):
      (inputs, outputs, mixed, convolved, rows, coefficients) = (3 * hidden, 0, hidden, 0, hidden, 0)
      (weights, state, chunk) = (kernel * hidden, 0, 0)
    case .deltaNet(let net):
      (inputs, outputs, mixed) = (net.inputWidth, net.valueWidth, net.valueWidth)
      (convolved, rows, coefficients) = (net.convolved, net.convolved, 2 * net.valueHeads)
      (weights, state) = (net.kernel * net.convolved, net.keySize * net.valueSize)
      chunk = ck_delta_scratch(PreparedForest.queryBlock, net.keySize, net.valueSize)
    }
  }

  /// Of a thread: states behind all blocks of a tree, and for the way back their gradients and the state before a block.
  func scratch(blocks: Int, trains: Bool) -> Int {
    ((trains ? 2 * blocks + 1 : blocks) * state + chunk + 15) / 16 * 16
  }
}
