import DPOBase
import DPOKernels
import DPOModel

/// The update within the backward pass (Lv et al. 2023, Full Parameter Fine-tuning for Large Language Models with Limited
/// Resources): as soon as a layer's gradients are complete, its weights are updated, and the memory of the gradients is given
/// back. Only one layer's gradients are there at a time, beside those of what belongs to no layer: embeddings, head, last norm.
///
/// The weights end in the bits of an update behind the backward pass that does not clip.
final class BackwardUpdate {
  private let parameters: ParameterStore
  private let optimizer: Optimizer
  /// Parts of the store that are complete with layer 0, 1, …; the last: with the whole pass.
  private let ranges: [[Range<Int>]]
  private var rate = 0.0
  private var squares = 0.0
  /// What was not finite: a layer, or their number for the rest.
  private var failed: Int?
  private var updated = 0

  init(_ parameters: ParameterStore, _ optimizer: Optimizer, layerCount: Int) {
    (self.parameters, self.optimizer) = (parameters, optimizer)
    ranges = parameters.ranges(byLayer: layerCount)
  }

  /// Throws where options need all gradients at once.
  static func check(_ options: TrainingOptions, isFullTraining: Bool, microBatches: Int, ranks: Int) throws {
    for (holds, reason) in [
      (isFullTraining, "is of full training: the gradients of an adapter are small"),
      (
        options.optimization.maxGradNorm == 0,
        "needs max_grad_norm 0: it is \(options.optimization.maxGradNorm), and a norm of all gradients is not known in time"
      ),
      (
        microBatches <= 1,
        "needs steps of one micro-batch, and has \(microBatches): set gradient_accumulation_steps to 1"
      ),
      (ranks == 1, "is of one process, and there are \(ranks)"),
    ] where !holds {
      throw DPOError.argument("optimizer_in_backward \(reason)")
    }
  }

  /// Numbers whose gradients are there at a time at most.
  static func most(_ parameters: [(layer: Int?, count: Int)]) -> Int {
    let rest = parameters.reduce(0) { $0 + ($1.layer == nil ? $1.count : 0) }
    let layers = Dictionary(grouping: parameters) { $0.layer }
    return rest + (layers.filter { $0.key != nil }.values.map { $0.reduce(0) { $0 + $1.count } }.max() ?? 0)
  }

  /// A step's backward pass. `pass` adds to the gradients, which are 0, and says when a layer's are complete.
  ///
  /// - Returns: the gradients' norm.
  /// - Throws: `.nonFinite` with the weights of a layer, and of all before it, as they were.
  func step(learningRate: Double, _ pass: (_ layerDone: (Int) -> Void) throws -> Void) throws -> Double {
    (rate, squares, failed, updated) = (learningRate, 0, nil, 0)
    optimizer.step += 1
    do { try pass(update) } catch {
      // Nothing has been computed: no layer was done.
      optimizer.step -= 1
      throw error
    }
    update(ranges.count - 1)
    if let failed {
      let place = failed < ranges.count - 1 ? "layer \(failed)" : "the embeddings, the last norm or the head"
      throw DPOError(
        .nonFinite,
        "the gradients of \(place) are not finite; \(updated) of \(ranges.count - 1) layers had been updated by then "
          + "(optimizer_in_backward): go on from the last checkpoint")
    }
    return squares.squareRoot()
  }

  private func update(_ layer: Int) {
    for range in ranges[layer] {
      let sum = optimizer.sumOfSquares(range)
      squares += sum
      if !sum.isFinite, failed == nil { failed = layer }
      if failed == nil { optimizer.apply(learningRate: rate, gradientScale: 1, to: range) }
      parameters.gradients.release(range)
    }
    if failed == nil { updated += 1 }
  }

  /// What an update of everything takes, for estimates: nothing changes, as the rate and all gradients are 0.
  func rehearse() {
    rate = 0
    optimizer.step += 1
    for layer in ranges.indices { update(layer) }
    optimizer.step -= 1
  }
}

extension ParameterStore {
  /// Parts that belong to layer 0, 1, …, and last those that belong to none.
  func ranges(byLayer layerCount: Int) -> [[Range<Int>]] {
    var ranges = [[Range<Int>]](repeating: [], count: layerCount + 1)
    for entry in entries {
      let layer = entry.layer.flatMap { (0..<layerCount).contains($0) ? $0 : nil } ?? layerCount
      let range = entry.offset..<entry.offset + entry.count
      if let last = ranges[layer].last, last.upperBound == range.lowerBound {
        ranges[layer][ranges[layer].count - 1] = last.lowerBound..<range.upperBound
      } else {
        ranges[layer].append(range)
      }
    }
    return ranges
  }
}
