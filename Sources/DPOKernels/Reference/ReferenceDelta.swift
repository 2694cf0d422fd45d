extension Reference {
  /// Rows of one head of the gated delta rule, each behind the row `before` it, −1: behind the first state.
  package struct DeltaRows {
    package let keys, values: Int
    package let before: [Int]
    package var q, k, v, decay, beta, state: [Double]

    package init(
      keys: Int, values: Int, before: [Int], q: [Double], k: [Double], v: [Double], decay: [Double], beta: [Double],
      state: [Double]
    ) {
      (self.keys, self.values, self.before) = (keys, values, before)
      (self.q, self.k, self.v, self.decay, self.beta, self.state) = (q, k, v, decay, beta, state)
    }

    /// The state before a row after its decay.
    fileprivate func decayed(_ t: Int, _ states: [[Double]]) -> [Double] {
      (before[t] < 0 ? state : states[before[t]]).map { $0 * decay[t] }
    }

    /// δ = β (v − S̄ᵀ k)
    fileprivate func delta(_ t: Int, _ decayed: [Double]) -> [Double] {
      (0..<values).map { j in
        var read = 0.0
        for i in 0..<keys { read += k[t * keys + i] * decayed[i * values + j] }
        return beta[t] * (v[t * values + j] - read)
      }
    }
  }

  /// S̄ = decay S; S = S̄ + k δᵀ; o = Sᵀ q: all outputs, and the state behind each row.
  package static func delta(_ x: DeltaRows) -> (outputs: [Double], states: [[Double]]) {
    var (outputs, states) = ([Double](repeating: 0, count: x.v.count), [[Double]]())
    for t in x.before.indices {
      var state = x.decayed(t, states)
      let delta = x.delta(t, state)
      for i in 0..<x.keys {
        for j in 0..<x.values {
          state[i * x.values + j] += x.k[t * x.keys + i] * delta[j]
          outputs[t * x.values + j] += x.q[t * x.keys + i] * state[i * x.values + j]
        }
      }
      states.append(state)
    }
    return (outputs, states)
  }

  /// From d o of all rows and dS of the state behind the last one, row by row: dS += q doᵀ; dq = S do; dδ = dSᵀ k;
  /// dv = β dδ; dβ = dδ · (v − S̄ᵀ k); dk = dS δ − β S̄ dδ; dS̄ = dS − β k dδᵀ; d decay = Σ dS̄ S, and decay dS̄ goes on to the row
  /// before.
  package static func deltaBackward(_ dout: [Double], last: [Double], _ x: DeltaRows) -> DeltaRows {
    let (keys, values) = (x.keys, x.values)
    let states = delta(x).states
    func zeros(_ like: [Double]) -> [Double] { [Double](repeating: 0, count: like.count) }
    var d = DeltaRows(
      keys: keys, values: values, before: x.before, q: zeros(x.q), k: zeros(x.k), v: zeros(x.v), decay: zeros(x.decay),
      beta: zeros(x.beta), state: zeros(x.state))
    var dstates = states.map(zeros)
    if let end = dstates.indices.last { dstates[end] = last }
    for t in x.before.indices.reversed() {
      let before = x.before[t] < 0 ? x.state : states[x.before[t]]
      let decayed = x.decayed(t, states)
      let delta = x.delta(t, decayed)
      var ddelta = [Double](repeating: 0, count: values)
      for i in 0..<keys {
        for j in 0..<values {
          dstates[t][i * values + j] += x.q[t * keys + i] * dout[t * values + j]
          d.q[t * keys + i] += states[t][i * values + j] * dout[t * values + j]
          ddelta[j] += x.k[t * keys + i] * dstates[t][i * values + j]
        }
      }
      for j in 0..<values {
        d.v[t * values + j] = x.beta[t] * ddelta[j]
        d.beta[t] += ddelta[j] * delta[j] / x.beta[t]
      }
      for i in 0..<keys {
        for j in 0..<values {
          let at = i * values + j
          d.k[t * keys + i] += dstates[t][at] * delta[j] - x.beta[t] * decayed[at] * ddelta[j]
          let ddecayed = dstates[t][at] - x.beta[t] * x.k[t * keys + i] * ddelta[j]
          d.decay[t] += ddecayed * before[at]
          if x.before[t] < 0 {
            d.state[at] += x.decay[t] * ddecayed
          } else {
            dstates[x.before[t]][at] += x.decay[t] * ddecayed
          }
        }
      }
    }
    return d
  }
}
