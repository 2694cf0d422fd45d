import DPOBase

/// Which rows every optimiser step of a run sees: pure index arithmetic, so that a run can be taken up at any step.
///
/// An epoch is a fresh permutation of the rows (MT19937 seeded with seed + epoch, as TRL draws it) or the rows in order;
/// it is cut into micro-batches of `batchSize` rows and these into groups of `accumulation`, one group a step. The last
/// micro-batch and the last group of an epoch may be short; no group reaches into the next epoch. Where rows are packed,
/// packs take the place of rows, and a step names the rows in its packs.
package struct BatchPlan: Sendable {
  /// How long a run is.
  package enum Length: Sendable, Equatable {
    case epochs(Double)
    case steps(Int)
  }

  /// The rows of one optimiser step.
  package struct Step: Sendable, Equatable {
    package let epoch: Int
    /// Row indices of each micro-batch; their number is what each micro-loss is divided by.
    package let microBatches: [[Int]]
    /// Epochs done after this step, as transformers logs them.
    package let epochAfter: Double
  }

  package let rows, batchSize, accumulation: Int
  package let seed: Int
  package let shuffle: Bool
  /// S: optimiser steps of the run.
  package let totalSteps: Int
  private let packs: [[Int]]?
  private var order: (epoch: Int, rows: [Int])?

  /// - Parameter packs: the rows of each pack; `rows` is then the number of packs.
  /// - Throws: `.invalidArgument` for no rows or sizes out of range.
  package init(
    rows: Int, batchSize: Int, accumulation: Int = 1, length: Length, seed: Int = 42, shuffle: Bool = true,
    packs: [[Int]]? = nil
  ) throws {
    guard packs.map({ $0.count == rows }) ?? true else {
      throw DPOError.argument("\(packs?.count ?? 0) packs; expected \(rows)")
    }
    self.packs = packs
    guard rows > 0, rows <= 1 << 40 else { throw DPOError.argument("\(rows) rows to train on; expected at least one") }
    guard batchSize > 0, accumulation > 0, batchSize <= 1 << 40, accumulation <= 1 << 40 else {
      throw DPOError.argument(
        "per_device_train_batch_size is \(batchSize) and gradient_accumulation_steps \(accumulation); expected at least 1"
      )
    }
    self.rows = rows
    self.batchSize = batchSize
    self.accumulation = accumulation
    self.seed = seed
    self.shuffle = shuffle
    let batches = (rows + batchSize - 1) / batchSize
    let stepsPerEpoch = (batches + accumulation - 1) / accumulation
    switch length {
    case .steps(let count):
      guard count > 0 else { throw DPOError.argument("max_steps is \(count); expected at least 1") }
      totalSteps = count
    case .epochs(let epochs):
      let steps = (epochs * Double(stepsPerEpoch)).rounded(.up)
      guard epochs > 0, steps < 1e15 else {
        throw DPOError.argument("num_train_epochs is \(epochs); expected a finite number > 0")
      }
      totalSteps = Int(steps)
    }
  }

  package var batchesPerEpoch: Int { (rows + batchSize - 1) / batchSize }
  package var stepsPerEpoch: Int { (batchesPerEpoch + accumulation - 1) / accumulation }

  /// Step k = 0, 1, … Steps of one epoch in a row share its permutation; a jump computes it anew.
  package mutating func step(_ k: Int) -> Step {
    let epoch = k / stepsPerEpoch
    let first = (k % stepsPerEpoch) * accumulation
    let last = min(first + accumulation, batchesPerEpoch)
    if shuffle, order?.epoch != epoch {
      order = (epoch, MersenneTwister.permutation(rows, seed: UInt32(truncatingIfNeeded: seed &+ epoch)))
    }
    let batches = (first..<last).map { batch in
      let range = batch * batchSize..<min((batch + 1) * batchSize, rows)
      let units = order.map { Array($0.rows[range]) } ?? Array(range)
      return packs.map { packs in units.flatMap { packs[$0] } } ?? units
    }
    return Step(
      epoch: epoch, microBatches: batches, epochAfter: Double(epoch) + Double(last) / Double(batchesPerEpoch))
  }
}
