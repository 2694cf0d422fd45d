import DPOBase
import DPOModel
import DPOTensor

/// A model's weights as f32 numbers, one parameter at a time, with an adapter merged into them if there is one.
struct WeightSource {
  let model: ModelFile
  let parameters: [ParameterDescription]
  let provenance: JSON
  private let deltas: [String: LowRankDelta]
  /// Parameters that the adapter holds whole, by the model's names.
  private let replaced: [String: StoredTensor]

  /// `adapter` must fit the model.
  init(_ model: ModelFile, adapter: AdapterFile? = nil) throws {
    let model = try model.with(heads: adapter?.heads ?? model.configuration.heads)
    self.model = model
    provenance = adapter.map { ["base": model.provenance, "merged_adapter": .string($0.path)] } ?? model.provenance
    parameters = model.configuration.family.parameters(model.configuration)
    var deltas: [String: LowRankDelta] = [:]
    if let adapter {
      for place in try adapter.configuration.resolve(model.configuration) {
        deltas[place.module.path + ".weight"] = try LowRankDelta(place, adapter)
      }
    }
    self.deltas = deltas
    let head = LoRAAdapter.scalarHead(model.configuration)
    replaced = head.flatMap { head in adapter?.tensors[head.name].map { [head.source: $0] } } ?? [:]
  }

  /// Rows of a matrix in our layout ([out, in]; a vector is one row): W + s·B·A.
  func values(
    _ parameter: ParameterDescription, rows: Range<Int>, into out: UnsafeMutablePointer<Float>
  ) throws {
    guard let tensor = replaced[parameter.name] ?? model.tensors[parameter.name] else {
      throw DPOError(.internal, "\(model.path): tensor \(parameter.name) is missing")
    }
    tensor.dequantize(rows: rows, into: out)
    deltas[parameter.name]?.add(rows: rows, to: out)
  }

  /// The parameter as a tensor of an output file whose rows are in `rowOrder`, with numbers less `offset`. `transposed`: as
  /// Hugging Face's files have it.
  func output(
    _ parameter: ParameterDescription, name: String, dtype: DType, transposed: Bool = false,
    rowOrder: RowOrder = .natural, offset: Float = 0
  ) -> OutputTensor {
    let shape = parameter.shape
    let (rows, columns) = shape.count > 1 ? (shape[0], shape[1]) : (1, shape[0])
    if transposed && shape.count > 1 {
      return OutputTensor(name: name, dtype: dtype, shape: shape.reversed()) { out in
        let whole = try FloatBuffer(count: rows * columns)
        try values(parameter, rows: 0..<rows, into: whole.pointer)
        transpose(
          whole.pointer, rows: rows, columns: columns,
          into: UnsafeMutableBufferPointer(start: out, count: rows * columns))
      }
    }
    return OutputTensor(name: name, dtype: dtype, shape: shape) { out in
      guard rowOrder != .natural else {
        try values(parameter, rows: 0..<rows, into: out)
        if offset != 0 { for index in 0..<rows * columns { out[index] -= offset } }
        return
      }
      let whole = try FloatBuffer(count: rows * columns)
      try values(parameter, rows: 0..<rows, into: whole.pointer)
      reorder(whole.pointer, shape: shape, rowOrder, into: out)
    }
  }
}

/// Rows (elements of a vector) from the model's own order into a file's.
func reorder(
  _ matrix: UnsafePointer<Float>, shape: [Int], _ order: RowOrder, into out: UnsafeMutablePointer<Float>
) {
  let (rows, columns) = (shape.first ?? 0, shape.dropFirst().reduce(1, *))
  for row in 0..<rows {
    (out + order.place(of: row, among: rows) * columns).update(from: matrix + row * columns, count: columns)
  }
}

/// s·B·A of one linear layer.
private struct LowRankDelta {
  let rank, columns: Int
  let scale: Float
  let a, b: FloatBuffer

  init(_ place: LoRAConfiguration.Place, _ adapter: AdapterFile) throws {
    func values(_ which: String, _ shape: [Int]) throws -> FloatBuffer {
      let name = LoRAAdapter.name(place.module, which)
      guard let tensor = adapter.tensors[name], tensor.shape == shape else {
        throw DPOError.mismatch("\(adapter.path): tensor \(name): expected shape \(shape)")
      }
      let buffer = try FloatBuffer(count: tensor.count)
      tensor.dequantize(rows: 0..<tensor.rows, into: buffer.pointer)
      return buffer
    }
    rank = place.rank
    columns = place.module.inputSize
    scale = place.scale
    a = try values("A", [rank, columns])
    b = try values("B", [place.module.outputSize, rank])
  }

  func add(rows: Range<Int>, to out: UnsafeMutablePointer<Float>) {
    withUnsafeTemporaryAllocation(of: Float.self, capacity: columns) { sum in
      guard let sum = sum.baseAddress else { return }
      for row in rows {
        let y = out + (row - rows.lowerBound) * columns
        sum.update(repeating: 0, count: columns)
        for k in 0..<rank {
          let factor = b.pointer[row * rank + k]
          let x = a.pointer + k * columns
          for column in 0..<columns { sum[column] += factor * x[column] }
        }
        for column in 0..<columns { y[column] += scale * sum[column] }
      }
    }
  }
}
