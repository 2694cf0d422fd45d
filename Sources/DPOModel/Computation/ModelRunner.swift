import CKernels
import DPOBase
import DPOKernels
import DPOPlatform

/// What a run is for.
package enum ComputationMode: Sendable, Equatable {
  /// Scores only: nothing is kept.
  case score
  /// Gradients of all weights.
  case full
  /// Gradients of an adapter's weights.
  case lora(LoRAConfiguration)
}

/// Forward and backward of one decoder over token forests. Owns the memory that this takes, sized by a plan and reused
/// from call to call. Not for use from two threads at once.
package final class ModelRunner {
  package let decoder: Decoder
  package let team: ThreadTeam
  /// Of the linear layers and the head; norms, attention, softmax and sums are f32 in any.
  package let precision: Precision
  /// Keeps only each block's input and computes the rest again in the backward pass.
  package var recomputesBlocks = false
  /// Log-probs are those of logits / temperature; more than 0.
  package var temperature = 1.0

  /// Directory of a file that holds what training keeps for the backward pass; nil: memory does.
  package var offload: String?

  private var memory: FloatBuffer?
  /// What passes keep; with `offload` those of them that train, and the others.
  private var kept: FloatBuffer?
  private var keptOfScores: FloatBuffer?
  let rotations: Rotations
  /// The last `forward`, until its `backward`.
  private var last: ModelRun?

  package init(decoder: Decoder, team: ThreadTeam, precision: Precision = .fp32) {
    self.decoder = decoder
    self.team = team
    self.precision = precision
    rotations = Rotations(decoder.configuration)
  }

  /// Bytes that a forest of at most so many `tokens` and `targets` takes, by part, beside the weights, their gradients
  /// and the optimiser. `maxLength` bounds the positions of any sequence.
  package static func plan(
    _ configuration: DecoderConfiguration, tokens: Int, targets: Int, maxLength: Int, mode: ComputationMode,
    threads: Int, recomputesBlocks: Bool = false, offloads: Bool = false
  ) throws -> MemoryPlan {
    for (name, count) in [
      ("tokens", tokens), ("targets", targets), ("longest sequence", maxLength), ("threads", threads),
    ] {
      guard (0...1 << 31).contains(count) else {
        throw DPOError.argument(
          "a batch with \(name) = \(count), of at most \(1 << 31); smaller with max_length or max_completion_length and the sizes of batches and groups"
        )
      }
    }
    var places: [LoRAConfiguration.Place]?
    var dropout = false
    if case .lora(let lora) = mode {
      places = try lora.resolve(configuration)
      dropout = lora.dropout > 0
    }
    func plan(trains: Bool) -> MemoryPlan {
      ActivationLayout(
        configuration, tokens: tokens, targets: targets, headRows: min(tokens, targets),
        mostKeys: min(maxLength, tokens), mostTreeBlocks: min(tokens, tokens / PreparedForest.queryBlock + 64),
        places: places, dropout: dropout, trains: trains, recomputes: recomputesBlocks, threads: threads
      ).plan
    }
    guard offloads, mode != .score else { return plan(trains: mode != .score) }
    // Passes that only score keep theirs in memory.
    var offloaded = MemoryPlan()
    for part in plan(trains: true).parts {
      offloaded.add(part.name, bytes: part.bytes, offloaded: part.name == "activations")
    }
    offloaded.add("activations", bytes: plan(trains: false)["activations"])
    return offloaded
  }

  /// Scores without keeping anything.
  package func score(_ forest: TokenForest, adapter: LoRAAdapter? = nil, extras: ScoreExtras = []) throws -> TokenScores
  {
    let run = try prepare(forest, adapter: adapter, trains: false, dropout: nil)
    return run.forward(extras)
  }

  /// Scores, and keeps what `backward` needs. With an adapter its gradients are what backward computes, otherwise those of
  /// a trainable decoder. `dropout` switches on the adapter's dropout; equal keys draw equal masks.
  package func forward(
    _ forest: TokenForest, adapter: LoRAAdapter? = nil, extras: ScoreExtras = [], dropout: CounterRandom? = nil
  ) throws -> TokenScores {
    guard adapter != nil || decoder.parameters != nil else {
      throw DPOError(.state, "a frozen model without an adapter has nothing to train")
    }
    let run = try prepare(forest, adapter: adapter, trains: true, dropout: dropout)
    let scores = run.forward(extras)
    last = run
    return scores
  }

  /// Adds to the gradients of `decoder.parameters` or of the adapter: `logProbGradients` are d loss / d log-prob, one a
  /// target of the last `forward`, which it uses up, and `valueGradients` d loss / d value, one a number of its `values`
  /// or none; `routerLossGradient` is d loss / d `routerLoss` of its scores. `layerDone` is called when the gradients of a layer's parameters are complete, from the last layer to the first.
  package func backward(
    logProbGradients: [Float], valueGradients: [Float] = [], routerLossGradient: Double = 0,
    layerDone: (_ layer: Int) -> Void = { _ in }
  ) throws {
    guard let run = last else { throw DPOError(.state, "backward without a forward pass before it") }
    guard logProbGradients.count == run.forest.targets.count else {
      throw DPOError.argument(
        "\(logProbGradients.count) log-prob gradients for \(run.forest.targets.count) targets")
    }
    guard valueGradients.isEmpty || valueGradients.count == run.forest.headRowOfValue.count else {
      throw DPOError.argument("\(valueGradients.count) gradients for \(run.forest.headRowOfValue.count) values")
    }
    last = nil
    try decoder.checkFiles()
    run.routerLoss?.gradient = routerLossGradient
    run.backward(logProbGradients, valueGradients, layerDone: layerDone)
  }

  /// The residual stream after the last block, one row a token, until the next call. Sequences are going to have `room` tokens
  /// more, as far as the context allows.
  func residuals(
    _ forest: TokenForest, adapter: LoRAAdapter?, room: Int, keepsState: @escaping ModelRun.StateKeeper,
    onQueryKeyValue: (Int, UnsafeMutablePointer<Float>) -> Void
  ) throws -> UnsafeMutablePointer<Float> {
    var run = try prepare(forest, adapter: adapter, trains: false, dropout: nil, room: room)
    run.keepsState = keepsState
    withoutActuallyEscaping(onQueryKeyValue) { run.runBlocks(onQueryKeyValue: $0) }
    return run.at(run.layout.streams[0], 0)
  }

  func prepare(
    _ forest: TokenForest, adapter: LoRAAdapter?, trains: Bool, dropout: CounterRandom?, room: Int = 0
  ) throws -> ModelRun {
    last = nil
    try decoder.checkFiles()
    try decoder.checkStop()
    let configuration = decoder.configuration
    guard forest.tokens.count < 1 << 31 else { throw DPOError.argument("\(forest.tokens.count) tokens at once") }
    guard configuration.hiddenSize <= HeadShape.mostWidth else {
      throw DPOError.unsupported(
        "a hidden size of \(configuration.hiddenSize), expected at most \(HeadShape.mostWidth)")
    }
    try TokenForest.requireRoom(tokens: forest.tokens.count, targets: forest.targets.count)
    let prepared = try PreparedForest(forest, configuration, room: room)
    let rate = dropout == nil ? 0 : adapter?.configuration.dropout ?? 0
    let layout = ActivationLayout(
      configuration, tokens: prepared.count, targets: prepared.targets.count, headRows: prepared.headRows.count,
      mostKeys: prepared.mostKeys, mostTreeBlocks: prepared.mostTreeBlocks,
      places: adapter?.places, dropout: rate > 0, trains: trains, recomputes: recomputesBlocks,
      threads: team.threads)
    /// A buffer that is there already is used again, if it is large enough.
    func buffer(_ old: inout FloatBuffer?, _ count: Int, in directory: String? = nil) throws -> FloatBuffer {
      if let old, old.count >= count { return old }
      old = nil
      let new = try FloatBuffer(count: count, in: directory)
      old = new
      return new
    }
    let offloads = offload != nil && !trains
    let kept = try offloads ? buffer(&keptOfScores, layout.kept) : buffer(&kept, layout.kept, in: offload)
    let memory = try buffer(&memory, layout.total)
    try rotations.extend(to: prepared.longest)
    return ModelRun(
      decoder: decoder, adapter: adapter, team: team, precision: precision, forest: prepared, layout: layout,
      kept: kept, memory: memory, rotations: rotations, trains: trains, recomputes: recomputesBlocks,
      dropout: rate > 0 ? (dropout?.key ?? 0, Float(rate)) : nil,
      temperature: Float(temperature),
      routerLoss: configuration.experts.flatMap { experts in
        forest.balancedRows.map { RouterLoss($0, experts, blocks: configuration.layerCount) }
      })
  }
}
