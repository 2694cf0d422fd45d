import ArgumentParser
import DPO
import DPOPlatform

struct Bench: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Time optimiser steps, or with --generate the making of tokens.",
    discussion: """
      All rows of a workload are the one batch of every step. The first step is not timed. The reference model's log-probs \
      are computed in every step. --generate times greedy completions of made-up prompts.
      """)

  @Argument(help: "GGUF file, Hugging Face directory or HDF5 file.", completion: .file())
  var model: String

  @Option(help: "Pairs.", completion: .file())
  var workload: String?

  @Option(help: ArgumentHelp("Timed steps, or rounds of generation.", valueName: "N"))
  var steps = 3

  @Flag(help: "Time generation instead of training.")
  var generate = false

  @Option(help: "Adapter on the model that generates.", completion: .file())
  var adapter: String?

  @Option(help: ArgumentHelp("Sequences that grow together.", valueName: "B"))
  var batch = 1

  @Option(help: ArgumentHelp("Tokens of each prompt.", valueName: "P"))
  var promptTokens = 64

  @Option(help: ArgumentHelp("Tokens to generate for each prompt.", valueName: "N"))
  var maxNewTokens = 64

  @Flag(help: "Milliseconds, GFLOP/s and GB/s of every kind of kernel.")
  var profile = false

  @Flag(help: "One JSON document on stdout.")
  var json = false

  @OptionGroup var flags: TrainingFlags

  func validate() throws {
    guard steps >= 1 else { throw ValidationError("--steps is \(steps), expected at least 1") }
    guard generate != (workload != nil) else { throw ValidationError("give one of --workload and --generate") }
    for (name, value, least) in [
      ("--batch", batch, 1), ("--prompt-tokens", promptTokens, 1), ("--max-new-tokens", maxNewTokens, 2),
    ] where !(least...1 << 20).contains(value) {
      throw ValidationError("\(name) is \(value), expected \(least) to \(1 << 20)")
    }
  }

  func kernelRows(_ entries: [Profile.Entry]) -> [JSONObject] {
    entries.map { entry in
      [
        "name": .string(entry.name), "calls": .int(entry.calls), "ms": .real(entry.seconds * 1e3 / Double(steps)),
        "gflops": .real(entry.gflops), "gb_s": .real(entry.gigabytesPerSecond),
      ]
    }
  }

  func printKernels(_ entries: [Profile.Entry]) {
    for entry in entries {
      print(
        "  \(entry.name): \(Terminal.short(entry.seconds * 1e3 / Double(steps))) ms a \(generate ? "round" : "step"), \(Terminal.short(entry.gflops)) GFLOP/s, \(Terminal.short(entry.gigabytesPerSecond)) GB/s"
      )
    }
  }

  func peakMegabytes() -> Int {
    var usage = rusage()
    getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
    return usage.ru_maxrss >> 10
  }

  func run() throws {
    guard let workload else { return try runGeneration() }
    let clock = ContinuousClock()
    let start = clock.now
    var options = try flags.options()
    let model = try ModelFile.open(model)
    options.rows.maxLength = nil
    let data = try model.dataset(.file(workload), options: options.dataset())
    options.batches.perDeviceTrainBatchSize = max(1, data.count)
    options.batches.maxSteps = steps + 1
    options.optimization.lrSchedulerType = .constant
    options.batches.shuffle = false
    let trainer = try Trainer(model: model, data: data, options: options)
    let loaded = start.duration(to: clock.now) / .seconds(1)
    let first = try trainer.takeStep()
    let kernels = profile ? trainer.startProfile() : nil
    var progress = Progress("step")
    let records = try (1...steps).map { number in
      let record = try trainer.takeStep()
      progress.show(done: number, total: steps, detail: "")
      return record
    }
    let seconds = records.map(\.seconds).sorted()
    let median = (seconds[(seconds.count - 1) / 2] + seconds[seconds.count / 2]) / 2
    let peak = peakMegabytes()
    var object: JSONObject = [
      "seconds_per_step": .real(median), "seconds_per_step_min": .real(seconds[0]),
      "seconds_per_step_all": .array(records.map { .real($0.seconds) }), "first_step_seconds": .real(first.seconds),
      "load_seconds": .real(loaded), "peak_rss_mb": .int(peak),
      "tokens": [
        "pairs": .int(data.count), "prompt": .int((0..<data.count).reduce(0) { $0 + data.sequence($1).prompt.count }),
        "shared": .int(trainer.plan.distinctTokens),
        "unshared": .int((0..<data.count).reduce(0) { $0 + data.attendedTokens($1) }),
      ],
      "gflops": .real(trainer.countedOperations(step: 0) / median / 1e9),
      "precision": .string(options.machine.precision.rawValue), "lora_r": .int(options.lora.rank),
      "engine": .string(trainer.engine.name),
      "threads": .int(trainer.threads), "losses": .array(([first] + records).map { .real($0[.loss] ?? .nan) }),
    ]
    if profile { object["profile"] = .array(kernelRows(kernels?.entries ?? []).map(JSON.object)) }
    if json {
      printJSON(.object(object))
    } else {
      print(
        "\(Terminal.short(median, digits: 4)) s a step (fastest \(Terminal.short(seconds[0], digits: 4))), \(Terminal.short(trainer.countedOperations(step: 0) / median / 1e9)) GFLOP/s, \(peak) MiB at the peak, \(trainer.threads) threads, \(trainer.engine.name)"
      )
      printKernels(kernels?.entries ?? [])
    }
  }
}
