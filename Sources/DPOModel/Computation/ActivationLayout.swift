import DPOBase

/// Where everything that a run computes stands in one block of memory, and what each part of it takes. The same code
/// plans and places, so a plan is what is allocated.
struct ActivationLayout {
  /// A matrix per block of the decoder; the blocks from `last` on share one.
  struct Slot {
    var offset = 0
    var stride = 0
    var last = 0

    func offset(_ layer: Int) -> Int { offset + min(layer, last) * stride }
  }

  private(set) var plan = MemoryPlan()
  /// Numbers of 4 bytes.
  private(set) var total = 0

  /// x before each branch of a block; the first branch's goes on to what stands behind the last block.
  private(set) var streams: [Slot] = []
  /// Of the norm before each branch.
  private(set) var statistics: [Slot] = []
  /// What the norm behind a branch reads, and its statistics.
  private(set) var outputs: [Slot] = []
  private(set) var outputStatistics: [Slot] = []
  private(set) var queryKeyValue = Slot()
  private(set) var rawQueryKey = Slot()
  private(set) var queryKeyStatistics = Slot()
  private(set) var attended = Slot()
  private(set) var attentionLSE = Slot()
  private(set) var gateUp = Slot()
  /// Blocks that keep it for the backward pass.
  let keptGateUps: Int
  /// One a place of an adapter.
  private(set) var adapterHidden: [Slot] = []

  private(set) var normed = 0
  private(set) var output = 0
  private(set) var activated = 0
  private(set) var dropped = 0
  private(set) var gradient = 0
  private(set) var gradientOfNormed = 0
  /// Of x, by a branch that is parallel to the one before it.
  private(set) var gradientOfParallel = 0
  private(set) var gradientOfActivated = 0
  private(set) var gradientOfQueryKeyValue = 0
  private(set) var gradientOfAttended = 0
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
    places: [LoRAConfiguration.Place]?,
    dropout: Bool, trains: Bool, recomputes: Bool, threads: Int
  ) {
    headShape = HeadShape(rows: headRows, width: c.hiddenSize)
    let keeps = trains && !recomputes
    keptGateUps = !keeps ? 0 : places == nil ? c.layerCount : c.layerCount / 3
    let (hidden, inner) = (c.hiddenSize, c.intermediateSize)
    let qkvWidth = c.queryWidth + 2 * c.keyValueWidth
    let gateUpWidth = c.gatedMLP ? 2 * inner : inner
    let statistics = c.norm == .layer ? 2 * tokens : tokens
    func slot(_ self: inout Self, _ count: Int, _ layers: Int, _ keeps: Bool) -> Slot {
      let padded = (count + 15) / 16 * 16
      let last = keeps ? max(0, layers - 1) : 0
      return Slot(offset: self.take("activations", padded * (last + 1)), stride: padded, last: last)
    }
    let branches = c.branches
    streams = [slot(&self, tokens * hidden, c.layerCount + 1, trains)]
    for _ in branches.dropFirst() {
      streams.append(trains ? slot(&self, tokens * hidden, c.layerCount, keeps) : streams[0])
    }
    for branch in branches {
      self.statistics.append(branch.normBefore == nil ? Slot() : slot(&self, statistics, c.layerCount, keeps))
    }
    for branch in branches {
      outputs.append(branch.normAfter == nil ? Slot() : slot(&self, tokens * hidden, c.layerCount, keeps))
      outputStatistics.append(branch.normAfter == nil ? Slot() : slot(&self, statistics, c.layerCount, keeps))
    }
    queryKeyValue = slot(&self, tokens * qkvWidth, c.layerCount, keeps)
    if c.queryKeyNorm != nil {
      rawQueryKey = slot(&self, tokens * (c.queryWidth + c.keyValueWidth), c.layerCount, keeps)
      queryKeyStatistics = slot(&self, tokens * (c.headCount + c.keyValueHeadCount), c.layerCount, keeps)
    }
    attended = slot(&self, tokens * c.queryWidth, c.layerCount, keeps)
    attentionLSE = slot(&self, tokens * c.headCount, c.layerCount, keeps)
    gateUp = slot(&self, tokens * gateUpWidth, min(keptGateUps + 1, c.layerCount), keeps)
    for place in places ?? [] { adapterHidden.append(slot(&self, tokens * place.rank, 1, trains)) }

    rotationPlaces = take("working memory", tokens)
    attentionScratchCount = AttentionScratch(keys: mostKeys, size: c.headSize).total
    attentionScratch = take("attention", threads * attentionScratchCount)
    let working = total
    normed = take("working memory", tokens * hidden)
    output = take("working memory", tokens * hidden)
    activated = take("working memory", tokens * inner)
    if dropout { dropped = take("working memory", tokens * max(hidden, inner, c.queryWidth)) }
    if trains {
      gradient = take("working memory", tokens * hidden)
      gradientOfNormed = output
      if c.parallelBranches { gradientOfParallel = take("working memory", tokens * hidden) }
      // The MLP's and the attention's gradients are never needed together.
      let shared = take("working memory", tokens * max(inner, qkvWidth + c.queryWidth) + 16)
      gradientOfActivated = shared
      gradientOfQueryKeyValue = shared
      gradientOfAttended = shared + (tokens * qkvWidth + 15) / 16 * 16
      delta = take("working memory", tokens * c.headCount)
      if let places {
        // All places of one block at once is a safe bound for those that share an input.
        let ranks = Dictionary(grouping: places, by: \.module.layer).values.map { $0.reduce(0) { $0 + $1.rank } }
        gradientOfAdapterHidden = take("working memory", tokens * (ranks.max() ?? 0) + 16 * 8)
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
    headTiles = take("head", threads * headShape.tileCount)
    targetLogits = take("head", targets)
    if trains, places != nil {
      headMeans = take("head", headRows * hidden)
      headMaxima = take("head", LanguageHead.slots * headShape.rows)
    }
  }

  private mutating func take(_ part: String, _ count: Int) -> Int {
    let offset = total
    let padded = (count + 15) / 16 * 16
    total += padded
    plan.add(part, bytes: padded * 4)
    return offset
  }
}
