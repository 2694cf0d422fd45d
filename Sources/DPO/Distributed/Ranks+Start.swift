import DPOBase
import DPOKernels
import DPOModel
import DPOPlatform

/// What one of several processes on a machine may use of it.
struct MachineShare {
  var threads: Int
  /// Ranks that run on the same machine.
  var ranksHere = 1
}

/// Where a rank runs, and what it would tell chat templates of the time.
private struct Place: RankMessage {
  let host: String
  /// Processors that it may run on.
  let processors: [UInt8]
  let date: Int?

  init(host: String, processors: [UInt8], date: Int?) {
    (self.host, self.processors, self.date) = (host, processors, date)
  }

  init(from reader: inout MessageReader) throws {
    self.init(
      host: try reader.text(), processors: try reader.numbers(of: UInt8.self),
      date: try reader.optional { try $0.integer() })
  }

  func write(to writer: inout MessageWriter) {
    writer.write(host)
    writer.write(processors)
    writer.write(optional: date) { $0.write($1) }
  }

  /// Whether both would run on some of the same processors.
  func contends(with other: Place) -> Bool {
    host == other.host && zip(processors, other.processors).contains { $0 & $1 != 0 }
  }
}

extension Ranks {
  /// Processors that mpirun bound the ranks to are theirs; those that several ranks may run on are divided. The date is rank
  /// 0's.
  func begin(_ options: TrainingOptions.Machine, date: Int?) throws -> (share: MachineShare, date: Int?) {
    let available = ThreadTeam.availableProcessors
    guard count > 1 else { return (MachineShare(threads: ThreadTeam.useful(options.threads)), date) }
    let places = try gather { Place(host: Machine.hostName, processors: Machine.processorMask, date: date) }
    let own = places[rank]
    let threads = max(1, available / max(1, places.count { $0.contends(with: own) }))
    let share = MachineShare(
      threads: options.threads == 0 ? threads : ThreadTeam.useful(options.threads),
      ranksHere: places.count { $0.host == own.host })
    return (share, places[0].date)
  }

  /// Refuses ranks that would never have anything to do.
  func check(_ source: any BatchSource, _ options: TrainingOptions) throws {
    guard count > source.mostMicroBatches else { return }
    throw DPOError.argument(
      "\(count) ranks, but a step has only \(source.mostMicroBatches) micro-batches of per_device_train_batch_size = "
        + "\(options.batches.perDeviceTrainBatchSize) rows; start \(source.mostMicroBatches) ranks at most, or make "
        + "per_device_train_batch_size smaller")
  }
}

extension Trainer {
  /// Refuses ranks that would train different things.
  func checkAgainstOtherRanks() throws {
    guard ranks.count > 1 else { return }
    let facts = try ranks.gather { RunFactsOfRank(facts: rankFacts) }
    guard let first = facts.first else { return }
    var differences: [String] = []
    for (index, name) in first.facts.map(\.name).enumerated() {
      let values = facts.map { $0.facts.count > index && $0.facts[index].name == name ? $0.facts[index].value : "none" }
      guard let other = values.firstIndex(where: { $0 != values[0] }) else { continue }
      differences.append("\(name) (rank 0: \(values[0]), rank \(other): \(values[other]))")
    }
    guard differences.isEmpty else {
      throw DPOError.mismatch("the ranks are not of one run; what differs: \(differences.joined(separator: ", "))")
    }
  }

  private var rankFacts: [(name: String, value: String)] {
    var facts = [
      ("version", DPOVersion.string), ("engine", team.engine.name),
      ("the training data", hexadecimal(data.fingerprint)),
      ("the evaluation data", evaluation.map { hexadecimal($0.fingerprint) } ?? "none"),
      ("the model", hexadecimal(modelFingerprint)),
      ("the reference model", reference == nil ? "none" : hexadecimal(referenceFingerprint)),
      ("the adapter", adapter == nil ? "none" : hexadecimal(parameterFingerprint)),
    ]
    // What each machine may say for itself.
    let own = ["threads", "memory_limit_mb", "engine", "offload", "data_cache"]
    facts += TrainingOptions.fields.filter { !own.contains($0.name) }.map { ($0.name, "\($0.value(in: options))") }
    return facts
  }
}

/// What has to be the same on all ranks.
private struct RunFactsOfRank: RankMessage {
  let facts: [(name: String, value: String)]

  init(facts: [(name: String, value: String)]) { self.facts = facts }

  init(from reader: inout MessageReader) throws {
    facts = try reader.list { (try $0.text(), try $0.text()) }
  }

  func write(to writer: inout MessageWriter) {
    writer.write(list: facts) {
      $0.write($1.name)
      $0.write($1.value)
    }
  }
}
