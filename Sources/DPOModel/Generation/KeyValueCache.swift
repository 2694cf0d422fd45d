import CKernels
import DPOBase
import DPOKernels

/// Keys and values of prompts, and of completions behind them. A row is one position; a prompt's rows are shared by all
/// its completions.
final class KeyValueCache {
  let configuration: DecoderConfiguration
  let capacity: Int
  private let memory: FloatBuffer
  private var width: Int { configuration.keyValueWidth }

  /// Rows are zeroed pages until they are written, so that room for completions costs nothing before they grow.
  init(_ configuration: DecoderConfiguration, rows: Int) throws {
    self.configuration = configuration
    capacity = rows
    let (perRow, overflow) = (2 * configuration.keyValueWidth * configuration.layerCount).multipliedReportingOverflow(
      by: rows)
    guard !overflow else { throw DPOError(.memory, "a key-value cache of \(rows) positions is too large") }
    memory = try FloatBuffer(count: perRow)
  }

  func keys(_ layer: Int, _ row: Int) -> UnsafeMutablePointer<Float> {
    memory.pointer + (2 * layer * capacity + row) * width
  }

  func values(_ layer: Int, _ row: Int) -> UnsafeMutablePointer<Float> {
    memory.pointer + ((2 * layer + 1) * capacity + row) * width
  }

  /// Takes k and v of one row of q, k and v.
  func store(_ layer: Int, row: Int, from queryKeyValue: UnsafePointer<Float>) {
    let source = queryKeyValue + configuration.queryWidth
    keys(layer, row).update(from: source, count: width)
    values(layer, row).update(from: source + width, count: width)
  }
}
