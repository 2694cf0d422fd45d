import DPOPlatform

extension Reference {
  package struct AttentionShape {
    package let heads, keyValueHeads, size: Int
    package init(heads: Int, keyValueHeads: Int, size: Int) {
      self.heads = heads
      self.keyValueHeads = keyValueHeads
      self.size = size
    }
  }

  /// out_t = Σ_s softmax_s(q_t · k_s / √d) v_s over the rows s that `sees` names for row t.
  package static func attention(
    _ q: [Double], _ k: [Double], _ v: [Double], _ shape: AttentionShape, sees: [[Int]]
  ) -> [Double] {
    let d = shape.size
    var out = [Double](repeating: 0, count: q.count)
    for t in sees.indices {
      for head in 0..<shape.heads {
        let p = weights(q, k, shape, t, head, sees[t])
        let key = head / (shape.heads / shape.keyValueHeads)
        for (s, weight) in zip(sees[t], p) {
          for i in 0..<d {
            out[(t * shape.heads + head) * d + i] += weight * v[(s * shape.keyValueHeads + key) * d + i]
          }
        }
      }
    }
    return out
  }

  private static func weights(
    _ q: [Double], _ k: [Double], _ shape: AttentionShape, _ t: Int, _ head: Int, _ rows: [Int]
  ) -> [Double] {
    let d = shape.size
    let key = head / (shape.heads / shape.keyValueHeads)
    let query = (t * shape.heads + head) * d
    let scores = rows.map { s -> Double in
      let column = (s * shape.keyValueHeads + key) * d
      let dot = (0..<d).reduce(0.0) { (sum: Double, i: Int) in sum + q[query + i] * k[column + i] }
      return dot / Double(d).squareRoot()
    }
    let top = scores.max() ?? 0
    let sum = scores.reduce(0) { $0 + exp($1 - top) }
    return scores.map { exp($0 - top) / sum }
  }

  /// dv_s = Σ p dout; dscore = p (dout · v_s − Σ p dout · v); dq, dk through score = q · k / √d.
  package static func attentionBackward(
    _ dout: [Double], _ q: [Double], _ k: [Double], _ v: [Double], _ shape: AttentionShape, sees: [[Int]]
  ) -> (dq: [Double], dk: [Double], dv: [Double]) {
    let d = shape.size
    var dq = [Double](repeating: 0, count: q.count)
    var dk = [Double](repeating: 0, count: k.count)
    var dv = [Double](repeating: 0, count: v.count)
    for t in sees.indices {
      for head in 0..<shape.heads {
        let p = weights(q, k, shape, t, head, sees[t])
        let key = head / (shape.heads / shape.keyValueHeads)
        let row = (t * shape.heads + head) * d
        let dp = sees[t].map { s -> Double in
          let column = (s * shape.keyValueHeads + key) * d
          return (0..<d).reduce(0.0) { (sum: Double, i: Int) in sum + dout[row + i] * v[column + i] }
        }
        let mean = zip(p, dp).reduce(0.0) { $0 + $1.0 * $1.1 }
        for (index, s) in sees[t].enumerated() {
          let column = (s * shape.keyValueHeads + key) * d
          let dscore = p[index] * (dp[index] - mean) / Double(d).squareRoot()
          for i in 0..<d {
            dv[column + i] += p[index] * dout[row + i]
            dq[row + i] += dscore * k[column + i]
            dk[column + i] += dscore * q[row + i]
          }
        }
      }
    }
    return (dq, dk, dv)
  }
}
