import CKernels
import DPOKernels

/// Rows that go through some linear layers, which share their input: all of a run, or those that an expert gets.
struct LinearRows {
  let linears: [Linear]
  let rows: Range<Int>
}

/// Linear layers that share their input, with their adapters: y = x Wᵀ + u Bᵀ, u = s · dropout(x) Aᵀ.
extension ModelRun {
  /// Layers that all rows go through.
  private func all(_ linears: [Linear]) -> [LinearRows] { [LinearRows(linears: linears, rows: 0..<count)] }

  /// Room for the input of layers, to be packed as it is made; nil: the layers pack it themselves.
  func prepareInput(_ linears: [Linear], inputSize: Int) -> PreparedOperand? {
    team.prepare(precision, rows: count, k: inputSize, as: .a, with: linears.map(\.weight.byOutput))
  }

  /// The same for the gradient of the layers' outputs, which stand side by side.
  func prepareGradient(_ linears: [Linear]) -> PreparedOperand? {
    guard !linears.isEmpty, firstColumns(linears).allSatisfy({ $0 % 2 == 0 }) else { return nil }
    return team.prepare(
      precision, rows: count, k: linears.reduce(0) { $0 + $1.weight.rows }, as: .a, with: linears.map(\.weight.byInput))
  }

  /// The same for the input of layers in the products of their weights' gradients, row by row.
  func prepareInputColumns(inputSize: Int) -> PreparedOperand? {
    dropout == nil ? team.prepare(precision, rows: inputSize, k: count, as: .b, with: [.columns(at(0), 0)]) : nil
  }

  /// y[t, width] from x[t, inputSize] of a block or, with nil, outside of all: outputs stand side by side. Biases are left to the
  /// caller. `keepsAdapterHidden`: u is there already.
  func project(
    _ layer: Int?, _ linears: [Linear], _ x: Rows, inputSize: Int, into y: Pointer, _ width: Int,
    keepsAdapterHidden: Bool = false
  ) {
    project(
      layer, all(linears), x, inputSize: inputSize, into: y, width, keepsAdapterHidden: keepsAdapterHidden)
  }

  func project(
    _ layer: Int?, _ groups: [LinearRows], _ x: Rows, inputSize: Int, into y: Pointer, _ width: Int,
    keepsAdapterHidden: Bool = false
  ) {
    if !keepsAdapterHidden { adapterHidden(layer, groups, x, inputSize: inputSize) }
    var products: [Product] = []
    for group in groups {
      let (first, count) = (group.rows.lowerBound, group.rows.count)
      let input = x.prepared.map { Operand.prepared($0) } ?? .rows(x.x + first * inputSize, inputSize)
      var column = 0
      for linear in group.linears {
        var terms = [Product.Term(input, linear.weight.byOutput, k: inputSize)]
        if let a = adapter?.matrices(layer: layer, linear) {
          terms.append(Product.Term(.rows(hidden(of: a, first), a.rank), .rows(a.b, a.rank), k: a.rank))
        }
        products.append(Product(count, linear.weight.rows, into: y + first * width + column, width, terms))
        column += linear.weight.rows
      }
    }
    team.multiply("linear forward", precision, products)
  }

  /// Of the rows from `first` on.
  private func hidden(of matrices: LoRAAdapter.Matrices, _ first: Int) -> Pointer {
    let hidden = layout.adapterHidden[matrices.index]
    return at(hidden.slot, 0) + first * hidden.rank
  }

  /// u[t, rank] = s · dropout(x) Aᵀ of each adapter
  private func adapterHidden(_ layer: Int?, _ groups: [LinearRows], _ x: Rows, inputSize: Int) {
    typealias Place = (matrices: LoRAAdapter.Matrices, rows: Range<Int>)
    let places: [Place] = groups.flatMap { group in
      group.linears.compactMap { linear in adapter?.matrices(layer: layer, linear).map { ($0, group.rows) } }
    }
    func product(_ place: Place, _ x: Operand, sharing shared: Panels.Side) -> Product {
      let a = place.matrices
      return Product(
        place.rows.count, a.rank, into: hidden(of: a, place.rows.lowerBound), a.rank, sharing: shared,
        [Product.Term(x, .rows(a.a, inputSize), k: inputSize, alpha: a.scale)])
    }
    guard dropout != nil else {
      return team.multiply(
        "adapter forward", precision,
        places.map { place in
          let (input, shared): (Operand, Panels.Side) =
            x.prepared.map { (.prepared($0), .a) }
            ?? (.rows(x.x + place.rows.lowerBound * inputSize, inputSize), .b)
          return product(place, input, sharing: shared)
        })
    }
    for place in places {
      drop(x.x, inputSize, place.rows, place.matrices)
      team.multiply(
        "adapter forward", precision, keeping: x.prepared,
        [product(place, .rows(at(layout.dropped) + place.rows.lowerBound * inputSize, inputSize), sharing: .b)])
    }
  }

  /// dropout(x) of one adapter into working memory.
  private func drop(_ x: Pointer, _ inputSize: Int, _ all: Range<Int>, _ matrices: LoRAAdapter.Matrices) {
    guard let dropout else { return }
    let out = at(layout.dropped)
    team.rows("dropout", all.count) { rows, _ in
      let from = (all.lowerBound + rows.lowerBound) * inputSize
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
    inputGradient(layer, all(linears), dy: dy, width, inputSize: inputSize, into: dx)
  }

  func inputGradient(
    _ layer: Int?, _ groups: [LinearRows], dy: Rows, _ width: Int, inputSize: Int, into dx: Pointer?
  ) {
    let adapters = adapterGradients(layer, groups)
    func gradient(_ rows: Range<Int>, _ column: Int) -> Operand {
      dy.prepared.map { .prepared($0, k: column) } ?? .rows(dy.x + rows.lowerBound * width + column, width)
    }
    team.multiply(
      "adapter backward", precision,
      adapters.map { a in
        Product(
          a.rows.count, a.matrices.rank, into: a.du, a.matrices.rank, sharing: dy.prepared == nil ? .b : .a,
          [
            Product.Term(
              gradient(a.rows, a.column), .columns(a.matrices.b, a.matrices.rank), k: a.matrices.outputSize,
              alpha: a.matrices.scale)
          ])
      })
    guard let dx else { return }
    func term(_ a: AdapterGradient) -> Product.Term {
      Product.Term(.rows(a.du, a.matrices.rank), .columns(a.matrices.a, inputSize), k: a.matrices.rank)
    }
    team.multiply(
      "linear input gradient", precision,
      groups.enumerated().map { index, group in
        var terms = zip(group.linears, firstColumns(group.linears)).map { linear, column in
          Product.Term(gradient(group.rows, column), linear.weight.byInput, k: linear.weight.rows)
        }
        if dropout == nil { terms += adapters.lazy.filter { $0.group == index }.map(term) }
        return Product(group.rows.count, inputSize, into: dx + group.rows.lowerBound * inputSize, inputSize, terms)
      })
    guard let dropout else { return }
    let product = at(layout.dropped)
    for a in adapters {
      let first = a.rows.lowerBound * inputSize
      team.multiply(
        "adapter backward", precision,
        [Product(a.rows.count, inputSize, into: product + first, inputSize, [term(a)])])
      team.rows("dropout", a.rows.count) { rows, _ in
        let from = first + rows.lowerBound * inputSize
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
    weightGradients(layer, all(linears), dy: dy, width, x: x, inputSize: inputSize, keeping: kept)
  }

  func weightGradients(
    _ layer: Int?, _ groups: [LinearRows], dy: Pointer, _ width: Int, x: Rows, inputSize: Int,
    keeping kept: PreparedOperand? = nil
  ) {
    /// dW[out, in] += dy[t, out]ᵀ · x[t, in] with the whole input.
    func product(
      _ rows: Range<Int>, _ dy: UnsafePointer<Float>, _ width: Int, _ input: Pointer, _ outputSize: Int,
      into dw: Pointer
    ) -> Product {
      guard let prepared = x.prepared else {
        return .weightGradient(
          rows.count, dy: dy, width, x: input + rows.lowerBound * inputSize, inputSize: inputSize,
          outputSize: outputSize, into: dw)
      }
      return Product(
        outputSize, inputSize, into: dw, inputSize, accumulates: true, sharing: .b,
        [Product.Term(.columns(dy, width), .prepared(prepared), k: rows.count)])
    }
    if trainsModel {
      team.multiply(
        "linear weight gradient", precision, keeping: kept,
        groups.flatMap { group in
          zip(group.linears, firstColumns(group.linears)).compactMap { linear, column in
            linear.weight.gradient.map {
              product(
                group.rows, dy + group.rows.lowerBound * width + column, width, x.x, linear.weight.rows, into: $0)
            }
          }
        })
      return biasGradients(groups, dy: dy, width)
    }
    let adapters = adapterGradients(layer, groups)
    func productA(_ a: AdapterGradient, _ x: Pointer) -> Product {
      product(a.rows, a.du, a.matrices.rank, x, a.matrices.rank, into: a.matrices.gradientA)
    }
    var products = adapters.map { a in
      let first = a.rows.lowerBound
      return Product.weightGradient(
        a.rows.count, dy: dy + first * width + a.column, width, x: hidden(of: a.matrices, first),
        inputSize: a.matrices.rank, outputSize: a.matrices.outputSize, into: a.matrices.gradientB)
    }
    if dropout == nil { products += adapters.map { productA($0, x.x) } }
    team.multiply("adapter weight gradient", precision, keeping: kept, products)
    guard dropout != nil else { return }
    for a in adapters {
      drop(x.x, inputSize, a.rows, a.matrices)
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
    /// Index of the group, and first column of its layer's dy.
    let group, column: Int
    let rows: Range<Int>
    let matrices: LoRAAdapter.Matrices
    let du: Pointer
  }

  private func adapterGradients(_ layer: Int?, _ groups: [LinearRows]) -> [AdapterGradient] {
    var offset = layout.gradientOfAdapterHidden
    return groups.enumerated().flatMap { index, group in
      zip(group.linears, firstColumns(group.linears)).compactMap { linear, column in
        guard let matrices = adapter?.matrices(layer: layer, linear) else { return nil }
        defer { offset += (group.rows.count * matrices.rank + 15) / 16 * 16 }
        return AdapterGradient(
          group: index, column: column, rows: group.rows, matrices: matrices, du: at(offset))
      }
    }
  }

  /// y[t, out] += b
  func addBias(_ bias: WeightVector?, to y: Pointer, _ width: Int) {
    guard let bias else { return }
    team.rows("bias", count, bytes: 8 * width) { rows, _ in
      kernels.pointee.add_bias(y + rows.lowerBound * width, width, bias.values, rows.count, width)
    }
  }

  /// db[out] += Σ dy
  private func biasGradients(_ groups: [LinearRows], dy: Pointer, _ width: Int) {
    for group in groups {
      for (linear, column) in zip(group.linears, firstColumns(group.linears)) {
        guard let gradient = linear.bias?.gradient else { continue }
        eachColumnBlock("bias gradient", linear.weight.rows) { from, to in
          kernels.pointee.column_sums(
            dy + group.rows.lowerBound * width + column, width, gradient, group.rows.count, from, to)
        }
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
