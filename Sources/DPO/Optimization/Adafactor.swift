import CKernels
import DPOBase
import DPOKernels
import DPOModel
import DPOPlatform
import DPOStorage

/// Adafactor (Shazeer and Stern 2018, algorithms 4 and 5) as transformers has it with `scale_parameter` and `relative_step`
/// off and no first moment. Of a matrix it keeps one number a row and one a column:
///
///     β_t = 1 − t^−0.8
///     R ← β_t R + (1−β_t) mean_j(g² + 1e−30);   C ← β_t C + (1−β_t) mean_i(g² + 1e−30)
///     u = g / √(R Cᵀ / mean(R));   of vectors V ← β_t V + (1−β_t)(g² + 1e−30), u = g / √V
///     p ← p (1 − rate·decay) − rate · u / max(1, rms(u))
package struct AdafactorOptions: Sendable, Equatable {
  package var weightDecay = 0.0
  package var decayRate = -0.8
  package var clipThreshold = 1.0
  package var epsilon: Float = 1e-30

  package init() {}
}

/// Adafactor over a parameter store. A parameter's update needs all of its gradient.
package final class Adafactor: UpdateRule {
  /// Rows whose columns are summed by one task.
  private static let stripe = 64

  private let options: AdafactorOptions
  private let parameters: ParameterStore
  /// Of each parameter: a matrix' rows, then its columns, or a vector's numbers.
  private let states: FloatBuffer
  private let places: [Int]
  /// Factors of one parameter's rows and columns, and sums of its stripes' columns.
  private let scratch: FloatBuffer

  package init(_ options: AdafactorOptions, _ parameters: ParameterStore, offload: String? = nil) throws {
    (self.options, self.parameters) = (options, parameters)
    var count = 0
    places = parameters.entries.map { entry in
      defer { count += Adafactor.stateCount(entry.shape) }
      return count
    }
    states = try FloatBuffer(count: count, in: offload)
    scratch = try FloatBuffer(count: parameters.entries.map { Adafactor.scratchCount($0.shape) }.max() ?? 0)
  }

  private static func stateCount(_ shape: [Int]) -> Int { shape.count == 2 ? shape[0] + shape[1] : shape.reduce(1, *) }

  private static func scratchCount(_ shape: [Int]) -> Int {
    shape.count == 2 ? shape[0] + shape[1] + (shape[0] + stripe - 1) / stripe * shape[1] : 0
  }

  /// Bytes that parameters of these shapes take.
  package static func bytes(shapes: [[Int]]) -> Int {
    4 * (shapes.reduce(0) { $0 + stateCount($1) } + (shapes.map(scratchCount).max() ?? 0))
  }

  package func sections(model: DecoderConfiguration) -> [CheckpointSection] {
    var rows = CheckpointSection(group: "/optimizer/exp_avg_sq_row", entries: [])
    var columns = CheckpointSection(group: "/optimizer/exp_avg_sq_col", entries: [])
    var vectors = CheckpointSection(group: "/optimizer/exp_avg_sq", entries: [])
    for (entry, place) in zip(parameters.entries, places) {
      let state = states.pointer + place
      guard entry.shape.count == 2 else {
        vectors.entries.append(.init(name: entry.name, shape: entry.shape, numbers: .float32(state)))
        continue
      }
      rows.entries.append(.init(name: entry.name, shape: [entry.shape[0]], numbers: .float32(state)))
      columns.entries.append(
        .init(name: entry.name, shape: [entry.shape[1]], numbers: .float32(state + entry.shape[0])))
    }
    return [rows, columns, vectors].filter { !$0.entries.isEmpty }
  }

  package func apply(_ step: UpdateStep, to range: Range<Int>, team: ThreadTeam) {
    let beta = 1 - pow(Double(step.number), options.decayRate)
    for (entry, place) in zip(parameters.entries, places) where range.contains(entry.offset) {
      let part = Part(
        values: parameters.values.pointer + entry.offset, gradients: parameters.gradients.pointer + entry.offset,
        state: states.pointer + place, decay: entry.decays ? Float(1 - step.learningRate * options.weightDecay) : 1)
      if entry.shape.count == 2 {
        updateMatrix(part, rows: entry.shape[0], columns: entry.shape[1], step, beta: beta, team: team)
      } else {
        updateVector(part, count: entry.count, step, beta: beta)
      }
    }
  }

  /// One parameter's memory.
  private struct Part: @unchecked Sendable {
    let values, gradients, state: UnsafeMutablePointer<Float>
    let decay: Float
  }

  private func updateMatrix(
    _ part: Part, rows: Int, columns: Int, _ step: UpdateStep, beta: Double, team: ThreadTeam
  ) {
    let kernels = Engine.best.kernels
    let (rowStates, columnStates) = (part.state, part.state + rows)
    let rowFactors = scratch.pointer
    let columnFactors = rowFactors + rows
    let partialSums = columnFactors + columns
    let size = Adafactor.stripe
    let stripes = (rows + size - 1) / size
    let scale = Float(step.gradientScale)
    func stripe(_ task: Int) -> (start: Int, count: Int) { (task * size, min(size, rows - task * size)) }
    nonisolated(unsafe) let factors = (rows: rowFactors, columns: columnFactors, partialSums: partialSums)

    team.run(stripes) { task, _ in
      let (start, count) = stripe(task)
      let sums = factors.partialSums + task * columns
      memset(sums, 0, columns * 4)
      kernels.pointee.adafactor_sums(
        part.gradients + start * columns, count, columns, scale, factors.rows + start, sums)
    }
    for row in 0..<rows {
      let mean = rowFactors[row] / Float(columns) + options.epsilon
      rowStates[row] = Float(beta) * rowStates[row] + Float(1 - beta) * mean
    }
    var columnSums = [Double](repeating: 0, count: columns)
    for stripe in 0..<stripes {
      for column in 0..<columns { columnSums[column] += Double(partialSums[stripe * columns + column]) }
    }
    for column in 0..<columns {
      let mean = Float(columnSums[column] / Double(rows)) + options.epsilon
      columnStates[column] = Float(beta) * columnStates[column] + Float(1 - beta) * mean
    }
    let mean = Float((0..<rows).reduce(0.0) { $0 + Double(rowStates[$1]) } / Double(rows))
    for row in 0..<rows { rowFactors[row] = 1 / (rowStates[row] / mean).squareRoot() }
    for column in 0..<columns { columnFactors[column] = 1 / columnStates[column].squareRoot() }

    var squares = [Double](repeating: 0, count: stripes)
    squares.withUnsafeMutableBufferPointer { squares in
      nonisolated(unsafe) let squares = squares
      team.run(stripes) { task, _ in
        let (start, count) = stripe(task)
        squares[task] = kernels.pointee.adafactor_squares(
          part.gradients + start * columns, count, columns, scale, factors.rows + start, factors.columns)
      }
    }
    let rate = rate(step, squares: squares.reduce(0, +), count: rows * columns)
    team.run(stripes) { task, _ in
      let (start, count) = stripe(task)
      kernels.pointee.adafactor_apply(
        part.values + start * columns, part.gradients + start * columns, count, columns, scale, factors.rows + start,
        factors.columns, rate, part.decay)
    }
  }

  private func updateVector(_ part: Part, count: Int, _ step: UpdateStep, beta: Double) {
    var squares = 0.0
    for i in 0..<count {
      let g = Float(step.gradientScale) * part.gradients[i]
      part.state[i] = Float(beta) * part.state[i] + Float(1 - beta) * (g * g + options.epsilon)
      part.gradients[i] = g / part.state[i].squareRoot()
      squares += Double(part.gradients[i]) * Double(part.gradients[i])
    }
    let rate = rate(step, squares: squares, count: count)
    for i in 0..<count {
      part.values[i] = part.decay * part.values[i] - rate * part.gradients[i]
      part.gradients[i] = 0
    }
  }

  /// rate / max(1, rms(u)).
  private func rate(_ step: UpdateStep, squares: Double, count: Int) -> Float {
    let rms = (squares / Double(count)).squareRoot()
    return Float(step.learningRate / max(1, rms / options.clipThreshold))
  }

  /// A step over one matrix in plain Swift and double, on arrays of its own: what the kernels are compared with.
  package static func matrixReference(
    _ options: AdafactorOptions, values: inout [Double], gradients: [Double], rows: inout [Double],
    columns: inout [Double], step: UpdateStep, decays: Bool
  ) {
    let (m, n) = (rows.count, columns.count)
    let beta = 1 - pow(Double(step.number), options.decayRate)
    let g = gradients.map { $0 * step.gradientScale }
    let squares = g.map { $0 * $0 + Double(options.epsilon) }
    for i in 0..<m {
      rows[i] = beta * rows[i] + (1 - beta) * (0..<n).reduce(0) { $0 + squares[i * n + $1] } / Double(n)
    }
    for j in 0..<n {
      columns[j] = beta * columns[j] + (1 - beta) * (0..<m).reduce(0) { $0 + squares[$1 * n + j] } / Double(m)
    }
    let mean = rows.reduce(0, +) / Double(m)
    let update = (0..<m * n).map { g[$0] / (rows[$0 / n] * columns[$0 % n] / mean).squareRoot() }
    let rms = (update.reduce(0) { $0 + $1 * $1 } / Double(m * n)).squareRoot()
    let decay = decays ? 1 - step.learningRate * options.weightDecay : 1
    for k in 0..<m * n {
      values[k] = decay * values[k] - step.learningRate * update[k] / max(1, rms / options.clipThreshold)
    }
  }
}
