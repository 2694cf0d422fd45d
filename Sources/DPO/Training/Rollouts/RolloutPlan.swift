import DPOBase

/// Which prompts a rollout answers, and which of its rows every optimiser step sees: pure index arithmetic, so that a run can
/// be taken up at any step.
///
/// Prompts come in the order of a fresh permutation an epoch (or of the file), one epoch after the other, so that every
/// rollout is whole. Its rows are gone over `epochs` times, each time in a new order that is cut into `miniBatches` parts: an
/// optimiser step each, in micro-batches of `batchSize` rows.
package struct RolloutPlan: Sendable {
  /// Prompts of the data, and of a rollout.
  package let prompts, promptsPerRollout: Int
  package let epochs, miniBatches, batchSize: Int
  package let seed: Int
  package let shuffle: Bool
  /// S: optimiser steps of the run.
  package let totalSteps: Int

  package init(
    prompts: Int, promptsPerRollout: Int, epochs: Int, miniBatches: Int, batchSize: Int, length: BatchPlan.Length,
    seed: Int = 42, shuffle: Bool = true
  ) throws {
    // Rollouts are numbered as BatchPlan numbers its steps.
    let steps = epochs * miniBatches
    switch length {
    case .steps(let count): totalSteps = count
    case .epochs(let epochs):
      let rollouts = (epochs * Double(prompts) / Double(max(1, promptsPerRollout))).rounded(.up)
      guard epochs > 0, rollouts * Double(steps) < 1e15 else {
        throw DPOError.argument("num_train_epochs is \(epochs); expected a finite number > 0")
      }
      totalSteps = Int(rollouts) * steps
    }
    self.prompts = prompts
    self.promptsPerRollout = promptsPerRollout
    self.epochs = epochs
    self.miniBatches = miniBatches
    self.batchSize = batchSize
    self.seed = seed
    self.shuffle = shuffle
  }

  package var stepsPerRollout: Int { epochs * miniBatches }
  package var stepsPerEpoch: Int { (prompts + promptsPerRollout - 1) / promptsPerRollout * stepsPerRollout }

  /// The rollout that step k learns from.
  package func rollout(of k: Int) -> Int { k / stepsPerRollout }

  /// Epochs done after `steps` steps: the prompts of the rollouts that were begun.
  package func epochs(after steps: Int) -> Double {
    Double((steps + stepsPerRollout - 1) / stepsPerRollout * promptsPerRollout) / Double(prompts)
  }

  /// Rows of the data that rollout j = 0, 1, … answers, in order.
  package func prompts(ofRollout j: Int) -> [Int] {
    var order: (epoch: Int, rows: [Int])?
    return (j * promptsPerRollout..<(j + 1) * promptsPerRollout).map { place in
      let (epoch, index) = place.quotientAndRemainder(dividingBy: prompts)
      guard shuffle else { return index }
      if order?.epoch != epoch {
        order = (epoch, MersenneTwister.permutation(prompts, seed: UInt32(truncatingIfNeeded: seed &+ epoch)))
      }
      return order?.rows[index] ?? index
    }
  }

  /// Rows of each micro-batch of step k, of a rollout of so many rows. None where there are fewer rows than parts.
  package func microBatches(_ k: Int, rows: Int) -> [[Int]] {
    let (pass, part) = (k % stepsPerRollout).quotientAndRemainder(dividingBy: miniBatches)
    var order = Array(0..<rows)
    if shuffle {
      var random = CounterRandom(
        stream: [UInt64(truncatingIfNeeded: seed), 0x504F_4C4C, UInt64(rollout(of: k)), UInt64(pass)])
      for index in order.indices.dropLast() {
        order.swapAt(index, index + Int(random.next() % UInt64(rows - index)))
      }
    }
    let range = rows * part / miniBatches..<rows * (part + 1) / miniBatches
    return stride(from: range.lowerBound, to: range.upperBound, by: batchSize).map {
      Array(order[$0..<min($0 + batchSize, range.upperBound)])
    }
  }
}
