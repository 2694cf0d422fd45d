import CKernels
import DPOBase
import DPOPlatform

/// √(Σ g²) over flat memory, in double, added up in an order that does not depend on threads: each block of about
/// `blockSize` elements has its own sum, and the sums are added in block order.
package enum GradientNorm {
  package static let blockSize = 1 << 16

  /// A range in blocks.
  package static func blocks(_ range: Range<Int>) -> [Range<Int>] {
    stride(from: range.lowerBound, to: range.upperBound, by: blockSize).map {
      $0..<min($0 + blockSize, range.upperBound)
    }
  }

  /// The sum of squares of one block; blocks may be computed on any threads.
  package static func sumOfSquares(_ gradients: UnsafePointer<Float>, _ block: Range<Int>) -> Double {
    Engine.best.kernels.pointee.sum_of_squares(gradients + block.lowerBound, block.count)
  }

  /// The norm from all blocks' sums, in block order. NaN or infinite exactly when an element is.
  package static func norm(ofBlocks sums: some Sequence<Double>) -> Double { sums.reduce(0, +).squareRoot() }

  /// The norm, on the calling thread.
  package static func norm(_ gradients: UnsafePointer<Float>, count: Int) -> Double {
    norm(ofBlocks: blocks(0..<count).lazy.map { sumOfSquares(gradients, $0) })
  }

  /// min(1, max_grad_norm / (norm + 1e−6)); 1 when `maximum` is 0, which turns clipping off.
  package static func clipFactor(norm: Double, maximum: Double) -> Double {
    maximum > 0 ? min(1, maximum / (norm + 1e-6)) : 1
  }

  /// The first element that is NaN or infinite.
  package static func firstNonFinite(_ gradients: UnsafePointer<Float>, count: Int) -> Int? {
    (0..<count).first { !gradients[$0].isFinite }
  }
}
