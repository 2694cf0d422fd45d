import ArgumentParser
import DPO
import DPOPlatform

/// Tokens a second of greedy generation. Every sequence has a prompt of its own and runs to the full length.
struct GenerationBench {
  let batch, promptTokens, newTokens, rounds: Int
  let precision: Precision

  /// One round is not timed. A round's prefill ends with the first token of every sequence.
  func run(_ model: LanguageModel, start: () -> Void, progress: (Int) -> Void) throws -> (
    prefill: [Double], decode: [Double]
  ) {
    let vocabulary = Int32(clamping: model.configuration.vocabularySize)
    let prompts = (0..<batch).map { sequence in
      (0..<promptTokens).map { Int32(clamping: ($0 + 1) * 7919 + sequence * 104_729) % max(vocabulary, 1) }
    }
    var options = GenerationOptions()
    options.temperature = 0
    options.maxNewTokens = newTokens
    options.precision = precision
    let generator = Generator(decoder: model.decoder, adapter: model.adapter, team: model.team)
    let clock = ContinuousClock()
    var (prefill, decode): ([Double], [Double]) = ([], [])
    for round in 0...rounds {
      if round == 1 { start() }
      let begin = clock.now
      var (drawn, first) = (0, begin)
      _ = try generator.generate(prompts: prompts, options: options) { _, _, _ in
        drawn += 1
        if drawn == batch { first = clock.now }
        return true
      }
      let end = clock.now
      guard round > 0 else { continue }
      prefill.append(Double(batch * promptTokens) / (begin.duration(to: first) / .seconds(1)))
      decode.append(Double(batch * (newTokens - 1)) / (first.duration(to: end) / .seconds(1)))
      progress(round)
    }
    return (prefill, decode)
  }
}

extension Bench {
  func runGeneration() throws {
    let clock = ContinuousClock()
    let begin = clock.now
    let options = try flags.options()
    let precision = options.machine.precision
    let bench = GenerationBench(
      batch: batch, promptTokens: promptTokens, newTokens: maxNewTokens, rounds: steps, precision: precision)
    let model = try LanguageModel(
      path: model, adapter: adapter, threads: options.machine.threads, engine: Engine(named: options.machine.engine))
    let loaded = begin.duration(to: clock.now) / .seconds(1)
    var kernels: Profile?
    var bar = Progress("round")
    let rates = try bench.run(
      model,
      start: {
        if profile {
          kernels = Profile()
          model.team.profile = kernels
        }
      }, progress: { bar.show(done: $0, total: steps, detail: "") })
    let (prefill, decode) = (rates.prefill.sorted(), rates.decode.sorted())
    func median(_ sorted: [Double]) -> Double { (sorted[(sorted.count - 1) / 2] + sorted[sorted.count / 2]) / 2 }
    let peak = peakMegabytes()
    let entries = kernels?.entries ?? []
    if json {
      var object: JSONObject = [
        "tokens_per_second": .real(median(decode)), "tokens_per_second_max": .real(decode[decode.count - 1]),
        "prefill_tokens_per_second": .real(median(prefill)),
        "prefill_tokens_per_second_max": .real(prefill[prefill.count - 1]), "batch": .int(batch),
        "prompt_tokens": .int(promptTokens), "max_new_tokens": .int(maxNewTokens), "load_seconds": .real(loaded),
        "peak_rss_mb": .int(peak), "precision": .string(precision.rawValue),
        "engine": .string(model.team.engine.name), "threads": .int(model.team.threads),
      ]
      if profile { object["profile"] = .array(kernelRows(entries).map(JSON.object)) }
      printJSON(.object(object))
    } else {
      print(
        """
        \(Terminal.short(median(decode), digits: 4)) tokens/s (fastest \(Terminal.short(decode[decode.count - 1], digits: 4))) \
        of \(batch) sequences, prompts \(Terminal.short(median(prefill), digits: 4)) tokens/s, \(peak) MiB at the peak, \
        \(model.team.threads) threads, \(model.team.engine.name)
        """)
      printKernels(entries)
    }
  }
}
