import CKernels
import DPOBase
import DPOKernels

/// Keys and values of prompts, and of completions behind them. A row is one position; a prompt's rows are shared by all
/// its completions. Both stand in blocks of sixteen rows, as `cached_attention` reads them. Blocks of the decoder without keys
/// of their own have those of another block.
final class KeyValueCache {
  private let capacity: Int
  /// Numbers of a row before a block's keys, its heads, and their size.
  private let places: [(before: Int, width: Int, size: Int)]
  private let memory: FloatBuffer

  /// Rows that `count` positions take: what belongs together starts a block.
  static func rows(_ count: Int) -> Int { (count + 15) / 16 * 16 }

  /// Numbers of a row.
  static func width(_ c: DecoderConfiguration) -> Int {
    c.layersWithAttention.reduce(0) { c.keySource($1) == nil ? $0 + 2 * c.attention($1).keyValueWidth : $0 }
  }

  /// Rows are zeroed pages until they are written, so that room for completions costs nothing before they grow.
  init(_ configuration: DecoderConfiguration, rows: Int) throws {
    capacity = KeyValueCache.rows(rows)
    var places = [(before: Int, width: Int, size: Int)](repeating: (0, 0, 0), count: configuration.layerCount)
    var before = 0
    for layer in configuration.layersWithAttention {
      let shape = configuration.attention(layer)
      if let source = shape.keySource {
        places[layer] = places[source]
      } else {
        places[layer] = (before, shape.keyValueWidth, shape.headSize)
        before += 2 * shape.keyValueWidth
      }
    }
    self.places = places
    let (count, overflow) = before.multipliedReportingOverflow(by: capacity)
    guard !overflow else { throw DPOError(.memory, "a key-value cache of \(rows) positions is too large") }
    memory = try FloatBuffer(count: count)
  }

  /// A head's keys from row `row` on, which starts a block.
  func keys(_ layer: Int, _ row: Int, head: Int) -> UnsafeMutablePointer<Float> {
    let place = places[layer]
    return memory.pointer + place.before * capacity + row * place.width + head * place.size * 16
  }

  /// A head's values from row `row` on, which starts a block.
  func values(_ layer: Int, _ row: Int, head: Int) -> UnsafeMutablePointer<Float> {
    keys(layer, row, head: head) + places[layer].width * capacity
  }

  /// Takes k and v of `heads` heads from `head` on.
  func store(
    _ layer: Int, row: Int, head: Int, heads: Int, keys: UnsafePointer<Float>, values: UnsafePointer<Float>,
    with kernels: UnsafePointer<ck_engine>
  ) {
    kernels.pointee.cache_store(
      keys, values, heads, places[layer].size, places[layer].width, row, self.keys(layer, 0, head: head),
      self.values(layer, 0, head: head))
  }
}
