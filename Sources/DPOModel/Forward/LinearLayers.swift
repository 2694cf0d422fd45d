import CKernels
import DPOKernels

/// Linear layers that share their input, with their adapters: y = x Wᵀ + u Bᵀ, u = s · dropout(x) Aᵀ.
extension Pass {
  /// Outputs stand side by side in rows of `width` numbers. Biases are left to the caller.
  func project(_ layer: Int, _ linears: [Linear], x: Pointer, inputSize: Int, into y: Pointer, _ width: Int) {
    let adapters = linears.map { adapter?.matrices(layer: layer, part: $0.part) }
    adapterHidden(adapters.compactMap { $0 }, x: x, inputSize: inputSize)
    var products: [Product] = []
    var column = 0
    for (index, linear) in linears.enumerated() {
      var terms = [Product.Term(.rows(x, inputSize), linear.weight.byOutput, k: inputSize)]
      if let a = adapters[index] {
        terms.append(Product.Term(.rows(hidden(of: a), a.rank), .rows(a.b, a.rank), k: a.rank))
      }
      products.append(Product(count, linear.weight.rows, into: y + column, width, terms))
      column += linear.weight.rows
    }
    team.multiply("linear forward", precision, products)
  }

  private func hidden(of matrices: LoRAAdapter.Matrices) -> Pointer { at(layout.adapterHidden[matrices.index], 0) }

  /// u = s · dropout(x) Aᵀ
  private func adapterHidden(_ adapters: [LoRAAdapter.Matrices], x: Pointer, inputSize: Int) {
    func product(_ a: LoRAAdapter.Matrices, _ x: Pointer) -> Product {
      Product(
        count, a.rank, into: hidden(of: a), a.rank, sharing: .b,
        [Product.Term(.rows(x, inputSize), .rows(a.a, inputSize), k: inputSize, alpha: a.scale)])
    }
    guard dropout != nil else { return team.multiply("adapter forward", precision, adapters.map { product($0, x) }) }
    for a in adapters {
      drop(x, inputSize, a)
      team.multiply("adapter forward", precision, [product(a, at(layout.dropped))])
    }
  }

  /// dropout(x) of one adapter into working memory.
  private func drop(_ x: Pointer, _ inputSize: Int, _ matrices: LoRAAdapter.Matrices) {
    guard let dropout else { return }
    let out = at(layout.dropped)
    team.rows("dropout", count) { rows, _ in
      let from = rows.lowerBound * inputSize
      ck_dropout(
        x + from, out + from, rows.count * inputSize, key(dropout.key, matrices), UInt64(from), dropout.rate)
    }
  }

  /// Each adapter draws its own masks.
  private func key(_ key: UInt64, _ matrices: LoRAAdapter.Matrices) -> UInt64 {
    key &+ UInt64(matrices.index + 1) &* 0xD1B5_4A32_D192_ED03
  }

  /// dx = dy W + mask · (du A) with du = s · dy B, which is kept for the weights' gradients. `dx` nil: du alone.
  func inputGradient(_ layer: Int, _ linears: [Linear], dy: Pointer, _ width: Int, inputSize: Int, into dx: Pointer?) {
    let columns = firstColumns(linears)
    let adapters = adapterGradients(layer, linears)
    team.multiply(
      "adapter backward", precision,
      adapters.map { a in
        Product(
          count, a.matrices.rank, into: a.du, a.matrices.rank, sharing: .b,
          [
            Product.Term(
              .rows(dy + columns[a.linear], width), .columns(a.matrices.b, a.matrices.rank), k: a.matrices.outputSize,
              alpha: a.matrices.scale)
          ])
      })
    guard let dx else { return }
    var terms = linears.indices.map { index in
      Product.Term(
        .rows(dy + columns[index], width), linears[index].weight.byInput, k: linears[index].weight.rows)
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
        ck_dropout_accumulate(
          product + from, dx + from, rows.count * inputSize, key(dropout.key, a.matrices), UInt64(from), dropout.rate)
      }
    }
  }

  /// dW += dyᵀ x and the biases' sums; or dB += dyᵀ u, dA += duᵀ dropout(x). After `inputGradient` of the same layers.
  func weightGradients(_ layer: Int, _ linears: [Linear], dy: Pointer, _ width: Int, x: Pointer, inputSize: Int) {
    let columns = firstColumns(linears)
    if trainsModel {
      team.multiply(
        "linear weight gradient", precision,
        linears.indices.compactMap { index in
          linears[index].weight.gradient.map { gradient in
            Product.weightGradient(
              count, dy: dy + columns[index], width, x: x, inputSize: inputSize, outputSize: linears[index].weight.rows,
              into: gradient)
          }
        })
      return biasGradients(linears, dy: dy, width, columns)
    }
    let adapters = adapterGradients(layer, linears)
    func productA(_ a: AdapterGradient, _ x: Pointer) -> Product {
      Product.weightGradient(
        count, dy: a.du, a.matrices.rank, x: x, inputSize: inputSize, outputSize: a.matrices.rank,
        into: a.matrices.gradientA)
    }
    var products = adapters.map { a in
      Product.weightGradient(
        count, dy: dy + columns[a.linear], width, x: hidden(of: a.matrices), inputSize: a.matrices.rank,
        outputSize: a.matrices.outputSize, into: a.matrices.gradientB)
    }
    if dropout == nil { products += adapters.map { productA($0, x) } }
    team.multiply("adapter weight gradient", precision, products)
    guard dropout != nil else { return }
    for a in adapters {
      drop(x, inputSize, a.matrices)
      team.multiply("adapter weight gradient", precision, [productA(a, at(layout.dropped))])
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

  private func adapterGradients(_ layer: Int, _ linears: [Linear]) -> [AdapterGradient] {
    var offset = layout.gradientOfAdapterHidden
    return linears.enumerated().compactMap { index, linear in
      guard let matrices = adapter?.matrices(layer: layer, part: linear.part) else { return nil }
      defer { offset += (count * matrices.rank + 15) / 16 * 16 }
      return AdapterGradient(linear: index, matrices: matrices, du: at(offset))
    }
  }

  private func biasGradients(_ linears: [Linear], dy: Pointer, _ width: Int, _ columns: [Int]) {
    for (index, linear) in linears.enumerated() {
      guard let gradient = linear.bias?.gradient else { continue }
      let size = linear.weight.rows
      eachColumnBlock("bias gradient", size) { from, to in
        ck_column_sums(dy + columns[index], width, gradient, count, from, to)
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
  var byOutput: Operand {
    switch storage {
    case .floats(let values): .rows(values, columns)
    case .stored(let tensor): .rows(tensor)
    }
  }

  /// The same as the right side of dx = dy W.
  var byInput: Operand {
    switch storage {
    case .floats(let values): .columns(values, columns)
    case .stored(let tensor): .columns(tensor)
    }
  }
}
