import CKernels
import DPOBase
import DPOKernels

/// What the recurrences of a model know of sequences that grow: the last rows that a convolution goes over, and states. A
/// sequence has a slot.
final class RecurrentCache {
  typealias Pointer = UnsafeMutablePointer<Float>

  let recurrence: Recurrence
  /// Channels of the convolution, and its kernel.
  let channels, kernel: Int
  private let places: [Int: Int]
  private let slots: Int
  /// Numbers of the rows of a slot, of a state, and of both.
  private let tail, state, stride: Int
  private let memory: FloatBuffer

  /// nil: the model has no recurrences.
  init?(_ c: DecoderConfiguration, slots: Int) throws {
    guard let recurrence = c.recurrence, !c.layersWithRecurrence.isEmpty else { return nil }
    self.recurrence = recurrence
    self.slots = slots
    let heads: Int
    switch recurrence {
    case .convolution(let kernel): (channels, self.kernel, heads, state) = (c.hiddenSize, kernel, 0, 0)
    case .deltaNet(let net):
      (channels, kernel, heads, state) = (net.convolved, net.kernel, net.valueHeads, net.keySize * net.valueSize)
    }
    places = Dictionary(
      c.layersWithRecurrence.sorted().enumerated().map { ($1, $0) }, uniquingKeysWith: { first, _ in first })
    tail = (kernel - 1) * channels
    stride = (tail + heads * state + 15) / 16 * 16
    let (count, overflow) = (stride * places.count).multipliedReportingOverflow(by: slots)
    guard !overflow else { throw DPOError(.memory, "states of \(slots) sequences are too large") }
    memory = try FloatBuffer(count: count)
  }

  /// Bytes of a slot.
  static func bytes(_ c: DecoderConfiguration) -> Int {
    switch c.recurrence {
    case nil: 0
    case .convolution(let kernel): 4 * c.layersWithRecurrence.count * (kernel - 1) * c.hiddenSize
    case .deltaNet(let net):
      4 * c.layersWithRecurrence.count
        * ((net.kernel - 1) * net.convolved + net.valueHeads * net.keySize * net.valueSize)
    }
  }

  private func base(_ layer: Int, _ slot: Int) -> Pointer {
    memory.pointer + ((places[layer] ?? 0) * slots + slot) * stride
  }

  /// [keySize, valueSize]
  func state(_ layer: Int, _ slot: Int, head: Int) -> Pointer { base(layer, slot) + tail + head * state }

  func copy(_ slot: Int, to other: Int) {
    for layer in places.keys { base(layer, other).update(from: base(layer, slot), count: stride) }
  }

  /// Takes a row's channels, the latest of its sequence.
  func append(_ layer: Int, _ slot: Int, _ u: UnsafePointer<Float>) {
    guard kernel > 1 else { return }
    let rows = base(layer, slot)
    for row in 0..<kernel - 2 { (rows + row * channels).update(from: rows + (row + 1) * channels, count: channels) }
    (rows + (kernel - 2) * channels).update(from: u, count: channels)
  }

  /// y = Σ_j w[kernel−1−j] · u of j positions before; w is [kernel, channels].
  func convolve(_ layer: Int, _ slot: Int, _ u: UnsafePointer<Float>, weights: UnsafePointer<Float>, into y: Pointer) {
    let (rows, now) = (base(layer, slot), weights + (kernel - 1) * channels)
    for channel in 0..<channels { y[channel] = now[channel] * u[channel] }
    // As in training: the latest first.
    for row in (0..<kernel - 1).reversed() {
      let (x, w) = (rows + row * channels, weights + row * channels)
      for channel in 0..<channels { y[channel] += w[channel] * x[channel] }
    }
  }
}
