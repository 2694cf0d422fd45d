import DPOBase
import DPOKernels

/// One sequence that grows turn by turn. Keys and values of what a prompt begins with stay from the prompt and the completion
/// before: only the rest is computed.
package final class Conversation {
  private let generator: Generator
  private var state: State?

  /// Tokens of the last prompt that were not computed again.
  package private(set) var keptTokens = 0

  package init(decoder: Decoder, adapter: LoRAAdapter? = nil, team: ThreadTeam) {
    generator = Generator(decoder: decoder, adapter: adapter, team: team)
  }

  /// Tokens that are forwarded together behind what is kept.
  private static let chunk = 32

  /// A cache with room for so many positions, and what stands in it.
  private final class State {
    let room: Int
    let precision: Precision
    let runner: ModelRunner
    let cache: KeyValueCache
    let step: DecodeStep
    var tokens: [Int32] = []
    /// Whether angles are those of sequences beyond the length that the model was made for.
    var isFar = false

    init(_ generator: Generator, room: Int, precision: Precision) throws {
      let decoder = generator.decoder
      (self.room, self.precision) = (room, precision)
      runner = ModelRunner(decoder: decoder, team: generator.team, precision: precision)
      cache = try KeyValueCache(decoder.configuration, rows: room)
      step = try DecodeStep(
        decoder, adapter: generator.adapter, team: generator.team, precision: precision, cache: cache, recurrent: nil,
        rotations: runner.rotations, rows: Conversation.chunk, longest: room)
    }
  }

  /// A completion of a prompt. `onToken` sees every token as it is drawn, from the calling thread, and returns false to stop (the
  /// result then holds what there is). The draw is a function of seed and position, as the generator's of one prompt.
  ///
  /// Throws `.invalidArgument` for an empty prompt or one that fills the context, and for options out of range.
  package func complete(
    _ prompt: [Int32], options: GenerationOptions, onToken: ((Int32) -> Bool)? = nil
  ) throws -> Completion {
    try generator.check([prompt], options)
    let c = generator.decoder.configuration
    guard options.completionsPerPrompt == 1 else {
      throw DPOError.argument("a conversation has one completion a prompt")
    }
    guard c.layersWithRecurrence.isEmpty else {  // their states cannot go back to where a prompt leaves what was kept
      return try generator.generate(prompts: [prompt], options: options) { _, _, token in onToken?(token) ?? true }[0][
        0]
    }
    let length = c.grown(prompt.count, by: options.maxNewTokens)
    let state = try read(prompt, length: length, options)

    var sampler = Sampler(options, generator.team.engine, c)
    var tokens: [Int32] = []
    var logProbs: [Float] = []
    while true {
      let draw = CounterRandom(stream: [options.seed, UInt64(options.firstPrompt), 0, UInt64(tokens.count)])
      let drawn = sampler.sample(state.step.logits.pointer, c.vocabularySize, draw: draw)
      tokens.append(drawn.token)
      logProbs.append(drawn.logProb)
      let stops = options.stopTokens.contains(drawn.token)
      let goesOn = onToken?(drawn.token) ?? true
      guard goesOn, !stops, prompt.count + tokens.count < length else {
        return Completion(tokens: tokens, finish: stops ? .stop : .length, logProbs: logProbs)
      }
      try forward([drawn.token], length: length, state)
    }
  }

  /// The whole prompt in the cache, and the logits of its last token.
  private func read(_ prompt: [Int32], length: Int, _ options: GenerationOptions) throws -> State {
    let known = state
    state = nil  // after an error everything is computed again
    var kept = 0
    if let known, known.room >= length, known.precision == options.precision,
      known.isFar == known.runner.rotations.isFar(length)
    {
      kept = zip(known.tokens, prompt.dropLast()).prefix { $0 == $1 }.count
    }
    let next: State
    // Rows behind what is kept are forwarded some at a time, which costs more a row than the whole prompt at once.
    if let known, kept > 0, 4 * kept >= prompt.count {
      next = known
      next.tokens.removeLast(next.tokens.count - kept)
      var rest = prompt.dropFirst(kept)
      while !rest.isEmpty {
        try forward(Array(rest.prefix(Conversation.chunk)), length: length, next)
        rest = rest.dropFirst(Conversation.chunk)
      }
    } else {
      kept = 0
      let context = generator.decoder.configuration.contextLength
      let fits = known.map { $0.room >= length && $0.precision == options.precision } ?? false
      // Twice the room that is needed, so that a talk seldom outgrows it.
      next =
        try fits
        ? known ?? State(generator, room: length, precision: options.precision)
        : State(generator, room: min(context, 2 * length), precision: options.precision)
      next.tokens = []
      next.isFar = next.runner.rotations.isFar(length)
      try generator.prefill(
        [prompt], room: options.maxNewTokens,
        Generator.Layout([prompt.count], options, context: context), next.runner, next.cache, nil, next.step)
      next.tokens = prompt
    }
    keptTokens = kept
    state = next
    return next
  }

  /// Some more tokens of the sequence, and the logits of the last one.
  private func forward(_ tokens: [Int32], length: Int, _ state: State) throws {
    try generator.decoder.checkFiles()
    try generator.decoder.checkStop()
    let first = state.tokens.count
    let rows = tokens.enumerated().map { index, token in
      DecodeStep.Row(
        token: token, position: first + index, length: length, promptRow: 0, promptCount: 0, ownRow: 0,
        ownCount: first + index, slot: 0)
    }
    rows.withUnsafeBufferPointer { state.step.run($0, ofOneSequence: true) }
    state.tokens += tokens
  }
}
