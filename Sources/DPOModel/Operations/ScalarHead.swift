import CKernels
import DPOKernels

/// v = w·h of each head row: a reward model's score, a policy's value.
struct ScalarHead {
  let weight: WeightVector
  let width: Int

  /// One number a row of `hidden`, [rows, width].
  func forward(_ hidden: UnsafePointer<Float>, _ rows: Int) -> [Float] {
    (0..<rows).map { row in
      var sum = 0.0
      for column in 0..<width { sum += Double(hidden[row * width + column]) * Double(weight.values[column]) }
      return Float(sum)
    }
  }

  /// dh += dv w of each row; dw += Σ dv h, in the order of the rows.
  func backward(_ gradients: [Float], _ hidden: UnsafePointer<Float>, into dhidden: UnsafeMutablePointer<Float>) {
    for (row, gradient) in gradients.enumerated() where gradient != 0 {
      let out = dhidden + row * width
      for column in 0..<width { out[column] += gradient * weight.values[column] }
      guard let dweight = weight.gradient else { continue }
      let h = hidden + row * width
      for column in 0..<width { dweight[column] += gradient * h[column] }
    }
  }
}
