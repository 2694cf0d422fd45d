import DPOBase
import DPOKernels

/// What was drawn behind a prompt.
public struct Completion: Sendable, Equatable {
  /// Why a completion ends.
  public enum Finish: String, Sendable {
    /// With a stop token.
    case stop
    /// At the most tokens that were asked for or fit the context.
    case length
  }
  /// Ids of the drawn tokens, the stop token included.
  public let tokens: [Int32]
  /// Why it ends.
  public let finish: Finish
  /// In nats, one a token: log p of each token under the model itself (temperature 1, no warper).
  public let logProbs: [Float]
}

/// Samples completions with a key-value cache. Prompts are forwarded once, whatever the number of their completions.
///
/// A draw depends on (seed, prompt, completion, position) only, not on what else is in the batch.
package final class Generator {
  let decoder: Decoder
  let adapter: LoRAAdapter?
  let team: ThreadTeam

  package init(decoder: Decoder, adapter: LoRAAdapter? = nil, team: ThreadTeam) {
    self.decoder = decoder
    self.adapter = adapter
    self.team = team
  }

  /// Bytes that completing prompts of these lengths takes beside the weights, by part.
  package static func plan(
    _ configuration: DecoderConfiguration, promptLengths: [Int], options: GenerationOptions, threads: Int
  ) throws -> MemoryPlan {
    var largest = MemoryPlan()
    for range in groups(promptLengths.count, options) {
      let lengths = Array(promptLengths[range])
      let layout = Layout(lengths, options, context: configuration.contextLength)
      var plan = try ModelRunner.plan(
        configuration, tokens: layout.mostTokens, targets: 0, maxLength: lengths.max() ?? 0, mode: .score,
        threads: threads)
      plan.add("key-value cache", bytes: 4 * KeyValueCache.width(configuration) * layout.cacheRows)
      plan.add(
        "states of recurrences",
        bytes: RecurrentCache.bytes(configuration) * range.count * (1 + options.completionsPerPrompt))
      plan.add(
        "decoding",
        bytes: DecodeStep.bytes(
          configuration, rows: range.count * options.completionsPerPrompt, threads: threads, longest: layout.longest))
      if plan.total > largest.total { largest = plan }
    }
    return largest
  }

  /// Prompts that are completed together.
  private static func groups(_ prompts: Int, _ options: GenerationOptions) -> [Range<Int>] {
    let size = max(1, batch / options.completionsPerPrompt)
    return stride(from: 0, to: prompts, by: size).map { $0..<min(prompts, $0 + size) }
  }

  /// Sequences that grow together.
  private static let batch = 32
  /// Tokens of prompts that are forwarded together, whatever the number of sequences that then grow together; a longer prompt
  /// is forwarded alone.
  private static let prefillTokens = 2048

  /// Where prompts that are completed together, and their completions, stand in the cache, and which of them are forwarded
  /// together.
  struct Layout {
    /// Most tokens of each prompt's completions.
    var rooms: [Int] = []
    /// Positions of the longest prompt with its completion.
    var longest = 0
    var promptRows: [Int] = []
    /// First row of each completion, prompt by prompt.
    var ownRows: [Int] = []
    var cacheRows = 0
    /// Prompts that are forwarded together.
    var prefills: [Range<Int>] = []
    /// Tokens of the most of them.
    var mostTokens = 0

    /// - Parameter lengths: tokens of each prompt.
    init(_ lengths: [Int], _ options: GenerationOptions, context: Int) {
      for length in lengths {
        let room = max(0, min(options.maxNewTokens, context - length))
        rooms.append(room)
        longest = max(longest, length + room)
        promptRows.append(cacheRows)
        cacheRows += KeyValueCache.rows(length)
      }
      for room in rooms {
        for _ in 0..<options.completionsPerPrompt {
          ownRows.append(cacheRows)
          cacheRows += KeyValueCache.rows(room)
        }
      }
      var first = 0
      while first < lengths.count {
        var (last, tokens) = (first, 0)
        while last < lengths.count, last == first || tokens + lengths[last] <= Generator.prefillTokens {
          tokens += lengths[last]
          last += 1
        }
        prefills.append(first..<last)
        mostTokens = max(mostTokens, tokens)
        first = last
      }
    }
  }

  /// Completions of each prompt. `onToken(prompt, completion, token)` sees every token as it is drawn, from the calling
  /// thread, and returns false to stop everything (the result then holds what there is).
  ///
  /// Throws `.invalidArgument` for an empty prompt or one that fills the context, and for options out of range.
  package func generate(
    prompts: [[Int32]], options: GenerationOptions, onToken: ((Int, Int, Int32) -> Bool)? = nil
  ) throws -> [[Completion]] {
    try check(prompts, options)
    var results = prompts.map { _ in
      [Growing](repeating: Growing(), count: options.completionsPerPrompt)
    }
    for group in Generator.groups(prompts.count, options) {
      guard try generate(prompts, group, options, &results, onToken) else { break }
    }
    return results.map { $0.map { Completion(tokens: $0.tokens, finish: $0.finish ?? .length, logProbs: $0.logProbs) } }
  }

  func check(_ prompts: [[Int32]], _ options: GenerationOptions) throws {
    try options.validate()
    guard decoder.head != nil else { throw DPOError.unsupported("a reward model scores text; it generates none") }
    let context = decoder.configuration.contextLength
    for (index, prompt) in prompts.enumerated() {
      guard !prompt.isEmpty else { throw DPOError.argument("prompt \(index) is empty") }
      guard prompt.count < context else {
        throw DPOError.argument("prompt \(index): \(prompt.count) tokens leave no room in a context of \(context)")
      }
    }
  }

  private struct Growing {
    var tokens: [Int32] = []
    var logProbs: [Float] = []
    var finish: Completion.Finish?
  }

  /// Where a sequence stands in `results` and in the cache.
  private struct Place {
    let prompt, completion, promptRow, promptCount, ownRow, room: Int
    /// In the cache of recurrences.
    let slot: Int
  }

  /// Completes some of the prompts together. False if `onToken` asked to stop.
  private func generate(
    _ prompts: [[Int32]], _ range: Range<Int>, _ options: GenerationOptions, _ results: inout [[Growing]],
    _ onToken: ((Int, Int, Int32) -> Bool)?
  ) throws -> Bool {
    let n = options.completionsPerPrompt
    let layout = Layout(
      range.map { prompts[$0].count }, options, context: decoder.configuration.contextLength)
    var active: [Place] = []
    for (offset, index) in range.enumerated() {
      for completion in 0..<n {
        active.append(
          Place(
            prompt: index, completion: completion, promptRow: layout.promptRows[offset],
            promptCount: prompts[index].count, ownRow: layout.ownRows[offset * n + completion],
            room: layout.rooms[offset], slot: range.count + offset * n + completion))
      }
    }
    let cache = try KeyValueCache(decoder.configuration, rows: layout.cacheRows)
    let recurrent = try RecurrentCache(decoder.configuration, slots: range.count * (n + 1))
    let runner = ModelRunner(decoder: decoder, team: team, precision: options.precision)
    let step = try DecodeStep(
      decoder, adapter: adapter, team: team, precision: options.precision, cache: cache, recurrent: recurrent,
      rotations: runner.rotations,
      rows: max(range.count * n, 1), longest: layout.longest)
    try prefill(Array(prompts[range]), room: options.maxNewTokens, layout, runner, cache, recurrent, step)
    if let recurrent {
      for place in active { recurrent.copy(place.prompt - range.lowerBound, to: place.slot) }
    }

    var logitRows = active.map { $0.prompt - range.lowerBound }
    var rows: [DecodeStep.Row] = []
    var samplers = [Sampler](
      repeating: Sampler(options, team.engine, decoder.configuration), count: active.count)
    while true {
      let drawn = sample(active, logitRows, step, options, &samplers, results)
      var goesOn = true
      for (place, draw) in zip(active, drawn) {
        var growing = results[place.prompt][place.completion]
        growing.tokens.append(draw.token)
        growing.logProbs.append(draw.logProb)
        if options.stopTokens.contains(draw.token) {
          growing.finish = .stop
        } else if growing.tokens.count == place.room {
          growing.finish = .length
        }
        results[place.prompt][place.completion] = growing
        if goesOn, let onToken, !onToken(place.prompt, place.completion, draw.token) { goesOn = false }
      }
      if !goesOn { return false }
      active.removeAll { results[$0.prompt][$0.completion].finish != nil }
      if active.isEmpty { return true }
      logitRows.removeAll(keepingCapacity: true)
      logitRows.append(contentsOf: active.indices)
      rows.removeAll(keepingCapacity: true)
      for place in active {
        let tokens = results[place.prompt][place.completion].tokens
        rows.append(
          DecodeStep.Row(
            token: tokens.last ?? 0, position: place.promptCount + tokens.count - 1,
            length: decoder.configuration.grown(place.promptCount, by: options.maxNewTokens),
            promptRow: place.promptRow,
            promptCount: place.promptCount, ownRow: place.ownRow, ownCount: tokens.count - 1, slot: place.slot))
      }
      try decoder.checkFiles()
      try decoder.checkStop()
      rows.withUnsafeBufferPointer { step.run($0) }
    }
  }

  /// Keys and values of the prompts to the cache, logits of their last tokens to the step.
  func prefill(
    _ prompts: [[Int32]], room: Int, _ layout: Layout, _ runner: ModelRunner, _ cache: KeyValueCache,
    _ recurrent: RecurrentCache?, _ step: DecodeStep
  ) throws {
    let c = decoder.configuration
    for together in layout.prefills {
      var forest = TokenForest()
      var blocks: [(row: Int, count: Int, cacheRow: Int)] = []
      for index in together {
        let count = prompts[index].count
        for start in stride(from: 0, to: count, by: 16) {
          blocks.append((forest.tokens.count + start, min(16, count - start), layout.promptRows[index] + start))
        }
        forest.addPrompt(prompts[index])
      }
      let keepsState: ModelRun.StateKeeper = { layer, tree, head in
        recurrent?.state(layer, together.lowerBound + tree, head: head)
      }
      let residuals = try runner.residuals(forest, adapter: adapter, room: room, keepsState: keepsState) { layer, qkv in
        if c.layersWithRecurrence.contains(layer) {
          for (index, segment) in forest.segments.enumerated() {
            keepTail(layer, together.lowerBound + index, qkv, segment, recurrent)
          }
          return
        }
        let shape = c.attention(layer)
        guard shape.keySource == nil else { return }
        team.run(blocks.count) { index, _ in
          let block = blocks[index]
          for row in 0..<block.count {
            let keys = qkv + (block.row + row) * shape.width + shape.keyColumn
            cache.store(
              layer, row: block.cacheRow + row, head: 0, heads: shape.keyValueHeadCount, keys: keys,
              values: keys + shape.keyValueWidth, with: team.kernels)
          }
        }
      }
      step.logits(
        of: residuals, forest.segments.map { $0.start + $0.count - 1 }, from: together.lowerBound)
    }
  }

  /// The last rows of a prompt that a convolution goes over, from the inputs of its recurrence.
  private func keepTail(
    _ layer: Int, _ slot: Int, _ inputs: UnsafeMutablePointer<Float>, _ segment: TokenForest.Segment,
    _ recurrent: RecurrentCache?
  ) {
    guard let recurrent else { return }
    let rows = segment.start..<segment.start + segment.count
    for row in rows.suffix(recurrent.kernel - 1) {
      switch recurrent.recurrence {
      case .deltaNet(let net): recurrent.append(layer, slot, inputs + row * net.inputWidth)
      case .convolution:
        let size = recurrent.channels
        let x = inputs + row * 3 * size
        withUnsafeTemporaryAllocation(of: Float.self, capacity: size) { u in
          for index in 0..<size { u[index] = x[index] * x[2 * size + index] }
          if let base = u.baseAddress { recurrent.append(layer, slot, base) }
        }
      }
    }
  }

  private func sample(
    _ active: [Place], _ logitRows: [Int], _ step: DecodeStep, _ options: GenerationOptions,
    _ samplers: inout [Sampler],
    _ results: [[Growing]]
  ) -> [(token: Int32, logProb: Float)] {
    let vocabulary = decoder.configuration.vocabularySize
    var drawn = [(token: Int32, logProb: Float)](repeating: (0, 0), count: active.count)
    drawn.withUnsafeMutableBufferPointer { drawn in
      samplers.withUnsafeMutableBufferPointer { samplers in
        team.run(active.count) { index, _ in
          let place = active[index]
          let position = results[place.prompt][place.completion].tokens.count
          let draw = CounterRandom(
            stream: [
              options.seed, UInt64(options.firstPrompt &+ place.prompt), UInt64(place.completion), UInt64(position),
            ])
          drawn[index] = samplers[index].sample(
            step.logits.pointer + logitRows[index] * vocabulary, vocabulary, draw: draw)
        }
      }
    }
    return drawn
  }
}
