import CKernels
import DPOKernels

/// Linear layers that share their input, with their adapters: y = x Wᵀ + u Bᵀ, u = s · dropout(x) Aᵀ.
extension ModelRun {
  /// Room for the input of layers, to be packed as it is made; nil: the layers pack it themselves.
  func prepareInput(_ linears: [Linear], inputSize: Int) -> PreparedOperand? {
    team.prepare(precision, rows: count, k: inputSize, as: .a, with: linears.map(\.weight.byOutput))
  }

  /// The same for the gradient of the layers' outputs, which stand side by side.
  func prepareGradient(_ linears: [Linear]) -> PreparedOperand? {
    guard firstColumns(linears).allSatisfy({ $0 % 2 == 0 }) else { return nil }
    return team.prepare(
      precision, rows: count, k: linears.reduce(0) { $0 + $1.weight.rows }, as: .a, with: linears.map(\.weight.byInput))
  }

  /// The same for the input of layers in the products of their weights' gradients, row by row.
  func prepareInputColumns(inputSize: Int) -> PreparedOperand? {
    dropout == nil ? team.prepare(precision, rows: inputSize, k: count, as: .b, with: [.columns(at(0), 0)]) : nil
  }

  /// y[t, width] from x[t, inputSize] of a block or, with nil, outside of all: outputs stand side by side. Biases are left to the caller. `keepsAdapterHidden`: u is
  /// there already.
  func project(
    _ layer: Int?, _ linears: [Linear], _ x: Rows, inputSize: Int, into y: Pointer, _ width: Int,
    keepsAdapterHidden: Bool = false
  ) {
    let adapters = linears.map { adapter?.matrices(layer: layer, part: $0.part) }
    if !keepsAdapterHidden { adapterHidden(adapters.compactMap { $0 }, x, inputSize: inputSize) }
    let input = x.prepared.map { Operand.prepared($0) } ?? .rows(x.x, inputSize)
    var products: [Product] = []
    var column = 0
    for (index, linear) in linears.enumerated() {
      var terms = [Product.Term(input, linear.weight.byOutput, k: inputSize)]
      if let a = adapters[index] {
        terms.append(Product.Term(.rows(hidden(of: a), a.rank), .rows(a.b, a.rank), k: a.rank))
      }
      products.append(Product(count, linear.weight.rows, into: y + column, width, terms))
      column += linear.weight.rows
    }
    team.multiply("linear forward", precision, products)
  }

  private func hidden(of matrices: LoRAAdapter.Matrices) -> Pointer { at(layout.adapterHidden[matrices.index], 0) }

  /// u[t, rank] = s · dropout(x) Aᵀ of each adapter
  private func adapterHidden(_ adapters: [LoRAAdapter.Matrices], _ x: Rows, inputSize: Int) {
    func product(_ a: LoRAAdapter.Matrices, _ x: Operand, sharing shared: Panels.Side) -> Product {
      Product(
        count, a.rank, into: hidden(of: a), a.rank, sharing: shared,
        [Product.Term(x, .rows(a.a, inputSize), k: inputSize, alpha: a.scale)])
    }
    guard dropout != nil else {
      let (input, shared): (Operand, Panels.Side) =
        x.prepared.map { (.prepared($0), .a) } ?? (.rows(x.x, inputSize), .b)
      return team.multiply("adapter forward", precision, adapters.map { product($0, input, sharing: shared) })
    }
    for a in adapters {
      drop(x.x, inputSize, a)
      team.multiply(
        "adapter forward", precision, keeping: x.prepared,
        [product(a, .rows(at(layout.dropped), inputSize), sharing: .b)])
    }
  }

  /// dropout(x) of one adapter into working memory.
  private func drop(_ x: Pointer, _ inputSize: Int, _ matrices: LoRAAdapter.Matrices) {
    guard let dropout else { return }
    let out = at(layout.dropped)
    team.rows("dropout", count) { rows, _ in
      let from = rows.lowerBound * inputSize
      kernels.pointee.dropout(
        x + from, out + from, rows.count * inputSize, key(dropout.key, matrices), UInt64(from), dropout.rate)
    }
  }

  /// Each adapter draws its own masks.
  private func key(_ key: UInt64, _ matrices: LoRAAdapter.Matrices) -> UInt64 {
    key &+ UInt64(matrices.index + 1) &* 0xD1B5_4A32_D192_ED03
  }

  /// dx[t, inputSize] = dy W + mask · (du A) from dy[t, width], with du = s · dy B, which is kept for the weights' gradients.
  /// `dx` nil: du alone.
  func inputGradient(
    _ layer: Int?, _ linears: [Linear], dy: Rows, _ width: Int, inputSize: Int, into dx: Pointer?
  ) {
    let columns = firstColumns(linears)
    let adapters = adapterGradients(layer, linears)
    func gradient(_ index: Int) -> Operand {
      dy.prepared.map { .prepared($0, k: columns[index]) } ?? .rows(dy.x + columns[index], width)
    }
    team.multiply(
      "adapter backward", precision,
      adapters.map { a in
        Product(
          count, a.matrices.rank, into: a.du, a.matrices.rank, sharing: dy.prepared == nil ? .b : .a,
          [
            Product.Term(
              gradient(a.linear), .columns(a.matrices.b, a.matrices.rank), k: a.matrices.outputSize,
              alpha: a.matrices.scale)
          ])
      })
    guard let dx else { return }
    var terms = linears.indices.map { index in
      Product.Term(gradient(index), linears[index].weight.byInput, k: linears[index].weight.rows)
    }
    func term(_ a: AdapterGradient) -> Product.Term {
      Product.Term(.rows(a.du, a.matrices.rank), .columns(a.matrices.a, inputSize), k: a.matrices.rank)
    }
    if dropout == nil { terms += adapters.map(term) }
    team.multiply("linear input gradient", precision, [Product(count, inputSize, into: dx, inputSize, terms)])
    guard let dropout else { return }
    let product = at(layout.dropped)
    for a in adapters {
      team.multiply(
        "adapter backward", precision, [Product(count, inputSize, into: product, inputSize, [term(a)])])
      team.rows("dropout", count) { rows, _ in
        let from = rows.lowerBound * inputSize
        kernels.pointee.dropout_accumulate(
          product + from, dx + from, rows.count * inputSize, key(dropout.key, a.matrices), UInt64(from), dropout.rate)
      }
    }
  }

  /// dW[out, in] += dyᵀ x and the biases' sums, [out]; or dB += dyᵀ u, dA += duᵀ dropout(x). After `inputGradient` of the
  /// same layers. x is packed by columns, if it is; `keeping`: what a later product reads.
  func weightGradients(
    _ layer: Int?, _ linears: [Linear], dy: Pointer, _ width: Int, x: Rows, inputSize: Int,
    keeping kept: PreparedOperand? = nil
  ) {
    /// dW[out, in] += dy[t, out]ᵀ · x[t, in] with the whole input.
    func product(
      _ dy: UnsafePointer<Float>, _ width: Int, _ input: Pointer, _ outputSize: Int, into dw: Pointer
    ) -> Product {
      guard let prepared = x.prepared else {
        return .weightGradient(count, dy: dy, width, x: input, inputSize: inputSize, outputSize: outputSize, into: dw)
      }
      return Product(
        outputSize, inputSize, into: dw, inputSize, accumulates: true, sharing: .b,
        [Product.Term(.columns(dy, width), .prepared(prepared), k: count)])
    }
    let columns = firstColumns(linears)
    if trainsModel {
      team.multiply(
        "linear weight gradient", precision, keeping: kept,
        linears.indices.compactMap { index in
          linears[index].weight.gradient.map {
            product(dy + columns[index], width, x.x, linears[index].weight.rows, into: $0)
          }
        })
      return biasGradients(linears, dy: dy, width, columns)
    }
    let adapters = adapterGradients(layer, linears)
    func productA(_ a: AdapterGradient, _ x: Pointer) -> Product {
      product(a.du, a.matrices.rank, x, a.matrices.rank, into: a.matrices.gradientA)
    }
    var products = adapters.map { a in
      Product.weightGradient(
        count, dy: dy + columns[a.linear], width, x: hidden(of: a.matrices), inputSize: a.matrices.rank,
        outputSize: a.matrices.outputSize, into: a.matrices.gradientB)
    }
    if dropout == nil { products += adapters.map { productA($0, x.x) } }
    team.multiply("adapter weight gradient", precision, keeping: kept, products)
    guard dropout != nil else { return }
    for a in adapters {
      drop(x.x, inputSize, a.matrices)
      team.multiply("adapter weight gradient", precision, keeping: kept, [productA(a, at(layout.dropped))])
    }
  }

  private func firstColumns(_ linears: [Linear]) -> [Int] {
    var column = 0
    return linears.map { linear in
      defer { column += linear.weight.rows }
      return column
    }
  }

  private struct AdapterGradient {
    let linear: Int
    let matrices: LoRAAdapter.Matrices
    let du: Pointer
  }

  private func adapterGradients(_ layer: Int?, _ linears: [Linear]) -> [AdapterGradient] {
    var offset = layout.gradientOfAdapterHidden
    return linears.enumerated().compactMap { index, linear in
      guard let matrices = adapter?.matrices(layer: layer, part: linear.part) else { return nil }
      defer { offset += (count * matrices.rank + 15) / 16 * 16 }
      return AdapterGradient(linear: index, matrices: matrices, du: at(offset))
    }
  }

  /// y[t, out] += b
  func addBias(_ linear: Linear, to y: Pointer) {
    guard let bias = linear.bias else { return }
    let width = linear.weight.rows
    team.rows("bias", count, bytes: 8 * width) { rows, _ in
      kernels.pointee.add_bias(y + rows.lowerBound * width, width, bias.values, rows.count, width)
    }
  }

  /// db[out] += Σ dy
  private func biasGradients(_ linears: [Linear], dy: Pointer, _ width: Int, _ columns: [Int]) {
    for (index, linear) in linears.enumerated() {
      guard let gradient = linear.bias?.gradient else { continue }
      let size = linear.weight.rows
      eachColumnBlock("bias gradient", size) { from, to in
        kernels.pointee.column_sums(dy + columns[index], width, gradient, count, from, to)
      }
    }
  }

  /// Sums over rows are shared out by columns, so that each has one order.
  func eachColumnBlock(_ name: StaticString, _ size: Int, _ body: (_ from: Int, _ to: Int) -> Void) {
    let block = 64
    team.measured(name) {
      team.run((size + block - 1) / block) { index, _ in body(index * block, min(size, (index + 1) * block)) }
    }
  }
}

extension WeightMatrix {
  /// [out, in] as the right side of y = x Wᵀ.
  var byOutput: Operand { values.map { .rows($0, columns) } ?? .rows(tensor) }

  /// The same as the right side of dx = dy W.
  var byInput: Operand { values.map { .columns($0, columns) } ?? .columns(tensor) }
}
