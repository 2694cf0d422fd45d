import DPOPlatform

/// log σ(u) = min(u, 0) − log(1 + e^−|u|), without overflow for any u. Its derivative is σ(−u).
@inlinable
package func logSigmoid(_ u: Double) -> Double { min(u, 0) - log1p(exp(-abs(u))) }

/// σ(u) = 1 / (1 + e^−u), accurate in both tails.
@inlinable
package func sigmoid(_ u: Double) -> Double {
  let e = exp(-abs(u))
  return u >= 0 ? 1 / (1 + e) : e / (1 + e)
}

/// σ'(u) = σ(u) σ(−u).
@inlinable
package func sigmoidDerivative(_ u: Double) -> Double { sigmoid(u) * sigmoid(-u) }

/// log(1 − e^x) for x ≤ 0, accurate at both ends.
package func log1mExp(_ x: Double) -> Double { x < -0.6931471805599453 ? log1p(-exp(x)) : log(-expm1(x)) }

/// log(e^a + e^b), without overflow.
package func logAddExp(_ a: Double, _ b: Double) -> Double {
  let high = max(a, b)
  return high == -.infinity ? high : high + log1p(exp(min(a, b) - high))
}

/// log Σ e^x, without overflow. −∞ for no numbers.
package func logSumExp(_ values: [Double]) -> Double {
  let high = values.max() ?? -.infinity
  return high.isFinite ? high + log(values.reduce(0) { $0 + exp($1 - high) }) : high
}
