import DPOKernels
import DPOPlatform

/// How unevenly the routers of a mixture share rows out among the experts: the auxiliary loss of Switch Transformers (Fedus et al.
/// 2022, equations 4 to 6) as transformers computes it, over the rows of all blocks together,
///
///     E · Σ_e f_e P_e
///
/// with E experts, f the share of the rows that go through an expert and P the mean of its softmax. It is k, the experts of
/// a row, where all experts get as much. A row counts as often as sequences have it.
final class RouterLoss {
  /// How often each row counts.
  private let weights: [Float]
  private let experts: Experts
  /// How often all rows of all blocks count.
  private let total: Double
  /// Of each expert: Σ over the rows that go through it, and Σ of the rows' softmax.
  private var visits, shares: [Double]
  /// Rows are being added: the pass that scores is under way, not one that computes it again.
  var isCounting = false
  /// d loss of a step / d of this one.
  var gradient = 0.0

  init(_ weights: [Float], _ experts: Experts, blocks: Int) {
    (self.weights, self.experts) = (weights, experts)
    total = weights.reduce(0) { $0 + Double($1) } * Double(blocks)
    (visits, shares) = ([Double](repeating: 0, count: experts.count), [Double](repeating: 0, count: experts.count))
  }

  var value: Double {
    guard total > 0 else { return 0 }
    return Double(experts.count) * zip(visits, shares).reduce(0) { $0 + $1.0 * $1.1 } / (total * total)
  }

  /// The rows of a block, with scores[rows, experts].
  func add(_ routing: Routing, _ scores: UnsafePointer<Float>, team: ThreadTeam) {
    for (index, expert) in routing.chosen.enumerated() {
      visits[Int(expert)] += Double(weights[index / routing.active])
    }
    // Of blocks of rows, so that sums have one order for any number of threads.
    let (size, count) = (64, experts.count)
    let blocks = (weights.count + size - 1) / size
    var sums = [Double](repeating: 0, count: blocks * count)
    sums.withUnsafeMutableBufferPointer { sums in
      team.measured("router loss") {
        team.run(blocks) { block, _ in
          withUnsafeTemporaryAllocation(of: Float.self, capacity: count) { softmax in
            for row in block * size..<min(weights.count, (block + 1) * size) where weights[row] > 0 {
              experts.softmax(scores + row * count, into: softmax)
              for expert in 0..<count { sums[block * count + expert] += Double(weights[row] * softmax[expert]) }
            }
          }
        }
      }
    }
    for (index, sum) in sums.enumerated() { shares[index % count] += sum }
  }

  /// Adds d / d score of each expert of a row: γ (E / n²) w p_e (v_e − Σ v p), v the visits and n the total.
  func addGradient(_ row: Int, _ scores: UnsafePointer<Float>, to sum: UnsafeMutablePointer<Float>) {
    guard gradient != 0, weights[row] > 0 else { return }
    let scale = gradient * Double(experts.count) / (total * total) * Double(weights[row])
    withUnsafeTemporaryAllocation(of: Float.self, capacity: experts.count) { softmax in
      experts.softmax(scores, into: softmax)
      let mean = softmax.indices.reduce(0) { $0 + visits[$1] * Double(softmax[$1]) }
      for expert in softmax.indices { sum[expert] += Float(scale * Double(softmax[expert]) * (visits[expert] - mean)) }
    }
  }
}

extension Experts {
  /// Of the scores of all experts.
  fileprivate func softmax(_ scores: UnsafePointer<Float>, into softmax: UnsafeMutableBufferPointer<Float>) {
    let top = (0..<count).reduce(-Float.infinity) { max($0, scores[$1]) }
    var sum: Float = 0
    for expert in 0..<count {
      softmax[expert] = exp(scores[expert] - top)
      sum += softmax[expert]
    }
    for expert in 0..<count { softmax[expert] /= sum }
  }
}

extension TokenForest {
  /// How many of the first `balancedSequences` each row is a part of; nil: none is asked for.
  var balancedRows: [Float]? {
    guard let balancedSequences else { return nil }
    var segmentOfRow = [Int](repeating: 0, count: tokens.count)
    for (index, segment) in segments.enumerated() {
      for row in segment.start..<segment.start + segment.count { segmentOfRow[row] = index }
    }
    var counts = [Float](repeating: 0, count: segments.count)
    for last in lastRows.prefix(balancedSequences) where last >= 0 { counts[segmentOfRow[last]] += 1 }
    for (index, segment) in segments.enumerated().reversed() {
      if let parent = segment.parent { counts[parent] += counts[index] }
    }
    return segmentOfRow.map { counts[$0] }
  }
}
