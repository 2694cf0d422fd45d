import CKernels
import DPOBase
import DPOKernels

/// Keys and values of prompts, and of completions behind them. A row is one position; a prompt's rows are shared by all
/// its completions. Both stand in blocks of sixteen rows, as `cached_attention` reads them.
final class KeyValueCache {
  let configuration: DecoderConfiguration
  let capacity: Int
  /// Of the blocks with attention.
  private let places: [Int]
  private let memory: FloatBuffer
  private var width: Int { configuration.keyValueWidth }

  /// Rows that `count` positions take: what belongs together starts a block.
  static func rows(_ count: Int) -> Int { (count + 15) / 16 * 16 }

  /// Rows are zeroed pages until they are written, so that room for completions costs nothing before they grow.
  init(_ configuration: DecoderConfiguration, rows: Int) throws {
    self.configuration = configuration
    capacity = KeyValueCache.rows(rows)
    let layers = configuration.layersWithAttention
    var places = [Int](repeating: 0, count: configuration.layerCount)
    for (place, layer) in layers.enumerated() { places[layer] = place }
    self.places = places
    let (perRow, overflow) = (2 * configuration.keyValueWidth * layers.count).multipliedReportingOverflow(by: capacity)
    guard !overflow else { throw DPOError(.memory, "a key-value cache of \(rows) positions is too large") }
    memory = try FloatBuffer(count: perRow)
  }

  /// A head's keys from row `row` on, which starts a block.
  func keys(_ layer: Int, _ row: Int, head: Int) -> UnsafeMutablePointer<Float> {
    memory.pointer + (2 * places[layer] * capacity + row) * width + head * configuration.headSize * 16
  }

  /// A head's values from row `row` on, which starts a block.
  func values(_ layer: Int, _ row: Int, head: Int) -> UnsafeMutablePointer<Float> {
    memory.pointer + ((2 * places[layer] + 1) * capacity + row) * width + head * configuration.headSize * 16
  }

  /// Takes k and v of `heads` heads from `head` on.
  func store(
    _ layer: Int, row: Int, head: Int, heads: Int, keys: UnsafePointer<Float>, values: UnsafePointer<Float>,
    with kernels: UnsafePointer<ck_engine>
  ) {
    kernels.pointee.cache_store(
      keys, values, heads, configuration.headSize, width, row, self.keys(layer, 0, head: head),
      self.values(layer, 0, head: head))
  }
}
