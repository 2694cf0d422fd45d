import DPOBase
import DPOModel
import DPOPlatform
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

  /// The parameters as Hugging Face's files have them.
  func huggingFace(dtype: DType) -> [OutputTensor] {
    tensors(.huggingFace) { huggingFace($0, dtype: dtype) }
  }

  /// As llama.cpp's files have them.
  func gguf(_ dtype: (ParameterDescription) -> DType) -> [OutputTensor] {
    tensors(.gguf) { gguf($0, dtype: dtype($0)) }
  }

  /// Parameters that share a tensor come in one.
  private func tensors(_ format: ModelFile.Format, _ output: (ParameterDescription) -> OutputTensor) -> [OutputTensor] {
    var parts: [String: [(share: TensorShare, output: OutputTensor)]] = [:]
    var order: [(tensor: String?, output: OutputTensor)] = []
    for parameter in parameters {
      let (share, output) = (parameter.share(format), output(parameter))
      guard let share else {
        order.append((nil, output))
        continue
      }
      if parts[share.tensor] == nil { order.append((share.tensor, output)) }
      parts[share.tensor, default: []].append((share, output))
    }
    return order.map { tensor, output in
      guard let tensor, let parts = parts[tensor], let shape = parts.first?.share.shape(holding: output.shape) else {
        return output
      }
      return OutputTensor(name: tensor, dtype: output.dtype, shape: shape) { out in
        for (share, output) in parts { try output.fill(share, of: out) }
      }
    }
  }

  private func huggingFace(_ parameter: ParameterDescription, dtype: DType) -> OutputTensor {
    output(
      parameter, name: parameter.name, dtype: dtype, transposed: parameter.transposedInFile,
      orders: (parameter.rowOrderInFile, parameter.columnOrderInFile), shape: parameter.fileShape
    ) { $0 - parameter.offset }
  }

  /// As our own HDF5 files have it.
  func hdf5(_ parameter: ParameterDescription) -> OutputTensor {
    output(parameter, name: parameter.name, dtype: .f32, transposed: parameter.transposedInFile)
  }

  private func gguf(_ parameter: ParameterDescription, dtype: DType) -> OutputTensor {
    let isSpeed = parameter.part == .deltaDecay
    return output(
      parameter, name: parameter.ggufName, dtype: dtype,
      orders: (parameter.rowOrderInGGUF, parameter.columnOrderInGGUF)
    ) { isSpeed ? -exp($0) : $0 }
  }

  /// - Parameters:
  ///   - orders: of rows and columns in the file.
  ///   - shape: in the file.
  ///   - change: makes the file's numbers of the model's.
  private func output(
    _ parameter: ParameterDescription, name: String, dtype: DType, transposed: Bool = false,
    orders: (rows: RowOrder, columns: RowOrder) = (.natural, .natural), shape fileShape: [Int]? = nil,
    _ change: ((Float) -> Float)? = nil
  ) -> OutputTensor {
    let shape = parameter.shape
    let (rows, columns) = shape.count > 1 ? (shape[0], shape[1]) : (1, shape[0])
    if transposed && shape.count > 1 {
      return OutputTensor(name: name, dtype: dtype, shape: shape.reversed()) { out in
        let whole = try FloatBuffer(count: rows * columns)
        try values(parameter, rows: 0..<rows, into: whole.pointer)
        transpose(whole.pointer, rows: rows, columns: columns, into: out) { $0 }
      }
    }
    return OutputTensor(name: name, dtype: dtype, shape: fileShape ?? shape) { out in
      try values(parameter, rows: 0..<rows, into: out)
      try reorder(out, shape: shape, rows: orders.rows, columns: orders.columns)
      if let change, parameter.offset != 0 || parameter.part == .deltaDecay {
        for index in 0..<rows * columns { out[index] = change(out[index]) }
      }
    }
  }
}

extension OutputTensor {
  /// Puts its numbers where they belong in a tensor with others, which begins at `whole`.
  fileprivate func fill(_ share: TensorShare, of whole: UnsafeMutablePointer<Float>) throws {
    let (rows, columns) = (shape.first ?? 0, shape.dropFirst().reduce(1, *))
    let own = try FloatBuffer(count: rows * columns)
    try fill(own.pointer)
    for row in 0..<rows {
      for column in 0..<columns {
        whole[share.place(row: row, column: column, in: shape)] = own.pointer[row * columns + column]
      }
    }
  }
}

/// A matrix (or vector) from the model's own order of rows and columns into a file's.
func reorder(
  _ matrix: UnsafeMutablePointer<Float>, shape: [Int], rows: RowOrder, columns: RowOrder = .natural
) throws {
  guard rows != .natural || columns != .natural else { return }
  let (count, width) = (shape.first ?? 0, shape.dropFirst().reduce(1, *))
  let own = try FloatBuffer(count: count * width)
  own.pointer.update(from: matrix, count: count * width)
  for row in 0..<count {
    let (from, to) = (own.pointer + row * width, matrix + rows.place(of: row, among: count) * width)
    if columns == .natural {
      to.update(from: from, count: width)
    } else {
      for column in 0..<width { to[columns.place(of: column, among: width)] = from[column] }
    }
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
