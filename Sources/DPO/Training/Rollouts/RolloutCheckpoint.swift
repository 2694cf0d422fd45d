import DPOBase
import DPOModel
import DPOStorage

/// A rollout in a checkpoint: the steps that are still to learn from it cannot draw it again, for the policy that drew it is
/// gone.
extension Rollout {
  func store(in state: inout SourceState) {
    state.attributes["rollout_metrics"] = .object(metrics.json)
    state.attributes["rollout_divergence"] = .real(divergence)
    state.attributes["rollout_is_paired"] = .int(data?.isPaired == true ? 1 : 0)
    guard let data else { return }
    var ids: [Int32] = []
    var lengths: [Int32] = []
    for row in 0..<data.count {
      for part in [data.prompt(row)] + data.sequences(row).map(\.completion) {
        ids.append(contentsOf: part)
        lengths.append(Int32(clamping: part.count))
      }
    }
    state.columns = [CheckpointColumn("ids", ids), CheckpointColumn("lengths", lengths)]
    for (name, member) in Rollout.columns {
      if let values = tokens?[keyPath: member], !values.isEmpty { state.columns.append(CheckpointColumn(name, values)) }
    }
    if let referenceSums {
      state.columns.append(CheckpointColumn("reference_sums", referenceSums.flatMap { $0 }))
    }
  }

  private static var columns: [(name: String, member: WritableKeyPath<RolloutTokens, [Float]>)] {
    [
      ("logprobs", \.logProbs), ("values", \.values), ("advantages", \.advantages), ("returns", \.returns),
      ("reference_logprobs", \.referenceLogProbs),
    ]
  }

  init(_ state: SourceState, vocabularySize: Int, file: String) throws {
    func wrong(_ what: String) -> DPOError { DPOError.format(file, "the rollout in it is damaged: \(what)") }
    func column<Element>(_ name: String, _ read: (CheckpointColumn) -> [Element]?) throws -> [Element]? {
      guard let found = state.columns.first(where: { $0.name == name }) else { return nil }
      guard let values = read(found) else { throw wrong("/rollout/\(name) has other elements") }
      return values
    }
    guard let divergence = state.attributes["rollout_divergence"]?.double,
      let metrics = state.attributes["rollout_metrics"]?.object
    else { throw wrong("its metrics are missing") }
    self.divergence = divergence
    self.metrics = Metrics(json: metrics)
    guard let ids = try column("ids", \.integers), let lengths = try column("lengths", \.integers) else {
      data = nil
      return
    }
    let parts = state.attributes["rollout_is_paired"] == .int(1) ? 3 : 2
    guard lengths.count % parts == 0, !lengths.isEmpty,
      let ranges = try? tokenRanges(lengths.map(Int.init), total: ids.count)
    else { throw wrong("its lengths do not fit its ids") }
    let rows = stride(from: 0, to: ranges.count, by: parts).map { first in
      TokenizedRow(
        prompt: Array(ids[ranges[first]]), completion: Array(ids[ranges[first + 1]]),
        rejected: parts == 3 ? Array(ids[ranges[first + 2]]) : nil)
    }
    let data = try TokenizedDataset.drawn(rows)
    try data.check(vocabularySize: vocabularySize)
    self.data = data
    let targets = (0..<data.count).reduce(0) { $0 + data.size($1).targets }
    var tokens = RolloutTokens(logProbs: [], advantages: [])
    for (name, member) in Rollout.columns {
      guard let values = try column(name, \.floats) else { continue }
      guard values.count == targets else { throw wrong("/rollout/\(name) has \(values.count) of \(targets) numbers") }
      tokens[keyPath: member] = values
    }
    if tokens.count > 0 { self.tokens = tokens }
    if let sums = try column("reference_sums", \.doubles) {
      guard sums.count == rows.count * (parts - 1) else { throw wrong("/rollout/reference_sums has other rows") }
      referenceSums = rows.indices.map { Array(sums[$0 * (parts - 1)..<($0 + 1) * (parts - 1)]) }
    }
  }
}
