import ArgumentParser
import DPO
import Glibc

struct Bench: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Time optimiser steps: all rows of a workload are the one batch of every step.",
    discussion: "The first step is not timed. The reference model's log-probs are computed in every step.")

  @Argument(help: "GGUF file, Hugging Face directory or HDF5 file.")
  var model: String

  @Option(help: "Pairs as JSON lines.")
  var workload: String

  @Option(help: ArgumentHelp("Timed steps.", valueName: "N"))
  var steps = 3

  @Flag(help: "Milliseconds, GFLOP/s and GB/s of every kind of kernel.")
  var profile = false

  @Flag(help: "One JSON document on stdout.")
  var json = false

  @OptionGroup(title: "Training options") var flags: TrainingFlags

  func validate() throws {
    guard steps >= 1 else { throw ValidationError("--steps is \(steps), expected at least 1") }
  }

  func run() throws {
    let clock = ContinuousClock()
    let start = clock.now
    var options = try flags.options()
    let model = try ModelFile.open(model)
    options.maxLength = nil
    let data = try model.dataset(jsonl: workload, options: options.dataset())
    options.perDeviceTrainBatchSize = max(1, data.count)
    options.maxSteps = steps + 1
    options.lrSchedulerType = "constant"
    options.shuffle = false
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
    var usage = rusage()
    getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
    var object: JSONObject = [
      "seconds_per_step": .real(median), "seconds_per_step_min": .real(seconds[0]),
      "seconds_per_step_all": .array(records.map { .real($0.seconds) }), "first_step_seconds": .real(first.seconds),
      "load_seconds": .real(loaded), "peak_rss_mb": .int(usage.ru_maxrss >> 10),
      "tokens": [
        "pairs": .int(data.count), "prompt": .int((0..<data.count).reduce(0) { $0 + data.sequence($1).prompt.count }),
        "shared": .int(trainer.plan.distinctTokens),
        "unshared": .int((0..<data.count).reduce(0) { $0 + data.attendedTokens($1) }),
      ],
      "gflops": .real(trainer.countedOperations(step: 0) / median / 1e9),
      "precision": .string(options.precision), "lora_r": .int(options.loraR), "engine": .string(DPOVersion.engine),
      "threads": .int(trainer.threads), "losses": .array(([first] + records).map { .real($0["loss"] ?? .nan) }),
    ]
    let kernelRows = (kernels?.entries ?? []).map { entry -> JSONObject in
      [
        "name": .string(entry.name), "calls": .int(entry.calls), "ms": .real(entry.seconds * 1e3 / Double(steps)),
        "gflops": .real(entry.gflops), "gb_s": .real(entry.gigabytesPerSecond),
      ]
    }
    if profile { object["profile"] = .array(kernelRows.map(JSON.object)) }
    if json {
      printJSON(.object(object))
    } else {
      print(
        "\(Terminal.short(median, digits: 4)) s a step (fastest \(Terminal.short(seconds[0], digits: 4))), \(Terminal.short(trainer.countedOperations(step: 0) / median / 1e9)) GFLOP/s, \(usage.ru_maxrss >> 10) MiB at the peak, \(trainer.threads) threads, \(DPOVersion.engine)"
      )
      for entry in kernels?.entries ?? [] {
        print(
          "  \(entry.name): \(Terminal.short(entry.seconds * 1e3 / Double(steps))) ms a step, \(Terminal.short(entry.gflops)) GFLOP/s, \(Terminal.short(entry.gigabytesPerSecond)) GB/s"
        )
      }
    }
  }
}
